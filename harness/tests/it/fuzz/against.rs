//! `harness fuzz --against`: another server answers the same, or not.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use super::{Campaign, fuzz_scenario};
use crate::run::{harness, ran};

/// Two servers of which the first has a bug that no sign but its answers tells of.
const TWO: &str = r#"
[vars]
flaw = "error-out-of-step"

[target.ours]
builtin = "flawed"
settings = { flaw = "${flaw}" }

[target.theirs]
builtin = "flawed"

[actor.client]
connect = "ours"
framing = "crlf"

[[case]]
name = "keeps a value"
steps = [
  { send = "PUT colour blue" },
  { expect = "OK" },
  { send = "GET colour" },
  { expect = "VALUE blue" },
  { send = "DEL colour" },
  { expect = "OK" },
]
"#;

#[track_caller]
fn against(scenario: &str, other: &str, more: &[&str]) -> Campaign {
    fuzz_scenario(scenario, &[&["--against", other], more].concat())
}

#[test]
fn what_another_server_answers_otherwise_is_found() {
    let campaign = against(TWO, "theirs", &["--cases", "2000", "--shrink-budget", "20s"]);
    let finding = campaign.found("wrong-answer", 1, 1);
    assert_eq!(
        (&finding["verdict"], &finding["messages"], &finding["bytes"]),
        (&"deterministic".into(), &1.into(), &1.into()),
        "{}",
        campaign.stderr
    );
    // What the other one says is what is right, so that the scenario holds once the bug is gone.
    let repro = campaign.read(finding, "repro.toml");
    assert!(repro.contains("expect = \"ERROR unknown command\""), "{repro}");
    fs::write(campaign.folder.path().join("mended.toml"), repro.replace("error-out-of-step", "none")).expect("room");
    ran(harness(campaign.folder.path()).args(["run", "mended.toml", "--out", "mended"])).exits(0);
}

#[test]
fn servers_that_answer_the_same_are_silent() {
    against(TWO, "theirs", &["--cases", "600", "--var", "flaw=none"]).found_nothing();
}

/// The server that the planted one is compared to: it says another text to whoever has not logged in.
fn rival() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it listens").port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { break };
            std::thread::spawn(move || answer(&client));
        }
    });
    port
}

fn answer(mut client: &TcpStream) {
    let mut logged = false;
    let mut lines = BufReader::new(client);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) && line.ends_with(b"\n") {
        let said = match line.as_slice() {
            user if user.starts_with(b"USER ") => {
                logged = true;
                b"331 go on\n".as_slice()
            }
            echo if echo.starts_with(b"ECHO ") && logged => echo,
            echo if echo.starts_with(b"ECHO ") => b"530 who\n",
            _ => b"500 what\n",
        };
        if client.write_all(said).is_err() {
            break;
        }
        line.clear();
    }
}

#[test]
fn of_what_differs_anyhow_the_status_is_compared() {
    let planted = super::SCENARIO.replace("BUG", "none");
    let other = format!("tcp://127.0.0.1:{}", rival());
    let campaign = against(&planted, &other, &["--cases", "3000"]);
    campaign.found("wrong-answer", 1, 1);
    let told = "1 message of what the scenario says is answered otherwise by the other server";
    assert!(campaign.stderr.contains(told), "{}", campaign.stderr);
    let finding = &campaign.json["findings"][0];
    // `331 go on` is not taken for another answer than `331 ok`, and `530 who` is for `503 no`.
    assert!(campaign.read(finding, "repro.toml").contains("530 who"), "{}", campaign.stderr);
}

#[test]
fn what_cannot_be_compared_is_told() {
    let refused = |other: &str, code: i32, why: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("two.toml"), TWO).expect("room");
        ran(harness(folder.path()).args(["fuzz", "two.toml", "--out", "out", "--against", other]))
            .exits(code)
            .says(why);
    };
    refused("their", 2, "there is no target `their`; did you mean `theirs`?");
    refused("ours", 2, "`ours` is what is fuzzed, and cannot be compared to itself");
    refused("tcp://", 2, "--against tcp://");
    // Nobody listens on a port that was just given back.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let other = format!("tcp://127.0.0.1:{port}");
    refused(&other, 5, "nobody answers at `tcp://127.0.0.1:");
}
