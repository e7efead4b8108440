//! How long before something is due a thread that sleeps has to be woken.
//!
//! A core that idles takes its time over that: some microseconds where it is one of a machine's own, tens where it is a virtual
//! machine's. Who spins for as long as the worst of them takes would use a whole core where none needs it, so it is learned.

/// Where it begins, in nanoseconds.
const SPIN: u64 = 50_000;

/// The least, and the most.
const SPIN_MIN: u64 = 5_000;
const SPIN_MAX: u64 = 200_000;

/// How far it goes down where it was long enough, and up where it was not: it comes to rest where one in 100 is later.
const DOWN: u64 = 20;
const UP: u64 = 99 * DOWN;

/// What is known of being woken.
#[derive(Debug)]
pub(super) struct Waking {
    spin: u64,
    /// When it is to happen, where the thread sleeps until then.
    until: Option<u64>,
}

impl Waking {
    pub(super) fn new() -> Waking {
        Waking { spin: SPIN, until: None }
    }

    /// For how many nanoseconds before something is due nobody is to sleep.
    pub(super) fn spin(&self) -> u64 {
        self.spin
    }

    /// The thread is about to sleep until then.
    pub(super) fn sleeps(&mut self, until: u64) {
        self.until = Some(until);
    }

    /// It is awake, at this time; `on_time` where nothing else has woken it.
    pub(super) fn woke(&mut self, on_time: bool, time: u64) {
        let Some(until) = self.until.take().filter(|_| on_time) else { return };
        let late = time.saturating_sub(until);
        self.spin = if late > self.spin { self.spin + UP } else { self.spin - DOWN }.clamp(SPIN_MIN, SPIN_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// What is learned of cores that take so long, and as long again at most.
    fn learned(late: u64) -> u64 {
        let mut random = Random::new(1, "waking");
        let mut waking = Waking::new();
        for _ in 0..20_000 {
            waking.sleeps(1_000_000);
            waking.woke(true, 1_000_000 + late + random.below(late));
        }
        waking.spin()
    }

    #[test]
    fn it_is_as_long_as_nearly_every_wake_up_takes() {
        for late in [10_000, 30_000, 60_000] {
            let spin = learned(late);
            assert!((late * 19 / 10..late * 2 + UP).contains(&spin), "{spin} for {late}");
        }
        assert_eq!(learned(1), SPIN_MIN);
        assert_eq!(learned(10_000_000), SPIN_MAX);
    }

    #[test]
    fn who_is_woken_by_something_else_learns_nothing() {
        let mut waking = Waking::new();
        waking.sleeps(1_000_000);
        waking.woke(false, 9_000_000);
        waking.woke(true, 9_000_000);
        assert_eq!(waking.spin(), SPIN);
    }
}
