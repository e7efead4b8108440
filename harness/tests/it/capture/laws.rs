//! What holds for every case, however odd its events.

use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::Bytes;
use etherparse::TransportSlice;
use harness::capture::{Format, check, packets};
use harness::event::{End, EventKind, Side, Transport, Verdict};
use proptest::prelude::*;

use super::story::Story;
use super::wire::read;

/// One event of a story, connections and steps among a few.
#[derive(Clone, Debug)]
enum Op {
    Open { connection: u32, transport: Transport, dialled: Side, v6: bool },
    Refuse { connection: u32, transport: Transport, refused: bool },
    Data { connection: u32, by: Side, len: usize },
    End { connection: u32, by: Side, how: End },
    Passed { step: u32 },
    Failed { step: Option<u32>, connection: Option<u32> },
    Note(String),
}

fn op() -> impl Strategy<Value = Op> {
    let connection = || 0u32..4;
    let side = || prop_oneof![Just(Side::Local), Just(Side::Peer)];
    let transport =
        || prop_oneof![Just(Transport::Tcp), Just(Transport::Udp), Just(Transport::Unix), Just(Transport::Unixgram)];
    let how = prop_oneof![Just(End::Fin), Just(End::Reset), Just(End::Unreachable)];
    let len = prop_oneof![8 => 0usize..100, 1 => 65_480usize..65_512, 1 => 130_960usize..131_020];
    prop_oneof![
        3 => (connection(), transport(), side(), any::<bool>())
            .prop_map(|(connection, transport, dialled, v6)| Op::Open { connection, transport, dialled, v6 }),
        1 => (connection(), transport(), any::<bool>())
            .prop_map(|(connection, transport, refused)| Op::Refuse { connection, transport, refused }),
        8 => (connection(), side(), len).prop_map(|(connection, by, len)| Op::Data { connection, by, len }),
        2 => (connection(), side(), how).prop_map(|(connection, by, how)| Op::End { connection, by, how }),
        2 => (0u32..4).prop_map(|step| Op::Passed { step }),
        1 => (proptest::option::of(0u32..4), proptest::option::of(connection()))
            .prop_map(|(step, connection)| Op::Failed { step, connection }),
        1 => ".{0,20}".prop_map(Op::Note),
    ]
}

/// A story, and the bytes that each direction of each opening of a connection must show. Each opening has a
/// port of its own, so no two are accounts of the same connection.
fn tell(ops: Vec<Op>) -> (Story, HashMap<(usize, Side), Vec<u8>>) {
    let mut story = Story::new();
    for actor in ["a", "b", "a", "nobody"] {
        story.step(actor, "send");
    }
    let mut current = HashMap::new();
    let mut expected: HashMap<_, Vec<u8>> = HashMap::new();
    for (index, op) in ops.into_iter().enumerate() {
        match op {
            Op::Open { connection, transport, dialled, v6 } => {
                let ip = if v6 { "[::1]" } else { "127.0.0.1" };
                let (local, peer) = match transport {
                    Transport::Tcp | Transport::Udp => (format!("{ip}:{}", 50_000 + index), format!("{ip}:7")),
                    Transport::Unix | Transport::Unixgram => (format!("/{index}"), "/peer".to_owned()),
                };
                let actor = if connection % 2 == 0 { "a" } else { "b" };
                match dialled {
                    Side::Local => story.connect(connection, actor, transport, &local, &peer),
                    Side::Peer => story.accept(connection, actor, transport, &local, &peer),
                };
                current.insert(connection, index);
            }
            Op::Refuse { connection, transport, refused } => {
                let path = matches!(transport, Transport::Unix | Transport::Unixgram);
                story.refuse(connection, transport, if path { "/none" } else { "[::1]:9" }, refused);
            }
            Op::Data { connection, by, len } => {
                let data: Vec<u8> = (0..len).map(|at| (at + index) as u8).collect();
                if let Some(opening) = current.get(&connection) {
                    expected.entry((*opening, by)).or_default().extend(&data);
                }
                match by {
                    Side::Local => story.sent(connection, data),
                    Side::Peer => story.received(connection, data),
                };
            }
            Op::End { connection, by, how } => {
                story.ended(connection, by, how);
            }
            Op::Passed { step } => {
                story.passed(step, 1);
            }
            Op::Failed { step, connection } => {
                story.failed(step, connection, "expected something else");
            }
            Op::Note(text) => {
                story.event(EventKind::VariableSet { name: text.as_str().into(), value: Bytes::from(text.clone()) });
                story.event(EventKind::Logged { message: text });
            }
        }
    }
    (story, expected)
}

/// The payload of each direction, in order; for TCP each segment must follow the one before it.
fn reassemble(file: &[u8]) -> HashMap<(SocketAddr, SocketAddr), Vec<u8>> {
    let mut streams: HashMap<_, Vec<u8>> = HashMap::new();
    let mut next: HashMap<(SocketAddr, SocketAddr), u32> = HashMap::new();
    for packet in packets(file).expect("a capture") {
        let packet = packet.expect("a good packet");
        assert_eq!(packet.length as usize, packet.data.len());
        let (from, to, transport) = read(packet.data);
        let payload = match &transport {
            TransportSlice::Tcp(tcp) => {
                if !(tcp.rst() && tcp.sequence_number() == 0) {
                    let next = next.entry((from, to)).or_insert(tcp.sequence_number());
                    assert!(tcp.syn() || *next == tcp.sequence_number(), "no gap and no overlap");
                    let control = u32::from(tcp.syn()) + u32::from(tcp.fin());
                    *next = tcp.sequence_number().wrapping_add(tcp.payload().len() as u32 + control);
                }
                tcp.payload()
            }
            TransportSlice::Udp(udp) => udp.payload(),
            _ => continue,
        };
        streams.entry((from, to)).or_default().extend(payload);
    }
    streams.retain(|_, stream| !stream.is_empty());
    streams
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_events_make_a_good_capture_with_all_their_bytes(ops in proptest::collection::vec(op(), 0..40)) {
        let (mut story, expected) = tell(ops);
        story.finish(Verdict::Failed);
        let encoded = story.encode();
        let checked = check(&encoded.bytes).expect("a good capture");
        prop_assert_eq!(checked.out_of_order, 0);
        prop_assert!(encoded.failing_frame.is_none_or(|frame| (1..=checked.packets).contains(&frame)));
        prop_assert_eq!(encoded.failing_frame.is_none(), checked.packets == 0);

        let mut streams: Vec<_> = reassemble(&encoded.bytes).into_values().collect();
        let mut expected: Vec<_> = expected.into_values().filter(|stream| !stream.is_empty()).collect();
        streams.sort();
        expected.sort();
        prop_assert!(streams == expected, "the payloads of some direction differ");

        let fails = packets(&encoded.bytes).expect("a capture").enumerate().filter_map(|(index, packet)| {
            let packet = packet.expect("a good packet");
            packet.comments.iter().any(|comment| comment.ends_with("verdict=fail")).then_some(index as u64 + 1)
        });
        prop_assert_eq!(fails.collect::<Vec<_>>(), Vec::from_iter(encoded.failing_frame));

        let pcap = story.encode_as(Format::Pcap);
        prop_assert_eq!(pcap.failing_frame, encoded.failing_frame);
        prop_assert_eq!(check(&pcap.bytes).expect("a good capture").captured, checked.captured);
    }

    /// Both ends of a connection tell of it, each in its own order: the sum is what one end alone would show.
    #[test]
    fn two_accounts_show_what_one_does(
        writes in proptest::collection::vec((any::<bool>(), 1usize..50), 0..20),
        reads in proptest::collection::vec((any::<bool>(), 1usize..80, any::<bool>()), 0..60),
        reader_first in any::<bool>(),
    ) {
        let mut story = Story::new();
        story.connect(0, "client", Transport::Tcp, "127.0.0.1:50000", "127.0.0.1:7");
        story.accept(1, "server", Transport::Tcp, "127.0.0.1:7", "127.0.0.1:50000");
        // By sender: all bytes, and how far the sender's and the reader's accounts have come.
        let mut sent: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
        for (by, len) in &writes {
            let stream = &mut sent[usize::from(*by)];
            let from = stream.len();
            stream.extend((from..from + len).map(|at| at as u8));
        }
        let mut told = [[0; 2]; 2];
        let finish = [(false, 10_000, false), (false, 10_000, true), (true, 10_000, false), (true, 10_000, true)];
        for (by, len, reader) in reads.into_iter().chain(finish) {
            let sender = usize::from(by);
            let told = &mut told[sender][usize::from(reader)];
            let end = (*told + len).min(sent[sender].len());
            let data = &sent[sender][*told..end];
            *told = end;
            if data.is_empty() {
                continue;
            }
            if reader == reader_first {
                story.received(1 - sender as u32, data);
            } else {
                story.sent(sender as u32, data);
            }
        }
        let streams = reassemble(&story.encode().bytes);
        for (sender, port) in [(0, 50_000), (1, 7)] {
            let stream = streams.iter().find(|((from, _), _)| from.port() == port).map_or(&[][..], |(_, stream)| stream);
            prop_assert_eq!(stream, &sent[sender][..]);
        }
    }
}
