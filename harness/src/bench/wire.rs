//! A connection's socket: bytes that leave, bytes that come, and its end.
//!
//! What they mean is told elsewhere, and nothing here waits for more than one system call.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::tally::Counts;
use crate::runner::Address;

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

/// What a read gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// So many bytes; of a datagram, all of them.
    Bytes(usize),
    /// The peer has closed its direction.
    End,
    /// Nothing, since a signal came in between: there may be more.
    Interrupted,
    /// Nothing more for now.
    Nothing,
}

/// How a socket is opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Where the server is.
    pub address: Address,
    /// How long a read waits for bytes; `None` where none does.
    pub wait: Option<Duration>,
}

/// A socket, and what it has not taken yet.
#[derive(Debug)]
pub struct Wire {
    socket: Option<Socket>,
    datagram: bool,
    blocking: bool,
    unsent: Vec<u8>,
    /// Whether its direction is to be closed once everything has left.
    shut: bool,
    /// Whether the socket has taken less than it was given.
    clogged: bool,
}

impl Wire {
    /// One that is not open.
    pub fn new(opening: &Opening) -> Wire {
        let datagram = opening.address.transport().is_datagram();
        let blocking = opening.wait.is_some();
        Wire { socket: None, datagram, blocking, unsent: Vec::new(), shut: false, clogged: false }
    }

    /// The socket, if there is one.
    pub fn socket(&self) -> Option<&Socket> {
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
        }
        if let Some(wait) = opening.wait {
            socket.set_read_timeout(Some(wait)).map_err(broken)?;
            socket.connect(&address).map_err(broken)?;
        } else {
            socket.set_nonblocking(true).map_err(broken)?;
            match socket.connect(&address) {
                Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
                done => done.map_err(broken)?,
            }
        }
        self.socket = Some(socket);
        Ok(())
    }

    /// What became of connecting, once the socket says that it knows.
    pub fn connected(&self, address: &Address) -> Result<(), Broken> {
        match self.opened().take_error().ok().flatten() {
            Some(error) => Err(Broken(format!("no connection to {address}: {error}"))),
            None => Ok(()),
        }
    }

    fn opened(&self) -> &Socket {
        self.socket.as_ref().expect("it is open")
    }

    /// Takes bytes of a stream, or a datagram.
    pub fn write(&mut self, counts: &mut Counts, bytes: &[u8]) -> Result<(), Broken> {
        counts.messages += 1;
        counts.bytes_sent += bytes.len() as u64;
        if self.datagram {
            return self.put(counts, bytes).map(|_| ());
        }
        // Small ones leave together; one that is large need not be copied.
        if self.unsent.is_empty() && bytes.len() > LARGE_LEN {
            let taken = self.put(counts, bytes)?;
            self.clogged = taken < bytes.len();
            self.unsent.extend_from_slice(&bytes[taken..]);
        } else {
            self.unsent.extend_from_slice(bytes);
        }
        Ok(())
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
        while !self.unsent.is_empty() {
            let taken = self.put(counts, &self.unsent)?;
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
        if self.shut && self.unsent.is_empty() {
            self.shut = false;
            // A peer that is gone already need not be told.
            let _ = self.opened().shutdown(std::net::Shutdown::Write);
        }
        Ok(())
    }

    /// Closes its direction once everything has left.
    pub fn shutdown(&mut self, counts: &mut Counts) -> Result<(), Broken> {
        self.shut = true;
        self.flush(counts)
    }

    /// Reads once.
    pub fn read(&self, counts: &mut Counts, address: &Address, buffer: &mut [u8]) -> Result<Got, Broken> {
        counts.syscalls += 1;
        let len = match rustix::net::recv(self.opened(), buffer, RecvFlags::empty()) {
            Ok((len, _)) => len,
            Err(Errno::INTR) => return Ok(Got::Interrupted),
            Err(Errno::AGAIN) => return Ok(Got::Nothing),
            Err(Errno::CONNREFUSED) if self.datagram => {
                return Err(Broken(format!("nobody listens at {address}")));
            }
            Err(Errno::CONNRESET) => return Err(Broken("the peer reset the connection".into())),
            Err(error) => return Err(Broken::of("cannot read", error)),
        };
        counts.bytes_received += len as u64;
        Ok(if len == 0 && !self.datagram { Got::End } else { Got::Bytes(len) })
    }

    /// Makes the end an abrupt one.
    pub fn reset_at_end(&self) {
        let _ = self.opened().set_linger(Some(Duration::ZERO));
    }

    /// Ends it.
    pub fn close(&mut self) {
        self.socket = None;
        self.unsent.clear();
        self.shut = false;
        self.clogged = false;
    }
}
