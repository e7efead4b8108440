//! Messages that end with a terminator: `delimiter`, and `line` and `crlf`, which are delimiters with
//! a name of their own.
//!
//! A terminator is never part of a message. A `line` ends with LF alone: a CR before it belongs to the
//! message, since otherwise it could not be given back.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use memchr::memmem::Finder;

use super::{Decoded, Framing, FramingError, Shape, check_max};

/// How long a delimiter may be. A longer one is more likely a mistake than a protocol.
pub const DELIMITER_LEN_MAX: usize = 256;

/// Cuts messages that end with LF, of at most `max` bytes without it.
pub fn line(max: usize) -> Result<Arc<dyn Framing>, FramingError> {
    delimiter(b"\n", max)
}

/// Cuts messages that end with CR LF, of at most `max` bytes without it. A CR or LF alone is data.
pub fn crlf(max: usize) -> Result<Arc<dyn Framing>, FramingError> {
    delimiter(b"\r\n", max)
}

/// Cuts messages that end with `terminator`, of at most `max` bytes without it.
pub fn delimiter(terminator: &[u8], max: usize) -> Result<Arc<dyn Framing>, FramingError> {
    if !(1..=DELIMITER_LEN_MAX).contains(&terminator.len()) {
        return Err(FramingError::DelimiterOutOfRange { len: terminator.len() });
    }
    Ok(Arc::new(Delimiter { finder: Finder::new(terminator).into_owned(), max: check_max(max)? }))
}

struct Delimiter {
    finder: Finder<'static>,
    max: usize,
}

impl Delimiter {
    /// Whether a terminator may still come to lie within the limit when more bytes follow `input`,
    /// which holds none so far.
    fn may_end(&self, input: &[u8]) -> bool {
        let terminator = self.finder.needle();
        let cut_from = (input.len() + 1).saturating_sub(terminator.len());
        input.len() <= self.max || (cut_from..=self.max).any(|at| terminator.starts_with(&input[at..]))
    }
}

impl Framing for Delimiter {
    fn decode(&self, input: &[u8], searched: usize) -> Result<Decoded, FramingError> {
        let len = self.finder.needle().len();
        // Beyond this a terminator would be too late, even though it is there: what arrives together
        // must not decide what is too long.
        let window = input.len().min(self.max + len);
        // A terminator can begin in bytes that were searched, and end in new ones.
        let from = searched.saturating_sub(len - 1).min(window);
        if let Some(at) = self.finder.find(&input[from..window]) {
            let end = from + at;
            return Ok(Decoded::Message { start: 0, end, consumed: end + len });
        }
        if self.may_end(input) {
            return Ok(Decoded::NeedMore);
        }
        Err(FramingError::NoTerminator { terminator: self.finder.needle().into(), max: self.max })
    }

    fn shape(&self) -> Option<Shape<'_>> {
        Some(Shape::Delimiter(self.finder.needle(), self.max))
    }

    fn lens(&self) -> RangeInclusive<usize> {
        0..=self.max
    }

    fn encode(&self, message: &[u8], output: &mut Vec<u8>) -> Result<(), FramingError> {
        if message.len() > self.max {
            return Err(FramingError::TooLong { len: message.len() as u64, max: self.max });
        }
        let start = output.len();
        output.extend_from_slice(message);
        output.extend_from_slice(self.finder.needle());
        // Without the last byte only a terminator that comes too early is found, be it one that the
        // end of the message makes together with its own: `a` before `aa`.
        if let Some(at) = self.finder.find(&output[start..output.len() - 1]) {
            output.truncate(start);
            return Err(FramingError::TerminatorInside { at, terminator: self.finder.needle().into() });
        }
        Ok(())
    }
}

impl fmt::Debug for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delimiter {{ terminator: b\"{}\", max: {} }}", self.finder.needle().escape_ascii(), self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::FRAME_LEN_LIMIT;

    fn message(end: usize, consumed: usize) -> Result<Decoded, FramingError> {
        Ok(Decoded::Message { start: 0, end, consumed })
    }

    fn no_terminator(terminator: &[u8], max: usize) -> Result<Decoded, FramingError> {
        Err(FramingError::NoTerminator { terminator: terminator.into(), max })
    }

    fn framing(terminator: &[u8], max: usize) -> Arc<dyn Framing> {
        delimiter(terminator, max).expect("terminators and limits here are valid")
    }

    #[track_caller]
    fn check(terminator: &[u8], max: usize, input: &[u8], expected: &Result<Decoded, FramingError>) {
        assert_eq!(&framing(terminator, max).decode(input, 0), expected);
    }

    #[test]
    fn a_message_ends_where_its_terminator_begins() {
        check(b"\n", 9, b"ab\ncd\n", &message(2, 3));
        check(b"\r\n", 9, b"a\rb\nc\r\n", &message(5, 7));
        check(b"\r\n", 9, b"a\r\r\n", &message(2, 4));
        check(b"\n", 9, b"\n", &message(0, 1));
    }

    #[test]
    fn a_line_keeps_its_carriage_return() {
        assert_eq!(line(9).and_then(|line| line.decode(b"a\r\n", 0)), message(2, 3));
        assert_eq!(crlf(9).and_then(|crlf| crlf.decode(b"a\n\r\n", 0)), message(2, 4));
    }

    #[test]
    fn a_cut_terminator_waits_for_the_rest() {
        let framing = framing(b"\r\n\r\n", 9);
        assert_eq!(framing.decode(b"a\r\n\r", 0), Ok(Decoded::NeedMore));
        assert_eq!(framing.decode(b"a\r\n\r\n", 4), message(1, 5));
    }

    #[test]
    fn the_longest_message_passes_and_one_byte_more_does_not() {
        check(b"\n", 2, b"ab\n", &message(2, 3));
        check(b"\n", 2, b"abc\n", &no_terminator(b"\n", 2));
        check(b"\r\n", 2, b"ab\r\n", &message(2, 4));
        check(b"\r\n", 2, b"abc\r\n", &no_terminator(b"\r\n", 2));
    }

    #[test]
    fn a_message_is_too_long_as_soon_as_that_is_certain() {
        check(b"\n", 2, b"ab", &Ok(Decoded::NeedMore));
        check(b"\n", 2, b"abc", &no_terminator(b"\n", 2));
        check(b"\r\n", 2, b"ab\r", &Ok(Decoded::NeedMore));
        check(b"\r\n", 2, b"abc", &no_terminator(b"\r\n", 2));
        check(b"--x--", 1, b"--x-", &Ok(Decoded::NeedMore));
        check(b"--x--", 1, b"---x", &Ok(Decoded::NeedMore));
        check(b"--x--", 1, b"--y", &no_terminator(b"--x--", 1));
    }

    #[track_caller]
    fn check_encode(terminator: &[u8], message: &[u8], expected: &Result<&[u8], FramingError>) {
        let mut output = b">".to_vec();
        let encoded = framing(terminator, 4).encode(message, &mut output);
        assert_eq!(&encoded.map(|()| &output[1..]), expected);
    }

    #[test]
    fn a_message_that_would_be_cut_early_is_refused() {
        let inside = |at, terminator: &[u8]| Err(FramingError::TerminatorInside { at, terminator: terminator.into() });
        check_encode(b"\n", b"ab", &Ok(b"ab\n"));
        check_encode(b"\n", b"a\nb", &inside(1, b"\n"));
        check_encode(b"\r\n", b"ab\r", &Ok(b"ab\r\r\n"));
        check_encode(b"aa", b"ba", &inside(1, b"aa"));
        check_encode(b"abab", b"ab", &inside(0, b"abab"));
        check_encode(b"\n", b"abcde", &Err(FramingError::TooLong { len: 5, max: 4 }));
    }

    #[test]
    fn a_refused_message_leaves_the_output_as_it_was() {
        let mut output = b"before".to_vec();
        assert!(framing(b"\n", 4).encode(b"a\nb", &mut output).is_err());
        assert_eq!(output, b"before");
    }

    #[test]
    fn terminators_and_limits_that_cannot_be_are_refused() {
        assert_eq!(delimiter(b"", 1).err(), Some(FramingError::DelimiterOutOfRange { len: 0 }));
        assert_eq!(delimiter(&[0; 257], 1).err(), Some(FramingError::DelimiterOutOfRange { len: 257 }));
        assert_eq!(line(0).err(), Some(FramingError::MaxOutOfRange { max: 0 }));
        assert!(line(FRAME_LEN_LIMIT).is_ok());
        assert_eq!(crlf(FRAME_LEN_LIMIT + 1).err(), Some(FramingError::MaxOutOfRange { max: FRAME_LEN_LIMIT + 1 }));
    }
}
