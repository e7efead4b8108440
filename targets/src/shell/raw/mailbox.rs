//! What other threads have for a loop, and how they wake it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::thread;

use rustix::event::{EventfdFlags, eventfd};

use super::entry::Entry;
use crate::service::Peer;

/// What is handed to a loop.
pub(super) enum Parcel {
    /// A connection that was accepted elsewhere.
    Accepted(OwnedFd, Peer),
    /// The lone connection, which needs more than blocking reads, and what became of it.
    Back(Box<Entry>, u64, thread::Result<io::Result<()>>),
    /// The bell of this connection was rung.
    Ring(u64),
}

/// Where parcels for one loop are put.
pub(super) struct Mailbox {
    parcels: Mutex<Vec<Parcel>>,
    event: OwnedFd,
}

impl Mailbox {
    pub(super) fn new() -> io::Result<Mailbox> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Mailbox { parcels: Mutex::new(Vec::new()), event })
    }

    /// Puts a parcel in and wakes the loop.
    pub(super) fn put(&self, parcel: Parcel) {
        let mut parcels = self.parcels.lock().unwrap_or_else(PoisonError::into_inner);
        parcels.push(parcel);
        let is_first = parcels.len() == 1;
        drop(parcels);
        if is_first {
            self.wake(); // those that follow find it on its way
        }
    }

    /// Wakes the loop.
    pub(super) fn wake(&self) {
        // It fails where the counter is full: then the loop is awake.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    /// Swaps what is there for `empty`.
    pub(super) fn take(&self, empty: &mut Vec<Parcel>) {
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
        std::mem::swap(&mut *self.parcels.lock().unwrap_or_else(PoisonError::into_inner), empty);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What rings for the connection `token`.
    pub(super) fn bell(self: &Arc<Self>, token: u64) -> Waker {
        Waker::from(Arc::new(Ring { mailbox: Arc::clone(self), token }))
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

struct Ring {
    mailbox: Arc<Mailbox>,
    token: u64,
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mailbox.put(Parcel::Ring(self.token));
    }
}
