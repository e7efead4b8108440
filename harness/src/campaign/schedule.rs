//! Which case comes next: first the finite part, numbered and the same each time, then what is guided by feedback, in turns.

use super::case::Case;
use super::corpus::Corpus;
use super::frontier::Frontiers;
use crate::mutator::{Around, MUTATORS, SWEEP, bounded, find};
use crate::random::Random;

/// How many cases of the finite part come before any that is guided.
pub const SWEEP_FIRST: u64 = 1_000;

/// After how many cases there is one that tries a value of a byte which a program may compare next.
const FRONTIER_EVERY: u64 = 3;

/// The most ways of one mutator with one seed that the finite part tries; of more, evenly spread ones.
const WAYS_MAX: usize = 1_500;

/// How many seeds the finite part spoils.
const SWEPT_SEEDS_MAX: usize = 64;

/// The most mutators that are applied to one case.
const STACK_MAX: u64 = 8;

/// From how many other cases mutators take something.
const OTHERS: usize = 6;

/// A case to be played.
#[derive(Clone, Debug)]
pub struct Job {
    /// The case.
    pub case: Case,
    /// The number of the case that it was made from.
    pub parent: Option<usize>,
    /// The mutators that made it, by their numbers in the table.
    pub mutators: Vec<usize>,
    /// Its number in the finite part.
    pub sweep: Option<u64>,
}

impl Job {
    /// A case that was made by nobody.
    pub fn of(case: Case) -> Job {
        Job { case, parent: None, mutators: Vec::new(), sweep: None }
    }
}

/// Who comes next.
#[derive(Clone, Debug)]
pub struct Schedule {
    cursor: Option<Cursor>,
    /// How many cases of the finite part have been given out.
    pub swept: u64,
    given: u64,
    yields: Vec<Yield>,
    /// Bytes all of whose values are tried.
    pub frontiers: Frontiers,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    mutator: usize,
    seed: usize,
    way: usize,
    count: Option<usize>,
}

/// What came of a mutator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Yield {
    /// How often it was used.
    pub tries: u64,
    /// How often that has shown something new.
    pub news: u64,
}

impl Default for Schedule {
    fn default() -> Schedule {
        let yields = vec![Yield::default(); MUTATORS.len()];
        Schedule { cursor: Some(Cursor::default()), swept: 0, given: 0, yields, frontiers: Frontiers::default() }
    }
}

impl Schedule {
    /// A schedule that has given out so many cases of the finite part.
    pub fn resumed((given, swept): (u64, u64), yields: &[(u64, u64)], seeds: &[Case], around: &Around<'_>) -> Schedule {
        let mut schedule = Schedule::default();
        while schedule.swept < swept && schedule.sweep(seeds, around).is_some() {}
        schedule.given = given;
        for (own, (tries, news)) in schedule.yields.iter_mut().zip(yields) {
            *own = Yield { tries: *tries, news: *news };
        }
        schedule
    }

    /// The next case. `seeds` are what the finite part spoils.
    pub fn next(
        &mut self,
        seeds: &[Case],
        corpus: &mut Corpus,
        around: &Around<'_>,
        random: &mut Random,
    ) -> Option<Job> {
        self.given += 1;
        if self.given.is_multiple_of(FRONTIER_EVERY)
            && let Some((parent, case)) = self.frontiers.next(|number| Some(&corpus.entries().get(number)?.case))
        {
            return Some(Job { case: bounded(case), parent: Some(parent), mutators: Vec::new(), sweep: None });
        }
        if (self.given <= SWEEP_FIRST || self.given.is_multiple_of(2))
            && let Some(job) = self.sweep(seeds, around)
        {
            return Some(job);
        }
        self.guided(corpus, around, random)
    }

    /// The next case of the finite part.
    fn sweep(&mut self, seeds: &[Case], around: &Around<'_>) -> Option<Job> {
        let swept = seeds.len().min(SWEPT_SEEDS_MAX);
        while let Some(cursor) = &mut self.cursor {
            if cursor.mutator == SWEEP.len() || swept == 0 {
                self.cursor = None;
                return None;
            }
            let entry = find(SWEEP[cursor.mutator]).expect("a test looks each of them up");
            let seed = &seeds[cursor.seed];
            let count = *cursor.count.get_or_insert_with(|| entry.count(seed, around));
            let stride = count.div_ceil(WAYS_MAX).max(1);
            let (way, at) = (cursor.way, cursor.seed);
            if way >= count {
                *cursor = Cursor { seed: at + 1, way: 0, count: None, ..*cursor };
                if cursor.seed == swept {
                    *cursor = Cursor { mutator: cursor.mutator + 1, ..Cursor::default() };
                }
                continue;
            }
            cursor.way += stride;
            if let Some(case) = entry.number(way, seed, around) {
                self.swept += 1;
                let mutator = MUTATORS.iter().position(|other| other.name == entry.name);
                return Some(Job {
                    case,
                    parent: Some(at),
                    mutators: mutator.into_iter().collect(),
                    sweep: Some(self.swept),
                });
            }
        }
        None
    }

    /// A case made of one that has shown something new.
    fn guided(&mut self, corpus: &mut Corpus, around: &Around<'_>, random: &mut Random) -> Option<Job> {
        let parent = corpus.choose(random)?;
        let entries = corpus.entries();
        let others: Vec<&Case> =
            (0..OTHERS).map(|_| &entries[random.below(entries.len() as u64) as usize].case).collect();
        let around = Around { others: &others, ..*around };
        let mut case = entries[parent].case.clone();
        let mut mutators = Vec::new();
        let most = 1 + random.below(STACK_MAX);
        let stack = 1 + random.below(most);
        // One that has nothing to do in this case is drawn again, but not for ever.
        for _ in 0..4 * stack {
            let mutator = self.draw(random);
            if MUTATORS[mutator].chance(random, &mut case, &around) {
                mutators.push(mutator);
            }
            if mutators.len() as u64 == stack {
                break;
            }
        }
        Some(Job { case: bounded(case), parent: Some(parent), mutators, sweep: None })
    }

    /// A mutator by chance: those that have shown more that is new are drawn more often.
    fn draw(&self, random: &mut Random) -> usize {
        let weight = |(at, entry): (usize, &crate::mutator::Entry)| {
            let Yield { tries, news } = self.yields[at];
            // None falls to nothing: what has shown nothing yet may be all that is left.
            u64::from(entry.weight) * (64 + 64 * 1_024 * (news + 1) / (tries + 1_024))
        };
        let weights: Vec<u64> = MUTATORS.iter().enumerate().map(weight).collect();
        let mut at = random.below(weights.iter().sum());
        weights
            .iter()
            .position(|weight| {
                let here = at < *weight;
                at = at.saturating_sub(*weight);
                here
            })
            .unwrap_or(0)
    }

    /// Notes whether a case has shown something new.
    pub fn note(&mut self, mutators: &[usize], news: bool) {
        for mutator in mutators {
            self.yields[*mutator].tries += 1;
            self.yields[*mutator].news += u64::from(news);
        }
    }

    /// Whether the finite part is done.
    pub fn is_swept(&self) -> bool {
        self.cursor.is_none()
    }

    /// How many cases were given out.
    pub fn given(&self) -> u64 {
        self.given
    }

    /// What came of each mutator, by its number in the table.
    pub fn yields(&self) -> &[Yield] {
        &self.yields
    }
}
