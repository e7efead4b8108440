//! A message of a described protocol that was understood, and the same with other values in its fields.
//!
//! A message is decoded, one field of it is given another value, and it is encoded again: what is computed is then right for
//! what is changed, unless it is itself what is changed.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::framing::{Decoded, Framing};
use crate::protocol::description::{self, Layout};
use crate::protocol::{Direction, Field, Given, Item, Kind, Protocol, Reference, Value, framing};

/// How many fields of one message are used.
const FIELDS_MAX: usize = 64;

/// Of how many bytes a text becomes.
const LENS: &[usize] = &[1, 2, 127, 128, 255, 256, 257, 1_023, 1_024, 4_096, 65_535, 65_536];

/// What a text becomes.
const TEXTS: &[&[u8]] =
    &[b"\0", b"\xff\xfe\xfd", b"%n%n%n%n", b"../../etc/passwd", b"\xc0\x80", b"a\0b", b"\r\n", b"\xc0\x0c"];

/// The longest text that is made up where the description has a bound for it.
const TEXT_LEN_MAX: usize = 65_536;

/// The longest text that is told as it is.
const TOLD_MAX: usize = 32;

/// Fields by name.
pub(crate) type Fields = Vec<(Arc<str>, Given)>;

/// A message that was understood.
pub(crate) struct Known {
    pub(crate) protocol: Arc<Protocol>,
    pub(crate) message: usize,
    pub(super) given: Fields,
    pub(super) leaves: Vec<Leaf>,
    pub(super) framing: Arc<dyn Framing>,
}

/// A field that holds no others.
pub(super) struct Leaf {
    /// Where it stands among the values, as numbers.
    path: Vec<usize>,
    /// Whether the others determine it.
    computed: bool,
    /// What it may be.
    shape: Shape,
}

enum Shape {
    Bytes { max: usize },
    List,
    Number { min: i128, max: i128, bounds: (i128, i128), names: Vec<i128> },
}

/// Where the body of a message stands in its bytes.
pub(super) fn body(bytes: &[u8], framing: &dyn Framing, is_datagram: bool) -> Option<Range<usize>> {
    if is_datagram {
        return Some(0..bytes.len());
    }
    match framing.decode(bytes, 0) {
        Ok(Decoded::Message { start, end, consumed }) if consumed == bytes.len() => Some(start..end),
        _ => None,
    }
}

/// A request with one field changed, each time in another way: what is different, and its bytes. Bounds come first.
///
/// Nothing for bytes that are no message of the protocol.
pub(crate) fn lies(protocol: &Arc<Protocol>, bytes: &[u8], is_datagram: bool) -> Vec<(String, Vec<u8>)> {
    let Some(known) = Known::request(protocol, bytes, is_datagram) else { return Vec::new() };
    known.others(true).filter_map(|(what, given)| Some((what, known.encode(&given)?))).collect()
}

/// What the value at a path is: `topic.len` is 65535.
fn told(given: &[(Arc<str>, Given)], path: &[usize]) -> String {
    let mut names = String::new();
    let mut value: Option<&Given> = None;
    for at in path {
        let next = match value {
            None => given.get(*at).map(|(name, value)| (name.to_string(), value)),
            Some(Given::Table(fields)) => fields.get(*at).map(|(name, value)| (format!(".{name}"), value)),
            Some(Given::List(items)) => items.get(*at).map(|value| (format!("[{at}]"), value)),
            Some(_) => None,
        };
        let Some((name, next)) = next else { break };
        names.push_str(&name);
        value = Some(next);
    }
    match value {
        Some(Given::Number(number)) => format!("`{names}` is {number}"),
        Some(Given::Bytes(bytes)) if bytes.is_empty() => format!("`{names}` is empty"),
        Some(Given::Bytes(bytes)) if bytes.len() > TOLD_MAX => {
            format!("`{names}` has {}", crate::text::count(bytes.len(), "byte"))
        }
        Some(Given::Bytes(bytes)) => format!("`{names}` is {}", crate::text::quote(bytes)),
        Some(Given::List(items)) => format!("`{names}` has {}", crate::text::count(items.len(), "element")),
        Some(Given::Table(_)) | None => format!("`{names}` is something else"),
    }
}

/// Finds the fields in the order in which [`crate::protocol::Decoded::given`] gives them.
struct Walker<'a> {
    protocol: &'a Protocol,
    decoded: &'a crate::protocol::Decoded,
}

impl Walker<'_> {
    fn walk(&self, fields: &description::Fields, items: &[Item], path: &mut Vec<usize>, leaves: &mut Vec<Leaf>) {
        let mut number = 0;
        for (at, (field, item)) in fields.iter().zip(items).enumerate() {
            if field.name.is_empty() || item.is_absent() {
                continue;
            }
            path.push(number);
            let computed = field.compute.is_some() || crate::protocol::is_size(fields, at);
            self.walk_value(field, item, computed, path, leaves);
            path.pop();
            number += 1;
        }
    }

    fn walk_value(&self, field: &Field, item: &Item, computed: bool, path: &mut Vec<usize>, leaves: &mut Vec<Leaf>) {
        if leaves.len() >= FIELDS_MAX {
            return;
        }
        let leaf = |shape| Leaf { path: path.clone(), computed, shape };
        match (item.value(), &field.kind) {
            (Value::Array(items), Kind::Array { of, .. }) => {
                leaves.push(leaf(Shape::List));
                for (at, item) in self.decoded.items(items).iter().enumerate().take(8) {
                    path.push(at);
                    self.walk_value(of, item, false, path, leaves);
                    path.pop();
                }
            }
            (Value::Case(case, items), Kind::Switch { .. }) => {
                if let Some(fields) = field.kind.fields_of_case(case) {
                    self.walk(fields, self.decoded.items(items), path, leaves);
                }
            }
            (Value::Struct(items), Kind::Struct(structure)) => {
                self.walk(self.protocol.fields_of(structure), self.decoded.items(items), path, leaves);
            }
            (Value::Number(_), kind) => {
                let (number, bounds) = match kind {
                    Kind::Integer(integer) => (&integer.number, integer.layout.bounds()),
                    Kind::Digits { number, .. } => (number, Layout::Leb128.bounds()),
                    _ => return,
                };
                let names =
                    number.names.map(|at| self.protocol.enums[at].values.iter().map(|(_, value)| *value).collect());
                let (min, max) = (number.min, number.max);
                leaves.push(leaf(Shape::Number { min, max, bounds, names: names.unwrap_or_default() }));
            }
            (Value::Bytes(_) | Value::Text(_), kind) => {
                let max = match kind {
                    Kind::Bytes { max, .. } => *max,
                    _ => usize::MAX,
                };
                leaves.push(leaf(Shape::Bytes { max }));
            }
            _ => {}
        }
    }
}

/// The value at a path.
fn at_mut<'g>(given: &'g mut [(Arc<str>, Given)], path: &[usize]) -> Option<&'g mut Given> {
    let (first, rest) = path.split_first()?;
    let mut value = &mut given.get_mut(*first)?.1;
    for at in rest {
        value = match value {
            Given::List(items) => items.get_mut(*at)?,
            Given::Table(fields) => &mut fields.get_mut(*at)?.1,
            _ => return None,
        };
    }
    Some(value)
}

/// Whether a message that was read has these values in its fields; it also has what they determine.
fn holds_all(read: &[(Arc<str>, Given)], given: &[(Arc<str>, Given)]) -> bool {
    given.iter().all(|(name, value)| {
        let found = read.iter().find(|(known, _)| known == name);
        found.is_some_and(|(_, read)| holds(read, value))
    })
}

fn holds(read: &Given, given: &Given) -> bool {
    match (read, given) {
        (Given::List(read), Given::List(given)) => {
            read.len() == given.len() && read.iter().zip(given).all(|(read, given)| holds(read, given))
        }
        (Given::Table(read), Given::Table(given)) => holds_all(read, given),
        (read, given) => read == given,
    }
}

/// Takes the value at a path out of the table that it stands in.
fn remove(given: &mut Fields, path: &[usize]) {
    let Some((last, outer)) = path.split_last() else { return };
    if outer.is_empty() {
        given.remove(*last);
    } else if let Some(Given::Table(fields)) = at_mut(given, outer) {
        fields.remove(*last);
    }
}

impl Known {
    /// A message in its framing, understood.
    pub(super) fn of(
        protocol: Arc<Protocol>,
        direction: Direction,
        framing: Arc<dyn Framing>,
        bytes: &[u8],
        is_datagram: bool,
    ) -> Option<Known> {
        let body = &bytes[body(bytes, &*framing, is_datagram)?];
        let decoded = protocol.decode(body, true, Some(direction)).ok()??;
        let given = decoded.given(&protocol, body);
        let mut leaves = Vec::new();
        let walker = Walker { protocol: &protocol, decoded: &decoded };
        walker.walk(&decoded.description(&protocol).fields, decoded.fields(), &mut Vec::new(), &mut leaves);
        let framing = if is_datagram { crate::framing::datagram() } else { framing };
        Some(Known { message: decoded.message, given, leaves, framing, protocol })
    }

    /// A request in its framing, understood.
    pub(crate) fn request(protocol: &Arc<Protocol>, bytes: &[u8], is_datagram: bool) -> Option<Known> {
        let direction = Direction::Request;
        let framing = framing(protocol, Some(direction));
        Known::of(Arc::clone(protocol), direction, framing, bytes, is_datagram)
    }

    /// Its fields, without what they determine.
    pub(crate) fn given(&self) -> Fields {
        let mut given = self.given.clone();
        self.leaves.iter().rev().filter(|leaf| leaf.computed).for_each(|leaf| remove(&mut given, &leaf.path));
        given
    }

    /// The fields with another value in one of them, each time in another way, and what is different. Bounds come first.
    ///
    /// Only with lies what is determined by others is among them.
    pub(crate) fn others(&self, lies: bool) -> impl Iterator<Item = (String, Fields)> {
        let ways = self.leaves.iter().map(Known::ways).max().unwrap_or_default();
        let all = (0..ways).flat_map(|way| self.leaves.iter().map(move |leaf| (leaf, way)));
        let all = all.filter(move |(leaf, way)| *way < Known::ways(leaf) && (lies || !leaf.computed));
        all.filter_map(|(leaf, way)| {
            let mut given = self.with(leaf, way)?;
            let what = told(&given, &leaf.path);
            self.compute(&mut given, leaf);
            Some((what, given))
        })
    }

    /// The bytes of a request of the same kind, if its description allows it and it reads as it was given.
    pub(crate) fn valid(&self, given: &[(Arc<str>, Given)], is_datagram: bool) -> Option<Vec<u8>> {
        let bytes = self.encode(given)?;
        let read = Known::request(&self.protocol, &bytes, is_datagram)?;
        let is_same = read.message == self.message && holds_all(&read.given, given);
        is_same.then_some(bytes)
    }

    /// The number of bits or of a field, where it is given.
    pub(crate) fn number(&self, given: &[(Arc<str>, Given)], reference: &Reference) -> Option<i128> {
        let [at] = reference.path[..] else { return None };
        let field = self.protocol.messages[self.message].fields.get(at)?;
        let Given::Number(number) = given.iter().find(|(name, _)| *name == field.name)?.1 else { return None };
        match (&field.kind, reference.bits) {
            (Kind::Integer(integer), Some(bits)) => Some(integer.bits.get(bits)?.of(number)),
            _ => Some(number),
        }
    }

    /// Gives a field or bits of this name back what they are in the message. `false`: there are none.
    pub(crate) fn keep(&self, given: &mut Fields, name: &str) -> bool {
        let own = self.given();
        for field in self.protocol.messages[self.message].fields.iter() {
            let before = own.iter().find(|(known, _)| *known == field.name).map(|(_, value)| value);
            if *field.name == *name {
                match (given.iter_mut().find(|(known, _)| *known == field.name), before) {
                    (Some((_, now)), Some(before)) => *now = before.clone(),
                    (None, Some(before)) => given.push((Arc::clone(&field.name), before.clone())),
                    (_, None) => given.retain(|(known, _)| *known != field.name),
                }
                return true;
            }
            let Kind::Integer(integer) = &field.kind else { continue };
            let Some(bits) = integer.bits.iter().find(|bits| *bits.name == *name) else { continue };
            let now = given.iter_mut().find(|(known, _)| *known == field.name).map(|(_, value)| value);
            if let (Some(Given::Number(now)), Some(Given::Number(before))) = (now, before) {
                *now ^= (bits.of(*now) ^ bits.of(*before)) << bits.shift;
            }
            return true;
        }
        false
    }

    /// How many of its fields can become longer.
    pub(crate) fn stretchable(&self) -> usize {
        self.long().count()
    }

    fn long(&self) -> impl Iterator<Item = &Leaf> {
        let is_long = |leaf: &&Leaf| !leaf.computed && matches!(leaf.shape, Shape::Bytes { .. } | Shape::List);
        self.leaves.iter().filter(is_long)
    }

    /// The message with so many bytes, or elements of a list, in the field of this number; what that determines is computed anew.
    /// `None` where its description allows no more.
    pub(crate) fn stretched(&self, number: usize, len: usize) -> Option<Vec<u8>> {
        let leaf = self.long().nth(number)?;
        let mut given = self.given.clone();
        match (&leaf.shape, at_mut(&mut given, &leaf.path)?) {
            (Shape::Bytes { max }, Given::Bytes(bytes)) if len <= *max => {
                *bytes = Bytes::from(vec![bytes.first().copied().unwrap_or(b'A'); len]);
            }
            (Shape::List, Given::List(items)) => {
                let first = items.first()?.clone();
                *items = vec![first; len.min(crate::campaign::growth::ROUNDS_MAX)];
            }
            _ => return None,
        }
        self.compute(&mut given, leaf);
        self.encode(&given)
    }

    /// How many values a field can be given.
    pub(super) fn ways(leaf: &Leaf) -> usize {
        match &leaf.shape {
            Shape::Bytes { .. } => 3 + LENS.len() + TEXTS.len(),
            Shape::List => 5,
            Shape::Number { names, .. } => 14 + names.len().min(16),
        }
    }

    /// The fields with another value in one of them; those that are determined by others are none that is given.
    pub(super) fn changed(&self, leaf: &Leaf, way: usize) -> Option<Fields> {
        let mut given = self.with(leaf, way)?;
        self.compute(&mut given, leaf);
        Some(given)
    }

    /// Has computed anew what the others determine, unless it is the one that was changed.
    fn compute(&self, given: &mut Fields, changed: &Leaf) {
        // From the last, so that the numbers before it stay right.
        let computed = self.leaves.iter().rev().filter(|leaf| leaf.computed && leaf.path != changed.path);
        computed.for_each(|leaf| remove(given, &leaf.path));
    }

    fn with(&self, leaf: &Leaf, way: usize) -> Option<Fields> {
        let mut given = self.given.clone();
        let value = at_mut(&mut given, &leaf.path)?;
        let before = value.clone();
        match (&leaf.shape, &mut *value) {
            (Shape::Bytes { max }, Given::Bytes(bytes)) => {
                let of_len = |len| Bytes::from(vec![bytes.first().copied().unwrap_or(b'A'); len]);
                *bytes = match way {
                    0 => Bytes::new(),
                    1 | 2 if *max < TEXT_LEN_MAX => of_len(max + way - 1),
                    1 | 2 => return None,
                    way => match LENS.get(way - 3) {
                        Some(len) => of_len(*len),
                        None => Bytes::from_static(TEXTS.get(way - 3 - LENS.len())?),
                    },
                }
            }
            (Shape::List, Given::List(items)) => {
                let first = items.first().cloned();
                match way {
                    0 => items.clear(),
                    1 => drop(items.pop()),
                    2 => items.extend(first),
                    way => items.extend(std::iter::repeat_n(first?, if way == 3 { 100 } else { 3_000 })),
                }
            }
            (Shape::Number { min, max, bounds, names }, Given::Number(number)) => {
                let now = *number;
                *number = match way {
                    0 => *min,
                    1 => *max,
                    2 => min - 1,
                    3 => max + 1,
                    4 => now + 1,
                    5 => now - 1,
                    6 => bounds.0,
                    7 => bounds.1,
                    8 => bounds.1 / 2,
                    9 => bounds.1 / 2 + 1,
                    10 => 0,
                    11 => now * 2 + 2,
                    12 => 0x80,
                    13 => 0xff,
                    way => *names.get(way - 14)?,
                }
            }
            _ => return None,
        }
        (*value != before).then_some(given)
    }

    pub(super) fn encode(&self, given: &[(Arc<str>, Given)]) -> Option<Vec<u8>> {
        let body = self.protocol.encode(self.message, given).ok()?;
        let mut bytes = Vec::new();
        self.framing.encode(&body, &mut bytes).ok()?;
        Some(bytes)
    }
}
