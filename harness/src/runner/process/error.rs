//! Why a target did not start.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{Address, Exit, Holder};
use crate::event::OutputLine;
use crate::time::show_duration;

/// Why a target did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// There is no program to start.
    Empty,
    /// It ended before it was ready.
    Exited {
        /// How.
        exit: Exit,
        /// The last lines of what it wrote.
        output: Vec<OutputLine>,
    },
    /// Its folder does not exist.
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The guard did not start, or was no guard.
    Guard {
        /// The program that should have played it.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file for its output could not be made.
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// [`Ready::Connect`](super::Ready::Connect) without an address.
    NoAddress,
    /// The program does not exist.
    NotFound {
        /// The program.
        program: String,
    },
    /// It was not ready in time.
    NotReady {
        /// What was looked for, in words.
        wanted: String,
        /// How long.
        within: Duration,
        /// The last lines of what it wrote.
        output: Vec<OutputLine>,
    },
    /// The program exists and cannot be run.
    NotRunnable {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// Its scenario wants to see how what it starts ends, which takes ptrace(2).
    Trace,
    /// Somebody else serves on its address.
    Taken {
        /// The address.
        address: Address,
        /// Who, where that may be seen.
        holder: Option<Holder>,
        /// Whether the target was running already.
        after_start: bool,
    },
    /// The system does not tell who listens.
    Unreadable {
        /// The file that it should be in.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl StartError {
    /// The last lines of what the target wrote before it failed.
    pub fn output(&self) -> &[OutputLine] {
        match self {
            StartError::Exited { output, .. } | StartError::NotReady { output, .. } => output,
            _ => &[],
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            StartError::Exited { exit: Exit::Code(0), .. } => {
                "does it go to the background? it has to stay in the foreground: look for an option for that"
            }
            StartError::NotFound { .. } => "install it, or check the spelling and PATH",
            StartError::NotReady { .. } => "`ready` says what to wait for, `ready_within` how long",
            StartError::Taken { after_start: false, .. } => "stop it, or let the run pick a port: `${NAME.port}`",
            StartError::Taken { after_start: true, .. } => {
                "if that process serves on behalf of the target, say `ready = \"connect\"`"
            }
            StartError::Trace => {
                "it takes Linux on x86-64, and ptrace, which a container (seccomp), Yama or a debugger may deny"
            }
            StartError::Unreadable { .. } => "say `ready = \"connect\"`, or a regex of what it prints",
            _ => return None,
        })
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Empty => f.write_str("the target's command is empty"),
            StartError::Exited { exit, .. } => write!(f, "the target ended before it was ready: {exit}"),
            StartError::Folder { path } => write!(f, "the target's folder `{}` does not exist", path.display()),
            StartError::Guard { program, .. } => {
                write!(f, "`{}` cannot guard the target", program.display())
            }
            StartError::Log { path, .. } => write!(f, "`{}` cannot be written", path.display()),
            StartError::NoAddress => f.write_str("`ready = \"connect\"` needs an address to connect to"),
            StartError::NotFound { program } => write!(f, "the program `{program}` was not found"),
            StartError::NotReady { wanted, within, .. } => {
                write!(f, "the target was not ready within {}: expected {wanted}", show_duration(*within))
            }
            StartError::NotRunnable { program, .. } => write!(f, "the program `{program}` cannot be run"),
            StartError::Trace => {
                f.write_str("the processes that it starts cannot be followed, as `never = { crash = true }` wants")
            }
            StartError::Taken { address, holder: Some(holder), .. } => write!(f, "`{address}` is taken by {holder}"),
            StartError::Taken { address, holder: None, .. } => write!(f, "`{address}` is taken by another process"),
            StartError::Unreadable { path, .. } => {
                write!(f, "`{}` does not tell who listens", path.display())
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Guard { source, .. }
            | StartError::Log { source, .. }
            | StartError::NotRunnable { source, .. }
            | StartError::Unreadable { source, .. } => Some(source),
            _ => None,
        }
    }
}
