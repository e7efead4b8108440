//! Any stream at all can be reported, and nothing of it reaches a terminal as a command.

use std::sync::Arc;

use bytes::Bytes;
use harness::event::*;
use harness::report::{Settings, Verbosity};
use harness::time::Time;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::stream::report;

/// Text with everything that a terminal, XML or JSON could stumble over.
fn text() -> impl Strategy<Value = String> {
    let chars = prop_oneof![
        4 => any::<char>(),
        4 => proptest::char::range(' ', '~'),
        2 => proptest::char::range('\0', '\x1f'),
        1 => proptest::char::range('\u{7f}', '\u{9f}'),
        1 => proptest::char::range('\u{2000}', '\u{206f}'),
        1 => proptest::char::range('가', '힣'),
        1 => proptest::char::range('\u{fff0}', '\u{ffff}'),
    ];
    let hostile = Just("\x1b[2J\x1b]0;title\x07]]>&<\"'\u{9b}31m".to_owned());
    prop_oneof![4 => vec(chars, 0..30).prop_map(String::from_iter), 1 => hostile]
}

fn data() -> impl Strategy<Value = Bytes> {
    let texts = text().prop_map(Bytes::from);
    let long = (any::<u8>(), 300..3000_usize)
        .prop_map(|(step, len)| (0..len).map(|at| step.wrapping_mul(at as u8)).collect::<Bytes>());
    prop_oneof![vec(any::<u8>(), 0..200).prop_map(Bytes::from), texts, long]
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..5_u32, 1 => any::<u32>()]
}

fn place() -> impl Strategy<Value = Place> {
    let small = || prop_oneof![8 => 0..40_u32, 1 => any::<u32>()];
    (text(), small(), small(), small(), text()).prop_map(|(file, line, column, width, text)| Place {
        file: file.into(),
        line,
        column,
        width,
        text: text.into(),
    })
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Local), Just(Side::Peer)]
}

fn failure() -> impl Strategy<Value = Failure> {
    use FailureKind::*;
    let kinds = [Closed, Crash, Leftover, Limit, Mismatch, Refused, Reset, Script, System, Timeout, UnexpectedPass];
    let at = prop_oneof![8 => 0..300_u64, 1 => any::<u64>()];
    let what = (text(), place(), option::of(number()), option::of(text()));
    let bytes = (option::of(data()), option::of(data()), option::of(at));
    (proptest::sample::select(kinds.to_vec()), what, bytes, vec(text(), 0..3), option::of(text())).prop_map(
        |(kind, (message, place, connection, expected), (expected_bytes, received, difference_at), notes, hint)| {
            Failure { kind, message, place, connection, expected, expected_bytes, received, difference_at, notes, hint }
        },
    )
}

fn output() -> impl Strategy<Value = Vec<OutputLine>> {
    vec((any::<bool>(), text()).prop_map(|(stderr, text)| OutputLine { stderr, text }), 0..30)
}

fn happening() -> impl Strategy<Value = EventKind> {
    let endpoint = || text().prop_map(Endpoint::Path);
    let how = prop_oneof![Just(End::Fin), Just(End::Reset), Just(End::Unreachable)];
    let actor = || text().prop_map(|text| -> Arc<str> { text.into() });
    let time = || any::<u64>().prop_map(Time::from_nanos);
    prop_oneof![
        (number(), actor(), side(), endpoint(), endpoint()).prop_map(|(connection, actor, dialled, local, peer)| {
            EventKind::ConnectionOpened { connection, actor, transport: Transport::Unix, dialled, local, peer }
        }),
        (number(), actor(), endpoint(), any::<bool>(), text()).prop_map(
            |(connection, actor, peer, refused, reason)| {
                EventKind::ConnectionFailed { connection, actor, transport: Transport::Udp, peer, refused, reason }
            }
        ),
        (number(), data()).prop_map(|(connection, data)| EventKind::Sent { connection, data }),
        (number(), data()).prop_map(|(connection, data)| EventKind::Received { connection, data }),
        (number(), side(), how).prop_map(|(connection, by, how)| EventKind::Ended { connection, by, how }),
        (number(), endpoint()).prop_map(|(connection, peer)| EventKind::PeerMoved { connection, peer }),
        (actor(), number(), endpoint(), endpoint()).prop_map(|(relay, connection, peer, to)| {
            EventKind::RelayOpened { relay, connection, transport: Transport::Tcp, peer, to }
        }),
        (actor(), number(), endpoint(), endpoint(), any::<bool>(), text()).prop_map(
            |(relay, connection, peer, to, refused, reason)| {
                EventKind::RelayFailed { relay, connection, peer, to, refused, reason }
            }
        ),
        (actor(), number(), any::<u64>(), any::<u64>())
            .prop_map(|(relay, connection, up, down)| EventKind::RelayClosed { relay, connection, up, down }),
        (number(), place(), actor(), number(), any::<u64>(), any::<u64>(), text()).prop_map(
            |(fault, place, relay, connection, at_byte, nth, what)| {
                let direction = Direction::Up;
                EventKind::FaultFired { fault, place, relay, connection, direction, at_byte, nth, what }
            }
        ),
        (number(), data()).prop_map(|(connection, data)| EventKind::WireSent { connection, data }),
        (number(), data()).prop_map(|(connection, data)| EventKind::WireReceived { connection, data }),
        (number(), text()).prop_map(|(connection, reason)| EventKind::TlsFailed { connection, reason }),
        (number(), text()).prop_map(|(connection, lines)| EventKind::TlsSecrets { connection, lines }),
        (number(), text(), option::of(text())).prop_map(|(connection, version, alpn)| EventKind::TlsEstablished {
            connection,
            session: TlsSession { version, alpn, ..TlsSession::default() },
        }),
        (number(), time(), option::of(number())).prop_map(|(step, started, connection)| EventKind::StepPassed {
            step,
            started,
            connection
        }),
        (option::of(number()), time(), failure().prop_map(Box::new))
            .prop_map(|(step, started, failure)| EventKind::StepFailed { step, started, failure }),
        (number(), any::<bool>(), actor(), text()).prop_map(|(connection, sent, name, fields)| EventKind::Message {
            connection,
            sent,
            name,
            fields
        }),
        (actor(), data()).prop_map(|(name, value)| EventKind::VariableSet { name, value }),
        text().prop_map(|message| EventKind::Logged { message }),
        any::<u64>().prop_map(|kept| EventKind::RecordingStopped { kept }),
        (text(), text(), text(), option::of(any::<u32>()))
            .prop_map(|(scenario, target, url, pid)| EventKind::TargetStarted { scenario, target, url, pid }),
        (text(), text(), text(), any::<bool>(), output()).prop_map(|(scenario, target, status, crash, output)| {
            EventKind::TargetExited { scenario, target, status, crash, output }
        }),
        (text(), text(), output()).prop_map(|(scenario, target, output)| EventKind::TargetOutput {
            scenario,
            target,
            output
        }),
        text().prop_map(|message| EventKind::Warning { message }),
        (text(), any::<u64>()).prop_map(|(title, running_ns)| EventKind::CaseSlow { title, running_ns }),
        (text(), vec((place(), text(), option::of(text())), 0..3)).prop_map(|(file, mistakes)| {
            let mistake = |(place, message, hint)| Mistake { place, message, hint };
            EventKind::FileInvalid { file, mistakes: mistakes.into_iter().map(mistake).collect() }
        }),
    ]
}

fn started() -> impl Strategy<Value = CaseStarted> {
    let step = (place(), text(), text(), vec(place(), 0..2), option::of(text()))
        .prop_map(|(place, actor, verb, via, note)| StepInfo { via, place, actor: actor.into(), verb, note });
    (text(), text(), text(), any::<u32>(), vec(step, 0..5)).prop_map(|(scenario, name, file, line, steps)| {
        CaseStarted { scenario, name, file, line, attempt: line, tags: Vec::new(), spec: Vec::new(), steps }
    })
}

fn finished() -> impl Strategy<Value = CaseFinished> {
    use Verdict::*;
    let verdicts =
        [Passed, Failed, Crashed, Unreachable, ExpectedFailure, UnexpectedPass, Flaky, Retried, Skipped, Interrupted];
    let numbers = (any::<u64>(), option::of(any::<u64>()));
    (proptest::sample::select(verdicts.to_vec()), numbers, option::of(text()), option::of(text()), option::of(text()))
        .prop_map(|(verdict, (duration_ns, frame), reason, capture, reproduce)| CaseFinished {
            verdict,
            reason,
            duration_ns,
            capture,
            frame,
            reproduce,
        })
}

fn case() -> impl Strategy<Value = Vec<Event>> {
    let events = vec((any::<u64>(), happening()), 0..40);
    (started(), events, finished()).prop_map(|(started, events, finished)| {
        let event = |at, kind| Event { at: Time::from_nanos(at), case: Some(3), kind };
        let mut case = vec![event(5, EventKind::CaseStarted(Arc::new(started)))];
        case.extend(events.into_iter().map(|(at, kind)| event(at, kind)));
        case.push(event(9, EventKind::CaseFinished(finished)));
        case
    })
}

/// A run with anything in it.
fn stream() -> impl Strategy<Value = Vec<Event>> {
    let outside = vec((any::<u64>(), happening()), 0..5);
    let began = (any::<u64>(), any::<u64>(), text());
    (began, vec(case(), 0..3), outside, any::<u64>()).prop_map(|((seed, unix_ns, harness), cases, outside, passed)| {
        let event = |at, kind| Event { at: Time::from_nanos(at), case: None, kind };
        let run = RunStarted { v: VERSION, harness, seed, unix_ns, command: Vec::new() };
        let mut stream = vec![event(0, EventKind::RunStarted(run))];
        stream.extend(cases.into_iter().flatten());
        stream.extend(outside.into_iter().map(|(at, kind)| event(at, kind)));
        let summary = Summary { passed, failed: passed, ..Summary::default() };
        stream.push(event(1, EventKind::RunFinished { summary, exit_code: 1 }));
        stream
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let verbosity = prop_oneof![Just(Verbosity::Quiet), Just(Verbosity::Normal), Just(Verbosity::Verbose)];
    let width = prop_oneof![Just(0), Just(1), 2..60_usize, Just(80), Just(120), Just(160)];
    (width, verbosity, option::of(text())).prop_map(|(width, verbosity, folder)| Settings {
        verbosity,
        folder,
        ..Settings::plain(width)
    })
}

/// Whether a terminal would take a character as anything but a character.
fn is_obeyed(c: char) -> bool {
    c != '\n'
        && (c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through(stream in stream(), settings in settings()) {
        let text = report("human", &settings, &stream);
        prop_assert!(!text.contains(is_obeyed), "{text:?}");
    }

    #[test]
    fn whatever_is_in_a_line_stays_in_it(stream in stream(), settings in settings()) {
        for name in ["github", "tap"] {
            let text = report(name, &settings, &stream);
            prop_assert!(!text.contains(is_obeyed), "{text:?}");
            let words = match name {
                "github" => &["::error ", "::warning "][..],
                _ => &["TAP version 14", "# ", "ok ", "not ok ", "  ---", "  ", "1..", "Bail out! "],
            };
            let stray = text.lines().find(|line| !words.iter().any(|word| line.starts_with(word)));
            prop_assert!(stray.is_none(), "{stray:?} in {text}");
        }
    }

    #[test]
    fn every_run_is_junit(stream in stream(), settings in settings()) {
        let xml = report("junit", &settings, &stream);
        prop_assert!(!xml.contains(|c| is_obeyed(c) || matches!(c, '\u{fffe}' | '\u{ffff}')), "{xml:?}");
        let read = quick_junit::Report::deserialize_from_str(&xml);
        prop_assert!(read.is_ok(), "{read:?} of {xml}");
    }

    #[test]
    fn every_run_reads_back_from_json(stream in stream(), settings in settings()) {
        let lines = report("json", &settings, &stream);
        let read: Result<Vec<Event>, _> = lines.lines().map(serde_json::from_str).collect();
        prop_assert_eq!(read.expect("every line is an event"), stream);
    }
}
