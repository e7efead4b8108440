//! A stored stream, read again: piece by piece, so that a run of any length takes the memory of one case.

use std::io::{self, BufRead, Read as _};

use super::{CaseRecord, Reporter};
use crate::event::{Event, EventKind, RunStarted, Summary, VERSION};
use crate::exit::Exit;
use crate::time::Time;

/// The longest line that is read: no event that the harness writes comes near it.
pub const LINE_LEN_MAX: u64 = 256 << 20;

/// The most bytes of a case's lines that are read: a case records at most 64 MiB, and JSON takes six times as much at worst.
pub const CASE_LEN_MAX: u64 = 1 << 30;

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

/// What a stream is made of.
#[derive(Clone, Debug)]
pub enum Piece {
    /// An event of the whole run: [`EventKind::RunStarted`] is the first piece, [`EventKind::RunFinished`] the last.
    Event(Event),
    /// All events of a case that has ended, or of an attempt at one.
    Case(Vec<Event>),
}

/// A stream that is being read.
///
/// That of a run that was killed has no end: its last line may be cut, which is passed over, and it is told to have ended
/// incomplete, with what was counted so far.
#[derive(Debug)]
pub struct Stream<R> {
    input: R,
    case_len_max: u64,
    line: u64,
    text: Vec<u8>,
    case: Vec<Event>,
    case_len: u64,
    summary: Summary,
    last: Option<Time>,
    is_over: bool,
}

impl<R: BufRead> Stream<R> {
    /// Reads from `input`, of which nothing has been read.
    pub fn new(input: R) -> Stream<R> {
        Stream {
            input,
            case_len_max: CASE_LEN_MAX,
            line: 0,
            text: Vec::new(),
            case: Vec::new(),
            case_len: 0,
            summary: Summary::default(),
            last: None,
            is_over: false,
        }
    }

    /// Reads to the end of the next piece; `None` behind the last.
    fn piece(&mut self) -> Result<Option<Piece>, ReplayError> {
        while !self.is_over {
            let event = match self.event()? {
                Some(event) => event,
                None => self.cut()?,
            };
            if event.case.is_none() {
                match event.kind {
                    EventKind::RunFinished { .. } => self.is_over = true,
                    EventKind::FileInvalid { .. } => self.summary.invalid_files += 1,
                    _ => {}
                }
                return Ok(Some(Piece::Event(event)));
            }
            if let EventKind::CaseStarted(_) = event.kind {
                self.case.clear();
                self.case_len = 0;
            }
            self.case_len += self.text.len() as u64;
            if self.case_len > self.case_len_max {
                return Err(ReplayError::CaseTooLong { line: self.line });
            }
            self.case.push(event);
            if let Some(record) = CaseRecord::new(&self.case) {
                self.summary.count(record.finished.verdict);
                return Ok(Some(Piece::Case(std::mem::take(&mut self.case))));
            }
        }
        Ok(None)
    }

    /// The event of the next line; `None` where there is no whole one.
    fn event(&mut self) -> Result<Option<Event>, ReplayError> {
        self.text.clear();
        self.line += 1;
        let line = self.line;
        self.input.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut self.text)?;
        if self.text.last() != Some(&b'\n') {
            return if self.text.len() as u64 == LINE_LEN_MAX { Err(ReplayError::TooLong { line }) } else { Ok(None) };
        }
        let event: Event =
            serde_json::from_slice(&self.text).map_err(|error| ReplayError::NotAnEvent { line, error })?;
        match (line, &event.kind) {
            (1, EventKind::RunStarted(RunStarted { v: VERSION, .. })) => {}
            (1, EventKind::RunStarted(RunStarted { v, .. })) => return Err(ReplayError::Version { found: *v }),
            (1, _) => return Err(ReplayError::NoStart),
            _ => {}
        }
        self.last = Some(event.at);
        Ok(Some(event))
    }

    /// The end of a run that was killed.
    fn cut(&self) -> Result<Event, ReplayError> {
        let at = self.last.ok_or(ReplayError::NoStart)?;
        let summary = Summary { duration_ns: at.as_nanos(), ..self.summary.clone() };
        Ok(Event { at, case: None, kind: EventKind::RunFinished { summary, exit_code: Exit::Incomplete.code() } })
    }
}

impl<R: BufRead> Iterator for Stream<R> {
    type Item = Result<Piece, ReplayError>;

    fn next(&mut self) -> Option<Result<Piece, ReplayError>> {
        let piece = self.piece().transpose();
        self.is_over |= matches!(piece, Some(Err(_)));
        piece
    }
}

/// Tells a stored run again.
pub fn replay(input: impl BufRead, reporter: &mut dyn Reporter) -> Result<(), ReplayError> {
    Stream::new(input).try_for_each(|piece| Ok(piece?.tell(reporter)?))
}

impl Piece {
    /// Tells a reporter of it.
    pub fn tell(&self, reporter: &mut dyn Reporter) -> io::Result<()> {
        match self {
            Piece::Event(event) => reporter.event(event),
            Piece::Case(events) => reporter.case(&CaseRecord::new(events).expect("a piece is a whole case")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_never_ends_is_refused_at_a_limit() {
        let start = r#"{"at_ns":0,"type":"run_started","v":1,"harness":"","seed":1,"unix_ns":1,"command":[]}"#;
        let logged = r#"{"at_ns":1,"case":0,"type":"logged","message":""}"#;
        let text = format!("{start}\n{}", format!("{logged}\n").repeat(10));
        let within = |case_len_max| {
            let stream = Stream { case_len_max, ..Stream::new(text.as_bytes()) };
            stream.collect::<Result<Vec<_>, _>>()
        };
        assert!(within(500).is_ok());
        let error = within(499).expect_err("ten lines of 50 bytes are longer");
        assert!(matches!(error, ReplayError::CaseTooLong { line: 11 }), "{error}");
    }
}
