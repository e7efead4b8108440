//! What a conversation plays: actors, steps, payloads and expectations, all checked.
//!
//! Scenarios are lowered into these types; so will be findings, counterexamples and imported captures.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::payload::{Number, Payload};
use crate::event::{Place, StepInfo};
use crate::framing::Framing;
use crate::matcher::{Pattern, Speaking};
use crate::template::Template;

/// One case, ready to be played any number of times.
#[derive(Clone, Debug)]
pub struct Script {
    /// Names the case's own stream of chance.
    pub name: String,
    /// Who talks.
    pub actors: Vec<Actor>,
    /// What steps can speak on: first each actor's own, by its number, then the connections that `accept` names.
    pub slots: Vec<Slot>,
    /// What is played side by side.
    pub lanes: Vec<LaneScript>,
    /// Every step as written, by [`Step::id`].
    pub infos: Vec<StepInfo>,
    /// Where the case stands.
    pub place: Place,
    /// Whether bytes left unread at the end fail the case.
    pub strict_end: bool,
    /// How long a peer says nothing before it is called quiet at the end.
    pub quiet: Duration,
    /// What bounds the whole case.
    pub deadline: Option<Limit>,
    /// Values that are known from the start, of variables that steps set as well.
    pub variables: Vec<(Arc<str>, Bytes)>,
}

/// One who talks.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its name.
    pub name: Arc<str>,
    /// How it gets its connections.
    pub role: Role,
    /// Where a message ends; `None` for a raw stream and for datagrams as they come.
    pub framing: Option<Arc<dyn Framing>>,
    /// What it speaks, where that is described.
    pub speaks: Option<Speaking>,
    /// Where it connects, where only a step before tells that; otherwise its driver knows.
    pub connect: Option<Template>,
    /// How it does TLS from the start of a connection, by a number that its driver knows.
    pub tls: Option<usize>,
}

/// How an actor gets its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It dials.
    Client,
    /// It stands between others and has no steps.
    Relay,
    /// It listens.
    Server,
}

/// A name that a step can act under.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The actor's name, or the connection's.
    pub name: Arc<str>,
    /// Whose it is, by number in [`Script::actors`].
    pub actor: usize,
}

/// Steps that are played in an order of their own, beside others.
#[derive(Clone, Debug)]
pub struct LaneScript {
    /// Whose they are; empty where there is one order for all.
    pub name: Arc<str>,
    /// The steps.
    pub steps: Arc<[Step]>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number in [`Script::infos`].
    pub id: u32,
    /// Who acts, by number in [`Script::slots`].
    pub slot: usize,
    /// What is done.
    pub verb: Verb,
    /// How long it may take.
    pub limit: Limit,
    /// The mark that its clocks start from.
    pub after: Option<Arc<str>>,
    /// The earliest and the latest that it may end, from `after` or from the step before.
    pub between: Option<(Duration, Duration)>,
    /// The mark that its end sets.
    pub mark: Option<Arc<str>>,
    /// The variable that keeps what was sent or taken.
    pub save: Option<Arc<str>>,
    /// Whether it connects its actor, if that was never connected, or takes a listener's first connection.
    pub dials: bool,
}

/// A deadline, and who set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How long.
    pub duration: Duration,
    /// Who: "`within` at scenarios/echo.toml:12:30".
    pub set_by: Arc<str>,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Verb {
    /// Take the listener's next connection; it is known under this slot from here on.
    Accept(Option<usize>),
    /// Wait until the first of these holds, then go on with what follows it.
    Alt(Vec<Arc<[Step]>>),
    /// Wait until others have given so many notices of this name.
    Await(Arc<str>, u64),
    /// Wait until so many lanes have come here.
    Barrier(Arc<str>, usize),
    /// Close the connection.
    Close,
    /// Open one.
    Connect,
    /// Have the driver do something to a process.
    Control(Control),
    /// Play these steps at the end of the case, whatever happened.
    Defer(Arc<[Step]>),
    /// Read and drop until the peer is quiet for so long, or closes.
    Drain(Duration),
    /// Wait for one message that matches.
    Expect(Pattern),
    /// Wait for the peer to close.
    ExpectEof,
    /// Dial, or with UDP go on, until nobody turns out to listen.
    ExpectRefused,
    /// Wait for the peer's reset.
    ExpectReset,
    /// Wait for one message for each of these, in any order; with `true`, others may come between them.
    ExpectSet(Vec<Pattern>, bool),
    /// See that nothing comes for so long.
    ExpectSilence(Duration),
    /// Say something in the report.
    Log(Template),
    /// Give a notice of this name.
    Notify(Arc<str>),
    /// Play steps several times.
    Repeat(Repeat),
    /// Close abruptly.
    Reset,
    /// Send.
    Send(Box<Send>),
    /// Set variables.
    Set(Vec<(Arc<str>, Template)>),
    /// Say that no more will be sent.
    Shutdown,
    /// Wait.
    Sleep(Duration),
    /// Go on with TLS on this connection, by a number that the driver knows.
    StartTls(usize),
}

/// What the driver does to a process.
#[derive(Clone, Debug)]
pub enum Control {
    /// Run a command, and see that it exits with 0.
    Exec(Vec<Template>),
    /// Stop a target and start it again.
    Restart(Arc<str>),
    /// Send a signal to a target.
    Signal {
        /// The target.
        target: Arc<str>,
        /// The signal's name.
        signal: Arc<str>,
    },
    /// Stop a target.
    Stop(Arc<str>),
}

impl Verb {
    /// Whether it acts on a connection that must be there.
    pub fn needs_connection(&self) -> bool {
        matches!(
            self,
            Verb::Close
                | Verb::Drain(_)
                | Verb::Expect(_)
                | Verb::ExpectEof
                | Verb::ExpectReset
                | Verb::ExpectSet(..)
                | Verb::ExpectSilence(_)
                | Verb::Reset
                | Verb::Send(_)
                | Verb::Shutdown
                | Verb::StartTls(_)
        )
    }

    /// Whether it has to do with a connection of its actor at all.
    pub fn opens(&self) -> bool {
        self.needs_connection() || matches!(self, Verb::Alt(_) | Verb::Connect | Verb::ExpectRefused)
    }

    /// Whether only another lane can end it.
    pub fn waits_for_others(&self) -> bool {
        matches!(self, Verb::Await(..) | Verb::Barrier(..))
    }

    /// Whether it does no more than to hear what is said.
    pub fn listens(&self) -> bool {
        matches!(self, Verb::Drain(_) | Verb::Expect(_) | Verb::ExpectSet(..) | Verb::ExpectSilence(_))
    }

    /// The steps inside it.
    pub fn inner(&self) -> impl Iterator<Item = &Arc<[Step]>> {
        let lists = match self {
            Verb::Alt(branches) => branches.as_slice(),
            Verb::Defer(steps) | Verb::Repeat(Repeat { steps, .. }) => std::slice::from_ref(steps),
            _ => &[],
        };
        lists.iter()
    }
}

/// A loop.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// How often; with `values`, as many as there are.
    pub times: Number,
    /// Variables that take another value each time.
    pub values: Vec<(Arc<str>, Vec<Template>)>,
    /// What is repeated.
    pub steps: Arc<[Step]>,
    /// Whether a step in it uses `${i}`.
    pub counts: bool,
    /// Whether its step's limit is for all rounds together; otherwise only its steps have one.
    pub bounded: bool,
}

/// What is sent, and how.
#[derive(Clone, Debug)]
pub struct Send {
    /// One message each.
    pub payloads: Vec<Payload>,
    /// How the bytes are cut into writes.
    pub split: Split,
    /// A pause between writes: so many bytes, so much time.
    pub pace: Option<(usize, Duration)>,
    /// Whether several payloads leave in one write.
    pub coalesce: bool,
    /// Change the byte at an offset.
    pub corrupt: Option<(usize, u8)>,
    /// Whether the peer may end the connection before all of it is sent.
    pub cut_short: bool,
    /// Send no more than so many bytes.
    pub truncate: Option<usize>,
    /// What follows the last byte.
    pub then: Option<Then>,
}

/// How bytes are cut into writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// One byte a write.
    EveryByte,
    /// So many pieces, cut at random.
    Random(usize),
    /// These sizes, then the rest.
    Sizes(Vec<usize>),
    /// One write a message.
    Whole,
}

/// What follows the last byte of a `send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Close.
    Close,
    /// Close one's own direction.
    HalfClose,
    /// Close abruptly.
    Reset,
}
