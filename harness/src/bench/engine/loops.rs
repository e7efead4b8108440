//! The loops of a thread: over many connections, by a schedule, and over one that waits in its reads.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{DEAF, LOOK_EVERY, Worker, nanos};
use crate::bench::clock::now;
use crate::bench::connection::{Failing, Standing};

impl Worker {
    /// Begins what is due. Gives when the next is.
    fn launch(&mut self, begin: u64, end: u64) -> Option<u64> {
        loop {
            let schedule = self.schedule.as_ref().expect("it has one");
            let due = begin + schedule.due();
            if due >= end || self.left == Some(0) {
                return None;
            }
            let mut time = now();
            if due > time + DEAF {
                return Some(due);
            }
            while time < due {
                time = now();
            }
            // Where every connection is busy it waits for one, and its latency counts from when it was due.
            let Some(cast) = self.free.pop_front() else { return Some(due + LOOK_EVERY) };
            self.is_free[cast] = false;
            if !self.takes(cast) {
                continue;
            }
            if self.take(1, due) == 0 {
                return None;
            }
            let begun = self.begin(cast, due, time);
            self.schedule.as_mut().expect("it has one").advance();
            if let Err(failing) = begun.and_then(|()| self.flush(cast)) {
                self.failed(cast, failing);
            } else {
                self.offer(cast);
            }
        }
    }

    /// The loop, over many connections or by a schedule.
    pub(super) fn drive(&mut self, begin: u64, counted_from: u64, end: u64) {
        let mut look = begin + LOOK_EVERY;
        // What comes meanwhile is kept by the system: nothing begins early.
        std::thread::sleep(Duration::from_nanos(begin.saturating_sub(now())));
        // What was read before then was none of it.
        self.shared.read_at = 0;
        if self.schedule.is_none() {
            // What is sent before is not counted, and its answers would be.
            while now() < begin {
                std::thread::yield_now();
            }
            for cast in 0..self.shared.casts.len() {
                if let Err(failing) = self.fill(cast).and_then(|()| self.flush(cast)) {
                    self.failed(cast, failing);
                }
            }
        }
        let mut on_time = false;
        loop {
            let time = now();
            self.waking.woke(on_time, time);
            self.rotate(time, counted_from);
            if time >= look {
                self.look(time);
                self.set_clock();
                look = time + LOOK_EVERY;
                if self.signals.stop.load(Ordering::Relaxed) {
                    return;
                }
            }
            if let Some(pause) = self.plan.load.read_every {
                self.read_slowly(nanos(pause));
            }
            self.dial_again(time);
            let mut wake = look;
            for (when, _) in [self.reads.front(), self.redial.front()].into_iter().flatten() {
                wake = wake.min(*when);
            }
            let mut over = time >= end;
            if self.schedule.is_some() {
                match self.launch(begin, end) {
                    Some(due) => wake = wake.min(due),
                    None => over = true,
                }
            }
            let out = over || self.left == Some(0);
            if out && self.schedule.is_none() && time >= end {
                return;
            }
            // What was begun is waited for: an answer that is late must not look as if it had never been asked for.
            if out && self.connections.iter().all(|connection| connection.under_way() == 0) {
                return;
            }
            let time = now();
            let spin = if self.schedule.is_some() { self.waking.spin() } else { 0 };
            let sleep = wake.saturating_sub(time).saturating_sub(spin);
            if spin > 0 && sleep > 0 {
                self.waking.sleeps(time + sleep);
            }
            on_time = self.wait(Some(sleep));
        }
    }

    /// The loop over one connection that waits in its reads.
    pub(super) fn drive_one(&mut self, begin: u64, counted_from: u64, end: u64) {
        while now() < begin {
            std::thread::yield_now();
        }
        // What was read before then was none of it.
        self.shared.read_at = 0;
        let mut rotated = counted_from;
        loop {
            // For what is to be seen to now and then the time of the last answer is near enough.
            let time = match self.shared.read_at {
                0 => now(),
                read_at => read_at,
            };
            if time >= rotated {
                self.rotate(time, counted_from);
                self.set_clock();
                rotated = counted_from + (self.interval + 1) * nanos(self.plan.load.interval);
                if self.signals.stop.load(Ordering::Relaxed) {
                    return;
                }
            }
            if time >= end || (self.left == Some(0) && self.connections[0].under_way() == 0) {
                return;
            }
            if self.connections[0].standing() != Standing::Open {
                // The thread has nothing else to do, and sleeps no longer than until it has.
                if let Some((when, _)) = self.redial.front() {
                    let wait = (*when).min(rotated).min(end).saturating_sub(now());
                    std::thread::sleep(Duration::from_nanos(wait));
                }
                self.dial_again(now());
                continue;
            }
            if let Err(failing) = self.turn() {
                self.failed(0, failing);
            }
        }
    }

    /// One turn of the only connection.
    fn turn(&mut self) -> Result<(), Failing> {
        self.fill(0)?;
        self.shared.read_at = 0;
        let connection = &mut self.connections[0];
        connection.flush(&mut self.shared)?;
        if connection.under_way() > 0 {
            self.signals.watches[self.number].begins(connection.oldest().unwrap_or_default());
            let read = connection.read(&mut self.shared);
            if let Some(begun) = connection.oldest().filter(|begun| now().saturating_sub(*begun) >= self.shared.timeout)
            {
                self.overdue(0, begun + 1);
                return Ok(());
            }
            read?;
        }
        let connection = &self.connections[0];
        if connection.is_spent() || (self.plan.load.fresh && connection.under_way() == 0) {
            self.close(0);
            self.dial(0);
        }
        Ok(())
    }
}
