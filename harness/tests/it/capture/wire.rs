//! Which packets an event makes, and what they say.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use harness::capture::{Format, check, packets};
use harness::event::{End, EventKind, Side, Transport, Verdict};

use super::story::{Story, UNIX_NS, echo};

/// The ends of a packet and what etherparse finds in it.
pub(crate) fn read(data: &[u8]) -> (SocketAddr, SocketAddr, TransportSlice<'_>) {
    let packet = SlicedPacket::from_ethernet(data).expect("a packet that etherparse reads");
    let (from, to): (IpAddr, IpAddr) = match packet.net.expect("an IP header") {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => panic!("nobody writes ARP"),
    };
    let transport = packet.transport.expect("a transport header");
    let (source, destination) = match &transport {
        TransportSlice::Tcp(tcp) => (tcp.source_port(), tcp.destination_port()),
        TransportSlice::Udp(udp) => (udp.source_port(), udp.destination_port()),
        _ => (0, 0),
    };
    (SocketAddr::new(from, source), SocketAddr::new(to, destination), transport)
}

/// A capture a line a packet, with sequence numbers that count from the handshake.
fn show(file: &[u8]) -> String {
    let mut shown = String::new();
    let mut firsts = HashMap::new();
    for packet in packets(file).expect("a capture") {
        let packet = packet.expect("a good packet");
        let (from, to, transport) = read(packet.data);
        let _ = write!(shown, "{from} > {to} ");
        match transport {
            TransportSlice::Tcp(tcp) => {
                let first = *firsts.entry((from, to)).or_insert(tcp.sequence_number());
                let seq = tcp.sequence_number().wrapping_sub(first);
                for (flag, name) in [
                    (tcp.syn(), "SYN "),
                    (tcp.fin(), "FIN "),
                    (tcp.rst(), "RST "),
                    (tcp.psh(), "PSH "),
                    (tcp.ack(), "ACK "),
                ] {
                    shown.push_str(if flag { name } else { "" });
                }
                let _ = write!(shown, "seq {seq}");
                if let Some(first) = firsts.get(&(to, from))
                    && tcp.ack()
                {
                    let _ = write!(shown, " ack {}", tcp.acknowledgment_number().wrapping_sub(*first));
                }
                shown.push_str(&text(tcp.payload()));
            }
            TransportSlice::Udp(udp) => {
                let _ = write!(shown, "UDP{}", text(udp.payload()));
            }
            TransportSlice::Icmpv4(icmp) => {
                let _ = write!(shown, "ICMP {}/{}", icmp.type_u8(), icmp.code_u8());
            }
            TransportSlice::Icmpv6(icmp) => {
                let _ = write!(shown, "ICMPv6 {}/{}", icmp.type_u8(), icmp.code_u8());
            }
            TransportSlice::Igmp(_) => panic!("nobody writes IGMP"),
        }
        shown.push('\n');
    }
    shown
}

fn text(payload: &[u8]) -> String {
    match payload.len() {
        0 => String::new(),
        1..20 => format!(" \"{}\"", payload.escape_ascii()),
        len => format!(" {len} bytes"),
    }
}

#[track_caller]
fn check_packets(story: &Story, expected: &[&str]) {
    let shown = show(&story.encode().bytes);
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    assert_eq!(show(&story.encode_as(Format::Pcap).bytes), shown, "both formats have the same packets");
}

/// The comments of each packet.
fn comments(story: &Story) -> Vec<Vec<String>> {
    let file = story.encode().bytes;
    let all = packets(&file).expect("a capture");
    all.map(|packet| packet.expect("a good packet").comments.iter().map(ToString::to_string).collect()).collect()
}

const A: &str = "127.0.0.1:50000";
const B: &str = "127.0.0.1:7";

fn tcp() -> Story {
    let mut story = Story::new();
    story.connect(0, "client", Transport::Tcp, A, B);
    story
}

#[test]
fn a_conversation_has_its_handshake_its_data_and_its_end() {
    check_packets(
        &echo(),
        &[
            "127.0.0.1:50000 > 127.0.0.1:7 SYN seq 0",
            "127.0.0.1:7 > 127.0.0.1:50000 SYN ACK seq 0 ack 1",
            "127.0.0.1:50000 > 127.0.0.1:7 ACK seq 1 ack 1",
            "127.0.0.1:50000 > 127.0.0.1:7 PSH ACK seq 1 ack 1 \"hello\\n\"",
            "127.0.0.1:7 > 127.0.0.1:50000 PSH ACK seq 1 ack 7 \"hello\\n\"",
            "127.0.0.1:50000 > 127.0.0.1:7 FIN ACK seq 7 ack 7",
            "127.0.0.1:7 > 127.0.0.1:50000 ACK seq 7 ack 8",
            "127.0.0.1:7 > 127.0.0.1:50000 FIN ACK seq 7 ack 8",
            "127.0.0.1:50000 > 127.0.0.1:7 ACK seq 8 ack 8",
        ],
    );
}

#[test]
fn an_accepted_connection_was_dialled_by_the_peer() {
    let mut story = Story::new();
    story.accept(0, "server", Transport::Tcp, "[::1]:7", "[::1]:50000").sent(0, "hi").ended(0, Side::Peer, End::Reset);
    check_packets(
        &story,
        &[
            "[::1]:50000 > [::1]:7 SYN seq 0",
            "[::1]:7 > [::1]:50000 SYN ACK seq 0 ack 1",
            "[::1]:50000 > [::1]:7 ACK seq 1 ack 1",
            "[::1]:7 > [::1]:50000 PSH ACK seq 1 ack 1 \"hi\"",
            "[::1]:50000 > [::1]:7 RST ACK seq 1 ack 3",
        ],
    );
}

#[test]
fn an_end_that_nobody_saw_is_not_invented() {
    let mut story = tcp();
    story.ended(0, Side::Local, End::Fin);
    let shown = show(&story.encode().bytes);
    assert_eq!(shown.matches("FIN").count(), 1, "{shown}");
    story.ended(0, Side::Local, End::Reset).ended(0, Side::Peer, End::Fin).ended(0, Side::Peer, End::Reset);
    let shown = show(&story.encode().bytes);
    assert_eq!((shown.matches("FIN").count(), shown.matches("RST").count()), (1, 1), "{shown}");
}

#[test]
fn a_refused_connection_is_a_syn_and_its_rst() {
    let mut story = Story::new();
    story.refuse(3, Transport::Tcp, B, true);
    check_packets(
        &story,
        &["127.0.0.1:49156 > 127.0.0.1:7 SYN seq 0", "127.0.0.1:7 > 127.0.0.1:49156 RST ACK seq 0 ack 1"],
    );
    assert_eq!(
        comments(&story)[1][0],
        "client could not connect to 127.0.0.1:7: connection refused (its own port is invented)"
    );
}

#[test]
fn an_unanswered_connection_is_a_syn_alone() {
    let mut story = Story::new();
    story.refuse(0, Transport::Tcp, "192.0.2.1:7", false);
    check_packets(&story, &["0.0.0.0:49153 > 192.0.2.1:7 SYN seq 0"]);
}

#[test]
fn datagrams_have_no_handshake_and_no_end() {
    let mut story = Story::new();
    story.connect(0, "client", Transport::Udp, A, B);
    story.sent(0, "ping").received(0, "").sent(0, "again").ended(0, Side::Peer, End::Unreachable).close(0);
    check_packets(
        &story,
        &[
            "127.0.0.1:50000 > 127.0.0.1:7 UDP \"ping\"",
            "127.0.0.1:7 > 127.0.0.1:50000 UDP",
            "127.0.0.1:50000 > 127.0.0.1:7 UDP \"again\"",
            "127.0.0.1:0 > 127.0.0.1:0 ICMP 3/3",
        ],
    );
}

#[test]
fn an_unreachable_port_quotes_the_datagram() {
    let mut story = Story::new();
    story.connect(0, "client", Transport::Udp, "[::1]:50000", "[::1]:7");
    story.sent(0, "again").ended(0, Side::Peer, End::Unreachable);
    let file = story.encode().bytes;
    let all: Vec<_> = packets(&file).expect("a capture").map(|packet| packet.expect("a good one").data).collect();
    assert!(all[1].ends_with(&all[0][14..]), "behind its headers stands the whole datagram but its link's");
}

#[test]
fn unix_sockets_are_shown_at_invented_addresses() {
    let mut story = Story::new();
    story.connect(0, "client", Transport::Unix, "", "/run/kv.sock").sent(0, "hi");
    story.connect(1, "client", Transport::Unixgram, "@me", "/run/kv.sock").received(1, "yo");
    check_packets(
        &story,
        &[
            "127.85.0.1:49153 > 127.85.0.2:49152 SYN seq 0",
            "127.85.0.2:49152 > 127.85.0.1:49153 SYN ACK seq 0 ack 1",
            "127.85.0.1:49153 > 127.85.0.2:49152 ACK seq 1 ack 1",
            "127.85.0.1:49153 > 127.85.0.2:49152 PSH ACK seq 1 ack 1 \"hi\"",
            "127.85.0.2:49152 > 127.85.0.3:49152 UDP \"yo\"",
        ],
    );
}

#[test]
fn a_long_write_is_split_and_says_so() {
    let mut story = tcp();
    story.sent(0, vec![b'x'; 65_483]).sent(0, vec![b'x'; 65_484]);
    check_packets(
        &story,
        &[
            "127.0.0.1:50000 > 127.0.0.1:7 SYN seq 0",
            "127.0.0.1:7 > 127.0.0.1:50000 SYN ACK seq 0 ack 1",
            "127.0.0.1:50000 > 127.0.0.1:7 ACK seq 1 ack 1",
            "127.0.0.1:50000 > 127.0.0.1:7 PSH ACK seq 1 ack 1 65483 bytes",
            "127.0.0.1:50000 > 127.0.0.1:7 ACK seq 65484 ack 1 65483 bytes",
            "127.0.0.1:50000 > 127.0.0.1:7 PSH ACK seq 130967 ack 1 \"x\"",
        ],
    );
    assert_eq!(comments(&story)[5][0], "part 2 of 2 of 65484 bytes");
}

#[test]
fn a_datagram_too_long_for_udp_is_split() {
    let mut story = Story::new();
    story.connect(0, "client", Transport::Unixgram, "", "/run/kv.sock").sent(0, vec![b'x'; 65_508]);
    check_packets(
        &story,
        &["127.85.0.1:49153 > 127.85.0.2:49152 UDP 65507 bytes", "127.85.0.1:49153 > 127.85.0.2:49152 UDP \"x\""],
    );
}

#[test]
fn a_long_silence_of_one_side_is_acknowledged() {
    let mut story = tcp();
    for _ in 0..3 {
        story.received(0, vec![0; 600_000]);
    }
    let shown = show(&story.encode().bytes);
    let acknowledgements: Vec<_> = shown.lines().filter(|line| line.contains(":7 ACK")).collect();
    assert_eq!(acknowledgements.len(), 2, "the handshake's, and one for each MiB: {acknowledgements:?}");
}

#[test]
fn two_accounts_of_one_connection_are_one_conversation() {
    let mut story = Story::new();
    let send = story.step("client", "send");
    let expect = story.step("server", "expect");
    story.connect(0, "client", Transport::Tcp, A, B).accept(1, "server", Transport::Tcp, B, A);
    story.sent(0, "hello").passed(send, 1).received(1, "he").received(1, "llo").passed(expect, 2);
    // The reader's account may come first, and an end may be told by either.
    story.received(0, "bye").sent(1, "bye").ended(1, Side::Local, End::Fin).ended(0, Side::Peer, End::Fin);
    story.ended(1, Side::Peer, End::Fin).ended(0, Side::Local, End::Fin);
    check_packets(
        &story,
        &[
            "127.0.0.1:50000 > 127.0.0.1:7 SYN seq 0",
            "127.0.0.1:7 > 127.0.0.1:50000 SYN ACK seq 0 ack 1",
            "127.0.0.1:50000 > 127.0.0.1:7 ACK seq 1 ack 1",
            "127.0.0.1:50000 > 127.0.0.1:7 PSH ACK seq 1 ack 1 \"hello\"",
            "127.0.0.1:7 > 127.0.0.1:50000 PSH ACK seq 1 ack 6 \"bye\"",
            "127.0.0.1:7 > 127.0.0.1:50000 FIN ACK seq 4 ack 6",
            "127.0.0.1:50000 > 127.0.0.1:7 ACK seq 6 ack 5",
            "127.0.0.1:50000 > 127.0.0.1:7 FIN ACK seq 6 ack 5",
            "127.0.0.1:7 > 127.0.0.1:50000 ACK seq 5 ack 7",
        ],
    );
    assert_eq!(
        comments(&story)[3],
        [
            "sent by send at scenarios/echo.toml:6:3",
            "case=\"echoes a line\" step=0 actor=client verdict=pass",
            "came during expect at scenarios/echo.toml:7:3",
            "case=\"echoes a line\" step=1 actor=server verdict=pass",
        ]
    );
}

#[test]
fn two_accounts_of_datagrams_are_one_and_losses_stay() {
    let mut story = Story::new();
    story.accept(0, "server", Transport::Udp, B, A).connect(1, "client", Transport::Udp, A, B);
    story.sent(1, "one").sent(1, "two").received(0, "two").received(0, "two");
    check_packets(
        &story,
        &[
            "127.0.0.1:50000 > 127.0.0.1:7 UDP \"one\"",
            "127.0.0.1:50000 > 127.0.0.1:7 UDP \"two\"",
            "127.0.0.1:50000 > 127.0.0.1:7 UDP \"two\"",
        ],
    );
}

#[test]
fn unix_clients_without_a_path_meet_their_accounts_in_order() {
    let mut story = Story::new();
    story.connect(0, "a", Transport::Unix, "", "@s").connect(1, "b", Transport::Unix, "", "@s");
    story.accept(2, "server", Transport::Unix, "@s", "").accept(3, "server", Transport::Unix, "@s", "");
    story.sent(0, "from a").received(2, "from a").sent(1, "from b").received(3, "from b");
    let shown = show(&story.encode().bytes);
    assert_eq!((shown.matches("SYN seq").count(), shown.matches("from").count()), (2, 2), "{shown}");
}

/// The dialler's segments: sequence numbers and lengths.
fn segments(story: &Story) -> Vec<(u32, u32)> {
    let file = story.encode().bytes;
    let all = packets(&file).expect("a capture").filter_map(|packet| {
        let (from, _, transport) = read(packet.expect("a good packet").data);
        let TransportSlice::Tcp(tcp) = transport else { panic!("no TCP") };
        (from.port() == 50_000).then(|| (tcp.sequence_number(), tcp.payload().len() as u32))
    });
    all.collect()
}

/// A seed that has connection 0's dialler begin within a MiB of the greatest sequence number.
pub(crate) fn seed_near_the_end_of_sequence_numbers() -> u64 {
    let mut story = tcp();
    let mut near = |seed: &u64| {
        story.run.seed = *seed;
        segments(&story)[0].0 > u32::MAX - (1 << 20)
    };
    (0..1_000_000).find(|seed| near(seed)).expect("one in four thousand seeds")
}

#[test]
fn sequence_numbers_wrap() {
    let mut story = tcp();
    story.sent(0, vec![7; 1 << 20]).received(0, "ok").close(0);
    story.run.seed = seed_near_the_end_of_sequence_numbers();
    let segments = segments(&story);
    assert!(segments.iter().any(|(sequence, _)| *sequence < 1 << 20), "it has wrapped");
    let data: Vec<_> = segments.iter().filter(|(_, len)| *len > 0).collect();
    assert!(data.windows(2).all(|pair| pair[0].0.wrapping_add(pair[0].1) == pair[1].0));
}

#[test]
fn what_was_never_opened_has_no_packets() {
    let mut story = Story::new();
    story.sent(9, "lost").received(9, "lost").close(9);
    check_packets(&story, &[]);
    assert_eq!(story.encode().failing_frame, None);
}

#[test]
fn comments_say_which_step_and_how_it_ended() {
    assert_eq!(
        comments(&echo()),
        [
            &[
                "connection opened during send at scenarios/echo.toml:6:3",
                "case=\"echoes a line\" step=0 actor=client verdict=pass"
            ][..],
            &[],
            &[],
            &["sent by send at scenarios/echo.toml:6:3", "case=\"echoes a line\" step=0 actor=client verdict=pass"],
            &[
                "came during expect at scenarios/echo.toml:7:3",
                "case=\"echoes a line\" step=1 actor=client verdict=pass"
            ],
            &["case=\"echoes a line\" actor=client"],
            &[],
            &["case=\"echoes a line\" actor=client"],
            &[],
        ]
    );
}

#[test]
fn what_came_before_its_step_says_so() {
    let mut story = tcp();
    let expect = story.step("client", "expect");
    story.received(0, "220 hi\n").received(0, "and more\n").passed(expect, 0);
    assert_eq!(comments(&story)[3][0], "came before the step that took it: expect at scenarios/echo.toml:6:3");
}

#[test]
fn the_author_s_note_stands_with_the_step() {
    let mut story = tcp();
    let send = story.step("client", "send");
    story.case.steps[0].note = Some("wakes the server".into());
    story.sent(0, "x").passed(send, 1);
    assert_eq!(comments(&story)[3][0], "sent by send at scenarios/echo.toml:6:3: wakes the server");
}

#[test]
fn a_step_of_a_group_claims_its_members_frames_and_no_others() {
    let mut story = Story::new();
    let send = story.step("alice", "send");
    story.connect(0, "alice[1]", Transport::Tcp, A, B).connect(1, "alicette", Transport::Tcp, "127.0.0.1:9", B);
    story.sent(0, "a").sent(1, "b").passed(send, 2);
    assert_eq!(comments(&story)[6][1], "case=\"echoes a line\" step=0 actor=alice[1] verdict=pass");
    assert_eq!(comments(&story)[7], ["case=\"echoes a line\" actor=alicette"]);
}

#[test]
fn the_failing_frame_is_the_last_of_its_connection_and_says_why() {
    let mut story = tcp();
    story.connect(1, "other", Transport::Tcp, "127.0.0.1:50001", B);
    let expect = story.step("client", "expect");
    story.received(0, "first").received(0, "helo\n").sent(1, "noise");
    story
        .failed(Some(expect), Some(0), "expected `hello`, received `helo`")
        .received(0, "late")
        .finish(Verdict::Failed);
    assert_eq!(story.encode().failing_frame, Some(8));
    let comments = comments(&story);
    assert_eq!(
        comments[7],
        [
            "came before the step that took it: expect at scenarios/echo.toml:6:3",
            "failed: expected `hello`, received `helo` (scenarios/echo.toml:6:3)",
            "case=\"echoes a line\" step=0 actor=client verdict=fail",
        ]
    );
    assert_eq!(comments.iter().flatten().filter(|comment| comment.contains("verdict=fail")).count(), 1);
    assert_eq!(story.encode_as(Format::Pcap).failing_frame, Some(8));
}

#[test]
fn a_failure_finds_the_nearest_frame_that_there_is() {
    #[track_caller]
    fn check_frame(story: &mut Story, connection: Option<u32>, expected: Option<u64>) {
        story.failed(None, connection, "expected more").failed(None, connection, "and again").finish(Verdict::Failed);
        assert_eq!(story.encode().failing_frame, expected);
    }
    check_frame(&mut Story::new(), Some(0), None);
    check_frame(&mut tcp(), Some(0), Some(3));
    check_frame(&mut tcp(), Some(7), Some(3));
    check_frame(tcp().sent(0, "x"), None, Some(4));
    check_frame(tcp().sent(0, "x").ended(0, Side::Peer, End::Fin), Some(0), Some(5));
    // Without a frame so far, the last one of the case.
    check_frame(
        Story::new().failed(None, None, "not connected").connect(0, "client", Transport::Tcp, A, B),
        None,
        Some(3),
    );
}

#[test]
fn a_crash_between_two_steps_is_shown_at_the_last_frame() {
    let mut story = echo();
    story.finish(Verdict::Crashed);
    story.finished.as_mut().expect("it has just finished").reason = Some("the target crashed: signal SIGSEGV".into());
    assert_eq!(story.encode().failing_frame, Some(9));
    assert_eq!(comments(&story)[8][0], "failed: the target crashed: signal SIGSEGV");
}

#[test]
fn what_has_no_packet_is_a_note_on_one() {
    let mut story = Story::new();
    story.event(EventKind::Logged { message: "begins".into() });
    story.connect(0, "client", Transport::Tcp, A, B).received(0, "id=7");
    story.event(EventKind::VariableSet { name: "id".into(), value: Bytes::from_static(b"\x07") });
    story.event(EventKind::RecordingStopped { kept: 4 });
    let comments = comments(&story);
    assert_eq!(comments[0][0], "log: begins");
    assert_eq!(
        comments[3][..2],
        [
            "variable id = \"\\x07\"",
            "recording stopped here: the case's record is full after 4 bytes, what follows is not kept",
        ]
    );
}

#[test]
fn notes_have_a_limit() {
    let mut story = tcp();
    for _ in 0..1_000 {
        story.event(EventKind::Logged { message: "again".into() });
    }
    let comments = &comments(&story)[2];
    assert_eq!((comments.len(), comments[32].as_str()), (33, "further notes are left out"));
}

#[test]
fn long_texts_are_cut_to_what_the_format_takes() {
    let mut story = Story::new();
    story.case.name = "é".repeat(100_000);
    story.run.harness = "1".repeat(100_000);
    let actor = "a".repeat(100_000);
    let step = story.step(&actor, "send");
    story.connect(0, &actor, Transport::Unix, "", &"p".repeat(100_000)).sent(0, "x").passed(step, 1);
    story.failed(Some(step), Some(0), &"m".repeat(100_000)).finish(Verdict::Failed);
    let file = story.encode().bytes;
    check(&file).expect("a good capture");
    assert!(file.len() < 60_000, "{}", file.len());
}

#[test]
fn an_unfinished_case_is_a_whole_file() {
    let mut story = echo();
    story.finished = None;
    for events in 0..=story.events.len() {
        let mut story = story.clone();
        story.events.truncate(events);
        let file = story.encode().bytes;
        check(&file).expect("a good capture");
        let text = String::from_utf8_lossy(&file);
        assert!(text.contains("verdict=running") && text.contains("still going on"));
    }
}

#[test]
fn the_same_events_give_the_same_bytes() {
    assert_eq!(echo().encode(), echo().encode());
    let mut other = echo();
    other.run.seed = 43;
    assert_ne!(echo().encode(), other.encode());
}

#[test]
fn the_section_says_what_it_is_and_where_it_comes_from() {
    let check = check(&echo().encode().bytes).expect("a good capture");
    assert_eq!((check.format, check.sections, check.packets, check.out_of_order), (Format::Pcapng, 1, 9, 0));
    assert_eq!(check.interfaces.len(), 1);
    assert_eq!((check.interfaces[0].name.as_deref(), check.interfaces[0].link_type), (Some("client"), 1));
    assert_eq!((check.first_ns, check.last_ns), (Some(UNIX_NS + 1_000), Some(UNIX_NS + 7_000)));
    let file = echo().encode().bytes;
    assert!(String::from_utf8_lossy(&file).contains(
        "recording=synthetic seed=42 scenario=echo case=\"echoes a line\" verdict=passed \
         file=scenarios/echo.toml:4 harness=0.1.0"
    ));
}

#[test]
fn time_never_runs_back_and_never_overflows() {
    let mut story = echo();
    story.events.reverse();
    let opened = story.events.pop().expect("it begins with the connection");
    story.events.insert(0, opened);
    assert_eq!(check(&story.encode().bytes).expect("a good capture").out_of_order, 0);
    story.run.unix_ns = u64::MAX;
    assert_eq!(check(&story.encode().bytes).expect("a good capture").last_ns, Some(u64::MAX));
    check(&story.encode_as(Format::Pcap).bytes).expect("a good capture");
}

#[test]
fn direction_is_seen_from_the_actor() {
    let file = echo().encode().bytes;
    let flags: Vec<_> = packets(&file).expect("a capture").map(|packet| packet.expect("a good packet").flags).collect();
    assert_eq!(flags, [2, 1, 2, 2, 1, 2, 1, 1, 2]);
}

#[test]
fn a_cut_file_reads_to_the_cut() {
    for format in [Format::Pcap, Format::Pcapng] {
        let file = echo().encode_as(format).bytes;
        let mut whole = 0;
        for end in 0..file.len() {
            let Ok(read) = packets(&file[..end]) else {
                assert!(end < 24);
                continue;
            };
            let good = read.filter(Result::is_ok).count();
            assert!(good >= whole, "more bytes, no fewer packets");
            whole = good;
        }
        assert_eq!(whole, 8, "all but the last");
    }
}

#[test]
fn captures_can_be_joined() {
    let file = [echo().encode().bytes, echo().encode().bytes].concat();
    let check = check(&file).expect("a good capture");
    assert_eq!((check.sections, check.packets), (2, 18));
}
