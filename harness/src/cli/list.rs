//! `harness list`: what there is, from the tables.

use clap::{Args, ValueEnum};

use super::print;
use crate::framing::FRAMINGS;
use crate::matcher::MATCHERS;
use crate::mutator::MUTATORS;
use crate::property::PROPERTIES;
use crate::protocol::PROTOCOLS;
use crate::report::REPORTERS;
use crate::scenario::lint::{LINTS, Lint, Severity};
use crate::scenario::{OPTIONS, VERBS};

/// What `harness list` is given.
#[derive(Clone, Debug, Args)]
pub(super) struct ListArgs {
    /// What to list; without it, everything
    #[arg(value_enum)]
    what: Option<What>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// How messages end
    Framings,
    /// What `check` looks for in what is well written
    Lints,
    /// What an `expect` can ask
    Matchers,
    /// How `fuzz` spoils what is said
    Mutators,
    /// What can stand beside a verb
    Options,
    /// Laws that `prop` tests
    Properties,
    /// Descriptions of protocols that come with the harness
    Protocols,
    /// What a run can write
    Reports,
    /// Reference servers
    Targets,
    /// What a step can do
    Verbs,
}

pub(super) fn list(args: &ListArgs) -> u8 {
    let mut output = String::new();
    for what in What::value_variants() {
        if args.what.is_none_or(|wanted| wanted == *what) {
            let rows = rows(*what);
            let name = what.to_possible_value().expect("every variant has a name");
            if args.what.is_none() {
                output.push_str(&format!("{}: {}\n", name.get_name(), name.get_help().expect("it has a comment")));
            }
            let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            let indent = if args.what.is_none() { "  " } else { "" };
            for (name, about) in rows {
                output.push_str(&format!("{indent}{name:<width$}  {about}\n"));
            }
            if args.what.is_none() {
                output.push('\n');
            }
        }
    }
    print(output.trim_end_matches('\n').as_bytes());
    print(b"\n")
}

fn rows(what: What) -> Vec<(String, String)> {
    let row = |name: &str, about: &str| (name.to_owned(), about.to_owned());
    match what {
        What::Framings => {
            FRAMINGS.iter().map(|entry| row(entry.name, &format!("{}: `{}`", entry.about, entry.example))).collect()
        }
        What::Lints => {
            let severity = |lint: &Lint| match lint.severity {
                Severity::Mistake => "mistake",
                Severity::Warning => "warning",
            };
            LINTS.iter().map(|lint| row(lint.name, &format!("{}: {}", severity(lint), lint.about))).collect()
        }
        What::Matchers => MATCHERS.iter().map(|entry| row(entry.name, entry.about)).collect(),
        What::Mutators => {
            MUTATORS.iter().map(|entry| row(entry.name, &format!("{}: {}", entry.level, entry.about))).collect()
        }
        What::Options => OPTIONS.iter().map(|word| row(word.name, word.about)).collect(),
        What::Properties => PROPERTIES.iter().flat_map(property).collect(),
        What::Protocols => PROTOCOLS.iter().map(|entry| row(entry.name, entry.about)).collect(),
        What::Reports => REPORTERS.iter().map(|entry| row(entry.name, entry.about)).collect(),
        What::Targets => {
            let mut rows = Vec::new();
            for target in targets::TARGETS {
                let transports: Vec<String> = target.transports.iter().map(ToString::to_string).collect();
                rows.push(row(target.name, &format!("{} ({})", target.about, transports.join(", "))));
            }
            rows
        }
        What::Verbs => VERBS.iter().map(|word| row(word.name, word.about)).collect(),
    }
}

/// What a property holds, sends, judges and costs, a line each.
fn property(property: &crate::property::Property) -> Vec<(String, String)> {
    let mut rows = vec![(property.name.to_owned(), property.about.to_owned())];
    let mut more = |text: String| rows.push((String::new(), text));
    more(format!("sends: {}", property.sends));
    more(format!("judges: {}", property.judges));
    more(format!("costs: {}", property.cost));
    property.parameters.iter().for_each(|(name, _, about)| more(format!("`{name}`: {about}")));
    if let Some(why) = property.asked {
        more(format!("only if asked for: {why}"));
    }
    rows
}
