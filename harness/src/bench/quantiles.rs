//! A distribution in a few figures, of which none says more than was measured.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// A percentile with fewer samples beyond it is not told: the next sample could move it anywhere.
pub const BEYOND_MIN: f64 = 10.0;

/// How many standard deviations a 95 % interval reaches to either side.
const SIGMAS_95: f64 = 1.959_963_984_540_054;

/// What a distribution looks like. Times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many samples there are. Without any, everything else is 0 or `None`.
    pub count: u64,
    /// The smallest.
    pub min: u64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: Option<u64>,
    /// Nine of ten are no larger.
    pub p90: Option<u64>,
    /// 95 of a hundred are no larger.
    pub p95: Option<u64>,
    /// 99 of a hundred are no larger.
    pub p99: Option<u64>,
    /// All but one in a thousand are no larger.
    pub p999: Option<u64>,
    /// All but one in ten thousand are no larger.
    pub p9999: Option<u64>,
    /// The largest.
    pub max: u64,
    /// A 95 % interval of the median, if the samples are independent.
    pub p50_interval: Option<[u64; 2]>,
    /// The same of the 99th percentile.
    pub p99_interval: Option<[u64; 2]>,
}

impl Quantiles {
    /// Those of a histogram.
    pub fn of(histogram: &Histogram<u64>) -> Quantiles {
        if histogram.is_empty() {
            return Quantiles::default();
        }
        let at = |quantile| percentile(histogram, quantile);
        Quantiles {
            count: histogram.len(),
            min: histogram.min(),
            mean: (histogram.mean() * 10.0).round() / 10.0,
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: histogram.max(),
            p50_interval: interval(histogram, 0.5),
            p99_interval: interval(histogram, 0.99),
        }
    }

    /// The percentiles in their order, with their names.
    pub fn percentiles(&self) -> [(&'static str, Option<u64>); 6] {
        let Quantiles { p50, p90, p95, p99, p999, p9999, .. } = *self;
        [("p50", p50), ("p90", p90), ("p95", p95), ("p99", p99), ("p99.9", p999), ("p99.99", p9999)]
    }
}

/// The value that so large a part of all samples do not exceed; `None` with too few samples beyond it.
fn percentile(histogram: &Histogram<u64>, quantile: f64) -> Option<u64> {
    is_told(histogram.len(), quantile).then(|| histogram.value_at_quantile(quantile))
}

/// Whether so many samples are enough for a quantile.
fn is_told(count: u64, quantile: f64) -> bool {
    // 1 - 0.99 is a little more than 0.01.
    count as f64 * (1.0 - quantile) >= BEYOND_MIN - 1e-6
}

/// How many samples are enough for it.
pub fn samples_min(quantile: f64) -> f64 {
    BEYOND_MIN / (1.0 - quantile)
}

/// A 95 % interval by order statistics: which samples enclose the quantile is a matter of a binomial distribution, whatever
/// the samples' own is.
fn interval(histogram: &Histogram<u64>, quantile: f64) -> Option<[u64; 2]> {
    let count = histogram.len() as f64;
    if !is_told(histogram.len(), quantile) {
        return None;
    }
    let reach = SIGMAS_95 * (count * quantile * (1.0 - quantile)).sqrt();
    let at = |rank: f64| histogram.value_at_quantile((rank / count).clamp(0.0, 1.0));
    let (low, high) = ((count * quantile - reach).floor(), (count * quantile + reach).ceil() + 1.0);
    (low >= 1.0 && high <= count).then(|| [at(low), at(high)])
}

#[cfg(test)]
mod tests {
    use super::super::tally::histogram;
    use super::*;
    use crate::random::Random;

    fn of(values: impl IntoIterator<Item = u64>) -> Quantiles {
        let mut all = histogram();
        values.into_iter().for_each(|value| all.record(value).expect("it is in bounds"));
        Quantiles::of(&all)
    }

    #[test]
    fn figures_are_those_of_the_samples() {
        let found = of(1..=1000);
        assert_eq!((found.count, found.min, found.max, found.mean), (1000, 1, 1000, 500.5));
        assert_eq!((found.p50, found.p90, found.p95, found.p99), (Some(500), Some(900), Some(950), Some(990)));
        assert_eq!((found.p999, found.p9999), (None, None));
    }

    #[test]
    fn a_percentile_needs_ten_samples_beyond_it() {
        assert_eq!(of(1..=19).p50, None);
        assert_eq!(of(1..=20).p50, Some(10));
        assert_eq!(of(1..=999).p99, None);
        assert_eq!(of(1..=1000).p99, Some(990));
        assert_eq!(of(std::iter::repeat_n(7, 100_000)).p9999, Some(7));
    }

    #[test]
    fn nothing_measured_is_nothing_told() {
        assert_eq!(of([]), Quantiles::default());
    }

    #[test]
    fn an_interval_is_that_of_the_ranks() {
        // Of 1000 samples the ranks are 500 ± 31 and 990 ± 6.2.
        let found = of(1..=1000);
        assert_eq!(found.p50_interval, Some([469, 532]));
        assert_eq!(found.p99_interval, Some([983, 998]));
        assert_eq!(of(1..=999).p99_interval, None);
    }

    #[test]
    fn an_interval_holds_the_true_median_as_often_as_it_says() {
        let mut random = Random::new(1, "median");
        let holds = (0..1000).filter(|_| {
            let found = of((0..200).map(|_| 1 + random.below(1000)));
            let [low, high] = found.p50_interval.expect("there are enough");
            (low..=high).contains(&500)
        });
        let holds = holds.count();
        assert!((940..=985).contains(&holds), "{holds} of 1000");
    }
}
