//! A barrier that opens for whoever comes first.

use super::{Scenario, each_step, mistake};
use crate::conversation::script::Verb;
use crate::event::Mistake;

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    for case in &scenario.cases {
        each_step(&case.script, &mut |step, info| {
            if let Verb::Barrier(name, 1) = &step.verb {
                let message = format!("nobody waits at `{name}`: it is for one");
                found.push(mistake(info.place.clone(), message, "a barrier stands in the `play` of several actors"));
            }
        });
    }
}
