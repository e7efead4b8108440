//! A tree as TOML text: what is read back is the same tree.
//!
//! The layout is that of a file which a person wrote: simple keys first, then `[tables]`, one step a line, long texts in
//! several lines. What keys mean is not known here, but for which tables have a header of their own.

use std::fmt::Write as _;

use super::{Entry, Node, Table, Value};

/// The longest line that an array or a text is kept on, in characters.
const LINE_LEN_MAX: usize = 110;

/// How many characters of a long text stand on a line.
const CHUNK_LEN: usize = 96;

/// Comments for some of the values in arrays, by the value's number in the order of the text.
pub trait Comments {
    /// The lines above an item of the array under `key`, which is the array's number `at`; none for most.
    fn above(&self, key: &str, at: usize) -> Vec<String>;
}

impl Comments for () {
    fn above(&self, _: &str, _: usize) -> Vec<String> {
        Vec::new()
    }
}

/// The text of a document.
pub fn write(table: &Table, comments: &dyn Comments) -> String {
    let mut text = String::new();
    write_table(&mut text, "", table, comments);
    text
}

/// Whether a value is written below a header.
fn has_header(entry: &Entry) -> bool {
    match &entry.node.value {
        Value::Table(_) => entry.key != "play",
        Value::Array(items) => {
            matches!(entry.key.as_str(), "case" | "fault" | "message")
                && !items.is_empty()
                && items.iter().all(is_table)
        }
        _ => false,
    }
}

fn is_table(node: &Node) -> bool {
    matches!(node.value, Value::Table(_))
}

/// How deep tables have headers: `[actor.client]`.
const HEADERS_DEEP: usize = 2;

fn write_table(text: &mut String, path: &str, table: &Table, comments: &dyn Comments) {
    let depth = if path.is_empty() { 0 } else { path.matches('.').count() + 1 };
    let below = |entry: &&Entry| depth < HEADERS_DEEP && has_header(entry) && (depth == 0 || is_group(path, entry));
    for entry in table.entries.iter().filter(|entry| !below(entry)) {
        write_entry(text, entry, comments);
    }
    for entry in table.entries.iter().filter(below) {
        let path = if path.is_empty() { key(&entry.key) } else { format!("{path}.{}", key(&entry.key)) };
        match &entry.node.value {
            Value::Array(items) => {
                for table in items.iter().filter_map(Node::as_table) {
                    let _ = write!(text, "\n[[{path}]]\n");
                    write_table(text, &path, table, comments);
                }
            }
            Value::Table(inner) => {
                let only_groups = !inner.entries.is_empty() && inner.entries.iter().all(|entry| is_group(&path, entry));
                if !only_groups {
                    let _ = write!(text, "\n[{path}]\n");
                }
                write_table(text, &path, inner, comments);
            }
            _ => {}
        }
    }
}

/// Whether an entry below `path` is one of several of the same kind: `[actor.NAME]`.
fn is_group(path: &str, entry: &Entry) -> bool {
    match path {
        "actor" | "fragment" => is_table(&entry.node),
        "case" => entry.key == "fault",
        "target" => {
            let kinds = ["address", "builtin", "command"];
            entry.node.as_table().is_some_and(|table| kinds.iter().any(|kind| table.get(kind).is_some()))
        }
        _ => false,
    }
}

fn write_entry(text: &mut String, entry: &Entry, comments: &dyn Comments) {
    match &entry.node.value {
        // `play.alice = [..]`
        Value::Table(plays) if entry.key == "play" => {
            for play in &plays.entries {
                let _ = write!(text, "play.{} = ", key(&play.key));
                write_array(text, &play.key, &play.node, comments);
                text.push('\n');
            }
        }
        _ => {
            let _ = write!(text, "{} = ", key(&entry.key));
            write_array(text, &entry.key, &entry.node, comments);
            text.push('\n');
        }
    }
}

/// A value; an array of several lines where it is one of tables, or a long one.
fn write_array(text: &mut String, name: &str, node: &Node, comments: &dyn Comments) {
    let Value::Array(items) = &node.value else { return write_value(text, node) };
    let mut short = String::new();
    write_value(&mut short, node);
    let tables = items.iter().any(is_table);
    if items.is_empty() || (!tables && short.len() <= LINE_LEN_MAX && !short.contains('\n')) {
        return text.push_str(&short);
    }
    text.push_str("[\n");
    for (at, item) in items.iter().enumerate() {
        for line in comments.above(name, at) {
            let _ = writeln!(text, "  # {}", line.replace(|c: char| c.is_control(), " "));
        }
        text.push_str("  ");
        write_value(text, item);
        text.push_str(",\n");
    }
    text.push(']');
}

fn write_value(text: &mut String, node: &Node) {
    match &node.value {
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                write_value(text, item);
            }
            text.push(']');
        }
        Value::Boolean(boolean) => _ = write!(text, "{boolean}"),
        Value::Datetime(datetime) => text.push_str(datetime),
        Value::Float(float) if float.is_nan() => text.push_str("nan"),
        Value::Float(float) if float.is_infinite() => text.push_str(if *float > 0.0 { "inf" } else { "-inf" }),
        // With a fraction in any case: a whole number is another thing.
        Value::Float(float) => _ = write!(text, "{float:?}"),
        Value::Integer(integer) => _ = write!(text, "{integer}"),
        Value::String(string) => write_string(text, string),
        Value::Table(table) => {
            text.push_str("{ ");
            for (at, entry) in table.entries.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                let _ = write!(text, "{} = ", key(&entry.key));
                write_value(text, &entry.node);
            }
            text.push_str(if table.entries.is_empty() { "}" } else { " }" });
        }
    }
}

/// A key, in quotes where it needs them.
fn key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !key.is_empty() && key.chars().all(bare) {
        return key.to_owned();
    }
    let mut quoted = String::from("\"");
    key.chars().for_each(|c| push_escaped(&mut quoted, c));
    quoted.push('"');
    quoted
}

fn write_string(text: &mut String, string: &str) {
    // A quote or a backslash reads better where nothing has to be escaped.
    let literal = |c: char| c != '\'' && !c.is_control();
    if string.chars().count() <= CHUNK_LEN {
        if string.contains(['"', '\\']) && string.chars().all(literal) {
            _ = write!(text, "'{string}'");
            return;
        }
        text.push('"');
        string.chars().for_each(|c| push_escaped(text, c));
        return text.push('"');
    }
    // Whatever begins a line after a `\` at the end of the one before is skipped if it is white: so nothing white begins one.
    text.push_str(if string.starts_with([' ', '\t']) { "\"\"\"" } else { "\"\"\"\\\n" });
    let mut width = 0;
    let mut chars = string.chars().peekable();
    while let Some(c) = chars.next() {
        push_escaped(text, c);
        width += 1;
        let white = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
        let line_ends = c == '\n' && width >= CHUNK_LEN / 2;
        if !white && (width >= CHUNK_LEN || line_ends) {
            text.push_str("\\\n");
            width = 0;
        }
    }
    text.push_str("\\\n\"\"\"");
}

fn push_escaped(text: &mut String, c: char) {
    match c {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
            let _ = write!(text, "\\u{:04X}", u32::from(c));
        }
        c => text.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Source, parse};

    /// The tree without its places.
    fn bare(table: &Table) -> Table {
        fn node(of: &Node) -> Node {
            match &of.value {
                Value::Array(items) => items.iter().map(node).collect::<Vec<_>>().into(),
                Value::Table(table) => bare(table).into(),
                value => value.clone().into(),
            }
        }
        Table::of(table.entries.iter().map(|entry| (entry.key.clone(), node(&entry.node))))
    }

    #[track_caller]
    fn reads_back(table: &Table) -> String {
        let text = write(table, &());
        let (read, mistakes) = parse(&Source::new("f", text.as_str()));
        assert_eq!(mistakes, [], "{text}");
        let sorted = |table: &Table| {
            let mut table = bare(table);
            // Tables with a header come after what has none.
            table.entries.sort_by(|a, b| a.key.cmp(&b.key));
            table
        };
        assert_eq!(sorted(&read), sorted(table), "{text}");
        text
    }

    #[track_caller]
    fn check(string: &str) {
        reads_back(&Table::of([("a", string)]));
        reads_back(&Table::of([("steps", vec![Node::from(Table::of([("send", string)]))])]));
    }

    #[test]
    fn any_text_reads_back() {
        check("");
        check("a \"quote\", a 'quote', a \\ and a tab\t\r\n\u{0}\u{7f}\u{2028}서버");
        check(&"x".repeat(1_000));
        check(&" ".repeat(1_000));
        check(&"a line\n   that is followed by white\n\n\t".repeat(50));
        check(&"\\\"'".repeat(100));
        check(&"${a}$${b}".repeat(30));
    }

    #[test]
    fn any_value_reads_back() {
        let inner = Table::of([("a b", Node::from(1)), ("", true.into()), ("f", Value::Float(1e300).into())]);
        let items = vec![Node::from(-7), "x".into(), Vec::new().into(), inner.clone().into(), Table::default().into()];
        reads_back(&Table::of([("list", Node::from(items)), ("inner", inner.into())]));
        let dates = vec![Node::from(Value::Datetime("2026-11-21T10:00:00Z".into())), Value::Float(2.0).into()];
        reads_back(&Table::of([("dates", dates)]));
    }

    #[test]
    fn a_scenario_looks_like_one() {
        let text = "name = \"s\"\n\n[target]\nbuiltin = \"kv\"\nsettings = { keys = 7 }\n\n[actor.client]\nconnect = \"target\"\n\n\
            [[case]]\nname = \"c\"\nsteps = [\n  { send = \"a\\n\" },\n  { client = { expect = { hex = \"00\" } } },\n]\n\n\
            [[case.fault]]\non = \"client\"\ndo = { cut = true }\n";
        let (table, mistakes) = parse(&Source::new("f", text));
        assert_eq!(mistakes, []);
        assert_eq!(write(&table, &()), text);
    }
}
