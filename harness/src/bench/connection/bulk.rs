//! What goes one way: a connection that only sends, or only reads, as fast as its socket goes.

use super::{Connection, Failing, Shared};
use crate::bench::clock::now;
use crate::bench::tally::LATENCY_MAX;
use crate::bench::wire::Got;
use crate::bench::workload::Bulk;

/// What a call has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Some, and there is more.
    More,
    /// As much as there was, or there was room for.
    Idle,
    /// The peer has ended it.
    End,
}

impl Connection {
    /// Sends or reads once, and counts the pieces that are whole by it.
    pub fn stream(&mut self, shared: &mut Shared, bulk: &Bulk) -> Result<Moved, Failing> {
        let (moved, what) = match bulk {
            Bulk::Send(bytes) => {
                let left = &bytes[self.moved..];
                let taken = self.wire.push(&mut shared.tally.counts, left)?;
                (taken, if taken < left.len() { Moved::Idle } else { Moved::More })
            }
            Bulk::Receive => match self.take_in(shared)? {
                // Its end came with it, and nobody tells of that again.
                (read, Moved::Idle) if self.hung_up && read > 0 => (read, Moved::More),
                read => read,
            },
        };
        self.is_idle = what == Moved::Idle;
        if moved == 0 {
            return Ok(what);
        }
        let now = now();
        self.moved += moved;
        self.moved_at = now;
        let pieces = (self.moved / bulk.piece_len()) as u64;
        if let Some(took) = now.saturating_sub(self.piece_at.max(self.connected)).checked_div(pieces) {
            self.moved %= bulk.piece_len();
            self.piece_at = now;
            let tally = &mut shared.tally;
            tally.latency.saturating_record_n(took.clamp(1, LATENCY_MAX), pieces);
            tally.counts.iterations += pieces;
            tally.counts.begun += pieces;
            tally.counts.messages += if matches!(bulk, Bulk::Receive) { pieces } else { 0 };
        }
        Ok(what)
    }

    /// Reads once what nobody looks at: how much it was.
    pub fn take_in(&mut self, shared: &mut Shared) -> Result<(usize, Moved), Failing> {
        let read = self.wire.read(&mut shared.tally.counts, &self.role.opening.address, &mut shared.buffers)?;
        Ok(match read {
            Got::Again => (0, Moved::More),
            Got::Bytes(bytes, true) => (bytes.len(), Moved::More),
            Got::Bytes(bytes, false) | Got::Datagrams(bytes, _) => (bytes.len(), Moved::Idle),
            Got::End => (0, Moved::End),
            Got::Nothing => (0, Moved::Idle),
        })
    }

    /// Whether its socket had no more to take, or to give, when it was asked last.
    pub fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Its socket has something again; maybe its peer's end.
    pub fn wake(&mut self, hung_up: bool) {
        self.is_idle = false;
        self.hung_up |= hung_up;
    }

    /// When something moved last, or when it was opened.
    pub fn moved_at(&self) -> u64 {
        self.moved_at.max(self.connected)
    }
}
