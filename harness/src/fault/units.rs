//! What a fault counts on a stream: messages where there is a framing, reads where there is none.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::framing::{Decoded, Framing};

/// Finds where units begin and end, and holds nothing up: bytes of a message that is not whole yet have passed already.
#[derive(Debug)]
pub(super) struct Units {
    framing: Option<Arc<dyn Framing>>,
    /// What has passed of the message in hand. No framing lets it grow over its own limit.
    begun: BytesMut,
    searched: usize,
}

/// A part of what arrived that belongs to one unit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) data: Bytes,
    pub(super) begins: bool,
    pub(super) ends: bool,
}

impl Units {
    pub(super) fn new(framing: Option<Arc<dyn Framing>>) -> Units {
        Units { framing, begun: BytesMut::new(), searched: 0 }
    }

    /// Whether units are messages, which may come in several parts.
    pub(super) fn are_messages(&self) -> bool {
        self.framing.is_some()
    }

    /// Cuts `data` where a unit ends.
    pub(super) fn cut(&mut self, mut data: Bytes) -> Vec<Part> {
        let mut parts = Vec::new();
        while !data.is_empty() {
            let begins = self.begun.is_empty();
            let Some(framing) = &self.framing else {
                parts.push(Part { data, begins: true, ends: true });
                break;
            };
            let before = self.begun.len();
            if before > 0 {
                self.begun.extend_from_slice(&data);
            }
            match framing.decode(if begins { &data } else { &self.begun }, self.searched) {
                Ok(Decoded::Message { consumed, .. }) => {
                    // What came before did not hold the whole message, so it ends in what came now.
                    let taken = consumed.saturating_sub(before).clamp(1, data.len());
                    parts.push(Part { data: data.split_to(taken), begins, ends: true });
                    self.begun.clear();
                    self.searched = 0;
                }
                Ok(Decoded::NeedMore) => {
                    if begins {
                        self.begun.extend_from_slice(&data);
                    }
                    self.searched = self.begun.len();
                    parts.push(Part { data: data.split_off(0), begins, ends: false });
                }
                Err(_) => {
                    // What is no message any more is counted by reads, as all that comes after it.
                    self.framing = None;
                    self.begun = BytesMut::new();
                    parts.push(Part { data: data.split_off(0), begins, ends: true });
                }
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing;

    #[track_caller]
    fn check(framing: Option<Arc<dyn Framing>>, reads: &[&str], expected: &[(&str, bool, bool)]) {
        let mut units = Units::new(framing);
        let parts: Vec<Part> =
            reads.iter().flat_map(|read| units.cut(Bytes::copy_from_slice(read.as_bytes()))).collect();
        let parts: Vec<_> =
            parts.iter().map(|part| (str::from_utf8(&part.data).unwrap(), part.begins, part.ends)).collect();
        assert_eq!(parts, expected);
    }

    #[test]
    fn each_read_is_a_unit_where_nothing_says_otherwise() {
        check(None, &["ab", "c"], &[("ab", true, true), ("c", true, true)]);
    }

    #[test]
    fn a_message_is_a_unit_however_it_arrives() {
        let line = framing::line(64).ok();
        check(line.clone(), &["a\nbc\n"], &[("a\n", true, true), ("bc\n", true, true)]);
        check(line, &["a", "b\nc"], &[("a", true, false), ("b\n", false, true), ("c", true, false)]);
    }

    #[test]
    fn what_is_no_message_is_counted_by_reads() {
        check(
            framing::line(2).ok(),
            &["abcdef", "gh", "i"],
            &[("abcdef", true, true), ("gh", true, true), ("i", true, true)],
        );
    }
}
