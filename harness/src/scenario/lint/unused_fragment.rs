//! A fragment that nothing plays.

use super::{Scenario, is_allowed, mistake};
use crate::event::Mistake;

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    let outline = &scenario.outline;
    // A `use` with a variable in it may mean any.
    if outline.fragments_used.iter().any(|name| name.contains("${")) {
        return;
    }
    for (name, place) in &outline.fragments {
        if !outline.fragments_used.contains(name) && !is_allowed(name) {
            let hint = format!("`{{ use = \"{name}\" }}` plays it; a name with `_` in front may be unused");
            found.push(mistake(place.clone(), format!("the fragment `{name}` is never used"), hint));
        }
    }
}
