//! A regular expression over bytes.
//!
//! On a stream a match must not depend on how the bytes were cut: `\d+` on `12` might still become `123`. A lazy DFA walks
//! along with the bytes and knows whether a further byte could change the match, and at which byte it is certain that
//! there will be none. A match that could grow is taken when the peer falls quiet.

use std::sync::Arc;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{self, DFA};
use regex_automata::meta;
use regex_automata::nfa::thompson;
use regex_automata::util::alphabet::Unit;
use regex_automata::util::{start, syntax};

use super::{Input, Match, Matcher, Outcome, Pattern, Progress};
use crate::document::{Node, Reader};

/// The most memory that one expression may take when compiled, in bytes.
const REGEX_SIZE_MAX: usize = 4 << 20;

#[derive(Debug)]
struct Regex {
    text: String,
    meta: meta::Regex,
    dfa: DFA,
    groups: Vec<(usize, Arc<str>)>,
}

pub(super) fn lower(reader: &mut Reader, node: &Node) -> Option<Pattern> {
    let template = reader.template(node, "`regex`")?;
    let pattern = Pattern::of(reader, node, template, |text| Regex::new(&String::from_utf8_lossy(&text)))?;
    let sets = match pattern.as_ready() {
        // Names can be told before the run only where the expression is known.
        Some(_) => group_names(&String::from_utf8_lossy(literal(node)?.as_bytes())),
        None => literal(node).map(group_names).unwrap_or_default(),
    };
    Some(Pattern { sets, ..pattern })
}

fn literal(node: &Node) -> Option<&str> {
    match &node.value {
        crate::document::Value::String(text) => Some(text),
        _ => None,
    }
}

/// The names of groups in an expression, `${..}` in it or not.
pub(crate) fn group_names(text: &str) -> Vec<Arc<str>> {
    let mut names = Vec::new();
    for opening in ["(?P<", "(?<"] {
        for (at, _) in text.match_indices(opening) {
            let name = &text[at + opening.len()..];
            if let Some(end) = name.find('>').filter(|end| crate::text::is_identifier(&name[..*end])) {
                names.push(name[..end].into());
            }
        }
    }
    names
}

impl Regex {
    fn new(text: &str) -> Result<Regex, String> {
        let explain = |error: &dyn std::fmt::Display| {
            // The library draws carets over several lines; its last line says what is wrong.
            let whole = error.to_string();
            let last = whole.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").trim();
            format!("no regular expression: {}", last.trim_start_matches("error: "))
        };
        // Bytes, not characters: `.` is any byte, `\n` included.
        let syntax = syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true);
        let hir = syntax::parse_with(text, &syntax).map_err(|error| explain(&error))?;
        let meta = meta::Regex::builder()
            .configure(meta::Config::new().utf8_empty(false).nfa_size_limit(Some(REGEX_SIZE_MAX)))
            .build_from_hir(&hir)
            .map_err(|error| match error.size_limit() {
                Some(_) => format!("the regular expression takes more than {REGEX_SIZE_MAX} bytes of memory"),
                None => explain(&error),
            })?;
        let nfa = thompson::Compiler::new()
            .configure(thompson::Config::new().utf8(false).nfa_size_limit(Some(REGEX_SIZE_MAX)))
            .build_from_hir(&hir)
            .map_err(|error| explain(&error))?;
        // A byte outside ASCII would make a Unicode word boundary undecidable for a DFA; the walk then stops there.
        let config = dfa::Config::new().unicode_word_boundary(true).skip_cache_capacity_check(true);
        let dfa = dfa::Builder::new().configure(config).build_from_nfa(nfa).map_err(|error| explain(&error))?;
        let names = meta.group_info().pattern_names(regex_automata::PatternID::ZERO);
        let groups = names.enumerate().filter_map(|(at, name)| Some((at, name?.into()))).collect();
        Ok(Regex { text: text.into(), meta, dfa, groups })
    }

    /// The match in `bytes`, as if nothing followed.
    fn find(&self, bytes: &[u8]) -> Option<Match> {
        if self.groups.is_empty() {
            return self.meta.find(bytes).map(|found| Match { len: found.end(), ..Match::default() });
        }
        let mut captures = self.meta.create_captures();
        self.meta.captures(bytes, &mut captures);
        let found = captures.get_match()?;
        let named =
            self.groups.iter().filter_map(|(at, name)| Some((Arc::clone(name), captures.get_group(*at)?.range())));
        Some(Match { len: found.end(), may_grow: false, captures: named.collect(), values: Vec::new() })
    }
}

/// How far the DFA has walked.
struct Walk {
    cache: dfa::Cache,
    state: LazyStateID,
    position: usize,
    end: WalkEnd,
    /// Whether a match was seen on the way; a DFA sees it one byte later.
    seen: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WalkEnd {
    /// The DFA cannot tell: only the end of the input will.
    GaveUp,
    /// No further byte changes anything.
    Settled,
    /// Still walking.
    Open,
}

impl Walk {
    fn new(dfa: &DFA) -> Walk {
        let mut cache = dfa.create_cache();
        let config = start::Config::new().anchored(regex_automata::Anchored::No);
        match dfa.start_state(&mut cache, &config) {
            Ok(state) => Walk { cache, state, position: 0, end: WalkEnd::Open, seen: false },
            Err(_) => Walk { cache, state: LazyStateID::default(), position: 0, end: WalkEnd::GaveUp, seen: false },
        }
    }

    fn advance(&mut self, dfa: &DFA, bytes: &[u8]) {
        while self.end == WalkEnd::Open && self.position < bytes.len() {
            let Ok(state) = dfa.next_state(&mut self.cache, self.state, bytes[self.position]) else {
                self.end = WalkEnd::GaveUp;
                return;
            };
            self.state = state;
            self.seen |= state.is_match();
            if state.is_dead() {
                self.end = WalkEnd::Settled;
                return;
            }
            if state.is_quit() {
                self.end = WalkEnd::GaveUp;
                return;
            }
            self.position += 1;
        }
    }

    /// Whether there may be a match if the input ended here. Notes on the way whether a further byte could change it.
    fn may_match(&mut self, dfa: &DFA) -> bool {
        if self.end != WalkEnd::Open {
            return self.seen || self.end == WalkEnd::GaveUp;
        }
        let clears = self.cache.clear_count();
        let matches = dfa.next_eoi_state(&mut self.cache, self.state).map_or(true, |state| state.is_match());
        let settled = (matches || self.seen) && self.is_settled(dfa, matches).unwrap_or(false);
        self.end = match () {
            // The state that the walk stood on is gone with the cache.
            () if self.cache.clear_count() != clears => WalkEnd::GaveUp,
            () if settled => WalkEnd::Settled,
            () => WalkEnd::Open,
        };
        self.seen || matches
    }

    /// Whether the match stays as it is, whatever byte follows. A DFA sees a match one byte after its end: with one that
    /// ends just here every byte has to lead to its being seen, and from there nowhere; else every byte leads nowhere.
    fn is_settled(&mut self, dfa: &DFA, matches: bool) -> Option<bool> {
        let mut after = Vec::new();
        for byte in dfa.byte_classes().representatives(0..=255).filter_map(Unit::as_u8) {
            let next = dfa.next_state(&mut self.cache, self.state, byte).ok()?;
            if next.is_quit() || (matches && !next.is_match()) || (!matches && !next.is_dead()) {
                return Some(false);
            }
            if matches && !after.contains(&next) {
                after.push(next);
            }
        }
        for state in after {
            for byte in dfa.byte_classes().representatives(0..=255).filter_map(Unit::as_u8) {
                if !dfa.next_state(&mut self.cache, state, byte).ok()?.is_dead() {
                    return Some(false);
                }
            }
        }
        Some(true)
    }
}

impl Matcher for Regex {
    fn describe(&self) -> String {
        format!("a match of the regex `{}`", self.text)
    }

    fn check(&self, input: Input<'_>, progress: &mut Progress) -> Outcome {
        // A message that is whole needs no walk: that would be built anew for each, and says only where a mismatch is certain.
        if input.ended
            && let Some(found) = self.find(input.bytes)
        {
            return Outcome::Match(Match { may_grow: false, ..found });
        }
        let state = progress.state.get_or_insert_with(|| Box::new(Walk::new(&self.dfa)));
        let walk = state.downcast_mut::<Walk>().expect("the progress is this matcher's own");
        walk.advance(&self.dfa, input.bytes);
        let found = if walk.may_match(&self.dfa) { self.find(input.bytes) } else { None };
        let settled = walk.end == WalkEnd::Settled || input.ended;
        match found {
            Some(found) => Outcome::Match(Match { may_grow: !settled, ..found }),
            None if settled => Outcome::mismatch(walk.position.min(input.bytes.len()), "it does not match"),
            None => Outcome::NeedMore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::tests::{matcher, message, stream};

    #[test]
    fn it_is_searched_for_in_a_message() {
        message(r"{ regex = 'b+' }", b"abbc", true);
        message(r"{ regex = '^b' }", b"abbc", false);
        message(r"{ regex = '^a.c$' }", b"a\nc", true);
        message(r"{ regex = '\xff' }", &[0, 0xff], true);
        message(r"{ regex = '서버' }", "서버로부터".as_bytes(), true);
    }

    #[test]
    fn a_match_does_not_depend_on_how_the_bytes_were_cut() {
        stream(r"{ regex = '^VALUE (?P<n>\d+)\r\n' }", b"VALUE 123\r\nEND", Some(Ok(11)));
        stream(r"{ regex = '\d+' }", b"a12 ", Some(Ok(3)));
        stream(r"{ regex = '^OK$' }", b"OK", Some(Ok(2)));
    }

    #[test]
    fn an_anchored_mismatch_is_certain_at_its_first_byte() {
        stream(r"{ regex = '^220 ' }", b"225 ", Some(Err(2)));
        stream(r"{ regex = '^OK$' }", b"OK\r\n", Some(Err(2)));
    }

    #[test]
    fn a_match_that_could_grow_says_so() {
        let matcher = matcher(r"{ regex = '\d+' }");
        let outcome = matcher.check(Input::stream(b"12", false), &mut Progress::default());
        assert_eq!(outcome, Outcome::Match(Match { len: 2, may_grow: true, captures: Vec::new(), values: Vec::new() }));
    }

    #[test]
    fn a_match_that_cannot_grow_is_taken_at_once() {
        for (regex, input) in
            [(r"^\w+\n", "abc\n"), (r"\d+", "12;"), ("ab?", "ab"), ("END|ERROR", "xEND"), ("a{3}", "aaa")]
        {
            let regex = Regex::new(regex).expect("an expression");
            let outcome = regex.check(Input::stream(input.as_bytes(), false), &mut Progress::default());
            assert!(matches!(outcome, Outcome::Match(Match { may_grow: false, .. })), "{input}: {outcome:?}");
        }
    }

    #[test]
    fn a_match_that_could_vanish_is_not_settled() {
        let regex = Regex::new("^OK$").expect("an expression");
        let outcome = regex.check(Input::stream(b"OK", false), &mut Progress::default());
        assert!(matches!(outcome, Outcome::Match(Match { may_grow: true, .. })), "{outcome:?}");
    }

    #[test]
    fn named_groups_are_captured() {
        let matcher = matcher(r"{ regex = '(?P<key>\w+)=(?<value>\w+)' }");
        let Outcome::Match(found) = matcher.check(Input::message(b"a=bc"), &mut Progress::default()) else {
            panic!("it matches")
        };
        assert_eq!(found.captures, [("key".into(), 0..1), ("value".into(), 2..4)]);
    }

    #[test]
    fn a_broken_expression_is_told_in_one_line() {
        assert_eq!(Regex::new("(a").expect_err("no group end"), "no regular expression: unclosed group");
        assert!(Regex::new("(a{1000}){1000}").is_err(), "it is too large when compiled");
    }
}
