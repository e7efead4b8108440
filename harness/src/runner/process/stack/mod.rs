//! Where a process was when a signal was about to end it: its stack, seen as a debugger sees it.
//!
//! It is followed with ptrace(2). Each of its signals stops it for a moment then, and each new process or thread does. Where that is
//! not allowed (seccomp, Yama, another tracer) nothing is followed, and where a signal cannot be handed on, nothing is any more.

#![expect(clippy::disallowed_methods, reason = "threads are listed in /proc")]

mod names;
mod unwind;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

pub use names::{Frame, Names};
pub use unwind::Files;

/// A place in the code of a program or a library.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The file that it was loaded from.
    pub file: Arc<Path>,
    /// Where in that file, as its symbols count.
    pub at: u64,
}

/// What is followed beside the threads that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Processes that are started.
    Processes,
    /// And threads, too.
    Threads,
}

/// A signal that says that a process did something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The process.
    pub pid: u32,
    /// The signal's number.
    pub signal: i32,
    /// Whether it ends the process: there is no handler for it.
    pub ends: bool,
    /// Where the process was, the innermost call first.
    pub stack: Vec<Address>,
}

/// Follows a process until nothing is left of it.
#[derive(Debug)]
pub(super) struct Tracer {
    faults: Receiver<Fault>,
}

impl Tracer {
    /// Begins to follow these processes; nothing where that is not possible.
    pub(super) fn attach(pids: Vec<u32>, follow: Follow, files: Arc<Files>) -> Option<Tracer> {
        let (ready, is_ready) = mpsc::channel();
        let (found, faults) = mpsc::channel();
        // Whoever begins to trace is the only one who may go on with it.
        let follow = move || {
            let seized = ptrace::seize_all(&pids, follow);
            let _ = ready.send(seized);
            if seized {
                ptrace::follow(&files, &found);
            }
        };
        std::thread::Builder::new().name("tracer".into()).spawn(follow).ok()?;
        is_ready.recv().ok()?.then_some(Tracer { faults })
    }

    /// What was seen since the last time.
    pub(super) fn faults(&self) -> Vec<Fault> {
        self.faults.try_iter().collect()
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod ptrace {
    use super::*;

    pub(super) fn seize_all(_pids: &[u32], _follow: Follow) -> bool {
        false
    }

    pub(super) fn follow(_files: &Files, _found: &Sender<Fault>) {}
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod ptrace {
    use std::collections::HashSet;

    use nix::errno::Errno;
    use nix::sys::ptrace::{Options, cont, getregs, seize};
    use nix::sys::signal::Signal;
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
    use nix::unistd::Pid;

    use super::unwind::{Registers, addresses};
    use super::*;

    /// The most threads that are followed from the beginning.
    const THREADS_MAX: usize = 4_096;

    /// Follows all threads of these processes, and those that they will start.
    pub(super) fn seize_all(pids: &[u32], follow: Follow) -> bool {
        let mut options = Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
        options.set(Options::PTRACE_O_TRACECLONE, follow == Follow::Threads);
        let mut seized = HashSet::new();
        // A thread that is not followed yet may start others meanwhile.
        loop {
            let before = seized.len();
            for tid in pids.iter().flat_map(|pid| threads(*pid)) {
                if seized.len() < THREADS_MAX && !seized.contains(&tid) && seize(Pid::from_raw(tid), options).is_ok() {
                    seized.insert(tid);
                }
            }
            if seized.len() == before {
                return !seized.is_empty();
            }
        }
    }

    fn threads(pid: u32) -> Vec<i32> {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
    }

    /// Lets threads go on until none is left, and reads the stacks of those that are sent what ends a process.
    pub(super) fn follow(files: &Files, found: &Sender<Fault>) {
        let own = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD | WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED;
        // The process that has faulted last, and where.
        let mut faulted: Option<(u32, Vec<Address>)> = None;
        loop {
            // It is looked at first and taken then: a signal that has no name here (one of the real-time signals) could not be handed
            // on, and is by the kernel as soon as nobody follows any more.
            let status = match waitid(Id::All, own | WaitPidFlag::WNOWAIT) {
                Ok(status) => status,
                Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
            let Some(tid) = status.pid() else { return };
            let signal = match status {
                WaitStatus::PtraceEvent(_, signal, 0) => Some(signal),
                _ => None,
            };
            if let Some(signal) = signal.filter(|signal| is_deadly(*signal))
                && let Some((pid, ends)) = about(tid.as_raw(), signal)
            {
                // Who handles a fault by giving up has faulted there, and not where it gives up.
                let before = faulted.take().filter(|(other, _)| *other == pid && signal == Signal::SIGABRT);
                let stack = before.map_or_else(|| stack(tid, files), |(_, stack)| stack);
                faulted = Some((pid, stack.clone()));
                let _ = found.send(Fault { pid, signal: signal as i32, ends, stack });
            }
            let _ = waitid(Id::Pid(tid), own | WaitPidFlag::WNOHANG);
            if !matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
                let _ = cont(tid, signal);
            }
        }
    }

    fn stack(tid: Pid, files: &Files) -> Vec<Address> {
        let registers = getregs(tid).map(|all| Registers { ip: all.rip, sp: all.rsp, bp: all.rbp });
        registers.ok().and_then(|registers| addresses(tid.as_raw(), registers, files)).unwrap_or_default()
    }

    /// The process of a thread, and whether a signal ends it.
    fn about(tid: i32, signal: Signal) -> Option<(u32, bool)> {
        let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let caught = u64::from_str_radix(field("SigCgt:")?, 16).ok()?;
        Some((field("Tgid:")?.parse().ok()?, caught >> (signal as i32 - 1) & 1 == 0))
    }

    /// Whether a signal says that a process did something wrong.
    fn is_deadly(signal: Signal) -> bool {
        use Signal::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
        matches!(signal, SIGABRT | SIGBUS | SIGFPE | SIGILL | SIGSEGV | SIGSYS | SIGTRAP)
    }
}
