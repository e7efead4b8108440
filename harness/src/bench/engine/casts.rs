//! Connections that play iterations together: when they can take one, how they begin it, and when they are through.

use super::Worker;
use crate::bench::clock::now;
use crate::bench::connection::{Connection, Failing, Shared, Standing};
use crate::bench::tally::LATENCY_MAX;

impl Worker {
    /// The connections of a cast.
    pub(super) fn cast(&self, cast: usize) -> std::ops::Range<usize> {
        cast * self.cast_len..(cast + 1) * self.cast_len
    }

    /// What was under way failed on this connection: of several actors it is said which.
    #[cold]
    pub(super) fn whose(&self, at: usize, failing: Failing) -> Failing {
        if self.cast_len > 1 { failing.of(self.connections[at].actor()) } else { failing }
    }

    /// Notes that a cast can take an iteration, if it can.
    pub(super) fn offer(&mut self, cast: usize) {
        if !self.is_free[cast] && self.takes(cast) {
            self.is_free[cast] = true;
            self.free.push_back(cast);
        }
    }

    /// Whether a cast can take an iteration.
    pub(super) fn takes(&self, cast: usize) -> bool {
        let most = if self.plan.load.fresh { 1 } else { self.plan.load.depth };
        self.connections[self.cast(cast)].iter().all(|connection| {
            connection.standing() == Standing::Open && !connection.is_clogged() && connection.under_way() < most
        })
    }

    /// Whether a cast has played, and the next iteration has other connections.
    pub(super) fn is_over(&self, cast: usize) -> bool {
        let connections = &self.connections[self.cast(cast)];
        let fresh = self.plan.load.fresh;
        connections.iter().all(|connection| connection.under_way() == 0 && !connection.wants_to_write())
            && (connections.iter().any(Connection::is_spent)
                || (fresh && connections.iter().all(|it| it.standing() == Standing::Open && it.begun() > 0)))
    }

    /// Lets those of a cast go on that one of them has let go on, and tells them what it has set.
    pub(super) fn pass_on(&mut self, cast: usize) -> Result<(), Failing> {
        loop {
            for at in self.cast(cast) {
                for (name, value) in self.connections[at].said() {
                    for other in self.cast(cast).filter(|other| *other != at) {
                        self.connections[other].hear(&name, &value);
                    }
                }
            }
            if !std::mem::take(&mut self.shared.casts[cast].changed) {
                return Ok(());
            }
            for at in self.cast(cast) {
                self.connections[at].resume(&mut self.shared).map_err(|failing| self.whose(at, failing))?;
            }
        }
    }

    /// Ends the connections of a cast, and gives the number of iterations that were under way.
    pub(super) fn close(&mut self, cast: usize) -> u64 {
        let lost = self.cast(cast).map(|at| self.connections[at].close(&mut self.shared)).max();
        let cast = &mut self.shared.casts[cast];
        cast.notices.fill(0);
        (cast.playing, cast.changed) = (0, false);
        lost.unwrap_or_default() as u64
    }

    /// Begins iterations on a cast until it is full.
    pub(super) fn fill(&mut self, cast: usize) -> Result<(), Failing> {
        if self.cast_len == 1 && self.connections[cast].is_uniform() {
            return self.fill_at_once(cast);
        }
        while self.takes(cast) {
            let begun = now();
            if self.take(1, begun) == 0 {
                break;
            }
            self.begin(cast, begun, begun)?;
        }
        Ok(())
    }

    /// The same where all of them begin as one.
    pub(super) fn fill_at_once(&mut self, cast: usize) -> Result<(), Failing> {
        if !self.takes(cast) {
            return Ok(());
        }
        // What was read just now, and is known to hold, is what it follows.
        let begun = match std::mem::take(&mut self.shared.read_at) {
            0 => now(),
            read_at => read_at,
        };
        let most = if self.plan.load.fresh { 1 } else { self.plan.load.depth };
        let count = self.take(most - self.connections[cast].under_way(), begun);
        if count == 0 {
            return Ok(());
        }
        if begun >= self.shared.counted_from {
            self.count_from_now();
        }
        self.shared.begun += count as u64;
        self.shared.tally.counts.begun += count as u64;
        self.connections[cast].begin_many(&mut self.shared, count, begun)
    }

    /// How many of so many iterations may begin at the time `intended`, by their number.
    pub(super) fn take(&mut self, count: usize, intended: u64) -> usize {
        let Some(left) = &mut self.left else { return count };
        let taken = count.min(usize::try_from(*left).unwrap_or(usize::MAX));
        if intended < self.shared.counted_from {
            // What warms up is not counted, here as there where it ends.
            return if *left > 0 { count } else { 0 };
        }
        *left -= taken as u64;
        taken
    }

    /// Begins an iteration.
    pub(super) fn begin(&mut self, cast: usize, intended: u64, begun: u64) -> Result<(), Failing> {
        if intended >= self.shared.counted_from {
            self.count_from_now();
        }
        let number = self.shared.begun;
        self.shared.begun += 1;
        self.shared.tally.counts.begun += 1;
        if intended != begun && begun >= self.shared.counted_from {
            let free_since = self.connections[self.cast(cast)].iter().map(Connection::free_since).max();
            let late = begun.saturating_sub(intended.max(free_since.unwrap_or_default()));
            self.shared.tally.lateness.saturating_record(late.clamp(1, LATENCY_MAX));
        }
        if self.cast_len > 1 {
            let Shared { casts, workload, .. } = &mut self.shared;
            casts[cast].notices.copy_from_slice(&workload.noticed);
            casts[cast].playing = self.cast_len;
            casts[cast].changed = true;
        }
        for at in self.cast(cast) {
            let begun = self.connections[at].begin(&mut self.shared, number, intended, begun);
            begun.map_err(|failing| self.whose(at, failing))?;
        }
        if self.cast_len > 1 { self.pass_on(cast) } else { Ok(()) }
    }
}
