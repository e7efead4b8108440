//! Plays cases: one worker's target and its sockets, with no runtime and no conversation in between.
//!
//! A reply is waited for until what is expected is whole, or until the target is at rest: there is no fixed sleep. What a play
//! shows is a [`Trace`]; what that means is for others to judge.
//!
//! Here is the target, from its start to its end; `play` says a case to it, `wait` knows when it is done with that.

#![expect(clippy::disallowed_methods, reason = "a campaign's clock is here")]

mod patience;
mod play;
mod pour;
mod protect;
mod trace;
mod wait;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use patience::{LATE_MAX, Patience};
pub use pour::Effort;
pub use trace::{REPLY_LEN_MAX, Reply, Trace};

use super::affinity::Processor;
use super::coverage::Coverage;
use super::plan::{Actor, Place, Plan};
use super::socket::Link;
use crate::event::{Failure, OutputLine};
use crate::matcher::Pattern;
use crate::runner::process::{Activity, Address, Files, Follow, Names, Rest, family};
use crate::runner::{Ground, Up};
use crate::template::Variables;

/// How often a target that takes a fixed port is started again while its port is not free yet.
const START_TRIES: u32 = 20;

/// How long a target has to rest without an answer before it is said not to answer: what was sent to it may still be on its
/// way, which is not seen of it, where the machine is busy.
pub const SILENT_FOR: Duration = Duration::from_millis(300);

/// How long a server that cannot be watched has for an answer.
const OTHER_WITHIN: Duration = Duration::from_millis(30);

/// One worker's target, and what is connected to it.
#[derive(Debug)]
pub struct Player {
    plan: Arc<Plan>,
    ground: Ground,
    up: Option<Up>,
    rest: Option<Rest>,
    addresses: Vec<Option<Address>>,
    listeners: Vec<Option<TcpListener>>,
    links: Vec<Option<Link>>,
    variables: Variables,
    /// How the plan's actors do TLS, once a target has been up.
    protections: Vec<protect::Protections>,
    /// Why there was no TLS with the target, where that went wrong.
    trouble: Option<String>,
    /// What cases expect, by the numbers in their steps.
    patterns: Arc<[Pattern]>,
    /// How long each of them is waited for, where the target is watched; nothing where they are not what seeds expect.
    patience: Vec<Patience>,
    /// For each process, the number of the last of its lines that was told.
    lines_seen: Vec<u64>,
    /// What the target was when it had nothing left to do; `None` as soon as something is done to it.
    idle: Option<Activity>,
    /// How long it had run when something was done to it, where it rested until then.
    ran: Option<Duration>,
    /// By what is seen that it has heard what was done to it last.
    told: Told,
    /// Whether each message is to be answered, and so its answer waited for although the target seems to rest.
    pub insists: bool,
    /// How long a target has to rest without an answer then, before it is said not to answer.
    pub silent_for: Duration,
    /// What coverage is read from.
    pub coverage: Coverage,
    /// The processor that the worker shares with its target, if it does.
    pub processor: Option<Processor>,
    /// Whether the target's threads are watched for rest; without, replies are waited for by time alone.
    pub quiescence: bool,
    /// Whether targets are traced from their start, so that it is seen where a signal ends them.
    pub tracing: bool,
    /// The server that is to answer the same: a target's name, or a URL.
    pub other: Option<String>,
    /// Where that is, while it is what is played with.
    elsewhere: Option<Address>,
    /// Whether it is seen how the processes end that the target starts.
    children: Children,
    files: Arc<Files>,
    names: Names,
    /// How long a reply takes at most, as far as is known, where nobody can be watched or nothing is known of this one.
    pub reply_within: Duration,
    /// The longest that an answer that was expected came after the target had come to rest.
    pub late: Duration,
    /// The same of the message that was said last.
    late_now: Duration,
    /// How much of what is looked for as a leak the target keeps of each connection of a valid conversation.
    pub remembered: u64,
    /// How often a target was started.
    pub starts: u64,
    /// How long the last start took.
    pub start_time: Duration,
    /// How long was waited for targets.
    pub waited: Duration,
}

/// Whether a target starts processes, as many do for each connection, and whether it is seen how these end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Children {
    /// None were seen.
    None,
    /// They are followed.
    Followed,
    /// They cannot be.
    Unseen,
}

/// By what is seen that a target has heard what was done to it last.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// More than so many bytes have arrived on this connection.
    Answer(u16, u64),
    /// It had ended all connections that were done something with.
    Nobody,
    /// By nothing.
    Unseen,
}

impl Player {
    /// A player without a target.
    pub fn new(plan: Arc<Plan>, ground: Ground, coverage: Coverage) -> Player {
        let actors = plan.actors.len();
        let patterns = plan.patterns.clone().into();
        let patience = plan.late.iter().copied().map(Patience::of).collect();
        Player {
            plan,
            patterns,
            patience,
            ground,
            up: None,
            rest: None,
            addresses: vec![None; actors],
            listeners: (0..actors).map(|_| None).collect(),
            links: Vec::new(),
            variables: Variables::new(),
            protections: Vec::new(),
            trouble: None,
            lines_seen: Vec::new(),
            idle: None,
            ran: None,
            told: Told::Unseen,
            insists: false,
            silent_for: SILENT_FOR,
            coverage,
            processor: None,
            quiescence: true,
            tracing: false,
            other: None,
            elsewhere: None,
            children: Children::None,
            files: Arc::default(),
            names: Names::default(),
            reply_within: Duration::from_millis(50),
            late: Duration::ZERO,
            late_now: Duration::ZERO,
            remembered: 0,
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
                // A fixed port may not be free yet: the kernel tells nobody when it is, so it is tried again, for 2 s at most.
                Err(_) if tries < START_TRIES && self.starts > 0 => {
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
        }
        self.variables = up.variables().clone();
        self.settle_in(up);
        self.read_tls()?;
        self.start_time = began.elapsed();
        Ok(())
    }

    fn settle_in(&mut self, up: Up) {
        self.starts += 1;
        self.lines_seen.clear();
        self.touch();
        let processes = up.processes();
        processes.iter().for_each(|(_, process)| process.read_at_leisure());
        let pids: Vec<u32> = processes.iter().map(|(_, process)| process.pid()).collect();
        self.coverage.attach(&pids);
        if let Some(processor) = self.processor.as_ref().filter(|_| !pids.is_empty()) {
            processor.take(&pids);
        }
        let follow = match (self.tracing, self.children) {
            (true, _) => Some(Follow::Threads),
            (false, Children::Followed) => Some(Follow::Processes),
            (false, Children::None | Children::Unseen) => None,
        };
        if let Some(follow) = follow {
            processes.iter().for_each(|(_, process)| _ = process.follow(follow, &self.files));
        }
        self.rest = (!pids.is_empty() && self.quiescence).then(|| Rest::new(pids));
        self.up = Some(up);
    }

    /// Ends the target.
    pub fn end(&mut self, in_order: bool) {
        self.links.clear();
        self.rest = None;
        self.touch();
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

    /// The target's processes, by the names of the scenario's targets.
    pub fn processes(&self) -> Vec<(String, u32)> {
        self.up.iter().flat_map(Up::processes).map(|(name, process)| (name, process.pid())).collect()
    }

    /// The processes in which counters may be: the target's, and those that they have started.
    pub fn program_pids(&self) -> Vec<u32> {
        family(&self.pids())
    }

    /// For each actor, whether its connections carry datagrams.
    pub fn datagrams(&self) -> Vec<bool> {
        let of = |(at, actor): (usize, &Actor)| match &actor.place {
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

    /// How many threads the target had when it was looked at last.
    pub fn threads(&self) -> u64 {
        self.rest.as_ref().map_or(0, |rest| rest.threads() as u64)
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

    /// Something is about to be done to the target.
    fn touch(&mut self) {
        let rested = self.idle.take() == Some(Activity::Asleep);
        self.ran = self.rest.as_ref().filter(|_| rested).and_then(Rest::ran);
        self.told = Told::Unseen;
    }

    fn link(&mut self, link: u16) -> Option<&mut Link> {
        self.links.get_mut(usize::from(link))?.as_mut()
    }

    fn take(&mut self, link: u16) -> Option<Link> {
        self.links.get_mut(usize::from(link))?.take()
    }

    /// Plays with the other server for as long as `doing` takes; `None` where there is none, or nobody knows where it is.
    pub fn elsewhere<T>(&mut self, doing: impl FnOnce(&mut Player) -> T) -> Option<T> {
        let other = self.other.as_deref()?;
        let own = self.up.as_ref().and_then(|up| up.address(other)).cloned();
        let is_own = self.processes().iter().any(|(name, _)| name == other);
        self.elsewhere = Some(own.map_or_else(|| self.ground.resolve(other), Ok).ok()?);
        // Who is no process of ours cannot be watched, and what is watched has nothing to do meanwhile.
        let rest = if is_own { None } else { self.rest.take() };
        let (coverage, within) = (std::mem::take(&mut self.coverage), self.reply_within);
        if !is_own {
            self.reply_within = within.max(OTHER_WITHIN);
        }
        self.touch();
        let done = doing(self);
        self.elsewhere = None;
        (self.coverage, self.reply_within) = (coverage, within);
        self.rest = rest.or_else(|| self.rest.take());
        self.touch();
        Some(done)
    }

    /// Sets a variable for the case that is played.
    pub fn set(&mut self, name: &str, value: Bytes) {
        self.variables.insert(name.into(), value);
    }

    /// Has cases expect something else than seeds do, for as long as `doing` takes.
    pub fn expecting<T>(&mut self, patterns: Vec<Pattern>, doing: impl FnOnce(&mut Player) -> T) -> T {
        let before = (std::mem::replace(&mut self.patterns, patterns.into()), std::mem::take(&mut self.patience));
        let done = doing(self);
        (self.patterns, self.patience) = before;
        done
    }

    /// What variables hold.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }
}
