//! Many cases on the same targets, side by side: one start of the targets, and one wait for all that wait.

use std::sync::Arc;
use std::time::Duration;

use super::play::{PlayError, Played, Player};
use super::{Failed, TestCase};
use crate::document::Node;
use crate::event::{Event, EventKind, RunStarted, Verdict};
use crate::scenario::CASES_MAX;

/// The most cases of one batch: each has its events in memory.
pub const BATCH_MAX: usize = 4096;

/// What became of cases that were played on the same targets.
#[derive(Debug)]
pub struct Batch {
    /// Each of them, in the order in which they were given; `None` for one that was never begun.
    pub played: Vec<Option<Played>>,
    /// In which order those that did not hold ended, by number.
    pub failed: Vec<usize>,
    /// What the targets have told of themselves on stderr: a panic, a sanitizer's report.
    pub noticed: Option<Failed>,
}

impl Player {
    /// Plays cases on the same fresh targets, `jobs` of them at once. They are cases of one file: only in their steps do
    /// they differ; what differs otherwise is taken from the first. `rest` is that of [`Player::play_until_rest`].
    pub fn play_all(&self, cases: &[TestCase], jobs: usize, rest: Option<Duration>) -> Result<Batch, PlayError> {
        let Some(first) = cases.first() else {
            return Ok(Batch { played: Vec::new(), failed: Vec::new(), noticed: None });
        };
        debug_assert!(cases.len() <= BATCH_MAX.min(CASES_MAX), "a batch has its limit");
        let mut whole = first.clone();
        let tables = cases.iter().enumerate().map(|(at, case)| {
            let mut table = case.case().clone();
            table.set("name", format!("{at}"));
            Node::from(table)
        });
        whole.document_mut().set("case", tables.collect::<Vec<_>>());
        let (events, stderr) = self.events_of(&whole, "case.toml", jobs, rest)?;
        Ok(take_apart(events, &stderr, cases.len()))
    }
}

fn take_apart(events: Vec<Event>, stderr: &str, count: usize) -> Batch {
    let mut batch = Batch { played: (0..count).map(|_| None).collect(), failed: Vec::new(), noticed: None };
    let mut of_case: Vec<Vec<Event>> = Vec::new();
    let mut started: Option<RunStarted> = None;
    for event in events {
        match (event.case, event.kind) {
            (_, EventKind::RunStarted(run)) => started = Some(run),
            (Some(case), kind) => {
                let case = case as usize;
                if of_case.len() <= case {
                    of_case.resize_with(case + 1, Vec::new);
                }
                of_case[case].push(Event { at: event.at, case: Some(case as u32), kind });
            }
            (None, _) => {}
        }
    }
    let Some(started) = started else { return batch };
    let mut ends = Vec::new();
    for events in of_case.into_iter().filter(|events| !events.is_empty()) {
        let name = events.iter().find_map(|event| match &event.kind {
            EventKind::CaseStarted(started) => Some(Arc::clone(started)),
            _ => None,
        });
        let number = name.and_then(|started| started.name.parse::<usize>().ok());
        let Some(number) = number.filter(|number| *number < count) else { continue };
        let mut whole = vec![Event { at: events[0].at, case: None, kind: EventKind::RunStarted(started.clone()) }];
        let end = events.last().map(|event| event.at);
        whole.extend(events);
        let played = Played::of(whole, String::new());
        if let (Some(played), Some(end)) = (&played, end)
            && (played.failed.is_some() || played.verdict == Verdict::Crashed)
        {
            ends.push((end, number));
        }
        batch.played[number] = played;
    }
    ends.sort_unstable();
    batch.failed = ends.into_iter().map(|(_, number)| number).collect();
    batch.noticed = Failed::of(&[], Verdict::Passed, stderr);
    batch
}
