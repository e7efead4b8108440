//! What a process and all that it has started use: memory, descriptors and threads, as `/proc` tells it.

use std::fs;
use std::time::Duration;

use nix::time::ClockId;
use nix::unistd::Pid;

use super::TICK;

/// How many processes of one target are counted.
const FAMILY_MAX: usize = 1_000;

/// What a family of processes uses together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub memory: u64,
    /// The most resident memory that each has ever had, added up, in bytes.
    pub memory_peak: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

/// What `root` and its descendants use. `None`: it has ended, or may not be looked at.
pub fn usage(root: u32) -> Option<Usage> {
    let mut whole = one(root)?;
    let mut family = children(root);
    let mut next = 0;
    while let Some(pid) = family.get(next).copied().filter(|_| next < FAMILY_MAX) {
        next += 1;
        // One that has ended meanwhile uses nothing.
        let Some(usage) = one(pid) else { continue };
        whole.memory += usage.memory;
        whole.memory_peak += usage.memory_peak;
        whole.descriptors += usage.descriptors;
        whole.threads += usage.threads;
        family.extend(children(pid));
    }
    Some(whole)
}

/// How much of a processor `root` and its descendants have used, those that have ended and were waited for included.
pub fn work(root: u32) -> Duration {
    super::family(&[root]).into_iter().map(|pid| work_of(pid).unwrap_or_default()).sum()
}

fn work_of(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name: user and system time of it, then of the children that it has waited for.
    let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11).take(4);
    let ticks: Vec<u32> = fields.filter_map(|field| field.parse().ok()).collect();
    let [user, system, of_children @ ..] = ticks.as_slice() else { return None };
    // A clock of the process is finer than its ticks.
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed())).ok().and_then(|clock| clock.now().ok());
    let own = clock.map_or(TICK * (user + system), Duration::from);
    Some(own + TICK * of_children.iter().sum::<u32>())
}

/// Forgets what the most memory was that `root` and its descendants have ever had. Whether the system has let it be done.
pub fn forget_peak(root: u32) -> bool {
    super::family(&[root]).into_iter().all(|pid| fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok())
}

fn one(pid: u32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    parse(&status, descriptors)
}

fn parse(status: &str, descriptors: u64) -> Option<Usage> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    // A process that has ended and was not waited for has no memory any more.
    let (memory, memory_peak) = (field("VmRSS")? * 1_024, field("VmHWM")? * 1_024);
    Some(Usage { memory, memory_peak, descriptors, threads: field("Threads")? })
}

/// The children of a process, those that any of its threads has begun. Empty where the kernel does not tell.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_some_of_each() {
        let usage = usage(std::process::id()).expect("it may look at itself");
        assert!(usage.memory > 100_000, "{usage:?}");
        assert!(usage.memory_peak >= usage.memory / 2, "{usage:?}");
        assert!(usage.descriptors >= 3, "{usage:?}");
        assert!(usage.threads >= 1, "{usage:?}");
    }

    #[test]
    fn work_is_counted() {
        let me = std::process::id();
        let before = work(me);
        while work(me) < before + Duration::from_millis(2) {}
        assert_eq!(work(u32::MAX), Duration::ZERO);
    }

    #[test]
    fn a_peak_is_forgotten() {
        let me = std::process::id();
        let peak = || usage(me).expect("it may look at itself").memory_peak;
        drop(std::hint::black_box(vec![1_u8; 64 << 20]));
        let before = peak();
        assert!(!forget_peak(me) || peak() < before, "{before}");
    }

    #[test]
    fn a_process_that_is_not_there_uses_nothing() {
        assert_eq!(usage(u32::MAX), None);
    }

    #[test]
    fn one_that_has_ended_has_no_memory() {
        assert_eq!(parse("Name:\tx\nState:\tZ (zombie)\nThreads:\t1\n", 0), None);
        let usage = parse("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nThreads:\t3\n", 7);
        let expected = Usage { memory: 1 << 20, memory_peak: 2 << 20, descriptors: 7, threads: 3 };
        assert_eq!(usage, Some(expected));
    }
}
