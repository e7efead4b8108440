//! A stream under TLS, polled as the others are.

use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use rustls::Connection;
use socket2::SockRef;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::client::TlsClient;
use super::error::Broken;
use super::setup::{Keys, Setup, Side};
use crate::conversation::Input;
use crate::event::TlsSession;
use crate::runner::Clock;
use crate::time::Time;

/// How many bytes are read at a time.
const READ_LEN: usize = 16 << 10;

/// How many of a peer's first bytes are kept, to see whether they are TLS at all.
const FIRST_LEN: usize = 64;

/// What carries a stream.
#[derive(Debug)]
pub(in crate::runner) enum Inner {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Bytes as they went over the wire.
#[derive(Debug)]
pub(in crate::runner) struct Wire {
    pub(in crate::runner) at: Time,
    pub(in crate::runner) sent: bool,
    pub(in crate::runner) data: Bytes,
}

/// A stream under TLS.
pub(in crate::runner) struct TlsStream {
    inner: Inner,
    session: Connection,
    setup: Arc<Setup>,
    keys: Arc<Keys>,
    clock: Clock,
    wire: Vec<Wire>,
    /// What came and the session has not taken yet.
    incoming: BytesMut,
    /// What the session wants to send and the socket has not taken yet.
    outgoing: BytesMut,
    first: Vec<u8>,
    closed: bool,
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl TlsStream {
    /// Begins a handshake.
    pub(in crate::runner) fn begin(inner: Inner, setup: &Arc<Setup>, clock: Clock) -> Result<TlsStream, Broken> {
        let peer = match &inner {
            Inner::Tcp(stream) => stream.peer_addr().ok().map(|address| address.ip()),
            Inner::Unix(_) => None,
        };
        let keys = Arc::new(Keys::default());
        let begun = setup.begin(peer, Arc::clone(&keys));
        let session = begun.map_err(|error| Broken::explain(&error, setup.side(), &[]))?;
        Ok(TlsStream {
            inner,
            session,
            setup: Arc::clone(setup),
            keys,
            clock,
            wire: Vec::new(),
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            first: Vec::new(),
            closed: false,
        })
    }

    /// Waits for the end of the handshake.
    pub(in crate::runner) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<TlsSession, Broken>> {
        let side = self.setup.side();
        loop {
            self.flush();
            if !self.outgoing.is_empty() && self.poll_flushed(cx).is_ready() {
                continue;
            }
            if !self.session.is_handshaking() && self.outgoing.is_empty() {
                return Poll::Ready(Ok(self.established()));
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) => return Poll::Ready(Err(Broken::gone("closed the connection", side))),
                Ok(_) => {}
                Err(error) if is_reset(&error) => {
                    return Poll::Ready(Err(Broken::gone("reset the connection", side)));
                }
                Err(error) => return Poll::Ready(Err(Broken::new(format!("the system says: {error}")))),
            }
            if let Err(broken) = self.process() {
                return Poll::Ready(Err(broken));
            }
        }
    }

    fn established(&self) -> TlsSession {
        let server_name = match &self.session {
            Connection::Server(session) => session.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        };
        TlsSession {
            server_name,
            client_certificate: self.setup.side() == Side::Server && self.session.peer_certificates().is_some(),
            ..TlsClient::agreed(&self.session)
        }
    }

    /// What went over the wire since this was last asked.
    pub(in crate::runner) fn take_wire(&mut self) -> Vec<Wire> {
        std::mem::take(&mut self.wire)
    }

    /// Secrets that are new, and whether they are of certificates of the run's own.
    pub(in crate::runner) fn take_keys(&mut self) -> Option<(String, bool)> {
        let lines = self.keys.take();
        (!lines.is_empty()).then_some((lines, self.setup.own))
    }

    /// Writes what is taken now. `None`: nothing yet.
    pub(in crate::runner) fn write(&mut self, data: &[u8]) -> Option<Input> {
        self.flush();
        if !self.outgoing.is_empty() {
            return None;
        }
        let taken = match self.session.writer().write(data) {
            Ok(taken) => taken,
            Err(error) => return Some(Input::Failed(error.to_string())),
        };
        self.flush();
        Some(Input::Written(taken))
    }

    /// Waits until it takes more.
    pub(in crate::runner) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.flush();
        while !self.outgoing.is_empty() {
            ready!(self.poll_flushed(cx));
        }
        Poll::Ready(())
    }

    /// Reads once.
    pub(in crate::runner) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        loop {
            self.flush();
            if !self.outgoing.is_empty() && self.poll_flushed(cx).is_ready() {
                continue;
            }
            let mut buffer = BytesMut::zeroed(READ_LEN);
            match self.session.reader().read(&mut buffer) {
                Ok(0) => return Poll::Ready(Input::Eof),
                Ok(len) => {
                    buffer.truncate(len);
                    return Poll::Ready(Input::Data(buffer.freeze()));
                }
                // Many end without a word of TLS; what was whole before stays whole.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Input::Eof),
                Err(_) => {}
            }
            // What is here already goes first: there was no room for it before.
            if self.incoming.is_empty() {
                match ready!(self.poll_fill(cx)) {
                    Ok(0) => {
                        self.closed = true;
                        // The session learns of the end, so that its reader does.
                        let _ = self.session.read_tls(&mut io::empty());
                    }
                    Ok(_) => {}
                    Err(error) if is_reset(&error) => return Poll::Ready(Input::Reset),
                    Err(error) => return Poll::Ready(Input::Failed(error.to_string())),
                }
            }
            if let Err(Broken { reason, hint }) = self.process() {
                return Poll::Ready(Input::TlsFailed { reason, hint });
            }
        }
    }

    /// Says that no more will be sent, to TLS and to what carries it.
    pub(in crate::runner) fn shutdown(&mut self) {
        self.session.send_close_notify();
        self.flush();
        let _ = match &self.inner {
            Inner::Tcp(stream) => SockRef::from(stream).shutdown(std::net::Shutdown::Write),
            Inner::Unix(stream) => SockRef::from(stream).shutdown(std::net::Shutdown::Write),
        };
    }

    /// Closes in order, as far as that goes without waiting.
    pub(in crate::runner) fn close(mut self) {
        self.session.send_close_notify();
        self.flush();
    }

    /// Closes abruptly.
    pub(in crate::runner) fn reset(self) {
        if let Inner::Tcp(stream) = &self.inner {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Reads from the socket.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = [0; READ_LEN];
        let mut read = ReadBuf::new(&mut buffer);
        match &mut self.inner {
            Inner::Tcp(stream) => ready!(Pin::new(stream).poll_read(cx, &mut read))?,
            Inner::Unix(stream) => ready!(Pin::new(stream).poll_read(cx, &mut read))?,
        }
        let filled = read.filled();
        if !filled.is_empty() {
            self.wire.push(Wire { at: self.clock.now(), sent: false, data: Bytes::copy_from_slice(filled) });
            let room = FIRST_LEN - self.first.len();
            self.first.extend_from_slice(&filled[..filled.len().min(room)]);
            self.incoming.extend_from_slice(filled);
        }
        Poll::Ready(Ok(filled.len()))
    }

    /// Gives the session what has come, as much as it has room for.
    fn process(&mut self) -> Result<(), Broken> {
        while !self.incoming.is_empty() {
            // Where there is no room, what is in there has to be read first.
            let Ok(taken @ 1..) = self.session.read_tls(&mut &self.incoming[..]) else { break };
            self.incoming.advance(taken);
            if let Err(error) = self.session.process_new_packets() {
                // The alert that says why is on its way.
                self.flush();
                return Err(Broken::explain(&error, self.setup.side(), &self.first));
            }
        }
        Ok(())
    }

    /// Sends what the session wants to send, as much as the socket takes.
    fn flush(&mut self) {
        let mut records = Vec::new();
        while self.session.wants_write() {
            if self.session.write_tls(&mut records).is_err() {
                break;
            }
        }
        self.outgoing.extend_from_slice(&records);
        while !self.outgoing.is_empty() {
            let at = self.clock.now();
            let written = match &self.inner {
                Inner::Tcp(stream) => stream.try_write(&self.outgoing),
                Inner::Unix(stream) => stream.try_write(&self.outgoing),
            };
            match written {
                Ok(len) => {
                    let data = self.outgoing.split_to(len).freeze();
                    self.wire.push(Wire { at, sent: true, data });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The next read tells why.
                Err(_) => self.outgoing.clear(),
            }
        }
    }

    /// Waits until the socket takes more, and gives it more.
    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = match &self.inner {
            Inner::Tcp(stream) => stream.poll_write_ready(cx),
            Inner::Unix(stream) => stream.poll_write_ready(cx),
        };
        match ready {
            Poll::Ready(Ok(())) => self.flush(),
            Poll::Ready(Err(_)) => self.outgoing.clear(),
            Poll::Pending => return Poll::Pending,
        }
        // Where it was ready and took nothing, it is not ready now.
        if self.outgoing.is_empty() { Poll::Ready(()) } else { self.poll_again(cx) }
    }

    fn poll_again(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = match &self.inner {
            Inner::Tcp(stream) => stream.poll_write_ready(cx),
            Inner::Unix(stream) => stream.poll_write_ready(cx),
        };
        ready.map(|_| ())
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
    )
}
