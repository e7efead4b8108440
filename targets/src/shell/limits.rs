//! What a server on a socket takes at most.

use std::time::Duration;

use crate::settings::{Setting, SettingError, parse_duration, parse_number};

/// What a server on a socket takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. One more is accepted and closed at once, with a note.
    pub connections_max: usize,
    /// The longest message, for targets that have messages; a target may have a lower limit of its own.
    pub frame_len_max: usize,
    /// How long a stop waits for pending output.
    pub grace: Duration,
    /// How long a connection may be silent in both directions before it is closed; zero for ever. It is closed
    /// between this and a quarter more.
    pub idle: Duration,
    /// After it closed its own direction, how long the server reads on and drops what the peer still sends.
    /// Closed at once, what is unread would become a RST that can destroy the last answer on its way.
    pub linger: Duration,
    /// Unwritten output of one connection above which nothing is read from it.
    pub output_len_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 4_096,
            frame_len_max: 1 << 20,
            grace: Duration::from_secs(2),
            idle: Duration::from_secs(60),
            linger: Duration::from_secs(1),
            output_len_max: 256 << 10,
        }
    }
}

impl Limits {
    /// Sets the limit called `name`.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        match name {
            "connections" => self.connections_max = parse_number(name, value)?,
            "frame" => self.frame_len_max = parse_number(name, value)?,
            "grace" => self.grace = parse_duration(name, value)?,
            "idle" => self.idle = parse_duration(name, value)?,
            "linger" => self.linger = parse_duration(name, value)?,
            "output" => self.output_len_max = parse_number(name, value)?,
            _ => {
                let known = LIMITS.iter().map(|limit| limit.name).collect();
                return Err(SettingError::Unknown { name: name.to_owned(), known });
            }
        }
        Ok(())
    }
}

/// The limits by name, for help and lists.
pub const LIMITS: &[Setting] = &[
    Setting { name: "connections", default: "4096", about: "open connections; one more is closed at once" },
    Setting { name: "frame", default: "1MiB", about: "the longest message" },
    Setting { name: "grace", default: "2s", about: "how long a stop waits for pending output" },
    Setting { name: "idle", default: "60s", about: "how long a connection may be silent; 0 for ever" },
    Setting {
        name: "linger",
        default: "1s",
        about: "how long a closed connection still reads, so that no answer is lost",
    },
    Setting { name: "output", default: "256KiB", about: "unwritten output above which nothing more is read" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_the_defaults() {
        let zero = Duration::ZERO;
        let mut limits =
            Limits { connections_max: 0, frame_len_max: 0, grace: zero, idle: zero, linger: zero, output_len_max: 0 };
        for limit in LIMITS {
            limits.set(limit.name, limit.default).unwrap();
        }
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn an_unknown_limit_is_named_with_those_that_there_are() {
        let message = Limits::default().set("conections", "1").unwrap_err().to_string();
        let known = "`connections`, `frame`, `grace`, `idle`, `linger`, `output`";
        assert_eq!(message, format!("expected one of {known}, got `conections`"));
    }
}
