//! Targets over TLS: what is said is spoilt above it, and a finding says it over TLS again.

use super::super::capture::tools::have;
use super::targets::curl;
use super::{fuzz_scenario, spoken_over_tls};

/// A reference server with a bug, behind TLS.
const FLAWED: &str = r#"
[target.server]
builtin = "flawed"
listen = "tls://127.0.0.1:0"
settings = { flaw = "crash" }

[actor.client]
connect = "server"
framing = "crlf"

[[case]]
name = "keeps a value"
steps = [
  { send = "PUT colour blue" },
  { expect = "OK" },
  { send = "GET colour" },
  { expect = "VALUE blue" },
]
"#;

/// A server of openssl's that asks for a certificate, and says lines back, reversed; it serves one after the other.
const OPENSSL: &str = r#"
[target.server]
command = ["openssl", "s_server", "-accept", "127.0.0.1:${server.port}", "-rev", "-quiet", "-cert", "${tls.cert}",
  "-cert_chain", "${tls.cert}", "-key", "${tls.key}", "-CAfile", "${tls.ca}", "-Verify", "1", "-verify_return_error"]
address = "tcp://127.0.0.1:${server.port}"

[actor.client]
connect = "server"
framing = "line"
tls = { cert = true }

[[case]]
name = "reverses"
steps = [{ send = "hello" }, { expect = "olleh" }]
"#;

/// A server in Python that goes on with TLS when it is asked to, and from there on ends when it is told `die`.
const STARTTLS: &str = r#"
[target.server]
command = ["python3", "-c", '''
import os, socket, ssl, sys, threading
k = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
k.load_cert_chain(sys.argv[2], sys.argv[3])
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
def serve(c):
  try:
    while d := c.recv(999):
      if d == b"STARTTLS\r\n":
        c.sendall(b"220 go\r\n")
        c = k.wrap_socket(c, server_side=True)
        while d := c.recv(999):
          if d.startswith(b"NOOP\r\n") and len(d) > 6: os.abort()
          c.sendall(d)
      else:
        c.sendall(b"500\r\n")
  except OSError:
    pass
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
''', "${server.port}", "${tls.cert}", "${tls.key}"]
address = "tcp://127.0.0.1:${server.port}"

[actor.client]
connect = "server"
framing = "crlf"

[[case]]
name = "goes on with TLS"
steps = [
  { send = "STARTTLS" },
  { expect = { prefix = "220" } },
  { starttls = { server_name = "localhost" } },
  { send = "NOOP" },
  { expect = "NOOP" },
]
"#;

#[test]
fn a_crash_behind_tls_is_found() {
    let campaign = fuzz_scenario(FLAWED, &["--cases", "3000"]);
    let finding = campaign.found("crash", 6, 6);
    assert_eq!(finding["verdict"], "deterministic", "{}", campaign.stderr);
    assert!(spoken_over_tls(&campaign, finding), "{}", campaign.stderr);
}

#[test]
fn a_server_that_asks_for_a_certificate_and_serves_one_at_a_time_stays_silent() {
    if !have(&["openssl"]) {
        return;
    }
    let campaign = fuzz_scenario(OPENSSL, &["--cases", "300"]);
    assert_eq!((campaign.code, &campaign.json["cases"]), (Some(0), &300.into()), "{}", campaign.stderr);
    let answered = campaign.journal().iter().filter(|entry| entry["feedback"] == "answer").count();
    assert!(answered > 0, "{:?}", campaign.journal());
}

#[test]
fn a_crash_after_starttls_is_found() {
    let campaign = fuzz_scenario(STARTTLS, &["--cases", "3000"]);
    let finding = campaign.found("crash", 6, 6);
    let repro = campaign.read(finding, "repro.toml");
    assert!(repro.contains("starttls = { server_name = \"localhost\" }"), "{repro}");
}

#[test]
fn a_client_is_fuzzed_over_tls() {
    if !have(&["curl"]) {
        return;
    }
    let campaign = fuzz_scenario(
        &curl("tls", r#""-o", "body", "--cacert", "${tls.ca}", "https:"#),
        &["--cases", "12", "--keep-going"],
    );
    assert_eq!(campaign.json["cases"], 12, "{}", campaign.stderr);
    assert!(campaign.folder.path().join("body").exists(), "nothing has come over TLS: {}", campaign.stderr);
}

#[test]
fn a_certificate_that_nobody_trusts_is_told_of() {
    let scenario = FLAWED.replace("framing = \"crlf\"", "framing = \"crlf\"\ntls = { server_name = \"example.org\" }");
    super::refused(&scenario, 5, "is not for `example.org`");
}
