//! The clock of the hot path.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock, which never goes back.
///
/// It is asked twice a message; on Linux that is no system call.
#[inline]
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
