//! How long something is: `length`, `until`, `count`.

use super::Lowering;
use super::references::find_up;
use crate::document::{Entry, Node, Table, Value, did_you_mean};
use crate::protocol::description::{Extent, INTEGERS, Layout, MESSAGE_LEN_MAX};
use crate::protocol::expression::parse_number;

impl Lowering<'_> {
    pub(super) fn extent(&mut self, table: &Table, item: &Node, what: &str) -> Option<Extent> {
        let keys: Vec<&Entry> = ["length", "until", "count"].into_iter().filter_map(|key| table.entry(key)).collect();
        let entry = match keys[..] {
            [entry] => entry,
            [] => {
                let hint = "`length = 4`, `\"rest\"`, `\"key_len\"` or `{ prefix = \"u16be\" }`; `until = \"\\r\\n\"`; `count` of an array";
                self.reader.mistake_with_hint(&item.span, format!("{what} does not say how long it is"), hint);
                return None;
            }
            _ => {
                self.reader.mistake(&keys[1].key_span, format!("{what} says in two ways how long it is"));
                return None;
            }
        };
        let node = &entry.node;
        match (entry.key.as_str(), &node.value) {
            ("until", _) => {
                let bytes = self.byte_string(node, "`until`")?;
                if bytes.is_empty() {
                    self.reader.mistake(&node.span, "`until` has at least one byte");
                    return None;
                }
                Some(Extent::Until(bytes))
            }
            ("length", Value::Table(table)) => {
                self.reader.check_keys(table, &["prefix"], "`length`");
                let node = table.get("prefix")?;
                let name = self.reader.static_string(node, "`prefix`")?;
                match Layout::named(&name) {
                    Some(layout) => Some(Extent::Prefix(layout)),
                    None => {
                        let hint = did_you_mean(&name, INTEGERS.iter().copied())
                            .unwrap_or_else(|| format!("there are: {}", INTEGERS.join(", ")));
                        self.reader.mistake_with_hint(&node.span, format!("`{name}` is no integer"), hint);
                        None
                    }
                }
            }
            ("length", Value::String(text)) if text == "rest" => Some(Extent::Rest),
            (key, Value::String(text)) => {
                let (path, plus) = match text.split_once(['+', '-']) {
                    Some((path, _)) => {
                        let rest = text[path.len()..].replace([' ', '+'], "");
                        match parse_number(&rest) {
                            Some(plus) => (path.trim().to_owned(), plus as i64),
                            None => {
                                self.reader.mistake(&node.span, format!("`{text}` is no length"));
                                return None;
                            }
                        }
                    }
                    None => (text.trim().to_owned(), 0),
                };
                match find_up(&self.levels, &path) {
                    Ok(reference) if key == "count" => Some(Extent::Count(reference, plus)),
                    Ok(reference) => Some(Extent::Field(reference, plus)),
                    Err(why) => {
                        self.reader.mistake(&node.span, why);
                        None
                    }
                }
            }
            (key, _) => {
                let size = self.reader.size(node, &format!("`{key}`"), 0, MESSAGE_LEN_MAX as u64)?;
                Some(Extent::Fixed(size as usize))
            }
        }
    }
}
