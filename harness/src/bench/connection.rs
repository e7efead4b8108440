//! One connection of a load generator: iterations under way, and what has come of their answers.
//!
//! It says what leaves by its [`Wire`] and what has come of that; nothing in it waits. Bytes that were read are looked at
//! where they lie; only what is not whole yet is copied.

mod bulk;
mod cast;
mod datagrams;
mod playing;
mod uniform;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

pub use self::bulk::Moved;
pub use self::uniform::{Known, Uniform};
use super::clock::now;
use super::correlation::Asked;
use super::expectation::{Expectation, Mismatch};
use super::tally::{LATENCY_MAX, Tally};
use super::wire::{Broken, Buffers, Got, Opening, Wire};
use super::workload::{Bulk, Part, Workload};
use crate::event::TlsSession;
use crate::random::Random;
use crate::scenario::CONNECTION;

/// The most bytes of a connection that wait for the rest of their message.
pub const CARRIED_MAX: usize = 64 << 20;

/// The most questions that were given up and whose answers are still known for late ones.
pub const GIVEN_UP_MAX: usize = 4096;

/// An iteration under way, or several that began at once and have come equally far.
#[derive(Clone, Copy, Debug)]
struct Flight {
    /// How many.
    count: usize,
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

impl Failing {
    /// The same, said of one of several actors.
    #[must_use]
    pub fn of(self, actor: &str) -> Failing {
        match self {
            Failing::Broken(text) => Failing::Broken(format!("{actor}: {text}")),
            Failing::Mismatch(text) => Failing::Mismatch(format!("{actor}: {text}")),
        }
    }
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

/// What is added where a peer ends one of many connections on which it has said nothing.
const TOO_MANY: &str = " and had said nothing on it: it may not take so many at once (its own limit, or `ulimit -n`)";

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
    /// Connections that play an iteration together, by [`Connection::new`]'s number for them.
    pub casts: Vec<Cast>,
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
    /// An answer that is known to hold.
    pub known: Known,
    /// When something was read last, or 0 where that has been seen to.
    pub read_at: u64,
    /// How far the clock of the kernel's timestamps is ahead, where they are asked for.
    pub ahead: u64,
    /// From when on what ends is counted.
    pub counted_from: u64,
    /// Iterations that were begun, by every connection of the thread.
    pub begun: u64,
}

/// What an actor's connections do, and how they are opened.
#[derive(Debug)]
pub struct Role {
    /// What they do.
    pub part: Part,
    /// How they are opened.
    pub opening: Opening,
    /// What its iterations have in common, where they are no more than a request and its answer.
    pub uniform: Option<Uniform>,
}

/// Connections that play an iteration together: one for each actor.
#[derive(Debug, Default)]
pub struct Cast {
    /// How many notices of each kind its actors have given.
    pub notices: Vec<u64>,
    /// How many of them have not come to the end of the iteration yet.
    pub playing: usize,
    /// Whether others may be able to go on.
    pub changed: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    role: Rc<Role>,
    /// Those that it plays with.
    cast: usize,
    /// Datagrams that came before its turn.
    early: VecDeque<Bytes>,
    /// Whether its peer has said, before its turn, that nothing more comes.
    ended: bool,
    /// Whether anything has come.
    heard: bool,
    wire: Wire,
    standing: Standing,
    /// What has come and is not whole yet.
    carried: Vec<u8>,
    flights: VecDeque<Flight>,
    /// How many iterations they are.
    under_way: usize,
    /// Whether a part of the next answer has been looked at.
    partly: bool,
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
    /// These two are large and seldom looked at: without them what each message needs lies together.
    expectation: Box<Expectation>,
    random: Box<Random>,
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
    /// Whose it is.
    pub fn actor(&self) -> &str {
        &self.role.part.name
    }

    /// One that is not open yet, and plays a role in a cast: by its number here, and over all threads.
    pub fn new(shared: &Shared, role: &Rc<Role>, (cast, number): (usize, usize), random: Random) -> Connection {
        let mut expectation = Box::new(Expectation::new(&shared.workload));
        expectation.variables.insert(CONNECTION.into(), number.to_string().into());
        Connection {
            role: Rc::clone(role),
            cast,
            early: VecDeque::new(),
            ended: false,
            wire: Wire::new(&role.opening),
            standing: Standing::Gone,
            carried: Vec::new(),
            flights: VecDeque::new(),
            under_way: 0,
            partly: false,
            given_up: 0,
            unanswered: VecDeque::new(),
            asked: Asked::default(),
            questions: 0,
            answered: 0,
            heard: false,
            expectation,
            random: Box::new(random),
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
    pub fn socket(&self) -> Option<&Arc<OwnedFd>> {
        self.wire.socket()
    }

    /// Whether it carries datagrams.
    pub fn is_datagram(&self) -> bool {
        self.wire.is_datagram()
    }

    /// Whether nothing has come on a stream in the clear; how TLS fails is told by TLS.
    fn is_unheard(&self) -> bool {
        let is_plain = self.role.opening.tls.is_none() && !self.is_datagram();
        is_plain && self.standing == Standing::Open && !self.heard
    }

    /// What its TCP does about congestion, by the kernel's name for it.
    pub fn congestion(&self) -> Option<String> {
        rustix::net::sockopt::tcp_congestion(self.wire.socket()?).ok()
    }

    /// How many iterations are under way.
    pub fn under_way(&self) -> usize {
        self.under_way
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
    pub fn open(&mut self) -> Result<(), Failing> {
        self.dialled = now();
        self.wire.open(&self.role.opening)?;
        self.standing = Standing::Connecting;
        Ok(())
    }

    /// Goes on when the socket says that it is connected, or is not.
    pub fn opened(&mut self, shared: &mut Shared) -> Result<(), Failing> {
        self.wire.connected(&self.role.opening.address)?;
        let now = now();
        shared.tally.counts.connections += 1;
        if now >= shared.counted_from {
            shared.tally.connect.saturating_record((now - self.dialled).clamp(1, LATENCY_MAX));
        }
        self.connected = now;
        let opening = &self.role.opening;
        if let Some(client) = opening.tls.as_ref().filter(|_| !opening.upgrades) {
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
        let Some(client) = self.role.opening.tls.as_ref().filter(|_| !self.wire.is_protected()) else {
            return Err(Failing::Mismatch("TLS has begun on this connection already".into()));
        };
        self.upgrading = Some(now());
        Ok(self.wire.shake(client, &mut shared.tally.counts)?)
    }

    fn begin_opening(&mut self, shared: &mut Shared, now: u64) -> Result<(), Failing> {
        self.standing = Standing::Opening;
        let asked = Asked::default();
        self.flights.push_back(Flight { count: 1, intended: now, begun: now, stepped: now, at: 0, asked });
        self.under_way = 1;
        // The opening steps are played as far as they go.
        self.advance(shared, &mut &[][..], now)?;
        // It may be who others wait for.
        shared.casts[self.cast].changed = true;
        self.flush(shared)
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
        if self.wire.socket().is_none() {
            // It was closed before its cast had played to the end.
            return Ok(false);
        }
        let mut buffers = std::mem::take(&mut shared.buffers);
        let read = self.read_into(shared, &mut buffers);
        shared.buffers = buffers;
        match read {
            Err(Failing::Broken(text)) if shared.casts.len() > 1 && self.is_unheard() => {
                Err(Failing::Broken(format!("{text}{TOO_MANY}")))
            }
            read => read,
        }
    }

    fn read_into(&mut self, shared: &mut Shared, buffers: &mut Buffers) -> Result<bool, Failing> {
        let got = self.wire.read(&mut shared.tally.counts, &self.role.opening.address, buffers)?;
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
                shared.read_at = now;
                self.wire.collect(&mut shared.tally.counts, false);
                if bytes.is_empty() {
                    self.datagram(shared, bytes, now)?;
                }
                for datagram in bytes.chunks(size.max(1)) {
                    self.datagram(shared, datagram, now)?;
                }
                return Ok(self.role.opening.wait.is_none() && !self.flights.is_empty());
            }
            Got::End => return self.ended(shared, now()).map(|()| false),
            Got::Nothing => return Ok(false),
        };
        self.heard = true;
        let now = now();
        shared.read_at = now;
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
            self.advance_carried(shared, now)?;
        }
        Ok(more)
    }

    fn advance_carried(&mut self, shared: &mut Shared, now: u64) -> Result<(), Failing> {
        let carried = std::mem::take(&mut self.carried);
        let mut rest = carried.as_slice();
        let went = self.advance(shared, &mut rest, now);
        let left = rest.len();
        self.carried = carried;
        let done = self.carried.len() - left;
        self.carried.drain(..done);
        went.map(|_| ())
    }

    /// Whether its iteration has ended the connection.
    pub fn is_spent(&self) -> bool {
        self.spent && self.under_way == 0 && !self.wants_to_write()
    }

    /// Ends it, whatever is under way, and gives the number of iterations that were.
    pub fn close(&mut self, shared: &mut Shared) -> usize {
        self.wire.close(&mut shared.tally.counts);
        let lost = if self.standing == Standing::Open { self.under_way } else { 0 };
        self.standing = Standing::Gone;
        self.flights.clear();
        self.under_way = 0;
        self.carried.clear();
        self.early.clear();
        self.ended = false;
        self.given_up = 0;
        self.unanswered.clear();
        (self.questions, self.answered) = (0, 0);
        self.spent = false;
        self.begun = 0;
        if !matches!(shared.workload.bulk, Some(Bulk::Receive)) {
            self.moved = 0;
        }
        (self.is_idle, self.hung_up, self.heard, self.upgrading) = (false, false, false, None);
        self.read_at = None;
        self.expectation.reset();
        lost
    }
}
