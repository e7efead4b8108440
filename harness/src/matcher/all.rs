//! Every one of these matches.

use std::sync::Arc;

use super::{Facts, Input, Match, Matcher, Outcome, Pattern, Progress};
use crate::document::{Node, Reader};

/// Every one of these matches. Of a stream the longest of them is taken, and `not` looks at just that.
#[derive(Debug)]
struct All(Vec<Arc<dyn Matcher>>);

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    let parts = super::lower_many(reader, node, "`all`")?;
    Some(Pattern::of_many(parts, All))
}

impl Matcher for All {
    fn describe(&self) -> String {
        self.0.iter().map(|matcher| matcher.describe()).collect::<Vec<_>>().join(", and ")
    }

    fn facts(&self, message: bool) -> Facts {
        let parts: Vec<&dyn Matcher> = self.0.iter().map(|part| &**part).collect();
        Facts::of_all(&parts, message)
    }

    fn check(&self, input: Input<'_>, progress: &mut Progress) -> Outcome {
        let mut all = Match::default();
        let mut need_more = false;
        let children = progress.children(self.0.len());
        for (matcher, progress) in self.0.iter().zip(&mut *children) {
            // On a stream `not` can only be asked of what the others take.
            if matcher.negated().is_some() && !input.message {
                continue;
            }
            match matcher.check(input, progress) {
                Outcome::Match(found) => {
                    all.len = all.len.max(found.len);
                    all.may_grow |= found.may_grow;
                    all.captures.extend(found.captures);
                }
                Outcome::NeedMore => need_more = true,
                mismatch => return mismatch,
            }
        }
        if need_more {
            return Outcome::NeedMore;
        }
        if !input.message {
            let taken = Input::message(&input.bytes[..all.len]);
            for inner in self.0.iter().filter_map(|matcher| matcher.negated()) {
                if let Outcome::Match(found) = inner.check(taken, &mut Progress::default()) {
                    return Outcome::mismatch(found.len, format!("it is {}", inner.describe()));
                }
            }
        }
        Outcome::Match(all)
    }
}

#[cfg(test)]
mod tests {
    use crate::matcher::tests::{message, stream};

    #[test]
    fn every_part_must_match() {
        message(r#"{ all = [{ prefix = "a" }, { suffix = "c" }] }"#, b"abc", true);
        message(r#"{ all = [{ prefix = "a" }, { suffix = "c" }] }"#, b"ab", false);
        message(r#"{ all = [{ length = 3 }, { not = "abc" }] }"#, b"abc", false);
    }

    #[test]
    fn of_a_stream_the_longest_is_taken() {
        stream(r#"{ all = [{ prefix = "+" }, { suffix = "\n" }] }"#, b"+OK\n-ERR\n", Some(Ok(4)));
        stream(r#"{ all = [{ prefix = "+" }, { suffix = "\n" }] }"#, b"-ERR\n", Some(Err(0)));
    }

    #[test]
    fn not_looks_at_what_the_others_take() {
        stream(r#"{ all = [{ suffix = "\n" }, { not = { contains = "ERR" } }] }"#, b"+OK\n-ERR\n", Some(Ok(4)));
        stream(r#"{ all = [{ suffix = "\n" }, { not = { contains = "ERR" } }] }"#, b"-ERR\n", Some(Err(4)));
    }
}
