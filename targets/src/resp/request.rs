//! Where a request of RESP ends, however its bytes arrive.

use std::ops::Range;

/// The longest inline request, as in Redis.
pub(super) const INLINE_LEN_MAX: usize = 64 << 10;
/// The longest line that says how many or how long: `*1048576\r\n`.
const HEADER_LEN_MAX: usize = 32;

/// What the front of the input is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The request needs more bytes.
    NeedMore,
    /// The first `len` bytes are a request of these words; of none, it is to be ignored.
    Request { words: Vec<Range<usize>>, len: usize },
}

/// The bytes are no request, and where the next one begins cannot be known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ProtocolError {
    /// A word does not begin with a dollar.
    NoDollar(u8),
    /// A word's length is no number, or too large.
    BulkLength,
    /// An inline request is too long.
    InlineTooLong,
    /// The number of words is none, or too large.
    MultibulkLength,
}

impl ProtocolError {
    /// What Redis says.
    pub(super) fn text(&self) -> String {
        match self {
            ProtocolError::NoDollar(byte) => {
                format!("ERR Protocol error: expected '$', got '{}'", byte.escape_ascii())
            }
            ProtocolError::BulkLength => "ERR Protocol error: invalid bulk length".into(),
            ProtocolError::InlineTooLong => "ERR Protocol error: too big inline request".into(),
            ProtocolError::MultibulkLength => "ERR Protocol error: invalid multibulk length".into(),
        }
    }
}

/// How far the first request has been read: what was seen once is not looked at again.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// Everything before here is understood.
    at: usize,
    /// How many words are still to come; `None` before the first line.
    left: Option<usize>,
    words: Vec<Range<usize>>,
}

impl Parser {
    /// Reads on in `input`, which begins where the request does. After a request it is ready for the next.
    pub(super) fn parse(&mut self, input: &[u8], len_max: usize) -> Result<Parsed, ProtocolError> {
        let Some(&first) = input.first() else { return Ok(Parsed::NeedMore) };
        if first != b'*' {
            return self.parse_inline(input);
        }
        let mut left = match self.left {
            Some(left) => left,
            None => {
                let Some((count, end)) = number(input, 1).map_err(|NoNumber| ProtocolError::MultibulkLength)? else {
                    return Ok(Parsed::NeedMore);
                };
                // A word has six bytes at least.
                let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
                if count > len_max / 6 {
                    return Err(ProtocolError::MultibulkLength);
                }
                self.at = end;
                count
            }
        };
        while left > 0 {
            self.left = Some(left);
            match input.get(self.at) {
                None => return Ok(Parsed::NeedMore),
                Some(b'$') => {}
                Some(&byte) => return Err(ProtocolError::NoDollar(byte)),
            }
            let Some((len, start)) = number(input, self.at + 1).map_err(|NoNumber| ProtocolError::BulkLength)? else {
                return Ok(Parsed::NeedMore);
            };
            let len = usize::try_from(len).map_err(|_| ProtocolError::BulkLength)?;
            if len > len_max.saturating_sub(start + 2) {
                return Err(ProtocolError::BulkLength);
            }
            // Redis does not look at the two bytes after a word, either.
            if input.len() < start + len + 2 {
                return Ok(Parsed::NeedMore);
            }
            self.words.push(start..start + len);
            self.at = start + len + 2;
            left -= 1;
        }
        Ok(self.request(self.at))
    }

    /// Words in one line, as somebody types them: no quotes, no escapes.
    fn parse_inline(&mut self, input: &[u8]) -> Result<Parsed, ProtocolError> {
        let end = memchr::memchr(b'\n', &input[self.at..]).map(|end| self.at + end);
        if end.unwrap_or(input.len()) > INLINE_LEN_MAX {
            return Err(ProtocolError::InlineTooLong);
        }
        let Some(end) = end else {
            self.at = input.len();
            return Ok(Parsed::NeedMore);
        };
        let mut start = 0;
        for word in input[..end].split(u8::is_ascii_whitespace) {
            if !word.is_empty() {
                self.words.push(start..start + word.len());
            }
            start += word.len() + 1;
        }
        Ok(self.request(end + 1))
    }

    fn request(&mut self, len: usize) -> Parsed {
        let words = std::mem::take(self).words;
        Parsed::Request { words, len }
    }
}

/// A line is no number, or is longer than one.
struct NoNumber;

/// The number from `at` to the end of its line, and where the next line begins; `None` if the line is not whole.
fn number(input: &[u8], at: usize) -> Result<Option<(i64, usize)>, NoNumber> {
    let line = &input[at..];
    let line = &line[..line.len().min(HEADER_LEN_MAX)];
    let Some(end) = memchr::memchr(b'\n', line) else {
        return if line.len() == HEADER_LEN_MAX { Err(NoNumber) } else { Ok(None) };
    };
    let digits = line[..end].strip_suffix(b"\r").ok_or(NoNumber)?;
    let digits = std::str::from_utf8(digits).map_err(|_| NoNumber)?;
    Ok(Some((digits.parse().map_err(|_| NoNumber)?, at + end + 1)))
}
