//! Cases that have shown something new, and which of them is spoilt next.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::case::{Case, Step};
use crate::random::Random;

/// The most cases of a corpus.
pub const CORPUS_MAX: usize = 50_000;

/// The most bytes of all its cases.
pub const CORPUS_LEN_MAX: usize = 256 << 20;

/// How often one is drawn again that costs much.
const DRAWS_MAX: usize = 16;

/// How many times what the cheapest costs is not much.
const CHEAP: u64 = 4;

/// What a step costs as much as, in bytes; so does each write of a message.
const STEP_COST: u64 = 256;

/// How many bytes of an answer cost as much as one that is said.
const ANSWERED_SHARE: u64 = 32;

/// What a pause of a millisecond does.
const PAUSE_COST: u64 = 10 * STEP_COST;

/// A case that has shown something new.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Entry {
    /// The case.
    pub case: Case,
    /// Which feedback admitted it: `seed`, `edge`, `count`, `answer`, `state`, `log`.
    pub feedback: String,
    /// The number of the case that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<usize>,
    /// By which mutators.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mutators: Vec<String>,
    /// How many cases had been played then.
    pub at: u64,
    /// The edges that it takes each time, where that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<u32>,
    /// How many bytes its answers have, as a power of two.
    #[serde(default)]
    pub answered: u64,
    /// How often it was chosen.
    #[serde(default)]
    pub chosen: u64,
    /// How many new cases came of it.
    #[serde(default)]
    pub children: u64,
}

/// The cases.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    entries: Vec<Entry>,
    /// What each of them costs, and the cheapest.
    costs: Vec<u64>,
    cheapest: u64,
    /// The bytes of all of them.
    len: usize,
    hashes: std::collections::HashSet<u64>,
    /// For each edge, the case that takes it at the least cost.
    best: HashMap<u32, (u64, usize)>,
    favoured: Vec<bool>,
}

impl Entry {
    /// Whether it is what the scenario says.
    pub(super) fn is_seed(&self) -> bool {
        self.feedback.starts_with("seed")
    }

    /// What it costs to play it, in something that is the same each time: bytes, of answers fewer; steps and writes more, and pauses
    /// most.
    fn cost(&self) -> u64 {
        let steps = self.case.steps.iter().map(|step| match step {
            Step::Pause(milliseconds) => PAUSE_COST * u64::from(*milliseconds),
            Step::Send(message) => STEP_COST * (1 + message.cuts.len() as u64),
            _ => STEP_COST,
        });
        self.case.bytes() as u64 + self.answered / ANSWERED_SHARE + steps.sum::<u64>()
    }
}

impl Corpus {
    /// The cases.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One of them.
    pub fn entry_mut(&mut self, at: usize) -> &mut Entry {
        &mut self.entries[at]
    }

    /// Adds a case that is not there yet, and gives its number.
    pub fn add(&mut self, entry: Entry) -> Option<usize> {
        let len = self.len.saturating_add(entry.case.bytes());
        if self.entries.len() >= CORPUS_MAX || len > CORPUS_LEN_MAX || !self.hashes.insert(entry.case.hash()) {
            return None;
        }
        self.len = len;
        let (number, cost) = (self.entries.len(), entry.cost());
        self.costs.push(cost);
        self.cheapest = if number == 0 { cost } else { self.cheapest.min(cost) };
        self.favoured.push(entry.edges.is_empty());
        for edge in &entry.edges {
            let best = self.best.entry(*edge).or_insert((u64::MAX, 0));
            if cost < best.0 {
                *best = (cost, number);
                self.favoured[number] = true;
            }
        }
        self.entries.push(entry);
        if self.entries.len().is_power_of_two() || self.entries.len().is_multiple_of(64) {
            self.renew();
        }
        Some(number)
    }

    /// Finds out anew who is the best at something.
    fn renew(&mut self) {
        if self.best.is_empty() {
            return;
        }
        self.favoured.iter_mut().for_each(|favoured| *favoured = false);
        for (_, number) in self.best.values() {
            self.favoured[*number] = true;
        }
        // Those that were admitted for an answer are the best at that.
        for (favoured, entry) in self.favoured.iter_mut().zip(&self.entries) {
            *favoured |= entry.edges.is_empty();
        }
    }

    /// Chooses a case to be spoilt: favoured ones, those that were chosen seldom, and those that had children, more often.
    pub fn choose(&mut self, random: &mut Random) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        // The best of a few drawn: a weight for each of thousands would have to be kept up to date.
        let draws: Vec<usize> = (0..4).map(|_| self.draw(random)).collect();
        let newest = self.entries.len() - 1 - random.below(self.entries.len().min(16) as u64) as usize;
        let chosen = draws.into_iter().chain([newest]).max_by_key(|at| {
            let entry = &self.entries[*at];
            let favour = if self.favoured[*at] { 8 } else { 1 };
            favour * (1 + entry.children.min(8)) * 1_000_000_000 / (1 + entry.chosen) / (64 + self.costs[*at])
        })?;
        self.entries[chosen].chosen += 1;
        Some(chosen)
    }

    /// One of them by chance: one that costs many times what the cheapest does is drawn as much more seldom, so that what all of
    /// them cost is shared out, and not how often they are played.
    fn draw(&self, random: &mut Random) -> usize {
        let mut at = 0;
        for _ in 0..DRAWS_MAX {
            at = random.below(self.entries.len() as u64) as usize;
            if random.below(64 + self.costs[at]) < CHEAP * (64 + self.cheapest) {
                break;
            }
        }
        at
    }

    /// The cases that together take every edge: greedily, the one with the most new edges for its cost first.
    pub fn minimal(&self) -> Vec<usize> {
        let mut left: std::collections::HashSet<u32> =
            self.entries.iter().flat_map(|entry| entry.edges.iter().copied()).collect();
        let mut kept: Vec<usize> = (0..self.entries.len()).filter(|at| self.entries[*at].edges.is_empty()).collect();
        while !left.is_empty() {
            let gain = |entry: &Entry| entry.edges.iter().filter(|edge| left.contains(edge)).count() as u64;
            let best = (0..self.entries.len()).max_by_key(|at| {
                let entry = &self.entries[*at];
                gain(entry) * 1_000_000 / (64 + entry.cost())
            });
            let Some(best) = best.filter(|at| gain(&self.entries[*at]) > 0) else { break };
            self.entries[best].edges.iter().for_each(|edge| {
                left.remove(edge);
            });
            kept.push(best);
        }
        kept.sort_unstable();
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::{Message, Step};
    use super::*;

    fn entry(text: &str, edges: &[u32]) -> Entry {
        let steps = vec![Step::Open(0, 0), Step::Send(Message::new(0, text.into()))];
        let (feedback, edges) = ("edge".into(), edges.to_vec());
        Entry { case: Case { steps }, feedback, parent: None, mutators: Vec::new(), at: 0, edges, ..Entry::default() }
    }

    #[test]
    fn a_case_is_there_once() {
        let mut corpus = Corpus::default();
        assert_eq!(corpus.add(entry("a", &[1])), Some(0));
        assert_eq!(corpus.add(entry("a", &[1])), None);
    }

    #[test]
    fn its_bytes_are_limited() {
        let mut corpus = Corpus { len: CORPUS_LEN_MAX - 1, ..Corpus::default() };
        assert_eq!(corpus.add(entry("ab", &[1])), None);
        assert_eq!(corpus.add(entry("a", &[1])), Some(0));
    }

    #[test]
    fn the_cheapest_that_together_take_every_edge_are_kept() {
        let mut corpus = Corpus::default();
        for (text, edges) in [("a rather long one", vec![1, 2]), ("b", vec![1]), ("c", vec![1, 2, 3]), ("d", vec![4])] {
            corpus.add(entry(text, &edges));
        }
        assert_eq!(corpus.minimal(), [2, 3]);
    }

    #[test]
    fn everything_is_chosen_in_the_end() {
        let mut corpus = Corpus::default();
        for text in ["a", "b", "c"] {
            corpus.add(entry(text, &[]));
        }
        let mut random = Random::new(1, "x");
        for _ in 0..60 {
            corpus.choose(&mut random);
        }
        assert!(corpus.entries().iter().all(|entry| entry.chosen > 5), "{:?}", corpus.entries());
    }
}
