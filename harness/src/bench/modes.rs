//! More than one measurement: rates one after another, a rate that rises, and the search for the highest that is good enough.

use std::time::Duration;

use super::judge;
use super::measure::{Interval, Measured};
use super::outcome::{Found, Mode, Outcome};
use super::plan::{Pace, Plan};
use super::schedule::Arrivals;
use super::session::{Session, SessionError, Subject};
use super::threshold::Threshold;

/// The most rates of a sweep.
pub const RATES_MAX: usize = 200;

/// The steps of a ramp.
pub const RAMP_STEPS: usize = 20;

/// How close to each other a search brings the rate that held and the one that did not.
const FOUND_WITHIN: f64 = 0.05;

/// The most measurements of a search.
const TRIES_MAX: usize = 24;

/// How often a search measures a rate at which the load generator itself is late.
const LATE_MAX: usize = 3;

/// The longest that a search measures at a rate for a percentile to be told that would be `n/a` otherwise.
const TOLD_AFTER_MAX: Duration = Duration::from_secs(60);

/// How load is made.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// The next iteration begins when the one before has ended.
    Closed,
    /// So many a second.
    Open(f64),
    /// As often as an earlier recording says.
    Recorded,
    /// One rate after the other.
    Sweep(Vec<f64>),
    /// From one rate to another, in steps without a pause between them.
    Ramp(f64, f64),
    /// The highest rate at which something holds.
    Find(Threshold),
}

/// Rates from `low` to `high`: each `step` more than the one before, or each so many times as much.
pub fn rates(low: f64, high: f64, step: Step) -> Vec<f64> {
    let mut rates = Vec::new();
    let mut rate = low;
    // A last rate that rounding has put a hair above the end is meant.
    while rate <= high * (1.0 + 1e-9) && rates.len() <= RATES_MAX {
        rates.push(rate);
        rate = match step {
            Step::Add(more) => low + more * rates.len() as f64,
            Step::Times(factor) => rate * factor,
        };
    }
    rates
}

/// How a sweep goes from one rate to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// By so much.
    Add(f64),
    /// By this factor.
    Times(f64),
}

/// What a subject gave.
#[derive(Debug)]
pub struct Results {
    /// Each measurement, with what was counted.
    pub results: Vec<(Outcome, Measured)>,
    /// What a search has found.
    pub found: Option<Found>,
}

/// What somebody wants to know of the whole, besides the load.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// How iterations are due in an open loop.
    pub arrivals: Arrivals,
    /// What has to hold.
    pub thresholds: Vec<Threshold>,
}

/// Is told before each measurement what it is, and then what each of its intervals had.
pub trait Watcher: Clone + Send + 'static {
    /// A measurement begins.
    fn begins(&mut self, plan: &Plan);
    /// An interval of it has ended.
    fn interval(&mut self, interval: &Interval);
}

/// Whether an objective holds at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It does not, and each time the load generator itself was late.
    Late,
}

struct Driver<'a, W> {
    session: &'a Session,
    subject: &'a Subject,
    wanted: &'a Wanted,
    watcher: W,
    results: Vec<(Outcome, Measured)>,
}

/// Makes the load that was asked for.
pub async fn run(
    session: &Session,
    subject: &Subject,
    load: &Load,
    wanted: &Wanted,
    watcher: impl Watcher,
) -> Result<Results, SessionError> {
    let mut driver = Driver { session, subject, wanted, watcher, results: Vec::new() };
    let plan = &subject.plan;
    let mut found = None;
    match load {
        Load::Closed => {
            let mode = match (plan.load.read_every, plan.load.fresh) {
                _ if plan.workload.bulk.is_some() => Mode::Bulk,
                (Some(_), _) => Mode::SlowReader,
                (None, true) => Mode::Churn,
                (None, false) => Mode::Closed,
            };
            driver.measure(Pace::Closed, mode, |_| {}).await?;
        }
        Load::Open(rate) => {
            driver.open(*rate, Mode::Open, |_| {}).await?;
        }
        Load::Recorded => {
            driver.measure(Pace::Open(0.0, wanted.arrivals.clone()), Mode::Open, |_| {}).await?;
        }
        Load::Sweep(rates) => {
            for rate in rates {
                driver.open(*rate, Mode::Sweep, |_| {}).await?;
                if session.is_stopped() {
                    break;
                }
            }
        }
        Load::Ramp(low, high) => {
            for step in 0..RAMP_STEPS {
                let rate = low + (high - low) * step as f64 / (RAMP_STEPS - 1) as f64;
                let shorten = |plan: &mut Plan| {
                    plan.load.duration /= RAMP_STEPS as u32;
                    plan.load.warmup = if step == 0 { plan.load.warmup } else { Duration::ZERO };
                };
                driver.open(rate, Mode::Ramp, shorten).await?;
                if session.is_stopped() {
                    break;
                }
            }
        }
        Load::Find(objective) => found = Some(driver.find(objective).await?),
    }
    Ok(Results { results: driver.results, found })
}

impl<W: Watcher> Driver<'_, W> {
    async fn open(&mut self, rate: f64, mode: Mode, change: impl FnOnce(&mut Plan)) -> Result<&Outcome, SessionError> {
        self.measure(Pace::Open(rate, self.wanted.arrivals.clone()), mode, change).await
    }

    async fn measure(
        &mut self,
        pace: Pace,
        mode: Mode,
        change: impl FnOnce(&mut Plan),
    ) -> Result<&Outcome, SessionError> {
        let mut plan = self.subject.plan.clone();
        plan.pace = pace;
        change(&mut plan);
        // There are never more intervals than make sense, and a short measurement has some as well.
        plan.load.interval = plan
            .load
            .interval
            .min(plan.load.duration.max(Duration::from_millis(10)) / 10)
            .max(Duration::from_millis(10));
        let mut watcher = self.watcher.clone();
        watcher.begins(&plan);
        let measured = self.session.measure(plan.clone(), move |interval| watcher.interval(interval)).await?;
        let server = self.session.cores().0.first().copied();
        let mut outcome = Outcome::of(&measured, &plan, mode, server);
        outcome.thresholds = self.wanted.thresholds.iter().map(|threshold| threshold.check(&outcome)).collect();
        self.results.push((outcome, measured));
        Ok(&self.results.last().expect("just pushed").0)
    }

    /// Doubles the rate until the objective does not hold, halves what is between, and confirms what it has found by a
    /// measurement three times as long.
    async fn find(&mut self, objective: &Threshold) -> Result<Found, SessionError> {
        let text = objective.to_string();
        // What the server does without a schedule bounds the search; a few of it tell where to begin.
        let shorten = |plan: &mut Plan| plan.load.duration = plan.load.duration.min(Duration::from_secs(1));
        let most = self.measure(Pace::Closed, Mode::Closed, shorten).await?.rate_per_s;
        self.results.clear();
        let mut rate = (most / 16.0).max(1.0);
        let (mut held, mut failed): (Option<f64>, Option<f64>) = (None, None);
        let mut was_late = false;
        for _ in 0..TRIES_MAX {
            if self.session.is_stopped() {
                break;
            }
            match self.holds(rate, objective, 1).await? {
                Held::Yes => held = Some(rate),
                not => (failed, was_late) = (Some(rate), not == Held::Late),
            }
            rate = match (held, failed) {
                (Some(held), None) => held * 2.0,
                (None, Some(failed)) if failed < 1.0 => break,
                (None, Some(failed)) => failed / 4.0,
                (Some(low), Some(high)) if high - low > high * FOUND_WITHIN => (low + high) / 2.0,
                (Some(low), Some(_)) => {
                    let confirmed = self.holds(low, objective, 3).await?;
                    if confirmed == Held::Yes {
                        break;
                    }
                    // It was luck: what is below is still open.
                    (held, failed, was_late) = (None, Some(low), confirmed == Held::Late);
                    low * (1.0 - FOUND_WITHIN)
                }
                (None, None) => unreachable!("one was just tried"),
            };
        }
        Ok(Found { objective: text, rate_per_s: held, fails_at_per_s: failed, was_late })
    }

    /// Whether an objective holds at a rate. Where the load generator itself was late it is tried again: its lateness is part
    /// of the latency, so what holds nevertheless holds, and what does not may be none of the server's doing.
    async fn holds(&mut self, rate: f64, objective: &Threshold, times: u32) -> Result<Held, SessionError> {
        // A percentile that too few samples tell of is no reason to look for it at a lower rate, where there are fewer still.
        let told_after = Duration::from_secs_f64(objective.samples_min() * 1.1 / rate).min(TOLD_AFTER_MAX);
        let lengthen = |plan: &mut Plan| plan.load.duration = (plan.load.duration * times).max(told_after);
        for _ in 0..LATE_MAX {
            let outcome = self.open(rate, Mode::Find, lengthen).await?;
            let keeps_up = outcome.counts.iterations > 0 && outcome.failed == 0 && judge::missed(outcome).is_none();
            if keeps_up && objective.check(outcome).held {
                return Ok(Held::Yes);
            }
            let late = self.results.last().is_some_and(|(_, measured)| judge::is_late(&measured.total));
            if !late {
                return Ok(Held::No);
            }
            if self.session.is_stopped() {
                break;
            }
        }
        Ok(Held::Late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_has_its_ends() {
        assert_eq!(rates(10.0, 30.0, Step::Add(10.0)), [10.0, 20.0, 30.0]);
        assert_eq!(rates(1000.0, 8000.0, Step::Times(2.0)), [1000.0, 2000.0, 4000.0, 8000.0]);
        assert_eq!(rates(0.1, 0.3, Step::Add(0.1)).len(), 3);
    }

    #[test]
    fn a_sweep_has_a_limit() {
        assert_eq!(rates(1.0, 1e9, Step::Add(1.0)).len(), RATES_MAX + 1);
    }
}
