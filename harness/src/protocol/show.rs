//! A message in words: `publish { qos = 1, topic = "a/b", payload = "on" }`.

use std::fmt::Write as _;

use std::sync::Arc;

use super::description::{Direction, Field, Fields, Kind, Number, Protocol};
use super::value::{Decoded, Item, Value};
use crate::text::quote;

/// How many characters of a message are shown.
const SHOWN_MAX: usize = 400;

impl Protocol {
    /// A message in words, cut where it is long.
    pub fn show(&self, decoded: &Decoded, input: &[u8]) -> String {
        let message = &self.messages[decoded.message];
        let mut text = format!("{} ", message.name);
        Showing { protocol: self, decoded, input }.push_fields(&mut text, &message.fields, decoded.fields());
        if let Some((at, _)) = text.char_indices().nth(SHOWN_MAX) {
            text.truncate(at);
            text.push('…');
        }
        text
    }
}

struct Showing<'a> {
    protocol: &'a Protocol,
    decoded: &'a Decoded,
    input: &'a [u8],
}

impl Showing<'_> {
    fn push_fields(&self, text: &mut String, fields: &Fields, items: &[Item]) {
        text.push('{');
        let mut is_first = true;
        for (field, item) in fields.iter().zip(items) {
            if field.name.is_empty() || item.is_absent() || text.len() > 4 * SHOWN_MAX {
                continue;
            }
            text.push_str(if is_first { " " } else { ", " });
            is_first = false;
            let _ = write!(text, "{} = ", field.name);
            self.push_value(text, field, item);
        }
        text.push_str(if is_first { "}" } else { " }" });
    }

    fn push_value(&self, text: &mut String, field: &Field, item: &Item) {
        match (item.value(), &field.kind) {
            (Value::Array(items), Kind::Array { of, .. }) => {
                text.push('[');
                for (number, item) in self.decoded.items(items).iter().enumerate() {
                    if number > 0 {
                        text.push_str(", ");
                    }
                    if text.len() > 4 * SHOWN_MAX {
                        break;
                    }
                    self.push_value(text, of, item);
                }
                text.push(']');
            }
            (Value::Bytes(range), _) => {
                let bytes = &self.input[range];
                match std::str::from_utf8(bytes) {
                    Ok(plain) if bytes.len() <= SHOWN_MAX && !plain.chars().any(char::is_control) => {
                        let _ = write!(text, "{plain:?}");
                    }
                    _ => {
                        // What is quoted stands alone; these bytes stand among others.
                        let quoted = quote(bytes);
                        let (shown, size) = quoted.rsplit_once('`').unwrap_or((&quoted, ""));
                        text.push_str(shown.trim_start_matches('`'));
                        text.push_str(size);
                    }
                }
            }
            (Value::Case(case, items), Kind::Switch { .. }) => {
                if let Some(fields) = field.kind.fields_of_case(case) {
                    self.push_fields(text, fields, self.decoded.items(items));
                }
            }
            (Value::Number(number), Kind::Integer(integer)) if !integer.bits.is_empty() => {
                text.push_str("{ ");
                let named = integer.bits.iter().filter(|bits| !bits.name.is_empty());
                let parts: Vec<String> = named
                    .map(|bits| {
                        format!("{} = {}", bits.name, self.protocol.name_of(bits.number.names, bits.of(number)))
                    })
                    .collect();
                text.push_str(&parts.join(", "));
                text.push_str(" }");
            }
            (Value::Number(number), Kind::Integer(integer)) => {
                text.push_str(&self.protocol.name_of(integer.number.names, number));
            }
            (Value::Number(number), Kind::Digits { number: of, .. }) => {
                text.push_str(&self.protocol.name_of(of.names, number));
            }
            (Value::Struct(items), Kind::Struct(structure)) => {
                self.push_fields(text, self.protocol.fields_of(structure), self.decoded.items(items));
            }
            (Value::Text(range), _) => text.push_str(&String::from_utf8_lossy(self.decoded.text(range))),
            _ => text.push('?'),
        }
    }
}

impl Protocol {
    /// The name of a message that goes in this direction, and its fields in words.
    pub fn tell(&self, message: &[u8], direction: Option<Direction>) -> Option<(Arc<str>, String)> {
        let decoded = self.decode(message, true, direction).ok()??;
        let name = Arc::clone(&self.messages[decoded.message].name);
        let fields = self.show(&decoded, message)[name.len()..].trim_start().to_owned();
        Some((name, fields))
    }

    /// The number that a text stands for: digits, or one of its names.
    pub fn number_named(&self, number: &Number, text: &str) -> Option<i128> {
        let named = number.names.and_then(|at| self.enums[at].value_of(text));
        named.or_else(|| super::expression::parse_number(text))
    }

    /// A number, by its name where it has one.
    pub fn name_of(&self, names: Option<usize>, value: i128) -> String {
        let name = names.and_then(|at| self.enums[at].name_of(value));
        name.map_or_else(|| value.to_string(), ToString::to_string)
    }
}
