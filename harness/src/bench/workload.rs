//! What is done again and again: a case's steps, as operations that a load generator can do without thinking.
//!
//! Whatever is known beforehand is made beforehand: bytes are framed and joined, matchers are built, loops are unrolled.
//! What cannot be timed is refused, with its place.

mod compile;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::compile::Compiled;
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

/// The variable that tells iterations apart: it counts them, over all connections.
pub const ITERATION: &str = "iteration";

/// What to do about several actors.
const ONE_CLIENT: &str =
    "a workload is what one client says: write a case for each, `--connections` makes many of them";

/// A case as a load generator plays it.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The case's name.
    pub case: String,
    /// The actor that plays it, by number in the scenario.
    pub actor: usize,
    /// Where a message ends; `None` for a raw stream and for datagrams as they come.
    pub framing: Option<Arc<dyn Framing>>,
    /// What is done once on each connection, before its first iteration.
    pub opening: Vec<Operation>,
    /// One iteration.
    pub operations: Vec<Operation>,
    /// Whether each iteration has a connection of its own, because its steps end the one that they had.
    pub ends_connection: bool,
    /// What each expectation is called, by [`Expecting::step`].
    pub steps: Vec<String>,
    /// How long an iteration may take.
    pub timeout: Duration,
    /// Values that are known from the start.
    pub variables: Variables,
    /// Whether every iteration has the same bytes.
    pub is_static: bool,
    /// The field by which datagrams that answer are known, where there is one.
    pub correlation: Option<Correlation>,
    /// What goes one way, where that is what it is about: then there are no operations.
    pub bulk: Option<Bulk>,
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
    /// Close, in order.
    Close,
    /// Wait for one message.
    Expect(Expecting),
    /// Wait for the peer to close.
    ExpectEof(usize),
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
    /// Whether it waits for the peer.
    pub fn waits(&self) -> bool {
        matches!(self, Operation::Expect(_) | Operation::ExpectEof(_))
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
    /// sent: what stands before is done once on each connection.
    pub fn new(scenario: &Scenario, case: &Case, from: Option<&str>, seed: u64) -> Result<Workload, Unfit> {
        let (workload, compiled) = Workload::compile(scenario, case, from, seed)?;
        let Compiled { mut operations, names, opening, correlation } = compiled;
        let unfit = |why: String| Unfit { why, hint: None, place: case.script.place.clone() };
        if let (Some(from), None) = (from, opening) {
            return Err(unfit(format!("no step of it sets the mark `{from}`")));
        }
        let ends_connection = operations.iter().any(|operation| {
            matches!(operation, Operation::Close | Operation::ExpectEof(_) | Operation::Reset | Operation::Shutdown)
        });
        // What a server says first it says once.
        let first = operations.iter().position(|operation| {
            matches!(operation, Operation::Pieces(_) | Operation::Send(_) | Operation::SendMade(..))
        });
        let Some(first) = first else { return Err(unfit("no step of it sends anything".into())) };
        let opening: Vec<Operation> = operations.drain(..opening.unwrap_or(first)).collect();
        if !operations.iter().any(|operation| matches!(operation, Operation::Expect(_) | Operation::ExpectEof(_))) {
            let mut failed = unfit("no step of it expects an answer".into());
            failed.hint = Some("what is timed is the way from a send to what is expected after it".into());
            return Err(failed);
        }
        let sends = operations.iter().filter(|operation| !operation.waits()).count();
        let is_static = operations.iter().all(|operation| match operation {
            Operation::Expect(expecting) => {
                expecting.save.is_none()
                    && match &expecting.what {
                        Wanted::Pattern(_) => false,
                        Wanted::Bytes(_) | Wanted::Matcher(_) => true,
                    }
            }
            Operation::SendMade(..) | Operation::Set(..) => false,
            _ => true,
        });
        Ok(Workload {
            opening,
            operations,
            ends_connection,
            steps: names,
            is_static,
            correlation: correlation.filter(|_| sends == 1),
            ..workload
        })
    }

    /// The same case as one that goes one way: its last step again and again where that sends, and whatever comes where it
    /// expects something; what stands before is done once on each connection.
    pub fn one_way(scenario: &Scenario, case: &Case, seed: u64) -> Result<Workload, Unfit> {
        let (mut workload, steps) = Workload::compile(scenario, case, None, seed)?;
        workload.opening = join(steps.operations);
        let last = workload.opening.pop();
        workload.bulk = match last {
            Some(Operation::Send(bytes)) if !bytes.is_empty() => Some(Bulk::Send(bytes)),
            Some(Operation::Expect(_)) => Some(Bulk::Receive),
            _ => {
                let why = "its last step neither sends what is known beforehand nor expects anything".to_owned();
                let hint = Some("`--bulk` sends the last step's bytes again and again, or reads whatever comes".into());
                return Err(Unfit { why, hint, place: case.script.place.clone() });
            }
        };
        Ok(workload)
    }

    /// Joins what is written in a row, so that it leaves in one write: on a stream nobody sees the difference.
    pub fn for_stream(mut self) -> Workload {
        self.opening = join(self.opening);
        self.operations = join(self.operations);
        self
    }

    /// Whether several iterations can be under way on one connection: each is sent whole before anything is expected.
    pub fn can_pipeline(&self) -> bool {
        let first = self.operations.iter().position(|operation| matches!(operation, Operation::Expect(_)));
        let sends_later =
            self.operations[first.unwrap_or(0)..].iter().any(|operation| !matches!(operation, Operation::Expect(_)));
        !self.ends_connection && !sends_later && self.is_static
    }

    /// How many bytes the first message has, and how many its answer, as far as that is known.
    pub fn sizes(&self) -> (usize, usize) {
        let sent = self.operations.iter().find_map(|operation| match operation {
            Operation::Send(bytes) => Some(bytes.len()),
            Operation::Pieces(pieces) => Some(pieces.iter().map(Bytes::len).sum()),
            _ => None,
        });
        let heard = self.operations.iter().find_map(|operation| match operation {
            Operation::Expect(Expecting { what: Wanted::Bytes(bytes), .. }) => Some(bytes.len()),
            _ => None,
        });
        let sent = sent.unwrap_or(64).max(1);
        (sent, heard.unwrap_or(sent).max(1))
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
