//! One client: whether it has logged in, and the commands that deal with its connection.

use std::sync::Arc;

use super::answer::Answer;
use super::{COMMANDS, Command, Error, Shared, integer};

/// The longest name that is repeated in an error.
const NAME_LEN_MAX: usize = 64;
/// What `INFO` and `HELLO` call the server.
const VERSION: &str = "7.0.0";

pub(super) struct Session {
    shared: Arc<Shared>,
    number: u64,
    is_in: bool,
    /// The client said that it wants no more.
    pub(super) is_over: bool,
    name: Vec<u8>,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, number: u64) -> Session {
        let is_in = shared.password.is_empty();
        Session { shared, number, is_in, is_over: false, name: Vec::new() }
    }

    /// Plays one command.
    pub(super) fn play(&mut self, name: &[u8], words: &[&[u8]], answer: &mut Answer) -> Result<(), Error> {
        let lower = name[..name.len().min(NAME_LEN_MAX)].to_ascii_lowercase();
        match (lower.as_slice(), words) {
            (b"auth", words) => {
                self.log_in(words)?;
                answer.ok();
            }
            (b"hello", words) => self.hello(words, answer)?,
            (b"quit", _) => {
                self.is_over = true;
                answer.ok();
            }
            _ if !self.is_in => return Err(Error::NoAuth),
            (b"ping", []) => answer.simple("PONG"),
            (b"ping" | b"echo", [text]) => answer.bulk(text),
            (b"ping", _) => return Err(Error::Arguments("ping")),
            (b"echo", _) => return Err(Error::Arguments("echo")),
            (b"select", [database]) => match integer(database)? {
                0 => answer.ok(),
                _ => return Err(Error::NoSuchDatabase),
            },
            (b"client", [verb, words @ ..]) => self.client(&verb.to_ascii_lowercase(), words, answer)?,
            (b"command", [verb]) if verb.eq_ignore_ascii_case(b"count") => {
                answer.count(COMMANDS.iter().map(|table| table.len()).sum());
            }
            // What redis-cli asks first: that nothing is told of the commands is an answer.
            (b"command", _) => answer.array(0),
            (b"config", [verb, names @ ..]) if verb.eq_ignore_ascii_case(b"get") && !names.is_empty() => {
                // What redis-benchmark asks, to write it into its report.
                let known = [("appendonly", "no"), ("save", "")];
                let asked = |name: &str| names.iter().any(|asked| asked.eq_ignore_ascii_case(name.as_bytes()));
                let pairs: Vec<_> =
                    known.into_iter().filter(|(name, _)| asked(name)).flat_map(|(name, value)| [name, value]).collect();
                answer.bulks(pairs.into_iter().map(str::as_bytes));
            }
            (b"info", _) => {
                answer.bulk(format!("# Server\r\nredis_version:{VERSION}\r\nredis_mode:standalone\r\n").as_bytes());
            }
            (b"time", [_, ..]) => return Err(Error::Arguments("time")),
            (b"time", []) => {
                let now = (self.shared.clock)();
                let (seconds, micros) = (now.as_second().to_string(), (now.subsec_nanosecond() / 1_000).to_string());
                answer.bulks([seconds.as_bytes(), micros.as_bytes()].into_iter());
            }
            (lower, words) => {
                let find = |command: &&Command| command.name.as_bytes() == lower;
                let command = COMMANDS.iter().copied().flatten().find(find).ok_or_else(|| unknown(name))?;
                let (min, max) = command.words;
                if words.len() < min || words.len() > max {
                    return Err(Error::Arguments(command.name));
                }
                self.shared.play(command, words, answer)?;
            }
        }
        Ok(())
    }

    fn log_in(&mut self, words: &[&[u8]]) -> Result<(), Error> {
        let (user, password): (&[u8], _) = match words {
            [password] => (b"default", password),
            [user, password] => (user, password),
            _ => return Err(Error::Arguments("auth")),
        };
        if self.shared.password.is_empty() && words.len() == 1 {
            return Err(Error::NoPassword);
        }
        // Without a password the default user is let in with any.
        if user != b"default" || !self.shared.password.is_empty() && *password != self.shared.password.as_bytes() {
            return Err(Error::WrongPassword);
        }
        self.is_in = true;
        Ok(())
    }

    /// `HELLO [2 [AUTH user password] [SETNAME name]]`
    fn hello(&mut self, words: &[&[u8]], answer: &mut Answer) -> Result<(), Error> {
        let mut rest = words;
        if let [version, others @ ..] = words {
            if *version != b"2" {
                return Err(Error::Protocol);
            }
            rest = others;
        }
        let mut name = None;
        while !rest.is_empty() {
            rest = match rest {
                [word, user, password, rest @ ..] if word.eq_ignore_ascii_case(b"auth") => {
                    self.log_in(&[user, password])?;
                    rest
                }
                [word, said, rest @ ..] if word.eq_ignore_ascii_case(b"setname") => {
                    name = Some(said.to_vec());
                    rest
                }
                _ => return Err(Error::Syntax),
            };
        }
        if !self.is_in {
            return Err(Error::NoAuth);
        }
        self.name = name.unwrap_or_else(|| std::mem::take(&mut self.name));
        answer.array(14);
        for (key, value) in [("server", "redis"), ("version", VERSION)] {
            answer.bulk(key.as_bytes());
            answer.bulk(value.as_bytes());
        }
        for (key, value) in [("proto", 2), ("id", self.id())] {
            answer.bulk(key.as_bytes());
            answer.integer(value);
        }
        for (key, value) in [("mode", "standalone"), ("role", "master")] {
            answer.bulk(key.as_bytes());
            answer.bulk(value.as_bytes());
        }
        answer.bulk(b"modules");
        answer.array(0);
        Ok(())
    }

    fn client(&mut self, verb: &[u8], words: &[&[u8]], answer: &mut Answer) -> Result<(), Error> {
        match (verb, words) {
            (b"getname", []) if self.name.is_empty() => answer.optional(None),
            (b"getname", []) => answer.bulk(&self.name),
            (b"id", []) => answer.integer(self.id()),
            (b"setinfo", [_, _]) => answer.ok(),
            (b"setname", [name]) => {
                self.name = name.to_vec();
                answer.ok();
            }
            _ => return Err(Error::Syntax),
        }
        Ok(())
    }

    /// From 1, as Redis counts.
    fn id(&self) -> i64 {
        i64::try_from(self.number).map_or(i64::MAX, |number| number.saturating_add(1))
    }
}

/// Only what can be printed is repeated, so that the error stays one line.
fn unknown(name: &[u8]) -> Error {
    Error::Unknown(name[..name.len().min(NAME_LEN_MAX)].escape_ascii().to_string())
}
