//! The command line: one file a subcommand. Help, man pages and completions come from the same definitions.

mod bench;
mod check;
mod dissector;
mod files;
mod folder;
mod fuzz;
mod join;
mod last;
mod list;
mod merge;
mod presets;
mod prop;
mod replay;
mod report;
mod reporters;
mod run;
pub mod serve;
mod shrink;
mod stored;

use std::ffi::OsString;
use std::io::Write as _;

use clap::builder::FalseyValueParser;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::bench::floor::{FLOOR_COMMAND, floor_main};
use crate::exit::Exit;
use crate::report::Color;
use crate::runner::process::{GUARD_COMMAND, guard_main};

/// Test network servers and clients with scripted conversations.
///
/// A scenario is a TOML file: what is under test, who talks, and what they say. `harness run` plays it, tells what
/// differed, and leaves a capture of every case that Wireshark opens.
#[derive(Debug, Parser)]
#[command(name = "harness", version, arg_required_else_help = true, after_help = EXIT_CODES, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    talk: Talk,
}

/// How much is said, and in which colours.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Talk {
    /// Colours on the terminal
    #[arg(long, global = true, value_enum, default_value_t, env = "HARNESS_COLOR", value_name = "WHEN")]
    color: When,
    /// Only failures and the summary
    #[arg(short, long, global = true, env = "HARNESS_QUIET", value_parser = FalseyValueParser::new())]
    quiet: bool,
    /// Every step with its time, too
    #[arg(short, long, global = true, env = "HARNESS_VERBOSE", value_parser = FalseyValueParser::new())]
    verbose: bool,
}

impl Talk {
    fn color(self) -> Color {
        match self.color {
            When::Always => Color::Always,
            When::Auto => Color::Auto,
            When::Never => Color::Never,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum When {
    Always,
    #[default]
    Auto,
    Never,
}

const EXIT_CODES: &str = "\
Exit codes:
  0   everything selected held
  1   something did not hold
  2   the command line is wrong
  3   a scenario or another input file is invalid
  4   nothing was selected, or everything was skipped
  5   a target did not start or could not be reached
  6   a target crashed
  7   what did not hold at first did later, and --flaky fail is given
  8   a benchmark fell behind its baseline
  9   the run is incomplete: interrupted, or out of its time budget
  70  a bug in the harness, or results that could not be written";

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure latency and load: a scenario's steps again and again, timed
    #[command(args_override_self = true)]
    Bench(Box<bench::BenchArgs>),
    /// Read scenarios and report every mistake; send nothing
    Check(check::CheckArgs),
    /// Write a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write a dissector of a protocol that tshark and Wireshark load
    Dissector(dissector::DissectorArgs),
    /// Spoil what a scenario says, and see what that does to its target
    #[command(args_override_self = true)]
    Fuzz(Box<fuzz::FuzzArgs>),
    /// Show what there is: targets, matchers, verbs, …
    List(list::ListArgs),
    /// Write the man page of a command, or of the program
    Man {
        /// The command
        command: Option<String>,
    },
    /// Test properties: variants of a scenario's cases that have to hold, too
    Prop(Box<prop::PropArgs>),
    /// Play stored cases again: fixed, failed, flaky or stale
    Replay(replay::ReplayArgs),
    /// Join the runs of several machines, or add up their benchmarks sample by sample
    Merge(merge::MergeArgs),
    /// Tell a stored run again, in any format
    Report(report::ReportArgs),
    /// Play scenarios
    Run(Box<run::RunArgs>),
    /// Start a reference server
    Serve(serve::ServeArgs),
    /// Make a failing case small
    Shrink(shrink::ShrinkArgs),
}

/// Does what the command line says, and gives the exit code.
pub fn main() -> u8 {
    if std::env::args_os().nth(1).is_some_and(|command| command == GUARD_COMMAND) {
        return guard_main();
    }
    if std::env::args_os().nth(1).is_some_and(|command| command == FLOOR_COMMAND) {
        return floor_main();
    }
    let words: Vec<OsString> = std::env::args_os().collect();
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and the version are data, a mistake is talk; clap knows which is which. Nobody may be reading.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.code() } else { Exit::Held.code() };
        }
    };
    match arguments.command {
        Command::Bench(args) => bench::bench(&args, arguments.talk, &words),
        Command::Check(args) => check::check(&args, arguments.talk),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "harness", &mut script);
            print(&script)
        }
        Command::Dissector(args) => dissector::dissector(&args, arguments.talk),
        Command::Fuzz(args) => fuzz::fuzz(*args, arguments.talk, &words),
        Command::List(args) => list::list(&args),
        Command::Man { command } => man(command.as_deref()),
        Command::Prop(args) => prop::prop(&args, arguments.talk, &words),
        Command::Replay(args) => replay::replay(&args, arguments.talk, &words),
        Command::Merge(args) => merge::merge(&args, arguments.talk, &words),
        Command::Report(args) => report::report(&args, arguments.talk),
        Command::Run(args) => run::run(&args, arguments.talk, &words),
        Command::Serve(args) => serve::serve(&args),
        Command::Shrink(args) => shrink::shrink(&args, arguments.talk, &words),
    }
}

fn man(command: Option<&str>) -> u8 {
    let mut whole = Arguments::command();
    whole.build();
    let page = match command {
        None => whole,
        Some(name) => match whole.find_subcommand(name) {
            Some(found) => found.clone(),
            None => return complain(&format!("there is no command `{name}`"), None, Exit::Usage),
        },
    };
    let mut rendered = Vec::new();
    match clap_mangen::Man::new(page).render(&mut rendered) {
        Ok(()) => print(&rendered),
        Err(error) => complain(&format!("cannot write the page: {error}"), None, Exit::Bug),
    }
}

/// Writes data to stdout. A reader that has gone away is no failure.
fn print(data: &[u8]) -> u8 {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(data).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Held.code(),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Held.code(),
        Err(error) => complain(&format!("cannot write to stdout: {error}"), None, Exit::Bug),
    }
}

/// Says on stderr what is wrong, and gives the exit code back.
fn complain(message: &str, hint: Option<&str>, exit: Exit) -> u8 {
    let mut stderr = anstream::stderr().lock();
    // Where stderr is closed nobody wants to know.
    let _ = writeln!(stderr, "error: {message}");
    if let Some(hint) = hint {
        let _ = writeln!(stderr, "hint: {hint}");
    }
    exit.code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_option_of_what_plays_has_a_variable() {
        let command = Arguments::command();
        let plays = ["fuzz", "replay", "run", "shrink"].map(|name| command.find_subcommand(name).expect("it is there"));
        let arguments = plays.into_iter().flat_map(clap::Command::get_arguments);
        for arg in arguments.filter(|arg| arg.get_long().is_some()) {
            let long = arg.get_long().expect("just filtered");
            if matches!(long, "help" | "version") {
                continue;
            }
            let variable = format!("HARNESS_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(arg.get_env().and_then(|env| env.to_str()), Some(variable.as_str()), "--{long}");
        }
    }
}
