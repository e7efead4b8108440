//! What a load generator counts, and how it does so without taking memory while it measures.

use hdrhistogram::Histogram;

use super::wire::Stamps;

/// The shortest latency that is told apart, in nanoseconds.
pub const LATENCY_MIN: u64 = 1;

/// The longest; what takes longer counts as this.
pub const LATENCY_MAX: u64 = 60_000_000_000;

/// Significant decimal digits of a latency.
pub const DIGITS: u8 = 3;

/// A histogram of nanoseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LATENCY_MIN, LATENCY_MAX, DIGITS).expect("the bounds are sound")
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Iterations that ended as they should.
    pub iterations: u64,
    /// Iterations whose answer was not the expected one.
    pub mismatches: u64,
    /// Iterations that were not answered in time.
    pub timeouts: u64,
    /// Connections that ended, or could not be had, while an iteration was under way.
    pub broken: u64,
    /// Datagrams that came a second time.
    pub duplicates: u64,
    /// Answers that came after one to a later request.
    pub reordered: u64,
    /// Answers to what had been given up.
    pub late: u64,
    /// Messages, or bytes, that nobody had asked for.
    pub unasked: u64,
    /// Datagrams that this side's own socket had no room for.
    pub overflows: u64,
    /// Datagrams that the server's socket had no room for, where it is on this machine.
    #[serde(default)]
    pub server_overflows: u64,
    /// Iterations that were begun.
    pub begun: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Bytes written.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// Messages written and read: what `syscalls` is held against.
    pub messages: u64,
    /// System calls for them.
    pub syscalls: u64,
}

impl Counts {
    /// Iterations that did not end as they should.
    pub fn failed(&self) -> u64 {
        self.mismatches + self.timeouts + self.broken
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Counts) {
        let Counts {
            iterations,
            mismatches,
            timeouts,
            broken,
            duplicates,
            reordered,
            late,
            unasked,
            overflows,
            server_overflows,
            begun,
            connections,
            bytes_sent,
            bytes_received,
            messages,
            syscalls,
        } = other;
        self.iterations += iterations;
        self.mismatches += mismatches;
        self.timeouts += timeouts;
        self.broken += broken;
        self.duplicates += duplicates;
        self.reordered += reordered;
        self.late += late;
        self.unasked += unasked;
        self.overflows += overflows;
        self.server_overflows += server_overflows;
        self.begun += begun;
        self.connections += connections;
        self.bytes_sent += bytes_sent;
        self.bytes_received += bytes_received;
        self.messages += messages;
        self.syscalls += syscalls;
    }
}

/// What happened in some time.
#[derive(Clone, Debug)]
pub struct Tally {
    /// From when an iteration was to begin until it ended. With a closed loop that is when it began.
    pub latency: Histogram<u64>,
    /// From when it began until it ended: what the server is answerable for.
    pub service: Histogram<u64>,
    /// How late it began though a connection was free: what the load generator is answerable for.
    pub lateness: Histogram<u64>,
    /// How long connections took to open.
    pub connect: Histogram<u64>,
    /// How long both sides took to agree on TLS, from the open connection on.
    pub handshake: Histogram<u64>,
    /// From when it began until its first bytes left the kernel, where the kernel's timestamps say.
    pub sending: Histogram<u64>,
    /// From then, or from when it began, until its last answer came to the kernel.
    pub away: Histogram<u64>,
    /// From then until it had been read.
    pub waking: Histogram<u64>,
    /// From what was sent before each expectation until that held.
    pub steps: Vec<Histogram<u64>>,
    /// How many of what.
    pub counts: Counts,
}

impl Tally {
    /// One of a workload with so many expectations.
    pub fn new(steps: usize) -> Tally {
        Tally {
            latency: histogram(),
            service: histogram(),
            lateness: histogram(),
            connect: histogram(),
            handshake: histogram(),
            sending: histogram(),
            away: histogram(),
            waking: histogram(),
            steps: vec![histogram(); steps],
            counts: Counts::default(),
        }
    }

    /// Splits the time of an iteration at when it left the kernel and when it came back, where that is known and can be.
    pub fn split(&mut self, stamps: Stamps, times: [Option<u64>; 4]) {
        let [Some(begun), Some(left), Some(came), Some(now)] = times else { return };
        // The clock of the day may have been set in between.
        if !(begun <= left && left <= came && came <= now) {
            return;
        }
        let record = |to: &mut Histogram<u64>, from: u64, until: u64| {
            to.saturating_record((until - from).clamp(LATENCY_MIN, LATENCY_MAX));
        };
        if stamps == Stamps::RxTx {
            record(&mut self.sending, begun, left);
        }
        record(&mut self.away, left, came);
        record(&mut self.waking, came, now);
    }

    /// Everything that is told of times, in the same order for all of one workload.
    pub fn histograms_mut(&mut self) -> impl Iterator<Item = &mut Histogram<u64>> {
        let Tally { latency, service, lateness, connect, handshake, sending, away, waking, steps, counts: _ } = self;
        [latency, service, lateness, connect, handshake, sending, away, waking].into_iter().chain(steps)
    }

    /// Forgets everything, and keeps the memory.
    pub fn reset(&mut self) {
        // One that is empty is as it was made, and there is a lot of it to clear.
        self.histograms_mut().filter(|histogram| !histogram.is_empty()).for_each(Histogram::reset);
        self.counts = Counts::default();
    }

    /// Moves another's into it, exactly, and empties that. After each histogram it gives way by `pause`.
    pub fn take(&mut self, other: &mut Tally, pause: impl Fn()) {
        self.counts.add(&other.counts);
        for (to, from) in self.histograms_mut().zip(other.histograms_mut()).filter(|(_, from)| !from.is_empty()) {
            to.add(&*from).expect("their bounds are the same");
            pause();
            from.reset();
            pause();
        }
        other.counts = Counts::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_exactly() {
        let mut whole = Tally::new(1);
        let mut sum = Tally::new(1);
        for part in 0..4_u64 {
            let mut tally = Tally::new(1);
            for value in 1..100 {
                let latency = value * value * (part + 1);
                tally.latency.record(latency).expect("it is in bounds");
                whole.latency.record(latency).expect("it is in bounds");
                tally.steps[0].record(value).expect("it is in bounds");
                whole.steps[0].record(value).expect("it is in bounds");
                tally.counts.iterations += 1;
                whole.counts.iterations += 1;
            }
            sum.take(&mut tally, || {});
            assert!(tally.latency.is_empty() && tally.counts == Counts::default());
        }
        assert_eq!((sum.latency, sum.counts), (whole.latency, whole.counts));
        assert_eq!(sum.steps, whole.steps);
    }

    #[test]
    fn a_tally_that_was_reset_is_a_new_one() {
        let mut tally = Tally::new(2);
        tally.latency.record(5).expect("it is in bounds");
        tally.counts.bytes_sent = 7;
        tally.reset();
        assert_eq!((tally.latency.len(), tally.counts), (0, Counts::default()));
    }
}
