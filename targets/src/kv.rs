//! `kv`: a key-value store with binary messages.
//!
//! # The wire
//!
//! Every message is a `u32be` length, which does not count itself, and so many bytes of body: at least 1, at most
//! 1 MiB (1 048 576; less with a lower frame limit). Numbers are big-endian. *rest* is what the body still has.
//! A client may send many requests without waiting; the answers come in their order.
//!
//! Requests:
//!
//! | message | body |
//! | --- | --- |
//! | `get` | op u8 = `0x01`, id u32, `key_len` u16, key |
//! | `put` | op u8 = `0x02`, id u32, `key_len` u16, key, data (rest) |
//! | `delete` | op u8 = `0x03`, id u32, `key_len` u16, key |
//! | `list` | op u8 = `0x04`, id u32, `prefix_len` u16, prefix |
//!
//! Replies: the id is the request's.
//!
//! | message | answers | body |
//! | --- | --- | --- |
//! | `value` | `get` | op u8 = `0x81`, id u32, status u8, data (rest but 4), crc32 u32 |
//! | `stored` | `put` | op u8 = `0x82`, id u32, status u8, data (rest but 4), crc32 u32 |
//! | `deleted` | `delete` | op u8 = `0x83`, id u32, status u8, data (rest but 4), crc32 u32 |
//! | `keys` | `list` | op u8 = `0x84`, id u32, status u8, data (rest but 4), crc32 u32 |
//! | `failure` | anything | op u8 = `0xff`, id u32, code u16, text (rest, UTF-8) |
//!
//! - `crc32` is CRC-32/ISO-HDLC (IEEE 802.3, zlib) over everything before it in the body, `op` to `data`.
//! - `status` is 0 (ok) or 1 (missing). `value` and `deleted` are missing when the key is not set; `stored` and
//!   `keys` are always ok.
//! - `data` is the value in `value`, nothing in `stored` and `deleted`, and in `keys` one entry for each key that
//!   begins with the prefix, in the order of their bytes: `key_len` u16, key.
//!
//! Failures:
//!
//! | code | name | when |
//! | --- | --- | --- |
//! | 1 | malformed | the body is empty or too short, `key_len` goes past its end, bytes follow the key of a request without data, or the connection half-closed inside a message |
//! | 2 | unknown op | the op is none of the requests' |
//! | 3 | frame too long | the length is above the limit; the connection closes |
//! | 4 | bad key | the key is empty or longer than 256 bytes; a prefix may be empty |
//! | 5 | value too long | the value's reply would be longer than a frame |
//! | 6 | store full | too many keys, or too many bytes of keys and values |
//! | 7 | reply too long | the keys do not fit into a frame; ask with a longer prefix |
//!
//! A failure has the request's id if the body has five bytes or more, and 0 otherwise; so have failure 3 and the
//! one at a half-close. Apart from failure 3 the connection goes on.
//!
//! The store is shared by all connections of the server.

pub(crate) mod crc32;

use std::sync::Arc;

use crate::inbox::Inbox;
use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{Setting, SettingError, Setup};
use crate::store::{Full, Shared, Store};

/// The longest body of a message.
pub const FRAME_LEN_MAX: usize = 1 << 20;
/// The longest key.
pub const KEY_LEN_MAX: usize = 256;
/// What a reply has besides its data: op, id, status and checksum.
const REPLY_LEN_MIN: usize = 1 + 4 + 1 + 4;
/// The length that stands before each body.
const PREFIX_LEN: usize = 4;

/// The settings of `kv`.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "bytes", default: "16MiB", about: "how many bytes of keys and values the store takes" },
    Setting { name: "keys", default: "10_000", about: "how many keys the store takes" },
];

/// What a request wants.
enum Request<'a> {
    Delete { key: &'a [u8] },
    Get { key: &'a [u8] },
    List { prefix: &'a [u8] },
    Put { key: &'a [u8], data: &'a [u8] },
}

impl Request<'_> {
    /// Reads what stands behind the id.
    fn parse(op: u8, fields: &[u8]) -> Result<Request<'_>, Failure> {
        if !(0x01..=0x04).contains(&op) {
            return Err(Failure::UnknownOp);
        }
        let (key_len, fields) = fields.split_first_chunk().ok_or(Failure::Malformed)?;
        let (key, data) = fields.split_at_checked(u16::from_be_bytes(*key_len).into()).ok_or(Failure::Malformed)?;
        if op != 0x02 && !data.is_empty() {
            return Err(Failure::Malformed);
        }
        if key.len() > KEY_LEN_MAX || key.is_empty() && op != 0x04 {
            return Err(Failure::BadKey);
        }
        Ok(match op {
            0x01 => Request::Get { key },
            0x02 => Request::Put { key, data },
            0x03 => Request::Delete { key },
            _ => Request::List { prefix: key },
        })
    }
}

/// Why a request is refused.
#[derive(Clone, Copy)]
enum Failure {
    Malformed = 1,
    UnknownOp = 2,
    FrameTooLong = 3,
    BadKey = 4,
    ValueTooLong = 5,
    StoreFull = 6,
    ReplyTooLong = 7,
}

impl Failure {
    fn text(self) -> &'static str {
        match self {
            Failure::Malformed => "malformed request",
            Failure::UnknownOp => "unknown op",
            Failure::FrameTooLong => "frame too long",
            Failure::BadKey => "key is empty or too long",
            Failure::ValueTooLong => "value too long",
            Failure::StoreFull => "store full",
            Failure::ReplyTooLong => "reply too long",
        }
    }

    fn send(self, id: u32, reply: &mut Reply) {
        let text = self.text().as_bytes();
        reply.send(&(1 + 4 + 2 + text.len() as u32).to_be_bytes());
        reply.send(&[0xff]);
        reply.send(&id.to_be_bytes());
        reply.send(&(self as u16).to_be_bytes());
        reply.send(text);
    }
}

struct Kv {
    inbox: Inbox,
    store: Shared,
    frame_len_max: usize,
}

impl Kv {
    /// Answers one message's body.
    fn answer(store: &Shared, frame_len_max: usize, body: &[u8], reply: &mut Reply) {
        let Some((&op, Some((id, fields)))) = body.split_first().map(|(op, rest)| (op, rest.split_first_chunk()))
        else {
            return Failure::Malformed.send(0, reply);
        };
        let id = u32::from_be_bytes(*id);
        let played = Request::parse(op, fields).and_then(|request| play(store, frame_len_max, id, &request, reply));
        if let Err(failure) = played {
            failure.send(id, reply);
        }
    }
}

/// Does what `request` wants and sends the reply, or fails and has sent nothing.
fn play(
    store: &Shared,
    frame_len_max: usize,
    id: u32,
    request: &Request<'_>,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let mut store = store.lock();
    match request {
        Request::Delete { key } => {
            let status = if store.delete(key) { OK } else { MISSING };
            send(0x83, id, status, b"", reply);
        }
        Request::Get { key } => match store.value(key) {
            Some(value) => send(0x81, id, OK, value, reply),
            None => send(0x81, id, MISSING, b"", reply),
        },
        Request::List { prefix } => {
            let len: usize = store.keys(prefix).map(|key| 2 + key.len()).sum();
            if len + REPLY_LEN_MIN > frame_len_max {
                return Err(Failure::ReplyTooLong);
            }
            let mut data = Vec::with_capacity(len);
            for key in store.keys(prefix) {
                data.extend_from_slice(&(key.len() as u16).to_be_bytes()); // a key has at most KEY_LEN_MAX bytes
                data.extend_from_slice(key);
            }
            send(0x84, id, OK, &data, reply);
        }
        Request::Put { key, data } => {
            if data.len() + REPLY_LEN_MIN > frame_len_max {
                return Err(Failure::ValueTooLong);
            }
            store.put(key, data).map_err(|Full| Failure::StoreFull)?;
            send(0x82, id, OK, b"", reply);
        }
    }
    Ok(())
}

const OK: u8 = 0;
const MISSING: u8 = 1;

fn send(op: u8, id: u32, status: u8, data: &[u8], reply: &mut Reply) {
    let [a, b, c, d] = id.to_be_bytes();
    let head = [op, a, b, c, d, status];
    reply.send(&((REPLY_LEN_MIN + data.len()) as u32).to_be_bytes()); // a frame's limit fits: see `make`
    reply.send(&head);
    reply.send(data);
    reply.send(&crc32::of(&[&head, data]).to_be_bytes());
}

impl Service for Kv {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.inbox.push(input);
        self.drained(reply);
    }

    fn end(&mut self, reply: &mut Reply) {
        if !self.inbox.rest().is_empty() {
            Failure::Malformed.send(0, reply);
        }
    }

    fn drained(&mut self, reply: &mut Reply) {
        while !reply.is_full() {
            let Some((len, rest)) = self.inbox.rest().split_first_chunk() else { break };
            let len = u32::from_be_bytes(*len) as usize;
            if len > self.frame_len_max {
                Failure::FrameTooLong.send(0, reply);
                reply.close();
                break;
            }
            let Some(body) = rest.get(..len) else { break };
            Kv::answer(&self.store, self.frame_len_max, body, reply);
            self.inbox.consume(PREFIX_LEN + len);
        }
        self.inbox.compact();
    }
}

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let store = Store::shared(&setup.settings)?;
    let frame_len_max = setup.frame_len_max.min(FRAME_LEN_MAX);
    Ok(Arc::new(move |_: &Peer| Kv { inbox: Inbox::default(), store: store.clone(), frame_len_max }))
}

#[cfg(test)]
mod tests;
