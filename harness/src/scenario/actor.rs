//! Who talks.

use std::sync::Arc;

use super::scope::Scope;
use super::target::{Target, check_url};
use crate::document::{Node, Reader, Table, Value, did_you_mean};
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

const KEYS: &[&str] = &["connect", "framing", "bind"];

/// Parts of the language that this version does not know yet.
const LATER: &[&str] = &["listen", "relay", "protocol", "tls", "starttls", "count", "follow"];

/// The actor of a file that names none.
const CLIENT: &str = "client";

/// Reads every `[actor.NAME]`; with one target and no actor there is one, `client`.
pub(super) fn lower_all(reader: &mut Reader, table: &Table, targets: &[Target]) -> Vec<Actor> {
    let client = |connect| Actor { name: CLIENT.to_owned(), connect, framing: None, bind: None };
    // Where nobody could be found to talk, the steps are read as if there was one.
    let nobody = || vec![client(Connect::Url(Template::literal("")))];
    let Some(entry) = table.entry("actor") else {
        match targets {
            [] if table.entry("target").is_none() => {
                let hint = "`[target]` with `builtin`, `address` or `command`";
                reader.mistake_with_hint(&(0..0), "nothing is under test: there is no target and no actor", hint);
            }
            [] => {}
            [_] => return vec![client(Connect::Target(0))],
            [_, second, ..] => {
                let hint = format!("`[actor.client]` with `connect = \"{}\"`", second.name);
                let span = table.entry("target").map_or(0..0, |entry| entry.key_span.clone());
                reader.mistake_with_hint(&span, "several targets need actors that say who connects where", hint);
            }
        }
        return nobody();
    };
    let Some(actors) = reader.table(&entry.node, "`actor`") else { return nobody() };
    if actors.entries.is_empty() {
        let hint = "`[actor.client]` with `connect = \"NAME\"`";
        reader.mistake_with_hint(&entry.key_span, "there is no actor in `[actor]`", hint);
        return nobody();
    }
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
            // One with a mistake still has its name, so that the steps that use it can be read.
            let nowhere =
                Actor { name: name.clone(), connect: Connect::Url(Template::literal("")), framing: None, bind: None };
            lowered.push(lower(reader, name, table, &entry.key_span, targets).unwrap_or(nowhere));
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
    reader.check_keys_but(table, KEYS, LATER, &format!("the actor `{name}`"));
    let framing = match table.get("framing") {
        Some(node) => lower_framing(reader, node),
        None => Some(None),
    };
    let mut scope = Scope::new(targets.iter().map(|target| target.name.as_str()));
    let bind = table.get("bind").and_then(|node| {
        let template = reader.template(node, "`bind`")?;
        scope.check(reader, &node.span, template.variables());
        Some(template)
    });
    let Some(entry) = table.entry("connect") else {
        if table.entry("listen").is_none() && table.entry("relay").is_none() {
            let hint = "`connect = \"NAME\"` names a target, or holds a URL";
            reader.mistake_with_hint(span, format!("the actor `{name}` does not say where it connects"), hint);
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
                        match crate::text::is_identifier(&text) {
                            true => {
                                format!("`[target.{text}]` would make one; a URL has a scheme: `tcp://127.0.0.1:80`")
                            }
                            false => format!("a URL has a scheme: `tcp://{text}`"),
                        }
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
    Some(Actor { name: name.into(), connect, framing: framing?, bind })
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
        if !reader.check_keys(table, &known, "`framing`") {
            return None;
        }
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
        Some(node) => reader.size(node, "`max`", 1, FRAME_LEN_LIMIT as u64)? as usize,
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
        "fixed" => framing::fixed(reader.size(&entry.node, "`fixed`", 1, FRAME_LEN_LIMIT as u64)? as usize),
        _ => {
            let name = reader.static_string(&entry.node, "`length_prefix`")?;
            let Some(width) = framing::Width::named(&name) else {
                let names: Vec<&str> = framing::WIDTHS.iter().map(|(name, _)| *name).collect();
                let near = did_you_mean(&name, names.iter().copied()).map(|near| near + " ").unwrap_or_default();
                let hint = format!("{near}it is one of {}", names.join(", "));
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
