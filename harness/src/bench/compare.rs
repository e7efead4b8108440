//! Whether one thing is faster than another, or only seems so.
//!
//! What is compared is measured in turn, a pair after the other, so that whatever the machine does meanwhile happens to both.
//! Each pair gives a ratio; the median of the ratios is told with an interval, and there is a verdict only where the whole
//! interval lies beyond a band that the machine's own noise fills. Who measures in turn is elsewhere.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::hlog::{Line, Log};
use super::measure::Measured;
use super::outcome::{over, rounded};
use super::statistics::{bootstrap_median, mann_whitney, mann_whitney_grouped, median};
use crate::random::Random;

/// How many pairs are measured at least.
pub const PAIRS: usize = 16;

/// How many are measured at most.
const PAIRS_MAX: usize = 400;

/// How long a side of a pair is measured at least: the shorter it is, the less the machine changes in between, and the more
/// pairs there are; but it takes some milliseconds to begin.
pub const SIDE: Duration = Duration::from_millis(50);

/// How many iterations it has at least where there is time for more than [`PAIRS`]: a 99th percentile takes that many.
const SIDE_ITERATIONS: f64 = 1000.0;

/// The fewest pairs of which anything is said: with fewer the interval is all of them.
pub const PAIRS_MIN: usize = 8;

/// Differences that are none, with server and load generator on one core.
pub const BAND_SAME_CORE: f64 = 0.01;

/// The same on several cores, where each hop wakes one.
pub const BAND_CROSS_CORE: f64 = 0.03;

/// How sure an interval is. Three figures are judged at once, so 95 % would be wrong too often.
pub const CONFIDENCE: f64 = 0.99;

/// How improbable by chance a difference between two stored logs has to be.
pub const P_VALUE_MAX: f64 = 0.01;

/// The fewest intervals of a log for that.
pub const INTERVALS_MIN: usize = 5;

/// What is compared of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The median latency, in nanoseconds.
    pub p50: f64,
    /// The 99th percentile of the latency, in nanoseconds.
    pub p99: f64,
    /// Iterations a second.
    pub rate: f64,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that the other is held against.
    First,
    /// The other.
    Second,
}

/// What became of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The second is better.
    Better,
    /// They are the same, but for differences that are none.
    Same,
    /// It cannot be told: measure longer, or on a quieter machine.
    Unclear,
    /// The second is worse.
    Worse,
}

/// One figure, compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The median of the pairs' ratios: the second's over the first's.
    pub ratio: f64,
    /// Where the true one lies, with [`CONFIDENCE`].
    pub interval: [f64; 2],
    /// What follows.
    pub verdict: Verdict,
}

/// Two things that were measured in turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The case.
    pub case: String,
    /// What the first is called.
    pub first: String,
    /// What the second is called.
    pub second: String,
    /// How many pairs were measured.
    pub pairs: usize,
    /// Differences that are none.
    pub band: f64,
    /// The median latency.
    pub p50: Change,
    /// The 99th percentile of the latency.
    pub p99: Change,
    /// The rate.
    pub rate: Change,
    /// Every pair, in the order in which they were measured.
    pub samples: Vec<[Sample; 2]>,
}

/// Two series of histograms that were measured at different times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unpaired {
    /// What they are of.
    pub tag: String,
    /// The second's median over the first's, of all samples.
    pub p50_ratio: f64,
    /// The same of the 99th percentile.
    pub p99_ratio: f64,
    /// How probable it is by chance that the intervals' medians differ as much.
    pub p50_p_value: f64,
    /// The same of the intervals' 99th percentiles.
    pub p99_p_value: f64,
    /// How probable it is that a sample of the second is above one of the first.
    pub superiority: f64,
    /// What follows for the median.
    pub verdict: Verdict,
}

impl Sample {
    /// Those of a measurement; `None` without any iterations.
    pub fn of(measured: &Measured) -> Option<Sample> {
        let latency = &measured.total.latency;
        let at = |quantile| latency.value_at_quantile(quantile) as f64;
        let rate = over(measured.total.counts.iterations as f64 * 1e9, measured.window as f64);
        (!latency.is_empty()).then(|| Sample { p50: finer(latency, 0.5), p99: at(0.99), rate })
    }
}

/// A quantile between the steps of a histogram, by where the samples of its step lie: with steps of a thousandth, two
/// medians would otherwise be either equal or a tenth of a percent apart.
fn finer(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    let value = histogram.value_at_quantile(quantile);
    let (low, high) = (histogram.lowest_equivalent(value), histogram.highest_equivalent(value));
    let here = histogram.count_at(value) as f64;
    let below = histogram.count_between(0, low.saturating_sub(1)) as f64;
    let rank = histogram.len() as f64 * quantile;
    low as f64 + (high - low + 1) as f64 * over(rank - below, here).clamp(0.0, 1.0)
}

/// Differences that are none with server and load generator on these cores.
pub fn band((server, client): &(Vec<usize>, Vec<usize>)) -> f64 {
    if server.len() == 1 && server == client { BAND_SAME_CORE } else { BAND_CROSS_CORE }
}

/// How many pairs of something with so many iterations a second are measured in such a time, and for how long each side is.
pub fn split(duration: Duration, rate: f64) -> (usize, Duration) {
    let side = SIDE.as_secs_f64().max(over(SIDE_ITERATIONS, rate));
    let pairs = ((duration.as_secs_f64() / (2.0 * side)) as usize).clamp(PAIRS, PAIRS_MAX);
    (pairs, (duration / (2 * pairs as u32)).max(SIDE))
}

/// In which order so many pairs are measured: whoever was second in a pair is first in the next.
pub fn order(pairs: usize) -> impl Iterator<Item = Side> {
    (0..pairs).flat_map(|pair| match pair % 2 {
        0 => [Side::First, Side::Second],
        _ => [Side::Second, Side::First],
    })
}

impl Comparison {
    /// What pairs say; `None` with too few of them.
    pub fn of(names: [&str; 2], case: &str, samples: Vec<[Sample; 2]>, band: f64, seed: u64) -> Option<Comparison> {
        if samples.len() < PAIRS_MIN {
            return None;
        }
        let change = |name: &str, figure: fn(&Sample) -> f64, less_is_better: bool| {
            let ratios: Vec<f64> = samples
                .iter()
                .map(|[first, second]| figure(second) / figure(first))
                .filter(|r| r.is_finite())
                .collect();
            let mut random = Random::new(seed, &format!("compare {case} {name}"));
            let [low, high] = bootstrap_median(&ratios, CONFIDENCE, &mut random)?;
            let verdict = verdict(low, high, band, less_is_better);
            let ratio = rounded(median(&ratios)?, 5);
            Some(Change { ratio, interval: [rounded(low, 5), rounded(high, 5)], verdict })
        };
        Some(Comparison {
            case: case.to_owned(),
            first: names[0].to_owned(),
            second: names[1].to_owned(),
            pairs: samples.len(),
            band,
            p50: change("p50", |sample| sample.p50, true)?,
            p99: change("p99", |sample| sample.p99, true)?,
            rate: change("rate", |sample| sample.rate, false)?,
            samples,
        })
    }

    /// Whether the second has fallen behind.
    pub fn is_regression(&self) -> bool {
        [self.p50, self.p99, self.rate].iter().any(|change| change.verdict == Verdict::Worse)
    }

    /// How far an interval reaches to either side of its ratio on the average: the noise that two of the same would have.
    pub fn noise(&self) -> [f64; 3] {
        [self.p50, self.p99, self.rate].map(|change| (change.interval[1] - change.interval[0]) / 2.0)
    }
}

fn verdict(low: f64, high: f64, band: f64, less_is_better: bool) -> Verdict {
    let (least, most) = (1.0 - band, 1.0 + band);
    match (low > most, high < least, low >= least && high <= most) {
        (true, ..) => {
            if less_is_better {
                Verdict::Worse
            } else {
                Verdict::Better
            }
        }
        (_, true, _) => {
            if less_is_better {
                Verdict::Better
            } else {
                Verdict::Worse
            }
        }
        (.., true) => Verdict::Same,
        _ => Verdict::Unclear,
    }
}

/// Compares two stored logs, series by series, where both have enough intervals of one. What the machine did meanwhile is in
/// there: the two were not measured in turn.
pub fn unpaired(first: &Log, second: &Log, band: f64) -> Vec<Unpaired> {
    let mut tags: Vec<&str> = first.lines.iter().map(|line| line.tag.as_str()).collect();
    let mut seen = std::collections::BTreeSet::new();
    tags.retain(|tag| seen.insert(*tag));
    let of = |log: &Log, tag: &str| -> Vec<Histogram<u64>> {
        let named = log.lines.iter().filter(|line| line.tag == tag);
        named.map(histogram).filter(|histogram| !histogram.is_empty()).collect()
    };
    tags.into_iter().filter_map(|tag| compare(tag, &of(first, tag), &of(second, tag), band)).collect()
}

fn histogram(line: &Line) -> Histogram<u64> {
    line.histogram.histogram()
}

fn compare(tag: &str, first: &[Histogram<u64>], second: &[Histogram<u64>], band: f64) -> Option<Unpaired> {
    if first.len().min(second.len()) < INTERVALS_MIN {
        return None;
    }
    let at = |side: &[Histogram<u64>], quantile| -> Vec<f64> {
        side.iter().map(|histogram| histogram.value_at_quantile(quantile) as f64).collect()
    };
    let p_value = |quantile| mann_whitney(&at(first, quantile), &at(second, quantile)).map(|ranks| ranks.p_value);
    let (p50_p_value, p99_p_value) = (p_value(0.5)?, p_value(0.99)?);
    let ratio = |quantile| Some(over(median(&at(second, quantile))?, median(&at(first, quantile))?));
    let (p50_ratio, p99_ratio) = (ratio(0.5)?, ratio(0.99)?);
    let mut counts: std::collections::BTreeMap<u64, (u64, u64)> = std::collections::BTreeMap::new();
    for value in first.iter().flat_map(|histogram| histogram.iter_recorded()) {
        counts.entry(value.value_iterated_to()).or_default().0 += value.count_at_value();
    }
    for value in second.iter().flat_map(|histogram| histogram.iter_recorded()) {
        counts.entry(value.value_iterated_to()).or_default().1 += value.count_at_value();
    }
    let all = |side: &[Histogram<u64>]| side.iter().map(Histogram::len).sum::<u64>();
    let ranks = mann_whitney_grouped(counts.into_values())?;
    let differs = p50_p_value < P_VALUE_MAX;
    let verdict = match p50_ratio - 1.0 {
        change if differs && change > band => Verdict::Worse,
        change if differs && change < -band => Verdict::Better,
        change if !differs && change.abs() > band => Verdict::Unclear,
        _ => Verdict::Same,
    };
    Some(Unpaired {
        tag: tag.to_owned(),
        p50_ratio: rounded(p50_ratio, 5),
        p99_ratio: rounded(p99_ratio, 5),
        p50_p_value: rounded(p50_p_value, 6),
        p99_p_value: rounded(p99_p_value, 6),
        superiority: rounded(ranks.superiority(all(first), all(second)), 4),
        verdict,
    })
}

#[cfg(test)]
mod tests {
    use super::super::packed::Packed;
    use super::super::tally;
    use super::*;

    /// Pairs of which the second takes `factor` times as long, give or take `noise`, while the machine slows down by half.
    fn pairs(factor: f64, noise: f64, random: &mut Random) -> Vec<[Sample; 2]> {
        let mut chance = || (random.below(1_000_001) as f64 / 500_000.0 - 1.0) * noise;
        let drift = |pair: usize| 1.0 + pair as f64 / PAIRS as f64 / 2.0;
        let sample = |base: f64| Sample { p50: base, p99: base * 2.0, rate: 1e9 / base };
        (0..PAIRS)
            .map(|pair| {
                let base = 5_000.0 * drift(pair);
                [sample(base * (1.0 + chance())), sample(base * factor * (1.0 + chance()))]
            })
            .collect()
    }

    fn of(samples: Vec<[Sample; 2]>, band: f64) -> Comparison {
        Comparison::of(["a", "b"], "echo", samples, band, 1).expect("there are enough")
    }

    #[test]
    fn what_is_slower_is_found_while_the_machine_slows_down() {
        let found = of(pairs(1.03, 0.005, &mut Random::new(1, "pairs")), BAND_SAME_CORE);
        assert_eq!((found.p50.verdict, found.rate.verdict), (Verdict::Worse, Verdict::Worse));
        assert!((found.p50.ratio - 1.03).abs() < 0.005, "{:?}", found.p50);
        assert!(found.is_regression());
        let faster = of(pairs(0.95, 0.005, &mut Random::new(1, "pairs")), BAND_SAME_CORE);
        assert_eq!((faster.p50.verdict, faster.rate.verdict), (Verdict::Better, Verdict::Better));
        assert!(!faster.is_regression());
    }

    #[test]
    fn what_is_the_same_is_said_to_be_and_noise_says_nothing() {
        let same = of(pairs(1.0, 0.004, &mut Random::new(1, "pairs")), BAND_SAME_CORE);
        assert_eq!(same.p50.verdict, Verdict::Same);
        let noisy = of(pairs(1.0, 0.2, &mut Random::new(1, "pairs")), BAND_SAME_CORE);
        assert_eq!(noisy.p50.verdict, Verdict::Unclear);
        assert!(noisy.noise()[0] > same.noise()[0] * 10.0);
    }

    #[test]
    fn one_thing_against_itself_is_seldom_different_and_three_percent_are_seldom_missed() {
        let mut random = Random::new(1, "many pairs");
        let mut verdicts = |factor, noise| {
            let is_worse =
                |_: &i32| of(pairs(factor, noise, &mut random), BAND_SAME_CORE).p50.verdict == Verdict::Worse;
            (0..40).filter(is_worse).count()
        };
        // Noise that the band does not cover: half of 1 % are too slow by chance, and as many too fast.
        assert!(verdicts(1.0, 0.2) <= 2);
        assert_eq!(verdicts(1.0, 0.01), 0);
        assert!(verdicts(1.03, 0.015) >= 38);
    }

    #[test]
    fn a_fast_server_is_measured_in_many_short_pairs() {
        let seconds = Duration::from_secs;
        assert_eq!(split(seconds(10), 50_000.0), (100, SIDE));
        assert_eq!(split(seconds(10), 10_000.0), (50, 2 * SIDE));
        assert_eq!(split(seconds(10), 1_000.0), (PAIRS, Duration::from_micros(312_500)));
        assert_eq!(split(seconds(1), 50_000.0), (PAIRS, SIDE));
        assert_eq!(split(seconds(3600), 50_000.0), (PAIRS_MAX, Duration::from_millis(4500)));
        assert_eq!(split(seconds(10), 0.0).0, 100);
    }

    #[test]
    fn too_few_pairs_say_nothing() {
        let few = pairs(2.0, 0.0, &mut Random::new(1, "pairs")).into_iter().take(PAIRS_MIN - 1).collect();
        assert_eq!(Comparison::of(["a", "b"], "echo", few, BAND_SAME_CORE, 1), None);
    }

    #[test]
    fn a_comparison_is_the_same_each_time_it_is_made() {
        let samples = pairs(1.01, 0.05, &mut Random::new(1, "pairs"));
        assert_eq!(of(samples.clone(), BAND_SAME_CORE), of(samples, BAND_SAME_CORE));
    }

    #[test]
    fn each_is_first_as_often_as_the_other() {
        use Side::{First, Second};
        assert_eq!(order(3).collect::<Vec<_>>(), [First, Second, Second, First, First, Second]);
    }

    #[test]
    fn a_median_lies_between_the_steps_of_a_histogram() {
        let mut all = tally::histogram();
        // From 100,032 to 100,095 is one step.
        (0..64).for_each(|at| all.record(100_032 + at).expect("it is in bounds"));
        assert_eq!(all.value_at_quantile(0.25), all.value_at_quantile(0.75));
        assert_eq!((finer(&all, 0.25), finer(&all, 0.75)), (100_048.0, 100_080.0));
        assert_eq!(
            Sample::of(&super::super::fixture::measured(&super::super::fixture::plan())).map(|s| s.rate),
            Some(1000.0)
        );
    }

    fn log(medians: impl IntoIterator<Item = u64>) -> Log {
        let line = |(at, median): (usize, u64)| {
            let mut all = tally::histogram();
            (0..100).for_each(|more| all.record(median + more).expect("it is in bounds"));
            Line { tag: "a/latency".into(), begins_ms: at as u64 * 1000, length_ms: 1000, histogram: Packed::of(&all) }
        };
        Log { start_ms: 0, lines: medians.into_iter().enumerate().map(line).collect() }
    }

    #[test]
    fn stored_logs_are_compared_by_their_intervals() {
        let (before, after) = (log((0..10).map(|at| 10_000 + at * 40)), log((0..10).map(|at| 11_000 + at * 40)));
        let [found] = unpaired(&before, &after, BAND_CROSS_CORE).try_into().expect("there is one series");
        assert_eq!((found.verdict, found.tag.as_str()), (Verdict::Worse, "a/latency"));
        assert!(found.p50_ratio > 1.08 && found.p50_p_value < 0.001 && found.superiority == 1.0, "{found:?}");
        let same = unpaired(&before, &before, BAND_CROSS_CORE).remove(0);
        assert_eq!((same.verdict, same.p50_ratio, same.superiority), (Verdict::Same, 1.0, 0.5));
        assert_eq!(unpaired(&before, &log([1; 4]), BAND_CROSS_CORE), []);
        let (wild, wilder) = (log([10_000, 30_000].repeat(5)), log([12_000, 31_000, 33_000].repeat(3)));
        assert_eq!(unpaired(&wild, &wilder, BAND_CROSS_CORE)[0].verdict, Verdict::Unclear);
    }
}
