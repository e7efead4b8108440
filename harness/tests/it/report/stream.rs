//! Streams of events made by hand, and where reports of them are caught.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use harness::event::*;
use harness::report::{CaseRecord, Output, REPORTERS, Reporter, Settings};
use harness::time::Time;

/// Bytes written to a report, for reading them afterwards.
#[derive(Clone, Default)]
pub(crate) struct Caught(Arc<Mutex<Vec<u8>>>);

impl Caught {
    pub(crate) fn output(&self) -> Output {
        Output::Writer(Box::new(self.clone()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).expect("reports are UTF-8")
    }
}

impl Write for Caught {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the reporter of this name says of a stream.
pub(crate) fn report(name: &str, settings: &Settings, stream: &[Event]) -> String {
    let caught = Caught::default();
    let entry = REPORTERS.iter().find(|entry| entry.name == name).expect("the reporter is in the table");
    let mut reporter = (entry.open)(caught.output(), settings).expect("a buffer opens");
    tell(stream, &mut *reporter).expect("a buffer takes what is written");
    caught.text()
}

/// Tells a stream as a runner would: cases whole, the rest as it comes.
pub(crate) fn tell(stream: &[Event], reporter: &mut dyn Reporter) -> io::Result<()> {
    let mut rest = stream;
    while let Some(event) = rest.first() {
        let len = rest.iter().take_while(|event| event.case.is_some()).count();
        let end = rest[..len].iter().position(|event| matches!(event.kind, EventKind::CaseFinished(_)));
        match end {
            Some(end) => {
                reporter.case(&CaseRecord::new(&rest[..=end]).expect("a case begins and ends"))?;
                rest = &rest[end + 1..];
            }
            None => {
                reporter.event(event)?;
                rest = &rest[1..];
            }
        }
    }
    Ok(())
}

pub(crate) fn run_started() -> Event {
    let kind = EventKind::RunStarted(RunStarted {
        v: VERSION,
        harness: "0.1.0".to_owned(),
        seed: 42,
        unix_ns: 1_790_000_000_123_456_789,
        command: vec!["harness".to_owned(), "run".to_owned(), "scenarios".to_owned()],
    });
    Event { at: Time::ZERO, case: None, kind }
}

pub(crate) fn run_finished(stream: &[Event]) -> Event {
    let mut summary = Summary { duration_ns: 1_250_000_000, ..Summary::default() };
    for event in stream {
        match &event.kind {
            EventKind::CaseFinished(finished) => summary.count(finished.verdict),
            EventKind::FileInvalid { .. } => summary.invalid_files += 1,
            _ => {}
        }
    }
    let at = stream.last().map_or(Time::ZERO, |event| event.at);
    Event { at, case: None, kind: EventKind::RunFinished { summary, exit_code: 1 } }
}

/// Start, `cases`, end.
pub(crate) fn run(cases: Vec<Vec<Event>>) -> Vec<Event> {
    let mut stream = vec![run_started()];
    stream.extend(cases.into_iter().flatten());
    stream.push(run_finished(&stream));
    stream
}

pub(crate) fn place(line: u32, column: u32, width: u32, text: &str) -> Place {
    Place { file: "scenarios/echo.toml".into(), line, column, width, text: text.into() }
}

pub(crate) fn failure(kind: FailureKind, message: &str, place: Place) -> Failure {
    Failure {
        kind,
        message: message.to_owned(),
        place,
        connection: Some(0),
        expected: None,
        expected_bytes: None,
        received: None,
        difference_at: None,
        notes: Vec::new(),
        hint: None,
    }
}

/// A stream with everything that a report has a word for: most verdicts, attempts, a crash, a warning, an invalid file.
pub(crate) fn everything() -> Vec<Event> {
    let line = |name: &str, number| Case::new(number, name).step("expect", place(11, 3, 5, "{ x }")).connected();
    let mismatch = || {
        let text = "{ expect = \"a\" }";
        let mut mismatch = failure(FailureKind::Mismatch, "expected `a`, received `<\x1b]]>`", place(11, 3, 5, text));
        mismatch.expected_bytes = Some("a".into());
        mismatch.received = Some("<\x1b]]>".into());
        mismatch.hint = Some("is it 50%\r\n, or more: so".to_owned());
        mismatch
    };
    let crash = failure(FailureKind::Crash, "the target crashed", place(11, 3, 5, "{ x }"));
    let mistake = Mistake {
        place: Place { file: "scenarios/bad.toml".into(), ..place(3, 1, 7, "timeuot = 1") },
        message: "unknown key `timeuot`".to_owned(),
        hint: Some("did you mean `timeout`?".to_owned()),
    };
    let mut stream = run(vec![
        line("passes # \\", 0).finished(Verdict::Passed),
        line("fails", 1).failed(Some(0), mismatch()).finished(Verdict::Retried),
        line("comes and goes", 2).failed(Some(0), mismatch()).finished(Verdict::Retried),
        line("fails", 1).attempt(2).failed(Some(0), mismatch()).finished(Verdict::Failed),
        line("comes and goes", 2).attempt(2).finished_because(Verdict::Flaky, "it held at attempt 2"),
        line("skips", 3).finished_because(Verdict::Skipped, "no \"redis\""),
        line("known", 4).finished_because(Verdict::ExpectedFailure, "until 2.0"),
        line("survives", 5).failed(Some(0), crash).finished(Verdict::Crashed),
        line("never ends", 6).finished_because(Verdict::Interrupted, "ctrl-c"),
    ]);
    let at = stream.len() - 1;
    let outside = |kind| Event { at: Time::ZERO, case: None, kind };
    stream.insert(at, outside(EventKind::Warning { message: "a target\nhad to be killed".to_owned() }));
    stream
        .insert(at, outside(EventKind::CaseSlow { title: "echo: never ends".to_owned(), running_ns: 10_000_900_000 }));
    let file = "scenarios/bad.toml".to_owned();
    stream.insert(at, outside(EventKind::FileInvalid { file, mistakes: vec![mistake] }));
    if let EventKind::RunFinished { summary, .. } = &mut stream.last_mut().unwrap().kind {
        summary.invalid_files = 1;
    }
    stream
}

/// A case in the making: one client, one connection.
pub(crate) struct Case {
    number: u32,
    now: u64,
    begin: u64,
    started: CaseStarted,
    events: Vec<EventKind>,
    times: Vec<u64>,
    failed: Option<String>,
}

impl Case {
    pub(crate) fn new(number: u32, name: &str) -> Case {
        let started = CaseStarted {
            scenario: "echo".to_owned(),
            name: name.to_owned(),
            file: "scenarios/echo.toml".to_owned(),
            line: 8,
            attempt: 1,
            tags: Vec::new(),
            spec: Vec::new(),
            steps: Vec::new(),
        };
        Case { number, now: 1_000_000, begin: 1_000_000, started, events: Vec::new(), times: Vec::new(), failed: None }
    }

    pub(crate) fn attempt(mut self, attempt: u32) -> Case {
        self.started.attempt = attempt;
        self
    }

    pub(crate) fn named(mut self, scenario: &str) -> Case {
        self.started.scenario = scenario.to_owned();
        self
    }

    pub(crate) fn step(mut self, verb: &str, place: Place) -> Case {
        self.started.steps.push(StepInfo {
            place,
            actor: "client".into(),
            verb: verb.to_owned(),
            via: Vec::new(),
            note: None,
        });
        self
    }

    pub(crate) fn note(mut self, note: &str) -> Case {
        self.started.steps.last_mut().unwrap().note = Some(note.to_owned());
        self
    }

    pub(crate) fn after(mut self, nanos: u64) -> Case {
        self.now += nanos;
        self
    }

    pub(crate) fn event(mut self, kind: EventKind) -> Case {
        self.events.push(kind);
        self.times.push(self.now);
        self
    }

    pub(crate) fn connected(self) -> Case {
        self.event(EventKind::ConnectionOpened {
            connection: 0,
            actor: "client".into(),
            transport: Transport::Tcp,
            dialled: Side::Local,
            local: Endpoint::Ip("127.0.0.1:49152".parse().unwrap()),
            peer: Endpoint::Ip("127.0.0.1:7001".parse().unwrap()),
        })
        .after(85_000)
    }

    pub(crate) fn sent(self, data: impl Into<Bytes>) -> Case {
        self.event(EventKind::Sent { connection: 0, data: data.into() }).after(20_000)
    }

    pub(crate) fn received(self, data: impl Into<Bytes>) -> Case {
        self.event(EventKind::Received { connection: 0, data: data.into() }).after(4_000)
    }

    pub(crate) fn passed(self, step: u32) -> Case {
        let started = Time::from_nanos(self.times.last().copied().unwrap_or(self.now));
        self.event(EventKind::StepPassed { step, started, connection: None }).after(1_000)
    }

    pub(crate) fn failed(mut self, step: Option<u32>, failure: Failure) -> Case {
        self.failed = Some(failure.message.clone());
        let started = Time::from_nanos(self.times.last().copied().unwrap_or(self.now));
        self.event(EventKind::StepFailed { step, started, failure: Box::new(failure) })
    }

    pub(crate) fn finished(self, verdict: Verdict) -> Vec<Event> {
        let reason = self.failed.clone();
        let held = verdict.is_good();
        let name = self.started.name.replace(' ', "-");
        self.ended(|duration_ns| CaseFinished {
            verdict,
            reason,
            duration_ns,
            capture: (!held).then(|| format!("captures/echo/{name}.pcapng")),
            frame: (!held).then_some(7),
            reproduce: (!held).then(|| format!("harness run scenarios/echo.toml --filter 'case({name})' --seed 42")),
        })
    }

    pub(crate) fn finished_because(self, verdict: Verdict, reason: &str) -> Vec<Event> {
        let reason = Some(reason.to_owned());
        self.ended(|duration_ns| CaseFinished {
            verdict,
            reason,
            duration_ns,
            capture: None,
            frame: None,
            reproduce: None,
        })
    }

    fn ended(self, finished: impl FnOnce(u64) -> CaseFinished) -> Vec<Event> {
        let Case { number, now, begin, started, events, times, .. } = self;
        let event = |at: u64, kind| Event { at: Time::from_nanos(at), case: Some(number), kind };
        let mut stream = vec![event(begin, EventKind::CaseStarted(Arc::new(started)))];
        stream.extend(times.into_iter().zip(events).map(|(at, kind)| event(at, kind)));
        stream.push(event(now, EventKind::CaseFinished(finished(now - begin))));
        stream
    }
}
