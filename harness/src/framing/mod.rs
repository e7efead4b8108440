//! Where a message ends. One framing a file, one row in the table.

use std::fmt;

/// Cuts messages out of a stream, and puts them into one.
///
/// A framing has no state: whoever holds the buffer calls again when more has arrived.
pub trait Framing: fmt::Debug + Send + Sync {
    /// Cuts one message from the front of `input`.
    ///
    /// The first `searched` bytes were part of the input of the call before, which answered
    /// [`Decoded::NeedMore`]; a framing that looks for a delimiter need not look there again.
    /// However the bytes arrive, the messages are the same.
    fn decode(&self, input: &[u8], searched: usize) -> Result<Decoded, FramingError>;

    /// Appends `message` to `output` with the framing around it.
    fn encode(&self, message: &[u8], output: &mut Vec<u8>) -> Result<(), FramingError>;
}

/// What [`Framing::decode`] found at the front of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole message: its body is `input[start..end]`, and `consumed` bytes are done with.
    Message {
        /// Where the body begins.
        start: usize,
        /// Where it ends.
        end: usize,
        /// How many bytes the message takes with its terminator or prefix, at least 1.
        consumed: usize,
    },
    /// The message is not whole yet.
    NeedMore,
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FramingError {
    /// The message is, or says that it is, longer than the limit.
    TooLong {
        /// Its length in bytes, as far as it is known.
        len: u64,
        /// The limit.
        max: usize,
    },
}
