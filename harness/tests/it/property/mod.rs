//! Properties of servers in Python, sound and broken.

use std::path::Path;
use std::time::Duration;

use harness::property::{Outcome, Session, Violation, select};
use harness::runner::Clock;
use harness::scenario::{Known, load};
use harness::testcase::{Player, TestCase};

use crate::testcase::player;

const TALK: &str =
    r#"{ send = "put colour blue\n" }, { expect = "ok\n" }, { send = "get colour\n" }, { expect = "blue\n" }"#;

fn known() -> Known {
    Known { seed: 1, read: Some(harness::document::read_text), ..Known::default() }
}

fn scenario(server: &str, bug: &str, steps: &str) -> String {
    let path = format!("{}/tests/it/property/{server}.py", env!("CARGO_MANIFEST_DIR"));
    format!(
        "[target]\ncommand = [\"python3\", \"{path}\", \"${{target.port}}\", \"{bug}\"]\n\
         address = \"tcp://127.0.0.1:${{target.port}}\"\n[[case]]\nname = \"c\"\nsteps = [{steps}]\n"
    )
}

fn session(player: &Player) -> Session<'_> {
    Session { player, seed: 1, cases: None, ends: None, shrink: Duration::from_secs(2), clock: Clock::start() }
}

/// What comes of some properties, or of those that are tested without being asked for.
fn outcomes(text: &str, names: &[&str]) -> Vec<(&'static str, Outcome)> {
    let (player, _folder) = player();
    let case = TestCase::from_scenario(Path::new("s.toml"), text, &known(), None).expect("it is valid");
    let presets = load("s.toml", text, &known()).expect("it is valid").presets;
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let session = session(&player);
    let base = session.study(&case).expect("it holds");
    let selected = select(&presets, &names).expect("they are known");
    let test =
        |selected: &harness::property::Selected| (selected.property.name, session.test(selected, &base, &mut |_| {}));
    selected.iter().map(test).collect()
}

#[track_caller]
fn violation(text: &str, name: &str) -> Box<Violation> {
    match outcomes(text, &[name]).pop() {
        Some((_, Outcome::Violated(violation))) => violation,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is_silent(outcomes: &[(&str, Outcome)]) {
    for (name, outcome) in outcomes {
        assert!(matches!(outcome, Outcome::Held { .. } | Outcome::LeftOut(_)), "{name}: {outcome:?}");
    }
}

#[test]
fn a_sound_server_is_silent() {
    is_silent(&outcomes(&scenario("lines", "", TALK), &[]));
    let all = ["deterministic", "half-close", "idempotent", "isolation"];
    is_silent(&outcomes(&scenario("lines", "", TALK), &all));
}

#[test]
fn a_server_of_one_connection_at_a_time_is_silent() {
    let server = "import socketserver, sys\n\
        class H(socketserver.StreamRequestHandler):\n    def handle(self):\n        for line in self.rfile: self.wfile.write(line.upper())\n\
        socketserver.TCPServer((\"127.0.0.1\", int(sys.argv[1])), H).serve_forever()\n";
    let text = format!(
        "[target]\ncommand = [\"python3\", \"-c\", '''\n{server}''', \"${{target.port}}\"]\naddress = \"tcp://127.0.0.1:${{target.port}}\"\n\
         [[case]]\nname = \"c\"\nsteps = [{{ send = \"hello\\n\" }}, {{ expect = \"HELLO\\n\" }}]\n"
    );
    is_silent(&outcomes(&text, &[]));
}

#[test]
fn a_cut_that_loses_bytes_is_found_and_named() {
    let violation = violation(&scenario("lines", "cut", TALK), "chunking");
    assert_eq!(violation.verdict, "deterministic", "{violation:?}");
    assert!(violation.what.contains("cut after byte 7"), "{}", violation.what);
    assert!(violation.case.text().contains("split = [7]"), "{}", violation.case.text());
}

#[test]
fn a_connection_that_stays_open_after_a_cut_is_found() {
    let text = scenario("lines", "stays", r#"{ send = "bye\n" }, { expect = "bye\n" }"#);
    let violation = violation(&text, "chunking");
    assert!(violation.failed.place.contains("expect_eof"), "{violation:?}");
}

#[test]
fn a_second_request_that_is_dropped_is_found() {
    let violation = violation(&scenario("lines", "pipeline", TALK), "pipelining");
    assert!(violation.what.contains("in one write"), "{}", violation.what);
}

#[test]
fn an_answer_that_is_lost_after_a_half_close_is_found() {
    let violation = violation(&scenario("lines", "half", TALK), "half-close");
    assert!(violation.case.text().contains("half-close"), "{}", violation.case.text());
}

#[test]
fn a_crash_after_half_a_message_is_found() {
    let violation = violation(&scenario("lines", "prefix", TALK), "prefix-close");
    assert_eq!(violation.failed.class, harness::testcase::Class::Crash, "{violation:?}");
}

#[test]
fn a_buffer_that_connections_share_is_found() {
    let violation = violation(&scenario("lines", "shared", TALK), "isolation");
    assert!(violation.sizes.1.connections == 2, "{violation:?}");
}

#[test]
fn an_answer_on_another_connection_is_found_without_being_asked_for() {
    let found = outcomes(&scenario("lines", "latest", TALK), &[]);
    assert!(found.iter().any(|(name, outcome)| *name == "isolation" && matches!(outcome, Outcome::Violated(_))));
}

#[test]
fn a_request_that_counts_is_not_idempotent() {
    let add = r#"{ send = "add\n" }, { expect = "1\n" }, { send = "get x\n" }, { expect = "none\n" }"#;
    let violation = violation(&scenario("lines", "count", add), "idempotent");
    assert!(violation.what.contains("message 1 a second time"), "{}", violation.what);
}

#[test]
fn an_answer_that_counts_is_not_deterministic() {
    let add = r#"{ send = "add\n" }, { expect = { regex = "\\d+\n" } }"#;
    violation(&scenario("lines", "count", add), "deterministic");
}
