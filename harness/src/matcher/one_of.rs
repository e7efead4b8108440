//! One of these matches.

use std::sync::Arc;

use super::{Facts, Input, Match, Matcher, Outcome, Pattern, Progress};
use crate::document::{Node, Reader};

/// One of these matches. The first in the list that does is taken, so a match waits while an earlier one is still open.
#[derive(Debug)]
struct OneOf(Vec<Arc<dyn Matcher>>);

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    let parts = super::lower_many(reader, node, "`one_of`")?;
    Some(Pattern::of_many(parts, OneOf))
}

impl Matcher for OneOf {
    fn describe(&self) -> String {
        let parts: Vec<String> = self.0.iter().map(|matcher| matcher.describe()).collect();
        format!("one of: {}", parts.join("; "))
    }

    fn facts(&self, message: bool) -> Facts {
        Facts::of_one_of(self.0.iter().map(|part| part.facts(message)).collect())
    }

    fn check(&self, input: Input<'_>, progress: &mut Progress) -> Outcome {
        let mut open = false;
        let mut furthest = 0;
        let children = progress.children(self.0.len());
        for (matcher, progress) in self.0.iter().zip(&mut *children) {
            match matcher.check(input, progress) {
                Outcome::Match(found) => return Outcome::Match(Match { may_grow: found.may_grow || open, ..found }),
                Outcome::Mismatch { at, .. } => furthest = furthest.max(at),
                Outcome::NeedMore => open = true,
            }
        }
        if open { Outcome::NeedMore } else { Outcome::mismatch(furthest, "none of them matches") }
    }
}

#[cfg(test)]
mod tests {
    use crate::matcher::tests::{message, stream};

    #[test]
    fn the_first_that_matches_is_taken() {
        message(r#"{ one_of = ["a", "b"] }"#, b"b", true);
        message(r#"{ one_of = ["a", "b"] }"#, b"c", false);
        stream(r#"{ one_of = ["abc", "ab"] }"#, b"abx", Some(Ok(2)));
        stream(r#"{ one_of = ["abc", "ab"] }"#, b"abc", Some(Ok(3)));
    }

    #[test]
    fn the_furthest_mismatch_is_told() {
        stream(r#"{ one_of = ["abc", "xyz"] }"#, b"abz", Some(Err(2)));
    }
}
