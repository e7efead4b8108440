//! What a file names, and which names it uses: what its cases do not keep.

use std::collections::BTreeSet;

use crate::document::{Node, Reader, Table, Value};
use crate::event::Place;

/// What a file names, and which names it uses.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// The fragments of the file itself, not of what it includes.
    pub(super) fragments: Vec<(String, Place)>,
    /// Its own variables.
    pub(super) vars: Vec<(String, Place)>,
    /// The fragments that something uses.
    pub(super) fragments_used: BTreeSet<String>,
    /// Every `${name}` in it.
    pub(super) mentioned: BTreeSet<String>,
    /// Every `${name}` outside of steps.
    pub(super) mentioned_outside: BTreeSet<String>,
}

impl Outline {
    /// Reads it off a file as it was written, fragments not yet in their places.
    pub(super) fn of(reader: &Reader, table: &Table) -> Outline {
        let mut outline = Outline::default();
        for entry in &table.entries {
            let steps = matches!(entry.key.as_str(), "case" | "fragment" | "play" | "steps");
            outline.visit(&entry.node, steps);
        }
        if let Some(Value::Array(items)) = table.get("secret").map(|node| &node.value) {
            outline.mentioned.extend(items.iter().filter_map(Node::text));
        }
        outline.fragments = own(reader, table, "fragment");
        outline.vars = own(reader, table, "vars");
        outline
    }

    fn visit(&mut self, node: &Node, steps: bool) {
        match &node.value {
            Value::Array(items) => items.iter().for_each(|item| self.visit(item, steps)),
            Value::String(text) => {
                let names = text.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned()));
                for name in names {
                    if !steps {
                        self.mentioned_outside.insert(name.clone());
                    }
                    self.mentioned.insert(name);
                }
            }
            Value::Table(table) => {
                for entry in &table.entries {
                    if let ("use", Value::String(name)) = (entry.key.as_str(), &entry.node.value) {
                        self.fragments_used.insert(name.clone());
                    }
                    self.visit(&entry.node, steps);
                }
            }
            _ => {}
        }
    }
}

/// The names below a table of the file itself.
fn own(reader: &Reader, table: &Table, key: &str) -> Vec<(String, Place)> {
    let Some(Value::Table(named)) = table.get(key).map(|node| &node.value) else { return Vec::new() };
    let places = named.entries.iter().map(|entry| (entry.key.clone(), reader.source().place(entry.key_span.clone())));
    places.filter(|(_, place)| place.file == *reader.source().file()).collect()
}
