//! Iterations under way: what they do, wait for and end with.

use std::rc::Rc;
use std::sync::Arc;

use super::{Connection, Failing, Flight, Shared, Standing};
use crate::bench::correlation::Asked;
use crate::bench::expectation::shown;
use crate::bench::tally::LATENCY_MAX;
use crate::bench::wire::Stamps;
use crate::bench::workload::{Operation, Part, fill};
use crate::scenario::ITERATION;

impl Connection {
    /// Begins the iteration of this number, at the time `begun`, which was to begin at `intended`.
    pub fn begin(&mut self, shared: &mut Shared, number: u64, intended: u64, begun: u64) -> Result<(), Failing> {
        let role = Rc::clone(&self.role);
        if !shared.workload.is_static {
            self.expectation.variables.insert(Arc::from(ITERATION), number.to_string().into());
        }
        let mut at = 0;
        self.wire.begins();
        let first = self.flights.is_empty();
        let mut flight = Flight { count: 1, intended, begun, stepped: begun, at: 0, asked: Asked::default() };
        while let Some(operation) = role.part.operations.get(at) {
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
        self.under_way += 1;
        self.begun += 1;
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
                let framing = self.role.part.framing.clone();
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
                    self.expectation.set(name, whole.into());
                }
                Ok(())
            }
            Operation::Set(name, template) => {
                let value = template.fill(&self.expectation.variables);
                let value =
                    value.map_err(|unset| Failing::Mismatch(format!("the variable `{}` has no value yet", unset.0)))?;
                self.expectation.set(name, value);
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
                if shared.workload.parts.len() > 1 && !self.wants_to_write() {
                    // Others may wait for what comes of it.
                    self.wire.close(&mut shared.tally.counts);
                }
                Ok(())
            }
            Operation::Await(..) | Operation::Expect(_) | Operation::ExpectEof(_) | Operation::Notify(_) => {
                unreachable!("they wait")
            }
        }
    }

    /// Sends bytes, with an identifier of their own where answers are known by one.
    fn send(&mut self, shared: &mut Shared, bytes: &[u8]) -> Result<(), Failing> {
        let role = Rc::clone(&self.role);
        let correlation = role.part.correlation.as_ref().filter(|_| self.standing == Standing::Open);
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
        let role = Rc::clone(&self.role);
        let Some(flight) = self.flights.front().copied().filter(|_| self.standing == Standing::Open) else {
            if self.standing == Standing::Open && shared.casts[self.cast].playing > 0 {
                // It has played its part, and others have not: the next iteration has other connections.
                self.spent = true;
                return Ok(());
            }
            return Err(Failing::Broken("the peer closed the connection".into()));
        };
        match role.part.operations.get(flight.at) {
            Some(Operation::ExpectEof(step)) => {
                self.held(shared, *step, now);
                self.spent = true;
                self.play(shared, &role.part, now).map(|_| ())
            }
            Some(Operation::Expect(expecting)) => {
                let what = self.expectation.describe(expecting);
                Err(Failing::Broken(format!("the peer closed the connection where {what} was expected")))
            }
            Some(Operation::Await(..) | Operation::Notify(_)) => {
                self.ended = true;
                Ok(())
            }
            _ => Err(Failing::Broken("the peer closed the connection".into())),
        }
    }

    /// The list that the front iteration is in.
    pub(super) fn operations<'p>(&self, part: &'p Part) -> &'p [Operation] {
        if self.standing == Standing::Opening { &part.opening } else { &part.operations }
    }

    /// Takes expected messages from the front of `rest` as far as it goes. `true` if it took any.
    pub(super) fn advance(&mut self, shared: &mut Shared, rest: &mut &[u8], now: u64) -> Result<bool, Failing> {
        let role = Rc::clone(&self.role);
        let mut took = false;
        loop {
            let Some(flight) = self.flights.front().copied() else {
                if shared.workload.bulk.is_some() {
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
            match self.operations(&role.part).get(flight.at) {
                Some(Operation::Expect(expecting)) => {
                    match self.take_uniform(shared, expecting, rest, now)? {
                        None => {}
                        Some(true) => {
                            took = true;
                            continue;
                        }
                        Some(false) => return Ok(took),
                    }
                    let framing = role.part.framing.as_deref();
                    let used = self.expectation.take(framing, shared.verify, expecting, rest)?;
                    let Some(used) = used else {
                        // An end that came before its turn is seen where it matters.
                        return if self.ended { self.ended(shared, now).map(|()| took) } else { Ok(took) };
                    };
                    *rest = &rest[used..];
                    took = true;
                    self.held(shared, expecting.step, now);
                    let follows = self.flights.front().and_then(|flight| self.operations(&role.part).get(flight.at));
                    if matches!(follows, Some(Operation::StartTls)) && !rest.is_empty() {
                        let why = format!("in the clear, where TLS was to begin, came {}", shown(rest));
                        return Err(Failing::Mismatch(why));
                    }
                    self.play(shared, &role.part, now)?;
                }
                Some(Operation::ExpectEof(_)) => {
                    if !rest.is_empty() {
                        let why = format!("expected the end, got {}", shown(rest));
                        return Err(Failing::Mismatch(why));
                    }
                    if !self.ended {
                        return Ok(took);
                    }
                    self.ended(shared, now)?;
                }
                _ => {
                    if !self.play(shared, &role.part, now)? {
                        return Ok(took);
                    }
                }
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

    /// Plays on until the front iteration waits, or has ended. `true` if it went any further.
    pub(super) fn play(&mut self, shared: &mut Shared, part: &Part, now: u64) -> Result<bool, Failing> {
        let mut went = false;
        loop {
            let flight = self.flights.front().copied().expect("it is being played");
            match self.operations(part).get(flight.at) {
                None => {
                    self.end(shared, now);
                    return Ok(true);
                }
                Some(Operation::Expect(_) | Operation::ExpectEof(_)) => return Ok(went),
                Some(Operation::Await(notice, count)) => {
                    if shared.casts[self.cast].notices[*notice] < *count {
                        return Ok(went);
                    }
                    self.flights.front_mut().expect("just seen").stepped = now;
                }
                Some(Operation::Notify(notice)) => {
                    self.flush(shared)?;
                    if self.wants_to_write() {
                        return Ok(went);
                    }
                    let cast = &mut shared.casts[self.cast];
                    cast.notices[*notice] += 1;
                    cast.changed = true;
                }
                Some(operation) => self.perform(shared, operation)?,
            }
            self.flights.front_mut().expect("just seen").at += 1;
            went = true;
        }
    }

    /// The front iteration has ended as it should, or the opening has.
    fn end(&mut self, shared: &mut Shared, now: u64) {
        let flight = self.flights.pop_front().expect("it has ended");
        self.under_way -= 1;
        self.free_since = now;
        if self.standing == Standing::Opening {
            self.standing = Standing::Open;
            return;
        }
        if shared.workload.parts.len() > 1 {
            let cast = &mut shared.casts[self.cast];
            cast.playing -= 1;
            if cast.playing > 0 {
                return;
            }
        }
        let tally = &mut shared.tally;
        if flight.intended < shared.counted_from {
            return;
        }
        tally.counts.iterations += 1;
        if let Some(stamps) = self.role.opening.stamps {
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
