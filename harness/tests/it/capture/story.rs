//! A case told event by event, the shortest way.

use std::sync::Arc;

use bytes::Bytes;
use harness::capture::{Encoded, Format, encode};
use harness::event::{
    CaseFinished, CaseStarted, End, Endpoint, Event, EventKind, Failure, FailureKind, Place, RunStarted, Side,
    StepInfo, Transport, VERSION, Verdict,
};
use harness::time::Time;

/// When the runs of these tests began: 2023-11-14, 22:13:20.123456789 UTC.
pub(crate) const UNIX_NS: u64 = 1_700_000_000_123_456_789;

/// A case in the making. Each event is a microsecond after the one before.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) run: RunStarted,
    pub(crate) case: CaseStarted,
    pub(crate) events: Vec<Event>,
    pub(crate) finished: Option<CaseFinished>,
    now_ns: u64,
}

impl Story {
    pub(crate) fn new() -> Story {
        let run =
            RunStarted { v: VERSION, harness: "0.1.0".into(), seed: 42, unix_ns: UNIX_NS, command: vec!["run".into()] };
        let case = CaseStarted {
            scenario: "echo".into(),
            name: "echoes a line".into(),
            file: "scenarios/echo.toml".into(),
            line: 4,
            attempt: 1,
            tags: Vec::new(),
            spec: Vec::new(),
            steps: Vec::new(),
        };
        Story { run, case, events: Vec::new(), finished: None, now_ns: 0 }
    }

    /// Adds a step to the case's table and gives its number.
    pub(crate) fn step(&mut self, actor: &str, verb: &str) -> u32 {
        let step = self.case.steps.len() as u32;
        let place = place(6 + step);
        self.case.steps.push(StepInfo { place, actor: actor.into(), verb: verb.into(), via: Vec::new(), note: None });
        step
    }

    pub(crate) fn event(&mut self, kind: EventKind) -> &mut Story {
        self.now_ns += 1_000;
        self.events.push(Event { at: Time::from_nanos(self.now_ns), case: Some(0), kind });
        self
    }

    /// Opens a connection from `local` to `peer` as the client.
    pub(crate) fn connect(
        &mut self,
        connection: u32,
        actor: &str,
        transport: Transport,
        local: &str,
        peer: &str,
    ) -> &mut Story {
        self.open(connection, actor, transport, Side::Local, local, peer)
    }

    /// Opens a connection as the server, which is `local`.
    pub(crate) fn accept(
        &mut self,
        connection: u32,
        actor: &str,
        transport: Transport,
        local: &str,
        peer: &str,
    ) -> &mut Story {
        self.open(connection, actor, transport, Side::Peer, local, peer)
    }

    fn open(
        &mut self,
        connection: u32,
        actor: &str,
        transport: Transport,
        dialled: Side,
        local: &str,
        peer: &str,
    ) -> &mut Story {
        let (actor, local, peer) = (Arc::from(actor), endpoint(local), endpoint(peer));
        self.event(EventKind::ConnectionOpened { connection, actor, transport, dialled, local, peer })
    }

    pub(crate) fn refuse(&mut self, connection: u32, transport: Transport, peer: &str, refused: bool) -> &mut Story {
        let reason = if refused { "connection refused" } else { "timed out" }.to_owned();
        let (actor, peer) = (Arc::from("client"), endpoint(peer));
        self.event(EventKind::ConnectionFailed { connection, actor, transport, peer, refused, reason })
    }

    pub(crate) fn sent(&mut self, connection: u32, data: impl AsRef<[u8]>) -> &mut Story {
        self.event(EventKind::Sent { connection, data: Bytes::copy_from_slice(data.as_ref()) })
    }

    pub(crate) fn received(&mut self, connection: u32, data: impl AsRef<[u8]>) -> &mut Story {
        self.event(EventKind::Received { connection, data: Bytes::copy_from_slice(data.as_ref()) })
    }

    pub(crate) fn ended(&mut self, connection: u32, by: Side, how: End) -> &mut Story {
        self.event(EventKind::Ended { connection, by, how })
    }

    /// Both directions end, ours first.
    pub(crate) fn close(&mut self, connection: u32) -> &mut Story {
        self.ended(connection, Side::Local, End::Fin).ended(connection, Side::Peer, End::Fin)
    }

    /// The step ends well, having begun `events` events ago.
    pub(crate) fn passed(&mut self, step: u32, events: u64) -> &mut Story {
        let started = Time::from_nanos(self.now_ns.saturating_sub(events * 1_000));
        self.event(EventKind::StepPassed { step, started, connection: None })
    }

    pub(crate) fn failed(&mut self, step: Option<u32>, connection: Option<u32>, message: &str) -> &mut Story {
        let started = Time::from_nanos(self.now_ns);
        let failure = Box::new(Failure {
            kind: FailureKind::Mismatch,
            message: message.into(),
            place: place(6 + step.unwrap_or(0)),
            connection,
            expected: None,
            expected_bytes: None,
            received: None,
            difference_at: None,
            notes: Vec::new(),
            hint: None,
        });
        self.event(EventKind::StepFailed { step, started, failure })
    }

    pub(crate) fn finish(&mut self, verdict: Verdict) -> &mut Story {
        self.finished = Some(CaseFinished {
            verdict,
            reason: None,
            duration_ns: self.now_ns,
            capture: None,
            frame: None,
            reproduce: Some("harness run scenarios/echo.toml --seed 42".into()),
        });
        self
    }

    pub(crate) fn encode(&self) -> Encoded {
        self.encode_as(Format::Pcapng)
    }

    pub(crate) fn encode_as(&self, format: Format) -> Encoded {
        encode(&self.run, &self.case, &self.events, self.finished.as_ref(), format)
    }
}

/// The case that most tests begin with: a line, its echo, and an orderly end, by a client at 127.0.0.1:50000.
pub(crate) fn echo() -> Story {
    let mut story = Story::new();
    let send = story.step("client", "send");
    let expect = story.step("client", "expect");
    story.connect(0, "client", Transport::Tcp, "127.0.0.1:50000", "127.0.0.1:7");
    story.sent(0, "hello\n").passed(send, 2).received(0, "hello\n").passed(expect, 1).close(0);
    story.finish(Verdict::Passed);
    story
}

pub(crate) fn endpoint(text: &str) -> Endpoint {
    text.parse().map_or_else(|_| Endpoint::Path(text.to_owned()), Endpoint::Ip)
}

fn place(line: u32) -> Place {
    Place { file: "scenarios/echo.toml".into(), line, column: 3, width: 1, text: "".into() }
}
