//! The core: scripted peers with no socket and no clock.
//!
//! A [`Conversation`] owns the script, what has arrived and is unread, the variables and the deadlines. The world
//! comes in through [`Conversation::handle_input`] and [`Conversation::handle_timeout`]; decisions go out through
//! [`Conversation::poll_action`], [`Conversation::poll_event`] and [`Conversation::poll_timeout`]. Whoever drives it has the
//! sockets: TCP, UDP and Unix in `runner`, memory in tests and fuzzing.

#[cfg(test)]
mod actors_tests;
mod control;
mod lane;
pub mod laws;
mod link;
pub mod memory;
pub mod message;
mod order;
pub mod payload;
mod play;
mod reading;
pub mod script;
mod sending;
#[cfg(test)]
mod tests;
mod verdict;
mod waiting;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

pub use control::Deed;
pub use link::UNREAD_MAX;

use crate::event::{End, Endpoint, Event, EventKind, Failure, FailureKind, Side, TlsSession, Transport};
use crate::random::Random;
use crate::template::Variables;
use crate::time::Time;
use lane::Lane;
use link::{Ending, Link, Refusal, State};
use order::Order;
use script::{Script, Step};

/// What the events of one case may take in memory, in bytes, before its record stops.
pub const RECORD_MAX: u64 = 64 << 20;

/// The most connections of one case, over all its time.
pub const CONNECTIONS_MAX: usize = 100_000;

/// What an event takes besides its data, roughly.
const EVENT_COST: u64 = 128;

/// What the world does to a connection.
#[derive(Clone, Debug)]
pub enum Input {
    /// It is open.
    Connected {
        /// Our address.
        local: Endpoint,
        /// The peer's.
        peer: Endpoint,
    },
    /// It could not be opened.
    ConnectFailed {
        /// The address that was dialled.
        peer: Endpoint,
        /// Whether the peer refused.
        refused: bool,
        /// The system's words.
        reason: String,
    },
    /// One read, or one datagram.
    Data(Bytes),
    /// The peer closed its direction.
    Eof,
    /// The system refused to read or write.
    Failed(String),
    /// Somebody else than was asked has answered, and is the peer from here on.
    Moved {
        /// Who.
        peer: Endpoint,
    },
    /// The peer reset it.
    Reset,
    /// TLS is on.
    Secured(Box<TlsSession>),
    /// A TLS handshake failed, or what TLS carries could not be read.
    TlsFailed {
        /// Why.
        reason: String,
        /// What to try.
        hint: Option<String>,
    },
    /// Nobody listens on the port a datagram went to.
    Unreachable,
    /// The socket took so many bytes of the last [`Action::Send`].
    Written(usize),
}

/// What the conversation wants done. Connections are numbered in the order in which they are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Close it.
    Close(u32),
    /// Open one for this actor, by its number in the script.
    Connect {
        /// Its number.
        connection: u32,
        /// Whose.
        actor: usize,
        /// Where to, if a step before has told; otherwise whoever does it knows.
        url: Option<String>,
    },
    /// Do something to a process, and tell what came of it by [`Conversation::handle_control`].
    Control {
        /// The number to tell it by.
        number: u32,
        /// What.
        deed: Deed,
    },
    /// A round of an outermost loop has ended.
    Looped,
    /// A step has set this mark: what else goes by it may know.
    Marked(Arc<str>),
    /// Reset it.
    Reset(u32),
    /// Write these bytes, or this datagram. The next comes when all is written.
    Send {
        /// Where.
        connection: u32,
        /// What.
        data: Bytes,
    },
    /// Close our direction.
    Shutdown(u32),
    /// Begin TLS on it.
    StartTls {
        /// Where.
        connection: u32,
        /// How: a number of the script's.
        profile: usize,
        /// Whether we are the server.
        server: bool,
    },
}

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// Everything held.
    Passed,
    /// Something did not.
    Failed {
        /// What; the event stream has it, too.
        failure: Box<Failure>,
        /// The actor whose connection could not be opened, where that is what failed.
        unreached: Option<usize>,
    },
}

/// A case being played.
#[derive(Debug)]
pub struct Conversation {
    script: Arc<Script>,
    /// What carries each actor's connections.
    transports: Vec<Transport>,
    links: Vec<Link>,
    /// The connection that goes by each slot's name now.
    current: Vec<Option<usize>>,
    /// Connections that came to each actor and that no step has taken.
    arrivals: Vec<VecDeque<usize>>,
    /// For listeners for datagrams: who has said what, in its order, of those without a name.
    heard: Vec<VecDeque<usize>>,
    lanes: Vec<Lane>,
    deferred: Vec<Arc<[Step]>>,
    order: Order,
    deeds: HashMap<u32, Result<Bytes, String>>,
    next_deed: u32,
    variables: Variables,
    /// Which variables the lane in hand has set.
    set: Vec<Arc<str>>,
    marks: HashMap<Arc<str>, Time>,
    random: Random,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    case: u32,
    record_left: Option<u64>,
    started: Time,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Playing,
    /// All steps held; the peers are given the time to say something that nobody asked for.
    Settling {
        since: Time,
    },
    /// What was deferred is played.
    Deferring {
        until: Time,
        ended: Ended,
    },
    Over(Ended),
}

impl Conversation {
    /// Begins to play `script`. `transports` has one for each actor, `variables` what is known from the start.
    pub fn new(
        script: Arc<Script>,
        transports: Vec<Transport>,
        mut variables: Variables,
        random: Random,
        case: u32,
        now: Time,
    ) -> Conversation {
        for (name, value) in &script.variables {
            variables.entry(Arc::clone(name)).or_insert_with(|| value.clone());
        }
        let mut conversation = Conversation {
            transports,
            links: Vec::new(),
            current: vec![None; script.slots.len()],
            arrivals: vec![VecDeque::new(); script.actors.len()],
            heard: vec![VecDeque::new(); script.actors.len()],
            lanes: script
                .lanes
                .iter()
                .map(|lane| Lane::new(Arc::clone(&lane.name), Arc::clone(&lane.steps), now))
                .collect(),
            deferred: Vec::new(),
            order: Order::default(),
            deeds: HashMap::new(),
            next_deed: 0,
            variables,
            set: Vec::new(),
            marks: HashMap::new(),
            random,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            case,
            record_left: Some(RECORD_MAX),
            started: now,
            phase: Phase::Playing,
            script,
        };
        conversation.advance(now);
        conversation
    }

    /// Takes in a new connection to a listener, or the first datagram of a new peer, and gives it its number.
    ///
    /// What follows is told as of any other connection, [`Input::Connected`] first. `None` where there is no room for
    /// another one.
    pub fn handle_accept(&mut self, now: Time, actor: usize) -> Option<u32> {
        let at = self.links.len();
        if at >= CONNECTIONS_MAX || matches!(self.phase, Phase::Over(_)) {
            return None;
        }
        self.links.push(Link::new(actor, self.transports[actor], true, now));
        self.arrivals[actor].push_back(at);
        Some(at as u32)
    }

    /// Takes in what happened to a connection.
    pub fn handle_input(&mut self, now: Time, connection: u32, input: Input) {
        let at = connection as usize;
        if at >= self.links.len() || matches!(self.phase, Phase::Over(_)) {
            return;
        }
        match input {
            Input::Connected { local, peer } => {
                let link = &mut self.links[at];
                link.state = State::Open;
                link.arrived = now;
                let secures = self.script.actors[link.actor].tls;
                if let Some(profile) = secures {
                    link.state = State::Securing;
                    link.begins_with_tls = true;
                    let server = link.incoming;
                    self.actions.push_back(Action::StartTls { connection, profile, server });
                }
                let dialled = if link.incoming { Side::Peer } else { Side::Local };
                let (actor, transport) = (Arc::clone(&self.script.actors[link.actor].name), link.transport);
                self.tell(now, EventKind::ConnectionOpened { connection, actor, transport, dialled, local, peer });
            }
            Input::ConnectFailed { peer, refused, reason } => {
                let link = &mut self.links[at];
                link.state = State::Closed;
                link.refusal = Some(Refusal { refused, handshake: None, reason: reason.clone() });
                let (actor, transport) = (Arc::clone(&self.script.actors[link.actor].name), link.transport);
                self.tell(now, EventKind::ConnectionFailed { connection, actor, transport, peer, refused, reason });
            }
            Input::Data(data) => {
                self.record(now, data.len(), || EventKind::Received { connection, data: data.clone() });
                let link = &mut self.links[at];
                link.receive(now, data);
                let (actor, unnamed) = (link.actor, link.incoming && link.transport.is_datagram());
                if unnamed && !self.current[self.script.actors.len()..].contains(&Some(at)) {
                    self.heard[actor].push_back(at);
                }
            }
            Input::Eof => {
                self.end(now, at, Ending::Eof);
                self.tell(now, EventKind::Ended { connection, by: Side::Peer, how: End::Fin });
            }
            Input::Failed(reason) => self.end(now, at, Ending::Failed(reason)),
            Input::Moved { peer } => return self.tell(now, EventKind::PeerMoved { connection, peer }),
            Input::Reset => {
                self.end(now, at, Ending::Reset);
                self.tell(now, EventKind::Ended { connection, by: Side::Peer, how: End::Reset });
            }
            Input::Secured(session) => {
                let link = &mut self.links[at];
                if link.state == State::Securing {
                    link.state = State::Open;
                }
                self.tell(now, EventKind::TlsEstablished { connection, session: *session });
            }
            Input::TlsFailed { reason, hint } => {
                self.tell(now, EventKind::TlsFailed { connection, reason: reason.clone() });
                let link = &mut self.links[at];
                if link.state == State::Dialing || (link.state == State::Securing && link.begins_with_tls) {
                    link.state = State::Closed;
                    link.refusal = Some(Refusal { refused: false, handshake: Some(hint), reason });
                } else {
                    self.end(now, at, Ending::Tls(reason, hint));
                }
            }
            Input::Unreachable => {
                self.end(now, at, Ending::Unreachable);
                self.tell(now, EventKind::Ended { connection, by: Side::Peer, how: End::Unreachable });
            }
            Input::Written(len) => self.written(now, at, len),
        }
        self.advance(now);
    }

    /// Takes note of what went over a connection's wire under TLS.
    pub fn handle_wire(&mut self, at: Time, connection: u32, sent: bool, data: Bytes) {
        self.record(at, data.len(), || match sent {
            true => EventKind::WireSent { connection, data },
            false => EventKind::WireReceived { connection, data },
        });
    }

    /// Takes note of the secrets of a connection.
    pub fn handle_secrets(&mut self, at: Time, connection: u32, lines: String) {
        self.tell(at, EventKind::TlsSecrets { connection, lines });
    }

    fn end(&mut self, now: Time, at: usize, ending: Ending) {
        let link = &mut self.links[at];
        link.arrived = now;
        link.ending.get_or_insert(ending);
    }

    /// Since when all that is played waits for what peers say, and for nothing else; `None` where something else is going on.
    pub fn waits_since(&self) -> Option<Time> {
        let Phase::Playing = self.phase else { return None };
        let mut since = self.links.iter().map(|link| link.arrived).max()?;
        for lane in self.lanes.iter().filter(|lane| !lane.is_done()) {
            let running = lane.running().filter(|running| self.waits_for_peer(running))?;
            since = since.max(running.clocks.started);
        }
        Some(since)
    }

    /// The peers will say no more: whoever waits for that has waited long enough.
    pub fn handle_rest(&mut self, now: Time) {
        if self.waits_since().is_some() {
            for running in self.lanes.iter_mut().filter_map(|lane| lane.running.as_mut()) {
                running.clocks.deadline = running.clocks.deadline.min(now);
            }
            self.advance(now);
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
    }

    /// Ends the case from outside: the target crashed, or the run was interrupted.
    pub fn handle_abort(&mut self, now: Time, kind: FailureKind, message: String) {
        if !matches!(self.phase, Phase::Over(_)) {
            let failure = self.failure_now(kind, message);
            self.fail(now, failure, None);
            self.advance(now);
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Conversation::handle_timeout`], if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        let whole = self.script.deadline.as_ref().map(|limit| self.started + limit.duration);
        let next = match &self.phase {
            Phase::Playing => self.lanes.iter().filter_map(|lane| self.lane_timeout(lane)).min(),
            Phase::Settling { since } => self.quiet_at(*since),
            Phase::Deferring { until, .. } => {
                let next = self.lanes.iter().filter_map(|lane| self.lane_timeout(lane)).min();
                return next.into_iter().chain([*until]).min();
            }
            Phase::Over(_) => return None,
        };
        next.into_iter().chain(whole).min()
    }

    /// Whether more of this connection may be read. Otherwise the peer has to wait.
    pub fn reads(&self, connection: u32) -> bool {
        self.links.get(connection as usize).is_some_and(|link| !link.is_over() && link.has_room())
    }

    /// How it ended, when it has.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.phase {
            Phase::Over(ended) => Some(ended),
            _ => None,
        }
    }

    /// How many bytes lie unread in memory, over all connections.
    pub fn unread(&self) -> usize {
        self.links.iter().map(Link::unread).sum()
    }

    /// Notes an event that is always kept.
    fn tell(&mut self, at: Time, kind: EventKind) {
        self.events.push_back(Event { at, case: Some(self.case), kind });
    }

    /// Notes an event that is kept while the record has room.
    fn record(&mut self, at: Time, data_len: usize, kind: impl FnOnce() -> EventKind) {
        let Some(left) = self.record_left else { return };
        match left.checked_sub(data_len as u64 + EVENT_COST) {
            Some(left) => {
                self.record_left = Some(left);
                self.tell(at, kind());
            }
            None => {
                self.record_left = None;
                self.tell(at, EventKind::RecordingStopped { kept: RECORD_MAX - left });
            }
        }
    }

    /// When the peers can be called quiet, if they say nothing before; `None` where nobody can say anything.
    fn quiet_at(&self, since: Time) -> Option<Time> {
        let open = self.links.iter().filter(|link| !link.is_over());
        open.map(|link| link.arrived.max(since) + self.script.quiet).max()
    }
}
