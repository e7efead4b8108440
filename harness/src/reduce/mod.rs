//! Makes a failing case small: shared by `shrink`, `fuzz` and `prop`.
//!
//! A case is a concrete conversation, wherever it comes from, and it is judged by an oracle: a closure that plays a candidate
//! and says what went wrong. Only the same failure counts. First the case itself is played again, to know whether it fails each
//! time, sometimes, or only after what was said before ([`reduce`] then finds how far back one has to look). Then come passes to
//! a fixed point, the cheapest first: what follows the failure, connections, messages, loops, options and cuts of what is sent,
//! pauses, faults, fields, bytes. In the end it is asked which bytes matter. Replays are the currency: every pass asks about
//! many items at once ([`search`]), and nothing is played twice that fails each time.
//!
//! Everything better than what was there is told at once, so that it can be written before the next question.
//!
//! Not here: playing ([`testcase`](crate::testcase)), files and processes.

mod bytes;
mod explain;
mod fields;
mod options;
pub mod search;
mod size;
mod steps;
mod triage;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

pub use explain::Matter;
pub use size::Size;
pub use triage::Repeats;

use crate::event::Verdict;
use crate::random::fnv1a;
use crate::runner::Clock;
use crate::testcase::{Class, Failed, PlayError, Played, TestCase};
use crate::time::Time;

/// How often a case is played before it is called one that fails each time.
const SURE_REPLAYS: u32 = 3;

/// How often the result is, before that is said of it.
const CONFIRM_REPLAYS: u32 = 5;

/// How often one is played that fails sometimes.
const FLAKY_REPLAYS: u32 = 20;

/// How many other failures are told of.
const OTHERS_MAX: usize = 20;

/// The most rounds of all passes.
const ROUNDS_MAX: u32 = 20;

/// A step: its lane, and its number there.
pub type Position = (String, usize);

/// What became of a case that was played.
#[derive(Clone, Debug, PartialEq)]
pub enum Replay {
    /// It failed.
    Failed {
        /// How.
        failed: Failed,
        /// At which step, where that is known.
        position: Option<Position>,
    },
    /// It could not be played: no valid case, or no target. This is no replay.
    Invalid,
    /// All is well.
    Passed,
    /// Somebody wants no more: what is best so far is the result.
    Stopped,
}

impl Replay {
    /// What a player says of a case.
    pub fn of(case: &TestCase, played: &Result<Played, PlayError>) -> Replay {
        match played {
            Err(_) => Replay::Invalid,
            Ok(played) => match (&played.failed, played.verdict) {
                (_, Verdict::Interrupted) => Replay::Stopped,
                (Some(failed), _) => Replay::Failed { failed: failed.clone(), position: played.position(case) },
                (None, Verdict::Unreachable | Verdict::Skipped) => Replay::Invalid,
                (None, _) => Replay::Passed,
            },
        }
    }
}

/// How much reduction may cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// How long it may take.
    pub time: Option<Duration>,
    /// How many replays it may take.
    pub replays: Option<u64>,
    /// The clock that `time` is measured with.
    pub clock: Clock,
}

impl Budget {
    /// So much time, and as many replays as fit.
    pub fn of(time: Duration) -> Budget {
        Budget { time: Some(time), replays: None, clock: Clock::start() }
    }
}

/// What is told while a case is made smaller.
#[derive(Debug)]
pub enum Told<'t> {
    /// How the failure comes back is known.
    Repeats {
        /// How.
        repeats: Repeats,
        /// Whether it takes what was said on earlier connections, and how many cases back.
        history: Option<usize>,
    },
    /// There is a smaller case that fails in the same way.
    Better {
        /// The case.
        case: &'t TestCase,
        /// How many replays that took so far.
        replays: u64,
    },
    /// Another failure was met on the way; each is told of once.
    Other {
        /// The case that fails so.
        case: &'t TestCase,
        /// How it fails.
        failed: &'t Failed,
    },
}

/// What came of a reduction.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// The smallest case that was found.
    pub case: TestCase,
    /// Its failure.
    pub failed: Failed,
    /// Whether what it received is part of the failure: it was the same each time.
    pub steady: bool,
    /// How the failure comes back.
    pub repeats: Repeats,
    /// How many earlier cases it takes; `None` where it needs none.
    pub history: Option<usize>,
    /// How many replays it took.
    pub replays: u64,
    /// How many of the candidates were better.
    pub accepted: u64,
    /// How large the case was.
    pub from: Size,
    /// How large it is.
    pub to: Size,
    /// Which bytes matter.
    pub matters: Vec<Matter>,
    /// Whether there was nothing left to try: not for want of budget, nor because somebody stopped it.
    pub complete: bool,
}

impl Reduced {
    /// `deterministic`, `flaky` or `needs-history`; `None` where it did not fail again.
    pub fn verdict(&self) -> Option<&'static str> {
        match (self.repeats, self.history) {
            (Repeats::Never, _) => None,
            (Repeats::Sometimes(_), _) => Some("flaky"),
            (Repeats::Always, Some(_)) => Some("needs-history"),
            (Repeats::Always, None) => Some("deterministic"),
        }
    }

    /// How often it fails.
    pub fn probability(&self) -> f64 {
        match self.repeats {
            Repeats::Always => 1.0,
            Repeats::Sometimes(p) => p,
            Repeats::Never => 0.0,
        }
    }
}

/// What is to be reduced.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// The case that has failed.
    pub case: &'s TestCase,
    /// The cases that were played on the same targets before it, the last one last; they are needed only if it does not fail
    /// without them.
    pub history: &'s [TestCase],
    /// How it failed, where that is known: otherwise its first failure is what counts.
    pub wanted: Option<&'s Failed>,
}

/// Makes a case as small as it gets.
///
/// `oracle` plays a candidate on fresh targets; `told` hears of everything that is better at once.
pub fn reduce(
    subject: Subject<'_>,
    oracle: &mut dyn FnMut(&TestCase) -> Replay,
    budget: Budget,
    told: &mut dyn FnMut(Told<'_>),
) -> Reduced {
    let wanted = subject.wanted.cloned().unwrap_or_else(|| Failed::new(Class::WrongAnswer, "", ""));
    let mut reducer = Reducer {
        oracle,
        told,
        budget,
        begun: budget.clock.now(),
        is_known: subject.wanted.is_some(),
        wanted,
        steady: false,
        repeats: Repeats::Never,
        best: subject.case.clone(),
        position: None,
        rejected: HashSet::new(),
        others: Vec::new(),
        replays: 0,
        accepted: 0,
        stopped: false,
    };
    let from = Size::of(subject.case);
    let history = reducer.establish(subject.history);
    let mut matters = Vec::new();
    if reducer.repeats != Repeats::Never {
        let (repeats, best) = (reducer.repeats, &reducer.best);
        let replays = reducer.replays;
        (reducer.told)(Told::Repeats { repeats, history });
        if history.is_some() {
            (reducer.told)(Told::Better { case: best, replays });
        }
        reducer.pass_all();
        reducer.confirm();
        matters = reducer.explain();
    }
    let complete = !reducer.is_over();
    let Reducer { best, wanted, steady, repeats, replays, accepted, .. } = reducer;
    let to = Size::of(&best);
    Reduced { case: best, failed: wanted, steady, repeats, history, replays, accepted, from, to, matters, complete }
}

/// It was not played, or could not be.
struct NotPlayed;

/// A reduction that is going on.
struct Reducer<'r> {
    oracle: &'r mut dyn FnMut(&TestCase) -> Replay,
    told: &'r mut dyn FnMut(Told<'_>),
    budget: Budget,
    begun: Time,
    /// Whether the failure was known from the start.
    is_known: bool,
    wanted: Failed,
    steady: bool,
    repeats: Repeats,
    best: TestCase,
    /// Where the best one fails.
    position: Option<Position>,
    /// What does not fail, by its content.
    rejected: HashSet<u64>,
    others: Vec<Failed>,
    replays: u64,
    accepted: u64,
    stopped: bool,
}

impl Reducer<'_> {
    /// Whether there is nothing left to spend.
    fn is_over(&self) -> bool {
        let late = self.budget.time.is_some_and(|time| self.budget.clock.now().since(self.begun) >= time);
        self.stopped || late || self.budget.replays.is_some_and(|replays| self.replays >= replays)
    }

    /// Plays a candidate; how it failed, if it did.
    fn play(&mut self, case: &TestCase) -> Result<Option<(Failed, Option<Position>)>, NotPlayed> {
        if self.is_over() {
            return Err(NotPlayed);
        }
        let outcome = match (self.oracle)(case) {
            Replay::Invalid => return Err(NotPlayed),
            Replay::Stopped => {
                self.stopped = true;
                return Err(NotPlayed);
            }
            Replay::Passed => None,
            Replay::Failed { failed, position } => Some((failed, position)),
        };
        self.replays += 1;
        Ok(outcome)
    }

    /// Finds out how the failure comes back, and how far back one has to look for it.
    fn establish(&mut self, history: &[TestCase]) -> Option<usize> {
        let alone = self.best.clone();
        self.repeats = self.repeat(&alone, SURE_REPLAYS);
        if self.repeats != Repeats::Never || self.is_over() {
            return None;
        }
        let usable = history.iter().filter(|case| case.is_one_order()).count();
        if usable > 0 && alone.is_one_order() {
            let whole = alone.after(history);
            self.repeats = self.repeat(&whole, SURE_REPLAYS);
            if self.repeats != Repeats::Never {
                self.best = whole;
                return Some(self.look_back(&alone, history));
            }
        }
        // A rare failure: three replays say little.
        self.repeats = self.repeat(&alone, FLAKY_REPLAYS);
        None
    }

    /// The fewest cases before it with which it fails: twice as far back each time, then between.
    fn look_back(&mut self, alone: &TestCase, history: &[TestCase]) -> usize {
        let after = |count: usize| alone.after(&history[history.len() - count..]);
        let mut far = 1;
        while far < history.len() && !self.test(after(far)) {
            far = (far * 2).min(history.len());
        }
        let near = far / 2;
        search::smallest(near as u64 + 1, far as u64, &mut |count| self.test(after(count as usize))) as usize
    }

    /// Plays a case several times, and more often where the plays disagree.
    fn repeat(&mut self, case: &TestCase, times: u32) -> Repeats {
        let mut met: Vec<(Failed, u32)> = Vec::new();
        let mut answers: HashMap<usize, bool> = HashMap::new();
        let (mut played, mut times) = (0, times);
        while played < times {
            let Ok(outcome) = self.play(case) else { break };
            played += 1;
            if let Some((failed, position)) = outcome {
                let at = met.iter().position(|(known, _)| known.is_same(&failed, false)).unwrap_or_else(|| {
                    met.push((failed.clone(), 0));
                    met.len() - 1
                });
                let same = met[at].0.received == failed.received;
                met[at].1 += 1;
                answers.entry(at).and_modify(|steady| *steady &= same).or_insert(same);
                if self.position.is_none() {
                    self.position = position;
                }
            }
            let failures: u32 = met.iter().map(|(_, count)| *count).sum();
            if failures > 0 && (failures < played || met.len() > 1) {
                times = times.max(FLAKY_REPLAYS);
            }
        }
        let wanted = match self.is_known {
            true => met.iter().position(|(failed, _)| failed.is_same(&self.wanted, false)),
            // The one that came most often, the first of several.
            false => (0..met.len()).rev().max_by_key(|at| met[*at].1),
        };
        let Some(wanted) = wanted else { return Repeats::Never };
        let (failed, count) = met.swap_remove(wanted);
        self.steady = answers.get(&wanted).copied().unwrap_or(false)
            && (!self.is_known || self.wanted.received.is_none() || self.wanted.received == failed.received);
        self.wanted = failed;
        self.is_known = true;
        for (other, _) in met {
            self.tell_other(case, other);
        }
        if count == played && played > 0 {
            Repeats::Always
        } else {
            Repeats::Sometimes(triage::estimate(count, played))
        }
    }

    /// Tells of another failure, if it is one of the target's: what a step misses that was changed is no finding.
    fn tell_other(&mut self, case: &TestCase, failed: Failed) {
        let is_new = !self.others.iter().any(|known| known.is_same(&failed, false));
        if failed.class.is_targets() && is_new && self.others.len() < OTHERS_MAX {
            (self.told)(Told::Other { case, failed: &failed });
            self.others.push(failed);
        }
    }

    /// Whether a candidate fails in the same way; nothing is kept of it.
    fn fails(&mut self, case: &TestCase) -> Option<Option<Position>> {
        let mut test = match self.repeats {
            Repeats::Sometimes(p) => Some(triage::Test::new(p)),
            _ => None,
        };
        let mut at = None;
        loop {
            let same = match self.play(case).ok()? {
                Some((failed, position)) if failed.is_same(&self.wanted, self.steady) => {
                    at = position;
                    true
                }
                Some((failed, _)) => {
                    self.tell_other(case, failed);
                    false
                }
                None => false,
            };
            match &mut test {
                None => return same.then_some(at),
                Some(test) => match test.replayed(same) {
                    Some(true) => return Some(at),
                    Some(false) => return None,
                    None => {}
                },
            }
        }
    }

    /// Takes a candidate if it fails in the same way.
    fn test(&mut self, mut case: TestCase) -> bool {
        case.step_notes.clear();
        let content = case.content();
        if content == self.best.content() {
            return true;
        }
        let hash = fnv1a(content.as_bytes());
        if self.rejected.contains(&hash) {
            return false;
        }
        match self.fails(&case) {
            Some(position) => {
                self.position = position;
                self.best = case;
                self.accepted += 1;
                (self.told)(Told::Better { case: &self.best, replays: self.replays });
                true
            }
            None => {
                if !self.is_over() {
                    self.rejected.insert(hash);
                }
                false
            }
        }
    }

    /// Whether the request before the failing step must stay: where nothing came in return, or something else each time, a
    /// request that deserves no answer would look the same.
    fn keeps_request(&self) -> bool {
        self.wanted.class == Class::WrongAnswer && !(self.steady && self.wanted.received.is_some())
    }

    /// All passes, until none finds anything more.
    fn pass_all(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let before = self.accepted;
            self.cut();
            self.drop_connections();
            self.drop_steps();
            self.unroll();
            self.simplify_sends();
            self.shorten_pauses();
            self.drop_faults();
            self.default_fields();
            self.shorten();
            if self.accepted == before || self.is_over() {
                break;
            }
        }
    }

    /// Plays the result again, as often as the case at first: what is called deterministic has to be.
    fn confirm(&mut self) {
        if self.repeats == Repeats::Always && self.accepted > 0 {
            let best = self.best.clone();
            match self.repeat(&best, CONFIRM_REPLAYS) {
                // Out of budget: it has failed when it was taken.
                Repeats::Never if self.is_over() => {}
                repeats => self.repeats = repeats,
            }
        }
    }
}
