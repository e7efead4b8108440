//! Properties of servers in Python, sound and broken.

use std::path::Path;
use std::time::Duration;

use harness::property::{Base, Outcome, Selected, Session, Violation, select};
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
    tested(&session, &base, &selected)
}

fn tested(session: &Session<'_>, base: &Base, selected: &[Selected]) -> Vec<(&'static str, Outcome)> {
    let test = |selected: &Selected| (selected.property.name, session.test(selected, base, &mut |_| {}));
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
    let (player, _folder) = player();
    let text = scenario("lines", "latest", TALK);
    let case = TestCase::from_scenario(Path::new("s.toml"), &text, &known(), None).expect("it is valid");
    let session = session(&player);
    let mut selected = select(&[], &[]).expect("there are some");
    selected.retain(|selected| selected.property.name == "isolation");
    let found = tested(&session, &session.study(&case).expect("it holds"), &selected);
    assert!(matches!(found[..], [(_, Outcome::Violated(_))]), "{found:?}");
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

#[test]
fn a_descriptor_that_is_kept_for_each_connection_is_found() {
    let violation = violation(&scenario("lines", "leak", TALK), "no-leak");
    assert_eq!(violation.failed.place, "descriptors_growth", "{violation:?}");
}

#[test]
fn a_crash_at_a_long_line_is_found() {
    let violation = violation(&scenario("lines", "long", TALK), "robust");
    assert_eq!(violation.failed.class, harness::testcase::Class::Crash, "{violation:?}");
}

/// A conversation with our own server of keys and values.
const KV: &str = "[target]\nbuiltin = \"kv\"\n[actor.client]\nconnect = \"target\"\nprotocol = \"kv\"\n[[case]]\nname = \"c\"\nsteps = [\
    { send = { put = { id = 7, key = \"colour\", data = \"blue\" } } }, { expect = { stored = { id = 7 } } },\
    { send = { get = { id = 8, key = \"colour\" } } }, { expect = { value = { id = 8, data = \"blue\" } } }]\n";

#[test]
fn our_own_server_is_silent() {
    is_silent(&outcomes(KV, &[]));
    let all = ["correlate", "deterministic", "half-close", "idempotent", "order"];
    let found = outcomes(KV, &all);
    assert!(found.iter().all(|(_, outcome)| matches!(outcome, Outcome::Held { .. })), "{found:?}");
}

/// A UDP server that answers each datagram with its words in capitals; with the bug, the second of two equal ones ends it.
fn datagrams(bug: bool) -> String {
    let end = if bug { "    if data == last: sys.exit(3)\n" } else { "" };
    format!(
        "[target]\ncommand = [\"python3\", \"-c\", '''\nimport socket, sys\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind((\"127.0.0.1\", int(sys.argv[1])))\nlast = None\nwhile True:\n\
         \x20   data, who = s.recvfrom(4096)\n{end}    last = data\n    s.sendto(data.upper(), who)\n''', \"${{target.port}}\"]\n\
         address = \"udp://127.0.0.1:${{target.port}}\"\n[[case]]\nname = \"c\"\nsteps = [\
         {{ send = \"one\" }}, {{ expect = \"ONE\" }}, {{ send = \"two\" }}, {{ expect = \"TWO\" }}]\n"
    )
}

#[test]
fn a_datagram_that_comes_twice_is_a_reason_for_a_violation_only_where_it_does_harm() {
    let all = ["amplification", "duplicate", "loss", "reorder"];
    let found = outcomes(&datagrams(false), &all);
    assert!(found.iter().all(|(_, outcome)| matches!(outcome, Outcome::Held { .. })), "{found:?}");
    let violation = violation(&datagrams(true), "duplicate");
    assert!(violation.what.ends_with("twice"), "{violation:?}");
}

#[test]
fn an_answer_that_is_too_long_for_its_request_amplifies() {
    let text = datagrams(false)
        .replace("data.upper()", "data.upper() * 20")
        .replace("[[case]]", "[properties]\namplification = { factor = 8 }\n[[case]]");
    let text = text.replace("\"ONE\"", "{ prefix = \"ONE\" }").replace("\"TWO\"", "{ prefix = \"TWO\" }");
    violation(&text, "amplification");
}

#[test]
fn mistakes_in_the_table_of_properties_are_told() {
    let text = format!(
        "[properties]\nchunkin = true\nisolation = {{ conections = 4 }}\nrobust = {{ cases = \"many\" }}\n{KV}"
    );
    let presets = load("s.toml", &text, &known()).expect("the keys are nobody else's business").presets;
    let mistakes = select(&presets, &[]).expect_err("there are mistakes");
    let told: Vec<String> =
        mistakes.iter().map(|mistake| format!("{}: {}", mistake.place.line, mistake.message)).collect();
    assert_eq!(
        told,
        [
            "2: there is no property `chunkin`",
            "3: `isolation` has no parameter `conections`",
            "4: `cases` of `robust` is a number from 1, not a string",
        ]
    );
}
