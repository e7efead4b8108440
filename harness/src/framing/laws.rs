//! What every framing keeps to.
//!
//! The laws have three callers: the fuzz target, the replay of `corpus/framing/` and the property
//! tests. A law that is broken panics, with the framing, the cuts and the bytes in its message.
//!
//! - **Round trip.** What `encode` accepts comes back from `decode`, in order, however many are sent.
//!   What it refuses leaves the output as it was.
//! - **Chunking.** However the input is cut, messages, error and offsets are the same.
//! - **Promptness.** A message is there with its last byte, not with the byte after it.
//! - **Progress.** A message takes at least one byte and lies within its input, so that a loop over
//!   messages ends and does work for each byte once.
//! - **Canonical form.** What `decode` gives, `encode` accepts. It writes the same bytes, or fewer
//!   where the peer wrote more than it had to (a varint).
//!
//! That a lying length takes no memory needs no law: `decode` has nowhere to put it.

use std::fmt;
use std::iter::once;
use std::sync::Arc;

use super::{
    Decoded, FRAME_LEN_LIMIT, FRAME_LEN_MAX, Framing, FramingError, WIDTHS, delimiter, fixed, length_prefix, line,
};
use super::{crlf, datagram};

/// Checks all laws on bytes that choose their framing themselves, see [`Case::parse`].
pub fn check_bytes(bytes: &[u8]) {
    if let Some(case) = Case::parse(bytes) {
        case.check();
    }
}

/// What a case is about.
#[derive(Debug)]
pub enum Data<'a> {
    /// Bytes that arrive, in pieces.
    Input(&'a [u8]),
    /// Bytes to be sent, each piece as a message, after an empty one.
    Messages(&'a [u8]),
}

/// A framing and what to try on it.
pub struct Case<'a> {
    /// The framing.
    pub framing: Arc<dyn Framing>,
    /// Whether its input is a stream.
    pub stream: bool,
    /// Where the input is cut. A datagram is not: that would make it two.
    pub cuts: Cuts,
    /// What arrives, or what is sent.
    pub data: Data<'a>,
}

impl Case<'_> {
    /// Reads a case: three bytes and the data.
    ///
    /// 1. The kind, modulo 15: `0` line, `1` crlf, `2` delimiter, `3` fixed, `4` datagram, and from `5`
    ///    the rows of [`WIDTHS`].
    /// 2. Its parameter. Bit 7 is whether the data are [`Data::Messages`]. Bits 4 to 6 choose the limit:
    ///    1 MiB, 1, 2, 3, 8, 64, 128 or 1 GiB bytes. Bits 0 to 3 are whether a length includes its prefix
    ///    (bit 0), a fixed length less one, or the length less one of a delimiter, which then precedes
    ///    the data.
    /// 3. The [`Cuts`].
    ///
    /// `None` where the bytes are too few.
    pub fn parse(bytes: &[u8]) -> Option<Case<'_>> {
        let (&[kind, parameter, cuts], mut data) = bytes.split_first_chunk()?;
        let max = MAXES[usize::from(parameter >> 4) % MAXES.len()];
        let low = usize::from(parameter & 0xf);
        let kind = usize::from(kind) % (WIDTHS_FROM + WIDTHS.len());
        let framing = match kind {
            0 => line(max),
            1 => crlf(max),
            2 => {
                let (terminator, rest) = data.split_at_checked(low + 1)?;
                data = rest;
                delimiter(terminator, max)
            }
            3 => fixed(low + 1),
            DATAGRAM => Ok(datagram()),
            prefix => length_prefix(WIDTHS[prefix - WIDTHS_FROM].1, low & 1 == 1, max),
        };
        let framing = framing.expect("the limits and lengths above are within theirs");
        let stream = kind != DATAGRAM;
        let data = if parameter < 0x80 { Data::Input(data) } else { Data::Messages(data) };
        Some(Case { framing, stream, cuts: if stream { Cuts(cuts) } else { Cuts::NONE }, data })
    }

    /// Checks all laws.
    pub fn check(&self) {
        match self.data {
            Data::Input(input) => self.check_input(input),
            Data::Messages(bytes) => self.check_messages(once(&b""[..]).chain(self.cuts.pieces(bytes))),
        }
    }

    /// Checks the laws of [`Framing::decode`] on `input`.
    pub fn check_input(&self, input: &[u8]) {
        let whole = self.read(input, Cuts::NONE);
        if self.cuts != Cuts::NONE {
            let cut = self.read(input, self.cuts);
            if cut != whole {
                self.broken("chunking", &whole, &cut);
            }
        }
        let mut again = Vec::with_capacity(input.len());
        for message in &whole.messages {
            again.clear();
            let body = &input[message.start..message.end];
            if let Err(error) = self.framing.encode(body, &mut again) {
                self.broken("canonical form", &body, &error);
            }
            let wire = &input[message.front..message.after];
            if again == wire {
                continue;
            }
            let trace = self.read(&again, Cuts::NONE);
            let same = trace.messages.first().is_some_and(|m| again[m.start..m.end] == *body && m.after == again.len());
            if again.len() >= wire.len() || !same {
                self.broken("canonical form", &wire, &again);
            }
        }
    }

    /// Checks the laws of [`Framing::encode`] on `messages`.
    pub fn check_messages<'m>(&self, messages: impl IntoIterator<Item = &'m [u8]>) {
        let mut wire = Vec::new();
        let mut sent = Vec::with_capacity(USUAL);
        for message in messages {
            let before = wire.len();
            match self.framing.encode(message, &mut wire) {
                // An empty datagram has no bytes, so no framing can give it back.
                Ok(()) if !self.stream && message.is_empty() => {}
                Ok(()) => sent.push((before, message, wire.len())),
                Err(_) if wire.len() == before => {}
                Err(error) => self.broken("round trip", &error, &&wire[before..]),
            }
        }
        let trace = self.read(&wire, self.cuts);
        let received = trace.messages.iter().map(|m| (m.front, &wire[m.start..m.end], m.after));
        if trace.error.is_some() || !received.eq(sent.iter().copied()) {
            self.broken("round trip", &sent, &trace);
        }
    }

    /// Reads `input` as it arrives in pieces.
    fn read(&self, input: &[u8], cuts: Cuts) -> Trace {
        let mut trace = Trace { messages: Vec::with_capacity(USUAL), error: None };
        let (mut front, mut searched, mut arrived) = (0, 0, 0);
        for piece in cuts.pieces(input) {
            let arrived_before = arrived;
            arrived += piece.len();
            loop {
                match self.framing.decode(&input[front..arrived], searched) {
                    Ok(Decoded::Message { start, end, consumed }) => {
                        let after = front + consumed;
                        if consumed == 0 || start > end || end > consumed || after > arrived {
                            self.broken("progress", &(front..arrived), &(start, end, consumed));
                        }
                        if after <= arrived_before {
                            self.broken("promptness", &after, &arrived);
                        }
                        trace.messages.push(Message { front, start: front + start, end: front + end, after });
                        (front, searched) = (after, 0);
                    }
                    Ok(Decoded::NeedMore) => {
                        searched = arrived - front;
                        break;
                    }
                    Err(error) => {
                        trace.error = Some(error);
                        return trace;
                    }
                }
            }
        }
        trace
    }

    /// Panics. Formatting stands apart from the laws, since the sanitizers make each frame that formats slow.
    #[cold]
    #[inline(never)]
    fn broken(&self, law: &str, expected: &dyn fmt::Debug, found: &dyn fmt::Debug) -> ! {
        panic!("{law}: expected {expected:?}, found {found:?}: {self:?}");
    }
}

impl fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes) = match self.data {
            Data::Input(bytes) => ("Input", bytes),
            Data::Messages(bytes) => ("Messages", bytes),
        };
        write!(f, "{:?}, {:?}, {name}(b\"{}\")", self.framing, self.cuts, bytes.escape_ascii())
    }
}

/// Where bytes are cut: after the byte at `i` if bit `i % 8` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cuts(pub u8);

impl Cuts {
    /// All in one piece.
    pub const NONE: Cuts = Cuts(0);

    /// Byte by byte.
    pub const EVERY_BYTE: Cuts = Cuts(0xff);

    /// The pieces of `bytes`, none of them empty.
    fn pieces(self, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut rest = bytes;
        let mut at = 0_u32;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            // The next bit that is set, from here on and around; zeros all around mean the whole rest.
            let len = if self.0 == 0 { rest.len() } else { self.0.rotate_right(at % 8).trailing_zeros() as usize + 1 };
            let (piece, after) = rest.split_at(len.min(rest.len()));
            rest = after;
            at = (at + len as u32) % 8;
            Some(piece)
        })
    }
}

/// What reading an input gave.
#[derive(Debug, PartialEq)]
struct Trace {
    messages: Vec<Message>,
    error: Option<FramingError>,
}

/// A message by its offsets in the input.
#[derive(Debug, PartialEq)]
struct Message {
    front: usize,
    start: usize,
    end: usize,
    after: usize,
}

const MAXES: [usize; 8] = [FRAME_LEN_MAX, 1, 2, 3, 8, 64, 128, FRAME_LEN_LIMIT];
/// How many messages a case usually has; a fuzzer feels each allocation.
const USUAL: usize = 16;
const DATAGRAM: usize = 4;
const WIDTHS_FROM: usize = 5;

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use super::*;

    /// Line framing with one bug.
    #[derive(Debug)]
    enum Broken {
        /// Takes no byte for an empty line.
        ConsumesNothing,
        /// Takes what has arrived for a message.
        CutsAtReads,
        /// Looks for the terminator only in what is new, for a terminator of two bytes.
        ForgetsTheSeam,
        /// Waits for a byte after the message.
        IsLate,
        /// Cannot send what it received.
        RefusesTheEmpty,
        /// Leaves half a message behind when it refuses one.
        SpoilsTheOutput,
        /// Sends a message that holds its own terminator.
        TrustsTheSender,
    }

    impl Framing for Broken {
        fn decode(&self, input: &[u8], searched: usize) -> Result<Decoded, FramingError> {
            let from = match self {
                Broken::ForgetsTheSeam => searched,
                Broken::IsLate => 0,
                _ => searched.saturating_sub(1),
            };
            let Some(end) = memchr::memmem::find(&input[from..], b"\r\n").map(|at| from + at) else {
                return Ok(match self {
                    Broken::CutsAtReads if !input.is_empty() => {
                        Decoded::Message { start: 0, end: input.len(), consumed: input.len() }
                    }
                    _ => Decoded::NeedMore,
                });
            };
            Ok(match self {
                Broken::ConsumesNothing if end == 0 => Decoded::Message { start: 0, end, consumed: 0 },
                Broken::IsLate if input.len() == end + 2 => Decoded::NeedMore,
                _ => Decoded::Message { start: 0, end, consumed: end + 2 },
            })
        }

        fn encode(&self, message: &[u8], output: &mut Vec<u8>) -> Result<(), FramingError> {
            let refused = Err(FramingError::WrongLength { expected: 0, len: message.len() });
            match self {
                Broken::RefusesTheEmpty if message.is_empty() => return refused,
                Broken::SpoilsTheOutput if message == b"a" => {
                    output.push(b'a');
                    return refused;
                }
                Broken::TrustsTheSender => {}
                _ if memchr::memmem::find(message, b"\r\n").is_some() => return refused,
                _ => {}
            }
            output.extend_from_slice(message);
            output.extend_from_slice(b"\r\n");
            Ok(())
        }
    }

    #[track_caller]
    fn check(broken: Broken, cuts: Cuts, data: Data<'_>, law: &str) {
        let sound = crlf(FRAME_LEN_MAX).expect("the default limit is valid");
        let mut case = Case { framing: sound, stream: true, cuts, data };
        case.check();
        case.framing = Arc::new(broken);
        let panic = std::panic::catch_unwind(AssertUnwindSafe(|| case.check())).expect_err("a law is broken");
        let message = panic.downcast_ref::<String>().expect("the message is formatted");
        assert!(message.starts_with(law), "expected `{law}`, found `{message}`");
    }

    #[test]
    fn each_bug_breaks_its_law() {
        use Data::{Input, Messages};
        check(Broken::ConsumesNothing, Cuts::NONE, Input(b"\r\n"), "progress");
        check(Broken::CutsAtReads, Cuts::EVERY_BYTE, Input(b"ab"), "chunking");
        check(Broken::ForgetsTheSeam, Cuts::EVERY_BYTE, Input(b"a\r\nb\r\n"), "chunking");
        check(Broken::IsLate, Cuts::EVERY_BYTE, Input(b"a\r\nb\r\n"), "promptness");
        check(Broken::RefusesTheEmpty, Cuts::NONE, Input(b"\r\n"), "canonical form");
        check(Broken::SpoilsTheOutput, Cuts::NONE, Messages(b"a"), "round trip");
        check(Broken::TrustsTheSender, Cuts::NONE, Messages(b"a\r\nb"), "round trip");
    }

    #[track_caller]
    fn check_pieces(cuts: Cuts, expected: &[&str]) {
        let pieces: Vec<_> =
            cuts.pieces(b"0123456789").map(|piece| str::from_utf8(piece).expect("the bytes are digits")).collect();
        assert_eq!(pieces, expected);
    }

    #[test]
    fn cuts_repeat_every_eight_bytes() {
        check_pieces(Cuts::NONE, &["0123456789"]);
        check_pieces(Cuts::EVERY_BYTE, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
        check_pieces(Cuts(0b0000_0101), &["0", "12", "345678", "9"]);
        check_pieces(Cuts(0b1000_0000), &["01234567", "89"]);
    }

    #[test]
    fn each_kind_of_case_is_its_framing() {
        let kind =
            |kind| format!("{:?}", Case::parse(&[kind, 0x11, 0, b'.', b'.']).expect("there are enough bytes").framing);
        assert_eq!(kind(0), r#"Delimiter { terminator: b"\n", max: 1 }"#);
        assert_eq!(kind(1), r#"Delimiter { terminator: b"\r\n", max: 1 }"#);
        assert_eq!(kind(2), r#"Delimiter { terminator: b"..", max: 1 }"#);
        assert_eq!(kind(3), "Fixed { len: 2 }");
        assert_eq!(kind(4), "Datagram");
        assert_eq!(kind(5), "LengthPrefix { width: U8, includes_prefix: true, max: 1 }");
        assert_eq!(kind(14), "LengthPrefix { width: Varint, includes_prefix: true, max: 1 }");
        assert_eq!(kind(15), kind(0));
    }

    #[test]
    fn too_few_bytes_are_no_case() {
        assert!(Case::parse(&[0, 0]).is_none());
        assert!(Case::parse(&[2, 1, 0, b'.']).is_none());
    }
}
