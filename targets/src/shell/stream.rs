//! Stream sockets: one task accepts, and each connection has one.
//!
//! A connection that the server makes by itself is served like one that it has accepted.
//!
//! A connection's task reads into a buffer that all connections of the thread share, and lends its service
//! another to write to, so that a quiet connection costs its task and nothing more.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Context, Note, ServerConfig, is_peers_error};
use crate::bell::Bell;
use crate::connection::{Connection, Ending};
use crate::service::{Dial, Peer, Service, Transport};

/// How many connections the system holds for a server that has not accepted them yet.
const BACKLOG: i32 = 1_024;
/// How long a server waits after a failed accept: what fails for want of descriptors fails again at once.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How many connections a server makes by itself, over all its time.
const DIALS_MAX: u64 = 10_000;
/// How long a server waits for a connection that it makes.
const DIAL_WITHIN: Duration = Duration::from_secs(5);
/// How long a client may take for its handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How much one read takes at most.
pub(super) const READ_LEN_MAX: usize = 64 << 10;
/// The largest buffer that waits to be lent.
pub(super) const SPARE_LEN_MAX: usize = 1 << 20;
/// The idle time is counted in so many parts, so that a byte costs no look at the clock.
pub(super) const IDLE_PARTS: u32 = 4;

/// A socket that accepts connections.
pub(super) trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// One that is not ready yet.
    type Raw: Send + 'static;
    /// What carries it.
    const TRANSPORT: Transport;
    /// Accepts one.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Raw, Option<SocketAddr>)>> + Send;
    /// Where it listens, if that is a TCP port.
    fn local(&self) -> Option<SocketAddr>;
    /// Makes it ready: whatever that takes, others do not wait for it.
    fn open(raw: Self::Raw) -> impl Future<Output = io::Result<Self::Stream>> + Send;
    /// Makes the stream's end a RST.
    fn reset(stream: &Self::Stream) -> io::Result<()>;
}

/// A TCP listener.
pub(super) struct TcpSocket(TcpListener);

impl TcpSocket {
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        refuse(&self.0);
    }
}

impl Listener for TcpSocket {
    type Stream = TcpStream;
    type Raw = TcpStream;
    const TRANSPORT: Transport = Transport::Tcp;

    async fn accept(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (stream, address) = self.0.accept().await?;
        // Answers go out as they are written. It fails where the peer is gone already, which the first read says too.
        let _ = stream.set_nodelay(true);
        Ok((stream, Some(address)))
    }

    fn local(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }

    async fn open(raw: TcpStream) -> io::Result<TcpStream> {
        Ok(raw)
    }

    fn reset(stream: &TcpStream) -> io::Result<()> {
        stream.set_zero_linger()
    }
}

/// A TCP listener whose connections begin with TLS.
pub(super) struct TlsListener {
    listener: TcpSocket,
    acceptor: TlsAcceptor,
}

impl TlsListener {
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Listener for TlsListener {
    type Stream = TlsStream<TcpStream>;
    type Raw = (TcpStream, TlsAcceptor);
    const TRANSPORT: Transport = Transport::Tcp;

    async fn accept(&self) -> io::Result<(Self::Raw, Option<SocketAddr>)> {
        let (stream, address) = Listener::accept(&self.listener).await?;
        Ok(((stream, self.acceptor.clone()), address))
    }

    fn local(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }

    async fn open((stream, acceptor): Self::Raw) -> io::Result<Self::Stream> {
        acceptor.accept(stream).await
    }

    fn reset(stream: &Self::Stream) -> io::Result<()> {
        stream.get_ref().0.set_zero_linger()
    }
}

/// A Unix listener, whose file goes with it.
pub(super) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        refuse(&self.listener);
        let _ = std::fs::remove_file(&self.path); // somebody else may have removed it
    }
}

impl Listener for UnixSocket {
    type Stream = UnixStream;
    type Raw = UnixStream;
    const TRANSPORT: Transport = Transport::Unix;

    async fn accept(&self) -> io::Result<(UnixStream, Option<SocketAddr>)> {
        Ok((self.listener.accept().await?.0, None))
    }

    fn local(&self) -> Option<SocketAddr> {
        None
    }

    async fn open(raw: UnixStream) -> io::Result<UnixStream> {
        Ok(raw)
    }

    fn reset(_: &UnixStream) -> io::Result<()> {
        Ok(()) // there is none; closed with unread input, the peer sees the same
    }
}

/// Listens on a TCP port.
pub(super) fn bind_tcp(address: SocketAddr) -> io::Result<TcpSocket> {
    Ok(TcpSocket(TcpListener::from_std(listen_tcp(address)?)?))
}

/// Listens on a TCP port, without a runtime.
pub(super) fn listen_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?; // a server that ended a moment ago does not keep its port
    Ok(listening(socket, &address.into())?.into())
}

/// Listens on a TCP port for connections with TLS.
pub(super) fn bind_tls(address: SocketAddr, config: Arc<ServerConfig>) -> io::Result<TlsListener> {
    Ok(TlsListener { listener: bind_tcp(address)?, acceptor: TlsAcceptor::from(config) })
}

/// Listens on a Unix socket.
pub(super) fn bind_unix(path: &Path) -> io::Result<UnixSocket> {
    Ok(UnixSocket { listener: UnixListener::from_std(listen_unix(path)?)?, path: path.to_owned() })
}

/// Listens on a Unix socket, without a runtime.
pub(super) fn listen_unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    Ok(listening(socket, &SockAddr::unix(path)?)?.into())
}

fn listening(socket: Socket, address: &SockAddr) -> io::Result<Socket> {
    socket.bind(address)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Stops a listener, whoever else holds it: a program that this process has just started has all its descriptors for a
/// moment, and a socket that is only closed goes on listening for as long.
pub(super) fn refuse(listener: &impl AsFd) {
    let _ = SockRef::from(listener).shutdown(Shutdown::Both); // fails where it does not listen any more
}

/// Accepts and serves connections until it is stopped or the server has had enough.
pub(super) async fn run<L: Listener>(listener: L, context: Arc<Context>) {
    let mut connections = JoinSet::new();
    let quota = context.server.connections_max().unwrap_or(u64::MAX);
    let connections_max = context.limits.connections_max;
    let bell = Bell::default();
    context.server.listens(listener.local(), bell.clone());
    let (mut number, mut dials) = (0, 0);
    while number < quota {
        tokio::select! {
            biased;
            () = context.stop.wait() => break,
            Some(joined) = connections.join_next() => note_panic(&context, &joined),
            to_dial = next_dial(&context, &bell), if dials < DIALS_MAX && connections.len() < connections_max => {
                connections.spawn(dial(to_dial, dials, Arc::clone(&context)));
                dials += 1;
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let peer = Peer::new(number, L::TRANSPORT, address);
                    if connections.len() >= connections_max {
                        (context.log)(&Note::OverLimit { peer, connections_max });
                    } else {
                        connections.spawn(serve::<L>(stream, peer, Arc::clone(&context)));
                        number += 1;
                    }
                }
                Err(error) if is_peers_error(&error) => (),
                Err(error) => {
                    (context.log)(&Note::AcceptFailed { error });
                    let _ = timeout(ACCEPT_PAUSE, context.stop.wait()).await;
                }
            },
        }
    }
    drop(listener);
    let stopped = async {
        context.stop.wait().await;
        sleep(context.limits.grace).await;
    };
    let mut stopped = pin!(stopped);
    loop {
        tokio::select! {
            biased;
            joined = connections.join_next() => match joined {
                Some(joined) => note_panic(&context, &joined),
                None => return,
            },
            () = &mut stopped => break,
        }
    }
    (context.log)(&Note::Cut { connections: connections.len() });
    connections.shutdown().await;
}

fn note_panic(context: &Context, joined: &Result<(), JoinError>) {
    if joined.as_ref().is_err_and(JoinError::is_panic) {
        (context.log)(&Note::Panicked);
    }
}

/// Why a connection is over.
enum Over {
    /// Its service ended it.
    Ended(Ending),
    /// It was silent for too long.
    Idle,
    /// Nothing happens for so long.
    Pause(Duration),
    /// The server was stopped, and nothing was pending.
    Stopped,
}

/// The next connection that the server makes by itself, as soon as it wants one.
async fn next_dial(context: &Context, bell: &Bell) -> Dial {
    poll_fn(|task| {
        bell.attach(task.waker());
        let _ = bell.take(); // what it was rung for is looked for now
        context.server.dial().map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Connects where the server wants to, and serves that connection.
async fn dial(Dial { to, after, service }: Dial, number: u64, context: Arc<Context>) {
    let peer = Peer::new(number, Transport::Tcp, Some(to));
    let connect = async {
        sleep(after).await;
        if !to.ip().is_loopback() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a server connects to this machine only"));
        }
        let stream = timeout(DIAL_WITHIN, TcpStream::connect(to)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let connected = tokio::select! {
        biased;
        () = context.stop.wait() => return,
        connected = connect => connected,
    };
    match connected {
        Ok(stream) => serve_stream::<TcpSocket>(stream, peer, service, &context).await,
        Err(error) => (context.log)(&Note::Failed { peer, error }),
    }
}

async fn serve<L: Listener>(raw: L::Raw, peer: Peer, context: Arc<Context>) {
    let opened = timeout(HANDSHAKE_MAX, L::open(raw)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match opened {
        Ok(stream) => serve_stream::<L>(stream, peer, context.server.accept(&peer), &context).await,
        Err(error) => (context.log)(&Note::Failed { peer, error }),
    }
}

async fn serve_stream<L: Listener>(mut stream: L::Stream, peer: Peer, service: Box<dyn Service>, context: &Context) {
    let mut connection = Connection::serve(service, context.limits.output_len_max);
    let mut alarm = Alarm::default();
    let over = loop {
        match drive(&mut stream, &mut connection, &mut alarm, context).await {
            Ok(Over::Pause(pause)) => {
                let _ = timeout(pause, context.stop.wait()).await;
            }
            over => break over,
        }
    };
    if let Some(end) = connection.take_process_end() {
        (context.log)(&Note::EndsProcess { end });
    }
    let ended = match over {
        Ok(Over::Ended(Ending::Close)) => {
            // A peer that has sent its last byte already makes this short.
            let _ = timeout(context.limits.linger, linger(&mut stream)).await;
            Ok(())
        }
        Ok(Over::Ended(Ending::Reset)) => L::reset(&stream),
        Ok(Over::Idle) => {
            (context.log)(&Note::Idle { peer });
            Ok(())
        }
        Ok(Over::Pause(_) | Over::Stopped) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        (context.log)(&Note::Failed { peer, error });
    }
}

/// Closes our direction and drops what still comes, until the peer closes too.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    while poll_fn(|task| SCRATCH.with_borrow_mut(|scratch| poll_read(stream, task, &mut scratch.input))).await? > 0 {}
    Ok(())
}

/// Moves bytes between a socket and its connection until that is over.
async fn drive<S>(stream: &mut S, connection: &mut Connection, alarm: &mut Alarm, context: &Context) -> io::Result<Over>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let part = context.limits.idle / IDLE_PARTS;
    let watches = !context.limits.idle.is_zero();
    let (mut tick, mut stop) = (pin!(sleep(part)), pin!(context.stop.notify.notified()));
    // Both wake this task once they were polled. After that it is enough to look at their flags, which costs a
    // message next to nothing.
    let mut watching = false;
    let (mut active, mut quiet_parts) = (false, 0);
    poll_fn(|task| {
        if !watching {
            watching = true;
            let _ = stop.as_mut().poll(task);
            let _ = watches && tick.as_mut().poll(task).is_pending();
            connection.attach(task.waker());
        }
        let exchanged = SCRATCH.with_borrow_mut(|scratch| {
            connection.borrow_buffer(&mut scratch.output);
            let exchanged = poll_exchange(stream, connection, alarm, &mut scratch.input, &mut active, task);
            connection.return_buffer(&mut scratch.output, SPARE_LEN_MAX);
            exchanged
        });
        if let Poll::Ready(ending) = exchanged {
            return Poll::Ready(ending);
        }
        if context.stop.is_set() {
            connection.close();
            if connection.output().is_empty() {
                return Poll::Ready(Ok(Over::Stopped));
            }
        }
        while watches && tick.is_elapsed() {
            quiet_parts = if std::mem::take(&mut active) { 0 } else { quiet_parts + 1 };
            if quiet_parts >= IDLE_PARTS && (connection.is_ending() || !alarm.is_set()) {
                return Poll::Ready(Ok(Over::Idle));
            }
            tick.as_mut().reset(Instant::now() + part);
            let _ = tick.as_mut().poll(task);
        }
        Poll::Pending
    })
    .await
}

/// The time that a service waits for, if it does.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Has it go off after `time`, whatever was set before.
    fn set(&mut self, time: Duration) {
        match (Instant::now().checked_add(time), &mut self.0) {
            (Some(at), Some(sleep)) => sleep.as_mut().reset(at),
            (Some(_), none) => *none = Some(Box::pin(sleep(time))),
            (None, _) => self.0 = None, // `Duration::MAX`
        }
    }

    fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it went off; it does so once. If not, `task` is woken when it does.
    fn poll(&mut self, task: &mut Task<'_>) -> bool {
        let off = self.0.as_mut().is_some_and(|sleep| sleep.as_mut().poll(task).is_ready());
        if off {
            self.0 = None;
        }
        off
    }
}

/// What the connections of one thread share, one at a time.
struct Scratch {
    input: Box<[u8]>,
    output: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { input: vec![0; READ_LEN_MAX].into_boxed_slice(), output: Vec::new() });
}

/// Writes and reads as far as the socket goes along. Ready when the connection has ended, is broken, or pauses.
fn poll_exchange<S>(
    stream: &mut S,
    connection: &mut Connection,
    alarm: &mut Alarm,
    buffer: &mut [u8],
    active: &mut bool,
    task: &mut Task<'_>,
) -> Poll<io::Result<Over>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    connection.answer_bell();
    loop {
        if let Some(pause) = connection.take_pause() {
            return Poll::Ready(Ok(Over::Pause(pause)));
        }
        while !connection.output().is_empty() {
            match Pin::new(&mut *stream).poll_write(task, connection.output())? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(len) => connection.written(len),
                Poll::Pending => break,
            }
            *active = true;
        }
        // What TLS has put aside goes out, too.
        if let Poll::Ready(flushed) = Pin::new(&mut *stream).poll_flush(task) {
            flushed?;
        }
        if let Some(time) = connection.take_alarm() {
            alarm.set(time);
        }
        if alarm.poll(task) {
            connection.time_out();
            continue;
        }
        if let Some(ending) = connection.ending() {
            return Poll::Ready(Ok(Over::Ended(ending)));
        }
        if !connection.wants_input() {
            return Poll::Pending; // the write above wakes us
        }
        match ready!(poll_read(stream, task, buffer))? {
            0 => connection.end(),
            len => connection.receive(&buffer[..len]),
        }
        *active = true;
    }
}

/// Reads once and says how much.
///
/// Through `AsyncRead` rather than `try_read`: a read that does not fill the buffer has emptied the socket, and the
/// runtime then saves the next read.
fn poll_read<S: AsyncRead + Unpin>(stream: &mut S, task: &mut Task<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(task, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

#[cfg(test)]
mod tests;
