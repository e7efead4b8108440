//! The report for people: a line a case, every failure as it happens, and a summary. It is talk, so it goes to stderr.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use anstyle::Style;

use super::place::{push_mistake, push_remark};
use super::text::{count, escape, number};
use super::timeline::{Detail, push_timeline};
use super::{CaseRecord, Entry, Reporter, Settings, Verbosity, failure};
use crate::event::{Event, EventKind, Summary, Verdict};
use crate::time::show_duration;

/// How many of the slowest cases a run ends with, unless somebody asks for more.
const SLOWEST: usize = 3;

/// The shortest time, in nanoseconds, that is told there without being asked for.
const SLOWEST_AT_LEAST_NS: u64 = 1_000_000_000;

/// The fewest cases of a run that says so without being asked.
const SLOWEST_CASES_MIN: u64 = 10;

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
    flaky: Vec<String>,
    /// Where cases that are being played again did not hold, and how their last attempt ended.
    attempts: HashMap<Option<u32>, (String, String)>,
    slowest: Slowest,
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
        let slowest = Slowest::new(&settings);
        let (failed, flaky, attempts, line) = (Vec::new(), Vec::new(), HashMap::new(), String::new());
        Human { writer, settings, seed: None, failed, flaky, attempts, slowest, line }
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
        let attempt = case.started.attempt;
        match (case.finished.verdict, &case.finished.reason) {
            (Verdict::Skipped | Verdict::ExpectedFailure | Verdict::Interrupted | Verdict::Flaky, Some(reason)) => {
                self.line.push_str(&format!(" ({})", escape(reason)));
            }
            (Verdict::Retried, reason) => {
                let reason = reason.as_deref().unwrap_or("it did not hold");
                self.line.push_str(&format!(" (attempt {attempt}: {})", escape(reason)));
            }
            _ if attempt > 1 => self.line.push_str(&format!(" (attempt {attempt})")),
            _ => {}
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
        if !self.flaky.is_empty() {
            self.line.push_str(&format!("{strong}what held only when it was played again:{strong:#}\n"));
            self.line.extend(self.flaky.drain(..));
        }
        let slowest = self.slowest.take(summary);
        if !slowest.is_empty() {
            self.line.push_str(&format!("{strong}slowest:{strong:#}\n"));
            for (nanos, title) in slowest {
                let time = show_duration(Duration::from_nanos(nanos));
                self.line.push_str(&format!("{:11} [{time:>8}] {title}\n", ""));
            }
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
        let held = verdict.is_good();
        if verdict != Verdict::Retried {
            self.slowest.note(case);
        }
        let number = case.events[0].case;
        let place = case.failure().map_or_else(
            || format!("{}:{}", escape(&case.started.file), case.started.line),
            |failure| escape(&failure.place.to_string()),
        );
        let earlier = self.attempts.remove(&number);
        if verdict == Verdict::Flaky {
            let (word, style) = status(verdict, &self.settings);
            let (place, ending) = earlier.unwrap_or_else(|| (place.clone(), String::new()));
            self.flaky.push(format!("{style}{word:>11}{style:#} {} at {place}\n{ending}", case.title()));
        }
        if held && self.settings.verbosity == Verbosity::Quiet {
            return Ok(());
        }
        if verdict != Verdict::Retried || self.settings.verbosity != Verbosity::Quiet {
            self.push_status(case);
        }
        if held {
            super::stored::push_stored(&mut self.line, case, &self.settings.look);
        }
        if held && self.settings.verbosity == Verbosity::Verbose {
            push_timeline(&mut self.line, case, Detail::Everything, &self.settings.look);
        }
        if verdict == Verdict::Retried {
            self.attempts.insert(number, (place, failure::ending(case, &self.settings)));
            // What is worth reading is the last attempt; the others have said why in one line, and left their captures.
            if self.settings.verbosity == Verbosity::Verbose {
                self.line.push_str(&failure::render(case, &self.settings));
                self.line.push('\n');
            }
            return self.flush();
        }
        if !held {
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
            EventKind::CaseSlow { title, running_ns } if self.settings.verbosity != Verbosity::Quiet => {
                let note = look.theme.note;
                // It is late by some milliseconds, which say nothing.
                let unit = if *running_ns < 1_000_000_000 { 10_000_000 } else { 1_000_000_000 };
                let time = format!("> {}", show_duration(Duration::from_nanos(running_ns / unit * unit)));
                self.line.push_str(&format!("{note}{:>11}{note:#} [{time:>8}] {}\n", "SLOW", escape(title)));
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

/// A verdict's word in a line.
pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "PASS",
        Verdict::Failed => "FAIL",
        Verdict::Crashed => "CRASH",
        Verdict::Unreachable => "UNREACHABLE",
        Verdict::ExpectedFailure => "XFAIL",
        Verdict::UnexpectedPass => "XPASS",
        Verdict::Flaky => "FLAKY",
        Verdict::Retried => "RETRY",
        Verdict::Skipped => "SKIP",
        Verdict::Interrupted => "INTERRUPTED",
    }
}

/// That word, and its colour.
fn status(verdict: Verdict, settings: &Settings) -> (&'static str, Style) {
    let theme = &settings.look.theme;
    let style = match verdict {
        Verdict::Passed => theme.good,
        Verdict::Failed | Verdict::Crashed | Verdict::Unreachable | Verdict::UnexpectedPass => theme.bad,
        _ => theme.note,
    };
    (word(verdict), style)
}

/// The cases that took longest, for the end.
#[derive(Debug)]
struct Slowest {
    /// How many are kept.
    max: usize,
    /// Those that took less are not worth a word.
    at_least: u64,
    /// A run of so few cases has said it just above.
    cases_min: u64,
    /// How long each took, and its title; the slowest first.
    cases: Vec<(u64, String)>,
}

impl Slowest {
    fn new(settings: &Settings) -> Slowest {
        let (max, at_least, cases_min) = match (settings.slowest, settings.verbosity) {
            (Some(max), _) => (max, 0, 0),
            (None, Verbosity::Quiet) => (0, 0, 0),
            (None, _) => (SLOWEST, SLOWEST_AT_LEAST_NS, SLOWEST_CASES_MIN),
        };
        Slowest { max, at_least, cases_min, cases: Vec::new() }
    }

    fn note(&mut self, case: &CaseRecord<'_>) {
        let took = case.finished.duration_ns;
        let is_too_quick = |last: &(u64, String)| self.cases.len() >= self.max && took <= last.0;
        let never = self.max == 0 || took < self.at_least || case.finished.verdict == Verdict::Skipped;
        if never || self.cases.last().is_some_and(is_too_quick) {
            return;
        }
        let at = self.cases.partition_point(|(other, _)| *other >= took);
        self.cases.insert(at, (took, case.title()));
        self.cases.truncate(self.max);
    }

    fn take(&mut self, summary: &Summary) -> Vec<(u64, String)> {
        if summary.cases() < self.cases_min { Vec::new() } else { std::mem::take(&mut self.cases) }
    }
}

/// `12 cases: 8 passed, 2 failed`.
fn summary_words(summary: &Summary, settings: &Settings) -> String {
    let theme = &settings.look.theme;
    let counts = [
        (summary.passed, "passed", theme.good),
        (summary.flaky, "flaky", theme.note),
        (summary.failed, "failed", theme.bad),
        (summary.crashed, "crashed", theme.bad),
        (summary.unreachable, "unreachable", theme.bad),
        (summary.expected_failures, "failed as expected", theme.note),
        (summary.skipped, "skipped", theme.note),
        (summary.interrupted, "interrupted", theme.note),
    ];
    let mut said = count(summary.cases(), "case");
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
