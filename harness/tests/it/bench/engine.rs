//! What the engine of `harness bench` does to connections, and what it counts.

use super::{ECHO, bench, case, result};
use crate::capture::tools::have;
use crate::run::Folder;

/// A scenario of one exchange with our echo server over TLS.
fn tls_echo(tls: &str) -> Folder {
    Folder::with(&format!(
        "[target.server]\nbuiltin = \"tcp-echo\"\nlisten = \"tls://127.0.0.1:0\"\n\
         [actor.client]\nconnect = \"server\"\ntls = {tls}\n{}",
        case("{ client.send = \"hello\" }, { client.expect = \"hello\" }")
    ))
}

#[test]
fn tls_is_measured_without_its_own_bytes() {
    let folder = tls_echo("true");
    for args in [["-c", "1"], ["-c", "5"]] {
        let told = bench(&folder, &[&["--iterations", "100"][..], &args].concat()).exits(0).stdout();
        assert!(told.contains("TLS 1.3, TLS13_"), "{told}");
        let result = result(&folder);
        assert_eq!((&result["counts"]["iterations"], &result["counts"]["bytes_sent"]), (&100.into(), &500.into()));
        assert_eq!(result["counts"]["bytes_received"], 500);
        assert_eq!(result["tls"]["version"], "TLS 1.3");
    }
}

#[test]
fn a_handshake_for_each_iteration_is_timed_by_itself() {
    let folder = tls_echo("true");
    for connections in ["1", "3"] {
        bench(&folder, &["--iterations", "12", "--fresh", "-c", connections]).exits(0);
        let result = result(&folder);
        let [handshakes, connects] = ["handshake_ns", "connect_ns"].map(|name| result[name]["count"].as_u64());
        // The first ones were open before anything was counted.
        assert!(handshakes >= Some(9) && connects >= handshakes, "{result}");
    }
}

#[test]
fn messages_of_any_size_and_number_pass_tls() {
    let steps = "{ client.send = { repeat = [300000, \"ab\"] } }, { client.expect = { length = 600000 } }";
    let folder = Folder::with(&format!(
        "[target.server]\nbuiltin = \"tcp-echo\"\nlisten = \"tls://127.0.0.1:0\"\n\
         [actor.client]\nconnect = \"server\"\ntls = true\n{}",
        case(steps)
    ));
    bench(&folder, &["--iterations", "6", "-c", "2"]).exits(0);
    assert_eq!(result(&folder)["counts"]["bytes_received"], 3_600_000);
    bench(&tls_echo("true"), &["--iterations", "200", "--depth", "16"]).exits(0);
}

#[test]
fn what_tls_refuses_is_told_with_what_helps() {
    let folder = tls_echo("{ server_name = \"elsewhere.example\" }");
    bench(&folder, &["--iterations", "5"]).exits(1).says("the server's certificate is not for `elsewhere.example`");
    let plain = Folder::with(&format!(
        "{ECHO}[actor.client]\nconnect = \"target\"\ntls = true\n{}",
        case("{ send = \"hello\" }, { expect = \"hello\" }")
    ));
    bench(&plain, &["--iterations", "5"]).exits(1).says("TLS: ");
}

#[test]
fn openssl_is_measured_in_both_versions_of_tls() {
    if !have(&["openssl"]) {
        return;
    }
    for (option, version) in [("-tls1_2", "TLS 1.2"), ("-tls1_3", "TLS 1.3")] {
        let folder = Folder::with(&format!(
            "[target.server]\ncommand = [\"openssl\", \"s_server\", \"-accept\", \"127.0.0.1:${{server.port}}\", \"-rev\", \
             \"-quiet\", \"-cert\", \"${{tls.cert}}\", \"-cert_chain\", \"${{tls.cert}}\", \"-key\", \"${{tls.key}}\", \"{option}\"]\n\
             [actor.client]\nconnect = \"server\"\nframing = \"line\"\ntls = true\n{}",
            case("{ client.send = \"hello\" }, { client.expect = \"olleh\" }")
        ));
        bench(&folder, &["--iterations", "50"]).exits(0);
        let reused = result(&folder);
        assert_eq!((&reused["tls"]["version"], &reused["counts"]["iterations"]), (&version.into(), &50.into()));
        bench(&folder, &["--iterations", "5", "--fresh"]).exits(0);
        assert_eq!(result(&folder)["counts"]["iterations"], 5);
    }
}

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

#[test]
fn an_end_that_comes_with_the_answer_is_seen() {
    let server = "import socket, sys\ns = socket.create_server((\"127.0.0.1\", int(sys.argv[1])), backlog=64)\nwhile True:\n  c, _ = s.accept()\n  c.recv(1)\n  c.sendall(b\"x\")\n  c.close()\n";
    let target = format!("[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\"]\n");
    let folder =
        Folder::with(&format!("{target}{}", case("{ send = \"a\" }, { expect = \"x\" }, { expect_eof = true }")));
    bench(&folder, &["--iterations", "500", "-c", "32", "--timeout", "20s"]).exits(0);
    assert_eq!(result(&folder)["counts"]["iterations"], 500);
}

/// A server in Python: how each piece of what comes is answered is an expression of its number `n`, from 1 over all connections.
fn answering(piece: usize, answer: &str) -> String {
    let server = format!(
        "import socket, sys, threading\ns = socket.create_server((\"127.0.0.1\", int(sys.argv[1])), backlog=64)\nn = 0\n\
         while True:\n  c, _ = s.accept()\n  f = c.makefile(\"rwb\", 0)\n  try:\n    while len(f.read({piece})) == {piece}:\n      \
         n += 1\n      c.sendall({answer})\n  except OSError: pass\n"
    );
    format!("[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\"]\n")
}

#[test]
fn a_stream_that_is_not_answered_in_time_is_a_timeout() {
    let server = answering(1, "b\"\" if n == 5 else b\"x\"");
    let folder = Folder::with(&format!("{server}{}", case("{ send = \"a\" }, { expect = \"x\" }")));
    // Three were asked before, to see how it goes.
    let told = bench(&folder, &["--iterations", "4", "--timeout", "400ms"]).stdout();
    assert!(told.contains("nothing was answered within 400ms"), "{told}");
    let counts = result(&folder)["counts"].clone();
    assert_eq!((&counts["iterations"], &counts["timeouts"]), (&3.into(), &1.into()), "{counts}");
}

#[test]
fn a_wrong_answer_among_many_that_are_under_way_is_found() {
    let server = answering(1, "b\"y\" if n == 100 else b\"x\"");
    let folder = Folder::with(&format!("{server}{}", case("{ send = \"a\" }, { expect = \"x\" }")));
    bench(&folder, &["--iterations", "300", "--depth", "16", "--timeout", "20s"]).exits(1);
    let result = result(&folder);
    // More may have come with it.
    let told = result["failures"][0].as_str().expect("it is told");
    assert!(told.starts_with("expected `x`, got `y"), "{told}");
    let count = |name: &str| result["counts"][name].as_u64().unwrap_or_default();
    assert_eq!((count("begun"), count("mismatches")), (300, 1), "{result}");
    assert_eq!(count("iterations") + count("broken") + 1, 300, "{result}");
    bench(&folder, &["--iterations", "300", "--depth", "16", "--timeout", "20s", "--no-verify"]).exits(0);
}

#[test]
fn answers_that_differ_from_the_one_before_are_judged() {
    let server = answering(2, "b\"%d\\n\" % (n % 3) if n % 20 else b\"wrong\\n\"");
    let folder = Folder::with(&format!(
        "{server}[actor.client]\nconnect = \"target\"\nframing = \"line\"\n{}",
        case("{ send = \"a\" }, { expect = { regex = \"[0-9]\" } }")
    ));
    bench(&folder, &["--iterations", "97", "--timeout", "20s"]).exits(1);
    let counts = result(&folder)["counts"].clone();
    // Those with the numbers 4 to 100.
    assert_eq!((&counts["iterations"], &counts["mismatches"]), (&92.into(), &5.into()), "{counts}");
}

#[test]
fn a_server_that_takes_fewer_connections_is_told_of_as_such() {
    let server = "import socket, sys, threading\ns = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\n\
                  def serve(c):\n  while d := c.recv(99):\n    c.sendall(d)\nn = 0\nwhile True:\n  c, _ = s.accept()\n  n += 1\n\
                  \x20 if n > 6: c.close()\n  else: threading.Thread(target=serve, args=(c,), daemon=True).start()\n";
    let folder = Folder::with(&format!(
        "[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\"]\n{}",
        case("{ send = \"a\" }, { expect = \"a\" }")
    ));
    let told = bench(&folder, &["--iterations", "500", "-c", "9", "--threads", "1"]).exits(1).stdout();
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("and had said nothing on it: it may not take so many at once"), "{told}");
}
