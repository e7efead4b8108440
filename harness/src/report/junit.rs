//! `JUnit` XML for CI systems: a suite a scenario, a case a case, written whole when the run has ended.
//!
//! A failure is what the target got wrong, an error what kept the case from being played. `file` and `line` stand on each
//! case: GitLab, `CircleCI` and pytest's readers know them, the others pass over them.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::failure::{self, output_line};
use super::place::push_mistake;
use super::text::{count, escape};
use super::theme::WIDTH_DEFAULT;
use super::{CaseRecord, Entry, Output, Reporter, Settings};
use crate::event::{Event, EventKind, FailureKind, Mistake, RunStarted, Verdict};
use crate::time::Time;

/// The row of this reporter.
pub const ENTRY: Entry = Entry {
    name: "junit",
    about: "JUnit XML, as CI systems read it",
    file: Some("junit.xml"),
    talk: false,
    open: |output, settings| {
        let settings = Settings { folder: settings.folder.clone(), ..Settings::plain(WIDTH_DEFAULT) };
        let (suites, by_scenario, attempts) = (Vec::new(), HashMap::new(), HashMap::new());
        Ok(Box::new(JUnit { output, settings, run: None, suites, by_scenario, attempts }))
    },
};

/// Collects a run.
struct JUnit {
    output: Output,
    settings: Settings,
    run: Option<RunStarted>,
    suites: Vec<Suite>,
    /// Where in `suites` a scenario and its file stand.
    by_scenario: HashMap<(String, String), usize>,
    /// Attempts that did not hold, of cases that are being played again.
    attempts: HashMap<Option<u32>, Vec<TestRerun>>,
}

/// A scenario's cases, with their numbers.
struct Suite {
    suite: TestSuite,
    cases: Vec<(Option<u32>, TestCase)>,
    started: Time,
    duration: Duration,
    stdout: String,
    stderr: String,
}

impl Reporter for JUnit {
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()> {
        let (started, finished) = (case.started, case.finished);
        let begins = &case.events[0];
        if finished.verdict == Verdict::Retried {
            let attempt = self.attempt(case);
            self.attempts.entry(begins.case).or_default().push(attempt);
            return Ok(());
        }
        let mut status = self.status(case);
        status.add_reruns(self.attempts.remove(&begins.case).unwrap_or_default());
        let duration = Duration::from_nanos(finished.duration_ns);
        let mut test = TestCase::new(escape(&started.name), status);
        test.set_classname(escape(&started.scenario)).set_time(duration);
        test.extra.insert("file".into(), escape(&started.file).into());
        test.extra.insert("line".into(), started.line.to_string().into());
        let (mut stdout, mut stderr) = (String::new(), String::new());
        for event in case.events {
            push_output(&mut stdout, &mut stderr, &event.kind);
        }
        if !stdout.is_empty() {
            test.set_system_out(stdout);
        }
        if !stderr.is_empty() {
            test.set_system_err(stderr);
        }
        let suite = self.suite(&started.scenario, &started.file, begins.at);
        suite.started = suite.started.min(begins.at);
        suite.duration += duration;
        suite.cases.push((begins.case, test));
        Ok(())
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::RunStarted(run) => self.run = Some(run.clone()),
            EventKind::RunFinished { summary, .. } => return self.write(Duration::from_nanos(summary.duration_ns)),
            EventKind::FileInvalid { file, mistakes } => {
                let test = self.invalid(file, mistakes);
                self.suite(file, file, event.at).cases.push((None, test));
            }
            EventKind::TargetExited { scenario, .. } | EventKind::TargetOutput { scenario, .. } => {
                let named = self.suites.iter().rposition(|suite| *suite.suite.name == escape(scenario));
                let suite = match named {
                    Some(at) => &mut self.suites[at],
                    None => self.suite(scenario, "", event.at),
                };
                push_output(&mut suite.stdout, &mut suite.stderr, &event.kind);
            }
            _ => {}
        }
        Ok(())
    }
}

impl JUnit {
    /// The suite of a scenario in a file.
    fn suite(&mut self, scenario: &str, file: &str, started: Time) -> &mut Suite {
        let suites = &mut self.suites;
        let at = *self.by_scenario.entry((scenario.to_owned(), file.to_owned())).or_insert_with(|| {
            let mut suite = TestSuite::new(escape(scenario));
            if !file.is_empty() {
                suite.extra.insert("file".into(), escape(file).into());
            }
            let (stdout, stderr) = (String::new(), String::new());
            suites.push(Suite { suite, cases: Vec::new(), started, duration: Duration::ZERO, stdout, stderr });
            suites.len() - 1
        });
        &mut self.suites[at]
    }

    fn status(&self, case: &CaseRecord<'_>) -> TestCaseStatus {
        let reason = case.finished.reason.as_deref();
        let first = case.failures().next().map(|(_, failure)| failure);
        let (kind, ty) = match case.finished.verdict {
            Verdict::Passed | Verdict::Flaky => return TestCaseStatus::success(),
            Verdict::Skipped => return skipped("skip", reason.unwrap_or("skipped")),
            Verdict::ExpectedFailure => {
                return skipped("xfail", &format!("failed as expected: {}", reason.unwrap_or("`xfail`")));
            }
            Verdict::Failed | Verdict::Retried => {
                (NonSuccessKind::Failure, first.map_or("failed".to_owned(), |first| word(first.kind)))
            }
            Verdict::UnexpectedPass => (NonSuccessKind::Failure, "unexpected_pass".to_owned()),
            Verdict::Crashed => (NonSuccessKind::Error, "crash".to_owned()),
            Verdict::Unreachable => (NonSuccessKind::Error, "unreachable".to_owned()),
            Verdict::Interrupted => (NonSuccessKind::Error, "interrupted".to_owned()),
        };
        let message = first.map(|first| first.message.as_str()).or(reason).unwrap_or(&ty).to_owned();
        let mut status = TestCaseStatus::non_success(kind);
        // A line of its own keeps carets under what they mean.
        let text = format!("\n{}", failure::render(case, &self.settings));
        status.set_message(escape(&message)).set_type(ty).set_description(text);
        status
    }

    /// An attempt that did not hold, of a case that is played again.
    fn attempt(&self, case: &CaseRecord<'_>) -> TestRerun {
        let kind = case.failure().map(|failure| failure.kind);
        let is_crash = kind == Some(FailureKind::Crash);
        let mut attempt = TestRerun::new(if is_crash { NonSuccessKind::Error } else { NonSuccessKind::Failure });
        let message = case.failure().map(|failure| failure.message.as_str()).or(case.finished.reason.as_deref());
        let text = format!("\n{}", failure::render(case, &self.settings));
        attempt
            .set_type(kind.map_or("failed".to_owned(), word))
            .set_message(escape(message.unwrap_or("failed")))
            .set_time(Duration::from_nanos(case.finished.duration_ns))
            .set_description(text);
        attempt
    }

    fn invalid(&self, file: &str, mistakes: &[Mistake]) -> TestCase {
        let mut text = String::from("\n");
        mistakes.iter().for_each(|mistake| push_mistake(&mut text, mistake, &self.settings.look));
        let first = mistakes.first().map_or("", |mistake| mistake.message.as_str());
        let message = format!("{}: {}", count(mistakes.len() as u64, "mistake"), escape(first));
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("invalid_file").set_message(message).set_description(text);
        let mut test = TestCase::new("is valid", status);
        test.set_classname(escape(file)).set_time(Duration::ZERO);
        test.extra.insert("file".into(), escape(file).into());
        test
    }

    /// Writes the report. Cases stand in the order of the plan, whichever ended first.
    fn write(&mut self, duration: Duration) -> io::Result<()> {
        let mut report = Report::new("harness");
        report.set_time(duration);
        report.timestamp = self.timestamp(Time::ZERO);
        let mut suites = std::mem::take(&mut self.suites);
        for suite in &mut suites {
            suite.cases.sort_by_key(|(number, _)| *number);
        }
        suites.sort_by_key(|suite| suite.cases.first().and_then(|(number, _)| *number));
        for Suite { mut suite, cases, started, duration, stdout, stderr } in suites {
            suite.set_time(duration);
            suite.timestamp = self.timestamp(started);
            if let Some(run) = &self.run {
                suite.add_property(Property::new("seed", run.seed.to_string()));
            }
            suite.add_test_cases(cases.into_iter().map(|(_, case)| case));
            if !stdout.is_empty() {
                suite.set_system_out(stdout);
            }
            if !stderr.is_empty() {
                suite.set_system_err(stderr);
            }
            report.add_test_suite(suite);
        }
        let xml = report.to_string().map_err(io::Error::other)?;
        self.output.write_whole(xml.as_bytes())
    }

    /// A point of the run as XML writes it.
    fn timestamp<T: std::str::FromStr>(&self, at: Time) -> Option<T> {
        let nanos = i128::from(self.run.as_ref()?.unix_ns) + i128::from(at.as_nanos());
        let nanos = nanos - nanos % 1_000_000;
        jiff::Timestamp::from_nanosecond(nanos).ok()?.to_string().parse().ok()
    }
}

fn skipped(ty: &str, reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_type(ty).set_message(escape(reason));
    status
}

/// A kind of failure as the event stream names it.
fn word(kind: FailureKind) -> String {
    serde_json::to_string(&kind).map_or_else(|_| "failed".to_owned(), |word| word.trim_matches('"').to_owned())
}

/// Appends a target's last lines to the stream that each was written to, and its end to stderr's.
fn push_output(stdout: &mut String, stderr: &mut String, kind: &EventKind) {
    let (EventKind::TargetExited { output, .. } | EventKind::TargetOutput { output, .. }) = kind else { return };
    for line in output {
        let stream = if line.stderr { &mut *stderr } else { &mut *stdout };
        stream.push_str(&output_line(line));
        stream.push('\n');
    }
    if let EventKind::TargetExited { target, status, .. } = kind {
        stderr.push_str(&format!("target `{}` ended: {}\n", escape(target), escape(status)));
    }
}
