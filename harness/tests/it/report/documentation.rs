//! `docs/events.md` says what the stream is: every event, every field, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use harness::event::*;
use harness::time::Time;
use serde_json::Value;

/// One event of each type with every field set. A new field breaks this function; a new variant the test below.
fn samples() -> Vec<Event> {
    let echo = || Place {
        file: "scenarios/echo.toml".into(),
        line: 12,
        column: 14,
        width: 9,
        text: "  { expect = \"hello\\n\" },".into(),
    };
    let text = str::to_owned;
    let kinds = [
        EventKind::RunStarted(RunStarted {
            v: VERSION,
            harness: text("0.1.0"),
            seed: 42,
            unix_ns: 1_790_000_000_123_456_789,
            command: vec![text("harness"), text("run"), text("scenarios/echo.toml")],
        }),
        EventKind::RunFinished {
            summary: Summary {
                passed: 8,
                failed: 2,
                crashed: 1,
                unreachable: 0,
                expected_failures: 0,
                flaky: 1,
                skipped: 1,
                interrupted: 0,
                invalid_files: 0,
                duration_ns: 1_250_000_000,
            },
            exit_code: 6,
        },
        EventKind::FileInvalid {
            file: text("scenarios/echo.toml"),
            mistakes: vec![Mistake {
                place: Place { text: "  { expcet = \"hello\\n\" },".into(), column: 5, width: 6, ..echo() },
                message: text("unknown key `expcet`"),
                hint: Some(text("did you mean `expect`?")),
            }],
        },
        EventKind::Warning { message: text("target `echo` did not stop within 2s and was killed") },
        EventKind::CaseSlow { title: text("echo: echoes a line"), running_ns: 10_000_123_456 },
        EventKind::TargetStarted {
            scenario: text("echo"),
            target: text("echo"),
            url: text("tcp://127.0.0.1:7001"),
            pid: Some(4711),
        },
        EventKind::TargetExited {
            scenario: text("echo"),
            target: text("echo"),
            status: text("signal SIGSEGV"),
            crash: true,
            output: vec![OutputLine { stderr: true, text: text("index 9 out of bounds") }],
        },
        EventKind::TargetOutput {
            scenario: text("echo"),
            target: text("echo"),
            output: vec![OutputLine { stderr: false, text: text("7 clients") }],
        },
        EventKind::CaseStarted(
            CaseStarted {
                scenario: text("echo"),
                name: text("echoes a line"),
                file: text("scenarios/echo.toml"),
                line: 8,
                attempt: 2,
                tags: vec![text("smoke")],
                spec: vec![text("RFC862-TCP-1")],
                steps: vec![StepInfo {
                    via: vec![echo()],
                    place: echo(),
                    actor: "client".into(),
                    verb: text("expect"),
                    note: Some(text("the line comes back")),
                }],
            }
            .into(),
        ),
        EventKind::CaseFinished(CaseFinished {
            verdict: Verdict::Failed,
            reason: Some(text("expected `hello\\n`, received `hexlo\\n`")),
            duration_ns: 12_345_678,
            capture: Some(text("captures/echo/echoes-a-line.pcapng")),
            frame: Some(7),
            reproduce: Some(text("harness run scenarios/echo.toml --filter 'case(echoes a line)' --seed 42")),
        }),
        EventKind::ConnectionOpened {
            connection: 0,
            actor: "client".into(),
            transport: Transport::Tcp,
            dialled: Side::Local,
            local: Endpoint::Ip("127.0.0.1:49152".parse().unwrap()),
            peer: Endpoint::Ip("127.0.0.1:7001".parse().unwrap()),
        },
        EventKind::ConnectionFailed {
            connection: 0,
            actor: "client".into(),
            transport: Transport::Unix,
            peer: Endpoint::Path(text("/run/echo.sock")),
            refused: true,
            reason: text("connection refused"),
        },
        EventKind::Sent { connection: 0, data: Bytes::from_static(b"hello\n") },
        EventKind::Received { connection: 0, data: Bytes::from_static(&[0xff, 0]) },
        EventKind::Ended { connection: 0, by: Side::Peer, how: End::Fin },
        EventKind::RelayOpened {
            relay: "middle".into(),
            connection: 1,
            transport: Transport::Tcp,
            peer: Endpoint::Ip("127.0.0.1:49152".parse().unwrap()),
            to: Endpoint::Ip("127.0.0.1:7001".parse().unwrap()),
        },
        EventKind::RelayFailed {
            relay: "middle".into(),
            connection: 1,
            peer: Endpoint::Ip("127.0.0.1:49152".parse().unwrap()),
            to: Endpoint::Ip("127.0.0.1:7001".parse().unwrap()),
            refused: true,
            reason: text("connection refused"),
        },
        EventKind::RelayClosed { relay: "middle".into(), connection: 1, up: 12, down: 512 },
        EventKind::FaultFired {
            fault: 2,
            place: echo(),
            relay: "middle".into(),
            connection: 1,
            direction: Direction::Down,
            at_byte: 512,
            nth: 4,
            what: text("cut the connection after 512 bytes"),
        },
        EventKind::PeerMoved { connection: 0, peer: Endpoint::Ip("127.0.0.1:40123".parse().unwrap()) },
        EventKind::StepPassed { step: 0, started: Time::from_nanos(1_000_000), connection: Some(0) },
        EventKind::StepFailed {
            step: Some(1),
            started: Time::from_nanos(1_000_000),
            failure: Box::new(Failure {
                kind: FailureKind::Mismatch,
                message: text("expected `hello\\n`, received `hexlo\\n`"),
                place: echo(),
                connection: Some(0),
                expected: Some(text("exactly 6 bytes")),
                expected_bytes: Some("hello\n".into()),
                received: Some("hexlo\n".into()),
                difference_at: Some(2),
                notes: vec![text("in repetition 3")],
                hint: Some(text("is the server's buffer shared between connections?")),
            }),
        },
        EventKind::TlsEstablished {
            connection: 0,
            session: TlsSession {
                version: text("TLS 1.3"),
                cipher: text("TLS13_AES_256_GCM_SHA384"),
                alpn: Some(text("h2")),
                server_name: Some(text("localhost")),
                client_certificate: true,
            },
        },
        EventKind::TlsFailed { connection: 0, reason: text("the server's certificate has expired") },
        EventKind::TlsSecrets { connection: 0, lines: text("CLIENT_RANDOM 00 00\n") },
        EventKind::WireReceived { connection: 0, data: Bytes::from_static(&[0x17, 0x03, 0x03, 0x00, 0xff]) },
        EventKind::WireSent { connection: 0, data: Bytes::from_static(&[0x17, 0x03, 0x03, 0x00, 0xff]) },
        EventKind::Message { connection: 0, sent: true, name: "get".into(), fields: text("{ id = 7, key = colour }") },
        EventKind::VariableSet { name: "id".into(), value: Bytes::from_static(b"7") },
        EventKind::Logged { message: text("the id is 7") },
        EventKind::Reduced(Box::new(Reduced {
            kind: text("crash"),
            fingerprint: text("signal SIGSEGV"),
            verdict: text("flaky"),
            percent: 50,
            replays: 87,
            accepted: 14,
            from: CaseSize { connections: 2, messages: 60, bytes: 1_234 },
            to: CaseSize { connections: 1, messages: 3, bytes: 9 },
            matters: vec![text("step 2: every byte matters: `!?`")],
            complete: true,
            others: vec![text("reports/latest/case-2.toml: panic: panicked at src/main.rs:12")],
        })),
        EventKind::Replayed(Box::new(Replayed {
            fate: text("failed"),
            plays: 3,
            failures: 3,
            now: Some(text("crash: signal SIGSEGV")),
            stored: Some(text("crash: signal SIGABRT")),
            known: Some(text("example/store#7, until 2027-01-31")),
            differences: vec![text("answer 2 on connection 1 was `OK`, and is nothing")],
        })),
        EventKind::RecordingStopped { kept: 67_108_864 },
    ];
    let outside = |kind: &EventKind| {
        use EventKind::*;
        matches!(
            kind,
            RunStarted(_)
                | RunFinished { .. }
                | FileInvalid { .. }
                | Warning { .. }
                | CaseSlow { .. }
                | TargetStarted { .. }
        )
    };
    kinds
        .into_iter()
        .map(|kind| Event { at: Time::from_nanos(1_500_000), case: (!outside(&kind)).then_some(3), kind })
        .collect()
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of the page's JSON blocks.
fn examples(page: &str) -> Vec<&str> {
    let blocks = page.split("```json\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.flat_map(str::lines).collect()
}

/// The names that serde knows for an enum, in its own words: what it expected instead of a name that is none.
fn names<T: serde::de::DeserializeOwned>(json: &str) -> BTreeSet<String> {
    let error = serde_json::from_str::<T>(json).err().expect("no variant has this name").to_string();
    let list = error.split_once("expected ").expect("serde lists the variants").1;
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_event_has_its_example_as_it_is_written() {
    let page = page();
    let examples = examples(&page);
    for sample in samples() {
        let line = serde_json::to_string(&sample).unwrap();
        assert!(examples.contains(&&*line), "docs/events.md lacks this example:\n{line}");
    }
    assert_eq!(examples.len(), samples().len(), "an example is there twice, or belongs to no event");
}

#[test]
fn every_example_is_an_event_and_nothing_is_passed_over() {
    for line in examples(&page()) {
        let event: Event = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let (read, written): (Value, Value) =
            (serde_json::from_str(line).unwrap(), serde_json::to_value(&event).unwrap());
        assert_eq!(read, written);
    }
}

#[test]
fn every_type_is_documented() {
    let types = names::<Event>(r#"{"at_ns":0,"type":"?"}"#);
    let of_samples: BTreeSet<String> = samples()
        .iter()
        .map(|event| serde_json::to_value(event).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(types, of_samples, "every type has a sample");
    let page = page();
    let headings: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).map(str::to_owned).collect();
    assert_eq!(types, headings, "every type has a heading");
}

#[test]
fn every_field_stands_in_the_table_of_its_event() {
    fn keys(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                into.extend(fields.keys().cloned());
                fields.values().for_each(|value| keys(value, into));
            }
            Value::Array(values) => values.iter().for_each(|value| keys(value, into)),
            _ => {}
        }
    }
    let page = page();
    let parts = page.split("\n## ").find(|part| part.starts_with("Parts")).expect("the page has a section `Parts`");
    for sample in samples() {
        let value = serde_json::to_value(&sample).unwrap();
        let ty = value["type"].as_str().unwrap();
        let section = page.split("\n### ").find(|section| section.starts_with(&format!("`{ty}`"))).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let mut names = BTreeSet::new();
        keys(&value, &mut names);
        for name in names.iter().filter(|name| !["at_ns", "case", "type", "base64"].contains(&name.as_str())) {
            let row = format!("| `{name}` |");
            let top = value.get(name).is_some();
            assert!(section.contains(&row) || (!top && parts.contains(&row)), "`{name}` of `{ty}` has no row");
        }
    }
}

#[test]
fn every_value_of_an_enumeration_is_documented() {
    let page = page();
    let all = [
        names::<Verdict>("\"?\""),
        names::<FailureKind>("\"?\""),
        names::<Transport>("\"?\""),
        names::<Side>("\"?\""),
        names::<End>("\"?\""),
        names::<Direction>("\"?\""),
    ];
    for name in all.iter().flatten() {
        assert!(page.contains(&format!("`{name}`")), "`{name}` is not documented");
    }
}
