//! `harness check`: every mistake in scenarios and protocols, and nothing sent.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::{Talk, complain, files};
use crate::event::Mistake;
use crate::exit::Exit;
use crate::report::Look;
use crate::report::place::push_mistake;
use crate::scenario::Known;
use crate::scenario::lint::{Finding, Severity};

/// What `harness check` is given.
#[derive(Clone, Debug, Args)]
pub(super) struct CheckArgs {
    /// Files, or folders of files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Give a variable a value; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::run::pair, env = "HARNESS_VAR", value_delimiter = '\n')]
    var: Vec<(String, String)>,
    /// Let a warning count as a mistake (exit code 3)
    #[arg(long, env = "HARNESS_DENY_WARNINGS", value_parser = FalseyValueParser::new())]
    deny_warnings: bool,
}

pub(super) fn check(args: &CheckArgs, talk: Talk) -> u8 {
    let mut found = match files::find(&args.paths) {
        Ok(found) => found,
        Err(files::Missing(message)) => return complain(&message, None, Exit::Invalid),
    };
    let known = Known {
        vars: args.var.clone(),
        env: files::environment(),
        read: Some(crate::document::read_text),
        ..Known::default()
    };
    let protocols = files::take_protocols(&mut found);
    let loaded = files::load_all(&found, &known);
    let look = Look::of_stderr(talk.color());
    let (mut output, mut tally) = (String::new(), Tally::default());
    for (_, read) in &protocols {
        match read {
            Ok(messages) => tally.messages += messages,
            Err(found) => {
                tally.invalid += 1;
                tally.push_mistakes(&mut output, found, &look);
            }
        }
    }
    for file in &loaded {
        let mut is_invalid = false;
        match &file.result {
            Ok(scenario) => tally.cases += scenario.cases.len(),
            Err(found) => {
                is_invalid = true;
                tally.push_mistakes(&mut output, found, &look);
            }
        }
        for finding in &file.findings {
            match finding.severity {
                Severity::Mistake => tally.mistakes += 1,
                Severity::Warning => tally.warnings += 1,
            }
            let counts = finding.severity == Severity::Mistake || args.deny_warnings;
            is_invalid |= counts;
            if counts || !talk.quiet {
                push_finding(&mut output, finding, &look);
            }
        }
        tally.invalid += usize::from(is_invalid);
    }
    let files = loaded.len() + protocols.len();
    tally.push(&mut output, files, talk);
    // Where stderr is closed the exit code is what is left.
    let _ = anstream::AutoStream::new(std::io::stderr(), look_choice(talk)).write_all(output.as_bytes());
    match (tally.invalid, files) {
        (0, 0) => complain("there is no scenario in these folders", None, Exit::Nothing),
        (0, _) => Exit::Held.code(),
        _ => Exit::Invalid.code(),
    }
}

/// What was found.
#[derive(Default)]
struct Tally {
    cases: usize,
    /// Of protocols.
    messages: usize,
    /// Files that are not as they have to be.
    invalid: usize,
    mistakes: usize,
    warnings: usize,
}

impl Tally {
    fn push_mistakes(&mut self, output: &mut String, mistakes: &[Mistake], look: &Look) {
        self.mistakes += mistakes.len();
        for mistake in mistakes {
            push_mistake(output, mistake, look);
            output.push('\n');
        }
    }

    fn push(&self, output: &mut String, files: usize, talk: Talk) {
        use crate::text::count;
        let (mistakes, warnings) = (count(self.mistakes, "mistake"), count(self.warnings, "warning"));
        let found = match (self.mistakes, self.warnings) {
            (0, _) => warnings.clone(),
            (_, 0) => mistakes,
            _ => format!("{mistakes} and {warnings}"),
        };
        if self.invalid > 0 {
            output.push_str(&format!("{found} in {} of {files}\n", count(self.invalid, "file")));
        } else if !talk.quiet {
            let files = count(files, "file");
            let cases = match (self.cases, self.messages) {
                (0, messages) if messages > 0 => count(messages, "message"),
                (cases, 0) => count(cases, "case"),
                (cases, messages) => format!("{} and {}", count(cases, "case"), count(messages, "message")),
            };
            let warned = if self.warnings > 0 { format!(", {warnings}") } else { String::new() };
            output.push_str(&format!("{cases} in {files}, no mistakes{warned}\n"));
        }
    }
}

/// Tells every mistake of the only file that a command reads, and gives the exit code.
pub(super) fn tell_mistakes(mistakes: &[Mistake], talk: Talk) -> u8 {
    let (mut output, look) = (String::new(), Look::of_stderr(talk.color()));
    for mistake in mistakes {
        push_mistake(&mut output, mistake, &look);
        output.push('\n');
    }
    // Where stderr is closed nobody wants to know.
    let _ = anstream::AutoStream::new(std::io::stderr(), look_choice(talk)).write_all(output.as_bytes());
    Exit::Invalid.code()
}

/// Appends what a lint says, with the lint's name.
pub(super) fn push_finding(output: &mut String, finding: &Finding, look: &Look) {
    let mut mistake = finding.mistake.clone();
    let word = match finding.severity {
        Severity::Mistake => "",
        Severity::Warning => "warning: ",
    };
    mistake.message = format!("{word}{} [{}]", mistake.message, finding.lint);
    push_mistake(output, &mistake, look);
    output.push('\n');
}

/// The choice of colours for a stream that was rendered with [`Look`] already.
pub(super) fn look_choice(talk: Talk) -> anstream::ColorChoice {
    if talk.color().applies_to(&std::io::stderr()) {
        anstream::ColorChoice::Always
    } else {
        anstream::ColorChoice::Never
    }
}
