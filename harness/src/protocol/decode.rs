//! Bytes to a message, however they arrive.

use std::ops::Range;

use memchr::memmem;
use smallvec::SmallVec;

use super::checksum::Summed;
use super::description::{
    Compute, Direction, ELEMENTS_MAX, Extent, Field, How, ITEMS_MAX, Integer, Kind, Layout, MESSAGE_LEN_MAX,
    NAMES_LEN_MAX, NESTING_MAX, Number, Protocol,
};
use super::error::{DecodeError, push_front};
use super::expression::Reference;
use super::value::{Decoded, Item, Items, Value};
use crate::text::{count, quote};

/// Why decoding stops.
enum Stop {
    /// More bytes decide.
    NeedMore,
    /// They are no such message: at which byte, and why if that was asked for.
    Wrong(usize, Option<Box<DecodeError>>),
}

type Step<T> = Result<T, Stop>;

/// The most bytes of a varint.
const VARINT_LEN_MAX: usize = 10;

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
        for message in self.begins[usize::from(*first)].iter().map(|message| usize::from(*message)) {
            if !Protocol::goes(&self.messages[message], direction) {
                continue;
            }
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
struct Scratch {
    /// Whether an error says what was expected and found. Of the messages that it could be, most are none, and nobody asks
    /// why.
    explains: bool,
    /// Those of structures beside each other, and of arrays that are complete.
    items: SmallVec<[Item; 64]>,
    /// Elements of arrays that are not complete yet, from the outermost.
    elements: SmallVec<[Item; 16]>,
    /// Names as they are read.
    text: Vec<u8>,
    /// The first names that end by themselves: where each begins in the message, and where it lies in `text`.
    names: SmallVec<[(usize, Range<usize>); NAMES_KEPT]>,
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

struct Cursor<'a> {
    protocol: &'a Protocol,
    input: &'a [u8],
    at: usize,
    end: End,
    /// Up to where bytes can be taken: no further than the end, and what is there.
    limit: usize,
    /// Nothing comes after `input`.
    whole: bool,
    canonical: bool,
    elements: usize,
    depth: usize,
    scratch: &'a mut Scratch,
}

impl<'a> Cursor<'a> {
    /// Says what was expected, and what was found instead.
    fn wrong<T>(&self, at: usize, why: impl FnOnce() -> (String, String)) -> Step<T> {
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
    fn take(&mut self, len: usize) -> Step<&'a [u8]> {
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

    /// Decodes fields that follow each other.
    fn fields(&mut self, fields: &'a [Field], parent: Option<&Scope<'_>>) -> Step<Items> {
        let base = self.scratch.items.len();
        // A place for each, so that they lie beside each other, and what is in them after them.
        if base + self.scratch.elements.len() + fields.len() > ITEMS_MAX {
            return self.wrong(self.at, || (format!("at most {ITEMS_MAX} fields and elements"), "more".into()));
        }
        self.scratch.items.resize(base + fields.len(), Item::NONE);
        let outer_bounds = self.scratch.bounds.len();
        let mut has_computed = false;
        // Lengths that were read, of spans that begin later: the first field, the last one, the length, its own field.
        let mut waiting: Vec<(usize, usize, usize, usize)> = Vec::new();
        for (number, field) in fields.iter().enumerate() {
            // Of several that begin here the one that reaches further has the others in it.
            while let Some(at) =
                (0..waiting.len()).filter(|at| waiting[*at].0 == number).max_by_key(|at| waiting[*at].1)
            {
                let (_, to, len, of) = waiting.remove(at);
                self.push_bound(of, to, self.at.saturating_add(len))?;
            }
            // The one of them that begins right after this field: nearly all do.
            let mut next: Option<(usize, usize)> = None;
            let decoded = match (&field.kind, &field.only_if) {
                // Most fields are such numbers.
                (Kind::Integer(integer @ Integer { layout: Layout::Fixed { .. }, .. }), None) => {
                    let start = self.at;
                    match self.integer(integer) {
                        Ok(value) => self.set(Some(base + number), start, Value::Number(value)),
                        Err(stop) => Err(stop),
                    }
                }
                _ => {
                    let scope = Scope { fields, number, base, parent };
                    self.field(field, &scope, Some(base + number))
                }
            };
            decoded.map_err(|stop| named(stop, &field.name))?;
            if let Some(compute) = &field.compute {
                has_computed = true;
                let item = self.scratch.items[base + number];
                if let Value::Number(value) = item.value()
                    && compute.how == How::Length
                    && field.only_if.is_none()
                {
                    let span = item.span();
                    let len = usize::try_from(value - i128::from(compute.plus)).ok();
                    let Some(len) = len.filter(|len| *len <= MESSAGE_LEN_MAX) else {
                        let why = || (format!("a length of at most {MESSAGE_LEN_MAX}"), value.to_string());
                        return self.wrong(span.start, why).map_err(|stop| named(stop, &field.name));
                    };
                    if compute.from == number + 1 && waiting.is_empty() {
                        next = Some((compute.to, len));
                    } else if compute.from > number {
                        waiting.push((compute.from, compute.to, len, number));
                    } else {
                        // It counts what came before it, too, and perhaps itself.
                        let start = self.scratch.items[base + compute.from].span().start;
                        let end = start.saturating_add(len);
                        if end < span.end {
                            let why = || (format!("a length of at least {}", span.end - start), value.to_string());
                            return self.wrong(span.start, why).map_err(|stop| named(stop, &field.name));
                        }
                        if compute.to > number {
                            self.push_bound(number, compute.to, end)?;
                        }
                    }
                }
            }
            while self.scratch.bounds.len() > outer_bounds
                && let Some(&Bound { of, to, end, around }) =
                    self.scratch.bounds.last().filter(|bound| bound.to == number)
            {
                self.scratch.bounds.pop();
                if self.at != end {
                    let why = || {
                        let found = format!("{} more", count(end.saturating_sub(self.at), "byte"));
                        (format!("the end of what `{}` says, at byte {end}", fields[of].name), found)
                    };
                    return self.wrong(self.at, why).map_err(|stop| named(stop, &fields[to].name));
                }
                self.set_end(around);
            }
            if let Some((to, len)) = next {
                self.push_bound(number, to, self.at.saturating_add(len))?;
            }
        }
        if has_computed {
            for (number, field) in fields.iter().enumerate() {
                if let Some(compute) = &field.compute {
                    self.check(number, field, compute, base).map_err(|stop| named(stop, &field.name))?;
                }
            }
        }
        Ok(Items::new(base, fields.len()))
    }

    /// From here to the field `to` there is an end that the field `of` says.
    fn push_bound(&mut self, of: usize, to: usize, end: usize) -> Step<()> {
        let bound = Bound { of, to, end: self.bound(end)?, around: self.end };
        self.scratch.bounds.push(bound);
        self.set_end(End { at: Some(end), depth: self.depth, to });
        Ok(())
    }

    /// An end that a length says, where it can be one.
    fn bound(&self, end: usize) -> Step<usize> {
        if let Some(around) = self.end.at.filter(|around| end > *around) {
            let left = |end: usize| count(end.saturating_sub(self.at), "byte");
            return self.wrong(self.at, || (left(end), format!("{} left", left(around))));
        }
        // Nothing can be said of a message whose end is not there yet; to look at its parts again and again is of no use.
        if end > self.input.len() && !self.whole { Err(Stop::NeedMore) } else { Ok(end) }
    }

    /// Whether a computed field has what it should.
    fn check(&self, number: usize, field: &Field, compute: &Compute, base: usize) -> Step<()> {
        let items = &self.scratch.items[base..];
        let item = &items[number];
        if item.is_absent() {
            return Ok(());
        }
        let expected = match compute.how {
            How::Count => match items[compute.from].value() {
                Value::Array(elements) => elements.len() as i128,
                _ => 0,
            },
            How::Length => (items[compute.to].span().end - items[compute.from].span().start) as i128,
            How::Offset => items[compute.from].span().start as i128,
            How::Sum(sum) => {
                let span = items[compute.from].span().start..items[compute.to].span().end;
                let summed = match (compute.from..=compute.to).contains(&number) {
                    false => sum.of(&self.input[span]),
                    true => {
                        let mut bytes = self.input[span.clone()].to_vec();
                        bytes[item.span().start - span.start..item.span().end - span.start].fill(0);
                        sum.of(&bytes)
                    }
                };
                match summed {
                    Summed::Number(number) => i128::from(number),
                    Summed::Digest(digest) => {
                        let Value::Bytes(range) = item.value() else { return Ok(()) };
                        if self.input[range.clone()] == *digest {
                            return Ok(());
                        }
                        let expected = || format!("{} ({})", quote(&digest), compute.text);
                        return self.wrong(item.span().start, || (expected(), quote(&self.input[range.clone()])));
                    }
                }
            }
        };
        let expected = expected + i128::from(compute.plus);
        let Value::Number(found) = item.value() else { return Ok(()) };
        if found == expected {
            return Ok(());
        }
        let show = |value: i128| match (&field.kind, compute.how) {
            (Kind::Integer(_), How::Sum(_)) => format!("{value:#x}"),
            _ => value.to_string(),
        };
        self.wrong(item.span().start, || (format!("{} ({})", show(expected), compute.text), show(found)))
    }

    /// Notes what a field or element holds that began at `start` and ends here.
    ///
    /// It is written where it will stay: a value that is passed on through memory costs more than it took to read.
    #[inline(always)]
    fn set(&mut self, place: Option<usize>, start: usize, value: Value) -> Step<()> {
        let span = start..self.at;
        let Scratch { items, elements, .. } = &mut *self.scratch;
        let item = match place {
            Some(place) => &mut items[place],
            None => {
                elements.push(Item::NONE);
                elements.last_mut().expect("it was pushed")
            }
        };
        *item = Item::new(span, value);
        Ok(())
    }

    /// Decodes a field to its place among the items, or an element of an array.
    fn field(&mut self, field: &'a Field, scope: &Scope<'_>, place: Option<usize>) -> Step<()> {
        let start = self.at;
        if let Some(condition) = &field.only_if
            && condition.holds(&|reference| self.number(scope, reference)) != Some(true)
        {
            return self.set(place, start, Value::Absent);
        }
        match &field.kind {
            Kind::Align(to) => {
                let pad = self.at.next_multiple_of(*to) - self.at;
                let zeros = self.take(pad)?;
                self.canonical &= zeros.iter().all(|byte| *byte == 0);
                self.set(place, start, Value::Bytes(start..self.at))
            }
            Kind::Array { of, extent } => {
                let items = self.array(of, extent, scope)?;
                self.set(place, start, Value::Array(items))
            }
            Kind::Bytes { extent, max, text, constant } => {
                let mut range = self.extent(extent, scope, Some(*max))?;
                if let Some(pad) = text.as_ref().and_then(|text| text.pad) {
                    let padded = self.input[range.clone()].iter().take_while(|byte| **byte == pad).count();
                    self.canonical &= padded == 1;
                    range.start += padded;
                }
                let bytes = &self.input[range.clone()];
                if let Some(constant) = constant.as_ref().filter(|constant| **constant != bytes) {
                    return self.wrong(range.start, || (quote(constant), quote(bytes)));
                }
                if let Some(text) = text {
                    match std::str::from_utf8(bytes) {
                        Ok(found) => {
                            if text.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(found)) {
                                let why = || ("a text of the field's `pattern`".into(), quote(bytes));
                                return self.wrong(range.start, why);
                            }
                        }
                        Err(error) => {
                            let at = range.start + error.valid_up_to();
                            return self.wrong(at, || ("UTF-8".into(), format!("the byte {:#04x}", self.input[at])));
                        }
                    }
                }
                self.set(place, start, Value::Bytes(range))
            }
            Kind::DomainName => {
                let text = self.domain_name()?;
                self.set(place, start, Value::Text(text))
            }
            Kind::Digits { extent, radix, number } => {
                let range = self.extent(extent, scope, Some(DIGITS_MAX))?;
                let width = if let Extent::Fixed(len) = extent { *len } else { 0 };
                let value = self.digits(range, *radix, width)?;
                self.check_number(start, number, value)?;
                self.set(place, start, Value::Number(value))
            }
            Kind::Integer(integer) => {
                let value = self.integer(integer)?;
                self.set(place, start, Value::Number(value))
            }
            Kind::Struct(structure) => {
                let items = self.nested(self.protocol.fields_of(structure), scope)?;
                self.set(place, start, Value::Struct(items))
            }
            Kind::Switch { on, cases, default } => {
                let Some(value) = self.number(scope, on) else {
                    return self.wrong(start, || (format!("the field `{}`", on.text), "none".into()));
                };
                let case = cases.iter().position(|(values, _)| values.contains(&value));
                let fields = case.map(|at| &cases[at].1).or(default.as_ref());
                let Some(fields) = fields else {
                    return self.wrong(start, || (format!("a case for `{}`", on.text), value.to_string()));
                };
                let items = self.nested(fields, scope)?;
                self.set(place, start, Value::Case(case.map(|at| at as u32), items))
            }
        }
    }

    fn nested(&mut self, fields: &'a [Field], scope: &Scope<'_>) -> Step<Items> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            let why = || (format!("at most {NESTING_MAX} structures in each other"), "more".into());
            return self.wrong(self.at, why);
        }
        let items = self.fields(fields, Some(scope))?;
        self.depth -= 1;
        Ok(items)
    }

    fn array(&mut self, of: &'a Field, extent: &Extent, scope: &Scope<'_>) -> Step<Items> {
        let base = self.scratch.elements.len();
        let around = self.end;
        let mut wanted = usize::MAX;
        let mut until = None;
        match extent {
            Extent::Count(..) | Extent::Fixed(_) => wanted = self.size(extent, scope)?,
            Extent::Field(..) | Extent::Prefix(_) => {
                let len = match extent {
                    Extent::Prefix(layout) => self.prefix(*layout)?,
                    _ => self.size(extent, scope)?,
                };
                let at = Some(self.bound(self.at.saturating_add(len))?);
                self.set_end(End { at, depth: self.depth + 1, to: usize::MAX });
            }
            Extent::Rest => {
                let at = Some(self.rest(scope)?);
                self.set_end(End { at, depth: self.depth + 1, to: usize::MAX });
            }
            Extent::Until(delimiter) => until = Some(delimiter),
        }
        loop {
            let number = self.scratch.elements.len() - base;
            if number >= wanted {
                break;
            }
            if let Some(delimiter) = until {
                let rest = &self.input[self.at.min(self.input.len())..self.end.at.unwrap_or(self.input.len())];
                if rest.starts_with(delimiter) {
                    self.take(delimiter.len())?;
                    break;
                }
                if delimiter.starts_with(rest) && !self.whole && self.end.at.is_none() {
                    return Err(Stop::NeedMore);
                }
            } else if wanted == usize::MAX && self.end.at.is_some_and(|end| self.at >= end) {
                break;
            }
            self.elements += 1;
            if self.elements > ELEMENTS_MAX {
                return self.wrong(self.at, || (format!("at most {ELEMENTS_MAX} elements"), "more".into()));
            }
            let before = self.at;
            self.field(of, scope, None).map_err(|stop| match &stop {
                // Who does not ask why needs no path.
                Stop::Wrong(_, Some(_)) => named(stop, &format!("[{number}]")),
                _ => stop,
            })?;
            if self.at == before && wanted == usize::MAX {
                return self.wrong(self.at, || ("an element".into(), "one without bytes".into()));
            }
        }
        self.set_end(around);
        let Scratch { items, elements, .. } = &mut *self.scratch;
        let (from, len) = (items.len(), elements.len() - base);
        items.extend_from_slice(&elements[base..]);
        elements.truncate(base);
        Ok(Items::new(from, len))
    }

    /// The content of something with this extent; what is around it is taken, too.
    fn extent(&mut self, extent: &Extent, scope: &Scope<'_>, max: Option<usize>) -> Step<Range<usize>> {
        let start = self.at;
        let check = |cursor: &Cursor<'_>, len: usize| match max.filter(|max| len > *max) {
            Some(max) => cursor.wrong(start, || (format!("at most {}", count(max, "byte")), len.to_string())),
            None => Ok(()),
        };
        match extent {
            Extent::Count(..) | Extent::Field(..) | Extent::Fixed(_) => {
                let len = self.size(extent, scope)?;
                check(self, len)?;
                self.take(len)?;
                Ok(start..self.at)
            }
            Extent::Prefix(layout) => {
                let len = self.prefix(*layout)?;
                check(self, len)?;
                let start = self.at;
                self.take(len)?;
                Ok(start..self.at)
            }
            Extent::Rest => {
                let len = self.rest(scope)?.saturating_sub(start);
                check(self, len)?;
                self.take(len)?;
                Ok(start..self.at)
            }
            Extent::Until(delimiter) => {
                let end = self.end.at.unwrap_or(self.input.len()).min(self.input.len());
                let area = &self.input[start.min(end)..end];
                match memmem::find(area, delimiter) {
                    Some(len) => {
                        check(self, len)?;
                        self.take(len + delimiter.len())?;
                        Ok(start..start + len)
                    }
                    None => {
                        check(self, area.len().saturating_sub(delimiter.len()))?;
                        if self.whole || self.end.at.is_some_and(|end| end <= self.input.len()) {
                            let found = || format!("none in {}", count(area.len(), "byte"));
                            return self.wrong(start, || (format!("{} after it", quote(delimiter)), found()));
                        }
                        Err(Stop::NeedMore)
                    }
                }
            }
        }
    }

    /// Where what reaches to the end of something ends: before what follows it there.
    fn rest(&self, scope: &Scope<'_>) -> Step<usize> {
        let Some(end) = self.end.at else {
            return self.wrong(self.at, || ("a message whose end is known".into(), "none".into()));
        };
        let (mut tail, mut scope, mut depth) = (0, Some(scope), self.depth);
        while let Some(level) = scope.filter(|_| depth >= self.end.depth) {
            let last = if depth == self.end.depth { self.end.to } else { usize::MAX };
            let follow = level.fields.iter().enumerate().skip(level.number + 1).take_while(|(at, _)| *at <= last);
            tail += follow.filter_map(|(_, field)| field.fixed_len()).sum::<usize>();
            scope = level.parent;
            match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => break,
            }
        }
        match end.checked_sub(tail).filter(|end| *end >= self.at) {
            Some(end) => Ok(end),
            None => {
                let left = || format!("{} left", count(end.saturating_sub(self.at), "byte"));
                self.wrong(self.at, || (count(tail, "byte"), left()))
            }
        }
    }

    /// A number of bytes or elements.
    fn size(&self, extent: &Extent, scope: &Scope<'_>) -> Step<usize> {
        let (reference, plus): (&Reference, i64) = match extent {
            Extent::Fixed(size) => return Ok(*size),
            Extent::Count(reference, plus) | Extent::Field(reference, plus) => (reference, *plus),
            _ => unreachable!("only these say a size"),
        };
        let value = self.number(scope, reference).map(|value| value + i128::from(plus));
        match value.and_then(|value| usize::try_from(value).ok()) {
            Some(size) => Ok(size),
            None => {
                let found = || value.map_or_else(|| "none".to_owned(), |value| value.to_string());
                self.wrong(self.at, || (format!("a size in `{}`", reference.text), found()))
            }
        }
    }

    fn prefix(&mut self, layout: Layout) -> Step<usize> {
        let at = self.at;
        let value = self.raw(layout)?;
        match usize::try_from(value).ok().filter(|len| *len <= MESSAGE_LEN_MAX) {
            Some(len) => Ok(len),
            None => self.wrong(at, || (format!("a length of at most {MESSAGE_LEN_MAX}"), value.to_string())),
        }
    }

    #[inline(always)]
    fn integer(&mut self, integer: &Integer) -> Step<i128> {
        let start = self.at;
        let value = self.raw(integer.layout)?;
        if integer.is_free {
            return Ok(value);
        }
        self.check_number(start, &integer.number, value)?;
        for at in &integer.checked {
            let bits = &integer.bits[*at];
            self.check_number(start, &bits.number, bits.of(value)).map_err(|stop| named(stop, &bits.name))?;
        }
        Ok(value)
    }

    fn check_number(&self, at: usize, number: &Number, value: i128) -> Step<()> {
        if let Some(constant) = number.constant.filter(|constant| *constant != value) {
            return self.wrong(at, || (show(constant), show(value)));
        }
        if !number.allows(value) {
            return self.wrong(at, || (format!("a number from {} to {}", number.min, number.max), value.to_string()));
        }
        Ok(())
    }

    #[inline(always)]
    fn raw(&mut self, layout: Layout) -> Step<i128> {
        match layout {
            Layout::Fixed { len, big, signed } => {
                let bytes = self.take(usize::from(len))?;
                let value = match (bytes, big) {
                    ([byte], _) => u64::from(*byte),
                    ([a, b], true) => u64::from(u16::from_be_bytes([*a, *b])),
                    ([a, b, c, d], true) => u64::from(u32::from_be_bytes([*a, *b, *c, *d])),
                    (_, true) => bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)),
                    (_, false) => bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)),
                };
                if !signed {
                    return Ok(value.into());
                }
                // The sign is the first bit of so many.
                let above = 64 - 8 * u32::from(len);
                Ok(((value << above) as i64 >> above).into())
            }
            Layout::Leb128 | Layout::Mqtt | Layout::Quic => self.varint(layout),
        }
    }

    fn varint(&mut self, layout: Layout) -> Step<i128> {
        let start = self.at;
        match layout {
            Layout::Fixed { .. } => unreachable!("it has a width"),
            Layout::Leb128 | Layout::Mqtt => {
                let most = if layout == Layout::Mqtt { 4 } else { VARINT_LEN_MAX };
                let mut value = 0_i128;
                for at in 0..most {
                    let byte = self.take(1)?[0];
                    value |= i128::from(byte & 0x7f) << (7 * at);
                    if byte & 0x80 == 0 {
                        // A last byte of zero says nothing that its absence would not.
                        self.canonical &= byte != 0 || at == 0;
                        return match value <= layout.bounds().1 {
                            true => Ok(value),
                            false => self.wrong(start, || ("a number of 64 bits".into(), value.to_string())),
                        };
                    }
                }
                self.wrong(start, || (format!("a number of at most {most} bytes"), "a longer one".into()))
            }
            Layout::Quic => {
                let first = self.take(1)?[0];
                let more = self.take((1 << (first >> 6)) - 1)?;
                let value = more.iter().fold(i128::from(first & 0x3f), |value, byte| value << 8 | i128::from(*byte));
                self.canonical &= match more.len() {
                    0 => true,
                    1 => value > 0x3f,
                    3 => value > 0x3fff,
                    _ => value > 0x3fff_ffff,
                };
                Ok(value)
            }
        }
    }

    /// A number in digits, which are written in so many at least.
    fn digits(&mut self, range: Range<usize>, radix: u32, width: usize) -> Step<i128> {
        let text = &self.input[range.clone()];
        let (sign, digits) = match text.split_first() {
            Some((b'-', digits)) => (-1, digits),
            _ => (1, text),
        };
        let is_digit = |byte: &u8| (*byte as char).is_digit(radix);
        if digits.is_empty() || !digits.iter().all(is_digit) || digits.len() > DIGITS_MAX {
            let what = if radix == 16 { "hexadecimal digits" } else { "digits" };
            return self.wrong(range.start, || (what.into(), quote(text)));
        }
        let fold = |value: i128, byte: &u8| {
            value * i128::from(radix) + i128::from((*byte as char).to_digit(radix).unwrap_or_default())
        };
        let value = sign * digits.iter().fold(0, fold);
        self.canonical &= super::encode::digits(value, radix, width).as_bytes() == text;
        Ok(value)
    }

    /// A name of RFC 1035: labels, perhaps ended by a pointer to earlier ones. A pointer leads backwards only, so that it ends.
    fn domain_name(&mut self) -> Step<Range<usize>> {
        let start = self.at;
        let text = self.scratch.text.len();
        if text == 0 {
            self.scratch.text.reserve(self.input.len().min(NAMES_LEN));
        }
        let mut elsewhere: Option<usize> = None;
        let mut limit = start;
        let mut len = 0;
        loop {
            let at = elsewhere.unwrap_or(self.at);
            let mut next = |cursor: &mut Self, len: usize| match &mut elsewhere {
                None => cursor.take(len),
                Some(at) => match cursor.input.get(*at..*at + len).filter(|_| *at + len <= start) {
                    Some(bytes) => {
                        *at += len;
                        Ok(bytes)
                    }
                    None => cursor.wrong(*at, || ("labels before the name itself".into(), "none".into())),
                },
            };
            let byte = next(self, 1)?[0];
            match byte >> 6 {
                0 if byte == 0 => {
                    if self.scratch.text.len() == text {
                        self.scratch.text.push(b'.');
                    }
                    let text = text..self.scratch.text.len();
                    if elsewhere.is_none() && self.scratch.names.len() < NAMES_KEPT {
                        self.scratch.names.push((start, text.clone()));
                    }
                    return Ok(text);
                }
                0 => {
                    let label = next(self, usize::from(byte))?;
                    len += label.len() + 1;
                    if len > DOMAIN_NAME_LEN_MAX {
                        let why = || (format!("a name of at most {DOMAIN_NAME_LEN_MAX} bytes"), "a longer one".into());
                        return self.wrong(at, why);
                    }
                    if self.scratch.text.len() > NAMES_LEN_MAX {
                        return self.wrong(at, || (format!("at most {NAMES_LEN_MAX} bytes of names"), "more".into()));
                    }
                    let name = &mut self.scratch.text;
                    if name.len() > text {
                        name.push(b'.');
                    }
                    if label.iter().all(|byte| matches!(byte, 0x21..=0x7e if !matches!(byte, b'.' | b'\\'))) {
                        name.extend_from_slice(label);
                        continue;
                    }
                    for byte in label {
                        // What would be read as something else stands escaped, as in zone files (RFC 1035, 5.1).
                        match byte {
                            b'.' | b'\\' => name.extend_from_slice(&[b'\\', *byte]),
                            0x21..=0x7e => name.push(*byte),
                            _ => name.extend_from_slice(format!("\\{byte:03}").as_bytes()),
                        }
                    }
                }
                3 => {
                    let low = next(self, 1)?[0];
                    let to = usize::from(byte & 0x3f) << 8 | usize::from(low);
                    if to >= limit {
                        let why = || (format!("a pointer to before byte {limit}"), format!("one to byte {to}"));
                        return self.wrong(at, why);
                    }
                    self.canonical = false;
                    // Nearly all names are one that was read already.
                    if len == 0
                        && let Some((_, text)) = self.scratch.names.iter().find(|(at, _)| *at == to)
                    {
                        return Ok(text.clone());
                    }
                    limit = to;
                    elsewhere = Some(to);
                }
                _ => {
                    let why = || ("a label of at most 63 bytes, or a pointer".into(), format!("{byte:#04x}"));
                    return self.wrong(at, why);
                }
            }
        }
    }
}

/// How many names are remembered for those that point to them.
const NAMES_KEPT: usize = 4;

/// Room for names that is made at once.
const NAMES_LEN: usize = 256;

/// The most digits of a number, its sign included.
const DIGITS_MAX: usize = 30;

/// The longest domain name (RFC 1035, section 3.1), without its last label.
const DOMAIN_NAME_LEN_MAX: usize = 254;

fn named(stop: Stop, name: &str) -> Stop {
    match stop {
        Stop::Wrong(at, Some(mut error)) => {
            push_front(&mut error.path, name);
            Stop::Wrong(at, Some(error))
        }
        other => other,
    }
}

fn show(value: i128) -> String {
    if value >= 10 { format!("{value} ({value:#x})") } else { value.to_string() }
}
