//! The run's clock: the one place where the core's time comes from.

use std::time::{Duration, Instant, SystemTime};

use crate::time::Time;

/// A clock that began at zero.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    unix_ns: u64,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Clock {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Clock { started: Instant::now(), unix_ns: u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX) }
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    /// Nanoseconds since 1970 (UTC) when it began.
    pub fn unix_ns(&self) -> u64 {
        self.unix_ns
    }

    /// The moment of `time` for tokio's timers.
    pub(super) fn instant(&self, time: Time) -> tokio::time::Instant {
        (self.started + time.since(Time::ZERO)).into()
    }
}
