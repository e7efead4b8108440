//! One connection of a load generator: iterations under way, and what has come of their answers.
//!
//! It says what leaves by its [`Wire`] and what has come of that; nothing in it waits. Bytes that were read are looked at
//! where they lie; only what is not whole yet is copied.

mod bulk;
mod datagrams;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use socket2::Socket;

pub use self::bulk::Moved;
use super::clock::now;
use super::correlation::Asked;
use super::expectation::{Expectation, Mismatch, shown};
use super::tally::{LATENCY_MAX, Tally};
use super::wire::{Broken, Buffers, Got, Opening, Stamps, Wire};
use super::workload::{Bulk, Operation, Workload, fill};
use crate::event::TlsSession;
use crate::random::Random;

/// The most bytes of a connection that wait for the rest of their message.
pub const CARRIED_MAX: usize = 64 << 20;

/// The most questions that were given up and whose answers are still known for late ones.
pub const GIVEN_UP_MAX: usize = 4096;

/// An iteration under way.
#[derive(Clone, Copy, Debug)]
struct Flight {
    /// When it was to begin.
    intended: u64,
    /// When it did.
    begun: u64,
    /// When its last step ended, or its last bytes left.
    stepped: u64,
    /// Where it stands.
    at: usize,
    /// What its answers are known by, where they are.
    asked: Asked,
}

/// Why an iteration did not end as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failing {
    /// The connection ended, or there was none.
    Broken(String),
    /// The answer was not the expected one.
    Mismatch(String),
}

impl From<Broken> for Failing {
    fn from(Broken(text): Broken) -> Failing {
        Failing::Broken(text)
    }
}

impl From<Mismatch> for Failing {
    fn from(Mismatch(text): Mismatch) -> Failing {
        Failing::Mismatch(text)
    }
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its socket is being connected.
    Connecting,
    /// There is none.
    Gone,
    /// It takes iterations.
    Open,
    /// Its opening steps are under way.
    Opening,
    /// Both sides agree on TLS.
    Shaking,
}

/// Everything that connections of a thread share.
#[derive(Debug)]
pub struct Shared {
    /// What is done again and again.
    pub workload: Rc<Workload>,
    /// How connections are opened.
    pub opening: Opening,
    /// Whether answers are compared, or only counted.
    pub verify: bool,
    /// How long an iteration may take, in nanoseconds.
    pub timeout: u64,
    /// Where bytes are read into.
    pub buffers: Buffers,
    /// What the first connection has agreed on with TLS.
    pub agreed: Option<TlsSession>,
    /// What is counted.
    pub tally: Tally,
    /// How far the clock of the kernel's timestamps is ahead, where they are asked for.
    pub ahead: u64,
    /// From when on what ends is counted.
    pub counted_from: u64,
    /// Iterations that were begun, by every connection of the thread.
    pub begun: u64,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    wire: Wire,
    standing: Standing,
    /// What has come and is not whole yet.
    carried: Vec<u8>,
    flights: VecDeque<Flight>,
    /// Expectations that were given up, and whose answers may still come.
    given_up: u32,
    /// The same where answers are known by a field: whose.
    unanswered: VecDeque<u64>,
    /// What was asked last.
    asked: Asked,
    /// How many questions it has asked.
    questions: u64,
    /// The last of them that was answered.
    answered: u64,
    expectation: Expectation,
    random: Random,
    /// When it began to be opened.
    dialled: u64,
    /// When its socket was connected.
    connected: u64,
    /// When both sides began to agree on TLS in mid-stream, where they have not yet.
    upgrading: Option<u64>,
    /// Since when it has nothing to do.
    free_since: u64,
    /// Whether its iteration has ended the connection.
    spent: bool,
    /// How many iterations it has begun.
    begun: u64,
    /// What goes one way: how much of a piece has gone, when one was whole last, when anything moved last,
    /// whether the socket has no more of it, and whether its peer has said that nothing more comes.
    moved: usize,
    piece_at: u64,
    moved_at: u64,
    is_idle: bool,
    hung_up: bool,
    /// Before when nothing is read, where it reads slowly on purpose and something is there.
    pub read_at: Option<u64>,
}

impl Connection {
    /// One that is not open yet.
    pub fn new(shared: &Shared, seed: u64, number: usize) -> Connection {
        Connection {
            wire: Wire::new(&shared.opening),
            standing: Standing::Gone,
            carried: Vec::new(),
            flights: VecDeque::new(),
            given_up: 0,
            unanswered: VecDeque::new(),
            asked: Asked::default(),
            questions: 0,
            answered: 0,
            expectation: Expectation::new(shared.workload.variables.clone()),
            random: Random::new(seed, &format!("connection {number}")),
            dialled: 0,
            connected: 0,
            upgrading: None,
            free_since: 0,
            spent: false,
            begun: 0,
            moved: 0,
            piece_at: 0,
            moved_at: 0,
            is_idle: false,
            hung_up: false,
            read_at: None,
        }
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Its socket.
    pub fn socket(&self) -> Option<&Socket> {
        self.wire.socket()
    }

    /// What its TCP does about congestion, by the kernel's name for it.
    pub fn congestion(&self) -> Option<String> {
        rustix::net::sockopt::tcp_congestion(self.wire.socket()?).ok()
    }

    /// How many iterations are under way.
    pub fn under_way(&self) -> usize {
        self.flights.len()
    }

    /// Since when it could have begun another iteration.
    pub fn free_since(&self) -> u64 {
        self.free_since
    }

    /// Whether bytes wait for the socket.
    pub fn wants_to_write(&self) -> bool {
        self.wire.wants_to_write()
    }

    /// Whether the socket has no room, so that nothing more is to be begun.
    pub fn is_clogged(&self) -> bool {
        self.wire.is_clogged()
    }

    /// How many iterations it has begun since it was opened.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Whether it is on its way to take iterations.
    pub fn is_opening(&self) -> bool {
        matches!(self.standing, Standing::Connecting | Standing::Opening | Standing::Shaking)
    }

    /// When the oldest iteration under way began.
    pub fn oldest(&self) -> Option<u64> {
        match self.standing {
            Standing::Connecting | Standing::Opening | Standing::Shaking => Some(self.dialled),
            _ => self.flights.front().map(|flight| flight.begun),
        }
    }

    /// Begins to open it.
    pub fn open(&mut self, shared: &Shared) -> Result<(), Failing> {
        self.dialled = now();
        self.wire.open(&shared.opening)?;
        self.standing = Standing::Connecting;
        Ok(())
    }

    /// Goes on when the socket says that it is connected, or is not.
    pub fn opened(&mut self, shared: &mut Shared) -> Result<(), Failing> {
        self.wire.connected(&shared.opening.address)?;
        let now = now();
        shared.tally.counts.connections += 1;
        if now >= shared.counted_from {
            shared.tally.connect.saturating_record((now - self.dialled).clamp(1, LATENCY_MAX));
        }
        self.connected = now;
        if let Some(client) = shared.opening.tls.as_ref().filter(|_| !shared.opening.upgrades) {
            self.standing = Standing::Shaking;
            return Ok(self.wire.shake(client, &mut shared.tally.counts)?);
        }
        self.begin_opening(shared, now)
    }

    /// Both sides have agreed on TLS.
    fn shaken(&mut self, shared: &mut Shared, began: u64) -> u64 {
        let now = now();
        if now >= shared.counted_from {
            shared.tally.handshake.saturating_record((now - began).clamp(1, LATENCY_MAX));
        }
        if shared.agreed.is_none() {
            shared.agreed = self.wire.agreed();
        }
        now
    }

    /// Goes on with TLS.
    fn upgrade(&mut self, shared: &mut Shared) -> Result<(), Failing> {
        self.flush(shared)?;
        let Some(client) = shared.opening.tls.as_ref().filter(|_| !self.wire.is_protected()) else {
            return Err(Failing::Mismatch("TLS has begun on this connection already".into()));
        };
        self.upgrading = Some(now());
        Ok(self.wire.shake(client, &mut shared.tally.counts)?)
    }

    fn begin_opening(&mut self, shared: &mut Shared, now: u64) -> Result<(), Failing> {
        self.standing = Standing::Opening;
        self.flights.push_back(Flight { intended: now, begun: now, stepped: now, at: 0, asked: Asked::default() });
        // The opening steps are played as far as they go.
        self.advance(shared, &mut &[][..], now)?;
        self.flush(shared)
    }

    /// Begins an iteration, at the time `begun`, which was to begin at `intended`.
    pub fn begin(&mut self, shared: &mut Shared, intended: u64, begun: u64) -> Result<(), Failing> {
        let number = shared.begun;
        shared.begun += 1;
        let workload = Rc::clone(&shared.workload);
        if !workload.is_static {
            self.expectation.variables.insert(Arc::from(crate::scenario::ITERATION), number.to_string().into());
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

    /// Gives the socket what waits for it.
    pub fn flush(&mut self, shared: &mut Shared) -> Result<(), Failing> {
        Ok(self.wire.flush(&mut shared.tally.counts)?)
    }

    /// Takes what the kernel has to say of what has left.
    pub fn collect(&mut self, shared: &mut Shared) {
        self.wire.collect(&mut shared.tally.counts, true);
    }

    /// Reads what is there and goes on as far as that leads. `true` if there may be more.
    pub fn read(&mut self, shared: &mut Shared) -> Result<bool, Failing> {
        let mut buffers = std::mem::take(&mut shared.buffers);
        let read = self.read_into(shared, &mut buffers);
        shared.buffers = buffers;
        read
    }

    fn read_into(&mut self, shared: &mut Shared, buffers: &mut Buffers) -> Result<bool, Failing> {
        let got = self.wire.read(&mut shared.tally.counts, &shared.opening.address, buffers)?;
        if self.standing == Standing::Shaking && !self.wire.is_shaking() {
            let now = self.shaken(shared, self.connected);
            self.begin_opening(shared, now)?;
        }
        if let Some(began) = self.upgrading.filter(|_| !self.wire.is_shaking()) {
            self.upgrading = None;
            self.shaken(shared, began);
        }
        let (bytes, more) = match got {
            Got::Again => return Ok(true),
            Got::Bytes(&[], more) => return Ok(more),
            Got::Bytes(bytes, more) => (bytes, more),
            Got::Datagrams(bytes, size) => {
                let now = now();
                self.wire.collect(&mut shared.tally.counts, false);
                if bytes.is_empty() {
                    self.datagram(shared, bytes, now)?;
                }
                for datagram in bytes.chunks(size.max(1)) {
                    self.datagram(shared, datagram, now)?;
                }
                return Ok(shared.opening.wait.is_none() && !self.flights.is_empty());
            }
            Got::End => return self.ended(shared, now()).map(|()| false),
            Got::Nothing => return Ok(false),
        };
        let now = now();
        self.wire.collect(&mut shared.tally.counts, false);
        if self.carried.is_empty() {
            let mut rest = bytes;
            self.advance(shared, &mut rest, now)?;
            if !rest.is_empty() {
                self.carried.extend_from_slice(rest);
            }
        } else {
            if self.carried.len() + bytes.len() > CARRIED_MAX {
                return Err(Failing::Mismatch(format!("more than {CARRIED_MAX} bytes came without an end")));
            }
            self.carried.extend_from_slice(bytes);
            let carried = std::mem::take(&mut self.carried);
            let mut rest = carried.as_slice();
            let went = self.advance(shared, &mut rest, now);
            let left = rest.len();
            self.carried = carried;
            let done = self.carried.len() - left;
            self.carried.drain(..done);
            went?;
        }
        Ok(more)
    }

    /// The peer has closed its direction.
    fn ended(&mut self, shared: &mut Shared, now: u64) -> Result<(), Failing> {
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

    fn operations<'w>(&self, workload: &'w Workload) -> &'w [Operation] {
        if self.standing == Standing::Opening { &workload.opening } else { &workload.operations }
    }

    /// Takes expected messages from the front of `rest` as far as it goes. `true` if it took any.
    fn advance(&mut self, shared: &mut Shared, rest: &mut &[u8], now: u64) -> Result<bool, Failing> {
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
    fn held(&mut self, shared: &mut Shared, step: usize, now: u64) {
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
    fn next(&mut self, shared: &mut Shared, workload: &Workload, now: u64) -> Result<(), Failing> {
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

    /// Whether its iteration has ended the connection.
    pub fn is_spent(&self) -> bool {
        self.spent && self.flights.is_empty() && !self.wire.wants_to_write()
    }

    /// Ends it, whatever is under way, and gives the number of iterations that were.
    pub fn close(&mut self, shared: &mut Shared) -> usize {
        self.wire.close(&mut shared.tally.counts);
        let lost = if self.standing == Standing::Open { self.flights.len() } else { 0 };
        self.standing = Standing::Gone;
        self.flights.clear();
        self.carried.clear();
        self.given_up = 0;
        self.unanswered.clear();
        (self.questions, self.answered) = (0, 0);
        self.spent = false;
        self.begun = 0;
        if !matches!(shared.workload.bulk, Some(Bulk::Receive)) {
            self.moved = 0;
        }
        (self.is_idle, self.hung_up, self.upgrading) = (false, false, None);
        self.read_at = None;
        self.expectation.reset();
        lost
    }
}
