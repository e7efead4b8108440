//! A barrier has to be one for several, and as many have to come.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::walk::{cases, each, every_step};
use super::{File, Found};
use crate::conversation::script::Verb;

pub(super) fn check(file: &File<'_>, found: &mut Found) {
    for case in cases(&file.scenario.cases) {
        let script = &case.script;
        let mut barriers: BTreeMap<Arc<str>, _> = BTreeMap::new();
        every_step(script, |step| {
            if let Verb::Barrier(name, parties) = &step.verb {
                barriers.entry(Arc::clone(name)).or_insert((step, *parties));
            }
        });
        for (name, (step, parties)) in barriers {
            let place = &script.infos[step.id as usize].place;
            let comes = |steps: &[_]| {
                let mut comes = false;
                each(steps, &mut |step: &crate::conversation::script::Step| {
                    comes |= matches!(&step.verb, Verb::Barrier(other, _) if *other == name);
                });
                comes
            };
            let come = script.lanes.iter().filter(|lane| comes(&lane.steps)).count();
            if come < parties {
                let message = format!("the barrier `{name}` waits for {parties}, and only {come} come to it");
                found.error(place, message, "each actor that comes has it in its `play`");
            } else if parties == 1 {
                found.warning(place, format!("the barrier `{name}` holds nobody up: only one comes to it"), "");
            }
        }
    }
}
