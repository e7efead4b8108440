//! Steps that speak on a connection which an earlier step has ended: they fail, and what follows them is never reached.

use super::walk::cases;
use super::{File, Found};
use crate::conversation::payload::Number;
use crate::conversation::script::{Script, Step, Then, Verb};

/// What is known of a connection.
#[derive(Clone, Debug, PartialEq)]
enum State {
    /// A step can speak on it, as far as is known.
    Usable,
    /// A step has closed or reset it, in this line.
    Closed(&'static str, u32),
    /// The peer has ended it, as a step in this line has seen.
    Ended(u32),
    /// A step has closed our direction, in this line.
    Shut(u32),
}

pub(super) fn check(file: &File<'_>, found: &mut Found) {
    for case in cases(&file.scenario.cases) {
        let mut walk = Walk { script: &case.script, states: vec![State::Usable; case.script.slots.len()], found };
        for lane in &case.script.lanes {
            // Each lane has an order of its own; what another does meanwhile is not known.
            walk.states.fill(State::Usable);
            walk.steps(&lane.steps);
        }
    }
}

struct Walk<'a> {
    script: &'a Script,
    /// By slot.
    states: Vec<State>,
    found: &'a mut Found,
}

impl Walk<'_> {
    /// Whether all of them can be played; only the first that cannot is told.
    fn steps(&mut self, steps: &[Step]) -> bool {
        steps.iter().all(|step| self.step(step))
    }

    fn step(&mut self, step: &Step) -> bool {
        let line = self.script.infos[step.id as usize].place.line;
        let state = self.states[step.slot].clone();
        if let Some((message, hint)) = dead(&step.verb, &state) {
            let place = &self.script.infos[step.id as usize].place;
            self.found.error(place, message, hint);
            return false;
        }
        let next = match &step.verb {
            Verb::Close => Some(State::Closed("closed", line)),
            Verb::Reset => Some(State::Closed("reset", line)),
            Verb::Send(send) => match send.then {
                Some(Then::Close) => Some(State::Closed("closed", line)),
                Some(Then::Reset) => Some(State::Closed("reset", line)),
                Some(Then::HalfClose) => Some(State::Shut(line)),
                None => None,
            },
            Verb::Shutdown => Some(State::Shut(line)),
            Verb::ExpectEof | Verb::ExpectReset => match state {
                State::Shut(_) => None,
                _ => Some(State::Ended(line)),
            },
            Verb::Connect | Verb::ExpectRefused | Verb::StartTls(_) => Some(State::Usable),
            Verb::Accept(name) => {
                if let Some(name) = name {
                    self.states[*name] = State::Usable;
                }
                Some(State::Usable)
            }
            Verb::Alt(branches) => {
                let before = self.states.clone();
                for branch in branches {
                    self.states.clone_from(&before);
                    if !self.steps(branch) {
                        return false;
                    }
                }
                // Which of them was played is not known.
                self.states.fill(State::Usable);
                None
            }
            Verb::Repeat(repeat) => {
                if !self.steps(&repeat.steps) {
                    return false;
                }
                let again = match (&repeat.times, repeat.values.first()) {
                    (_, Some((_, values))) => values.len() > 1,
                    (Number::Literal(times), None) => *times > 1,
                    _ => false,
                };
                return !again || self.steps(&repeat.steps);
            }
            // What a process does to its connections is not known, and neither is what an end has left.
            Verb::Control(_) | Verb::Defer(_) => {
                self.states.fill(State::Usable);
                None
            }
            _ => None,
        };
        if let Some(next) = next {
            self.states[step.slot] = next;
        }
        true
    }
}

/// Why a step fails on a connection in this state, and what to do.
fn dead(verb: &Verb, state: &State) -> Option<(String, String)> {
    let reads = verb.listens() || matches!(verb, Verb::ExpectEof | Verb::ExpectReset);
    match state {
        State::Usable => None,
        State::Closed(how, line) => verb.needs_connection().then(|| {
            let message = format!("the connection was {how} in line {line}, and this step needs one");
            (message, "`{ connect = true }` opens another; a listener's next is `accept`ed".to_owned())
        }),
        // To drain what has ended does no harm.
        State::Ended(line) => (reads && !matches!(verb, Verb::Drain(_) | Verb::ExpectSilence(_))).then(|| {
            let message = format!("the peer has ended the connection in line {line}, and nothing comes after that");
            (message, "what comes before the end is expected before `expect_eof`".to_owned())
        }),
        State::Shut(line) => matches!(verb, Verb::Send(_) | Verb::Shutdown).then(|| {
            let message = format!("line {line} says that no more will be sent, and this step sends");
            (message, String::new())
        }),
    }
}
