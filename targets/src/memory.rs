//! A connection to a server without a socket, for tests, properties and fuzzing.

use std::time::Duration;

use crate::connection::{Connection, Ending};
use crate::service::{Peer, Server, Transport};

/// How much output a pipe holds before it takes no more, as a socket's buffer would.
pub const OUTPUT_LEN_MAX: usize = 16 << 20;

/// The client's side of one connection. What it sends is taken at once, one piece as one read.
#[derive(Debug)]
pub struct Pipe {
    connection: Connection,
    output: Vec<u8>,
}

impl Pipe {
    /// Connects to `server`, whose service waits when `output_len_max` bytes are unwritten.
    pub fn open(server: &dyn Server, output_len_max: usize) -> Pipe {
        let peer = Peer::new(0, Transport::Tcp, None);
        let mut pipe = Pipe { connection: Connection::open(server, &peer, output_len_max), output: Vec::new() };
        pipe.write();
        pipe
    }

    /// Sends `piece` and says whether it was taken: not after an end, and not while the pipe is full.
    pub fn send(&mut self, piece: &[u8]) -> bool {
        // A read of no bytes does not exist: on a stream it would be its end.
        let taken = self.connection.wants_input() && !piece.is_empty();
        if taken {
            self.connection.receive(piece);
            self.write();
        }
        taken
    }

    /// Sends no more.
    pub fn end(&mut self) {
        if self.connection.wants_input() {
            self.connection.end();
            self.write();
        }
    }

    /// For how long the server then waits before it does something by itself, if it has said so since it was last asked.
    pub fn take_alarm(&mut self) -> Option<Duration> {
        self.connection.take_alarm()
    }

    /// That time is over.
    pub fn time_out(&mut self) {
        self.connection.time_out();
        self.write();
    }

    /// Everything that came since it was last asked, and what other connections have led to.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.connection.answer_bell();
        self.write();
        let output = std::mem::take(&mut self.output);
        self.write();
        output
    }

    /// How the server ended the connection, if it did.
    pub fn ending(&self) -> Option<Ending> {
        self.connection.ending()
    }

    fn write(&mut self) {
        while !self.connection.output().is_empty() && self.output.len() < OUTPUT_LEN_MAX {
            self.output.extend_from_slice(self.connection.output());
            self.connection.written(self.connection.output().len());
        }
    }
}
