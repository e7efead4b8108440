//! A mark from which nothing counts.

use std::collections::BTreeSet;

use super::{Scenario, each_step, is_allowed, mistake, part};
use crate::document::Value;
use crate::event::Mistake;

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    let from = scenario.presets.iter().filter(|preset| preset.table == "bench" && preset.key == "from");
    let from: Vec<&str> = from
        .filter_map(|preset| match &preset.value {
            Value::String(mark) => Some(mark.as_str()),
            _ => None,
        })
        .collect();
    for case in &scenario.cases {
        let (mut used, mut set) = (BTreeSet::new(), Vec::new());
        // A benchmark's iterations begin behind it.
        used.extend(from.iter().copied());
        used.extend(case.faults.iter().filter_map(|fault| fault.when.after.as_deref()));
        each_step(&case.script, &mut |step, info| {
            used.extend(step.after.as_deref());
            // A fragment may set it for those who want it.
            let mark = step.mark.as_deref().filter(|_| info.via.is_empty());
            set.extend(mark.map(|mark| (mark, &info.place)));
        });
        for (mark, place) in set {
            if !used.contains(mark) && !is_allowed(mark) {
                let hint = format!("`after = \"{mark}\"` counts from it; `_{mark}` need not be used");
                let message = format!("nothing counts from the mark `{mark}`");
                found.push(mistake(part(place, &format!("\"{mark}\"")), message, hint));
            }
        }
    }
}
