//! Sockets as the player polls them: opening, reading, writing, ending.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram as StdUnixDatagram};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};

use super::player::{Dial, Origin};
use super::process::Address;
use super::tls::TlsStream;
use crate::conversation::Input;
use crate::event::{Endpoint, Transport};
use crate::url::Url;

/// How many bytes one read takes at most.
const READ_LEN_MAX: usize = 64 << 10;

/// A block with less room left is not read into.
const READ_LEN_MIN: usize = 8 << 10;

/// A socket that is open.
#[derive(Debug)]
pub(super) enum Socket {
    /// The peer has reset it already. What it sent before can still be read.
    Lost(TcpStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream>),
    Udp(Udp),
    Unix(UnixStream),
    Unixgram(UnixDatagram),
}

/// A UDP socket, and the wait for an error on it: nobody there is an error that comes without data to read, and tokio
/// wakes no reader for it.
pub(super) struct Udp {
    socket: Arc<UdpSocket>,
    error: Pin<Box<dyn Future<Output = ()>>>,
    /// Where it sends to until somebody has answered, whoever that is.
    follow: Option<SocketAddr>,
    /// Who has answered.
    moved: Option<SocketAddr>,
}

impl Udp {
    fn new(socket: UdpSocket, follow: Option<SocketAddr>) -> Udp {
        let socket = Arc::new(socket);
        Udp { error: Udp::next_error(&socket), socket, follow, moved: None }
    }

    fn try_send(&self, data: &[u8]) -> io::Result<usize> {
        match self.follow {
            Some(peer) => self.socket.try_send_to(data, peer),
            None => self.socket.try_send(data),
        }
    }

    /// Takes the sender of the first answer for the peer.
    fn poll_first(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let from = ready!(self.socket.poll_recv_from(cx, buffer))?;
        SockRef::from(&*self.socket).connect(&from.into())?;
        if self.follow.take() != Some(from) {
            self.moved = Some(from);
        }
        Poll::Ready(Ok(()))
    }

    fn next_error(socket: &Arc<UdpSocket>) -> Pin<Box<dyn Future<Output = ()>>> {
        let socket = Arc::clone(socket);
        Box::pin(async move {
            // What it was is asked of the socket itself.
            let _ = socket.ready(Interest::ERROR).await;
        })
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.follow.is_some() {
            return self.poll_first(cx, buffer);
        }
        loop {
            if let Poll::Ready(read) = self.socket.poll_recv(cx, buffer) {
                return Poll::Ready(read);
            }
            ready!(self.error.as_mut().poll(cx));
            let mut found = None;
            let _: io::Result<()> = self.socket.try_io(Interest::ERROR, || {
                found = self.socket.take_error()?;
                // The next one is news again.
                Err(io::ErrorKind::WouldBlock.into())
            });
            self.error = Udp::next_error(&self.socket);
            if let Some(error) = found {
                return Poll::Ready(Err(error));
            }
        }
    }
}

impl std::fmt::Debug for Udp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.socket.fmt(f)
    }
}

/// A socket that is being opened.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Opened, NotOpened>>>>;

/// A socket, and its ends.
pub(super) struct Opened {
    pub(super) socket: Socket,
    pub(super) local: Endpoint,
    pub(super) peer: Endpoint,
}

/// Why there is none.
pub(super) struct NotOpened {
    pub(super) peer: Endpoint,
    pub(super) refused: bool,
    pub(super) reason: String,
}

/// Begins to open a socket to where an actor connects.
pub(super) fn open(dial: &Dial, url: Option<String>, origin: &Origin) -> Opening {
    let Dial { address, bind, follow } = dial.clone();
    let origin = origin.clone();
    Box::pin(async move {
        let address = match url {
            Some(url) => resolve(&url, &origin).await?,
            None => address.expect("an actor that is told no URL has an address"),
        };
        match open_socket(&address, bind, follow).await {
            Ok(socket) => {
                let (local, peer) = socket.endpoints(&address);
                Ok(Opened { socket, local, peer })
            }
            Err(error) => {
                let refused = is_refusal(&error);
                let reason = match refused {
                    true => format!("nobody listens at {address}"),
                    false => format!("{address}: {error}"),
                };
                Err(NotOpened { peer: address.endpoint(), refused, reason })
            }
        }
    })
}

/// The address of a URL that a step has made.
async fn resolve(url: &str, origin: &Origin) -> Result<Address, NotOpened> {
    let failed = |reason: String| NotOpened { peer: Endpoint::Path(url.to_owned()), refused: false, reason };
    let url = Url::parse(url).map_err(|error| failed(error.to_string()))?;
    let address = url.resolve(origin.allow_remote).await.map_err(|error| failed(error.to_string()))?;
    Ok(in_folder(address, &origin.folder))
}

async fn open_socket(address: &Address, bind: Option<SocketAddr>, follow: bool) -> io::Result<Socket> {
    Ok(match address.clone() {
        Address::Tcp(peer) => connect(peer, bind).await?,
        Address::Udp(peer) => {
            // Whoever takes anybody's answer is reached where it sends from, and nowhere else.
            let any: IpAddr = match (follow && peer.ip().is_loopback(), peer.is_ipv4()) {
                (true, _) => peer.ip(),
                (false, true) => [0, 0, 0, 0].into(),
                (false, false) => [0u16; 8].into(),
            };
            let socket = UdpSocket::bind(bind.unwrap_or(SocketAddr::new(any, 0))).await?;
            if !follow {
                socket.connect(peer).await?;
            }
            Socket::Udp(Udp::new(socket, follow.then_some(peer)))
        }
        Address::Unix(path) => match abstract_name(&path) {
            Some(name) => {
                let stream = std::os::unix::net::UnixStream::connect_addr(&UnixAddr::from_abstract_name(name)?)?;
                stream.set_nonblocking(true)?;
                Socket::Unix(UnixStream::from_std(stream)?)
            }
            None => Socket::Unix(UnixStream::connect(path).await?),
        },
        Address::Unixgram(path) => {
            // A server can only answer a client that has a name.
            static NUMBER: AtomicU64 = AtomicU64::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("harness-{}-{number}", std::process::id());
            let socket = StdUnixDatagram::bind_addr(&UnixAddr::from_abstract_name(name)?)?;
            match abstract_name(&path) {
                Some(name) => socket.connect_addr(&UnixAddr::from_abstract_name(name)?)?,
                None => socket.connect(&path)?,
            }
            socket.set_nonblocking(true)?;
            Socket::Unixgram(UnixDatagram::from_std(socket)?)
        }
    })
}

/// A server that speaks first and resets can have done both before anybody here looks: that is a connection all the same.
/// An ordinary connect takes its error for one of its own, and what was sent is lost.
async fn connect(peer: SocketAddr, bind: Option<SocketAddr>) -> io::Result<Socket> {
    let socket = socket2::Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(local) = bind {
        socket.set_reuse_address(true)?;
        socket.bind(&local.into())?;
    }
    match socket.connect(&peer.into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => return Err(error),
        _ => {}
    }
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    let is_lost = match stream.take_error()? {
        None => false,
        // The second is what the system calls a reset that follows the peer's FIN.
        Some(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => true,
        Some(error) => return Err(error),
    };
    // Each write is a segment of its own: what a step or a fault cuts stays cut.
    stream.set_nodelay(true)?;
    Ok(if is_lost { Socket::Lost(stream) } else { Socket::Tcp(stream) })
}

/// The name behind the `@` of an abstract Unix socket.
fn abstract_name(path: &Path) -> Option<String> {
    path.to_str()?.strip_prefix('@').map(str::to_owned)
}

/// Whether an error means that nobody listens.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

impl Socket {
    /// Both addresses.
    pub(super) fn endpoints(&self, peer: &Address) -> (Endpoint, Endpoint) {
        let local = match self {
            Socket::Lost(stream) | Socket::Tcp(stream) => stream.local_addr().ok().map(Endpoint::Ip),
            Socket::Udp(udp) => udp.socket.local_addr().ok().map(Endpoint::Ip),
            Socket::Tls(_) | Socket::Unix(_) => None,
            Socket::Unixgram(socket) => socket.local_addr().ok().and_then(|address| {
                let name = std::os::unix::net::SocketAddr::from(address);
                let name = name.as_abstract_name().map(|name| String::from_utf8_lossy(name).into_owned())?;
                Some(Endpoint::Path(format!("@{name}")))
            }),
        };
        (local.unwrap_or(Endpoint::Path(String::new())), peer.endpoint())
    }

    /// The peer that has answered in place of the one that was asked, told once.
    pub(super) fn take_moved(&mut self) -> Option<Endpoint> {
        match self {
            Socket::Udp(udp) => udp.moved.take().map(Endpoint::Ip),
            _ => None,
        }
    }

    /// What carries it.
    pub(super) fn transport(&self) -> Transport {
        match self {
            Socket::Lost(_) | Socket::Tcp(_) | Socket::Tls(_) => Transport::Tcp,
            Socket::Udp(_) => Transport::Udp,
            Socket::Unix(_) => Transport::Unix,
            Socket::Unixgram(_) => Transport::Unixgram,
        }
    }

    fn is_datagram(&self) -> bool {
        matches!(self, Socket::Udp(_) | Socket::Unixgram(_))
    }

    /// Writes what the socket takes now. `None`: it takes nothing yet.
    pub(super) fn write(&mut self, data: &[u8]) -> Option<Input> {
        if data.is_empty() && !self.is_datagram() {
            return Some(Input::Written(0));
        }
        let written = match self {
            Socket::Lost(_) => return Some(Input::Reset),
            Socket::Tcp(stream) => stream.try_write(data),
            Socket::Tls(stream) => return stream.write(data),
            Socket::Udp(udp) => match udp.try_send(data) {
                // An ICMP error to an earlier datagram is reported in place of sending this one.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Some(Input::Unreachable),
                sent => sent,
            },
            Socket::Unix(stream) => stream.try_write(data),
            Socket::Unixgram(socket) => socket.try_send(data),
        };
        match written {
            Ok(len) => Some(Input::Written(len)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => None,
                _ => Some(failure(&error)),
            },
        }
    }

    /// Waits until it takes more.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Lost(_) => Poll::Ready(Ok(())),
            Socket::Tcp(stream) => stream.poll_write_ready(cx),
            Socket::Tls(stream) => stream.poll_writable(cx).map(Ok),
            Socket::Udp(udp) => udp.socket.poll_send_ready(cx),
            Socket::Unix(stream) => stream.poll_write_ready(cx),
            Socket::Unixgram(socket) => socket.poll_send_ready(cx),
        }
    }

    /// Reads once: some bytes of a stream, or one datagram.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, block: &mut Block) -> Poll<Input> {
        let (is_datagram, is_lost) = (self.is_datagram(), matches!(self, Socket::Lost(_)));
        if let Socket::Tls(stream) = self {
            return stream.poll_read(cx);
        }
        let mut buffer = block.buffer(if is_datagram { READ_LEN_MAX } else { READ_LEN_MIN });
        let read = match self {
            Socket::Lost(stream) | Socket::Tcp(stream) => ready!(Pin::new(stream).poll_read(cx, &mut buffer)),
            Socket::Tls(_) => unreachable!("it reads by itself"),
            Socket::Udp(udp) => ready!(udp.poll_recv(cx, &mut buffer)),
            Socket::Unix(stream) => ready!(Pin::new(stream).poll_read(cx, &mut buffer)),
            Socket::Unixgram(socket) => ready!(socket.poll_recv(cx, &mut buffer)),
        };
        let len = buffer.filled().len();
        Poll::Ready(match read {
            // The reset was told when it was opened, so the system tells an ordinary end now.
            Ok(()) if len == 0 && is_lost => Input::Reset,
            Ok(()) if len == 0 && !is_datagram => Input::Eof,
            Ok(()) => Input::Data(block.take(len, is_datagram)),
            Err(error) if is_datagram && is_refusal(&error) => Input::Unreachable,
            Err(error) => failure(&error),
        })
    }

    /// Closes our direction.
    pub(super) fn shutdown(&mut self) {
        // A peer that is gone already has no direction left to close; the next read tells.
        let _ = match self {
            Socket::Tcp(stream) => SockRef::from(&*stream).shutdown(std::net::Shutdown::Write),
            Socket::Unix(stream) => SockRef::from(&*stream).shutdown(std::net::Shutdown::Write),
            Socket::Tls(stream) => {
                stream.shutdown();
                Ok(())
            }
            Socket::Lost(_) | Socket::Udp(_) | Socket::Unixgram(_) => Ok(()),
        };
    }

    /// Closes.
    pub(super) fn close(self) {
        if let Socket::Tls(stream) = self {
            stream.close();
        }
    }

    /// Closes abruptly.
    pub(super) fn reset(self) {
        if let Socket::Tls(stream) = self {
            return stream.reset();
        }
        if let Socket::Tcp(stream) = &self {
            // Without lingering a close sends RST. Where it fails, a plain close is what is left.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Sends a datagram from a listener's socket. `None`: it takes nothing yet.
pub(super) fn send_to(socket: &UdpSocket, data: &[u8], peer: SocketAddr) -> Option<Input> {
    match socket.try_send_to(data, peer) {
        Ok(len) => Some(Input::Written(len)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => None,
            io::ErrorKind::ConnectionRefused => Some(Input::Unreachable),
            _ => Some(failure(&error)),
        },
    }
}

fn failure(error: &io::Error) -> Input {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => Input::Reset,
        _ => Input::Failed(error.to_string()),
    }
}

/// Memory that reads go to. What a read brought is handed on without a copy.
#[derive(Debug, Default)]
pub(super) struct Block(BytesMut);

impl Block {
    fn buffer(&mut self, room: usize) -> ReadBuf<'_> {
        if self.0.len() < room {
            self.0 = BytesMut::zeroed(READ_LEN_MAX);
        }
        ReadBuf::new(&mut self.0)
    }

    fn take(&mut self, len: usize, copy: bool) -> Bytes {
        // A datagram needs the whole block free, so a small one is copied out of it.
        if copy { Bytes::copy_from_slice(&self.0[..len]) } else { self.0.split_to(len).freeze() }
    }
}

/// Where a relative path of a Unix socket starts.
pub(super) fn in_folder(address: Address, folder: &Path) -> Address {
    let place = |path: PathBuf| match abstract_name(&path) {
        Some(_) => path,
        None => {
            let path = folder.join(path);
            std::path::absolute(&path).unwrap_or(path)
        }
    };
    match address {
        Address::Unix(path) => Address::Unix(place(path)),
        Address::Unixgram(path) => Address::Unixgram(place(path)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn a_server_that_speaks_and_resets_before_we_look_was_connected_and_has_spoken() {
        for closes_first in [false, true] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            let mut connecting = Box::pin(connect(address, None));
            // The system has connected once it is asked to, and nobody has looked yet.
            let looked = std::future::poll_fn(|cx| Poll::Ready(connecting.as_mut().poll(cx))).await;
            assert!(looked.is_pending());
            let (mut stream, _) = listener.accept().expect("a client");
            stream.write_all(b"hello").expect("it is connected");
            if closes_first {
                stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
            }
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a stream lingers");
            drop(stream);

            let mut socket = connecting.await.expect("it was connected");
            assert!(matches!(socket, Socket::Lost(_)), "{socket:?}");
            assert!(matches!(socket.write(b"x"), Some(Input::Reset)));
            let mut block = Block::default();
            let first = std::future::poll_fn(|cx| socket.poll_read(cx, &mut block)).await;
            assert!(matches!(&first, Input::Data(data) if data == "hello"), "{first:?}");
            let second = std::future::poll_fn(|cx| socket.poll_read(cx, &mut block)).await;
            assert!(matches!(second, Input::Reset), "{second:?}");
        }
    }
}
