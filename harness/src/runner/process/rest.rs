//! Whether a target is at rest: all threads of all its processes asleep, as `/proc` tells it.
//!
//! Where a server reads a message, works and waits for the next one, this is how to know that it has done so without asking it,
//! and without a fixed sleep.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use nix::time::ClockId;
use nix::unistd::Pid;

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
}

/// One process.
#[derive(Debug)]
struct Member {
    pid: u32,
    /// How long its threads have run, all together; nothing where the system does not say.
    clock: Option<ClockId>,
    /// Its threads, the first one first.
    threads: Vec<Thread>,
    /// The one that was seen to work last: it is looked at before the others.
    last: usize,
    /// The folder of its threads: it has a link for each of them, and two more.
    tasks: Option<File>,
}

/// One thread, as files that tell its state.
#[derive(Debug)]
struct Thread {
    tid: u32,
    stat: File,
    /// What system call it is in, in half the time that its state takes to be told; nothing where that does not say whether it
    /// rests.
    call: Option<File>,
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
        let mut gone = true;
        for member in &mut self.family {
            match member.look() {
                Activity::Busy => return Activity::Busy,
                Activity::Asleep => gone = false,
                Activity::Gone => {}
            }
        }
        if gone { Activity::Gone } else { Activity::Asleep }
    }

    /// How long they have run since they were started; nothing where the system does not say. One call tells it of all threads of
    /// a process, and it does not stand still while one of them runs.
    pub fn ran(&self) -> Option<Duration> {
        let ran = |member: &Member| member.clock?.now().ok().map(Duration::from);
        self.family.iter().map(ran).sum()
    }

    /// Looks once. Whether they are asleep, and have run for longer than `then` but not while it was looked: then all of them slept at
    /// once.
    pub fn look_since(&mut self, then: Duration) -> (Activity, bool) {
        let before = self.ran();
        let state = self.look();
        let at_once = before.is_some_and(|before| before > then) && self.ran() == before;
        (state, state == Activity::Asleep && at_once)
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

impl Member {
    fn new(pid: u32) -> Member {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed())).ok();
        Member { pid, clock, threads: Vec::new(), last: 0, tasks: None }
    }

    /// How many threads it has.
    fn count(&self) -> Option<usize> {
        let links = rustix::fs::fstat(self.tasks.as_ref()?).ok()?.st_nlink;
        usize::try_from(links).ok()?.checked_sub(2)
    }

    fn look(&mut self) -> Activity {
        let mut lives = false;
        for fresh in [false, true] {
            if fresh || self.threads.is_empty() {
                self.list();
            }
            // Those that are known are looked at, and only when there are others the list is made anew.
            lives = false;
            let mut next = self.last.min(self.threads.len().saturating_sub(1));
            let mut seen = 0;
            while seen < self.threads.len() {
                let at = next;
                let Some(state) = self.threads[at].state() else {
                    // It has ended; another one may have its number by now.
                    self.threads.remove(at);
                    (next, seen) = (0, 0);
                    continue;
                };
                seen += 1;
                next = (at + 1) % self.threads.len();
                match state {
                    b'S' | b'I' | b'T' => lives = true,
                    // It has ended, and whoever started it has not yet asked how.
                    b'Z' | b'X' => {}
                    _ => {
                        self.last = at;
                        return Activity::Busy;
                    }
                }
            }
            if self.count().is_some_and(|there| there.min(THREADS_MAX) <= self.threads.len()) {
                break;
            }
        }
        if lives { Activity::Asleep } else { Activity::Gone }
    }

    fn list(&mut self) {
        let folder = format!("/proc/{}/task", self.pid);
        let Ok(tasks) = fs::read_dir(&folder) else { return self.threads.clear() };
        let number = |task: fs::DirEntry| task.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let mut tids: Vec<u32> = tasks.flatten().filter_map(number).take(THREADS_MAX).collect();
        tids.sort_unstable_by_key(|tid| (*tid != self.pid, *tid));
        if self.tasks.is_none() {
            self.tasks = File::open(&folder).ok();
        }
        // Most of them were there before, and are read where they were.
        let mut before = std::mem::take(&mut self.threads);
        for tid in tids {
            let known = before.iter().position(|other| other.tid == tid).map(|at| before.swap_remove(at));
            self.threads.extend(known.or_else(|| Thread::open(&folder, tid)));
        }
    }
}

impl Thread {
    fn open(folder: &str, tid: u32) -> Option<Thread> {
        let stat = File::open(format!("{folder}/{tid}/stat")).ok()?;
        let call = if IDLE.is_empty() { None } else { File::open(format!("{folder}/{tid}/syscall")).ok() };
        Some(Thread { tid, stat, call })
    }

    /// The letter of its state; nothing where it has ended and is forgotten.
    fn state(&mut self) -> Option<u8> {
        let mut buffer = [0; 512];
        if let Some(call) = &self.call {
            let len = call.read_at(&mut buffer, 0).unwrap_or(0);
            if buffer[..len].starts_with(b"running") {
                return Some(b'R');
            }
            if is_idle(&buffer[..len]) {
                return Some(b'S');
            }
        }
        let len = self.stat.read_at(&mut buffer, 0).ok()?;
        let state = state(&buffer[..len]);
        // It may rest in another call each time, and be asked twice each time.
        self.call.take_if(|_| state == b'S');
        Some(state)
    }
}

/// The system calls in which threads wait for something to do, and never for a disk: `nanosleep`, `pause`, `accept`, `recvfrom`,
/// `recvmsg`, `wait4`, `rt_sigtimedwait`, `rt_sigsuspend`, `futex`, `restart_syscall`, `clock_nanosleep`, `epoll_wait`, `waitid`,
/// `pselect6`, `ppoll`, `epoll_pwait`, `accept4`, `recvmmsg`, `io_uring_enter`, `epoll_pwait2`, `poll`, `select`.
#[cfg(target_arch = "x86_64")]
const IDLE: &[u32] =
    &[35, 34, 43, 45, 47, 61, 128, 130, 202, 219, 230, 232, 247, 270, 271, 281, 288, 299, 426, 441, 7, 23];

#[cfg(not(target_arch = "x86_64"))]
const IDLE: &[u32] = &[];

/// Whether what `/proc/PID/syscall` says is a call in which a thread waits for something to do.
fn is_idle(call: &[u8]) -> bool {
    let number = call.split(|byte| *byte == b' ').next().and_then(|number| str::from_utf8(number).ok()?.parse().ok());
    number.is_some_and(|number: u32| IDLE.contains(&number))
}

/// The state in a line of `/proc/PID/stat`: a letter after the name, which may hold anything.
fn state(stat: &[u8]) -> u8 {
    memchr::memrchr(b')', stat).and_then(|at| stat.get(at + 2)).copied().unwrap_or(b'X')
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
    #[cfg(target_arch = "x86_64")]
    fn who_waits_in_a_call_is_idle_and_who_reads_may_not_be() {
        assert!(is_idle(b"232 0x4 0x7ffd 0x400 0xffffffff 0x0 0x0 0x7ffd 0x7f00\n"));
        assert!(!is_idle(b"0 0x3 0x7ffd 0x400 0x0 0x0 0x0 0x7ffd 0x7f00\n"));
        assert!(!is_idle(b"running\n") && !is_idle(b"-1 0x7ffd 0x7f00\n") && !is_idle(b""));
    }

    #[test]
    fn a_folder_of_threads_has_a_link_for_each() {
        let count = |pid| {
            let mut member = Member::new(pid);
            member.list();
            member.count()
        };
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat");
        let alone = count(child.id());
        drop(child.stdin.take());
        child.wait().expect("it ends");
        assert_eq!(alone, Some(1));
        let together = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            (0..3).for_each(|_| _ = scope.spawn(|| together.wait()));
            // Other tests may have threads of their own meanwhile.
            assert!(count(std::process::id()) >= Some(4));
            together.wait();
        });
    }

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
