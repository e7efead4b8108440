//! Exactly these bytes.

use bytes::Bytes;

use super::{Facts, Input, Matcher, Outcome, Pattern, Progress, facts};
use crate::document::{Node, Reader};
use crate::text::{parse_base64, quote};

/// Exactly these bytes.
#[derive(Debug)]
pub struct Exact(pub Bytes);

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    let template = reader.template(node, "a matcher")?;
    Pattern::of(reader, node, template, |bytes| Ok(Exact(bytes)))
}

pub(super) fn lower_base64(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    let template = reader.template(node, "`base64`")?;
    Pattern::of(reader, node, template, |text| parse_base64(&text).map(|bytes| Exact(bytes.into())))
}

impl Matcher for Exact {
    fn describe(&self) -> String {
        quote(&self.0)
    }

    fn bytes(&self) -> Option<&Bytes> {
        Some(&self.0)
    }

    fn exactly(&self) -> Option<&Bytes> {
        Some(&self.0)
    }

    fn facts(&self, message: bool) -> Facts {
        let begins = facts::begins_with(&self.0, message);
        if !message {
            return begins;
        }
        Facts { len_max: self.0.len(), bytes: Some(self.0.clone()), ..begins }
    }

    fn check(&self, input: Input<'_>, progress: &mut Progress) -> Outcome {
        let common = self.0.len().min(input.bytes.len());
        let from = progress.position.min(common);
        if self.0[from..common] != input.bytes[from..common] {
            let at = (from..common).find(|at| self.0[*at] != input.bytes[*at]).expect("they differ");
            return Outcome::mismatch(at, format!("byte {at} is {:#04x}, not {:#04x}", input.bytes[at], self.0[at]));
        }
        progress.position = common;
        if input.message && input.bytes.len() > self.0.len() {
            let why = match input.bytes.len() - common {
                1 => "1 more byte follows".to_owned(),
                more => format!("{more} more bytes follow"),
            };
            return Outcome::mismatch(common, why);
        }
        if input.message && input.bytes.len() < self.0.len() {
            return Outcome::mismatch(common, format!("it ends after {common} of {} bytes", self.0.len()));
        }
        if common < self.0.len() { Outcome::NeedMore } else { Outcome::matched(common) }
    }
}

#[cfg(test)]
mod tests {
    use crate::matcher::tests::{message, stream};

    #[test]
    fn a_stream_is_taken_to_the_exact_length() {
        stream(r#""abc""#, b"abcd", Some(Ok(3)));
        stream(r#""abc""#, b"ab", None);
        stream(r#""""#, b"x", Some(Ok(0)));
    }

    #[test]
    fn the_first_wrong_byte_is_named_at_once() {
        stream(r#""abc""#, b"abx", Some(Err(2)));
        stream(r#""abc""#, b"x", Some(Err(0)));
    }

    #[test]
    fn a_message_matches_as_a_whole() {
        message(r#""abc""#, b"abc", true);
        message(r#""abc""#, b"abcd", false);
        message(r#""abc""#, b"ab", false);
        message(r#"{ base64 = "/wA=" }"#, &[0xff, 0], true);
    }
}
