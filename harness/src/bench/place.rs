//! Where things run: cores for threads and for the processes that they start.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process may use, in their order.
pub fn cores() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// Keeps this thread, and whatever it starts, on one core. Where the system refuses, it stays where it is.
pub fn pin_thread(core: usize) -> bool {
    pin_to(&[core])
}

/// Keeps this thread, and whatever it starts, on some cores.
pub fn pin_to(cores: &[usize]) -> bool {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set).is_ok()
}
