//! One end of TLS without a socket, for those who have sockets of their own: a benchmark, a fuzzing campaign.
//!
//! What has come goes in and what it carried comes out; what is to be said goes in, and the records that have to leave come out.

use std::io::{Read as _, Write as _};

use rustls::Connection;

use super::client::TlsClient;
use super::error::Broken;
use super::setup::Side;
use crate::event::TlsSession;

/// How many of a peer's first bytes are kept, to see whether they are TLS at all.
const FIRST_LEN: usize = 64;

/// One end of TLS.
#[derive(Debug)]
pub struct TlsEnd {
    session: Connection,
    /// The peer's first bytes.
    first: Vec<u8>,
    /// Whether the peer has said that no more will come.
    ended: bool,
}

impl TlsEnd {
    pub(super) fn new(session: impl Into<Connection>) -> TlsEnd {
        let mut session = session.into();
        // How much waits is bounded by what is under way.
        session.set_buffer_limit(None);
        TlsEnd { session, first: Vec::new(), ended: false }
    }

    /// Gives it what has come; says how much of `plain` it has filled, which has room for all that came and for one record
    /// more (RFC 8446, section 5.2). An error says what it means, and what to try.
    pub fn take(&mut self, mut came: &[u8], plain: &mut [u8]) -> Result<usize, String> {
        let room = FIRST_LEN - self.first.len();
        self.first.extend_from_slice(&came[..came.len().min(room)]);
        let mut filled = 0;
        while !came.is_empty() {
            self.session.read_tls(&mut came).expect("what was read before leaves room");
            if let Err(error) = self.session.process_new_packets() {
                return Err(Broken::explain(&error, self.side(), &self.first).told());
            }
            while !self.ended && filled < plain.len() {
                match self.session.reader().read(&mut plain[filled..]) {
                    Ok(0) => self.ended = true,
                    Ok(len) => filled += len,
                    Err(_) => break,
                }
            }
        }
        Ok(filled)
    }

    /// Takes what is to be said; before both sides have agreed it waits for that.
    pub fn write(&mut self, bytes: &[u8]) {
        // There is room for all of it. After an error, which `take` has told, nobody would understand it.
        let _ = self.session.writer().write_all(bytes);
    }

    /// Adds the records that have to leave.
    pub fn leave(&mut self, records: &mut Vec<u8>) {
        while self.session.wants_write() {
            self.session.write_tls(records).expect("a vector takes everything");
        }
    }

    /// Says that nothing more will be said.
    pub fn say_goodbye(&mut self) {
        self.session.send_close_notify();
    }

    /// Whether both sides have not agreed yet.
    pub fn is_shaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether the peer has said that no more will come.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// What both sides have agreed on, once they have.
    pub fn agreed(&self) -> Option<TlsSession> {
        (!self.is_shaking()).then(|| TlsClient::agreed(&self.session))
    }

    /// The peer went away: what that means, if it was in the middle of the handshake.
    pub fn gone(&self, how: &str) -> Option<String> {
        self.is_shaking().then(|| Broken::gone(how, self.side()).told())
    }

    fn side(&self) -> Side {
        match self.session {
            Connection::Client(_) => Side::Client,
            Connection::Server(_) => Side::Server,
        }
    }
}
