//! Signals by name, and how a process ended.

use std::fmt;

use rustix::process::Signal as System;
use serde::{Deserialize, Serialize};

/// A signal that can be sent: `SIGHUP`, `HUP` and `1` are the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(System);

/// A name or number that is no signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSignal {
    /// What was given.
    pub given: String,
    /// The closest name, where there is a close one.
    pub near: Option<&'static str>,
}

impl Signal {
    /// What a process is asked with to end.
    pub const TERM: Signal = Signal(System::TERM);
    /// What no process can refuse.
    pub const KILL: Signal = Signal(System::KILL);

    /// Reads a name, with or without `SIG` and in any case, or a number.
    pub fn parse(text: &str) -> Result<Signal, UnknownSignal> {
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = text.parse::<i32>().ok();
        if let Some((_, signal)) =
            SIGNALS.iter().find(|(name, signal)| &name[3..] == short || number == Some(signal.as_raw()))
        {
            return Ok(Signal(*signal));
        }
        let distance = |name: &str| strsim::osa_distance(&name[3..], short);
        let near =
            SIGNALS.iter().map(|(name, _)| *name).min_by_key(|name| distance(name)).filter(|name| distance(name) <= 2);
        Err(UnknownSignal { given: text.to_owned(), near: near.filter(|_| number.is_none()) })
    }

    /// All names, in the order of their numbers on Linux.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SIGNALS.iter().map(|(name, _)| *name)
    }

    /// Its number on this system.
    pub fn number(self) -> i32 {
        self.0.as_raw()
    }

    pub(crate) fn system(self) -> System {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.number(), f)
    }
}

impl fmt::Display for UnknownSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown signal `{}`", self.given)?;
        self.near.map_or(Ok(()), |near| write!(f, ", did you mean `{near}`?"))
    }
}

impl std::error::Error for UnknownSignal {}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It exited with this status.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether the system wrote a core file.
        core: bool,
    },
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal { number, core } => {
                f.write_str("signal ")?;
                show(number, f)?;
                f.write_str(if core { ", core dumped" } else { "" })
            }
        }
    }
}

/// `SIGSEGV (11)`, or the number alone where it has no name.
fn show(number: i32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match SIGNALS.iter().find(|(_, signal)| signal.as_raw() == number) {
        Some((name, _)) => write!(f, "{name} ({number})"),
        None => write!(f, "{number}"),
    }
}

const SIGNALS: &[(&str, System)] = &[
    ("SIGHUP", System::HUP),
    ("SIGINT", System::INT),
    ("SIGQUIT", System::QUIT),
    ("SIGILL", System::ILL),
    ("SIGTRAP", System::TRAP),
    ("SIGABRT", System::ABORT),
    ("SIGBUS", System::BUS),
    ("SIGFPE", System::FPE),
    ("SIGKILL", System::KILL),
    ("SIGUSR1", System::USR1),
    ("SIGSEGV", System::SEGV),
    ("SIGUSR2", System::USR2),
    ("SIGPIPE", System::PIPE),
    ("SIGALRM", System::ALARM),
    ("SIGTERM", System::TERM),
    ("SIGCHLD", System::CHILD),
    ("SIGCONT", System::CONT),
    ("SIGSTOP", System::STOP),
    ("SIGTSTP", System::TSTP),
    ("SIGTTIN", System::TTIN),
    ("SIGTTOU", System::TTOU),
    ("SIGURG", System::URG),
    ("SIGXCPU", System::XCPU),
    ("SIGXFSZ", System::XFSZ),
    ("SIGVTALRM", System::VTALARM),
    ("SIGPROF", System::PROF),
    ("SIGWINCH", System::WINCH),
    ("SIGIO", System::IO),
    ("SIGSYS", System::SYS),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_known_by_its_names_and_its_number() {
        for text in ["SIGHUP", "HUP", "hup", "1"] {
            assert_eq!(Signal::parse(text).expect("a known signal").to_string(), "SIGHUP (1)");
        }
    }

    #[test]
    fn an_unknown_signal_names_a_close_one() {
        for (text, message) in [
            ("SIGTREM", "unknown signal `SIGTREM`, did you mean `SIGTERM`?"),
            ("KIL", "unknown signal `KIL`, did you mean `SIGKILL`?"),
            ("banana", "unknown signal `banana`"),
            ("", "unknown signal ``, did you mean `SIGIO`?"),
            ("0", "unknown signal `0`"),
            ("-9", "unknown signal `-9`"),
        ] {
            assert_eq!(Signal::parse(text).expect_err(text).to_string(), message);
        }
    }

    #[test]
    fn an_exit_reads_as_people_say_it() {
        assert_eq!(Exit::Code(3).to_string(), "exit status 3");
        assert_eq!(Exit::Signal { number: 11, core: false }.to_string(), "signal SIGSEGV (11)");
        assert_eq!(Exit::Signal { number: 6, core: true }.to_string(), "signal SIGABRT (6), core dumped");
        assert_eq!(Exit::Signal { number: 35, core: false }.to_string(), "signal 35");
    }
}
