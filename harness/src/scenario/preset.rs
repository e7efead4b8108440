//! `[bench]`, `[fuzz]` and `[properties]`: what commands of these names do with a file unless somebody says otherwise.
//!
//! The keys are the commands' long options, which only the command line knows; here they are kept with their places.

use crate::document::{Node, Reader, Table, Value};
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

pub(super) fn lower_all(reader: &mut Reader, table: &Table) -> Vec<Preset> {
    let mut presets = Vec::new();
    for name in PRESETS {
        let Some(node) = table.get(name) else { continue };
        let Some(inner) = reader.table(node, &format!("`[{name}]`")) else { continue };
        for entry in &inner.entries {
            let place = reader.source().place(entry.key_span.clone());
            let value = entry.node.value.clone();
            presets.push(Preset { table: (*name).into(), key: entry.key.clone(), value, place });
        }
    }
    presets
}
