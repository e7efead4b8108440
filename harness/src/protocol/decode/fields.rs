//! The fields of a structure, one after the other, and what lengths and conditions make of them.

use crate::protocol::checksum::Summed;
use crate::protocol::description::{
    Compute, ELEMENTS_MAX, Extent, Field, How, ITEMS_MAX, Integer, Kind, Layout, MESSAGE_LEN_MAX, NESTING_MAX, Number,
};
use crate::protocol::integers::DIGITS_MAX;
use crate::protocol::value::{Item, Items, Value};
use crate::text::{count, quote};

use super::{Bound, Cursor, End, Scope, Scratch, Step, Stop, named};

impl<'a> Cursor<'a> {
    /// Decodes fields that follow each other.
    pub(super) fn fields(&mut self, fields: &'a [Field], parent: Option<&Scope<'_>>) -> Step<Items> {
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
    pub(super) fn bound(&self, end: usize) -> Step<usize> {
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
    pub(super) fn field(&mut self, field: &'a Field, scope: &Scope<'_>, place: Option<usize>) -> Step<()> {
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
}

fn show(value: i128) -> String {
    if value >= 10 { format!("{value} ({value:#x})") } else { value.to_string() }
}
