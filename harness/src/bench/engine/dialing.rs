//! Connections of a thread that are opened, lost, given up and dialled again.

use std::io;
use std::sync::atomic::Ordering;

use rustix::event::epoll;

use super::Worker;
use crate::bench::clock::now;
use crate::bench::connection::{Connection, Failing, Standing};
use crate::bench::plan::Report;

/// How long a connection that could not be had waits before it is dialled again.
const REDIAL_AFTER: u64 = 10_000_000;

/// The most failures that a thread tells in words.
const TOLD_MAX: usize = 5;

impl Worker {
    /// Waits until every connection is open, or cannot be.
    pub(super) fn wait_until_open(&mut self) {
        let give_up = now() + self.shared.timeout;
        loop {
            if !self.connections.iter().any(Connection::is_opening)
                || now() > give_up
                || self.signals.stop.load(Ordering::Relaxed)
            {
                return;
            }
            self.wait(Some(10_000_000));
        }
    }

    /// Opens the connections of a cast.
    pub(super) fn dial(&mut self, cast: usize) {
        let last = self.cast(cast).last().expect("there is an actor");
        let opened = self.cast(cast).try_for_each(|at| self.dial_one(at).map_err(|failing| self.whose(at, failing)));
        let opened = opened.and_then(|()| self.go_on(last));
        if let Err(failing) = opened {
            self.failed(cast, failing);
        }
    }

    fn dial_one(&mut self, at: usize) -> Result<(), Failing> {
        self.connections[at].open()?;
        if self.is_blocking {
            let connection = &mut self.connections[at];
            let watch = &self.signals.watches[self.number];
            if let Some(socket) = connection.socket().filter(|_| !connection.is_datagram()) {
                watch.set(socket);
            }
            connection.opened(&mut self.shared)?;
            while connection.is_opening() {
                let before = now();
                watch.begins(before);
                let read = connection.read(&mut self.shared);
                if now() - before >= self.shared.timeout {
                    return Err(Failing::Broken("its opening was not answered in time".into()));
                }
                read?;
                connection.flush(&mut self.shared)?;
            }
            return Ok(());
        }
        let socket = self.connections[at].socket().expect("it was just made");
        let is_datagram = self.connections[at].is_datagram();
        let edges = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        let flags = match (is_datagram, self.plan.load.read_every) {
            // A datagram more or less cannot be told from a short read, so there it is asked each time.
            (true, None) => epoll::EventFlags::IN,
            // What waits for a slow reader must not wake it.
            (true, Some(_)) | (false, _) => edges,
        };
        let data = epoll::EventData::new_u64(at as u64);
        epoll::add(&self.epoll, socket, data, flags)
            .map_err(|error| Failing::Broken(format!("cannot wait: {}", io::Error::from(error))))?;
        if is_datagram {
            self.connections[at].opened(&mut self.shared)?;
        }
        Ok(())
    }

    /// Writes what a cast has to say.
    pub(super) fn flush(&mut self, cast: usize) -> Result<(), Failing> {
        for at in self.cast(cast) {
            self.connections[at].flush(&mut self.shared).map_err(|failing| self.whose(at, failing))?;
        }
        Ok(())
    }

    /// What was under way on a cast did not end as it should, and its connections are of no use any more.
    pub(super) fn failed(&mut self, cast: usize, failing: Failing) {
        if self.connections[self.cast(cast)].iter().any(|connection| connection.standing() != Standing::Open) {
            // An iteration that cannot have a connection is one that was tried: an end by their number is reached.
            self.take(1, now());
        }
        let lost = self.close(cast);
        let counted = now() >= self.shared.counted_from || self.shared.counted_from == u64::MAX;
        let counts = &mut self.shared.tally.counts;
        let text = match failing {
            Failing::Broken(text) => {
                counts.broken += if counted { lost.max(1) } else { 0 };
                text
            }
            Failing::Mismatch(text) => {
                // The first has the wrong answer; the others will never have one.
                if counted {
                    counts.mismatches += 1;
                    counts.broken += lost.saturating_sub(1);
                }
                text
            }
        };
        if self.told < TOLD_MAX {
            self.told += 1;
            let _ = self.reports.send(Report::Failed(text));
        }
        self.redial.push_back((now() + REDIAL_AFTER, cast));
    }

    /// Looks for what takes too long.
    pub(super) fn look(&mut self, time: u64) {
        let before = time.saturating_sub(self.shared.timeout);
        for at in 0..self.connections.len() {
            if self.connections[at].oldest().is_some_and(|begun| begun < before) {
                self.overdue(at, before);
            }
        }
    }

    /// Dials again what is gone, where its time has come.
    pub(super) fn dial_again(&mut self, time: u64) {
        while self.redial.front().is_some_and(|(when, _)| *when <= time) {
            let (_, cast) = self.redial.pop_front().expect("just seen");
            self.dial(cast);
        }
    }

    /// Iterations of a connection that began before a time are given up.
    pub(super) fn overdue(&mut self, at: usize, before: u64) {
        let counted = before + self.shared.timeout >= self.shared.counted_from;
        let cast = at / self.cast_len;
        let is_datagram = self.connections[at].is_datagram() && self.cast_len == 1;
        if is_datagram && self.connections[at].standing() == Standing::Open {
            let given_up = self.connections[at].give_up(before);
            self.shared.tally.counts.timeouts += if counted { given_up } else { 0 };
            if self.schedule.is_none()
                && let Err(failing) = self.fill(cast).and_then(|()| self.flush(cast))
            {
                return self.failed(cast, failing);
            }
            return self.offer(cast);
        }
        // A stream's later answers would be taken for earlier ones.
        let lost = self.close(cast);
        self.shared.tally.counts.timeouts += if counted { lost.max(1) } else { 0 };
        if self.told < TOLD_MAX {
            self.told += 1;
            let within = crate::time::show_duration(self.plan.timeout);
            let what = if self.shared.workload.bulk.is_some() { "nothing moved" } else { "nothing was answered" };
            let _ = self.reports.send(Report::Failed(format!("{what} within {within}")));
        }
        self.dial(cast);
    }
}
