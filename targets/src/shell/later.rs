//! Answers to datagrams that are not sent at once: a queue without a socket, whose time is an argument.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::io;
use std::time::Instant;

use crate::service::{Peer, Reply, When};

/// How many answers wait.
pub(super) const ANSWERS_MAX: usize = 65_536;
/// How many bytes of them.
pub(super) const ANSWERS_LEN_MAX: usize = 64 << 20;

/// An answer, and to whom.
#[derive(Debug)]
pub(super) struct Answer<A> {
    pub(super) peer: Peer,
    pub(super) to: A,
    pub(super) bytes: Vec<u8>,
    pub(super) copies: usize,
}

/// An answer that waits for its time.
struct Timed<A> {
    due: Instant,
    answer: Answer<A>,
}

impl<A> Timed<A> {
    /// Those that are due at the same time leave in the order in which they were asked for.
    fn key(&self) -> (Instant, u64) {
        (self.due, self.answer.peer.number)
    }
}

impl<A> PartialEq for Timed<A> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<A> Eq for Timed<A> {}

impl<A> PartialOrd for Timed<A> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<A> Ord for Timed<A> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// The answers that wait.
pub(super) struct Later<A> {
    timed: BinaryHeap<Reverse<Timed<A>>>,
    /// The one that the next datagram is to overtake.
    behind: Option<Timed<A>>,
    /// When the last of those is due that keep their order.
    last: Option<Instant>,
    len: usize,
}

impl<A> Later<A> {
    pub(super) fn new() -> Later<A> {
        Later { timed: BinaryHeap::new(), behind: None, last: None, len: 0 }
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let timed = self.timed.peek().map(|Reverse(timed)| timed.due);
        timed.into_iter().chain(self.behind.as_ref().map(|behind| behind.due)).min()
    }

    /// Takes one that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Answer<A>> {
        if self.behind.as_ref().is_some_and(|behind| behind.due <= now) {
            return self.take_behind();
        }
        (self.timed.peek()?.0.due <= now).then_some(())?;
        let answer = self.timed.pop()?.0.answer;
        self.len -= answer.bytes.len();
        Some(answer)
    }

    /// Takes the one that waits for the next datagram, which is dealt with.
    pub(super) fn take_behind(&mut self) -> Option<Answer<A>> {
        let answer = self.behind.take()?.answer;
        self.len -= answer.bytes.len();
        Some(answer)
    }

    /// Puts away what `reply` says is to be sent later, `now` being the time; `None` where it is to be sent at once.
    pub(super) fn put(
        &mut self,
        reply: &Reply,
        peer: Peer,
        to: A,
        now: impl FnOnce() -> Instant,
    ) -> Option<io::Result<()>> {
        let time = match reply.when {
            When::Now => return None,
            When::After(time) | When::AfterInOrder(time) if time.is_zero() && self.timed.is_empty() => return None,
            When::After(time) | When::AfterInOrder(time) | When::BehindNext(time) => time,
        };
        let bytes = &reply.output;
        let mut due = now().checked_add(time);
        if matches!(reply.when, When::AfterInOrder(_)) {
            due = due.max(self.last);
            self.last = due;
        }
        let (Some(due), true) = (due, self.timed.len() < ANSWERS_MAX && self.len + bytes.len() <= ANSWERS_LEN_MAX)
        else {
            return Some(Err(io::ErrorKind::QuotaExceeded.into()));
        };
        self.len += bytes.len();
        let answer = Answer { peer, to, bytes: bytes.clone(), copies: reply.copies };
        let timed = Timed { due, answer };
        if matches!(reply.when, When::BehindNext(_)) {
            // The one before was behind this, and is taken before the next is put away.
            debug_assert!(self.behind.is_none());
            self.behind = Some(timed);
        } else {
            self.timed.push(Reverse(timed));
        }
        Some(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::service::Transport;

    const MS: Duration = Duration::from_millis(1);

    fn put(later: &mut Later<()>, number: u64, now: Instant, bytes: &[u8], say: impl FnOnce(&mut Reply)) -> bool {
        let mut reply = Reply::new(usize::MAX);
        reply.send(bytes);
        say(&mut reply);
        later.put(&reply, Peer::new(number, Transport::Udp, None), (), || now).expect("it is for later").is_ok()
    }

    fn due(later: &mut Later<()>, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| later.take_due(now)).map(|answer| answer.peer.number).collect()
    }

    #[test]
    fn answers_leave_when_they_are_due_and_in_their_order() {
        let (mut later, now) = (Later::new(), Instant::now());
        for (number, time) in [(0, 3), (1, 1), (2, 3), (3, 2)] {
            assert!(put(&mut later, number, now, b"x", |reply| reply.after(time * MS)));
        }
        assert_eq!(later.due(), Some(now + MS));
        assert_eq!(due(&mut later, now), []);
        assert_eq!(due(&mut later, now + 2 * MS), [1, 3]);
        assert_eq!(due(&mut later, now + 3 * MS), [0, 2]);
        assert_eq!((later.due(), later.len), (None, 0));
    }

    #[test]
    fn one_that_is_to_be_overtaken_leaves_in_the_end_if_none_comes() {
        let (mut later, now) = (Later::new(), Instant::now());
        assert!(put(&mut later, 0, now, b"x", |reply| reply.behind_next(5 * MS)));
        assert_eq!(later.due(), Some(now + 5 * MS));
        assert_eq!(due(&mut later, now + 5 * MS), [0]);
        assert!(later.take_behind().is_none());
    }

    #[test]
    fn what_keeps_its_order_waits_for_what_is_due_later() {
        let (mut later, now) = (Later::new(), Instant::now());
        assert!(put(&mut later, 0, now, b"x", |reply| reply.after_in_order(3 * MS)));
        assert!(put(&mut later, 1, now, b"x", |reply| reply.after_in_order(2 * MS)));
        assert!(put(&mut later, 2, now, b"x", |reply| reply.after_in_order(Duration::ZERO)));
        assert!(put(&mut later, 3, now, b"x", |reply| reply.after(MS)));
        assert_eq!(due(&mut later, now + 2 * MS), [3]);
        assert_eq!(due(&mut later, now + 3 * MS), [0, 1, 2]);
        let mut reply = Reply::new(usize::MAX);
        reply.after_in_order(Duration::ZERO);
        let peer = Peer::new(4, Transport::Udp, None);
        assert!(later.put(&reply, peer, (), || now).is_none(), "nothing waits, so it goes at once");
    }

    #[test]
    fn no_more_is_put_away_than_the_limit() {
        let (mut later, now) = (Later::new(), Instant::now());
        let long = vec![0; ANSWERS_LEN_MAX];
        assert!(put(&mut later, 0, now, &long, |reply| reply.after(MS)));
        assert!(!put(&mut later, 1, now, b"x", |reply| reply.after(MS)));
        assert!(!put(&mut Later::new(), 0, now, b"x", |reply| reply.after(Duration::MAX)), "a time that never comes");
        assert_eq!(due(&mut later, now + MS), [0]);
        assert!(put(&mut later, 1, now, b"x", |reply| reply.after(MS)));
    }
}
