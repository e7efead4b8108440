//! Why bytes are no message, a message cannot be framed, or a framing cannot be.

use std::fmt;

use super::{DELIMITER_LEN_MAX, FRAME_LEN_LIMIT};

/// What goes wrong in a framing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FramingError {
    /// A delimiter is empty or longer than [`DELIMITER_LEN_MAX`].
    DelimiterOutOfRange {
        /// Its length.
        len: usize,
    },
    /// A fixed length is zero or above [`FRAME_LEN_LIMIT`].
    FixedOutOfRange {
        /// The length.
        len: usize,
    },
    /// A limit is zero or above [`FRAME_LEN_LIMIT`].
    MaxOutOfRange {
        /// The limit.
        max: usize,
    },
    /// The bytes are no message of the actor's protocol.
    NoMessage {
        /// Why not.
        why: String,
    },
    /// No terminator came within the limit.
    NoTerminator {
        /// What should have come.
        terminator: Box<[u8]>,
        /// The limit.
        max: usize,
    },
    /// A length that counts its own prefix is less than that prefix.
    PrefixTooSmall {
        /// The length.
        len: u64,
        /// How many bytes the prefix takes.
        prefix_len: usize,
    },
    /// A message to be sent holds the terminator that would end it.
    TerminatorInside {
        /// Where it begins. It may end in the terminator that follows the message.
        at: usize,
        /// The terminator.
        terminator: Box<[u8]>,
    },
    /// The message is, or says that it is, longer than the limit.
    TooLong {
        /// Its length in bytes.
        len: u64,
        /// The limit.
        max: usize,
    },
    /// A message to be sent is longer than its prefix can say.
    TooLongForPrefix {
        /// Its length in bytes.
        len: usize,
        /// The greatest length that the prefix can say.
        max: u64,
        /// The prefix's name.
        width: &'static str,
    },
    /// A varint goes on after ten bytes or does not fit 64 bits.
    VarintTooLong,
    /// A message to be sent does not have the one length that all have.
    WrongLength {
        /// The length that all have.
        expected: usize,
        /// The length that this one has.
        len: usize,
    },
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FramingError::DelimiterOutOfRange { len } => {
                write!(f, "expected a delimiter of `1` to `{DELIMITER_LEN_MAX}` bytes, found `{len}`")
            }
            FramingError::FixedOutOfRange { len } => {
                write!(f, "expected a length of `1` to `{FRAME_LEN_LIMIT}` bytes, found `{len}`")
            }
            FramingError::MaxOutOfRange { max } => {
                write!(f, "expected a limit of `1` to `{FRAME_LEN_LIMIT}` bytes, found `{max}`")
            }
            FramingError::NoMessage { why } => f.write_str(why),
            FramingError::NoTerminator { terminator, max } => write!(
                f,
                "expected `{}` after at most `{max}` bytes of message, found none; `max` raises the limit",
                terminator.escape_ascii()
            ),
            FramingError::PrefixTooSmall { len, prefix_len } => write!(
                f,
                "expected a length of at least `{prefix_len}`, since it counts its own prefix, found `{len}`; \
                 `includes_prefix = false` counts the body alone"
            ),
            FramingError::TerminatorInside { at, terminator } => write!(
                f,
                "expected a message without `{}`, which ends it, found one at byte `{at}`; \
                 `{{ raw = .. }}` sends bytes as they are",
                terminator.escape_ascii()
            ),
            FramingError::TooLong { len, max } => {
                write!(f, "expected a message of at most `{max}` bytes, found one of `{len}`; `max` raises the limit")
            }
            FramingError::TooLongForPrefix { len, max, width } => {
                write!(f, "expected a message of at most `{max}` bytes for a `{width}` prefix, found one of `{len}`")
            }
            FramingError::VarintTooLong => {
                write!(f, "expected a varint of at most `10` bytes that fits 64 bits, found a longer one")
            }
            FramingError::WrongLength { expected, len } => write!(
                f,
                "expected a message of exactly `{expected}` bytes, found one of `{len}`; \
                 `{{ raw = .. }}` sends bytes as they are"
            ),
        }
    }
}

impl std::error::Error for FramingError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: &FramingError, expected: &str) {
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_message_says_what_was_expected_what_was_found_and_what_to_do() {
        let terminator: Box<[u8]> = Box::from(*b"\r\n");
        check(&FramingError::DelimiterOutOfRange { len: 0 }, "expected a delimiter of `1` to `256` bytes, found `0`");
        check(&FramingError::FixedOutOfRange { len: 0 }, "expected a length of `1` to `1073741824` bytes, found `0`");
        check(&FramingError::MaxOutOfRange { max: 0 }, "expected a limit of `1` to `1073741824` bytes, found `0`");
        check(
            &FramingError::NoTerminator { terminator: terminator.clone(), max: 16 },
            r"expected `\r\n` after at most `16` bytes of message, found none; `max` raises the limit",
        );
        check(
            &FramingError::PrefixTooSmall { len: 3, prefix_len: 4 },
            "expected a length of at least `4`, since it counts its own prefix, found `3`; \
             `includes_prefix = false` counts the body alone",
        );
        check(
            &FramingError::TerminatorInside { at: 5, terminator },
            r"expected a message without `\r\n`, which ends it, found one at byte `5`; `{ raw = .. }` sends bytes as they are",
        );
        check(
            &FramingError::TooLong { len: u64::from(u32::MAX), max: 16 },
            "expected a message of at most `16` bytes, found one of `4294967295`; `max` raises the limit",
        );
        check(
            &FramingError::TooLongForPrefix { len: 256, max: 255, width: "u8" },
            "expected a message of at most `255` bytes for a `u8` prefix, found one of `256`",
        );
        check(
            &FramingError::VarintTooLong,
            "expected a varint of at most `10` bytes that fits 64 bits, found a longer one",
        );
        check(
            &FramingError::WrongLength { expected: 48, len: 47 },
            "expected a message of exactly `48` bytes, found one of `47`; `{ raw = .. }` sends bytes as they are",
        );
    }
}
