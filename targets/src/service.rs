//! What a target is made of: a server, its connections' services, and what they answer.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::bell::Bell;

/// One server: what all its connections share.
///
/// A function from a peer to a service is a server without a state.
pub trait Server: Send + Sync {
    /// Begins one connection, or on a datagram transport the answer to one datagram: what outlives a
    /// datagram belongs to the server.
    fn accept(&self, peer: &Peer) -> Box<dyn Service>;

    /// After how many connections the server stops listening. It ends when these have.
    fn connections_max(&self) -> Option<u64> {
        None
    }

    /// Whether it connects to others by itself. Such a server is served as a task of a runtime, whoever asks.
    fn dials(&self) -> bool {
        false
    }

    /// The server listens now, at `local` if that is a TCP port. One that connects to others rings `bell` whenever
    /// [`Server::dial`] may have something. Not called for datagrams.
    fn listens(&self, local: Option<SocketAddr>, bell: Bell) {
        let _ = (local, bell);
    }

    /// The next connection that the server wants to make by itself; `None` until its bell is rung.
    fn dial(&self) -> Option<Dial> {
        None
    }
}

/// A connection that a server makes by itself: over TCP, and to this machine only.
pub struct Dial {
    /// Where to.
    pub to: SocketAddr,
    /// How long to wait before it is made.
    pub after: Duration,
    /// Serves it. Where no connection comes about it is dropped without [`Service::open`].
    pub service: Box<dyn Service>,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").field("to", &self.to).field("after", &self.after).finish_non_exhaustive()
    }
}

impl<F, S> Server for F
where
    F: Fn(&Peer) -> S + Send + Sync,
    S: Service + 'static,
{
    fn accept(&self, peer: &Peer) -> Box<dyn Service> {
        Box::new(self(peer))
    }
}

/// One connection as a byte machine.
pub trait Service: Send {
    /// The connection is open: whoever speaks first does so here. Not called for datagrams.
    fn open(&mut self, reply: &mut Reply) {
        let _ = reply;
    }

    /// Bytes came, cut in any way; on a datagram transport it is one datagram, and what is sent is the answer's.
    ///
    /// A service whose answers can be much longer than its requests stops where [`Reply::is_full`] and goes on
    /// in [`Service::drained`]; until then it is given no more input.
    fn receive(&mut self, input: &[u8], reply: &mut Reply);

    /// The peer will send no more. The connection closes when all output is written.
    fn end(&mut self, reply: &mut Reply) {
        let _ = reply;
    }

    /// All earlier output is written: a service with more to say says it here, so that it is never far ahead of
    /// its reader.
    fn drained(&mut self, reply: &mut Reply) {
        let _ = reply;
    }

    /// Its [`Bell`] was rung. Like [`Service::receive`] it stops where [`Reply::is_full`]; not called for datagrams.
    fn woken(&mut self, reply: &mut Reply) {
        let _ = reply;
    }

    /// The time that it asked for with [`Reply::wake_after`] is over.
    fn timed_out(&mut self, reply: &mut Reply) {
        let _ = reply;
    }
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// A TCP connection.
    Tcp,
    /// UDP datagrams.
    Udp,
    /// A Unix stream socket.
    Unix,
    /// A Unix datagram socket.
    Unixgram,
}

impl Transport {
    /// Whether bytes come in datagrams, each whole and on its own.
    pub const fn is_datagram(self) -> bool {
        matches!(self, Transport::Udp | Transport::Unixgram)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::Unix => "unix",
            Transport::Unixgram => "unixgram",
        })
    }
}

/// Who is on the other side.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Peer {
    /// Which connection or datagram of its server this is, from 0.
    pub number: u64,
    /// What carries the bytes.
    pub transport: Transport,
    /// Where the peer is; `None` but on TCP and UDP.
    pub address: Option<SocketAddr>,
}

impl Peer {
    /// The peer of connection or datagram `number`.
    pub const fn new(number: u64, transport: Transport, address: Option<SocketAddr>) -> Peer {
        Peer { number, transport, address }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{} peer {address}", self.transport),
            None => write!(f, "{} peer {}", self.transport, self.number),
        }
    }
}

/// How a server that misbehaves ends its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEnd {
    /// By SIGABRT.
    Crash,
    /// With this status.
    Exit(i32),
}

impl ProcessEnd {
    /// Does it.
    pub fn carry_out(self) -> ! {
        match self {
            ProcessEnd::Crash => std::process::abort(),
            ProcessEnd::Exit(status) => std::process::exit(status),
        }
    }
}

/// What a service answers: bytes, and whether the connection goes on.
#[derive(Debug)]
pub struct Reply {
    pub(crate) output: Vec<u8>,
    pub(crate) written: usize,
    pub(crate) answered: bool,
    pub(crate) closing: bool,
    pub(crate) resetting: bool,
    pub(crate) pause: Option<Duration>,
    pub(crate) copies: usize,
    pub(crate) process_end: Option<ProcessEnd>,
    pub(crate) bell: Option<Bell>,
    pub(crate) alarm: Option<Duration>,
    pub(crate) withheld: usize,
    pub(crate) when: When,
    output_len_max: usize,
}

/// When the answer to a datagram is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// At once.
    Now,
    /// After so long; others overtake it meanwhile.
    After(Duration),
    /// When the next datagram is dealt with, and after so long at the latest.
    BehindNext(Duration),
}

impl Reply {
    /// An empty reply that is full at `output_len_max` unwritten bytes.
    pub(crate) fn new(output_len_max: usize) -> Reply {
        let output_len_max = output_len_max.max(1); // at 0 it would be full before anything could drain
        Reply {
            output: Vec::new(),
            written: 0,
            answered: false,
            closing: false,
            resetting: false,
            pause: None,
            copies: 1,
            process_end: None,
            bell: None,
            alarm: None,
            withheld: 0,
            when: When::Now,
            output_len_max,
        }
    }

    /// Sends `bytes` after what was sent before; as a datagram, even if there are none.
    pub fn send(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
        self.answered = true;
    }

    /// Whether so much is unwritten that a service should wait for [`Service::drained`].
    pub fn is_full(&self) -> bool {
        self.output.len() - self.written + self.withheld >= self.output_len_max
    }

    /// Closes the connection when all output is written. Nothing is received from here on.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Resets the connection at once; unwritten output is lost.
    pub fn reset(&mut self) {
        self.resetting = true;
    }

    /// Writes nothing more for so long, and reads nothing meanwhile.
    pub fn pause(&mut self, pause: Duration) {
        self.pause = Some(pause);
    }

    /// What wakes this service when something happened elsewhere. To be asked for in [`Service::open`].
    pub fn bell(&mut self) -> Bell {
        self.bell.get_or_insert_default().clone()
    }

    /// Has [`Service::timed_out`] called after so long, once; asked again, that holds in place of what was asked
    /// before. [`Duration::MAX`] is never.
    ///
    /// While a service waits for a time of its own, the server's limit on silence is not applied to it.
    pub fn wake_after(&mut self, time: Duration) {
        self.alarm = Some(time);
    }

    /// Says how many bytes the service keeps back to send them at a time of its own, which it has asked to be woken at.
    ///
    /// They count like unwritten output, and a connection whose peer has ended is kept until there are none.
    pub fn withhold(&mut self, len: usize) {
        self.withheld = len;
    }

    /// Sends the answer to a datagram after so long. What comes meanwhile is answered meanwhile.
    pub fn after(&mut self, time: Duration) {
        self.when = When::After(time);
    }

    /// Sends the answer to a datagram behind that to the next one, and after so long if none comes.
    pub fn behind_next(&mut self, within: Duration) {
        self.when = When::BehindNext(within);
    }

    /// Sends the answer to a datagram so many times.
    pub fn copies(&mut self, copies: usize) {
        self.copies = copies;
    }

    /// Ends the server's process, where it has one of its own; elsewhere it resets the connection.
    pub fn end_process(&mut self, end: ProcessEnd) {
        self.process_end = Some(end);
        self.reset();
    }

    pub(crate) fn unwritten(&self) -> &[u8] {
        &self.output[self.written..]
    }
}
