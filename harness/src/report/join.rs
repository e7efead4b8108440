//! Several runs as one: those of the machines that shared a plan, say (`--partition`).
//!
//! The streams are read side by side, and what ended first is told first, by the clocks of the machines. Cases are numbered
//! anew. Where captures lie is the caller's to say.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::time::Duration;

use super::Reporter;
use super::stream::{Piece, ReplayError, Stream};
use crate::event::{Event, EventKind, RunStarted, Summary, VERSION};
use crate::exit::{Exit, Flaky};

/// Why runs cannot be joined.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// One of them cannot be read.
    Run {
        /// Which, from 0.
        run: usize,
        /// Why.
        error: ReplayError,
    },
    /// The result cannot be written.
    Write(io::Error),
}

/// What is asked where a capture of a run, from 0, lies in the sum; `None` where there is none any more.
pub type Place<'a> = dyn FnMut(usize, &str) -> io::Result<Option<String>> + 'a;

/// A run that is being read.
struct Run<R> {
    stream: Stream<R>,
    next: Option<Piece>,
    /// How much later than the first of all it began.
    later: Duration,
    /// The numbers of its cases in the sum.
    numbers: HashMap<u32, u32>,
}

/// Tells `reporter` of all runs as one whose command line is `command`, and says what came of it.
pub fn join(
    inputs: Vec<impl BufRead>,
    command: Vec<String>,
    place: &mut Place<'_>,
    reporter: &mut dyn Reporter,
) -> Result<Exit, JoinError> {
    let mut runs = Vec::new();
    let mut starts = Vec::new();
    for (run, input) in inputs.into_iter().enumerate() {
        let mut stream = Stream::new(input);
        let read = |stream: &mut Stream<_>| stream.next().transpose().map_err(|error| JoinError::Run { run, error });
        let Some(Piece::Event(Event { at, kind: EventKind::RunStarted(start), .. })) = read(&mut stream)? else {
            return Err(JoinError::Run { run, error: ReplayError::NoStart });
        };
        let next = read(&mut stream)?;
        starts.push((at, start));
        runs.push(Run { stream, next, later: Duration::ZERO, numbers: HashMap::new() });
    }
    let Some((at, first)) = starts.iter().min_by_key(|(_, start)| start.unix_ns) else { return Ok(Exit::Nothing) };
    for (run, (_, start)) in runs.iter_mut().zip(&starts) {
        run.later = Duration::from_nanos(start.unix_ns - first.unix_ns);
    }
    let (at, base) = (*at, first.unix_ns);
    let tell = |piece: Piece, reporter: &mut dyn Reporter| piece.tell(reporter).map_err(JoinError::Write);
    let of_all = |at, kind| Piece::Event(Event { at, case: None, kind });
    let seed = starts[0].1.seed;
    let harness = env!("CARGO_PKG_VERSION").into();
    let start = RunStarted { v: VERSION, harness, seed, unix_ns: base, command };
    tell(of_all(at, EventKind::RunStarted(start)), reporter)?;
    if starts.iter().any(|(_, start)| start.seed != seed) {
        let seeds: Vec<String> = starts.iter().map(|(_, start)| start.seed.to_string()).collect();
        let message = format!("the runs have seeds of their own: {}", seeds.join(", "));
        tell(of_all(at, EventKind::Warning { message }), reporter)?;
    }
    let mut summary = Summary::default();
    let mut codes = Vec::new();
    let mut invalid = Vec::new();
    let mut cases = 0;
    let mut end = at;
    while let Some(run) = (0..runs.len()).filter(|run| runs[*run].next.is_some()).min_by_key(|run| runs[*run].moment())
    {
        let Run { stream, next, later, numbers } = &mut runs[run];
        let mut piece = next.take().expect("it was asked for");
        *next = stream.next().transpose().map_err(|error| JoinError::Run { run, error })?;
        match &mut piece {
            Piece::Event(event) => {
                event.delay(*later);
                end = end.max(event.at);
                match &event.kind {
                    EventKind::RunFinished { summary: some, exit_code } => {
                        summary.add(some);
                        codes.push(*exit_code);
                        continue;
                    }
                    // All machines of one plan read the same files.
                    EventKind::FileInvalid { .. } if invalid.contains(&event.kind) => continue,
                    EventKind::FileInvalid { .. } => invalid.push(event.kind.clone()),
                    _ => {}
                }
            }
            Piece::Case(events) => {
                for event in events {
                    event.delay(*later);
                    end = end.max(event.at);
                    event.case = event.case.map(|number| {
                        *numbers.entry(number).or_insert_with(|| {
                            cases += 1;
                            cases - 1
                        })
                    });
                    if let EventKind::CaseFinished(finished) = &mut event.kind
                        && let Some(capture) = finished.capture.take()
                    {
                        finished.capture = place(run, &capture).map_err(JoinError::Write)?;
                    }
                }
            }
        }
        tell(piece, reporter)?;
    }
    summary.invalid_files = invalid.len() as u64;
    summary.duration_ns = end.since(at).as_nanos() as u64;
    let exit = codes.iter().filter_map(|code| Exit::of_code(*code)).fold(Exit::of(&summary, Flaky::Pass), Exit::worse);
    tell(of_all(end, EventKind::RunFinished { summary, exit_code: exit.code() }), reporter)?;
    Ok(exit)
}

impl<R> Run<R> {
    /// When its next piece was written: at its end.
    fn moment(&self) -> u128 {
        let at = match &self.next {
            Some(Piece::Event(event)) => Some(event.at),
            Some(Piece::Case(events)) => events.last().map(|event| event.at),
            None => None,
        };
        at.map_or(0, |at| u128::from(at.as_nanos()) + self.later.as_nanos())
    }
}
