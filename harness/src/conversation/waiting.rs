//! What a running step does, and whether it holds by now.

use std::sync::Arc;

use super::lane::{Clocks, Running};
use super::link::{Ending, Link, State};
use super::reading::{Expecting, Gathering};
use super::script::{Role, Step, Then, Verb};
use super::sending::Sending;
use super::verdict::Failing;
use super::{Action, Conversation};
use crate::event::{EventKind, FailureKind, Transport};
use crate::text::{count, quote};
use crate::time::Time;

/// What a running step does.
#[derive(Debug)]
pub(super) enum Doing {
    /// A listener's connection is awaited, or its handshake.
    Accept(Option<usize>),
    /// Each alternative for itself.
    Alt(Vec<Branch>),
    /// The opening of a barrier.
    Barrier(u64),
    /// A process is dealt with, under this number.
    Control(u32),
    /// A connection is being opened; then the step itself begins.
    Dial,
    Expect(Expecting),
    ExpectSet(Gathering),
    Send(Sending),
    /// What is waited for lies in the verb.
    Wait,
}

/// One of several outcomes.
#[derive(Debug)]
pub(super) struct Branch {
    steps: Arc<[Step]>,
    clocks: Clocks,
    doing: Doing,
    /// Why it can no longer hold.
    dead: Option<Box<Failing>>,
}

/// What came of looking at a step.
#[derive(Debug)]
pub(super) enum Flow {
    /// One of several outcomes holds; the rest of these steps follows it.
    Chosen(Arc<[Step]>),
    Done,
    Waiting,
}

impl Conversation {
    /// The connection that a step reads from, if there is one by now.
    pub(super) fn reading(&self, slot: usize) -> Option<usize> {
        match self.hears(slot) {
            true => self.heard[slot].front().copied().or(self.current[slot]),
            false => self.current[slot],
        }
    }

    /// The connection that a step writes to, if there is one by now.
    pub(super) fn writing(&self, slot: usize) -> Option<usize> {
        match self.hears(slot) {
            true => self.current[slot].or(self.heard[slot].front().copied()),
            false => self.current[slot],
        }
    }

    /// Whether this is a listener for datagrams that speaks itself: it hears every peer that has no name.
    pub(super) fn hears(&self, slot: usize) -> bool {
        self.script.actors.get(slot).is_some_and(|actor| actor.role == Role::Server)
            && self.transports[slot].is_datagram()
    }

    /// The connection that a verb acts on.
    pub(super) fn link_for(&self, step: &Step) -> Option<usize> {
        match step.verb {
            Verb::Expect(_) | Verb::ExpectSet(..) => self.reading(step.slot),
            _ => self.writing(step.slot),
        }
    }

    /// The connection that a step acts on, which must be open.
    pub(super) fn open_link(&self, step: &Step) -> Result<usize, Box<Failing>> {
        let Some(at) = self.link_for(step) else {
            let name = &self.script.slots[step.slot].name;
            return Err(Failing::script(format!("there is no connection `{name}` yet"))
                .hint(format!("`{{ accept = \"{name}\" }}` of its listener has to be played before")));
        };
        if self.links[at].state == State::Closed {
            let failing = Failing::script("not connected: the connection was closed before");
            return Err(match self.script.actors[self.links[at].actor].role {
                Role::Server => failing.hint("`accept` takes the listener's next one"),
                _ => failing.hint("`{ connect = true }` opens another"),
            });
        }
        Ok(at)
    }

    /// Whether what carries a connection knows this way to end it.
    pub(super) fn check_can_end(&self, at: usize, how: Option<Then>) -> Result<(), Box<Failing>> {
        let transport = self.links[at].transport;
        match how {
            Some(Then::Reset | Then::HalfClose) if transport.is_datagram() => {
                Err(Failing::script("a datagram socket has no connection that could be ended")
                    .hint("`{ close = true }` closes it"))
            }
            Some(Then::Reset) if transport != Transport::Tcp => {
                Err(Failing::script("only a TCP connection can be reset").hint("`{ close = true }` closes this one"))
            }
            _ => Ok(()),
        }
    }

    /// Opens a connection, or takes a listener's next one, for a step that needs one and has none.
    pub(super) fn provide(&mut self, now: Time, slot: usize) -> Result<(), Box<Failing>> {
        match self.script.actors.get(slot).map(|actor| actor.role) {
            Some(Role::Client) => self.dial(now, slot)?,
            Some(Role::Server) if !self.hears(slot) => _ = self.claim(slot, slot),
            _ => {}
        }
        Ok(())
    }

    /// Takes the next connection that came to a listener, under a name.
    fn claim(&mut self, actor: usize, slot: usize) -> Option<usize> {
        let at = self.arrivals[actor].pop_front()?;
        self.links[at].claimed = true;
        self.heard[actor].retain(|heard| *heard != at);
        if !self.transports[actor].is_datagram() || slot == actor {
            self.current[actor] = Some(at);
        }
        self.current[slot] = Some(at);
        Some(at)
    }

    /// Begins what a step does, once its connection is there.
    pub(super) fn begin_verb(&mut self, now: Time, step: &Step, clocks: &Clocks) -> Result<Doing, Box<Failing>> {
        match &step.verb {
            Verb::Accept(slot) => {
                let claimed = self.claim(step.slot, slot.unwrap_or(step.slot));
                return Ok(Doing::Accept(claimed));
            }
            Verb::Alt(branches) => return Ok(self.begin_alt(now, branches, clocks)),
            Verb::Await(..) => self.order.changed = true,
            Verb::Barrier(name, parties) => {
                self.order.changed = true;
                return Ok(Doing::Barrier(self.order.arrive(name, *parties)));
            }
            Verb::Close => {
                let at = self.open_link(step)?;
                self.close(now, at);
            }
            Verb::Connect => {
                if let Some(at) = self.current[step.slot].filter(|at| self.links[*at].state != State::Closed) {
                    // Where the peer has ended it and all is read, nothing is left to be done on it.
                    if self.links[at].ending.is_none() || self.links[at].has_unread() {
                        let hint = "`{ close = true }` closes the connection";
                        return Err(Failing::script("already connected").hint(hint));
                    }
                    self.close(now, at);
                }
                self.dial(now, step.slot)?;
            }
            Verb::Control(control) => return self.begin_control(control),
            Verb::Defer(steps) => self.deferred.push(Arc::clone(steps)),
            Verb::Expect(pattern) => {
                if !self.hears(step.slot) {
                    self.open_link(step)?;
                }
                return Ok(Doing::Expect(self.expecting(pattern)?));
            }
            Verb::ExpectEof | Verb::ExpectReset => {
                let at = self.open_link(step)?;
                if self.links[at].transport.is_datagram() {
                    return Err(Failing::script("a datagram socket has no connection that could end")
                        .hint("`expect_silence` or `expect_refused` may be meant"));
                }
            }
            Verb::ExpectRefused => match self.current[step.slot].map(|at| &self.links[at]) {
                None => self.dial(now, step.slot)?,
                Some(link) if link.state == State::Closed => self.dial(now, step.slot)?,
                Some(link) if link.transport.is_datagram() => {}
                Some(_) => {
                    return Err(Failing::script("already connected, so nobody refuses")
                        .hint("as the first step, or after `{ close = true }`, `expect_refused` dials"));
                }
            },
            Verb::ExpectSet(patterns, _) => {
                if !self.hears(step.slot) {
                    self.open_link(step)?;
                }
                let members: Result<_, _> = patterns.iter().map(|pattern| self.expecting(pattern)).collect();
                return Ok(Doing::ExpectSet(Gathering::new(members?)));
            }
            Verb::Drain(_) | Verb::ExpectSilence(_) => {
                if !self.hears(step.slot) {
                    self.open_link(step)?;
                }
            }
            Verb::Log(template) => {
                let message = template.fill_text(&self.variables).map_err(|unset| Failing::unset(&unset.0))?;
                self.tell(now, EventKind::Logged { message });
            }
            Verb::Notify(name) => self.order.notify(name),
            Verb::Repeat(_) => unreachable!("a loop begins in its lane"),
            Verb::Reset => {
                let at = self.open_link(step)?;
                self.check_can_end(at, Some(Then::Reset))?;
                self.reset(now, at);
            }
            Verb::Send(send) => return self.begin_send(now, step, send).map(Doing::Send),
            Verb::Set(values) => {
                for (name, template) in values {
                    let value = template.fill(&self.variables).map_err(|unset| Failing::unset(&unset.0))?;
                    self.set_variable(now, Arc::clone(name), value);
                }
            }
            Verb::Shutdown => {
                let at = self.open_link(step)?;
                self.check_can_end(at, Some(Then::HalfClose))?;
                self.shutdown(now, at);
            }
            Verb::Sleep(_) => {}
            Verb::StartTls(profile) => {
                let at = self.open_link(step)?;
                let link = &mut self.links[at];
                if link.transport.is_datagram() {
                    return Err(Failing::script("TLS needs a stream, and this is a datagram socket"));
                }
                if link.has_unread() {
                    return Err(Failing::unread("nothing more in the clear before TLS begins", link)
                        .hint("what came before the handshake is not protected by it, and must not be taken for it"));
                }
                link.state = State::Securing;
                let server = link.incoming;
                self.actions.push_back(Action::StartTls { connection: at as u32, profile: *profile, server });
            }
        }
        Ok(Doing::Wait)
    }

    fn begin_alt(&mut self, now: Time, branches: &[Arc<[Step]>], clocks: &Clocks) -> Doing {
        let begin = |steps: &Arc<[Step]>| {
            let step = &steps[0];
            let clocks = Clocks { deadline: clocks.deadline.min(clocks.base + step.limit.duration), ..*clocks };
            let (doing, dead) = match self.start(now, step, &clocks) {
                Ok(doing) => (doing, None),
                Err(failing) => (Doing::Wait, Some(failing)),
            };
            Branch { steps: Arc::clone(steps), clocks, doing, dead }
        };
        Doing::Alt(branches.iter().map(begin).collect())
    }

    /// Begins a step: with its connection, if it needs one and there is none.
    pub(super) fn start(&mut self, now: Time, step: &Step, clocks: &Clocks) -> Result<Doing, Box<Failing>> {
        if (step.dials || step.verb.needs_connection()) && self.link_for(step).is_none() {
            self.provide(now, step.slot)?;
            return Ok(Doing::Dial);
        }
        self.begin_verb(now, step, clocks)
    }

    /// Looks whether what a step does is done by now.
    pub(super) fn attempt(
        &mut self,
        now: Time,
        step: &Step,
        clocks: &Clocks,
        doing: &mut Doing,
    ) -> Result<Flow, Box<Failing>> {
        if let Doing::Dial = doing {
            if !self.is_connected(now, step, clocks)? {
                return Ok(Flow::Waiting);
            }
            // The step's own part begins now, and has not been looked at.
            *doing = self.begin_verb(now, step, clocks)?;
        }
        match doing {
            Doing::Accept(claimed) => self.accept(now, step, clocks, claimed),
            Doing::Alt(branches) => self.choose(now, branches),
            Doing::Control(number) => self.controlled(now, step, clocks, *number),
            Doing::Expect(expecting) => self.expect(now, step, clocks, expecting),
            Doing::ExpectSet(gathering) => self.gather(now, step, clocks, gathering),
            Doing::Send(sending) => self.send(now, step, clocks, sending),
            Doing::Wait => self.wait(now, step, clocks),
            Doing::Barrier(_) | Doing::Dial => Ok(Flow::Waiting),
        }
    }

    /// Whether the connection of a step that needs one is there.
    fn is_connected(&mut self, now: Time, step: &Step, clocks: &Clocks) -> Result<bool, Box<Failing>> {
        let Some(at) = self.link_for(step) else {
            let actor = self.script.slots[step.slot].actor;
            if step.slot != actor {
                self.open_link(step)?;
            }
            if self.hears(step.slot) && step.verb.listens() {
                return Ok(true);
            }
            self.provide(now, step.slot)?;
            if self.link_for(step).is_some() {
                return self.is_connected(now, step, clocks);
            }
            return match now >= clocks.deadline {
                true => Err(self.nobody_came(actor)),
                false => Ok(false),
            };
        };
        let late = now >= clocks.deadline;
        self.has_opened(at, late)
    }

    /// Whether a connection has been opened by now.
    fn has_opened(&self, at: usize, late: bool) -> Result<bool, Box<Failing>> {
        let link = &self.links[at];
        match (&link.refusal, link.state) {
            (Some(refusal), _) => Err(Failing::not_opened(link.actor, link.incoming, refusal)),
            (None, State::Securing) if late && link.begins_with_tls => {
                Err(Failing::new(FailureKind::Timeout, "the TLS handshake was not done").timed_out())
            }
            (None, State::Securing) if link.begins_with_tls && link.ending.is_none() => Ok(false),
            (None, State::Dialing) if late => Err(Failing::unreached(link.actor, "no answer").timed_out()),
            (None, state) => Ok(state != State::Dialing),
        }
    }

    fn nobody_came(&self, actor: usize) -> Box<Failing> {
        let name = &self.script.actors[actor].name;
        let message = match self.transports[actor].is_datagram() {
            true => format!("expected a datagram from somebody new at `{name}`, and none came"),
            false => format!("expected a connection to `{name}`, and nobody came"),
        };
        Failing::new(FailureKind::Timeout, message).timed_out()
    }

    fn accept(
        &mut self,
        now: Time,
        step: &Step,
        clocks: &Clocks,
        claimed: &mut Option<usize>,
    ) -> Result<Flow, Box<Failing>> {
        let Verb::Accept(slot) = &step.verb else { unreachable!("only `accept` accepts") };
        let late = now >= clocks.deadline;
        if claimed.is_none() {
            *claimed = self.claim(step.slot, slot.unwrap_or(step.slot));
        }
        match *claimed {
            Some(at) if self.has_opened(at, late)? => Ok(Flow::Done),
            None if late => Err(self.nobody_came(step.slot)),
            _ => Ok(Flow::Waiting),
        }
    }

    fn choose(&mut self, now: Time, branches: &mut [Branch]) -> Result<Flow, Box<Failing>> {
        for branch in branches.iter_mut().filter(|branch| branch.dead.is_none()) {
            match self.attempt(now, &branch.steps[0], &branch.clocks, &mut branch.doing) {
                Ok(Flow::Waiting) => {}
                Ok(_) => {
                    let id = branch.steps[0].id;
                    let connection = self.told_connection(&branch.steps[0]);
                    self.passed(id, branch.clocks.started, now, connection);
                    return Ok(Flow::Chosen(Arc::clone(&branch.steps)));
                }
                Err(failing) => branch.dead = Some(failing),
            }
        }
        if branches.iter().any(|branch| branch.dead.is_none()) {
            return Ok(Flow::Waiting);
        }
        let dead = branches.iter_mut().filter_map(|branch| branch.dead.take()).map(|dead| *dead).collect();
        Err(Failing::none_of(dead))
    }

    /// The verbs that wait for something other than a message.
    fn wait(&mut self, now: Time, step: &Step, clocks: &Clocks) -> Result<Flow, Box<Failing>> {
        let late = now >= clocks.deadline;
        if self.hears(step.slot) {
            match &step.verb {
                Verb::Drain(quiet) => return Ok(self.drain_peers(now, step.slot, clocks, *quiet)),
                Verb::ExpectSilence(silence) => {
                    return match self.heard[step.slot].front() {
                        Some(at) => Err(Failing::unread("silence", &self.links[*at])),
                        None if now >= clocks.base + *silence => Ok(Flow::Done),
                        None => Ok(Flow::Waiting),
                    };
                }
                _ => {}
            }
        }
        if let (Verb::Connect, Some(at)) = (&step.verb, self.writing(step.slot)) {
            return Ok(if self.has_opened(at, late)? { Flow::Done } else { Flow::Waiting });
        }
        let link = self.writing(step.slot).map(|at| &mut self.links[at]);
        match (&step.verb, link) {
            (Verb::Drain(quiet), Some(link)) => {
                link.clear();
                match link.is_over() || now >= link.arrived.max(clocks.started) + *quiet {
                    true => Ok(Flow::Done),
                    false if late => {
                        Err(Failing::new(FailureKind::Timeout, "the peer does not fall quiet").timed_out())
                    }
                    false => Ok(Flow::Waiting),
                }
            }
            (Verb::ExpectEof, Some(link)) => {
                if link.has_unread() {
                    return Err(Failing::unread("the peer to close the connection", link));
                }
                match &link.ending {
                    Some(Ending::Eof) => Ok(Flow::Done),
                    Some(ending) => Err(Failing::ended("the peer to close the connection", ending)),
                    None if late => {
                        Err(Failing::new(FailureKind::Timeout, "expected the peer to close the connection")
                            .timed_out_and(", and it is still open"))
                    }
                    None => Ok(Flow::Waiting),
                }
            }
            (Verb::ExpectRefused, Some(link)) => match (&link.refusal, link.state, &link.ending) {
                (Some(refusal), ..) if refusal.refused => Ok(Flow::Done),
                (_, _, Some(Ending::Unreachable)) => {
                    link.ending = None;
                    Ok(Flow::Done)
                }
                (Some(refusal), ..) => {
                    let message =
                        format!("expected the connection to be refused, but dialling failed: {}", refusal.reason);
                    Err(Failing::new(FailureKind::System, message))
                }
                (None, State::Open, _) if !link.transport.is_datagram() => Err(Failing::new(
                    FailureKind::Mismatch,
                    "expected the connection to be refused, and somebody listens",
                )),
                _ if link.has_unread() => Err(Failing::unread("that nobody listens", link)),
                _ if late => {
                    let failing = Failing::new(FailureKind::Timeout, "expected a refusal, and there was no answer");
                    Err(match link.transport.is_datagram() {
                        true => failing.hint("with datagrams only a `send` before it can be refused"),
                        false => failing,
                    }
                    .timed_out())
                }
                _ => Ok(Flow::Waiting),
            },
            (Verb::ExpectReset, Some(link)) => match &link.ending {
                Some(Ending::Reset) => Ok(Flow::Done),
                Some(ending) => Err(Failing::ended("the peer to reset the connection", ending)),
                None if late => Err(Failing::new(FailureKind::Timeout, "expected the peer to reset the connection")
                    .timed_out_and(", and it is still open")),
                None => Ok(Flow::Waiting),
            },
            (Verb::ExpectSilence(silence), Some(link)) => {
                if link.has_unread() {
                    return Err(Failing::unread("silence", link));
                }
                match &link.ending {
                    Some(ending @ (Ending::Reset | Ending::Failed(_))) => Err(Failing::ended("silence", ending)),
                    _ if now >= clocks.base + *silence => Ok(Flow::Done),
                    _ => Ok(Flow::Waiting),
                }
            }
            (Verb::Sleep(duration), _) if now < clocks.base + *duration => Ok(Flow::Waiting),
            (Verb::StartTls(_), Some(link)) => match (link.state, &link.ending) {
                (State::Open, None) => Ok(Flow::Done),
                (State::Securing, None) if late => {
                    Err(Failing::new(FailureKind::Timeout, "the TLS handshake was not done").timed_out())
                }
                (State::Securing, None) => Ok(Flow::Waiting),
                (_, Some(ending)) => Err(Failing::ended("a TLS handshake", ending)),
                _ => Ok(Flow::Waiting),
            },
            _ => Ok(Flow::Done),
        }
    }

    /// Drops what the peers of a listener for datagrams say, until they are quiet.
    fn drain_peers(&mut self, now: Time, slot: usize, clocks: &Clocks, quiet: std::time::Duration) -> Flow {
        while let Some(at) = self.heard[slot].pop_front() {
            self.links[at].clear();
            self.links[at].claimed = true;
            self.arrivals[slot].retain(|arrived| *arrived != at);
        }
        let own = self.links.iter().filter(|link| link.actor == slot);
        let last = own.map(|link| link.arrived).max().unwrap_or(clocks.started);
        match now >= last.max(clocks.started) + quiet {
            true => Flow::Done,
            false => Flow::Waiting,
        }
    }

    /// Whether a step is done as soon as its peer has said something, or closed, and else not before its deadline.
    pub(super) fn waits_for_peer(&self, running: &Running) -> bool {
        let Running { clocks, doing, .. } = running;
        let is_for_peer = match doing {
            Doing::Expect(_) | Doing::ExpectSet(_) => true,
            Doing::Wait => matches!(running.step().verb, Verb::ExpectEof | Verb::ExpectReset),
            _ => false,
        };
        is_for_peer && self.wake(running.step(), clocks, doing) == clocks.deadline
    }

    /// When a step has to be looked at again, if nothing happens before.
    pub(super) fn wake(&self, step: &Step, clocks: &Clocks, doing: &Doing) -> Time {
        let link = self.link_for(step).map(|at| &self.links[at]);
        let deadline = clocks.deadline;
        match (doing, &step.verb, link) {
            (Doing::Alt(branches), ..) => {
                let alive = branches.iter().filter(|branch| branch.dead.is_none());
                let next = alive.map(|branch| self.wake(&branch.steps[0], &branch.clocks, &branch.doing));
                next.min().unwrap_or(deadline)
            }
            (Doing::Expect(expecting), _, Some(link)) => expecting.wake(link).map_or(deadline, |at| deadline.min(at)),
            (Doing::ExpectSet(gathering), _, Some(link)) => {
                gathering.wake(link).map_or(deadline, |at| deadline.min(at))
            }
            (Doing::Send(sending), ..) => sending.wake().map_or(deadline, |at| deadline.min(at)),
            (Doing::Wait, Verb::Drain(quiet), link) => {
                let last = link.map_or(clocks.started, |link| link.arrived.max(clocks.started));
                deadline.min(last + *quiet)
            }
            (Doing::Wait, Verb::ExpectSilence(duration) | Verb::Sleep(duration), _) => clocks.base + *duration,
            _ => deadline,
        }
    }
}

impl Failing {
    /// Bytes where there should be none.
    pub(super) fn unread(expected: &str, link: &Link) -> Box<Failing> {
        let bytes = link.front().unwrap_or_default();
        let message = format!("expected {expected}, received {}", quote(bytes));
        Failing::new(FailureKind::Leftover, message).received(&bytes::Bytes::copy_from_slice(bytes), 0)
    }

    /// No alternative held: the one that came furthest is told whole, the others in a line each.
    fn none_of(mut dead: Vec<Failing>) -> Box<Failing> {
        let total = dead.len();
        let furthest = dead.iter().enumerate().max_by_key(|(at, failing)| (failing.progress(), usize::MAX - at));
        let mut told = dead.remove(furthest.map_or(0, |(at, _)| at));
        told.also(&format!("none of {} held", count(total, "alternative")), &dead);
        Box::new(told)
    }
}
