//! A variable of `[vars]` that nothing mentions.

use super::{Scenario, is_allowed, mistake};
use crate::event::Mistake;

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    let outline = &scenario.outline;
    for (name, place) in &outline.vars {
        if !outline.mentioned.contains(name) && !is_allowed(name) {
            let hint = format!("`${{{name}}}` stands for it; `_{name}` need not be used");
            found.push(mistake(place.clone(), format!("the variable `{name}` is never used"), hint));
        }
    }
}
