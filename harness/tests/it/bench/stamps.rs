//! What `harness bench` makes of the kernel's timestamps.

use super::{bench, case, result};
use crate::run::Folder;

const EXCHANGE: &str = "{ send = \"hello\" }, { expect = \"hello\" }";

fn builtin(name: &str, more: &str) -> Folder {
    Folder::with(&format!("[target]\nbuiltin = \"{name}\"\n{more}{}", case(EXCHANGE)))
}

/// A server over TCP, in Python, that sees to it that the kernel stamps before it echoes: that begins some time after it was asked for.
const STAMPING: &str = "import socket, sys, threading\nl = socket.create_server((\"127.0.0.1\", 0))\na = socket.create_connection(l.getsockname())\nb = l.accept()[0]\nb.setsockopt(1, 37, 24)\nwhile not b.recvmsg(1, 256)[1] if a.send(b\"x\") else True: pass\ns = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\ndef serve(c):\n  c.setsockopt(6, 1, 1)\n  while d := c.recv(99): c.sendall(d)\nwhile True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()\n";

#[test]
fn parts_of_a_round_trip_add_up_to_it() {
    let tcp = format!(
        "[target]\ncommand = [\"python3\", \"-c\", '''{STAMPING}''', \"${{target.port}}\"]\n{}",
        case(EXCHANGE)
    );
    for (server, stamps) in [("tcp", "rx"), ("tcp", "rxtx"), ("udp", "rx"), ("udp", "rxtx")] {
        for connections in ["1", "3"] {
            let folder = if server == "tcp" { Folder::with(&tcp) } else { builtin("udp-echo", "") };
            let told =
                bench(&folder, &["--iterations", "1000", "--stamps", stamps, "-c", connections]).exits(0).stdout();
            assert!(told.contains("\nwaking ") && told.contains("\nstamps "), "{told}");
            let result = result(&folder);
            let split = &result["stamps"];
            assert_eq!(split["kind"], stamps);
            let mean = |times: &serde_json::Value| times["mean"].as_f64().expect("it is a number");
            let parts = mean(&split["sending_ns"]) + mean(&split["away_ns"]) + mean(&split["waking_ns"]);
            let share = split["share"].as_f64().expect("it is a number");
            assert!(share >= 0.99, "{server} {stamps}: {split}");
            if share == 1.0 {
                let whole = mean(&result["latency_ns"]);
                assert!((parts / whole - 1.0).abs() < 0.05, "{server} {stamps} {connections}: {split} of {whole}");
            }
        }
    }
}

#[test]
fn what_a_server_takes_lies_away_from_here() {
    for stamps in ["rx", "rxtx"] {
        let folder = builtin("delay", "settings = { delay = \"10ms\" }\n");
        bench(&folder, &["--iterations", "20", "--stamps", stamps]).exits(0);
        let split = result(&folder)["stamps"].clone();
        assert!(split["away_ns"]["min"].as_u64() >= Some(9_900_000), "{split}");
        assert!(split["waking_ns"]["min"].as_u64() < Some(9_900_000), "{split}");
        assert_eq!(split["sending_ns"]["count"] == 0, stamps == "rx", "{split}");
    }
}

#[test]
fn what_has_no_stamps_is_told() {
    let folder = builtin("udp-echo", "");
    bench(&folder, &["--iterations", "5", "--depth", "2", "--stamps", "rxtx"]).exits(4).says("without `--depth`");
    let folder = builtin("tcp-echo", "listen = \"unix://echo.sock\"\n");
    bench(&folder, &["--iterations", "5", "--stamps", "rx"]).exits(4).says("`--stamps` is for TCP and UDP");
}
