//! A file taken apart into its cases, each a document that stands alone: nothing included, every fragment in its place, one
//! combination of what varies.
//!
//! What comes out is a tree, not a [`Script`](crate::conversation::script::Script): it can be changed and written back.

use std::path::{Component, Path, PathBuf};

use super::vary::Variant;
use super::{CASE_KEYS, Known, fragment, include, load, set_known, vary};
use crate::document::{Entry, Node, Reader, Source, Table, Value, parse};
use crate::event::Mistake;

/// A file whose cases can be taken out of it.
#[derive(Clone, Debug)]
pub struct Alone {
    /// What all cases share: targets, actors, variables, faults.
    shared: Table,
    /// Each case, under its name.
    cases: Vec<(String, Table)>,
}

/// Reads a file as [`load`] does, and takes it apart. Relative paths start from the folder of `file`, wherever they stood.
pub fn alone(file: &str, text: &str, known: &Known) -> Result<Alone, Vec<Mistake>> {
    let scenario = load(file, text, known)?;
    let (mut table, _) = parse(&Source::new(file, text));
    let mut reader = Reader::new(Source::new(file, text));
    set_known(&mut reader, known);
    include::include(&mut reader, &mut table, known);
    let root = Path::new(file).parent().unwrap_or(Path::new("")).to_path_buf();
    paths(&mut table, &mut |node, surely| move_path(node, surely, &reader.folder(&node.span), &root));
    if fragment::is_needed(&table) {
        table = fragment::expand(&mut reader, &table);
    }
    for (name, value) in &known.vars {
        // What the command line has said is part of the case.
        if let Some(Node { value: Value::Table(vars), .. }) = table.get_mut("vars") {
            vars.set(name.as_str(), value.as_str());
        } else {
            table.set("vars", Table::of([(name.as_str(), value.as_str())]));
        }
    }
    let mut shared = Table::default();
    shared.set("name", scenario.name.as_str());
    shared.set("seed", seed(scenario.seed.unwrap_or(known.seed)));
    let mut single = Table::default();
    for Entry { key, node, .. } in &table.entries {
        match key.as_str() {
            "name" | "seed" | "about" | "bench" | "case" | "description" | "fragment" | "fuzz" | "include"
            | "model" | "properties" => {}
            "steps" | "play" => single.set(key.as_str(), node.clone()),
            key if CASE_KEYS.contains(&key) => single.set(key, node.clone()),
            key => shared.set(key, node.clone()),
        }
    }
    let tables: Vec<Table> = match table.get("case").and_then(Node::as_array) {
        Some(items) => items.iter().filter_map(|item| item.as_table().cloned()).collect(),
        None => {
            let mut named = Table::of([("name", scenario.name.as_str())]);
            single.entries.into_iter().for_each(|entry| named.set(entry.key, entry.node));
            vec![named]
        }
    };
    let variants = tables.iter().flat_map(|table| vary::variants(&mut reader, table));
    let names = scenario.cases.iter().map(|case| case.name.clone());
    let cases = names.zip(variants.collect::<Vec<_>>()).map(|(name, variant)| {
        let table = case(&variant, &name);
        (name, table)
    });
    Ok(Alone { cases: cases.collect(), shared })
}

/// A seed as a file holds it.
pub(crate) fn seed(seed: u64) -> Node {
    i64::try_from(seed).map_or_else(|_| seed.to_string().into(), Node::from)
}

/// One combination as a case of its own.
fn case(variant: &Variant, name: &str) -> Table {
    let mut case = Table::of([("name", name.replace("${", "$${"))]);
    for entry in variant.table.entries.iter().filter(|entry| !matches!(entry.key.as_str(), "name" | "xfail")) {
        case.set(entry.key.as_str(), entry.node.clone());
    }
    if let Some(family) = variant.family {
        let ip = if family == super::Family::V6 { "v6" } else { "v4" };
        case.set("vary", Table::of([("ip", vec![Node::from(ip)])]));
    }
    if let Some(Value::Array(steps)) = case.get_mut("steps").map(|node| &mut node.value) {
        steps.iter_mut().for_each(clean);
    }
    case.get_mut("play").into_iter().for_each(clean);
    case
}

/// Takes out what fragments have left for those who read on.
pub(super) fn clean(node: &mut Node) {
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Table(table) => {
            table.entries.retain(|entry| !entry.key.starts_with('\0'));
            table.entries.iter_mut().for_each(|entry| clean(&mut entry.node));
        }
        _ => {}
    }
}

impl Alone {
    /// The names of the cases, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.cases.iter().map(|(name, _)| name.as_str())
    }

    /// The document with the case of this number alone.
    pub fn document(&self, at: usize) -> Option<Table> {
        let (_, case) = self.cases.get(at)?;
        let mut table = self.shared.clone();
        table.set("case", vec![Node::from(case.clone())]);
        Some(table)
    }
}

/// Is told each path, and whether it surely is one: an argument of a program is one only if there is such a file.
pub(crate) type Visit<'v> = &'v mut dyn FnMut(&mut Node, bool);

/// Tells `visit` every path in a document, but for those that variables begin: of files, folders, programs and sockets.
pub(crate) fn paths(table: &mut Table, visit: Visit<'_>) {
    for Entry { key, node, .. } in &mut table.entries {
        match (key.as_str(), &mut node.value) {
            ("target", Value::Table(targets)) => {
                target_paths(targets, visit);
                let inner = targets.entries.iter_mut();
                inner.filter_map(|entry| as_table(&mut entry.node)).for_each(|table| target_paths(table, visit));
            }
            ("actor", Value::Table(actors)) => {
                for table in actors.entries.iter_mut().filter_map(|entry| as_table(&mut entry.node)) {
                    actor_paths(table, visit);
                }
            }
            ("case" | "steps" | "play" | "fragment", _) => step_paths(node, visit),
            _ => {}
        }
    }
}

fn as_table(node: &mut Node) -> Option<&mut Table> {
    match &mut node.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

fn target_paths(table: &mut Table, visit: Visit<'_>) {
    let has_command = table.get("command").is_some();
    for Entry { key, node, .. } in &mut table.entries {
        match key.as_str() {
            // A command's socket is looked for in its folder.
            "address" if !has_command => visit_path(node, visit),
            "command" => visit_program(node, visit),
            "cwd" => visit_path(node, visit),
            "listen" => visit_path(node, visit),
            "ready" => {
                let command = as_table(node).and_then(|table| table.get_mut("command"));
                command.into_iter().for_each(|node| visit_program(node, visit));
            }
            "tls" => tls_paths(node, visit),
            _ => {}
        }
    }
}

fn actor_paths(table: &mut Table, visit: Visit<'_>) {
    for Entry { key, node, .. } in &mut table.entries {
        match (key.as_str(), &mut node.value) {
            ("connect" | "listen", Value::String(text)) if text.starts_with("unix") => visit_path(node, visit),
            ("protocol", Value::String(text)) if crate::protocol::find(text).is_none() => visit_path(node, visit),
            ("relay", Value::Table(relay)) => relay.entries.iter_mut().for_each(|entry| {
                if entry.node.as_str().is_some_and(|text| text.starts_with("unix")) {
                    visit_path(&mut entry.node, visit);
                }
            }),
            ("tls" | "starttls", _) => tls_paths(node, visit),
            _ => {}
        }
    }
}

fn tls_paths(node: &mut Node, visit: Visit<'_>) {
    let Some(table) = as_table(node) else { return };
    for key in ["ca", "cert", "key"] {
        table.get_mut(key).into_iter().for_each(|node| visit_path(node, visit));
    }
}

fn step_paths(node: &mut Node, visit: Visit<'_>) {
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(|item| step_paths(item, visit)),
        Value::Table(table) => {
            for Entry { key, node, .. } in &mut table.entries {
                match key.as_str() {
                    "exec" => {
                        visit_program(node, visit);
                        let Value::Array(argv) = &mut node.value else { continue };
                        argv.iter_mut().skip(1).for_each(|argument| visit(argument, false));
                    }
                    "file" => visit_path(node, visit),
                    "starttls" => tls_paths(node, visit),
                    _ => step_paths(node, visit),
                }
            }
        }
        _ => {}
    }
}

fn visit_program(node: &mut Node, visit: Visit<'_>) {
    let Value::Array(argv) = &mut node.value else { return };
    if let Some(program) = argv.first_mut().filter(|program| program.as_str().is_some_and(|text| text.contains('/'))) {
        visit_path(program, visit);
    }
}

fn visit_path(node: &mut Node, visit: Visit<'_>) {
    if node.as_str().is_some_and(|text| !text.starts_with("${")) {
        visit(node, true);
    }
}

/// Makes a path that was relative to one folder relative to another.
#[expect(clippy::disallowed_methods, reason = "whether an argument is a path is seen by what lies there")]
pub(crate) fn move_path(node: &mut Node, surely: bool, from: &Path, to: &Path) {
    let Value::String(text) = &node.value else { return };
    if from != to && (surely || (!text.is_empty() && std::fs::metadata(from.join(text)).is_ok())) {
        node.value = Value::String(moved(text, from, to));
    }
}

/// A path, or the URL of a socket, that was relative to one folder, relative to another. Absolute ones stay.
fn moved(text: &str, from: &Path, to: &Path) -> String {
    let (scheme, path) = match text.split_once("://") {
        Some((scheme @ ("unix" | "unixgram"), path)) => (Some(scheme), path),
        Some(_) => return text.to_owned(),
        None => (None, text),
    };
    if path.is_empty() || path.starts_with(['/', '@']) || path.starts_with("${") {
        return text.to_owned();
    }
    let way = way(from, to).join(path);
    let plain = normal(&way);
    // A program is one by its path only if there is a slash in it.
    let plain = if path.contains('/') && !plain.contains('/') { format!("./{plain}") } else { plain };
    scheme.map_or(plain.clone(), |scheme| format!("{scheme}://{plain}"))
}

/// The way to `from` for somebody who stands in `to`.
pub(crate) fn way(from: &Path, to: &Path) -> PathBuf {
    let absolute = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        PathBuf::from(normal(&std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())))
    };
    let (from, to) = (absolute(from), absolute(to));
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) = (from.components().collect(), to.components().collect());
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = to[same..].iter().map(|_| Component::ParentDir);
    up.chain(from[same..].iter().copied()).collect()
}

/// A path without `.` and without `..` behind a name.
fn normal(path: &Path) -> String {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if parts.file_name().is_some() => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, from: &str, to: &str, expected: &str) {
        assert_eq!(moved(text, Path::new(from), Path::new(to)), expected);
    }

    #[test]
    fn a_path_is_seen_from_another_folder() {
        check("x.bin", "/a/b", "/a/b", "x.bin");
        check("x.bin", "/a/b", "/a/c/d", "../../b/x.bin");
        check("./run.sh", "/a", "/a/b", "../run.sh");
        check("../run.sh", "/a/b", "/a", "./run.sh");
        check("/x", "/a", "/b", "/x");
        check("${dir}/x", "/a", "/b", "${dir}/x");
    }

    #[test]
    fn a_socket_is_seen_from_another_folder() {
        check("unix://x.sock", "/a", "/a/b", "unix://../x.sock");
        check("unix:///x.sock", "/a", "/b", "unix:///x.sock");
        check("unix://@x", "/a", "/b", "unix://@x");
        check("tcp://127.0.0.1:1", "/a", "/b", "tcp://127.0.0.1:1");
    }

    #[test]
    fn a_case_stands_alone() {
        let text = "[vars]\na = 1\n[target]\nbuiltin = \"kv\"\n[fragment.f]\nsteps = [{ send = \"${x}\" }]\n\
            [[case]]\nname = \"other\"\nsteps = [{ send = \"no\" }]\n\
            [[case]]\nname = \"c\"\nxfail = \"it does\"\nvary = { n = [1, 2], ip = [\"v4\"] }\nsteps = [{ use = \"f\", with = { x = \"<${n}>\" }, within = \"1s\" }]\n";
        let known = Known { seed: 7, vars: vec![("b".into(), "2".into())], ..Known::default() };
        let alone = alone("s.toml", text, &known).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        assert_eq!(alone.names().collect::<Vec<_>>(), ["other", "c [n=1, ip=v4]", "c [n=2, ip=v4]"]);
        let document = alone.document(2).expect("there are three");
        assert_eq!(
            crate::document::write(&document, &()),
            "name = \"s\"\nseed = 7\n\n[vars]\na = 1\nb = \"2\"\n\n[target]\nbuiltin = \"kv\"\n\n[[case]]\nname = \"c [n=2, ip=v4]\"\n\
             steps = [\n  { repeat = { times = 1, steps = [{ send = \"<2>\" }] }, within = \"1s\" },\n]\nvary = { ip = [\"v4\"] }\n"
        );
    }
}
