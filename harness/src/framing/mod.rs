//! Where a message ends.
//!
//! A [`Framing`] cuts messages out of a stream and puts them into one. It knows lengths and
//! terminators; what a message means is a protocol's business, and the buffer, the reads and the
//! offset in the stream belong to the caller, who adds that context to an error.
//!
//! A framing is one file here, its `mod` line and its row in [`FRAMINGS`]. [`laws`] says what all of
//! them keep to.

use std::fmt;
use std::ops::RangeInclusive;

mod datagram;
mod delimiter;
mod error;
mod fixed;
pub mod laws;
mod length_prefix;
mod lower;

pub use datagram::datagram;
pub use delimiter::{DELIMITER_LEN_MAX, crlf, delimiter, line};
pub use error::FramingError;
pub use fixed::fixed;
pub use length_prefix::{WIDTHS, Width, length_prefix};
pub(crate) use lower::lower;

/// Cuts messages out of a stream, and puts them into one.
///
/// A framing has no state: whoever holds the buffer calls again when more has arrived.
pub trait Framing: fmt::Debug + Send + Sync {
    /// Cuts one message from the front of `input`.
    ///
    /// The first `searched` bytes were the whole input of a call before, which answered
    /// [`Decoded::NeedMore`]; a framing that looks for a terminator need not look there again. It is
    /// `0` for a new message. However the bytes arrive, messages and errors are the same.
    ///
    /// The answer points into `input`, so a length that lies costs no memory.
    fn decode(&self, input: &[u8], searched: usize) -> Result<Decoded, FramingError>;

    /// How long a message can be, without what frames it.
    fn lens(&self) -> RangeInclusive<usize> {
        0..=usize::MAX
    }

    /// How it says where a message ends, for whoever has to say it in another language.
    ///
    /// `None` where only the framing itself can.
    fn shape(&self) -> Option<Shape<'_>> {
        None
    }

    /// Appends `message` to `output` with the framing around it.
    ///
    /// Refuses what [`Framing::decode`] could not give back, and then leaves `output` as it was.
    fn encode(&self, message: &[u8], output: &mut Vec<u8>) -> Result<(), FramingError>;
}

/// How a framing says where a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// By these bytes, after at most so many.
    Delimiter(&'a [u8], usize),
    /// By its length, which is always the same.
    Fixed(usize),
    /// By a length in front of it.
    LengthPrefix {
        /// How that lies in bytes.
        width: Width,
        /// Whether it counts itself.
        includes_prefix: bool,
        /// The most that it may say, itself not counted.
        max: usize,
    },
}

/// What [`Framing::decode`] found at the front of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A row of the table of framings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How a scenario names it.
    pub name: &'static str,
    /// One line for help.
    pub about: &'static str,
    /// How it stands in a scenario.
    pub example: &'static str,
}

/// The framings that a scenario can name.
///
/// `raw` has no code here: it is the absence of a framing. A read is no message, so on a raw stream it
/// is the expectation that says how many bytes belong to it.
pub const FRAMINGS: &[Entry] = &[
    Entry { name: "crlf", about: "a message ends with CR LF", example: r#"framing = "crlf""# },
    Entry { name: "datagram", about: "a datagram is a message", example: r#"framing = "datagram""# },
    Entry {
        name: "delimiter",
        about: "a message ends with bytes of your choice",
        example: r#"framing = { delimiter = "\r\n\r\n" }"#,
    },
    Entry { name: "fixed", about: "all messages have one length", example: "framing = { fixed = 48 }" },
    Entry {
        name: "length_prefix",
        about: "a message begins with its length",
        example: r#"framing = { length_prefix = "u32be", includes_prefix = false, max = 65_536 }"#,
    },
    Entry { name: "line", about: "a message ends with LF", example: r#"framing = "line""# },
    Entry { name: "raw", about: "no messages, a stream of bytes", example: r#"framing = "raw""# },
];

/// How long a message may be unless the scenario says otherwise, in bytes without terminator or prefix.
pub const FRAME_LEN_MAX: usize = 1 << 20;

/// The highest limit that a scenario can set.
pub const FRAME_LEN_LIMIT: usize = 1 << 30;

/// Gives `max` back if it can be a limit.
fn check_max(max: usize) -> Result<usize, FramingError> {
    if (1..=FRAME_LEN_LIMIT).contains(&max) { Ok(max) } else { Err(FramingError::MaxOutOfRange { max }) }
}
