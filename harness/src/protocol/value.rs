//! What a message holds: as it was decoded, pointing into its bytes, and as it is given to be encoded.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::description::{Direction, Field, Fields, Kind, Message, Protocol};
use super::expression::Reference;

/// A decoded message.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// Which, by number in [`Protocol::messages`].
    pub message: usize,
    /// Its fields, one for each of its description's.
    pub items: Vec<Item>,
    /// How many bytes it takes.
    pub len: usize,
    /// Whether it is written as [`Protocol::encode`] writes it.
    pub canonical: bool,
}

/// A decoded field.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Where it lies in the message, with prefix and delimiter.
    pub span: Range<usize>,
    /// What it holds.
    pub value: Value,
}

/// What a decoded field holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// It is not there.
    Absent,
    /// Elements.
    Array(Vec<Item>),
    /// These bytes of the message.
    Bytes(Range<usize>),
    /// The fields of a switch's case; `None` for its default.
    Case(Option<usize>, Vec<Item>),
    /// A number.
    Number(i128),
    /// A text that does not stand in the message so.
    Owned(Bytes),
    /// Fields.
    Struct(Vec<Item>),
}

/// A value that is given to be encoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// Bytes or text, or a number in digits, or a name.
    Bytes(Bytes),
    /// Elements.
    List(Vec<Given>),
    /// A number.
    Number(i128),
    /// Fields by name.
    Table(Vec<(Arc<str>, Given)>),
}

/// The fields around a field, from the innermost.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) fields: &'a [Field],
    pub(super) items: &'a [Item],
    pub(super) parent: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    /// The number that a reference leads to, where it is there already.
    pub(super) fn number(&self, protocol: &Protocol, reference: &Reference) -> Option<i128> {
        let mut scope = *self;
        for _ in 0..reference.up {
            scope = *scope.parent?;
        }
        let (mut fields, mut items) = (scope.fields, scope.items);
        let (last, outer) = reference.path.split_last()?;
        for at in outer {
            let (Kind::Struct(structure), Value::Struct(inner)) = (&fields.get(*at)?.kind, &items.get(*at)?.value)
            else {
                return None;
            };
            (fields, items) = (protocol.fields_of(structure), inner);
        }
        let Value::Number(number) = items.get(*last)?.value else { return None };
        match (reference.bits, &fields.get(*last)?.kind) {
            (Some(at), Kind::Integer(integer)) => Some(integer.bits.get(at)?.of(number)),
            _ => Some(number),
        }
    }
}

impl Decoded {
    /// Its description.
    pub fn description<'p>(&self, protocol: &'p Protocol) -> &'p Message {
        &protocol.messages[self.message]
    }

    /// What would encode it again.
    pub fn given(&self, protocol: &Protocol, input: &[u8]) -> Vec<(Arc<str>, Given)> {
        table(protocol, &protocol.messages[self.message].fields, &self.items, input)
    }
}

fn table(protocol: &Protocol, fields: &Fields, items: &[Item], input: &[u8]) -> Vec<(Arc<str>, Given)> {
    let named = fields.iter().zip(items).filter(|(field, _)| !field.name.is_empty());
    named.filter_map(|(field, item)| Some((Arc::clone(&field.name), given(protocol, field, item, input)?))).collect()
}

fn given(protocol: &Protocol, field: &Field, item: &Item, input: &[u8]) -> Option<Given> {
    Some(match (&item.value, &field.kind) {
        (Value::Absent, _) => return None,
        (Value::Array(items), Kind::Array { of, .. }) => {
            Given::List(items.iter().filter_map(|item| given(protocol, of, item, input)).collect())
        }
        (Value::Bytes(range), _) => Given::Bytes(Bytes::copy_from_slice(&input[range.clone()])),
        (Value::Case(case, items), Kind::Switch { cases, default, .. }) => {
            let fields = case.map_or(default.as_ref(), |at| Some(&cases[at].1))?;
            Given::Table(table(protocol, fields, items, input))
        }
        (Value::Number(number), _) => Given::Number(*number),
        (Value::Owned(bytes), _) => Given::Bytes(bytes.clone()),
        (Value::Struct(items), Kind::Struct(structure)) => {
            Given::Table(table(protocol, protocol.fields_of(structure), items, input))
        }
        _ => return None,
    })
}

impl Protocol {
    /// Whether somebody who hears this direction can hear a message.
    pub fn goes(message: &Message, direction: Option<Direction>) -> bool {
        direction.is_none() || message.direction.is_none() || message.direction == direction
    }
}
