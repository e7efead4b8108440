//! A step that may take longer than all of its case.

use std::collections::BTreeSet;

use super::{Scenario, each_step, holding, mistake, part};
use crate::conversation::script::Verb;
use crate::event::Mistake;
use crate::time::show_duration;

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    for case in holding(scenario) {
        let Some(deadline) = &case.script.deadline else { continue };
        // What stands in a step has its limit, and is not told again.
        let mut seen = BTreeSet::new();
        let hint = format!("{} bounds the case", deadline.set_by);
        let all = show_duration(deadline.duration);
        each_step(&case.script, &mut |step, info| {
            let waits = match step.verb {
                Verb::ExpectSilence(duration) | Verb::Sleep(duration) => duration,
                _ => Default::default(),
            };
            if waits > deadline.duration {
                let message = format!("it waits for {}, and its case ends after {all}", show_duration(waits));
                found.push(mistake(info.place.clone(), message, &*hint));
            } else if step.limit.duration > deadline.duration
                && step.limit.set_by.starts_with("`within`")
                && seen.insert(&step.limit.set_by)
            {
                let within = show_duration(step.limit.duration);
                let message = format!("`within` gives it {within}, and its case ends after {all}");
                found.push(mistake(part(&info.place, "within"), message, &*hint));
            }
        });
    }
}
