//! One connection of a case: a socket with deadlines and no runtime.

#![expect(clippy::disallowed_methods, reason = "the sockets of a campaign are here")]

mod sealed;

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockRef, Socket as RawSocket, Type};

pub use sealed::Protection;

use crate::runner::process::Address;

/// The most bytes of a connection that are kept unread.
pub const UNREAD_MAX: usize = 1 << 20;

/// How long a target may take to accept a connection.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// How long a target may leave a message unread.
pub const WRITE_WITHIN: Duration = Duration::from_millis(500);

/// From how many bytes of a stream on its sender may have waited for room.
const MUCH_LEN: u64 = 4 << 10;

/// How much of a stream is read at once.
const READ_LEN: usize = 8 << 10;

/// The longest datagram.
const DATAGRAM_LEN_MAX: usize = 64 << 10;

/// The most datagrams of a connection that are kept unread.
const DATAGRAMS_MAX: usize = 1_024;

/// A connection.
#[derive(Debug)]
pub struct Link {
    /// Whose it is.
    pub actor: usize,
    socket: Socket,
    /// Where what comes is read into.
    buffer: Vec<u8>,
    /// TLS, where it has begun.
    sealed: Option<Box<sealed::Sealed>>,
    /// Why there is no TLS, where that went wrong.
    why: Option<String>,
    /// What has arrived of a stream and was not taken.
    pub stream: Vec<u8>,
    /// The datagrams that have arrived and were not taken.
    pub datagrams: VecDeque<Vec<u8>>,
    /// How it ended.
    pub end: Option<End>,
    /// How many bytes have arrived.
    pub received: u64,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
    Unix(UnixStream),
    Unixgram(UnixDatagram),
}

/// What a read has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heard {
    /// Nothing was there.
    Nothing,
    /// So little that whoever said it has not waited for room.
    Little,
    /// More, or of a kind of which only so many pieces have room.
    Much,
}

/// How the peer has ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// In order.
    Eof,
    /// Abruptly, or nobody was there.
    Reset,
}

impl Link {
    /// Opens a connection.
    ///
    /// From where the system lets it begin, as everybody's does: there are servers that take 127.0.0.1 for this machine, and no
    /// other address of it.
    pub fn open(actor: usize, address: &Address) -> io::Result<Link> {
        let socket = match address {
            Address::Tcp(peer) => {
                let socket = RawSocket::new(Domain::for_address(*peer), Type::STREAM.nonblocking(), None)?;
                connect(&socket, *peer)?;
                socket.set_tcp_nodelay(true)?;
                Socket::Tcp(socket.into())
            }
            Address::Udp(peer) => {
                let any: IpAddr = if peer.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
                let socket = UdpSocket::bind((any, 0))?;
                socket.connect(peer)?;
                socket.set_nonblocking(true)?;
                Socket::Udp(socket)
            }
            Address::Unix(path) => {
                let socket = UnixStream::connect_addr(&unix(path)?)?;
                socket.set_nonblocking(true)?;
                Socket::Unix(socket)
            }
            Address::Unixgram(path) => {
                // An answer needs an address to go to; the kernel gives out one that vanishes with the socket.
                let socket = UnixDatagram::unbound()?;
                socket.connect_addr(&unix(path)?)?;
                socket.set_nonblocking(true)?;
                Socket::Unixgram(socket)
            }
        };
        Ok(Link::of(actor, socket))
    }

    /// Takes the next connection of a listener.
    pub fn accept(actor: usize, listener: &TcpListener, within: Duration) -> io::Result<Link> {
        if !wait(listener.as_fd(), within) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Link::of(actor, Socket::Tcp(stream)))
    }

    fn of(actor: usize, socket: Socket) -> Link {
        let is_datagram = matches!(socket, Socket::Udp(_) | Socket::Unixgram(_));
        Link {
            actor,
            socket,
            buffer: vec![0; if is_datagram { DATAGRAM_LEN_MAX } else { READ_LEN }],
            sealed: None,
            why: None,
            stream: Vec::new(),
            datagrams: VecDeque::new(),
            end: None,
            received: 0,
        }
    }

    /// Whether it carries datagrams.
    pub fn is_datagram(&self) -> bool {
        matches!(self.socket, Socket::Udp(_) | Socket::Unixgram(_))
    }

    /// Waits until there is something to read, or for so long.
    pub fn wait(&self, within: Duration) -> bool {
        wait(self.fd(), within)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Udp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
            Socket::Unixgram(socket) => socket.as_fd(),
        }
    }

    /// Writes all of it, reading what comes meanwhile. `false` if the peer does not take it.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.send_while(bytes, WRITE_WITHIN, &|| false)
    }

    /// The same, which is asked whether it is to go on each time when so much time is over.
    pub fn send_while(&mut self, bytes: &[u8], within: Duration, goes_on: &dyn Fn() -> bool) -> bool {
        if self.is_datagram() {
            let sent = match &self.socket {
                Socket::Udp(socket) => socket.send(bytes),
                Socket::Unixgram(socket) => socket.send(bytes),
                _ => unreachable!("it carries datagrams"),
            };
            return match sent {
                Ok(_) => true,
                Err(error) => {
                    // What is too long for a datagram never leaves; what nobody hears says who is gone.
                    if error.kind() == io::ErrorKind::ConnectionRefused {
                        self.end = Some(End::Reset);
                    }
                    false
                }
            };
        }
        let mut deadline = Instant::now() + within;
        let mut rest = bytes;
        if let Some(sealed) = &mut self.sealed {
            sealed.seal(bytes);
            rest = &[];
        }
        loop {
            match self.push(&mut rest) {
                Ok(()) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.read();
                    if self.end == Some(End::Reset) || (Instant::now() >= deadline && !goes_on()) {
                        return false;
                    }
                    if Instant::now() >= deadline {
                        deadline += within;
                    }
                    let mut fds = [PollFd::from_borrowed_fd(self.fd(), PollFlags::OUT | PollFlags::IN)];
                    let _ = poll(&mut fds, Some(&timespec(Duration::from_millis(5))));
                }
                Err(_) => {
                    self.read();
                    self.end.get_or_insert(End::Reset);
                    return false;
                }
            }
        }
    }

    /// Gives a stream's socket what it has not taken yet: of TLS, and then of `rest`.
    fn push(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        if let Some(sealed) = &mut self.sealed {
            let mut unsent = sealed.unsent.as_slice();
            let pushed = self.socket.push(&mut unsent);
            let taken = sealed.unsent.len() - unsent.len();
            sealed.unsent.drain(..taken);
            pushed?;
        }
        self.socket.push(rest)
    }

    /// Reads what is there.
    pub fn read(&mut self) -> Heard {
        let mut buffer = std::mem::take(&mut self.buffer);
        let heard = match self.is_datagram() {
            true => self.read_datagrams(&mut buffer),
            false => self.read_stream(&mut buffer),
        };
        self.buffer = buffer;
        heard
    }

    fn read_stream(&mut self, buffer: &mut [u8]) -> Heard {
        let (mut any, mut sum) = (false, 0);
        while self.end.is_none() {
            let read = match &mut self.socket {
                Socket::Tcp(socket) => socket.read(buffer),
                Socket::Unix(socket) => socket.read(buffer),
                Socket::Udp(_) | Socket::Unixgram(_) => unreachable!("it is a stream"),
            };
            match read {
                Ok(0) => self.gone(End::Eof),
                Ok(len) => {
                    match self.sealed {
                        Some(_) => self.open_records(&buffer[..len]),
                        None => self.keep(&buffer[..len]),
                    }
                    any = true;
                    sum += len as u64;
                    if len < buffer.len() {
                        break;
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => self.gone(End::Reset),
            }
            any = true;
        }
        match any {
            false => Heard::Nothing,
            // What TLS has to say to what came may be what the peer waits for.
            true if sum >= MUCH_LEN || self.sealed.is_some() => Heard::Much,
            true => Heard::Little,
        }
    }

    /// Keeps what was said on a stream. What nobody will ever look at is counted and dropped.
    fn keep(&mut self, said: &[u8]) {
        self.received += said.len() as u64;
        let room = UNREAD_MAX.saturating_sub(self.stream.len()).min(said.len());
        self.stream.extend_from_slice(&said[..room]);
    }

    fn read_datagrams(&mut self, buffer: &mut [u8]) -> Heard {
        let mut any = false;
        while self.end.is_none() {
            let read = match &self.socket {
                Socket::Udp(socket) => socket.recv(buffer),
                Socket::Unixgram(socket) => socket.recv(buffer),
                Socket::Tcp(_) | Socket::Unix(_) => unreachable!("it carries datagrams"),
            };
            match read {
                Ok(len) => {
                    self.received += len as u64;
                    if self.datagrams.len() < DATAGRAMS_MAX {
                        self.datagrams.push_back(buffer[..len].to_vec());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => self.end = Some(End::Reset),
            }
            any = true;
        }
        if any { Heard::Much } else { Heard::Nothing }
    }

    /// Says that no more will be sent.
    pub fn shut(&mut self) {
        self.say_goodbye();
        let _ = match &self.socket {
            Socket::Tcp(socket) => socket.shutdown(std::net::Shutdown::Write),
            Socket::Unix(socket) => socket.shutdown(std::net::Shutdown::Write),
            Socket::Udp(_) | Socket::Unixgram(_) => Ok(()),
        };
    }

    /// Closes it in order, as far as that goes without waiting.
    pub fn close(mut self) {
        self.say_goodbye();
    }

    /// Closes it abruptly: neither side is left with a connection in `TIME_WAIT`.
    pub fn reset(self) {
        if let Socket::Tcp(socket) = &self.socket {
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Socket {
    /// Writes to a stream until it takes no more, or nothing is left.
    fn push(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            let written = match self {
                Socket::Tcp(socket) => socket.write(rest),
                Socket::Unix(socket) => socket.write(rest),
                Socket::Udp(_) | Socket::Unixgram(_) => unreachable!("it is a stream"),
            };
            match written {
                Ok(len) => *rest = &rest[len..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Connects a socket that does not wait by itself.
fn connect(socket: &RawSocket, peer: SocketAddr) -> io::Result<()> {
    match socket.connect(&peer.into()) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        done => return done,
    }
    // On this machine it is there by now.
    if socket.peer_addr().is_ok() {
        return Ok(());
    }
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    match poll(&mut fds, Some(&timespec(CONNECT_WITHIN))) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) => socket.take_error()?.map_or(Ok(()), Err),
        Err(error) => Err(error.into()),
    }
}

/// Waits until one of these has something to read, or for so long.
pub fn wait_any<'l>(links: impl Iterator<Item = &'l Link>, within: Duration) -> bool {
    let mut fds: Vec<PollFd<'_>> = links.map(|link| PollFd::from_borrowed_fd(link.fd(), PollFlags::IN)).collect();
    poll(&mut fds, Some(&timespec(within))).is_ok_and(|ready| ready > 0)
}

/// Waits until something can be read there, or for so long.
pub(super) fn wait(fd: BorrowedFd<'_>, within: Duration) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, Some(&timespec(within))).is_ok_and(|ready| ready > 0)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

fn unix(path: &Path) -> io::Result<UnixAddr> {
    match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => UnixAddr::from_abstract_name(name),
        None => UnixAddr::from_pathname(path),
    }
}
