//! What `harness bench` does with datagrams.

use super::{ECHO, bench, case, result};
use crate::run::Folder;

/// A server over UDP, in Python.
fn udp_server(body: &str) -> String {
    let server = format!(
        "import socket, sys, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)\ns.bind((\"127.0.0.1\", int(sys.argv[1])))\n{body}"
    );
    format!(
        "[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\"]\nready = \"listening\"\n\
         address = \"udp://127.0.0.1:${{target.port}}\"\n"
    )
}

#[test]
fn what_a_slow_server_has_no_room_for_is_told() {
    let server = udp_server("while True:\n  d, a = s.recvfrom(2000)\n  time.sleep(0.03)\n  s.sendto(d, a)\n");
    let steps = "{ send = { repeat = [1000, \"a\"] } }, { expect = { length = 1000 } }";
    let folder = Folder::with(&format!("{server}{}", case(steps)));
    bench(&folder, &["--iterations", "64", "--depth", "64", "--timeout", "400ms"]).exits(0);
    let counts = result(&folder)["counts"].clone();
    let count = |name: &str| counts[name].as_u64().expect("it is a number");
    assert!(count("server_overflows") > 0 && count("overflows") == 0, "{counts}");
    assert_eq!(count("server_overflows"), count("timeouts"), "{counts}");
}

#[test]
fn what_this_side_has_no_room_for_is_told_apart() {
    let server = udp_server("while True:\n  d, a = s.recvfrom(2000)\n  for _ in range(6000): s.sendto(d * 1000, a)\n");
    let steps = "{ send = \"a\" }, { expect = { length = 1000 } }";
    let folder = Folder::with(&format!("{server}{}", case(steps)));
    bench(&folder, &["--iterations", "1", "--slow-reader", "600ms", "--timeout", "10s"]).exits(0);
    let counts = result(&folder)["counts"].clone();
    assert!(counts["overflows"].as_u64() > Some(0), "{counts}");
    assert_eq!(counts["server_overflows"], 0, "{counts}");
}

/// Questions and answers that are alike but for a number, over UDP.
fn asking(target: &str) -> Folder {
    let folder = Folder::with(&format!(
        "{target}[actor.client]\nconnect = \"target\"\nprotocol = \"./p.toml\"\n{}",
        case(
            "{ send = { ask = { id = 7, text = \"hello\" } } }, { expect = { answer = { id = 7, text = \"hello\" } } }"
        )
    ));
    let fields =
        "fields = [{ name = \"id\", type = \"u16be\" }, { name = \"text\", type = \"text\", length = \"rest\" }]\n";
    folder.write(
        "p.toml",
        format!(
            "name = \"p\"\ntransport = \"udp\"\n\
             [message.ask]\ndirection = \"request\"\nreply = \"answer\"\ncorrelate = \"id\"\n{fields}\
             [message.answer]\ndirection = \"reply\"\ncorrelate = \"id\"\n{fields}"
        ),
    );
    folder
}

#[test]
fn answers_that_come_twice_or_late_are_known_by_their_identifier() {
    // Of five, the first is answered twice and the third only when the fourth is.
    let server = "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind((\"127.0.0.1\", int(sys.argv[1])))\nseen, held = {}, {}\nwhile True:\n  d, a = s.recvfrom(99)\n  k = seen.get(a, 0) % 5\n  seen[a] = k + 1\n  if k == 2:\n    held[a] = d\n    continue\n  if k == 3: s.sendto(held[a], a)\n  s.sendto(d, a)\n  if k == 0: s.sendto(d, a)\n";
    let folder = asking(&format!(
        "[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\"]\nready = \"listening\"\naddress = \"udp://127.0.0.1:${{target.port}}\"\n"
    ));
    bench(&folder, &["--iterations", "10", "--timeout", "1s"]).exits(0);
    let result = result(&folder);
    let counts = &result["counts"];
    let told =
        ["iterations", "timeouts", "late", "duplicates", "unasked", "reordered"].map(|name| counts[name].as_u64());
    assert_eq!(told, [8, 2, 2, 2, 0, 0].map(Some), "{counts}");
    assert_eq!(result["correlate"], "id");
}

#[test]
fn answers_that_overtake_each_other_are_known_by_their_identifier() {
    let folder = asking("[target]\nbuiltin = \"reorder\"\nsettings = { hold = \"400ms\" }\n");
    // It swaps pairs. Three were asked before, to see how it goes, so the first is the second of a pair.
    bench(&folder, &["--iterations", "21", "--depth", "2", "--timeout", "10s"]).exits(0);
    let counts = result(&folder)["counts"].clone();
    let told = ["iterations", "reordered", "duplicates", "late"].map(|name| counts[name].as_u64());
    assert_eq!(told, [21, 10, 0, 0].map(Some), "{counts}");
}

/// Steps that leave as datagrams of one byte and of four, in turn.
const UNEQUAL: &str = "{ send = \"b\" }, { send = \"aaaa\" }, { expect = \"b\" }, { expect = \"aaaa\" }";

#[test]
fn datagrams_that_leave_together_arrive_one_by_one() {
    let folder = Folder::with(&format!("[target]\nbuiltin = \"udp-echo\"\n{}", case(UNEQUAL)));
    for depth in ["1", "8"] {
        let told =
            bench(&folder, &["--iterations", "100", "--depth", depth, "--gso", "--timeout", "10s"]).exits(0).stdout();
        assert!(told.contains("UDP_SEGMENT"), "{told}");
        let result = result(&folder);
        let counts = ["iterations", "bytes_sent", "bytes_received"].map(|name| result["counts"][name].as_u64());
        assert_eq!(counts, [100, 500, 500].map(Some), "{result}");
        assert_eq!((&result["gso"], &result["gro"]), (&true.into(), &false.into()));
    }
}

#[test]
fn datagrams_that_come_together_are_told_apart() {
    // It takes what has come together, and sends it back as it came.
    let server = udp_server(
        "import struct\ns.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)\ns.setsockopt(17, 104, 1)\nwhile True:\n  \
         d, said, _, a = s.recvmsg(65536, 64)\n  size = [struct.unpack(\"i\", what)[0] for _, kind, what in said if kind == 104]\n  \
         s.sendmsg([d], [(17, 103, struct.pack(\"H\", size[0]))] if size else [], 0, a)\n",
    );
    let folder = Folder::with(&format!("{server}{}", case("{ send = \"a-hello\" }, { expect = \"a-hello\" }")));
    bench(&folder, &["--iterations", "512", "--depth", "64", "--gso", "--gro", "--timeout", "10s"]).exits(0);
    let result = result(&folder);
    let count = |name: &str| result["counts"][name].as_u64().expect("it is a number");
    assert_eq!(["iterations", "bytes_received", "messages"].map(count), [512, 7 * 512, 1024], "{result}");
    // Sixty-four go there in one call and come back in another.
    assert!(count("syscalls") < 512, "{result}");
}

#[test]
fn only_datagrams_can_leave_together() {
    let folder = Folder::with(&format!("{ECHO}{}", case("{ send = \"hello\" }, { expect = \"hello\" }")));
    bench(&folder, &["--iterations", "5", "--gso"]).exits(4).says("`--gso` and `--gro` are for datagrams over UDP");
}
