//! One question about a reply a file, one row in the table.
//!
//! A matcher looks at what has arrived and says whether it matches, whether more could make it match, or at which
//! byte it is certain that nothing will. It reads no socket and waits for nothing: the conversation does.

mod all;
mod any;
mod contains;
mod exact;
mod facts;
mod hex;
mod json;
mod length;
mod message;
mod not;
mod one_of;
mod prefix;
mod range;
mod regex;
mod save;
mod suffix;

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::document::{Node, Reader, Value, did_you_mean, parse_size};
use crate::protocol::{Direction, Protocol};
use crate::template::{Template, Unset, Variables};

pub use exact::Exact;
pub use facts::Facts;
pub(crate) use regex::group_names;

/// One question about a reply.
pub trait Matcher: fmt::Debug + Send + Sync {
    /// What it wants, as the end of "expected …".
    fn describe(&self) -> String;

    /// What was received, in its own words; `None` where the bytes say it best.
    fn show(&self, received: &[u8]) -> Option<String> {
        let _ = received;
        None
    }

    /// The bytes it wants, where it wants certain bytes: for showing the difference.
    fn bytes(&self) -> Option<&Bytes> {
        None
    }

    /// The bytes that it wants and nothing else, where comparing is all that it does.
    fn exactly(&self) -> Option<&Bytes> {
        None
    }

    /// The matcher that this one negates.
    fn negated(&self) -> Option<&dyn Matcher> {
        None
    }

    /// What every match has, of a whole message or of a stream.
    fn facts(&self, message: bool) -> Facts {
        let _ = message;
        Facts::default()
    }

    /// Looks at `input`. `progress` is its own note of what it saw before: `input` then only has more bytes at its end.
    fn check(&self, input: Input<'_>, progress: &mut Progress) -> Outcome;
}

/// What a matcher looks at.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// All unread bytes of a stream, or one message's body.
    pub bytes: &'a [u8],
    /// Whether it is one whole message, which has to match as a whole.
    pub message: bool,
    /// Whether no byte will follow: the peer closed, or it is a message.
    pub ended: bool,
}

impl<'a> Input<'a> {
    /// One whole message.
    pub fn message(bytes: &'a [u8]) -> Input<'a> {
        Input { bytes, message: true, ended: true }
    }

    /// What has arrived of a stream.
    pub fn stream(bytes: &'a [u8], ended: bool) -> Input<'a> {
        Input { bytes, message: false, ended }
    }
}

/// What a matcher found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It matches.
    Match(Match),
    /// It cannot match, whatever follows.
    Mismatch {
        /// The first byte at which that is certain.
        at: usize,
        /// What is wrong there.
        why: String,
    },
    /// What follows decides.
    NeedMore,
}

/// A match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// How many bytes of a stream it takes.
    pub len: usize,
    /// Whether it would take more if more followed. It is taken when the peer falls quiet.
    pub may_grow: bool,
    /// Parts with names.
    pub captures: Vec<(Arc<str>, Range<usize>)>,
    /// What does not stand in the input so, with names: numbers of a message.
    pub values: Vec<(Arc<str>, Bytes)>,
}

impl Outcome {
    /// A match of `len` bytes that no further byte changes.
    fn matched(len: usize) -> Outcome {
        Outcome::Match(Match { len, ..Match::default() })
    }

    fn mismatch(at: usize, why: impl Into<String>) -> Outcome {
        Outcome::Mismatch { at, why: why.into() }
    }
}

/// What a matcher remembers between two looks at a growing input.
#[derive(Debug, Default)]
pub struct Progress {
    /// How many bytes need no second look.
    pub position: usize,
    state: Option<Box<dyn Any + Send>>,
    children: Vec<Progress>,
}

impl Progress {
    fn children(&mut self, count: usize) -> &mut [Progress] {
        self.children.resize_with(count, Progress::default);
        &mut self.children
    }
}

/// Builds a matcher when its variables have values.
type Build = dyn Fn(&Variables) -> Result<Arc<dyn Matcher>, BuildError> + Send + Sync;

/// A matcher as it stands in a file: variables may still be missing.
#[derive(Clone)]
pub struct Pattern {
    state: State,
    uses: Vec<String>,
    sets: Vec<Arc<str>>,
}

#[derive(Clone)]
enum State {
    Open(Arc<Build>),
    Ready(Arc<dyn Matcher>),
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Open(_) => write!(f, "Pattern(with {:?})", self.uses),
            State::Ready(matcher) => matcher.fmt(f),
        }
    }
}

/// Why a matcher could not be built from its variables' values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// A value makes no sense where it stands.
    Invalid(String),
    /// A variable has no value yet.
    Unset(Arc<str>),
}

impl From<Unset> for BuildError {
    fn from(Unset(name): Unset) -> BuildError {
        BuildError::Unset(name)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Invalid(why) => f.write_str(why),
            BuildError::Unset(name) => write!(f, "the variable `{name}` has no value yet"),
        }
    }
}

impl std::error::Error for BuildError {}

impl Pattern {
    /// A pattern without variables.
    pub fn ready(matcher: impl Matcher + 'static) -> Pattern {
        Pattern { state: State::Ready(Arc::new(matcher)), uses: Vec::new(), sets: Vec::new() }
    }

    /// A pattern around a text; `build` says why the text will not do.
    fn of<M: Matcher + 'static>(
        reader: &mut Reader,
        node: &Node,
        template: Template,
        build: impl Fn(Bytes) -> Result<M, String> + Send + Sync + 'static,
    ) -> Option<Pattern> {
        if let Some(bytes) = template.as_literal() {
            return match build(bytes.clone()) {
                Ok(matcher) => Some(Pattern::ready(matcher)),
                Err(why) => {
                    reader.mistake(&node.span, why);
                    None
                }
            };
        }
        let uses = template.variables().map(str::to_owned).collect();
        let build: Arc<Build> = Arc::new(move |variables| {
            let matcher = build(template.fill(variables)?).map_err(BuildError::Invalid)?;
            Ok(Arc::new(matcher))
        });
        Some(Pattern { state: State::Open(build), uses, sets: Vec::new() })
    }

    /// A pattern around bytes: a string, `{ hex = ".." }` or `{ base64 = ".." }`.
    fn of_bytes<M: Matcher + 'static>(
        reader: &mut Reader,
        node: &Node,
        what: &str,
        build: impl Fn(Bytes) -> M + Send + Sync + 'static,
    ) -> Option<Pattern> {
        let Value::Table(table) = &node.value else {
            let template = reader.template(node, what)?;
            return Pattern::of(reader, node, template, move |bytes| Ok(build(bytes)));
        };
        reader.check_keys(table, &["base64", "hex"], what);
        let [entry] = table.entries.as_slice() else {
            let hint = format!("{what} takes a string, `{{ hex = \"00 ff\" }}` or `{{ base64 = \"AP8=\" }}`");
            reader.mistake_with_hint(&node.span, "bytes are given in one way", hint);
            return None;
        };
        let is_hex = entry.key == "hex";
        let template = reader.template(&entry.node, what)?;
        Pattern::of(reader, &entry.node, template, move |text| match is_hex {
            true => crate::text::parse_hex(&String::from_utf8_lossy(&text)).map(|bytes| build(bytes.into())),
            false => crate::text::parse_base64(&text).map(|bytes| build(bytes.into())),
        })
    }

    /// A pattern between two numbers; `build` says why they will not do.
    fn of_bounds<M: Matcher + 'static>(
        reader: &mut Reader,
        node: &Node,
        low: Bound,
        high: Bound,
        build: impl Fn(i64, i64) -> Result<M, String> + Send + Sync + 'static,
    ) -> Option<Pattern> {
        if let (Bound::Known(low), Bound::Known(high)) = (&low, &high) {
            return match build(*low, *high) {
                Ok(matcher) => Some(Pattern::ready(matcher)),
                Err(why) => {
                    reader.mistake(&node.span, why);
                    None
                }
            };
        }
        let templates = [&low, &high].into_iter().filter_map(|bound| match bound {
            Bound::Known(_) => None,
            Bound::Open(template) => Some(template),
        });
        let uses = templates.flat_map(Template::variables).map(str::to_owned).collect();
        let build: Arc<Build> = Arc::new(move |variables| {
            let matcher = build(low.fill(variables)?, high.fill(variables)?).map_err(BuildError::Invalid)?;
            Ok(Arc::new(matcher))
        });
        Some(Pattern { state: State::Open(build), uses, sets: Vec::new() })
    }

    /// A pattern made of others.
    fn of_many<M: Matcher + 'static>(
        parts: Vec<Pattern>,
        build: impl Fn(Vec<Arc<dyn Matcher>>) -> M + Send + Sync + 'static,
    ) -> Pattern {
        let uses = parts.iter().flat_map(|part| part.uses.clone()).collect();
        let sets = parts.iter().flat_map(|part| part.sets.clone()).collect();
        let ready: Option<Vec<_>> = parts
            .iter()
            .map(|part| match &part.state {
                State::Ready(matcher) => Some(Arc::clone(matcher)),
                State::Open(_) => None,
            })
            .collect();
        let state = match ready {
            Some(matchers) => State::Ready(Arc::new(build(matchers))),
            None => State::Open(Arc::new(move |variables| {
                let matchers = parts.iter().map(|part| part.fill(variables)).collect::<Result<_, _>>()?;
                Ok(Arc::new(build(matchers)))
            })),
        };
        Pattern { state, uses, sets }
    }

    /// The matcher, with its variables filled in.
    pub fn fill(&self, variables: &Variables) -> Result<Arc<dyn Matcher>, BuildError> {
        match &self.state {
            State::Open(build) => build(variables),
            State::Ready(matcher) => Ok(Arc::clone(matcher)),
        }
    }

    /// The same with its variables filled in for good.
    pub fn filled(&self, variables: &Variables) -> Result<Pattern, BuildError> {
        let state = State::Ready(self.fill(variables)?);
        Ok(Pattern { state, uses: Vec::new(), sets: self.sets.clone() })
    }

    /// The variables that it needs.
    pub fn uses(&self) -> &[String] {
        &self.uses
    }

    /// The variables that a match of it sets.
    pub fn sets(&self) -> &[Arc<str>] {
        &self.sets
    }

    /// The matcher, where no variable is missing.
    pub fn as_ready(&self) -> Option<&dyn Matcher> {
        match &self.state {
            State::Open(_) => None,
            State::Ready(matcher) => Some(&**matcher),
        }
    }
}

/// A number that a matcher compares with, which a variable may hold.
#[derive(Clone, Debug)]
enum Bound {
    Known(i64),
    Open(Template),
}

impl Bound {
    /// Reads a number with `read` where no variable is missing.
    fn lower(
        reader: &mut Reader,
        node: &Node,
        what: &str,
        read: impl Fn(&mut Reader, &Node, &str) -> Option<i64>,
    ) -> Option<Bound> {
        match reader.holds_variable(node) {
            true => reader.template(node, what).map(Bound::Open),
            false => read(reader, node, what).map(Bound::Known),
        }
    }

    fn fill(&self, variables: &Variables) -> Result<i64, BuildError> {
        let template = match self {
            Bound::Known(number) => return Ok(*number),
            Bound::Open(template) => template,
        };
        let text = template.fill_text(variables)?;
        let size = || parse_size(&text).and_then(|size| i64::try_from(size).ok());
        let number = text.trim().parse().ok().or_else(size);
        number.ok_or_else(|| BuildError::Invalid(format!("expected a number, got `{text}`")))
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct Entry {
    /// The key in a scenario.
    pub name: &'static str,
    /// One line for `harness list matchers`.
    pub about: &'static str,
    lower: Lower,
}

/// How a matcher is read.
#[derive(Debug)]
enum Lower {
    /// By itself.
    Leaf(fn(&mut Reader, &Node) -> Option<Pattern>),
    /// With others in it, which may be messages.
    Parts(fn(&mut Reader, &Node, Speaks<'_>) -> Option<Pattern>),
}

/// The protocol whose messages can be matched by name, if any.
pub type Speaks<'a> = Option<&'a Speaking>;

/// What an actor speaks.
#[derive(Clone, Debug)]
pub struct Speaking {
    /// Its protocol.
    pub protocol: Arc<Protocol>,
    /// Which messages it hears; `None` for all.
    pub hears: Option<Direction>,
}

impl Speaking {
    /// Which messages it sends; `None` for all.
    pub fn speaks(&self) -> Option<Direction> {
        self.hears.map(|hears| match hears {
            Direction::Reply => Direction::Request,
            Direction::Request => Direction::Reply,
        })
    }
}

/// Every matcher.
pub const MATCHERS: &[Entry] = &[
    Entry { name: "all", about: "every one of these matches: `{ all = [..] }`", lower: Lower::Parts(all::lower) },
    Entry {
        name: "any",
        about: "whatever has arrived, a message or at least one byte",
        lower: Lower::Leaf(any::lower),
    },
    Entry { name: "base64", about: "exactly these bytes, in base64", lower: Lower::Leaf(exact::lower_base64) },
    Entry {
        name: "contains",
        about: "these bytes stand somewhere in it; also `{ hex = \"..\" }`",
        lower: Lower::Leaf(contains::lower),
    },
    Entry {
        name: "hex",
        about: "exactly these bytes, in hexadecimal; `??` is any byte, `4?` any low half",
        lower: Lower::Leaf(hex::lower),
    },
    Entry { name: "json", about: "a JSON value that has at least these members", lower: Lower::Leaf(json::lower) },
    Entry {
        name: "length",
        about: "so many bytes: `4`, or `{ min = 1, max = 64 }`",
        lower: Lower::Leaf(length::lower),
    },
    Entry { name: "not", about: "the matcher inside does not match", lower: Lower::Parts(not::lower) },
    Entry {
        name: "one_of",
        about: "one of these matches; the first in the list wins",
        lower: Lower::Parts(one_of::lower),
    },
    Entry {
        name: "prefix",
        about: "it starts with these bytes; also `{ hex = \"..\" }`",
        lower: Lower::Leaf(prefix::lower),
    },
    Entry {
        name: "range",
        about: "a decimal number from the first to the second: `[1, 9]`",
        lower: Lower::Leaf(range::lower),
    },
    Entry {
        name: "regex",
        about: "a regular expression over bytes finds it; named groups become variables",
        lower: Lower::Leaf(regex::lower),
    },
    Entry { name: "save", about: "anything, kept as the variable of this name", lower: Lower::Leaf(save::lower) },
    Entry {
        name: "suffix",
        about: "it ends with these bytes; also `{ hex = \"..\" }`",
        lower: Lower::Leaf(suffix::lower),
    },
];

/// Reads a matcher: a string, which matches exactly, or a table with one key.
pub fn lower(reader: &mut Reader, node: &Node, speaks: Speaks<'_>) -> Option<Pattern> {
    let table = match &node.value {
        Value::String(_) => return exact::lower(reader, node),
        Value::Table(table) => table,
        other => {
            let message = format!("a matcher is a string or a table with one key, not {}", other.kind());
            let hint = match other {
                Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => "text stands in quotes: `\"220\"`; ",
                _ => "",
            };
            reader.mistake_with_hint(&node.span, message, format!("{hint}`harness list matchers` shows the keys"));
            return None;
        }
    };
    if let ([entry], Some(speaking)) = (table.entries.as_slice(), speaks)
        && speaking.protocol.message(&entry.key).is_some()
    {
        return message::lower(reader, entry, speaking);
    }
    let messages = speaks.iter().flat_map(|speaking| &speaking.protocol.messages).map(|message| &*message.name);
    let names: Vec<&str> = MATCHERS.iter().map(|entry| entry.name).chain(messages).collect();
    let mut found = None;
    for entry in &table.entries {
        match MATCHERS.iter().find(|row| row.name == entry.key) {
            Some(row) if found.is_none() => found = Some((row, &entry.node)),
            Some(_) => {
                let hint = "`{ all = [{ .. }, { .. }] }` wants several at once";
                reader.mistake_with_hint(&entry.key_span, "a matcher has one key, and this is one more", hint);
            }
            None => match speaks.filter(|_| did_you_mean(&entry.key, names.iter().copied()).is_none()) {
                Some(speaking) => {
                    let hint = format!("{}; `harness list matchers` shows matchers", speaking.protocol.listed());
                    let message = format!("unknown matcher or message `{}`", entry.key);
                    reader.mistake_with_hint(&entry.key_span, message, hint);
                }
                None => reader.unknown(&entry.key_span, "matcher", &entry.key, &names, "harness list matchers"),
            },
        }
    }
    if table.entries.is_empty() {
        reader.mistake_with_hint(&node.span, "an empty table matches nothing", "`{ any = true }` matches anything");
    }
    let (row, inner) = found?;
    match row.lower {
        Lower::Leaf(lower) => lower(reader, inner),
        Lower::Parts(lower) => lower(reader, inner, speaks),
    }
}

/// Reads the matchers of a list.
fn lower_many(reader: &mut Reader, node: &Node, what: &str, speaks: Speaks<'_>) -> Option<Vec<Pattern>> {
    let items = reader.array(node, what)?;
    if items.is_empty() {
        reader.mistake(&node.span, format!("{what} lists at least one matcher"));
        return None;
    }
    let patterns: Vec<_> = items.iter().map(|item| lower(reader, item, speaks)).collect();
    patterns.into_iter().collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::document::{Source, parse};

    /// The matcher that `toml`, the right side of `m =`, describes.
    #[track_caller]
    pub(crate) fn matcher(toml: &str) -> Arc<dyn Matcher> {
        let source = Source::new("test.toml", format!("m = {toml}"));
        let (table, mistakes) = parse(&source);
        assert_eq!(mistakes, []);
        let mut reader = Reader::new(source);
        let pattern = lower(&mut reader, table.get("m").expect("the one key"), None);
        assert_eq!(reader.into_mistakes(), []);
        pattern.expect("no mistake").fill(&Variables::new()).expect("no variables")
    }

    /// What the matcher says of a message.
    #[track_caller]
    pub(crate) fn message(toml: &str, input: &[u8], expected: bool) {
        let outcome = matcher(toml).check(Input::message(input), &mut Progress::default());
        assert_eq!(matches!(outcome, Outcome::Match(_)), expected, "{outcome:?}");
    }

    /// What the matcher says of a stream, byte by byte: `Ok(len)` of the first match, `Err(at)` of the first mismatch.
    #[track_caller]
    pub(crate) fn stream(toml: &str, input: &[u8], expected: Option<Result<usize, usize>>) {
        let matcher = matcher(toml);
        let mut progress = Progress::default();
        let mut found = None;
        for end in 0..=input.len() {
            let last = end == input.len();
            match matcher.check(Input::stream(&input[..end], false), &mut progress) {
                Outcome::Match(m) if !m.may_grow || last => found = Some(Ok(m.len)),
                Outcome::Mismatch { at, .. } => found = Some(Err(at)),
                _ => {}
            }
            if found.is_some() {
                break;
            }
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(MATCHERS.is_sorted_by_key(|entry| entry.name));
    }

    #[test]
    fn a_wrong_matcher_is_a_mistake_with_its_place() {
        let source = Source::new("s.toml", "m = { prefx = \"220 \" }");
        let (table, _) = parse(&source);
        let mut reader = Reader::new(source);
        assert!(lower(&mut reader, table.get("m").expect("the one key"), None).is_none());
        let mistakes = reader.into_mistakes();
        assert_eq!(mistakes[0].message, "unknown matcher `prefx`");
        assert_eq!(mistakes[0].place.column, 7);
        assert_eq!(mistakes[0].hint.as_deref(), Some("did you mean `prefix`? `harness list matchers` shows them all"));
    }
}
