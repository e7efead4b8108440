//! `utf8`: answers `서버로부터 응답: ` and the text that it got.
//!
//! Every read is answered by itself, and a read may end inside a character. The rule is that no answer holds
//! half a character:
//!
//! - The bytes of a character that a read cut stay, at most three, and go before the next read.
//! - A read that brings no whole character is not answered yet.
//! - Bytes that are no UTF-8, and a character that the end of the stream cut, are answered as U+FFFD, one for each
//!   maximal part as in Unicode's recommended practice. So an answer is always valid UTF-8.
//!
//! However the text is cut, the answers without their prefixes are the same text. A datagram stands on its own:
//! nothing of it stays, and an empty one is answered by the prefix alone.

use std::sync::Arc;

use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{SettingError, Setup};

/// What stands before each answer's text.
pub const PREFIX: &str = "서버로부터 응답: ";

struct Utf8 {
    /// The beginning of a character.
    cut: Vec<u8>,
    datagram: bool,
}

impl Service for Utf8 {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.cut.extend_from_slice(input);
        let text = std::mem::take(&mut self.cut);
        let whole = if self.datagram { text.len() } else { whole_len(&text) };
        if whole > 0 || self.datagram {
            reply.send(PREFIX.as_bytes());
            reply.send(String::from_utf8_lossy(&text[..whole]).as_bytes());
        }
        self.cut.extend_from_slice(&text[whole..]);
    }

    fn end(&mut self, reply: &mut Reply) {
        if !self.cut.is_empty() {
            reply.send(PREFIX.as_bytes());
            reply.send("\u{fffd}".as_bytes());
        }
    }
}

/// The length of `text` without the character at its end that more bytes could make whole.
fn whole_len(text: &[u8]) -> usize {
    (1..=text.len().min(3))
        .map(|cut| text.len() - cut)
        .find(|&start| {
            // A character's first byte, with nothing wrong but that it ends too early.
            str::from_utf8(&text[start..]).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .unwrap_or(text.len())
}

pub(crate) fn make(_: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    Ok(Arc::new(|peer: &Peer| Utf8 { cut: Vec::new(), datagram: peer.transport.is_datagram() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Pipe;

    /// Sends `pieces` as one read each and checks the answers' texts, the one at the end too.
    #[track_caller]
    fn check(pieces: &[&[u8]], expected: &[&str]) {
        let server = |_: &Peer| Utf8 { cut: Vec::new(), datagram: false };
        let mut pipe = Pipe::open(&server, 1 << 20);
        for piece in pieces {
            pipe.send(piece);
        }
        pipe.end();
        let expected: String = expected.iter().map(|text| format!("{PREFIX}{text}")).collect();
        assert_eq!(String::from_utf8(pipe.take_output()), Ok(expected));
    }

    #[test]
    fn each_read_is_answered() {
        check(&["안녕".as_bytes(), b"abc"], &["안녕", "abc"]);
    }

    #[test]
    fn a_character_that_is_cut_waits_for_its_rest() {
        check(&[&"가".as_bytes()[..1], &"가".as_bytes()[1..2], &"가".as_bytes()[2..]], &["가"]);
        check(&[b"a\xf0\x9f", b"\x98\x80b"], &["a", "😀b"]);
    }

    #[test]
    fn a_character_that_is_never_whole_is_replaced() {
        check(&[b"a\xea\xb0", b"b"], &["a", "\u{fffd}b"]);
        check(&[b"a\xea\xb0"], &["a", "\u{fffd}"]);
    }

    #[test]
    fn bytes_that_begin_no_character_do_not_wait() {
        check(&[b"\x80"], &["\u{fffd}"]);
        check(&[b"\xff"], &["\u{fffd}"]);
        check(&[b"\xed\xa0"], &["\u{fffd}\u{fffd}"]);
    }
}
