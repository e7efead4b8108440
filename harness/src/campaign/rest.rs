//! Whether a target is at rest: all threads of all its processes asleep, as `/proc` tells it.
//!
//! Where a server reads a message, works and waits for the next one, this is how to know that it has done so without asking it,
//! and without a fixed sleep.

#![expect(clippy::disallowed_methods, reason = "what the kernel tells of processes is read here")]

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

/// The most threads that are looked at; of more, the first so many.
pub const THREADS_MAX: usize = 512;

/// How often the list of a target's processes is made anew, in looks, as long as it has never started another.
const FAMILY_EVERY: u32 = 16;

/// The threads of a target.
#[derive(Debug, Default)]
pub struct Rest {
    pids: Vec<u32>,
    family: Vec<u32>,
    stats: HashMap<(u32, u32), File>,
    looks: u32,
    /// Whether it has ever started another process.
    forks: bool,
}

/// What the threads were doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All sleep.
    Asleep,
    /// Some runs, or waits for a disk.
    Busy,
    /// There is nobody.
    Gone,
}

impl Rest {
    /// The threads of these processes and of those that they start.
    pub fn new(pids: Vec<u32>) -> Rest {
        Rest { family: pids.clone(), pids, ..Rest::default() }
    }

    /// Looks once.
    pub fn look(&mut self) -> State {
        if self.forks || self.looks.is_multiple_of(FAMILY_EVERY) {
            self.family = family(&self.pids);
            self.forks |= self.family.len() > self.pids.len();
            if self.stats.len() > THREADS_MAX {
                self.stats.clear();
            }
        }
        self.looks = self.looks.wrapping_add(1);
        let mut seen = 0;
        let mut buffer = [0; 256];
        for pid in self.family.clone() {
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for task in tasks.flatten().take(THREADS_MAX) {
                let Some(tid) = task.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
                let file = match self.stats.entry((pid, tid)) {
                    std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::hash_map::Entry::Vacant(entry) => {
                        let Ok(file) = File::open(format!("/proc/{pid}/task/{tid}/stat")) else { continue };
                        entry.insert(file)
                    }
                };
                let Ok(len) = file.read_at(&mut buffer, 0) else {
                    // The thread has ended, and its number may belong to another by now.
                    self.stats.remove(&(pid, tid));
                    continue;
                };
                seen += 1;
                match state(&buffer[..len]) {
                    b'S' | b'I' | b'T' | b't' | b'Z' | b'X' => {}
                    _ => return State::Busy,
                }
            }
        }
        if seen == 0 { State::Gone } else { State::Asleep }
    }

    /// How much time of a processor they have used, in ticks.
    pub fn ticks(&mut self) -> u64 {
        self.family = family(&self.pids);
        let ticks = |pid: &u32| {
            let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
            let text = String::from_utf8_lossy(&stat).into_owned();
            let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
            Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
        };
        self.family.iter().filter_map(ticks).sum()
    }
}

/// The state in a line of `/proc/PID/stat`: a letter after the name, which may hold anything.
fn state(stat: &[u8]) -> u8 {
    stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2)).copied().unwrap_or(b'X')
}

/// Processes and all that they have started and not yet waited for.
pub fn family(roots: &[u32]) -> Vec<u32> {
    let mut family = roots.to_vec();
    let mut next = 0;
    while let Some(pid) = family.get(next).copied().filter(|_| next < THREADS_MAX) {
        next += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten().take(THREADS_MAX) {
            let Ok(children) = fs::read_to_string(task.path().join("children")) else { continue };
            family.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_stands_after_the_name() {
        assert_eq!(state(b"7 (a) b) (c) S 1 7"), b'S');
        assert_eq!(state(b"7 (x) R 1"), b'R');
        assert_eq!(state(b""), b'X');
    }

    #[test]
    fn whoever_looks_is_busy() {
        assert_eq!(Rest::new(vec![std::process::id()]).look(), State::Busy);
    }

    #[test]
    fn nobody_is_gone() {
        assert_eq!(Rest::new(vec![u32::MAX - 1]).look(), State::Gone);
    }

    #[test]
    fn a_process_that_waits_is_asleep() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat");
        let mut rest = Rest::new(vec![child.id()]);
        while rest.look() != State::Asleep {
            std::thread::yield_now();
        }
        drop(child.stdin.take());
        child.wait().expect("it ends");
    }
}
