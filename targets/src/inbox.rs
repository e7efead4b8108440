//! Bytes that arrived and are not done with.

/// The most memory that an empty inbox keeps: little enough for every idle connection.
const KEPT_LEN_MAX: usize = 512;

/// A queue of bytes that is read from the front as one slice.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    done: usize,
}

impl Inbox {
    /// Appends what arrived.
    pub(crate) fn push(&mut self, input: &[u8]) {
        self.bytes.extend_from_slice(input);
    }

    /// What is not done with.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.done..]
    }

    /// The first `len` bytes of the rest are done with.
    pub(crate) fn consume(&mut self, len: usize) {
        self.done += len;
    }

    /// Frees what is done with: called once an input, not once a message, so that it stays linear.
    pub(crate) fn compact(&mut self) {
        self.bytes.drain(..std::mem::take(&mut self.done));
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT_LEN_MAX {
            self.bytes = Vec::new();
        }
    }
}
