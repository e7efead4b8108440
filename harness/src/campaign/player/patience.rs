//! How long an answer is waited for once the target rests: not at all, unless it is known to come from somebody who waits.
//!
//! A server may answer by a timer of its own. Where that answer stays away, because what was asked for it was spoilt, each wait is
//! in vain, and longer than anything else that a case takes: after a few of them it is waited for now and then only.

use std::time::Duration;

/// The least that is waited for a target that has been seen to rest before it answered.
const LATE_MIN: Duration = Duration::from_millis(1);

/// The longest that an answer is waited for where it is known to take its time.
pub const LATE_MAX: Duration = Duration::from_millis(400);

/// How often an answer may stay away before it is waited for less; as often again for each time that it came.
const VAIN_MAX: u32 = 4;

/// Of how many times after that it is waited for once.
const AGAIN_EVERY: u32 = 32;

/// The patience with one answer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    longest: Duration,
    came: u32,
    vain: u32,
}

impl Patience {
    /// The patience with an answer that came so long after the target had come to rest.
    pub fn of(late: Duration) -> Patience {
        let longest = if late.is_zero() { late } else { (late * 4).clamp(LATE_MIN, LATE_MAX) };
        Patience { longest, came: 0, vain: 0 }
    }

    /// How long it is waited for this time.
    pub fn within(&self) -> Duration {
        let is_tired = self.vain > VAIN_MAX.saturating_add(self.came.saturating_mul(VAIN_MAX));
        if is_tired && !self.vain.is_multiple_of(AGAIN_EVERY) { Duration::ZERO } else { self.longest }
    }

    /// Notes whether it came.
    pub fn note(&mut self, came: bool) {
        let count = if came { &mut self.came } else { &mut self.vain };
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_at_once_is_not_waited_for() {
        assert_eq!(Patience::of(Duration::ZERO).within(), Duration::ZERO);
    }

    #[test]
    fn what_stays_away_is_waited_for_now_and_then() {
        let mut patience = Patience::of(Duration::from_millis(50));
        let mut waits = 0;
        for _ in 0..320 {
            waits += u32::from(!patience.within().is_zero());
            patience.note(false);
        }
        assert_eq!(waits, VAIN_MAX + 1 + 9);
    }

    #[test]
    fn what_comes_is_waited_for_each_time() {
        let mut patience = Patience::of(Duration::from_millis(50));
        for at in 0..100 {
            patience.note(at % 2 == 0);
            assert_eq!(patience.within(), Duration::from_millis(200));
        }
    }
}
