//! What `harness bench --bulk` counts of what goes one way.

use super::{bench, case, result};
use crate::run::Folder;

/// A piece that is longer than a socket's buffer takes at once.
const SENDS: &str = "{ send = { repeat = [65536, \"x\"] } }";

fn builtin(name: &str, more: &str, steps: &str) -> Folder {
    Folder::with(&format!(
        "[target.server]\nbuiltin = \"{name}\"\n{more}[actor.client]\nconnect = \"server\"\n{}",
        case(steps)
    ))
}

#[test]
fn what_is_sent_one_way_is_counted_to_the_byte() {
    for (more, bytes) in [("", 200 * 65536), ("tls = true\n", 200 * 65536)] {
        let listen = if more.is_empty() { "" } else { "listen = \"tls://127.0.0.1:0\"\n" };
        let folder = Folder::with(&format!(
            "[target.server]\nbuiltin = \"discard\"\n{listen}[actor.client]\nconnect = \"server\"\n{more}{}",
            case(SENDS)
        ));
        let told = bench(&folder, &["--bulk", "--iterations", "200"]).exits(0).stdout();
        assert!(told.contains("\none way "), "{told}");
        let result = result(&folder);
        let counts = &result["counts"];
        assert_eq!((&counts["iterations"], &counts["bytes_sent"]), (&200.into(), &bytes.into()), "{counts}");
        assert_eq!((&result["mode"], &result["bulk"]["direction"]), (&"bulk".into(), &"sent".into()));
        assert!(result["bulk"]["congestion_control"].is_string(), "{result}");
    }
}

#[test]
fn what_comes_one_way_is_counted_over_many_connections() {
    // A stream ends after 100,000 bytes, and another is opened.
    let folder = builtin("chargen", "settings = { bytes = \"100000\" }\n", "{ expect = { length = 74 } }");
    bench(&folder, &["--bulk", "--iterations", "40", "-c", "3"]).exits(0);
    let result = result(&folder);
    let count = |name: &str| result["counts"][name].as_u64().expect("it is a number");
    assert!(count("iterations") >= 40 && count("bytes_received") >= 40 * 65536, "{result}");
    assert!(count("connections") >= 27, "{result}");
    assert_eq!((&result["bulk"]["direction"], count("bytes_sent")), (&"received".into(), 0));
}

#[test]
fn a_server_that_answers_does_not_stop_what_is_sent_to_it() {
    let folder = builtin("tcp-echo", "", SENDS);
    bench(&folder, &["--bulk", "--iterations", "300", "-c", "2"]).exits(0);
    assert!(result(&folder)["counts"]["bytes_sent"].as_u64() >= Some(300 * 65536));
}

#[test]
fn a_server_that_does_not_read_is_told() {
    let server = "import socket, sys\ns = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\nwhile True:\n  k = s.accept()\n  globals().setdefault(\"kept\", []).append(k)\n";
    let target = format!("[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\"]\n");
    let folder = Folder::with(&format!("{target}{}", case("{ send = { repeat = [8000000, \"x\"] } }")));
    bench(&folder, &["--bulk", "--iterations", "3", "--timeout", "300ms"]).exits(1).says("nothing moved within 300ms");
}

#[test]
fn what_cannot_go_one_way_is_told() {
    let folder = builtin("udp-echo", "", "{ send = \"a\" }");
    bench(&folder, &["--bulk", "--iterations", "3"]).exits(4).says("`--bulk` is for streams");
    let folder = builtin("tcp-echo", "", "{ send = \"a\" }, { close = true }");
    bench(&folder, &["--bulk", "--iterations", "3"]).exits(4).says("its last step neither sends");
}
