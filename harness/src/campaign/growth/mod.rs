//! The growth sweep: one thing said more and more, and whether what that takes grows faster than what is said.
//!
//! It is a part of a campaign that is finite and numbered: families of messages, made of what seeds say. Of each a little and four
//! times as much are said first; only where that takes far more than four times as much, it is measured by doubling on a fresh
//! target, and what it shows has to show again on another one before it is a finding.
//!
//! It takes a small share of the time, in turns with other cases and after the first of the ordinary finite part: most targets that are
//! sound are done with a family in some milliseconds. A target is started anew for it and again after it, so that the other cases
//! are answered as they are without.

#![expect(clippy::disallowed_methods, reason = "a campaign's clock is here")]

pub mod curve;
mod family;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use curve::Grows;
use curve::Point;
pub use family::{DRIP_LEN, Family, LEN_MAX, ROUNDS_MAX, Said};

use super::oracle::Symptom;
use super::player::Effort;
use super::run::lock;
use super::schedule::{Job, SWEEP_FIRST};
use super::state::Counts;
use super::triage::{REPLAYS, Verdict};
use super::worker::Worker;

/// The part of the time that the sweep takes.
const SHARE: u32 = 20;

/// When it begins at the latest: a slow target takes long for the first of the ordinary finite part.
const FIRST_AFTER: Duration = Duration::from_secs(5);

/// How long it goes on at a time, whatever part that is.
const PHASE: Duration = Duration::from_secs(1);

/// How long what is suspicious is looked at more closely in one turn.
const CLOSER: Duration = Duration::from_secs(5);

/// How long the target of the other cases may take to be told again what it was told last.
const REPLAYED_WITHIN: Duration = Duration::from_millis(500);

/// How many rounds a target has to take of whole messages before more are said.
const ROUNDS_FIRST: usize = 32;

/// What is said first is so many doublings below the most that is said.
const DOUBLINGS: u32 = 6;

/// A target that takes longer than this for that is asked for less.
const FIRST_WITHIN: Duration = Duration::from_millis(60);

/// Without so much memory to give back a target is asked on as it is.
const MEMORY_KEPT: u64 = 32 << 20;

/// Over how many connections the same is said, to see whether it is one that takes it.
const APART: usize = 8;

/// How often a message before the rest is left out to see whether it matters.
const LEAVE_OUT_MAX: usize = 8;

/// How far the sweep is.
#[derive(Debug, Default)]
pub(super) struct Standing {
    families: Option<Arc<Vec<Family>>>,
    /// The number of the next one.
    pub(super) next: usize,
    /// How long it has taken.
    spent: Duration,
    /// What was found with which message.
    found: Vec<(Vec<u8>, Grows)>,
}

impl Standing {
    /// One that has come to this family.
    pub(super) fn resumed(next: usize) -> Standing {
        Standing { next, ..Standing::default() }
    }
}

impl Worker<'_> {
    /// Whether the sweep has its turn.
    pub(super) fn grows_now(&self) -> bool {
        let options = &self.common.options;
        if !options.growth || self.common.is_restless || !options.quiescence || self.common.plan.is_about_clients() {
            return false;
        }
        let state = lock(self.state);
        let is_done = state.growth.families.as_ref().is_some_and(|all| state.growth.next >= all.len());
        let elapsed = Duration::from_secs_f64(self.common.elapsed()) * u32::try_from(options.jobs).unwrap_or(1);
        !is_done
            && state.ending.is_none()
            && (state.schedule.given() >= SWEEP_FIRST || elapsed >= FIRST_AFTER)
            && state.growth.spent * SHARE <= elapsed
            && self.player.is_watched()
    }

    /// The sweep's turn: some families, on a target of their own.
    pub(super) fn grow(&mut self) {
        let began = Instant::now();
        self.some_families();
        lock(self.state).counts.growth += began.elapsed();
    }

    fn some_families(&mut self) {
        // What takes as long to say again as this part of the campaign does is not said again.
        let case = {
            let Counts { played, cases, .. } = lock(self.state).counts;
            played / u32::try_from(cases.max(1)).unwrap_or(u32::MAX)
        };
        let replayed = REPLAYED_WITHIN.as_nanos() / case.as_nanos().max(1);
        let standing = self.standing().newest(usize::try_from(replayed).unwrap_or(usize::MAX));
        let began = Instant::now();
        if !self.start(false) {
            return;
        }
        let mut closer = Duration::ZERO;
        while began.elapsed().saturating_sub(closer) < PHASE
            && closer < CLOSER
            && let Some(family) = self.next_family()
        {
            let before = Instant::now();
            let looked = self.family(&family);
            // What is suspicious is worth more time, if not without end.
            closer += looked;
            lock(self.state).growth.spent += before.elapsed().saturating_sub(looked) + looked / 4;
            if !self.player.is_up() && !self.start(false) {
                return;
            }
        }
        // The others go on with a target that was told what theirs was.
        if self.start(false) {
            self.stand(standing);
        }
    }

    fn next_family(&self) -> Option<Family> {
        let mut state = lock(self.state);
        if state.ending.is_some() {
            return None;
        }
        let common = self.common;
        if state.growth.families.is_none() {
            let made = family::families(&state.seeds, &common.plan, common.protocol.as_ref(), &common.datagrams);
            state.growth.families = Some(Arc::new(made));
        }
        let growth = &mut state.growth;
        let families = growth.families.as_ref()?;
        // What was found with a message is found in many ways.
        let is_known = |family: &Family| growth.found.iter().any(|(message, _)| *message == family.message);
        while families.get(growth.next).is_some_and(is_known) {
            growth.next += 1;
        }
        let family = families.get(growth.next)?.clone();
        growth.next += 1;
        state.counts.grown += 1;
        Some(family)
    }

    /// Says a little and some times as much of one thing, and looks closer where that takes far more. How long that took.
    fn family(&mut self, family: &Family) -> Duration {
        let no = Duration::ZERO;
        let most = family.most();
        if family.is_of_messages() && self.measure(family, ROUNDS_FIRST.min(most)).is_none() {
            return no;
        }
        let mut little = (most >> DOUBLINGS).max(1);
        let Some((mut less, mut effort)) = self.measure(family, little) else { return no };
        while effort.time > FIRST_WITHIN && little >= 64 {
            little /= 8;
            let Some(measured) = self.measure(family, little) else { return no };
            (less, effort) = measured;
        }
        let much = (little * curve::TIMES).min(most);
        // What takes longer than there is time for is suspicious by itself.
        let more = self.measure(family, much).map(|(more, _)| more);
        let is_suspicious = more.map_or(self.player.is_up() && self.ran_out, |more| curve::is_suspicious(&less, &more));
        let began = Instant::now();
        if is_suspicious {
            self.look_closer(family, little, most);
        }
        let looked = began.elapsed();
        if is_suspicious || more.is_some_and(|more| more.memory > MEMORY_KEPT) {
            self.start(false);
        }
        looked
    }

    /// Says so many rounds. `None` where the target does not take them, or something else was wrong and is looked into.
    fn measure(&mut self, family: &Family, rounds: usize) -> Option<(Point, Effort)> {
        self.ran_out = false;
        let said = family.said(rounds)?.bytes();
        if said.len() > LEN_MAX * 2 {
            return None;
        }
        let drip = family.drips.then_some(DRIP_LEN);
        let (effort, trace) = self.player.pour(&family.before, family.link, &said, drip);
        let sent = said.len() as u64;
        if let Some(symptom) = Symptom::of(&trace, &self.common.judge.normal) {
            let case = family.case(said);
            self.history.take();
            self.history.push(case.clone());
            self.look_into(&Job::of(case), &trace, &symptom);
            return None;
        }
        if trace.ended.is_some() {
            self.start(false);
            return None;
        }
        let memory = effort.peak.saturating_sub(effort.before);
        if !effort.whole {
            // One that still works on it is no good for the next.
            self.ran_out = effort.work >= Duration::from_secs(1);
            if self.ran_out || memory > MEMORY_KEPT {
                self.start(false);
            }
            return None;
        }
        Some((Point { sent, received: effort.received, work: effort.work, memory }, effort))
    }

    /// Doubles what is said until it is clear what that takes.
    fn look_closer(&mut self, family: &Family, little: usize, most: usize) {
        let mut points: Vec<Point> = Vec::new();
        let mut rounds = (little / 8).max(1);
        while rounds <= most {
            // Memory that was given back is not asked for again.
            if !self.start(false) {
                return;
            }
            let Some((point, _)) = self.measure(family, rounds) else { return };
            points.push(point);
            // What is there by chance now and then is clearer with more.
            if let Some(grows) = curve::judge(&points)
                && self.confirm(family, rounds, grows)
            {
                return;
            }
            if curve::is_enough(&point) || curve::is_hopeless(&points) {
                return;
            }
            rounds *= 2;
        }
    }

    /// The points of three doublings, each on a fresh target.
    fn points(&mut self, family: &Family, rounds: usize) -> Option<Vec<Point>> {
        [rounds / 4, rounds / 2, rounds]
            .into_iter()
            .map(|rounds| if self.start(false) { Some(self.measure(family, rounds)?.0) } else { None })
            .collect()
    }

    /// The same rounds on several connections, one after the other.
    fn apart(&mut self, family: &Family, rounds: usize) -> Option<Point> {
        if !self.start(false) {
            return None;
        }
        let (mut whole, mut first) = (Point::default(), None);
        for at in 0..APART {
            let each = rounds / APART;
            let (point, effort) = self.measure(&family.after(at * each), each)?;
            let first = *first.get_or_insert(effort.before);
            whole.sent += point.sent;
            whole.work += point.work;
            whole.memory = whole.memory.max(effort.peak.saturating_sub(first));
        }
        Some(whole)
    }

    /// Measures it again, leaves out what does not matter, and writes it down. Whether it was there again.
    fn confirm(&mut self, family: &Family, rounds: usize, grows: Grows) -> bool {
        let (seconds, cases) = (self.common.elapsed(), lock(self.state).counts.cases);
        let Some(mut points) = self.points(family, rounds) else { return false };
        if curve::judge(&points) != Some(grows) {
            return false;
        }
        let Some(apart) = self.apart(family, rounds) else { return false };
        if !points.last().is_some_and(|whole| curve::is_of_connection(grows, whole, &apart)) {
            return false;
        }
        lock(self.state).looking = Some((format!("{grows}"), seconds));
        let mut family = family.clone();
        let message = family.message.clone();
        for _ in 0..LEAVE_OUT_MAX {
            let shorter = without_each(&family).into_iter().find_map(|shorter| {
                let points = self.points(&shorter, rounds)?;
                (curve::judge(&points) == Some(grows)).then_some((shorter, points))
            });
            let Some((shorter, measured)) = shorter else { break };
            (family, points) = (shorter, measured);
        }
        lock(self.state).growth.found.push((message, grows));
        self.write_growth(&family, rounds, grows, &points, (seconds, cases));
        lock(self.state).looking = None;
        self.player.end(false);
        true
    }

    fn write_growth(&mut self, family: &Family, rounds: usize, grows: Grows, points: &[Point], at: (f64, u64)) {
        let Some(said) = family.said(rounds) else { return };
        let symptom = Symptom::Grows(grows, grows.told(points));
        let case = family.case(family.said(2).map_or_else(Vec::new, |said| said.bytes()));
        let _ = self.start(false);
        let base = self.player.pids().first().and_then(|pid| crate::runner::process::usage(*pid));
        self.player.end(false);
        let last = points.last().copied().unwrap_or_default();
        let limit = match grows {
            // Between what was seen and what it would be if it grew as what is sent: at half as much it was a quarter.
            Grows::Work => format!("{}ms", (last.work / 3).as_millis()),
            Grows::Memory => format!("{}MiB", (base.map_or(0, |base| base.memory) + last.memory / 2).div_ceil(1 << 20)),
        };
        let shown = self.shown_growth(family, &said, &symptom, &limit, &case);
        let verdict = if shown.failed < REPLAYS as usize { Verdict::Flaky } else { Verdict::Deterministic };
        let told = [format!("{} is said {rounds} times, {} in all", family.what, crate::text::show_size(last.sent))];
        let sizes = (case.connections(), case.sends().len(), last.sent as usize + family.before.bytes());
        self.keep(shown, &case, sizes, verdict, &symptom, at, &told, &[]);
    }
}

/// The family without one of the messages before it, each in turn.
fn without_each(family: &Family) -> Vec<Family> {
    use super::case::Step;
    let without = |step: usize| {
        let mut shorter = family.clone();
        let behind = shorter.before.steps[step + 1..].iter();
        let expected = behind.take_while(|then| matches!(then, Step::Expect(..))).count();
        shorter.before.steps.drain(step..=step + expected);
        shorter
    };
    family.before.sends().into_iter().map(without).collect()
}
