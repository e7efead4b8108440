//! A description as it stands in a file: read by hand from the tree, so that every mistake has its place.

mod begins;
mod compute;
mod extent;
mod fields;
mod numbers;
mod references;
mod states;

use std::sync::Arc;

use super::description::{Direction, Enum, Field, Fields, Message, Protocol, Struct, Transport};
use crate::document::{Entry, Node, Reader, Source, Table, did_you_mean, parse};
use crate::event::Mistake;

/// The most messages of a protocol.
pub const MESSAGES_MAX: usize = 10_000;

/// The most fields of a message or a structure.
pub const FIELDS_MAX: usize = 1_000;

const KEYS: &[&str] = &["name", "about", "transport", "port", "framing", "enum", "struct", "message", "state"];

const MESSAGE_KEYS: &[&str] = &["about", "direction", "reply", "correlate", "fields", "spec"];

/// Reads a description from `text`. `file` names it.
pub fn load(file: &str, text: &str) -> Result<Arc<Protocol>, Vec<Mistake>> {
    let source = Source::new(file, text);
    let (table, mistakes) = parse(&source);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let mut reader = Reader::new(source);
    let protocol = Lowering::new(&mut reader).protocol(&table);
    let mistakes = reader.into_mistakes();
    if mistakes.is_empty() { Ok(Arc::new(protocol)) } else { Err(mistakes) }
}

/// A description that is being read.
struct Lowering<'r> {
    reader: &'r mut Reader,
    enums: Vec<Enum>,
    structs: Vec<String>,
    /// The fields that stand before the one in hand, from the outermost structure.
    levels: Vec<Vec<Field>>,
}

impl<'r> Lowering<'r> {
    fn new(reader: &'r mut Reader) -> Lowering<'r> {
        Lowering { reader, enums: Vec::new(), structs: Vec::new(), levels: Vec::new() }
    }

    fn protocol(mut self, table: &Table) -> Protocol {
        self.reader.check_keys(table, KEYS, "a protocol");
        let name = match table.get("name") {
            Some(node) => self.reader.static_string(node, "`name`").unwrap_or_default(),
            None => {
                self.reader.mistake_with_hint(&(0..0), "a protocol has a name", "`name = \"kv\"`");
                String::new()
            }
        };
        let about = table.get("about").and_then(|node| self.reader.static_string(node, "`about`"));
        let transport = match table.get("transport") {
            None => Transport::Any,
            Some(node) => match self.reader.static_string(node, "`transport`").as_deref() {
                Some("tcp") => Transport::Tcp,
                Some("udp") => Transport::Udp,
                Some("any") | None => Transport::Any,
                Some(other) => {
                    self.reader.mistake(&node.span, format!("`transport` is `tcp`, `udp` or `any`, not `{other}`"));
                    Transport::Any
                }
            },
        };
        let port =
            table.get("port").and_then(|node| self.reader.integer(node, "`port`", 1, 65_535)).map(|port| port as u16);
        let framing = table.get("framing").and_then(|node| crate::framing::lower(self.reader, node)).flatten();
        self.enums(table);
        let structs = self.structs(table);
        let messages = self.messages(table);
        let states = self.states(table, &messages);
        let begins = begins::begins(&messages);
        let enums = std::mem::take(&mut self.enums);
        Protocol { name: name.into(), about, transport, port, framing, messages, structs, enums, states, begins }
    }

    fn enums(&mut self, table: &Table) {
        let Some(tables) = table.get("enum").and_then(|node| self.reader.table(node, "`enum`")) else { return };
        for entry in &tables.entries {
            let Some(names) = self.reader.table(&entry.node, "an enum") else { continue };
            let mut values = Vec::new();
            for value in &names.entries {
                let least = i64::MIN;
                if let Some(number) = self.reader.integer(&value.node, "an enum's value", least, i64::MAX) {
                    values.push((Arc::from(value.key.as_str()), i128::from(number)));
                }
            }
            self.enums.push(Enum { name: entry.key.as_str().into(), values });
        }
    }

    fn structs(&mut self, table: &Table) -> Vec<Struct> {
        let Some(tables) = table.get("struct").and_then(|node| self.reader.table(node, "`struct`")) else {
            return Vec::new();
        };
        self.structs = tables.entries.iter().map(|entry| entry.key.clone()).collect();
        let mut structs = Vec::new();
        for entry in &tables.entries {
            if let Some(table) = self.reader.table(&entry.node, "a struct") {
                self.reader.check_keys(table, &["about", "fields"], &format!("the struct `{}`", entry.key));
                let fields = self.list(table, entry, "a struct");
                structs.push(Struct { name: entry.key.as_str().into(), fields });
            } else {
                structs.push(Struct { name: entry.key.as_str().into(), fields: Vec::new().into() });
            }
        }
        structs
    }

    fn messages(&mut self, table: &Table) -> Vec<Message> {
        let mut messages = Vec::new();
        let Some(tables) = table.get("message").and_then(|node| self.reader.table(node, "`message`")) else {
            let hint = "`[message.get]` with `fields = [..]` makes one";
            self.reader.mistake_with_hint(&(0..0), "a protocol has messages", hint);
            return messages;
        };
        let names: Vec<&str> = tables.entries.iter().map(|entry| entry.key.as_str()).collect();
        for entry in tables.entries.iter().take(MESSAGES_MAX) {
            if self.reader.has_enough() {
                break;
            }
            let reserved = crate::matcher::MATCHERS.iter().any(|matcher| matcher.name == entry.key)
                || crate::scenario::PAYLOADS.contains(&entry.key.as_str());
            if reserved {
                let message = format!("a message cannot be called `{}`: a payload or matcher is", entry.key);
                self.reader.mistake(&entry.key_span, message);
            }
            let Some(table) = self.reader.table(&entry.node, "a message") else { continue };
            self.reader.check_keys(table, MESSAGE_KEYS, &format!("the message `{}`", entry.key));
            let direction = table.get("direction").and_then(|node| {
                match self.reader.static_string(node, "`direction`")?.as_str() {
                    "request" => Some(Direction::Request),
                    "reply" => Some(Direction::Reply),
                    "both" => None,
                    other => {
                        let message = format!("`direction` is `request`, `reply` or `both`, not `{other}`");
                        self.reader.mistake(&node.span, message);
                        None
                    }
                }
            });
            let replies = self.message_list(table.get("reply"), &names);
            self.levels.push(Vec::new());
            self.list_in(table, entry, "a message");
            let correlate = table.get("correlate").and_then(|node| {
                let text = self.reader.static_string(node, "`correlate`")?;
                match references::find_up(&self.levels, &text) {
                    Ok(reference) => Some(reference),
                    Err(why) => {
                        self.reader.mistake(&node.span, why);
                        None
                    }
                }
            });
            let fields = Fields::from(self.levels.pop().expect("it was pushed"));
            messages.push(Message { name: entry.key.as_str().into(), direction, replies, correlate, fields });
        }
        messages
    }

    /// The numbers of messages that are named.
    fn message_list(&mut self, node: Option<&Node>, names: &[&str]) -> Vec<usize> {
        let Some(node) = node else { return Vec::new() };
        let mut numbers = Vec::new();
        for name in self.reader.static_strings(node, "`reply`").unwrap_or_default() {
            match names.iter().position(|known| *known == name) {
                Some(at) => numbers.push(at),
                None => self.no_message(node, &name, names),
            }
        }
        numbers
    }

    fn no_message(&mut self, node: &Node, name: &str, names: &[&str]) {
        let hint = did_you_mean(name, names.iter().copied()).unwrap_or_else(|| format!("`[message.{name}]` makes one"));
        self.reader.mistake_with_hint(&node.span, format!("there is no message `{name}`"), hint);
    }

    fn list(&mut self, table: &Table, entry: &Entry, what: &str) -> Fields {
        self.levels.push(Vec::new());
        self.list_in(table, entry, what);
        Fields::from(self.levels.pop().expect("it was pushed"))
    }

    /// Reads `fields` of a table into the innermost level.
    fn list_in(&mut self, table: &Table, entry: &Entry, what: &str) {
        match table.get("fields") {
            Some(node) => self.fields(node),
            None => {
                self.reader.mistake_with_hint(&entry.key_span, format!("{what} has fields"), "`fields = []` for none");
            }
        }
    }
}
