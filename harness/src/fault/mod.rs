//! What goes wrong on a link: when, and what is done then.
//!
//! A [`Stream`] is one direction of a connection, [`Datagrams`] all that a relay for datagrams carries. Both are fed what
//! arrives and the time, and answer with what is to be written, when, and with the faults that fired. They have no socket
//! and no clock; every draw comes from the run's seed.
//!
//! A fault on a stream acts at a *position*. Bytes pass as they come: nothing waits for a whole message, so a relay without
//! a fault that fires is not to be noticed. What a file may say is checked where it is read; `runner::relay` has the sockets.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::event::Place;

mod armed;
mod datagrams;
#[cfg(test)]
mod laws;
mod names;
mod stream;
mod units;

pub use datagrams::{DATAGRAMS_MAX, Datagrams, Delivery, REORDER_HOLD_MAX};
pub use stream::{Action, End, QUEUE_LEN_MAX, Stream};

pub use crate::event::Direction;

use crate::framing::Framing;
use crate::protocol::Protocol;

/// The most faults of one case.
pub const FAULTS_MAX: usize = 100;

/// The longest content that a fault can wait for, in bytes.
pub const CONTAINS_LEN_MAX: usize = 64 << 10;

/// The furthest byte that `corrupt` can spoil, counted from where it fires.
pub const CORRUPT_AT_MAX: u64 = 1 << 20;

/// The most datagrams that can overtake one.
pub const REORDER_MAX: u64 = 1_000;

/// How often one fault tells on one direction of a connection that it has fired; after that it fires untold.
pub const TOLD_MAX: u32 = 100;

/// Something that goes wrong on a link.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Where it stands.
    pub place: Place,
    /// The relay, by its number among the actors.
    pub on: usize,
    /// The direction; `None` for both, each by itself.
    pub direction: Option<Direction>,
    /// When it fires.
    pub when: When,
    /// What it does then.
    pub does: Do,
}

/// When a fault fires: where everything that it says holds. Without any of it, always.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// Only after this mark.
    pub after: Option<Arc<str>>,
    /// After so many bytes, once for each direction of a connection.
    pub byte: Option<u64>,
    /// Only on the connection with this number, from 1 in the order in which they came.
    pub connection: Option<u32>,
    /// Where these bytes have passed.
    pub contains: Option<Bytes>,
    /// At every so-manieth unit.
    pub every: Option<u64>,
    /// Only in messages of this name.
    pub message: Option<Arc<str>>,
    /// At the units with these numbers, from 1.
    pub nth: Vec<u64>,
    /// In so many of all cases in which the rest holds, from 0 to 1.
    pub probability: Option<f64>,
}

impl When {
    /// Whether it holds for the unit with this number, from 1, and this name.
    fn holds_for(&self, unit: u64, name: Option<&str>) -> bool {
        self.message.as_deref().is_none_or(|wanted| name == Some(wanted))
            && (self.nth.is_empty() || self.nth.contains(&unit))
            && self.every.is_none_or(|every| unit.is_multiple_of(every))
    }

    /// Whether it says nothing about what passes.
    fn is_any_moment(&self) -> bool {
        self.is_lasting() && self.byte.is_none_or(|byte| byte == 0)
    }

    /// Whether it holds from some place on.
    fn is_lasting(&self) -> bool {
        self.contains.is_none()
            && self.every.is_none()
            && self.message.is_none()
            && self.nth.is_empty()
            && self.probability.is_none()
    }
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq)]
pub enum Do {
    /// Spoils the byte at `at`, counted from where it fires.
    Corrupt {
        /// Which byte, from 0.
        at: u64,
        /// With what it is combined.
        xor: u8,
    },
    /// Ends a stream in order, after what came before.
    Cut {
        /// Only this direction; what comes after is swallowed, and the other direction goes on.
        half: bool,
    },
    /// Passes on later.
    Delay {
        /// By so much.
        delay: Duration,
        /// And so much more or less.
        jitter: Duration,
    },
    /// Loses a datagram.
    Drop,
    /// Passes a datagram on twice.
    Duplicate,
    /// Passes a stream on at so many bytes a second.
    Rate(u64),
    /// Lets so many datagrams overtake one.
    Reorder(u64),
    /// Ends a stream abruptly, both ways, after what came before.
    Reset,
    /// Passes a stream on in writes of so many bytes.
    Slice(usize),
    /// Passes nothing of a stream on for so long.
    Stall(Duration),
}

/// A row of the table of what faults do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How a scenario names it.
    pub name: &'static str,
    /// Whether it is done to streams.
    pub streams: bool,
    /// Whether it is done to datagrams.
    pub datagrams: bool,
    /// How it stands in a scenario.
    pub example: &'static str,
}

/// What faults do, by name.
pub const FAULTS: &[Entry] = &[
    Entry { name: "corrupt", streams: true, datagrams: true, example: "corrupt = { at = 3, xor = 0xff }" },
    Entry { name: "cut", streams: true, datagrams: false, example: "cut = true" },
    Entry { name: "delay", streams: true, datagrams: true, example: r#"delay = "30ms", jitter = "10ms""# },
    Entry { name: "drop", streams: false, datagrams: true, example: "drop = true" },
    Entry { name: "duplicate", streams: false, datagrams: true, example: "duplicate = true" },
    Entry { name: "rate", streams: true, datagrams: false, example: r#"rate = "20KiB/s""# },
    Entry { name: "reorder", streams: false, datagrams: true, example: "reorder = true" },
    Entry { name: "reset", streams: true, datagrams: false, example: "reset = true" },
    Entry { name: "slice", streams: true, datagrams: false, example: "slice = 1" },
    Entry { name: "stall", streams: true, datagrams: false, example: r#"stall = "250ms""# },
];

/// What a relay's faults come from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The case's faults, those of other relays included.
    pub faults: Arc<[Fault]>,
    /// The relay, by its number among the actors.
    pub relay: usize,
    /// Where a message ends; `None`: each read of a stream is a unit.
    pub framing: Option<Arc<dyn Framing>>,
    /// What passes, where that is described: it says where a message ends if `framing` does not.
    pub protocol: Option<Arc<Protocol>>,
    /// The run's seed.
    pub seed: u64,
    /// The case's name.
    pub case: Arc<str>,
}

impl Plan {
    /// Where a message ends in this direction.
    fn framing_of(&self, direction: Direction) -> Option<Arc<dyn Framing>> {
        let described = || Some(crate::protocol::framing(self.protocol.as_ref()?, Some(heard(direction))));
        self.framing.clone().or_else(described)
    }

    /// The name of a message that goes in this direction.
    fn name_of(&self, direction: Direction, message: &[u8]) -> Option<Arc<str>> {
        let protocol = self.protocol.as_ref()?;
        let decoded = protocol.decode(message, true, Some(heard(direction))).ok()??;
        Some(Arc::clone(&protocol.messages[decoded.message].name))
    }

    /// Whether a fault of this relay goes by the names of messages.
    fn wants_names(&self) -> bool {
        self.faults.iter().any(|fault| fault.on == self.relay && fault.when.message.is_some())
    }
}

/// What is heard at the end of a direction.
fn heard(direction: Direction) -> crate::protocol::Direction {
    match direction {
        Direction::Down => crate::protocol::Direction::Reply,
        Direction::Up => crate::protocol::Direction::Request,
    }
}

/// The names of the marks that were reached.
pub type Marks = HashSet<Arc<str>>;

/// A fault has fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The fault's number in [`Plan::faults`].
    pub fault: usize,
    /// The connection, from 1 in the order in which they came.
    pub connection: u32,
    /// In which direction.
    pub direction: Direction,
    /// How many bytes had passed before the place where it fired.
    pub at_byte: u64,
    /// The unit in which it fired, from 1; 0 before the first.
    pub nth: u64,
    /// What it did, in words.
    pub what: String,
}

/// `1 byte`, `12 bytes`.
fn bytes(len: u64) -> String {
    crate::text::count(usize::try_from(len).unwrap_or(usize::MAX), "byte")
}
