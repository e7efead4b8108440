//! What steps come to, as operations.

use std::sync::Arc;

use bytes::Bytes;

use super::{Expecting, ONE_CLIENT, OPERATIONS_MAX, Operation, Unfit, Wanted, Workload, fill};
use crate::bench::correlation::Correlation;
use crate::conversation::payload::{Cutter, Number, Payload};
use crate::conversation::script::{Role, Script, Send, Split, Step, Then, Verb};
use crate::framing::Framing;
use crate::random::Random;
use crate::scenario::{Case, Scenario};
use crate::template::{Template, Variables};
use crate::text::count;

impl Workload {
    /// What a case's steps come to, in a workload that has none yet.
    pub(super) fn compile(
        scenario: &Scenario,
        case: &Case,
        from: Option<&str>,
        seed: u64,
    ) -> Result<(Workload, Compiled), Unfit> {
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
}

/// What steps come to.
pub(super) struct Compiled {
    pub(super) operations: Vec<Operation>,
    pub(super) names: Vec<String>,
    pub(super) opening: Option<usize>,
    pub(super) correlation: Option<Correlation>,
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
