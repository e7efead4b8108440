//! Steps, one after the other: how each begins, what it waits for, when it has held.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::link::{Ending, Link, State};
use super::payload::{Cutter, PayloadError};
use super::script::{Repeat, Send, Step, Then, Verb};
use super::verdict::Failing;
use super::{Action, Conversation, Ended, Phase};
use crate::event::{End, EventKind, FailureKind, Side, Transport};
use crate::matcher::{BuildError, Input as Look, Match, Matcher, Outcome, Progress};
use crate::text::{count, quote};
use crate::time::Time;

/// How long a peer says nothing before a match that could grow is taken as it stands.
const GROWTH_QUIET: Duration = Duration::from_millis(50);

/// How many steps are played before the world gets its turn again.
const STEPS_IN_A_ROW_MAX: u32 = 4096;

/// Steps in an order of their own.
#[derive(Debug)]
pub(super) struct Lane {
    frames: Vec<Frame>,
    running: Option<Running>,
    /// When the step before ended.
    ended: Time,
    /// Whether it gave the world a turn although it could go on.
    yielded: bool,
}

#[derive(Debug)]
struct Frame {
    steps: Arc<[Step]>,
    next: usize,
    looping: Option<Looping>,
}

#[derive(Debug)]
struct Looping {
    /// The loop's own step.
    step: (Arc<[Step]>, usize),
    started: Time,
    times: u64,
    done: u64,
    /// What the loop's variables were outside of it.
    outer: Vec<(Arc<str>, Option<Bytes>)>,
}

#[derive(Debug)]
pub(super) struct Running {
    step: (Arc<[Step]>, usize),
    pub(super) started: Time,
    pub(super) base: Time,
    pub(super) deadline: Time,
    earliest: Option<Time>,
    doing: Doing,
}

impl Running {
    pub(super) fn step(&self) -> &Step {
        &self.step.0[self.step.1]
    }
}

#[derive(Debug)]
enum Doing {
    /// A connection is being opened; then the step itself begins.
    Dial,
    Expect {
        matcher: Arc<dyn Matcher>,
        progress: Progress,
        /// It matches, and could grow.
        pending: bool,
    },
    Send(Sending),
    /// What is waited for lies in the verb.
    Wait,
}

#[derive(Debug)]
struct Sending {
    link: usize,
    messages: VecDeque<Cutter>,
    /// How much of the current write the socket has not taken yet.
    left: Option<usize>,
    taken: usize,
    total: usize,
    pause: Option<Duration>,
    next_at: Option<Time>,
    datagram: bool,
}

/// What came of looking at a step.
enum Flow {
    Done,
    Waiting,
}

/// What came of looking at a reply.
enum Looked {
    NeedMore,
    /// It matches, and could still grow.
    Pending,
    Taken,
}

impl Lane {
    pub(super) fn new(steps: Arc<[Step]>, now: Time) -> Lane {
        let frames = vec![Frame { steps, next: 0, looping: None }];
        Lane { frames, running: None, ended: now, yielded: false }
    }

    fn is_done(&self) -> bool {
        self.running.is_none() && self.frames.is_empty()
    }

    pub(super) fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    /// Which repetition it is in, for the report: the outermost first.
    pub(super) fn repetitions(&self) -> impl Iterator<Item = (u64, u64)> {
        self.frames.iter().filter_map(|frame| frame.looping.as_ref()).map(|looping| (looping.done, looping.times))
    }
}

impl Conversation {
    pub(super) fn advance(&mut self, now: Time) {
        loop {
            if matches!(self.phase, Phase::Over(_)) {
                return;
            }
            let mut moved = false;
            // The lanes leave their place while they are played: moving each of them costs more than all else here.
            let mut lanes = std::mem::take(&mut self.lanes);
            let failed = lanes.iter_mut().enumerate().find_map(|(at, lane)| match self.play(lane, now) {
                Ok(some) => {
                    moved |= some;
                    None
                }
                Err(failing) => Some((at, failing)),
            });
            self.lanes = lanes;
            if let Some((at, failing)) = failed {
                let (failure, unreached) = self.failure(at, *failing);
                return self.fail(now, failure, unreached);
            }
            // One lane cannot wait for what it did itself.
            if !moved || self.lanes.len() == 1 || self.lanes.iter().any(|lane| lane.yielded) {
                break;
            }
        }
        if self.lanes.iter().all(Lane::is_done) && matches!(self.phase, Phase::Playing) {
            self.phase = Phase::Settling { since: now };
        }
        if let Phase::Settling { since } = self.phase {
            self.settle(now, since);
        }
        self.check_deadline(now);
    }

    fn check_deadline(&mut self, now: Time) {
        let Some(limit) = &self.script.deadline else { return };
        if matches!(self.phase, Phase::Over(_)) || now < self.started + limit.duration {
            return;
        }
        let shown = crate::time::show_duration(limit.duration);
        let set_by = Arc::clone(&limit.set_by);
        let mut failure = self.failure_now(FailureKind::Timeout, format!("the case was not done within {shown}"));
        failure.notes.push(format!("deadline: {shown} for the whole case, {set_by}"));
        self.fail(now, failure, None);
    }

    /// After the last step: nobody may have said more than was asked for.
    fn settle(&mut self, now: Time, since: Time) {
        if self.script.strict_end {
            let noisy = self.links.iter().position(|link| link.state != State::Closed && link.has_unread());
            if let Some(at) = noisy {
                let failure = self.leftover_at_end(at);
                return self.fail(now, failure, None);
            }
            if self.quiet_at(since).is_some_and(|quiet| now < quiet) {
                return;
            }
        }
        self.close_all(now);
        self.phase = Phase::Over(Ended::Passed);
    }

    pub(super) fn close_all(&mut self, now: Time) {
        for at in 0..self.links.len() {
            if self.links[at].state != State::Closed {
                self.close(now, at);
            }
        }
    }

    fn close(&mut self, now: Time, at: usize) {
        let link = &mut self.links[at];
        // A datagram socket closes without a word, and a connection that was reset or shut down has had its last.
        let silent = link.transport.is_datagram() || link.shut || link.ending == Some(Ending::Reset);
        let told = silent || link.state != State::Open;
        link.state = State::Closed;
        self.actions.push_back(Action::Close(at as u32));
        if !told {
            self.tell(now, EventKind::Ended { connection: at as u32, by: Side::Local, how: End::Fin });
        }
    }

    fn reset(&mut self, now: Time, at: usize) {
        self.links[at].state = State::Closed;
        self.actions.push_back(Action::Reset(at as u32));
        self.tell(now, EventKind::Ended { connection: at as u32, by: Side::Local, how: End::Reset });
    }

    fn shutdown(&mut self, now: Time, at: usize) {
        if !std::mem::replace(&mut self.links[at].shut, true) {
            self.actions.push_back(Action::Shutdown(at as u32));
            self.tell(now, EventKind::Ended { connection: at as u32, by: Side::Local, how: End::Fin });
        }
    }

    fn dial(&mut self, now: Time, actor: usize) {
        let connection = self.links.len() as u32;
        self.current[actor] = Some(self.links.len());
        self.links.push(Link::new(actor, self.transports[actor], now));
        self.actions.push_back(Action::Connect { connection, actor });
    }

    /// Plays a lane as far as it goes, and says whether it went any further.
    fn play(&mut self, lane: &mut Lane, now: Time) -> Result<bool, Box<Failing>> {
        let mut moved = false;
        lane.yielded = false;
        for _ in 0..STEPS_IN_A_ROW_MAX {
            if lane.running.is_none() {
                let Some(step) = self.next_step(lane, now)? else { return Ok(moved) };
                moved = true;
                if let Some(step) = step {
                    self.begin(lane, step, now)?;
                }
                continue;
            }
            match self.work(lane, now)? {
                Flow::Done => self.finish(lane, now)?,
                Flow::Waiting => return Ok(moved),
            }
            moved = true;
        }
        lane.yielded = true;
        Ok(moved)
    }

    /// The step to begin next: `None` at the end, `Some(None)` where a loop only turned.
    #[expect(clippy::type_complexity, reason = "a step is its list and its place in it")]
    fn next_step(&mut self, lane: &mut Lane, now: Time) -> Result<Option<Option<(Arc<[Step]>, usize)>>, Box<Failing>> {
        let Some(frame) = lane.frames.last_mut() else { return Ok(None) };
        if frame.next < frame.steps.len() {
            frame.next += 1;
            return Ok(Some(Some((Arc::clone(&frame.steps), frame.next - 1))));
        }
        let Some(looping) = &mut frame.looping else {
            lane.frames.pop();
            return Ok(Some(None));
        };
        looping.done += 1;
        if looping.done < looping.times {
            frame.next = 0;
            let step = looping.step.clone();
            let done = looping.done;
            self.set_loop_variables(&step.0[step.1], done)?;
            return Ok(Some(None));
        }
        let frame = lane.frames.pop().expect("it was there");
        let looping = frame.looping.expect("it loops");
        for (name, value) in looping.outer {
            match value {
                Some(value) => self.variables.insert(name, value),
                None => self.variables.remove(&name),
            };
        }
        self.passed(looping.step.0[looping.step.1].id, looping.started, now);
        Ok(Some(None))
    }

    fn set_loop_variables(&mut self, step: &Step, done: u64) -> Result<(), Box<Failing>> {
        let Verb::Repeat(repeat) = &step.verb else { return Ok(()) };
        if repeat.counts {
            self.variables.insert("i".into(), done.to_string().into());
        }
        for (name, values) in &repeat.values {
            let value = values[done as usize].fill(&self.variables).map_err(|unset| Failing::unset(&unset.0))?;
            self.variables.insert(Arc::clone(name), value);
        }
        Ok(())
    }

    fn begin(&mut self, lane: &mut Lane, at: (Arc<[Step]>, usize), now: Time) -> Result<(), Box<Failing>> {
        let step = &at.0[at.1];
        let marked = step.after.as_ref().and_then(|mark| self.marks.get(mark)).copied();
        let unmarked = step.after.clone().filter(|_| marked.is_none());
        let base = marked.unwrap_or(now);
        let mut deadline = base + step.limit.duration;
        let mut earliest = None;
        if let Some((from, to)) = step.between {
            let since = marked.unwrap_or(lane.ended);
            earliest = Some(since + from);
            deadline = deadline.min(since + to);
        }
        let (actor, dials) = (step.actor, step.dials || step.verb.needs_connection());
        let looping = matches!(step.verb, Verb::Repeat(_));
        lane.running = Some(Running { step: at, started: now, base, deadline, earliest, doing: Doing::Dial });
        if let Some(mark) = unmarked {
            return Err(Failing::no_mark(&mark));
        }
        if dials && self.current[actor].is_none() {
            self.dial(now, actor);
            return Ok(());
        }
        if looping {
            return self.begin_loop(lane, now);
        }
        self.begin_verb(lane, now)
    }

    fn begin_loop(&mut self, lane: &mut Lane, now: Time) -> Result<(), Box<Failing>> {
        let running = lane.running.as_ref().expect("a loop was begun");
        let step = running.step.clone();
        let Verb::Repeat(Repeat { times, values, steps, counts }) = &step.0[step.1].verb else {
            unreachable!("only loops are begun here")
        };
        let times = match values.first() {
            Some((_, values)) => values.len() as u64,
            None => times.fill(&self.variables).map_err(|error| Failing::payload(&error))?,
        };
        let names = values.iter().map(|(name, _)| Arc::clone(name)).chain(counts.then(|| "i".into()));
        let outer = names
            .map(|name| {
                let value = self.variables.get(&name).cloned();
                (name, value)
            })
            .collect();
        if times > 0 {
            self.set_loop_variables(&step.0[step.1], 0)?;
            let looping = Looping { step: step.clone(), started: now, times, done: 0, outer };
            lane.running = None;
            lane.frames.push(Frame { steps: Arc::clone(steps), next: 0, looping: Some(looping) });
        } else {
            self.passed(step.0[step.1].id, now, now);
            lane.running = None;
        }
        Ok(())
    }

    /// The connection that a step acts on.
    fn link_of(&self, step: &Step) -> Result<usize, Box<Failing>> {
        let at = self.current[step.actor].expect("a step that needs a connection dials");
        if self.links[at].state == State::Closed {
            return Err(Failing::script("not connected: the connection was closed before")
                .hint("`{ connect = true }` opens another"));
        }
        Ok(at)
    }

    /// Whether what carries a connection knows this way to end it.
    fn check_can_end(&self, at: usize, how: Option<Then>) -> Result<(), Box<Failing>> {
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

    fn begin_verb(&mut self, lane: &mut Lane, now: Time) -> Result<(), Box<Failing>> {
        let running = lane.running.as_mut().expect("a step was begun");
        let step = &running.step.0[running.step.1];
        let doing = match &step.verb {
            Verb::Close => {
                let at = self.link_of(step)?;
                self.close(now, at);
                Doing::Wait
            }
            Verb::Connect => {
                if self.current[step.actor].is_some_and(|at| self.links[at].state != State::Closed) {
                    return Err(Failing::script("already connected").hint("`{ close = true }` closes the connection"));
                }
                self.dial(now, step.actor);
                Doing::Wait
            }
            Verb::Expect(pattern) => {
                self.link_of(step)?;
                let matcher = pattern.fill(&self.variables).map_err(|error| match error {
                    BuildError::Unset(name) => Failing::unset(&name),
                    BuildError::Invalid(why) => Failing::script(why),
                })?;
                Doing::Expect { matcher, progress: Progress::default(), pending: false }
            }
            Verb::ExpectRefused => {
                match self.current[step.actor].map(|at| &self.links[at]) {
                    None => self.dial(now, step.actor),
                    Some(link) if link.state == State::Closed => self.dial(now, step.actor),
                    Some(link) if link.transport.is_datagram() => {}
                    Some(_) => {
                        return Err(Failing::script("already connected, so nobody refuses")
                            .hint("as the first step, or after `{ close = true }`, `expect_refused` dials"));
                    }
                }
                Doing::Wait
            }
            Verb::ExpectEof | Verb::ExpectReset => {
                let at = self.link_of(step)?;
                if self.links[at].transport.is_datagram() {
                    return Err(Failing::script("a datagram socket has no connection that could end")
                        .hint("`expect_silence` or `expect_refused` may be meant"));
                }
                Doing::Wait
            }
            Verb::Drain(_) | Verb::ExpectSilence(_) => {
                self.link_of(step)?;
                Doing::Wait
            }
            Verb::Log(template) => {
                let message = template.fill_text(&self.variables).map_err(|unset| Failing::unset(&unset.0))?;
                self.tell(now, EventKind::Logged { message });
                Doing::Wait
            }
            Verb::Repeat(_) => return self.begin_loop(lane, now),
            Verb::Reset => {
                let at = self.link_of(step)?;
                self.check_can_end(at, Some(Then::Reset))?;
                self.reset(now, at);
                Doing::Wait
            }
            Verb::Send(send) => {
                let at = self.link_of(step)?;
                if self.links[at].shut {
                    return Err(Failing::script("an earlier step said that no more will be sent"));
                }
                if self.links[at].ending == Some(Ending::Unreachable) {
                    self.links[at].ending = None;
                }
                self.check_can_end(at, send.then)?;
                let save = step.save.clone();
                let actor = step.actor;
                let sending = self.prepare(now, send, at, actor, save)?;
                Doing::Send(sending)
            }
            Verb::Set(values) => {
                for (name, template) in values {
                    let value = template.fill(&self.variables).map_err(|unset| Failing::unset(&unset.0))?;
                    self.set_variable(now, Arc::clone(name), value);
                }
                Doing::Wait
            }
            Verb::Shutdown => {
                let at = self.link_of(step)?;
                self.check_can_end(at, Some(Then::HalfClose))?;
                self.shutdown(now, at);
                Doing::Wait
            }
            Verb::Sleep(_) => Doing::Wait,
        };
        running.doing = doing;
        Ok(())
    }

    fn prepare(
        &mut self,
        now: Time,
        send: &Send,
        link: usize,
        actor: usize,
        save: Option<Arc<str>>,
    ) -> Result<Sending, Box<Failing>> {
        let datagram = self.links[link].transport.is_datagram();
        let script = Arc::clone(&self.script);
        let framing = script.actors[actor].framing.as_deref();
        let (mut messages, mut bodies) = (Vec::with_capacity(send.payloads.len()), Vec::new());
        for payload in &send.payloads {
            let body = payload.fill(&self.variables, &mut self.random).map_err(|error| Failing::payload(&error))?;
            if save.is_some() {
                bodies.push(body.clone());
            }
            messages.push(payload.frame(body, framing).map_err(|error| Failing::payload(&error))?);
        }
        if let Some(name) = save {
            let whole = if bodies.len() == 1 { bodies.remove(0) } else { bodies.concat().into() };
            self.set_variable(now, name, whole);
        }
        if send.coalesce && messages.len() > 1 {
            messages = vec![messages.concat().into()];
        }
        if let Some((at, xor)) = send.corrupt {
            spoil(&mut messages, at, xor)?;
        }
        if let Some(len) = send.truncate {
            let mut left = len;
            for message in &mut messages {
                message.truncate(left);
                left -= message.len();
            }
            messages.retain(|message| !message.is_empty());
        }
        let total = messages.iter().map(Bytes::len).sum();
        let pace = send.pace.map(|(bytes, _)| bytes);
        let mut cutters = VecDeque::with_capacity(messages.len());
        for data in messages {
            cutters.push_back(Cutter::new(data, &send.split, pace, &mut self.random));
        }
        let pause = send.pace.map(|(_, pause)| pause);
        Ok(Sending { link, messages: cutters, left: None, taken: 0, total, pause, next_at: None, datagram })
    }

    /// The socket took `len` bytes.
    pub(super) fn written(&mut self, now: Time, at: usize, len: usize) {
        let mut sent = None;
        for lane in &mut self.lanes {
            let Some(Running { doing: Doing::Send(sending), .. }) = &mut lane.running else { continue };
            if sending.link == at && sending.left.is_some() {
                let left = sending.left.as_mut().expect("just seen");
                let len = len.min(*left);
                *left -= len;
                sending.taken += len;
                if *left == 0 || sending.datagram {
                    sending.left = None;
                    sending.next_at = sending.pause.map(|pause| now + pause);
                }
                sent = Some(len);
                break;
            }
        }
        let link = &mut self.links[at];
        if let (Some(len), Some(data)) = (sent, &mut link.writing) {
            let data = if len < data.len() { data.split_to(len) } else { std::mem::take(data) };
            self.record(now, data.len(), || EventKind::Sent { connection: at as u32, data });
        }
    }

    pub(super) fn set_variable(&mut self, now: Time, name: Arc<str>, value: Bytes) {
        self.record(now, value.len(), || EventKind::VariableSet { name: Arc::clone(&name), value: value.clone() });
        self.variables.insert(name, value);
    }

    fn finish(&mut self, lane: &mut Lane, now: Time) -> Result<(), Box<Failing>> {
        let running = lane.running.as_ref().expect("it was played");
        let step = running.step();
        if let Some(earliest) = running.earliest {
            let link = self.current[step.actor].map(|at| &self.links[at]);
            let done = match (&step.verb, link) {
                (Verb::Expect(_) | Verb::ExpectEof | Verb::ExpectReset, Some(link)) => link.arrived,
                _ => now,
            };
            if done < earliest {
                let shown = crate::time::show_duration(earliest.since(done));
                let from = step.between.map(|(from, _)| crate::time::show_duration(from)).unwrap_or_default();
                let since = match &step.after {
                    Some(mark) => format!("the mark `{mark}`"),
                    None => "the step before".to_owned(),
                };
                let message = format!("expected no earlier than {from} after {since}, came {shown} too early");
                return Err(Failing::new(FailureKind::Mismatch, message));
            }
        }
        if let Some(mark) = &step.mark {
            self.marks.insert(Arc::clone(mark), now);
        }
        let (id, started) = (step.id, running.started);
        self.passed(id, started, now);
        lane.running = None;
        lane.ended = now;
        Ok(())
    }

    fn passed(&mut self, step: u32, started: Time, now: Time) {
        self.record(now, 0, || EventKind::StepPassed { step, started });
    }

    /// Looks whether the running step holds by now.
    fn work(&mut self, lane: &mut Lane, now: Time) -> Result<Flow, Box<Failing>> {
        let running = lane.running.as_mut().expect("a step runs");
        let step = &running.step.0[running.step.1];
        let link = self.current[step.actor];
        let late = now >= running.deadline;
        match &mut running.doing {
            Doing::Dial => {
                let link = &self.links[link.expect("it was dialled")];
                match (&link.refusal, link.state) {
                    (Some((_, reason)), _) => Err(Failing::unreached(step.actor, reason)),
                    (None, State::Dialing) if late => Err(Failing::unreached(step.actor, "no answer").timed_out()),
                    (None, State::Dialing) => Ok(Flow::Waiting),
                    // The step's own part begins now, and has not been looked at.
                    _ => self.begin_verb(lane, now).and_then(|()| match lane.running {
                        Some(_) => self.work(lane, now),
                        None => Ok(Flow::Waiting),
                    }),
                }
            }
            Doing::Expect { matcher, progress, pending } => {
                let link = link.expect("it is connected");
                let found = self.look(link, step, matcher, progress, running.deadline, now)?;
                *pending = matches!(found, Looked::Pending);
                Ok(if matches!(found, Looked::Taken) { Flow::Done } else { Flow::Waiting })
            }
            Doing::Send(sending) => {
                let at = sending.link;
                match &self.links[at].ending {
                    Some(Ending::Reset) => return Err(Failing::cut(FailureKind::Reset, sending.taken, sending.total)),
                    Some(Ending::Failed(reason)) => {
                        return Err(Failing::new(FailureKind::System, format!("cannot send: {reason}")));
                    }
                    _ => {}
                }
                if sending.left.is_some() || sending.next_at.is_some_and(|next| now < next) {
                    if late {
                        return Err(Failing::cut(FailureKind::Timeout, sending.taken, sending.total).timed_out());
                    }
                    return Ok(Flow::Waiting);
                }
                let Verb::Send(send) = &step.verb else { unreachable!("only `send` sends") };
                while let Some(cutter) = sending.messages.front_mut() {
                    match cutter.next() {
                        Some(piece) if piece.is_empty() && !sending.datagram => {}
                        Some(piece) => {
                            sending.left = Some(piece.len());
                            sending.next_at = None;
                            self.links[at].writing = Some(piece.clone());
                            self.actions.push_back(Action::Send { connection: at as u32, data: piece });
                            return Ok(Flow::Waiting);
                        }
                        None => {
                            sending.messages.pop_front();
                        }
                    }
                }
                match send.then {
                    Some(Then::Close) => self.close(now, at),
                    Some(Then::HalfClose) => self.shutdown(now, at),
                    Some(Then::Reset) => self.reset(now, at),
                    None => {}
                }
                Ok(Flow::Done)
            }
            Doing::Wait => {
                let (started, base) = (running.started, running.base);
                self.wait(step, link, started, base, late, now)
            }
        }
    }

    /// The verbs that wait for something other than a message.
    fn wait(
        &mut self,
        step: &Step,
        link: Option<usize>,
        started: Time,
        base: Time,
        late: bool,
        now: Time,
    ) -> Result<Flow, Box<Failing>> {
        let link = link.map(|at| &mut self.links[at]);
        match (&step.verb, link) {
            (Verb::Connect, Some(link)) => match (&link.refusal, link.state) {
                (Some((_, reason)), _) => Err(Failing::unreached(step.actor, reason)),
                (None, State::Open) => Ok(Flow::Done),
                (None, _) if late => Err(Failing::unreached(step.actor, "no answer").timed_out()),
                _ => Ok(Flow::Waiting),
            },
            (Verb::Drain(quiet), Some(link)) => {
                link.clear();
                match link.is_over() || now >= link.arrived.max(started) + *quiet {
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
                (Some((true, _)), ..) => Ok(Flow::Done),
                (_, _, Some(Ending::Unreachable)) => {
                    link.ending = None;
                    Ok(Flow::Done)
                }
                (Some((false, reason)), ..) => {
                    let message = format!("expected the connection to be refused, but dialling failed: {reason}");
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
                    _ if now >= base + *silence => Ok(Flow::Done),
                    _ => Ok(Flow::Waiting),
                }
            }
            (Verb::Sleep(duration), _) if now < base + *duration => Ok(Flow::Waiting),
            _ => Ok(Flow::Done),
        }
    }

    /// Looks at what has arrived with a matcher; takes a match.
    fn look(
        &mut self,
        at: usize,
        step: &Step,
        matcher: &Arc<dyn Matcher>,
        progress: &mut Progress,
        deadline: Time,
        now: Time,
    ) -> Result<Looked, Box<Failing>> {
        let framing = self.script.actors[step.actor].framing.as_deref();
        let link = &mut self.links[at];
        let over = link.is_over();
        let by_message = framing.is_some() || link.transport.is_datagram();
        let message = match link.message(framing) {
            Ok(message) => message,
            Err(error) => return Err(Failing::framing(matcher, link, &error)),
        };
        let (look, start, consumed) = match (&message, by_message) {
            (Some(message), _) => {
                let whole = link.front().expect("a message stands there");
                (Some(Look::message(&whole[message.start..message.end])), message.start, Some(message.consumed))
            }
            (None, true) => (None, 0, None),
            (None, false) => (link.front().map(|bytes| Look::stream(bytes, over)), 0, None),
        };
        let outcome = match look {
            Some(look) => matcher.check(look, progress),
            None => Outcome::NeedMore,
        };
        match outcome {
            Outcome::Match(found) => {
                let patient = link.arrived + GROWTH_QUIET;
                if found.may_grow && !over && now < deadline.min(patient) {
                    return Ok(Looked::Pending);
                }
                let consumed = consumed.unwrap_or(found.len);
                self.take(now, at, step, &found, start, consumed, message.map(|message| message.end));
                Ok(Looked::Taken)
            }
            Outcome::Mismatch { at: difference, why } => {
                let received = look.map(|look| Bytes::copy_from_slice(look.bytes)).unwrap_or_default();
                Err(Failing::mismatch(matcher, &received, difference, &why))
            }
            Outcome::NeedMore if over || link.ending.is_some() => Err(Failing::missing(matcher, link)),
            Outcome::NeedMore if !link.has_room() => Err(Failing::flooded(matcher, link)),
            Outcome::NeedMore if now >= deadline => Err(Failing::timeout(matcher, link).timed_out()),
            Outcome::NeedMore => Ok(Looked::NeedMore),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a match is these")]
    fn take(
        &mut self,
        now: Time,
        at: usize,
        step: &Step,
        found: &Match,
        start: usize,
        consumed: usize,
        message_end: Option<usize>,
    ) {
        if step.save.is_some() || !found.captures.is_empty() {
            let front = self.links[at].front().expect("a match stands there");
            let end = message_end.unwrap_or(found.len);
            let mut values = Vec::new();
            for (name, range) in &found.captures {
                let value = &front[start + range.start..start + range.end];
                values.push((Arc::clone(name), Bytes::copy_from_slice(value)));
            }
            if let Some(name) = &step.save {
                values.push((Arc::clone(name), Bytes::copy_from_slice(&front[start..end])));
            }
            for (name, value) in values {
                self.set_variable(now, name, value);
            }
        }
        self.links[at].consume(consumed);
    }

    /// When a lane has to be looked at again.
    pub(super) fn lane_timeout(&self, lane: &Lane) -> Option<Time> {
        if lane.yielded {
            return Some(Time::ZERO);
        }
        let running = lane.running.as_ref()?;
        let step = running.step();
        let link = self.current[step.actor].map(|at| &self.links[at]);
        let deadline = running.deadline;
        Some(match (&running.doing, &step.verb, link) {
            (Doing::Expect { pending: true, .. }, _, Some(link)) => deadline.min(link.arrived + GROWTH_QUIET),
            (Doing::Send(Sending { next_at: Some(next), left: None, .. }), ..) => deadline.min(*next),
            (Doing::Wait, Verb::Drain(quiet), Some(link)) => deadline.min(link.arrived.max(running.started) + *quiet),
            (Doing::Wait, Verb::ExpectSilence(duration) | Verb::Sleep(duration), _) => running.base + *duration,
            _ => deadline,
        })
    }
}

/// Changes one byte of what would be sent.
fn spoil(messages: &mut [Bytes], at: usize, xor: u8) -> Result<(), Box<Failing>> {
    let mut offset = at;
    for message in messages.iter_mut() {
        if offset < message.len() {
            let mut bytes = message.to_vec();
            bytes[offset] ^= xor;
            *message = bytes.into();
            return Ok(());
        }
        offset -= message.len();
    }
    let total: usize = messages.iter().map(Bytes::len).sum();
    Err(Failing::script(format!("`corrupt` is at byte {at}, and there are {}", count(total, "byte"))))
}

impl Failing {
    pub(super) fn payload(error: &PayloadError) -> Box<Failing> {
        match error {
            PayloadError::Unset(name) => Failing::unset(name),
            error => Failing::script(error.to_string()),
        }
    }

    /// Bytes where there should be none.
    pub(super) fn unread(expected: &str, link: &Link) -> Box<Failing> {
        let bytes = link.front().unwrap_or_default();
        let message = format!("expected {expected}, received {}", quote(bytes));
        Failing::new(FailureKind::Leftover, message).received(&Bytes::copy_from_slice(bytes), 0)
    }
}
