//! One process of a target, and whether its threads sleep.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use nix::time::ClockId;
use nix::unistd::Pid;
use rustix::thread::sched_getaffinity;

use super::{Activity, THREADS_MAX};

/// For how many looks something is left out at most that was of no use.
const SPARED_MAX: u32 = 63;

/// One process.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) pid: u32,
    /// How long its threads have run, all together; nothing where the system does not say.
    clock: Option<ClockId>,
    /// Its threads, the first one first.
    pub(super) threads: Vec<Thread>,
    /// The one that was seen to work last: it is looked at before the others.
    last: usize,
    /// The folder of its threads: it has a link for each of them, and two more.
    tasks: Option<File>,
    /// How long all threads but the last had run when all were seen asleep at once.
    others: Option<Duration>,
    /// The newest thread by then.
    newest: u32,
    /// Whether it is worth finding out.
    guess: Sparing,
}

/// One thread, as files that tell its state: each is opened when it is needed first.
#[derive(Debug)]
pub(super) struct Thread {
    pid: u32,
    tid: u32,
    stat: Option<File>,
    /// Whether it is on the only processor that we are on, and so on no other.
    is_beside_us: bool,
    /// What system call it is in, in half the time that its state takes to be told; nothing where that does not say whether it
    /// rests. Of a thread that is being woken on another processor it says that it sleeps.
    call: Option<File>,
    /// How long it has run.
    sched: Option<File>,
    /// How long it had when all were seen asleep.
    ran: Duration,
}

/// How many threads of the whole system want a processor.
#[derive(Debug)]
pub(super) struct Runnable {
    load: Option<File>,
    /// Whether it is worth asking.
    ask: Sparing,
}

/// Something that is left out for a while where it was of no use, each time for twice as long.
#[derive(Debug, Default)]
struct Sparing {
    left: u32,
    next: u32,
}

impl Member {
    pub(super) fn new(pid: u32) -> Member {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed())).ok();
        let guess = Sparing::default();
        Member { pid, clock, threads: Vec::new(), last: 0, tasks: None, others: None, newest: 0, guess }
    }

    /// How long it has run.
    pub(super) fn ran(&self) -> Option<Duration> {
        self.clock?.now().ok().map(Duration::from)
    }

    /// How long all threads but the last have run, where all together have for `ran`.
    fn without_last(&mut self, ran: Duration) -> Option<Duration> {
        ran.checked_sub(self.threads.get_mut(self.last)?.ran()?)
    }

    /// Looks once; and how long it has run, if it slept all the time.
    pub(super) fn look(&mut self, runnable: &mut Runnable) -> (Activity, Option<Duration>) {
        let before = self.ran();
        let quick = before.and_then(|ran| self.look_at_last(ran, runnable));
        let state = quick.unwrap_or_else(|| self.look_at_all());
        let slept =
            before.filter(|before| state == Activity::Asleep && (quick.is_some() || self.ran() == Some(*before)));
        if let Some(ran) = slept.filter(|_| self.threads.len() > 1 && self.others.is_none())
            && self.threads.iter().all(|thread| thread.is_beside_us)
            && self.guess.is_due()
        {
            self.guess.note(false);
            self.last = self.likely();
            self.others = self.without_last(ran).filter(|_| self.ran() == slept);
        }
        (state, slept)
    }

    /// Who is likely to work next: the newest, once, as a connection may have a thread of its own; else who has worked most of late.
    fn likely(&mut self) -> usize {
        let newest = self.threads.iter().map(|thread| thread.tid).max().unwrap_or_default();
        let is_new = std::mem::replace(&mut self.newest, newest) != newest;
        let at = match is_new {
            true => self.threads.iter().position(|thread| thread.tid == newest),
            false => (0..self.threads.len()).max_by_key(|at| self.threads[*at].ran_since()),
        };
        at.unwrap_or(0)
    }

    /// Looks at one thread where that is enough: all slept, none of the others has run since, and nobody in the system but us wants a
    /// processor, as who has been woken beside us does. So it takes as long with a hundred threads as with two.
    fn look_at_last(&mut self, ran: Duration, runnable: &mut Runnable) -> Option<Activity> {
        let others = self.others?;
        if self.without_last(ran) != Some(others) {
            self.others = None;
            return None;
        }
        match self.threads[self.last].state()? {
            b'S' | b'I' if runnable.are_we_alone() && self.ran() == Some(ran) => {
                self.guess.note(true);
                Some(Activity::Asleep)
            }
            b'R' | b'D' => Some(Activity::Busy),
            _ => None,
        }
    }

    /// How many threads it has.
    fn count(&self) -> Option<usize> {
        let links = rustix::fs::fstat(self.tasks.as_ref()?).ok()?.st_nlink;
        usize::try_from(links).ok()?.checked_sub(2)
    }

    fn look_at_all(&mut self) -> Activity {
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
            self.threads.push(known.unwrap_or_else(|| Thread::open(self.pid, tid)));
        }
    }
}

impl Thread {
    fn open(pid: u32, tid: u32) -> Thread {
        let is_beside_us = is_beside_us(tid);
        let mut thread = Thread { pid, tid, stat: None, is_beside_us, call: None, sched: None, ran: Duration::ZERO };
        thread.call = if is_beside_us && !IDLE.is_empty() { thread.file("syscall") } else { None };
        thread
    }

    fn file(&self, name: &str) -> Option<File> {
        File::open(format!("/proc/{}/task/{}/{name}", self.pid, self.tid)).ok()
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
        self.stat = self.stat.take().or_else(|| self.file("stat"));
        let len = self.stat.as_ref()?.read_at(&mut buffer, 0).ok()?;
        let state = state(&buffer[..len]);
        // It may rest in another call each time, and be asked twice each time.
        self.call.take_if(|_| state == b'S');
        Some(state)
    }

    /// How long it has run: of one that sleeps, it is what its process counts for it.
    fn ran(&mut self) -> Option<Duration> {
        self.sched = self.sched.take().or_else(|| self.file("schedstat"));
        let mut buffer = [0; 64];
        let len = self.sched.as_ref()?.read_at(&mut buffer, 0).ok()?;
        let ran = str::from_utf8(buffer[..len].split(|byte| *byte == b' ').next()?).ok()?;
        Some(Duration::from_nanos(ran.parse().ok()?))
    }

    /// How long it has run since this was asked last.
    fn ran_since(&mut self) -> Duration {
        let ran = self.ran().unwrap_or_default();
        // It is asked of all threads of a process now and then, and then of one of them.
        self.sched = None;
        ran.saturating_sub(std::mem::replace(&mut self.ran, ran))
    }
}

/// Whether a thread may run on one processor only, the one that we may run on. There it either runs, and we do not, or it sleeps, or
/// it waits for us; on another one it may be any of these a moment later.
fn is_beside_us(tid: u32) -> bool {
    let only = |thread| sched_getaffinity(thread).ok().filter(|set| set.count() == 1);
    let own = only(None);
    own.is_some() && own == only(rustix::process::Pid::from_raw(tid.cast_signed()))
}

impl Default for Runnable {
    fn default() -> Runnable {
        // In a container it may be somebody's who counts now and then.
        let is_kernels =
            |load: &File| rustix::fs::fstatfs(load).is_ok_and(|of| of.f_type == rustix::fs::PROC_SUPER_MAGIC);
        let load = File::open("/proc/loadavg").ok().filter(is_kernels);
        Runnable { load, ask: Sparing::default() }
    }
}

impl Runnable {
    /// Whether we are the only thread that wants a processor, as far as that is known.
    fn are_we_alone(&mut self) -> bool {
        let Some(load) = self.load.as_ref().filter(|_| self.ask.is_due()) else { return false };
        let mut buffer = [0; 64];
        let len = load.read_at(&mut buffer, 0).unwrap_or(0);
        let runnable =
            buffer[..len].split(|byte| *byte == b' ').nth(3).and_then(|of| of.split(|byte| *byte == b'/').next());
        let alone = runnable == Some(b"1");
        self.ask.note(alone);
        alone
    }
}

impl Sparing {
    /// Whether it is to be tried now.
    fn is_due(&mut self) -> bool {
        let due = self.left == 0;
        self.left = self.left.saturating_sub(1);
        due
    }

    /// Notes whether it was of use.
    fn note(&mut self, helped: bool) {
        match helped {
            true => *self = Sparing::default(),
            false => (self.left, self.next) = (self.next, (self.next * 2 + 1).min(SPARED_MAX)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

    /// Set for the process that a test starts of itself, to have one with threads.
    const CHILD: &str = "HARNESS_TEST_WITH_THREADS";

    const THREADS: usize = 8;

    /// Hands each line of its input, which is a number, to the thread of that number, which works a while and says `.`.
    fn hand_over() {
        let (ready, are_ready) = std::sync::mpsc::channel();
        let threads = (0..THREADS).map(|_| {
            let (give, take) = std::sync::mpsc::channel::<u64>();
            let ready = ready.clone();
            std::thread::spawn(move || {
                let _ = ready.send(());
                for work in take {
                    std::hint::black_box((0..work).map(std::hint::black_box).sum::<u64>());
                    std::io::stdout().write_all(b".").and_then(|()| std::io::stdout().flush()).expect("somebody reads");
                }
            });
            give
        });
        let threads: Vec<_> = threads.collect();
        are_ready.iter().take(THREADS).for_each(drop);
        std::io::stdout().write_all(b"ready\n").expect("somebody reads");
        for line in std::io::stdin().lines() {
            let number: usize = line.expect("a line").parse().expect("a number");
            threads[number % THREADS].send(20_000).expect("it waits");
        }
    }

    /// A process that does so, with what it reads and writes, once all its threads are there.
    fn with_threads(test: &str) -> (Child, ChildStdin, ChildStdout) {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let test = format!("runner::process::rest::member::tests::{test}");
        command.args(["--exact", &test, "--nocapture"]).env(CHILD, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let (to, mut from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut read = Vec::new();
        while !read.ends_with(b"ready\n") {
            let mut byte = [0];
            from.read_exact(&mut byte).expect("it is ready");
            read.push(byte[0]);
        }
        (child, to, from)
    }

    /// Puts this thread, and what it starts, on one processor.
    fn on_one_processor() {
        let mut own = rustix::thread::CpuSet::new();
        own.set(rustix::thread::sched_getcpu());
        rustix::thread::sched_setaffinity(None, &own).expect("it is one of ours");
    }

    #[test]
    fn who_is_told_something_rests_when_it_is_done() {
        if std::env::var_os(CHILD).is_some() {
            return hand_over();
        }
        rests_when_it_is_done("who_is_told_something_rests_when_it_is_done");
    }

    #[test]
    fn who_is_told_something_beside_us_rests_when_it_is_done() {
        if std::env::var_os(CHILD).is_some() {
            return hand_over();
        }
        on_one_processor();
        rests_when_it_is_done("who_is_told_something_beside_us_rests_when_it_is_done");
    }

    fn rests_when_it_is_done(test: &str) {
        let (mut child, mut to, mut from) = with_threads(test);
        let mut member = Member::new(child.id());
        let mut runnable = Runnable::default();
        while member.look(&mut runnable).0 != Activity::Asleep {}
        for round in 0..400_usize {
            let then = member.ran().expect("the system says how long it has run");
            // The same thread a few times, and then one that has slept all along.
            writeln!(to, "{}", round / 5).expect("it reads");
            while !matches!(member.look(&mut runnable), (Activity::Asleep, Some(ran)) if ran > then) {}
            assert_eq!(rustix::io::ioctl_fionread(&from).expect("a pipe"), 1, "in round {round}");
            from.read_exact(&mut [0]).expect("it answers");
        }
        drop(to);
        child.wait().expect("it ends");
    }

    #[test]
    fn of_many_threads_one_is_looked_at() {
        if std::env::var_os(CHILD).is_some() {
            return hand_over();
        }
        on_one_processor();
        let (mut child, mut to, mut from) = with_threads("of_many_threads_one_is_looked_at");
        let mut member = Member::new(child.id());
        while member.look(&mut Runnable { load: None, ask: Sparing::default() }).0 != Activity::Asleep {}
        // Nobody knows who works next; and whoever has is asked from then on.
        let told = std::env::temp_dir().join(format!("harness-load-{}", child.id()));
        std::fs::write(&told, "0.00 0.00 0.00 1/100 1\n").expect("it can be written");
        let alone = || Runnable { load: File::open(&told).ok(), ask: Sparing::default() };
        let mut looked = Vec::new();
        for _ in 0..4 {
            writeln!(to, "1").expect("it reads");
            from.read_exact(&mut [0]).expect("it answers");
            while member.look(&mut Runnable { load: None, ask: Sparing::default() }).0 != Activity::Asleep {}
            let ran = member.ran().expect("the system says how long it has run");
            looked.push(member.look_at_last(ran, &mut alone()));
        }
        std::fs::remove_file(told).expect("it was written");
        drop(to);
        child.wait().expect("it ends");
        assert!(looked.contains(&Some(Activity::Asleep)), "{looked:?}");
    }

    #[test]
    fn what_is_of_no_use_is_left_out_for_longer_and_longer() {
        let mut sparing = Sparing::default();
        let mut due = Vec::new();
        for at in 0..20 {
            if sparing.is_due() {
                due.push(at);
                sparing.note(false);
            }
        }
        assert_eq!(due, [0, 1, 3, 7, 15]);
        sparing.note(true);
        assert!(sparing.is_due() && sparing.is_due());
    }

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
}
