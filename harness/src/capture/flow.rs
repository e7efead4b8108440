//! What one connection puts on its wire.
//!
//! A flow turns opens, bytes and ends into frames with the sequence numbers that they would have had.
//! Where the harness plays both ends of a connection there are two accounts of the same bytes, and
//! written as they are they would read as retransmissions. So a flow counts bytes by direction: the
//! account that is ahead makes the frames, and the other only observes them.
//!
//! Nothing is invented but what a peer that behaves must have done: the handshake's answers, and ACKs.
//! A FIN or an RST that nobody saw is not there.

use std::collections::VecDeque;

use super::address::Invented;
use super::packet::{DATAGRAM_LEN_MAX, End, SEGMENT_LEN_MAX, Segment, flag};

/// After so many bytes in one direction the other side acknowledges them, if it has not said anything itself.
const UNACKNOWLEDGED_MAX: u32 = 1 << 20;
/// How many datagrams wait for the other account of them; older ones count as lost.
const DATAGRAMS_WAITING_MAX: usize = 1_024;

/// A frame's number in its capture, from 0.
pub(super) type FrameId = u32;

/// One of the two ends of a flow: `NEAR` is the one whose account came first.
pub(super) type Endside = usize;
pub(super) const NEAR: Endside = 0;

/// A packet to be, without its bytes.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// Nanoseconds since 1970.
    pub(super) at_ns: u64,
    /// Its flow's number.
    pub(super) flow: u32,
    /// Which end sent it.
    pub(super) from: Endside,
    pub(super) shape: Shape,
    pub(super) payload: &'a [u8],
    /// Where one write, read or datagram took several frames: which of how many, and of how many bytes.
    pub(super) part: Option<Part>,
    /// The steps that sent and received it, by end.
    pub(super) claims: [Option<Claim>; 2],
    /// What happened after it and has no frame of its own.
    pub(super) notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Datagram,
    Segment(Segment),
    /// The payload is that of the datagram which could not be delivered.
    Unreachable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) index: usize,
    pub(super) count: usize,
    pub(super) len: usize,
}

/// A step that has to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) step: u32,
    /// Whether the step had not begun when the frame was recorded.
    pub(super) early: bool,
    pub(super) passed: bool,
}

#[derive(Debug)]
pub(super) struct Flow<'a> {
    id: u32,
    pub(super) ends: [End; 2],
    /// Whose account each end is, as indices of actors.
    pub(super) actors: [Option<u32>; 2],
    datagrams: bool,
    reset: bool,
    /// What each end sends.
    directions: [Direction<'a>; 2],
    /// The last frame with data or an end that each end's account has told of.
    last: [Option<FrameId>; 2],
}

#[derive(Debug, Default)]
struct Direction<'a> {
    /// The next sequence number.
    next: u32,
    /// What the other end has acknowledged.
    acknowledged: u32,
    /// How many bytes each account has told of: that of the sender is at the sender's index.
    told: [u64; 2],
    /// Frames that one account has told of, with the stream's offset behind them.
    stream: VecDeque<(FrameId, u64)>,
    /// Datagrams that only the account of this end has told of.
    waiting: [VecDeque<(FrameId, &'a [u8])>; 2],
    finished: Option<FrameId>,
    last_datagram: &'a [u8],
}

/// Where a flow leaves its frames.
pub(super) struct Output<'f, 'a> {
    pub(super) frames: &'f mut Vec<Frame<'a>>,
    pub(super) at_ns: u64,
    /// The frames that the event told of and that a step may claim.
    pub(super) told: &'f mut Vec<FrameId>,
}

impl<'a> Flow<'a> {
    pub(super) fn new(id: u32, ends: [End; 2], actor: u32, datagrams: bool, invented: &Invented) -> Flow<'a> {
        let [near, far] = invented.sequences;
        let direction = |next| Direction { next, acknowledged: next, ..Direction::default() };
        Flow {
            id,
            ends,
            actors: [Some(actor), None],
            datagrams,
            reset: false,
            directions: [direction(near), direction(far)],
            last: [None; 2],
        }
    }

    pub(super) fn last(&self, account: Endside) -> Option<FrameId> {
        self.last[account]
    }

    /// The handshake that `dialler` began.
    pub(super) fn open(&mut self, dialler: Endside, output: &mut Output<'_, 'a>) {
        if self.datagrams {
            return;
        }
        output.told.push(self.segment(dialler, flag::SYN, &[], None, output.frames, output.at_ns));
        self.segment(1 - dialler, flag::SYN | flag::ACK, &[], None, output.frames, output.at_ns);
        self.segment(dialler, flag::ACK, &[], None, output.frames, output.at_ns);
    }

    /// A connect that failed: answered with an RST, or with nothing.
    pub(super) fn fail(&mut self, refused: bool, output: &mut Output<'_, 'a>) {
        if self.datagrams {
            return;
        }
        output.told.push(self.segment(NEAR, flag::SYN, &[], None, output.frames, output.at_ns));
        if refused {
            // Who has no connection has no sequence numbers: RFC 9293, 3.5.2.
            self.directions[1 - NEAR].next = 0;
            let id = self.segment(1 - NEAR, flag::RST | flag::ACK, &[], None, output.frames, output.at_ns);
            self.tell(NEAR, id, output);
        }
    }

    /// Bytes from one end, told by the account of `account`.
    pub(super) fn data(&mut self, from: Endside, account: Endside, data: &'a [u8], output: &mut Output<'_, 'a>) {
        if self.datagrams {
            self.datagram(from, account, data, output);
        } else {
            self.stream(from, account, data, output);
        }
    }

    fn stream(&mut self, from: Endside, account: Endside, data: &'a [u8], output: &mut Output<'_, 'a>) {
        let direction = &mut self.directions[from];
        let other = direction.told[1 - account];
        let start = direction.told[account];
        let end = start + data.len() as u64;
        direction.told[account] = end;
        // What the other account has told of already has its frames.
        let seen = other.saturating_sub(start).min(data.len() as u64) as usize;
        while seen > 0
            && let Some(&(id, until)) = self.directions[from].stream.front()
        {
            self.tell(account, id, output);
            if until <= end {
                self.directions[from].stream.pop_front();
            }
            if until >= end {
                break;
            }
        }
        let data = &data[seen..];
        let count = data.len().div_ceil(SEGMENT_LEN_MAX);
        let mut offset = start + seen as u64;
        for (index, piece) in data.chunks(SEGMENT_LEN_MAX).enumerate() {
            let push = if index + 1 == count { flag::PSH } else { 0 };
            let part = (count > 1).then_some(Part { index, count, len: data.len() });
            let id = self.segment(from, flag::ACK | push, piece, part, output.frames, output.at_ns);
            offset += piece.len() as u64;
            self.directions[from].stream.push_back((id, offset));
            self.tell(account, id, output);
            let direction = &self.directions[from];
            if direction.next.wrapping_sub(direction.acknowledged) > UNACKNOWLEDGED_MAX {
                self.segment(1 - from, flag::ACK, &[], None, output.frames, output.at_ns);
            }
        }
    }

    fn datagram(&mut self, from: Endside, account: Endside, data: &'a [u8], output: &mut Output<'_, 'a>) {
        let direction = &mut self.directions[from];
        direction.last_datagram = &data[..data.len().min(DATAGRAM_LEN_MAX)];
        let known = &mut direction.waiting[1 - account];
        if let Some(index) = known.iter().position(|(_, waiting)| *waiting == data) {
            let (id, _) = known.remove(index).expect("it was just found there");
            self.tell(account, id, output);
            return;
        }
        let count = data.len().div_ceil(DATAGRAM_LEN_MAX).max(1);
        for index in 0..count {
            let rest = &data[index * DATAGRAM_LEN_MAX..];
            let piece = &rest[..rest.len().min(DATAGRAM_LEN_MAX)];
            let part = (count > 1).then_some(Part { index, count, len: data.len() });
            let id = self.push(from, Shape::Datagram, piece, part, output.frames, output.at_ns);
            self.tell(account, id, output);
        }
        let id = output.frames.len() as FrameId - 1;
        let waiting = &mut self.directions[from].waiting[account];
        waiting.push_back((id, data));
        if waiting.len() > DATAGRAMS_WAITING_MAX {
            waiting.pop_front();
        }
    }

    /// One end will send no more, told by the account of `account`.
    pub(super) fn finish(&mut self, from: Endside, account: Endside, output: &mut Output<'_, 'a>) {
        if self.datagrams || self.reset {
            return;
        }
        if let Some(id) = self.directions[from].finished {
            return self.tell(account, id, output);
        }
        let id = self.segment(from, flag::FIN | flag::ACK, &[], None, output.frames, output.at_ns);
        self.directions[from].finished = Some(id);
        self.tell(account, id, output);
        self.segment(1 - from, flag::ACK, &[], None, output.frames, output.at_ns);
    }

    /// One end broke the connection off, told by the account of `account`.
    pub(super) fn reset(&mut self, from: Endside, account: Endside, output: &mut Output<'_, 'a>) {
        if self.datagrams || self.reset {
            return;
        }
        self.reset = true;
        let id = self.segment(from, flag::RST | flag::ACK, &[], None, output.frames, output.at_ns);
        self.tell(account, id, output);
    }

    /// One end has no socket at that port.
    pub(super) fn unreachable(&mut self, from: Endside, account: Endside, output: &mut Output<'_, 'a>) {
        if !self.datagrams {
            return self.reset(from, account, output);
        }
        let payload = self.directions[1 - from].last_datagram;
        let id = self.push(from, Shape::Unreachable, payload, None, output.frames, output.at_ns);
        self.tell(account, id, output);
    }

    fn tell(&mut self, account: Endside, id: FrameId, output: &mut Output<'_, 'a>) {
        self.last[account] = Some(id);
        output.told.push(id);
    }

    fn segment(
        &mut self,
        from: Endside,
        flags: u8,
        payload: &'a [u8],
        part: Option<Part>,
        frames: &mut Vec<Frame<'a>>,
        at_ns: u64,
    ) -> FrameId {
        let other = &mut self.directions[1 - from];
        let mut acknowledgement = 0;
        if flags & flag::ACK != 0 {
            acknowledgement = other.next;
            other.acknowledged = other.next;
        }
        let direction = &mut self.directions[from];
        let sequence = direction.next;
        let control = u32::from(flags & (flag::SYN | flag::FIN) != 0);
        direction.next = sequence.wrapping_add(payload.len() as u32).wrapping_add(control);
        self.push(from, Shape::Segment(Segment { sequence, acknowledgement, flags }), payload, part, frames, at_ns)
    }

    fn push(
        &self,
        from: Endside,
        shape: Shape,
        payload: &'a [u8],
        part: Option<Part>,
        frames: &mut Vec<Frame<'a>>,
        at_ns: u64,
    ) -> FrameId {
        let id = frames.len() as FrameId;
        frames.push(Frame { at_ns, flow: self.id, from, shape, payload, part, claims: [None; 2], notes: Vec::new() });
        id
    }
}
