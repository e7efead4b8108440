//! It starts with these bytes.

use bytes::Bytes;

use super::{Exact, Facts, Input, Matcher, Outcome, Pattern, Progress, facts};
use crate::document::{Node, Reader};
use crate::text::quote;

/// It starts with these bytes. Of a stream, just these are taken.
#[derive(Debug)]
struct Prefix(Exact);

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    Pattern::of_bytes(reader, node, "`prefix`", |bytes| Prefix(Exact(bytes)))
}

impl Matcher for Prefix {
    fn describe(&self) -> String {
        format!("something that starts with {}", quote(&self.0.0))
    }

    fn bytes(&self) -> Option<&Bytes> {
        Some(&self.0.0)
    }

    fn facts(&self, message: bool) -> Facts {
        facts::begins_with(&self.0.0, message)
    }

    fn check(&self, input: Input<'_>, progress: &mut Progress) -> Outcome {
        match self.0.check(Input { message: false, ..input }, progress) {
            Outcome::NeedMore if input.message => {
                let len = input.bytes.len();
                Outcome::mismatch(len, format!("it ends after {len} of {} bytes", self.0.0.len()))
            }
            outcome => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::matcher::tests::{message, stream};

    #[test]
    fn a_message_may_go_on_after_it() {
        message(r#"{ prefix = "220 " }"#, b"220 ready", true);
        message(r#"{ prefix = "220 " }"#, b"220", false);
        message(r#"{ prefix = "220 " }"#, b"500 no", false);
    }

    #[test]
    fn it_may_be_written_in_hexadecimal_or_base64() {
        message(r#"{ prefix = { hex = "ff 00" } }"#, &[0xff, 0, 1], true);
        message(r#"{ prefix = { hex = "ff 00" } }"#, &[0xff, 1], false);
        message(r#"{ prefix = { base64 = "/wA=" } }"#, &[0xff, 0, 1], true);
    }

    #[test]
    fn of_a_stream_just_the_prefix_is_taken() {
        stream(r#"{ prefix = "220 " }"#, b"220 ready", Some(Ok(4)));
        stream(r#"{ prefix = "220 " }"#, b"500 no", Some(Err(0)));
    }
}
