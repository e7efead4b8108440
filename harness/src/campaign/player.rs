//! Plays cases: one worker's target and its sockets, with no runtime and no conversation in between.
//!
//! A reply is waited for until what is expected is whole, or until the target is at rest: there is no fixed sleep. What a play
//! shows is a [`Trace`]; what that means is for others to judge.

#![expect(clippy::disallowed_methods, reason = "a campaign's clock is here")]

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::case::{Case, Message, Step};
use super::coverage::Coverage;
use super::plan::{Place, Plan};
use super::rest::{Rest, State};
use super::socket::{End, Link};
use crate::event::{Failure, OutputLine};
use crate::framing::Decoded;
use crate::matcher::{Input, Outcome, Pattern, Progress};
use crate::runner::process::{Address, Exit};
use crate::runner::{Ground, Up};
use crate::template::Variables;

/// How long a target may work on a message before it is no longer waited for.
const SETTLE_MAX: Duration = Duration::from_millis(20);

/// How much of a processor it may use after that, in ticks of 10 ms, before it is called busy.
const SETTLE_TICKS: u64 = 2;

/// How long a reply that is expected may take while the target works on it.
const REPLY_WITHIN: Duration = Duration::from_millis(500);

/// How long the pieces of a message wait for each other, all together.
const CUTS_WITHIN: Duration = Duration::from_millis(50);

/// Between two looks at a target.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// How long a process may take to end after it has begun to.
const END_WITHIN: Duration = Duration::from_secs(3);

/// How long a client program may take to connect.
const ARRIVE_WITHIN: Duration = Duration::from_secs(2);

/// How much of a reply is kept.
pub const REPLY_LEN_MAX: usize = 4 << 10;

/// One worker's target, and what is connected to it.
#[derive(Debug)]
pub struct Player {
    plan: Arc<Plan>,
    ground: Ground,
    up: Option<Up>,
    rest: Option<Rest>,
    addresses: Vec<Option<Address>>,
    listeners: Vec<Option<TcpListener>>,
    source: Option<IpAddr>,
    links: Vec<Option<Link>>,
    variables: Variables,
    lines_seen: u64,
    /// What coverage is read from.
    pub coverage: Coverage,
    /// Whether the target's threads are watched for rest; without, replies are waited for by time alone.
    pub quiescence: bool,
    /// How long a reply takes at most, as far as is known, where nobody can be watched.
    pub reply_within: Duration,
    /// How often a target was started.
    pub starts: u64,
    /// How long the last start took.
    pub start_time: Duration,
    /// How long was waited for targets.
    pub waited: Duration,
}

/// What a play has shown.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// What came after each message.
    pub replies: Vec<Reply>,
    /// How many connections were opened.
    pub opened: u64,
    /// How many messages were sent.
    pub messages: u64,
    /// The first step whose expectation did not hold.
    pub unmet: Option<usize>,
    /// The first step at which nobody let us in.
    pub refused: Option<usize>,
    /// Whether the target still worked when it was no longer waited for.
    pub busy: bool,
    /// How a process of the target ended, and which.
    pub ended: Option<(String, Exit)>,
    /// What the target wrote meanwhile.
    pub lines: Vec<OutputLine>,
    /// How long it took.
    pub time: Duration,
}

/// What came after a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The step that sent the message.
    pub step: usize,
    /// The beginning of what came.
    pub data: Vec<u8>,
    /// How much came.
    pub len: u64,
    /// How the connection ended meanwhile.
    pub end: Option<End>,
}

impl Player {
    /// A player without a target. Every worker has a number of its own.
    pub fn new(plan: Arc<Plan>, ground: Ground, coverage: Coverage, worker: usize) -> Player {
        let [_, _, high, low] = (u32::try_from(worker).unwrap_or(0) + 2).to_be_bytes();
        let actors = plan.actors.len();
        Player {
            plan,
            ground,
            up: None,
            rest: None,
            addresses: vec![None; actors],
            listeners: (0..actors).map(|_| None).collect(),
            source: Some(Ipv4Addr::new(127, 77, high, low).into()),
            links: Vec::new(),
            variables: Variables::new(),
            lines_seen: 0,
            coverage,
            quiescence: true,
            reply_within: Duration::from_millis(50),
            starts: 0,
            start_time: Duration::ZERO,
            waited: Duration::ZERO,
        }
    }

    /// Starts the target anew. One that runs is ended before: in order if it can be asked, at once if not.
    pub fn restart(&mut self, in_order: bool) -> Result<(), Box<Failure>> {
        self.end(in_order);
        if self.plan.is_about_clients() {
            return Ok(());
        }
        let began = Instant::now();
        let plan = Arc::clone(&self.plan);
        let mut tries = 0;
        let up = loop {
            match self.ground.start(&plan.scenario, &Variables::new(), |target| !target.is_told) {
                Ok(up) => break up,
                // The port of the one before may be free only now.
                Err(_) if tries < 20 && self.starts > 0 => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(5 << (tries / 4)));
                }
                Err(failure) => return Err(failure),
            }
        };
        for (at, actor) in plan.actors.iter().enumerate() {
            self.addresses[at] = match &actor.place {
                Place::Target(target) => up.address(&plan.scenario.targets[*target].name).cloned(),
                _ => None,
            };
            let is_loopback =
                matches!(&self.addresses[at], Some(Address::Tcp(peer) | Address::Udp(peer)) if peer.ip().is_loopback());
            if self.addresses[at].is_some() && !is_loopback {
                self.source = None;
            }
        }
        self.variables = up.variables().clone();
        self.settle_in(up);
        self.start_time = began.elapsed();
        Ok(())
    }

    fn settle_in(&mut self, up: Up) {
        self.starts += 1;
        self.lines_seen = 0;
        let pids: Vec<u32> = up.processes().iter().map(|(_, process)| process.pid()).collect();
        self.coverage.attach(&pids);
        self.rest = (!pids.is_empty() && self.quiescence).then(|| Rest::new(pids));
        self.up = Some(up);
    }

    /// Ends the target.
    pub fn end(&mut self, in_order: bool) {
        self.links.clear();
        self.rest = None;
        self.coverage.detach();
        if let Some(up) = self.up.take() {
            if in_order {
                up.stop();
            } else {
                drop(up);
            }
        }
    }

    /// The numbers of the target's processes.
    pub fn pids(&self) -> Vec<u32> {
        self.up.iter().flat_map(Up::processes).map(|(_, process)| process.pid()).collect()
    }

    /// The processes in which counters may be: the target's, and those that they have started.
    pub fn program_pids(&self) -> Vec<u32> {
        super::rest::family(&self.pids())
    }

    /// For each actor, whether its connections carry datagrams.
    pub fn datagrams(&self) -> Vec<bool> {
        let of = |(at, actor): (usize, &super::plan::Actor)| match &actor.place {
            Place::Url(url) => url.beginning().starts_with(b"udp") || url.beginning().starts_with(b"unixgram"),
            _ => matches!(self.addresses[at], Some(Address::Udp(_) | Address::Unixgram(_))),
        };
        self.plan.actors.iter().enumerate().map(of).collect()
    }

    /// What it was made of, for another player.
    pub fn into_parts(mut self) -> (Ground, Coverage) {
        self.end(true);
        (self.ground, self.coverage)
    }

    /// Whether there is a target that can be played with.
    pub fn is_up(&self) -> bool {
        self.plan.is_about_clients() || self.up.is_some()
    }

    /// Whether the target is a process of ours.
    pub fn is_watched(&self) -> bool {
        self.plan.is_about_clients() || !self.pids().is_empty()
    }

    /// Everything that the target has written, as far as it is kept.
    pub fn written(&self, lines: usize) -> Vec<OutputLine> {
        self.up.iter().flat_map(Up::processes).flat_map(|(_, process)| process.tail(lines)).collect()
    }

    /// How much time of a processor the target uses in that time, as a share.
    pub fn busy_share(&mut self, within: Duration) -> f64 {
        let Some(rest) = &mut self.rest else { return 0.0 };
        let before = rest.ticks();
        std::thread::sleep(within);
        // A tick is 10 ms on every system that Rust's Linux targets have.
        let used = Duration::from_millis(10) * u32::try_from(rest.ticks().saturating_sub(before)).unwrap_or(u32::MAX);
        used.as_secs_f64() / within.as_secs_f64()
    }

    /// Plays a case. `after` is told of each message once its reply is there, and can read the coverage.
    pub fn play(&mut self, case: &Case, after: &mut dyn FnMut(&mut Coverage, &Reply)) -> Trace {
        let began = Instant::now();
        let mut trace = Trace::default();
        if let Err(failure) = self.begin() {
            trace.refused = Some(0);
            trace.lines.push(OutputLine { stderr: true, text: failure.message });
            return trace;
        }
        let base = self.variables.clone();
        for (at, step) in case.steps.iter().enumerate() {
            self.play_step(case, at, step, &mut trace, after);
            if trace.refused.is_some() {
                break;
            }
        }
        self.finish(&mut trace, true);
        self.variables = base;
        trace.time = began.elapsed();
        trace
    }

    /// Readies what a case needs, before it.
    pub fn begin(&mut self) -> Result<(), Box<Failure>> {
        if self.plan.is_about_clients() {
            self.begin_client()?;
        }
        if self.coverage.is_on() {
            self.settle(&mut Trace::default());
            self.coverage.clear();
        }
        Ok(())
    }

    /// Listens, and starts the program that connects to us.
    fn begin_client(&mut self) -> Result<(), Box<Failure>> {
        self.end(false);
        let plan = Arc::clone(&self.plan);
        let mut known = Variables::new();
        for (at, actor) in plan.actors.iter().enumerate() {
            let Place::Listen(_) = &actor.place else { continue };
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let listener = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
            let (address, listener) = match listener {
                Ok(listener) => listener,
                Err(error) => {
                    let place = plan.scenario.actors[at].place.clone();
                    let message = format!("`{}` cannot listen: {error}", actor.name);
                    return Err(Box::new(Failure::new(crate::event::FailureKind::System, message, place)));
                }
            };
            self.listeners[at] = Some(listener);
            let mut set =
                |part: &str, value: String| known.insert(format!("{}.{part}", actor.name).into(), value.into());
            set("port", address.port().to_string());
            set("address", address.to_string());
            set("url", format!("tcp://{address}"));
        }
        let up = self.ground.start(&plan.scenario, &known, |_| true)?;
        self.variables = up.variables().clone();
        self.settle_in(up);
        Ok(())
    }

    /// Plays one step that says nothing.
    pub fn play_alone(&mut self, step: &Step, trace: &mut Trace) {
        let case = Case { steps: vec![step.clone()] };
        self.play_step(&case, 0, step, trace, &mut |_, _| {});
    }

    fn play_step(
        &mut self,
        case: &Case,
        at: usize,
        step: &Step,
        trace: &mut Trace,
        after: &mut dyn FnMut(&mut Coverage, &Reply),
    ) {
        match step {
            Step::Open(link, actor) => {
                if self.open(*link, usize::from(*actor)).is_err() {
                    trace.refused.get_or_insert(at);
                } else {
                    trace.opened += 1;
                }
            }
            Step::Send(message) => {
                let bytes = message.fill(&self.variables);
                trace.messages += 1;
                let before = self.link(message.link).map_or(0, |link| link.received);
                self.send(message, &bytes, trace);
                // Expectations that follow wait for what they want by themselves.
                let expects = |step: &&Step| matches!(step, Step::Expect(link, _) if *link == message.link);
                let expected: Vec<(usize, &Step)> =
                    case.steps.iter().enumerate().skip(at + 1).take_while(|(_, step)| expects(step)).collect();
                let mut kept = Vec::new();
                let mut met = !expected.is_empty();
                for (at, step) in expected {
                    let Step::Expect(link, pattern) = step else { continue };
                    let plan = Arc::clone(&self.plan);
                    let Some(pattern) = plan.patterns.get(*pattern as usize) else { continue };
                    if met && !self.expect(*link, pattern, &mut kept, trace) {
                        trace.unmet.get_or_insert(at);
                        met = false;
                    }
                }
                if !met || self.coverage.is_on() {
                    self.settle(trace);
                }
                let mut reply = Reply { step: at, ..Reply::default() };
                if let Some(link) = self.link(message.link) {
                    reply.len = link.received - before;
                    reply.end = link.end;
                    kept.extend_from_slice(&link.stream);
                    link.datagrams.iter().for_each(|datagram| kept.extend_from_slice(datagram));
                    if !met {
                        // Of what nobody expected, nothing is left to be taken for an answer to the next message.
                        link.stream.clear();
                        link.datagrams.clear();
                    }
                }
                kept.truncate(REPLY_LEN_MAX);
                reply.data = kept;
                after(&mut self.coverage, &reply);
                trace.replies.push(reply);
            }
            // Those right behind a message were played with it.
            Step::Expect(link, pattern) => {
                let behind = case.steps[..at].iter().rev().find(|step| !matches!(step, Step::Expect(..)));
                if matches!(behind, Some(Step::Send(message)) if message.link == *link) {
                    return;
                }
                let plan = Arc::clone(&self.plan);
                let Some(pattern) = plan.patterns.get(*pattern as usize) else { return };
                if !self.expect(*link, pattern, &mut Vec::new(), trace) {
                    trace.unmet.get_or_insert(at);
                }
            }
            Step::Close(link) => {
                self.settle(trace);
                drop(self.take(*link));
            }
            Step::Reset(link) => {
                if let Some(link) = self.take(*link) {
                    link.reset();
                }
            }
            Step::Shut(link) => {
                if let Some(link) = self.link(*link) {
                    link.shut();
                }
                self.settle(trace);
            }
            Step::Pause(milliseconds) => {
                let until = Instant::now() + Duration::from_millis((*milliseconds).into());
                while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                    std::thread::sleep(left.min(Duration::from_millis(10)));
                    self.read_all();
                }
            }
        }
    }

    fn link(&mut self, link: u16) -> Option<&mut Link> {
        self.links.get_mut(usize::from(link))?.as_mut()
    }

    fn take(&mut self, link: u16) -> Option<Link> {
        self.links.get_mut(usize::from(link))?.take()
    }

    /// Opens a connection.
    pub fn open(&mut self, link: u16, actor: usize) -> Result<(), String> {
        let place = &self.plan.actors.get(actor).ok_or("there is no such actor")?.place;
        let opened = match place {
            Place::Listen(_) => {
                let listener = self.listeners[actor].as_ref().ok_or("nobody listens")?;
                Link::accept(actor, listener, ARRIVE_WITHIN)
            }
            Place::Url(url) => {
                let url = url.fill_text(&self.variables).map_err(|unset| format!("`{}` has no value", unset.0))?;
                Link::open(actor, &self.ground.resolve(&url)?, self.source)
            }
            Place::Target(_) => {
                let address = self.addresses[actor].as_ref().ok_or("the target has no address")?;
                Link::open(actor, address, self.source)
            }
        };
        let opened = opened.map_err(|error| error.to_string())?;
        let at = usize::from(link);
        if self.links.len() <= at {
            self.links.resize_with(at + 1, || None);
        }
        if let Some(old) = self.links[at].replace(opened) {
            old.reset();
        }
        Ok(())
    }

    /// Writes a message, each cut after the target has read what came before it.
    pub fn send(&mut self, message: &Message, bytes: &[u8], trace: &mut Trace) {
        let began = Instant::now();
        let writes = message.writes(bytes);
        let last = writes.len() - 1;
        for (at, write) in writes.into_iter().enumerate() {
            let Some(link) = self.link(message.link) else { return };
            if !link.send(write) {
                return;
            }
            // Where that takes long, the rest goes as it comes.
            if at < last && began.elapsed() < CUTS_WITHIN {
                self.settle(trace);
            }
        }
    }

    /// Waits for what is expected. What it took is added to `kept`.
    pub fn expect(&mut self, link: u16, pattern: &Pattern, kept: &mut Vec<u8>, trace: &mut Trace) -> bool {
        let Ok(matcher) = pattern.fill(&self.variables) else { return false };
        let plan = Arc::clone(&self.plan);
        let began = Instant::now();
        let mut progress = Progress::default();
        let mut asleep = 0;
        loop {
            let Some(open) = self.link(link) else { return false };
            let framing = plan.actors[open.actor].framing.as_deref();
            let over = open.end.is_some();
            // What is there of it, where its body stands, and how much is done with.
            let found = match (open.is_datagram(), framing) {
                (true, framing) => open.datagrams.front().map(|datagram| {
                    let body = match framing.map(|framing| framing.decode(datagram, 0)) {
                        Some(Ok(Decoded::Message { start, end, .. })) => start..end,
                        _ => 0..datagram.len(),
                    };
                    (Input::message(&datagram[body.clone()]), body.start, Some(datagram.len()))
                }),
                (false, Some(framing)) => match framing.decode(&open.stream, 0) {
                    Ok(Decoded::Message { start, end, consumed }) => {
                        Some((Input::message(&open.stream[start..end]), start, Some(consumed)))
                    }
                    Ok(Decoded::NeedMore) => None,
                    Err(_) => return false,
                },
                (false, None) => Some((Input::stream(&open.stream, over), 0, None)),
            };
            match found.map(|(input, start, whole)| (matcher.check(input, &mut progress), input.bytes, start, whole)) {
                Some((Outcome::Match(matched), bytes, _, whole)) => {
                    let mut set = Vec::new();
                    for (name, range) in &matched.captures {
                        set.push((Arc::clone(name), Bytes::copy_from_slice(&bytes[range.clone()])));
                    }
                    set.extend(matched.values.iter().cloned());
                    let consumed = whole.unwrap_or(matched.len);
                    self.variables.extend(set);
                    let Some(open) = self.link(link) else { return false };
                    if open.is_datagram() {
                        kept.extend(open.datagrams.pop_front().unwrap_or_default());
                    } else {
                        kept.extend(open.stream.drain(..consumed.min(open.stream.len())));
                    }
                    return true;
                }
                Some((Outcome::Mismatch { .. }, ..)) => return false,
                Some((Outcome::NeedMore, _, _, Some(_))) => return false,
                Some((Outcome::NeedMore, ..)) | None => {}
            }
            let watched = self.rest.is_some();
            let Some(open) = self.link(link) else { return false };
            if over {
                return false;
            }
            if open.read() {
                asleep = 0;
                continue;
            }
            let waiting = Instant::now();
            let patience = if watched { LOOK_EVERY } else { self.reply_within };
            let Some(open) = self.link(link) else { return false };
            let ready = open.wait(patience);
            self.waited += waiting.elapsed();
            if ready {
                asleep = 0;
                continue;
            }
            if !watched && began.elapsed() >= self.reply_within {
                return false;
            }
            let state = self.rest.as_mut().map_or(State::Busy, Rest::look);
            asleep = if state == State::Busy { 0 } else { asleep + 1 };
            // A target that rests and has not answered will not; unless it usually takes its time over that.
            if asleep >= 2 && began.elapsed() >= self.reply_within {
                return false;
            }
            if began.elapsed() >= REPLY_WITHIN.max(self.reply_within) {
                trace.busy |= state == State::Busy;
                return false;
            }
        }
    }

    fn read_all(&mut self) -> bool {
        let mut any = false;
        for link in self.links.iter_mut().flatten() {
            any |= link.read();
        }
        any
    }

    /// Waits until the target rests, and reads what comes meanwhile.
    pub fn settle(&mut self, trace: &mut Trace) -> State {
        let began = Instant::now();
        let (mut looked, mut ticks) = (1, None);
        let mut asleep = 0;
        let state = loop {
            if self.read_all() {
                asleep = 0;
            }
            let Some(rest) = &mut self.rest else {
                // Nobody can be watched: what comes, comes within the time that answers usually take.
                let within = self.reply_within;
                let open = self.links.iter().flatten().find(|link| link.end.is_none());
                match open {
                    Some(link) if link.wait(within) => {}
                    _ => break State::Asleep,
                }
                if began.elapsed() >= REPLY_WITHIN {
                    break State::Busy;
                }
                continue;
            };
            match rest.look() {
                State::Gone => break State::Gone,
                State::Asleep => asleep += 1,
                State::Busy => asleep = 0,
            }
            if asleep >= 2 {
                self.read_all();
                break State::Asleep;
            }
            if asleep == 0 {
                // Who has not had a processor is not busy, but waits for one.
                if began.elapsed() >= SETTLE_MAX * looked {
                    looked += 1;
                    let used = rest.ticks();
                    let since = *ticks.get_or_insert(used);
                    if used.saturating_sub(since) >= SETTLE_TICKS {
                        trace.busy = true;
                        break State::Busy;
                    }
                    if began.elapsed() >= REPLY_WITHIN {
                        break State::Busy;
                    }
                }
                std::thread::yield_now();
                match self.links.iter().flatten().find(|link| link.end.is_none()) {
                    Some(link) => {
                        link.wait(LOOK_EVERY / 4);
                    }
                    None => std::thread::sleep(LOOK_EVERY / 4),
                }
            }
        };
        self.waited += began.elapsed();
        state
    }

    /// Ends a case: what has become of the target, and its connections closed.
    pub fn finish(&mut self, trace: &mut Trace, close: bool) {
        // What was said last is read before it is cut off.
        let state = self.settle(trace);
        let lost = self.links.iter().flatten().any(|link| link.end.is_some()) || trace.refused.is_some();
        trace.ended = self.ended(lost || state == State::Gone);
        let (seen, lines) = self.lines();
        self.lines_seen = seen;
        trace.lines.extend(lines);
        if close {
            self.links.drain(..).flatten().for_each(Link::reset);
        }
    }

    fn lines(&self) -> (u64, Vec<OutputLine>) {
        // The numbers are each process's own; a second one is rare, and its lines are read with the first one's number.
        let mut all = Vec::new();
        let mut seen = self.lines_seen;
        for (_, process) in self.up.iter().flat_map(Up::processes) {
            let (newest, lines) = process.lines_since(self.lines_seen);
            seen = seen.max(newest);
            all.extend(lines);
        }
        (seen, all)
    }

    /// Which process of the target has ended, and how. Where a connection was lost there is more reason to wait for that.
    pub fn ended(&self, lost: bool) -> Option<(String, Exit)> {
        for (name, process) in self.up.iter().flat_map(Up::processes) {
            if lost && process.exited().is_none() {
                let deadline = Instant::now() + END_WITHIN;
                while process.exited().is_none() && process.is_exiting() && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_micros(300));
                }
            }
            if let Some(exit) = process.exited() {
                return Some((name, exit));
            }
        }
        None
    }

    /// Sets a variable for the case that is played.
    pub fn set(&mut self, name: &str, value: Bytes) {
        self.variables.insert(name.into(), value);
    }

    /// What variables hold.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }
}
