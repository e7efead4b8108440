//! What is well written and still can never work, or is of no use: found before anything is sent.
//!
//! A lint is one file here, its `mod` line, its row in [`LINTS`] and its section in `docs/lints.md`. It looks at a scenario
//! that was read without a mistake. Where it cannot be sure, since a variable decides, it says nothing.

mod await_never;
mod barrier_never;
mod between_never;
mod duplicate_case;
mod expect_never;
mod gone_connection;
mod lone_barrier;
mod past_deadline;
mod unawaited_notice;
mod unused_actor;
mod unused_capture;
mod unused_fragment;
mod unused_mark;
mod unused_target;
mod unused_variable;

use std::sync::Arc;

use super::{Case, Scenario};
use crate::conversation::payload::Number;
use crate::conversation::script::{Repeat, Script, Step, Verb};
use crate::document::MISTAKES_MAX;
use crate::event::{Mistake, Place, StepInfo};

/// A row of the table.
#[derive(Debug)]
pub struct Lint {
    /// Its name.
    pub name: &'static str,
    /// One line for `harness list lints`.
    pub about: &'static str,
    /// How bad a finding is.
    pub severity: Severity,
    find: fn(&Scenario, &mut Vec<Mistake>),
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It fails whenever it is played.
    Mistake,
    /// It works, and is probably not what was meant.
    Warning,
}

/// Something that a lint has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The lint's name.
    pub lint: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where, and what.
    pub mistake: Mistake,
}

/// Every lint.
pub const LINTS: &[Lint] = &[
    Lint {
        name: "await-never",
        about: "a notice is awaited more often than it is given",
        severity: Severity::Mistake,
        find: await_never::find,
    },
    Lint {
        name: "barrier-never",
        about: "a barrier waits for more actors than have it",
        severity: Severity::Mistake,
        find: barrier_never::find,
    },
    Lint {
        name: "between-never",
        about: "`between` begins after the step's deadline",
        severity: Severity::Mistake,
        find: between_never::find,
    },
    Lint {
        name: "duplicate-case",
        about: "two cases have one name",
        severity: Severity::Warning,
        find: duplicate_case::find,
    },
    Lint {
        name: "expect-never",
        about: "no message can match what is expected",
        severity: Severity::Mistake,
        find: expect_never::find,
    },
    Lint {
        name: "gone-connection",
        about: "a step is for a connection that has ended",
        severity: Severity::Mistake,
        find: gone_connection::find,
    },
    Lint {
        name: "lone-barrier",
        about: "a barrier is for one actor",
        severity: Severity::Warning,
        find: lone_barrier::find,
    },
    Lint {
        name: "past-deadline",
        about: "a step may take longer than its case",
        severity: Severity::Warning,
        find: past_deadline::find,
    },
    Lint {
        name: "unawaited-notice",
        about: "a notice is given that nobody awaits",
        severity: Severity::Warning,
        find: unawaited_notice::find,
    },
    Lint {
        name: "unused-actor",
        about: "an actor has no steps, and nobody connects to it",
        severity: Severity::Warning,
        find: unused_actor::find,
    },
    Lint {
        name: "unused-capture",
        about: "a variable is set and never used, or a connection is named and never called by it",
        severity: Severity::Warning,
        find: unused_capture::find,
    },
    Lint {
        name: "unused-fragment",
        about: "a fragment is never used",
        severity: Severity::Warning,
        find: unused_fragment::find,
    },
    Lint {
        name: "unused-mark",
        about: "a mark is set and nothing counts from it",
        severity: Severity::Warning,
        find: unused_mark::find,
    },
    Lint {
        name: "unused-target",
        about: "nobody connects to a target",
        severity: Severity::Warning,
        find: unused_target::find,
    },
    Lint {
        name: "unused-variable",
        about: "a variable of `[vars]` is never used",
        severity: Severity::Warning,
        find: unused_variable::find,
    },
];

/// All findings, in the order of the file; at most so many of a lint as there are mistakes told of a file.
pub fn lint(scenario: &Scenario) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for lint in LINTS {
        let mut found = Vec::new();
        (lint.find)(scenario, &mut found);
        sort(&mut found);
        found.truncate(MISTAKES_MAX);
        findings.extend(found.into_iter().map(|mistake| Finding { lint: lint.name, severity: lint.severity, mistake }));
    }
    findings.sort_by(|a, b| order(&a.mistake).cmp(&order(&b.mistake)));
    findings
}

/// Cases that vary, and members of groups, find the same again and again.
fn sort(found: &mut Vec<Mistake>) {
    found.sort_by(|a, b| order(a).cmp(&order(b)));
    found.dedup();
}

fn order(mistake: &Mistake) -> (&str, u32, u32, &str) {
    let place = &mistake.place;
    (&place.file, place.line, place.column, &mistake.message)
}

fn mistake(place: Place, message: impl Into<String>, hint: impl Into<String>) -> Mistake {
    Mistake { place, message: message.into(), hint: Some(hint.into()) }
}

/// Whether its author says that it need not be used.
fn is_allowed(name: &str) -> bool {
    name.starts_with('_')
}

/// Cases that are meant to hold: one that is known to fail, or is not played, may be as wrong as it likes.
fn holding(scenario: &Scenario) -> impl Iterator<Item = &Case> {
    scenario.cases.iter().filter(|case| case.xfail.is_none() && case.skip.is_none())
}

/// Every step of a case, those inside of others, too.
fn each_step<'s>(script: &'s Script, visit: &mut dyn FnMut(&'s Step, &'s StepInfo)) {
    fn walk<'s>(script: &'s Script, steps: &'s [Step], visit: &mut dyn FnMut(&'s Step, &'s StepInfo)) {
        for step in steps {
            visit(step, &script.infos[step.id as usize]);
            step.verb.inner().for_each(|inner| walk(script, inner, visit));
        }
    }
    script.lanes.iter().for_each(|lane| walk(script, &lane.steps, visit));
}

/// How often a loop is played, where that is known.
fn rounds(repeat: &Repeat) -> Option<u64> {
    match (repeat.values.first(), &repeat.times) {
        (Some((_, values)), _) => Some(values.len() as u64),
        (None, Number::Literal(times)) => Some(*times),
        (None, Number::Text(_)) => None,
    }
}

/// The part of a step's line that `word` covers, or the step's own place.
fn part(place: &Place, word: &str) -> Place {
    let skipped = place.column.saturating_sub(1) as usize;
    let Some((start, _)) = place.text.char_indices().nth(skipped) else { return place.clone() };
    let Some(at) = place.text[start..].find(word) else { return place.clone() };
    let column = place.column + place.text[start..start + at].chars().count() as u32;
    Place { column, width: word.chars().count() as u32, text: Arc::clone(&place.text), ..place.clone() }
}

/// Where a step names what it sets: a string, a group of a regex or a key; the step's own place where none is in its line.
fn naming(place: &Place, name: &str) -> Place {
    let forms = [("\"", "\""), ("<", ">"), (" ", " ="), ("{", "="), (" ", "=")];
    let found = forms.iter().map(|(before, after)| part(place, &format!("{before}{name}{after}")));
    let Some(found) = found.into_iter().find(|found| found != place) else { return place.clone() };
    Place { column: found.column + 1, width: name.chars().count() as u32, ..found }
}

/// The verb of a step inside of which are others, for those who want only its own.
fn is_loop(verb: &Verb) -> Option<&Repeat> {
    match verb {
        Verb::Repeat(repeat) => Some(repeat),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(LINTS.is_sorted_by_key(|lint| lint.name));
    }

    #[test]
    fn a_word_of_a_step_is_found_behind_its_beginning() {
        let text = "{ a.x = 1 }, { 안.send = \"x\", mark = \"sent\" },";
        let place = Place { file: "f".into(), line: 1, column: 16, width: 12, text: text.into() };
        let found = part(&place, "\"sent\"");
        assert_eq!((found.column, found.width), (37, 6));
        assert_eq!(part(&place, "other"), place);
    }

    #[test]
    fn a_name_is_found_where_it_is_given_and_not_in_another_word() {
        let at = |text: &str, name: &str| {
            let place = Place { file: "f".into(), line: 1, column: 1, width: 1, text: text.into() };
            naming(&place, name).column
        };
        assert_eq!(at("{ expect = { save = \"a\" } }", "a"), 22);
        assert_eq!(at("{ expect = { regex = '(?<e>x)' } }", "e"), 26);
        assert_eq!(at("{ set = { t = 1 } }", "t"), 11);
        assert_eq!(at("{ set = { x = 1 } }", "t"), 1);
    }
}
