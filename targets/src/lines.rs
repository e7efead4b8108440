//! `lines`: a line server with a store.
//!
//! A request is one line, ended by LF or CRLF; its answer is ended likewise. Words stand one space apart, and a
//! command may be written in any case. Bytes need not be UTF-8. Answers come in the order of the requests.
//!
//! | request | answer |
//! | --- | --- |
//! | `PING` | `PONG` |
//! | `ECHO text` | `ECHO text`, as it came, spaces too |
//! | `TIME` | `TIME 2025-01-31T12:00:00Z`, in UTC |
//! | `SET key value` | `OK`; the value is the rest of the line, and may be empty |
//! | `GET key` | `VALUE value` |
//! | `DEL key` | `OK` |
//! | `LIST` or `LIST prefix` | `LIST n`, then n lines with a key each, in the order of their bytes |
//! | `QUIT` | `BYE`, and the connection closes |
//!
//! | answer | when |
//! | --- | --- |
//! | `ERR 400 unknown command` | the first word is none of these, or the line is empty |
//! | `ERR 404 no such key` | `GET` or `DEL` of a key that is not set |
//! | `ERR 411 wrong number of arguments` | an argument is missing, empty or one too many |
//! | `ERR 413 line too long` | the line has more than `line` bytes without its ending; ended by LF |
//! | `ERR 414 key too long` | a key has more than 64 bytes |
//! | `ERR 507 store full` | too many keys, or too many bytes of keys and values |
//!
//! A line that is too long is refused as soon as that is certain, and skipped to its end: the connection goes on.
//! A last line without an ending is no request. The store is shared by all clients of the server.

use std::sync::Arc;

use crate::inbox::Inbox;
use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{Clock, Setting, SettingError, Setup};
use crate::store::{Full, Shared, Store};

/// The longest key.
pub const KEY_LEN_MAX: usize = 64;

/// The settings of `lines`.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "bytes", default: "1MiB", about: "how many bytes of keys and values the store takes" },
    Setting { name: "keys", default: "1_000", about: "how many keys the store takes" },
    Setting { name: "line", default: "8KiB", about: "the longest line, without its ending" },
];

struct Lines {
    inbox: Inbox,
    /// How much of the inbox has no line's end in it.
    searched: usize,
    /// Inside a line that was too long.
    skipping: bool,
    line_len_max: usize,
    commands: Commands,
}

impl Service for Lines {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.inbox.push(input);
        self.drained(reply);
    }

    fn drained(&mut self, reply: &mut Reply) {
        while !reply.is_full() && !reply.closing {
            let rest = self.inbox.rest();
            let Some(end) = memchr::memchr(b'\n', &rest[self.searched..]).map(|at| self.searched + at) else {
                self.searched = rest.len();
                // A CR at the end may be half of the line's ending.
                let len = rest.len() - usize::from(rest.last() == Some(&b'\r'));
                if !self.skipping && len > self.line_len_max {
                    self.skipping = true;
                    Error::LineTooLong.send(reply, b"\n");
                }
                if self.skipping {
                    self.inbox.consume(rest.len());
                    self.searched = 0;
                }
                break;
            };
            let (line, ending): (_, &[u8]) = match &rest[..end] {
                [line @ .., b'\r'] => (line, b"\r\n"),
                line => (line, b"\n"),
            };
            if std::mem::take(&mut self.skipping) {
                // Refused when it was found too long.
            } else if line.len() > self.line_len_max {
                Error::LineTooLong.send(reply, b"\n");
            } else if let Err(error) = self.commands.play(line, ending, reply) {
                error.send(reply, ending);
            }
            self.inbox.consume(end + 1);
            self.searched = 0;
        }
        self.inbox.compact();
    }
}

/// What requests do.
struct Commands {
    store: Shared,
    clock: Clock,
}

impl Commands {
    fn play(&self, line: &[u8], ending: &[u8], reply: &mut Reply) -> Result<(), Error> {
        let (command, rest) = split(line);
        match command.to_ascii_uppercase().as_slice() {
            b"DEL" => {
                if !self.store.lock().delete(one_key(rest)?) {
                    return Err(Error::NoSuchKey);
                }
                reply.send(b"OK");
            }
            b"ECHO" => {
                let text = rest.ok_or(Error::Arguments)?;
                reply.send(b"ECHO ");
                reply.send(text);
            }
            b"GET" => {
                let key = one_key(rest)?;
                let store = self.store.lock();
                let value = store.value(key).ok_or(Error::NoSuchKey)?;
                reply.send(b"VALUE ");
                reply.send(value);
            }
            b"LIST" => {
                let prefix = rest.map_or(Ok(&b""[..]), one_key_of)?;
                let store = self.store.lock();
                reply.send(format!("LIST {}", store.keys(prefix).count()).as_bytes());
                for key in store.keys(prefix) {
                    reply.send(ending);
                    reply.send(key);
                }
            }
            b"PING" => {
                no_more(rest)?;
                reply.send(b"PONG");
            }
            b"QUIT" => {
                no_more(rest)?;
                reply.send(b"BYE");
                reply.close();
            }
            b"SET" => {
                let (key, value) = split(rest.ok_or(Error::Arguments)?);
                let (key, value) = (one_key_of(key)?, value.ok_or(Error::Arguments)?);
                self.store.lock().put(key, value).map_err(|Full| Error::StoreFull)?;
                reply.send(b"OK");
            }
            b"TIME" => {
                no_more(rest)?;
                reply.send((self.clock)().strftime("TIME %Y-%m-%dT%H:%M:%SZ").to_string().as_bytes());
            }
            _ => return Err(Error::UnknownCommand),
        }
        reply.send(ending);
        Ok(())
    }
}

/// What stands before the first space, and what after it.
fn split(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b' ', line) {
        Some(at) => (&line[..at], Some(&line[at + 1..])),
        None => (line, None),
    }
}

fn no_more(rest: Option<&[u8]>) -> Result<(), Error> {
    if rest.is_some() { Err(Error::Arguments) } else { Ok(()) }
}

fn one_key(rest: Option<&[u8]>) -> Result<&[u8], Error> {
    one_key_of(rest.ok_or(Error::Arguments)?)
}

fn one_key_of(rest: &[u8]) -> Result<&[u8], Error> {
    match rest {
        [] => Err(Error::Arguments),
        _ if rest.contains(&b' ') => Err(Error::Arguments),
        _ if rest.len() > KEY_LEN_MAX => Err(Error::KeyTooLong),
        _ => Ok(rest),
    }
}

/// Why a request is refused.
enum Error {
    Arguments,
    KeyTooLong,
    LineTooLong,
    NoSuchKey,
    StoreFull,
    UnknownCommand,
}

impl Error {
    fn send(&self, reply: &mut Reply, ending: &[u8]) {
        reply.send(match self {
            Error::Arguments => b"ERR 411 wrong number of arguments",
            Error::KeyTooLong => b"ERR 414 key too long",
            Error::LineTooLong => b"ERR 413 line too long",
            Error::NoSuchKey => b"ERR 404 no such key",
            Error::StoreFull => b"ERR 507 store full",
            Error::UnknownCommand => b"ERR 400 unknown command",
        });
        reply.send(ending);
    }
}

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let store = Store::shared(&setup.settings)?;
    let line_len_max = setup.settings.number("line")?.min(setup.frame_len_max);
    let clock = setup.clock;
    Ok(Arc::new(move |_: &Peer| Lines {
        inbox: Inbox::default(),
        searched: 0,
        skipping: false,
        line_len_max,
        commands: Commands { store: store.clone(), clock },
    }))
}

#[cfg(test)]
mod tests;
