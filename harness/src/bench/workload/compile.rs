//! What steps come to, as operations.
//!
//! Each actor gets operations of its own. Where all of them play in one order they pass a turn on, which is a notice as well:
//! the first of all kinds.

use std::sync::Arc;

use bytes::Bytes;

use super::{ACTORS_MAX, Expecting, OPERATIONS_MAX, Operation, Part, Unfit, Wanted, Workload, fill};
use crate::bench::correlation::Correlation;
use crate::conversation::payload::{Cutter, Number, Payload};
use crate::conversation::script::{Role, Script, Send, Split, Step, Then, Verb};
use crate::random::Random;
use crate::scenario::{Case, Scenario};
use crate::template::{Template, Variables};
use crate::text::count;

/// The notice by which actors that play in one order pass on whose turn it is.
const TURN: usize = 0;

/// What a case's steps come to, all of it in [`Part::operations`], and where each part's iterations begin.
pub(super) fn compile(
    scenario: &Scenario,
    case: &Case,
    from: Option<&str>,
    seed: u64,
) -> Result<(Workload, Vec<Option<usize>>), Unfit> {
    let script = &case.script;
    let unfit =
        |why: String, hint: Option<&str>| Unfit { why, hint: hint.map(str::to_owned), place: script.place.clone() };
    let side_by_side = script.lanes.len() > 1;
    let mut actors: Vec<usize> = Vec::new();
    for lane in &script.lanes {
        let before = actors.len();
        collect_actors(script, &lane.steps, &mut actors);
        if side_by_side && actors.len() == before {
            return Err(unfit(format!("no step of `{}` connects to anything", lane.name), None));
        }
    }
    if actors.is_empty() {
        return Err(unfit("no step of it connects to anything".into(), None));
    }
    if actors.len() > ACTORS_MAX {
        let why = format!("{} take part in it, and at most {ACTORS_MAX} can", count(actors.len(), "actor"));
        return Err(unfit(why, Some("`--connections` makes many of each")));
    }
    if let Some(other) = actors.iter().map(|actor| &script.actors[*actor]).find(|actor| actor.role != Role::Client) {
        let hint = "a workload is what clients say to targets: write the server as a target, with a `command`";
        return Err(unfit(format!("its actor `{}` listens", other.name), Some(hint)));
    }
    if !case.faults.is_empty() {
        return Err(unfit("faults are injected into it".into(), None));
    }
    let stream = format!("{}/{}", scenario.name, case.name);
    let track = |actor: &usize| {
        let name = &script.actors[*actor].name;
        let own = if actors.len() > 1 { format!("{stream}/{name}") } else { stream.clone() };
        let part = Part {
            actor: *actor,
            name: Arc::clone(name),
            framing: script.actors[*actor].framing.clone(),
            opening: Vec::new(),
            operations: Vec::new(),
            correlation: None,
            starttls: None,
        };
        Track { part, random: Random::new(seed, &own), begin: None, awaited: Vec::new(), ended: false }
    };
    let mut compiler = Compiler {
        script,
        tracks: actors.iter().map(track).collect(),
        at: 0,
        names: Vec::new(),
        notices: vec!["".into()],
        from,
        side_by_side,
        turns: 0,
    };
    for (at, lane) in script.lanes.iter().enumerate() {
        compiler.at = at;
        compiler.steps(&lane.steps)?;
    }
    let steps = script.lanes.iter().flat_map(|lane| &*lane.steps);
    let workload = Workload {
        case: case.name.clone(),
        parts: Vec::new(),
        ends_connection: false,
        steps: compiler.names,
        timeout: steps.map(|step| step.limit.duration).max().unwrap_or(crate::scenario::TIMEOUT_DEFAULT),
        variables: script.variables.iter().cloned().collect(),
        is_static: true,
        side_by_side,
        noticed: vec![0; compiler.notices.len()],
        bulk: None,
    };
    let (parts, begins) = compiler.tracks.into_iter().map(|track| (track.part, track.begin)).unzip();
    Ok((Workload { parts, ..workload }, begins))
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

/// Whether one of these steps, or of those in them, comes to this barrier.
fn comes_to(steps: &[Step], barrier: &str) -> bool {
    steps.iter().any(|step| {
        matches!(&step.verb, Verb::Barrier(name, _) if **name == *barrier)
            || step.verb.inner().any(|inner| comes_to(inner, barrier))
    })
}

/// What an actor's steps come to.
struct Track {
    part: Part,
    random: Random,
    /// How many operations stand before those of an iteration, once that is known.
    begin: Option<usize>,
    /// How many notices of each kind it has taken.
    awaited: Vec<u64>,
    /// Whether its connection has been closed.
    ended: bool,
}

struct Compiler<'a> {
    script: &'a Script,
    tracks: Vec<Track>,
    /// Whose steps are read.
    at: usize,
    names: Vec<String>,
    /// What notices are called, by number; barriers have a name that no notice can have.
    notices: Vec<Arc<str>>,
    from: Option<&'a str>,
    side_by_side: bool,
    /// How often a turn was passed on.
    turns: u64,
}

impl Compiler<'_> {
    fn steps(&mut self, steps: &[Step]) -> Result<(), Unfit> {
        for step in steps {
            self.take_turn(step);
            self.step(step)?;
            if self.from.is_some() && step.mark.as_deref() == self.from {
                self.begins();
            }
            let operations = self.tracks.iter().map(|track| track.part.operations.len()).sum::<usize>();
            if operations > OPERATIONS_MAX {
                let why = format!("its loops make more than {OPERATIONS_MAX} operations of it");
                return Err(self.unfit(step, why));
            }
        }
        Ok(())
    }

    /// Iterations begin here, if they have not before.
    fn begins(&mut self) {
        let tracks = if self.side_by_side { &mut self.tracks[self.at..=self.at] } else { &mut self.tracks[..] };
        for track in tracks {
            track.begin.get_or_insert(track.part.operations.len());
        }
    }

    /// In one order of all, the actor of a step waits until the one before has done its own.
    fn take_turn(&mut self, step: &Step) {
        if self.side_by_side || !step.verb.opens() || step.verb.inner().next().is_some() {
            return;
        }
        let actor = self.script.slots.get(step.slot).map(|slot| slot.actor);
        let Some(at) = self.tracks.iter().position(|track| Some(track.part.actor) == actor) else { return };
        if at != self.at {
            self.push(Operation::Notify(TURN));
            self.at = at;
            self.turns += 1;
            self.push(Operation::Await(TURN, self.turns));
        }
    }

    fn push(&mut self, operation: Operation) {
        // What a server says first it says once; who plays beside others is told by them when to begin.
        let orders = matches!(operation, Operation::Await(..) | Operation::Notify(_));
        if self.from.is_none() && (operation.sends() || (self.side_by_side && orders)) {
            self.begins();
        }
        self.tracks[self.at].part.operations.push(operation);
    }

    /// The number of a kind of notice.
    fn notice(&mut self, name: &str) -> usize {
        match self.notices.iter().position(|known| **known == *name) {
            Some(at) => at,
            None => {
                self.notices.push(name.into());
                self.notices.len() - 1
            }
        }
    }

    /// Takes so many notices.
    fn take_notices(&mut self, notice: usize, times: u64) {
        let awaited = &mut self.tracks[self.at].awaited;
        awaited.resize(awaited.len().max(notice + 1), 0);
        awaited[notice] += times;
        let count = awaited[notice];
        self.push(Operation::Await(notice, count));
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
        let name = match self.tracks.as_slice() {
            [_] => name,
            tracks => format!("{}: {name}", self.script.actors[tracks[self.at].part.actor].name),
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
            // There is nobody else.
            Verb::Await(..) | Verb::Barrier(..) | Verb::Notify(_) if self.tracks.len() == 1 => {}
            Verb::Await(name, times) => {
                let notice = self.notice(name);
                self.take_notices(notice, *times);
            }
            Verb::Barrier(name, parties) => {
                let lanes = self.script.lanes.iter().filter(|lane| comes_to(&lane.steps, name)).count();
                if lanes != *parties {
                    let why =
                        format!("{} come to the barrier `{name}`, and it opens for {parties}", count(lanes, "actor"));
                    return Err(self.unfit(step, why));
                }
                let notice = self.notice(&format!("{name} "));
                self.push(Operation::Notify(notice));
                self.take_notices(notice, *parties as u64);
            }
            Verb::Close => self.end(Operation::Close),
            Verb::Connect if self.tracks[self.at].ended => {
                let mut failed = self.unfit(step, "it connects again".into());
                failed.hint =
                    Some("an actor has one connection in an iteration, and the next begins with another".into());
                return Err(failed);
            }
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
                self.push(Operation::Expect(Expecting { step: number, what, save: step.save.clone() }));
            }
            Verb::ExpectEof => {
                let number = self.name(step);
                self.push(Operation::ExpectEof(number));
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
                        self.push(Operation::Set(name, Template::literal(round.to_string())));
                    }
                    for (name, values) in &repeat.values {
                        if let Some(value) = values.get(round as usize) {
                            self.push(Operation::Set(Arc::clone(name), value.clone()));
                        }
                    }
                    self.steps(&repeat.steps)?;
                }
            }
            Verb::Notify(name) => {
                let notice = self.notice(name);
                self.push(Operation::Notify(notice));
            }
            Verb::Reset => self.end(Operation::Reset),
            Verb::Send(send) => self.send(step, send)?,
            Verb::Set(values) => {
                for (name, value) in values {
                    self.push(Operation::Set(Arc::clone(name), value.clone()));
                }
            }
            Verb::Shutdown => self.push(Operation::Shutdown),
            Verb::StartTls(profile) => {
                if self.tracks[self.at].part.starttls.replace(*profile).is_some() {
                    return Err(self.unfit(step, "TLS begins twice in it".into()));
                }
                self.push(Operation::StartTls);
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

    /// The connection of the actor in hand is closed.
    fn end(&mut self, operation: Operation) {
        self.tracks[self.at].ended = true;
        self.push(operation);
    }

    fn send(&mut self, step: &Step, send: &Send) -> Result<(), Unfit> {
        if send.pace.is_some() {
            return Err(self.unfit(step, "`pace` cannot be part of a workload: it would be measured".into()));
        }
        self.tracks[self.at].part.correlation = match send.payloads.as_slice() {
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
            self.push(Operation::SendMade(Arc::new(send.clone()), step.save.clone()));
        } else {
            for payload in &send.payloads {
                let track = &mut self.tracks[self.at];
                let bytes = fill(payload, &Variables::new(), &mut track.random, track.part.framing.as_deref());
                let bytes = bytes.map_err(|error| self.unfit(step, error.to_string()))?;
                let random = &mut self.tracks[self.at].random;
                let mut pieces: Vec<Bytes> = Cutter::new(bytes, &send.split, None, random).collect();
                self.push(match pieces.len() {
                    1 => Operation::Send(pieces.remove(0)),
                    _ => Operation::Pieces(pieces),
                });
            }
        }
        match send.then {
            Some(Then::Close) => self.end(Operation::Close),
            Some(Then::HalfClose) => self.push(Operation::Shutdown),
            Some(Then::Reset) => self.end(Operation::Reset),
            None => {}
        }
        Ok(())
    }
}
