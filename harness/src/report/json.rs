//! The stream itself, one JSON object a line: `events.ndjson`, described in `docs/events.md`; and reading it again.

use std::io::{self, BufRead, Read as _, Write};

use super::{CaseRecord, Entry, Reporter};
use crate::event::{Event, EventKind, RunStarted, Summary, VERSION};

/// The longest line that is read: no event that the harness writes comes near it.
pub const LINE_LEN_MAX: u64 = 256 << 20;

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
pub fn replay(mut input: impl BufRead, reporter: &mut dyn Reporter) -> Result<(), ReplayError> {
    let mut text = Vec::new();
    let mut case = Vec::new();
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
