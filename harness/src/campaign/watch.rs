//! Tells how a campaign goes.

#![expect(clippy::disallowed_methods, reason = "a campaign's clock is here")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::finding::Finding;
use super::run::{Common, lock};
use super::state::{Counts, Ending, State};
use super::status::{Status, Watcher};

/// Between two status lines.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Something to be told.
pub(super) enum Told {
    Found(Box<Finding>, String),
    Note(String),
}

/// Tells how it goes, until nobody is left who works.
pub(super) fn watch(
    told: &Receiver<Told>,
    state: &Mutex<State>,
    common: &Common,
    interrupted: &AtomicBool,
    watcher: &mut dyn Watcher,
) {
    let mut last = (Counts::default(), Instant::now());
    loop {
        match told.recv_timeout(STATUS_EVERY.saturating_sub(last.1.elapsed())) {
            Ok(Told::Found(finding, symptom)) => watcher.found(&finding, &symptom),
            Ok(Told::Note(text)) => watcher.note(&text),
            Err(RecvTimeoutError::Timeout) => {
                let mut state = lock(state);
                if interrupted.load(Ordering::Relaxed) {
                    state.ending.get_or_insert(Ending::Interrupted);
                }
                let status = status(&state, common, last);
                last = (state.counts, Instant::now());
                state.note_point(common.elapsed());
                drop(state);
                watcher.status(&status);
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    watcher.status(&status(&lock(state), common, last));
}

pub(super) fn status(state: &State, common: &Common, (before, since): (Counts, Instant)) -> Status {
    let has_edges = state.virgin.edges() > 0;
    Status {
        elapsed: Duration::from_secs_f64(common.elapsed()),
        counts: state.counts,
        before: (before, since.elapsed()),
        edges: has_edges.then(|| (state.virgin.edges(), state.virgin.masked())),
        edges_total: common.edges_total,
        states: (state.novelty.states(), state.novelty.answers()),
        corpus: state.corpus.entries().len(),
        findings: state.findings.len(),
        looking: state.looking.as_ref().map(|(name, since)| (name.clone(), common.elapsed() - since)),
        swept: state.schedule.is_swept(),
    }
}
