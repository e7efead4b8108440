//! Names that are given and never used. One that begins with `_` is meant to be.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::{File, Found};
use crate::document::{Node, Table, Value};

pub(super) fn check(file: &File<'_>, found: &mut Found) {
    let mut names = Names::default();
    names.table(file.table, "");
    let uses = |name: &str| names.variables.iter().any(|used| used == name);
    let mut tell = |span: &Range<usize>, name: &str, message: String, hint: &str| {
        let place = file.source.place(span.clone());
        // What a file that is included offers is for others, too.
        if !name.starts_with('_') && *place.file == *file.scenario.file {
            found.warning(&place, message, hint);
        }
    };
    for (name, span) in &names.captures {
        if !uses(name) {
            tell(span, name, format!("`{name}` is kept, and no step uses `${{{name}}}`"), "");
        }
    }
    for (name, span) in &names.marks {
        if !names.after.contains(name.as_str()) {
            tell(span, name, format!("the mark `{name}` is set, and nothing goes by it"), "`after = \"..\"` does");
        }
    }
    let entries = |key: &str| match file.table.get(key).map(|node| &node.value) {
        Some(Value::Table(table)) => table.entries.as_slice(),
        _ => &[],
    };
    for entry in entries("vars").iter().filter(|entry| !uses(&entry.key)) {
        let name = &entry.key;
        if !file_lists(file.table, "secret", name) {
            tell(&entry.key_span, name, format!("the variable `{name}` is never used"), "");
        }
    }
    for entry in entries("fragment").iter().filter(|entry| !names.fragments.contains(entry.key.as_str())) {
        let name = &entry.key;
        tell(&entry.key_span, name, format!("the fragment `{name}` is never used"), "`use = \"..\"` plays one");
    }
    let (targets, actors) = (entries("target"), entries("actor"));
    let is_named = |name: &str| {
        let parts = ["address", "url", "port", "dir"];
        names.peers.contains(name) || parts.iter().any(|part| uses(&format!("{name}.{part}")))
    };
    let several =
        targets.iter().all(|entry| matches!(entry.node.value, Value::Table(_))) && file.scenario.targets.len() > 1;
    for entry in targets.iter().filter(|entry| several && !is_named(&entry.key)) {
        // A client program connects by itself.
        let client = file
            .scenario
            .targets
            .iter()
            .any(|target| target.name == entry.key && (target.is_told || target.is_client()));
        if !client {
            let message = format!("nobody connects to the target `{}`", entry.key);
            tell(&entry.key_span, &entry.key, message, "`connect = \"..\"` of an actor names one");
        }
    }
    for entry in actors.iter().filter(|_| actors.len() > 1) {
        let name = entry.key.as_str();
        if !names.keys.contains(name) && !is_named(name) {
            tell(&entry.key_span, name, format!("the actor `{name}` has no steps, and nobody connects to it"), "");
        }
    }
}

fn file_lists(table: &Table, key: &str, name: &str) -> bool {
    let Some(Value::Array(items)) = table.get(key).map(|node| &node.value) else { return false };
    items.iter().any(|item| matches!(&item.value, Value::String(text) if text == name))
}

/// Every name in a file, by what it is used for.
#[derive(Default)]
struct Names {
    captures: BTreeMap<String, Range<usize>>,
    marks: BTreeMap<String, Range<usize>>,
    /// What stands in `${..}`.
    variables: HashSet<String>,
    after: HashSet<String>,
    fragments: HashSet<String>,
    /// What is connected to, or told to stop.
    peers: HashSet<String>,
    /// Keys in steps: actors, without the number of a member.
    keys: HashSet<String>,
}

impl Names {
    fn node(&mut self, node: &Node, under: &str) {
        match &node.value {
            Value::Array(items) => items.iter().for_each(|item| self.node(item, under)),
            Value::Table(table) => self.table(table, under),
            Value::String(text) => self.text(text, node, under),
            _ => {}
        }
    }

    fn table(&mut self, table: &Table, under: &str) {
        // What an actor or a target is called is no use of its name.
        let defines = matches!(under, "actor" | "target" | "fragment" | "vars");
        for entry in &table.entries {
            if !defines {
                let name = entry.key.split('[').next().unwrap_or_default();
                self.keys.insert(name.to_owned());
            }
            variables(&entry.key, &mut self.variables);
            self.node(&entry.node, &entry.key);
        }
    }

    fn text(&mut self, text: &str, node: &Node, under: &str) {
        variables(text, &mut self.variables);
        let keep = |names: &mut BTreeMap<String, Range<usize>>, name: &str| {
            names.entry(name.to_owned()).or_insert_with(|| node.span.clone());
        };
        match under {
            "save" => keep(&mut self.captures, text),
            "mark" => keep(&mut self.marks, text),
            "regex" => group_names(text).for_each(|name| keep(&mut self.captures, name)),
            "after" => drop(self.after.insert(text.to_owned())),
            "use" => drop(self.fragments.insert(text.to_owned())),
            "connect" | "restart" | "signal" | "stop" | "to" | "target" | "on" => {
                let name = text.split('.').next().unwrap_or_default();
                self.peers.insert(name.to_owned());
            }
            _ => {}
        }
    }
}

/// What stands in `${..}` in a text.
fn variables(text: &str, found: &mut HashSet<String>) {
    for (at, _) in text.match_indices("${") {
        if let Some((name, _)) = text[at + 2..].split_once('}') {
            found.insert(name.to_owned());
        }
    }
}

/// The names of a regular expression's groups.
fn group_names(regex: &str) -> impl Iterator<Item = &str> {
    let starts = ["(?P<", "(?<"];
    starts.into_iter().flat_map(move |start| {
        regex.match_indices(start).filter_map(move |(at, _)| {
            let (name, _) = regex[at + start.len()..].split_once('>')?;
            Some(name).filter(|name| crate::text::is_identifier(name))
        })
    })
}
