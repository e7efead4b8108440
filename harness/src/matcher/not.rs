//! The matcher inside does not match.

use std::sync::Arc;

use super::{Facts, Input, Matcher, Outcome, Pattern, Progress};
use crate::document::{Node, Reader};

/// The matcher inside does not match. A stream has no end that could settle it: there it goes with another matcher in `all`.
#[derive(Debug)]
struct Not(Arc<dyn Matcher>);

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    let inner = super::lower(reader, node)?;
    let mut pattern = Pattern::of_many(vec![inner], |mut matchers| Not(matchers.remove(0)));
    // What does not match has no parts to name.
    pattern.sets.clear();
    Some(pattern)
}

impl Matcher for Not {
    fn describe(&self) -> String {
        format!("anything but {}", self.0.describe())
    }

    fn negated(&self) -> Option<&dyn Matcher> {
        Some(&*self.0)
    }

    fn facts(&self, message: bool) -> Facts {
        // A stream may end without a byte, and that is not anything.
        let never =
            (message && self.0.facts(message).everything).then(|| "everything matches what it is not to be".into());
        Facts { never, ..Facts::default() }
    }

    fn check(&self, input: Input<'_>, _: &mut Progress) -> Outcome {
        if input.bytes.is_empty() && !input.ended {
            return Outcome::NeedMore;
        }
        match self.0.check(Input { ended: true, ..input }, &mut Progress::default()) {
            Outcome::Match(found) => {
                Outcome::mismatch(found.len.min(input.bytes.len()), format!("it is {}", self.0.describe()))
            }
            _ => Outcome::matched(input.bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::matcher::tests::message;

    #[test]
    fn what_matches_inside_does_not_match() {
        message(r#"{ not = "abc" }"#, b"abc", false);
        message(r#"{ not = "abc" }"#, b"abd", true);
        message(r#"{ not = { contains = "err" } }"#, b"no error", false);
        message(r#"{ not = { not = "a" } }"#, b"a", true);
    }
}
