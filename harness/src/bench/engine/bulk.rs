//! The loop over connections on which everything goes one way.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{LOOK_EVERY, Worker};
use crate::bench::clock::now;
use crate::bench::connection::{Failing, Moved, Standing};
use crate::bench::workload::Bulk;

/// How often one connection sends or reads before the next has its turn.
const TURNS: usize = 16;

impl Worker {
    /// Moves what the socket of each connection takes or gives, until the end.
    pub(super) fn drive_bulk(&mut self, begin: u64, counted_from: u64, end: u64) {
        let workload = Rc::clone(&self.shared.workload);
        let bulk = workload.bulk.as_ref().expect("it goes one way");
        // The moment that all threads begin at, at most 2 ms from now: no event but time.
        std::thread::sleep(Duration::from_nanos(begin.saturating_sub(now())));
        let mut look = begin + LOOK_EVERY;
        loop {
            let time = now();
            self.rotate(time, counted_from);
            if time >= end || self.left == Some(0) {
                return;
            }
            if time >= look {
                self.stalled(time);
                look = time + LOOK_EVERY;
                if self.signals.stop.load(Ordering::Relaxed) {
                    return;
                }
            }
            self.dial_again(time);
            let mut idle = true;
            for at in 0..self.connections.len() {
                if let Err(failing) = self.turns(at, bulk) {
                    self.failed(at, failing);
                }
                let connection = &self.connections[at];
                idle &= connection.standing() != Standing::Open || connection.is_idle();
            }
            let wake = self.redial.front().map_or(look, |(when, _)| look.min(*when));
            self.wait(Some(if idle { wake.saturating_sub(now()) } else { 0 }));
        }
    }

    /// One connection's turns.
    fn turns(&mut self, at: usize, bulk: &Bulk) -> Result<(), Failing> {
        for _ in 0..TURNS {
            let connection = &mut self.connections[at];
            if connection.standing() != Standing::Open || connection.is_idle() || self.left == Some(0) {
                break;
            }
            let before = self.shared.tally.counts.iterations;
            let moved = connection.stream(&mut self.shared, bulk)?;
            if let Some(left) = self.left.as_mut().filter(|_| self.is_counting) {
                *left = left.saturating_sub(self.shared.tally.counts.iterations - before);
            }
            if moved == Moved::End {
                self.close(at);
                self.dial(at);
            }
        }
        Ok(())
    }

    /// What comes back while everything goes there is read, so that it stops nobody.
    pub(super) fn ignore_answers(&mut self, at: usize) -> Result<(), Failing> {
        loop {
            match self.connections[at].take_in(&mut self.shared)?.1 {
                Moved::More => {}
                Moved::Idle => return Ok(()),
                Moved::End => return Err(Failing::Broken("the peer closed the connection".into())),
            }
        }
    }

    /// Looks for connections on which nothing moves any more.
    fn stalled(&mut self, time: u64) {
        for at in 0..self.connections.len() {
            let connection = &self.connections[at];
            let since = match connection.standing() {
                Standing::Gone => continue,
                Standing::Open => connection.moved_at(),
                _ => connection.oldest().unwrap_or(time),
            };
            if time.saturating_sub(since) > self.shared.timeout {
                self.overdue(at, time);
            }
        }
    }
}
