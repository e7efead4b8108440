//! Servers on plain system calls: threads of their own, epoll and blocking reads, and no runtime on the way of a message.
//!
//! They keep the limits that the tasks of a runtime keep, and tell the same notes. `stream` is the loop of a thread with
//! connections, `entry` one connection on a socket, `lone` what a server with a single connection does to save the
//! loop's system calls; `datagram` is the loop for datagrams. There is no TLS.

mod datagram;
mod entry;
mod lone;
mod mailbox;
mod stream;

use std::io;
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::Timespec;
use tokio::sync::watch;

use super::stream::{listen_tcp, listen_unix, refuse};
use super::{Limits, Log};
use crate::address::Address;
use crate::service::{Server, Transport};
use mailbox::Mailbox;

/// How long before a time that a service waits for the thread stays awake: to be woken takes a sleeping core some tens
/// of microseconds, and now and then twice that.
const AWAKE_BEFORE: Duration = Duration::from_micros(100);

/// The threads of one server. Dropped, they end at once.
pub(super) struct Threads {
    shared: Arc<Shared>,
    socket: Wakes,
    threads: Vec<JoinHandle<()>>,
    /// Closed when all threads are gone.
    running: watch::Receiver<()>,
}

/// How threads are woken to see that the server's state has changed.
enum Wakes {
    Mailboxes(Vec<Arc<Mailbox>>),
    /// The socket that one thread reads from.
    Socket(Arc<OwnedFd>),
}

impl Threads {
    /// Ends it in good order.
    pub(super) fn stop(&self) {
        self.set(STOPPING);
    }

    /// Waits until all threads have ended.
    pub(super) async fn ended(&mut self) {
        while self.running.changed().await.is_ok() {}
    }

    fn set(&self, state: u8) {
        self.shared.state.fetch_max(state, Ordering::AcqRel);
        match &self.socket {
            Wakes::Mailboxes(mailboxes) => mailboxes.iter().for_each(|mailbox| mailbox.wake()),
            Wakes::Socket(socket) => {
                // It says that there is no connection to shut down, and wakes who reads.
                let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.set(CUT);
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // what panics is a service, and that is caught
        }
    }
}

const RUNNING: u8 = 0;
/// No new connections, no more input.
const STOPPING: u8 = 1;
/// At once.
const CUT: u8 = 2;

/// What the threads of one server share.
struct Shared {
    server: Arc<dyn Server>,
    limits: Limits,
    log: Log,
    state: AtomicU8,
    /// How many connections are open.
    open: AtomicUsize,
    /// Whether more may come.
    is_accepting: AtomicBool,
}

impl Shared {
    fn state(&self) -> u8 {
        self.state.load(Ordering::Acquire)
    }
}

/// A listener, without its type.
pub(super) struct Listener {
    socket: Socket,
    transport: Transport,
}

enum Socket {
    Tcp(std::net::TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Drop for Listener {
    fn drop(&mut self) {
        refuse(self);
        if let Socket::Unix(_, path) = &self.socket {
            let _ = std::fs::remove_file(path); // somebody else may have removed it
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// Binds and starts threads. Gives where it listens, with the port that the system chose.
pub(super) fn start(
    server: Arc<dyn Server>,
    address: &Address,
    limits: Limits,
    log: Log,
    threads: NonZeroUsize,
) -> io::Result<(Address, Threads)> {
    let state = AtomicU8::new(RUNNING);
    let shared = Shared { server, limits, log, state, open: AtomicUsize::new(0), is_accepting: AtomicBool::new(true) };
    let shared = Arc::new(shared);
    let transport = address.transport();
    let (address, socket) = match address {
        Address::Tcp(address) => {
            let listener = listen_tcp(*address)?;
            // What is accepted has it from here: answers go out as they are written.
            rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
            (Address::Tcp(listener.local_addr()?), Socket::Tcp(listener))
        }
        Address::Unix(path) => (Address::Unix(path.clone()), Socket::Unix(listen_unix(path)?, path.clone())),
        Address::Tls(_) => {
            let why = "TLS is not served on plain system calls";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Address::Udp(address) => {
            let socket = std::net::UdpSocket::bind(address)?;
            let address = Address::Udp(socket.local_addr()?);
            return Ok((address, start_datagrams(shared, socket.into(), transport, None)?));
        }
        Address::Unixgram(path) => {
            let socket = UnixDatagram::bind(path)?;
            return Ok((address.clone(), start_datagrams(shared, socket.into(), transport, Some(path.clone()))?));
        }
    };
    let mut listener = Some(Listener { socket, transport });
    let mailboxes = (0..threads.get()).map(|_| Mailbox::new().map(Arc::new)).collect::<io::Result<Vec<_>>>()?;
    let (alive, running) = watch::channel(());
    let alive = Arc::new(alive);
    let mut started = Threads { shared, socket: Wakes::Mailboxes(mailboxes.clone()), threads: Vec::new(), running };
    for number in 0..threads.get() {
        let shared = Arc::clone(&started.shared);
        let mut own = stream::Loop::new(number, shared, mailboxes.clone(), listener.take())?;
        let alive = Arc::clone(&alive);
        started.threads.push(spawn("serve", move || {
            own.run();
            drop(own); // sockets first
            drop(alive);
        })?);
    }
    Ok((address, started))
}

fn start_datagrams(
    shared: Arc<Shared>,
    socket: OwnedFd,
    transport: Transport,
    path: Option<PathBuf>,
) -> io::Result<Threads> {
    let socket = Arc::new(socket);
    let (alive, running) = watch::channel(());
    let thread = spawn("serve", {
        let (shared, socket) = (Arc::clone(&shared), Arc::clone(&socket));
        move || {
            datagram::run(&socket, transport, &shared);
            if let Some(path) = path {
                let _ = std::fs::remove_file(path); // somebody else may have removed it
            }
            drop(alive);
        }
    })?;
    Ok(Threads { shared, socket: Wakes::Socket(socket), threads: vec![thread], running })
}

/// Starts a thread that is woken when it asked for it, as far as the system can.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)); // without it, it is woken a little later
        run();
    })
}

fn timespec(time: Duration) -> Timespec {
    Timespec::try_from(time).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}
