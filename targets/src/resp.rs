//! `resp`: a small Redis.
//!
//! # The wire
//!
//! RESP, version 2, as redis.io documents it. A request is an array of bulk strings, `*2\r\n$3\r\nGET\r\n$1\r\na\r\n`, or
//! words in one line, ended by LF or CRLF (here without quotes). A client may send many without waiting; the answers come in
//! their order. What is no request is answered by `-ERR Protocol error: ..` and the connection closes; where Redis would
//! wait for the rest of a length's line for ever, 32 bytes are the most.
//!
//! # Commands
//!
//! | about | commands |
//! | --- | --- |
//! | the connection | `AUTH`, `CLIENT`, `COMMAND`, `CONFIG GET`, `ECHO`, `HELLO` (2 alone), `INFO`, `PING`, `QUIT`, `SELECT` (0 alone), `TIME` |
//! | keys | `DBSIZE`, `DEL`, `EXISTS`, `EXPIRE`, `FLUSHALL`, `FLUSHDB`, `KEYS`, `PERSIST`, `PEXPIRE`, `PTTL`, `RENAME`, `SCAN`, `TTL`, `TYPE`, `UNLINK` |
//! | strings | `APPEND`, `DECR`, `DECRBY`, `GET`, `GETDEL`, `GETRANGE`, `GETSET`, `INCR`, `INCRBY`, `MGET`, `MSET`, `PSETEX`, `SET`, `SETEX`, `SETNX`, `STRLEN` |
//! | lists | `LINDEX`, `LLEN`, `LPOP`, `LPUSH`, `LRANGE`, `RPOP`, `RPUSH` |
//! | sets | `SADD`, `SCARD`, `SISMEMBER`, `SMEMBERS`, `SPOP`, `SREM` |
//! | hashes | `HDEL`, `HEXISTS`, `HGET`, `HGETALL`, `HINCRBY`, `HKEYS`, `HLEN`, `HMGET`, `HMSET`, `HSET`, `HVALS` |
//! | sorted sets | `ZADD`, `ZCARD`, `ZINCRBY`, `ZPOPMAX`, `ZPOPMIN`, `ZRANGE` (by index), `ZREM`, `ZSCORE` |
//!
//! They answer as Redis does, with its words. What is different on purpose:
//!
//! - There is no chance: `SPOP` takes the first member in the order of the bytes, and what Redis gives in no order comes in
//!   that of the bytes. `SCAN` gives everything at once, with the cursor 0.
//! - A key whose time is over is gone when somebody asks for it, and takes its room until then.
//! - There are limits: a request and a reply are as long as a frame, a key has 1 KiB, a pattern 64 bytes, and the store takes
//!   so many keys, and so many bytes of keys and elements with 32 more for each. What does not fit is answered by `-OOM ..`
//!   and changes nothing; a reply that is too long is replaced by `-ERR reply too long` after its command was played.
//!
//! With the setting `password`, nothing but `AUTH`, `HELLO` and `QUIT` is answered before it is given.

mod answer;
mod data;
mod hashes;
mod keys;
mod lists;
mod request;
mod session;
mod sets;
mod sorted;
mod strings;

use std::sync::{Arc, Mutex, PoisonError};

use answer::Answer;
use data::Data;
use request::{Parsed, Parser};
use session::Session;

use crate::inbox::Inbox;
use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{Clock, Setting, SettingError, Setup};

/// The longest key.
pub const KEY_LEN_MAX: usize = 1 << 10;

/// The settings of `resp`.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "bytes", default: "16MiB", about: "how many bytes of keys and values the store takes" },
    Setting { name: "keys", default: "100_000", about: "how many keys the store takes" },
    Setting { name: "password", default: "", about: "what `AUTH` has to say; nothing for no login" },
];

/// Plays a command that deals with data, with the words after its name.
type Play = fn(&mut Data, &[&[u8]], &mut Answer) -> Result<(), Error>;

/// What a command does, and how many words it takes after its name.
struct Command {
    name: &'static str,
    words: (usize, usize),
    play: Play,
}

impl Command {
    const fn new(name: &'static str, min: usize, max: usize, play: Play) -> Command {
        Command { name, words: (min, max), play }
    }
}

/// As many words as there are.
const MANY: usize = usize::MAX;

/// The tables of those that deal with data.
const COMMANDS: &[&[Command]] =
    &[hashes::COMMANDS, keys::COMMANDS, lists::COMMANDS, sets::COMMANDS, sorted::COMMANDS, strings::COMMANDS];

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Error {
    Arguments(&'static str),
    Cursor,
    DecrementOverflow,
    Full,
    HashValue,
    KeyTooLong,
    MinMax,
    NoAuth,
    NoPassword,
    NoSuchDatabase,
    NoSuchKey,
    NotAFloat,
    NotAnInteger,
    NotPositive,
    Overflow,
    PatternTooLong,
    Protocol,
    ReplyTooLong,
    Syntax,
    Unknown(String),
    WrongPassword,
    WrongTime(&'static str),
    WrongType,
}

impl Error {
    /// What Redis says, where it has such an error.
    fn text(&self) -> String {
        match self {
            Error::Arguments(name) => format!("ERR wrong number of arguments for '{name}' command"),
            Error::Cursor => "ERR invalid cursor".into(),
            Error::DecrementOverflow => "ERR decrement would overflow".into(),
            Error::Full => "OOM command not allowed when used memory > 'maxmemory'.".into(),
            Error::HashValue => "ERR hash value is not an integer".into(),
            Error::KeyTooLong => "ERR key too long".into(),
            Error::MinMax => "ERR resulting score is not a number (NaN)".into(),
            Error::NoAuth => "NOAUTH Authentication required.".into(),
            Error::NoPassword => {
                "ERR AUTH <password> called without any password configured for the default user. Are you \
                                  sure your configuration is correct?"
                    .into()
            }
            Error::NoSuchDatabase => "ERR DB index is out of range".into(),
            Error::NoSuchKey => "ERR no such key".into(),
            Error::NotAFloat => "ERR value is not a valid float".into(),
            Error::NotAnInteger => "ERR value is not an integer or out of range".into(),
            Error::NotPositive => "ERR value is out of range, must be positive".into(),
            Error::Overflow => "ERR increment or decrement would overflow".into(),
            Error::PatternTooLong => "ERR pattern too long".into(),
            Error::Protocol => "NOPROTO unsupported protocol version".into(),
            Error::ReplyTooLong => "ERR reply too long".into(),
            Error::Syntax => "ERR syntax error".into(),
            Error::Unknown(name) => format!("ERR unknown command '{name}'"),
            Error::WrongPassword => "WRONGPASS invalid username-password pair or user is disabled.".into(),
            Error::WrongTime(name) => format!("ERR invalid expire time in '{name}' command"),
            Error::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value".into(),
        }
    }
}

/// What all connections share.
struct Shared {
    data: Mutex<Data>,
    password: String,
    clock: Clock,
}

impl Shared {
    /// Plays a command that deals with data.
    fn play(&self, command: &Command, words: &[&[u8]], answer: &mut Answer) -> Result<(), Error> {
        // Every change is made as a whole, so data that a panic left behind is sound.
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        data.now = (self.clock)();
        (command.play)(&mut data, words, answer)
    }
}

struct Resp {
    inbox: Inbox,
    parser: Parser,
    session: Session,
    frame_len_max: usize,
}

impl Service for Resp {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.inbox.push(input);
        self.drained(reply);
    }

    fn drained(&mut self, reply: &mut Reply) {
        while !reply.is_full() && !reply.closing {
            match self.parser.parse(self.inbox.rest(), self.frame_len_max) {
                Ok(Parsed::NeedMore) => break,
                Ok(Parsed::Request { words, len }) => {
                    let rest = self.inbox.rest();
                    let words: Vec<&[u8]> = words.into_iter().map(|word| &rest[word]).collect();
                    if let [name, words @ ..] = words.as_slice() {
                        let mut answer = Answer::new(self.frame_len_max);
                        let played = self.session.play(name, words, &mut answer);
                        reply.send(&answer.finish(played));
                        if self.session.is_over {
                            reply.close();
                        }
                    }
                    self.inbox.consume(len);
                }
                Err(error) => {
                    reply.send(format!("-{}\r\n", error.text()).as_bytes());
                    reply.close();
                }
            }
        }
        self.inbox.compact();
    }
}

/// A number as Redis takes it: as it would write it, so without a plus, spaces and zeros in front.
fn integer(word: &[u8]) -> Result<i64, Error> {
    let number = std::str::from_utf8(word).ok().and_then(|text| text.parse::<i64>().ok());
    number.filter(|number| number.to_string().as_bytes() == word).ok_or(Error::NotAnInteger)
}

/// A key that is not too long.
fn key(word: &[u8]) -> Result<&[u8], Error> {
    if word.len() > KEY_LEN_MAX { Err(Error::KeyTooLong) } else { Ok(word) }
}

/// The part of `len` elements from `start` to `stop`, the last one included; negative numbers count from the end.
fn slice(len: usize, start: i64, stop: i64) -> std::ops::Range<usize> {
    let len = len as i64; // what is held in memory is less
    let from_end = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at.min(len) };
    let stop = if stop < -len { -1 } else { from_end(stop) };
    let (start, stop) = (from_end(start), (stop + 1).min(len));
    start as usize..stop.max(start) as usize // both are between 0 and len
}

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let shared = Arc::new(Shared {
        data: Mutex::new(Data::new(setup.settings.number("keys")?, setup.settings.number("bytes")?)),
        password: setup.settings.text("password").to_owned(),
        clock: setup.clock,
    });
    let frame_len_max = setup.frame_len_max;
    Ok(Arc::new(move |peer: &Peer| Resp {
        inbox: Inbox::default(),
        parser: Parser::default(),
        session: Session::new(Arc::clone(&shared), peer.number),
        frame_len_max,
    }))
}

#[cfg(test)]
mod tests;
