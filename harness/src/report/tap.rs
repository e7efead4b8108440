//! TAP version 14, for `prove` and whatever else reads the Test Anything Protocol: a test point a case, as it ends.
//!
//! The plan stands at the end, so that a run that is killed leaves a stream that is seen to be cut. A skip is `# SKIP`, a
//! failure that `xfail` announces is `# TODO`; a case that holds against its `xfail` is `not ok` without it, since here that is
//! a failure. What differed stands below a point as YAML.

use std::io::{self, Write};

use super::failure;
use super::text::{count, escape};
use super::theme::WIDTH_DEFAULT;
use super::{CaseRecord, Entry, Reporter, Settings};
use crate::event::{Event, EventKind, Mistake, Summary, Verdict};

/// The row of this reporter.
pub const ENTRY: Entry = Entry {
    name: "tap",
    about: "TAP version 14, with what differed in YAML",
    file: None,
    talk: false,
    open: |output, settings| {
        let settings = Settings { folder: settings.folder.clone(), ..Settings::plain(WIDTH_DEFAULT) };
        Ok(Box::new(Tap { writer: output.stream()?, settings, points: 0, told: 0, lines: String::new() }))
    },
};

/// What says that a point is known not to hold; in two parts, or it would read as a note of what is to be done here.
const EXPECTED: &str = concat!("TO", "DO");

/// Writes points.
struct Tap {
    writer: Box<dyn Write + Send>,
    settings: Settings,
    /// Points so far.
    points: u64,
    /// Those of them that are planned cases.
    told: u64,
    /// What is written next; kept for its memory.
    lines: String,
}

impl Reporter for Tap {
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()> {
        let reason = case.finished.reason.as_deref();
        let attempt = case.started.attempt;
        match case.finished.verdict {
            Verdict::Retried => {
                let why = escape(reason.unwrap_or("it did not hold"));
                self.push_comment(&format!("attempt {attempt} of {}: {why}", case.title()));
                return self.flush();
            }
            Verdict::Passed | Verdict::Flaky => self.push_point(true, &case.title(), None),
            Verdict::Skipped => self.push_point(true, &case.title(), Some(("SKIP", reason.unwrap_or_default()))),
            Verdict::ExpectedFailure => {
                self.push_point(false, &case.title(), Some((EXPECTED, reason.unwrap_or_default())));
            }
            _ => self.push_point(false, &case.title(), None),
        }
        self.told += 1;
        self.push_case(case);
        self.flush()
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::RunStarted(run) => {
                self.lines.push_str("TAP version 14\n");
                self.push_comment(&format!("harness {}, seed {}", escape(&run.harness), run.seed));
            }
            EventKind::RunFinished { summary, .. } => self.push_end(summary),
            EventKind::FileInvalid { file, mistakes } => self.push_invalid(file, mistakes),
            EventKind::Warning { message } => self.push_comment(&format!("warning: {}", escape(message))),
            EventKind::TargetExited { scenario, target, status, crash: true, .. } => {
                let (scenario, target) = (escape(scenario), escape(target));
                self.push_comment(&format!("target `{target}` of {scenario} crashed: {}", escape(status)));
            }
            _ => {}
        }
        self.flush()
    }
}

impl Tap {
    /// Writes what was put together, in one write, so that a harness that is killed leaves whole points.
    fn flush(&mut self) -> io::Result<()> {
        if !self.lines.is_empty() {
            self.writer.write_all(self.lines.as_bytes())?;
            self.writer.flush()?;
            self.lines.clear();
        }
        Ok(())
    }

    /// A line that a reader passes over.
    fn push_comment(&mut self, text: &str) {
        self.lines.push_str(&format!("# {text}\n"));
    }

    /// `not ok 7 - echo: echoes a line # SKIP no redis`.
    fn push_point(&mut self, ok: bool, title: &str, directive: Option<(&str, &str)>) {
        self.points += 1;
        let word = if ok { "ok" } else { "not ok" };
        // Of a title only `#` would be taken for something else, and the backslash that says it is not.
        let title = title.replace('\\', "\\\\").replace('#', "\\#");
        let directive = match directive {
            Some((word, "")) => format!(" # {word}"),
            Some((word, reason)) => format!(" # {word} {}", escape(reason)),
            None => String::new(),
        };
        self.lines.push_str(&format!("{word} {} - {title}{directive}\n", self.points));
    }

    /// The block below a case: of one that held only how long it took, else all that is known.
    fn push_case(&mut self, case: &CaseRecord<'_>) {
        let (started, finished) = (case.started, case.finished);
        if finished.verdict == Verdict::Skipped {
            return;
        }
        let micros = finished.duration_ns / 1_000;
        let mut block = Block::default();
        block.push("duration_ms", &format!("{}.{:03}", micros / 1_000, micros % 1_000));
        block.push("verdict", finished.verdict.word());
        if started.attempt > 1 {
            block.push("attempt", &started.attempt.to_string());
        }
        if !finished.verdict.is_good() {
            let (file, line, column) = case.place();
            let failure = case.failure();
            let message = failure.map(|failure| failure.message.as_str()).or(finished.reason.as_deref());
            block.push("message", &quoted(message.unwrap_or("it did not hold")));
            let severity = if finished.verdict == Verdict::Failed { "fail" } else { "error" };
            block.push("severity", severity);
            block.push("at", "");
            block.push("  file", &quoted(file));
            block.push("  line", &line.to_string());
            block.push("  column", &column.to_string());
            let capture = finished.capture.as_ref().map(|capture| self.settings.path_of(capture));
            for (key, value) in [("reproduce", &finished.reproduce), ("capture", &capture)] {
                if let Some(value) = value {
                    block.push(key, &quoted(value));
                }
            }
            block.push_text("report", &failure::render(case, &self.settings));
        }
        self.lines.push_str(&block.end());
    }

    fn push_invalid(&mut self, file: &str, mistakes: &[Mistake]) {
        self.push_point(false, &format!("{} is valid", escape(file)), None);
        let mut block = Block::default();
        block.push("message", &quoted(&count(mistakes.len() as u64, "mistake")));
        block.push("severity", "error");
        block.push("mistakes", "");
        for mistake in mistakes {
            let place = &mistake.place;
            block.push("  - at", &quoted(&place.to_string()));
            block.push("    message", &quoted(&mistake.message));
            if let Some(hint) = &mistake.hint {
                block.push("    hint", &quoted(hint));
            }
        }
        self.lines.push_str(&block.end());
    }

    /// The plan. What was never begun has no point, and makes a reader see that points are missing.
    fn push_end(&mut self, summary: &Summary) {
        let missing = summary.cases().saturating_sub(self.told);
        if missing > 0 {
            self.push_comment(&format!("the run has ended before {} began", count(missing, "case")));
        }
        match self.points.saturating_add(missing) {
            // A plan of nothing would be a success.
            0 => self.lines.push_str("Bail out! nothing was selected\n"),
            planned => self.lines.push_str(&format!("1..{planned}\n")),
        }
    }
}

/// A block of YAML below a point.
struct Block(String);

impl Default for Block {
    fn default() -> Block {
        Block("  ---\n".to_owned())
    }
}

impl Block {
    fn push(&mut self, key: &str, value: &str) {
        let space = if value.is_empty() { "" } else { " " };
        self.0.push_str(&format!("  {key}:{space}{value}\n"));
    }

    /// Lines as they are, but for empty ones, which the YAML of Perl's `prove` does not have.
    fn push_text(&mut self, key: &str, text: &str) {
        self.push(key, "|");
        // The first line has no indentation of its own, or it would be taken away from all of them.
        for line in text.trim_start().lines().filter(|line| !line.is_empty()) {
            self.0.push_str(&format!("    {line}\n"));
        }
    }

    fn end(self) -> String {
        self.0 + "  ...\n"
    }
}

/// A text as YAML and JSON write it between quotes, printable.
fn quoted(text: &str) -> String {
    serde_json::Value::String(escape(text)).to_string()
}
