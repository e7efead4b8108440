//! Where a target was when a signal was about to end it: its stack, seen as a debugger sees it.
//!
//! The target is traced with ptrace(2) while signs are looked into, and not while cases are counted by the second: each of its
//! signals and new threads stops it for a moment then. Where tracing is not allowed (seccomp, Yama, another tracer), or a signal
//! cannot be handed on, the target goes on untraced, and its findings are told apart without a stack.

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

/// Follows the threads of a target until the last of them has ended.
#[derive(Debug)]
pub struct Tracer {
    stacks: Receiver<Vec<Address>>,
}

impl Tracer {
    /// Begins to follow these processes; nothing where that is not possible.
    pub fn attach(pids: Vec<u32>, files: Arc<Files>) -> Option<Tracer> {
        let (ready, is_ready) = mpsc::channel();
        let (found, stacks) = mpsc::channel();
        // Whoever begins to trace is the only one who may go on with it.
        let follow = move || {
            let seized = ptrace::seize_all(&pids);
            let _ = ready.send(seized);
            if seized {
                ptrace::follow(&files, &found);
            }
        };
        std::thread::Builder::new().name("tracer".into()).spawn(follow).ok()?;
        is_ready.recv().ok()?.then_some(Tracer { stacks })
    }

    /// Where the target was when it was sent what has ended it, the innermost call first.
    pub fn stack(&self) -> Option<Vec<Address>> {
        self.stacks.try_iter().last()
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod ptrace {
    use super::*;

    pub(super) fn seize_all(_pids: &[u32]) -> bool {
        false
    }

    pub(super) fn follow(_files: &Files, _found: &Sender<Vec<Address>>) {}
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
    pub(super) fn seize_all(pids: &[u32]) -> bool {
        let options = Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
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
    pub(super) fn follow(files: &Files, found: &Sender<Vec<Address>>) {
        let own = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD | WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED;
        let mut faulted = false;
        loop {
            // It is looked at first and taken then: a signal that has no name here (one of the real-time signals) could not be handed
            // on, and is by the kernel as soon as nobody follows any more.
            let status = match waitid(Id::All, own | WaitPidFlag::WNOWAIT) {
                Ok(status) => status,
                Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
            let Some(pid) = status.pid() else { return };
            let signal = match status {
                WaitStatus::PtraceEvent(_, signal, 0) => Some(signal),
                _ => None,
            };
            if let Some(signal) = signal.filter(|signal| is_deadly(*signal)) {
                // Who handles a fault by giving up has faulted there, and not where it gives up.
                if !(faulted && signal == Signal::SIGABRT) {
                    let registers = getregs(pid).map(|all| Registers { ip: all.rip, sp: all.rsp, bp: all.rbp });
                    let stack = registers.ok().and_then(|registers| addresses(pid.as_raw(), registers, files));
                    let _ = stack.map(|stack| found.send(stack));
                }
                faulted = true;
            }
            let _ = waitid(Id::Pid(pid), own | WaitPidFlag::WNOHANG);
            if !matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
                let _ = cont(pid, signal);
            }
        }
    }

    /// Whether a signal says that a process did something wrong.
    fn is_deadly(signal: Signal) -> bool {
        use Signal::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
        matches!(signal, SIGABRT | SIGBUS | SIGFPE | SIGILL | SIGSEGV | SIGSYS | SIGTRAP)
    }
}
