//! Targets of every kind: over UDP, several at once, clients, and those that count by other means.

use std::fs;
use std::process::Command;

use super::{fuzz, fuzz_scenario};

const DATAGRAMS: &str = r#"
[target.server]
command = ["PROGRAM", "${server.port}", "BUG"]
address = "udp://127.0.0.1:${server.port}"

[actor.client]
connect = "server"

[[case]]
name = "echoes"
steps = [{ send = "hello" }, { expect = "hello" }]
"#;

const CLIENT: &str = r#"
[target.program]
command = ["PROGRAM", "${server.port}", "client"]

[actor.server]
listen = "tcp://127.0.0.1:0"

[[case]]
name = "greets"
steps = [{ accept = "c1" }, { c1.send = "220 hello\n" }]
"#;

#[test]
fn a_server_of_datagrams_that_crashes_is_found() {
    let campaign =
        fuzz_scenario(&DATAGRAMS.replace("BUG", "crash-udp"), &["--cases", "3000", "--shrink-budget", "60s"]);
    let finding = campaign.found("crash", 6, 6);
    assert_eq!((&finding["verdict"], &finding["bytes"]), (&"deterministic".into(), &41.into()), "{}", campaign.stderr);
}

#[test]
fn what_a_server_of_datagrams_leaks_is_said_by_its_scenario() {
    let campaign = fuzz_scenario(&DATAGRAMS.replace("BUG", "leak-udp"), &["--cases", "3000"]);
    let repro = campaign.read(campaign.found("leak", 1, 1), "repro.toml");
    // A datagram socket has nothing to reset: such a scenario would fail whatever the server does.
    assert!(repro.contains("close = true") && !repro.contains("reset = true"), "{repro}");
}

#[test]
fn a_sound_server_of_datagrams_stays_silent() {
    let campaign = fuzz_scenario(&DATAGRAMS.replace("BUG", "udp"), &["--cases", "600"]);
    assert_eq!((campaign.code, &campaign.json["cases"]), (Some(0), &600.into()), "{}", campaign.stderr);
}

#[test]
fn workers_share_the_cases_and_have_a_target_each() {
    let campaign = fuzz("none", false, &["--cases", "500", "--jobs", "2"]);
    assert_eq!((campaign.code, &campaign.json["cases"]), (Some(0), &500.into()), "{}", campaign.stderr);
    let campaign = fuzz("crash", false, &["--cases", "3000", "--jobs", "2"]);
    // Both may come upon it at the same time, and what is left of it differ in bytes that may be any; but not in its size.
    let findings = campaign.json["findings"].as_array().expect("a list");
    assert!((1..=2).contains(&findings.len()), "{findings:?}\n{}", campaign.stderr);
    for finding in findings {
        campaign.shows(finding, "crash", 6);
        assert_eq!((&finding["messages"], &finding["bytes"]), (&2.into(), &47.into()), "{finding}");
    }
    assert_eq!(campaign.code, Some(6), "{}", campaign.stderr);
}

#[test]
fn a_client_that_crashes_is_found() {
    let campaign = fuzz_scenario(CLIENT, &["--cases", "1000"]);
    assert_eq!(campaign.found("crash", 6, 6)["verdict"], "deterministic", "{}", campaign.stderr);
}

/// A server as people write it first: it does not expect a client to be gone.
const UNSUSPECTING: &str = r#"
[target.server]
command = ["python3", "-c", """
import socket
listener = socket.create_server(('127.0.0.1', ${server.port}))
while True:
    peer, _ = listener.accept()
    while peer.recv(4096):
        peer.sendall(b'ok\\n')
    peer.close()
"""]

[actor.client]
connect = "server"
framing = "line"

[[case]]
name = "asks"
steps = [{ send = "x" }, { expect = "ok" }]
"#;

#[test]
fn a_server_that_dies_of_a_reset_is_found_with_the_reset_in_its_scenario() {
    let campaign = fuzz_scenario(UNSUSPECTING, &["--cases", "100"]);
    let finding = campaign.found("crash", 6, 6);
    assert_eq!(finding["verdict"], "deterministic", "{}", campaign.stderr);
    let scenario = campaign.read(finding, "repro.toml");
    assert!(scenario.contains("reset = true"), "{scenario}");
}

/// curl, which asks our server: what carries it, and curl's arguments up to the scheme of the URL.
pub(super) fn curl(carrier: &str, arguments: &str) -> String {
    format!(
        r#"
[target.program]
command = ["curl", "-s", "-m", "5", {arguments}//${{server.address}}/"]
expect_exit = 0

[actor.server]
listen = "{carrier}://127.0.0.1:0"

[[case]]
name = "answers"
steps = [
  {{ accept = "c1" }},
  {{ c1.expect = {{ prefix = "GET / HTTP/1.1\r\n" }} }},
  {{ c1.send = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", then = "close" }},
]
"#
    )
}

#[test]
fn a_client_of_others_is_fuzzed() {
    let campaign = fuzz_scenario(&curl("tcp", "\"http:"), &["--cases", "40", "--keep-going"]);
    assert_eq!(campaign.json["cases"], 40, "{}", campaign.stderr);
    let findings = campaign.json["findings"].as_array().expect("a list");
    // What it says of a wrong answer is a status; none of its ends may be a signal.
    assert!(findings.iter().all(|finding| !finding["bucket"].as_str().expect("text").contains("sig")), "{findings:?}");
}

#[test]
fn counters_of_rust_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("server.rs");
    fs::write(
        &source,
        r#"
use std::io::{Read, Write};
fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    for client in std::net::TcpListener::bind(("127.0.0.1", port)).unwrap().incoming() {
        let (mut client, mut bytes) = (client.unwrap(), [0; 64]);
        while let Ok(len @ 1..) = client.read(&mut bytes) {
            let answer = match bytes[0] { b'A' => "a", b'B' => "b", b'\n' => "n", _ => "other" };
            if client.write_all(&answer.as_bytes()[..len.min(answer.len())]).is_err() { break; }
        }
    }
}
"#,
    )
    .expect("room");
    let program = folder.path().join("server");
    let built = Command::new("rustc")
        .args(["--edition", "2021", "-Cinstrument-coverage", "-Cdebuginfo=0", "-o"])
        .args([&program, &source])
        .output()
        .expect("rustc is installed");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let scenario = r#"
[target.server]
command = ["SERVER", "${server.port}"]
address = "tcp://127.0.0.1:${server.port}"
[[case]]
name = "asks"
steps = [{ send = "A\n" }, { expect = "a" }]
"#;
    let scenario = scenario.replace("SERVER", &program.to_string_lossy());
    let campaign = fuzz_scenario(&scenario, &["--cases", "300", "--coverage", "llvm"]);
    assert_eq!(campaign.code, Some(0), "{}", campaign.stderr);
    let [taken, total] = ["edges", "edges_total"].map(|name| campaign.json[name].as_u64().expect("a number"));
    assert!((3..=total).contains(&taken), "{}", campaign.json);
    assert!(campaign.journal().iter().any(|entry| entry["feedback"] == "edge"), "{:?}", campaign.journal());
}
