//! Reference servers written as byte machines: what the harness is tried on, and what its users practise on.
//!
//! A [`Service`] takes bytes and gives bytes; it knows no socket and no clock. [`Connection`] holds one and
//! says when to read, write and close; [`shell`] drives it over TCP, UDP and Unix sockets, [`memory`] without
//! any. So one implementation is served on a port, run under a property test and benchmarked.
//!
//! Nothing here uses the harness: framings and codecs are written a second time on purpose, so that one
//! mistake cannot hide itself by standing on both sides of a test.
//!
//! A new target is one file, its `mod` line and its row in [`TARGETS`].

pub mod memory;
pub mod shell;

mod address;
mod auth_lines;
mod bell;
mod chance;
mod chargen;
mod connection;
mod daytime;
mod discard;
mod dns;
mod echo;
pub mod faulty;
mod greeting;
pub mod http;
mod inbox;
pub mod kv;
pub mod lines;
mod lossy;
mod mqtt;
mod one_shot;
mod peer;
pub mod resp;
mod service;
mod settings;
pub mod smtp;
mod store;
mod timed;
pub mod utf8;

use std::sync::Arc;

pub use address::{Address, AddressError};
pub use bell::Bell;
pub use connection::{Connection, Ending, answer};
pub use service::{Dial, Peer, ProcessEnd, Reply, Server, Service, Transport};
pub use settings::{Clock, Setting, SettingError, Settings, Setup};
pub use shell::{
    Handle, LIMITS, Limits, Log, Note, ServeError, ServerConfig, bind, bind_raw, serve, serve_raw, serve_tls,
};

/// One reference server: a row of [`TARGETS`].
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called in scenarios and on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// What it can be served over.
    pub transports: &'static [Transport],
    /// Whether it may end its process, and so is to have one of its own.
    pub ends_process: bool,
    /// What can be changed about it.
    pub settings: &'static [Setting],
    make: fn(&Setup) -> Result<Arc<dyn Server>, SettingError>,
}

impl Target {
    /// Makes a server with a state of its own. `pairs` are the settings that differ from their defaults.
    pub fn make<S: AsRef<str>>(
        &self,
        pairs: &[(S, S)],
        limits: &Limits,
        clock: Clock,
    ) -> Result<Arc<dyn Server>, SettingError> {
        let settings = Settings::new(self.settings, pairs)?;
        (self.make)(&Setup { settings, frame_len_max: limits.frame_len_max, clock })
    }
}

/// The target called `name`.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

const STREAMS: &[Transport] = &[Transport::Tcp, Transport::Unix];
const DATAGRAMS: &[Transport] = &[Transport::Udp, Transport::Unixgram];
const ANY: &[Transport] = &[Transport::Tcp, Transport::Udp, Transport::Unix, Transport::Unixgram];

/// Every target, in alphabetical order.
pub const TARGETS: &[Target] = &[
    Target {
        name: "auth-lines",
        about: "a line server with a login: SASL PLAIN and SCRAM-SHA-256 (RFC 4616, RFC 7677)",
        transports: STREAMS,
        ends_process: false,
        settings: auth_lines::SETTINGS,
        make: auth_lines::make,
    },
    Target {
        name: "chargen",
        about: "sends the character pattern of RFC 864, whatever it gets",
        transports: ANY,
        ends_process: false,
        settings: chargen::SETTINGS,
        make: chargen::make,
    },
    Target {
        name: "daytime",
        about: "says what time it is and closes (RFC 867)",
        transports: ANY,
        ends_process: false,
        settings: &[],
        make: daytime::make,
    },
    Target {
        name: "delay",
        about: "an echo whose answers come after a time that is set, to try on it what measures time",
        transports: ANY,
        ends_process: false,
        settings: timed::DELAY,
        make: timed::make_delay,
    },
    Target {
        name: "discard",
        about: "reads everything and says nothing (RFC 863)",
        transports: ANY,
        ends_process: false,
        settings: &[],
        make: discard::make,
    },
    Target {
        name: "dns",
        about: "an authoritative server of one zone, with answers too long for UDP (RFC 1035, RFC 6891)",
        transports: ANY,
        ends_process: false,
        settings: dns::SETTINGS,
        make: dns::make,
    },
    Target {
        name: "drop",
        about: "a datagram echo that leaves out a known part, to try on it what counts losses",
        transports: DATAGRAMS,
        ends_process: false,
        settings: lossy::DROP,
        make: lossy::make_drop,
    },
    Target {
        name: "flawed",
        about: "keys, values and sums over lines, binary messages or datagrams, with one planted bug: what has to be found",
        transports: ANY,
        ends_process: true,
        settings: faulty::flawed::SETTINGS,
        make: faulty::flawed::make,
    },
    Target {
        name: "greeting",
        about: "answers `Hello, client!` to anything and closes",
        transports: ANY,
        ends_process: false,
        settings: &[],
        make: greeting::make,
    },
    Target {
        name: "http",
        about: "a web server: keep-alive, pipelining, chunks both ways, files to put and get, errors (RFC 9110, RFC 9112)",
        transports: STREAMS,
        ends_process: false,
        settings: http::SETTINGS,
        make: http::make,
    },
    Target {
        name: "jitter",
        about: "an echo whose answers come after times spread evenly between two bounds, by a seed",
        transports: ANY,
        ends_process: false,
        settings: timed::JITTER,
        make: timed::make_jitter,
    },
    Target {
        name: "kv",
        about: "a key-value store with length-prefixed binary messages and checksums",
        transports: STREAMS,
        ends_process: false,
        settings: kv::SETTINGS,
        make: kv::make,
    },
    Target {
        name: "liar",
        about: "answers each line or datagram, and lies as it is told to: what a test has to notice",
        transports: ANY,
        ends_process: true,
        settings: faulty::liar::SETTINGS,
        make: faulty::liar::make,
    },
    Target {
        name: "lines",
        about: "a line server: PING, ECHO, TIME, SET, GET, DEL, LIST, QUIT and errors with codes",
        transports: STREAMS,
        ends_process: false,
        settings: lines::SETTINGS,
        make: lines::make,
    },
    Target {
        name: "mqtt-broker",
        about: "MQTT 3.1.1: QoS 0, 1 and 2, retained messages, wills, wildcards, sessions, users",
        transports: STREAMS,
        ends_process: false,
        settings: mqtt::SETTINGS,
        make: mqtt::make,
    },
    Target {
        name: "one-shot",
        about: "takes one connection, echoes its first bytes, closes and is gone",
        transports: STREAMS,
        ends_process: false,
        settings: &[],
        make: one_shot::make,
    },
    Target {
        name: "peer",
        about: "shares a file over BitTorrent's wire, and fetches it from other peers; with a tracker (BEP 3)",
        transports: STREAMS,
        ends_process: false,
        settings: peer::SETTINGS,
        make: peer::make,
    },
    Target {
        name: "reorder",
        about: "a datagram echo that swaps each two answers, to try on it what counts those out of order",
        transports: DATAGRAMS,
        ends_process: false,
        settings: lossy::REORDER,
        make: lossy::make_reorder,
    },
    Target {
        name: "resp",
        about: "a small Redis: strings, lists, sets, hashes, sorted sets, keys that expire, a password (RESP 2)",
        transports: STREAMS,
        ends_process: false,
        settings: resp::SETTINGS,
        make: resp::make,
    },
    Target {
        name: "smtp",
        about: "a mail server for one domain: a login, pipelining, mail refused in every way (RFC 5321, RFC 4954)",
        transports: STREAMS,
        ends_process: false,
        settings: smtp::SETTINGS,
        make: smtp::make,
    },
    Target {
        name: "stall",
        about: "an echo that answers nothing for the first part of each period: p95, p99 and maximum are known",
        transports: ANY,
        ends_process: false,
        settings: timed::STALL,
        make: timed::make_stall,
    },
    Target {
        name: "tcp-echo",
        about: "sends back every byte until the peer is done (RFC 862)",
        transports: STREAMS,
        ends_process: false,
        settings: echo::SETTINGS,
        make: echo::make,
    },
    Target {
        name: "udp-echo",
        about: "sends back every datagram, empty ones too (RFC 862)",
        transports: DATAGRAMS,
        ends_process: false,
        settings: echo::SETTINGS,
        make: echo::make,
    },
    Target {
        name: "utf8",
        about: "answers `서버로부터 응답: ` and the text it got, never half a character",
        transports: ANY,
        ends_process: false,
        settings: &[],
        make: utf8::make,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_alphabetical_order() {
        assert!(TARGETS.is_sorted_by(|a, b| a.name < b.name));
        assert!(TARGETS.iter().all(|target| target.settings.is_sorted_by(|a, b| a.name < b.name)));
    }

    #[test]
    fn every_target_can_be_made_with_its_defaults() {
        for target in TARGETS {
            let made = target.make::<&str>(&[], &Limits::default(), || jiff::Timestamp::UNIX_EPOCH);
            assert!(made.is_ok(), "{}", target.name);
        }
    }
}
