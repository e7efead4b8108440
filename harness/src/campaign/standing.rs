//! What a worker knows by itself, for a campaign that goes on: where its oracles stand, and what its target was told last.

use serde::{Deserialize, Serialize};

use super::case::Case;
use super::feedback::Virgin;
use super::worker::Worker;

/// The most bytes of earlier cases that are stored; the oldest are left out.
const HISTORY_LEN_MAX: usize = 512 << 10;

/// What a worker knows by itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    /// What was played on its target, the newest last.
    history: Vec<Case>,
    /// How many cases were played since a valid conversation was.
    since_probe: u64,
    /// How many of the last ones were not answered.
    silent: u32,
    /// How many were played at all.
    played: u64,
    /// From how many cases on growth is looked into again, and how many are left out after the next time.
    leak: (u64, u64),
    /// The classes of counts that it has seen of each edge, in hexadecimal: more than are known to come each time.
    virgin: String,
}

impl Standing {
    /// The same with no more than so many cases that are said again.
    pub(super) fn newest(mut self, most: usize) -> Standing {
        self.history.drain(..self.history.len().saturating_sub(most));
        self
    }
}

impl Worker<'_> {
    /// What is stored of it.
    pub(super) fn standing(&self) -> Standing {
        let mut len = 0;
        let recent = self.history.cases().iter().rev().take_while(|case| {
            len += case.bytes();
            len <= HISTORY_LEN_MAX
        });
        let left_out = self.history.cases().len() - recent.count();
        Standing {
            history: self.history.cases().iter().skip(left_out).cloned().collect(),
            since_probe: self.since_probe,
            silent: self.silent,
            played: self.played,
            leak: (self.leak_after, self.leak_gap),
            virgin: hex(self.virgin.seen()),
        }
    }

    /// Goes on from there. What the target before was told last, this one is told, so that it is what that one was.
    pub(super) fn stand(&mut self, standing: Standing) {
        for case in &standing.history {
            let trace = self.player.play(case, &mut |coverage, _| {
                coverage.take();
            });
            if trace.ended.is_some() || trace.refused.is_some() {
                break;
            }
        }
        self.history = standing.history.into();
        self.since_probe = standing.since_probe;
        self.silent = standing.silent;
        self.played = standing.played;
        (self.leak_after, self.leak_gap) = standing.leak;
        self.virgin = Virgin::restore(crate::text::parse_hex(&standing.virgin).unwrap_or_default());
        if self.player.ended(true).is_some() {
            self.start(false);
        }
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
