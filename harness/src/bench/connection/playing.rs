//! Iterations under way: what they do, wait for and end with.

use std::rc::Rc;
use std::sync::Arc;

use super::{Connection, Failing, Flight, Shared, Standing};
use crate::bench::correlation::Asked;
use crate::bench::expectation::shown;
use crate::bench::tally::LATENCY_MAX;
use crate::bench::wire::Stamps;
use crate::bench::workload::{ITERATION, Operation, Workload, fill};

impl Connection {
    /// Begins an iteration, at the time `begun`, which was to begin at `intended`.
    pub fn begin(&mut self, shared: &mut Shared, intended: u64, begun: u64) -> Result<(), Failing> {
        let number = shared.begun;
        shared.begun += 1;
        let workload = Rc::clone(&shared.workload);
        if !workload.is_static {
            self.expectation.variables.insert(Arc::from(ITERATION), number.to_string().into());
        }
        let mut at = 0;
        self.wire.begins();
        let first = self.flights.is_empty();
        let mut flight = Flight { intended, begun, stepped: begun, at: 0, asked: Asked::default() };
        while let Some(operation) = workload.operations.get(at) {
            if operation.waits() {
                break;
            }
            self.perform(shared, operation)?;
            at += 1;
        }
        flight.at = at;
        flight.asked = self.asked;
        if first {
            self.expectation.reset();
        }
        self.flights.push_back(flight);
        self.begun += 1;
        shared.tally.counts.begun += 1;
        if intended != begun && begun >= shared.counted_from {
            let late = begun.saturating_sub(intended.max(self.free_since));
            shared.tally.lateness.saturating_record(late.clamp(1, LATENCY_MAX));
        }
        Ok(())
    }

    /// Does what waits for nobody.
    fn perform(&mut self, shared: &mut Shared, operation: &Operation) -> Result<(), Failing> {
        match operation {
            Operation::Pieces(pieces) => {
                for piece in pieces {
                    self.flush(shared)?;
                    self.wire.write(&mut shared.tally.counts, piece)?;
                }
                self.flush(shared)
            }
            Operation::Send(bytes) => self.send(shared, bytes),
            Operation::SendMade(send, save) => {
                let framing = shared.workload.framing.clone();
                let mut whole: Vec<u8> = Vec::new();
                for payload in &send.payloads {
                    let bytes = fill(payload, &self.expectation.variables, &mut self.random, framing.as_deref());
                    let bytes = bytes.map_err(|error| Failing::Mismatch(error.to_string()))?;
                    if self.wire.is_datagram() {
                        self.send(shared, &bytes)?;
                    }
                    whole.extend_from_slice(&bytes);
                }
                if !self.wire.is_datagram() {
                    self.wire.write(&mut shared.tally.counts, &whole)?;
                }
                if let Some(name) = save {
                    self.expectation.variables.insert(Arc::clone(name), whole.into());
                }
                Ok(())
            }
            Operation::Set(name, template) => {
                let value = template.fill(&self.expectation.variables);
                let value =
                    value.map_err(|unset| Failing::Mismatch(format!("the variable `{}` has no value yet", unset.0)))?;
                self.expectation.variables.insert(Arc::clone(name), value);
                Ok(())
            }
            Operation::StartTls => self.upgrade(shared),
            Operation::Shutdown => Ok(self.wire.shutdown(&mut shared.tally.counts)?),
            Operation::Close | Operation::Reset => {
                self.flush(shared)?;
                self.spent = true;
                if matches!(operation, Operation::Reset) {
                    self.wire.reset_at_end();
                }
                Ok(())
            }
            Operation::Expect(_) | Operation::ExpectEof(_) => unreachable!("they wait"),
        }
    }

    /// Sends bytes, with an identifier of their own where answers are known by one.
    fn send(&mut self, shared: &mut Shared, bytes: &[u8]) -> Result<(), Failing> {
        let correlation = shared.workload.correlation.as_ref().filter(|_| self.standing == Standing::Open);
        let Some(correlation) = correlation else {
            return Ok(self.wire.write(&mut shared.tally.counts, bytes)?);
        };
        // One that is still waited for keeps its own.
        while self.flights.iter().any(|flight| correlation.id(flight.asked.number) == correlation.id(self.questions)) {
            self.questions += 1;
        }
        self.carried.clear();
        self.carried.extend_from_slice(bytes);
        self.asked = correlation.ask(self.questions, &mut self.carried).unwrap_or_default();
        self.questions += 1;
        let sent = self.wire.write(&mut shared.tally.counts, &self.carried);
        self.carried.clear();
        Ok(sent?)
    }

    /// The peer has closed its direction.
    pub(super) fn ended(&mut self, shared: &mut Shared, now: u64) -> Result<(), Failing> {
        let workload = Rc::clone(&shared.workload);
        let Some(flight) = self.flights.front().copied().filter(|_| self.standing == Standing::Open) else {
            return Err(Failing::Broken("the peer closed the connection".into()));
        };
        match workload.operations.get(flight.at) {
            Some(Operation::ExpectEof(step)) => {
                self.held(shared, *step, now);
                self.spent = true;
                self.next(shared, &workload, now)
            }
            Some(Operation::Expect(expecting)) => {
                let what = self.expectation.describe(expecting);
                Err(Failing::Broken(format!("the peer closed the connection where {what} was expected")))
            }
            _ => Err(Failing::Broken("the peer closed the connection".into())),
        }
    }

    pub(super) fn operations<'w>(&self, workload: &'w Workload) -> &'w [Operation] {
        if self.standing == Standing::Opening { &workload.opening } else { &workload.operations }
    }

    /// Takes expected messages from the front of `rest` as far as it goes. `true` if it took any.
    pub(super) fn advance(&mut self, shared: &mut Shared, rest: &mut &[u8], now: u64) -> Result<bool, Failing> {
        let workload = Rc::clone(&shared.workload);
        let mut took = false;
        loop {
            let Some(flight) = self.flights.front().copied() else {
                if workload.bulk.is_some() {
                    // It is the beginning of what comes.
                    *rest = &[];
                }
                if !rest.is_empty() {
                    shared.tally.counts.unasked += rest.len() as u64;
                    let why = format!("nothing was asked, and {} came", shown(rest));
                    *rest = &[];
                    return Err(Failing::Mismatch(why));
                }
                return Ok(took);
            };
            let operations = self.operations(&workload);
            match operations.get(flight.at) {
                Some(Operation::Expect(expecting)) => {
                    let framing = workload.framing.as_deref();
                    let used = self.expectation.take(framing, shared.verify, expecting, rest)?;
                    let Some(used) = used else { return Ok(took) };
                    *rest = &rest[used..];
                    took = true;
                    self.held(shared, expecting.step, now);
                    let follows = self.flights.front().and_then(|flight| operations.get(flight.at));
                    if matches!(follows, Some(Operation::StartTls)) && !rest.is_empty() {
                        let why = format!("in the clear, where TLS was to begin, came {}", shown(rest));
                        return Err(Failing::Mismatch(why));
                    }
                    self.next(shared, &workload, now)?;
                }
                Some(Operation::ExpectEof(_)) => {
                    if rest.is_empty() {
                        return Ok(took);
                    }
                    let why = format!("expected the end, got {}", shown(rest));
                    return Err(Failing::Mismatch(why));
                }
                Some(operation) => {
                    self.perform(shared, operation)?;
                    self.flights.front_mut().expect("just seen").at += 1;
                }
                None => self.end(shared, now),
            }
        }
    }

    /// An expectation of the front iteration has held.
    pub(super) fn held(&mut self, shared: &mut Shared, step: usize, now: u64) {
        shared.tally.counts.messages += 1;
        self.expectation.reset();
        let flight = self.flights.front_mut().expect("it was being played");
        let counts = self.standing == Standing::Open && flight.intended >= shared.counted_from;
        if counts && shared.tally.steps.len() > 1 {
            let took = now.saturating_sub(flight.stepped).clamp(1, LATENCY_MAX);
            shared.tally.steps[step].saturating_record(took);
        }
        flight.stepped = now;
        flight.at += 1;
    }

    /// Plays on until the front iteration waits again, or has ended.
    pub(super) fn next(&mut self, shared: &mut Shared, workload: &Workload, now: u64) -> Result<(), Failing> {
        loop {
            let flight = self.flights.front().copied().expect("it is being played");
            match self.operations(workload).get(flight.at) {
                Some(Operation::Expect(_) | Operation::ExpectEof(_)) => return Ok(()),
                Some(operation) => {
                    self.perform(shared, operation)?;
                    self.flights.front_mut().expect("just seen").at += 1;
                }
                None => {
                    self.end(shared, now);
                    return Ok(());
                }
            }
        }
    }

    /// The front iteration has ended as it should, or the opening has.
    fn end(&mut self, shared: &mut Shared, now: u64) {
        let flight = self.flights.pop_front().expect("it has ended");
        self.free_since = now;
        if self.standing == Standing::Opening {
            self.standing = Standing::Open;
            return;
        }
        let tally = &mut shared.tally;
        if flight.intended < shared.counted_from {
            return;
        }
        tally.counts.iterations += 1;
        if let Some(stamps) = shared.opening.stamps {
            let [left, came] = <[_; 2]>::from(self.wire.stamps()).map(|at| Some(at?.saturating_sub(shared.ahead)));
            let left = if stamps == Stamps::RxTx { left } else { Some(flight.begun) };
            tally.split(stamps, [Some(flight.begun), left, came, Some(now)]);
        }
        let took = |since: u64| now.saturating_sub(since).clamp(1, LATENCY_MAX);
        tally.latency.saturating_record(took(flight.intended));
        if flight.intended != flight.begun {
            tally.service.saturating_record(took(flight.begun));
        }
    }
}
