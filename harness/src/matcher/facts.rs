//! What every match of a matcher has, known before anything has arrived.
//!
//! From it follows what can never match: parts of an `all` that exclude each other. What a framing lets through is not
//! known here.

use bytes::Bytes;

use super::{Input, Matcher, Outcome, Progress};

/// How many parts of an `all` are compared with each other.
const COMPARED_MAX: usize = 64;

/// What every match of a matcher has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The least length of a message.
    pub len_min: usize,
    /// The greatest length of a message.
    pub len_max: usize,
    /// All of a message's bytes.
    pub bytes: Option<Bytes>,
    /// What it begins with.
    pub prefix: Bytes,
    /// What stands somewhere in it.
    pub contained: Vec<Bytes>,
    /// The bytes that it can begin with, where not all can.
    pub first: Option<&'static [u8]>,
    /// Whether every message has them.
    pub everything: bool,
    /// It has the facts of one of these, too.
    pub one_of: Vec<Facts>,
    /// Why nothing matches.
    pub never: Option<String>,
}

impl Default for Facts {
    fn default() -> Facts {
        Facts {
            len_min: 0,
            len_max: usize::MAX,
            bytes: None,
            prefix: Bytes::new(),
            contained: Vec::new(),
            first: None,
            everything: false,
            one_of: Vec::new(),
            never: None,
        }
    }
}

impl Facts {
    /// The facts of an `all`: those of its parts together.
    pub(super) fn of_all(parts: &[&dyn Matcher], message: bool) -> Facts {
        let facts: Vec<Facts> = parts.iter().map(|part| part.facts(message)).collect();
        let mut all = Facts::default();
        for (at, (part, own)) in parts.iter().zip(&facts).enumerate() {
            let before = parts.iter().zip(&facts).take(at.min(COMPARED_MAX));
            let clash = || before.into_iter().find_map(|(other, known)| clash((*other, known), (*part, own), message));
            all.never = all.never.or_else(|| own.never.clone()).or_else(clash);
            all.len_min = all.len_min.max(own.len_min);
            all.len_max = all.len_max.min(own.len_max);
            all.bytes = all.bytes.or_else(|| own.bytes.clone());
            all.first = all.first.or(own.first);
            all.contained.extend(own.contained.iter().cloned());
            if own.prefix.len() > all.prefix.len() {
                all.prefix = own.prefix.clone();
            }
            if all.one_of.is_empty() {
                all.one_of.clone_from(&own.one_of);
            }
        }
        all
    }

    /// The facts of a `one_of`: what all of its parts have in common.
    pub(super) fn of_one_of(parts: Vec<Facts>) -> Facts {
        let never = parts.iter().all(|part| part.never.is_some());
        Facts {
            len_min: parts.iter().map(|part| part.len_min).min().unwrap_or(0),
            len_max: parts.iter().map(|part| part.len_max).max().unwrap_or(usize::MAX),
            never: never.then(|| parts.iter().find_map(|part| part.never.clone())).flatten(),
            one_of: parts,
            ..Facts::default()
        }
    }
}

/// Why two parts of an `all` cannot both match.
fn clash(one: (&dyn Matcher, &Facts), other: (&dyn Matcher, &Facts), message: bool) -> Option<String> {
    let (a, b) = (one.1, other.1);
    let exact = |known: &Facts, matcher: &dyn Matcher| {
        // On a stream each part takes as much as it likes.
        let bytes = known.bytes.as_ref().filter(|_| message)?;
        let outcome = matcher.check(Input::message(bytes), &mut Progress::default());
        Some(matches!(outcome, Outcome::Mismatch { .. }))
    };
    let begins = |known: &Facts, other: &Facts| match (other.first, known.prefix.first()) {
        (Some(first), Some(byte)) => !first.contains(byte),
        _ => false,
    };
    let negates = |one: &dyn Matcher, other: &dyn Matcher| {
        // A description may be cut, and then the facts are not.
        let same = |inner: &dyn Matcher| inner.describe() == other.describe() && inner.facts(true) == other.facts(true);
        message && one.negated().is_some_and(same)
    };
    let disjoint = matches!((a.first, b.first), (Some(a), Some(b)) if !a.iter().any(|byte| b.contains(byte)));
    let clashes = exact(a, other.0) == Some(true)
        || exact(b, one.0) == Some(true)
        || a.len_min > b.len_max
        || b.len_min > a.len_max
        || !(a.prefix.starts_with(&b.prefix) || b.prefix.starts_with(&a.prefix))
        || begins(a, b)
        || begins(b, a)
        || disjoint
        || negates(one.0, other.0)
        || negates(other.0, one.0);
    clashes.then(|| format!("nothing is both {} and {}", one.0.describe(), other.0.describe()))
}

/// What a certain text says of whatever begins with it.
pub(super) fn begins_with(bytes: &Bytes, message: bool) -> Facts {
    let len_min = if message { bytes.len() } else { 0 };
    Facts { len_min, prefix: bytes.clone(), contained: vec![bytes.clone()], ..Facts::default() }
}

/// What a certain text says of whatever has it in it.
pub(super) fn holds(bytes: &[u8], message: bool) -> Facts {
    let len_min = if message { bytes.len() } else { 0 };
    Facts { len_min, contained: vec![Bytes::copy_from_slice(bytes)], ..Facts::default() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::matcher;

    #[track_caller]
    fn check(toml: &str, message: bool, expected: Option<&str>) {
        assert_eq!(matcher(toml).facts(message).never.as_deref(), expected);
    }

    #[test]
    fn parts_that_exclude_each_other_match_no_message() {
        let both = |what: &str| format!("nothing is both {what}");
        check(r#"{ all = ["a", "b"] }"#, true, Some(&both("`a` and `b`")));
        check(
            r#"{ all = [{ prefix = "ab" }, { prefix = "ac" }] }"#,
            true,
            Some(&both("something that starts with `ab` and something that starts with `ac`")),
        );
        check(r#"{ all = [{ length = 2 }, "abc"] }"#, true, Some(&both("2 bytes and `abc`")));
        check(
            r#"{ all = [{ prefix = "abc" }, { length = { max = 2 } }] }"#,
            true,
            Some(&both("something that starts with `abc` and 0 to 2 bytes")),
        );
        check(
            r#"{ all = [{ json = { id = 1 } }, { prefix = "HTTP" }] }"#,
            true,
            Some(&both("JSON with {\"id\":1} and something that starts with `HTTP`")),
        );
        check(
            r#"{ all = ["a", { not = { prefix = "a" } }] }"#,
            true,
            Some(&both("`a` and anything but something that starts with `a`")),
        );
        check(r#"{ not = { any = true } }"#, true, Some("everything matches what it is not to be"));
    }

    #[test]
    fn parts_that_go_together_may_match() {
        for toml in [
            r#"{ all = ["abc", { prefix = "ab" }, { length = 3 }, { contains = "b" }] }"#,
            r#"{ all = [{ prefix = "a" }, { prefix = "ab" }, { suffix = "z" }] }"#,
            r#"{ all = [{ json = { id = 1 } }, { prefix = " {" }] }"#,
            r#"{ all = [{ prefix = "a" }, { not = { prefix = "ab" } }] }"#,
            r#"{ one_of = [{ all = ["a", "b"] }, "c"] }"#,
        ] {
            check(toml, true, None);
        }
    }

    #[test]
    fn on_a_stream_each_part_takes_its_own_length() {
        check(r#"{ all = ["ab", { prefix = "abc" }] }"#, false, None);
        check(r#"{ all = ["ab", { length = 4 }] }"#, false, None);
        check(r#"{ all = ["ab", "b"] }"#, false, Some("nothing is both `ab` and `b`"));
    }

    #[test]
    fn of_several_one_that_can_match_is_enough() {
        check(
            r#"{ one_of = [{ all = ["a", "b"] }, { all = ["a", "c"] }] }"#,
            true,
            Some("nothing is both `a` and `b`"),
        );
    }
}
