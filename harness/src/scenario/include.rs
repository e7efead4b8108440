//! `include`: fragments and variables from other files.

use std::path::{Path, PathBuf};

use super::{Known, ReadFile};
use crate::document::{Entry, Reader, Source, Table, Value, parse, shift};
use crate::event::Mistake;

/// The most files that one scenario brings in.
pub const INCLUDES_MAX: usize = 100;

/// What an included file may hold.
const KEYS: &[&str] = &["include", "fragment", "vars", "name", "description"];

/// Puts what the included files hold into `table`, whose own variables win.
pub(super) fn include(reader: &mut Reader, table: &mut Table, known: &Known) {
    let own = PathBuf::from(&**reader.source().file());
    let mut state = State { read: known.read, chain: vec![own], seen: Vec::new(), found: Vec::new() };
    state.follow(reader, table);
    for brought in &state.found {
        for (key, clash) in [("vars", false), ("fragment", true)] {
            let Some(Value::Table(brought)) = brought.get(key).map(|node| &node.value) else { continue };
            merge(reader, table, key, brought, clash);
        }
    }
}

struct State {
    read: Option<ReadFile>,
    /// The files that are being read, each included by the one before.
    chain: Vec<PathBuf>,
    seen: Vec<PathBuf>,
    found: Vec<Table>,
}

impl State {
    fn follow(&mut self, reader: &mut Reader, table: &Table) {
        let Some(node) = table.get("include") else { return };
        let items = match &node.value {
            Value::Array(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        for item in items {
            let Some(name) = reader.static_string(item, "`include`") else { continue };
            let path = reader.folder(&item.span).join(&name);
            let same = |known: &PathBuf| normal(known) == normal(&path);
            if let Some(at) = self.chain.iter().position(same) {
                let files: Vec<String> =
                    self.chain[at..].iter().chain([&path]).map(|file| file.display().to_string()).collect();
                let message = format!("files that include each other: {}", files.join(" → "));
                reader.mistake_with_hint(&item.span, message, "what both need goes into a third file");
                continue;
            }
            if self.seen.iter().any(same) {
                continue;
            }
            if self.seen.len() == INCLUDES_MAX {
                reader.mistake(&item.span, format!("a scenario includes at most {INCLUDES_MAX} files"));
                return;
            }
            self.seen.push(path.clone());
            let Some(read) = self.read else {
                reader.mistake(&item.span, "there are no files here that could be included");
                continue;
            };
            match read(&path) {
                Err(why) => {
                    let hint =
                        format!("a relative path starts from the folder of the file that names it: {}", path.display());
                    reader.mistake_with_hint(&item.span, format!("cannot include `{name}`: {why}"), hint);
                }
                Ok(text) => self.take(reader, path, &text),
            }
        }
    }

    fn take(&mut self, reader: &mut Reader, path: PathBuf, text: &str) {
        let source = Source::new(&path.to_string_lossy(), text);
        let (mut table, mistakes): (Table, Vec<Mistake>) = parse(&source);
        let base = reader.add_source(&source);
        reader.add_mistakes(mistakes);
        shift(&mut table, base);
        for entry in table.entries.iter().filter(|entry| !KEYS.contains(&entry.key.as_str())) {
            let hint = "`[fragment.NAME]`, `[vars]` and `include` can";
            reader.mistake_with_hint(&entry.key_span, format!("`{}` cannot be included", entry.key), hint);
        }
        self.chain.push(path);
        self.follow(reader, &table);
        self.chain.pop();
        self.found.push(table);
    }
}

/// Adds entries to a table in `table`. One that is there already wins, or is a mistake.
fn merge(reader: &mut Reader, table: &mut Table, key: &str, brought: &Table, clash: bool) {
    if table.get(key).is_none() {
        let span = brought.entries.first().map_or(0..0, |entry| entry.key_span.clone());
        let node = crate::document::Node { span: span.clone(), value: Value::Table(Table::default()) };
        table.entries.push(Entry { key: key.into(), key_span: span, node });
    }
    let entry = table.entries.iter_mut().find(|entry| entry.key == key).expect("it was just added");
    let Value::Table(into) = &mut entry.node.value else { return };
    for entry in &brought.entries {
        match into.entry(&entry.key) {
            None => into.entries.push(entry.clone()),
            Some(first) if clash => {
                let place = reader.source().place(first.key_span.clone());
                reader.mistake(&entry.key_span, format!("the fragment `{}` is there already, at {place}", entry.key));
            }
            Some(_) => {}
        }
    }
}

/// A path without `.` and `..` in it, as far as that can be said without looking.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if parts.file_name().is_some() => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts
}
