//! TLS on a socket: what has come, and what it carried.

use std::io::Read as _;

use rustls::ClientConnection;

/// How many of a server's first bytes are kept, to see whether they are TLS at all.
const FIRST_LEN: usize = 64;

/// TLS on a socket.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) tls: ClientConnection,
    /// The server's first bytes.
    pub(super) first: Vec<u8>,
    /// Whether the server has said that no more will come.
    pub(super) ended: bool,
}

impl Session {
    /// Gives the session what has come; says how much of `plain` it has filled.
    pub(super) fn take(&mut self, mut came: &[u8], plain: &mut [u8]) -> Result<usize, rustls::Error> {
        let room = FIRST_LEN - self.first.len();
        self.first.extend_from_slice(&came[..came.len().min(room)]);
        let mut filled = 0;
        while !came.is_empty() {
            self.tls.read_tls(&mut came).expect("what was read before leaves room");
            self.tls.process_new_packets()?;
            while !self.ended && filled < plain.len() {
                match self.tls.reader().read(&mut plain[filled..]) {
                    Ok(0) => self.ended = true,
                    Ok(len) => filled += len,
                    Err(_) => break,
                }
            }
        }
        Ok(filled)
    }
}
