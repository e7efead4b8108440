//! What a failure is like before it is reduced, and how a smaller case is believed: once where it fails each time, by a
//! sequential test where it does not.

/// How surely a flaky candidate has to be right: one wrong answer in so many.
const ODDS: f64 = 19.0;

/// The rarest failure that is told from none.
const RARE: f64 = 0.02;

/// The most replays of one candidate.
const CANDIDATE_REPLAYS_MAX: u32 = 60;

/// How a failure comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Repeats {
    /// Each time.
    Always,
    /// So often, from 0 to 1.
    Sometimes(f64),
    /// Never.
    Never,
}

/// Whether a candidate fails about as often as the case that it is made of: Wald's sequential test of two probabilities.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test {
    /// What a failure, and what a play that holds, says for it.
    failure: f64,
    success: f64,
    evidence: f64,
    replays: u32,
}

impl Test {
    /// Of a case that fails with probability `p`: is it at least half of that, or a tenth?
    pub(super) fn new(p: f64) -> Test {
        let (half, tenth) = ((p * 0.6).clamp(RARE, 0.95), (p * 0.06).max(RARE / 4.0));
        let failure = (half / tenth).ln();
        let success = ((1.0 - half) / (1.0 - tenth)).ln();
        Test { failure, success, evidence: 0.0, replays: 0 }
    }

    /// Takes in one replay; `Some` once it is decided.
    pub(super) fn replayed(&mut self, failed: bool) -> Option<bool> {
        self.replays += 1;
        self.evidence += if failed { self.failure } else { self.success };
        match self.evidence {
            evidence if evidence >= ODDS.ln() => Some(true),
            evidence if evidence <= -ODDS.ln() => Some(false),
            _ if self.replays >= CANDIDATE_REPLAYS_MAX => Some(false),
            _ => None,
        }
    }
}

/// The middle of what a probability may be after so many failures in so many replays (Laplace's rule), rounded to a hundredth.
pub(super) fn estimate(failures: u32, replays: u32) -> f64 {
    let p = (f64::from(failures) + 1.0) / (f64::from(replays) + 2.0);
    (p * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// How many of so many candidates that fail with probability `of` are taken, and how many replays that took each.
    fn taken(p: f64, of: f64) -> (u32, f64) {
        let mut random = Random::new(1, "triage");
        let (mut taken, mut replays) = (0, 0);
        for _ in 0..1_000 {
            let mut test = Test::new(p);
            loop {
                let failed = random.below(1_000_000) < (of * 1e6) as u64;
                replays += 1;
                if let Some(yes) = test.replayed(failed) {
                    taken += u32::from(yes);
                    break;
                }
            }
        }
        (taken, f64::from(replays) / 1_000.0)
    }

    #[test]
    fn what_fails_as_often_is_taken_and_what_does_not_fail_is_not() {
        for p in [0.2, 0.5, 0.8] {
            let (as_often, replays) = taken(p, p);
            assert!(as_often > 930, "{p}: {as_often}");
            assert!(replays < 25.0, "{p}: {replays}");
            assert_eq!(taken(p, 0.0).0, 0);
        }
    }

    #[test]
    fn an_estimate_is_never_certain() {
        assert_eq!((estimate(0, 3), estimate(10, 20), estimate(20, 20)), (0.2, 0.5, 0.95));
    }
}
