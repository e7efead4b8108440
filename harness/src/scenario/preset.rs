//! `[bench]`, `[fuzz]` and `[properties]`: what commands of these names do with a file unless somebody says otherwise.
//!
//! The keys are the commands' long options, which only the command line knows; here they are kept with their places.

use crate::document::{Entry, Node, Reader, Source, Table, Value};
use crate::event::Place;

/// The tables that hold presets.
pub const PRESETS: &[&str] = &["bench", "fuzz", "properties"];

/// One preset.
#[derive(Clone, Debug)]
pub struct Preset {
    /// Whose it is: one of [`PRESETS`].
    pub table: String,
    /// Its key.
    pub key: String,
    /// What it says.
    pub value: Value,
    /// Where it stands.
    pub place: Place,
}

impl Preset {
    /// The words that say the same on a command line; `None` for a value that no option has.
    pub fn words(&self) -> Option<Vec<String>> {
        let option = format!("--{}", self.key.replace('_', "-"));
        match &self.value {
            Value::Boolean(true) => Some(vec![option]),
            Value::Boolean(false) => Some(Vec::new()),
            Value::Array(nodes) => {
                nodes.iter().map(|node| Some(format!("{option}={}", text(node)?))).collect::<Option<Vec<String>>>()
            }
            value => Some(vec![format!("{option}={}", scalar(value)?)]),
        }
    }
}

fn text(node: &Node) -> Option<String> {
    scalar(&node.value)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Float(number) => Some(number.to_string()),
        Value::Integer(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

/// The presets of a file, whatever else it holds.
pub fn presets(source: &Source, table: &Table) -> Vec<Preset> {
    let tables = PRESETS.iter().filter_map(|name| match &table.get(name)?.value {
        Value::Table(inner) => Some((*name, inner)),
        _ => None,
    });
    let preset = |name: &str, entry: &Entry| Preset {
        table: name.into(),
        key: entry.key.clone(),
        value: entry.node.value.clone(),
        place: source.place(entry.key_span.clone()),
    };
    tables.flat_map(|(name, inner)| inner.entries.iter().map(move |entry| preset(name, entry))).collect()
}

pub(super) fn lower_all(reader: &mut Reader, table: &Table) -> Vec<Preset> {
    for name in PRESETS {
        if let Some(node) = table.get(name) {
            reader.table(node, &format!("`[{name}]`"));
        }
    }
    presets(reader.source(), table)
}
