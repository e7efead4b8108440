//! What is done again and again: a case's steps, as operations that a load generator can do without thinking.
//!
//! Whatever is known beforehand is made beforehand: bytes are framed and joined, matchers are built, loops are unrolled.
//! What cannot be timed is refused, with its place.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::correlation::Correlation;
use crate::conversation::payload::{Cutter, Number, Payload};
use crate::conversation::script::{Role, Script, Send, Split, Step, Then, Verb};
use crate::event::Place;
use crate::framing::Framing;
use crate::matcher::{Matcher, Pattern};
use crate::random::Random;
use crate::scenario::{Case, Scenario};
use crate::template::{Template, Variables};
use crate::text::count;

/// The most operations of one iteration, with all loops unrolled.
pub const OPERATIONS_MAX: usize = 10_000;

/// How many bytes are a piece of what only comes.
const PIECE_LEN: usize = 64 << 10;

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
    /// What a case's steps come to, in a workload that has none yet.
    fn compile(scenario: &Scenario, case: &Case, from: Option<&str>, seed: u64) -> Result<(Workload, Compiled), Unfit> {
        let script = &case.script;
        let unfit = |why: String| Unfit { why, hint: None, place: script.place.clone() };
        let steps = match script.lanes.as_slice() {
            [lane] => Arc::clone(&lane.steps),
            lanes => {
                let mut failed = unfit(format!("it has {} that play side by side", count(lanes.len(), "actor")));
                failed.hint = Some(ONE_CLIENT.into());
                return Err(failed);
            }
        };
        let mut actors: Vec<usize> = Vec::new();
        collect_actors(script, &steps, &mut actors);
        let actor = match actors.as_slice() {
            [actor] => *actor,
            [] => return Err(unfit("no step of it connects to anything".into())),
            _ => {
                let mut failed = unfit(format!("{} take part in it", count(actors.len(), "actor")));
                failed.hint = Some(ONE_CLIENT.into());
                return Err(failed);
            }
        };
        if script.actors[actor].role != Role::Client {
            let mut failed = unfit("its actor listens".into());
            failed.hint = Some("a workload is what a client says".into());
            return Err(failed);
        }
        if !case.faults.is_empty() {
            return Err(unfit("faults are injected into it".into()));
        }
        let mut compiler = Compiler {
            script,
            framing: script.actors[actor].framing.clone(),
            random: Random::new(seed, &format!("{}/{}", scenario.name, case.name)),
            operations: Vec::new(),
            names: Vec::new(),
            from,
            opening: None,
            correlation: None,
            starttls: None,
        };
        compiler.steps(&steps)?;
        let Compiler { operations, names, opening, correlation, starttls, .. } = compiler;
        let workload = Workload {
            case: case.name.clone(),
            actor,
            framing: script.actors[actor].framing.clone(),
            opening: Vec::new(),
            operations: Vec::new(),
            ends_connection: false,
            steps: Vec::new(),
            timeout: steps.iter().map(|step| step.limit.duration).max().unwrap_or(crate::scenario::TIMEOUT_DEFAULT),
            variables: script.variables.iter().cloned().collect(),
            is_static: true,
            correlation: None,
            bulk: None,
            starttls,
        };
        Ok((workload, Compiled { operations, names, opening, correlation }))
    }

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

/// Everybody whose connections these steps use.
fn collect_actors(script: &Script, steps: &[Step], actors: &mut Vec<usize>) {
    for step in steps {
        let actor = script.slots.get(step.slot).map(|slot| slot.actor);
        if let Some(actor) = actor.filter(|actor| step.verb.opens() && !actors.contains(actor)) {
            actors.push(actor);
        }
        step.verb.inner().for_each(|inner| collect_actors(script, inner, actors));
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

/// What steps come to.
struct Compiled {
    operations: Vec<Operation>,
    names: Vec<String>,
    opening: Option<usize>,
    correlation: Option<Correlation>,
}

struct Compiler<'a> {
    script: &'a Script,
    framing: Option<Arc<dyn Framing>>,
    random: Random,
    operations: Vec<Operation>,
    names: Vec<String>,
    from: Option<&'a str>,
    /// How many operations stand before the mark that iterations begin after.
    opening: Option<usize>,
    /// The field by which answers to the last send are known.
    correlation: Option<Correlation>,
    starttls: Option<usize>,
}

impl Compiler<'_> {
    fn steps(&mut self, steps: &[Step]) -> Result<(), Unfit> {
        for step in steps {
            self.step(step)?;
            if self.from.is_some() && step.mark.as_deref() == self.from && self.opening.is_none() {
                self.opening = Some(self.operations.len());
            }
            if self.operations.len() > OPERATIONS_MAX {
                let why = format!("its loops make more than {OPERATIONS_MAX} operations of it");
                return Err(self.unfit(step, why));
            }
        }
        Ok(())
    }

    fn unfit(&self, step: &Step, why: String) -> Unfit {
        Unfit { why, hint: None, place: self.script.infos[step.id as usize].place.clone() }
    }

    fn name(&mut self, step: &Step) -> usize {
        let info = &self.script.infos[step.id as usize];
        let name = match &info.note {
            Some(note) => note.clone(),
            None => format!("{} at line {}", info.verb, info.place.line),
        };
        match self.names.iter().position(|known| *known == name) {
            Some(at) => at,
            None => {
                self.names.push(name);
                self.names.len() - 1
            }
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), Unfit> {
        match &step.verb {
            Verb::Close => self.operations.push(Operation::Close),
            // It is what begins a connection anyway.
            Verb::Connect | Verb::Log(_) => {}
            Verb::Expect(pattern) => {
                let number = self.name(step);
                let what = match pattern.as_ready() {
                    None => Wanted::Pattern(Box::new(pattern.clone())),
                    Some(matcher) => match matcher.exactly() {
                        Some(bytes) => Wanted::Bytes(bytes.clone()),
                        None => Wanted::Matcher(pattern.fill(&Variables::new()).expect("it is ready")),
                    },
                };
                self.operations.push(Operation::Expect(Expecting { step: number, what, save: step.save.clone() }));
            }
            Verb::ExpectEof => {
                let number = self.name(step);
                self.operations.push(Operation::ExpectEof(number));
            }
            Verb::Repeat(repeat) => {
                let Number::Literal(times) = &repeat.times else {
                    return Err(
                        self.unfit(step, "how often its loop goes round is known only while it is played".into())
                    );
                };
                for round in 0..*times {
                    if repeat.counts {
                        let name = Arc::from("i");
                        self.operations.push(Operation::Set(name, Template::literal(round.to_string())));
                    }
                    for (name, values) in &repeat.values {
                        if let Some(value) = values.get(round as usize) {
                            self.operations.push(Operation::Set(Arc::clone(name), value.clone()));
                        }
                    }
                    self.steps(&repeat.steps)?;
                }
            }
            Verb::Reset => self.operations.push(Operation::Reset),
            Verb::Send(send) => self.send(step, send)?,
            Verb::Set(values) => {
                let set = values.iter().map(|(name, value)| Operation::Set(Arc::clone(name), value.clone()));
                self.operations.extend(set);
            }
            Verb::Shutdown => self.operations.push(Operation::Shutdown),
            Verb::StartTls(profile) => {
                if self.starttls.replace(*profile).is_some() {
                    return Err(self.unfit(step, "TLS begins twice in it".into()));
                }
                self.operations.push(Operation::StartTls);
            }
            _ => {
                let verb = self.script.infos[step.id as usize].verb.clone();
                let mut failed = self.unfit(step, format!("`{verb}` cannot be part of a workload"));
                failed.hint = Some("a workload is made of sends, expectations, loops and ends of connections".into());
                return Err(failed);
            }
        }
        Ok(())
    }

    fn send(&mut self, step: &Step, send: &Send) -> Result<(), Unfit> {
        if send.pace.is_some() {
            return Err(self.unfit(step, "`pace` cannot be part of a workload: it would be measured".into()));
        }
        self.correlation = match send.payloads.as_slice() {
            [Payload::Message(giving)] => Correlation::of(&giving.protocol, giving.message),
            _ => None,
        };
        let is_plain = send.corrupt.is_none() && send.truncate.is_none();
        let mut wants = false;
        send.payloads.iter().for_each(|payload| payload.variables(&mut |_| wants = true));
        if wants || step.save.is_some() || !is_plain {
            if !is_plain || !matches!(send.split, Split::Whole) {
                return Err(self.unfit(
                    step,
                    "`corrupt` and `truncate`, and `split` where variables are sent, cannot be part of a workload"
                        .into(),
                ));
            }
            self.operations.push(Operation::SendMade(Arc::new(send.clone()), step.save.clone()));
        } else {
            for payload in &send.payloads {
                let bytes = fill(payload, &Variables::new(), &mut self.random, self.framing.as_deref());
                let bytes = bytes.map_err(|error| self.unfit(step, error.to_string()))?;
                let mut pieces: Vec<Bytes> = Cutter::new(bytes, &send.split, None, &mut self.random).collect();
                self.operations.push(match pieces.len() {
                    1 => Operation::Send(pieces.remove(0)),
                    _ => Operation::Pieces(pieces),
                });
            }
        }
        match send.then {
            Some(Then::Close) => self.operations.push(Operation::Close),
            Some(Then::HalfClose) => self.operations.push(Operation::Shutdown),
            Some(Then::Reset) => self.operations.push(Operation::Reset),
            None => {}
        }
        Ok(())
    }
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
