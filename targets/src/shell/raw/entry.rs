//! One connection on its socket: how far it goes without waiting.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::connection::{Connection, Ending};
use crate::service::{Peer, Server, Transport};

/// How often one connection reads, writes or is woken before others have their turn.
const STEPS_MAX: usize = 32;

/// A connection on a socket. The socket blocks; every call but a lone connection's says that it is not to.
pub(super) struct Entry {
    pub(super) socket: Arc<OwnedFd>,
    pub(super) peer: Peer,
    pub(super) connection: Connection,
    pub(super) phase: Phase,
    /// When its service is to be woken.
    alarm: Option<Instant>,
    /// The first of the times for which the loop has it in its heap.
    pub(super) armed: Option<Instant>,
    /// Whether the loop has it among those that go on after all others.
    pub(super) is_queued: bool,
    /// Whether bytes moved since the last sweep.
    pub(super) is_active: bool,
    /// For how many sweeps in a row none did.
    pub(super) quiet_sweeps: u32,
    /// The peer's end was read.
    is_read_out: bool,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is served.
    Open,
    /// Its service writes and reads nothing until then.
    Paused(Option<Instant>),
    /// Its own direction is closed, and what still comes is dropped until then.
    Lingering(Option<Instant>),
}

/// What a connection waits for.
pub(super) enum Turn {
    /// Others had to wait long enough: it goes on when they had their turn.
    Again,
    /// It is over.
    Over(io::Result<()>),
    /// It is over, and is to be reset.
    Reset,
    /// Its socket or its time.
    Wait,
}

impl Entry {
    pub(super) fn open(server: &dyn Server, socket: OwnedFd, peer: Peer, output_len_max: usize) -> Entry {
        Entry {
            socket: Arc::new(socket),
            peer,
            connection: Connection::open(server, &peer, output_len_max),
            phase: Phase::Open,
            alarm: None,
            armed: None,
            is_queued: false,
            is_active: true,
            quiet_sweeps: 0,
            is_read_out: false,
        }
    }

    /// When it is to have a turn even if its socket has nothing for it.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open => self.alarm,
            Phase::Paused(until) | Phase::Lingering(until) => until,
        }
    }

    /// Whether nothing is to be done until bytes come.
    pub(super) fn only_reads(&self) -> bool {
        self.phase == Phase::Open
            && self.alarm.is_none()
            && self.connection.output().is_empty()
            && self.connection.wants_input()
            && !self.connection.has_bell()
    }

    /// Whether its silence is of no concern, because its service waits for a time of its own.
    pub(super) fn may_be_silent(&self) -> bool {
        match self.phase {
            Phase::Open => self.alarm.is_some() && !self.connection.is_ending(),
            Phase::Paused(_) | Phase::Lingering(_) => true,
        }
    }

    /// Goes as far as it can without waiting. `hung_up`: the peer's end may be behind its bytes.
    pub(super) fn turn(&mut self, buffer: &mut [u8], hung_up: bool, linger: Duration) -> Turn {
        match self.phase {
            Phase::Open => {}
            Phase::Paused(until) if until.is_none_or(|until| Instant::now() < until) => return Turn::Wait,
            Phase::Paused(_) => self.phase = Phase::Open,
            Phase::Lingering(until) => return self.linger(buffer, until),
        }
        self.connection.answer_bell();
        let (mut steps, mut is_drained) = (0, false);
        loop {
            if let Some(pause) = self.connection.take_pause() {
                self.phase = Phase::Paused(Instant::now().checked_add(pause));
                return Turn::Wait;
            }
            if let Err(error) = self.write(&mut steps) {
                return Turn::Over(Err(error));
            }
            if steps >= STEPS_MAX {
                return Turn::Again;
            }
            steps += 1;
            if let Some(time) = self.connection.take_alarm() {
                self.alarm = Instant::now().checked_add(time); // none after `Duration::MAX`
            }
            if self.alarm.is_some_and(|alarm| alarm <= Instant::now()) {
                self.alarm = None;
                self.connection.time_out();
                continue;
            }
            match self.connection.ending() {
                None => {}
                Some(Ending::Close) => return self.close(buffer, linger),
                Some(Ending::Reset) => return Turn::Reset,
            }
            if is_drained || !self.connection.wants_input() {
                return Turn::Wait; // for a write that goes on, or more to read
            }
            match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    self.is_read_out = true;
                    self.connection.end();
                }
                Ok((len, _)) => {
                    // A read that does not fill the buffer has emptied the socket; what comes later is told of anew.
                    is_drained = len < buffer.len() && !hung_up;
                    self.connection.receive(&buffer[..len]);
                }
                Err(Errno::AGAIN) => return Turn::Wait,
                Err(Errno::INTR) => continue,
                Err(error) => return Turn::Over(Err(error.into())),
            }
            self.is_active = true;
        }
    }

    /// Writes as far as the socket takes it, and no more often than a turn has steps: a service may never be done.
    pub(super) fn write(&mut self, steps: &mut usize) -> io::Result<()> {
        while !self.connection.output().is_empty() && *steps < STEPS_MAX {
            *steps += 1;
            match send(&self.socket, self.connection.output(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.connection.written(len),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            self.is_active = true;
        }
        Ok(())
    }

    /// Closes its own direction.
    fn close(&mut self, buffer: &mut [u8], linger: Duration) -> Turn {
        if self.is_read_out {
            return Turn::Over(Ok(())); // a peer that has sent its last byte makes this short
        }
        // Fails where the peer has reset the connection meanwhile, which is no matter to one that is over.
        let _ = shutdown(&self.socket, Shutdown::Write);
        let until = Instant::now().checked_add(linger);
        self.phase = Phase::Lingering(until);
        self.linger(buffer, until)
    }

    /// Drops what comes until the peer closes, too.
    fn linger(&self, buffer: &mut [u8], until: Option<Instant>) -> Turn {
        for _ in 0..STEPS_MAX {
            match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Turn::Over(Ok(())),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if until.is_none_or(|until| Instant::now() < until) => return Turn::Wait,
                Err(_) => return Turn::Over(Ok(())), // it is over anyway
            }
        }
        if until.is_some_and(|until| until <= Instant::now()) { Turn::Over(Ok(())) } else { Turn::Again }
    }

    /// Makes the socket's end a RST.
    pub(super) fn reset(&self) -> io::Result<()> {
        if self.peer.transport == Transport::Unix {
            return Ok(()); // there is none; closed with unread input, the peer sees the same
        }
        Ok(rustix::net::sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO))?)
    }
}
