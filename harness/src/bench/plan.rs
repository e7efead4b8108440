//! What a measurement does, and what its threads and the one who began them tell each other.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::drops::Drops;
use super::schedule::Arrivals;
use super::tally::Tally;
use super::watch::Watch;
use super::wire::{Segments, Stamps};
use super::workload::Workload;
use crate::event::TlsSession;
use crate::runner::{Address, TlsClient};

/// How iterations follow each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Pace {
    /// The next begins when the one before has ended.
    Closed,
    /// They begin at points in time of their own, so many a second over all threads; with recorded arrivals 0 is as recorded.
    Open(f64, Arrivals),
}

/// How much is done at once, for how long, and how.
#[derive(Clone, Debug)]
pub struct Load {
    /// Connections, over all threads.
    pub connections: usize,
    /// Iterations under way on a connection at most.
    pub depth: usize,
    /// Threads of the load generator.
    pub threads: usize,
    /// What is played before anything is counted.
    pub warmup: Duration,
    /// How long is measured.
    pub duration: Duration,
    /// After how many iterations it ends, if before.
    pub iterations: Option<u64>,
    /// How often counts are handed over.
    pub interval: Duration,
    /// Whether answers are compared.
    pub verify: bool,
    /// Whether each iteration has a connection of its own.
    pub fresh: bool,
    /// What chance comes from.
    pub seed: u64,
    /// How long each connection waits before each read, for clients that are slow on purpose.
    pub read_every: Option<Duration>,
    /// Whether datagrams leave and come together.
    pub segments: Segments,
    /// Which timestamps the kernel is asked for.
    pub stamps: Option<Stamps>,
}

/// To whom an actor talks.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where that is.
    pub address: Address,
    /// How TLS is done, where it is.
    pub tls: Option<TlsClient>,
}

/// What one measurement does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is done.
    pub workload: Workload,
    /// To whom, by each of its parts.
    pub peers: Vec<Peer>,
    /// How much of it.
    pub load: Load,
    /// On which cores, one after the other; empty for wherever the system likes.
    pub cores: Vec<usize>,
    /// How iterations follow each other.
    pub pace: Pace,
    /// How long an iteration may take.
    pub timeout: Duration,
}

impl Plan {
    /// To whom the first actor talks.
    pub fn address(&self) -> &Address {
        &self.peers.first().expect("there is an actor").address
    }

    /// To whom all of them talk, in words.
    pub fn target(&self) -> String {
        let mut addresses: Vec<String> = self.peers.iter().map(|peer| peer.address.to_string()).collect();
        let mut known = std::collections::HashSet::new();
        addresses.retain(|address| known.insert(address.clone()));
        addresses.join(", ")
    }
}

/// What a thread tells.
#[derive(Debug)]
pub enum Report {
    /// All its connections are open, or cannot be.
    Ready,
    /// What was counted in an interval, by its number from the beginning of what is counted.
    Interval(u64, Box<Tally>),
    /// Something failed, in words.
    Failed(String),
    /// It has ended; so much system and user time did it take, in nanoseconds, and by then it was so late.
    Ended {
        /// When.
        at: u64,
        /// Datagrams that its sockets had no room for.
        overflows: u64,
        /// Processor time, in nanoseconds.
        processor: u64,
        /// What its first connection has agreed on with TLS.
        tls: Option<TlsSession>,
        /// What the TCP of its first connection does about congestion.
        congestion: Option<String>,
    },
}

/// What main and threads share.
#[derive(Debug)]
pub struct Signals {
    /// When it begins, in nanoseconds of the clock; 0 until that is known.
    pub begin: std::sync::atomic::AtomicU64,
    /// Whether to end early.
    pub stop: AtomicBool,
    /// What sockets had dropped when counting began.
    pub drops: OnceLock<Drops>,
    /// What each thread waits in, where it waits in reads.
    pub watches: Vec<Watch>,
}
