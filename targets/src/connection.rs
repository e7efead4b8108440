//! One connection with no socket: what to write, when to read, how it ends.
//!
//! Reading and writing belong to whoever drives it: a shell, [`crate::memory`], a benchmark.

use std::fmt;
use std::mem;
use std::task::Waker;
use std::time::Duration;

use crate::bell::Bell;
use crate::service::{Peer, ProcessEnd, Reply, Server, Service, When};

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In good order: all output is written.
    Close,
    /// At once, with a RST where there is one.
    Reset,
}

/// A service and what it has yet to send.
pub struct Connection {
    service: Box<dyn Service>,
    reply: Reply,
    /// The peer sends no more.
    ended: bool,
    /// The service stopped at a full reply, and goes on when all of it is written. No input until then, so
    /// that what a service puts aside is at most one read.
    held: bool,
}

impl Connection {
    /// Opens a connection whose service waits when `output_len_max` bytes are unwritten.
    pub fn open(server: &dyn Server, peer: &Peer, output_len_max: usize) -> Connection {
        Connection::serve(server.accept(peer), output_len_max)
    }

    /// Opens a connection with a service of its own.
    pub fn serve(service: Box<dyn Service>, output_len_max: usize) -> Connection {
        let mut connection = Connection { service, reply: Reply::new(output_len_max), ended: false, held: false };
        connection.service.open(&mut connection.reply);
        connection.held = connection.reply.is_full();
        connection
    }

    /// Whether input is wanted now. While it is not, it stays with the transport, which slows the peer.
    pub fn wants_input(&self) -> bool {
        !(self.held || self.is_ending())
    }

    /// Takes input, where [`Connection::wants_input`].
    pub fn receive(&mut self, input: &[u8]) {
        debug_assert!(self.wants_input());
        self.service.receive(input, &mut self.reply);
        self.held = self.reply.is_full();
    }

    /// The peer sends no more, where [`Connection::wants_input`].
    pub fn end(&mut self) {
        debug_assert!(self.wants_input());
        self.ended = true;
        self.service.end(&mut self.reply);
    }

    /// What is to be written.
    pub fn output(&self) -> &[u8] {
        if self.reply.resetting { &[] } else { self.reply.unwritten() }
    }

    /// The first `len` bytes of the output are written.
    pub fn written(&mut self, len: usize) {
        let reply = &mut self.reply;
        reply.written += len;
        if !reply.unwritten().is_empty() {
            // A reader that is slow but never stops would otherwise let what is done with pile up.
            if reply.written > reply.unwritten().len() {
                reply.output.drain(..mem::take(&mut reply.written));
            }
            return;
        }
        reply.output.clear();
        reply.written = 0;
        if !reply.closing {
            self.service.drained(reply);
        }
        self.held = reply.is_full();
    }

    /// Takes no more input and ends when the output is written.
    pub fn close(&mut self) {
        self.reply.close();
    }

    /// Has `waker` woken when [`Connection::answer_bell`] has something to do.
    pub fn attach(&self, waker: &Waker) {
        if let Some(bell) = &self.reply.bell {
            bell.attach(waker);
        }
    }

    /// Whether others can wake the service.
    pub(crate) fn has_bell(&self) -> bool {
        self.reply.bell.is_some()
    }

    /// Whether the service has asked for more than to have its output written.
    pub(crate) fn asks_for_more(&self) -> bool {
        let Reply { pause, alarm, closing, resetting, .. } = &self.reply;
        pause.is_some() || alarm.is_some() || *closing || *resetting
    }

    /// Wakes the service if its bell was rung.
    pub fn answer_bell(&mut self) {
        if self.reply.bell.as_ref().is_some_and(Bell::take) && !self.is_ending() {
            self.service.woken(&mut self.reply);
            self.held |= self.reply.is_full(); // held before, it still has input put aside
        }
    }

    /// After how long [`Connection::time_out`] is wanted, in place of what was said before; said once.
    pub fn take_alarm(&mut self) -> Option<Duration> {
        self.reply.alarm.take()
    }

    /// The time that was asked for is over.
    pub fn time_out(&mut self) {
        let withholds = self.reply.withheld > 0 && !(self.reply.closing || self.reply.resetting);
        if withholds || !self.is_ending() {
            self.service.timed_out(&mut self.reply);
            self.held |= self.reply.is_full();
        }
    }

    /// Whether nothing is received any more.
    pub(crate) fn is_ending(&self) -> bool {
        self.ended || self.reply.closing || self.reply.resetting
    }

    /// For how long nothing is to be read or written; said once.
    pub fn take_pause(&mut self) -> Option<Duration> {
        self.reply.pause.take()
    }

    /// How the server's process is to end; said once.
    pub fn take_process_end(&mut self) -> Option<ProcessEnd> {
        self.reply.process_end.take()
    }

    /// How the connection ends, once nothing is left to write.
    pub fn ending(&self) -> Option<Ending> {
        if self.reply.resetting {
            return Some(Ending::Reset);
        }
        let is_done = self.reply.closing || (self.ended && self.reply.withheld == 0);
        (self.output().is_empty() && is_done).then_some(Ending::Close)
    }

    /// Takes `spare` as the output's buffer if it has none, so that a quiet connection need not hold memory.
    pub(crate) fn borrow_buffer(&mut self, spare: &mut Vec<u8>) {
        if self.reply.output.capacity() == 0 {
            self.reply.output = mem::take(spare);
        }
    }

    /// Gives back the output's buffer if nothing is in it; the larger of the two is kept, up to `len_max`.
    pub(crate) fn return_buffer(&mut self, spare: &mut Vec<u8>, len_max: usize) {
        if self.reply.output.is_empty() {
            let buffer = mem::take(&mut self.reply.output);
            if (spare.capacity()..=len_max).contains(&buffer.capacity()) {
                *spare = buffer;
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("unwritten", &self.reply.unwritten().len())
            .field("ended", &self.ended)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

/// Answers one datagram; `None` means with silence.
///
/// Each datagram has a service of its own.
pub fn answer(server: &dyn Server, peer: &Peer, datagram: &[u8]) -> Option<Vec<u8>> {
    let mut reply = Reply::new(usize::MAX);
    answer_into(server, peer, datagram, &mut reply).then_some(reply.output)
}

/// Answers one datagram into a reply that is used again and again, and says whether there is an answer.
pub(crate) fn answer_into(server: &dyn Server, peer: &Peer, datagram: &[u8], reply: &mut Reply) -> bool {
    reply.output.clear();
    reply.answered = false;
    (reply.copies, reply.pause, reply.when) = (1, None, When::Now);
    server.accept(peer).receive(datagram, reply);
    reply.answered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Transport;

    const PEER: Peer = Peer::new(0, Transport::Tcp, None);

    /// Answers each byte with that many bytes, and stops where the reply is full.
    struct Expand(Vec<u8>);

    impl Service for Expand {
        fn receive(&mut self, input: &[u8], reply: &mut Reply) {
            self.0.extend_from_slice(input);
            self.drained(reply);
        }

        fn drained(&mut self, reply: &mut Reply) {
            while !reply.is_full() && !self.0.is_empty() {
                let byte = self.0.remove(0);
                reply.send(&vec![byte; byte.into()]);
            }
        }
    }

    fn expand(output_len_max: usize) -> Connection {
        Connection::open(&|_: &Peer| Expand(Vec::new()), &PEER, output_len_max)
    }

    #[test]
    fn no_input_is_wanted_from_full_until_all_is_written() {
        let mut connection = expand(4);
        connection.receive(&[3]);
        assert!(connection.wants_input());
        connection.receive(&[3, 1]);
        assert!(!connection.wants_input());
        connection.written(5);
        assert!(!connection.wants_input(), "one byte is left");
        connection.written(1);
        assert_eq!(connection.output(), [1], "what was put aside goes on");
        assert!(connection.wants_input());
    }

    #[test]
    fn a_limit_of_zero_does_not_stop_the_connection() {
        let mut connection = expand(0);
        connection.receive(&[1, 1]);
        connection.written(1);
        connection.written(1);
        assert!(connection.wants_input());
    }

    #[test]
    fn a_reader_that_never_catches_up_does_not_grow_the_buffer() {
        let mut connection = expand(200);
        connection.receive(&[50]);
        for _ in 0..10_000 {
            connection.receive(&[50]);
            connection.written(50);
        }
        assert_eq!(connection.output().len(), 50);
        assert!(connection.reply.output.capacity() < 1_000, "{}", connection.reply.output.capacity());
    }

    #[test]
    fn half_closed_the_connection_ends_when_all_is_written() {
        let mut connection = expand(4);
        connection.receive(&[2]);
        connection.end();
        assert_eq!(connection.ending(), None);
        connection.written(2);
        assert_eq!(connection.ending(), Some(Ending::Close));
    }

    /// Says what woke it.
    struct Wakes;

    impl Service for Wakes {
        fn open(&mut self, reply: &mut Reply) {
            reply.bell().ring();
            reply.wake_after(Duration::from_secs(3));
        }

        fn receive(&mut self, input: &[u8], reply: &mut Reply) {
            reply.send(input);
            let bell = reply.bell();
            bell.ring();
            bell.ring();
        }

        fn woken(&mut self, reply: &mut Reply) {
            reply.send(b"woken ");
        }

        fn timed_out(&mut self, reply: &mut Reply) {
            reply.send(b"timed out ");
        }
    }

    #[test]
    fn a_bell_wakes_once_for_many_rings_and_an_alarm_is_said_once() {
        let mut connection = Connection::open(&|_: &Peer| Wakes, &PEER, 100);
        connection.receive(b"x ");
        connection.answer_bell();
        connection.answer_bell();
        assert_eq!(connection.take_alarm(), Some(Duration::from_secs(3)));
        assert_eq!(connection.take_alarm(), None);
        connection.time_out();
        assert_eq!(connection.output(), b"x woken timed out ");
    }

    #[test]
    fn a_connection_that_ends_is_not_woken() {
        let mut connection = Connection::open(&|_: &Peer| Wakes, &PEER, 100);
        connection.close();
        connection.answer_bell();
        connection.time_out();
        assert_eq!(connection.output(), b"");
    }

    #[test]
    fn a_wake_does_not_let_input_in_before_all_is_written() {
        let mut connection = Connection::open(&|_: &Peer| Wakes, &PEER, 4);
        connection.receive(b"12345678");
        connection.written(7);
        connection.reply.bell().ring();
        connection.answer_bell();
        assert!(!connection.wants_input(), "it was held, and not all is written");
    }

    #[test]
    fn a_reset_loses_what_is_unwritten() {
        struct Resets;
        impl Service for Resets {
            fn receive(&mut self, input: &[u8], reply: &mut Reply) {
                reply.send(input);
                reply.reset();
            }
        }
        let mut connection = Connection::open(&|_: &Peer| Resets, &PEER, 4);
        connection.receive(b"x");
        assert_eq!((connection.output(), connection.ending()), (&b""[..], Some(Ending::Reset)));
    }
}
