//! What a message holds: as it was decoded, pointing into its bytes, and as it is given to be encoded.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::description::{Direction, Field, Fields, Kind, Message, Protocol};

/// A decoded message.
///
/// All that it holds lies in one place, so that reading a message costs few allocations however many fields it has:
/// [`Decoded::fields`] are its own fields, [`Decoded::items`] those of a value in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// Which, by number in [`Protocol::messages`].
    pub message: usize,
    /// How many bytes it takes.
    pub len: usize,
    /// Whether it is written as [`Protocol::encode`] writes it.
    pub canonical: bool,
    /// Its fields, one for each of its description's.
    pub(super) root: Items,
    /// Every item of the message, those of one value beside each other.
    pub(super) items: Vec<Item>,
    /// Every text that does not stand in the message as it is read.
    pub(super) text: Vec<u8>,
}

/// A decoded field or element.
///
/// It takes half a cache line: most of what decoding costs is to write them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    start: u32,
    end: u32,
    held: Held,
}

/// A [`Value`] in little space.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Absent,
    Array(Items),
    Bytes(u32, u32),
    Case(Option<u32>, Items),
    Number(u64, i64),
    Struct(Items),
    Text(u32, u32),
}

/// Items beside each other in a message: [`Decoded::items`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Items {
    from: u32,
    len: u32,
}

/// What a decoded field holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// It is not there.
    Absent,
    /// Elements.
    Array(Items),
    /// These bytes of the message.
    Bytes(Range<usize>),
    /// The fields of a switch's case, by its number; `None` for its default.
    Case(Option<u32>, Items),
    /// A number.
    Number(i128),
    /// Fields.
    Struct(Items),
    /// A text that does not stand in the message so: [`Decoded::text`].
    Text(Range<usize>),
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

impl Item {
    /// What nothing was decoded to yet.
    pub(super) const NONE: Item = Item { start: 0, end: 0, held: Held::Absent };

    /// An item; the limits of a message keep every number of bytes far below 32 bits.
    #[inline(always)]
    pub(super) fn new(span: Range<usize>, value: Value) -> Item {
        let held = match value {
            Value::Absent => Held::Absent,
            Value::Array(items) => Held::Array(items),
            Value::Bytes(range) => Held::Bytes(range.start as u32, range.end as u32),
            Value::Case(case, items) => Held::Case(case, items),
            Value::Number(number) => Held::Number(number as u64, (number >> 64) as i64),
            Value::Struct(items) => Held::Struct(items),
            Value::Text(range) => Held::Text(range.start as u32, range.end as u32),
        };
        Item { start: span.start as u32, end: span.end as u32, held }
    }

    /// Where it lies in the message, with prefix and delimiter.
    #[inline]
    pub fn span(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// What it holds.
    #[inline]
    pub fn value(&self) -> Value {
        match self.held {
            Held::Absent => Value::Absent,
            Held::Array(items) => Value::Array(items),
            Held::Bytes(start, end) => Value::Bytes(start as usize..end as usize),
            Held::Case(case, items) => Value::Case(case, items),
            Held::Number(low, high) => Value::Number(i128::from(high) << 64 | i128::from(low)),
            Held::Struct(items) => Value::Struct(items),
            Held::Text(start, end) => Value::Text(start as usize..end as usize),
        }
    }

    /// Whether it is there.
    pub fn is_absent(&self) -> bool {
        matches!(self.held, Held::Absent)
    }
}

impl Items {
    /// So many from that one on.
    pub(super) fn new(from: usize, len: usize) -> Items {
        Items { from: from as u32, len: len as u32 }
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Those of all `items` of a message.
    pub(super) fn of(self, items: &[Item]) -> &[Item] {
        &items[self.from as usize..][..self.len()]
    }
}

impl Decoded {
    /// Its fields, one for each of its description's.
    pub fn fields(&self) -> &[Item] {
        self.root.of(&self.items)
    }

    /// The fields or elements of a value in it.
    pub fn items(&self, items: Items) -> &[Item] {
        items.of(&self.items)
    }

    /// A text that does not stand in the message so.
    pub fn text(&self, range: Range<usize>) -> &[u8] {
        &self.text[range]
    }

    /// Its description.
    pub fn description<'p>(&self, protocol: &'p Protocol) -> &'p Message {
        &protocol.messages[self.message]
    }

    /// What would encode it again.
    pub fn given(&self, protocol: &Protocol, input: &[u8]) -> Vec<(Arc<str>, Given)> {
        Giving { decoded: self, protocol, input }.table(&protocol.messages[self.message].fields, self.root)
    }
}

struct Giving<'a> {
    decoded: &'a Decoded,
    protocol: &'a Protocol,
    input: &'a [u8],
}

impl Giving<'_> {
    fn table(&self, fields: &Fields, items: Items) -> Vec<(Arc<str>, Given)> {
        let named = fields.iter().zip(self.decoded.items(items)).filter(|(field, _)| !field.name.is_empty());
        named.filter_map(|(field, item)| Some((Arc::clone(&field.name), self.value(field, item)?))).collect()
    }

    fn value(&self, field: &Field, item: &Item) -> Option<Given> {
        Some(match (item.value(), &field.kind) {
            (Value::Absent, _) => return None,
            (Value::Array(items), Kind::Array { of, .. }) => {
                let items = self.decoded.items(items).iter();
                Given::List(items.filter_map(|item| self.value(of, item)).collect())
            }
            (Value::Bytes(range), _) => Given::Bytes(Bytes::copy_from_slice(&self.input[range])),
            (Value::Case(case, items), Kind::Switch { .. }) => {
                Given::Table(self.table(field.kind.fields_of_case(case)?, items))
            }
            (Value::Number(number), _) => Given::Number(number),
            (Value::Struct(items), Kind::Struct(structure)) => {
                Given::Table(self.table(self.protocol.fields_of(structure), items))
            }
            (Value::Text(range), _) => Given::Bytes(Bytes::copy_from_slice(self.decoded.text(range))),
            _ => return None,
        })
    }
}

impl Protocol {
    /// Whether somebody who hears this direction can hear a message.
    pub fn goes(message: &Message, direction: Option<Direction>) -> bool {
        direction.is_none() || message.direction.is_none() || message.direction == direction
    }
}
