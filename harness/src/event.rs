//! What a run tells: one versioned stream of events.
//!
//! Everything that a person or a file learns about a run comes from here. The terminal, JSON, `JUnit`
//! and the captures are functions of these events; stored as `events.ndjson`, one object a line, they
//! render again.
//!
//! The core emits events with the time that its caller gave it: the moment just before a write and
//! just after a read. Nothing here reads a clock, formats for people or touches a file.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// What came of making a case smaller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reduced {
    /// What went wrong: `crash`, `hang`, `leak`, `panic`, `property`, `wrong-answer`.
    pub kind: String,
    /// Where and how.
    pub fingerprint: String,
    /// `deterministic`, `flaky` or `needs-history`.
    pub verdict: String,
    /// How often it fails, of a hundred plays.
    pub percent: u32,
    /// How many plays that took.
    pub replays: u64,
    /// How many of them were of a case that became the smallest.
    pub accepted: u64,
    /// How large it was.
    pub from: CaseSize,
    /// How large it is.
    pub to: CaseSize,
    /// What matters in what is sent, a line a step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matters: Vec<String>,
    /// Whether there was nothing left to try.
    pub complete: bool,
    /// Other failures that were met on the way: the files that hold them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

/// How large a case is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseSize {
    /// Connections that are opened.
    pub connections: u64,
    /// Messages that are sent.
    pub messages: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// What came of playing a stored case again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// `fixed`, `failed`, `flaky` or `error`.
    pub fate: String,
    /// How often it was played.
    pub plays: u32,
    /// How often it failed.
    pub failures: u32,
    /// What went wrong now: kind and fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// What went wrong when it was stored, where that was something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// That it is a known failure, or was: the issue and the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// What differs from the stored capture, a line an answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
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

/// What is known when a case begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseStarted {
    /// The scenario's name.
    pub scenario: String,
    /// The case's name, with `#2`, `#3`, … for repetitions.
    pub name: String,
    /// The file it stands in, as it was named on the command line.
    pub file: String,
    /// The line where the case begins, from 1.
    pub line: u32,
    /// Which time it is played, from 1: what does not hold is played again, if `--retries` says so.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub attempt: u32,
    /// Its tags and its file's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Clauses of a specification that it checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spec: Vec<String>,
    /// All its steps, those inside `repeat` once, in the order of the file.
    pub steps: Vec<StepInfo>,
}

/// The number of a case's first attempt.
fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_first(attempt: &u32) -> bool {
    *attempt == first()
}

/// One step of a case, as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepInfo {
    /// Where it stands.
    pub place: Place,
    /// Who acts.
    pub actor: Arc<str>,
    /// `send`, `expect`, …
    pub verb: String,
    /// Where the fragment that it stands in is used, the innermost use first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<Place>,
    /// The author's `note`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseFinished {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, where the verdict alone does not say it: the reason of a skip, the failure's first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long it took.
    pub duration_ns: u64,
    /// Its capture, relative to the run's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<String>,
    /// The frame in the capture that shows the failure, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
    /// The command that plays this case alone with the same seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproduce: Option<String>,
}

/// What is said of a case in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything held.
    Passed,
    /// A step did not hold.
    Failed,
    /// The target crashed while it was in use.
    Crashed,
    /// The target did not start or could not be reached.
    Unreachable,
    /// It failed, as `xfail` said it would.
    ExpectedFailure,
    /// It held although `xfail` said it would not.
    UnexpectedPass,
    /// It did not hold at first, and held when it was played again.
    Flaky,
    /// It did not hold, and is played again: no case ends with this, only an attempt.
    Retried,
    /// It was not played.
    Skipped,
    /// The run ended before it did.
    Interrupted,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Cases with [`Verdict::Passed`].
    pub passed: u64,
    /// Cases with [`Verdict::Failed`] or [`Verdict::UnexpectedPass`].
    pub failed: u64,
    /// Cases with [`Verdict::Crashed`].
    pub crashed: u64,
    /// Cases with [`Verdict::Unreachable`].
    pub unreachable: u64,
    /// Cases with [`Verdict::ExpectedFailure`].
    pub expected_failures: u64,
    /// Cases with [`Verdict::Flaky`].
    #[serde(default)]
    pub flaky: u64,
    /// Cases with [`Verdict::Skipped`].
    pub skipped: u64,
    /// Cases with [`Verdict::Interrupted`], and those that were never begun.
    pub interrupted: u64,
    /// Files that were not valid.
    pub invalid_files: u64,
    /// How long the run took.
    pub duration_ns: u64,
}

impl Verdict {
    /// Its name, as the stream has it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Crashed => "crashed",
            Verdict::Unreachable => "unreachable",
            Verdict::ExpectedFailure => "expected_failure",
            Verdict::UnexpectedPass => "unexpected_pass",
            Verdict::Flaky => "flaky",
            Verdict::Retried => "retried",
            Verdict::Skipped => "skipped",
            Verdict::Interrupted => "interrupted",
        }
    }

    /// Whether nothing is wrong with the case in the end.
    pub fn is_good(self) -> bool {
        matches!(self, Verdict::Passed | Verdict::ExpectedFailure | Verdict::Flaky | Verdict::Skipped)
    }
}

impl Summary {
    /// How many cases were planned, whatever became of them.
    pub fn cases(&self) -> u64 {
        let held = [self.passed, self.expected_failures, self.flaky, self.skipped];
        let rest = [self.failed, self.crashed, self.unreachable, self.interrupted];
        held.iter().chain(&rest).fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Counts one case; an attempt that is not the last one is none.
    pub fn count(&mut self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Passed => &mut self.passed,
            Verdict::Failed | Verdict::UnexpectedPass => &mut self.failed,
            Verdict::Crashed => &mut self.crashed,
            Verdict::Unreachable => &mut self.unreachable,
            Verdict::ExpectedFailure => &mut self.expected_failures,
            Verdict::Flaky => &mut self.flaky,
            Verdict::Retried => return,
            Verdict::Skipped => &mut self.skipped,
            Verdict::Interrupted => &mut self.interrupted,
        };
        *counter += 1;
    }
}

/// Why a step did not hold, in parts, so that every reporter can lay it out its own way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// One line: lowercase, no full stop, expected before received.
    pub message: String,
    /// Where the step stands in the scenario.
    pub place: Place,
    /// The connection that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<u32>,
    /// What was expected, in words: `exactly 6 bytes`, `a match of the regex …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The exact bytes that were expected, where the expectation is one of bytes.
    #[serde(default, with = "data::option", skip_serializing_if = "Option::is_none")]
    pub expected_bytes: Option<Bytes>,
    /// The bytes that the step looked at.
    #[serde(default, with = "data::option", skip_serializing_if = "Option::is_none")]
    pub received: Option<Bytes>,
    /// The first byte of `received` that shows the difference; it may be its length, where bytes are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference_at: Option<u64>,
    /// More lines: which deadline it was and where it was set, which repetition, what else had arrived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of which no more is known.
    pub fn new(kind: FailureKind, message: impl Into<String>, place: Place) -> Failure {
        Failure {
            kind,
            message: message.into(),
            place,
            connection: None,
            expected: None,
            expected_bytes: None,
            received: None,
            difference_at: None,
            notes: Vec::new(),
            hint: None,
        }
    }
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The peer ended the connection too early, or did not end it.
    Closed,
    /// A command or a process did not do what a step wanted.
    Command,
    /// The target crashed.
    Crash,
    /// Actors wait for each other, or for what nobody will bring.
    Deadlock,
    /// A limit of the harness was reached.
    Limit,
    /// Bytes arrived that nobody asked for.
    Leftover,
    /// What arrived is not what was expected.
    Mismatch,
    /// Nobody listens there.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The step cannot be done: not connected, a variable without a value, a number that is none.
    Script,
    /// The system refused a read or a write.
    System,
    /// A target used more than its `limits` allow.
    TargetLimit,
    /// A deadline passed.
    Timeout,
    /// A TLS handshake, or what TLS carries, failed.
    Tls,
    /// It held although it should not have.
    UnexpectedPass,
}

/// A mistake in an input file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// One line: lowercase, no full stop.
    pub message: String,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file, as it was named on the command line.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// How many characters of the line it covers, at least 1.
    pub width: u32,
    /// The line's text.
    pub text: Arc<str>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One line that a target wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLine {
    /// `true` for stderr, `false` for stdout.
    pub stderr: bool,
    /// The text, undecodable bytes replaced.
    pub text: String,
}

/// What two sides of a TLS connection have agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsSession {
    /// `TLS 1.2` or `TLS 1.3`.
    pub version: String,
    /// The cipher suite, by its registered name.
    pub cipher: String,
    /// The protocol that ALPN chose (RFC 7301).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// On a server: the name that the client asked for (SNI, RFC 6066 section 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// On a server: whether the client showed a certificate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub client_certificate: bool,
}

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// A Unix stream socket.
    Unix,
    /// A Unix datagram socket.
    Unixgram,
}

impl Transport {
    /// Whether it carries datagrams.
    pub fn is_datagram(self) -> bool {
        matches!(self, Transport::Udp | Transport::Unixgram)
    }
}

/// A direction through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From whoever was connected to, to whoever came.
    Down,
    /// From whoever came, to whoever was connected to.
    Up,
}

impl Direction {
    /// `up` or `down`.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Down => "down",
            Direction::Up => "up",
        }
    }
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The harness.
    Local,
    /// The other side.
    Peer,
}

/// How a direction of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// In order: TCP's FIN. From our side this is `close` or `shutdown`, whichever came first.
    Fin,
    /// Abruptly, both directions: TCP's RST.
    Reset,
    /// An ICMP port unreachable answered a datagram.
    Unreachable,
}

/// An address of a connection's end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An Internet address and port.
    Ip(SocketAddr),
    /// A Unix socket's path, `@` in front of an abstract one, or empty where it has none.
    Path(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Ip(address) => address.fmt(f),
            Endpoint::Path(path) => f.write_str(path),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Endpoint, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.parse() {
            Ok(address) => Endpoint::Ip(address),
            Err(_) => Endpoint::Path(text),
        })
    }
}

/// Bytes in JSON, in the form that scenarios use: a string where they are UTF-8, else `{"base64": ".."}`.
mod data {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Base64 { base64: String },
    }

    pub(super) fn serialize<S: Serializer>(data: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(data) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Form::Base64 { base64: STANDARD.encode(data) }.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Bytes::from(text)),
            Form::Base64 { base64 } => STANDARD.decode(base64).map(Bytes::from).map_err(D::Error::custom),
        }
    }

    pub(super) mod option {
        use super::*;

        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        struct Data(#[serde(with = "super")] Bytes);

        pub(in super::super) fn serialize<S: Serializer>(data: &Option<Bytes>, s: S) -> Result<S::Ok, S::Error> {
            data.clone().map(Data).serialize(s)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Bytes>, D::Error> {
            Ok(Option::<Data>::deserialize(d)?.map(|data| data.0))
        }
    }
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
