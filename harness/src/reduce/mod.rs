//! Makes a failing case small: shared by `shrink`, `fuzz` and `prop`.
//!
//! A case is a concrete conversation, wherever it comes from, and it is judged by an oracle: a closure that plays a candidate
//! and says what went wrong. Only the same failure counts. First the case itself is played again, to know whether it fails each
//! time, sometimes, or only after what was said before ([`reduce`] then finds how far back one has to look). Then come passes to
//! a fixed point, the cheapest first: what follows the failure, connections, messages, loops, options and cuts of what is sent,
//! pieces of one message, pauses, faults, fields, bytes. In the end it is asked which bytes matter. Replays are the currency:
//! every pass asks about many items at once ([`search`]), and nothing is played twice that fails each time.
//!
//! Everything better than what was there is told at once, so that it can be written before the next question.
//!
//! Not here: playing ([`testcase`](crate::testcase)), files and processes.

mod bytes;
mod data;
mod explain;
mod fields;
mod join;
mod landing;
mod options;
pub mod search;
mod size;
mod steps;
mod triage;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::time::Duration;

pub use explain::Matter;
pub(crate) use fields::fields;
pub use fields::is_message;
pub use landing::hasten;
pub use size::Size;
pub use triage::Repeats;

use crate::document::parse_duration;
use crate::event::Verdict;
use crate::random::fnv1a;
use crate::runner::Clock;
use crate::testcase::{Class, Failed, PlayError, Played, TestCase};
use crate::time::Time;

/// How often a case is played before it is called one that fails each time.
const SURE_REPLAYS: u32 = 3;

/// How often the result is, before that is said of it.
const CONFIRM_REPLAYS: u32 = 10;

/// So many questions that were answered before count as one replay: of a long run of one byte each one that is left out is the same.
const KNOWN_AS_REPLAY: u64 = 8;

/// How much of the budget is kept for that, of a hundred.
const CONFIRM_SHARE: u32 = 15;

/// How often that is tried.
const CONFIRM_ROUNDS_MAX: u32 = 3;

/// How often what a pass has come to is played again.
const PASS_REPLAYS: u32 = 1;

/// How often a candidate has to fail once luck has played a part.
const CAREFUL_REPLAYS: u32 = 4;

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
    /// From now on.
    pub fn of(effort: Effort) -> Budget {
        let clock = Clock::start();
        match effort {
            Effort::Replays(replays) => Budget { time: None, replays: Some(replays), clock },
            Effort::Time(time) => Budget { time: Some(time), replays: None, clock },
        }
    }

    /// Whether it is spent, with so many replays since its clock began.
    pub fn is_over(&self, replays: u64) -> bool {
        self.is_spent(Time::ZERO, replays, 100)
    }

    /// Whether so many hundredths of it are spent.
    fn is_spent(&self, begun: Time, replays: u64, share: u32) -> bool {
        self.time.is_some_and(|time| self.clock.now().since(begun) >= time / 100 * share)
            || self.replays.is_some_and(|most| replays >= (most * u64::from(share)).div_ceil(100))
    }
}

/// How much it may cost, as somebody says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// So many replays: what comes of it is the same on a fast machine and on a slow one.
    Replays(u64),
    /// So much time.
    Time(Duration),
}

impl FromStr for Effort {
    type Err = String;

    fn from_str(text: &str) -> Result<Effort, String> {
        if let Ok(replays) = text.parse() {
            return Ok(Effort::Replays(replays));
        }
        let time = parse_duration(text).map(Effort::Time);
        time.ok_or_else(|| format!("expected a duration such as `10s` or a number of replays, got `{text}`"))
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
    /// Larger cases on the way to it that have failed as well, the smallest last: where the smallest fails only just, one of them
    /// may fail more surely.
    pub larger: Vec<TestCase>,
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
        trail: Vec::new(),
        careful: false,
        is_confirming: false,
        is_free: false,
        rejected: HashSet::new(),
        others: Vec::new(),
        replays: 0,
        known: 0,
        accepted: 0,
        stopped: false,
    };
    let from = Size::of(subject.case);
    let history = reducer.establish(subject.history);
    let (mut matters, mut complete) = (Vec::new(), !reducer.is_over());
    if reducer.repeats != Repeats::Never {
        let (repeats, best) = (reducer.repeats, &reducer.best);
        let replays = reducer.replays;
        (reducer.told)(Told::Repeats { repeats, history });
        if history.is_some() {
            (reducer.told)(Told::Better { case: best, replays });
        }
        reducer.pass_all();
        complete = !reducer.is_over();
        reducer.is_confirming = true;
        reducer.confirm();
        (reducer.told)(Told::Better { case: &reducer.best, replays: reducer.replays });
        matters = reducer.explain();
        complete &= !reducer.stopped;
    }
    let Reducer { best, wanted, steady, repeats, replays, accepted, trail: larger, .. } = reducer;
    let to = Size::of(&best);
    Reduced {
        case: best,
        failed: wanted,
        steady,
        repeats,
        history,
        replays,
        accepted,
        from,
        to,
        matters,
        complete,
        larger,
    }
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
    /// The best ones before it, the last one last.
    trail: Vec<TestCase>,
    /// Whether a candidate has to fail several times: one that fails only sometimes has been taken before.
    careful: bool,
    /// Whether what was kept of the budget for the end can be spent.
    is_confirming: bool,
    /// Whether what is played now is for nothing.
    is_free: bool,
    /// What does not fail, by its content.
    rejected: HashSet<u64>,
    others: Vec<Failed>,
    replays: u64,
    /// How often it was asked what was answered before.
    known: u64,
    accepted: u64,
    stopped: bool,
}

type Pass = fn(&mut Reducer<'_>);

/// What is done again and again, the cheapest first.
const PASSES: &[Pass] = &[
    |reducer| reducer.cut(),
    |reducer| reducer.drop_connections(),
    |reducer| reducer.drop_steps(),
    |reducer| reducer.unroll(),
    |reducer| reducer.simplify_sends(),
    |reducer| reducer.join(),
    |reducer| reducer.shorten_pauses(),
    |reducer| reducer.drop_faults(),
    |reducer| reducer.default_fields(),
    |reducer| reducer.shorten(),
    |reducer| reducer.simplify_bytes(),
];

impl Reducer<'_> {
    /// Whether there is nothing left to spend.
    fn is_over(&self) -> bool {
        let share = if self.is_confirming { 100 } else { 100 - CONFIRM_SHARE };
        self.stopped
            || !self.is_free && self.budget.is_spent(self.begun, self.replays + self.known / KNOWN_AS_REPLAY, share)
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
        let mut left = if self.careful { CAREFUL_REPLAYS } else { 1 };
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
                None if same && left > 1 => left -= 1,
                None => return same.then_some(at),
                Some(test) => match test.replayed(same) {
                    Some(true) => return Some(at),
                    Some(false) => return None,
                    None => {}
                },
            }
        }
    }

    /// Loses items of which a candidate is made; `make` makes one of those that are left. Where nothing is left to spend nothing
    /// is made either: a large case takes its time.
    fn delete(
        &mut self,
        count: usize,
        locked: &dyn Fn(usize) -> bool,
        make: &dyn Fn(&[usize]) -> TestCase,
    ) -> Vec<usize> {
        search::delete(count, locked, &mut |kept| {
            if self.is_over() { None } else { Some(self.test(make(kept))) }
        })
    }

    /// Takes a candidate if it fails in the same way.
    fn test(&mut self, mut case: TestCase) -> bool {
        if self.is_over() {
            return false;
        }
        case.step_notes.clear();
        let hash = fnv1a(case.content().as_bytes());
        if hash == fnv1a(self.best.content().as_bytes()) {
            return true;
        }
        if self.rejected.contains(&hash) {
            self.known += 1;
            return false;
        }
        match self.fails(&case) {
            Some(position) => {
                self.position = position;
                let before = std::mem::replace(&mut self.best, case);
                self.trail.push(before);
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
        self.cut();
        self.land();
        for _ in 0..ROUNDS_MAX {
            let before = self.accepted;
            for pass in PASSES {
                self.pass(*pass);
            }
            if self.accepted == before || self.is_over() {
                break;
            }
        }
    }

    /// One pass, and once more with care where what it has come to fails only sometimes.
    fn pass(&mut self, pass: Pass) {
        let (start, accepted) = (self.best.clone(), self.accepted);
        pass(self);
        if self.accepted == accepted || self.repeats != Repeats::Always || self.careful {
            return;
        }
        let best = self.best.clone();
        for _ in 0..PASS_REPLAYS {
            match self.play(&best) {
                Ok(Some((failed, _))) if failed.is_same(&self.wanted, self.steady) => {}
                Ok(_) => {
                    self.rejected.insert(fnv1a(best.content().as_bytes()));
                    self.best = start;
                    self.careful = true;
                    return pass(self);
                }
                Err(NotPlayed) => return,
            }
        }
    }

    /// Plays the result again: what is called deterministic has to be. Where luck has made it small, the last one on the way
    /// that needs none is where to go on from, more carefully.
    fn confirm(&mut self) {
        for _ in 0..CONFIRM_ROUNDS_MAX {
            if self.repeats != Repeats::Always || self.trail.is_empty() {
                return;
            }
            let best = self.best.clone();
            let repeats = self.repeat(&best, CONFIRM_REPLAYS);
            if repeats == Repeats::Always || (repeats == Repeats::Never && self.is_over()) {
                return;
            }
            let Some(sound) = self.go_back() else {
                self.repeats = if repeats == Repeats::Never {
                    Repeats::Sometimes(triage::estimate(0, CONFIRM_REPLAYS))
                } else {
                    repeats
                };
                return;
            };
            self.rejected.insert(fnv1a(best.content().as_bytes()));
            self.best = sound;
            self.careful = true;
            self.pass_all();
        }
        let best = self.best.clone();
        self.repeats = match self.repeat(&best, FLAKY_REPLAYS) {
            // It has held at least once, and failed at least once.
            Repeats::Always => Repeats::Sometimes(triage::estimate(FLAKY_REPLAYS, FLAKY_REPLAYS)),
            Repeats::Never => Repeats::Sometimes(triage::estimate(0, FLAKY_REPLAYS)),
            sometimes @ Repeats::Sometimes(_) => sometimes,
        };
    }

    /// Whether a case fails each time, as far as the budget lets one see.
    fn is_sound(&mut self, case: &TestCase) -> bool {
        for _ in 0..CONFIRM_REPLAYS {
            match self.play(case) {
                Ok(Some((failed, position))) if failed.is_same(&self.wanted, self.steady) => self.position = position,
                Ok(_) => return false,
                Err(NotPlayed) => return true,
            }
        }
        true
    }

    /// The last of the best ones before that fails each time; twice as far back each time.
    fn go_back(&mut self) -> Option<TestCase> {
        let mut steps = 1;
        while !self.trail.is_empty() && !self.is_over() {
            let at = self.trail.len().saturating_sub(steps);
            self.trail.truncate(at + 1);
            let case = self.trail.pop()?;
            if self.is_sound(&case) {
                return Some(case);
            }
            self.rejected.insert(fnv1a(case.content().as_bytes()));
            steps *= 2;
        }
        None
    }
}
