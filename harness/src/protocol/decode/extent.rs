//! How far something reaches: what its length, its delimiter, or what is left says.

use std::ops::Range;

use memchr::memmem;

use crate::protocol::description::{Extent, Layout, MESSAGE_LEN_MAX};
use crate::protocol::expression::Reference;
use crate::text::{count, quote};

use super::{Cursor, Scope, Step, Stop};

impl Cursor<'_> {
    /// The content of something with this extent; what is around it is taken, too.
    pub(super) fn extent(&mut self, extent: &Extent, scope: &Scope<'_>, max: Option<usize>) -> Step<Range<usize>> {
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
    pub(super) fn rest(&self, scope: &Scope<'_>) -> Step<usize> {
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
    pub(super) fn size(&self, extent: &Extent, scope: &Scope<'_>) -> Step<usize> {
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

    pub(super) fn prefix(&mut self, layout: Layout) -> Step<usize> {
        let at = self.at;
        let value = self.raw(layout)?;
        match usize::try_from(value).ok().filter(|len| *len <= MESSAGE_LEN_MAX) {
            Some(len) => Ok(len),
            None => self.wrong(at, || (format!("a length of at most {MESSAGE_LEN_MAX}"), value.to_string())),
        }
    }
}
