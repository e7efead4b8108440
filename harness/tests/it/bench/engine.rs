//! What the engine of `harness bench` does to connections, and what it counts.

use super::{ECHO, bench, case, result};
use crate::run::Folder;

#[test]
fn slow_readers_do_not_wait_for_each_other() {
    let folder = Folder::with(&format!("{ECHO}{}", case("{ send = \"hello\" }, { expect = \"hello\" }")));
    bench(&folder, &["--iterations", "20", "-c", "20", "--slow-reader", "200ms", "--timeout", "30s"]).exits(0);
    let latency = &result(&folder)["latency_ns"];
    assert_eq!(latency["count"], 20);
    assert!(latency["min"].as_u64() >= Some(200_000_000), "{latency}");
    // One after the other they would take four seconds.
    assert!(latency["max"].as_u64() < Some(3_000_000_000), "{latency}");
}

#[test]
fn a_slow_reader_of_datagrams_reads_one_at_a_time() {
    let folder = Folder::with(&format!(
        "[target]\nbuiltin = \"udp-echo\"\n{}",
        case("{ send = \"a\" }, { send = \"a\" }, { expect = \"a\" }, { expect = \"a\" }")
    ));
    bench(&folder, &["--iterations", "3", "--slow-reader", "20ms", "--timeout", "30s"]).exits(0);
    let latency = &result(&folder)["latency_ns"];
    assert!(latency["count"] == 3 && latency["min"].as_u64() >= Some(40_000_000), "{latency}");
}

#[test]
fn a_connection_that_is_lost_is_dialled_again_at_a_time_of_its_own() {
    // Each connection answers twice and is then closed: half of the iterations find it so.
    let server = "import socket, sys\ns = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\nwhile True:\n  c, _ = s.accept()\n  for _ in range(2):\n    c.recv(1)\n    c.sendall(b\"x\")\n  c.close()\n";
    let target = format!("[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\"]\n");
    let folder = Folder::with(&format!("{target}{}", case("{ send = \"a\" }, { expect = \"x\" }")));
    bench(&folder, &["--iterations", "30", "--timeout", "10s"]).exits(1);
    let counts = result(&folder)["counts"].clone();
    assert_eq!((&counts["iterations"], &counts["broken"]), (&20.into(), &10.into()), "{counts}");
}
