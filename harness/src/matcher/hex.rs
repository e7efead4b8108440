//! Exactly these bytes, some of them wild.

use bytes::Bytes;

use super::{Exact, Facts, Input, Matcher, Outcome, Pattern, Progress};
use crate::document::{Node, Reader};
use crate::text::parse_hex;

/// Bytes and masks: a bit that is 0 in the mask may be anything.
#[derive(Debug)]
struct Hex {
    text: String,
    bytes: Vec<(u8, u8)>,
}

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    let template = reader.template(node, "`hex`")?;
    if let Some(bytes) = template.as_literal().and_then(|text| parse_hex(&String::from_utf8_lossy(text)).ok()) {
        return Some(Pattern::ready(Exact(Bytes::from(bytes))));
    }
    Pattern::of(reader, node, template, |text| parse(&String::from_utf8_lossy(&text)))
}

fn parse(text: &str) -> Result<Hex, String> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    if !digits.len().is_multiple_of(2) {
        return Err(format!("`hex` has {}, and a byte is two", crate::text::count(digits.len(), "digit")));
    }
    let nibble = |c: char| match c {
        '?' => Ok((0, 0)),
        _ => c.to_digit(16).map(|d| (d as u8, 0xf)).ok_or_else(|| format!("`{c}` is no hexadecimal digit and no `?`")),
    };
    let byte = |pair: &[char]| {
        let (high, low) = (nibble(pair[0])?, nibble(pair[1])?);
        Ok((high.0 << 4 | low.0, high.1 << 4 | low.1))
    };
    let bytes = digits.chunks(2).map(byte).collect::<Result<_, String>>()?;
    Ok(Hex { text: text.into(), bytes })
}

impl Matcher for Hex {
    fn describe(&self) -> String {
        format!("{} bytes `{}`", self.bytes.len(), self.text)
    }

    fn facts(&self, message: bool) -> Facts {
        match message {
            true => Facts { len_min: self.bytes.len(), len_max: self.bytes.len(), ..Facts::default() },
            false => Facts::default(),
        }
    }

    fn check(&self, input: Input<'_>, progress: &mut Progress) -> Outcome {
        let common = self.bytes.len().min(input.bytes.len());
        for at in progress.position.min(common)..common {
            let (byte, mask) = self.bytes[at];
            if input.bytes[at] & mask != byte {
                return Outcome::mismatch(at, format!("byte {at} is {:#04x}", input.bytes[at]));
            }
        }
        progress.position = common;
        match input.bytes.len() {
            len if input.message && len != self.bytes.len() => {
                Outcome::mismatch(common, format!("it has {len} bytes, not {}", self.bytes.len()))
            }
            len if len < self.bytes.len() => Outcome::NeedMore,
            _ => Outcome::matched(self.bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::matcher::tests::{message, stream};

    #[test]
    fn wild_bytes_and_halves_match_anything() {
        message(r#"{ hex = "00 ?? 2a" }"#, &[0, 0xff, 0x2a], true);
        message(r#"{ hex = "00??2A" }"#, &[0, 0, 0x2b], false);
        message(r#"{ hex = "4? ?4" }"#, &[0x4f, 0xf4], true);
        message(r#"{ hex = "4?" }"#, &[0x5f], false);
        message(r#"{ hex = "??" }"#, &[], false);
    }

    #[test]
    fn a_stream_is_taken_to_its_length() {
        stream(r#"{ hex = "00 ?? 2a" }"#, &[0, 1, 0x2a, 9], Some(Ok(3)));
        stream(r#"{ hex = "00 ?? 2a" }"#, &[0, 1, 0x2b], Some(Err(2)));
        stream(r#"{ hex = "00 01" }"#, &[0, 1], Some(Ok(2)));
    }
}
