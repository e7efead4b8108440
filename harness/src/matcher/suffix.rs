//! It ends with these bytes.

use bytes::Bytes;

use super::contains::Contains;
use super::{Facts, Input, Matcher, Outcome, Pattern, Progress, facts};
use crate::document::{Node, Reader};
use crate::text::quote;

/// It ends with these bytes. A stream has no end of its own: there they end the match where they first stand.
#[derive(Debug)]
struct Suffix(Bytes);

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    Pattern::of_bytes(reader, node, "`suffix`", Suffix)
}

impl Matcher for Suffix {
    fn describe(&self) -> String {
        format!("something that ends with {}", quote(&self.0))
    }

    fn facts(&self, message: bool) -> Facts {
        facts::holds(&self.0, message)
    }

    fn check(&self, input: Input<'_>, progress: &mut Progress) -> Outcome {
        if !input.message {
            return Contains(self.0.clone()).check(input, progress);
        }
        if input.bytes.ends_with(&self.0) {
            return Outcome::matched(input.bytes.len());
        }
        let end = &input.bytes[input.bytes.len().saturating_sub(self.0.len())..];
        Outcome::mismatch(input.bytes.len() - end.len(), format!("it ends with {}", quote(end)))
    }
}

#[cfg(test)]
mod tests {
    use crate::matcher::tests::{message, stream};

    #[test]
    fn a_message_ends_with_it() {
        message(r#"{ suffix = "ing" }"#, b"string", true);
        message(r#"{ suffix = "ing" }"#, b"strings", false);
        message(r#"{ suffix = "ing" }"#, b"g", false);
    }

    #[test]
    fn a_stream_is_taken_to_where_it_first_stands() {
        stream(r#"{ suffix = "\r\n" }"#, b"+OK\r\n+OK\r\n", Some(Ok(5)));
    }
}
