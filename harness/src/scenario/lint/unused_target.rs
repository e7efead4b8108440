//! A target that nobody speaks to.

use super::{Scenario, is_allowed, mistake};
use crate::event::Mistake;
use crate::scenario::{Connect, Role, TargetKind};

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    let mut used = vec![false; scenario.targets.len()];
    for actor in &scenario.actors {
        if let Role::Client(Connect::Target(to)) | Role::Relay { to: Connect::Target(to), .. } = &actor.role {
            used[*to] = true;
        }
    }
    for (target, used) in scenario.targets.iter().zip(used) {
        let prefix = format!("{}.", target.name);
        let mentioned = || scenario.outline.mentioned.iter().any(|name| name.starts_with(&prefix));
        let disturbed = || scenario.cases.iter().any(|case| case.disturbs.contains(&target.name));
        // A program that ends by itself, or is told of a listener, does something all the same.
        let acts = match &target.kind {
            TargetKind::Command(command) => target.is_told || command.expect_exit.is_some(),
            TargetKind::Address(_) | TargetKind::Builtin { .. } => false,
        };
        if !(used || acts || is_allowed(&target.name) || mentioned() || disturbed()) {
            let message = format!("nobody connects to the target `{}`", target.name);
            let hint = format!("`connect = \"{}\"` on an actor does", target.name);
            found.push(mistake(target.place.clone(), message, hint));
        }
    }
}
