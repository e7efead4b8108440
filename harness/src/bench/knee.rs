//! The knee of a sweep: the last rate before waiting takes over.

use super::outcome::Outcome;

/// How many times the lowest 99th percentile of the sweep is too much.
pub const KNEE_RATIO: u64 = 2;

/// Which of several results, by rising rates, is the last before the 99th percentile is more than twice the lowest, or the
/// rate is not reached any more. `None` where that never happens, or from the beginning.
///
/// Rates below the one with the lowest percentile do not count: with little to do, cores fall asleep, and waking takes long.
pub fn knee(outcomes: &[Outcome]) -> Option<usize> {
    let keeps_up = |outcome: &Outcome| outcome.valid && outcome.failed == 0;
    let p99 = |at: &usize| outcomes[*at].latency_ns.p99;
    let lowest = (0..outcomes.len()).filter(|at| keeps_up(&outcomes[*at]) && p99(at).is_some()).min_by_key(p99)?;
    let most = p99(&lowest)?.saturating_mul(KNEE_RATIO);
    let is_too_much = |at: &usize| !keeps_up(&outcomes[*at]) || p99(at).is_none_or(|p99| p99 > most);
    let first = (lowest..outcomes.len()).find(is_too_much)?;
    Some(first - 1)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::sweep;
    use super::*;

    #[track_caller]
    fn check(p99s: &[u64], expected: Option<usize>) {
        assert_eq!(knee(&sweep(p99s)), expected, "{p99s:?}");
    }

    #[test]
    fn the_knee_is_the_last_rate_before_the_tail_doubles() {
        check(&[67, 68, 72, 107, 431, 501], Some(3));
        check(&[67, 68, 72], None);
        check(&[], None);
    }

    #[test]
    fn cores_that_fall_asleep_make_no_knee() {
        check(&[150, 90, 60, 61, 130], Some(3));
        check(&[150, 90, 60], None);
    }

    #[test]
    fn a_rate_that_is_not_reached_ends_the_climb() {
        let mut outcomes = sweep(&[67, 68, 69, 70]);
        outcomes[2].valid = false;
        assert_eq!(knee(&outcomes), Some(1));
        outcomes[2].valid = true;
        outcomes[3].failed = 1;
        assert_eq!(knee(&outcomes), Some(2));
        outcomes.iter_mut().for_each(|outcome| outcome.valid = false);
        assert_eq!(knee(&outcomes), None);
    }
}
