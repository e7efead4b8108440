//! What a run says to people and files: one consumer of events a file, one row in the table.
//!
//! A report is a function of the event stream and of nothing else, so that a stored stream renders again. Cases run
//! in parallel: whoever runs them hands over each one whole, when it has ended, and what belongs to the whole run
//! as it happens. Nothing here decides a verdict, and no data from outside reaches a terminal unescaped.

pub mod failure;
pub mod github;
pub mod hexdump;
pub mod human;
pub mod join;
pub mod json;
pub mod junit;
pub mod output;
pub mod place;
pub mod progress;
mod stored;
pub mod stream;
pub mod tap;
pub mod text;
pub mod theme;
pub mod timeline;

use std::io;
use std::time::Duration;

pub use github::Workflow;
pub use output::Output;
pub use theme::{Color, Look};

use crate::event::{CaseFinished, CaseStarted, Event, EventKind, Failure, Summary};
use crate::time::Time;

/// Tells a run.
pub trait Reporter: Send {
    /// Tells a case that has ended.
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()>;

    /// Tells an event of the whole run: [`EventKind::RunStarted`] first, [`EventKind::RunFinished`] last.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Shows how far the run is, every now and then. A stored stream has none of it, and so a report says nothing about it.
    fn progress(&mut self, _: &Progress<'_>) {}
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// What time it is.
    pub at: Time,
    /// How many cases are to be played in all.
    pub planned: u64,
    /// What came of those that have ended.
    pub summary: &'a Summary,
    /// The ones that are being played, and for how long: `scenario: case`, in the order in which they began.
    pub running: &'a [(&'a str, Duration)],
}

/// Several reporters as one. Each hears everything, whatever happened to the ones before it; the first error comes back.
impl Reporter for Vec<Box<dyn Reporter>> {
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()> {
        self.iter_mut().map(|reporter| reporter.case(case)).fold(Ok(()), io::Result::and)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.iter_mut().map(|reporter| reporter.event(event)).fold(Ok(()), io::Result::and)
    }

    fn progress(&mut self, progress: &Progress<'_>) {
        self.iter_mut().for_each(|reporter| reporter.progress(progress));
    }
}

/// A case that has ended, with everything that happened in it.
#[derive(Clone, Copy, Debug)]
pub struct CaseRecord<'a> {
    /// All its events, from [`EventKind::CaseStarted`] to [`EventKind::CaseFinished`].
    pub events: &'a [Event],
    /// What was known when it began.
    pub started: &'a CaseStarted,
    /// How it ended.
    pub finished: &'a CaseFinished,
}

impl<'a> CaseRecord<'a> {
    /// The case that `events` tell; `None` unless the first one begins a case and the last one ends it.
    pub fn new(events: &'a [Event]) -> Option<CaseRecord<'a>> {
        match (events.first().map(|event| &event.kind), events.last().map(|event| &event.kind)) {
            (Some(EventKind::CaseStarted(started)), Some(EventKind::CaseFinished(finished))) => {
                Some(CaseRecord { events, started, finished })
            }
            _ => None,
        }
    }

    /// The steps that did not hold, in the order of the events; `None` is the judgement at the case's end.
    pub fn failures(&self) -> impl Iterator<Item = (Option<u32>, &'a Failure)> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::StepFailed { step, failure, .. } => Some((*step, &**failure)),
            _ => None,
        })
    }

    /// The first of them.
    pub fn failure(&self) -> Option<&'a Failure> {
        self.failures().next().map(|(_, failure)| failure)
    }

    /// Where it went wrong, or else where it begins: file, line and column.
    pub fn place(&self) -> (&'a str, u32, u32) {
        match self.failure() {
            Some(failure) => (&failure.place.file, failure.place.line, failure.place.column),
            None => (&self.started.file, self.started.line, 1),
        }
    }

    /// `scenario: case`, printable.
    pub fn title(&self) -> String {
        format!("{}: {}", text::escape(&self.started.scenario), text::escape(&self.started.name))
    }
}

/// What the reporters need to know besides the events.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Colours and width.
    pub look: Look,
    /// How much the human report says.
    pub verbosity: Verbosity,
    /// The run's folder, as it is shown to people: captures lie below it.
    pub folder: Option<String>,
    /// How many of the slowest cases the human report ends with; `None` is a few, where there is something to tell.
    pub slowest: Option<usize>,
    /// What is known of a GitHub workflow that this may be a step of.
    pub workflow: Workflow,
}

impl Settings {
    /// No colours, a fixed width, no folder: for files and tests.
    pub fn plain(width: usize) -> Settings {
        let look = Look::plain(width);
        Settings { look, verbosity: Verbosity::Normal, folder: None, slowest: None, workflow: Workflow::default() }
    }

    /// Where a file of the run's folder lies.
    pub fn path_of(&self, file: &str) -> String {
        match &self.folder {
            Some(folder) => format!("{}/{file}", folder.trim_end_matches('/')),
            None => file.to_owned(),
        }
    }
}

/// How much the human report says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Failures and the summary: `-q`.
    Quiet,
    /// A line a case, too.
    #[default]
    Normal,
    /// Every step with its time, too: `-v`.
    Verbose,
}

/// A reporter, as the table knows it.
#[derive(Debug)]
pub struct Entry {
    /// Its name in `--report`.
    pub name: &'static str,
    /// One line for the help.
    pub about: &'static str,
    /// The file that every run leaves in its folder, where the report is one.
    pub file: Option<&'static str>,
    /// Whether it is talk, for stderr, rather than data, for stdout.
    pub talk: bool,
    /// Makes the reporter.
    pub open: fn(Output, &Settings) -> io::Result<Box<dyn Reporter>>,
}

/// All reporters.
pub const REPORTERS: &[Entry] = &[github::ENTRY, human::ENTRY, json::ENTRY, junit::ENTRY, tap::ENTRY];
