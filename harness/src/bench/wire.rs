//! A connection's socket: bytes that leave, bytes that come, and its end; with TLS around them where that is asked for.
//!
//! What they mean is told elsewhere, and nothing here waits for more than one system call.

mod received;
mod stamps;
mod train;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use self::stamps::Stamped;
pub use self::stamps::Stamps;
use self::train::Train;
use super::tally::Counts;
use crate::event::TlsSession;
use crate::runner::{Address, TlsClient, TlsEnd};

/// From how many bytes on a message leaves by itself rather than being copied to those that wait.
const LARGE_LEN: usize = 4096;

/// Why a socket is of no use any more, or cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl Broken {
    fn of(what: &str, error: Errno) -> Broken {
        Broken(format!("{what}: {}", io::Error::from(error)))
    }
}

/// The most bytes that one read takes.
const READ_LEN_MAX: usize = 256 << 10;

/// The most bytes that a TLS session keeps of records that are not whole yet (RFC 8446, section 5.2, and a handshake's).
const RECORDS_LEN_MAX: usize = 128 << 10;

/// What a read gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got<'b> {
    /// Nothing, but there may be more: a signal came in between, or it was TLS's own.
    Again,
    /// These, of a stream, and whether there may be more.
    Bytes(&'b [u8], bool),
    /// One datagram after the other, each of so many bytes but for the last, which may be shorter.
    Datagrams(&'b [u8], usize),
    /// The peer has closed its direction.
    End,
    /// Nothing more for now.
    Nothing,
}

/// Where bytes are read into.
#[derive(Debug, Default)]
pub struct Buffers {
    /// As they come.
    wire: Vec<u8>,
    /// As TLS carried them.
    plain: Vec<u8>,
    /// What the kernel says beside them.
    control: Vec<u8>,
}

impl Buffers {
    /// As large as connections need them, with TLS or without.
    pub fn new(with_tls: bool) -> Buffers {
        let plain = if with_tls { READ_LEN_MAX + RECORDS_LEN_MAX } else { 0 };
        Buffers { wire: vec![0; READ_LEN_MAX], plain: vec![0; plain], control: vec![0; received::CONTROL_LEN] }
    }
}

/// Whether several datagrams go through the kernel as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    /// Those that leave, by `UDP_SEGMENT`: the network card, or the receiver's kernel, cuts them.
    pub gso: bool,
    /// Those that come, by `UDP_GRO`.
    pub gro: bool,
}

/// How a socket is opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Where the server is.
    pub address: Address,
    /// How long a read waits for a datagram, and without end for bytes; `None` where none waits.
    pub wait: Option<Duration>,
    /// How TLS is done, where it is.
    pub tls: Option<TlsClient>,
    /// Whether it begins in mid-stream.
    pub upgrades: bool,
    /// Whether datagrams leave and come together.
    pub segments: Segments,
    /// Which timestamps the kernel is asked for.
    pub stamps: Option<Stamps>,
}

/// A socket, and what it has not taken yet.
#[derive(Debug)]
pub struct Wire {
    socket: Option<Arc<OwnedFd>>,
    session: Option<Box<TlsEnd>>,
    datagram: bool,
    blocking: bool,
    unsent: Vec<u8>,
    /// Whether its direction is to be closed once everything has left.
    shut: bool,
    /// Whether the socket has taken less than it was given.
    clogged: bool,
    /// How datagrams wait for each other, where they leave together.
    train: Option<Train>,
    /// Whether datagrams come together.
    gro: bool,
    /// The kernel's timestamps, where they are asked for.
    stamped: Option<Stamped>,
}

impl Wire {
    /// One that is not open.
    pub fn new(opening: &Opening) -> Wire {
        let datagram = opening.address.transport().is_datagram();
        let blocking = opening.wait.is_some();
        Wire {
            socket: None,
            session: None,
            datagram,
            blocking,
            unsent: Vec::new(),
            shut: false,
            clogged: false,
            train: (datagram && opening.segments.gso).then(Train::default),
            gro: datagram && opening.segments.gro,
            stamped: opening.stamps.map(Stamped::new),
        }
    }

    /// The socket, if there is one.
    pub fn socket(&self) -> Option<&Arc<OwnedFd>> {
        self.socket.as_ref()
    }

    /// Whether it carries datagrams.
    pub fn is_datagram(&self) -> bool {
        self.datagram
    }

    /// Whether bytes wait for the socket.
    pub fn wants_to_write(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Whether the socket has no room, so that nothing more is to be begun.
    pub fn is_clogged(&self) -> bool {
        self.clogged
    }

    /// Makes a socket and begins to connect it.
    pub fn open(&mut self, opening: &Opening) -> Result<(), Broken> {
        let broken = |error: io::Error| Broken(format!("no connection to {}: {error}", opening.address));
        let (address, kind, protocol): (SockAddr, _, _) = match &opening.address {
            Address::Tcp(socket) => ((*socket).into(), Type::STREAM, Some(Protocol::TCP)),
            Address::Udp(socket) => ((*socket).into(), Type::DGRAM, Some(Protocol::UDP)),
            Address::Unix(path) => (SockAddr::unix(path).map_err(broken)?, Type::STREAM, None),
            Address::Unixgram(_) => return Err(Broken("`unixgram` cannot be measured".into())),
        };
        let domain: Domain = address.domain();
        let socket = Socket::new(domain, kind, protocol).map_err(broken)?;
        if kind == Type::STREAM && protocol.is_some() {
            socket.set_tcp_nodelay(true).map_err(broken)?;
        }
        if self.datagram {
            // Its own socket is not what loses datagrams.
            let _ = socket.set_recv_buffer_size(4 << 20);
            self.train = self.train.as_ref().map(|_| Train::default());
            if self.gro {
                received::take_together(&socket)?;
            }
        }
        if let Some(wait) = opening.wait {
            if self.datagram {
                // What is lost is nothing to end a socket for. With a stream somebody else looks after it.
                socket.set_read_timeout(Some(wait)).map_err(broken)?;
            }
            socket.connect(&address).map_err(broken)?;
        } else {
            socket.set_nonblocking(true).map_err(broken)?;
            match socket.connect(&address) {
                Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
                done => done.map_err(broken)?,
            }
        }
        self.socket = Some(Arc::new(socket.into()));
        Ok(())
    }

    /// What became of connecting, once the socket says that it knows.
    pub fn connected(&mut self, address: &Address) -> Result<(), Broken> {
        match self.options().take_error().ok().flatten() {
            Some(error) => Err(Broken(format!("no connection to {address}: {error}"))),
            None => self.ask_for_stamps(),
        }
    }

    /// Begins TLS. It has begun once [`Wire::agreed`] says on what.
    pub fn shake(&mut self, client: &TlsClient, counts: &mut Counts) -> Result<(), Broken> {
        self.session = Some(Box::new(client.begin().map_err(Broken)?));
        self.sealed();
        self.flush(counts)
    }

    /// What both sides of TLS have agreed on, once they have.
    pub fn agreed(&self) -> Option<TlsSession> {
        self.session.as_ref()?.agreed()
    }

    /// Whether TLS has begun.
    pub fn is_protected(&self) -> bool {
        self.session.is_some()
    }

    /// Whether TLS has begun, and both sides have not agreed yet.
    pub fn is_shaking(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_shaking())
    }

    /// Moves what the session wants to send to what waits for the socket.
    fn sealed(&mut self) {
        if let Some(session) = &mut self.session {
            session.leave(&mut self.unsent);
        }
    }

    fn opened(&self) -> &OwnedFd {
        self.socket.as_ref().expect("it is open")
    }

    fn options(&self) -> SockRef<'_> {
        self.opened().into()
    }

    /// Takes bytes of a stream, or a datagram.
    pub fn write(&mut self, counts: &mut Counts, bytes: &[u8]) -> Result<(), Broken> {
        counts.messages += 1;
        counts.bytes_sent += bytes.len() as u64;
        if self.train.is_some() {
            return self.join(counts, bytes);
        }
        if self.datagram {
            return self.put(counts, bytes).map(|taken| self.took(taken));
        }
        if let Some(session) = &mut self.session {
            session.write(bytes);
            self.sealed();
            return Ok(());
        }
        // Small ones leave together; one that is large need not be copied.
        if self.unsent.is_empty() && bytes.len() > LARGE_LEN {
            return self.give(counts, bytes);
        }
        self.unsent.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes so many messages of a stream after which nothing is to be written for now.
    pub fn write_all(&mut self, counts: &mut Counts, bytes: &[u8], count: usize) -> Result<(), Broken> {
        if self.session.is_some() || !self.unsent.is_empty() {
            counts.messages += count as u64 - 1;
            return self.write(counts, bytes);
        }
        counts.messages += count as u64;
        counts.bytes_sent += bytes.len() as u64;
        self.give(counts, bytes)
    }

    /// Gives the socket bytes where none wait before them, and keeps what it does not take.
    fn give(&mut self, counts: &mut Counts, bytes: &[u8]) -> Result<(), Broken> {
        let taken = self.put(counts, bytes)?;
        self.took(taken);
        self.clogged = taken < bytes.len();
        self.unsent.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// Gives a stream's socket as much as it takes now, and says how much that was.
    pub fn push(&mut self, counts: &mut Counts, bytes: &[u8]) -> Result<usize, Broken> {
        if self.session.is_none() {
            counts.messages += 1;
            let taken = self.put(counts, bytes)?;
            counts.bytes_sent += taken as u64;
            return Ok(taken);
        }
        self.flush(counts)?;
        if self.wants_to_write() {
            return Ok(0);
        }
        self.write(counts, bytes)?;
        self.flush(counts)?;
        Ok(bytes.len())
    }

    fn took(&mut self, taken: usize) {
        if let Some(stamped) = &mut self.stamped {
            stamped.took(taken, self.datagram);
        }
    }

    fn put(&self, counts: &mut Counts, bytes: &[u8]) -> Result<usize, Broken> {
        loop {
            counts.syscalls += 1;
            match rustix::net::send(self.opened(), bytes, SendFlags::NOSIGNAL) {
                Ok(taken) => return Ok(taken),
                Err(Errno::INTR) => {}
                // A datagram that finds no room is lost, as it would be on any network.
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(0),
                // It is about one that was sent before.
                Err(Errno::CONNREFUSED) if self.datagram => return Ok(0),
                Err(error) => return Err(Broken::of("cannot send", error)),
            }
        }
    }

    /// Gives the socket what waits for it.
    pub fn flush(&mut self, counts: &mut Counts) -> Result<(), Broken> {
        self.depart(counts)?;
        while !self.unsent.is_empty() {
            let taken = self.put(counts, &self.unsent)?;
            self.took(taken);
            self.clogged = taken < self.unsent.len();
            if self.clogged {
                self.unsent.drain(..taken);
            } else {
                self.unsent.clear();
            }
            if !self.blocking {
                break;
            }
        }
        if !self.blocking {
            // What waits there would wake the thread; one that waits in its reads takes it after the answer.
            self.collect(counts, false);
        }
        if self.shut && self.unsent.is_empty() {
            self.shut = false;
            // A peer that is gone already need not be told.
            let _ = self.options().shutdown(std::net::Shutdown::Write);
        }
        Ok(())
    }

    /// Closes its direction once everything has left.
    pub fn shutdown(&mut self, counts: &mut Counts) -> Result<(), Broken> {
        self.shut = true;
        self.say_goodbye();
        self.flush(counts)
    }

    /// Reads once.
    pub fn read<'b>(
        &mut self,
        counts: &mut Counts,
        address: &Address,
        buffers: &'b mut Buffers,
    ) -> Result<Got<'b>, Broken> {
        if self.session.as_ref().is_some_and(|session| session.has_ended()) {
            return Ok(Got::End);
        }
        counts.syscalls += 1;
        let (len, segment) = match self.receive(&mut buffers.wire, &mut buffers.control) {
            Ok(received) => received,
            Err(Errno::INTR) => return Ok(Got::Again),
            Err(Errno::AGAIN) => return Ok(Got::Nothing),
            Err(Errno::CONNREFUSED) if self.datagram => {
                return Err(Broken(format!("nobody listens at {address}")));
            }
            Err(Errno::CONNRESET) => {
                let why = self.session.as_ref().and_then(|session| session.gone("reset the connection"));
                return Err(Broken(why.unwrap_or_else(|| "the peer reset the connection".into())));
            }
            Err(error) => return Err(Broken::of("cannot read", error)),
        };
        if len == 0 && !self.datagram {
            let why = self.session.as_ref().and_then(|session| session.gone("closed the connection"));
            return why.map_or(Ok(Got::End), |why| Err(Broken(why)));
        }
        if self.datagram {
            counts.bytes_received += len as u64;
            return Ok(Got::Datagrams(&buffers.wire[..len], segment.unwrap_or(len)));
        }
        let (came, full) = (&buffers.wire[..len], len == buffers.wire.len());
        let Some(session) = &mut self.session else {
            counts.bytes_received += len as u64;
            return Ok(Got::Bytes(came, full));
        };
        match session.take(came, &mut buffers.plain) {
            Ok(filled) => {
                let more = full || session.has_ended();
                counts.bytes_received += filled as u64;
                self.sealed();
                Ok(if filled == 0 && more { Got::Again } else { Got::Bytes(&buffers.plain[..filled], more) })
            }
            Err(why) => {
                // The alert that says why.
                self.sealed();
                let _ = self.flush(counts);
                Err(Broken(why))
            }
        }
    }

    /// Says, to TLS, that no more will be sent.
    fn say_goodbye(&mut self) {
        if let Some(session) = &mut self.session {
            session.say_goodbye();
            self.sealed();
        }
    }

    /// Makes the end an abrupt one.
    pub fn reset_at_end(&mut self) {
        self.session = None;
        let _ = self.options().set_linger(Some(Duration::ZERO));
    }

    /// Ends it, in order as far as that goes without waiting.
    pub fn close(&mut self, counts: &mut Counts) {
        if self.session.as_ref().is_some_and(|session| !session.is_shaking()) && self.unsent.is_empty() {
            self.say_goodbye();
            // A peer that is gone already need not be told.
            let _ = self.flush(counts);
        }
        self.session = None;
        self.socket = None;
        self.unsent.clear();
        self.shut = false;
        self.clogged = false;
    }
}
