//! Bytes to a message, however they arrive.

mod extent;
mod fields;

use std::ops::Range;

use smallvec::SmallVec;

use super::description::{Direction, Field, Kind, MESSAGE_LEN_MAX, Protocol};
use super::error::{DecodeError, push_front};
use super::expression::Reference;
use super::names::NAMES_KEPT;
use super::value::{Decoded, Item, Value};
use crate::text::{count, quote};

/// Why decoding stops.
pub(super) enum Stop {
    /// More bytes decide.
    NeedMore,
    /// They are no such message: at which byte, and why if that was asked for.
    Wrong(usize, Option<Box<DecodeError>>),
}

/// What decoding a part of a message gives.
pub(super) type Step<T> = Result<T, Stop>;

impl Protocol {
    /// Decodes the message at the front of `input`, of those that go in this direction.
    ///
    /// `whole` says that `input` is all of it: of a datagram, or of a frame. Otherwise it may go on, and `None` says that more
    /// bytes decide. However they arrive, the answer is the same in the end.
    pub fn decode(
        &self,
        input: &[u8],
        whole: bool,
        direction: Option<Direction>,
    ) -> Result<Option<Decoded>, DecodeError> {
        let Some(first) = input.first() else {
            if whole && let Some(decoded) = self.decode_empty(direction) {
                return Ok(Some(decoded));
            }
            return if whole { Err(self.unknown(input, direction)) } else { Ok(None) };
        };
        let mut scratch = Scratch::default();
        let mut nearest: Option<(usize, usize)> = None;
        let mut shortest: Option<Decoded> = None;
        let mut waits = false;
        for message in self.begun_by(*first, direction) {
            match self.decode_as(message, input, whole, &mut scratch) {
                Ok(decoded) if whole => return Ok(Some(decoded)),
                // Of several that it could be, the one that is whole first: that is the one which is found when the bytes
                // come one by one.
                Ok(decoded) => {
                    if shortest.as_ref().is_none_or(|shortest| decoded.len < shortest.len) {
                        shortest = Some(decoded);
                    }
                }
                Err(Stop::NeedMore) => waits = true,
                Err(Stop::Wrong(at, _)) => {
                    if nearest.is_none_or(|(_, nearest)| nearest < at) {
                        nearest = Some((message, at));
                    }
                }
            }
        }
        match (shortest, waits, nearest) {
            (None, false, Some((message, _))) => self.decode_message(message, input, whole),
            (None, false, None) => Err(self.unknown(input, direction)),
            (shortest, ..) => Ok(shortest),
        }
    }

    /// Decodes `input` as this message and no other.
    pub fn decode_message(&self, message: usize, input: &[u8], whole: bool) -> Result<Option<Decoded>, DecodeError> {
        match self.decode_as(message, input, whole, &mut Scratch { explains: true, ..Scratch::default() }) {
            Ok(decoded) => Ok(Some(decoded)),
            Err(Stop::NeedMore) => Ok(None),
            Err(Stop::Wrong(_, error)) => {
                let mut error = *error.expect("it was asked for");
                error.message = Some(self.messages[message].name.to_string());
                Err(error)
            }
        }
    }

    /// The name of the message that `input` is, whole; none if it is not one of them, and then nobody is told why.
    pub fn name_whole(&self, input: &[u8], direction: Option<Direction>) -> Option<&str> {
        let Some(first) = input.first() else {
            return self.decode_empty(direction).map(|decoded| &*self.messages[decoded.message].name);
        };
        let mut scratch = Scratch::default();
        let found = self.begun_by(*first, direction).find(|at| self.decode_as(*at, input, true, &mut scratch).is_ok());
        found.map(|at| &*self.messages[at].name)
    }

    /// The messages that may begin with this byte and go in this direction.
    fn begun_by(&self, first: u8, direction: Option<Direction>) -> impl Iterator<Item = usize> {
        let begun = self.begins[usize::from(first)].iter().map(|message| usize::from(*message));
        begun.filter(move |at| Protocol::goes(&self.messages[*at], direction))
    }

    /// Decodes `input` as every message that it can be, whole.
    pub(super) fn decode_each(&self, input: &[u8], mut each: impl FnMut(&Decoded)) {
        let mut scratch = Scratch::default();
        for message in input.first().into_iter().flat_map(|first| &self.begins[usize::from(*first)]) {
            if let Ok(decoded) = self.decode_as(usize::from(*message), input, true, &mut scratch) {
                each(&decoded);
            }
        }
    }

    /// A message may have no bytes at all.
    fn decode_empty(&self, direction: Option<Direction>) -> Option<Decoded> {
        let mut heard = (0..self.messages.len()).filter(|at| Protocol::goes(&self.messages[*at], direction));
        heard.find_map(|at| self.decode_as(at, b"", true, &mut Scratch::default()).ok())
    }

    fn unknown(&self, input: &[u8], direction: Option<Direction>) -> DecodeError {
        let heard = self.messages.iter().filter(|message| Protocol::goes(message, direction));
        let names: Vec<String> = heard.map(|message| format!("`{}`", message.name)).take(12).collect();
        DecodeError {
            message: None,
            path: String::new(),
            at: 0,
            expected: format!("a message of `{}` ({})", self.name, names.join(", ")),
            found: if input.is_empty() { "no bytes".into() } else { quote(&input[..input.len().min(16)]) },
        }
    }

    fn decode_as(&self, message: usize, input: &[u8], whole: bool, scratch: &mut Scratch) -> Step<Decoded> {
        let fields = &self.messages[message].fields;
        let end = End { at: whole.then_some(input.len()), depth: 0, to: usize::MAX };
        scratch.clear();
        let mut cursor = Cursor {
            protocol: self,
            input,
            at: 0,
            end,
            limit: input.len().min(MESSAGE_LEN_MAX),
            whole,
            canonical: true,
            elements: 0,
            depth: 0,
            scratch: &mut *scratch,
        };
        let root = cursor.fields(fields, None)?;
        if whole && cursor.at < input.len() {
            let rest = input.len() - cursor.at;
            return cursor
                .wrong(cursor.at, || ("the end of the message".into(), format!("{} more", count(rest, "byte"))));
        }
        let (len, canonical) = (cursor.at, cursor.canonical);
        let (items, text) = (scratch.items.to_vec(), std::mem::take(&mut scratch.text));
        Ok(Decoded { message, len, canonical, root, items, text })
    }
}

/// What is in hand while a message is decoded. It serves for one message after another.
#[derive(Default)]
pub(super) struct Scratch {
    /// Whether an error says what was expected and found. Of the messages that it could be, most are none, and nobody asks
    /// why.
    explains: bool,
    /// Those of structures beside each other, and of arrays that are complete.
    items: SmallVec<[Item; 64]>,
    /// Elements of arrays that are not complete yet, from the outermost.
    elements: SmallVec<[Item; 16]>,
    /// Names as they are read.
    pub(super) text: Vec<u8>,
    /// The first names that end by themselves: where each begins in the message, and where it lies in `text`.
    pub(super) names: SmallVec<[(usize, Range<usize>); NAMES_KEPT]>,
    /// What lengths bound.
    bounds: SmallVec<[Bound; 4]>,
}

impl Scratch {
    fn clear(&mut self) {
        self.items.clear();
        self.names.clear();
        self.elements.clear();
        self.text.clear();
        self.bounds.clear();
    }
}

/// A length that was read, and what it bounds.
#[derive(Clone, Copy)]
struct Bound {
    /// The field of the length.
    of: usize,
    /// The last field of what it bounds.
    to: usize,
    /// Where that ends.
    end: usize,
    /// The end around it.
    around: End,
}

/// The fields around a field, from the innermost.
#[derive(Clone, Copy)]
struct Scope<'a> {
    fields: &'a [Field],
    /// Which of them is being decoded.
    number: usize,
    /// Where they lie among the items.
    base: usize,
    parent: Option<&'a Scope<'a>>,
}

/// Where what a length bounds, or the message, ends.
#[derive(Clone, Copy)]
struct End {
    /// At which byte; `None` where that is not known.
    at: Option<usize>,
    /// In the fields of which structure it lies, by how deep they are.
    depth: usize,
    /// After which of them.
    to: usize,
}

/// A message that is being decoded.
pub(super) struct Cursor<'a> {
    protocol: &'a Protocol,
    pub(super) input: &'a [u8],
    pub(super) at: usize,
    end: End,
    /// Up to where bytes can be taken: no further than the end, and what is there.
    limit: usize,
    /// Nothing comes after `input`.
    whole: bool,
    pub(super) canonical: bool,
    elements: usize,
    depth: usize,
    pub(super) scratch: &'a mut Scratch,
}

impl<'a> Cursor<'a> {
    /// Says what was expected, and what was found instead.
    pub(super) fn wrong<T>(&self, at: usize, why: impl FnOnce() -> (String, String)) -> Step<T> {
        let explain = || {
            let (expected, found) = why();
            Box::new(DecodeError { message: None, path: String::new(), at, expected, found })
        };
        Err(Stop::Wrong(at, self.scratch.explains.then(explain)))
    }

    /// The number that a reference leads to, where it is there already.
    fn number(&self, scope: &Scope<'_>, reference: &Reference) -> Option<i128> {
        let mut scope = scope;
        for _ in 0..reference.up {
            scope = scope.parent?;
        }
        let mut fields = scope.fields;
        let mut items = &self.scratch.items[scope.base..scope.base + scope.number];
        let (last, outer) = reference.path.split_last()?;
        for at in outer {
            let (Kind::Struct(structure), Value::Struct(inner)) = (&fields.get(*at)?.kind, items.get(*at)?.value())
            else {
                return None;
            };
            (fields, items) = (self.protocol.fields_of(structure), inner.of(&self.scratch.items));
        }
        let Value::Number(number) = items.get(*last)?.value() else { return None };
        match (reference.bits, &fields.get(*last)?.kind) {
            (Some(at), Kind::Integer(integer)) => Some(integer.bits.get(at)?.of(number)),
            _ => Some(number),
        }
    }

    fn set_end(&mut self, end: End) {
        self.end = end;
        let all = self.input.len().min(MESSAGE_LEN_MAX);
        self.limit = end.at.map_or(all, |end| end.min(all));
    }

    /// The next so many bytes.
    #[inline(always)]
    pub(super) fn take(&mut self, len: usize) -> Step<&'a [u8]> {
        let (from, input) = (self.at, self.input);
        match from.checked_add(len).filter(|to| *to <= self.limit).and_then(|to| input.get(from..to)) {
            Some(bytes) => {
                self.at += len;
                Ok(bytes)
            }
            None => self.cannot_take(len),
        }
    }

    #[cold]
    fn cannot_take<T>(&self, len: usize) -> Step<T> {
        let from = self.at;
        let Some(to) = from.checked_add(len).filter(|to| *to <= MESSAGE_LEN_MAX) else {
            return self.wrong(from, || (format!("at most {MESSAGE_LEN_MAX} bytes of a message"), count(len, "byte")));
        };
        match self.end.at.filter(|end| to > *end) {
            Some(end) => {
                let left = || format!("{} left", count(end.saturating_sub(from), "byte"));
                self.wrong(from, || (count(len, "byte"), left()))
            }
            None => Err(Stop::NeedMore),
        }
    }
}

fn named(stop: Stop, name: &str) -> Stop {
    match stop {
        Stop::Wrong(at, Some(mut error)) => {
            push_front(&mut error.path, name);
            Stop::Wrong(at, Some(error))
        }
        other => other,
    }
}
