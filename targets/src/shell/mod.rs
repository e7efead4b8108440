//! Servers on sockets: the only place here that knows tokio, time and the system.
//!
//! [`serve`] binds and returns at once; the server runs as tasks of the caller's runtime until its [`Handle`]
//! stops it or is dropped. Stream sockets are in `stream`, datagram sockets in `datagram`. [`serve_raw`] runs a server
//! on threads of its own, as near to what the system can do as it gets; it has no TLS, and is in `raw`. Answers to
//! datagrams that are sent later than at once wait in `later` in both.

#![expect(clippy::disallowed_methods, reason = "this is the shell")]

mod datagram;
mod later;
mod limits;
mod note;
mod raw;
mod stream;

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::address::Address;
use crate::service::{Server, Transport};
use crate::settings::SettingError;
use crate::{TARGETS, Target};

pub use rustls::ServerConfig;

pub use limits::{LIMITS, Limits};
pub use note::{Log, Note};

/// Starts `target` at `address`, with the settings in `pairs` changed and the system's clock.
///
/// To be called inside a tokio runtime with I/O and time.
pub fn serve<S: AsRef<str>>(
    target: &Target,
    address: &Address,
    pairs: &[(S, S)],
    limits: Limits,
    log: Log,
) -> Result<Handle, ServeError> {
    serve_tls(target, address, pairs, limits, log, None)
}

/// [`serve`], with what `tls://` addresses need: certificates, their key, and whose certificates clients have to show.
pub fn serve_tls<S: AsRef<str>>(
    target: &Target,
    address: &Address,
    pairs: &[(S, S)],
    limits: Limits,
    log: Log,
    tls: Option<Arc<ServerConfig>>,
) -> Result<Handle, ServeError> {
    let server = make(target, address, pairs, &limits)?;
    let failed = |error| ServeError::Bind { address: address.clone(), error };
    match (address, tls) {
        (Address::Tls(socket), Some(config)) => {
            let context = Arc::new(Context { server, limits, log, stop: Stop::default() });
            let listener = stream::bind_tls(*socket, config).map_err(failed)?;
            let address = Address::Tls(listener.local_addr().map_err(failed)?);
            let task = tokio::spawn(stream::run(listener, Arc::clone(&context)));
            Ok(Handle { address, running: Running::Tasks { context, task } })
        }
        _ => bind(server, address, limits, log).map_err(failed),
    }
}

/// Starts any server at `address`.
///
/// To be called inside a tokio runtime with I/O and time.
pub fn bind(server: Arc<dyn Server>, address: &Address, limits: Limits, log: Log) -> io::Result<Handle> {
    let context = Arc::new(Context { server, limits, log, stop: Stop::default() });
    let (address, task) = match address {
        Address::Tcp(address) => {
            let listener = stream::bind_tcp(*address)?;
            (Address::Tcp(listener.local_addr()?), tokio::spawn(stream::run(listener, Arc::clone(&context))))
        }
        Address::Tls(_) => {
            let why = "a server with TLS needs certificates";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Address::Udp(address) => {
            let socket = datagram::bind_udp(*address)?;
            (Address::Udp(socket.local_addr()?), tokio::spawn(datagram::run(socket, Arc::clone(&context))))
        }
        Address::Unix(path) => {
            let listener = stream::bind_unix(path)?;
            (Address::Unix(path.clone()), tokio::spawn(stream::run(listener, Arc::clone(&context))))
        }
        Address::Unixgram(path) => {
            let socket = datagram::bind_unix(path)?;
            (Address::Unixgram(path.clone()), tokio::spawn(datagram::run(socket, Arc::clone(&context))))
        }
    };
    Ok(Handle { address, running: Running::Tasks { context, task } })
}

/// Starts `target` at `address` on so many threads of its own, which keep to plain system calls: what a server is
/// measured with. Of datagrams one thread takes care, whatever `threads` says.
///
/// An address with TLS is refused. To be called from anywhere, but for a server that connects to others, which needs a runtime;
/// [`Handle::ended`] is to be awaited.
pub fn serve_raw<S: AsRef<str>>(
    target: &Target,
    address: &Address,
    pairs: &[(S, S)],
    limits: Limits,
    log: Log,
    threads: NonZeroUsize,
) -> Result<Handle, ServeError> {
    let server = make(target, address, pairs, &limits)?;
    bind_raw(server, address, limits, log, threads)
        .map_err(|error| ServeError::Bind { address: address.clone(), error })
}

/// [`serve_raw`] with any server.
pub fn bind_raw(
    server: Arc<dyn Server>,
    address: &Address,
    limits: Limits,
    log: Log,
    threads: NonZeroUsize,
) -> io::Result<Handle> {
    if server.dials() {
        return bind(server, address, limits, log);
    }
    let (address, threads) = raw::start(server, address, limits, log, threads)?;
    Ok(Handle { address, running: Running::Threads(threads) })
}

fn make<S: AsRef<str>>(
    target: &Target,
    address: &Address,
    pairs: &[(S, S)],
    limits: &Limits,
) -> Result<Arc<dyn Server>, ServeError> {
    if !target.transports.contains(&address.transport()) {
        return Err(ServeError::Transport { target: target.name, transport: address.transport() });
    }
    target.make(pairs, limits, jiff::Timestamp::now).map_err(ServeError::Setting)
}

/// A server that runs. Dropped, it ends at once: its port is free and its connections are closed.
#[must_use = "a server ends with its handle"]
pub struct Handle {
    address: Address,
    running: Running,
}

/// What runs it.
enum Running {
    Tasks { context: Arc<Context>, task: JoinHandle<()> },
    Threads(raw::Threads),
}

impl Handle {
    /// Where it listens, with the port that the system chose.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Ends it in good order: no new connections, no more input, and pending output for `grace` at most.
    pub fn stop(&self) {
        match &self.running {
            Running::Tasks { context, .. } => context.stop.set(),
            Running::Threads(threads) => threads.stop(),
        }
    }

    /// Waits until it has ended, after a stop or on its own. Nothing is lost if the wait is given up.
    pub async fn ended(&mut self) {
        match &mut self.running {
            Running::Tasks { task, .. } if task.is_finished() => {}
            Running::Tasks { task, .. } => {
                // It is not cancelled while its handle is here, and what panics is a connection's task, not this.
                let _ = task.await;
            }
            Running::Threads(threads) => threads.ended().await,
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Running::Tasks { task, .. } = &self.running {
            task.abort();
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What the tasks of one server share.
struct Context {
    server: Arc<dyn Server>,
    limits: Limits,
    log: Log,
    stop: Stop,
}

/// A signal that is given once and stays.
#[derive(Default)]
struct Stop {
    given: AtomicBool,
    notify: Notify,
}

impl Stop {
    fn set(&self) {
        self.given.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    fn is_set(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }

    async fn wait(&self) {
        let notified = self.notify.notified(); // from here on it hears, so that nothing is missed in between
        if !self.is_set() {
            notified.await;
        }
    }
}

/// Whether an accept or a receive failed because of the one peer that it was about, so that the next may be tried
/// at once. Anything else (no descriptors, no memory) would fail again and again.
fn is_peers_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Why a target was not started.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be bound.
    Bind {
        /// The address.
        address: Address,
        /// Why.
        error: io::Error,
    },
    /// A setting is wrong.
    Setting(SettingError),
    /// The target does not speak over this transport.
    Transport {
        /// The target's name.
        target: &'static str,
        /// The transport.
        transport: Transport,
    },
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Bind { address, error } => write!(f, "cannot listen on `{address}`: {error}"),
            ServeError::Setting(error) => error.fmt(f),
            ServeError::Transport { target, transport } => {
                let transports = TARGETS.iter().find(|row| row.name == *target).map_or(&[][..], |row| row.transports);
                let transports: Vec<_> = transports.iter().map(ToString::to_string).collect();
                write!(f, "`{target}`: expected one of `{}`, got `{transport}`", transports.join("`, `"))
            }
        }
    }
}

impl std::error::Error for ServeError {}
