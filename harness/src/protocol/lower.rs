//! A description as it stands in a file: read by hand from the tree, so that every mistake has its place.

use std::sync::Arc;

use bytes::Bytes;
use regex_automata::meta::Regex;

use super::checksum::SUMS;
use super::description::{
    Bits, Compute, Default, Direction, Enum, Extent, Field, Fields, How, INTEGERS, Integer, Kind, Layout,
    MESSAGE_LEN_MAX, Message, Number, Protocol, State, States, Struct, Structure, Text, Transition, Transport,
};
use super::expression::{Expression, Reference, parse_number};
use crate::document::{Entry, Node, Reader, Source, Table, Value, did_you_mean, parse};
use crate::event::Mistake;

/// The most messages of a protocol.
pub const MESSAGES_MAX: usize = 10_000;

/// The most fields of a message or a structure.
pub const FIELDS_MAX: usize = 1_000;

const KEYS: &[&str] = &["name", "about", "transport", "port", "framing", "enum", "struct", "message", "state"];

const MESSAGE_KEYS: &[&str] = &["about", "direction", "reply", "correlate", "fields", "spec"];

const FIELD_KEYS: &[&str] = &[
    "name", "about", "type", "value", "enum", "min", "max", "bits", "length", "until", "count", "of", "fields",
    "switch", "cases", "else", "if", "compute", "default", "pattern", "pad", "to",
];

const BITS_KEYS: &[&str] = &["name", "about", "width", "value", "enum", "min", "max", "default"];

/// Types that are no integers.
const TYPES: &[&str] =
    &["align", "array", "bytes", "decimal", "domain-name", "hexadecimal", "literal", "struct", "switch", "text"];

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

struct Lowering<'r> {
    reader: &'r mut Reader,
    enums: Vec<Enum>,
    structs: Vec<String>,
    /// The fields that stand before the one in hand, from the outermost structure.
    levels: Vec<Vec<Field>>,
}

/// A computation whose span is still names.
struct Span<'n> {
    field: usize,
    node: &'n Node,
    text: String,
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
        let begins = begins(&messages);
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
                match self.find(&text) {
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

    fn states(&mut self, table: &Table, messages: &[Message]) -> Option<States> {
        let node = table.get("state")?;
        let table = self.reader.table(node, "`state`")?;
        let names: Vec<&str> = messages.iter().map(|message| &*message.name).collect();
        let states: Vec<&str> =
            table.entries.iter().map(|entry| entry.key.as_str()).filter(|key| *key != "start").collect();
        let find = |lowering: &mut Lowering<'_>, node: &Node, what: &str| {
            let name = lowering.reader.static_string(node, what)?;
            let at = states.iter().position(|known| *known == name);
            if at.is_none() {
                let hint = did_you_mean(&name, states.iter().copied()).unwrap_or_default();
                lowering.reader.mistake_with_hint(&node.span, format!("there is no state `{name}`"), hint);
            }
            at
        };
        let start = match table.get("start") {
            Some(node) => find(self, node, "`start`")?,
            None => {
                self.reader.mistake_with_hint(&node.span, "`[state]` says where it starts", "`start = \"ready\"`");
                return None;
            }
        };
        let mut all = Vec::new();
        for (number, entry) in table.entries.iter().filter(|entry| entry.key != "start").enumerate() {
            let mut transitions = Vec::new();
            let inner = self.reader.table(&entry.node, "a state")?;
            for said in &inner.entries {
                let Some(message) = names.iter().position(|known| *known == said.key) else {
                    let hint = did_you_mean(&said.key, names.iter().copied()).unwrap_or_default();
                    self.reader.mistake_with_hint(&said.key_span, format!("there is no message `{}`", said.key), hint);
                    continue;
                };
                // One message may lead on in several ways, each under its own condition.
                let ways = match &said.node.value {
                    Value::Array(ways) => ways.iter().collect(),
                    _ => vec![&said.node],
                };
                for way in ways {
                    let Some(table) = self.reader.table(way, "what a message leads to") else { continue };
                    self.reader.check_keys(table, &["reply", "next", "if"], "what a message leads to");
                    let replies = self.message_list(table.get("reply"), &names);
                    let next = match table.get("next") {
                        Some(node) => find(self, node, "`next`").unwrap_or(number),
                        None => number,
                    };
                    let only_if = table.get("if").and_then(|node| {
                        // The condition speaks of the message's fields.
                        self.guard(node, &messages[message].fields)
                    });
                    transitions.push(Transition { message, only_if, replies, next });
                }
            }
            all.push(State { name: entry.key.as_str().into(), transitions });
        }
        Some(States { start, states: all })
    }

    fn guard(&mut self, node: &Node, fields: &[Field]) -> Option<Expression> {
        let text = self.reader.static_string(node, "`if`")?;
        let enums = &self.enums;
        let mut find = |path: &str| find_in(fields, path, 0).ok_or_else(|| format!("there is no field `{path}`"));
        let name = |_: &Reference, name: &str| enums.iter().find_map(|names| names.value_of(name));
        match Expression::parse(&text, &mut find, &name) {
            Ok(expression) => Some(expression),
            Err(why) => {
                self.reader.mistake(&node.span, why);
                None
            }
        }
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

    fn fields(&mut self, node: &Node) {
        let Some(items) = self.reader.array(node, "`fields`") else { return };
        if items.len() > FIELDS_MAX {
            self.reader.mistake(&node.span, format!("there are at most {FIELDS_MAX} fields, not {}", items.len()));
        }
        let mut spans = Vec::new();
        for item in items.iter().take(FIELDS_MAX) {
            let Some(table) = self.reader.table(item, "a field") else { continue };
            let number = self.levels.last().expect("a list has its level").len();
            if let Some(field) = self.field(table, item) {
                if let Some(node) = table.get("compute")
                    && let Some(text) = self.reader.static_string(node, "`compute`")
                {
                    spans.push(Span { field: number, node, text });
                }
                let level = self.levels.last_mut().expect("a list has its level");
                if !field.name.is_empty() && level.iter().any(|known| known.name == field.name) {
                    let message = format!("there is a field `{}` already", field.name);
                    let span = table.get("name").map_or(&item.span, |node| &node.span);
                    self.reader.mistake(span, message);
                }
                level.push(field);
            }
        }
        for span in spans {
            if let Some(compute) = self.compute(&span) {
                self.levels.last_mut().expect("a list has its level")[span.field].compute = Some(compute);
            }
        }
    }

    /// Reads `length(key..data) + 4`.
    fn compute(&mut self, span: &Span<'_>) -> Option<Compute> {
        let Span { field, node, text } = span;
        let functions = || {
            let sums = SUMS.iter().map(|(name, _)| *name);
            ["count", "length", "offset"].into_iter().chain(sums).collect::<Vec<_>>()
        };
        let parsed = text.split_once('(').and_then(|(name, rest)| {
            let (inside, after) = rest.split_once(')')?;
            Some((name.trim(), inside.trim(), after.trim()))
        });
        let Some((name, inside, after)) = parsed else {
            let hint = "`compute = \"length(key)\"`, `\"crc32(op..data)\"`, `\"count(topics)\"`";
            self.reader.mistake_with_hint(&node.span, format!("`{text}` computes nothing"), hint);
            return None;
        };
        let how = match name {
            "count" => How::Count,
            "length" => How::Length,
            "offset" => How::Offset,
            _ => match SUMS.iter().find(|(known, _)| *known == name) {
                Some((_, sum)) => How::Sum(*sum),
                None => {
                    let hint = did_you_mean(name, functions().into_iter())
                        .unwrap_or_else(|| format!("there are: {}", functions().join(", ")));
                    self.reader.mistake_with_hint(&node.span, format!("unknown function `{name}`"), hint);
                    return None;
                }
            },
        };
        let plus = match after {
            "" => 0,
            after => match parse_number(&after.replace([' ', '+'], "")) {
                Some(plus) => plus as i64,
                None => {
                    self.reader.mistake(&node.span, format!("`{after}` is nothing to add"));
                    return None;
                }
            },
        };
        let level = self.levels.last().expect("a list has its level");
        let names = names_of(level);
        let last = level.len() - 1;
        let find = |name: &str| level.iter().position(|field| *field.name == *name);
        let (from, to) = match inside.split_once("..") {
            Some((from, "")) => (find(from), Some(last)),
            Some((from, to)) => (find(from), find(to)),
            None => (find(inside), find(inside)),
        };
        let (Some(from), Some(to)) = (from, to) else {
            let parts = inside.split("..").filter(|part| !part.is_empty());
            let missing = parts.clone().find(|part| find(part).is_none()).unwrap_or(inside).to_owned();
            let hint = did_you_mean(&missing, names.iter().map(|name| &**name))
                .unwrap_or_else(|| "a span names fields that stand beside this one".into());
            self.reader.mistake_with_hint(&node.span, format!("there is no field `{missing}` here"), hint);
            return None;
        };
        if from > to {
            self.reader.mistake(&node.span, format!("`{inside}` ends before it begins"));
            return None;
        }
        let kind = &level[*field].kind;
        let fits = match (how, kind) {
            (How::Sum(sum), Kind::Bytes { extent, .. }) => {
                !sum.is_number() && *extent == Extent::Fixed(sum.digest_len())
            }
            (How::Sum(sum), _) => sum.is_number() && matches!(kind, Kind::Integer(_) | Kind::Digits { .. }),
            (_, Kind::Integer(_) | Kind::Digits { .. }) => true,
            _ => false,
        };
        if !fits {
            let expected = match how {
                How::Sum(sum) if !sum.is_number() => format!("`bytes` with `length = {}`", sum.digest_len()),
                _ => "a number".to_owned(),
            };
            self.reader.mistake(&node.span, format!("`{name}` is computed into {expected}"));
            return None;
        }
        Some(Compute { how, from, to, plus, text: text.as_str().into() })
    }

    fn field(&mut self, table: &Table, item: &Node) -> Option<Field> {
        let name = match table.get("name") {
            Some(node) => self.reader.static_string(node, "`name`")?,
            None => String::new(),
        };
        if !name.is_empty() && !crate::text::is_identifier(&name) {
            let span = table.get("name").map_or(&item.span, |node| &node.span);
            self.reader.mistake(span, format!("`{name}` is no name for a field"));
        }
        let what = if name.is_empty() { "a field".to_owned() } else { format!("the field `{name}`") };
        self.reader.check_keys(table, FIELD_KEYS, &what);
        let only_if = match table.get("if") {
            Some(node) => Some(self.condition(node)?),
            None => None,
        };
        let (kind, default) = self.kind(table, item, &what)?;
        Some(Field { name: name.as_str().into(), kind, only_if, compute: None, default })
    }

    fn condition(&mut self, node: &Node) -> Option<Expression> {
        let text = self.reader.static_string(node, "`if`")?;
        let enums = &self.enums;
        let levels = &self.levels;
        let mut find = |path: &str| find_up(levels, path);
        let name = |reference: &Reference, name: &str| {
            number_of(levels, reference)?.names.and_then(|at| enums[at].value_of(name))
        };
        match Expression::parse(&text, &mut find, &name) {
            Ok(expression) => Some(expression),
            Err(why) => {
                self.reader.mistake(&node.span, why);
                None
            }
        }
    }

    fn kind(&mut self, table: &Table, item: &Node, what: &str) -> Option<(Kind, Option<Default>)> {
        let type_name = match (table.get("type"), table.get("switch"), table.get("fields")) {
            (Some(node), ..) => self.reader.static_string(node, "`type`")?,
            (None, Some(_), _) => "switch".into(),
            (None, None, Some(_)) => "struct".into(),
            (None, None, None) => {
                let hint = "`type = \"u32be\"`, `\"text\"`, `\"bytes\"`, `\"array\"`, ..";
                self.reader.mistake_with_hint(&item.span, format!("{what} has a type"), hint);
                return None;
            }
        };
        let plain = |kind| Some((kind, None));
        match type_name.as_str() {
            "align" => {
                let to = match table.get("to") {
                    Some(node) => self.reader.integer(node, "`to`", 1, 4_096)?,
                    None => 4,
                };
                plain(Kind::Align(to as usize))
            }
            "array" => self.array(table, item, what).and_then(plain),
            "bytes" | "literal" | "text" => self.bytes(table, item, what, &type_name),
            "decimal" | "hexadecimal" => {
                let extent = self.extent(table, item, what)?;
                let number = self.number(table, (-(1 << 96), 1 << 96), what)?;
                let default = self.default_number(table, &number)?;
                let radix = if type_name == "decimal" { 10 } else { 16 };
                Some((Kind::Digits { extent, radix, number }, default))
            }
            "domain-name" => plain(Kind::DomainName),
            "struct" => match table.get("fields") {
                Some(node) => {
                    self.levels.push(Vec::new());
                    self.fields(node);
                    let fields = Fields::from(self.levels.pop().expect("it was pushed"));
                    plain(Kind::Struct(Structure::Own(fields)))
                }
                None => {
                    let hint = "`fields = [..]`, or `type = \"NAME\"` of a `[struct.NAME]`";
                    self.reader.mistake_with_hint(&item.span, format!("{what} is a struct without fields"), hint);
                    None
                }
            },
            "switch" => self.switch(table, item, what).and_then(plain),
            other => {
                if let Some(layout) = Layout::named(other) {
                    return self.integer(table, layout, what);
                }
                if let Some(at) = self.structs.iter().position(|known| known == other) {
                    return plain(Kind::Struct(Structure::Named(at)));
                }
                let structs: Vec<String> = self.structs.clone();
                let known = TYPES.iter().chain(INTEGERS).copied().chain(structs.iter().map(String::as_str));
                let hint = did_you_mean(other, known.clone())
                    .unwrap_or_else(|| format!("there are: {}", known.collect::<Vec<_>>().join(", ")));
                let span = table.get("type").map_or(&item.span, |node| &node.span);
                self.reader.mistake_with_hint(span, format!("unknown type `{other}`"), hint);
                None
            }
        }
    }

    fn array(&mut self, table: &Table, item: &Node, what: &str) -> Option<Kind> {
        let extent = self.extent(table, item, what)?;
        let of = match table.get("of") {
            Some(node @ Node { value: Value::String(name), .. }) => {
                let inner = Table {
                    entries: vec![Entry {
                        key: "type".into(),
                        key_span: node.span.clone(),
                        node: Node { span: node.span.clone(), value: Value::String(name.clone()) },
                    }],
                };
                self.field(&inner, node)?
            }
            Some(node) => {
                let inner = self.reader.table(node, "`of`")?;
                self.field(inner, node)?
            }
            None => match table.get("fields") {
                Some(node) => {
                    self.levels.push(Vec::new());
                    self.fields(node);
                    let fields = Fields::from(self.levels.pop().expect("it was pushed"));
                    let kind = Kind::Struct(Structure::Own(fields));
                    Field { name: "".into(), kind, only_if: None, compute: None, default: None }
                }
                None => {
                    let hint =
                        "`of = \"u16be\"`, `of = { type = \"text\", length = { prefix = \"u8\" } }`, `fields = [..]`";
                    self.reader.mistake_with_hint(&item.span, format!("{what} is an array of something"), hint);
                    return None;
                }
            },
        };
        if extent == Extent::Rest && matches!(of.kind, Kind::Align(_)) {
            self.reader.mistake(&item.span, format!("{what} is an array of what has no bytes"));
            return None;
        }
        Some(Kind::Array { of: Box::new(of), extent })
    }

    fn bytes(&mut self, table: &Table, item: &Node, what: &str, type_name: &str) -> Option<(Kind, Option<Default>)> {
        let constant = match table.get("value") {
            Some(node) => Some(self.byte_string(node, "`value`")?),
            None => None,
        };
        let named = ["length", "until", "count"].iter().any(|key| table.get(key).is_some());
        let extent = match (&constant, named) {
            (Some(constant), false) => Extent::Fixed(constant.len()),
            (None, false) if type_name == "literal" => {
                self.reader.mistake_with_hint(
                    &item.span,
                    format!("{what} is a literal"),
                    "`value = \"HELLO \"` says which",
                );
                return None;
            }
            _ => self.extent(table, item, what)?,
        };
        let max = match table.get("max") {
            Some(node) => self.reader.size(node, "`max`", 0, MESSAGE_LEN_MAX as u64)? as usize,
            None => MESSAGE_LEN_MAX,
        };
        let mut pattern_text = None;
        let pattern = match table.get("pattern") {
            Some(node) => {
                let text = self.reader.static_string(node, "`pattern`")?;
                match Regex::new(&format!(r"\A(?:{text})\z")) {
                    Ok(regex) => {
                        pattern_text = Some(text.into());
                        Some(regex)
                    }
                    Err(error) => {
                        self.reader.mistake(&node.span, format!("no regular expression: {error}"));
                        return None;
                    }
                }
            }
            None => None,
        };
        let pad = match table.get("pad") {
            Some(node) => match self.byte_string(node, "`pad`")?.as_ref() {
                [byte] => Some(*byte),
                _ => {
                    self.reader.mistake(&node.span, "`pad` is one byte: `\" \"`");
                    return None;
                }
            },
            None => None,
        };
        let text = (type_name == "text" || pattern.is_some()).then_some(Text { pattern, pattern_text, pad });
        let default = match table.get("default") {
            Some(node) => Some(Default::Bytes(self.byte_string(node, "`default`")?)),
            None => None,
        };
        Some((Kind::Bytes { extent, max, text, constant }, default))
    }

    /// Bytes: a string, or `{ hex = ".." }`.
    fn byte_string(&mut self, node: &Node, what: &str) -> Option<Bytes> {
        let Value::Table(table) = &node.value else {
            return self.reader.static_string(node, what).map(Bytes::from);
        };
        self.reader.check_keys(table, &["hex"], what);
        let Some(hex) = table.get("hex") else {
            self.reader.mistake(&node.span, format!("{what} is a string or `{{ hex = \"00 ff\" }}`"));
            return None;
        };
        let text = self.reader.static_string(hex, "`hex`")?;
        match crate::text::parse_hex(&text) {
            Ok(bytes) => Some(bytes.into()),
            Err(why) => {
                self.reader.mistake(&hex.span, why);
                None
            }
        }
    }

    fn switch(&mut self, table: &Table, item: &Node, what: &str) -> Option<Kind> {
        let Some(node) = table.get("switch") else {
            self.reader.mistake_with_hint(&item.span, format!("{what} goes by a field"), "`switch = \"kind\"`");
            return None;
        };
        let text = self.reader.static_string(node, "`switch`")?;
        let on = match find_up(&self.levels, &text) {
            Ok(on) => on,
            Err(why) => {
                self.reader.mistake(&node.span, why);
                return None;
            }
        };
        let names = number_of(&self.levels, &on).and_then(|number| number.names);
        let mut cases = Vec::new();
        let Some(all) = table.get("cases") else {
            self.reader.mistake_with_hint(
                &item.span,
                format!("{what} has cases"),
                "`cases = { get = [..], put = [..] }`",
            );
            return None;
        };
        for entry in &self.reader.table(all, "`cases`")?.entries {
            let mut values = Vec::new();
            for key in entry.key.split(['|', ',']).map(str::trim) {
                let value = parse_number(key).or_else(|| names.and_then(|at| self.enums[at].value_of(key)));
                match value {
                    Some(value) => values.push(value),
                    None => {
                        let message = format!("`{key}` is no number, and no name that `{text}` has");
                        self.reader.mistake(&entry.key_span, message);
                    }
                }
            }
            self.levels.push(Vec::new());
            self.fields(&entry.node);
            cases.push((values, Fields::from(self.levels.pop().expect("it was pushed"))));
        }
        let default = table.get("else").map(|node| {
            self.levels.push(Vec::new());
            self.fields(node);
            Fields::from(self.levels.pop().expect("it was pushed"))
        });
        Some(Kind::Switch { on, cases, default })
    }

    fn integer(&mut self, table: &Table, layout: Layout, what: &str) -> Option<(Kind, Option<Default>)> {
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

    fn number(&mut self, table: &Table, bounds: (i128, i128), what: &str) -> Option<Number> {
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
    fn default_number(&mut self, table: &Table, number: &Number) -> Option<Option<Default>> {
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

    fn extent(&mut self, table: &Table, item: &Node, what: &str) -> Option<Extent> {
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

    fn find(&self, path: &str) -> Result<Reference, String> {
        find_up(&self.levels, path)
    }
}

fn names_of(fields: &[Field]) -> Vec<Arc<str>> {
    fields.iter().map(|field| Arc::clone(&field.name)).filter(|name| !name.is_empty()).collect()
}

/// A field that stands before, in this structure or in one around it.
fn find_up(levels: &[Vec<Field>], path: &str) -> Result<Reference, String> {
    for (up, fields) in levels.iter().rev().enumerate() {
        if let Some(reference) = find_in(fields, path, up) {
            return Ok(reference);
        }
    }
    let known: Vec<Arc<str>> = levels.iter().flat_map(|fields| names_of(fields)).collect();
    let near = did_you_mean(path, known.iter().map(|name| &**name)).map(|near| format!("; {near}")).unwrap_or_default();
    Err(format!("no field `{path}` stands before this one{near}"))
}

fn find_in(fields: &[Field], path: &str, up: usize) -> Option<Reference> {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let text: Arc<str> = path.into();
    let bits_of = |at: usize, name: &str| match &fields[at].kind {
        Kind::Integer(integer) => integer.bits.iter().position(|bits| *bits.name == *name),
        _ => None,
    };
    if let Some(at) = fields.iter().position(|field| *field.name == *first) {
        let Some(rest) = rest else { return Some(Reference { up, path: vec![at], bits: None, text }) };
        if let Some(bits) = bits_of(at, rest) {
            return Some(Reference { up, path: vec![at], bits: Some(bits), text });
        }
        let Kind::Struct(Structure::Own(inner)) = &fields[at].kind else { return None };
        let inner = find_in(inner, rest, up)?;
        let path = std::iter::once(at).chain(inner.path).collect();
        return Some(Reference { path, text, ..inner });
    }
    if rest.is_some() || first.is_empty() {
        return None;
    }
    // Bits can be spoken of without their integer's name.
    let found = (0..fields.len()).find_map(|at| Some((at, bits_of(at, first)?)));
    found.map(|(at, bits)| Reference { up, path: vec![at], bits: Some(bits), text })
}

/// What the field of a reference may be.
fn number_of<'l>(levels: &'l [Vec<Field>], reference: &Reference) -> Option<&'l Number> {
    let mut fields: &[Field] = levels.get(levels.len().checked_sub(1 + reference.up)?)?;
    let (last, outer) = reference.path.split_last()?;
    for at in outer {
        let Kind::Struct(Structure::Own(inner)) = &fields.get(*at)?.kind else { return None };
        fields = inner;
    }
    match &fields.get(*last)?.kind {
        Kind::Integer(integer) => match reference.bits {
            Some(bits) => Some(&integer.bits.get(bits)?.number),
            None => Some(&integer.number),
        },
        Kind::Digits { number, .. } => Some(number),
        _ => None,
    }
}

/// Which messages may begin with each byte.
fn begins(messages: &[Message]) -> Vec<Vec<u16>> {
    let mut begins = vec![Vec::new(); 256];
    for (number, message) in messages.iter().enumerate() {
        let may = |byte: u8| match message.fields.first() {
            None => false,
            Some(field) if field.only_if.is_some() => true,
            Some(field) => match &field.kind {
                Kind::Bytes { constant: Some(constant), extent: Extent::Fixed(_), .. } => {
                    constant.first().is_none_or(|first| *first == byte)
                }
                Kind::Integer(Integer { layout: Layout::Fixed { len, big, .. }, number, bits, .. }) => {
                    let shift = if *big { 8 * (u32::from(*len) - 1) } else { 0 };
                    let whole = number.constant.is_none_or(|constant| (constant >> shift) as u8 == byte);
                    // Of several bytes only the bits in the first count.
                    let part = |bits: &Bits| match bits.number.constant {
                        Some(constant) => {
                            let (mask, value) =
                                ((bits.mask() << bits.shift) >> shift, (constant << bits.shift) >> shift);
                            byte & mask as u8 == value as u8 & mask as u8
                        }
                        None => true,
                    };
                    whole && bits.iter().all(part)
                }
                _ => true,
            },
        };
        for byte in 0..=255_u8 {
            if may(byte) {
                begins[usize::from(byte)].push(number as u16);
            }
        }
    }
    begins
}
