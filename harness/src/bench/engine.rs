//! The load generator: one thread that sends and receives, with no lock, no allocation and no formatting a message.
//!
//! A thread owns its connections, its schedule and its histograms. It waits in `epoll_pwait2` and, where a schedule has to
//! be kept, spins for the last moments. With a single connection and no schedule there is nothing to choose between, and it
//! waits in `recv`.

mod bulk;
mod casts;
mod dialing;
mod loops;
mod waking;

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use socket2::SockRef;

use self::waking::Waking;
use super::clock::now;
use super::connection::{Cast, Connection, Failing, Known, Role, Shared, Standing, Uniform};
use super::drops::Drops;
use super::plan::{Pace, Peer, Plan, Report, Signals};
use super::schedule::Schedule;
use super::tally::Tally;
use super::wire::{Buffers, Opening};
use super::workload::{Bulk, Part};
use crate::random::Random;
use crate::runner::Address;

/// The most events that one wait gives.
const EVENTS_MAX: usize = 1024;

/// How long before an iteration is due the thread looks at nothing but the clock: longer than a look at its sockets takes.
const DEAF: u64 = 1_000;

/// How often connections are looked at for iterations that take too long.
const LOOK_EVERY: u64 = 20_000_000;

/// One thread's part of a plan.
#[derive(Debug)]
pub struct Worker {
    plan: Arc<Plan>,
    number: usize,
    /// One cast after the other, of as many connections as there are actors.
    connections: Vec<Connection>,
    cast_len: usize,
    /// Whether it waits in the reads of its only connection.
    is_blocking: bool,
    shared: Shared,
    epoll: OwnedFd,
    schedule: Option<Schedule>,
    waking: Waking,
    /// Casts that can take an iteration.
    free: VecDeque<usize>,
    is_free: Vec<bool>,
    /// When to dial which cast again.
    redial: VecDeque<(u64, usize)>,
    /// When connections that are slow on purpose read again.
    reads: VecDeque<(u64, usize)>,
    reports: Sender<Report>,
    spare: Receiver<Box<Tally>>,
    signals: Arc<Signals>,
    told: usize,
    left: Option<u64>,
    interval: u64,
    is_counting: bool,
}

impl Worker {
    /// The `number`-th thread of a plan. Emptied tallies come back by `spare`.
    pub fn new(
        plan: Arc<Plan>,
        number: usize,
        reports: Sender<Report>,
        spare: Receiver<Box<Tally>>,
        signals: Arc<Signals>,
    ) -> io::Result<Worker> {
        let own = share(plan.load.connections, number, plan.load.threads);
        let cast_len = plan.workload.parts.len();
        let blocking = plan.pace == Pace::Closed
            && plan.workload.bulk.is_none()
            && own * cast_len == 1
            && plan.load.read_every.is_none()
            && fits(&plan);
        let roles: Vec<Rc<Role>> = plan
            .workload
            .parts
            .iter()
            .zip(&plan.peers)
            .map(|(part, peer)| Rc::new(role(&plan, part, peer, blocking)))
            .collect();
        let cast = || Cast { notices: plan.workload.noticed.clone(), ..Cast::default() };
        let shared = Shared {
            casts: (0..own).map(|_| cast()).collect(),
            buffers: Buffers::new(roles.iter().any(|role| role.opening.tls.is_some())),
            agreed: None,
            verify: plan.load.verify,
            timeout: nanos(plan.timeout),
            tally: Tally::new(plan.workload.steps.len()),
            ahead: 0,
            counted_from: u64::MAX,
            begun: (number as u64) << 48,
            known: Known::of(&roles[0].part, plan.load.verify),
            read_at: 0,
            workload: Rc::new(plan.workload.clone()),
        };
        let mut connections = Vec::with_capacity(own * cast_len);
        for cast in 0..own {
            let number = cast * plan.load.threads + number;
            for (at, role) in roles.iter().enumerate() {
                let random = Random::new(plan.load.seed, &format!("connection {}", number * cast_len + at));
                connections.push(Connection::new(&shared, role, (cast, number), random));
            }
        }
        let schedule = match &plan.pace {
            Pace::Closed => None,
            Pace::Open(rate, arrivals) => {
                Some(Schedule::new(arrivals.clone(), *rate, (number, plan.load.threads), plan.load.seed))
            }
        };
        let left = plan.load.iterations.map(|iterations| share(iterations as usize, number, plan.load.threads) as u64);
        Ok(Worker {
            number,
            is_free: vec![false; own],
            cast_len,
            is_blocking: blocking,
            connections,
            shared,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            schedule,
            waking: Waking::new(),
            free: VecDeque::new(),
            redial: VecDeque::new(),
            reads: VecDeque::new(),
            reports,
            spare,
            signals,
            told: 0,
            left,
            interval: 0,
            is_counting: false,
            plan,
        })
    }

    /// Does its part, from the first connection to the last answer.
    pub fn run(mut self) {
        if let Some(core) = self.plan.cores.get(self.number % self.plan.cores.len().max(1)) {
            super::place::pin_thread(*core);
        }
        // The kernel may be late by this much when it wakes us; by default that is 50 us.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        for cast in 0..self.shared.casts.len() {
            self.dial(cast);
        }
        if !self.is_blocking {
            self.wait_until_open();
        }
        let _ = self.reports.send(Report::Ready);
        let begin = loop {
            match self.signals.begin.load(Ordering::Acquire) {
                0 if self.signals.stop.load(Ordering::Relaxed) => return,
                0 => std::thread::yield_now(),
                begin => break begin,
            }
        };
        let counted_from = begin + nanos(self.plan.load.warmup);
        let end = counted_from + nanos(self.plan.load.duration);
        self.shared.counted_from = counted_from;
        self.set_clock();
        if self.shared.workload.bulk.is_some() {
            self.drive_bulk(begin, counted_from, end);
        } else if self.is_blocking {
            self.drive_one(begin, counted_from, end);
        } else {
            self.drive(begin, counted_from, end);
        }
        self.hand_over();
        let processor = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let processor = processor.tv_sec as u64 * 1_000_000_000 + processor.tv_nsec as u64;
        let _ = self.reports.send(Report::Ended {
            at: now(),
            processor,
            overflows: self.overflows(),
            tls: self.shared.agreed.take(),
            congestion: self.connections.iter().find_map(Connection::congestion),
        });
    }

    /// Waits for sockets, at most so long, and handles what they have. `true` if they had nothing.
    fn wait(&mut self, timeout: Option<u64>) -> bool {
        let mut events = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; EVENTS_MAX];
        let timeout = timeout
            .map(|nanos| Timespec { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as _ });
        self.shared.tally.counts.syscalls += 1;
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) else { return false };
        let nothing = events.is_empty();
        for event in events {
            let (flags, at) = (event.flags, event.data.u64() as usize);
            if let Err(failing) = self.handle(at, flags) {
                self.failed(at / self.cast_len, failing);
            }
        }
        nothing
    }

    fn handle(&mut self, at: usize, flags: epoll::EventFlags) -> Result<(), Failing> {
        if self.meet(at, flags).map_err(|failing| self.whose(at, failing))? { self.go_on(at) } else { Ok(()) }
    }

    /// Does what a connection is ready for, and says whether it may be through with something.
    fn meet(&mut self, at: usize, flags: epoll::EventFlags) -> Result<bool, Failing> {
        self.shared.read_at = 0;
        let connection = &mut self.connections[at];
        if connection.standing() == Standing::Gone {
            return Ok(false);
        }
        let hung_up = flags.contains(epoll::EventFlags::RDHUP);
        if flags.contains(epoll::EventFlags::ERR) {
            connection.collect(&mut self.shared);
        }
        let broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
        if connection.standing() == Standing::Connecting {
            if !flags.contains(epoll::EventFlags::OUT) && !broken {
                return Ok(false);
            }
            connection.opened(&mut self.shared)?;
        }
        if let (Some(bulk), Standing::Open) = (&self.shared.workload.bulk, connection.standing()) {
            connection.wake(hung_up);
            let comes_back = matches!(bulk, Bulk::Send(_)) && (broken || flags.contains(epoll::EventFlags::IN));
            return if comes_back { self.ignore_answers(at).map(|()| false) } else { Ok(false) };
        }
        if connection.wants_to_write() && flags.contains(epoll::EventFlags::OUT) {
            connection.flush(&mut self.shared)?;
        }
        if broken || flags.contains(epoll::EventFlags::IN) {
            match self.plan.load.read_every {
                Some(pause) if connection.read_at.is_none() => {
                    let read_at = now() + nanos(pause);
                    connection.read_at = Some(read_at);
                    self.reads.push_back((read_at, at));
                }
                Some(_) => {}
                None => {
                    // An end that came with the last bytes is told of once: a short read is not the last one then.
                    let mut ends = hung_up;
                    while connection.read(&mut self.shared)?
                        || (connection.under_way() > 0 && std::mem::take(&mut ends))
                    {
                        if connection.under_way() == 0 && connection.is_spent() {
                            break;
                        }
                    }
                }
            }
        }
        Ok(true)
    }

    /// Connections that are slow on purpose read, each once, where their time has come.
    fn read_slowly(&mut self, pause: u64) {
        let time = now();
        while self.reads.front().is_some_and(|(read_at, _)| *read_at <= time) {
            let (read_at, at) = self.reads.pop_front().expect("just seen");
            let connection = &mut self.connections[at];
            // It may have been closed, and opened again, meanwhile.
            if connection.read_at != Some(read_at) {
                continue;
            }
            connection.read_at = None;
            let read = connection.read(&mut self.shared).map(|may_be_more| {
                if may_be_more && !connection.is_spent() {
                    connection.read_at = Some(time + pause);
                    self.reads.push_back((time + pause, at));
                }
            });
            let read = read.map_err(|failing| self.whose(at, failing));
            if let Err(failing) = read.and_then(|()| self.go_on(at)) {
                self.failed(at / self.cast_len, failing);
            }
        }
    }

    /// After something has come: ends a connection that is spent, begins what can begin, and writes all of it at once.
    fn go_on(&mut self, at: usize) -> Result<(), Failing> {
        // A division takes as long as all the rest of this.
        let cast = if self.cast_len == 1 { at } else { at / self.cast_len };
        if self.cast_len > 1 {
            self.connections[at].resume(&mut self.shared)?;
            self.pass_on(cast)?;
        }
        if self.is_over(cast) {
            self.close(cast);
            self.dial(cast);
            return Ok(());
        }
        if self.shared.workload.bulk.is_some() {
            return self.connections[at].flush(&mut self.shared);
        }
        if self.schedule.is_none() && self.shared.counted_from != u64::MAX && !self.is_blocking {
            self.fill(cast)?;
        }
        self.connections[at].flush(&mut self.shared)?;
        if self.schedule.is_some() {
            self.offer(cast);
        }
        Ok(())
    }

    /// Datagrams that its sockets had no room for, since counting began.
    fn overflows(&self) -> u64 {
        let Address::Udp(server) = *self.plan.address() else { return 0 };
        let Some(before) = self.signals.drops.get() else { return 0 };
        let sockets = self
            .connections
            .iter()
            .filter_map(|connection| SockRef::from(connection.socket()?.as_ref()).local_addr().ok()?.as_socket());
        Drops::look(server).own_since(before, sockets)
    }

    /// Sees how far the clock of the kernel's timestamps is ahead: somebody may set it meanwhile.
    fn set_clock(&mut self) {
        if self.plan.load.stamps.is_some() {
            self.shared.ahead = super::clock::ahead();
        }
    }

    /// Hands over what was counted, once an interval.
    fn rotate(&mut self, time: u64, counted_from: u64) {
        if time < counted_from {
            return;
        }
        let interval = (time - counted_from) / nanos(self.plan.load.interval).max(1);
        self.count_from_now();
        if interval != self.interval {
            self.hand_over();
            self.interval = interval;
        }
    }

    /// Forgets, once, what was counted while it warmed up.
    fn count_from_now(&mut self) {
        if !self.is_counting {
            self.is_counting = true;
            self.shared.tally.reset();
            let open = self.connections.iter().filter(|connection| connection.standing() == Standing::Open);
            self.shared.tally.counts.connections = open.count() as u64;
        }
    }

    fn hand_over(&mut self) {
        let empty = self.spare.try_recv().unwrap_or_else(|_| Box::new(Tally::new(self.shared.workload.steps.len())));
        let full = std::mem::replace(&mut self.shared.tally, *empty);
        let _ = self.reports.send(Report::Interval(self.interval, Box::new(full)));
    }
}

/// The part of a number that one of several threads has.
fn share(whole: usize, number: usize, threads: usize) -> usize {
    whole / threads + usize::from(number < whole % threads)
}

/// What an actor's connections do.
fn role(plan: &Plan, part: &Part, peer: &Peer, blocking: bool) -> Role {
    let part = part.clone();
    let part = if peer.address.transport().is_datagram() { part } else { part.for_stream() };
    let opening = Opening {
        address: peer.address.clone(),
        wait: blocking.then_some(plan.timeout),
        tls: peer.tls.clone(),
        upgrades: part.starttls.is_some(),
        segments: plan.load.segments,
        stamps: plan.load.stamps,
    };
    let uniform = Uniform::of(&plan.workload, &part, &opening, plan.load.depth);
    Role { part, opening, uniform }
}

/// Whether everything under way at once fits the buffers of a socket, so that writing never waits for reading.
fn fits(plan: &Plan) -> bool {
    let (sent, heard) = plan.workload.sizes();
    (sent + heard) * plan.load.depth <= 16 << 10
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}
