//! TOML files as a person wrote them: a tree in which everything knows its place.
//!
//! Scenarios and protocol descriptions are lowered from this tree by hand, so that every mistake in a file
//! is reported in one go, each with its line, column and what to try. What the keys mean is not known here.

mod read;
mod reader;
mod source;
mod substitute;
mod write;

pub use read::read_text;
pub use reader::{Reader, did_you_mean, parse_duration, parse_size};
pub use source::Source;
pub use substitute::{NoText, Values, substitute, substitute_table};
pub use write::{Comments, write};

use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::event::Mistake;

/// The longest file that is read.
pub const FILE_LEN_MAX: u64 = 16 << 20;

/// How many mistakes of one file are told; a file with more is no such file at all.
pub const MISTAKES_MAX: usize = 100;

/// A value and where it stands, in bytes of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where.
    pub span: Range<usize>,
    /// What.
    pub value: Value,
}

/// A TOML value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `[..]`, or the tables of `[[..]]`.
    Array(Vec<Node>),
    /// `true` or `false`.
    Boolean(bool),
    /// A date or a time, as written.
    Datetime(String),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// A whole number.
    Integer(i64),
    /// Text.
    String(String),
    /// `{..}`, `[..]` or a dotted key.
    Table(Table),
}

impl Value {
    /// What it is, for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Array(_) => "an array",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date",
            Value::Float(_) => "a fraction",
            Value::Integer(_) => "a number",
            Value::String(_) => "a string",
            Value::Table(_) => "a table",
        }
    }
}

/// Keys and values in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Range<usize>,
    /// Its value.
    pub node: Node,
}

impl From<Value> for Node {
    /// A value that stands in no file.
    fn from(value: Value) -> Node {
        Node { span: 0..0, value }
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Node {
        Value::String(text.into()).into()
    }
}

impl From<String> for Node {
    fn from(text: String) -> Node {
        Value::String(text).into()
    }
}

impl From<bool> for Node {
    fn from(boolean: bool) -> Node {
        Value::Boolean(boolean).into()
    }
}

impl From<i64> for Node {
    fn from(integer: i64) -> Node {
        Value::Integer(integer).into()
    }
}

impl From<Table> for Node {
    fn from(table: Table) -> Node {
        Value::Table(table).into()
    }
}

impl From<Vec<Node>> for Node {
    fn from(items: Vec<Node>) -> Node {
        Value::Array(items).into()
    }
}

impl Node {
    /// The text of a string as it stands, variables not filled in.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of a table.
    pub fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The items of an array.
    pub fn as_array(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }
}

impl Table {
    /// A table of these entries, which stands in no file.
    pub fn of<K: Into<String>, V: Into<Node>>(entries: impl IntoIterator<Item = (K, V)>) -> Table {
        let mut table = Table::default();
        entries.into_iter().for_each(|(key, node)| table.set(key, node));
        table
    }

    /// Gives `key` a value, in the place of the one it has, or at the end.
    pub fn set(&mut self, key: impl Into<String>, node: impl Into<Node>) {
        let (key, node) = (key.into(), node.into());
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.node = node,
            None => self.entries.push(Entry { key, key_span: 0..0, node }),
        }
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at).node)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node)
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry of `key`.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// Reads a file's text: the tree as far as it could be read, and every mistake in its syntax.
pub fn parse(source: &Arc<Source>) -> (Table, Vec<Mistake>) {
    let (tree, errors) = DeTable::parse_recoverable(source.text());
    let mut mistakes: Vec<Mistake> = Vec::new();
    let mut table = lower_table(tree.get_ref(), &mut |span, message| {
        mistakes.push(Mistake { place: source.place(span), message, hint: None });
    });
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let message = match error.message() {
            text if text.contains("recurs") => "this stands too deep in other tables and arrays".to_owned(),
            text => text.replace('\n', ", "),
        };
        mistakes.push(Mistake { place: source.place(span), message, hint: None });
    }
    if !errors.is_empty() {
        // A recovered tree may hold guesses; what they would mean is of no interest.
        table = Table::default();
    }
    mistakes.sort_by_key(|mistake| (mistake.place.line, mistake.place.column));
    mistakes.truncate(MISTAKES_MAX);
    (table, mistakes)
}

/// Moves every span of a table that stands in a file of its own to where that file's spans begin.
pub fn shift(table: &mut Table, base: usize) {
    for entry in &mut table.entries {
        entry.key_span = entry.key_span.start + base..entry.key_span.end + base;
        shift_node(&mut entry.node, base);
    }
}

fn shift_node(node: &mut Node, base: usize) {
    node.span = node.span.start + base..node.span.end + base;
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(|item| shift_node(item, base)),
        Value::Table(table) => shift(table, base),
        _ => {}
    }
}

fn lower_table(table: &DeTable<'_>, mistake: &mut dyn FnMut(Range<usize>, String)) -> Table {
    let entries = table.iter().map(|(key, node)| Entry {
        key: key.get_ref().to_string(),
        key_span: key.span(),
        node: lower(node.span(), node.get_ref(), mistake),
    });
    Table { entries: entries.collect() }
}

fn lower(span: Range<usize>, value: &DeValue<'_>, mistake: &mut dyn FnMut(Range<usize>, String)) -> Node {
    let value = match value {
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| lower(item.span(), item.get_ref(), mistake)).collect())
        }
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Value::Integer(integer),
            Err(_) => {
                mistake(span.clone(), format!("the number `{integer}` does not fit 64 bits"));
                Value::Integer(0)
            }
        },
        DeValue::String(string) => Value::String(string.to_string()),
        DeValue::Table(table) => Value::Table(lower_table(table, mistake)),
    };
    Node { span, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_syntax_error_is_found_in_one_go() {
        let source = Source::new("a.toml", "a = \nb = 1\nc = ]\n[d\n");
        let (_, mistakes) = parse(&source);
        let lines: Vec<u32> = mistakes.iter().map(|mistake| mistake.place.line).collect();
        assert_eq!(lines, [1, 3, 4]);
    }

    #[test]
    fn entries_keep_the_order_of_the_file() {
        let (table, mistakes) = parse(&Source::new("a.toml", "z = 1\na = 2\n"));
        assert!(mistakes.is_empty());
        assert_eq!(table.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["z", "a"]);
    }

    #[test]
    fn a_number_that_does_not_fit_is_a_mistake() {
        let (_, mistakes) = parse(&Source::new("a.toml", "a = 99999999999999999999\n"));
        assert_eq!(mistakes[0].message, "the number `99999999999999999999` does not fit 64 bits");
    }
}
