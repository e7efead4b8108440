//! Who talks.

use std::sync::Arc;

use super::scope::Scope;
use super::target::{Target, check_url};
use crate::document::{Node, Reader, Table, Value, did_you_mean, parse_size};
use crate::framing::{self, FRAME_LEN_LIMIT, FRAME_LEN_MAX, FRAMINGS, Framing, FramingError};
use crate::template::Template;

/// Who talks.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its name.
    pub name: String,
    /// Where it connects.
    pub connect: Connect,
    /// Where a message ends; `None` for a raw stream, and for datagrams as they come.
    pub framing: Option<Arc<dyn Framing>>,
    /// The local address: a host, or a host and a port.
    pub bind: Option<Template>,
}

/// Where an actor connects.
#[derive(Clone, Debug)]
pub enum Connect {
    /// To a target, by its number in the file.
    Target(usize),
    /// To a URL of its own.
    Url(Template),
}

const KEYS: &[&str] =
    &["connect", "listen", "relay", "framing", "protocol", "tls", "starttls", "count", "bind", "follow", "quiet"];

/// Parts of the language that this version does not know yet.
const LATER: &[&str] = &["listen", "relay", "protocol", "tls", "starttls", "count", "follow"];

/// The actor of a file that names none.
const CLIENT: &str = "client";

/// Reads every `[actor.NAME]`; with one target and no actor there is one, `client`.
pub(super) fn lower_all(reader: &mut Reader, table: &Table, targets: &[Target]) -> Vec<Actor> {
    let Some(entry) = table.entry("actor") else {
        match targets {
            [] if table.entry("target").is_none() => {
                let hint = "`[target]` with `builtin`, `address` or `command`";
                reader.mistake_with_hint(&(0..0), "nothing is under test: there is no target and no actor", hint);
            }
            [] => {}
            [_] => {
                let (name, connect) = (CLIENT.to_owned(), Connect::Target(0));
                return vec![Actor { name, connect, framing: None, bind: None }];
            }
            [_, second, ..] => {
                let hint = format!("`[actor.client]` with `connect = \"{}\"`", second.name);
                reader.mistake_with_hint(&(0..0), "several targets need actors that say who connects where", hint);
            }
        }
        return Vec::new();
    };
    let Some(actors) = reader.table(&entry.node, "`actor`") else { return Vec::new() };
    let mut lowered = Vec::new();
    for entry in &actors.entries {
        let name = &entry.key;
        if !crate::text::is_identifier(name) {
            reader.mistake(&entry.key_span, format!("`{name}` is no name for an actor"));
        }
        if super::step::is_reserved(name) {
            let message = format!("`{name}` is a verb or an option, so it cannot name an actor");
            reader.mistake(&entry.key_span, message);
        }
        if let Some(table) = reader.table(&entry.node, &format!("`[actor.{name}]`")) {
            lowered.extend(lower(reader, name, table, &entry.key_span, targets));
        }
    }
    lowered
}

fn lower(
    reader: &mut Reader,
    name: &str,
    table: &Table,
    span: &std::ops::Range<usize>,
    targets: &[Target],
) -> Option<Actor> {
    reader.check_keys(table, KEYS, &format!("the actor `{name}`"));
    for key in LATER {
        if let Some(entry) = table.entry(key) {
            reader.mistake(&entry.key_span, format!("`{key}` is not supported by this version"));
        }
    }
    let framing = match table.get("framing") {
        Some(node) => lower_framing(reader, node)?,
        None => None,
    };
    let mut scope = Scope::new(targets.iter().map(|target| target.name.as_str()));
    let bind = match table.get("bind") {
        Some(node) => {
            let template = reader.template(node, "`bind`")?;
            scope.check(reader, &node.span, template.variables());
            Some(template)
        }
        None => None,
    };
    let Some(entry) = table.entry("connect") else {
        if table.entry("listen").is_none() && table.entry("relay").is_none() {
            let hint = "`connect = \"NAME\"` names a target, or holds a URL";
            reader.mistake_with_hint(span, format!("the actor `{name}` says not where it connects"), hint);
        }
        return None;
    };
    let connect = reader.template(&entry.node, "`connect`")?;
    scope.check(reader, &entry.node.span, connect.variables());
    let text = connect.as_literal().map(|text| String::from_utf8_lossy(text).into_owned());
    let connect = match text {
        Some(text) if !text.contains("://") => match targets.iter().position(|target| target.name == text) {
            Some(at) => Connect::Target(at),
            None => {
                let hint =
                    did_you_mean(&text, targets.iter().map(|target| target.name.as_str())).unwrap_or_else(|| {
                        format!("`[target.{text}]` would make one; a URL has a scheme: `tcp://127.0.0.1:80`")
                    });
                reader.mistake_with_hint(&entry.node.span, format!("there is no target `{text}`"), hint);
                return None;
            }
        },
        _ => {
            check_url(reader, &entry.node, &connect);
            Connect::Url(connect)
        }
    };
    Some(Actor { name: name.into(), connect, framing, bind })
}

fn lower_framing(reader: &mut Reader, node: &Node) -> Option<Option<Arc<dyn Framing>>> {
    let built = match &node.value {
        Value::String(_) => match reader.static_string(node, "`framing`")?.as_str() {
            "crlf" => framing::crlf(FRAME_LEN_MAX),
            "datagram" => Ok(framing::datagram()),
            "line" => framing::line(FRAME_LEN_MAX),
            "raw" => return Some(None),
            name => {
                let names: Vec<&str> = FRAMINGS.iter().map(|entry| entry.name).collect();
                match FRAMINGS.iter().find(|entry| entry.name == name) {
                    Some(entry) => {
                        let message = format!("`{name}` needs more than its name");
                        reader.mistake_with_hint(&node.span, message, format!("`{}`", entry.example));
                    }
                    None => reader.unknown(&node.span, "framing", name, &names, "harness list framings"),
                }
                return None;
            }
        },
        Value::Table(table) => lower_framing_table(reader, node, table)?,
        other => {
            reader.mistake(&node.span, format!("`framing` is a string or a table, not {}", other.kind()));
            return None;
        }
    };
    match built {
        Ok(framing) => Some(Some(framing)),
        Err(error) => {
            reader.mistake(&node.span, error.to_string());
            None
        }
    }
}

fn lower_framing_table(
    reader: &mut Reader,
    node: &Node,
    table: &Table,
) -> Option<Result<Arc<dyn Framing>, FramingError>> {
    let keys = ["crlf", "delimiter", "fixed", "length_prefix", "line"];
    let [entry] = table.entries.iter().filter(|entry| keys.contains(&entry.key.as_str())).collect::<Vec<_>>()[..]
    else {
        let known: Vec<&str> = keys.iter().copied().chain(["max", "includes_prefix"]).collect();
        reader.check_keys(table, &known, "`framing`");
        let hint = "`{ delimiter = \"\\r\\n\\r\\n\" }`, `{ fixed = 48 }` or `{ length_prefix = \"u32be\" }`";
        reader.mistake_with_hint(&node.span, "a framing has one key that says how a message ends", hint);
        return None;
    };
    let options: &[&str] = match entry.key.as_str() {
        "fixed" => &["fixed"],
        "length_prefix" => &["length_prefix", "includes_prefix", "max"],
        key => &[key, "max"],
    };
    reader.check_keys(table, options, &format!("a `{}` framing", entry.key));
    let max = match table.get("max") {
        Some(Node { value: Value::String(text), span }) => match parse_size(text) {
            Some(size) => size as usize,
            None => {
                reader.mistake(span, format!("`max` is a size, not `{text}`"));
                return None;
            }
        },
        Some(node) => reader.integer(node, "`max`", 1, FRAME_LEN_LIMIT as i64)? as usize,
        None => FRAME_LEN_MAX,
    };
    Some(match entry.key.as_str() {
        "crlf" | "line" => {
            if !reader.boolean(&entry.node, &format!("`{}`", entry.key))? {
                reader.mistake(&entry.node.span, format!("`{}` takes `true`", entry.key));
                return None;
            }
            if entry.key == "crlf" { framing::crlf(max) } else { framing::line(max) }
        }
        "delimiter" => {
            let bytes = match &entry.node.value {
                Value::Table(table) => {
                    reader.check_keys(table, &["hex"], "`delimiter`");
                    let text = reader.static_string(table.get("hex")?, "`hex`")?;
                    match crate::text::parse_hex(&text) {
                        Ok(bytes) => bytes,
                        Err(why) => {
                            reader.mistake(&entry.node.span, why);
                            return None;
                        }
                    }
                }
                _ => reader.static_string(&entry.node, "`delimiter`")?.into_bytes(),
            };
            framing::delimiter(&bytes, max)
        }
        "fixed" => framing::fixed(reader.integer(&entry.node, "`fixed`", 1, FRAME_LEN_LIMIT as i64)? as usize),
        _ => {
            let name = reader.static_string(&entry.node, "`length_prefix`")?;
            let Some(width) = framing::Width::named(&name) else {
                let names: Vec<&str> = framing::WIDTHS.iter().map(|(name, _)| *name).collect();
                let hint = did_you_mean(&name, names.iter().copied()).unwrap_or_else(|| names.join(", "));
                reader.mistake_with_hint(&entry.node.span, format!("unknown length prefix `{name}`"), hint);
                return None;
            };
            let includes = match table.get("includes_prefix") {
                Some(node) => reader.boolean(node, "`includes_prefix`")?,
                None => false,
            };
            framing::length_prefix(width, includes, max)
        }
    })
}
