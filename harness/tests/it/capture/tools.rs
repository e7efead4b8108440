//! Captures as tshark, capinfos, editcap, tcpdump and scapy see them.
//!
//! A missing program fails its tests, so that nobody takes silence for agreement; with
//! `HARNESS_TEST_SKIP_TOOLS=1` they are skipped, and say so.

use std::path::Path;
use std::process::Command;

use harness::capture::{Format, write_file};
use harness::event::{End, EventKind, Side, Transport, Verdict};
use tempfile::TempDir;

use super::story::{Story, echo};

/// Ask tshark to look at every checksum.
const CHECKSUMS: [&str; 6] =
    ["-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];
/// What a clean capture has none of.
const SUSPICIOUS: &str = "tcp.analysis.flags || _ws.malformed || frame.time_delta < 0 \
    || tcp.checksum.status==0 || udp.checksum.status==0 || ip.checksum.status==0 \
    || icmp.checksum.status==0 || icmpv6.checksum.status==0";
const A: &str = "127.0.0.1:50000";
const B: &str = "127.0.0.1:7";

/// Whether all of these programs, or modules of Python, are there. One that is not fails the test that asks, unless
/// `HARNESS_TEST_SKIP_TOOLS=1` is set.
#[track_caller]
pub(crate) fn have(programs: &[&str]) -> bool {
    for program in programs {
        let (package, module) = match *program {
            "aria2c" => ("aria2", None),
            "capinfos" | "editcap" => ("wireshark-common", None),
            "mosquitto_pub" | "mosquitto_sub" => ("mosquitto-clients", None),
            "paho" => ("python3-paho-mqtt", Some("paho.mqtt")),
            "redis-benchmark" | "redis-cli" => ("redis-tools", None),
            "scapy" => ("python3-scapy", Some("scapy.all")),
            other => (other, None),
        };
        let is_there = match module {
            Some(module) => {
                let import = ["-c".to_owned(), format!("import {module}")];
                Command::new(python()).args(import).status().is_ok_and(|status| status.success())
            }
            None => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
            }
        };
        if is_there {
            continue;
        }
        if std::env::var_os("HARNESS_TEST_SKIP_TOOLS").is_some_and(|value| value == "1") {
            #[expect(clippy::print_stderr, reason = "a skipped test that is silent looks like a passed one")]
            {
                eprintln!("skipped: {program} is not here and HARNESS_TEST_SKIP_TOOLS=1 is set");
            }
            return false;
        }
        panic!("this test needs {program}: `apt-get install {package}`, or skip it with HARNESS_TEST_SKIP_TOOLS=1");
    }
    true
}

/// The system's Python, which is where distributions put scapy, whatever stands first on the path.
pub(crate) fn python() -> &'static str {
    if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" }
}

/// Runs a program that must end well, and gives its stdout.
#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("the program is there");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A capture in a file.
struct Capture {
    folder: TempDir,
    path: String,
}

impl Capture {
    fn new(story: &Story) -> Capture {
        Capture::of(&story.encode().bytes, Format::Pcapng)
    }

    fn of(bytes: &[u8], format: Format) -> Capture {
        let folder = tempfile::tempdir().expect("a folder for a capture");
        let path = folder.path().join("case").with_extension(format.extension());
        write_file(&path, bytes).expect("the folder is writable");
        let path = path.to_str().expect("temporary folders have plain names").to_owned();
        Capture { folder, path }
    }

    #[track_caller]
    fn tshark(&self, arguments: &[&str]) -> String {
        run("tshark", &[&["-n", "-r", &self.path], arguments].concat())
    }

    /// The numbers of the frames that a display filter lets through.
    #[track_caller]
    fn filter(&self, filter: &str) -> String {
        self.tshark(&[&CHECKSUMS[..], &["-Y", filter, "-T", "fields", "-e", "frame.number"]].concat())
    }

    /// Nothing for an expert to find, every checksum good, and time running forward.
    #[track_caller]
    fn check_clean(&self) {
        assert_eq!(self.filter(SUSPICIOUS), "", "{}", self.tshark(&[]));
    }

    /// The payload of both directions of the first `count` TCP streams, that of the dialler first.
    #[track_caller]
    fn follow(&self, count: usize) -> Vec<[Vec<u8>; 2]> {
        let tables: Vec<_> = (0..count).map(|stream| format!("follow,tcp,raw,{stream}")).collect();
        let shown =
            self.tshark(&[&["-q"], &*tables.iter().flat_map(|table| ["-z", table]).collect::<Vec<_>>()].concat());
        let mut streams = vec![[Vec::new(), Vec::new()]; count];
        let mut stream = 0;
        for line in shown.lines() {
            if let Some(filter) = line.strip_prefix("Filter: tcp.stream eq ") {
                stream = filter.parse().expect("the number of a stream");
            } else if !line.contains([':', '=']) {
                let direction = usize::from(line.starts_with('\t'));
                let (digits, _) = line.trim().as_bytes().as_chunks::<2>();
                streams[stream][direction].extend(digits.iter().map(|digits| {
                    u8::from_str_radix(str::from_utf8(digits).expect("digits"), 16).expect("digits of a byte")
                }));
            }
        }
        streams
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Every transport, both families, and every way to end.
fn everything() -> Story {
    let mut story = Story::new();
    story.event(EventKind::TargetStarted {
        scenario: "echo".into(),
        target: "kv".into(),
        url: "tcp://127.0.0.1:7".into(),
        pid: None,
    });
    story.connect(0, "client-1", Transport::Tcp, A, B).sent(0, "to").received(0, "fro").close(0);
    story.accept(1, "server", Transport::Tcp, "[::1]:8", "[::1]:50001").received(1, pattern(200_000));
    story.sent(1, pattern(2_000_000)).ended(1, Side::Peer, End::Fin).sent(1, "last").ended(1, Side::Local, End::Fin);
    story.connect(2, "client-1", Transport::Udp, "127.0.0.1:50002", "127.0.0.1:99").sent(2, pattern(65_507));
    story.sent(2, "anyone?").ended(2, Side::Peer, End::Unreachable);
    story.connect(3, "client-1", Transport::Udp, "[::1]:50003", "[::1]:99").sent(3, pattern(9_000)).received(3, "");
    story.ended(3, Side::Peer, End::Unreachable);
    story.connect(4, "client-2", Transport::Unix, "", "/run/kv.sock").sent(4, "a").received(4, "b").close(4);
    story.connect(5, "client-2", Transport::Unixgram, "@me", "/run/kv.gram").sent(5, "a").received(5, "b");
    // Crossing writes, and both accounts of one connection.
    story.connect(6, "client-1", Transport::Tcp, "127.0.0.1:50006", "127.0.0.1:9000");
    story.accept(7, "server", Transport::Tcp, "127.0.0.1:9000", "127.0.0.1:50006");
    story.sent(6, "x").sent(7, "yy").received(7, "x").received(6, "yy");
    story.ended(7, Side::Local, End::Fin).ended(6, Side::Peer, End::Fin);
    story.ended(6, Side::Local, End::Fin).ended(7, Side::Peer, End::Fin);
    story.finish(Verdict::Passed);
    story
}

#[test]
fn tshark_finds_nothing_to_say_about_a_clean_run() {
    if !have(&["tshark"]) {
        return;
    }
    Capture::new(&echo()).check_clean();
    let everything = Capture::new(&everything());
    everything.check_clean();
    assert_eq!(everything.filter("tcp.flags.reset==1"), "");
    let pcap = Capture::of(&self::everything().encode_as(Format::Pcap).bytes, Format::Pcap);
    pcap.check_clean();
}

#[test]
fn tshark_would_say_so_if_a_byte_were_wrong() {
    if !have(&["tshark"]) {
        return;
    }
    let mut bytes = echo().encode().bytes;
    let at = bytes.windows(6).position(|window| window == b"hello\n").expect("it was sent");
    bytes[at] ^= 1;
    assert_eq!(Capture::of(&bytes, Format::Pcapng).filter(SUSPICIOUS), "4\n");
}

#[test]
fn tshark_sees_resets_where_there_were_some() {
    if !have(&["tshark"]) {
        return;
    }
    let mut story = Story::new();
    story.connect(0, "client", Transport::Tcp, A, B).sent(0, "x").ended(0, Side::Local, End::Reset);
    story.refuse(1, Transport::Tcp, "[::1]:9", true).refuse(2, Transport::Unix, "/none", true);
    let capture = Capture::new(&story);
    capture.check_clean();
    assert_eq!(capture.filter("tcp.flags.reset==1"), "5\n7\n9\n");
    assert_eq!(capture.filter("tcp.connection.rst").lines().count(), 3);
}

#[test]
fn tshark_reassembles_what_was_sent() {
    if !have(&["tshark"]) {
        return;
    }
    let mut story = Story::new();
    let mut expected = Vec::new();
    for ip in ["127.0.0.1", "[::1]"] {
        for (up, down) in [(0, 0), (1, 0), (0, 1), (65_483, 65_484), (1_000_000, 1)] {
            for (first, second) in [(Side::Local, Side::Peer), (Side::Peer, Side::Local)] {
                let number = expected.len() as u32;
                let local = format!("{ip}:{}", 50_000 + number);
                story.connect(number, "client", Transport::Tcp, &local, &format!("{ip}:7"));
                story.sent(number, pattern(up)).received(number, pattern(down));
                story.ended(number, first, End::Fin).ended(number, second, End::Fin);
                expected.push([pattern(up), pattern(down)]);
            }
        }
    }
    let capture = Capture::new(&story);
    capture.check_clean();
    for (number, (stream, expected)) in capture.follow(expected.len()).iter().zip(&expected).enumerate() {
        assert!(stream == expected, "stream {number} has {} and {} bytes", stream[0].len(), stream[1].len());
    }
}

#[test]
fn tshark_follows_sequence_numbers_over_their_end() {
    if !have(&["tshark"]) {
        return;
    }
    let mut story = Story::new();
    story.connect(0, "client", Transport::Tcp, A, B).sent(0, pattern(1 << 20)).received(0, "ok").close(0);
    story.run.seed = super::wire::seed_near_the_end_of_sequence_numbers();
    let capture = Capture::new(&story);
    capture.check_clean();
    assert!(capture.follow(1) == [[pattern(1 << 20), b"ok".to_vec()]]);
}

#[test]
fn capinfos_shows_seed_actors_and_nanoseconds() {
    if !have(&["capinfos"]) {
        return;
    }
    let shown = run("capinfos", &[&Capture::new(&everything()).path]);
    for part in [
        "Recorded by harness 0.1.0 from socket reads and writes",
        "recording=synthetic seed=42 scenario=echo case=\"echoes a line\" verdict=passed",
        "nanoseconds (9)",
        "Encapsulation = Ethernet",
        "Name = client-1",
        "Name = client-2",
        "Name = server",
        "Hardware = synthetic",
    ] {
        assert!(shown.contains(part), "expected `{part}` in\n{shown}");
    }
}

#[test]
fn tshark_finds_the_failing_frame_and_who_sent_what() {
    if !have(&["tshark"]) {
        return;
    }
    let mut story = Story::new();
    let (send, expect) = (story.step("client", "send"), story.step("client", "expect"));
    story.connect(0, "client", Transport::Tcp, A, B).sent(0, "hello\n").passed(send, 1).received(0, "helo\n");
    story.failed(Some(expect), Some(0), "expected `hello`, received `helo`").close(0).finish(Verdict::Failed);
    let capture = Capture::new(&story);
    let frame = story.encode().failing_frame.expect("it failed");
    assert_eq!(capture.filter("frame.comment contains \"verdict=fail\""), format!("{frame}\n"));
    assert_eq!(capture.filter("frame.comment contains \"step=0 actor=client verdict=pass\""), "1\n4\n");
    assert_eq!(capture.filter("frame.interface_name==\"client\" && frame.packet_flags_direction==1"), "2\n5\n7\n8\n");
}

#[test]
fn tshark_shows_the_names_of_actors_and_targets() {
    if !have(&["tshark"]) {
        return;
    }
    let capture = Capture::new(&everything());
    let hosts = capture.tshark(&["-q", "-z", "hosts"]);
    for host in ["127.0.0.1\tclient-1+server+kv+peer", "127.85.0.2\t/run/kv.sock", "127.85.0.1\tclient-2"] {
        assert!(hosts.contains(host), "expected `{host}` in\n{hosts}");
    }
    let shown = run("tshark", &["-Nn", "-r", &capture.path, "-Y", "tcp.stream==2"]);
    assert!(shown.contains("client-2 → /run/kv.sock"), "{shown}");
}

#[test]
fn tcpdump_scapy_and_editcap_read_every_packet() {
    if !have(&["tcpdump", "editcap", "scapy"]) {
        return;
    }
    let stories = [everything(), Story::new()];
    let all = stories.iter().flat_map(|story| [Format::Pcapng, Format::Pcap].map(|format| (story, format)));
    for (story, format) in all {
        let bytes = story.encode_as(format).bytes;
        let capture = Capture::of(&bytes, format);
        let count = harness::capture::check(&bytes).expect("a good capture").packets;
        let tcpdump = |path: &str| {
            let shown = run("tcpdump", &["-nvv", "--count", "-r", path]);
            assert!(!shown.contains("incorrect") && !shown.contains("bad cksum"), "{shown}");
            shown
        };
        assert!(tcpdump(&capture.path).contains(&format!("{count} packets")));
        let converted = capture.folder.path().join("converted.pcap");
        let converted = converted.to_str().expect("a plain name");
        run("editcap", &["-F", "pcap", &capture.path, converted]);
        assert!(tcpdump(converted).contains(&format!("{count} packets")));
        let script = "import sys, scapy.all as s; print(len(list(s.PcapReader(sys.argv[1]))))";
        assert_eq!(run(python(), &["-c", script, &capture.path]).trim(), count.to_string());
    }
}

#[test]
fn tshark_reads_a_cut_file_to_the_cut() {
    if !have(&["tshark"]) {
        return;
    }
    let file = echo().encode().bytes;
    let capture = Capture::of(&file[..file.len() - 5], Format::Pcapng);
    let output = Command::new("tshark").args(["-nr", &capture.path]).output().expect("tshark is there");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 8);
    assert!(String::from_utf8_lossy(&output.stderr).contains("cut short"));
}

#[test]
fn joined_captures_have_all_packets() {
    if !have(&["tshark"]) {
        return;
    }
    let joined = [echo().encode().bytes, everything().encode().bytes].concat();
    let capture = Capture::of(&joined, Format::Pcapng);
    let count = harness::capture::check(&joined).expect("a good capture").packets;
    assert_eq!(capture.tshark(&["-T", "fields", "-e", "frame.number"]).lines().count() as u64, count);
}

#[test]
fn tshark_reads_the_times_that_were_recorded() {
    if !have(&["tshark"]) {
        return;
    }
    for format in [Format::Pcapng, Format::Pcap] {
        let capture = Capture::of(&echo().encode_as(format).bytes, format);
        let times = capture.tshark(&["-T", "fields", "-e", "frame.time_epoch"]);
        assert_eq!(times.lines().next(), Some("1700000000.123457789"));
    }
}

/// Without `=` in its requirement cargo takes the older `3.0.0-rc1`, which cannot write what we write.
#[test]
fn the_lock_file_has_the_writer_that_we_mean() {
    let lock = include_str!("../../../../Cargo.lock");
    assert!(lock.contains("name = \"pcap-file\"\nversion = \"3.0.0-rc.3\"\n"));
    assert_eq!(lock.matches("name = \"pcap-file\"").count(), 1);
}
