//! Targets that are processes: started, known to be ready, watched, and ended with all that they started.
//!
//! A target runs under a [`Guard`], so that it never outlives the run. What it means for a case that a target
//! ended is the runner's to say; connections to it are the transports' business.
//!
//! Read on with [`running`](Process), then `guard`, `ready` and `sockets`.

mod diag;
pub mod elf;
mod error;
mod guard;
mod output;
mod ports;
mod processes;
mod ready;
mod rest;
mod running;
mod sockets;
mod stack;
mod usage;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex_automata::meta::Regex;

pub use error::StartError;
pub use guard::{GUARD_COMMAND, Guard, guard_main};
pub use output::Stream;
pub use ports::Ports;
pub use processes::Holder;
pub use rest::{Activity, Came, Rest, THREADS_MAX, TICK, family};
pub use running::{Process, Stopped, spawn};
pub(crate) use sockets::{parse_ip, serves};
pub use stack::{Address as CodeAddress, Fault, Files, Follow, Frame, Names};
pub use usage::{Usage, forget_peak, usage, work};

pub use crate::signal::{Exit, Signal, UnknownSignal};

/// A process to start.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program and its arguments. A program without a slash is looked up in `PATH`, the one of `env` if it has one.
    pub argv: Vec<String>,
    /// Variables in addition to the harness's own. `HARNESS` and `HARNESS_RUN_ID` are set for it, too.
    pub env: Vec<(String, String)>,
    /// Its folder; the harness's own if `None`. A relative program or address with a slash starts there.
    pub cwd: Option<PathBuf>,
    /// How it is asked to end.
    pub stop: Stop,
    /// The status that it is meant to exit with, beside 0.
    pub expect_exit: Option<i32>,
    /// Where it will serve, if it serves.
    pub address: Option<Address>,
    /// How to know that it is up.
    pub ready: Ready,
    /// How long that may take.
    pub ready_within: Duration,
    /// Whether it is seen how the processes end that it starts.
    pub follow: Option<Follow>,
    /// Where its output is copied to: `<logs>.stdout` and `<logs>.stderr`.
    pub logs: Option<PathBuf>,
}

impl Command {
    /// The command with everything else as a scenario has it by default.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Command {
        Command {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: None,
            stop: Stop::default(),
            expect_exit: None,
            address: None,
            ready: Ready::Listening,
            ready_within: READY_WITHIN,
            follow: None,
            logs: None,
        }
    }
}

/// How a process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// What its group is sent.
    pub signal: Signal,
    /// How long it may take before it is killed.
    pub within: Duration,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { signal: Signal::TERM, within: Duration::from_secs(2) }
    }
}

/// How to know that a process is up.
#[derive(Clone, Debug)]
pub enum Ready {
    /// This program exits with 0. It is run again and again until it does.
    Command(Vec<String>),
    /// A connection to its address succeeds. The connection is closed at once.
    Connect,
    /// This much time has passed.
    Delay(Duration),
    /// The kernel shows its address listening or bound. Without an address it is ready as soon as it runs.
    Listening,
    /// A line on stderr matches.
    Stderr(Regex),
    /// A line on stdout matches.
    Stdout(Regex),
}

/// Where a process serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// UDP.
    Udp(SocketAddr),
    /// A Unix stream socket; `@` in front of an abstract name.
    Unix(PathBuf),
    /// A Unix datagram socket; `@` in front of an abstract name.
    Unixgram(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "tcp://{address}"),
            Address::Udp(address) => write!(f, "udp://{address}"),
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Unixgram(path) => write!(f, "unixgram://{}", path.display()),
        }
    }
}

/// Starts a process and waits until it is ready.
///
/// Whatever goes wrong, nothing of it is left.
pub async fn start(command: &Command, guard: &Guard) -> Result<Process, StartError> {
    ready::check_free(command)?;
    let process = spawn(command, guard).await?;
    match ready::until_ready(command, &process, guard).await {
        Ok(()) => match command.follow.filter(|follow| !process.follow(*follow, &Arc::default())) {
            None => Ok(process),
            Some(_) => {
                process.kill().await;
                Err(StartError::Trace)
            }
        },
        Err(error) => {
            process.kill().await;
            Err(error)
        }
    }
}

/// How long a process may take to be ready, unless the scenario says otherwise.
const READY_WITHIN: Duration = Duration::from_secs(10);
