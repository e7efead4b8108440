//! Who sees to it that a thread that waits in its only socket's reads does not wait for ever.
//!
//! The kernel could do so itself (`SO_RCVTIMEO`), but arms a timer for each read then: more than everything else that a load
//! generator adds to a round trip.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::net::{Shutdown, shutdown};

/// What a thread waits in, and since when.
#[derive(Debug, Default)]
pub struct Watch {
    /// When what it waits for was begun; 0 where it waits for nothing.
    since: AtomicU64,
    socket: Mutex<Weak<OwnedFd>>,
}

impl Watch {
    /// The thread has another socket.
    pub fn set(&self, socket: &Arc<OwnedFd>) {
        let mut known = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        // What was waited for on the one before does not count for this one.
        self.since.store(0, Ordering::Relaxed);
        *known = Arc::downgrade(socket);
    }

    /// The thread begins to wait for what was begun then.
    pub fn begins(&self, since: u64) {
        self.since.store(since, Ordering::Relaxed);
    }

    /// Ends a wait for what was begun before: the socket then says that its peer has closed it.
    pub fn end(&self, before: u64) {
        let known = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let since = self.since.load(Ordering::Relaxed);
        if since > 0
            && since <= before
            && let Some(socket) = known.upgrade()
        {
            // One that is not connected any more waits no longer.
            let _ = shutdown(&socket, Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_wait_that_is_too_long_ends_as_if_the_peer_had_closed() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
        let address = listener.local_addr().expect("it is bound");
        let stream = std::net::TcpStream::connect(address).expect("it listens");
        let mut reader = stream.try_clone().expect("it is open");
        let socket = Arc::new(OwnedFd::from(stream));
        let watch = Watch::default();
        watch.begins(5);
        watch.set(&socket);
        // What was waited for on another socket is forgotten.
        watch.end(100);
        watch.begins(7);
        watch.end(6);
        reader.set_nonblocking(true).expect("it is open");
        let mut buffer = [0; 1];
        assert_eq!(reader.read(&mut buffer).map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
        watch.end(7);
        assert_eq!(reader.read(&mut buffer).map_err(|error| error.kind()), Ok(0));
    }
}
