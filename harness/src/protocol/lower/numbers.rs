//! Numbers, their bits, and what they may be.

use std::sync::Arc;

use super::Lowering;
use crate::document::{Node, Table, Value, did_you_mean};
use crate::protocol::description::{Bits, Default, Integer, Kind, Layout, Number};
use crate::protocol::expression::parse_number;

const BITS_KEYS: &[&str] = &["name", "about", "width", "value", "enum", "min", "max", "default"];

impl Lowering<'_> {
    pub(super) fn integer(&mut self, table: &Table, layout: Layout, what: &str) -> Option<(Kind, Option<Default>)> {
        let bounds = layout.bounds();
        let number = self.number(table, bounds, what)?;
        let default = self.default_number(table, &number)?;
        let mut bits: Vec<Bits> = Vec::new();
        if let Some(node) = table.get("bits") {
            let Layout::Fixed { len, .. } = layout else {
                self.reader.mistake(&node.span, "only an integer of a fixed width has bits");
                return None;
            };
            let whole = 8 * u32::from(len);
            let mut left = whole;
            for part in self.reader.array(node, "`bits`")? {
                let table = self.reader.table(part, "some bits")?;
                self.reader.check_keys(table, BITS_KEYS, "some bits");
                let name = match table.get("name") {
                    Some(node) => self.reader.static_string(node, "`name`")?,
                    None => String::new(),
                };
                let width = match table.get("width") {
                    Some(node) => self.reader.integer(node, "`width`", 1, 64)? as u32,
                    None => 1,
                };
                if width > left {
                    let message = format!("there are {whole} bits, and these are {} too many", width - left);
                    self.reader.mistake(&part.span, message);
                    return None;
                }
                left -= width;
                let number = self.number(table, (0, (1 << width) - 1), "these bits")?;
                let default = match self.default_number(table, &number)? {
                    Some(Default::Number(value)) => value,
                    _ => number.constant.unwrap_or(number.min),
                };
                bits.push(Bits { name: name.as_str().into(), shift: left, width, number, default });
            }
            if left > 0 {
                let message = format!("{what} has {whole} bits, and {left} of them are not described");
                self.reader.mistake_with_hint(&node.span, message, format!("`{{ width = {left} }}` without a name"));
                return None;
            }
        }
        Some((Kind::Integer(Integer::new(layout, number, bits)), default))
    }

    pub(super) fn number(&mut self, table: &Table, bounds: (i128, i128), what: &str) -> Option<Number> {
        let (low, high) =
            (bounds.0.max(i64::MIN.into()) as i64, i64::try_from(bounds.1.min(i64::MAX.into())).unwrap_or(i64::MAX));
        let names = match table.get("enum") {
            Some(node) => {
                let name = self.reader.static_string(node, "`enum`")?;
                let at = self.enums.iter().position(|known| *known.name == *name);
                if at.is_none() {
                    let known: Vec<Arc<str>> = self.enums.iter().map(|known| Arc::clone(&known.name)).collect();
                    let hint = did_you_mean(&name, known.iter().map(|name| &**name))
                        .unwrap_or_else(|| format!("`[enum.{name}]` makes one"));
                    self.reader.mistake_with_hint(&node.span, format!("there is no enum `{name}`"), hint);
                }
                Some(at?)
            }
            None => None,
        };
        let mut bound = |key: &str, or: i128| match table.get(key) {
            Some(node) => self.reader.integer(node, &format!("`{key}`"), low, high).map(i128::from),
            None => Some(or),
        };
        let (min, max) = (bound("min", bounds.0)?, bound("max", bounds.1)?);
        if min > max {
            let span = table.get("min").map_or(0..0, |node| node.span.clone());
            self.reader.mistake(&span, format!("{what} is at least {min} and at most {max}"));
        }
        let constant = match table.get("value") {
            Some(node @ Node { value: Value::String(text), .. }) => {
                let value = names.and_then(|at| self.enums[at].value_of(text)).or_else(|| parse_number(text));
                if value.is_none() {
                    self.reader.mistake(&node.span, format!("`{text}` is no number, and no name of the field's enum"));
                }
                Some(value?)
            }
            Some(Node { value: Value::Boolean(set), .. }) => Some(i128::from(*set)),
            Some(node) => Some(i128::from(self.reader.integer(node, "`value`", low, high)?)),
            None => None,
        };
        Some(Number { min, max, constant, names })
    }

    /// `Some(None)` where there is none.
    pub(super) fn default_number(&mut self, table: &Table, number: &Number) -> Option<Option<Default>> {
        Some(match table.get("default") {
            Some(node @ Node { value: Value::String(text), .. }) => {
                let value = number.names.and_then(|at| self.enums[at].value_of(text)).or_else(|| parse_number(text));
                if value.is_none() {
                    self.reader.mistake(&node.span, format!("`{text}` is no number, and no name of the field's enum"));
                }
                Some(Default::Number(value?))
            }
            Some(Node { value: Value::Boolean(set), .. }) => Some(Default::Number(i128::from(*set))),
            Some(node) => Some(Default::Number(self.reader.integer(node, "`default`", i64::MIN, i64::MAX)?.into())),
            None => None,
        })
    }
}
