//! A notice that is awaited more often than anybody gives it.

use std::collections::HashMap;

use super::{Scenario, holding, is_loop, mistake, part, rounds};
use crate::conversation::script::{Script, Step, Verb};
use crate::document::did_you_mean;
use crate::event::Mistake;
use crate::text::count;

/// How often names are told; `u64::MAX` is any number.
type Counts<'s> = HashMap<&'s str, u64>;

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    for case in holding(scenario) {
        let script = &case.script;
        let mut given: Vec<Counts<'_>> = Vec::new();
        for lane in &script.lanes {
            let mut own = Counts::new();
            notices(&lane.steps, 1, &mut own);
            given.push(own);
        }
        let mut all = Counts::new();
        for (name, times) in given.iter().flatten() {
            let sum = all.entry(name).or_default();
            *sum = sum.saturating_add(*times);
        }
        for (lane, own) in script.lanes.iter().zip(&given) {
            // What others give; of its own notices a lane hears those that it has given before.
            let others = all.iter().map(|(name, sum)| match *sum {
                u64::MAX => (*name, u64::MAX),
                sum => (*name, sum - own.get(name).copied().unwrap_or_default()),
            });
            let mut waiter =
                Waiter { script, all: &all, given: others.collect(), awaited: Counts::new(), found: &mut *found };
            waiter.walk(&lane.steps, 1, false);
        }
    }
}

/// Adds the most notices that some steps can give.
fn notices<'s>(steps: &'s [Step], factor: u64, into: &mut Counts<'s>) {
    for step in steps {
        let factor = match is_loop(&step.verb).map(rounds) {
            None => factor,
            Some(rounds) => factor.saturating_mul(rounds.unwrap_or(u64::MAX)),
        };
        if let Verb::Notify(name) = &step.verb {
            let given = into.entry(name).or_default();
            *given = given.saturating_add(factor);
        }
        step.verb.inner().for_each(|inner| notices(inner, factor, into));
    }
}

struct Waiter<'s, 'f> {
    script: &'s Script,
    all: &'f Counts<'s>,
    /// The most that can have been given by now.
    given: Counts<'s>,
    /// The least that was awaited by now.
    awaited: Counts<'s>,
    found: &'f mut Vec<Mistake>,
}

impl<'s> Waiter<'s, '_> {
    fn walk(&mut self, steps: &'s [Step], factor: u64, counted: bool) {
        for step in steps {
            match &step.verb {
                Verb::Alt(_) | Verb::Defer(_) | Verb::Notify(_) if !counted => {
                    notices(std::slice::from_ref(step), 1, &mut self.given);
                }
                Verb::Await(name, times) => self.wait(step, name, times.saturating_mul(factor)),
                Verb::Repeat(repeat) => {
                    // A round may hear what an earlier one has given.
                    if !counted {
                        notices(std::slice::from_ref(step), 1, &mut self.given);
                    }
                    self.walk(&repeat.steps, factor.saturating_mul(rounds(repeat).unwrap_or(0)), true);
                }
                _ => {}
            }
        }
    }

    fn wait(&mut self, step: &Step, name: &'s str, times: u64) {
        let awaited = self.awaited.entry(name).or_default();
        let enough = *awaited;
        *awaited = awaited.saturating_add(times);
        let given = self.given.get(name).copied().unwrap_or_default();
        // It is told once.
        if *awaited <= given || enough > given {
            return;
        }
        let place = part(&self.script.infos[step.id as usize].place, &format!("\"{name}\""));
        self.found.push(match self.all.get(name).copied().unwrap_or_default() {
            0 => {
                let near = did_you_mean(name, self.all.keys().copied());
                let hint = near.unwrap_or_else(|| format!("`{{ notify = \"{name}\" }}` of another actor gives it"));
                mistake(place, format!("nobody gives the notice `{name}`"), hint)
            }
            _ => {
                let (awaited, given) = (count(*awaited as usize, "time"), count(given as usize, "time"));
                let message = format!("`{name}` is awaited {awaited} by then, and can have been given {given}");
                mistake(place, message, "each actor takes notices for itself, and one is taken once")
            }
        });
    }
}
