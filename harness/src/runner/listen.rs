//! Sockets that listen: where the clients of our own servers arrive.
//!
//! A listener for datagrams has one socket for all its peers. Each peer is a connection of its own to the conversation,
//! known by the address that it sends from.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, UdpSocket, UnixListener};

use super::process::Address;
use super::socket::Socket;
use crate::event::Endpoint;

/// How many connections the system keeps for us until they are accepted.
const BACKLOG: u32 = 1024;

/// The longest datagram.
const DATAGRAM_LEN_MAX: usize = 64 << 10;

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Udp(Box<Peers>),
    Unix(UnixListener, Unlink),
}

/// The socket of a listener for datagrams, and who has been heard on it.
#[derive(Debug)]
pub(super) struct Peers {
    socket: Arc<UdpSocket>,
    known: HashMap<SocketAddr, u32>,
    buffer: Box<[u8]>,
}

/// Removes a socket's file with its listener.
#[derive(Debug)]
struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        // Where it is gone already, there is nothing to do.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What came to a listener.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A connection.
    Stream { socket: Socket, local: Endpoint, peer: Endpoint },
    /// A datagram, and the connection that it belongs to, if its sender is known.
    Datagram { from: SocketAddr, connection: Option<u32>, data: Bytes },
}

impl Drop for Listener {
    /// Refuses from here on. A program that the run has just started has all of its descriptors for a moment, and a socket
    /// that is only closed goes on listening for as long.
    fn drop(&mut self) {
        let _ = match &self.kind {
            Kind::Tcp(listener) => SockRef::from(listener).shutdown(Shutdown::Both),
            Kind::Unix(listener, _) => SockRef::from(listener).shutdown(Shutdown::Both),
            Kind::Udp(_) => Ok(()),
        };
    }
}

impl Listener {
    /// Listens at `address`; port 0 is a free one.
    pub fn bind(address: &Address) -> io::Result<Listener> {
        let (address, kind) = match address {
            Address::Tcp(wanted) => {
                let socket =
                    if wanted.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
                socket.set_reuseaddr(true)?;
                socket.bind(*wanted)?;
                let listener = socket.listen(BACKLOG)?;
                (Address::Tcp(listener.local_addr()?), Kind::Tcp(listener))
            }
            Address::Udp(wanted) => {
                let socket = std::net::UdpSocket::bind(wanted)?;
                socket.set_nonblocking(true)?;
                let socket = UdpSocket::from_std(socket)?;
                let address = Address::Udp(socket.local_addr()?);
                let buffer = vec![0; DATAGRAM_LEN_MAX].into_boxed_slice();
                (address, Kind::Udp(Box::new(Peers { socket: Arc::new(socket), known: HashMap::new(), buffer })))
            }
            Address::Unix(path) => {
                let listener = UnixListener::bind(path)?;
                (address.clone(), Kind::Unix(listener, Unlink(path.clone())))
            }
            Address::Unixgram(_) => {
                let message = "a listener for Unix datagrams is not supported: `unix://` or `udp://` may do";
                return Err(io::Error::new(io::ErrorKind::Unsupported, message));
            }
        };
        Ok(Listener { address, kind })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The socket that all datagrams leave by.
    pub(super) fn datagrams(&self) -> Option<&Arc<UdpSocket>> {
        match &self.kind {
            Kind::Udp(peers) => Some(&peers.socket),
            _ => None,
        }
    }

    /// From here on datagrams from there belong to this connection; with `None` they are somebody new's.
    pub(super) fn know(&mut self, from: SocketAddr, connection: Option<u32>) {
        if let Kind::Udp(peers) = &mut self.kind {
            match connection {
                Some(connection) => peers.known.insert(from, connection),
                None => peers.known.remove(&from),
            };
        }
    }

    /// Waits for whoever comes next.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrival>> {
        match &mut self.kind {
            Kind::Tcp(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                // Each write is a segment of its own: what a step cuts stays cut.
                stream.set_nodelay(true)?;
                let local = stream.local_addr()?;
                let (local, peer) = (Endpoint::Ip(local), Endpoint::Ip(peer));
                Poll::Ready(Ok(Arrival::Stream { socket: Socket::Tcp(stream), local, peer }))
            }
            Kind::Unix(listener, path) => {
                let (stream, _) = ready!(listener.poll_accept(cx))?;
                let local = Endpoint::Path(path.0.display().to_string());
                let peer = Endpoint::Path(String::new());
                Poll::Ready(Ok(Arrival::Stream { socket: Socket::Unix(stream), local, peer }))
            }
            Kind::Udp(peers) => {
                let mut buffer = ReadBuf::new(&mut peers.buffer);
                let from = ready!(peers.socket.poll_recv_from(cx, &mut buffer))?;
                let data = Bytes::copy_from_slice(buffer.filled());
                let connection = peers.known.get(&from).copied();
                Poll::Ready(Ok(Arrival::Datagram { from, connection, data }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_that_is_gone_refuses_even_where_a_child_still_holds_it() {
        let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let (Kind::Tcp(socket), Address::Tcp(address)) = (&listener.kind, &listener.address) else { unreachable!() };
        let (held, address) = (SockRef::from(socket).try_clone().unwrap(), *address);
        drop(listener);
        let dialled = tokio::net::TcpStream::connect(address).await;
        assert_eq!(dialled.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        drop(held);
    }
}
