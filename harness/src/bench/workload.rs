//! What is done again and again: a case's steps, as operations that a load generator can do without thinking.
//!
//! Whatever is known beforehand is made beforehand: bytes are framed and joined, matchers are built, loops are unrolled.
//! What cannot be timed is refused, with its place.

mod compile;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::correlation::Correlation;
use crate::conversation::payload::Payload;
use crate::conversation::script::Send;
use crate::event::Place;
use crate::framing::Framing;
use crate::matcher::{Matcher, Pattern};
use crate::random::Random;
use crate::scenario::{Case, Scenario};
use crate::template::{Template, Variables};

/// The most operations of one iteration, with all loops unrolled.
pub const OPERATIONS_MAX: usize = 10_000;

/// How many bytes are a piece of what only comes.
const PIECE_LEN: usize = 64 << 10;

/// The most actors that play one iteration together: each of `--connections` has so many connections.
pub const ACTORS_MAX: usize = 64;

/// A case as a load generator plays it.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The case's name.
    pub case: String,
    /// What each actor does, of at least one.
    pub parts: Vec<Part>,
    /// Whether each iteration has connections of its own, because its steps end those that they had.
    pub ends_connection: bool,
    /// What each expectation is called, by [`Expecting::step`].
    pub steps: Vec<String>,
    /// How long an iteration may take.
    pub timeout: Duration,
    /// Values that are known from the start.
    pub variables: Variables,
    /// Whether every iteration has the same bytes.
    pub is_static: bool,
    /// Whether each actor has an order of its own: what it has set itself nobody else changes.
    pub side_by_side: bool,
    /// How many notices of each kind have been given when an iteration begins.
    pub noticed: Vec<u64>,
    /// What goes one way, where that is what it is about: then there are no operations.
    pub bulk: Option<Bulk>,
}

/// What one actor does.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its number in the scenario.
    pub actor: usize,
    /// What the scenario calls it.
    pub name: Arc<str>,
    /// Where a message ends; `None` for a raw stream and for datagrams as they come.
    pub framing: Option<Arc<dyn Framing>>,
    /// What is done once on each connection, before its first iteration.
    pub opening: Vec<Operation>,
    /// One iteration.
    pub operations: Vec<Operation>,
    /// The field by which datagrams that answer are known, where there is one.
    pub correlation: Option<Correlation>,
    /// How TLS is done from [`Operation::StartTls`] on, by its number in the case.
    pub starttls: Option<usize>,
}

/// What goes one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bulk {
    /// Whatever comes.
    Receive,
    /// These bytes, again and again.
    Send(Bytes),
}

impl Bulk {
    /// How many bytes a piece of it has, which counts as an iteration.
    pub fn piece_len(&self) -> usize {
        match self {
            Bulk::Receive => PIECE_LEN,
            Bulk::Send(bytes) => bytes.len(),
        }
    }
}

/// One thing to do on a connection.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Wait until so many notices of this kind have been given, from the beginning of the case.
    Await(usize, u64),
    /// Close, in order.
    Close,
    /// Wait for one message.
    Expect(Expecting),
    /// Wait for the peer to close.
    ExpectEof(usize),
    /// Give a notice of this kind to the other actors, once everything before has left.
    Notify(usize),
    /// Close abruptly.
    Reset,
    /// Write these, each by itself.
    Pieces(Vec<Bytes>),
    /// Write these bytes, or this datagram.
    Send(Bytes),
    /// Make a message from variables and write it.
    SendMade(Arc<Send>, Option<Arc<str>>),
    /// Set a variable.
    Set(Arc<str>, Template),
    /// Say that no more will be sent.
    Shutdown,
    /// Go on with TLS.
    StartTls,
}

impl Operation {
    /// Whether it waits, for the peer or for another actor.
    pub fn waits(&self) -> bool {
        matches!(self, Operation::Await(..) | Operation::Expect(_) | Operation::ExpectEof(_) | Operation::Notify(_))
    }

    /// Whether it sends bytes.
    fn sends(&self) -> bool {
        matches!(self, Operation::Pieces(_) | Operation::Send(_) | Operation::SendMade(..))
    }

    /// Whether it is the same in every iteration.
    fn is_static(&self) -> bool {
        match self {
            Operation::Expect(Expecting { save, what, .. }) => save.is_none() && !matches!(what, Wanted::Pattern(_)),
            Operation::SendMade(..) | Operation::Set(..) => false,
            _ => true,
        }
    }
}

/// An expectation.
#[derive(Clone, Debug)]
pub struct Expecting {
    /// Its number in [`Workload::steps`].
    pub step: usize,
    /// What has to come.
    pub what: Wanted,
    /// The variable that keeps what came.
    pub save: Option<Arc<str>>,
}

/// What has to come.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Exactly these bytes.
    Bytes(Bytes),
    /// What this matcher takes.
    Matcher(Arc<dyn Matcher>),
    /// What this pattern takes, once its variables are known.
    Pattern(Box<Pattern>),
}

/// Why a case is no workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Why.
    pub why: String,
    /// What to do instead.
    pub hint: Option<String>,
    /// Where.
    pub place: Place,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Unfit {}

impl Workload {
    /// Makes a workload of a case. Iterations begin after the step that sets the mark `from`, or where the first bytes are
    /// sent: what stands before is done once on each connection. Where actors play side by side that goes for each of them.
    pub fn new(scenario: &Scenario, case: &Case, from: Option<&str>, seed: u64) -> Result<Workload, Unfit> {
        let (mut workload, begins) = compile::compile(scenario, case, from, seed)?;
        let unfit = |why: String| Unfit { why, hint: None, place: case.script.place.clone() };
        if let (Some(from), false) = (from, begins.iter().any(Option::is_some)) {
            return Err(unfit(format!("no step of it sets the mark `{from}`")));
        }
        let operations = || workload.parts.iter().flat_map(|part| &part.operations);
        if !operations().any(Operation::sends) {
            return Err(unfit("no step of it sends anything".into()));
        }
        workload.ends_connection = operations().any(|operation| {
            matches!(operation, Operation::Close | Operation::ExpectEof(_) | Operation::Reset | Operation::Shutdown)
        });
        for (part, begin) in workload.parts.iter_mut().zip(begins) {
            part.opening = part.operations.drain(..begin.unwrap_or(0)).collect();
        }
        let operations = || workload.parts.iter().flat_map(|part| &part.operations);
        if !operations().any(|operation| matches!(operation, Operation::Expect(_) | Operation::ExpectEof(_))) {
            let mut failed = unfit("no step of it expects an answer".into());
            failed.hint = Some("what is timed is the way from a send to what is expected after it".into());
            return Err(failed);
        }
        workload.is_static = operations().all(Operation::is_static);
        let openings = || workload.parts.iter().flat_map(|part| &part.opening);
        for operation in openings() {
            if let Operation::Notify(notice) = operation {
                workload.noticed[*notice] += 1;
            }
        }
        if openings()
            .any(|operation| matches!(operation, Operation::Await(at, count) if workload.noticed[*at] < *count))
        {
            let mut failed =
                unfit("before its iterations begin it waits for a notice that is given only in them".into());
            let hint = "every actor whose steps are to be done once sets the mark of `--from` behind them";
            failed.hint = Some(hint.into());
            return Err(failed);
        }
        let is_single = workload.parts.len() == 1;
        for part in &mut workload.parts {
            let sends = part.operations.iter().filter(|operation| !operation.waits()).count();
            part.correlation.take_if(|_| sends != 1 || !is_single);
        }
        Ok(workload)
    }

    /// The same case as one that goes one way: its last step again and again where that sends, and whatever comes where it
    /// expects something; what stands before is done once on each connection.
    pub fn one_way(scenario: &Scenario, case: &Case, seed: u64) -> Result<Workload, Unfit> {
        let (mut workload, _) = compile::compile(scenario, case, None, seed)?;
        let unfit = |why: &str, hint: &str| {
            Err(Unfit { why: why.into(), hint: Some(hint.into()), place: case.script.place.clone() })
        };
        let [part] = workload.parts.as_mut_slice() else {
            return unfit("several actors take part in it", "`--bulk` is about what one client sends or reads");
        };
        part.opening = join(std::mem::take(&mut part.operations));
        workload.bulk = match part.opening.pop() {
            Some(Operation::Send(bytes)) if !bytes.is_empty() => Some(Bulk::Send(bytes)),
            Some(Operation::Expect(_)) => Some(Bulk::Receive),
            _ => {
                return unfit(
                    "its last step neither sends what is known beforehand nor expects anything",
                    "`--bulk` sends the last step's bytes again and again, or reads whatever comes",
                );
            }
        };
        Ok(workload)
    }

    /// Whether several iterations can be under way on one connection: each is sent whole before anything is expected.
    pub fn can_pipeline(&self) -> bool {
        let [part] = self.parts.as_slice() else { return false };
        let first = part.operations.iter().position(|operation| matches!(operation, Operation::Expect(_)));
        let sends_later =
            part.operations[first.unwrap_or(0)..].iter().any(|operation| !matches!(operation, Operation::Expect(_)));
        !self.ends_connection && !sends_later && self.is_static
    }

    /// How many bytes the first message has, and how many its answer, as far as that is known.
    pub fn sizes(&self) -> (usize, usize) {
        let mut operations = self.parts.iter().flat_map(|part| &part.operations);
        let sent = operations.clone().find_map(|operation| match operation {
            Operation::Send(bytes) => Some(bytes.len()),
            Operation::Pieces(pieces) => Some(pieces.iter().map(Bytes::len).sum()),
            _ => None,
        });
        let heard = operations.find_map(|operation| match operation {
            Operation::Expect(Expecting { what: Wanted::Bytes(bytes), .. }) => Some(bytes.len()),
            _ => None,
        });
        let sent = sent.unwrap_or(64).max(1);
        (sent, heard.unwrap_or(sent).max(1))
    }

    /// The field by which answers are matched to what was asked, where there is one.
    pub fn correlation(&self) -> Option<&Correlation> {
        self.parts.iter().find_map(|part| part.correlation.as_ref())
    }
}

impl Part {
    /// Joins what is written in a row, so that it leaves in one write: on a stream nobody sees the difference.
    pub fn for_stream(mut self) -> Part {
        self.opening = join(self.opening);
        self.operations = join(self.operations);
        self
    }
}

fn join(operations: Vec<Operation>) -> Vec<Operation> {
    let mut joined: Vec<Operation> = Vec::with_capacity(operations.len());
    for operation in operations {
        match (joined.last_mut(), operation) {
            (Some(Operation::Send(before)), Operation::Send(bytes)) => {
                *before = [before.as_ref(), bytes.as_ref()].concat().into();
            }
            (_, operation) => joined.push(operation),
        }
    }
    joined
}

/// A message as it goes on the wire.
pub(super) fn fill(
    payload: &Payload,
    variables: &Variables,
    random: &mut Random,
    framing: Option<&dyn Framing>,
) -> Result<Bytes, crate::conversation::payload::PayloadError> {
    let body = payload.fill(variables, random, framing)?;
    payload.frame(body, framing)
}
