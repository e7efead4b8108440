//! One connection of a load generator: iterations under way, and what has come of their answers.
//!
//! It owns its socket and nothing that waits. Bytes that were read are looked at where they lie; only what is not whole yet
//! is copied.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::clock::now;
use super::tally::{LATENCY_MAX, Tally};
use super::workload::{Expecting, Operation, Wanted, Workload, fill};
use crate::framing::Decoded;
use crate::matcher::{Input, Match, Matcher, Outcome, Progress};
use crate::random::Random;
use crate::runner::Address;
use crate::template::Variables;
use crate::text::quote;

/// The most bytes of a connection that wait for the rest of their message.
pub const CARRIED_MAX: usize = 64 << 20;

/// How much of what came is told of an answer that was not the expected one.
const TOLD_LEN_MAX: usize = 120;

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
}

/// Why an iteration did not end as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failing {
    /// The connection ended, or there was none.
    Broken(String),
    /// The answer was not the expected one.
    Mismatch(String),
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none.
    Gone,
    /// It is being opened, or its opening steps are under way.
    Opening,
    /// It takes iterations.
    Open,
}

/// Everything that connections of a thread share.
#[derive(Debug)]
pub struct Shared {
    /// What is done again and again.
    pub workload: Rc<Workload>,
    /// Where the server is.
    pub address: Address,
    /// Whether answers are compared, or only counted.
    pub verify: bool,
    /// Whether a read waits for bytes.
    pub blocking: bool,
    /// How long an iteration may take, in nanoseconds.
    pub timeout: u64,
    /// Where bytes are read into.
    pub buffer: Vec<u8>,
    /// What is counted.
    pub tally: Tally,
    /// From when on what ends is counted.
    pub counted_from: u64,
    /// Iterations that were begun, by every connection of the thread.
    pub begun: u64,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    socket: Option<Socket>,
    standing: Standing,
    datagram: bool,
    /// What has come and is not whole yet.
    carried: Vec<u8>,
    /// How many bytes of it hold no end of a message.
    searched: usize,
    /// What the socket has not taken yet.
    unsent: Vec<u8>,
    flights: VecDeque<Flight>,
    /// Expectations that were given up, and whose answers may still come.
    given_up: u32,
    progress: Progress,
    matcher: Option<Arc<dyn Matcher>>,
    variables: Variables,
    random: Random,
    /// When it began to be opened.
    dialled: u64,
    /// Since when it has nothing to do.
    free_since: u64,
    /// Whether its iteration has ended the connection.
    spent: bool,
    /// Whether its direction is to be closed once everything has left.
    shut: bool,
    /// Whether the socket has taken less than it was given.
    clogged: bool,
    /// How many iterations it has begun.
    begun: u64,
}

impl Connection {
    /// One that is not open yet.
    pub fn new(shared: &Shared, seed: u64, number: usize) -> Connection {
        Connection {
            socket: None,
            standing: Standing::Gone,
            datagram: shared.address.transport().is_datagram(),
            carried: Vec::new(),
            searched: 0,
            unsent: Vec::new(),
            flights: VecDeque::new(),
            given_up: 0,
            progress: Progress::default(),
            matcher: None,
            variables: shared.workload.variables.clone(),
            random: Random::new(seed, &format!("connection {number}")),
            dialled: 0,
            free_since: 0,
            spent: false,
            shut: false,
            clogged: false,
            begun: 0,
        }
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Its socket.
    pub fn socket(&self) -> Option<&Socket> {
        self.socket.as_ref()
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
        !self.unsent.is_empty()
    }

    /// Whether the socket has no room, so that nothing more is to be begun.
    pub fn is_clogged(&self) -> bool {
        self.clogged
    }

    /// How many iterations it has begun since it was opened.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// When the oldest iteration under way began.
    pub fn oldest(&self) -> Option<u64> {
        match self.standing {
            Standing::Opening => Some(self.dialled),
            _ => self.flights.front().map(|flight| flight.begun),
        }
    }

    /// Begins to open it.
    pub fn open(&mut self, shared: &mut Shared) -> Result<(), Failing> {
        let broken = |error: io::Error| Failing::Broken(format!("no connection to {}: {error}", shared.address));
        let (address, kind, protocol): (SockAddr, _, _) = match &shared.address {
            Address::Tcp(socket) => ((*socket).into(), Type::STREAM, Some(Protocol::TCP)),
            Address::Udp(socket) => ((*socket).into(), Type::DGRAM, Some(Protocol::UDP)),
            Address::Unix(path) => (SockAddr::unix(path).map_err(broken)?, Type::STREAM, None),
            Address::Unixgram(_) => {
                return Err(Failing::Broken("`unixgram` cannot be measured".into()));
            }
        };
        self.dialled = now();
        let domain: Domain = address.domain();
        let socket = Socket::new(domain, kind, protocol).map_err(broken)?;
        if kind == Type::STREAM && protocol.is_some() {
            socket.set_tcp_nodelay(true).map_err(broken)?;
        }
        if self.datagram {
            // Its own socket is not what loses datagrams.
            let _ = socket.set_recv_buffer_size(4 << 20);
        }
        if shared.blocking {
            let timeout = std::time::Duration::from_nanos(shared.timeout);
            socket.set_read_timeout(Some(timeout)).map_err(broken)?;
            socket.connect(&address).map_err(broken)?;
        } else {
            socket.set_nonblocking(true).map_err(broken)?;
            match socket.connect(&address) {
                Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
                done => done.map_err(broken)?,
            }
        }
        self.socket = Some(socket);
        self.standing = Standing::Opening;
        Ok(())
    }

    /// Goes on when the socket says that it is connected, or is not. The opening steps begin.
    pub fn opened(&mut self, shared: &mut Shared) -> Result<(), Failing> {
        let socket = self.socket.as_ref().expect("it is being opened");
        if let Some(error) = socket.take_error().ok().flatten() {
            return Err(Failing::Broken(format!("no connection to {}: {error}", shared.address)));
        }
        let now = now();
        shared.tally.counts.connections += 1;
        if now >= shared.counted_from {
            shared.tally.connect.saturating_record((now - self.dialled).clamp(1, LATENCY_MAX));
        }
        self.flights.push_back(Flight { intended: now, begun: now, stepped: now, at: 0 });
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
            self.variables.insert(Arc::from(super::workload::ITERATION), number.to_string().into());
        }
        let mut at = 0;
        let first = self.flights.is_empty();
        let mut flight = Flight { intended, begun, stepped: begun, at: 0 };
        while let Some(operation) = workload.operations.get(at) {
            if matches!(operation, Operation::Expect(_) | Operation::ExpectEof(_)) {
                break;
            }
            self.perform(shared, operation)?;
            at += 1;
        }
        flight.at = at;
        if first {
            self.progress = Progress::default();
            self.matcher = None;
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
                    self.write(shared, piece)?;
                }
                self.flush(shared)
            }
            Operation::Send(bytes) => self.write(shared, bytes),
            Operation::SendMade(send, save) => {
                let framing = shared.workload.framing.clone();
                let mut whole: Vec<u8> = Vec::new();
                for payload in &send.payloads {
                    let bytes = fill(payload, &self.variables, &mut self.random, framing.as_deref());
                    let bytes = bytes.map_err(|error| Failing::Mismatch(error.to_string()))?;
                    if self.datagram {
                        self.write(shared, &bytes)?;
                    }
                    whole.extend_from_slice(&bytes);
                }
                if !self.datagram {
                    self.write(shared, &whole)?;
                }
                if let Some(name) = save {
                    self.variables.insert(Arc::clone(name), whole.into());
                }
                Ok(())
            }
            Operation::Set(name, template) => {
                let value = template.fill(&self.variables);
                let value =
                    value.map_err(|unset| Failing::Mismatch(format!("the variable `{}` has no value yet", unset.0)))?;
                self.variables.insert(Arc::clone(name), value);
                Ok(())
            }
            Operation::Shutdown => {
                self.shut = true;
                self.flush(shared)
            }
            Operation::Close | Operation::Reset => {
                self.flush(shared)?;
                self.spent = true;
                if matches!(operation, Operation::Reset)
                    && let Some(socket) = &self.socket
                {
                    let _ = socket.set_linger(Some(std::time::Duration::ZERO));
                }
                Ok(())
            }
            Operation::Expect(_) | Operation::ExpectEof(_) => unreachable!("they wait"),
        }
    }

    fn write(&mut self, shared: &mut Shared, bytes: &[u8]) -> Result<(), Failing> {
        shared.tally.counts.messages += 1;
        shared.tally.counts.bytes_sent += bytes.len() as u64;
        // Small ones leave together; one that is large need not be copied.
        if self.datagram || (self.unsent.is_empty() && bytes.len() > 4096) {
            let taken = self.put(shared, bytes)?;
            if !self.datagram {
                self.clogged = taken < bytes.len();
                self.unsent.extend_from_slice(&bytes[taken..]);
            }
        } else {
            self.unsent.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn put(&mut self, shared: &mut Shared, bytes: &[u8]) -> Result<usize, Failing> {
        let socket = self.socket.as_ref().expect("it is open");
        loop {
            shared.tally.counts.syscalls += 1;
            match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
                Ok(taken) => return Ok(taken),
                Err(Errno::INTR) => {}
                // A datagram that finds no room is lost, as it would be on any network.
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(0),
                // It is about one that was sent before.
                Err(Errno::CONNREFUSED) if self.datagram => return Ok(0),
                Err(error) => return Err(Failing::Broken(format!("cannot send: {}", io::Error::from(error)))),
            }
        }
    }

    /// Gives the socket what waits for it.
    pub fn flush(&mut self, shared: &mut Shared) -> Result<(), Failing> {
        while !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            let taken = self.put(shared, &unsent);
            self.unsent = unsent;
            let taken = taken?;
            self.clogged = taken < self.unsent.len();
            if self.clogged {
                self.unsent.drain(..taken);
            } else {
                self.unsent.clear();
            }
            if !shared.blocking {
                break;
            }
        }
        if self.shut && self.unsent.is_empty() {
            self.shut = false;
            let socket = self.socket.as_ref().expect("it is open");
            // A peer that is gone already need not be told.
            let _ = socket.shutdown(std::net::Shutdown::Write);
        }
        Ok(())
    }

    /// Reads what is there and goes on as far as that leads. `true` if there may be more.
    pub fn read(&mut self, shared: &mut Shared) -> Result<bool, Failing> {
        let mut buffer = std::mem::take(&mut shared.buffer);
        let read = self.read_into(shared, &mut buffer);
        shared.buffer = buffer;
        read
    }

    fn read_into(&mut self, shared: &mut Shared, buffer: &mut [u8]) -> Result<bool, Failing> {
        let socket = self.socket.as_ref().expect("it is open");
        shared.tally.counts.syscalls += 1;
        let len = match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
            Ok((len, _)) => len,
            Err(Errno::INTR) => return Ok(true),
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::CONNREFUSED) if self.datagram => {
                return Err(Failing::Broken(format!("nobody listens at {}", shared.address)));
            }
            Err(Errno::CONNRESET) => return Err(Failing::Broken("the peer reset the connection".into())),
            Err(error) => return Err(Failing::Broken(format!("cannot read: {}", io::Error::from(error)))),
        };
        let now = now();
        shared.tally.counts.bytes_received += len as u64;
        if self.datagram {
            self.datagram(shared, &buffer[..len], now)?;
            return Ok(!shared.blocking && !self.flights.is_empty());
        }
        if len == 0 {
            return self.ended(shared, now).map(|()| false);
        }
        if self.carried.is_empty() {
            let mut rest = &buffer[..len];
            self.advance(shared, &mut rest, now)?;
            if !rest.is_empty() {
                self.carried.extend_from_slice(rest);
            }
        } else {
            if self.carried.len() + len > CARRIED_MAX {
                return Err(Failing::Mismatch(format!("more than {CARRIED_MAX} bytes came without an end")));
            }
            self.carried.extend_from_slice(&buffer[..len]);
            let carried = std::mem::take(&mut self.carried);
            let mut rest = carried.as_slice();
            let went = self.advance(shared, &mut rest, now);
            let left = rest.len();
            self.carried = carried;
            let done = self.carried.len() - left;
            self.carried.drain(..done);
            went?;
        }
        Ok(len == buffer.len())
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
                let what = self.describe(expecting);
                Err(Failing::Broken(format!("the peer closed the connection where {what} was expected")))
            }
            _ => Err(Failing::Broken("the peer closed the connection".into())),
        }
    }

    /// A datagram has come.
    fn datagram(&mut self, shared: &mut Shared, bytes: &[u8], now: u64) -> Result<(), Failing> {
        let workload = Rc::clone(&shared.workload);
        let operations = self.operations(&workload);
        let mut first_why = None;
        for number in 0..self.flights.len() {
            let flight = self.flights[number];
            let Some(Operation::Expect(expecting)) = operations.get(flight.at) else { continue };
            match self.compare(shared, expecting, bytes)? {
                Ok(found) => {
                    if number > 0 {
                        shared.tally.counts.reordered += 1;
                        // It goes to the front, where steps are played; the others keep their order.
                        let flight = self.flights.remove(number).expect("it is there");
                        self.flights.push_front(flight);
                    }
                    self.keep(expecting, bytes, &found);
                    self.held(shared, expecting.step, now);
                    return self.next(shared, &workload, now);
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

    fn operations<'w>(&self, workload: &'w Workload) -> &'w [Operation] {
        if self.standing == Standing::Opening { &workload.opening } else { &workload.operations }
    }

    /// Takes expected messages from the front of `rest` as far as it goes. `true` if it took any.
    fn advance(&mut self, shared: &mut Shared, rest: &mut &[u8], now: u64) -> Result<bool, Failing> {
        let workload = Rc::clone(&shared.workload);
        let mut took = false;
        loop {
            let Some(flight) = self.flights.front().copied() else {
                if !rest.is_empty() {
                    shared.tally.counts.unasked += rest.len() as u64;
                    let why = format!("nothing was asked, and {} came", quote(&rest[..rest.len().min(TOLD_LEN_MAX)]));
                    *rest = &[];
                    return Err(Failing::Mismatch(why));
                }
                return Ok(took);
            };
            let operations = self.operations(&workload);
            match operations.get(flight.at) {
                Some(Operation::Expect(expecting)) => {
                    let Some(used) = self.expect(shared, expecting, rest)? else { return Ok(took) };
                    *rest = &rest[used..];
                    took = true;
                    self.held(shared, expecting.step, now);
                    self.next(shared, &workload, now)?;
                }
                Some(Operation::ExpectEof(_)) => {
                    if rest.is_empty() {
                        return Ok(took);
                    }
                    let why = format!("expected the end, got {}", quote(&rest[..rest.len().min(TOLD_LEN_MAX)]));
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

    /// How many bytes the expected message takes, once it is there.
    fn expect(&mut self, shared: &mut Shared, expecting: &Expecting, rest: &[u8]) -> Result<Option<usize>, Failing> {
        let workload = Rc::clone(&shared.workload);
        if let Some(framing) = &workload.framing {
            let decoded = framing.decode(rest, self.searched.min(rest.len()));
            return match decoded.map_err(|error| Failing::Mismatch(format!("{error}")))? {
                Decoded::NeedMore => {
                    self.searched = rest.len();
                    Ok(None)
                }
                Decoded::Message { start, end, consumed } => {
                    self.searched = 0;
                    let body = &rest[start..end];
                    match self.compare(shared, expecting, body)? {
                        Ok(found) => self.keep(expecting, body, &found),
                        Err(why) => return Err(Failing::Mismatch(why)),
                    }
                    Ok(Some(consumed))
                }
            };
        }
        if rest.is_empty() {
            return Ok(None);
        }
        if let Wanted::Bytes(bytes) = &expecting.what {
            let common = bytes.len().min(rest.len());
            let from = self.searched.min(common);
            if shared.verify && rest[from..common] != bytes[from..common] {
                return Err(Failing::Mismatch(told(&quote(&bytes[..bytes.len().min(TOLD_LEN_MAX)]), rest)));
            }
            if common < bytes.len() {
                self.searched = common;
                return Ok(None);
            }
            if let Some(name) = &expecting.save {
                self.variables.insert(Arc::clone(name), bytes.clone());
            }
            return Ok(Some(common));
        }
        let made;
        let matcher = match &expecting.what {
            Wanted::Matcher(matcher) => &**matcher,
            _ => {
                made = self.matcher(expecting)?;
                &*made
            }
        };
        match matcher.check(Input::stream(rest, false), &mut self.progress) {
            Outcome::NeedMore => Ok(None),
            Outcome::Mismatch { why, .. } => {
                Err(Failing::Mismatch(format!("{}: {why}", told(&matcher.describe(), rest))))
            }
            Outcome::Match(found) => {
                let len = found.len;
                self.keep(expecting, &rest[..len], &found);
                Ok(Some(len))
            }
        }
    }

    /// Whether a whole message is the expected one; otherwise why not.
    fn compare(
        &mut self,
        shared: &Shared,
        expecting: &Expecting,
        body: &[u8],
    ) -> Result<Result<Match, String>, Failing> {
        if !shared.verify && expecting.save.is_none() {
            return Ok(Ok(Match::default()));
        }
        if let Wanted::Bytes(bytes) = &expecting.what {
            if bytes.as_ref() == body {
                return Ok(Ok(Match::default()));
            }
            return Ok(Err(told(&quote(&bytes[..bytes.len().min(TOLD_LEN_MAX)]), body)));
        }
        let made;
        let matcher = match &expecting.what {
            Wanted::Matcher(matcher) => &**matcher,
            _ => {
                made = self.matcher(expecting)?;
                self.matcher = None;
                &*made
            }
        };
        Ok(match matcher.check(Input::message(body), &mut Progress::default()) {
            Outcome::Match(found) => Ok(found),
            Outcome::Mismatch { why, .. } => Err(format!("{}: {why}", told(&matcher.describe(), body))),
            Outcome::NeedMore => Err(told(&matcher.describe(), body)),
        })
    }

    fn matcher(&mut self, expecting: &Expecting) -> Result<Arc<dyn Matcher>, Failing> {
        match &expecting.what {
            Wanted::Bytes(bytes) => Ok(Arc::new(crate::matcher::Exact(bytes.clone()))),
            Wanted::Matcher(matcher) => Ok(Arc::clone(matcher)),
            Wanted::Pattern(pattern) => match &self.matcher {
                Some(matcher) => Ok(Arc::clone(matcher)),
                None => {
                    let matcher = pattern.fill(&self.variables);
                    let matcher = matcher.map_err(|error| Failing::Mismatch(error.to_string()))?;
                    self.matcher = Some(Arc::clone(&matcher));
                    Ok(matcher)
                }
            },
        }
    }

    fn describe(&mut self, expecting: &Expecting) -> String {
        self.matcher(expecting).map_or_else(|_| "an answer".into(), |matcher| matcher.describe())
    }

    /// Keeps what a match sets.
    fn keep(&mut self, expecting: &Expecting, body: &[u8], found: &Match) {
        if let Some(name) = &expecting.save {
            self.variables.insert(Arc::clone(name), Bytes::copy_from_slice(body));
        }
        for (name, range) in &found.captures {
            self.variables.insert(Arc::clone(name), Bytes::copy_from_slice(&body[range.clone()]));
        }
        for (name, value) in &found.values {
            self.variables.insert(Arc::clone(name), value.clone());
        }
    }

    /// An expectation of the front iteration has held.
    fn held(&mut self, shared: &mut Shared, step: usize, now: u64) {
        shared.tally.counts.messages += 1;
        self.progress = Progress::default();
        self.matcher = None;
        self.searched = 0;
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
        let took = |since: u64| now.saturating_sub(since).clamp(1, LATENCY_MAX);
        tally.latency.saturating_record(took(flight.intended));
        if flight.intended != flight.begun {
            tally.service.saturating_record(took(flight.begun));
        }
    }

    /// Whether its iteration has ended the connection.
    pub fn is_spent(&self) -> bool {
        self.spent && self.flights.is_empty() && self.unsent.is_empty()
    }

    /// Ends it, whatever is under way, and gives the number of iterations that were.
    pub fn close(&mut self) -> usize {
        self.socket = None;
        let lost = if self.standing == Standing::Open { self.flights.len() } else { 0 };
        self.standing = Standing::Gone;
        self.flights.clear();
        self.carried.clear();
        self.unsent.clear();
        self.searched = 0;
        self.given_up = 0;
        self.spent = false;
        self.shut = false;
        self.clogged = false;
        self.begun = 0;
        self.progress = Progress::default();
        self.matcher = None;
        lost
    }

    /// Gives up iterations that take too long, where each has answers of its own: with datagrams. Gives how many.
    pub fn give_up(&mut self, before: u64) -> u64 {
        let mut count = 0;
        while self.flights.front().is_some_and(|flight| flight.begun < before) {
            self.flights.pop_front();
            self.given_up = self.given_up.saturating_add(1);
            count += 1;
        }
        if count > 0 {
            self.free_since = now();
            self.matcher = None;
        }
        count
    }
}

fn told(wanted: &str, got: &[u8]) -> String {
    let shown = quote(&got[..got.len().min(TOLD_LEN_MAX)]);
    let more = if got.len() > TOLD_LEN_MAX { format!(" and {} more", got.len() - TOLD_LEN_MAX) } else { String::new() };
    format!("expected {wanted}, got {shown}{more}")
}
