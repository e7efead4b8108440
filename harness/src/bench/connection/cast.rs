//! One of several actors that play an iteration together: what it waits for others with, and what they hear of it.

use std::sync::Arc;

use bytes::Bytes;

use super::{Connection, Failing, Shared, Standing};
use crate::bench::clock::now;
use crate::bench::workload::{Operation, Part};

/// The most datagrams of an actor that wait for its turn.
const EARLY_MAX: usize = 1024;

impl Connection {
    /// Keeps a datagram that has come before its actor's turn. `false` where it is its turn.
    pub(super) fn keep_early(&mut self, part: &Part, datagram: &[u8]) -> bool {
        let Some(flight) = self.flights.front() else { return false };
        let waits = matches!(self.operations(part).get(flight.at), Some(Operation::Await(..) | Operation::Notify(_)));
        if waits && self.early.len() < EARLY_MAX {
            self.early.push_back(Bytes::copy_from_slice(datagram));
        }
        waits
    }

    /// Goes on where others have given a notice, or its socket has room again.
    pub fn resume(&mut self, shared: &mut Shared) -> Result<(), Failing> {
        if !matches!(self.standing, Standing::Open | Standing::Opening) || self.flights.is_empty() {
            return Ok(());
        }
        let now = now();
        self.advance_carried(shared, now)?;
        while !self.flights.is_empty()
            && let Some(datagram) = self.early.pop_front()
        {
            let before = self.early.len();
            self.datagram(shared, &datagram, now)?;
            if self.early.len() > before {
                // It is not its turn yet: what came first stays first.
                self.early.rotate_right(1);
                break;
            }
        }
        self.flush(shared)
    }

    /// The variables that it has set since it was asked last.
    pub fn said(&mut self) -> Vec<(Arc<str>, Bytes)> {
        self.expectation.said()
    }

    /// Another actor has set a variable.
    pub fn hear(&mut self, name: &Arc<str>, value: &Bytes) {
        self.expectation.hear(name, value);
    }
}
