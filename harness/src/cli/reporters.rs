//! What a run says, and where: the reporters that were asked for, the files that every run leaves, and the line at the bottom
//! of a terminal.

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use super::{Talk, When};
use crate::report::progress::Bar;
use crate::report::{Entry, Look, Output, REPORTERS, Reporter, Settings, Verbosity, Workflow};

/// Reads the name of a reporter.
pub(super) fn name(text: &str) -> Result<&'static Entry, String> {
    REPORTERS.iter().find(|entry| entry.name == text).ok_or_else(|| {
        let names = REPORTERS.iter().map(|entry| entry.name);
        let known: Vec<&str> = names.clone().collect();
        let near = crate::document::did_you_mean(text, names).map(|hint| format!(", {hint}"));
        format!("there are {}{}", known.join(", "), near.unwrap_or_default())
    })
}

/// Two reports on stdout would be neither the one nor the other.
pub(super) fn check(asked: &[&Entry]) -> Result<(), String> {
    let data: Vec<&str> = asked.iter().filter(|entry| !entry.talk).map(|entry| entry.name).collect();
    match data.as_slice() {
        [first, second, ..] if first != second => {
            Err(format!("`{first}` and `{second}` both go to stdout, which takes one of them"))
        }
        _ => Ok(()),
    }
}

/// What reporters are told besides the events.
pub(super) fn settings(look: Look, talk: Talk, folder: &Path, slowest: Option<usize>) -> Settings {
    // With both, one of them is usually a variable of the environment that somebody wants to overrule.
    let verbosity = match (talk.quiet, talk.verbose) {
        (_, true) => Verbosity::Verbose,
        (true, false) => Verbosity::Quiet,
        _ => Verbosity::Normal,
    };
    Settings { look, verbosity, folder: Some(folder.to_string_lossy().into_owned()), slowest, workflow: workflow() }
}

/// What GitHub tells the steps of a job, if this is one.
fn workflow() -> Workflow {
    let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let below = path("GITHUB_WORKSPACE").and_then(|root| {
        let here = std::env::current_dir().ok()?;
        Some(here.strip_prefix(root).ok()?.to_string_lossy().into_owned())
    });
    let prefix = below.filter(|below| !below.is_empty()).map(|below| format!("{below}/"));
    Workflow { summary: path("GITHUB_STEP_SUMMARY"), prefix: prefix.unwrap_or_default() }
}

/// Whether somebody watches: a terminal that can move its cursor, and nobody who wants it quiet or plain.
pub(super) fn is_watched(talk: Talk) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "false");
    let is_able = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    let is_wanted = !talk.quiet && !matches!(talk.color, When::Never) && !is_set("CI");
    is_wanted && is_able && std::io::stderr().is_terminal()
}

/// Opens what was asked for, and the files in the run's folder, if it has one.
pub(super) fn open(
    asked: &[&'static Entry],
    settings: &Settings,
    folder: Option<&Path>,
    watched: bool,
) -> std::io::Result<Vec<Box<dyn Reporter>>> {
    let bar = watched.then(|| Bar::on_stderr(settings.look));
    let above = |writer: Box<dyn Write + Send>| match &bar {
        Some(bar) => bar.above(writer),
        None => writer,
    };
    let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
    for entry in REPORTERS {
        if let (Some(file), Some(folder)) = (entry.file, folder) {
            reporters.push((entry.open)(Output::File(folder.join(file)), settings)?);
        }
        if asked.iter().any(|asked| asked.name == entry.name) {
            let writer: Box<dyn Write + Send> = match entry.talk {
                true => above(Box::new(std::io::stderr())),
                false if std::io::stdout().is_terminal() => above(Box::new(std::io::stdout())),
                false => Box::new(std::io::stdout()),
            };
            reporters.push((entry.open)(Output::Writer(writer), settings)?);
        }
    }
    // It is gone before the others say their last words.
    if let Some(bar) = bar {
        reporters.insert(0, Box::new(bar));
    }
    Ok(reporters)
}
