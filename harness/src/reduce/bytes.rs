//! What is sent, byte by byte: shorter, then simpler.

use std::path::Path;

use super::search::smallest;
use super::{Reducer, steps};
use crate::document::{Node, Table, Value};
use crate::template::Template;
use crate::testcase::TestCase;
use crate::testcase::payload::payload;
use crate::text::parse_hex;

/// The longest payload that is reduced byte by byte.
const DATA_LEN_MAX: usize = 1 << 20;

/// A byte of a payload, or a variable in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Byte(u8),
    Name(String),
}

/// A payload as its bytes, and what stands around it: `raw`, `framed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) tokens: Vec<Token>,
    around: Vec<String>,
}

impl Data {
    /// Reads a payload; `None` for messages, and for what is drawn. `folder` is where paths start.
    pub(super) fn read(node: &Node, folder: &Path) -> Option<Data> {
        let table = match &node.value {
            Value::String(text) => return Some(Data { tokens: tokens(text)?, around: Vec::new() }),
            Value::Table(table) => table,
            _ => return None,
        };
        let [entry] = table.entries.as_slice() else { return None };
        let inner = &entry.node;
        let plain = |bytes: Vec<u8>| {
            let tokens = bytes.into_iter().map(Token::Byte).collect();
            Some(Data { tokens, around: Vec::new() })
        };
        match entry.key.as_str() {
            "base64" => plain(crate::text::parse_base64(inner.as_str()?.as_bytes()).ok()?),
            "concat" => {
                let mut tokens = Vec::new();
                for part in inner.as_array()? {
                    let part = Data::read(part, folder)?;
                    tokens.extend(part.tokens);
                    if !part.around.is_empty() || tokens.len() > DATA_LEN_MAX {
                        return None;
                    }
                }
                Some(Data { tokens, around: Vec::new() })
            }
            "file" => plain(read_file(&folder.join(inner.as_str()?))?),
            "hex" => plain(parse_hex(inner.as_str()?).ok()?),
            key @ ("framed" | "raw") => {
                let mut data = Data::read(inner, folder)?;
                data.around.insert(0, key.to_owned());
                Some(data)
            }
            "repeat" => {
                let [Node { value: Value::Integer(times), .. }, what] = inner.as_array()? else { return None };
                let data = Data::read(what, folder)?;
                let len = usize::try_from(*times).ok()?.checked_mul(data.tokens.len())?;
                if !data.around.is_empty() || len > DATA_LEN_MAX {
                    return None;
                }
                let tokens = data.tokens.iter().cloned().cycle().take(len).collect();
                Some(Data { tokens, around: Vec::new() })
            }
            _ => None,
        }
    }

    /// As a payload.
    pub(super) fn write(&self) -> Node {
        let mut node = join(&self.tokens);
        for around in self.around.iter().rev() {
            node = Table::of([(around.as_str(), node)]).into();
        }
        node
    }

    /// The bytes, where no variable is among them.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let byte = |token: &Token| match token {
            Token::Byte(byte) => Some(*byte),
            Token::Name(_) => None,
        };
        self.tokens.iter().map(byte).collect()
    }

    /// Whether nothing stands around it.
    pub(super) fn is_bare(&self) -> bool {
        self.around.is_empty()
    }

    /// Whether it is said past the framing, and nothing else stands around it.
    pub(super) fn is_raw(&self) -> bool {
        self.around == ["raw"]
    }

    /// Itself with other bytes.
    pub(super) fn with(&self, tokens: Vec<Token>) -> Data {
        Data { tokens, around: self.around.clone() }
    }
}

#[expect(clippy::disallowed_methods, reason = "a payload's file is part of the case")]
fn read_file(path: &Path) -> Option<Vec<u8>> {
    let len = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.len();
    if len > DATA_LEN_MAX as u64 { None } else { std::fs::read(path).ok() }
}

/// A text with variables, byte by byte.
fn tokens(text: &str) -> Option<Vec<Token>> {
    // What it cannot be read as is told when it is loaded.
    Template::parse(text, &std::collections::HashMap::new()).ok()?;
    let mut tokens = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let escaped = rest[..at].ends_with('$');
        tokens.extend(rest[..at - usize::from(escaped)].bytes().map(Token::Byte));
        if escaped {
            tokens.extend(b"${".iter().copied().map(Token::Byte));
            rest = &rest[at + 2..];
            continue;
        }
        let end = at + rest[at..].find('}')?;
        tokens.push(Token::Name(rest[at + 2..end].to_owned()));
        rest = &rest[end + 1..];
    }
    tokens.extend(rest.bytes().map(Token::Byte));
    Some(tokens)
}

/// Bytes and variables as one payload.
fn join(tokens: &[Token]) -> Node {
    let mut parts: Vec<Node> = Vec::new();
    for group in tokens.chunk_by(|a, b| matches!((a, b), (Token::Byte(_), Token::Byte(_)))) {
        match group {
            [Token::Name(name)] => parts.push(format!("${{{name}}}").into()),
            _ => {
                let byte = |token: &Token| match token {
                    Token::Byte(byte) => *byte,
                    Token::Name(_) => unreachable!("a variable is a group of its own"),
                };
                parts.push(payload(&group.iter().map(byte).collect::<Vec<u8>>()));
            }
        }
    }
    match parts.len() {
        0 => Node::from(""),
        1 => parts.remove(0),
        _ => {
            // One text, unless a `$` before a variable would make it none.
            let texts: Option<Vec<&str>> = parts.iter().map(Node::as_str).collect();
            match texts {
                Some(texts) if texts.windows(2).all(|pair| !pair[0].ends_with('$')) => texts.concat().into(),
                _ => Table::of([("concat", parts)]).into(),
            }
        }
    }
}

/// How many bytes a payload has, as far as the file says it.
pub(super) fn len(node: &Node) -> usize {
    match &node.value {
        Value::String(text) => tokens(text).map_or(text.len(), |tokens| tokens.len()),
        Value::Array(items) => items.iter().map(len).sum(),
        Value::Integer(number) => number.to_string().len(),
        Value::Table(table) => match table.entries.as_slice() {
            [entry] => match (entry.key.as_str(), &entry.node.value) {
                ("random", Value::Integer(len)) => usize::try_from(*len).unwrap_or(usize::MAX),
                ("repeat", Value::Array(pair)) => match pair.as_slice() {
                    [Node { value: Value::Integer(times), .. }, what] => {
                        usize::try_from(*times).unwrap_or(0).saturating_mul(len(what))
                    }
                    _ => 0,
                },
                ("hex", Value::String(text)) => parse_hex(text).map_or(text.len() / 2, |bytes| bytes.len()),
                ("base64", Value::String(text)) => text.len() / 4 * 3,
                (_, _) => len(&entry.node),
            },
            entries => entries.iter().map(|entry| len(&entry.node)).sum(),
        },
        _ => 0,
    }
}

impl Reducer<'_> {
    /// Makes each payload shorter.
    pub(super) fn shorten(&mut self) {
        self.each_payload(&mut |reducer, send, at| reducer.shorten_payload(send, at));
    }

    /// Makes each payload simpler, bytes as they are.
    pub(super) fn simplify_bytes(&mut self) {
        self.each_payload(&mut |reducer, send, at| {
            let twins = reducer.twins(send, at);
            if twins.len() > 1 {
                reducer.simplify(&twins);
            }
            reducer.simplify(&[(send, at)]);
        });
    }

    fn each_payload(&mut self, change: &mut dyn FnMut(&mut Self, usize, usize)) {
        for send in 0..steps::count_sends(&mut self.best.clone()) {
            if self.is_over() || self.is_locked_send(send) {
                continue;
            }
            for at in 0..steps::payload_count(&mut self.best.clone(), send) {
                change(self, send, at);
            }
        }
    }

    fn shorten_payload(&mut self, send: usize, at: usize) {
        let mut base = self.best.clone();
        let folder = base.folder.clone();
        let Some(node) = steps::payload_mut(&mut base, send, at) else { return };
        if let Some(Value::Integer(drawn)) = drawn(node) {
            let (drawn, base) = (*drawn as u64, base.clone());
            let put = |mut case: TestCase, node: Node| {
                if let Some(place) = steps::payload_mut(&mut case, send, at) {
                    *place = node;
                }
                case
            };
            let with = |len: u64| Node::from(Table::of([("random", len as i64)]));
            let fewest = smallest(0, drawn, &mut |len| self.test(put(base.clone(), with(len))));
            let zeros = vec![Node::from(fewest as i64), Table::of([("hex", "00")]).into()];
            if !self.test(put(base.clone(), Table::of([("repeat", zeros)]).into())) {
                return;
            }
        }
        let mut base = self.best.clone();
        if steps::payload_mut(&mut base, send, at).is_none_or(|node| Data::read(node, &folder).is_none()) {
            self.shorten_fields(send, at);
            return;
        }
        // What is said several times may have to be the same each time.
        let twins = self.twins(send, at);
        if twins.len() > 1 {
            self.shorten_data(&twins);
        }
        self.shorten_data(&[(send, at)]);
    }

    /// The bytes in the fields of a message by name.
    fn shorten_fields(&mut self, send: usize, at: usize) {
        let mut paths = Vec::new();
        let mut base = self.best.clone();
        let folder = base.folder.clone();
        if let Some(node) = steps::payload_mut(&mut base, send, at) {
            leaves(node, &mut Vec::new(), &mut paths);
        }
        for path in paths {
            let mut base = self.best.clone();
            let Some(node) = steps::payload_mut(&mut base, send, at).and_then(|node| leaf_mut(node, &path)) else {
                continue;
            };
            let put = |mut case: TestCase, node: Node| {
                if let Some(place) = steps::payload_mut(&mut case, send, at).and_then(|node| leaf_mut(node, &path)) {
                    *place = node;
                }
                case
            };
            if let Value::Integer(number) = node.value {
                let sign = number.signum();
                let base = base.clone();
                let holds = &mut |size: u64| self.test(put(base.clone(), Node::from(sign * size as i64)));
                smallest(0, number.unsigned_abs(), holds);
                continue;
            }
            let Some(data) = Data::read(node, &folder) else { continue };
            let all = data.tokens.clone();
            self.delete(all.len(), &|_| false, &|kept| {
                let tokens = kept.iter().map(|at| all[*at].clone()).collect();
                put(base.clone(), data.with(tokens).write())
            });
        }
    }
}

/// How many random bytes a payload is.
fn drawn(node: &Node) -> Option<&Value> {
    node.as_table()?.get("random").map(|node| &node.value).filter(|value| matches!(value, Value::Integer(0..)))
}

/// The ways to the texts, numbers and payloads in a message.
pub(super) fn leaves(node: &Node, path: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    let inner: Vec<&Node> = match &node.value {
        Value::Table(table) if path.is_empty() || !is_payload(table) => {
            table.entries.iter().map(|entry| &entry.node).collect()
        }
        Value::Array(items) => items.iter().collect(),
        _ => return found.push(path.clone()),
    };
    for (at, node) in inner.into_iter().enumerate() {
        path.push(at);
        leaves(node, path, found);
        path.pop();
    }
}

fn is_payload(table: &Table) -> bool {
    let is = |key: &str| crate::scenario::PAYLOADS.contains(&key);
    table.entries.len() == 1 && is(&table.entries[0].key)
}

/// What a way leads to.
pub(super) fn leaf_mut<'n>(node: &'n mut Node, path: &[usize]) -> Option<&'n mut Node> {
    let Some((first, rest)) = path.split_first() else { return Some(node) };
    let inner = match &mut node.value {
        Value::Array(items) => items.get_mut(*first)?,
        Value::Table(table) => &mut table.entries.get_mut(*first)?.node,
        _ => return None,
    };
    leaf_mut(inner, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Source, parse, write};

    #[track_caller]
    fn check(payload: &str, expected: &str) {
        let (table, mistakes) = parse(&Source::new("f", format!("x = [{{ a = {payload} }}]")));
        assert_eq!(mistakes, []);
        let node = table.get("x").and_then(|node| node.as_array()?[0].as_table()?.get("a")).expect("it is there");
        let data = Data::read(node, Path::new("")).expect("it is bytes");
        let step = Node::from(Table::of([("a", data.write())]));
        assert_eq!(write(&Table::of([("x", vec![step])]), &()), format!("x = [\n  {{ a = {expected} }},\n]\n"));
        assert_eq!(len(node), data.tokens.len());
    }

    #[test]
    fn payloads_become_bytes_and_bytes_payloads() {
        check(r#""abc\n""#, r#""abc\n""#);
        check(r#"{ hex = "61 62" }"#, r#""ab""#);
        check(r#"{ concat = ["a", { hex = "ff" }] }"#, r#"{ hex = "61 ff" }"#);
        check(r#"{ repeat = [2, "ab"] }"#, r#""abab""#);
        check(r#"{ raw = { framed = "x" } }"#, r#"{ raw = { framed = "x" } }"#);
    }

    #[test]
    fn variables_stay_whole() {
        check(r#""a${id}b$${c}""#, r#""a${id}b$${c}""#);
        check(r#"{ concat = ["$", "${id}"] }"#, r#"{ concat = ["$", "${id}"] }"#);
        assert!(Data::read(&Node::from("${"), Path::new("")).is_none());
    }
}
