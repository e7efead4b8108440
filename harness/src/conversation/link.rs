//! One connection as the conversation sees it: what has arrived and is unread, and what has ended.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::event::Transport;
use crate::framing::{Decoded, Framing, FramingError};
use crate::time::Time;

/// The most unread bytes that are kept of one connection. A peer that sends more has to wait.
pub const UNREAD_MAX: usize = 64 << 20;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// We closed it, it was reset, or it never opened.
    Closed,
    Dialing,
    Open,
    /// In the middle of a handshake that a step began.
    Securing,
}

/// Why a connection could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Whether the peer refused.
    pub(super) refused: bool,
    /// What a handshake failed of, where that is what failed.
    pub(super) handshake: Option<Option<String>>,
    /// The reason in words.
    pub(super) reason: String,
}

/// Why nothing more will come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The peer closed its direction.
    Eof,
    /// The system refused to read or write.
    Failed(String),
    /// The peer reset the connection.
    Reset,
    /// TLS ended it: why, and what to try.
    Tls(String, Option<String>),
    /// Nobody listens on the port.
    Unreachable,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) actor: usize,
    pub(super) state: State,
    pub(super) transport: Transport,
    pub(super) ending: Option<Ending>,
    /// Whether we closed our direction.
    pub(super) shut: bool,
    /// When the last bytes arrived.
    pub(super) arrived: Time,
    /// Why it could not be opened.
    pub(super) refusal: Option<Refusal>,
    /// Whether it came to a listener of ours.
    pub(super) incoming: bool,
    /// Whether TLS is its beginning, so that it is not open before.
    pub(super) begins_with_tls: bool,
    /// Whether a step has taken it or spoken on it, where it came to a listener.
    pub(super) claimed: bool,
    /// What the socket is taking.
    pub(super) writing: Option<Bytes>,
    stream: BytesMut,
    datagrams: VecDeque<Bytes>,
    /// How much of the stream the framing has looked at.
    searched: usize,
    unread: usize,
}

/// One message at the front of what is unread.
pub(super) struct Message {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) consumed: usize,
}

impl Link {
    pub(super) fn new(actor: usize, transport: Transport, incoming: bool, now: Time) -> Link {
        Link {
            actor,
            incoming,
            begins_with_tls: false,
            claimed: !incoming,
            state: State::Dialing,
            transport,
            ending: None,
            shut: false,
            arrived: now,
            refusal: None,
            writing: None,
            stream: BytesMut::new(),
            datagrams: VecDeque::new(),
            searched: 0,
            unread: 0,
        }
    }

    /// Whether nothing more can arrive.
    pub(super) fn is_over(&self) -> bool {
        // A datagram that nobody took says nothing of the next.
        !matches!(self.state, State::Open | State::Securing)
            || self.ending.as_ref().is_some_and(|ending| *ending != Ending::Unreachable)
    }

    pub(super) fn receive(&mut self, now: Time, data: Bytes) {
        self.arrived = now;
        self.unread += data.len();
        if self.transport.is_datagram() {
            self.datagrams.push_back(data);
        } else {
            self.stream.extend_from_slice(&data);
        }
    }

    pub(super) fn unread(&self) -> usize {
        self.unread
    }

    /// Whether more may be read from the socket.
    pub(super) fn has_room(&self) -> bool {
        self.unread < UNREAD_MAX && self.datagrams.len() < UNREAD_MAX / 1024
    }

    pub(super) fn has_unread(&self) -> bool {
        !self.stream.is_empty() || !self.datagrams.is_empty()
    }

    /// The next thing to look at: all unread bytes of a stream, or the first datagram.
    pub(super) fn front(&self) -> Option<&[u8]> {
        if self.transport.is_datagram() { self.datagrams.front().map(|data| &**data) } else { Some(&self.stream) }
    }

    /// The first message, or `None` until it is whole.
    pub(super) fn message(&mut self, framing: Option<&dyn Framing>) -> Result<Option<Message>, FramingError> {
        let Some(framing) = framing else {
            return Ok(self.datagrams.front().map(|data| Message { start: 0, end: data.len(), consumed: data.len() }));
        };
        let (input, searched) = match self.transport.is_datagram() {
            true => match self.datagrams.front() {
                Some(data) => (&**data, 0),
                None => return Ok(None),
            },
            false => (&*self.stream, self.searched),
        };
        match framing.decode(input, searched)? {
            Decoded::Message { start, end, consumed } => Ok(Some(Message { start, end, consumed })),
            // A datagram is whole: what the framing misses will not come.
            Decoded::NeedMore if self.transport.is_datagram() => {
                Ok(Some(Message { start: 0, end: input.len(), consumed: input.len() }))
            }
            Decoded::NeedMore => {
                self.searched = input.len();
                Ok(None)
            }
        }
    }

    /// Takes `len` bytes off the stream, or the first datagram with all that is in it.
    pub(super) fn consume(&mut self, len: usize) {
        self.searched = 0;
        if self.transport.is_datagram() {
            self.unread -= self.datagrams.pop_front().map_or(0, |data| data.len());
            return;
        }
        bytes::Buf::advance(&mut self.stream, len);
        self.unread -= len;
    }

    /// Drops everything unread, and says how much it was.
    pub(super) fn clear(&mut self) -> usize {
        self.searched = 0;
        self.stream.clear();
        self.datagrams.clear();
        std::mem::take(&mut self.unread)
    }
}
