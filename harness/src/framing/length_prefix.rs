//! Messages that begin with their length.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Decoded, Framing, FramingError, Shape, check_max};

/// How a length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    U8,
    /// Two bytes, most significant first.
    U16Be,
    /// Two bytes, least significant first.
    U16Le,
    /// Three bytes, most significant first.
    U24Be,
    /// Three bytes, least significant first.
    U24Le,
    /// Four bytes, most significant first.
    U32Be,
    /// Four bytes, least significant first.
    U32Le,
    /// Eight bytes, most significant first.
    U64Be,
    /// Eight bytes, least significant first.
    U64Le,
    /// Unsigned LEB128: seven bits a byte, least significant first, of at most ten bytes.
    ///
    /// A peer may write more bytes than the value needs; we write the shortest form.
    Varint,
}

/// The widths by the names that a scenario gives them.
pub const WIDTHS: &[(&str, Width)] = &[
    ("u8", Width::U8),
    ("u16be", Width::U16Be),
    ("u16le", Width::U16Le),
    ("u24be", Width::U24Be),
    ("u24le", Width::U24Le),
    ("u32be", Width::U32Be),
    ("u32le", Width::U32Le),
    ("u64be", Width::U64Be),
    ("u64le", Width::U64Le),
    ("varint", Width::Varint),
];

/// Cuts messages that begin with their length, of at most `max` bytes without it.
///
/// With `includes_prefix` the length counts the bytes that it takes itself; `max` does not.
pub fn length_prefix(width: Width, includes_prefix: bool, max: usize) -> Result<Arc<dyn Framing>, FramingError> {
    Ok(Arc::new(LengthPrefix { width, includes_prefix, max: check_max(max)? }))
}

impl Width {
    /// The width of that name.
    pub fn named(name: &str) -> Option<Width> {
        WIDTHS.iter().find(|(known, _)| *known == name).map(|(_, width)| *width)
    }

    /// How a scenario names it.
    pub fn name(self) -> &'static str {
        WIDTHS[self as usize].0
    }

    /// Reads a length and how many bytes it takes; `None` until all of them are there.
    fn read(self, input: &[u8]) -> Result<Option<(u64, usize)>, FramingError> {
        Ok(match self {
            Width::U8 => input.first().map(|byte| (u64::from(*byte), 1)),
            Width::U16Be => input.first_chunk().map(|bytes| (u64::from(u16::from_be_bytes(*bytes)), 2)),
            Width::U16Le => input.first_chunk().map(|bytes| (u64::from(u16::from_le_bytes(*bytes)), 2)),
            Width::U24Be => input.first_chunk().map(|&[a, b, c]| (u64::from(u32::from_be_bytes([0, a, b, c])), 3)),
            Width::U24Le => input.first_chunk().map(|&[a, b, c]| (u64::from(u32::from_le_bytes([a, b, c, 0])), 3)),
            Width::U32Be => input.first_chunk().map(|bytes| (u64::from(u32::from_be_bytes(*bytes)), 4)),
            Width::U32Le => input.first_chunk().map(|bytes| (u64::from(u32::from_le_bytes(*bytes)), 4)),
            Width::U64Be => input.first_chunk().map(|bytes| (u64::from_be_bytes(*bytes), 8)),
            Width::U64Le => input.first_chunk().map(|bytes| (u64::from_le_bytes(*bytes), 8)),
            Width::Varint => read_varint(input)?,
        })
    }

    /// Appends `value`, which is at most [`Width::value_max`].
    fn write(self, value: u64, output: &mut Vec<u8>) {
        let (be, le) = (value.to_be_bytes(), value.to_le_bytes());
        match self {
            Width::U8 => output.push(le[0]),
            Width::U16Be => output.extend_from_slice(&be[6..]),
            Width::U16Le => output.extend_from_slice(&le[..2]),
            Width::U24Be => output.extend_from_slice(&be[5..]),
            Width::U24Le => output.extend_from_slice(&le[..3]),
            Width::U32Be => output.extend_from_slice(&be[4..]),
            Width::U32Le => output.extend_from_slice(&le[..4]),
            Width::U64Be => output.extend_from_slice(&be),
            Width::U64Le => output.extend_from_slice(&le),
            Width::Varint => write_varint(value, output),
        }
    }

    /// The greatest value that fits.
    fn value_max(self) -> u64 {
        match self {
            Width::U8 => u64::from(u8::MAX),
            Width::U16Be | Width::U16Le => u64::from(u16::MAX),
            Width::U24Be | Width::U24Le => (1 << 24) - 1,
            Width::U32Be | Width::U32Le => u64::from(u32::MAX),
            Width::U64Be | Width::U64Le | Width::Varint => u64::MAX,
        }
    }

    /// How many bytes a prefix takes that counts itself and a body of `body` bytes.
    fn own_len(self, body: u64) -> u64 {
        match self {
            Width::U8 => 1,
            Width::U16Be | Width::U16Le => 2,
            Width::U24Be | Width::U24Le => 3,
            Width::U32Be | Width::U32Le => 4,
            Width::U64Be | Width::U64Le => 8,
            // A prefix of n bytes makes the value greater by n, and that may take a byte more.
            Width::Varint => {
                (1..VARINT_LEN_MAX).find(|len| varint_len(body.saturating_add(*len)) == *len).unwrap_or(VARINT_LEN_MAX)
            }
        }
    }
}

/// Ten times seven bits hold 64.
const VARINT_LEN_MAX: u64 = 10;

fn read_varint(input: &[u8]) -> Result<Option<(u64, usize)>, FramingError> {
    let mut value = 0;
    for (at, byte) in (0..VARINT_LEN_MAX).zip(input) {
        // The tenth byte has room for the last bit only.
        if at == VARINT_LEN_MAX - 1 && *byte > 1 {
            return Err(FramingError::VarintTooLong);
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return Ok(Some((value, at as usize + 1)));
        }
    }
    Ok(None)
}

fn write_varint(mut value: u64, output: &mut Vec<u8>) {
    while value >= 0x80 {
        output.push(value as u8 | 0x80);
        value >>= 7;
    }
    output.push(value as u8);
}

fn varint_len(value: u64) -> u64 {
    u64::from(64 - (value | 1).leading_zeros()).div_ceil(7)
}

#[derive(Debug)]
struct LengthPrefix {
    width: Width,
    includes_prefix: bool,
    max: usize,
}

impl Framing for LengthPrefix {
    fn decode(&self, input: &[u8], _searched: usize) -> Result<Decoded, FramingError> {
        let Some((len, start)) = self.width.read(input)? else { return Ok(Decoded::NeedMore) };
        let body = if self.includes_prefix {
            len.checked_sub(start as u64).ok_or(FramingError::PrefixTooSmall { len, prefix_len: start })?
        } else {
            len
        };
        if body > self.max as u64 {
            return Err(FramingError::TooLong { len: body, max: self.max });
        }
        let end = start + body as usize;
        Ok(if input.len() < end { Decoded::NeedMore } else { Decoded::Message { start, end, consumed: end } })
    }

    fn shape(&self) -> Option<Shape<'_>> {
        let LengthPrefix { width, includes_prefix, max } = *self;
        Some(Shape::LengthPrefix { width, includes_prefix, max })
    }

    fn lens(&self) -> RangeInclusive<usize> {
        0..=self.max
    }

    fn encode(&self, message: &[u8], output: &mut Vec<u8>) -> Result<(), FramingError> {
        let body = message.len() as u64;
        if message.len() > self.max {
            return Err(FramingError::TooLong { len: body, max: self.max });
        }
        let own_len = if self.includes_prefix { self.width.own_len(body) } else { 0 };
        let len = body + own_len;
        if len > self.width.value_max() {
            let max = self.width.value_max() - own_len;
            return Err(FramingError::TooLongForPrefix { len: message.len(), max, width: self.width.name() });
        }
        self.width.write(len, output);
        output.extend_from_slice(message);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::{FRAME_LEN_LIMIT, FRAME_LEN_MAX};

    fn framing(name: &str, includes_prefix: bool, max: usize) -> Arc<dyn Framing> {
        let width = Width::named(name).expect("the names here are known");
        length_prefix(width, includes_prefix, max).expect("the limits here are valid")
    }

    #[track_caller]
    fn check(name: &str, includes_prefix: bool, wire: &[u8]) {
        let framing = framing(name, includes_prefix, 16);
        let start = wire.len() - 3;
        let mut output = b">".to_vec();
        assert_eq!((framing.encode(b"abc", &mut output), &output[1..]), (Ok(()), wire));
        assert_eq!(framing.decode(wire, 0), Ok(Decoded::Message { start, end: start + 3, consumed: start + 3 }));
        assert_eq!(framing.decode(&wire[..wire.len() - 1], 0), Ok(Decoded::NeedMore));
        assert_eq!(framing.decode(&wire[..start - 1], 0), Ok(Decoded::NeedMore));
    }

    #[test]
    fn each_width_has_its_bytes() {
        check("u8", false, b"\x03abc");
        check("u16be", false, b"\0\x03abc");
        check("u16le", false, b"\x03\0abc");
        check("u24be", false, b"\0\0\x03abc");
        check("u24le", false, b"\x03\0\0abc");
        check("u32be", false, b"\0\0\0\x03abc");
        check("u32le", false, b"\x03\0\0\0abc");
        check("u64be", false, b"\0\0\0\0\0\0\0\x03abc");
        check("u64le", false, b"\x03\0\0\0\0\0\0\0abc");
        check("varint", false, b"\x03abc");
    }

    #[test]
    fn a_length_can_count_its_own_prefix() {
        check("u8", true, b"\x04abc");
        check("u16be", true, b"\0\x05abc");
        check("u24le", true, b"\x06\0\0abc");
        check("u64be", true, b"\0\0\0\0\0\0\0\x0babc");
        check("varint", true, b"\x04abc");
    }

    #[test]
    fn each_name_is_its_widths_own() {
        for (name, width) in WIDTHS {
            assert_eq!((Width::named(name), width.name()), (Some(*width), *name));
        }
        assert_eq!(Width::named("u32"), None);
    }

    #[test]
    fn a_lying_length_is_refused_with_its_prefix() {
        let refused = framing("u32be", false, 16).decode(&[0xff; 4], 0);
        assert_eq!(refused, Err(FramingError::TooLong { len: 0xffff_ffff, max: 16 }));
        let refused = framing("u64le", false, FRAME_LEN_LIMIT).decode(&[0xff; 8], 0);
        assert_eq!(refused, Err(FramingError::TooLong { len: u64::MAX, max: FRAME_LEN_LIMIT }));
    }

    #[test]
    fn the_longest_message_passes_and_one_byte_more_does_not() {
        let framing = framing("u8", false, 2);
        assert_eq!(framing.decode(b"\x02ab", 0), Ok(Decoded::Message { start: 1, end: 3, consumed: 3 }));
        assert_eq!(framing.decode(b"\x03", 0), Err(FramingError::TooLong { len: 3, max: 2 }));
        assert_eq!(framing.encode(b"abc", &mut Vec::new()), Err(FramingError::TooLong { len: 3, max: 2 }));
    }

    #[test]
    fn a_length_below_its_own_prefix_is_refused() {
        let refused = framing("u16be", true, 16).decode(b"\0\x01", 0);
        assert_eq!(refused, Err(FramingError::PrefixTooSmall { len: 1, prefix_len: 2 }));
        let refused = framing("varint", true, 16).decode(b"\x80\0", 0);
        assert_eq!(refused, Err(FramingError::PrefixTooSmall { len: 0, prefix_len: 2 }));
    }

    #[test]
    fn a_message_that_its_prefix_cannot_say_is_refused() {
        let refused = |includes_prefix, len, max| {
            let mut output = b"before".to_vec();
            let refused = framing("u8", includes_prefix, FRAME_LEN_MAX).encode(&vec![0; len], &mut output);
            assert_eq!(refused, Err(FramingError::TooLongForPrefix { len, max, width: "u8" }));
            assert_eq!(output, b"before");
        };
        refused(false, 256, 255);
        refused(true, 255, 254);
    }

    #[test]
    fn a_varint_may_be_longer_than_it_needs_but_not_than_ten_bytes() {
        let framing = framing("varint", false, FRAME_LEN_LIMIT);
        assert_eq!(framing.decode(b"\x81\x80\0a", 0), Ok(Decoded::Message { start: 3, end: 4, consumed: 4 }));
        assert_eq!(framing.decode(&[0x80; 9], 0), Ok(Decoded::NeedMore));
        assert_eq!(framing.decode(&[0x80; 10], 0), Err(FramingError::VarintTooLong));
        assert_eq!(framing.decode(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 0), Err(FramingError::VarintTooLong));
        let longest = framing.decode(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0);
        assert_eq!(longest, Err(FramingError::TooLong { len: u64::MAX, max: FRAME_LEN_LIMIT }));
    }

    #[test]
    fn a_varint_that_counts_itself_grows_with_its_own_length() {
        let encode = |len| {
            let mut output = Vec::new();
            assert_eq!(framing("varint", true, FRAME_LEN_MAX).encode(&vec![0; len], &mut output), Ok(()));
            output.truncate(output.len() - len);
            output
        };
        assert_eq!(encode(126), [127]);
        assert_eq!(encode(127), [0x81, 0x01]);
        assert_eq!(encode(16_381), [0xff, 0x7f]);
        assert_eq!(encode(16_382), [0x81, 0x80, 0x01]);
    }

    #[test]
    fn a_limit_that_cannot_be_is_refused() {
        assert_eq!(length_prefix(Width::U8, false, 0).err(), Some(FramingError::MaxOutOfRange { max: 0 }));
    }
}
