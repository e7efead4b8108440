//! A server's only connection, read by a thread that does nothing else.
//!
//! To wait in `recv` itself rather than for readiness saves a message one system call of three and part of its wake-up:
//! it is what a server on threads does, and the least that a round trip takes. As soon as there is another connection,
//! or this one needs more than to be read and answered, the loop has it back, with its next message. What wakes the
//! thread before that is a shutdown of the socket, for a stop or after too long a silence.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

use super::entry::Entry;
use super::mailbox::{Mailbox, Parcel};
use super::{RUNNING, Shared};
use crate::shell::stream::{READ_LEN_MAX, SPARE_LEN_MAX};

/// After how many messages without another connection the only one is read by a thread of its own: more than a client
/// sends that comes for one question.
pub(super) const LONE_AFTER: u32 = 32;

/// The thread, and what it has at the moment.
pub(super) struct Lone {
    /// `None` where the thread is to end.
    orders: Option<Sender<(Box<Entry>, u64)>>,
    thread: Option<JoinHandle<()>>,
    is_active: Arc<AtomicBool>,
    /// The socket that it reads, if it has one.
    socket: Option<Arc<OwnedFd>>,
    quiet_sweeps: u32,
    /// It was woken because of a silence that was too long.
    pub(super) is_idle: bool,
}

impl Lone {
    pub(super) fn start(shared: Arc<Shared>, mailbox: Arc<Mailbox>) -> io::Result<Lone> {
        let (orders, received) = channel();
        let is_active = Arc::new(AtomicBool::new(false));
        let thread = super::spawn("serve-lone", {
            let is_active = Arc::clone(&is_active);
            move || run(&received, &shared, &mailbox, &is_active)
        })?;
        let (orders, thread) = (Some(orders), Some(thread));
        Ok(Lone { orders, thread, is_active, socket: None, quiet_sweeps: 0, is_idle: false })
    }

    /// Whether the thread has a connection.
    pub(super) fn is_busy(&self) -> bool {
        self.socket.is_some()
    }

    /// Hands it a connection that only reads.
    pub(super) fn hand(&mut self, entry: Box<Entry>, token: u64) {
        self.socket = Some(Arc::clone(&entry.socket));
        (self.quiet_sweeps, self.is_idle) = (0, false);
        if let Some(orders) = &self.orders {
            let _ = orders.send((entry, token)); // it ends after this does
        }
    }

    /// The thread has given it back.
    pub(super) fn returned(&mut self) {
        self.socket = None;
    }

    /// Has the thread give its connection back at once; it is read no more.
    pub(super) fn recall(&self) {
        if let Some(socket) = &self.socket {
            let _ = shutdown(socket, Shutdown::Read); // fails where it is closed already
        }
    }

    /// Counts sweeps without a byte, and recalls what was quiet for `sweeps_max`.
    pub(super) fn sweep(&mut self, sweeps_max: u32) {
        let was_active = self.is_active.swap(false, Ordering::Relaxed);
        self.quiet_sweeps = if was_active { 0 } else { self.quiet_sweeps + 1 };
        if self.is_busy() && self.quiet_sweeps >= sweeps_max {
            self.is_idle = true;
            self.recall();
        }
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        self.recall();
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // what panics is a service, and that is caught
        }
    }
}

fn run(orders: &Receiver<(Box<Entry>, u64)>, shared: &Shared, mailbox: &Mailbox, is_active: &AtomicBool) {
    let (mut buffer, mut spare) = (vec![0; READ_LEN_MAX], Vec::new());
    for (mut entry, token) in orders {
        let attended = AssertUnwindSafe(|| attend(&mut entry, &mut buffer, &mut spare, shared, is_active));
        let attended = catch_unwind(attended);
        mailbox.put(Parcel::Back(entry, token, attended));
    }
}

/// Reads and answers until it needs more than that.
fn attend(
    entry: &mut Entry,
    buffer: &mut [u8],
    spare: &mut Vec<u8>,
    shared: &Shared,
    is_active: &AtomicBool,
) -> io::Result<()> {
    loop {
        match recv(&entry.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => return Ok(()), // the loop reads the end once more, or knows why there is one
            Ok((len, _)) => {
                entry.connection.borrow_buffer(spare);
                entry.connection.receive(&buffer[..len]);
                if entry.connection.asks_for_more() {
                    return Ok(());
                }
            }
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        entry.write(&mut 0)?;
        entry.connection.return_buffer(spare, SPARE_LEN_MAX);
        is_active.store(true, Ordering::Relaxed);
        let is_alone = shared.open.load(Ordering::Relaxed) == 1 && shared.state() == RUNNING;
        if !(is_alone && entry.only_reads()) {
            return Ok(());
        }
    }
}
