//! A name is how a case is chosen, reported and played again: two of one name cannot be told apart.

use std::collections::HashMap;

use super::{File, Found};

pub(super) fn check(file: &File<'_>, found: &mut Found) {
    let mut seen = HashMap::new();
    for case in &file.scenario.cases {
        if let Some(line) = seen.insert(&case.name, case.script.place.line) {
            let message = format!("there is a case `{}` already, at line {line}", case.name);
            found.warning(&case.script.place, message, "filters and reports go by the name");
        }
    }
}
