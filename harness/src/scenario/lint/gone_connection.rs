//! Steps on a connection that has ended.

use std::collections::HashMap;

use super::{Scenario, holding, mistake, rounds};
use crate::conversation::script::{Role, Script, Step, Then, Verb};
use crate::event::Mistake;

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    for case in holding(scenario) {
        for lane in &case.script.lanes {
            let mut walk = Walk { script: &case.script, gone: HashMap::new(), found: &mut *found };
            walk.steps(&lane.steps, true);
        }
    }
}

/// What of a connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    /// We closed it.
    Closed,
    /// We reset it.
    Reset,
    /// The peer has reset it.
    PeerReset,
    /// The peer says no more.
    PeerClosed,
    /// We say no more.
    Shut,
}

struct Walk<'s, 'f> {
    script: &'s Script,
    gone: HashMap<usize, (Gone, u32)>,
    found: &'f mut Vec<Mistake>,
}

impl<'s> Walk<'s, '_> {
    fn steps(&mut self, steps: &'s [Step], outermost: bool) {
        for step in steps {
            self.step(step, outermost);
        }
    }

    fn step(&mut self, step: &'s Step, outermost: bool) {
        // A listener speaks on whichever connection it took last.
        let own = self.script.actors.get(step.slot).is_some_and(|actor| actor.role == Role::Server);
        match &step.verb {
            Verb::Accept(slot) => {
                self.gone.remove(&step.slot);
                slot.iter().for_each(|slot| _ = self.gone.remove(slot));
            }
            Verb::Alt(branches) => {
                let before = self.gone.clone();
                let mut after: Option<HashMap<usize, (Gone, u32)>> = None;
                for branch in branches {
                    self.gone.clone_from(&before);
                    self.steps(branch, outermost);
                    let ended = std::mem::take(&mut self.gone);
                    after = Some(match after {
                        None => ended,
                        Some(after) => both(&after, &ended),
                    });
                }
                self.gone = after.unwrap_or(before);
            }
            Verb::Connect | Verb::ExpectRefused => _ = self.gone.remove(&step.slot),
            Verb::Repeat(repeat) => {
                let (before, times) = (self.gone.clone(), rounds(repeat));
                if times == Some(0) {
                    return;
                }
                self.steps(&repeat.steps, false);
                // What one round closes the next may miss.
                if times.is_none_or(|times| times > 1) && outermost && self.gone != before {
                    self.steps(&repeat.steps, false);
                }
                if times.is_none() {
                    self.gone = both(&before, &self.gone);
                }
            }
            verb if verb.needs_connection() && !own => {
                self.look(step);
                self.end(step);
            }
            _ => {}
        }
    }

    fn end(&mut self, step: &Step) {
        let gone = match &step.verb {
            Verb::Close => Gone::Closed,
            Verb::ExpectEof => Gone::PeerClosed,
            Verb::ExpectReset => Gone::PeerReset,
            Verb::Reset => Gone::Reset,
            Verb::Shutdown => Gone::Shut,
            Verb::Send(send) => match send.then {
                Some(Then::Close) => Gone::Closed,
                Some(Then::HalfClose) => Gone::Shut,
                Some(Then::Reset) => Gone::Reset,
                None => return,
            },
            _ => return,
        };
        let line = self.script.infos[step.id as usize].place.line;
        let ended = matches!(self.gone.get(&step.slot), Some((Gone::Closed | Gone::Reset | Gone::PeerReset, _)));
        if !ended {
            self.gone.insert(step.slot, (gone, line));
        }
    }

    fn look(&mut self, step: &Step) {
        let Some((gone, line)) = self.gone.get(&step.slot) else { return };
        let name = &self.script.slots[step.slot].name;
        let (receives, sends) = (
            matches!(step.verb, Verb::Expect(_) | Verb::ExpectSet(..)),
            matches!(step.verb, Verb::Send(_) | Verb::Shutdown),
        );
        let message = match gone {
            Gone::Closed => format!("`{name}` has closed this connection in line {line}"),
            Gone::Reset => format!("`{name}` has reset this connection in line {line}"),
            // Who has been reset may close, too.
            Gone::PeerReset if matches!(step.verb, Verb::Close) => return,
            Gone::PeerReset => format!("the peer of `{name}` has reset this connection by line {line}"),
            Gone::PeerClosed if receives => format!("the peer of `{name}` has closed by line {line}, and says no more"),
            Gone::Shut if sends => format!("`{name}` has said in line {line} that it will send no more"),
            Gone::PeerClosed | Gone::Shut => return,
        };
        let place = self.script.infos[step.id as usize].place.clone();
        let hint = match step.slot < self.script.actors.len() {
            true => "`{ connect = true }` opens another",
            false => "`accept` with this name takes another",
        };
        // It is told once for each end.
        self.gone.remove(&step.slot);
        self.found.push(mistake(place, message, hint));
    }
}

/// What is gone either way.
fn both(one: &HashMap<usize, (Gone, u32)>, other: &HashMap<usize, (Gone, u32)>) -> HashMap<usize, (Gone, u32)> {
    let same = |slot: &usize, gone: Gone| other.get(slot).is_some_and(|(other, _)| *other == gone);
    one.iter().filter(|(slot, (gone, _))| same(slot, *gone)).map(|(slot, gone)| (*slot, *gone)).collect()
}
