//! A message of the actor's protocol as it stands in a `send`: fields by name.

use std::ops::Range;
use std::sync::Arc;

use crate::conversation::message::Tree;
use crate::document::{Entry, Node, Reader, Table, Value, did_you_mean};
use crate::protocol::description::{Bits, Fields, Integer, Number, only_field};
use crate::protocol::{Field, Kind, Protocol};

/// Reads the fields of a message.
pub(super) fn lower(
    reader: &mut Reader,
    protocol: &Arc<Protocol>,
    message: usize,
    node: &Node,
) -> Option<Vec<(Arc<str>, Tree)>> {
    let message = &protocol.messages[message];
    let what = format!("the message `{}`", message.name);
    let table = reader.table(node, &what)?;
    fields(reader, protocol, &[&message.fields], table, &what)
}

/// Reads fields by their names, which are those of one of `lists`.
fn fields(
    reader: &mut Reader,
    protocol: &Arc<Protocol>,
    lists: &[&Fields],
    table: &Table,
    what: &str,
) -> Option<Vec<(Arc<str>, Tree)>> {
    let mut trees = Vec::new();
    let mut is_whole = true;
    for Entry { key, key_span, node } in &table.entries {
        let field = lists.iter().flat_map(|fields| fields.iter()).find(|field| *field.name == **key);
        let tree = match field {
            Some(field) => value(reader, protocol, field, node),
            None => match lists.iter().find_map(|fields| bits(fields, key)) {
                Some(bits) => number(reader, protocol, bits, node),
                None => {
                    unknown(reader, lists, key, key_span, what);
                    None
                }
            },
        };
        match tree {
            Some(tree) => trees.push((Arc::from(key.as_str()), tree)),
            None => is_whole = false,
        }
    }
    is_whole.then_some(trees)
}

/// Notes that there is no such field.
pub(crate) fn unknown(reader: &mut Reader, lists: &[&Fields], key: &str, span: &Range<usize>, what: &str) {
    let fields = || lists.iter().flat_map(|fields| fields.iter());
    let bits = fields().filter_map(|field| match &field.kind {
        Kind::Integer(integer) => Some(integer.bits.iter().map(|bits| &*bits.name)),
        _ => None,
    });
    let names: Vec<&str> =
        fields().map(|field| &*field.name).chain(bits.flatten()).filter(|name| !name.is_empty()).collect();
    let hint = did_you_mean(key, names.iter().copied()).unwrap_or_else(|| match names.is_empty() {
        true => "it has no fields".into(),
        false => format!("it has {}", names.join(", ")),
    });
    reader.mistake_with_hint(span, format!("there is no field `{key}` in {what}"), hint);
}

/// The part of an integer with a name.
pub(crate) fn part<'i>(
    reader: &mut Reader,
    integer: &'i Integer,
    name: &str,
    span: &Range<usize>,
    what: &str,
) -> Option<&'i Bits> {
    let part = integer.bits.iter().find(|bits| *bits.name == *name);
    if part.is_none() {
        let names = integer.bits.iter().map(|bits| &*bits.name).filter(|name| !name.is_empty());
        let hint = did_you_mean(name, names.clone())
            .unwrap_or_else(|| format!("there are {}", names.collect::<Vec<_>>().join(", ")));
        reader.mistake_with_hint(span, format!("there are no bits `{name}` in {what}"), hint);
    }
    part
}

/// The one field that a structure is given by, where it is given by no table.
pub(crate) fn only<'f>(reader: &mut Reader, fields: &'f Fields, node: &Node, what: &str) -> Option<&'f Field> {
    let only = only_field(fields);
    if only.is_none() {
        reader.mistake(&node.span, format!("{what} has fields: a table, not {}", node.value.kind()));
    }
    only
}

/// What bits may be that are spoken of without their integer's name.
pub(crate) fn bits<'f>(fields: &'f Fields, name: &str) -> Option<&'f Number> {
    fields.iter().find_map(|field| match &field.kind {
        Kind::Integer(integer) => {
            integer.bits.iter().find(|bits| !name.is_empty() && *bits.name == *name).map(|bits| &bits.number)
        }
        _ => None,
    })
}

fn value(reader: &mut Reader, protocol: &Arc<Protocol>, field: &Field, node: &Node) -> Option<Tree> {
    let what = if field.name.is_empty() { "an element".to_owned() } else { format!("`{}`", field.name) };
    match &field.kind {
        Kind::Align(_) => {
            reader.mistake(&node.span, format!("{what} is padding, and has no value"));
            None
        }
        Kind::Array { of, .. } => {
            let items = reader.array(node, &what)?;
            let trees: Vec<_> = items.iter().map(|item| value(reader, protocol, of, item)).collect();
            Some(Tree::List(trees.into_iter().collect::<Option<_>>()?))
        }
        Kind::Bytes { .. } | Kind::DomainName => match &node.value {
            Value::Integer(number) => Some(Tree::Text(crate::template::Template::literal(number.to_string()))),
            Value::String(_) => Some(Tree::Text(reader.template(node, &what)?)),
            _ => Some(Tree::Payload(super::payload::lower(reader, node, None)?)),
        },
        Kind::Digits { number: of, .. } => number(reader, protocol, of, node),
        Kind::Integer(integer) => match &node.value {
            Value::Table(table) if !integer.bits.is_empty() => {
                let mut trees = Vec::new();
                for Entry { key, key_span, node } in &table.entries {
                    let Some(part) = part(reader, integer, key, key_span, &what) else { continue };
                    trees.push((Arc::clone(&part.name), number(reader, protocol, &part.number, node)?));
                }
                (trees.len() == table.entries.len()).then_some(Tree::Table(trees))
            }
            _ => number(reader, protocol, &integer.number, node),
        },
        Kind::Struct(structure) => {
            let inner = protocol.fields_of(structure);
            match &node.value {
                Value::Table(table) => Some(Tree::Table(fields(reader, protocol, &[inner], table, &what)?)),
                _ => {
                    let only = only(reader, inner, node, &what)?;
                    value(reader, protocol, only, node)
                }
            }
        }
        Kind::Switch { cases, default, .. } => {
            let table = reader.table(node, &what)?;
            // Which case it is may only be known when it is sent.
            let lists: Vec<&Fields> = cases.iter().map(|(_, fields)| fields).chain(default).collect();
            Some(Tree::Table(fields(reader, protocol, &lists, table, &what)?))
        }
    }
}

/// A number: as a number, in digits or by name, or a text with variables.
fn number(reader: &mut Reader, protocol: &Arc<Protocol>, number: &Number, node: &Node) -> Option<Tree> {
    match &node.value {
        Value::Integer(value) => Some(Tree::Number(i128::from(*value))),
        Value::Boolean(set) => Some(Tree::Number(i128::from(*set))),
        Value::String(_) => {
            let template = reader.template(node, "a number")?;
            let Some(text) = template.as_literal() else { return Some(Tree::Text(template)) };
            let text = String::from_utf8_lossy(text).into_owned();
            match protocol.number_named(number, &text) {
                Some(value) => Some(Tree::Number(value)),
                None => {
                    no_number(reader, protocol, number, &text, node);
                    None
                }
            }
        }
        other => {
            reader.mistake(&node.span, format!("expected a number, got {}", other.kind()));
            None
        }
    }
}

/// Notes that a text is neither a number nor a name.
pub(crate) fn no_number(reader: &mut Reader, protocol: &Protocol, number: &Number, text: &str, node: &Node) {
    let names = number.names.map(|at| &protocol.enums[at]);
    let known = || names.iter().flat_map(|names| &names.values).map(|(name, _)| &**name);
    let hint = match names {
        Some(_) => did_you_mean(text, known())
            .unwrap_or_else(|| format!("a number, or {}", known().collect::<Vec<_>>().join(", "))),
        None => "`7`, `0x1f` or a variable".into(),
    };
    reader.mistake_with_hint(&node.span, format!("`{text}` is no number"), hint);
}
