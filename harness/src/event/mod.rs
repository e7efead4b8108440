//! What a run tells: one versioned stream of events.
//!
//! Everything that a person or a file learns about a run comes from here. The terminal, JSON, `JUnit`
//! and the captures are functions of these events; stored as `events.ndjson`, one object a line, they
//! render again.
//!
//! The core emits events with the time that its caller gave it: the moment just before a write and
//! just after a read. Nothing here reads a clock, formats for people or touches a file.

mod case;
mod connection;
mod data;
mod failure;
mod stored;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::case::{CaseFinished, CaseStarted, StepInfo, Summary, Verdict};
pub use self::connection::{Direction, End, Endpoint, Side, TlsSession, Transport};
pub use self::failure::{Failure, FailureKind, Mistake, Place};
pub use self::stored::{CaseSize, Reduced, Replayed};
use crate::time::Time;

/// The version of the stream, in its first event. It grows when a reader would have to change.
pub const VERSION: u32 = 1;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in nanoseconds since the run began.
    #[serde(rename = "at_ns")]
    pub at: Time,
    /// In which case; `None` for what belongs to the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<u32>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// Makes all its times so much later.
    pub fn delay(&mut self, by: Duration) {
        self.at = self.at + by;
        if let EventKind::StepPassed { started, .. } | EventKind::StepFailed { started, .. } = &mut self.kind {
            *started = *started + by;
        }
    }
}

/// What happened. Connections and steps are numbered within their case, from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// The first event of a run.
    RunStarted(RunStarted),
    /// The last event of a run.
    RunFinished {
        /// What came of it.
        summary: Summary,
        /// The exit code of the process, see the command line's table.
        exit_code: u8,
    },
    /// A scenario or another input file was not valid, so none of its cases was played.
    FileInvalid {
        /// The file, as it was named on the command line.
        file: String,
        /// Every mistake in it.
        mistakes: Vec<Mistake>,
    },
    /// Something that a person should know and that changes no verdict.
    Warning {
        /// One sentence.
        message: String,
    },
    /// A target is up.
    TargetStarted {
        /// The scenario that it belongs to.
        scenario: String,
        /// Its name in the file.
        target: String,
        /// Where it serves.
        url: String,
        /// The process, where there is one of our own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
    },
    /// A target's process ended.
    TargetExited {
        /// The scenario that it belongs to.
        scenario: String,
        /// Its name in the file.
        target: String,
        /// Its end in words: `exit status 3`, `signal SIGSEGV`.
        status: String,
        /// Whether this counts as a crash.
        crash: bool,
        /// The last lines of what it wrote.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        output: Vec<OutputLine>,
    },
    /// A case goes on for long. Told once it has taken that long, and again each time that it has taken as long once more.
    CaseSlow {
        /// Its scenario and its name: `echo: waits`.
        title: String,
        /// How long it has been going on, all its attempts together.
        running_ns: u64,
    },
    /// What a target wrote last, when a case with it failed and it still runs.
    TargetOutput {
        /// The scenario that it belongs to.
        scenario: String,
        /// Its name in the file.
        target: String,
        /// The last lines of what it wrote.
        output: Vec<OutputLine>,
    },
    /// A case begins.
    CaseStarted(Arc<CaseStarted>),
    /// A case ended.
    CaseFinished(CaseFinished),
    /// A connection is open, or for UDP a socket is connected to its peer.
    ConnectionOpened {
        /// The connection's number.
        connection: u32,
        /// Whose it is.
        actor: Arc<str>,
        /// What carries it.
        transport: Transport,
        /// Which side dialled.
        dialled: Side,
        /// Our address.
        local: Endpoint,
        /// The other side's.
        peer: Endpoint,
    },
    /// A connection could not be opened.
    ConnectionFailed {
        /// The connection's number.
        connection: u32,
        /// Whose it would have been.
        actor: Arc<str>,
        /// What should have carried it.
        transport: Transport,
        /// The address that was dialled.
        peer: Endpoint,
        /// Whether the peer refused it (RST, port unreachable), as opposed to silence or an error of ours.
        refused: bool,
        /// Why, in the system's words.
        reason: String,
    },
    /// Bytes that the socket accepted from us: one event a write.
    Sent {
        /// The connection's number.
        connection: u32,
        /// The bytes.
        #[serde(with = "data")]
        data: Bytes,
    },
    /// Bytes that one read brought, or one datagram.
    Received {
        /// The connection's number.
        connection: u32,
        /// The bytes.
        #[serde(with = "data")]
        data: Bytes,
    },
    /// One direction of a connection ended, or all of it.
    Ended {
        /// The connection's number.
        connection: u32,
        /// Which side ended it.
        by: Side,
        /// How.
        how: End,
    },
    /// Another than was asked has answered a datagram, and is the peer from here on (TFTP does so, RFC 1350 section 4).
    PeerMoved {
        /// The connection's number.
        connection: u32,
        /// The new peer.
        peer: Endpoint,
    },
    /// Somebody has come to a relay, and the relay has connected on.
    RelayOpened {
        /// The relay.
        relay: Arc<str>,
        /// The connection through it, from 1 in the order in which they came.
        connection: u32,
        /// What carries it on the side of whoever came.
        transport: Transport,
        /// Who came.
        peer: Endpoint,
        /// Where the relay has connected to.
        to: Endpoint,
    },
    /// A relay could not connect on, or nobody is there any more; a stream's client was reset.
    RelayFailed {
        /// The relay.
        relay: Arc<str>,
        /// The connection through it, from 1.
        connection: u32,
        /// Who came.
        peer: Endpoint,
        /// Where it should have gone on to.
        to: Endpoint,
        /// Whether that side refused it, as opposed to silence or an error of ours.
        refused: bool,
        /// Why, in the system's words.
        reason: String,
    },
    /// A connection through a relay has ended, or its case has.
    RelayClosed {
        /// The relay.
        relay: Arc<str>,
        /// The connection through it, from 1.
        connection: u32,
        /// How many bytes have passed from whoever came.
        up: u64,
        /// How many have passed back.
        down: u64,
    },
    /// A fault has fired on a relay.
    FaultFired {
        /// The fault's number: those of the file first, then those of the case, from 1.
        fault: u32,
        /// Where it stands.
        place: Place,
        /// The relay.
        relay: Arc<str>,
        /// The connection through it, from 1.
        connection: u32,
        /// In which direction.
        direction: Direction,
        /// How many bytes had passed in that direction before the place where it fired.
        at_byte: u64,
        /// The message, read or datagram in which it fired, from 1; 0 before the first.
        nth: u64,
        /// What it did, in words.
        what: String,
    },
    /// A step held.
    StepPassed {
        /// The step's number in [`CaseStarted::steps`].
        step: u32,
        /// When it began.
        #[serde(rename = "started_ns")]
        started: Time,
        /// The connection that it acted on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connection: Option<u32>,
    },
    /// A step did not hold. The case ends with it, but for what it has deferred.
    StepFailed {
        /// The step's number in [`CaseStarted::steps`]; `None` for the judgement at a case's end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<u32>,
        /// When it began.
        #[serde(rename = "started_ns")]
        started: Time,
        /// What differed.
        failure: Box<Failure>,
    },
    /// TLS is on: what it carries is in `Sent` and `Received` from here on, what goes over the wire in `WireSent` and
    /// `WireReceived`.
    TlsEstablished {
        /// The connection's number.
        connection: u32,
        /// What the two sides have agreed on.
        #[serde(flatten)]
        session: TlsSession,
    },
    /// A TLS handshake failed.
    TlsFailed {
        /// The connection's number.
        connection: u32,
        /// Why.
        reason: String,
    },
    /// Secrets that open what a connection's records hold, of certificates that were made for this run.
    TlsSecrets {
        /// The connection's number.
        connection: u32,
        /// Lines in the format of NSS key logs (`SSLKEYLOGFILE`).
        lines: String,
    },
    /// A message of the actor's protocol: one that will be sent, or that a step has taken.
    Message {
        /// The connection's number.
        connection: u32,
        /// Whether it is sent.
        sent: bool,
        /// Its name.
        name: Arc<str>,
        /// Its fields in words, cut where they are long.
        fields: String,
    },
    /// A variable was set, by a capture or by `set`.
    VariableSet {
        /// Its name.
        name: Arc<str>,
        /// Its value.
        #[serde(with = "data")]
        value: Bytes,
    },
    /// What a `log` step says.
    Logged {
        /// The text, variables filled in.
        message: String,
    },
    /// The case was made smaller, and this is what came of it.
    Reduced(Box<Reduced>),
    /// The case is a stored one, and was played again.
    Replayed(Box<Replayed>),
    /// Bytes of TLS records that the socket brought.
    WireReceived {
        /// The connection's number.
        connection: u32,
        /// The bytes.
        #[serde(with = "data")]
        data: Bytes,
    },
    /// Bytes of TLS records that the socket accepted from us.
    WireSent {
        /// The connection's number.
        connection: u32,
        /// The bytes.
        #[serde(with = "data")]
        data: Bytes,
    },
    /// The case's record is full: from here on its data and passed steps are counted, not kept.
    RecordingStopped {
        /// How many bytes of events were kept.
        kept: u64,
    },
}

/// The first event's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// [`VERSION`].
    pub v: u32,
    /// The harness's own version.
    pub harness: String,
    /// What all chance in the run comes from.
    pub seed: u64,
    /// Nanoseconds since 1970 (UTC) at time zero of this run.
    pub unix_ns: u64,
    /// The command line, for repeating the run.
    pub command: Vec<String>,
}

/// One line that a target wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLine {
    /// `true` for stderr, `false` for stdout.
    pub stderr: bool,
    /// The text, undecodable bytes replaced.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(kind: EventKind, json: &str) {
        let event = Event { at: Time::from_nanos(7), case: Some(3), kind };
        assert_eq!(serde_json::to_string(&event).expect("events are plain data"), json);
        assert_eq!(serde_json::from_str::<Event>(json).expect("what was written reads back"), event);
    }

    #[test]
    fn text_is_written_as_text() {
        round_trip(
            EventKind::Sent { connection: 0, data: Bytes::from_static(b"hello\n") },
            r#"{"at_ns":7,"case":3,"type":"sent","connection":0,"data":"hello\n"}"#,
        );
    }

    #[test]
    fn other_bytes_are_written_in_base64() {
        round_trip(
            EventKind::Received { connection: 1, data: Bytes::from_static(&[0xff, 0]) },
            r#"{"at_ns":7,"case":3,"type":"received","connection":1,"data":{"base64":"/wA="}}"#,
        );
    }
}
