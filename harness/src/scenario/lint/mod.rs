//! What a valid file says that cannot work, or that nobody meant: found before anything is sent.
//!
//! One rule a file, one row in the table. A rule looks at the scenario and at the tree it was read from, and stays quiet
//! where it is not sure: what it calls an error fails whenever it is played. `harness check` tells them; a run goes on.

mod barriers;
mod clocks;
mod names;
mod never_matches;
mod notices;
mod unreachable;
mod unused;
mod walk;

use crate::document::{Source, Table};
use crate::event::{Mistake, Place};
use crate::scenario::Scenario;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It fails whenever it is played.
    Error,
    /// It works, and is probably not what was meant.
    Warning,
}

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq)]
pub struct Lint {
    /// The rule's name in [`RULES`].
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where and what.
    pub mistake: Mistake,
}

/// A row of the table of rules.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// What it finds, in one line.
    pub about: &'static str,
    check: fn(&File<'_>, &mut Found),
}

/// Every rule, in alphabetical order.
pub const RULES: &[Rule] = &[
    Rule {
        name: "barriers",
        about: "a barrier that opens for one alone, or for more than come",
        check: barriers::check,
    },
    Rule {
        name: "clocks",
        about: "a step that may take longer than its case, or has to end after its deadline",
        check: clocks::check,
    },
    Rule { name: "names", about: "cases of one name", check: names::check },
    Rule { name: "never-matches", about: "an expectation that nothing can meet", check: never_matches::check },
    Rule {
        name: "notices",
        about: "an `await` without enough `notify`, and a `notify` that nobody awaits",
        check: notices::check,
    },
    Rule {
        name: "unreachable",
        about: "a step on a connection that an earlier one has ended",
        check: unreachable::check,
    },
    Rule {
        name: "unused",
        about: "a capture, variable, mark, fragment, actor or target that nobody uses",
        check: unused::check,
    },
];

/// What the rules look at.
struct File<'a> {
    scenario: &'a Scenario,
    table: &'a Table,
    source: &'a Source,
}

/// What they found.
#[derive(Default)]
struct Found {
    rule: &'static str,
    lints: Vec<Lint>,
}

impl Found {
    fn add(&mut self, severity: Severity, place: Place, message: String, hint: impl Into<String>) {
        let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        let lint = Lint { rule: self.rule, severity, mistake: Mistake { place, message, hint } };
        // A fragment that is used twice, or a case that varies, would say it once each time.
        if !self.lints.contains(&lint) {
            self.lints.push(lint);
        }
    }

    fn error(&mut self, place: &Place, message: String, hint: impl Into<String>) {
        self.add(Severity::Error, place.clone(), message, hint);
    }

    fn warning(&mut self, place: &Place, message: String, hint: impl Into<String>) {
        self.add(Severity::Warning, place.clone(), message, hint);
    }
}

/// Looks at a scenario and the tree that it was read from, in the order of the file.
pub(super) fn lint(scenario: &Scenario, table: &Table, source: &Source) -> Vec<Lint> {
    let file = File { scenario, table, source };
    let mut found = Found::default();
    for rule in RULES {
        found.rule = rule.name;
        (rule.check)(&file, &mut found);
    }
    found.lints.sort_by(|a, b| {
        let key = |lint: &Lint| (lint.mistake.place.file.clone(), lint.mistake.place.line, lint.mistake.place.column);
        key(a).cmp(&key(b))
    });
    found.lints
}
