//! Whether a target stays within its `limits`: what it uses at its peak, and how that grows from round to round.
//!
//! Growth is judged after a warm-up, the first quarter of the rounds, and by slope: the median of the slopes between all
//! pairs of samples (Theil and Sen), which a few that are off do not move. A target is given a moment to settle before it
//! is called leaking, so that what a server is about to close is not held against it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::process::{Came, Rest, TICK, Usage, usage, work};
use super::target::Running;
use crate::event::{Failure, FailureKind};
use crate::scenario::{Limits, Scenario, Target, UsageLimit};
use crate::text::{count, show_size};

/// How many samples are kept; with more rounds than that, every second, every fourth and so on is.
const SAMPLES_MAX: usize = 256;

/// With how many samples growth can be told.
pub(super) const ROUNDS_MIN: usize = 8;

/// How long a target may take to give back what it no longer needs.
const SETTLE_WITHIN: Duration = Duration::from_secs(1);

/// How much of a processor it may use after a round, before it is counted as it is.
const ROUND_WORK: Duration = TICK.saturating_mul(2);

/// How often it is looked at meanwhile.
const SETTLE_EVERY: Duration = Duration::from_millis(10);

/// What a target used, round by round.
#[derive(Debug, Default)]
pub(super) struct Series {
    pid: Option<u32>,
    samples: Vec<Usage>,
    /// Every so-manieth round is kept.
    stride: u64,
    rounds: u64,
}

impl Series {
    fn push(&mut self, pid: u32, sample: Usage) {
        if self.pid != Some(pid) {
            // What another process used says nothing about this one.
            *self = Series { pid: Some(pid), stride: 1, ..Series::default() };
        }
        if self.rounds.is_multiple_of(self.stride) {
            if self.samples.len() == SAMPLES_MAX {
                let mut at = 0;
                self.samples.retain(|_| {
                    at += 1;
                    at % 2 == 1
                });
                self.stride *= 2;
            }
            if self.rounds.is_multiple_of(self.stride) {
                self.samples.push(sample);
            }
        }
        self.rounds += 1;
    }

    /// The samples after the warm-up.
    fn judged(&self) -> &[Usage] {
        &self.samples[self.samples.len() / 4..]
    }

    /// By how much something has grown after the warm-up, by slope.
    fn growth(&self, of: fn(&Usage) -> u64) -> f64 {
        let values: Vec<f64> = self.judged().iter().map(|usage| of(usage) as f64).collect();
        let mut slopes = Vec::with_capacity(values.len() * values.len() / 2);
        for (to, later) in values.iter().enumerate() {
            slopes
                .extend(values[..to].iter().enumerate().map(|(from, earlier)| (later - earlier) / (to - from) as f64));
        }
        slopes.sort_unstable_by(f64::total_cmp);
        slopes.get(slopes.len() / 2).copied().unwrap_or_default() * values.len().saturating_sub(1) as f64
    }

    /// What has grown by more than its limit, as far as the samples tell.
    fn suspects<'l>(&self, limits: &'l Limits) -> Vec<Suspect<'l>> {
        let judged = self.judged();
        let suspect = |growth: Growth<'l>| {
            let grown = self.growth(growth.of);
            let rounds = (judged.len() - 1) * self.stride as usize;
            let warm = (self.samples.len() - judged.len()) * self.stride as usize;
            let floor = judged.iter().map(growth.of).min().unwrap_or_default();
            let each = grown / rounds as f64;
            (grown > growth.limit.most as f64).then_some(Suspect { growth, floor, each, rounds, warm })
        };
        growths(limits).into_iter().filter_map(suspect).collect()
    }
}

/// Something that seems to grow.
struct Suspect<'l> {
    growth: Growth<'l>,
    /// The least after the warm-up.
    floor: u64,
    /// By how much in a round.
    each: f64,
    /// After the warm-up, and in it.
    rounds: usize,
    warm: usize,
}

/// A limit of growth, and what it is about.
struct Growth<'l> {
    limit: &'l UsageLimit,
    key: &'static str,
    of: fn(&Usage) -> u64,
    show: fn(u64) -> String,
}

fn growths(limits: &Limits) -> Vec<Growth<'_>> {
    let mut growths = Vec::new();
    if let Some(limit) = &limits.descriptors_growth {
        let show = |descriptors| count(descriptors as usize, "descriptor");
        growths.push(Growth { limit, key: "descriptors_growth", of: |usage| usage.descriptors, show });
    }
    if let Some(limit) = &limits.memory_growth {
        growths.push(Growth { limit, key: "memory_growth", of: |usage| usage.memory, show: show_size });
    }
    if let Some(limit) = &limits.threads_growth {
        let show = |threads| count(threads as usize, "thread");
        growths.push(Growth { limit, key: "threads_growth", of: |usage| usage.threads, show });
    }
    growths
}

/// The samples of a case's targets, by target, and of earlier plays of it.
pub(super) struct Meter<'a> {
    watched: Vec<Watched<'a>>,
}

struct Watched<'a> {
    running: &'a Running,
    limits: &'a Limits,
    series: RefCell<Series>,
    /// How much its process had worked before the case.
    worked: (u32, Duration),
    /// The threads of this process.
    rest: RefCell<Option<(u32, Rest)>>,
}

/// What the targets of a file have used so far.
#[derive(Debug, Default)]
pub(super) struct History {
    /// At the ends of a case that was played several times, by target and case.
    series: RefCell<HashMap<(String, String), Series>>,
    /// The targets whose growth could be judged.
    judged: RefCell<HashSet<String>>,
}

impl History {
    /// The targets of a file whose growth is limited and could never be judged.
    pub(super) fn unjudged<'s>(&self, scenario: &'s Scenario) -> Vec<&'s Target> {
        let is_unjudged = |target: &&Target| {
            target.limits.as_ref().is_some_and(|limits| !growths(limits).is_empty())
                && !self.judged.borrow().contains(&target.name)
        };
        scenario.targets.iter().filter(is_unjudged).collect()
    }
}

impl<'a> Meter<'a> {
    /// Watches those of `running` that have limits.
    pub(super) fn new(scenario: &'a Scenario, running: &[&'a Running]) -> Meter<'a> {
        let watched = running.iter().filter_map(|running| {
            let target = scenario.targets.iter().find(|target| target.name == running.name)?;
            let limits = target.limits.as_deref().filter(|_| running.process().is_some())?;
            let pid = running.process()?.pid();
            let worked = (pid, limits.work_ms.as_ref().map_or(Duration::ZERO, |_| work(pid)));
            Some(Watched { running, limits, worked, series: RefCell::default(), rest: RefCell::default() })
        });
        Meter { watched: watched.collect() }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.watched.is_empty()
    }

    /// Takes a sample of each, once it is done with the round that has ended.
    pub(super) async fn sample(&self) {
        for Watched { running, series, rest, .. } in &self.watched {
            let Some(pid) = running.process().map(|process| process.pid()) else { continue };
            let known = rest.take().filter(|(known, _)| *known == pid);
            let mut threads = known.map_or_else(|| Rest::new(vec![pid]), |(_, threads)| threads);
            // One that goes on working is counted as it is.
            threads.come(ROUND_WORK).await;
            rest.replace(Some((pid, threads)));
            if let Some(usage) = usage(pid) {
                series.borrow_mut().push(pid, usage);
            }
        }
    }

    /// Judges each at the end of a case. `case` is its name without the number of its repetition.
    pub(super) async fn judge(&self, case: &str, history: &History) -> Result<(), Box<Failure>> {
        for watched in &self.watched {
            watched.judge(case, history).await?;
        }
        Ok(())
    }
}

impl Watched<'_> {
    async fn judge(&self, case: &str, history: &History) -> Result<(), Box<Failure>> {
        let Some(pid) = self.running.process().map(|process| process.pid()) else { return Ok(()) };
        // One that has ended is judged by its end.
        let Some(now) = usage(pid) else { return Ok(()) };
        let name = &self.running.name;
        if let Some(limit) = self.limits.memory.as_ref().filter(|limit| now.memory_peak > limit.most) {
            let (peak, most) = (show_size(now.memory_peak), show_size(limit.most));
            let message = format!("the target `{name}` used {peak} of memory at its peak, and `memory` allows {most}");
            return Err(failure(limit, message));
        }
        if let Some(limit) = &self.limits.idle_work_ms
            && Rest::new(vec![pid]).come(Duration::from_millis(limit.most)).await == Came::Working
        {
            let most = crate::time::show_duration(Duration::from_millis(limit.most));
            let message = format!(
                "the target `{name}` used more than {most} of a processor after the case, and `idle_work` allows no more"
            );
            return Err(failure(limit, message));
        }
        if let Some(limit) = &self.limits.work_ms {
            let most = Duration::from_millis(limit.most);
            // One that was started anew has done all its work since.
            let before = if self.worked.0 == pid { self.worked.1 } else { Duration::ZERO };
            let used = || work(pid).saturating_sub(before);
            // Who has used more than that already has not to be waited for.
            if used() > most || {
                Rest::new(vec![pid]).come(most.saturating_add(TICK)).await;
                used() > most
            } {
                let most = crate::time::show_duration(most);
                let message = format!(
                    "the target `{name}` used more than {most} of a processor for the case, and `work` allows no more"
                );
                return Err(failure(limit, message));
            }
        }
        let looped = self.series.borrow().samples.len() >= ROUNDS_MIN;
        let suspects = match looped {
            true => self.series.borrow().suspects(self.limits),
            false => {
                let mut series = history.series.borrow_mut();
                let series = series.entry((name.clone(), case.to_owned())).or_default();
                series.push(pid, now);
                if series.samples.len() < ROUNDS_MIN {
                    return Ok(());
                }
                series.suspects(self.limits)
            }
        };
        history.judged.borrow_mut().insert(name.clone());
        for Suspect { growth: Growth { limit, key, of, show }, floor, each, rounds, warm } in suspects {
            let Some(last) = self.settled(pid, of, floor + limit.most).await else { continue };
            let (from, to, most) = (show(floor), show(last), show(limit.most));
            let each = if each >= 10.0 { show(each as u64) } else { format!("{each:.1}") };
            let what = if looped { "round" } else { "play" };
            let message = format!(
                "the target `{name}` grew from {from} to {to} in {}, about {each} each, and `{key}` allows {most}",
                count(rounds, what)
            );
            let mut failure = failure(limit, message);
            failure.notes.push(format!("the first {} were its warm-up and do not count", count(warm, what)));
            return Err(failure);
        }
        Ok(())
    }

    /// Waits until the target uses no more than `most`; `Some` of what it uses if it does not come to that.
    async fn settled(&self, pid: u32, of: fn(&Usage) -> u64, most: u64) -> Option<u64> {
        let mut left = SETTLE_WITHIN;
        loop {
            let last = of(&usage(pid)?);
            if last <= most {
                return None;
            }
            if left.is_zero() {
                return Some(last);
            }
            // The kernel tells nobody when another process closes something: it has to be looked for.
            tokio::time::sleep(SETTLE_EVERY).await;
            left = left.saturating_sub(SETTLE_EVERY);
        }
    }
}

fn failure(limit: &UsageLimit, message: String) -> Box<Failure> {
    Box::new(Failure::new(FailureKind::TargetLimit, message, limit.place.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: impl IntoIterator<Item = u64>) -> Series {
        let mut series = Series::default();
        values.into_iter().for_each(|descriptors| series.push(1, Usage { descriptors, ..Usage::default() }));
        series
    }

    #[track_caller]
    fn check(values: impl IntoIterator<Item = u64>, expected: f64) {
        let growth = series(values).growth(|usage| usage.descriptors);
        assert!((growth - expected).abs() < 1e-6, "{growth}");
    }

    #[test]
    fn what_stays_has_not_grown() {
        check([7; 20], 0.0);
    }

    #[test]
    fn what_is_taken_at_first_is_warm_up() {
        check([1, 5, 9, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12], 0.0);
    }

    #[test]
    fn a_leak_grows_with_each_round() {
        check(0..40, 29.0);
    }

    #[test]
    fn a_few_that_are_off_do_not_matter() {
        check([5, 5, 5, 5, 5, 6, 5, 5, 5, 5, 7, 5, 5, 5, 5, 5, 6, 6], 0.0);
    }

    #[test]
    fn a_leak_of_every_fourth_round_is_one() {
        let growth = series((0..80).map(|round| round / 4)).growth(|usage| usage.descriptors);
        assert!(growth > 10.0, "{growth}");
    }

    #[test]
    fn many_rounds_are_thinned_out() {
        let series = series(0..100_000);
        assert!(series.samples.len() <= SAMPLES_MAX, "{}", series.samples.len());
        assert_eq!(series.rounds, 100_000);
        let gaps = series.samples.windows(2).map(|pair| pair[1].descriptors - pair[0].descriptors);
        assert!(gaps.clone().all(|gap| gap == series.stride), "{:?}", gaps.collect::<Vec<_>>());
    }

    #[test]
    fn another_process_begins_anew() {
        let mut series = series(0..20);
        series.push(2, Usage::default());
        assert_eq!(series.samples.len(), 1);
    }
}
