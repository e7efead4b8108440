//! An actor that nothing needs.

use std::collections::BTreeSet;

use super::{Scenario, each_step, is_allowed, mistake};
use crate::event::Mistake;
use crate::scenario::{Connect, Role};

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    let mut used = vec![false; scenario.actors.len()];
    for case in &scenario.cases {
        each_step(&case.script, &mut |step, info| {
            if !info.actor.is_empty() {
                used[case.script.slots[step.slot].actor] = true;
            }
        });
        for lane in &case.script.lanes {
            let at = scenario.actors.iter().position(|actor| *actor.name == *lane.name);
            at.into_iter().for_each(|at| used[at] = true);
        }
        case.faults.iter().for_each(|fault| used[fault.on] = true);
    }
    for actor in &scenario.actors {
        if let Role::Client(Connect::Actor(to)) | Role::Relay { to: Connect::Actor(to), .. } = &actor.role {
            used[*to] = true;
        }
    }
    // Of a group one that is used is enough.
    let key = |name: &str| name.split('[').next().unwrap_or_default().to_owned();
    let mut names: BTreeSet<String> =
        scenario.actors.iter().zip(&used).filter(|(_, used)| **used).map(|(actor, _)| key(&actor.name)).collect();
    names.extend(scenario.outline.mentioned.iter().filter_map(|name| Some(key(name.split_once('.')?.0))));
    for actor in scenario.actors.iter().filter(|actor| actor.place.line > 0) {
        let name = key(&actor.name);
        if !names.contains(&name) && !is_allowed(&name) {
            let message = format!("the actor `{name}` has no steps, and nobody connects to it");
            found.push(mistake(actor.place.clone(), message, "a name with `_` in front may be unused"));
        }
    }
}
