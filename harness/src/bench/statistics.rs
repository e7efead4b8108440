//! Statistics that ask nothing of the shape of a distribution: medians, ranks and resampling.

use crate::random::Random;

/// How often samples are drawn anew for an interval.
const RESAMPLES: usize = 2000;

/// The most samples on both sides together for which ranks are counted out rather than approximated.
const EXACT_MAX: usize = 40;

/// The median; of an even number the middle between the two.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// An interval of the median that holds it with a confidence of 0 to 1, by the percentile bootstrap. The same seed gives the
/// same interval.
pub fn bootstrap_median(values: &[f64], confidence: f64, random: &mut Random) -> Option<[f64; 2]> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let len = sorted.len();
    let mut drawn = vec![0_usize; len];
    let mut resample = || {
        drawn.fill(0);
        (0..len).for_each(|_| drawn[random.below(len as u64) as usize] += 1);
        // How often each was drawn, in their order, has the middle without another sorting.
        let mut below = 0;
        let (mut low, mut high) = (None, None);
        for (value, times) in sorted.iter().zip(&drawn) {
            below += times;
            low = low.or_else(|| (below > (len - 1) / 2).then_some(value));
            high = high.or_else(|| (below > len / 2).then_some(value));
        }
        Some((low? + high?) / 2.0)
    };
    let mut medians: Vec<f64> = (0..RESAMPLES).map(|_| resample()).collect::<Option<_>>()?;
    medians.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| medians[((RESAMPLES - 1) as f64 * share).round() as usize];
    let beyond = (1.0 - confidence) / 2.0;
    Some([at(beyond), at(1.0 - beyond)])
}

/// What a comparison of ranks gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranks {
    /// How often a sample of the first side is above one of the second; half for each that is equal.
    pub u: f64,
    /// How probable a difference at least as large is where there is none, looking to both sides.
    pub p_value: f64,
}

impl Ranks {
    /// How probable it is that a sample of the second side is above one of the first, counting equal ones half.
    pub fn superiority(&self, first: u64, second: u64) -> f64 {
        1.0 - self.u / (first as f64 * second as f64)
    }
}

/// The test of Mann, Whitney and Wilcoxon: exact for few samples that all differ, else by the normal approximation with
/// corrections for ties and continuity. `None` with an empty side.
pub fn mann_whitney(first: &[f64], second: &[f64]) -> Option<Ranks> {
    let mut all: Vec<(f64, u64, u64)> = first.iter().map(|value| (*value, 1, 0)).collect();
    all.extend(second.iter().map(|value| (*value, 0, 1)));
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut groups: Vec<(f64, u64, u64)> = Vec::new();
    for (value, one, other) in all {
        match groups.last_mut() {
            Some((last, first, second)) if *last == value => (*first, *second) = (*first + one, *second + other),
            _ => groups.push((value, one, other)),
        }
    }
    let has_ties = groups.len() < first.len() + second.len();
    let counts = groups.iter().map(|(_, first, second)| (*first, *second));
    let ranks = mann_whitney_grouped(counts)?;
    if has_ties || first.len() + second.len() > EXACT_MAX {
        return Some(ranks);
    }
    Some(Ranks { p_value: exact(ranks.u as usize, first.len(), second.len()), ..ranks })
}

/// The same of samples that were counted by value, in the order of the values: how many each side has of each.
pub fn mann_whitney_grouped(groups: impl IntoIterator<Item = (u64, u64)>) -> Option<Ranks> {
    let (mut first, mut second) = (0.0, 0.0);
    let (mut u, mut ties) = (0.0, 0.0);
    for (one, other) in groups {
        let (one, other) = (one as f64, other as f64);
        u += one * (second + other / 2.0);
        let same = one + other;
        ties += same * (same * same - 1.0);
        first += one;
        second += other;
    }
    if first == 0.0 || second == 0.0 {
        return None;
    }
    let all: f64 = first + second;
    let variance = first * second / 12.0 * ((all + 1.0) - ties / (all * (all - 1.0)));
    let away = ((u - first * second / 2.0).abs() - 0.5).max(0.0);
    // Where all samples are equal nothing can be told.
    let p_value = if variance > 0.0 { (2.0 * upper_tail(away / variance.sqrt())).min(1.0) } else { 1.0 };
    Some(Ranks { u, p_value })
}

/// The probability of a `u` at least as far from the middle, by counting all orders of so many samples.
fn exact(u: usize, first: usize, second: usize) -> f64 {
    // ways[n][u]: so many of the first side and all of the second give `u`; built up one sample of the second at a time.
    let most = first * second;
    let mut ways = vec![vec![0.0_f64; most + 1]; first + 1];
    ways.iter_mut().for_each(|ways| ways[0] = 1.0);
    for others in 1..=second {
        for some in 1..=first {
            let (before, after) = ways.split_at_mut(some);
            let (less, same) = (&before[some - 1], &mut after[0]);
            // The largest of all is one of the first side, above all the others, or it is one of the second.
            for u in (0..=most).rev() {
                let above = if u >= others { less[u - others] } else { 0.0 };
                same[u] += above;
            }
        }
    }
    let ways = &ways[first];
    let all: f64 = ways.iter().sum();
    let low = u.min(most - u);
    let tail: f64 = ways[..=low].iter().sum();
    (2.0 * tail / all).min(1.0)
}

/// How probable it is that a normally distributed number is above `z`, for `z` from 0 on; wrong by 8e-8 at most.
fn upper_tail(z: f64) -> f64 {
    // Abramowitz and Stegun, 26.2.17.
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let coefficients = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let sum = coefficients.iter().rev().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_normal_tail_is_that_of_the_tables() {
        for (z, tail) in [(0.0, 0.5), (1.0, 0.158_655_3), (1.959_964, 0.025), (3.0, 0.001_349_9)] {
            assert!((upper_tail(z) - tail).abs() < 1e-7, "{z}: {}", upper_tail(z));
        }
    }

    /// Every way to choose the first side from all samples, and how many of them are as far from the middle as this one.
    fn by_enumeration(first: &[f64], second: &[f64]) -> f64 {
        let all: Vec<f64> = first.iter().chain(second).copied().collect();
        let u = |chosen: u32| {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            for (at, value) in all.iter().enumerate() {
                if chosen >> at & 1 == 1 { one.push(*value) } else { other.push(*value) }
            }
            one.iter().flat_map(|a| other.iter().map(move |b| a > b)).filter(|above| *above).count() as f64
        };
        let middle = (first.len() * second.len()) as f64 / 2.0;
        let own = (u((1 << first.len()) - 1) - middle).abs();
        let ways: Vec<u32> =
            (0..1_u32 << all.len()).filter(|chosen| chosen.count_ones() as usize == first.len()).collect();
        ways.iter().filter(|chosen| (u(**chosen) - middle).abs() >= own).count() as f64 / ways.len() as f64
    }

    #[test]
    fn ranks_of_few_samples_are_counted_out() {
        // 2/70, 2/20 and 1: the tables of Mann and Whitney.
        let p = |first: &[f64], second: &[f64]| mann_whitney(first, second).expect("both have some").p_value;
        assert!((p(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0]) - 2.0 / 70.0).abs() < 1e-12);
        assert!((p(&[4.0, 5.0, 6.0], &[1.0, 2.0, 3.0]) - 0.1).abs() < 1e-12);
        assert_eq!(p(&[1.0, 4.0], &[2.0, 3.0]), 1.0);
    }

    #[test]
    fn ranks_are_those_of_another_implementation() {
        // scipy 1.17, `mannwhitneyu` with method "asymptotic" and "exact".
        let check = |first: &[f64], second: &[f64], u: f64, p_value: f64| {
            let ranks = mann_whitney(first, second).expect("both have some");
            assert_eq!(ranks.u, u);
            assert!((ranks.p_value - p_value).abs() < 3e-7, "{ranks:?}");
        };
        check(&[1.0, 2.0, 2.0, 3.0, 4.0], &[2.0, 3.0, 4.0, 5.0, 5.0, 6.0], 5.0, 0.077_946_914_6);
        let (first, second) = ([1.0, 2.0, 3.0, 4.0, 9.5, 7.0], [5.0, 6.0, 7.5, 8.0, 10.0, 11.0, 12.0]);
        check(&first, &second, 6.0, 0.034_965_035_0);
        let first: Vec<f64> = (0..30).map(f64::from).collect();
        let second: Vec<f64> = (5..40).map(|value| f64::from(value) + 0.5).collect();
        check(&first, &second, 300.0, 0.003_134_776_2);
        assert!((Ranks { u: 5.0, p_value: 0.0 }.superiority(5, 6) - 25.0 / 30.0).abs() < 1e-12);
    }

    #[test]
    fn equal_samples_and_missing_ones_say_nothing() {
        assert_eq!(mann_whitney(&[1.0; 9], &[1.0; 9]).map(|ranks| ranks.p_value), Some(1.0));
        assert_eq!(mann_whitney(&[], &[1.0]), None);
        assert_eq!(bootstrap_median(&[], 0.95, &mut Random::new(1, "none")), None);
    }

    #[test]
    fn a_bootstrap_interval_is_that_of_the_order_statistics() {
        // The median of 25 samples lies between the 8th and the 18th with 95.7 %.
        let values: Vec<f64> = (1..=25).map(f64::from).collect();
        let [low, high] = bootstrap_median(&values, 0.95, &mut Random::new(1, "median")).expect("there are some");
        assert!((7.0..=9.0).contains(&low) && (17.0..=19.0).contains(&high), "{low} {high}");
        assert_eq!(bootstrap_median(&values, 0.95, &mut Random::new(1, "median")), Some([low, high]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn exact_ranks_are_those_of_an_enumeration(
            order in Just((0..8).map(f64::from).collect::<Vec<_>>()).prop_shuffle(), first in 1_usize..8,
        ) {
            let (first, second) = order.split_at(first);
            let found = mann_whitney(first, second).expect("both have some").p_value;
            prop_assert!((found - by_enumeration(first, second)).abs() < 1e-9);
        }

        #[test]
        fn the_sides_may_be_exchanged(
            first in prop::collection::vec(0_u8..20, 1..40), second in prop::collection::vec(0_u8..20, 1..40),
        ) {
            let [first, second] = [first, second].map(|side| side.into_iter().map(f64::from).collect::<Vec<_>>());
            let one = mann_whitney(&first, &second).expect("both have some");
            let other = mann_whitney(&second, &first).expect("both have some");
            prop_assert_eq!(one.u + other.u, (first.len() * second.len()) as f64);
            prop_assert!((one.p_value - other.p_value).abs() < 1e-9);
        }

        #[test]
        fn an_interval_encloses_its_median(values in prop::collection::vec(-1e6_f64..1e6, 1..60), seed: u64) {
            let [low, high] = bootstrap_median(&values, 0.95, &mut Random::new(seed, "median")).expect("there are some");
            let middle = median(&values).expect("there are some");
            prop_assert!(low <= middle && middle <= high);
        }
    }
}
