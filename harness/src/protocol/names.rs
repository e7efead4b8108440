//! Domain names of RFC 1035, section 3.1: labels, read with compression (4.1.4) and written without; as text they are those of
//! zone files (5.1).

use std::ops::Range;

use super::decode::{Cursor, Step};
use super::description::NAMES_LEN_MAX;
use super::encode::wrong;
use super::error::EncodeError;

/// How many names are remembered for those that point to them.
pub(super) const NAMES_KEPT: usize = 4;

/// Room for names that is made at once.
const NAMES_LEN: usize = 256;

/// The longest domain name (RFC 1035, section 3.1), without its last label.
const DOMAIN_NAME_LEN_MAX: usize = 254;

impl Cursor<'_> {
    /// A name of RFC 1035: labels, perhaps ended by a pointer to earlier ones. A pointer leads backwards only, so that it ends.
    pub(super) fn domain_name(&mut self) -> Step<Range<usize>> {
        let start = self.at;
        let text = self.scratch.text.len();
        if text == 0 {
            self.scratch.text.reserve(self.input.len().min(NAMES_LEN));
        }
        let mut elsewhere: Option<usize> = None;
        let mut limit = start;
        let mut len = 0;
        loop {
            let at = elsewhere.unwrap_or(self.at);
            let mut next = |cursor: &mut Self, len: usize| match &mut elsewhere {
                None => cursor.take(len),
                Some(at) => match cursor.input.get(*at..*at + len).filter(|_| *at + len <= start) {
                    Some(bytes) => {
                        *at += len;
                        Ok(bytes)
                    }
                    None => cursor.wrong(*at, || ("labels before the name itself".into(), "none".into())),
                },
            };
            let byte = next(self, 1)?[0];
            match byte >> 6 {
                0 if byte == 0 => {
                    if self.scratch.text.len() == text {
                        self.scratch.text.push(b'.');
                    }
                    let text = text..self.scratch.text.len();
                    if elsewhere.is_none() && self.scratch.names.len() < NAMES_KEPT {
                        self.scratch.names.push((start, text.clone()));
                    }
                    return Ok(text);
                }
                0 => {
                    let label = next(self, usize::from(byte))?;
                    len += label.len() + 1;
                    if len > DOMAIN_NAME_LEN_MAX {
                        let why = || (format!("a name of at most {DOMAIN_NAME_LEN_MAX} bytes"), "a longer one".into());
                        return self.wrong(at, why);
                    }
                    if self.scratch.text.len() > NAMES_LEN_MAX {
                        return self.wrong(at, || (format!("at most {NAMES_LEN_MAX} bytes of names"), "more".into()));
                    }
                    let name = &mut self.scratch.text;
                    if name.len() > text {
                        name.push(b'.');
                    }
                    if label.iter().all(|byte| matches!(byte, 0x21..=0x7e if !matches!(byte, b'.' | b'\\'))) {
                        name.extend_from_slice(label);
                        continue;
                    }
                    for byte in label {
                        // What would be read as something else stands escaped, as in zone files (RFC 1035, 5.1).
                        match byte {
                            b'.' | b'\\' => name.extend_from_slice(&[b'\\', *byte]),
                            0x21..=0x7e => name.push(*byte),
                            _ => name.extend_from_slice(format!("\\{byte:03}").as_bytes()),
                        }
                    }
                }
                3 => {
                    let low = next(self, 1)?[0];
                    let to = usize::from(byte & 0x3f) << 8 | usize::from(low);
                    if to >= limit {
                        let why = || (format!("a pointer to before byte {limit}"), format!("one to byte {to}"));
                        return self.wrong(at, why);
                    }
                    self.canonical = false;
                    // Nearly all names are one that was read already.
                    if len == 0
                        && let Some((_, text)) = self.scratch.names.iter().find(|(at, _)| *at == to)
                    {
                        return Ok(text.clone());
                    }
                    limit = to;
                    elsewhere = Some(to);
                }
                _ => {
                    let why = || ("a label of at most 63 bytes, or a pointer".into(), format!("{byte:#04x}"));
                    return self.wrong(at, why);
                }
            }
        }
    }
}

/// A name of RFC 1035 as labels; `\.` and `\065` are parts of a label.
pub(super) fn write_domain_name(name: &[u8], output: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut label: Vec<u8> = Vec::new();
    let push = |label: &mut Vec<u8>, output: &mut Vec<u8>| {
        if label.is_empty() || label.len() > 63 {
            return wrong(format!("a label has 1 to 63 bytes, not {}", label.len()));
        }
        output.push(label.len() as u8);
        output.append(label);
        Ok(())
    };
    if !matches!(name, b"" | b".") {
        let mut bytes = name.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'.' => {
                    push(&mut label, output)?;
                    if bytes.peek().is_none() {
                        break;
                    }
                    continue;
                }
                b'\\' => {
                    let Some(next) = bytes.next() else { return wrong("the name ends with a backslash") };
                    if next.is_ascii_digit() {
                        let more = [bytes.next(), bytes.next()];
                        let text: Vec<u8> = std::iter::once(next).chain(more.into_iter().flatten()).collect();
                        let value = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<u8>().ok());
                        let Some(value) = value.filter(|_| text.len() == 3) else {
                            return wrong(
                                "a backslash is followed by three digits of a byte, or by what it stands for",
                            );
                        };
                        label.push(value);
                    } else {
                        label.push(next);
                    }
                }
                _ => label.push(byte),
            }
            if bytes.peek().is_none() {
                push(&mut label, output)?;
            }
        }
    }
    output.push(0);
    Ok(())
}
