//! What a command answers, as RESP 2 writes it.

use super::Error;

/// One reply, up to a limit.
#[derive(Debug)]
pub(super) struct Answer {
    bytes: Vec<u8>,
    len_max: usize,
    too_long: bool,
}

impl Answer {
    pub(super) fn new(len_max: usize) -> Answer {
        Answer { bytes: Vec::new(), len_max, too_long: false }
    }

    /// The reply's bytes, or the error in its place.
    pub(super) fn finish(mut self, played: Result<(), Error>) -> Vec<u8> {
        let played = if self.too_long { played.and(Err(Error::ReplyTooLong)) } else { played };
        if let Err(error) = played {
            self.bytes.clear();
            self.bytes.push(b'-');
            self.bytes.extend_from_slice(error.text().as_bytes());
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.bytes
    }

    /// `+text`
    pub(super) fn simple(&mut self, text: &str) {
        self.push(&[b"+", text.as_bytes(), b"\r\n"]);
    }

    /// `+OK`
    pub(super) fn ok(&mut self) {
        self.simple("OK");
    }

    /// `:number`
    pub(super) fn integer(&mut self, number: i64) {
        self.push(&[b":", number.to_string().as_bytes(), b"\r\n"]);
    }

    /// `:number`, of things that are counted.
    pub(super) fn count(&mut self, count: usize) {
        self.integer(count as i64); // nothing that is held in memory is counted beyond it
    }

    /// `$len` and the bytes.
    pub(super) fn bulk(&mut self, bytes: &[u8]) {
        self.push(&[b"$", bytes.len().to_string().as_bytes(), b"\r\n", bytes, b"\r\n"]);
    }

    /// The bytes, or the nil that stands for none.
    pub(super) fn optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.push(&[b"$-1\r\n"]),
        }
    }

    /// The array that stands for none.
    pub(super) fn no_array(&mut self) {
        self.push(&[b"*-1\r\n"]);
    }

    /// `*len`: so many replies follow.
    pub(super) fn array(&mut self, len: usize) {
        self.push(&[b"*", len.to_string().as_bytes(), b"\r\n"]);
    }

    /// An array of these.
    pub(super) fn bulks<'a>(&mut self, items: impl ExactSizeIterator<Item = &'a [u8]>) {
        self.array(items.len());
        items.for_each(|item| self.bulk(item));
    }

    fn push(&mut self, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.too_long |= len > self.len_max - self.bytes.len();
        if !self.too_long {
            parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        }
    }
}
