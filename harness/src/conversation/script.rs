//! What a conversation plays: actors, steps, payloads and expectations, all checked.
//!
//! Scenarios are lowered into these types; so will be findings, counterexamples and imported captures.

use std::sync::Arc;
use std::time::Duration;

use super::payload::{Number, Payload};
use crate::event::{Place, StepInfo};
use crate::framing::Framing;
use crate::matcher::Pattern;
use crate::template::Template;

/// One case, ready to be played any number of times.
#[derive(Clone, Debug)]
pub struct Script {
    /// Names the case's own stream of chance.
    pub name: String,
    /// Who talks.
    pub actors: Vec<Actor>,
    /// What is played side by side: one list of steps each.
    pub lanes: Vec<Arc<[Step]>>,
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
}

/// One who talks.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its name.
    pub name: Arc<str>,
    /// Where a message ends; `None` for a raw stream and for datagrams as they come.
    pub framing: Option<Arc<dyn Framing>>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number in [`Script::infos`].
    pub id: u32,
    /// Who acts, by number in [`Script::actors`].
    pub actor: usize,
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
    /// Whether it connects its actor, if that was never connected.
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
    /// Close the connection.
    Close,
    /// Open one.
    Connect,
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
    /// See that nothing comes for so long.
    ExpectSilence(Duration),
    /// Say something in the report.
    Log(Template),
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
}

impl Verb {
    /// Whether it acts on a connection that must be there.
    pub fn needs_connection(&self) -> bool {
        !matches!(
            self,
            Verb::Connect | Verb::ExpectRefused | Verb::Log(_) | Verb::Repeat(_) | Verb::Set(_) | Verb::Sleep(_)
        )
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
