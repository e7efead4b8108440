//! Anything, kept as a variable.

use std::sync::Arc;

use super::any::Anything;
use super::{Facts, Input, Matcher, Outcome, Pattern, Progress};
use crate::document::{Node, Reader};

/// Anything, kept under a name.
#[derive(Debug)]
struct Save(Arc<str>);

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    let name: Arc<str> = reader.string(node, "`save`")?.into();
    if !crate::text::is_identifier(&name) {
        reader.mistake(&node.span, format!("`{name}` is no name for a variable"));
        return None;
    }
    Some(Pattern { sets: vec![Arc::clone(&name)], ..Pattern::ready(Save(name)) })
}

impl Matcher for Save {
    fn describe(&self) -> String {
        format!("anything, as `{}`", self.0)
    }

    fn facts(&self, _: bool) -> Facts {
        Facts { everything: true, ..Facts::default() }
    }

    fn check(&self, input: Input<'_>, progress: &mut Progress) -> Outcome {
        match Anything.check(input, progress) {
            Outcome::Match(mut found) => {
                found.captures.push((Arc::clone(&self.0), 0..found.len));
                Outcome::Match(found)
            }
            outcome => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::tests::matcher;

    #[test]
    fn what_matched_has_a_name() {
        let outcome = matcher(r#"{ save = "x" }"#).check(Input::message(b"abc"), &mut Progress::default());
        let Outcome::Match(found) = outcome else { panic!("{outcome:?}") };
        assert_eq!(found.captures, [("x".into(), 0..3)]);
    }
}
