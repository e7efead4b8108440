//! Times that cannot be kept together.

use super::walk::{cases, every_step};
use super::{File, Found};
use crate::conversation::script::{Limit, Verb};
use crate::time::show_duration;

pub(super) fn check(file: &File<'_>, found: &mut Found) {
    for case in cases(&file.scenario.cases) {
        let script = &case.script;
        every_step(script, |step| {
            let place = &script.infos[step.id as usize].place;
            let Limit { duration, set_by } = &step.limit;
            let within = set_by.starts_with("`within`");
            if let Some((from, _)) = step.between.filter(|(from, _)| within && from > duration) {
                let message = format!(
                    "is to end after {} at the earliest, and within {} at the latest",
                    show_duration(from),
                    show_duration(*duration)
                );
                found.error(place, message, "`between = [\"80ms\", \"400ms\"]` alone says both");
            }
            let Some(deadline) = &script.deadline else { return };
            let whole = show_duration(deadline.duration);
            if within && *duration > deadline.duration {
                let message = format!("may take {}, and its whole case {whole}", show_duration(*duration));
                found.warning(place, message, format!("the case's is {}", deadline.set_by));
            }
            if let Verb::Sleep(sleep) = &step.verb
                && *sleep > deadline.duration
            {
                let message = format!("sleeps for {}, and its whole case may take {whole}", show_duration(*sleep));
                found.error(place, message, format!("the case's is {}", deadline.set_by));
            }
        });
    }
}
