//! `harness check`: every mistake in scenarios, and nothing sent.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::{Talk, complain, files};
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
}

pub(super) fn check(args: &CheckArgs, talk: Talk) -> u8 {
    let found = match files::find(&args.paths) {
        Ok(found) => found,
        Err(files::Missing(message)) => return complain(&message, None, Exit::Invalid),
    };
    let known = Known { vars: args.var.clone(), env: files::environment(), seed: 0, read: Some(files::read) };
    let loaded = files::load_all(&found, &known);
    let look = Look::of_stderr(talk.color());
    let (mut output, mut cases, mut invalid, mut mistakes) = (String::new(), 0, 0, 0);
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
    }
    use crate::text::count;
    if invalid > 0 {
        let (mistakes, invalid) = (count(mistakes, "mistake"), count(invalid, "file"));
        output.push_str(&format!("{mistakes} in {invalid} of {}\n", loaded.len()));
    } else if !talk.quiet {
        output.push_str(&format!("{} in {}, no mistakes\n", count(cases, "case"), count(loaded.len(), "file")));
    }
    // Where stderr is closed the exit code is what is left.
    let _ = anstream::AutoStream::new(std::io::stderr(), look_choice(talk)).write_all(output.as_bytes());
    match (invalid, loaded.len()) {
        (0, 0) => complain("there is no scenario in these folders", None, Exit::Nothing),
        (0, _) => Exit::Held.code(),
        _ => Exit::Invalid.code(),
    }
}

/// The choice of colours for a stream that was rendered with [`Look`] already.
fn look_choice(talk: Talk) -> anstream::ColorChoice {
    if talk.color().applies_to(&std::io::stderr()) {
        anstream::ColorChoice::Always
    } else {
        anstream::ColorChoice::Never
    }
}
