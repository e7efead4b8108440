//! Whom a peer connects to by itself: the peers that it was told of, and its tracker.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::bell::Bell;

/// How many addresses of peers are known.
pub(super) const KNOWN_MAX: usize = 200;
/// How often in a row a connection is tried that gives nothing.
const TRIES_MAX: u32 = 40;
/// How long it takes to the next try.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long it takes to the next announcement at least, and at most.
const ANNOUNCE_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3_600)];

/// A connection to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Peer(SocketAddr),
    Tracker(Event),
}

/// What a tracker is told, BEP 3's `event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Completed,
    /// The interval is over.
    None,
    Started,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Peers, and how often each was tried in vain.
    known: BTreeMap<SocketAddr, u32>,
    next: VecDeque<(Duration, Call)>,
    bell: Bell,
    /// Where we listen ourselves.
    pub(super) local: Option<SocketAddr>,
    /// Where the tracker is.
    pub(super) tracker: Option<SocketAddr>,
    announced_in_vain: u32,
}

impl Calls {
    pub(super) fn new(peers: &[SocketAddr], tracker: Option<SocketAddr>) -> Calls {
        let mut calls = Calls { tracker, ..Calls::default() };
        calls.learn(peers.iter().copied());
        calls
    }

    /// We listen, at `local`: from here on there are calls.
    pub(super) fn begin(&mut self, local: Option<SocketAddr>, bell: Bell) {
        (self.local, self.bell) = (local, bell);
        if local.is_some() && self.tracker.is_some() {
            self.call(Duration::ZERO, Call::Tracker(Event::Started)); // it is told our port
        }
    }

    /// What is to be called next, and after how long.
    pub(super) fn next(&mut self) -> Option<(Duration, Call)> {
        self.next.pop_front()
    }

    fn call(&mut self, after: Duration, call: Call) {
        self.next.push_back((after, call));
        self.bell.ring();
    }

    /// There are these peers. Each new one is called.
    pub(super) fn learn(&mut self, peers: impl Iterator<Item = SocketAddr>) {
        for peer in peers {
            let is_new = !self.known.contains_key(&peer) && self.known.len() < KNOWN_MAX && Some(peer) != self.local;
            if is_new && peer.ip().is_loopback() {
                self.known.insert(peer, 0);
                self.call(Duration::ZERO, Call::Peer(peer));
            }
        }
    }

    /// The connection to a peer is over, or none came about. Called again it is where `again`, unless it was of no use
    /// too often.
    pub(super) fn hung_up(&mut self, peer: SocketAddr, was_useful: bool, again: bool) {
        let Some(tries) = self.known.get_mut(&peer) else { return };
        *tries = if was_useful { 0 } else { *tries + 1 };
        if again && *tries < TRIES_MAX {
            self.call(AGAIN_AFTER, Call::Peer(peer));
        }
    }

    /// The tracker has answered that it wants to hear again after `interval`, or has not answered.
    pub(super) fn announced(&mut self, event: Event, interval: Option<Duration>) {
        let after = match interval {
            Some(interval) => {
                self.announced_in_vain = 0;
                interval.clamp(ANNOUNCE_AFTER[0], ANNOUNCE_AFTER[1])
            }
            None => {
                self.announced_in_vain += 1;
                AGAIN_AFTER
            }
        };
        if event == Event::Completed || self.announced_in_vain >= TRIES_MAX {
            return;
        }
        let event = if interval.is_some() { Event::None } else { event };
        self.call(after, Call::Tracker(event));
    }

    /// The file is whole.
    pub(super) fn complete(&mut self) {
        if self.local.is_some() && self.tracker.is_some() {
            self.call(Duration::ZERO, Call::Tracker(Event::Completed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Duration = Duration::ZERO;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn begun(peers: &[SocketAddr], tracker: Option<SocketAddr>) -> Calls {
        let mut calls = Calls::new(peers, tracker);
        calls.begin(Some(address("127.0.0.1:9")), Bell::default());
        calls
    }

    #[test]
    fn a_peer_is_called_once_and_never_elsewhere_than_here() {
        let (a, own) = (address("127.0.0.1:1"), address("127.0.0.1:9"));
        let mut calls = begun(&[a], None);
        calls.learn([a, own, address("192.0.2.1:1"), address("[::1]:1")].into_iter());
        assert_eq!(calls.next(), Some((ZERO, Call::Peer(a))));
        assert_eq!(calls.next(), Some((ZERO, Call::Peer(address("[::1]:1")))));
        assert_eq!(calls.next(), None);
    }

    #[test]
    fn a_peer_that_is_of_no_use_is_given_up_in_the_end() {
        let a = address("127.0.0.1:1");
        let mut calls = begun(&[a], None);
        let mut tries = 0;
        while let Some((_, call)) = calls.next() {
            assert_eq!(call, Call::Peer(a));
            calls.hung_up(a, tries == 5, true);
            tries += 1;
        }
        assert_eq!(tries, 6 + TRIES_MAX);
    }

    #[test]
    fn the_tracker_hears_again_after_its_interval_and_at_once_when_all_is_here() {
        let mut calls = begun(&[], Some(address("127.0.0.1:2")));
        assert_eq!(calls.next(), Some((ZERO, Call::Tracker(Event::Started))));
        calls.announced(Event::Started, None);
        assert_eq!(calls.next(), Some((AGAIN_AFTER, Call::Tracker(Event::Started))));
        calls.announced(Event::Started, Some(Duration::from_secs(30)));
        assert_eq!(calls.next(), Some((Duration::from_secs(30), Call::Tracker(Event::None))));
        calls.complete();
        assert_eq!(calls.next(), Some((ZERO, Call::Tracker(Event::Completed))));
        calls.announced(Event::Completed, Some(ZERO));
        assert_eq!(calls.next(), None, "the interval goes on as it did");
    }
}
