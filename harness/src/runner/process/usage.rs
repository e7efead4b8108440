//! What a process and all that it has started use: memory, descriptors and threads, as `/proc` tells it.

use std::fs;

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
