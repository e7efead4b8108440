//! Plays the variants of a property, and hands those that fail over to be judged.

use std::path::PathBuf;
use std::time::Duration;

use super::base::Base;
use super::edit::hasten;
use super::judge::Confirmed;
use super::{Selected, Variant, isolation, linearizable};
use crate::event::Verdict;
use crate::random::Random;
use crate::reduce::{Effort, Size};
use crate::runner::Clock;
use crate::testcase::{Failed, PlayError, Played, Player, TestCase};
use crate::time::Time;

/// How many variants are played at once where a server serves several.
const JOBS: usize = 32;

/// How many variants are played before anything is judged: a broken server is found with few.
const FIRST: usize = 32;

/// How many are played on the same targets after that.
const BATCH: usize = 512;

/// How many variants that failed among others are played alone before the rest is believed.
const SUSPECTS_MAX: usize = 8;

/// The least time that an answer has.
const PATIENCE_MIN: Duration = Duration::from_secs(1);

/// That where one can see whether the server is still at it: a machine that is busy with something else makes no violation.
const PATIENCE_SEEN: Duration = Duration::from_secs(5);

/// The most that it has while variants are tried; the last word has the case's own deadline.
const PATIENCE_MAX: Duration = Duration::from_secs(10);

/// The least time that a server is at rest before an answer is no longer waited for, while variants are tried.
const REST_MIN: Duration = Duration::from_millis(100);

/// How long a peer has to be quiet at the end of a variant.
const QUIET: Duration = Duration::from_millis(20);

/// Why nothing can be tested with a case.
#[derive(Debug)]
pub enum Unfit {
    /// It does not hold as it stands.
    Fails(Box<Played>),
    /// It is not played here, and why.
    Skipped(String),
    /// Its targets cannot be reached.
    Unreachable(Box<Played>),
    /// It cannot be played.
    Unplayable(PlayError),
}

/// What came of one property and one case.
#[derive(Debug)]
pub enum Outcome {
    /// All variants that were played held.
    Held {
        /// How many were played.
        played: usize,
        /// How many there are.
        planned: usize,
    },
    /// Somebody has pressed Ctrl-C.
    Interrupted,
    /// It makes no sense for the case, and why.
    LeftOut(String),
    /// It cannot be told, and why.
    Unknown(String),
    /// It does not hold.
    Violated(Box<Violation>),
}

/// A counterexample.
#[derive(Debug)]
pub struct Violation {
    /// The variant that failed first.
    pub what: String,
    /// The case, as small as it got.
    pub case: TestCase,
    /// How it fails.
    pub failed: Failed,
    /// What the smallest case said when it was played last.
    pub played: Option<Box<Played>>,
    /// `deterministic` or `flaky`.
    pub verdict: &'static str,
    /// How often it fails.
    pub probability: f64,
    /// What happened, line by line, where a case does not tell that.
    pub timeline: Vec<String>,
    /// Whether the case fails by itself. Otherwise it takes somebody who judges what was seen.
    pub fails_alone: bool,
    /// Its size, and what it was before.
    pub sizes: (Size, Size),
    /// How many variants were played until it was found.
    pub after: usize,
    /// How many replays it took to make it small.
    pub replays: u64,
    /// Where it lies.
    pub path: Option<PathBuf>,
}

/// What is told on the way.
#[derive(Debug)]
pub enum Told<'t> {
    /// So many variants of so many have been played.
    Progress(usize, usize),
    /// This fails and is not what it was made of: it is kept before it is made smaller.
    Found(&'t TestCase, &'t Failed),
    /// The same failure, smaller.
    Smaller(&'t TestCase, &'t Failed),
}

/// Tests properties of cases.
#[derive(Debug)]
pub struct Session<'p> {
    /// Plays.
    pub player: &'p Player,
    /// What variants are drawn from.
    pub seed: u64,
    /// The most variants of a property and a case.
    pub cases: Option<usize>,
    /// When it has to be done.
    pub ends: Option<Time>,
    /// What it may cost to make a counterexample small.
    pub shrink: Effort,
    /// What time is told by.
    pub clock: Clock,
}

/// How long an answer is waited for while variants are tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// In any case.
    pub(super) within: Duration,
    /// Where the server has nothing to do.
    pub(super) rest: Duration,
}

impl Patience {
    /// A case that is as patient.
    pub(super) fn hasten(self, case: &TestCase) -> TestCase {
        hasten(case, self.within, QUIET)
    }
}

impl Session<'_> {
    pub(super) fn is_late(&self) -> bool {
        self.ends.is_some_and(|ends| self.clock.now() >= ends)
    }

    pub(super) fn patience(&self, base: &Base) -> Patience {
        let least = if base.seen { PATIENCE_SEEN } else { PATIENCE_MIN };
        let within = (base.duration * 10).clamp(least, PATIENCE_MAX);
        Patience { within, rest: (base.duration * 4).clamp(REST_MIN, within) }
    }

    /// Tests one property of one case.
    pub fn test(&self, selected: &Selected, base: &Base, told: &mut dyn FnMut(Told<'_>)) -> Outcome {
        let property = selected.property;
        let mut base = base.clone();
        base.asked = selected.asked;
        let patience = self.patience(&base);
        if [isolation::PROPERTY.name, linearizable::PROPERTY.name].contains(&property.name) {
            base.words = self.words(&base, patience);
        }
        let mut random = Random::new(self.seed, &format!("{}/{}", property.name, base.case.name()));
        if property.name == linearizable::PROPERTY.name {
            return linearizable::test(self, selected, &base, &mut random, told);
        }
        let mut variants = match (property.plan)(&base, &selected.parameters, &mut random) {
            Ok(variants) => variants,
            Err(why) => return Outcome::LeftOut(why),
        };
        variants.truncate(self.cases.unwrap_or(usize::MAX));
        let planned = variants.len();
        let jobs = if base.undisturbed { JOBS } else { 1 };
        // A conversation that holds once on a server has a fresh one each time.
        let size = if base.repeatable { FIRST } else { 1 };
        let (mut played, mut unclear) = (0, Vec::new());
        while played < planned {
            if self.is_late() && played > 0 {
                break;
            }
            told(Told::Progress(played, planned));
            let size = if played == 0 || !base.repeatable {
                size
            } else if jobs > 1 {
                BATCH
            } else {
                FIRST
            };
            let some = &variants[played..(played + size).min(planned)];
            match self.culprits(some, jobs, patience) {
                Err(Replayed::Interrupted) => return Outcome::Interrupted,
                Err(Replayed::Unplayable(error)) => return Outcome::Unknown(error.to_string()),
                Ok(suspects) => {
                    for at in suspects.iter().take(SUSPECTS_MAX) {
                        match self.confirm(property, &some[*at], patience, played + at + 1, told) {
                            Confirmed::Yes(violation) => return Outcome::Violated(violation),
                            Confirmed::Interrupted => return Outcome::Interrupted,
                            Confirmed::Unclear(why) => unclear.push(format!("{}: {why}", some[*at].what)),
                            Confirmed::No => {}
                        }
                        if self.is_late() {
                            break;
                        }
                    }
                }
            }
            played += some.len();
        }
        match unclear.into_iter().next() {
            Some(why) => Outcome::Unknown(why),
            None => Outcome::Held { played, planned },
        }
    }

    /// [`Session::suspects`], those first that are to blame: where one variant has brought down the server of all, those that were
    /// under way with it fail as well, and often before it.
    fn culprits(&self, variants: &[Variant], jobs: usize, patience: Patience) -> Result<Vec<usize>, Replayed> {
        let suspects = self.suspects(variants, jobs, patience)?;
        if jobs == 1 || suspects.len() <= SUSPECTS_MAX {
            return Ok(suspects);
        }
        let again: Vec<Variant> = suspects.iter().map(|at| variants[*at].clone()).collect();
        let one_by_one = self.suspects(&again, 1, patience)?;
        Ok(if one_by_one.is_empty() { suspects } else { one_by_one.into_iter().map(|at| suspects[at]).collect() })
    }

    /// Plays variants on the same targets: those that do not hold, and where the target is to blame the first to fail first.
    fn suspects(&self, variants: &[Variant], jobs: usize, patience: Patience) -> Result<Vec<usize>, Replayed> {
        let cases: Vec<TestCase> = variants.iter().map(|variant| patience.hasten(&variant.case)).collect();
        let mut suspects: Vec<usize> = Vec::new();
        let mut noticed = false;
        // They may differ in more than their steps: as many batches as there are ways.
        let mut left: Vec<usize> = (0..cases.len()).collect();
        while let Some(first) = left.first().copied() {
            let shared = |case: &TestCase| {
                let mut document = case.document().clone();
                document.remove("case");
                document
            };
            let same = shared(&cases[first]);
            let (some, others): (Vec<usize>, Vec<usize>) = left.iter().partition(|at| shared(&cases[**at]) == same);
            left = others;
            let batch: Vec<TestCase> = some.iter().map(|at| cases[*at].clone()).collect();
            let batch = self.player.play_all(&batch, jobs, Some(patience.rest)).map_err(Replayed::Unplayable)?;
            let is_over =
                |played: &Option<Played>| played.as_ref().is_some_and(|played| played.verdict == Verdict::Interrupted);
            if batch.played.iter().any(is_over) {
                return Err(Replayed::Interrupted);
            }
            let mut failed = batch.failed;
            let failure = |at: &usize| batch.played[*at].as_ref()?.failed.as_ref();
            // Who has brought a server down is found by who was first; otherwise those first that tell most.
            if !failed.iter().filter_map(failure).any(|failed| failed.class.is_targets()) {
                failed.sort_unstable();
            }
            suspects.extend(failed.iter().map(|at| some[*at]));
            noticed |= batch.noticed.is_some();
        }
        if noticed && suspects.is_empty() {
            // A thread has panicked, and nobody's answer shows whose.
            if let [_] = variants {
                return Ok(vec![0]);
            }
            let (first, second) = variants.split_at(variants.len() / 2);
            suspects = self.suspects(first, jobs, patience)?;
            if suspects.is_empty() {
                suspects = self.suspects(second, jobs, patience)?;
                suspects.iter_mut().for_each(|at| *at += first.len());
            }
        }
        Ok(suspects)
    }
}

/// Why variants were not played.
enum Replayed {
    Interrupted,
    Unplayable(PlayError),
}
