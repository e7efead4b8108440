//! Whether a target is at rest: all threads of all its processes asleep, as `/proc` tells it.
//!
//! Where a server reads a message, works and waits for the next one, this is how to know that it has done so without asking it,
//! and without a fixed sleep.

mod member;

use std::fs;
use std::time::Duration;

use member::{Member, Runnable};

/// The most threads that are looked at; of more, the first so many.
pub const THREADS_MAX: usize = 512;

/// How often the list of a target's processes is made anew, in looks, as long as it has never started another.
const FAMILY_EVERY: u32 = 64;

/// Pauses between two looks, doubling from the first to the second.
const LOOK_FIRST: Duration = Duration::from_micros(100);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A tick of a process's time, on every system that Rust's Linux targets have.
pub const TICK: Duration = Duration::from_millis(10);

/// How long is waited for who is given no processor.
const COME_WITHIN: Duration = Duration::from_secs(10);

/// The threads of a target.
#[derive(Debug, Default)]
pub struct Rest {
    roots: Vec<u32>,
    family: Vec<Member>,
    looks: u32,
    /// Whether it has ever started another process.
    forks: bool,
    runnable: Runnable,
}

/// What the threads were doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// All sleep.
    Asleep,
    /// Some runs, or waits for a disk.
    Busy,
    /// There is nobody.
    Gone,
}

/// What came of waiting for rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// They rest.
    Resting,
    /// There was too little of a processor for them to tell.
    Starved,
    /// They go on working.
    Working,
}

impl Rest {
    /// The threads of these processes and of those that they start.
    pub fn new(pids: Vec<u32>) -> Rest {
        Rest { roots: pids, ..Rest::default() }
    }

    /// How many threads there were when they were looked at last.
    pub fn threads(&self) -> usize {
        self.family.iter().map(|member| member.threads.len()).sum()
    }

    /// Whether they have ever been seen to start another process.
    pub fn forks(&self) -> bool {
        self.forks
    }

    /// Looks once.
    pub fn look(&mut self) -> Activity {
        self.look_through().0
    }

    /// How long they have run since they were started; nothing where the system does not say. One call tells it of all threads of
    /// a process, and it does not stand still while one of them runs.
    pub fn ran(&self) -> Option<Duration> {
        self.family.iter().map(Member::ran).sum()
    }

    /// Looks once. Whether they are asleep, and have run for longer than `then` but not while it was looked: then all of them slept at
    /// once.
    pub fn look_since(&mut self, then: Duration) -> (Activity, bool) {
        let before = self.ran().filter(|_| self.family.len() > 1);
        let (state, ran) = self.look_through();
        let ran = match self.family.len() {
            1 => ran,
            _ => before.filter(|before| self.ran() == Some(*before)),
        };
        (state, state == Activity::Asleep && ran.is_some_and(|ran| ran > then))
    }

    /// Looks at all of them; and how long the one looked at last has run, if it slept all the time.
    fn look_through(&mut self) -> (Activity, Option<Duration>) {
        if self.forks || self.looks.is_multiple_of(FAMILY_EVERY) {
            let pids = family(&self.roots);
            self.forks |= pids.len() > self.roots.len();
            self.family.retain(|member| pids.contains(&member.pid));
            for pid in pids {
                if !self.family.iter().any(|member| member.pid == pid) {
                    self.family.push(Member::new(pid));
                }
            }
        }
        self.looks = self.looks.wrapping_add(1);
        let mut whole = (Activity::Gone, None);
        for member in &mut self.family {
            let seen = member.look(&mut self.runnable);
            match seen.0 {
                Activity::Busy => return seen,
                Activity::Asleep => whole = seen,
                Activity::Gone => {}
            }
        }
        whole
    }

    /// Waits until they rest, or have used so much time of a processor without.
    ///
    /// It is their time that counts, and not the clock's: who is given no processor has done nothing.
    pub async fn come(&mut self, work: Duration) -> Came {
        let (mut asleep, mut pause, mut paused) = (0, LOOK_FIRST, Duration::ZERO);
        let before = self.ticks();
        loop {
            match self.look() {
                Activity::Busy => asleep = 0,
                Activity::Asleep | Activity::Gone => asleep += 1,
            }
            if asleep == 2 {
                return Came::Resting;
            }
            if asleep == 0 {
                if TICK * u32::try_from(self.ticks().saturating_sub(before)).unwrap_or(u32::MAX) >= work {
                    return Came::Working;
                }
                if paused >= COME_WITHIN {
                    return Came::Starved;
                }
                // No event tells that threads have come to rest.
                tokio::time::sleep(pause).await;
                paused += pause;
                pause = (pause * 2).min(LOOK_EVERY);
            } else {
                // What is on its way to them arrives meanwhile.
                tokio::task::yield_now().await;
            }
        }
    }

    /// How much time of a processor they have used, in ticks.
    pub fn ticks(&mut self) -> u64 {
        let pids = family(&self.roots);
        let ticks = |pid: &u32| {
            let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
            let text = String::from_utf8_lossy(&stat).into_owned();
            let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
            Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
        };
        pids.iter().filter_map(ticks).sum()
    }
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
    fn whoever_looks_is_busy() {
        assert_eq!(Rest::new(vec![std::process::id()]).look(), Activity::Busy);
    }

    #[test]
    fn nobody_is_gone() {
        assert_eq!(Rest::new(vec![u32::MAX - 1]).look(), Activity::Gone);
    }

    #[tokio::test]
    async fn who_works_without_end_is_not_waited_for() {
        let mut child = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell");
        let came = Rest::new(vec![child.id()]).come(2 * TICK).await;
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        assert_eq!(came, Came::Working);
    }

    #[tokio::test]
    async fn who_is_asked_is_waited_for_until_it_has_answered() {
        use std::io::{Read as _, Write as _};
        let piped = std::process::Stdio::piped;
        // It works for a while on each line.
        let script = "while read line; do i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done; echo $line; done";
        let mut command = std::process::Command::new("sh");
        let mut child = command.args(["-c", script]).stdin(piped()).stdout(piped()).spawn().expect("a shell");
        let mut rest = Rest::new(vec![child.id()]);
        let (mut to, mut from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        to.write_all(b"x\n").expect("it reads");
        let came = rest.come(Duration::from_secs(5)).await;
        let mut answer = [0; 2];
        let there = rustix::io::ioctl_fionread(&from).expect("a pipe");
        from.read_exact(&mut answer).expect("it answers");
        drop(to);
        child.wait().expect("it ends");
        assert_eq!((came, there), (Came::Resting, 2));
    }

    #[test]
    fn who_has_ended_and_was_not_asked_how_is_gone() {
        let mut child = std::process::Command::new("true").spawn().expect("a process");
        let mut rest = Rest::new(vec![child.id()]);
        while rest.look() == Activity::Busy {
            std::thread::yield_now();
        }
        let state = rest.look();
        child.wait().expect("it ends");
        assert_eq!(state, Activity::Gone);
    }

    #[test]
    fn who_has_answered_since_and_sleeps_is_done() {
        use std::io::{Read as _, Write as _};
        let piped = std::process::Stdio::piped;
        let mut child = std::process::Command::new("cat").stdin(piped()).stdout(piped()).spawn().expect("cat");
        let mut rest = Rest::new(vec![child.id()]);
        let (mut to, mut from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut ask = |rest: &mut Rest| {
            to.write_all(b"x\n").expect("it reads");
            from.read_exact(&mut [0; 2]).expect("it answers");
            while rest.look() != Activity::Asleep {
                std::thread::yield_now();
            }
        };
        ask(&mut rest);
        let then = rest.ran().expect("the system says how long it has run");
        let untold = rest.look_since(then);
        ask(&mut rest);
        let told = rest.look_since(then);
        drop(to);
        child.wait().expect("it ends");
        assert_eq!((untold, told), ((Activity::Asleep, false), (Activity::Asleep, true)));
    }

    #[test]
    fn a_process_that_waits_is_asleep() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat");
        let mut rest = Rest::new(vec![child.id()]);
        while rest.look() != Activity::Asleep {
            std::thread::yield_now();
        }
        drop(child.stdin.take());
        child.wait().expect("it ends");
    }
}
