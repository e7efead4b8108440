//! Properties of servers in Python, sound and broken.

mod report;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use harness::property::{Base, Outcome, Selected, Session, Violation, select};
use harness::reduce::Effort;
use harness::runner::Clock;
use harness::scenario::{Known, Scenario, load};
use harness::testcase::{Class, Player, TestCase};

use crate::run::{harness, ran};
use crate::testcase::player;

/// With how many replays a counterexample is made small where a test is about something else.
const FEW: u64 = 8;

const TALK: &str =
    r#"{ send = "put colour blue\n" }, { expect = "ok\n" }, { send = "get colour\n" }, { expect = "blue\n" }"#;

fn known() -> Known {
    Known { seed: 1, read: Some(harness::document::read_text), ..Known::default() }
}

fn scenario(server: &str, bug: &str, steps: &str) -> String {
    let path = format!("{}/tests/it/property/{server}.py", env!("CARGO_MANIFEST_DIR"));
    format!(
        "timeout = \"3s\"\n[target]\ncommand = [\"python3\", \"-I\", \"-S\", \"{path}\", \"${{target.port}}\", \"{bug}\"]\n\
         address = \"tcp://127.0.0.1:${{target.port}}\"\n[[case]]\nname = \"c\"\nsteps = [{steps}]\n"
    )
}

fn session(player: &Player) -> Session<'_> {
    Session { player, seed: 1, cases: None, ends: None, shrink: Effort::Replays(FEW), clock: Clock::start() }
}

/// What comes of some properties, or of those that are tested without being asked for.
fn outcomes(text: &str, names: &[&str]) -> Vec<(&'static str, Outcome)> {
    let (player, _folder) = player();
    let case = TestCase::from_scenario(Path::new("s.toml"), text, &known(), None).expect("it is valid");
    let Scenario { presets, model, .. } = load("s.toml", text, &known()).expect("it is valid");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let session = session(&player);
    let base = Base { model, ..session.study(&case).expect("it holds") };
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
        Some((_, Outcome::Violated(violation))) => {
            fails_when_run(&violation);
            violation
        }
        other => panic!("{other:?}"),
    }
}

/// What is kept of a counterexample fails by itself.
#[track_caller]
fn fails_when_run(violation: &Violation) {
    let folder = tempfile::tempdir().expect("a folder");
    violation.case.write(&folder.path().join("case.toml"), None).expect("it is written");
    // What fails because nothing comes fails sooner.
    let (code, timeout) = if violation.failed.class == Class::Crash { (6, "30s") } else { (1, "1s") };
    ran(harness(folder.path()).args(["run", "case.toml", "--timeout", timeout])).exits(code);
}

#[track_caller]
fn holds(text: &str, names: &[&str]) {
    let found = outcomes(text, names);
    assert!(found.iter().all(|(_, outcome)| matches!(outcome, Outcome::Held { .. })), "{found:?}");
}

/// The same made as small as it gets, however long that takes: there are few parts.
#[track_caller]
fn smallest(text: &str, name: &str) -> Box<Violation> {
    let (player, _folder) = player();
    let case = TestCase::from_scenario(Path::new("s.toml"), text, &known(), None).expect("it is valid");
    let scenario = load("s.toml", text, &known()).expect("it is valid");
    let session = Session { shrink: Effort::Replays(2_000), ..session(&player) };
    let base = Base { model: scenario.model, ..session.study(&case).expect("it holds") };
    let selected = select(&scenario.presets, &[name.to_owned()]).expect("it is known");
    match session.test(&selected[0], &base, &mut |_| {}) {
        Outcome::Violated(violation) => {
            fails_when_run(&violation);
            violation
        }
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

/// A server in Python that sends back what this says of the `data` of one read, to one client after the other.
fn one_at_a_time(answer: &str) -> String {
    format!(
        "command = [\"python3\", \"-I\", \"-S\", \"-c\", '''\nimport _socket, sys\n\
         s = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)\ns.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)\n\
         s.bind((\"127.0.0.1\", int(sys.argv[1])))\ns.listen(256)\nwhile True:\n    c = _socket.socket(fileno=s._accept()[0])\n\
         \x20   try:\n        while data := c.recv(65536): c.sendall({answer})\n    except OSError: pass\n    c.close()\n''', \"${{target.port}}\"]\n\
         address = \"tcp://127.0.0.1:${{target.port}}\""
    )
}

#[test]
fn a_server_of_one_connection_at_a_time_is_silent() {
    let steps = "[[case]]\nname = \"c\"\nsteps = [{ send = \"hello\\n\" }, { expect = \"HELLO\\n\" }]\n";
    let text = format!("[target]\n{}\n{steps}", one_at_a_time("data.upper()"));
    is_silent(&outcomes(&text, &[]));
}

#[test]
fn what_each_connection_saves_is_not_held_against_the_others() {
    let steps = "[[case]]\nname = \"c\"\nsteps = [{ send = { random = 70000 }, save = \"blob\" }, { shutdown = \"write\" }, \
                 { expect = \"${blob}\" }, { expect_eof = true }]\n";
    is_silent(&outcomes(&format!("[target]\nbuiltin = \"tcp-echo\"\n{steps}"), &["isolation"]));
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
    assert_eq!(violation.failed.class, Class::Crash, "{violation:?}");
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
    assert_eq!(violation.failed.class, Class::Crash, "{violation:?}");
}

#[test]
fn a_field_just_beyond_its_bounds_is_found_where_the_protocol_is_described() {
    let violation = violation(&numbers("beyond"), "robust");
    assert_eq!((violation.what.as_str(), violation.failed.class), ("message 1 spoilt: `number` is 101", Class::Crash));
}

#[test]
fn a_crash_at_the_largest_number_is_found_and_the_other_fields_are_as_they_were() {
    let violation = violation(&numbers("largest"), "answers");
    assert_eq!(violation.failed.class, Class::Crash, "{violation:?}");
    assert!(violation.case.text().contains("ask = { id = 7, number = 100 }"), "{}", violation.case.text());
}

#[test]
fn valid_messages_are_answered_by_sound_servers() {
    holds(&numbers(""), &["answers"]);
}

#[test]
fn each_of_several_clients_is_asked_about_by_itself() {
    let ask = |who: &str, id: u8| {
        format!(
            "{{ {who}.send = {{ ask = {{ id = {id}, number = 3 }} }} }}, {{ {who}.expect = {{ doubled = {{ id = {id}, number = 6 }} }} }}"
        )
    };
    let two = |bug: &str| {
        let text = numbers(bug);
        let (actor, steps) = (text.find("[actor.").expect("it has one"), text.find("steps = [").expect("it has them"));
        let end = text[actor..].find("[[case]]").expect("it has one") + actor;
        let again = text[actor..end].replace("[actor.client]", "[actor.other]");
        format!("{}{again}{}steps = [{}, {}]\n", &text[..end], &text[end..steps], ask("client", 1), ask("other", 2))
    };
    let violation = violation(&two("largest"), "answers");
    assert!(violation.case.text().contains("number = 100"), "{}", violation.case.text());
    holds(&two(""), &["answers"]);
}

#[test]
fn a_field_that_is_kept_is_no_other() {
    let keep = |name: &str| {
        let table = format!("[properties]\nanswers = {{ keep = [\"{name}\"] }}\n[[case]]");
        numbers("largest").replace("[[case]]", &table)
    };
    holds(&keep("number"), &[]);
    let found = outcomes(&keep("nmber"), &[]);
    assert!(matches!(&found[..], [(_, Outcome::LeftOut(why))] if why.contains("a field `nmber`")), "{found:?}");
}

/// A conversation with our own server of keys and values.
const KV: &str = "[target]\nbuiltin = \"kv\"\n[actor.client]\nconnect = \"target\"\nprotocol = \"kv\"\n[[case]]\nname = \"c\"\nsteps = [\
    { send = { put = { id = 7, key = \"colour\", data = \"blue\" } } }, { expect = { stored = { id = 7 } } },\
    { send = { get = { id = 8, key = \"colour\" } } }, { expect = { value = { id = 8, data = \"blue\" } } }]\n";

#[test]
fn our_own_server_is_silent() {
    is_silent(&outcomes(KV, &[]));
    let all = ["answers", "correlate", "deterministic", "half-close", "idempotent", "order"];
    holds(KV, &all);
}

/// A conversation with a server of numbers in messages of four bytes.
fn numbers(bug: &str) -> String {
    let folder = format!("{}/tests/it/property", env!("CARGO_MANIFEST_DIR"));
    let steps = r#"{ send = { ask = { id = 7, number = 4 } } }, { expect = { doubled = { id = 7, number = 8 } } }"#;
    let actor = format!("[actor.client]\nconnect = \"target\"\nprotocol = \"{folder}/numbers.toml\"\n[[case]]");
    scenario("numbers", bug, steps).replace("[[case]]", &actor)
}

#[test]
fn answers_with_identifiers_correlate_in_any_order() {
    holds(&numbers(""), &["correlate", "order"]);
    holds(&numbers("reversed"), &["correlate"]);
}

#[test]
fn answers_in_another_order_are_found() {
    let text = numbers("reversed").replace("[[case]]", "[properties]\norder = { requests = 4 }\n[[case]]");
    let violation = violation(&text, "order");
    assert!(violation.what.starts_with("message 1 4 times at once"), "{}", violation.what);
}

#[test]
fn an_answer_with_the_identifier_of_another_request_is_found() {
    let violation = violation(&numbers("last"), "correlate");
    assert_eq!(violation.verdict, "deterministic", "{violation:?}");
}

#[test]
fn an_answer_that_comes_twice_is_found() {
    violation(&numbers("twice"), "correlate");
}

#[test]
fn an_answer_that_is_late_is_found_only_where_it_is_bound() {
    let talk = r#"{ send = "get colour\n" }, { expect = "none\n" }"#;
    let within = |bound: &str, bug| {
        let table = format!("[properties]\nbounded = {{ within = \"{bound}\" }}\n[[case]]");
        scenario("lines", bug, talk).replace("[[case]]", &table)
    };
    holds(&within("30s", ""), &["bounded"]);
    let violation = violation(&within("60ms", "slow"), "bounded");
    assert_eq!(violation.failed.class, Class::WrongAnswer, "{violation:?}");
}

#[test]
fn a_server_that_says_something_else_than_another_is_found() {
    // It answers as the server in Python does, with a value of its own.
    let other = |value: &'static [u8]| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let answer = move |mut stream: std::net::TcpStream| {
            let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
            for line in lines.map_while(Result::ok) {
                let answer = if line.starts_with("get") { value } else { b"ok\n" };
                let _ = stream.write_all(answer);
            }
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(stream));
            }
        });
        let table = format!("[properties]\ndifferential = {{ against = \"tcp://{address}\" }}\n[[case]]");
        scenario("lines", "", TALK).replace("[[case]]", &table)
    };
    holds(&other(b"blue\n"), &["differential"]);
    violation(&other(b"red\n"), "differential");
}

#[test]
fn what_comes_back_is_what_was_sent() {
    let echo = |server: &str| {
        let steps = r#"{ send = "hi" }, { expect = "hi" }"#;
        format!("[target]\n{server}\n[properties]\necho = {{ max = 600 }}\n[[case]]\nname = \"c\"\nsteps = [{steps}]\n")
    };
    holds(&echo("builtin = \"tcp-echo\""), &["echo"]);
    // What does not fit into its buffer is lost.
    let server = one_at_a_time("data[:511]");
    let violation = violation(&echo(&server), "echo");
    assert!(violation.sizes.1.bytes >= 512, "{violation:?}");
}

/// A scenario with one case that writes a value and reads it back.
fn cell(target: &str, actor: &str, steps: &str) -> String {
    let actor =
        if actor.is_empty() { String::new() } else { format!("[actor.client]\nconnect = \"target\"\n{actor}\n") };
    format!(
        "[target]\n{target}\n{actor}[properties]\nlinearizable = {{ operations = 8 }}\n[[case]]\nname = \"c\"\nsteps = [{steps}]\n"
    )
}

#[test]
fn servers_that_keep_values_are_linearizable() {
    let resp = r#"{ send = { raw = "*3\r\n$3\r\nSET\r\n$6\r\ncolour\r\n$4\r\nblue\r\n" } }, { expect = "+OK" },
        { send = { raw = "*2\r\n$3\r\nGET\r\n$6\r\ncolour\r\n" } }, { expect = "$4" }, { expect = "blue" }"#;
    let redis = r#"command = ["redis-server", "--port", "${target.port}", "--save", "", "--dir", "/tmp"]"#;
    let text = r#"{ send = ["set colour 0 0 4", "blue"] }, { expect = "STORED" },
        { send = "get colour" }, { expect = "VALUE colour 0 4" }, { expect = "blue" }, { expect = "END" }"#;
    let memcached = r#"command = ["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", "${target.port}", "-U", "0"]"#;
    holds(&cell(redis, "framing = \"crlf\"", resp), &[]);
    holds(&cell(memcached, "framing = \"crlf\"", text), &[]);
    holds(&KV.replace("[[case]]", "[properties]\nlinearizable = true\n[[case]]"), &[]);
}

#[test]
fn a_stale_read_is_found_and_fails_one_after_the_other() {
    let few = "[properties]\nlinearizable = { keys = 1, operations = 2 }\n[[case]]";
    let violation = smallest(&scenario("lines", "stale", TALK).replace("[[case]]", few), "linearizable");
    assert_eq!((violation.verdict, violation.fails_alone), ("deterministic", true), "{violation:?}");
    // Written, written over, and read by somebody else.
    assert_eq!((violation.sizes.1.connections, violation.sizes.1.messages), (2, 3), "{}", violation.case.text());
    assert!(violation.timeline.iter().any(|line| line.ends_with("has no place")), "{:?}", violation.timeline);
}

#[test]
fn a_stale_read_among_many_is_told_although_it_does_not_happen_one_after_the_other() {
    let mut found = outcomes(&scenario("lines", "hurried", TALK), &["linearizable"]);
    let Some((_, Outcome::Violated(violation))) = found.pop() else { panic!("{found:?}") };
    assert_eq!((violation.failed.class, violation.fails_alone), (Class::Property, false), "{violation:?}");
    assert!(violation.failed.message.contains("no order"), "{}", violation.failed.message);
    assert!(violation.timeline.iter().any(|line| line.ends_with("has no place")), "{:?}", violation.timeline);
}

#[test]
fn a_case_that_reads_nothing_back_is_left_out() {
    let text = scenario("lines", "", r#"{ send = "put colour blue\n" }, { expect = "ok\n" }"#);
    let found = outcomes(&text, &["linearizable"]);
    assert!(matches!(&found[..], [(_, Outcome::LeftOut(why))] if why.contains("reads it back")), "{found:?}");
}

/// A server of lines that knows who is logged in, and with a bug one that takes a wrong word for the right one once there were
/// three.
fn login(bug: &str) -> String {
    let table = r#"
[model]
start = "out"
counts = { tries = 0 }

[model.transition.deny]
from = "out"
steps = [{ send = "read\n" }, { expect = "denied\n" }]

[model.transition.fail]
from = "out"
when = { tries = { max = 3 } }
add = { tries = 1 }
with = { word = ["no", "never"] }
steps = [{ send = "login ${word}\n" }, { expect = "wrong\n" }]

[model.transition.login]
from = "out"
to = "in"
steps = [{ send = "login rose\n" }, { expect = "welcome\n" }]

[model.transition.read]
from = "in"
steps = [{ send = "read\n" }, { expect = "news\n" }]

[model.transition.logout]
from = "in"
to = "out"
steps = [{ send = "logout\n" }, { expect = "bye\n" }]
"#;
    let talk = r#"{ send = "login rose\n" }, { expect = "welcome\n" }"#;
    scenario("login", bug, talk) + table
}

#[test]
fn a_server_that_is_as_its_model_is_silent() {
    holds(&login(""), &["model"]);
}

#[test]
fn a_state_that_takes_four_messages_is_found_and_made_small() {
    let violation = smallest(&login("third"), "model");
    // Three failures, and what only somebody who is logged in may do.
    assert_eq!((violation.verdict, violation.sizes.1.messages), ("deterministic", 4), "{}", violation.case.text());
    assert!(violation.case.text().contains("login no"), "the simplest way: {}", violation.case.text());
}

/// A UDP server that answers each datagram in capitals, unless `bug`, a statement on it and on the `last` one, has it otherwise.
fn datagrams(bug: &str) -> String {
    format!(
        "timeout = \"3s\"\n[target]\ncommand = [\"python3\", \"-I\", \"-S\", \"-c\", '''\nimport _socket, sys\n\
         s = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)\ns.bind((\"127.0.0.1\", int(sys.argv[1])))\nlast = None\nwhile True:\n\
         \x20   data, who = s.recvfrom(4096)\n    {bug}\n    last = data\n    s.sendto(data.upper(), who)\n''', \"${{target.port}}\"]\n\
         address = \"udp://127.0.0.1:${{target.port}}\"\n[[case]]\nname = \"c\"\nsteps = [\
         {{ send = \"one\" }}, {{ expect = \"ONE\" }}, {{ send = \"two\" }}, {{ expect = \"TWO\" }}]\n"
    )
}

#[test]
fn a_sound_server_of_datagrams_is_silent() {
    holds(&datagrams(""), &["amplification", "duplicate", "loss", "reorder"]);
}

#[test]
fn a_crash_at_a_datagram_that_comes_twice_is_found() {
    let violation = violation(&datagrams("if data == last: sys.exit(3)"), "duplicate");
    assert!(violation.what.ends_with("twice"), "{violation:?}");
}

#[test]
fn a_datagram_that_is_not_answered_where_one_before_it_was_lost_is_found() {
    let bug = "if data == b\"two\" and last is None: continue";
    let violation = violation(&datagrams(bug), "loss");
    assert_eq!(violation.what, "datagram 1 never comes", "{violation:?}");
}

#[test]
fn a_datagram_that_is_not_answered_after_a_later_one_is_found() {
    let violation = violation(&datagrams("if data == b\"one\" and last == b\"two\": continue"), "reorder");
    assert_eq!(violation.what, "datagram 2 overtakes datagram 1", "{violation:?}");
}

#[test]
fn an_answer_that_is_too_long_for_its_request_amplifies() {
    let text = datagrams("")
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
