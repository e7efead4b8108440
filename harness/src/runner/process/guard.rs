//! The guard: a process between the harness and one target, so that nothing of the target outlives the run.
//!
//! The harness starts itself again as `harness __guard`. The guard makes itself the *child subreaper* of all
//! that the target starts: whatever a target's process does (background children, groups of their own, a
//! double fork into a session of its own, an emptied environment), its orphans become the guard's children.
//! When the control stream from the harness ends, by [`Process::stop`](super::Process::stop) or because the
//! harness was killed, the guard kills its children until the kernel says that it has none.
//!
//! The control stream is a socket pair on the guard's stdin. The harness writes one line, a [`Launch`]; the
//! guard writes [`Report`]s. The guard does not read the target's output, and decides nothing.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::{Instant, timeout_at};

use super::processes;
use crate::signal::Exit;

/// The hidden subcommand of the program that plays the guard.
pub const GUARD_COMMAND: &str = "__guard";

/// How processes are started so that they do not outlive the run.
#[derive(Clone, Debug)]
pub struct Guard {
    program: PathBuf,
    run: String,
}

impl Guard {
    /// Guards with `program`, by an absolute path, which answers to [`GUARD_COMMAND`] with [`guard_main`]; `run` is what targets find in
    /// `HARNESS_RUN_ID`.
    pub fn new(program: impl Into<PathBuf>, run: impl Into<String>) -> Guard {
        Guard { program: program.into(), run: run.into() }
    }

    /// Guards with the running program.
    pub fn of_this_program(run: impl Into<String>) -> io::Result<Guard> {
        // On Linux this link works even when the file has been replaced by a newer build.
        let link = Path::new("/proc/self/exe");
        let program = if link.exists() { link.to_owned() } else { std::env::current_exe()? };
        Ok(Guard::new(program, run))
    }

    /// The harness, started again.
    pub fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn run(&self) -> &str {
        &self.run
    }
}

/// What the guard starts. Its folder is the guard's own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Launch {
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<(String, String)>,
}

/// What the guard tells, one line of JSON each, in this order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The target runs, as the leader of a group of this number.
    Started(u32),
    /// The target could not be started; the system's error number. The last report.
    Failed(i32),
    /// The target's process ended.
    Exited(Exit),
    /// Nothing is left of the target. The last report.
    Gone(Gone),
}

/// What the guard had to do in the end, beside ending the target's own process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gone {
    /// How many other processes were killed.
    pub(super) killed: u32,
    /// How many could not be killed: they belong to another user, or hang in the kernel.
    pub(super) left: u32,
}

/// Plays the guard; the whole of the hidden subcommand. Returns the exit code.
pub fn guard_main() -> u8 {
    let guard = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(guard())
    };
    // The harness may be gone, and with it whoever could read a message.
    guard().map_or(1, |()| 0)
}

async fn guard() -> io::Result<()> {
    // A handler that does nothing keeps the signals that are meant for the harness from ending the guard, and
    // unlike an ignored signal it is not inherited by the target.
    let _survived = [SignalKind::alarm(), SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit()]
        .into_iter()
        .chain([SignalKind::terminate(), SignalKind::user_defined1(), SignalKind::user_defined2()])
        .map(signal)
        .collect::<io::Result<Vec<_>>>()?;
    let mut children = signal(SignalKind::child())?;
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;

    let control = StdUnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    control.set_nonblocking(true)?;
    let (input, mut reports) = UnixStream::from_std(control)?.into_split();
    let mut input = BufReader::new(input);
    let mut line = String::new();
    input.read_line(&mut line).await?;
    let launch = serde_json::from_str::<Launch>(&line)?;

    let leader = match start(&launch) {
        Ok(leader) => leader,
        Err(error) => return report(&mut reports, &Report::Failed(error.raw_os_error().unwrap_or(0))).await,
    };
    let mut family = Family { leader, exit: None };
    // From here on a failed write means that the harness is gone, which is what the end of `input` says, too.
    let mut ended =
        report(&mut reports, &Report::Started(leader.as_raw_nonzero().get().cast_unsigned())).await.is_err();
    let mut told = false;
    while !ended {
        family.reap();
        if let (Some(exit), false) = (family.exit, told) {
            told = true;
            ended = report(&mut reports, &Report::Exited(exit)).await.is_err();
            continue;
        }
        tokio::select! {
            _ = children.recv() => {}
            read = input.read_u8() => ended = read.is_err(),
        }
    }
    let gone = family.kill(&mut children).await;
    if let (Some(exit), false) = (family.exit, told) {
        report(&mut reports, &Report::Exited(exit)).await?;
    }
    report(&mut reports, &Report::Gone(gone)).await
}

/// Starts the target in a group of its own, and lets go of its output.
fn start(launch: &Launch) -> io::Result<Pid> {
    let (program, arguments) = launch.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let envs = launch.env.iter().map(|(name, value)| (name, value));
    let child = Command::new(program).args(arguments).envs(envs).stdin(Stdio::null()).process_group(0).spawn()?;
    // The pipes must end when the target's processes have ended.
    let null = std::fs::File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(Pid::from_child(&child))
}

async fn report(reports: &mut OwnedWriteHalf, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    reports.write_all(&line).await
}

/// The target's process and all that descends from it: the guard's children and theirs.
struct Family {
    leader: Pid,
    exit: Option<Exit>,
}

impl Family {
    /// Collects children that have ended; `true` once there are none at all.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.leader => {
                    self.exit = Some(match (status.exit_status(), status.terminating_signal()) {
                        (_, Some(number)) => Exit::Signal { number, core: status.as_raw() & CORE_DUMPED != 0 },
                        (code, None) => Exit::Code(code.unwrap_or(0)),
                    });
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return false,
                // ECHILD: orphans come to the guard, so without children there is no descendant either.
                Err(_) => return true,
            }
        }
    }

    /// Kills until nothing is left. A killed parent's children come to the guard, and are killed in the next round.
    async fn kill(&mut self, children: &mut SignalStream) -> Gone {
        let deadline = Instant::now() + KILL_WITHIN;
        let mut killed = HashSet::new();
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        while !self.reap() {
            if self.exit.is_none() {
                // The number is the leader's as long as it has not been collected, so that this hits no stranger.
                let _ = kill_process_group(self.leader, Signal::KILL);
            }
            let alive = processes::children(std::process::id());
            for pid in alive.iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
                if kill_process(pid, Signal::KILL).is_ok() && pid != self.leader {
                    killed.insert(pid);
                }
            }
            if Instant::now() >= deadline {
                return Gone { killed: count(killed.len()), left: count(alive.len()) };
            }
            // A parent's end may come before its children are ours to see, hence not for long.
            let _ = timeout_at(deadline.min(Instant::now() + KILL_AGAIN_AFTER), children.recv()).await;
        }
        Gone { killed: count(killed.len()), left: 0 }
    }
}

/// `WCOREDUMP`, which has no name in POSIX and the same value everywhere.
const CORE_DUMPED: i32 = 0x80;

/// After this the guard gives up on what cannot be killed.
const KILL_WITHIN: Duration = Duration::from_secs(5);

const KILL_AGAIN_AFTER: Duration = Duration::from_millis(20);
