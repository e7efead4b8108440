//! What all connections of a server share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Flaw;
use super::request::{Answer, DEPTH_MAX, KEY_LEN_MAX, Request};
use crate::bell::Bell;

/// So many keys are kept; one more takes the place of the first.
const KEYS_MAX: usize = 256;

/// So much is kept of datagrams' senders.
const SENDERS_MAX: usize = 1_024;

/// A server's flaw and its state.
pub(super) struct Shared {
    pub(super) flaw: Flaw,
    state: Mutex<State>,
}

/// What is known of who has sent datagrams.
#[derive(Default)]
pub(super) struct Sender {
    pub(super) last: u64,
    pub(super) kept: Option<Vec<u8>>,
}

/// A connection that is in the middle of a request.
pub(super) struct Halfway {
    pub(super) connection: u64,
    pub(super) bell: Bell,
    pub(super) mail: Arc<Mutex<Vec<u8>>>,
}

#[derive(Default)]
pub(super) struct State {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Which connections have which name.
    pub(super) names: BTreeMap<u64, Vec<u8>>,
    // From here on what only flaws need.
    pub(super) names_kept: BTreeSet<Vec<u8>>,
    pub(super) halfway: Option<Halfway>,
    pub(super) partial: Vec<u8>,
    pub(super) errors: Vec<u8>,
    pub(super) is_stuck: bool,
    pub(super) is_poisoned: bool,
    pub(super) greetings: u32,
    pub(super) read: u32,
    pub(super) leaked: Vec<Leaked>,
    senders: HashMap<SocketAddr, Sender>,
}

/// What was to be given back and is not.
#[derive(Debug)]
#[expect(dead_code, reason = "it is kept for nothing: that is the flaw")]
pub(super) enum Leaked {
    Descriptor(std::fs::File),
    Memory(Vec<u8>),
}

impl Shared {
    pub(super) fn new(flaw: Flaw) -> Shared {
        Shared { flaw, state: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is what is wrong.
    pub(super) fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }
}

impl State {
    /// Answers, as a server does that is sound, whatever needs no connection.
    pub(super) fn answer(&mut self, request: Request) -> Answer {
        let is_bad = |key: &[u8]| key.is_empty() || key.len() > KEY_LEN_MAX;
        match request {
            Request::Delete(key) | Request::Get(key) | Request::Hello(key) | Request::Put(key, _) if is_bad(&key) => {
                Answer::Error("bad name")
            }
            Request::Delete(key) => self.values.remove(&key).map_or(Answer::None, |_| Answer::Ok),
            Request::Echo(text) => Answer::Echo(text),
            Request::Get(key) => self.value(&key).map_or(Answer::None, |value| Answer::Value(value.to_vec())),
            Request::Hello(name) => Answer::Hello(name),
            Request::Put(key, value) => {
                self.put(key, value);
                Answer::Ok
            }
            Request::Sum(list) => Answer::sum(&list, DEPTH_MAX),
            Request::Close | Request::Open | Request::Quit(_) | Request::Read => Answer::Error("only on a connection"),
            Request::Wrong(why, _) => Answer::Error(why),
        }
    }

    pub(super) fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice)
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        if self.values.len() == KEYS_MAX && !self.values.contains_key(&key) {
            self.values.pop_first();
        }
        self.values.insert(key, value);
    }

    /// What is known of a sender.
    pub(super) fn sender(&mut self, address: SocketAddr) -> &mut Sender {
        if self.senders.len() == SENDERS_MAX && !self.senders.contains_key(&address) {
            self.senders.clear();
        }
        self.senders.entry(address).or_default()
    }

    /// Keeps a descriptor for ever.
    #[expect(clippy::disallowed_methods, reason = "a descriptor has to be of something")]
    pub(super) fn leak_descriptor(&mut self) {
        self.leaked.extend(std::fs::File::open("/dev/null").map(Leaked::Descriptor));
    }
}
