//! TLS against openssl, curl and tshark.

use super::*;
use crate::capture::tools::have;

/// A server of openssl's that answers every line, reversed, with certificates of the run's own.
fn openssl(options: &str) -> String {
    format!(
        "[target.server]\ncommand = [\"openssl\", \"s_server\", \"-accept\", \"127.0.0.1:${{server.port}}\", \"-rev\", \"-quiet\", {options}]\n\
         [actor.client]\nconnect = \"server\"\nframing = \"line\"\n"
    )
}

const OWN: &str = r#""-cert", "${tls.cert}", "-cert_chain", "${tls.cert}", "-key", "${tls.key}""#;

const EXCHANGE: &str = "[[case]]\nname = \"c\"\nsteps = [{ client.send = \"hello\" }, { client.expect = \"olleh\" }]\n";

/// Plays against openssl, and says what failed.
#[track_caller]
fn fails(server: &str, tls: &str, message: &str, hint: &str) {
    let folder = Folder::with(&format!("{}tls = {tls}\n{EXCHANGE}", openssl(server)));
    folder.run(&[]).exits(1);
    let story = folder.story();
    let failure = story.failure();
    assert!(failure.message.contains(message), "{}", failure.message);
    assert!(failure.hint.as_deref().unwrap_or_default().contains(hint), "{:?}", failure.hint);
}

#[test]
fn both_versions_of_tls() {
    if !have(&["openssl"]) {
        return;
    }
    for (option, version) in [("-tls1_2", "TLS 1.2"), ("-tls1_3", "TLS 1.3")] {
        let folder = Folder::with(&format!("{}tls = true\n{EXCHANGE}", openssl(&format!("{OWN}, \"{option}\""))));
        folder.run(&[]).exits(0);
        let story = folder.story();
        let agreed = story.kinds().find_map(|kind| match kind {
            EventKind::TlsEstablished { session, .. } => Some(session.version.as_str()),
            _ => None,
        });
        assert_eq!(agreed, Some(version));
    }
}

#[test]
fn a_client_shows_its_certificate_where_it_is_asked_for_one() {
    if !have(&["openssl"]) {
        return;
    }
    let asks = format!("{OWN}, \"-CAfile\", \"${{tls.ca}}\", \"-Verify\", \"1\", \"-verify_return_error\"");
    let folder = Folder::with(&format!("{}tls = {{ cert = true }}\n{EXCHANGE}", openssl(&asks)));
    folder.run(&[]).exits(0);
    fails(&asks, "true", "certificate_required", "cert = ");
}

#[test]
fn a_name_that_the_certificate_has_not() {
    if !have(&["openssl"]) {
        return;
    }
    fails(OWN, "{ server_name = \"example.org\" }", "is not for `example.org`", "server_name");
}

#[test]
fn an_authority_that_nobody_trusts() {
    if !have(&["openssl"]) {
        return;
    }
    let folder = Folder::with(&format!("{}tls = {{ ca = \"other.pem\" }}\n{EXCHANGE}", openssl(OWN)));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=other",
            "-keyout",
            "other.key",
            "-out",
            "other.pem",
        ])
        .current_dir(folder.path())
        .output()
        .expect("openssl is there");
    assert!(made.status.success());
    folder.run(&[]).exits(1);
    let story = folder.story();
    assert!(story.failure().message.contains("signed by nobody who is trusted here"), "{}", story.failure().message);
}

#[test]
fn no_protocol_in_common() {
    if !have(&["openssl"]) {
        return;
    }
    fails(&format!("{OWN}, \"-alpn\", \"h2\""), "{ alpn = [\"http/1.1\"] }", "no_application_protocol", "alpn");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    if !have(&["openssl"]) {
        return;
    }
    let folder = Folder::with(&format!("{}tls = {{ ca = \"nowhere.pem\" }}\n{EXCHANGE}", openssl(OWN)));
    folder.run(&[]).exits(1).says("nowhere.pem").says("the settings stand at s.toml");
}

#[test]
fn a_server_that_does_not_speak_tls_is_shown() {
    let script = "connection.sendall(b\"220 ready\\r\\n\")\nconnection.recv(99)";
    let target = python_target(script);
    let folder = Folder::with(&format!(
        "{target}[actor.client]\nconnect = \"server\"\ntls = true\n[[case]]\nname = \"c\"\nsteps = [{{ send = \"x\" }}]\n"
    ));
    folder.run(&[]).exits(1).says("the peer does not speak TLS, it sent `220 ready").says("starttls");
}

#[test]
fn curl_against_our_server() {
    if !have(&["curl"]) {
        return;
    }
    let folder = Folder::with(
        "[target]\ncommand = [\"curl\", \"--silent\", \"--show-error\", \"--max-time\", \"20\", \"--cacert\", \"${tls.ca}\", \"https://${server.address}/\"]\n\
         expect_exit = 0\nstop = { within = \"20s\" }\n\
         [actor.server]\nlisten = \"tls://127.0.0.1:0\"\nframing = { delimiter = \"\\r\\n\\r\\n\" }\n\
         [[case]]\nname = \"c\"\nsteps = [{ accept = true }, { expect = { prefix = \"GET / HTTP/1.1\\r\\n\" } }, \
         { send = { raw = \"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok\" } }, { expect_eof = true }]\n",
    );
    folder.run(&[]).exits(0);
}

#[test]
fn curl_that_does_not_trust_us_is_told_as_such() {
    if !have(&["curl"]) {
        return;
    }
    let folder = Folder::with(
        "[target]\ncommand = [\"curl\", \"--silent\", \"--max-time\", \"20\", \"https://${server.address}/\"]\nexpect_exit = 60\n\
         [actor.server]\nlisten = \"tls://127.0.0.1:0\"\n[[case]]\nname = \"c\"\nsteps = [{ accept = true }]\n",
    );
    folder.run(&[]).exits(1).says("unknown_ca").says("${tls.ca}");
}

fn tshark(capture: &Path) -> String {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args([
        "-d",
        "tcp.port==1-65535,tls",
        "-d",
        "tls.port==1-65535,http",
        "-Y",
        "http",
        "-T",
        "fields",
        "-e",
        "http.request.uri",
        "-e",
        "http.response.code",
    ]);
    let output = command.output().expect("tshark is there");
    String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A request and its answer between two actors under TLS.
const HTTP: &str = "[actor.server]\nlisten = \"tls://127.0.0.1:0\"\n[actor.client]\nconnect = \"server\"\n\
    [[case]]\nname = \"c\"\nsteps = [{ client.send = \"GET /secret HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n\" }, { server.expect = { suffix = \"\\r\\n\\r\\n\" } }, \
    { server.send = \"HTTP/1.1 204 No Content\\r\\n\\r\\n\" }, { client.expect = { suffix = \"\\r\\n\\r\\n\" } }]\n";

#[test]
fn tshark_opens_a_capture_in_one_pass_and_not_without_its_secrets() {
    if !have(&["tshark"]) {
        return;
    }
    let folder = Folder::with(HTTP);
    folder.run(&[]).exits(0);
    let capture = folder.out().join("captures/s/c.pcapng");
    assert_eq!(tshark(&capture), "/secret 204");
    let bare = folder.path().join("bare.pcapng");
    let output = Command::new("editcap").arg("--discard-all-secrets").args([&capture, &bare]).output();
    assert!(output.expect("editcap is there").status.success());
    assert_eq!(tshark(&bare), "");
}

#[test]
fn whose_secrets_are_kept_is_an_option() {
    if !have(&["tshark"]) {
        return;
    }
    let folder = Folder::with(HTTP);
    folder.run(&["--record-tls-keys", "never"]).exits(0);
    assert_eq!(tshark(&folder.out().join("captures/s/c.pcapng")), "");
    // What a file calls secret is not to be opened either.
    let folder = Folder::with(&format!("secret = [\"word\"]\nvars = {{ word = \"hidden\" }}\n{HTTP}"));
    folder.run(&[]).exits(0);
    assert_eq!(tshark(&folder.out().join("captures/s/c.pcapng")), "");
}

#[test]
fn bytes_in_the_clear_before_the_handshake_are_not_taken_for_protected_ones() {
    let folder = Folder::with(
        "[actor.server]\nlisten = \"tcp://127.0.0.1:0\"\n[actor.client]\nconnect = \"server\"\nstarttls = true\n\
         [[case]]\nname = \"c\"\n[case.play]\nserver = [{ send = \"go ahead\\ninjected\\n\" }, { expect_eof = true }]\n\
         client = [{ expect = \"go ahead\\n\" }, { starttls = true }]\n",
    );
    folder.run(&[]).exits(1).says("expected nothing more in the clear before TLS begins, received `injected\\n`");
}
