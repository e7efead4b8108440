//! `chargen`: sends a pattern of characters (RFC 864).
//!
//! The pattern is the RFC's: lines of 72 of the 95 printing characters, each line beginning one further, ended
//! by CRLF. A stream gets `bytes` of it and is closed; what it sends is thrown away. A datagram is answered by
//! the pattern's first `datagram` bytes: the RFC's random length would make no two runs alike.

use std::sync::Arc;

use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{Setting, SettingError, Setup};

/// The settings of `chargen`.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "bytes", default: "1MiB", about: "how many bytes a stream gets before it is closed; 0 for no end" },
    Setting { name: "datagram", default: "512", about: "how many bytes a datagram is answered with, at most 512" },
];

/// RFC 864 allows a datagram no more.
const DATAGRAM_LEN_MAX: usize = 512;

/// How much is sent at a time: the whole pattern, after which it begins anew.
const PATTERN: [u8; 95 * 74] = {
    let mut pattern = [0; 95 * 74];
    let mut line = 0;
    while line < 95 {
        let mut column = 0;
        while column < 72 {
            pattern[line * 74 + column] = b' ' + ((line + column) % 95) as u8;
            column += 1;
        }
        pattern[line * 74 + 72] = b'\r';
        pattern[line * 74 + 73] = b'\n';
        line += 1;
    }
    pattern
};

struct Chargen {
    /// How many bytes are still to be sent on this stream; `None` for no end.
    left: Option<usize>,
    datagram_len: Option<usize>,
}

impl Service for Chargen {
    fn open(&mut self, reply: &mut Reply) {
        self.drained(reply);
    }

    fn receive(&mut self, _: &[u8], reply: &mut Reply) {
        if let Some(len) = self.datagram_len {
            reply.send(&PATTERN[..len]);
        }
    }

    fn drained(&mut self, reply: &mut Reply) {
        let len = self.left.map_or(PATTERN.len(), |left| left.min(PATTERN.len()));
        reply.send(&PATTERN[..len]);
        if let Some(left) = &mut self.left {
            *left -= len;
            if *left == 0 {
                reply.close();
            }
        }
    }
}

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let bytes = setup.settings.number("bytes")?;
    let left = (bytes > 0).then_some(bytes);
    let datagram_len = setup.settings.number("datagram")?.min(DATAGRAM_LEN_MAX);
    Ok(Arc::new(move |peer: &Peer| Chargen {
        left,
        datagram_len: peer.transport.is_datagram().then_some(datagram_len),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_begins_as_in_the_rfc() {
        let text = str::from_utf8(&PATTERN).unwrap();
        let mut lines = text.split("\r\n");
        let first = r##" !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefg"##;
        let second = r##"!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefgh"##;
        assert_eq!(lines.next(), Some(first));
        assert_eq!(lines.next(), Some(second));
        assert!(text.contains("xyz{|}~ !\"#"), "after the last character comes the first");
        assert!(
            text.ends_with("cdef\r\n"),
            "the last line begins with the last character, so that the next is the first again"
        );
    }
}
