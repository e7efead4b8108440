//! How a relay for streams connects on.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Type};
use tokio::net::TcpStream;

use super::super::player::{Dial, Origin};
use super::super::process::Address;
use super::super::socket::{self, NotOpened, Opened, Socket, is_refusal};
use crate::event::Endpoint;

/// The other side.
pub(super) struct Dialled {
    pub(super) socket: Socket,
    pub(super) to: Endpoint,
    /// It has reset the connection already. What it sent before can still be read, and then comes an end without an error.
    pub(super) is_lost: bool,
}

/// Connects on.
pub(super) async fn dial(address: &Address) -> Result<Dialled, NotOpened> {
    let Address::Tcp(peer) = address else {
        let Opened { socket, peer: to, .. } =
            socket::open(&Dial::to(address.clone()), None, &Origin::default()).await?;
        return Ok(Dialled { socket, to, is_lost: false });
    };
    let to = address.endpoint();
    connect(*peer)
        .await
        .map(|(stream, is_lost)| Dialled { socket: Socket::Tcp(stream), to: to.clone(), is_lost })
        .map_err(|error| {
            let refused = is_refusal(&error);
            let reason = if refused { format!("nobody listens at {address}") } else { format!("{address}: {error}") };
            NotOpened { peer: to, refused, reason }
        })
}

/// A server that speaks first and resets can have done both before anybody here looks: that is a connection all the same.
/// An ordinary connect takes its error for one of its own, and what was sent is lost.
async fn connect(peer: SocketAddr) -> io::Result<(TcpStream, bool)> {
    let socket = socket2::Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&peer.into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => return Err(error),
        _ => {}
    }
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    let is_lost = match stream.take_error()? {
        None => false,
        Some(error) if error.kind() == io::ErrorKind::ConnectionReset => true,
        Some(error) => return Err(error),
    };
    // Each write is a segment of its own: what a fault cuts stays cut.
    stream.set_nodelay(true)?;
    Ok((stream, is_lost))
}
