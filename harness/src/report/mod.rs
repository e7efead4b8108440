//! What a run says to people and files: one consumer of events a file, one row in the table.
//!
//! A report is a function of the event stream and of nothing else, so that a stored stream renders again. Cases run
//! in parallel: whoever runs them hands over each one whole, when it has ended, and what belongs to the whole run
//! as it happens. Nothing here decides a verdict, and no data from outside reaches a terminal unescaped.

pub mod failure;
pub mod hexdump;
pub mod human;
pub mod json;
pub mod junit;
pub mod output;
pub mod place;
pub mod text;
pub mod theme;
pub mod timeline;

use std::io;

pub use output::Output;
pub use theme::{Color, Look};

use crate::event::{CaseFinished, CaseStarted, Event, EventKind, Failure};

/// Tells a run.
pub trait Reporter: Send {
    /// Tells a case that has ended.
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()>;

    /// Tells an event of the whole run: [`EventKind::RunStarted`] first, [`EventKind::RunFinished`] last.
    fn event(&mut self, event: &Event) -> io::Result<()>;
}

/// Several reporters as one. Each hears everything, whatever happened to the ones before it; the first error comes back.
impl Reporter for Vec<Box<dyn Reporter>> {
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()> {
        self.iter_mut().map(|reporter| reporter.case(case)).fold(Ok(()), io::Result::and)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.iter_mut().map(|reporter| reporter.event(event)).fold(Ok(()), io::Result::and)
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
}

impl Settings {
    /// No colours, a fixed width, no folder: for files and tests.
    pub fn plain(width: usize) -> Settings {
        Settings { look: Look::plain(width), verbosity: Verbosity::Normal, folder: None }
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
pub const REPORTERS: &[Entry] = &[human::ENTRY, json::ENTRY, junit::ENTRY];
