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
fn several_actors_are_refused_with_what_to_do() {
    let actors = "[actor.one]\nconnect = \"target\"\n[actor.two]\nconnect = \"target\"\n";
    let one_order = case("{ one.send = \"a\" }, { one.expect = \"a\" }, { two.send = \"b\" }, { two.expect = \"b\" }");
    let side_by_side =
        "[[case]]\nname = \"c\"\nplay.one = [{ send = \"a\" }, { expect = \"a\" }]\nplay.two = [{ send = \"b\" }]\n";
    for steps in [one_order.as_str(), side_by_side] {
        let folder = Folder::with(&format!("{ECHO}{actors}{steps}"));
        bench(&folder, &["--iterations", "5"]).exits(4).says("2 actors").says("write a case for each");
    }
}

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
