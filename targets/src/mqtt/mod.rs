//! `mqtt-broker`: MQTT 3.1.1 (OASIS Standard, 29 October 2014).
//!
//! All three qualities of service, retained messages, wills, wildcards, keep-alive, sessions that outlive their connection,
//! take-over of a client id, user names and passwords. Where a MUST of the standard is kept, its clause stands beside the
//! code: `[MQTT-3.1.2-24]`. What the standard leaves open:
//!
//! | what | how it is here |
//! | --- | --- |
//! | a packet that is wrong | the connection closes, and the will is published |
//! | another version of the protocol | CONNACK with code 1 |
//! | a client id longer than 256 bytes | CONNACK with code 2 |
//! | too many sessions | CONNACK with code 3 |
//! | a wrong user or password | CONNACK with code 5, and nothing of who else exists |
//! | no CONNECT within 10 s | the connection closes |
//! | no keep-alive | the server's own limit on silence holds |
//! | a client whose filters overlap | gets a message once, at the highest `QoS` of them |
//! | a filter longer than 1 KiB, or one too many | SUBACK with code 128 |
//! | more than 1 000 filters in one packet | the connection closes |
//! | a message that finds a client's queue full | is lost to that client |
//! | a message of `QoS` 0 for a client that is away | is not kept |
//! | a retained message beyond the limit | is delivered and not kept |
//! | `$SYS/` | the broker's: what clients publish there goes nowhere; `$SYS/broker/version` is retained |
//! | a topic that begins with `$` otherwise | is like any other, but for wildcards: [MQTT-4.7.2-1] |
//!
//! A longest packet is the server's limit `frame`. Sessions are in memory: they end with the server.

mod broker;
mod client;
mod packet;
mod session;
#[cfg(test)]
mod tests;
mod topic;

use std::sync::{Arc, Mutex};

use crate::service::{Peer, Server};
use crate::settings::{Setting, SettingError, Setup};
use broker::Broker;
use client::{Client, Shared};
use packet::Qos;

/// The most messages of `QoS` 1 and 2 that may be on their way to one client: fewer than there are ids.
const IN_FLIGHT_MAX: usize = 1_000;

/// The settings of `mqtt-broker`.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        name: "inflight",
        default: "20",
        about: "how many messages of QoS 1 and 2 a client may owe an answer to",
    },
    Setting {
        name: "queue",
        default: "10_000",
        about: "how many messages wait for one client; one more is lost to it",
    },
    Setting {
        name: "queue-bytes",
        default: "4MiB",
        about: "how many bytes of topics and payloads wait for one client",
    },
    Setting { name: "retained", default: "10_000", about: "how many messages are retained" },
    Setting { name: "retained-bytes", default: "4MiB", about: "how many bytes of topics and payloads are retained" },
    Setting { name: "sessions", default: "4096", about: "how many clients there are, those that are away included" },
    Setting { name: "subscriptions", default: "1_000", about: "how many filters one client subscribes to" },
    Setting {
        name: "users",
        default: "",
        about: "who may come: `name:password`, with spaces between; empty for anybody",
    },
];

/// What a broker takes at most.
#[derive(Debug)]
struct Limits {
    in_flight: usize,
    queue: usize,
    queue_len: usize,
    retained: usize,
    retained_len: usize,
    sessions: usize,
    subscriptions: usize,
}

/// Something that was published.
#[derive(Debug)]
struct Message {
    topic: Box<str>,
    payload: Box<[u8]>,
    qos: Qos,
    retain: bool,
}

impl Message {
    fn new(topic: &str, payload: &[u8], qos: Qos, retain: bool) -> Message {
        Message { topic: topic.into(), payload: payload.into(), qos, retain }
    }

    /// What it counts for in a limit.
    fn len(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

/// Somebody who may come.
#[derive(Debug)]
struct User {
    name: String,
    password: String,
}

impl User {
    fn is(&self, name: Option<&str>, password: Option<&[u8]>) -> bool {
        name == Some(&self.name) && password.unwrap_or_default() == self.password.as_bytes()
    }
}

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let settings = &setup.settings;
    let limits = Limits {
        in_flight: settings.number("inflight")?.clamp(1, IN_FLIGHT_MAX),
        queue: settings.number("queue")?,
        queue_len: settings.number("queue-bytes")?,
        retained: settings.number("retained")?,
        retained_len: settings.number("retained-bytes")?,
        sessions: settings.number("sessions")?,
        subscriptions: settings.number("subscriptions")?,
    };
    let users = settings.text("users").split_whitespace().map(|user| {
        let (name, password) = user.split_once(':').ok_or_else(|| SettingError::NotAUser { value: user.to_owned() })?;
        Ok(User { name: name.to_owned(), password: password.to_owned() })
    });
    let users = users.collect::<Result<_, _>>()?;
    let broker = Shared(Arc::new(Mutex::new(Broker::new(limits, users))));
    let packet_len_max = setup.frame_len_max;
    Ok(Arc::new(move |_: &Peer| Client::new(broker.clone(), packet_len_max)))
}
