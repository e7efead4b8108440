//! A step whose deadline is over before it may happen.

use super::{Scenario, each_step, holding, mistake, part};
use crate::event::Mistake;
use crate::time::show_duration;

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    for case in holding(scenario) {
        each_step(&case.script, &mut |step, info| {
            let Some((earliest, _)) = step.between.filter(|(earliest, _)| *earliest > step.limit.duration) else {
                return;
            };
            let (limit, earliest) = (show_duration(step.limit.duration), show_duration(earliest));
            let message = format!("it has to happen within {limit}, and not before {earliest}");
            let hint = format!("{} is its deadline", step.limit.set_by);
            found.push(mistake(part(&info.place, "between"), message, hint));
        });
    }
}
