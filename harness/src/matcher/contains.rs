//! These bytes stand somewhere in it.

use bytes::Bytes;
use memchr::memmem;

use super::{Facts, Input, Matcher, Outcome, Pattern, Progress, facts};
use crate::document::{Node, Reader};
use crate::text::quote;

/// These bytes stand somewhere in it. Of a stream, what stands before them is taken with them.
#[derive(Debug)]
pub(super) struct Contains(pub(super) Bytes);

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    Pattern::of_bytes(reader, node, "`contains`", Contains)
}

impl Matcher for Contains {
    fn describe(&self) -> String {
        format!("something that contains {}", quote(&self.0))
    }

    fn facts(&self, message: bool) -> Facts {
        facts::holds(&self.0, message)
    }

    fn check(&self, input: Input<'_>, progress: &mut Progress) -> Outcome {
        let from = progress.position.min(input.bytes.len());
        if let Some(at) = memmem::find(&input.bytes[from..], &self.0) {
            return Outcome::matched(from + at + self.0.len());
        }
        if input.message {
            return Outcome::mismatch(input.bytes.len(), "it is nowhere in it");
        }
        // The last bytes may be the beginning of it.
        progress.position = input.bytes.len().saturating_sub(self.0.len().saturating_sub(1));
        Outcome::NeedMore
    }
}

#[cfg(test)]
mod tests {
    use crate::matcher::tests::{message, stream};

    #[test]
    fn it_is_found_wherever_it_stands() {
        message(r#"{ contains = "b" }"#, b"abc", true);
        message(r#"{ contains = "x" }"#, b"abc", false);
        message(r#"{ contains = "" }"#, b"", true);
    }

    #[test]
    fn a_stream_is_taken_to_its_end_however_it_is_cut() {
        stream(r#"{ contains = "aab" }"#, b"aaaab!", Some(Ok(5)));
        stream(r#"{ contains = "x" }"#, b"abc", None);
    }
}
