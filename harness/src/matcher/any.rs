//! Whatever has arrived.

use super::{Facts, Input, Matcher, Outcome, Pattern, Progress};
use crate::document::{Node, Reader};

/// Any message, or at least one byte of a stream.
#[derive(Debug)]
pub(super) struct Anything;

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    if !reader.boolean(node, "`any`")? {
        reader.mistake(&node.span, "`any` takes `true`");
        return None;
    }
    Some(Pattern::ready(Anything))
}

impl Matcher for Anything {
    fn describe(&self) -> String {
        "anything".into()
    }

    fn facts(&self, _: bool) -> Facts {
        Facts { everything: true, ..Facts::default() }
    }

    fn check(&self, input: Input<'_>, _: &mut Progress) -> Outcome {
        match input.bytes.len() {
            0 if !input.message => Outcome::NeedMore,
            len => Outcome::matched(len),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::matcher::tests::{message, stream};

    #[test]
    fn an_empty_message_is_something_and_an_empty_stream_is_not() {
        message("{ any = true }", b"", true);
        stream("{ any = true }", b"", None);
        stream("{ any = true }", b"ab", Some(Ok(1)));
    }
}
