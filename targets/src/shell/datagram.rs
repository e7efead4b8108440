//! Datagram sockets: each datagram is answered to its sender, by a service of its own.
//!
//! A table of peers would need a limit and a time-out, and a reference server with no state between datagrams
//! needs neither. A sender without an address is not answered.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net as system;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::{Instant, sleep_until};

use super::later::Later;
use super::stream::ACCEPT_PAUSE;
use super::{Context, Note, is_peers_error};
use crate::connection::answer_into;
use crate::service::{Peer, Reply, Transport};

/// No datagram is longer.
pub(super) const DATAGRAM_LEN_MAX: usize = 1 << 16;

/// A bound datagram socket.
pub(super) trait Datagrams: Send + Sync + 'static {
    /// Where datagrams come from.
    type Address: Clone + Send + Sync;
    /// Over which transport, and from where as far as it is known.
    fn peer(address: &Self::Address) -> (Transport, Option<SocketAddr>);
    /// Takes a datagram.
    fn receive(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, Self::Address)>> + Send;
    /// Sends a datagram, or nothing where there is nobody to send it to.
    fn send(&self, datagram: &[u8], to: &Self::Address) -> impl Future<Output = io::Result<()>> + Send;
}

impl Datagrams for UdpSocket {
    type Address = SocketAddr;

    fn peer(address: &SocketAddr) -> (Transport, Option<SocketAddr>) {
        (Transport::Udp, Some(*address))
    }

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buffer).await
    }

    async fn send(&self, datagram: &[u8], to: &SocketAddr) -> io::Result<()> {
        self.send_to(datagram, to).await.map(drop) // waits for the system's own buffer, never for a peer
    }
}

/// A Unix datagram socket, whose file goes with it.
pub(super) struct UnixSocket {
    reads: UnixDatagram,
    /// The same socket, written without asking the runtime: it is "not writable" when one peer is slow, and to
    /// wait for that peer would stop the answers to all others. So a peer that does not read loses answers.
    writes: system::UnixDatagram,
    path: PathBuf,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // somebody else may have removed it
    }
}

impl Datagrams for UnixSocket {
    type Address = system::SocketAddr;

    fn peer(_: &system::SocketAddr) -> (Transport, Option<SocketAddr>) {
        (Transport::Unixgram, None)
    }

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, system::SocketAddr)> {
        let (len, from) = self.reads.recv_from(buffer).await?;
        Ok((len, from.into()))
    }

    async fn send(&self, datagram: &[u8], to: &system::SocketAddr) -> io::Result<()> {
        if to.is_unnamed() {
            return Ok(());
        }
        self.writes.send_to_addr(datagram, to).map(drop)
    }
}

/// Binds a UDP port.
pub(super) fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Binds a Unix datagram socket.
pub(super) fn bind_unix(path: &Path) -> io::Result<UnixSocket> {
    let writes = system::UnixDatagram::bind(path)?;
    writes.set_nonblocking(true)?;
    let reads = UnixDatagram::from_std(writes.try_clone()?)?;
    Ok(UnixSocket { reads, writes, path: path.to_owned() })
}

/// Answers datagrams until it is stopped.
pub(super) async fn run<D: Datagrams>(socket: D, context: Arc<Context>) {
    tokio::select! {
        () = context.stop.wait() => (),
        () = answer_all(&socket, &context) => (),
    }
}

async fn answer_all<D: Datagrams>(socket: &D, context: &Context) {
    let mut buffer = vec![0; DATAGRAM_LEN_MAX];
    let mut reply = Reply::new(usize::MAX);
    let mut later = Later::new();
    for number in 0.. {
        let (len, from) = loop {
            let received = match later.due() {
                None => socket.receive(&mut buffer).await,
                Some(due) => tokio::select! {
                    biased;
                    () = sleep_until(due.into()) => {
                        while let Some(answer) = later.take_due(Instant::now().into_std()) {
                            send(socket, &answer.bytes, answer.copies, &answer.to, answer.peer, context).await;
                        }
                        continue;
                    }
                    received = socket.receive(&mut buffer) => received,
                },
            };
            match received {
                Ok(received) => break received,
                Err(error) if is_peers_error(&error) => (),
                Err(error) => {
                    (context.log)(&Note::AcceptFailed { error });
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        let (transport, address) = D::peer(&from);
        let peer = Peer::new(number, transport, address);
        let answered = answer_into(&*context.server, &peer, &buffer[..len], &mut reply);
        if let Some(end) = reply.process_end.take() {
            (context.log)(&Note::EndsProcess { end });
        }
        if let Some(pause) = reply.pause {
            tokio::time::sleep(pause).await;
        }
        let overtaken = later.take_behind();
        let put = if answered { later.put(&reply, peer, from.clone(), || Instant::now().into_std()) } else { None };
        match put {
            Some(Err(error)) => (context.log)(&Note::Unanswered { peer, len: reply.output.len(), error }),
            None if answered => send(socket, &reply.output, reply.copies, &from, peer, context).await,
            Some(Ok(())) | None => {}
        }
        if let Some(answer) = overtaken {
            send(socket, &answer.bytes, answer.copies, &answer.to, answer.peer, context).await;
        }
    }
}

async fn send<D: Datagrams>(socket: &D, bytes: &[u8], copies: usize, to: &D::Address, peer: Peer, context: &Context) {
    for _ in 0..copies {
        if let Err(error) = socket.send(bytes, to).await {
            (context.log)(&Note::Unanswered { peer, len: bytes.len(), error });
        }
    }
}
