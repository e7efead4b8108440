//! Iterations that are nothing but a request and its answer, always the same: many that begin at once are one entry, and
//! answers that are equal to one that has held need not be judged again.
//!
//! With `--depth` that is what makes the difference: the clock is read, and the latency counted, once for all that a read brings.

use bytes::Bytes;

use super::{Connection, Failing, Flight, Opening, Shared, Standing};
use crate::bench::correlation::Asked;
use crate::bench::tally::{LATENCY_MAX, Tally};
use crate::bench::workload::{Expecting, Operation, Part, Wanted, Workload};

/// The most bytes of requests that are kept ready one after the other.
const WINDOW_LEN_MAX: usize = 64 << 10;

/// The longest answer that is kept to compare others with.
const KNOWN_LEN_MAX: usize = 16 << 10;

/// A request that is always the same, as often as it may be asked at once.
#[derive(Debug)]
pub struct Uniform {
    requests: Bytes,
    request_len: usize,
}

impl Uniform {
    /// What the iterations of a part have in common. `None` where they are more than a request and an answer.
    pub fn of(workload: &Workload, part: &Part, opening: &Opening, depth: usize) -> Option<Uniform> {
        let [Operation::Send(request), Operation::Expect(_)] = part.operations.as_slice() else { return None };
        let is_plain = workload.parts.len() == 1
            && workload.is_static
            && !opening.address.transport().is_datagram()
            && opening.stamps.is_none();
        if !is_plain || request.is_empty() {
            return None;
        }
        let times = (WINDOW_LEN_MAX / request.len()).clamp(1, depth);
        Some(Uniform { requests: request.repeat(times).into(), request_len: request.len() })
    }
}

/// An answer that has held, byte by byte: what is equal holds too.
#[derive(Debug, Default)]
pub struct Known {
    bytes: Vec<u8>,
    /// Whether only its length counts.
    by_len: bool,
    /// Whether another answer takes its place.
    learns: bool,
}

impl Known {
    /// What is known of an answer before any has come.
    pub fn of(part: &Part, verify: bool) -> Known {
        let Some(Operation::Expect(Expecting { what, .. })) = part.operations.last() else { return Known::default() };
        match (what, &part.framing) {
            // It is known beforehand, and has no other end.
            (Wanted::Bytes(bytes), None) => Known { bytes: bytes.to_vec(), by_len: !verify, learns: false },
            // Where a message ends is seen by itself alone.
            (_, Some(_)) => Known { learns: true, ..Known::default() },
            // How much of a stream it takes may depend on what follows.
            (_, None) => Known::default(),
        }
    }

    /// How many such answers stand at the front, at most so many.
    fn count(&self, rest: &[u8], most: usize) -> usize {
        match self.bytes.len() {
            0 => 0,
            len if self.by_len => most.min(rest.len() / len),
            _ => {
                // With a division for how many there may be it takes twice as long.
                let (mut rest, mut count) = (rest, 0);
                while count < most
                    && let Some(after) = rest.strip_prefix(self.bytes.as_slice())
                {
                    (rest, count) = (after, count + 1);
                }
                count
            }
        }
    }

    fn learn(&mut self, answer: &[u8]) {
        if self.learns && answer.len() <= KNOWN_LEN_MAX {
            self.bytes.clear();
            self.bytes.extend_from_slice(answer);
        }
    }
}

impl Connection {
    /// Whether its iterations are nothing but a request and its answer.
    pub fn is_uniform(&self) -> bool {
        self.role.uniform.is_some()
    }

    /// Begins so many iterations at once.
    pub fn begin_many(&mut self, shared: &mut Shared, count: usize, begun: u64) -> Result<(), Failing> {
        let role = std::rc::Rc::clone(&self.role);
        let Uniform { requests, request_len } = role.uniform.as_ref().expect("they are uniform");
        self.flights.push_back(Flight {
            count,
            intended: begun,
            begun,
            stepped: begun,
            at: role.part.operations.len() - 1,
            asked: Asked::default(),
        });
        self.begun += count as u64;
        self.under_way += count;
        let mut left = count;
        while left > 0 {
            let part = left.min(requests.len() / request_len);
            self.wire.write_all(&mut shared.tally.counts, &requests[..part * request_len], part)?;
            left -= part;
        }
        Ok(())
    }

    /// Takes from the front what answers iterations that are uniform. `None` where they are not.
    pub(super) fn take_uniform(
        &mut self,
        shared: &mut Shared,
        expecting: &Expecting,
        rest: &mut &[u8],
        now: u64,
    ) -> Result<Option<bool>, Failing> {
        if self.role.uniform.is_none() || self.standing != Standing::Open {
            return Ok(None);
        }
        let known = shared.known.count(rest, self.under_way);
        if known > 0 {
            *rest = &rest[known * shared.known.bytes.len()..];
            self.hold(shared, expecting, known, now);
            return Ok(Some(true));
        }
        if rest.is_empty() {
            return Ok(Some(false));
        }
        self.partly = true;
        // To judge it takes time, which is none of the next iteration's.
        shared.read_at = 0;
        let framing = self.role.part.framing.as_deref();
        let Some(used) = self.expectation.take(framing, shared.verify, expecting, rest)? else {
            return Ok(Some(false));
        };
        shared.known.learn(&rest[..used]);
        *rest = &rest[used..];
        self.hold(shared, expecting, 1, now);
        Ok(Some(true))
    }

    /// The oldest iterations, so many, have ended as they should.
    fn hold(&mut self, shared: &mut Shared, expecting: &Expecting, count: usize, now: u64) {
        if std::mem::take(&mut self.partly) {
            self.expectation.reset();
        }
        self.under_way -= count;
        self.free_since = now;
        let Tally { latency, service, steps, counts, .. } = &mut shared.tally;
        counts.messages += count as u64;
        let mut left = count;
        while left > 0 {
            let flight = self.flights.front_mut().expect("they are under way");
            let done = left.min(flight.count);
            left -= done;
            flight.count -= done;
            let Flight { intended, begun, .. } = *flight;
            if flight.count == 0 {
                self.flights.pop_front();
            }
            if intended < shared.counted_from {
                continue;
            }
            let done = done as u64;
            let took = |since: u64| now.saturating_sub(since).clamp(1, LATENCY_MAX);
            counts.iterations += done;
            latency.saturating_record_n(took(intended), done);
            if intended != begun {
                service.saturating_record_n(took(begun), done);
            }
            if steps.len() > 1 {
                steps[expecting.step].saturating_record_n(took(begun), done);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(bytes: &[u8], by_len: bool) -> Known {
        Known { bytes: bytes.to_vec(), by_len, learns: true }
    }

    #[test]
    fn equal_answers_are_counted_up_to_the_first_that_differs() {
        assert_eq!(known(b"ab", false).count(b"ababaXab", 9), 2);
        assert_eq!(known(b"ab", false).count(b"ababa", 9), 2);
        assert_eq!(known(b"ab", false).count(b"ababab", 2), 2);
        assert_eq!(known(b"", false).count(b"ab", 9), 0);
    }

    #[test]
    fn unverified_answers_are_counted_by_their_length() {
        assert_eq!(known(b"ab", true).count(b"xyzab", 9), 2);
    }

    #[test]
    fn a_long_answer_is_not_kept() {
        let mut found = known(b"ab", false);
        found.learn(&vec![b'x'; KNOWN_LEN_MAX + 1]);
        assert_eq!(found.bytes, b"ab");
        found.learn(b"xyz");
        assert_eq!(found.bytes, b"xyz");
    }
}
