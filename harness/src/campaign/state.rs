//! What all workers of a campaign share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::case::Case;
use super::corpus::{Corpus, Entry};
use super::feedback::{Novelty, Virgin};
use super::finding::Finding;
use super::journal::{Checkpoint, Journal};
use super::page::{POINTS_MAX, Point};
use super::plan::Plan;
use super::schedule::Schedule;
use super::standing::{Standing, hex};
use super::triage::Verdict;
use crate::mutator::{Around, Dictionary};
use crate::random::{fnv1a, mix};
use crate::testcase::Class;

/// How many findings of one bucket are looked into.
const LOOKED_INTO_MAX: u32 = 2;

/// Of how many signs of one name it is looked where they come from, before that is done ever more rarely: several bugs may
/// follow the same message.
const PLACED_MAX: u32 = 16;

/// How many signs of one kind are looked into that follow messages which no seed says: each has a name of its own.
const LOOKED_INTO_UNKNOWN_MAX: u32 = 12;

/// The same of signs that say nothing of where it happened and take seconds each time: who is silent is silent.
const SILENT_UNKNOWN_MAX: u32 = 2;

/// For how many cases no hang is looked into after the first; twice as many after the next.
const HANG_GAP: u64 = 4_000;

/// What a campaign leaves in `campaign.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// How many cases were played.
    pub cases: u64,
    /// How many connections were opened.
    pub sessions: u64,
    /// How many messages were sent.
    pub messages: u64,
    /// How long it took.
    pub seconds: f64,
    /// How many edges were taken.
    pub edges: usize,
    /// How many there are in the target's program, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edges_total: Option<usize>,
    /// What all chance came from.
    pub seed: u64,
    /// What was found.
    pub findings: Vec<Finding>,
    /// A number for all that was said, kept, counted and found, and not for how long that took.
    pub digest: String,
    /// Why it ended.
    #[serde(skip)]
    pub ending: Ending,
    /// Where the results are.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// Why a campaign ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// All cases that were wanted are played, or the time is over.
    #[default]
    Done,
    /// Something was found.
    Found,
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// The target does not come up any more.
    Lost,
}

/// What all workers share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) schedule: Schedule,
    pub(super) growth: super::growth::Standing,
    pub(super) corpus: Corpus,
    pub(super) seeds: Vec<Case>,
    pub(super) virgin: Virgin,
    pub(super) novelty: Novelty,
    pub(super) dictionary: Dictionary,
    pub(super) answers: Vec<Vec<u8>>,
    pub(super) counts: Counts,
    pub(super) findings: Vec<Finding>,
    /// The sign that was looked into last, and when that was begun; `None` when it is done.
    pub(super) looking: Option<(String, f64)>,
    /// How often each kind of sign was looked into.
    pub(super) looked_into: HashMap<String, u32>,
    /// How often another server has answered otherwise.
    pub(super) differed: super::differing::Known,
    /// From which case on hangs are looked into, and how many cases were left out before.
    pub(super) hangs: (u64, u64),
    pub(super) ending: Option<Ending>,
    /// What was last told of targets that do not start.
    pub(super) trouble: Option<String>,
    pub(super) journal: Journal,
    pub(super) points: Vec<Point>,
    /// When it was last stored where the campaign stands, in seconds since its beginning.
    pub(super) stored_at: f64,
    /// What the worker that stored it, or that ended last, knew by itself.
    pub(super) standing: Standing,
    /// A number for all that was sent: the same for the same seed, cases and answers.
    pub(super) digest: u64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Cases that were given out.
    pub given: u64,
    /// Cases that were played.
    pub cases: u64,
    /// Connections that were opened.
    pub sessions: u64,
    /// Messages that were sent.
    pub messages: u64,
    /// Targets that were started.
    pub starts: u64,
    /// How long was waited for targets, over all workers.
    pub waited: Duration,
    /// How long cases took, over all workers.
    pub played: Duration,
    /// How long cases that have shown something new were played again, over all workers.
    #[serde(default)]
    pub again: Duration,
    /// How long was spent on looking into signs, over all workers.
    pub triage: Duration,
    /// How long targets took to start, over all workers.
    pub started: Duration,
    /// How long was looked for what grows: leaks, and work that grows faster than what is said.
    #[serde(default)]
    pub growth: Duration,
    /// Families of which more and more was said.
    #[serde(default)]
    pub grown: u64,
    /// The case that has shown something new last.
    pub news_at: u64,
}

impl State {
    /// Whether a sign of this name is worth another look; `unknown` is what it has in common with others whose messages no seed
    /// says.
    pub(super) fn wants(&mut self, name: &str, unknown: Option<&str>, class: Class) -> bool {
        if class == Class::Hang && !self.wants_hangs() {
            return false;
        }
        let mut look = |name: &str, most: u32| {
            let looked = self.looked_into.entry(name.to_owned()).or_insert(0);
            *looked += 1;
            *looked <= most
        };
        let most = if class == Class::Hang { SILENT_UNKNOWN_MAX } else { LOOKED_INTO_UNKNOWN_MAX };
        look(name, LOOKED_INTO_MAX) && unknown.is_none_or(|unknown| look(unknown, most))
    }

    /// Whether it is worth a play to see where a sign of this name comes from that has been looked into.
    pub(super) fn wants_place(&mut self, name: &str) -> bool {
        let looked = self.looked_into.entry(format!("where {name}")).or_insert(0);
        *looked += 1;
        *looked <= PLACED_MAX || looked.is_power_of_two()
    }

    /// Counts one more of a finding that shows each time; `false` where there is none of this bucket.
    pub(super) fn count_sure(&mut self, bucket: &str) -> bool {
        let is_sure = |finding: &&mut Finding| finding.bucket == bucket && finding.verdict == Verdict::Deterministic;
        self.findings.iter_mut().find(is_sure).map(|finding| finding.samples += 1).is_some()
    }

    /// Whether hangs are worth another look by now.
    pub(super) fn wants_hangs(&self) -> bool {
        self.counts.cases >= self.hangs.0
    }

    /// Has hangs looked into ever more rarely. It takes many times as long as any other sign to look into one, since each play that
    /// shows it is a wait for nothing; and whether it is one that is known is only seen when it is small.
    pub(super) fn tire_of_hangs(&mut self) {
        let gap = (self.hangs.1 * 2).max(HANG_GAP);
        self.hangs = (self.counts.cases + gap, gap);
    }

    /// Keeps a case that has shown something new; its number, unless it was there.
    pub(super) fn admit(&mut self, entry: Entry) -> Option<usize> {
        let parent = entry.parent;
        let kept = entry.clone();
        let added = self.corpus.add(entry);
        if added.is_some()
            && let Err(error) = self.journal.push(&kept)
        {
            self.trouble.get_or_insert(format!("the journal cannot be written: {error}"));
        }
        if let (Some(_), Some(parent)) = (added, parent) {
            self.corpus.entry_mut(parent).children += 1;
            self.counts.news_at = self.counts.cases;
        }
        added
    }

    /// Keeps a moment for the page.
    pub(super) fn note_point(&mut self, seconds: f64) {
        let (edges, states) = (self.virgin.edges(), self.novelty.states());
        self.points.push(Point { seconds, cases: self.counts.cases, edges, states });
        if self.points.len() > POINTS_MAX {
            let mut at = 0;
            self.points.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
    }

    /// Where it stands.
    pub(super) fn checkpoint(&self, seed: u64, seconds: f64) -> Checkpoint {
        let entries = self.corpus.entries();
        Checkpoint {
            seed,
            seconds,
            counts: self.counts,
            given: (self.schedule.given(), self.schedule.swept),
            grown: self.growth.next,
            entries: entries.len(),
            chosen: entries.iter().map(|entry| (entry.chosen, entry.children)).collect(),
            yields: self.schedule.yields().iter().map(|of| (of.tries, of.news)).collect(),
            virgin: hex(self.virgin.seen()),
            novelty: self.novelty.seen(),
            findings: self.findings.clone(),
            frontiers: self.schedule.frontiers.clone(),
            looked_into: self.looked_into.iter().map(|(name, times)| (name.clone(), *times)).collect(),
            hangs: self.hangs,
            digest: self.digest,
            words: self.dictionary.words().iter().map(|word| hex(word)).collect(),
            sure: self.dictionary.sure(),
            answers: self.answers.iter().map(|answer| hex(answer)).collect(),
            standing: self.standing.clone(),
        }
    }

    /// A number for where it stands, without how long it took: the same whether it was interrupted or not.
    pub(super) fn digest(&self) -> u64 {
        let Counts { given, cases, sessions, messages, news_at, .. } = self.counts;
        let yields = self.schedule.yields().iter().flat_map(|of| [of.tries, of.news]);
        let counted = [self.digest, given, cases, sessions, messages, news_at, self.schedule.swept].into_iter();
        let seen = self.novelty.seen();
        let number = counted.chain(yields).chain(seen.into_iter().flatten());
        let mut hash = number.fold(fnv1a(self.virgin.seen()), mix);
        for entry in self.corpus.entries() {
            let Entry { case, feedback, parent, mutators, at, edges, answered: _, chosen, children } = entry;
            let parent = parent.map_or(0, |parent| parent as u64 + 1);
            let numbers = [case.hash(), fnv1a(feedback.as_bytes()), parent, *at, *chosen, *children];
            let mutators = mutators.iter().map(|name| fnv1a(name.as_bytes()));
            let edges = edges.iter().map(|edge| u64::from(*edge));
            hash = numbers.into_iter().chain(mutators).chain(edges).fold(hash, mix);
        }
        let found = self.findings.iter().flat_map(|finding| [fnv1a(finding.bucket.as_bytes()), finding.cases]);
        found.fold(hash, mix)
    }

    /// Goes on from a checkpoint.
    pub(super) fn resume(&mut self, checkpoint: Checkpoint, entries: Vec<Entry>, plan: &Plan, datagrams: &[bool]) {
        let bytes = |texts: &[String]| -> Vec<Vec<u8>> {
            texts.iter().filter_map(|text| crate::text::parse_hex(text).ok()).collect()
        };
        self.dictionary = Dictionary::default();
        let words = bytes(&checkpoint.words);
        let (sure, guesses) = words.split_at(checkpoint.sure.unwrap_or(words.len()).min(words.len()));
        sure.iter().for_each(|word| self.dictionary.add(word));
        if checkpoint.sure.is_some() {
            self.dictionary.guess(guesses);
        }
        self.answers = bytes(&checkpoint.answers);
        let State { dictionary, answers, .. } = &*self;
        let around = Around { plan, dictionary, others: &[], answers, datagrams };
        self.schedule = Schedule::resumed(checkpoint.given, &checkpoint.yields, &self.seeds, &around);
        self.schedule.frontiers.clone_from(&checkpoint.frontiers);
        self.restore(checkpoint, entries);
    }

    fn restore(&mut self, checkpoint: Checkpoint, entries: Vec<Entry>) {
        self.corpus = Corpus::default();
        for (mut entry, (chosen, children)) in entries.into_iter().zip(checkpoint.chosen) {
            (entry.chosen, entry.children) = (chosen, children);
            self.corpus.add(entry);
        }
        self.growth = super::growth::Standing::resumed(checkpoint.grown);
        self.counts = checkpoint.counts;
        self.virgin = Virgin::restore(crate::text::parse_hex(&checkpoint.virgin).unwrap_or_default());
        self.novelty = Novelty::restore(checkpoint.novelty);
        self.findings = checkpoint.findings;
        self.looked_into = checkpoint.looked_into.into_iter().collect();
        self.hangs = checkpoint.hangs;
        self.digest = checkpoint.digest;
        self.stored_at = checkpoint.seconds;
    }
}
