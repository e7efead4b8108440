//! The loop of one thread: its connections, their times, and the listener on the first of the threads.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

use super::entry::{Entry, Phase, Turn};
use super::lone::{LONE_AFTER, Lone};
use super::mailbox::{Mailbox, Parcel};
use super::{AWAKE_BEFORE, CUT, Listener, STOPPING, Shared, Socket, timespec};
use crate::service::Peer;
use crate::shell::stream::{ACCEPT_PAUSE, IDLE_PARTS, READ_LEN_MAX, SPARE_LEN_MAX};
use crate::shell::{Note, is_peers_error};

/// How many events one wait brings.
const EVENTS_MAX: usize = 256;
/// How many connections are accepted before those that there are have their turn.
const ACCEPTS_MAX: u32 = 64;
/// The silence of connections is looked at no more often.
const SWEEP_MIN: Duration = Duration::from_micros(100);

/// What is no connection, in place of the token of one.
const LISTENER: u64 = u64::MAX;
const MAILBOX: u64 = u64::MAX - 1;
const SWEEP: u64 = u64::MAX - 2;
/// The end of the grace time.
const GRACE: u64 = u64::MAX - 3;

/// One thread's part of a server.
pub(super) struct Loop {
    shared: Arc<Shared>,
    /// Those of all threads.
    mailboxes: Vec<Arc<Mailbox>>,
    number: usize,
    epoll: OwnedFd,
    listener: Option<Listener>,
    /// How many connections there were.
    accepted: u64,
    /// What fires when the silence of connections is to be looked at.
    sweep: Option<OwnedFd>,
    slots: Slots,
    /// Who is to have a turn when, and what else is to happen.
    times: BinaryHeap<Reverse<(Instant, u64)>>,
    /// Who goes on after all others had a turn.
    again: Vec<u64>,
    lone: Option<Lone>,
    /// Messages in a row without another connection.
    lone_messages: u32,
    input: Vec<u8>,
    /// The output buffer that is lent to whoever has a turn.
    spare: Vec<u8>,
    is_stopping: bool,
}

impl Loop {
    pub(super) fn new(
        number: usize,
        shared: Arc<Shared>,
        mailboxes: Vec<Arc<Mailbox>>,
        listener: Option<Listener>,
    ) -> io::Result<Loop> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        if let Some(listener) = &listener {
            epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN | EventFlags::ET)?;
        }
        epoll::add(&epoll, &mailboxes[number], EventData::new_u64(MAILBOX), EventFlags::IN)?;
        let idle = shared.limits.idle;
        let sweep = if idle.is_zero() { None } else { Some(every((idle / IDLE_PARTS).max(SWEEP_MIN))?) };
        if let Some(sweep) = &sweep {
            epoll::add(&epoll, sweep, EventData::new_u64(SWEEP), EventFlags::IN)?;
        }
        Ok(Loop {
            shared,
            mailboxes,
            number,
            epoll,
            listener,
            accepted: 0,
            sweep,
            slots: Slots::default(),
            times: BinaryHeap::new(),
            again: Vec::new(),
            lone: None,
            lone_messages: 0,
            input: vec![0; READ_LEN_MAX],
            spare: Vec::new(),
            is_stopping: false,
        })
    }

    /// Serves until it is stopped or the server has had enough.
    pub(super) fn run(&mut self) {
        let mut events = vec![Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS_MAX];
        let (mut parcels, mut again) = (Vec::new(), Vec::new());
        if self.shared.server.connections_max() == Some(0) {
            self.accept_no_more();
        }
        while !self.is_done() {
            let timeout = self.timeout();
            let count = match epoll::wait(&self.epoll, &mut events[..], timeout.map(timespec).as_ref()) {
                Ok(count) => count,
                Err(Errno::INTR) => 0,
                Err(error) => unreachable!("an epoll of its own can be waited for: {error}"),
            };
            std::mem::swap(&mut self.again, &mut again);
            for event in &events[..count] {
                let Event { flags, data } = *event;
                let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
                match data.u64() {
                    LISTENER => self.accept(),
                    MAILBOX => self.open_mail(&mut parcels),
                    SWEEP => self.look_for_silence(),
                    token => self.turn(token, hung_up),
                }
            }
            for token in again.drain(..) {
                if let Some(entry) = self.slots.entry(token) {
                    entry.is_queued = false;
                    self.turn(token, true);
                } else if token == LISTENER {
                    self.accept();
                }
            }
            if self.keep_times() {
                return;
            }
        }
    }

    /// Whether nothing is left to do, and nothing will be.
    fn is_done(&self) -> bool {
        // Whoever accepts says first that it does so no more; what it has put into the mailbox has woken this before.
        let is_idle = !self.shared.is_accepting.load(Ordering::Acquire)
            && self.slots.len == 0
            && self.mailboxes[self.number].is_empty();
        is_idle || self.shared.state() == CUT
    }

    fn timeout(&mut self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        loop {
            let Reverse((due, token)) = self.times.peek().copied()?;
            let left = due.saturating_duration_since(Instant::now());
            if matches!(token, GRACE | LISTENER) {
                return Some(left);
            }
            match self.slots.entry(token).filter(|entry| entry.armed == Some(due)) {
                Some(entry) if matches!(entry.phase, Phase::Lingering(_)) => return Some(left),
                Some(_) => return Some(left.saturating_sub(AWAKE_BEFORE)),
                // Of a connection that is over, or whose first time is another one.
                None => drop(self.times.pop()),
            }
        }
    }

    /// Does what is due. `true` when the grace time is over.
    fn keep_times(&mut self) -> bool {
        if self.times.is_empty() {
            return false;
        }
        let now = Instant::now();
        while let Some(Reverse((due, token))) = self.times.peek().copied()
            && due <= now
        {
            self.times.pop();
            match token {
                GRACE => {
                    let connections = self.slots.len;
                    (self.shared.log)(&Note::Cut { connections });
                    return true;
                }
                LISTENER => self.accept(),
                token => {
                    // Of its times only the first counts, and that may have been moved.
                    let Some(entry) = self.slots.entry(token) else { continue };
                    if entry.armed == Some(due) {
                        entry.armed = None;
                        if entry.due().is_some_and(|due| due <= now) {
                            self.turn(token, true);
                        } else {
                            self.arm(token);
                        }
                    }
                }
            }
        }
        false
    }

    /// Sees to it that a connection has a turn when its time comes.
    fn arm(&mut self, token: u64) {
        let Some(entry) = self.slots.entry(token) else { return };
        if let Some(due) = entry.due()
            && entry.armed.is_none_or(|armed| due < armed)
        {
            entry.armed = Some(due);
            self.times.push(Reverse((due, token)));
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS_MAX {
            let Some(listener) = &self.listener else { return };
            let (socket, address) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_peers_error(&error) => continue,
                Err(error) => {
                    (self.shared.log)(&Note::AcceptFailed { error });
                    return self.times.push(Reverse((Instant::now() + ACCEPT_PAUSE, LISTENER)));
                }
            };
            let peer = Peer::new(self.accepted, listener.transport, address);
            let connections_max = self.shared.limits.connections_max;
            if self.shared.open.load(Ordering::Acquire) >= connections_max {
                (self.shared.log)(&Note::OverLimit { peer, connections_max });
                continue;
            }
            self.shared.open.fetch_add(1, Ordering::AcqRel);
            let thread = (self.accepted % self.mailboxes.len() as u64) as usize;
            self.accepted += 1;
            let is_last = self.shared.server.connections_max() == Some(self.accepted);
            if is_last {
                self.listener = None; // before its peer hears anything
            }
            if thread == self.number {
                self.open(socket, peer);
            } else {
                self.mailboxes[thread].put(Parcel::Accepted(socket, peer));
            }
            if is_last {
                return self.accept_no_more();
            }
        }
        if !self.again.contains(&LISTENER) {
            self.again.push(LISTENER);
        }
    }

    fn accept_no_more(&mut self) {
        self.listener = None;
        if self.number == 0 {
            self.shared.is_accepting.store(false, Ordering::Release);
            self.mailboxes.iter().for_each(|mailbox| mailbox.wake());
        }
    }

    fn open(&mut self, socket: OwnedFd, peer: Peer) {
        let shared = &self.shared;
        let open = || Entry::open(&*shared.server, socket, peer, shared.limits.output_len_max);
        let entry = match catch_unwind(AssertUnwindSafe(open)) {
            Ok(entry) => Box::new(entry),
            Err(_) => {
                (shared.log)(&Note::Panicked);
                shared.open.fetch_sub(1, Ordering::AcqRel);
                return;
            }
        };
        let socket = Arc::clone(&entry.socket);
        let token = self.slots.insert(entry);
        if let Some(entry) = self.slots.entry(token)
            && entry.connection.has_bell()
        {
            entry.connection.attach(&self.mailboxes[self.number].bell(token));
        }
        match self.watch(&socket, token) {
            Ok(()) => self.turn(token, true),
            Err(error) => self.over(token, Err(error)),
        }
    }

    fn watch(&self, socket: &OwnedFd, token: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token), flags)?)
    }

    /// Has a connection go as far as it can.
    fn turn(&mut self, token: u64, hung_up: bool) {
        let Some(entry) = self.slots.entry(token) else { return }; // over since the event
        let (input, spare, linger) = (&mut self.input, &mut self.spare, self.shared.limits.linger);
        let turn = catch_unwind(AssertUnwindSafe(|| {
            entry.connection.borrow_buffer(spare);
            let turn = entry.turn(input, hung_up, linger);
            entry.connection.return_buffer(spare, SPARE_LEN_MAX);
            turn
        }));
        match turn {
            Ok(Turn::Again) if !std::mem::replace(&mut entry.is_queued, true) => self.again.push(token),
            Ok(Turn::Again) => {}
            Ok(Turn::Over(result)) => return self.over(token, result),
            Ok(Turn::Reset) => {
                // A process that ends here closes what it had, as any does.
                self.tell_process_end(token);
                let reset = self.slots.entry(token).map_or(Ok(()), |entry| entry.reset());
                return self.over(token, reset);
            }
            Ok(Turn::Wait) => {}
            Err(_) => {
                (self.shared.log)(&Note::Panicked);
                return self.remove(token);
            }
        }
        let only_reads = entry.only_reads();
        if entry.due().is_some() {
            self.arm(token);
        }
        if self.is_stopping {
            self.end(token);
        } else if self.slots.len == 1 && only_reads {
            self.leave_alone(token);
        }
    }

    /// Hands the only connection to a thread of its own when it has been that for long enough.
    fn leave_alone(&mut self, token: u64) {
        self.lone_messages += 1;
        if self.lone_messages < LONE_AFTER || self.shared.open.load(Ordering::Relaxed) != 1 {
            return;
        }
        self.lone_messages = 0;
        let mailbox = &self.mailboxes[self.number];
        if self.lone.is_none() {
            self.lone = Lone::start(Arc::clone(&self.shared), Arc::clone(mailbox)).ok(); // without one it is slower
        }
        let Some(lone) = &mut self.lone else { return };
        if let Some(mut entry) = self.slots.lend(token) {
            // What it is queued and armed for finds it gone.
            (entry.is_queued, entry.armed) = (false, None);
            let _ = epoll::delete(&self.epoll, &entry.socket); // it was added, and is open
            lone.hand(entry, token);
        }
    }

    /// Has the lone connection again.
    fn take_back(&mut self, entry: Box<Entry>, token: u64, result: std::thread::Result<io::Result<()>>) {
        let lone = self.lone.as_mut().expect("it was handed to it");
        lone.returned();
        let (is_idle, socket, peer) = (lone.is_idle, Arc::clone(&entry.socket), entry.peer);
        self.slots.give_back(token, entry);
        match result {
            Err(_) => {
                (self.shared.log)(&Note::Panicked);
                self.remove(token);
            }
            Ok(Err(error)) => self.over(token, Err(error)),
            Ok(Ok(())) if is_idle => {
                (self.shared.log)(&Note::Idle { peer });
                self.remove(token);
            }
            Ok(Ok(())) if self.is_stopping => self.end(token),
            Ok(Ok(())) => match self.watch(&socket, token) {
                Ok(()) => self.turn(token, true),
                Err(error) => self.over(token, Err(error)),
            },
        }
    }

    fn open_mail(&mut self, parcels: &mut Vec<Parcel>) {
        self.mailboxes[self.number].take(parcels);
        for parcel in parcels.drain(..) {
            match parcel {
                Parcel::Accepted(socket, peer) => self.open(socket, peer),
                Parcel::Back(entry, token, result) => self.take_back(entry, token, result),
                Parcel::Ring(token) => self.turn(token, true),
            }
        }
        if self.shared.state() >= STOPPING && !self.is_stopping {
            self.stop();
        }
    }

    /// Takes nothing more, and ends what has nothing to write.
    fn stop(&mut self) {
        self.is_stopping = true;
        self.accept_no_more();
        if let Some(end) = Instant::now().checked_add(self.shared.limits.grace) {
            self.times.push(Reverse((end, GRACE)));
        }
        for token in self.slots.tokens() {
            self.turn(token, true);
        }
        if let Some(lone) = &self.lone {
            lone.recall();
        }
    }

    /// Takes no more input from a connection, and removes it if it has nothing to write.
    fn end(&mut self, token: u64) {
        let Some(entry) = self.slots.entry(token) else { return };
        if matches!(entry.phase, Phase::Lingering(_)) {
            return;
        }
        let was = std::mem::replace(&mut entry.phase, Phase::Open);
        entry.connection.close();
        if entry.connection.output().is_empty() {
            self.remove(token);
        } else if was != Phase::Open {
            self.turn(token, true); // its pause is over, and it writes
        }
    }

    fn over(&mut self, token: u64, result: io::Result<()>) {
        self.tell_process_end(token);
        if let (Some(entry), Err(error)) = (self.slots.entry(token), result) {
            let peer = entry.peer;
            (self.shared.log)(&Note::Failed { peer, error });
        }
        self.remove(token);
    }

    fn tell_process_end(&mut self, token: u64) {
        if let Some(end) = self.slots.entry(token).and_then(|entry| entry.connection.take_process_end()) {
            (self.shared.log)(&Note::EndsProcess { end });
        }
    }

    fn remove(&mut self, token: u64) {
        if self.slots.remove(token) {
            self.shared.open.fetch_sub(1, Ordering::AcqRel);
            self.lone_messages = 0;
        }
    }

    /// Closes connections that were silent for too long.
    fn look_for_silence(&mut self) {
        if let Some(sweep) = &self.sweep {
            let _ = rustix::io::read(sweep, &mut [0; 8]);
        }
        for token in self.slots.tokens() {
            let Some(entry) = self.slots.entry(token) else { continue };
            let was_active = std::mem::take(&mut entry.is_active);
            entry.quiet_sweeps = if was_active { 0 } else { entry.quiet_sweeps + 1 };
            if entry.quiet_sweeps >= IDLE_PARTS && !entry.may_be_silent() {
                (self.shared.log)(&Note::Idle { peer: entry.peer });
                self.remove(token);
            }
        }
        if let Some(lone) = &mut self.lone {
            lone.sweep(IDLE_PARTS);
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.accept_no_more();
        self.lone = None;
        self.mailboxes[self.number].take(&mut Vec::new()); // sockets among them
    }
}

impl Listener {
    fn accept(&self) -> io::Result<(OwnedFd, Option<std::net::SocketAddr>)> {
        match &self.socket {
            Socket::Tcp(listener) => listener.accept().map(|(stream, address)| (stream.into(), Some(address))),
            Socket::Unix(listener, _) => listener.accept().map(|(stream, _)| (stream.into(), None)),
        }
    }
}

/// A descriptor that can be read each time that `interval` has passed.
fn every(interval: Duration) -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let interval = timespec(interval);
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: interval, it_value: interval })?;
    Ok(timer)
}

/// The connections of a thread by their tokens: a place, and how often it was used, so that an event for one that is
/// over does not reach the one that came after it.
#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// How many are taken.
    len: usize,
}

struct Slot {
    generation: u32,
    /// `None` where it is free or lent.
    entry: Option<Box<Entry>>,
}

impl Slots {
    fn insert(&mut self, entry: Box<Entry>) -> u64 {
        self.len += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, entry: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[place as usize];
        slot.entry = Some(entry);
        u64::from(slot.generation) << 32 | u64::from(place)
    }

    fn slot(&mut self, token: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(token as u32 as usize)?;
        (u64::from(slot.generation) == token >> 32).then_some(slot)
    }

    fn entry(&mut self, token: u64) -> Option<&mut Entry> {
        self.slot(token)?.entry.as_deref_mut()
    }

    /// Takes an entry whose place stays taken.
    fn lend(&mut self, token: u64) -> Option<Box<Entry>> {
        self.slot(token)?.entry.take()
    }

    fn give_back(&mut self, token: u64, entry: Box<Entry>) {
        if let Some(slot) = self.slot(token) {
            slot.entry = Some(entry);
        }
    }

    fn remove(&mut self, token: u64) -> bool {
        let Some(slot) = self.slot(token) else { return false };
        slot.entry = None;
        slot.generation = slot.generation.wrapping_add(1) & (u32::MAX >> 1); // never one of the tokens that are no connection
        self.free.push(token as u32);
        self.len -= 1;
        true
    }

    /// Those of all that are here.
    fn tokens(&self) -> Vec<u64> {
        let taken = self.slots.iter().enumerate().filter(|(_, slot)| slot.entry.is_some());
        taken.map(|(place, slot)| u64::from(slot.generation) << 32 | place as u64).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize};

    use super::*;
    use crate::shell::Limits;

    #[test]
    fn the_time_of_a_connection_that_is_over_wakes_nobody() {
        let limits = Limits::default();
        let target = crate::find("tcp-echo").expect("it is in the table");
        let server = target.make::<&str>(&[], &limits, || jiff::Timestamp::UNIX_EPOCH);
        let shared = Shared {
            server: server.expect("it has no settings"),
            limits,
            log: Arc::new(|_| {}),
            state: AtomicU8::new(super::super::RUNNING),
            open: AtomicUsize::new(0),
            is_accepting: AtomicBool::new(true),
        };
        let mailbox = Arc::new(Mailbox::new().expect("the system has one"));
        let mut own = Loop::new(0, Arc::new(shared), vec![mailbox], None).expect("the system has an epoll");
        let later = Instant::now() + Duration::from_secs(1);
        own.times.push(Reverse((later, 7)));
        own.times.push(Reverse((later + Duration::from_secs(60), GRACE)));
        assert!(own.timeout().is_some_and(|timeout| timeout > Duration::from_secs(30)));
        assert_eq!(own.times.len(), 1);
    }
}
