//! TLS on a connection: what is said is sealed, what comes is opened, and nothing waits for the handshake but what is said.

use super::{End, Link, READ_LEN};
use crate::runner::{TlsClient, TlsEnd, TlsServer};

/// Room for what one read opens: all of it, and a record that began before it (RFC 8446, section 5.2).
const PLAIN_LEN: usize = READ_LEN + (18 << 10);

/// How an actor's connections are protected.
#[derive(Debug)]
pub enum Protection {
    /// It connects.
    Client(TlsClient),
    /// It listens.
    Server(TlsServer),
}

/// TLS on a connection.
#[derive(Debug)]
pub(super) struct Sealed {
    end: TlsEnd,
    /// Records that have not left yet.
    pub(super) unsent: Vec<u8>,
}

impl Sealed {
    /// Takes what is to be said.
    pub(super) fn seal(&mut self, bytes: &[u8]) {
        self.end.write(bytes);
        self.end.leave(&mut self.unsent);
    }
}

impl Link {
    /// Goes on with TLS; on a connection that has it already, nothing happens.
    pub fn protect(&mut self, with: &Protection) {
        if self.sealed.is_some() || self.is_datagram() {
            return;
        }
        let begun = match with {
            Protection::Client(client) => client.begin(),
            Protection::Server(server) => server.begin(),
        };
        match begun {
            Ok(end) => {
                self.sealed = Some(Box::new(Sealed { end, unsent: Vec::new() }));
                self.leave();
            }
            Err(why) => self.fail(why),
        }
    }

    /// Whether both sides have not agreed on TLS yet, and may still.
    pub fn is_shaking(&self) -> bool {
        self.end.is_none() && self.sealed.as_ref().is_some_and(|sealed| sealed.end.is_shaking())
    }

    /// Why there is no TLS on it, where that went wrong.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    fn fail(&mut self, why: String) {
        self.why.get_or_insert(why);
        self.end = Some(End::Reset);
    }

    /// Gives the socket what TLS has to say, as far as it takes that.
    fn leave(&mut self) {
        if let Some(sealed) = &mut self.sealed {
            sealed.end.leave(&mut sealed.unsent);
        }
        // Who does not take it is found out by the next read.
        let _ = self.push(&mut &[][..]);
    }

    /// Opens what has come.
    pub(super) fn open_records(&mut self, came: &[u8]) {
        let mut plain = [0; PLAIN_LEN];
        let Some(sealed) = &mut self.sealed else { return };
        let opened = sealed.end.take(came, &mut plain);
        let has_ended = sealed.end.has_ended();
        match opened {
            Ok(len) => self.keep(&plain[..len]),
            Err(why) => self.fail(why),
        }
        // An alert says why, and what comes last of a handshake says that it is over.
        self.leave();
        if has_ended {
            self.end.get_or_insert(End::Eof);
        }
    }

    /// The peer has gone away.
    pub(super) fn gone(&mut self, end: End) {
        let how = if end == End::Eof { "closed the connection" } else { "reset the connection" };
        self.why = self.why.take().or_else(|| self.sealed.as_ref()?.end.gone(how));
        self.end = Some(end);
    }

    /// Says, to TLS, that nothing more will be said.
    pub(super) fn say_goodbye(&mut self) {
        if let Some(sealed) = &mut self.sealed {
            sealed.end.say_goodbye();
            self.leave();
        }
    }
}
