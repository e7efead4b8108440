//! The contract of the scenario language, row by row: `scenarios/contract/`, and what needs a look from outside.

use super::run::{Folder, Story, harness, ran, root};

#[test]
fn every_row_of_the_contract_holds() {
    let out = Folder::new();
    let ran = ran(harness(root()).args(["run", "scenarios/contract", "--out"]).arg(out.path()));
    ran.exits(0);
    let verdicts = Story::read(out.path()).verdicts();
    assert!(verdicts.len() > 150, "{} cases", verdicts.len());
}

/// What else is said of runs, with what stands in the file and the arguments for it, and how it ends.
#[track_caller]
fn check(text: &str, args: &[&str], code: i32) -> Folder {
    let folder = Folder::with(text);
    folder.run(args).exits(code);
    folder
}

const ECHO: &str = "vars = { who = \"x\" }\n[target]\nbuiltin = \"tcp-echo\"\n[[case]]\nname = \"c\"\n";

#[test]
fn each_verdict_has_its_exit_code() {
    let with = |steps: &str| format!("{ECHO}steps = [{steps}]\n");
    check(&with(r#"{ send = "x" }, { expect = "x" }"#), &[], 0);
    check(&with(r#"{ send = "x" }, { expect = "y" }"#), &[], 1);
    check(&with(r#"{ expect = "y", within = "10ms" }"#), &[], 1);
    check(&with(r#"{ send = "${nothing}" }"#), &[], 3);
    check(&with(r#"{ send = "x" }, { expect = "x" }"#), &["--filter", "name:other"], 4);
    check("target.address = \"tcp://127.0.0.1:1\"\nsteps = [{ send = \"x\" }]\n", &[], 5);
    let client = |exit: &str, expect: &str| {
        format!(
            "[target]\ncommand = [\"sh\", \"-c\", \"exit {exit}\", \"${{s.port}}\"]\n{expect}\n[actor.s]\nlisten = \
             \"tcp://127.0.0.1:0\"\n[[case]]\nname = \"c\"\nsteps = [{{ sleep = \"1s\" }}]\n"
        )
    };
    check(&client("7", ""), &[], 6);
    check(&client("7", "expect_exit = 3"), &[], 6);
}

#[test]
fn a_target_is_replaced_and_its_command_is_not_started() {
    let served = echo_server();
    let text = "[target.gone]\ncommand = [\"no-such-program\", \"${gone.port}\"]\n[actor.c]\nconnect = \"gone\"\n[[case]]\n\
                name = \"c\"\nsteps = [{ send = \"${gone.address}\" }, { expect = \"${gone.address}\" }]\n";
    check(text, &["--target", &format!("gone=tcp://{served}")], 0);
    check(text, &["--target", &format!("tcp://{served}")], 0);
    check(text, &["--target", &format!("other=tcp://{served}")], 2);
}

/// An echo server for as long as the test runs, and its address.
fn echo_server() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = stream.try_clone().expect("a descriptor is left");
                std::io::copy(&mut reader, &mut &stream)
            });
        }
    });
    address
}

#[test]
fn a_replacement_under_tls_is_spoken_to_under_tls() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let first = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut byte = [0];
        std::io::Read::read_exact(&mut stream, &mut byte).expect("it says something");
        byte[0]
    });
    let text = format!("{ECHO}steps = [{{ send = \"x\" }}]\n");
    check(&text, &["--target", &format!("target=tls://{address}")], 1);
    assert_eq!(first.join().expect("no panic"), 0x16, "RFC 8446, section 5.1: a handshake");
}

#[test]
fn variables_come_from_the_command_line_and_the_environment() {
    let folder = Folder::with(&format!("{ECHO}steps = [{{ send = \"${{who}}\" }}, {{ expect = \"zoe\" }}]\n"));
    folder.run(&[]).exits(1);
    folder.run(&["--var", "who=zoe"]).exits(0);
    ran(folder.command(&[]).env("HARNESS_VAR", "who=zoe")).exits(0);
}

#[test]
fn a_secret_that_a_step_finds_is_nowhere_in_the_results() {
    let text = "secret = [\"session\"]\n[target]\nbuiltin = \"tcp-echo\"\n[[case]]\nname = \"c\"\nsteps = [\n\
                { send = { concat = [\"id=t0\", \"ken;\"] }, split = [2, 2] },\n\
                { expect = { regex = '^id=(?<session>[^;]+);' } },\n{ log = \"it is ${session}\" },\n\
                { send = \"${session}!\" },\n{ expect = \"other\" },\n]\n";
    let folder = Folder::with(text);
    folder.run(&[]).exits(1).says("*****!").says_not("t0ken");
    let mut files = vec![folder.out()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).expect("it is there").flatten().map(|entry| entry.path()));
            continue;
        }
        let bytes = std::fs::read(&path).expect("it can be read");
        assert!(!bytes.windows(5).any(|found| found == b"t0ken"), "it is in {}", path.display());
    }
}

#[test]
fn a_certificate_that_is_its_own_authority_is_trusted_for_its_name_alone() {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("a name");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let text = |name: &str| {
        format!(
            "[actor.server]\nlisten = \"tls://127.0.0.1:0\"\ntls = {{ cert = \"c.pem\", key = \"k.pem\" }}\n[actor.client]\n\
             connect = \"server\"\ntls = {{ ca = \"c.pem\", server_name = \"{name}\" }}\n[[case]]\nname = \"c\"\nsteps = \
             [{{ client.send = \"x\" }}, {{ server.accept = \"c\" }}, {{ c.expect = \"x\" }}]\n"
        )
    };
    let folder = Folder::with(&text("localhost"));
    folder.write("c.pem", params.self_signed(&key).expect("a certificate").pem());
    folder.write("k.pem", key.serialize_pem());
    folder.run(&[]).exits(0);
    folder.write("s.toml", text("other.example"));
    folder.run(&[]).exits(1).says("is not for `other.example`");
}
