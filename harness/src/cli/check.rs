//! `harness check`: every mistake in scenarios, and nothing sent.

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
    let found = match files::find(&args.paths) {
        Ok(found) => found,
        Err(files::Missing(message)) => return complain(&message, None, Exit::Invalid),
    };
    let known = Known { vars: args.var.clone(), env: files::environment(), seed: 0, read: Some(files::read) };
    let loaded = files::load_all(&found, &known);
    let look = Look::of_stderr(talk.color());
    let (mut output, mut cases, mut invalid, mut mistakes, mut warnings) = (String::new(), 0, 0, 0, 0);
    for file in &loaded {
        match &file.result {
            Ok(scenario) => cases += scenario.cases.len(),
            Err(found) => {
                invalid += 1;
                mistakes += found.len();
                for mistake in found {
                    push_mistake(&mut output, mistake, &look);
                    output.push('\n');
                }
            }
        }
        warnings += file.warnings.len();
        if !talk.quiet || args.deny_warnings {
            push_warnings(&mut output, &file.warnings, &look);
        }
    }
    use crate::text::count;
    let warned = if warnings > 0 { format!(", {}", count(warnings, "warning")) } else { String::new() };
    if invalid > 0 {
        let (mistakes, invalid) = (count(mistakes, "mistake"), count(invalid, "file"));
        output.push_str(&format!("{mistakes} in {invalid} of {}{warned}\n", loaded.len()));
    } else if !talk.quiet {
        let (cases, files) = (count(cases, "case"), count(loaded.len(), "file"));
        output.push_str(&format!("{cases} in {files}, no mistakes{warned}\n"));
    }
    // Where stderr is closed the exit code is what is left.
    let _ = anstream::AutoStream::new(std::io::stderr(), look_choice(talk)).write_all(output.as_bytes());
    match (invalid, loaded.len()) {
        (0, 0) => complain("there is no scenario in these folders", None, Exit::Nothing),
        (0, _) if !args.deny_warnings || warnings == 0 => Exit::Held.code(),
        _ => Exit::Invalid.code(),
    }
}

/// Appends what the lints say.
pub(super) fn push_warnings(output: &mut String, warnings: &[Mistake], look: &Look) {
    for warning in warnings {
        push_mistake(output, warning, look);
        output.push('\n');
    }
}

/// The choice of colours for a stream that was rendered with [`Look`] already.
pub(super) fn look_choice(talk: Talk) -> anstream::ColorChoice {
    if talk.color().applies_to(&std::io::stderr()) {
        anstream::ColorChoice::Always
    } else {
        anstream::ColorChoice::Never
    }
}
