//! Answers that are datagrams: whose each is, and what became of those that were given up.

use std::rc::Rc;

use super::{Connection, Failing, GIVEN_UP_MAX, Shared, Standing};
use crate::bench::clock::now;
use crate::bench::correlation::Correlation;
use crate::bench::workload::{Operation, Part};

impl Connection {
    /// A datagram has come.
    pub(super) fn datagram(&mut self, shared: &mut Shared, bytes: &[u8], now: u64) -> Result<(), Failing> {
        let role = Rc::clone(&self.role);
        let part = &role.part;
        if let Some(correlation) = part.correlation.as_ref().filter(|_| self.standing == Standing::Open) {
            return self.answer(shared, part, correlation, bytes, now);
        }
        if self.keep_early(part, bytes) {
            return Ok(());
        }
        let operations = self.operations(part);
        let mut first_why = None;
        for number in 0..self.flights.len() {
            let flight = self.flights[number];
            let Some(Operation::Expect(expecting)) = operations.get(flight.at) else { continue };
            match self.expectation.compare(shared.verify, expecting, bytes)? {
                Ok(found) => {
                    if number > 0 {
                        shared.tally.counts.reordered += 1;
                        // It goes to the front, where steps are played; the others keep their order.
                        let flight = self.flights.remove(number).expect("it is there");
                        self.flights.push_front(flight);
                    }
                    self.expectation.keep(expecting, bytes, &found);
                    self.held(shared, expecting.step, now);
                    return self.play(shared, part, now).map(|_| ());
                }
                Err(why) => {
                    first_why.get_or_insert(why);
                }
            }
        }
        match first_why {
            // Whose answer was given up, or has come already.
            None if self.given_up > 0 => {
                self.given_up -= 1;
                shared.tally.counts.late += 1;
            }
            None => shared.tally.counts.duplicates += 1,
            Some(_) if self.given_up > 0 => {
                self.given_up -= 1;
                shared.tally.counts.late += 1;
            }
            Some(why) => return Err(Failing::Mismatch(why)),
        }
        Ok(())
    }

    /// A datagram has come that says whose answer it is.
    fn answer(
        &mut self,
        shared: &mut Shared,
        part: &Part,
        correlation: &Correlation,
        bytes: &[u8],
        now: u64,
    ) -> Result<(), Failing> {
        let counts = &mut shared.tally.counts;
        let id = correlation.answered(bytes);
        let is_asked = |number: u64| Some(correlation.id(number)) == id;
        let Some(at) = self.flights.iter().position(|flight| is_asked(flight.asked.number)) else {
            if let Some(at) = self.unanswered.iter().position(|number| is_asked(*number)) {
                self.unanswered.remove(at);
                counts.late += 1;
            } else if id.is_some_and(|id| id < self.questions) {
                counts.duplicates += 1;
            } else {
                counts.unasked += 1;
            }
            return Ok(());
        };
        let flight = self.flights[at];
        let Some(Operation::Expect(expecting)) = part.operations.get(flight.at) else { return Ok(()) };
        let mut whole = std::mem::take(&mut self.carried);
        whole.clear();
        whole.extend_from_slice(bytes);
        correlation.restore(&flight.asked, &mut whole);
        let found = self.expectation.compare(shared.verify, expecting, &whole)?.map_err(Failing::Mismatch)?;
        self.expectation.keep(expecting, &whole, &found);
        whole.clear();
        self.carried = whole;
        if flight.asked.number < self.answered {
            shared.tally.counts.reordered += 1;
        }
        self.answered = self.answered.max(flight.asked.number);
        if at > 0 {
            // It goes to the front, where steps are played; the others keep their order.
            self.flights.remove(at);
            self.flights.push_front(flight);
        }
        self.held(shared, expecting.step, now);
        self.play(shared, part, now).map(|_| ())
    }

    /// Gives up iterations that take too long, where each has answers of its own: with datagrams. Gives how many.
    pub fn give_up(&mut self, before: u64) -> u64 {
        let mut count = 0;
        while self.flights.front().is_some_and(|flight| flight.begun < before) {
            let flight = self.flights.pop_front().expect("just seen");
            self.under_way -= 1;
            self.given_up = self.given_up.saturating_add(1);
            if self.unanswered.len() == GIVEN_UP_MAX {
                self.unanswered.pop_front();
            }
            self.unanswered.push_back(flight.asked.number);
            count += 1;
        }
        if count > 0 {
            self.free_since = now();
            self.expectation.reset();
        }
        count
    }
}
