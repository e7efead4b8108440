//! A notice that nobody awaits.

use std::collections::BTreeSet;

use super::{Scenario, each_step, is_allowed, mistake, part};
use crate::conversation::script::Verb;
use crate::document::did_you_mean;
use crate::event::Mistake;

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    for case in &scenario.cases {
        let (mut awaited, mut given) = (BTreeSet::new(), Vec::new());
        each_step(&case.script, &mut |step, info| match &step.verb {
            Verb::Await(name, _) => _ = awaited.insert(&**name),
            // A fragment may give it to those who want it.
            Verb::Notify(name) if info.via.is_empty() => given.push((&**name, &info.place)),
            _ => {}
        });
        for (name, place) in given {
            if !awaited.contains(name) && !is_allowed(name) {
                let near = did_you_mean(name, awaited.iter().copied());
                let hint = near.unwrap_or_else(|| format!("`{{ await = \"{name}\" }}` of another actor would"));
                found.push(mistake(part(place, &format!("\"{name}\"")), format!("nobody awaits `{name}`"), hint));
            }
        }
    }
}
