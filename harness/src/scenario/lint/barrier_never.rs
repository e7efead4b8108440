//! A barrier that waits for more actors than have it.

use std::collections::HashMap;

use super::{Scenario, each_step, holding, mistake, part};
use crate::conversation::script::{Step, Verb};
use crate::event::Mistake;
use crate::text::count;

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    for case in holding(scenario) {
        let mut comers: HashMap<&str, (usize, usize)> = HashMap::new();
        for (at, lane) in case.script.lanes.iter().enumerate() {
            come(&lane.steps, at + 1, &mut comers);
        }
        each_step(&case.script, &mut |step, info| {
            let Verb::Barrier(name, parties) = &step.verb else { return };
            let (come, _) = comers.get(&**name).copied().unwrap_or_default();
            if *parties > come {
                let message = format!("`{name}` waits for {parties}, and only {} it", has(come));
                found.push(mistake(part(&info.place, "parties"), message, "without `parties` it is all who have it"));
            }
        });
    }
}

/// Counts each lane once for each barrier: how many have come, and who came last.
fn come<'s>(steps: &'s [Step], lane: usize, comers: &mut HashMap<&'s str, (usize, usize)>) {
    for step in steps {
        if let Verb::Barrier(name, _) = &step.verb {
            let (number, last) = comers.entry(name).or_default();
            if *last != lane {
                (*number, *last) = (*number + 1, lane);
            }
        }
        step.verb.inner().for_each(|inner| come(inner, lane, comers));
    }
}

fn has(number: usize) -> String {
    format!("{} {}", count(number, "actor"), if number == 1 { "has" } else { "have" })
}
