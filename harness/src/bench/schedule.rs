//! When iterations are due.
//!
//! Every point in time is computed from the beginning and a number, never as a sum of waits, so that no error adds up.

use std::sync::Arc;

use crate::random::Random;

/// How the points in time at which iterations are due lie to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// All the same time apart.
    #[default]
    Constant,
    /// With exponentially distributed gaps, as of many clients who know nothing of each other.
    Poisson,
    /// As these say, in nanoseconds from the first; from the beginning again when they are used up.
    Recorded(Arc<[u64]>),
}

/// The points in time at which one thread's iterations are due, in nanoseconds from the beginning.
#[derive(Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    /// Iterations a second, of all threads together.
    rate: f64,
    /// Which of how many threads it is for.
    share: (u64, u64),
    number: u64,
    random: Random,
    /// Where the last random gap has ended.
    passed: f64,
    due: u64,
}

impl Schedule {
    /// The `share.0`-th of `share.1` parts of a schedule of `rate` iterations a second.
    pub fn new(arrivals: Arrivals, rate: f64, share: (usize, usize), seed: u64) -> Schedule {
        let random = Random::new(seed, &format!("arrivals {}", share.0));
        let share = (share.0 as u64, share.1 as u64);
        let mut schedule = Schedule { arrivals, rate, share, number: 0, random, passed: 0.0, due: 0 };
        schedule.due = schedule.compute();
        schedule
    }

    /// When the next iteration is due.
    pub fn due(&self) -> u64 {
        self.due
    }

    /// Goes on to the one after it, and gives the number of the one that was due over all threads.
    pub fn advance(&mut self) -> u64 {
        let number = self.number * self.share.1 + self.share.0;
        self.number += 1;
        self.due = self.compute();
        number
    }

    fn compute(&mut self) -> u64 {
        let (part, parts) = self.share;
        match &self.arrivals {
            Arrivals::Constant => ((self.number * parts + part) as f64 * 1e9 / self.rate) as u64,
            Arrivals::Poisson => {
                // A uniform number above 0 and up to 1, from 53 bits.
                let uniform = ((self.random.next_u64() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
                self.passed += -uniform.ln() * 1e9 * parts as f64 / self.rate;
                self.passed as u64
            }
            Arrivals::Recorded(offsets) => {
                let number = self.number * parts + part;
                let len = offsets.len() as u64;
                let last = offsets.last().copied().unwrap_or_default();
                // Between two rounds lies a gap as long as they have on the average.
                let round = last + last / (len - 1).max(1);
                let offset = offsets[(number % len) as usize];
                // The rate stretches them, where one is asked for.
                let recorded = (number / len) as f64 * round as f64 + offset as f64;
                let own = len as f64 * 1e9 / (round.max(1)) as f64;
                if self.rate > 0.0 { (recorded * own / self.rate) as u64 } else { recorded as u64 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(mut schedule: Schedule, count: usize) -> Vec<u64> {
        (0..count)
            .map(|_| {
                let due = schedule.due();
                schedule.advance();
                due
            })
            .collect()
    }

    #[test]
    fn constant_arrivals_do_not_drift() {
        let mut schedule = Schedule::new(Arrivals::Constant, 3.0, (0, 1), 1);
        (0..3_000_000).for_each(|_| {
            schedule.advance();
        });
        assert_eq!(schedule.due(), 1_000_000 * 1_000_000_000);
    }

    #[test]
    fn threads_share_a_schedule_without_overlap() {
        let whole = take(Schedule::new(Arrivals::Constant, 1000.0, (0, 1), 1), 20);
        let mut parts: Vec<u64> =
            (0..2).flat_map(|part| take(Schedule::new(Arrivals::Constant, 1000.0, (part, 2), 1), 10)).collect();
        parts.sort_unstable();
        assert_eq!(parts, whole);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_an_exponential() {
        let due = take(Schedule::new(Arrivals::Poisson, 1000.0, (0, 1), 1), 100_000);
        let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        // The standard deviation of an exponential is its mean.
        assert!((variance.sqrt() - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals() {
        let make = |seed| take(Schedule::new(Arrivals::Poisson, 10.0, (0, 1), seed), 10);
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn recorded_arrivals_repeat_and_stretch() {
        let offsets: Arc<[u64]> = Arc::from([0, 10, 40]);
        let recorded = Arrivals::Recorded(Arc::clone(&offsets));
        assert_eq!(take(Schedule::new(recorded.clone(), 0.0, (0, 1), 1), 5), [0, 10, 40, 60, 70]);
        // 3 in 60 ns are 5e7 a second; at half of that everything takes twice as long.
        assert_eq!(take(Schedule::new(recorded, 2.5e7, (0, 1), 1), 5), [0, 20, 80, 120, 140]);
    }
}
