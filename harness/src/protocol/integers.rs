//! How integers lie in bytes, and in digits: read and written.

use std::ops::Range;

use super::decode::{Cursor, Step};
use super::description::Layout;
use super::encode::wrong;
use super::error::EncodeError;
use crate::text::quote;

/// The most bytes of a varint.
const VARINT_LEN_MAX: usize = 10;

/// The most digits of a number, its sign included.
pub(super) const DIGITS_MAX: usize = 30;

impl Cursor<'_> {
    #[inline(always)]
    pub(super) fn raw(&mut self, layout: Layout) -> Step<i128> {
        match layout {
            Layout::Fixed { len, big, signed } => {
                let bytes = self.take(usize::from(len))?;
                let value = match (bytes, big) {
                    ([byte], _) => u64::from(*byte),
                    ([a, b], true) => u64::from(u16::from_be_bytes([*a, *b])),
                    ([a, b, c, d], true) => u64::from(u32::from_be_bytes([*a, *b, *c, *d])),
                    (_, true) => bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)),
                    (_, false) => bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)),
                };
                if !signed {
                    return Ok(value.into());
                }
                // The sign is the first bit of so many.
                let above = 64 - 8 * u32::from(len);
                Ok(((value << above) as i64 >> above).into())
            }
            Layout::Leb128 | Layout::Mqtt | Layout::Quic => self.varint(layout),
        }
    }

    fn varint(&mut self, layout: Layout) -> Step<i128> {
        let start = self.at;
        match layout {
            Layout::Fixed { .. } => unreachable!("it has a width"),
            Layout::Leb128 | Layout::Mqtt => {
                let most = if layout == Layout::Mqtt { 4 } else { VARINT_LEN_MAX };
                let mut value = 0_i128;
                for at in 0..most {
                    let byte = self.take(1)?[0];
                    value |= i128::from(byte & 0x7f) << (7 * at);
                    if byte & 0x80 == 0 {
                        // A last byte of zero says nothing that its absence would not.
                        self.canonical &= byte != 0 || at == 0;
                        return match value <= layout.bounds().1 {
                            true => Ok(value),
                            false => self.wrong(start, || ("a number of 64 bits".into(), value.to_string())),
                        };
                    }
                }
                self.wrong(start, || (format!("a number of at most {most} bytes"), "a longer one".into()))
            }
            Layout::Quic => {
                let first = self.take(1)?[0];
                let more = self.take((1 << (first >> 6)) - 1)?;
                let value = more.iter().fold(i128::from(first & 0x3f), |value, byte| value << 8 | i128::from(*byte));
                self.canonical &= match more.len() {
                    0 => true,
                    1 => value > 0x3f,
                    3 => value > 0x3fff,
                    _ => value > 0x3fff_ffff,
                };
                Ok(value)
            }
        }
    }

    /// A number in digits, which are written in so many at least.
    pub(super) fn digits(&mut self, range: Range<usize>, radix: u32, width: usize) -> Step<i128> {
        let text = &self.input[range.clone()];
        let (sign, digits) = match text.split_first() {
            Some((b'-', digits)) => (-1, digits),
            _ => (1, text),
        };
        let is_digit = |byte: &u8| (*byte as char).is_digit(radix);
        if digits.is_empty() || !digits.iter().all(is_digit) || digits.len() > DIGITS_MAX {
            let what = if radix == 16 { "hexadecimal digits" } else { "digits" };
            return self.wrong(range.start, || (what.into(), quote(text)));
        }
        let fold = |value: i128, byte: &u8| {
            value * i128::from(radix) + i128::from((*byte as char).to_digit(radix).unwrap_or_default())
        };
        let value = sign * digits.iter().fold(0, fold);
        self.canonical &= self::digits(value, radix, width).as_bytes() == text;
        Ok(value)
    }
}

pub(super) fn write_integer(layout: Layout, value: i128, output: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (least, most) = layout.bounds();
    if value < least || value > most {
        return wrong(format!("{value} is not from {least} to {most}"));
    }
    match layout {
        Layout::Fixed { len, big, .. } => {
            let bytes = value.to_le_bytes();
            let bytes = &bytes[..usize::from(len)];
            if big { output.extend(bytes.iter().rev()) } else { output.extend_from_slice(bytes) }
        }
        Layout::Leb128 | Layout::Mqtt => {
            let mut rest = value as u64;
            while rest >= 0x80 {
                output.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            output.push(rest as u8);
        }
        Layout::Quic => {
            let (len, first) = match value {
                0..=0x3f => (1, 0x00),
                0x40..=0x3fff => (2, 0x40),
                0x4000..=0x3fff_ffff => (4, 0x80),
                _ => (8, 0xc0),
            };
            let from = output.len();
            output.extend_from_slice(&(value as u64).to_be_bytes()[8 - len..]);
            output[from] |= first;
        }
    }
    Ok(())
}

/// A number in digits, as they are written: in so many at least.
pub(super) fn digits(value: i128, radix: u32, width: usize) -> String {
    let (sign, value) = if value < 0 { ("-", value.unsigned_abs()) } else { ("", value.unsigned_abs()) };
    let width = width.saturating_sub(sign.len());
    match radix {
        16 => format!("{sign}{value:0width$x}"),
        _ => format!("{sign}{value:0width$}"),
    }
}
