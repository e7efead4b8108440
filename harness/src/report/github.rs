//! Workflow commands of GitHub Actions: what did not hold stands at its line in a pull request, and in the summary of the job.
//!
//! The format is that of <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>. GitHub shows ten
//! errors and ten warnings of a step as annotations; the log and the summary have all of them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::human::word;
use super::text::{count, escape, number};
use super::{CaseRecord, Entry, Output, Reporter, Settings};
use crate::event::{Event, EventKind, Mistake, Place, Summary, Verdict};
use crate::time::show_duration;

/// The row of this reporter.
pub const ENTRY: Entry = Entry {
    name: "github",
    about: "annotations and a job summary, as GitHub Actions takes them",
    file: None,
    talk: false,
    open: |output, settings| {
        let summary = match &settings.workflow.summary {
            Some(path) => Some(Output::append(path)?),
            None => None,
        };
        let (writer, settings, attempts) = (output.stream()?, settings.clone(), HashMap::new());
        let (rows, lines) = (Vec::new(), String::new());
        Ok(Box::new(GitHub { writer, summary, settings, seed: None, attempts, rows, more: 0, lines }))
    },
};

/// The most rows of the job's summary: GitHub takes 1 MiB of it.
const ROWS_MAX: usize = 200;

/// The most characters of a row's sentence.
const ROW_LEN_MAX: usize = 1_000;

/// What a workflow tells its steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workflow {
    /// Where the job's summary is written to.
    pub summary: Option<PathBuf>,
    /// What stands in front of a file's name for it to be a path from the root of the repository: `tests/` or nothing.
    pub prefix: String,
}

/// Writes commands.
struct GitHub {
    writer: Box<dyn Write + Send>,
    summary: Option<Box<dyn Write + Send>>,
    settings: Settings,
    seed: Option<u64>,
    /// Where and why the last attempt of a case that is being played again did not hold, and what else is to be said of it.
    attempts: HashMap<Option<u32>, (Spot, String, String)>,
    /// Rows of the summary.
    rows: Vec<String>,
    /// How many there are besides.
    more: u64,
    /// What is written next; kept for its memory.
    lines: String,
}

impl Reporter for GitHub {
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()> {
        let verdict = case.finished.verdict;
        let level = match verdict {
            Verdict::Flaky | Verdict::Interrupted => Level::Warning,
            verdict if verdict.is_good() => return Ok(()),
            _ => Level::Error,
        };
        let reason = case.finished.reason.as_deref();
        let failure = case.failure();
        let mut message =
            failure.map(|failure| failure.message.as_str()).or(reason).unwrap_or("it did not hold").to_owned();
        let (file, line, column) = case.place();
        let width = failure.map_or(0, |failure| failure.place.width);
        let mut spot = Spot { file: file.to_owned(), line, column, width };
        let mut remarks = self.remarks(case);
        let number = case.events[0].case;
        if verdict == Verdict::Retried {
            self.attempts.insert(number, (spot, message, remarks));
            return Ok(());
        }
        if let (Some((earlier, why, how)), Verdict::Flaky) = (self.attempts.remove(&number), verdict) {
            message = format!("{message}; before, {why}");
            (spot, remarks) = (earlier, how);
        }
        let title = format!("{} {}", word(verdict), case.title());
        self.push_row(&title, &format!("{}:{}", spot.file, spot.line), &message, case.finished.reproduce.as_deref());
        self.push(level, Some(&spot), &title, &format!("{}{remarks}", escape(&message)));
        self.flush()
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::RunStarted(run) => self.seed = Some(run.seed),
            EventKind::RunFinished { summary, .. } => return self.write_summary(summary),
            EventKind::FileInvalid { mistakes, .. } => mistakes.iter().for_each(|mistake| self.push_mistake(mistake)),
            EventKind::Warning { message } => self.push(Level::Warning, None, "harness", &escape(message)),
            _ => {}
        }
        self.flush()
    }
}

#[derive(Clone, Copy)]
enum Level {
    Error,
    Warning,
}

/// A place in a file.
struct Spot {
    file: String,
    line: u32,
    column: u32,
    width: u32,
}

impl GitHub {
    fn flush(&mut self) -> io::Result<()> {
        self.writer.write_all(self.lines.as_bytes())?;
        self.writer.flush()?;
        self.lines.clear();
        Ok(())
    }

    /// The lines below the first one.
    fn remarks(&self, case: &CaseRecord<'_>) -> String {
        let failure = case.failure();
        let notes = failure.iter().flat_map(|failure| &failure.notes).map(|note| ("note", note));
        let capture = case.finished.capture.as_ref().map(|capture| self.settings.path_of(capture));
        let rest = [
            ("hint", failure.and_then(|failure| failure.hint.as_ref())),
            ("reproduce", case.finished.reproduce.as_ref()),
            ("capture", capture.as_ref()),
        ];
        let rest = rest.into_iter().filter_map(|(word, remark)| Some((word, remark?)));
        notes.chain(rest).map(|(word, remark)| format!("\n{word}: {}", escape(remark))).collect()
    }

    /// `::error file=..,line=..,col=..,endColumn=..,title=..::message`.
    fn push(&mut self, level: Level, spot: Option<&Spot>, title: &str, text: &str) {
        let command = match level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        self.lines.push_str(&format!("::{command} "));
        if let Some(Spot { file, line, column, width }) = spot {
            let file = property(&escape(&self.path(file)));
            self.lines.push_str(&format!("file={file},line={line},col={column},"));
            if *width > 0 {
                // The last column, as the first one is counted.
                self.lines.push_str(&format!("endColumn={},", u64::from(*column) + u64::from(*width) - 1));
            }
        }
        self.lines.push_str(&format!("title={}::{}\n", property(title), data(text)));
    }

    fn push_mistake(&mut self, mistake: &Mistake) {
        let Mistake { place: Place { file, line, column, width, .. }, message, hint } = mistake;
        let hint = hint.as_ref().map_or_else(String::new, |hint| format!("\nhint: {}", escape(hint)));
        let spot = Spot { file: file.to_string(), line: (*line).max(1), column: (*column).max(1), width: *width };
        self.push(Level::Error, Some(&spot), "INVALID", &format!("{}{hint}", escape(message)));
        self.push_row("INVALID", &format!("{file}:{line}"), message, None);
    }

    /// A file's path from the root of the repository.
    fn path(&self, file: &str) -> String {
        if file.starts_with('/') {
            return file.to_owned();
        }
        format!("{}{}", self.settings.workflow.prefix, file.strip_prefix("./").unwrap_or(file))
    }

    fn push_row(&mut self, title: &str, place: &str, message: &str, reproduce: Option<&str>) {
        if self.summary.is_none() {
            return;
        }
        if self.rows.len() == ROWS_MAX {
            self.more += 1;
            return;
        }
        let cell = |text: &str| match text.char_indices().nth(ROW_LEN_MAX) {
            Some((at, _)) => format!("{}…", markdown(&escape(&text[..at]))),
            None => markdown(&escape(text)),
        };
        let command = reproduce.map_or_else(String::new, |command| format!("<code>{}</code>", cell(command)));
        self.rows.push(format!("| {} | {} | {} | {command} |\n", cell(title), cell(place), cell(message)));
    }

    /// The job's summary, added to what other steps have written.
    fn write_summary(&mut self, summary: &Summary) -> io::Result<()> {
        let Some(mut writer) = self.summary.take() else { return Ok(()) };
        let counts = [
            (summary.passed, "passed"),
            (summary.flaky, "flaky"),
            (summary.failed, "failed"),
            (summary.crashed, "crashed"),
            (summary.unreachable, "unreachable"),
            (summary.expected_failures, "failed as expected"),
            (summary.skipped, "skipped"),
            (summary.interrupted, "interrupted"),
        ];
        let counts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{} {word}", number(*n)));
        let mut said: Vec<String> = counts.collect();
        if summary.invalid_files > 0 {
            said.push(format!("{} invalid", count(summary.invalid_files, "file")));
        }
        let mut text = format!("### harness: {}", count(summary.cases(), "case"));
        if !said.is_empty() {
            text.push_str(&format!(": {}", said.join(", ")));
        }
        let time = show_duration(Duration::from_nanos(summary.duration_ns));
        let seed = self.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
        text.push_str(&format!("\n\nin {time}{seed}\n"));
        if !self.rows.is_empty() {
            text.push_str("\n| case | at | what differed | reproduce |\n| --- | --- | --- | --- |\n");
            text.extend(self.rows.drain(..));
        }
        if self.more > 0 {
            text.push_str(&format!("\nand {} more\n", number(self.more)));
        }
        text.push('\n');
        writer.write_all(text.as_bytes())?;
        writer.flush()
    }
}

/// The text of a command: what would end it, or begin an escape, is escaped.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a command: what would end it, too.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Text that Markdown shows as it is.
fn markdown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '&' | '<' | '>' | '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '@' | '!' | '$' => {
                shown.push_str(&format!("&#{};", u32::from(c)));
            }
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_ends_where_it_should() {
        assert_eq!(data("50%\r\n: a, b"), "50%25%0D%0A: a, b");
        assert_eq!(property("50%\r\n: a, b"), "50%25%0D%0A%3A a%2C b");
    }

    #[test]
    fn markdown_is_shown_as_text() {
        assert_eq!(markdown("a|b `c` <d>"), "a&#124;b &#96;c&#96; &#60;d&#62;");
    }
}
