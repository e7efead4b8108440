//! Bytes to a message, however they arrive.

use bytes::Bytes;
use memchr::memmem;

use super::checksum::Summed;
use super::description::{
    Bits, Compute, Direction, ELEMENTS_MAX, Extent, Field, How, Integer, Kind, Layout, MESSAGE_LEN_MAX, NESTING_MAX,
    Number, Protocol,
};
use super::error::{DecodeError, push_front};
use super::expression::Reference;
use super::value::{Decoded, Item, Scope, Value};
use crate::text::{count, quote};

/// Why decoding stops.
enum Stop {
    /// More bytes decide.
    NeedMore,
    /// They are no such message.
    Wrong(Box<DecodeError>),
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
        let mut nearest: Option<Box<DecodeError>> = None;
        let mut shortest: Option<Decoded> = None;
        let mut waits = false;
        for at in &self.begins[usize::from(*first)] {
            let message = &self.messages[usize::from(*at)];
            if !Protocol::goes(message, direction) {
                continue;
            }
            match self.decode_as(usize::from(*at), input, whole) {
                Ok(decoded) if whole => return Ok(Some(decoded)),
                // Of several that it could be, the one that is whole first: that is the one which is found when the bytes
                // come one by one.
                Ok(decoded) => {
                    if shortest.as_ref().is_none_or(|shortest| decoded.len < shortest.len) {
                        shortest = Some(decoded);
                    }
                }
                Err(Stop::NeedMore) => waits = true,
                Err(Stop::Wrong(mut error)) => {
                    if nearest.as_ref().is_none_or(|nearest| nearest.at < error.at) {
                        error.message = Some(message.name.to_string());
                        nearest = Some(error);
                    }
                }
            }
        }
        match (shortest, waits) {
            (None, false) => Err(nearest.map_or_else(|| self.unknown(input, direction), |error| *error)),
            (shortest, _) => Ok(shortest),
        }
    }

    /// Decodes `input` as this message and no other.
    pub fn decode_message(&self, message: usize, input: &[u8], whole: bool) -> Result<Option<Decoded>, DecodeError> {
        match self.decode_as(message, input, whole) {
            Ok(decoded) => Ok(Some(decoded)),
            Err(Stop::NeedMore) => Ok(None),
            Err(Stop::Wrong(mut error)) => {
                error.message = Some(self.messages[message].name.to_string());
                Err(*error)
            }
        }
    }

    /// A message may have no bytes at all.
    fn decode_empty(&self, direction: Option<Direction>) -> Option<Decoded> {
        let mut heard = (0..self.messages.len()).filter(|at| Protocol::goes(&self.messages[*at], direction));
        heard.find_map(|at| self.decode_as(at, b"", true).ok())
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

    fn decode_as(&self, message: usize, input: &[u8], whole: bool) -> Step<Decoded> {
        let end = if whole { Some(input.len()) } else { None };
        let bound = End { at: end, depth: 0, to: usize::MAX };
        let mut cursor =
            Cursor { protocol: self, input, at: 0, end: bound, whole, canonical: true, elements: 0, depth: 0 };
        let items = cursor.fields(&self.messages[message].fields, None)?;
        if whole && cursor.at < input.len() {
            let rest = input.len() - cursor.at;
            let error = DecodeError {
                message: None,
                path: String::new(),
                at: cursor.at,
                expected: "the end of the message".into(),
                found: format!("{} more", count(rest, "byte")),
            };
            return Err(Stop::Wrong(Box::new(error)));
        }
        Ok(Decoded { message, items, len: cursor.at, canonical: cursor.canonical })
    }
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
    /// Nothing comes after `input`.
    whole: bool,
    canonical: bool,
    elements: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    fn wrong<T>(&self, at: usize, expected: impl Into<String>, found: impl Into<String>) -> Step<T> {
        let (expected, found) = (expected.into(), found.into());
        Err(Stop::Wrong(Box::new(DecodeError { message: None, path: String::new(), at, expected, found })))
    }

    /// The next so many bytes.
    fn take(&mut self, len: usize) -> Step<&'a [u8]> {
        let from = self.at;
        let Some(to) = from.checked_add(len).filter(|to| *to <= MESSAGE_LEN_MAX) else {
            return self.wrong(from, format!("at most {MESSAGE_LEN_MAX} bytes of a message"), count(len, "byte"));
        };
        if let Some(end) = self.end.at.filter(|end| to > *end) {
            return self.wrong(from, count(len, "byte"), format!("{} left", count(end.saturating_sub(from), "byte")));
        }
        if to > self.input.len() {
            return Err(Stop::NeedMore);
        }
        self.at = to;
        Ok(&self.input[from..to])
    }

    /// Decodes fields that follow each other.
    fn fields(&mut self, fields: &'a [Field], parent: Option<&Scope<'_>>) -> Step<Vec<Item>> {
        let mut items: Vec<Item> = Vec::with_capacity(fields.len());
        // What lengths bound: the last field of each, its end, the end around it, and the length's own field.
        let mut bounds: Vec<(usize, usize, End, usize)> = Vec::new();
        // Lengths that were read, of spans that begin later.
        let mut waiting: Vec<(usize, usize, usize, usize)> = Vec::new();
        for (number, field) in fields.iter().enumerate() {
            // Of several that begin here the one that reaches further has the others in it.
            while let Some(at) =
                (0..waiting.len()).filter(|at| waiting[*at].0 == number).max_by_key(|at| waiting[*at].1)
            {
                let (_, to, len, of) = waiting.remove(at);
                let end = self.at.saturating_add(len);
                bounds.push((to, self.bound(end)?, self.end, of));
                self.end = End { at: Some(end), depth: self.depth, to };
            }
            let scope = Scope { fields, items: &items, parent };
            let item = self.field(field, &scope).map_err(|stop| named(stop, &field.name))?;
            if let (Some(compute), Value::Number(value)) = (&field.compute, &item.value)
                && compute.how == How::Length
                && field.only_if.is_none()
            {
                let len = usize::try_from(value - i128::from(compute.plus)).ok();
                let Some(len) = len.filter(|len| *len <= MESSAGE_LEN_MAX) else {
                    let expected = format!("a length of at most {MESSAGE_LEN_MAX}");
                    return self
                        .wrong(item.span.start, expected, value.to_string())
                        .map_err(|stop| named(stop, &field.name));
                };
                if compute.from > number {
                    waiting.push((compute.from, compute.to, len, number));
                } else {
                    // It counts what came before it, too, and perhaps itself.
                    let start = items.get(compute.from).map_or(item.span.start, |item| item.span.start);
                    let end = start.saturating_add(len);
                    if end < item.span.end {
                        let expected = format!("a length of at least {}", item.span.end - start);
                        return self
                            .wrong(item.span.start, expected, value.to_string())
                            .map_err(|stop| named(stop, &field.name));
                    }
                    if compute.to > number {
                        bounds.push((compute.to, self.bound(end)?, self.end, number));
                        self.end = End { at: Some(end), depth: self.depth, to: compute.to };
                    }
                }
            }
            items.push(item);
            while let Some((to, end, around, of)) = bounds.last().copied().filter(|(to, ..)| *to == number) {
                bounds.pop();
                if self.at != end {
                    let name = &fields[of].name;
                    let expected = format!("the end of what `{name}` says, at byte {end}");
                    let found = format!("{} more", count(end.saturating_sub(self.at), "byte"));
                    return self.wrong(self.at, expected, found).map_err(|stop| named(stop, &fields[to].name));
                }
                self.end = around;
            }
        }
        for (number, field) in fields.iter().enumerate() {
            if let Some(compute) = &field.compute {
                self.check(number, field, compute, &items).map_err(|stop| named(stop, &field.name))?;
            }
        }
        Ok(items)
    }

    /// An end that a length says, where it can be one.
    fn bound(&self, end: usize) -> Step<usize> {
        if let Some(around) = self.end.at.filter(|around| end > *around) {
            let found = format!("{} left", count(around.saturating_sub(self.at), "byte"));
            return self.wrong(self.at, count(end.saturating_sub(self.at), "byte"), found);
        }
        // Nothing can be said of a message whose end is not there yet; to look at its parts again and again is of no use.
        if end > self.input.len() && !self.whole { Err(Stop::NeedMore) } else { Ok(end) }
    }

    /// Whether a computed field has what it should.
    fn check(&self, number: usize, field: &Field, compute: &Compute, items: &[Item]) -> Step<()> {
        let item = &items[number];
        if item.value == Value::Absent {
            return Ok(());
        }
        let expected = match compute.how {
            How::Count => match &items[compute.from].value {
                Value::Array(elements) => elements.len() as i128,
                _ => 0,
            },
            How::Length => (items[compute.to].span.end - items[compute.from].span.start) as i128,
            How::Offset => items[compute.from].span.start as i128,
            How::Sum(sum) => {
                let span = items[compute.from].span.start..items[compute.to].span.end;
                let summed = match (compute.from..=compute.to).contains(&number) {
                    false => sum.of(&self.input[span]),
                    true => {
                        let mut bytes = self.input[span.clone()].to_vec();
                        bytes[item.span.start - span.start..item.span.end - span.start].fill(0);
                        sum.of(&bytes)
                    }
                };
                match summed {
                    Summed::Number(number) => i128::from(number),
                    Summed::Digest(digest) => {
                        let Value::Bytes(range) = &item.value else { return Ok(()) };
                        if self.input[range.clone()] == *digest {
                            return Ok(());
                        }
                        let expected = format!("{} ({})", quote(&digest), compute.text);
                        return self.wrong(item.span.start, expected, quote(&self.input[range.clone()]));
                    }
                }
            }
        };
        let expected = expected + i128::from(compute.plus);
        let Value::Number(found) = item.value else { return Ok(()) };
        if found == expected {
            return Ok(());
        }
        let show = |value: i128| match (&field.kind, compute.how) {
            (Kind::Integer(_), How::Sum(_)) => format!("{value:#x}"),
            _ => value.to_string(),
        };
        self.wrong(item.span.start, format!("{} ({})", show(expected), compute.text), show(found))
    }

    fn field(&mut self, field: &'a Field, scope: &Scope<'_>) -> Step<Item> {
        let start = self.at;
        if let Some(condition) = &field.only_if
            && condition.holds(&|reference| scope.number(self.protocol, reference)) != Some(true)
        {
            return Ok(Item { span: start..start, value: Value::Absent });
        }
        let value = match &field.kind {
            Kind::Align(to) => {
                let pad = self.at.next_multiple_of(*to) - self.at;
                let zeros = self.take(pad)?;
                self.canonical &= zeros.iter().all(|byte| *byte == 0);
                Value::Bytes(start..self.at)
            }
            Kind::Array { of, extent } => Value::Array(self.array(of, extent, scope)?),
            Kind::Bytes { extent, max, text, constant } => {
                let mut range = self.extent(extent, scope, Some(*max))?;
                if let Some(pad) = text.as_ref().and_then(|text| text.pad) {
                    let padded = self.input[range.clone()].iter().take_while(|byte| **byte == pad).count();
                    self.canonical &= padded == 1;
                    range.start += padded;
                }
                let bytes = &self.input[range.clone()];
                if let Some(constant) = constant.as_ref().filter(|constant| **constant != bytes) {
                    return self.wrong(range.start, quote(constant), quote(bytes));
                }
                if let Some(text) = text {
                    match std::str::from_utf8(bytes) {
                        Ok(found) => {
                            if text.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(found)) {
                                return self.wrong(range.start, "a text of the field's `pattern`", quote(bytes));
                            }
                        }
                        Err(error) => {
                            let at = range.start + error.valid_up_to();
                            return self.wrong(at, "UTF-8", format!("the byte {:#04x}", self.input[at]));
                        }
                    }
                }
                Value::Bytes(range)
            }
            Kind::DomainName => Value::Owned(self.domain_name()?),
            Kind::Digits { extent, radix, number } => {
                let range = self.extent(extent, scope, Some(DIGITS_MAX))?;
                let width = if let Extent::Fixed(len) = extent { *len } else { 0 };
                let value = self.digits(range, *radix, width)?;
                self.check_number(start, number, value)?;
                Value::Number(value)
            }
            Kind::Integer(integer) => Value::Number(self.integer(integer)?),
            Kind::Struct(structure) => Value::Struct(self.nested(self.protocol.fields_of(structure), scope)?),
            Kind::Switch { on, cases, default } => {
                let Some(value) = scope.number(self.protocol, on) else {
                    return self.wrong(start, format!("the field `{}`", on.text), "none");
                };
                let case = cases.iter().position(|(values, _)| values.contains(&value));
                let fields = match (case, default) {
                    (Some(at), _) => &cases[at].1,
                    (None, Some(default)) => default,
                    (None, None) => {
                        return self.wrong(start, format!("a case for `{}`", on.text), value.to_string());
                    }
                };
                Value::Case(case, self.nested(fields, scope)?)
            }
        };
        Ok(Item { span: start..self.at, value })
    }

    fn nested(&mut self, fields: &'a [Field], scope: &Scope<'_>) -> Step<Vec<Item>> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return self.wrong(self.at, format!("at most {NESTING_MAX} structures in each other"), "more");
        }
        let items = self.fields(fields, Some(scope))?;
        self.depth -= 1;
        Ok(items)
    }

    fn array(&mut self, of: &'a Field, extent: &Extent, scope: &Scope<'_>) -> Step<Vec<Item>> {
        let mut items = Vec::new();
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
                self.end = End { at, depth: self.depth + 1, to: usize::MAX };
            }
            Extent::Rest => {
                let at = Some(self.rest(scope)?);
                self.end = End { at, depth: self.depth + 1, to: usize::MAX };
            }
            Extent::Until(delimiter) => until = Some(delimiter),
        }
        loop {
            if items.len() >= wanted {
                break;
            }
            if let Some(delimiter) = until {
                let rest = &self.input[self.at.min(self.input.len())..self.end.at.unwrap_or(self.input.len())];
                if rest.starts_with(delimiter) {
                    self.at += delimiter.len();
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
                return self.wrong(self.at, format!("at most {ELEMENTS_MAX} elements"), "more");
            }
            let before = self.at;
            let number = items.len();
            let item = self.field(of, scope).map_err(|stop| named(stop, &format!("[{number}]")))?;
            if self.at == before && wanted == usize::MAX {
                return self.wrong(self.at, "an element", "one without bytes");
            }
            items.push(item);
        }
        self.end = around;
        Ok(items)
    }

    /// The content of something with this extent; what is around it is taken, too.
    fn extent(&mut self, extent: &Extent, scope: &Scope<'_>, max: Option<usize>) -> Step<std::ops::Range<usize>> {
        let start = self.at;
        let check = |cursor: &Cursor<'_>, len: usize| match max.filter(|max| len > *max) {
            Some(max) => cursor.wrong(start, format!("at most {}", count(max, "byte")), len.to_string()),
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
                        self.at = start + len + delimiter.len();
                        Ok(start..start + len)
                    }
                    None => {
                        check(self, area.len().saturating_sub(delimiter.len()))?;
                        if self.whole || self.end.at.is_some_and(|end| end <= self.input.len()) {
                            let found = format!("none in {}", count(area.len(), "byte"));
                            return self.wrong(start, format!("{} after it", quote(delimiter)), found);
                        }
                        Err(Stop::NeedMore)
                    }
                }
            }
        }
    }

    /// Where what reaches to the end of something ends: before what follows it there.
    fn rest(&self, scope: &Scope<'_>) -> Step<usize> {
        let Some(end) = self.end.at else { return self.wrong(self.at, "a message whose end is known", "none") };
        let (mut tail, mut scope, mut depth) = (0, Some(*scope), self.depth);
        while let Some(level) = scope.filter(|_| depth >= self.end.depth) {
            let last = if depth == self.end.depth { self.end.to } else { usize::MAX };
            let follow = level.fields.iter().enumerate().skip(level.items.len() + 1).take_while(|(at, _)| *at <= last);
            tail += follow.filter_map(|(_, field)| field.fixed_len()).sum::<usize>();
            scope = level.parent.copied();
            match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => break,
            }
        }
        match end.checked_sub(tail).filter(|end| *end >= self.at) {
            Some(end) => Ok(end),
            None => {
                self.wrong(self.at, count(tail, "byte"), format!("{} left", count(end.saturating_sub(self.at), "byte")))
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
        let value = scope.number(self.protocol, reference).map(|value| value + i128::from(plus));
        match value.and_then(|value| usize::try_from(value).ok()) {
            Some(size) => Ok(size),
            None => {
                let found = value.map_or_else(|| "none".to_owned(), |value| value.to_string());
                self.wrong(self.at, format!("a size in `{}`", reference.text), found)
            }
        }
    }

    fn prefix(&mut self, layout: Layout) -> Step<usize> {
        let at = self.at;
        let value = self.raw(layout)?;
        match usize::try_from(value).ok().filter(|len| *len <= MESSAGE_LEN_MAX) {
            Some(len) => Ok(len),
            None => self.wrong(at, format!("a length of at most {MESSAGE_LEN_MAX}"), value.to_string()),
        }
    }

    fn integer(&mut self, integer: &Integer) -> Step<i128> {
        let start = self.at;
        let value = self.raw(integer.layout)?;
        self.check_number(start, &integer.number, value)?;
        for bits @ Bits { name, number, .. } in &integer.bits {
            self.check_number(start, number, bits.of(value)).map_err(|stop| named(stop, name))?;
        }
        Ok(value)
    }

    fn check_number(&self, at: usize, number: &Number, value: i128) -> Step<()> {
        let Number { min, max, constant, .. } = *number;
        if let Some(constant) = constant.filter(|constant| *constant != value) {
            return self.wrong(at, show(constant), show(value));
        }
        if value < min || value > max {
            return self.wrong(at, format!("a number from {min} to {max}"), value.to_string());
        }
        Ok(())
    }

    fn raw(&mut self, layout: Layout) -> Step<i128> {
        let start = self.at;
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
                let bits = 8 * u32::from(len);
                let value = i128::from(value);
                Ok(if signed && value >> (bits - 1) == 1 { value - (1 << bits) } else { value })
            }
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
                            false => self.wrong(start, "a number of 64 bits", value.to_string()),
                        };
                    }
                }
                self.wrong(start, format!("a number of at most {most} bytes"), "a longer one")
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
    fn digits(&mut self, range: std::ops::Range<usize>, radix: u32, width: usize) -> Step<i128> {
        let text = &self.input[range.clone()];
        let (sign, digits) = match text.split_first() {
            Some((b'-', digits)) => (-1, digits),
            _ => (1, text),
        };
        let is_digit = |byte: &u8| (*byte as char).is_digit(radix);
        if digits.is_empty() || !digits.iter().all(is_digit) || digits.len() > DIGITS_MAX {
            let what = if radix == 16 { "hexadecimal digits" } else { "digits" };
            return self.wrong(range.start, what, quote(text));
        }
        let fold = |value: i128, byte: &u8| {
            value * i128::from(radix) + i128::from((*byte as char).to_digit(radix).unwrap_or_default())
        };
        let value = sign * digits.iter().fold(0, fold);
        self.canonical &= super::encode::digits(value, radix, width).as_bytes() == text;
        Ok(value)
    }

    /// A name of RFC 1035: labels, perhaps ended by a pointer to earlier ones. A pointer leads backwards only, so that it ends.
    fn domain_name(&mut self) -> Step<Bytes> {
        let start = self.at;
        let mut name = Name { bytes: [0; 4 * DOMAIN_NAME_LEN_MAX + 1], len: 0 };
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
                    None => cursor.wrong(*at, "labels before the name itself", "none"),
                },
            };
            let byte = next(self, 1)?[0];
            match byte >> 6 {
                0 if byte == 0 => {
                    if name.len == 0 {
                        name.push(b".");
                    }
                    return Ok(Bytes::copy_from_slice(&name.bytes[..name.len]));
                }
                0 => {
                    let label = next(self, usize::from(byte))?;
                    len += label.len() + 1;
                    if len > DOMAIN_NAME_LEN_MAX {
                        return self.wrong(
                            at,
                            format!("a name of at most {DOMAIN_NAME_LEN_MAX} bytes"),
                            "a longer one",
                        );
                    }
                    if name.len > 0 {
                        name.push(b".");
                    }
                    if label.iter().all(|byte| matches!(byte, 0x21..=0x7e if !matches!(byte, b'.' | b'\\'))) {
                        name.push(label);
                        continue;
                    }
                    for byte in label {
                        // What would be read as something else stands escaped, as in zone files (RFC 1035, 5.1).
                        match byte {
                            b'.' | b'\\' => name.push(&[b'\\', *byte]),
                            0x21..=0x7e => name.push(&[*byte]),
                            _ => name.push(format!("\\{byte:03}").as_bytes()),
                        }
                    }
                }
                3 => {
                    let low = next(self, 1)?[0];
                    let to = usize::from(byte & 0x3f) << 8 | usize::from(low);
                    if to >= limit {
                        return self.wrong(
                            at,
                            format!("a pointer to before byte {limit}"),
                            format!("one to byte {to}"),
                        );
                    }
                    self.canonical = false;
                    limit = to;
                    elsewhere = Some(to);
                }
                _ => return self.wrong(at, "a label of at most 63 bytes, or a pointer", format!("{byte:#04x}")),
            }
        }
    }
}

/// A domain name that is being read: each of its bytes takes at most four.
struct Name {
    bytes: [u8; 4 * DOMAIN_NAME_LEN_MAX + 1],
    len: usize,
}

impl Name {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// The most digits of a number, its sign included.
const DIGITS_MAX: usize = 30;

/// The longest domain name (RFC 1035, section 3.1), without its last label.
const DOMAIN_NAME_LEN_MAX: usize = 254;

fn named(stop: Stop, name: &str) -> Stop {
    match stop {
        Stop::NeedMore => Stop::NeedMore,
        Stop::Wrong(mut error) => {
            push_front(&mut error.path, name);
            Stop::Wrong(error)
        }
    }
}

fn show(value: i128) -> String {
    if value >= 10 { format!("{value} ({value:#x})") } else { value.to_string() }
}
