//! A message of the actor's protocol, by name, with matchers for the fields that matter.

use std::sync::Arc;

use bytes::Bytes;

use super::{Input, MATCHERS, Match, Matcher, Outcome, Pattern, Progress, Speaking};
use crate::document::{Entry, Node, Reader, Table, Value};
use crate::protocol::description::{Fields, Number};
use crate::protocol::{Decoded, Direction, Field, Item, Kind, Protocol, Value as Held};
use crate::scenario::message::{bits, no_number, only, part, unknown};
use crate::text::quote;

/// A message of this name whose fields are as they are wanted.
#[derive(Debug)]
struct Message {
    protocol: Arc<Protocol>,
    hears: Option<Direction>,
    message: usize,
    fields: Vec<(Arc<str>, Want)>,
    matchers: Vec<Arc<dyn Matcher>>,
}

/// What is wanted of a field.
#[derive(Clone, Debug)]
enum Want {
    /// These of its fields, or bits.
    Fields(Vec<(Arc<str>, Want)>),
    /// The matcher with this number; its digits may have names, by number in the protocol's enums.
    Leaf(usize, Option<usize>),
    /// These elements, and no others.
    List(Vec<Want>),
    /// That it is there, or is not.
    Present(bool),
}

/// Reads `{ value = { id = 7, data = { prefix = "bl" } } }`, of which `entry` is the one key.
pub(super) fn lower(reader: &mut Reader, entry: &Entry, speaking: &Speaking) -> Option<Pattern> {
    let Speaking { protocol, hears } = speaking.clone();
    let (message, description) = protocol.message(&entry.key)?;
    let what = format!("the message `{}`", description.name);
    let mut parts = Vec::new();
    let fields = match &entry.node.value {
        Value::Boolean(true) => Vec::new(),
        _ => {
            let table = reader.table(&entry.node, &what)?;
            lower_fields(reader, &protocol, &[&description.fields], table, &what, &mut parts)?
        }
    };
    if !Protocol::goes(description, hears) {
        let heard = protocol.messages.iter().filter(|message| Protocol::goes(message, hears));
        let names: Vec<String> = heard.map(|message| format!("`{}`", message.name)).collect();
        let hint = format!("it hears {}", names.join(", "));
        reader.mistake_with_hint(
            &entry.key_span,
            format!("this actor sends `{}`, and never hears it", entry.key),
            hint,
        );
    }
    let build =
        move |matchers| Message { protocol: Arc::clone(&protocol), hears, message, fields: fields.clone(), matchers };
    Some(Pattern::of_many(parts, build))
}

fn lower_fields(
    reader: &mut Reader,
    protocol: &Arc<Protocol>,
    lists: &[&Fields],
    table: &Table,
    what: &str,
    parts: &mut Vec<Pattern>,
) -> Option<Vec<(Arc<str>, Want)>> {
    let mut wants = Vec::new();
    for Entry { key, key_span, node } in &table.entries {
        let field = lists.iter().flat_map(|fields| fields.iter()).find(|field| *field.name == **key);
        let want = match field {
            Some(field) => lower_field(reader, protocol, field, node, parts),
            None => match lists.iter().find_map(|fields| bits(fields, key)) {
                Some(number) => lower_number(reader, protocol, number, node, parts),
                None => {
                    unknown(reader, lists, key, key_span, what);
                    None
                }
            },
        };
        wants.extend(want.map(|want| (Arc::from(key.as_str()), want)));
    }
    (wants.len() == table.entries.len()).then_some(wants)
}

/// Whether a table is a matcher, and not fields.
fn is_matcher(table: &Table) -> bool {
    matches!(table.entries.as_slice(), [entry] if MATCHERS.iter().any(|row| row.name == entry.key))
}

fn lower_field(
    reader: &mut Reader,
    protocol: &Arc<Protocol>,
    field: &Field,
    node: &Node,
    parts: &mut Vec<Pattern>,
) -> Option<Want> {
    let what = if field.name.is_empty() { "an element".to_owned() } else { format!("`{}`", field.name) };
    if let Value::Table(table) = &node.value
        && let [Entry { key, node, .. }] = table.entries.as_slice()
        && key == "present"
    {
        return Some(Want::Present(reader.boolean(node, "`present`")?));
    }
    match &field.kind {
        Kind::Align(_) => {
            reader.mistake(&node.span, format!("{what} is padding, and has no value"));
            None
        }
        Kind::Array { of, .. } => match &node.value {
            Value::Array(items) => {
                let wants: Vec<_> = items.iter().map(|item| lower_field(reader, protocol, of, item, parts)).collect();
                Some(Want::List(wants.into_iter().collect::<Option<_>>()?))
            }
            _ => {
                reader.mistake(&node.span, format!("{what} is an array: `[..]`, not {}", node.value.kind()));
                None
            }
        },
        Kind::Bytes { .. } | Kind::DomainName => {
            let node = match &node.value {
                Value::Integer(number) => &Node { span: node.span.clone(), value: Value::String(number.to_string()) },
                _ => node,
            };
            leaf(super::lower(reader, node, None)?, None, parts)
        }
        Kind::Digits { number, .. } => lower_number(reader, protocol, number, node, parts),
        Kind::Integer(integer) => match &node.value {
            Value::Table(table) if !integer.bits.is_empty() && !is_matcher(table) => {
                let mut wants = Vec::new();
                for Entry { key, key_span, node } in &table.entries {
                    let Some(part) = part(reader, integer, key, key_span, &what) else { continue };
                    wants.push((Arc::clone(&part.name), lower_number(reader, protocol, &part.number, node, parts)?));
                }
                (wants.len() == table.entries.len()).then_some(Want::Fields(wants))
            }
            _ => lower_number(reader, protocol, &integer.number, node, parts),
        },
        Kind::Struct(structure) => {
            let inner = protocol.fields_of(structure);
            match &node.value {
                Value::Table(table)
                    if !is_matcher(table) || inner.iter().any(|field| *field.name == *table.entries[0].key) =>
                {
                    Some(Want::Fields(lower_fields(reader, protocol, &[inner], table, &what, parts)?))
                }
                _ => {
                    let only = only(reader, inner, node, &what)?;
                    let want = lower_field(reader, protocol, only, node, parts)?;
                    Some(Want::Fields(vec![(Arc::clone(&only.name), want)]))
                }
            }
        }
        Kind::Switch { cases, default, .. } => {
            let table = reader.table(node, &what)?;
            let lists: Vec<&Fields> = cases.iter().map(|(_, fields)| fields).chain(default).collect();
            Some(Want::Fields(lower_fields(reader, protocol, &lists, table, &what, parts)?))
        }
    }
}

fn leaf(pattern: Pattern, names: Option<usize>, parts: &mut Vec<Pattern>) -> Option<Want> {
    parts.push(pattern);
    Some(Want::Leaf(parts.len() - 1, names))
}

/// A number is matched by its digits; a name stands for them.
fn lower_number(
    reader: &mut Reader,
    protocol: &Arc<Protocol>,
    number: &Number,
    node: &Node,
    parts: &mut Vec<Pattern>,
) -> Option<Want> {
    let mut digits = node.clone();
    to_digits(protocol, number, &mut digits);
    if let (Value::String(text), Value::String(written)) = (&digits.value, &node.value)
        && !written.contains("${")
        && text.parse::<i128>().is_err()
    {
        no_number(reader, protocol, number, text, node);
        return None;
    }
    leaf(super::lower(reader, &digits, None)?, number.names, parts)
}

/// Numbers and their names become digits, wherever a matcher compares with them.
fn to_digits(protocol: &Protocol, number: &Number, node: &mut Node) {
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(|item| to_digits(protocol, number, item)),
        Value::Boolean(set) => node.value = Value::String(i32::from(*set).to_string()),
        Value::Integer(value) => node.value = Value::String(value.to_string()),
        Value::String(text) => {
            if let Some(value) = protocol.number_named(number, text) {
                node.value = Value::String(value.to_string());
            }
        }
        Value::Table(table) => {
            for entry in table.entries.iter_mut().filter(|entry| matches!(entry.key.as_str(), "all" | "not" | "one_of"))
            {
                to_digits(protocol, number, &mut entry.node);
            }
        }
        _ => {}
    }
}

impl Matcher for Message {
    fn describe(&self) -> String {
        let name = &self.protocol.messages[self.message].name;
        if self.fields.is_empty() {
            return format!("a message `{name}`");
        }
        let mut parts = Vec::new();
        for (field, want) in &self.fields {
            self.describe_field(field, want, &mut parts);
        }
        format!("a message `{name}` with {}", parts.join(", "))
    }

    fn show(&self, received: &[u8]) -> Option<String> {
        let decoded = self.protocol.decode(received, true, self.hears).ok()??;
        Some(format!("`{}`", self.protocol.show(&decoded, received)))
    }

    fn check(&self, input: Input<'_>, _: &mut Progress) -> Outcome {
        if !input.message {
            return Outcome::mismatch(0, "it is no message: the actor has no framing");
        }
        let bytes = input.bytes;
        let decoded = match self.protocol.decode(bytes, true, self.hears) {
            Ok(Some(decoded)) => decoded,
            Ok(None) => return Outcome::mismatch(bytes.len(), "the message is not whole"),
            Err(error) => return Outcome::mismatch(error.at, error.to_string()),
        };
        if decoded.message != self.message {
            return Outcome::mismatch(
                0,
                format!("it is another message, `{}`", self.protocol.messages[decoded.message].name),
            );
        }
        let mut found = Match { len: bytes.len(), ..Match::default() };
        let look = Look { message: self, decoded: &decoded, bytes };
        let fields = &self.protocol.messages[self.message].fields;
        match look.fields(&self.fields, fields, decoded.fields(), &mut found) {
            Ok(()) => Outcome::Match(found),
            Err(wrong) => {
                let why = format!("`{}.{}` is {}", self.protocol.messages[self.message].name, wrong.path, wrong.why);
                Outcome::Mismatch { at: wrong.at, why }
            }
        }
    }
}

impl Message {
    fn describe_field(&self, path: &str, want: &Want, parts: &mut Vec<String>) {
        match want {
            Want::Fields(fields) => {
                fields.iter().for_each(|(name, want)| self.describe_field(&format!("{path}.{name}"), want, parts));
            }
            Want::Leaf(at, names) => {
                let matcher = &self.matchers[*at];
                let exact = matcher.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
                let wanted = match (exact, names) {
                    (Some(value), Some(_)) => format!("`{}`", self.protocol.name_of(*names, value)),
                    _ => matcher.describe(),
                };
                parts.push(format!("{path} = {wanted}"));
            }
            Want::List(items) if items.is_empty() => parts.push(format!("no `{path}`")),
            Want::List(items) => {
                for (at, want) in items.iter().enumerate() {
                    self.describe_field(&format!("{path}[{at}]"), want, parts);
                }
            }
            Want::Present(true) => parts.push(format!("some `{path}`")),
            Want::Present(false) => parts.push(format!("no `{path}`")),
        }
    }
}

struct Look<'a> {
    message: &'a Message,
    decoded: &'a Decoded,
    bytes: &'a [u8],
}

/// A field that is not as it should be.
struct Wrong {
    path: String,
    at: usize,
    why: String,
}

impl Look<'_> {
    fn fields(
        &self,
        wants: &[(Arc<str>, Want)],
        fields: &[Field],
        items: &[Item],
        found: &mut Match,
    ) -> Result<(), Wrong> {
        for (name, want) in wants {
            let at = fields.iter().position(|field| field.name == *name);
            let result = match at {
                Some(at) => self.field(want, &fields[at], &items[at], found),
                None => self.bits(name, want, fields, items, found),
            };
            result.map_err(|mut wrong| {
                let dot = if wrong.path.is_empty() || wrong.path.starts_with('[') { "" } else { "." };
                wrong.path = format!("{name}{dot}{}", wrong.path);
                wrong
            })?;
        }
        Ok(())
    }

    /// Bits that are spoken of without their integer's name.
    fn bits(&self, name: &str, want: &Want, fields: &[Field], items: &[Item], found: &mut Match) -> Result<(), Wrong> {
        for (field, item) in fields.iter().zip(items) {
            if let (Kind::Integer(integer), Held::Number(value)) = (&field.kind, item.value())
                && let Some(bits) = integer.bits.iter().find(|bits| *bits.name == *name)
            {
                return self.number(want, &bits.number, bits.of(value), item.span().start, found);
            }
        }
        Err(Wrong { path: String::new(), at: self.bytes.len(), why: "not there".into() })
    }

    fn field(&self, want: &Want, field: &Field, item: &Item, found: &mut Match) -> Result<(), Wrong> {
        let at = item.span().start;
        let wrong = |at: usize, why: String| Err(Wrong { path: String::new(), at, why });
        match (want, item.value()) {
            (Want::Present(wanted), value) => match (wanted, value != Held::Absent) {
                (true, false) => wrong(at, "not there".into()),
                (false, true) => wrong(at, "there".into()),
                _ => Ok(()),
            },
            (_, Held::Absent) => wrong(at, "not there".into()),
            (Want::Leaf(leaf, _), Held::Bytes(range)) => {
                let bytes = &self.bytes[range.clone()];
                match self.message.matchers[*leaf].check(Input::message(bytes), &mut Progress::default()) {
                    Outcome::Match(inner) => {
                        let captures = inner.captures.into_iter();
                        found.captures.extend(
                            captures.map(|(name, part)| (name, range.start + part.start..range.start + part.end)),
                        );
                        Ok(())
                    }
                    Outcome::Mismatch { at, .. } => {
                        let wanted = self.message.matchers[*leaf].describe();
                        wrong(range.start + at.min(bytes.len()), format!("{}, not {wanted}", quote(bytes)))
                    }
                    Outcome::NeedMore => wrong(range.end, format!("{}, and more is wanted", quote(bytes))),
                }
            }
            (Want::Leaf(leaf, _), Held::Text(range)) => {
                let text = Bytes::copy_from_slice(self.decoded.text(range));
                self.owned(*leaf, &text, at, found).map_err(|why| Wrong { path: String::new(), at, why })
            }
            (Want::Leaf(..), Held::Number(value)) => {
                let number = match &field.kind {
                    Kind::Integer(integer) => &integer.number,
                    Kind::Digits { number, .. } => number,
                    _ => return wrong(at, value.to_string()),
                };
                self.number(want, number, value, at, found)
            }
            (Want::Fields(wants), Held::Number(value)) => {
                let Kind::Integer(integer) = &field.kind else { return wrong(at, value.to_string()) };
                for (name, want) in wants {
                    let Some(bits) = integer.bits.iter().find(|bits| bits.name == *name) else { continue };
                    self.number(want, &bits.number, bits.of(value), at, found).map_err(|mut wrong| {
                        wrong.path = name.to_string();
                        wrong
                    })?;
                }
                Ok(())
            }
            (Want::Fields(wants), Held::Struct(items)) => {
                let Kind::Struct(structure) = &field.kind else { return wrong(at, "no structure".into()) };
                self.fields(wants, self.message.protocol.fields_of(structure), self.decoded.items(items), found)
            }
            (Want::Fields(wants), Held::Case(case, items)) => {
                let fields = field.kind.fields_of_case(case);
                self.fields(wants, fields.map_or(&[], |fields| fields), self.decoded.items(items), found)
            }
            (Want::List(wants), Held::Array(items)) => {
                let Kind::Array { of, .. } = &field.kind else { return wrong(at, "no array".into()) };
                let items = self.decoded.items(items);
                for (number, (want, item)) in wants.iter().zip(items).enumerate() {
                    self.field(want, of, item, found).map_err(|mut wrong| {
                        let dot = if wrong.path.is_empty() || wrong.path.starts_with('[') { "" } else { "." };
                        wrong.path = format!("[{number}]{dot}{}", wrong.path);
                        wrong
                    })?;
                }
                if wants.len() == items.len() {
                    return Ok(());
                }
                let end = items.get(wants.len()).map_or(item.span().end, |item| item.span().start);
                let (has, wanted) = (items.len(), wants.len());
                wrong(end, format!("of {has} elements, not of {wanted}"))
            }
            _ => wrong(at, "something else".into()),
        }
    }

    fn number(&self, want: &Want, number: &Number, value: i128, at: usize, found: &mut Match) -> Result<(), Wrong> {
        let wrong = |why: String| Err(Wrong { path: String::new(), at, why });
        let leaf = match want {
            Want::Leaf(leaf, _) => *leaf,
            Want::Present(true) => return Ok(()),
            _ => return wrong(value.to_string()),
        };
        let protocol = &self.message.protocol;
        // A name that only a variable brings is still a name here.
        let named = self.message.matchers[leaf].bytes().and_then(|bytes| {
            let text = std::str::from_utf8(bytes).ok()?;
            protocol.number_named(number, text).filter(|_| text.parse::<i128>().is_err())
        });
        if named == Some(value) {
            return Ok(());
        }
        match self.owned(leaf, &Bytes::from(value.to_string()), at, found) {
            Ok(()) => Ok(()),
            Err(_) => {
                let named = |value: i128| match protocol.name_of(number.names, value) {
                    name if name == value.to_string() => format!("`{value}`"),
                    name => format!("`{name}` ({value})"),
                };
                let matcher = &self.message.matchers[leaf];
                let exact = matcher.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
                let wanted = match exact {
                    Some(wanted) => named(wanted),
                    None => matcher.describe(),
                };
                wrong(format!("{}, not {wanted}", named(value)))
            }
        }
    }

    /// Matches what does not stand in the message so.
    fn owned(&self, leaf: usize, bytes: &Bytes, _: usize, found: &mut Match) -> Result<(), String> {
        let matcher = &self.message.matchers[leaf];
        match matcher.check(Input::message(bytes), &mut Progress::default()) {
            Outcome::Match(inner) => {
                let captures = inner.captures.into_iter();
                found.values.extend(captures.map(|(name, range)| (name, bytes.slice(range))));
                Ok(())
            }
            _ => Err(format!("{}, not {}", quote(bytes), matcher.describe())),
        }
    }
}
