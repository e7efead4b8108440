//! `await` and `notify` have to fit together: whoever awaits what nobody gives waits for ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::walk::{Times, cases, every_step, times};
use super::{File, Found};
use crate::conversation::script::{Script, Verb};
use crate::document::did_you_mean;
use crate::text::count;

pub(super) fn check(file: &File<'_>, found: &mut Found) {
    for case in cases(&file.scenario.cases) {
        check_script(&case.script, found);
    }
}

fn check_script(script: &Script, found: &mut Found) {
    let (mut given, mut awaited) = (BTreeMap::new(), BTreeMap::new());
    every_step(script, |step| match &step.verb {
        Verb::Notify(name) => drop(given.entry(Arc::clone(name)).or_insert(step)),
        Verb::Await(name, _) => drop(awaited.entry(Arc::clone(name)).or_insert(step)),
        _ => {}
    });
    for (name, step) in &awaited {
        let place = &script.infos[step.id as usize].place;
        if !given.contains_key(name) {
            let near = did_you_mean(name, given.keys().map(|name| &**name));
            let hint =
                near.unwrap_or_else(|| format!("`{{ notify = \"{name}\" }}` in the steps of another actor gives it"));
            found.error(place, format!("awaits the notice `{name}`, and no step gives it"), hint);
            continue;
        }
        let mut all = script.lanes.iter().map(|lane| {
            times(&lane.steps, &|step| u64::from(matches!(&step.verb, Verb::Notify(given) if given == name)))
        });
        let most = all.try_fold(0_u64, |sum, Times { most, .. }| Some(sum.saturating_add(most?)));
        let wanted = script.lanes.iter().map(|lane| {
            times(&lane.steps, &|step| match &step.verb {
                Verb::Await(awaited, times) if awaited == name => *times,
                _ => 0,
            })
        });
        // Each lane takes notices for itself.
        let least = wanted.map(|times| times.least).max().unwrap_or(0);
        if let Some(most) = most.filter(|most| *most < least) {
            let (least, most) = (count(least as usize, "time"), count(most as usize, "time"));
            found.error(place, format!("the notice `{name}` is awaited {least}, and given {most} at most"), "");
        }
    }
    for (name, step) in &given {
        if !awaited.contains_key(name) && !name.starts_with('_') {
            let near = did_you_mean(name, awaited.keys().map(|name| &**name));
            let place = &script.infos[step.id as usize].place;
            found.warning(place, format!("gives the notice `{name}`, and no step awaits it"), near.unwrap_or_default());
        }
    }
}
