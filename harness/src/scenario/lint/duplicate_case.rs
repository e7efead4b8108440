//! Two cases of one name, which no filter and no report tells apart.

use std::collections::HashMap;

use super::{Scenario, mistake};
use crate::event::{Mistake, Place};

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    let mut seen: HashMap<&str, &Place> = HashMap::new();
    for case in &scenario.cases {
        let place = &case.script.place;
        if let Some(first) = seen.insert(&case.name, place) {
            let hint = format!("the other is at {first}; filters and reports tell cases by their names");
            found.push(mistake(place.clone(), format!("there is another case `{}`", case.name), hint));
        }
    }
}
