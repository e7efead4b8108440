//! Fields, and what each holds.

use bytes::Bytes;
use regex_automata::meta::Regex;

use super::Lowering;
use super::compute::Span;
use super::references::{find_up, number_of};
use crate::document::{Entry, Node, Table, Value, did_you_mean};
use crate::protocol::description::{
    Default, Extent, Field, Fields, INTEGERS, Kind, Layout, MESSAGE_LEN_MAX, Structure, Text,
};
use crate::protocol::expression::{Expression, Reference, parse_number};
use crate::protocol::lower::FIELDS_MAX;

const FIELD_KEYS: &[&str] = &[
    "name", "about", "type", "value", "enum", "min", "max", "bits", "length", "until", "count", "of", "fields",
    "switch", "cases", "else", "if", "compute", "default", "pattern", "pad", "to",
];

/// Types that are no integers.
const TYPES: &[&str] =
    &["align", "array", "bytes", "decimal", "domain-name", "hexadecimal", "literal", "struct", "switch", "text"];

impl Lowering<'_> {
    pub(super) fn fields(&mut self, node: &Node) {
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
    pub(super) fn byte_string(&mut self, node: &Node, what: &str) -> Option<Bytes> {
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
}
