//! The stream itself, one JSON object a line: `events.ndjson`, described in `docs/events.md`; and reading it again.

use std::io::{self, BufRead, Read as _, Write};

use super::{CaseRecord, Entry, Reporter};
use crate::event::{Event, EventKind, RunStarted, Summary, VERSION};

/// The longest line that is read: no event that the harness writes comes near it.
pub const LINE_LEN_MAX: u64 = 256 << 20;

/// The most bytes of a case's lines that are read: a case records at most 64 MiB, and JSON takes six times as much at worst.
pub const CASE_LEN_MAX: u64 = 1 << 30;

/// The row of this reporter.
pub const ENTRY: Entry = Entry {
    name: "json",
    about: "every event as a JSON object on a line of its own",
    file: Some("events.ndjson"),
    talk: false,
    open: |output, _| Ok(Box::new(Json { writer: output.stream()?, lines: Vec::new() })),
};

/// Writes the stream.
struct Json {
    writer: Box<dyn Write + Send>,
    /// What is written next; kept for its memory.
    lines: Vec<u8>,
}

impl Json {
    /// Writes `events` in one write, so that a harness that is killed leaves whole cases.
    fn write(&mut self, events: &[Event]) -> io::Result<()> {
        self.lines.clear();
        for event in events {
            serde_json::to_writer(&mut self.lines, event)?;
            self.lines.push(b'\n');
        }
        self.writer.write_all(&self.lines)?;
        self.writer.flush()
    }
}

impl Reporter for Json {
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()> {
        self.write(case.events)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.write(std::slice::from_ref(event))
    }
}

/// Why a stored stream could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplayError {
    /// The stream does not begin with the run's start.
    NoStart,
    /// A line is not an event.
    NotAnEvent {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// Reading failed, or the reporter's writing.
    Io(io::Error),
    /// A case is longer than [`CASE_LEN_MAX`].
    CaseTooLong {
        /// The line where that is seen, from 1.
        line: u64,
    },
    /// The line is longer than [`LINE_LEN_MAX`].
    TooLong {
        /// The line, from 1.
        line: u64,
    },
    /// The stream is of a version that this harness does not know.
    Version {
        /// Its version.
        found: u32,
    },
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReplayError::NoStart => write!(f, "expected `run_started` in line 1"),
            ReplayError::NotAnEvent { line, error } => write!(f, "line {line} is no event: {error}"),
            ReplayError::Io(error) => error.fmt(f),
            ReplayError::CaseTooLong { line } => {
                write!(f, "the case that goes on in line {line} is longer than {CASE_LEN_MAX} bytes")
            }
            ReplayError::TooLong { line } => write!(f, "line {line} is longer than {LINE_LEN_MAX} bytes"),
            ReplayError::Version { found } => write!(f, "expected version {VERSION} of the stream, found {found}"),
        }
    }
}

impl std::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReplayError::NotAnEvent { error, .. } => Some(error),
            ReplayError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ReplayError {
    fn from(error: io::Error) -> ReplayError {
        ReplayError::Io(error)
    }
}

/// Tells a stored run again.
///
/// A run that was killed has no end: its last line may be cut, which is passed over, and it is told to have ended
/// incomplete, with what was counted so far.
pub fn replay(input: impl BufRead, reporter: &mut dyn Reporter) -> Result<(), ReplayError> {
    replay_within(CASE_LEN_MAX, input, reporter)
}

fn replay_within(case_len_max: u64, mut input: impl BufRead, reporter: &mut dyn Reporter) -> Result<(), ReplayError> {
    let mut text = Vec::new();
    let mut case = Vec::new();
    let mut case_len = 0;
    let mut summary = Summary::default();
    let mut last = None;
    for line in 1.. {
        text.clear();
        input.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut text)?;
        if text.last() != Some(&b'\n') {
            if text.len() as u64 == LINE_LEN_MAX {
                return Err(ReplayError::TooLong { line });
            }
            break;
        }
        let event: Event = serde_json::from_slice(&text).map_err(|error| ReplayError::NotAnEvent { line, error })?;
        match (line, &event.kind) {
            (1, EventKind::RunStarted(RunStarted { v: VERSION, .. })) => {}
            (1, EventKind::RunStarted(RunStarted { v, .. })) => return Err(ReplayError::Version { found: *v }),
            (1, _) => return Err(ReplayError::NoStart),
            (_, EventKind::RunFinished { .. }) => return Ok(reporter.event(&event)?),
            _ => {}
        }
        last = Some(event.at);
        if event.case.is_none() {
            if let EventKind::FileInvalid { .. } = event.kind {
                summary.invalid_files += 1;
            }
            reporter.event(&event)?;
            continue;
        }
        if let EventKind::CaseStarted(_) = event.kind {
            case.clear();
            case_len = 0;
        }
        case_len += text.len() as u64;
        if case_len > case_len_max {
            return Err(ReplayError::CaseTooLong { line });
        }
        case.push(event);
        if let Some(record) = CaseRecord::new(&case) {
            summary.count(record.finished.verdict);
            reporter.case(&record)?;
            case.clear();
        }
    }
    let at = last.ok_or(ReplayError::NoStart)?;
    summary.duration_ns = at.as_nanos();
    Ok(reporter.event(&Event { at, case: None, kind: EventKind::RunFinished { summary, exit_code: 9 } })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Output, Settings};

    #[test]
    fn a_case_that_never_ends_is_refused_at_a_limit() {
        let start = r#"{"at_ns":0,"type":"run_started","v":1,"harness":"","seed":1,"unix_ns":1,"command":[]}"#;
        let logged = r#"{"at_ns":1,"case":0,"type":"logged","message":""}"#;
        let text = format!("{start}\n{}", format!("{logged}\n").repeat(10));
        let mut reporter =
            (ENTRY.open)(Output::Writer(Box::new(io::sink())), &Settings::plain(80)).expect("a sink opens");
        let within = |len, reporter: &mut dyn Reporter| replay_within(len, text.as_bytes(), reporter);
        assert!(within(500, &mut *reporter).is_ok());
        let error = within(499, &mut *reporter).expect_err("ten lines of 50 bytes are longer");
        assert!(matches!(error, ReplayError::CaseTooLong { line: 11 }), "{error}");
    }
}
