//! What a message means: descriptions of protocols, and the one pair of functions that decodes and encodes by them.
//!
//! A description is a TOML file, read by [`load`] into a [`Protocol`]. [`Protocol::decode`] and [`Protocol::encode`] know no
//! socket; where a message ends is the description's framing, or what its own lengths say. Read on with `description`, then
//! `decode` and `encode`; `lower` reads the files. How scenarios speak of messages is theirs to say: `scenario::message`, `matcher::message`.
//!
//! Descriptions that come with the harness lie in `harness/protocols`, one row each in [`PROTOCOLS`].

mod checksum;
mod decode;
pub mod description;
mod dissector;
mod encode;
mod error;
mod expression;
mod frames;
mod generate;
mod integers;
pub mod laws;
mod lower;
mod names;
mod show;
mod value;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use checksum::{SUMS, Sum};
pub use description::{Direction, Field, Kind, Message, Protocol, Transport};
pub use dissector::dissector;
pub(crate) use encode::is_size;
pub use error::{DecodeError, EncodeError};
pub use expression::{Expression, Reference};
pub use frames::framing;
pub use lower::{FIELDS_MAX, MESSAGES_MAX, load};
pub use value::{Decoded, Given, Item, Items, Value};

/// A description that comes with the harness.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    text: &'static str,
}

impl Entry {
    const fn of(name: &'static str, about: &'static str, text: &'static str) -> Entry {
        Entry { name, about, text }
    }

    /// The description as it stands in its file.
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// The description, read.
    pub fn protocol(&self) -> Arc<Protocol> {
        static LOADED: OnceLock<Mutex<HashMap<&'static str, Arc<Protocol>>>> = OnceLock::new();
        let mut loaded = LOADED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        let load = || load(self.name, self.text).expect("a test reads each that comes with the harness");
        Arc::clone(loaded.entry(self.name).or_insert_with(load))
    }
}

/// Every description that comes with the harness, in alphabetical order.
pub const PROTOCOLS: &[Entry] = &[
    Entry::of(
        "bittorrent",
        "peer wire protocol of BitTorrent (BEP 3)",
        include_str!("../../protocols/bittorrent.toml"),
    ),
    Entry::of("dns", "domain names (RFC 1035), over UDP and TCP", include_str!("../../protocols/dns.toml")),
    Entry::of("echo", "whatever is sent comes back (RFC 862)", include_str!("../../protocols/echo.toml")),
    Entry::of(
        "http1",
        "heads of requests and responses of HTTP/1.1 (RFC 9112)",
        include_str!("../../protocols/http1.toml"),
    ),
    Entry::of("kv", "the key-value server of `harness serve kv`", include_str!("../../protocols/kv.toml")),
    Entry::of("lines", "the line server of `harness serve lines`", include_str!("../../protocols/lines.toml")),
    Entry::of("memcached", "the text protocol of memcached", include_str!("../../protocols/memcached.toml")),
    Entry::of("modbus", "Modbus over TCP", include_str!("../../protocols/modbus.toml")),
    Entry::of("mqtt", "MQTT 3.1.1", include_str!("../../protocols/mqtt.toml")),
    Entry::of("resp", "the protocol of Redis (RESP2)", include_str!("../../protocols/resp.toml")),
    Entry::of("smtp", "commands and replies of SMTP (RFC 5321)", include_str!("../../protocols/smtp.toml")),
    Entry::of("stun", "STUN (RFC 8489)", include_str!("../../protocols/stun.toml")),
    Entry::of("tftp", "TFTP (RFC 1350, options of RFC 2347)", include_str!("../../protocols/tftp.toml")),
];

/// The description with a name, of those that come with the harness.
pub fn find(name: &str) -> Option<&'static Entry> {
    PROTOCOLS.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests;
