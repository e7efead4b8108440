//! The report for people: a line a case, every failure as it happens, and a summary. It is talk, so it goes to stderr.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::Style;

use super::place::{push_mistake, push_remark};
use super::text::{count, escape, number};
use super::timeline::{Detail, push_timeline};
use super::{CaseRecord, Entry, Reporter, Settings, Verbosity, failure};
use crate::event::{Event, EventKind, Summary, Verdict};
use crate::time::show_duration;

/// The row of this reporter.
pub const ENTRY: Entry = Entry {
    name: "human",
    about: "a line a case, every failure with what to do about it, a summary",
    file: None,
    talk: true,
    open: |output, settings| Ok(Box::new(Human::new(output.stream()?, settings.clone()))),
};

/// Tells a run to people.
pub struct Human {
    writer: Box<dyn Write + Send>,
    settings: Settings,
    seed: Option<u64>,
    failed: Vec<String>,
    /// What is written next; kept for its memory.
    line: String,
}

impl std::fmt::Debug for Human {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Human")
            .field("settings", &self.settings)
            .field("failed", &self.failed.len())
            .finish_non_exhaustive()
    }
}

impl Human {
    /// A report to `writer`.
    pub fn new(writer: Box<dyn Write + Send>, settings: Settings) -> Human {
        Human { writer, settings, seed: None, failed: Vec::new(), line: String::new() }
    }

    /// Writes what was put together, in one write, so that other programs' output does not stand in between.
    fn flush(&mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            self.writer.write_all(self.line.as_bytes())?;
            self.writer.flush()?;
            self.line.clear();
        }
        Ok(())
    }

    fn push_status(&mut self, case: &CaseRecord<'_>) {
        let (word, style) = status(case.finished.verdict, &self.settings);
        let time = match case.finished.verdict {
            Verdict::Skipped => String::new(),
            _ => show_duration(Duration::from_nanos(case.finished.duration_ns)),
        };
        self.line.push_str(&format!("{style}{word:>11}{style:#} [{time:>8}] {}", case.title()));
        if let (Verdict::Skipped | Verdict::ExpectedFailure | Verdict::Interrupted, Some(reason)) =
            (case.finished.verdict, &case.finished.reason)
        {
            self.line.push_str(&format!(" ({})", escape(reason)));
        }
        self.line.push('\n');
    }

    fn push_summary(&mut self, summary: &Summary) {
        let (strong, dim) = (self.settings.look.theme.strong, self.settings.look.theme.dim);
        self.line.push_str(&format!("{dim}{}{dim:#}\n", "─".repeat(11)));
        if !self.failed.is_empty() {
            self.line.push_str(&format!("{strong}what did not hold:{strong:#}\n"));
            self.line.extend(self.failed.drain(..));
        }
        let time = show_duration(Duration::from_nanos(summary.duration_ns));
        let said = summary_words(summary, &self.settings);
        self.line.push_str(&format!("{strong}{:>11}{strong:#} [{time:>8}] {said}\n", "Summary"));
        let mut rest = Vec::new();
        rest.extend(self.seed.map(|seed| format!("seed {seed}")));
        rest.extend(self.settings.folder.as_ref().map(|folder| format!("results in {}", escape(folder))));
        if !rest.is_empty() {
            self.line.push_str(&format!("{:23}{}\n", "", rest.join(", ")));
        }
    }
}

impl Reporter for Human {
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()> {
        let verdict = case.finished.verdict;
        let held = matches!(verdict, Verdict::Passed | Verdict::ExpectedFailure | Verdict::Skipped);
        if held && self.settings.verbosity == Verbosity::Quiet {
            return Ok(());
        }
        self.push_status(case);
        if held && self.settings.verbosity == Verbosity::Verbose {
            push_timeline(&mut self.line, case, Detail::Everything, &self.settings.look);
        }
        if !held {
            let place = case.failures().next().map_or_else(
                || format!("{}:{}", escape(&case.started.file), case.started.line),
                |(_, failure)| escape(&failure.place.to_string()),
            );
            let (word, style) = status(verdict, &self.settings);
            self.failed.push(format!("{style}{word:>11}{style:#} {} at {place}\n", case.title()));
        }
        if !held && verdict != Verdict::Interrupted {
            let failure = failure::render(case, &self.settings);
            self.line.push_str(&failure);
            self.line.push('\n');
        }
        self.flush()
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let look = self.settings.look;
        let verbose = self.settings.verbosity == Verbosity::Verbose;
        match &event.kind {
            EventKind::RunStarted(started) => {
                self.seed = Some(started.seed);
            }
            EventKind::RunFinished { summary, .. } => self.push_summary(summary),
            EventKind::FileInvalid { file, mistakes } => {
                for mistake in mistakes {
                    push_mistake(&mut self.line, mistake, &look);
                    self.line.push('\n');
                }
                let (bad, file) = (look.theme.bad, escape(file));
                let mistakes = count(mistakes.len() as u64, "mistake");
                self.failed.push(format!("{bad}{:>11}{bad:#} {file}: {mistakes}\n", "INVALID"));
            }
            EventKind::Warning { message } => {
                let note = look.theme.note;
                self.line.push_str(&format!("{note}warning:{note:#} {}\n", escape(message)));
            }
            EventKind::TargetStarted { scenario, target, url, pid } if verbose => {
                let pid = pid.map_or_else(String::new, |pid| format!(", process {pid}"));
                let up = match url.as_str() {
                    "" => format!("`{target}` was started{pid}"),
                    url => format!("`{target}` is up at {url}{pid}"),
                };
                push_remark(&mut self.line, "", scenario, &up, &look);
            }
            EventKind::TargetExited { crash, .. } if *crash || verbose => {
                failure::push_target(&mut self.line, event, &look);
            }
            EventKind::TargetOutput { .. } if verbose => failure::push_target(&mut self.line, event, &look),
            // The rest belongs to a case, and comes with it.
            _ => {}
        }
        self.flush()
    }
}

/// A verdict's word and colour.
fn status(verdict: Verdict, settings: &Settings) -> (&'static str, Style) {
    let theme = &settings.look.theme;
    match verdict {
        Verdict::Passed => ("PASS", theme.good),
        Verdict::Failed => ("FAIL", theme.bad),
        Verdict::Crashed => ("CRASH", theme.bad),
        Verdict::Unreachable => ("UNREACHABLE", theme.bad),
        Verdict::ExpectedFailure => ("XFAIL", theme.note),
        Verdict::UnexpectedPass => ("XPASS", theme.bad),
        Verdict::Skipped => ("SKIP", theme.note),
        Verdict::Interrupted => ("INTERRUPTED", theme.note),
    }
}

/// `12 cases: 8 passed, 2 failed`.
fn summary_words(summary: &Summary, settings: &Settings) -> String {
    let theme = &settings.look.theme;
    let counts = [
        (summary.passed, "passed", theme.good),
        (summary.failed, "failed", theme.bad),
        (summary.crashed, "crashed", theme.bad),
        (summary.unreachable, "unreachable", theme.bad),
        (summary.expected_failures, "failed as expected", theme.note),
        (summary.skipped, "skipped", theme.note),
        (summary.interrupted, "interrupted", theme.note),
    ];
    let cases = counts.iter().fold(0, |sum: u64, (n, ..)| sum.saturating_add(*n));
    let mut said = count(cases, "case");
    let mut separator = ": ";
    for (n, word, style) in counts.into_iter().filter(|(n, ..)| *n > 0) {
        said.push_str(&format!("{separator}{style}{} {word}{style:#}", number(n)));
        separator = ", ";
    }
    if summary.invalid_files > 0 {
        let bad = theme.bad;
        said.push_str(&format!("; {bad}{} invalid{bad:#}", count(summary.invalid_files, "file")));
    }
    said
}
