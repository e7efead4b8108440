//! Points in time, as an argument and never as a question.
//!
//! The core asks no clock: whoever drives it says what time it is. A run's clock starts at zero, so
//! times are small, comparable over connections, and moved by hand in tests.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds since the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The beginning of the run.
    pub const ZERO: Time = Time(0);

    /// The time `nanoseconds` after the beginning of the run.
    pub const fn from_nanos(nanoseconds: u64) -> Time {
        Time(nanoseconds)
    }

    /// Nanoseconds since the beginning of the run.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, duration: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A duration as a person writes it: `250ms`, `1.5s`, `40us`.
pub fn show_duration(duration: Duration) -> String {
    /// Prints a duration in the unit that keeps it short.
    struct Short(Duration);
    impl fmt::Display for Short {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let nanos = self.0.as_nanos();
            let (unit, scale) = match nanos {
                0..1_000 => ("ns", 1),
                1_000..1_000_000 => ("us", 1_000),
                1_000_000..1_000_000_000 => ("ms", 1_000_000),
                _ => ("s", 1_000_000_000),
            };
            let (whole, rest) = (nanos / scale, nanos % scale * 100 / scale);
            match (whole, rest) {
                (_, 0) | (100.., _) => write!(f, "{whole}{unit}"),
                (_, rest) if rest % 10 == 0 => write!(f, "{whole}.{}{unit}", rest / 10),
                _ => write!(f, "{whole}.{rest:02}{unit}"),
            }
        }
    }
    Short(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_shown_in_the_unit_that_keeps_it_short() {
        for (nanos, shown) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_500, "1.5us"),
            (5_000_000, "5ms"),
            (250_000_000, "250ms"),
            (1_250_000_000, "1.25s"),
            (5_000_000_000, "5s"),
            (123_456_000_000, "123s"),
        ] {
            assert_eq!(show_duration(Duration::from_nanos(nanos)), shown);
        }
    }

    #[test]
    fn time_saturates_instead_of_wrapping() {
        assert_eq!(Time::ZERO - Duration::from_secs(1), Time::ZERO);
        assert_eq!(Time::from_nanos(u64::MAX) + Duration::MAX, Time::from_nanos(u64::MAX));
        assert_eq!(Time::from_nanos(1).since(Time::from_nanos(5)), Duration::ZERO);
    }
}
