//! A framing as it stands in a file.

use std::sync::Arc;

use super::{FRAME_LEN_LIMIT, FRAME_LEN_MAX, FRAMINGS, Framing, FramingError};
use crate::document::{Node, Reader, Table, Value, did_you_mean};

pub(crate) fn lower(reader: &mut Reader, node: &Node) -> Option<Option<Arc<dyn Framing>>> {
    let built = match &node.value {
        Value::String(_) => match reader.static_string(node, "`framing`")?.as_str() {
            "crlf" => super::crlf(FRAME_LEN_MAX),
            "datagram" => Ok(super::datagram()),
            "line" => super::line(FRAME_LEN_MAX),
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
        Value::Table(table) => lower_table(reader, node, table)?,
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

fn lower_table(reader: &mut Reader, node: &Node, table: &Table) -> Option<Result<Arc<dyn Framing>, FramingError>> {
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
            if entry.key == "crlf" { super::crlf(max) } else { super::line(max) }
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
            super::delimiter(&bytes, max)
        }
        "fixed" => super::fixed(reader.size(&entry.node, "`fixed`", 1, FRAME_LEN_LIMIT as u64)? as usize),
        _ => {
            let name = reader.static_string(&entry.node, "`length_prefix`")?;
            let Some(width) = super::Width::named(&name) else {
                let names: Vec<&str> = super::WIDTHS.iter().map(|(name, _)| *name).collect();
                let near = did_you_mean(&name, names.iter().copied()).map(|near| near + " ").unwrap_or_default();
                let hint = format!("{near}it is one of {}", names.join(", "));
                reader.mistake_with_hint(&entry.node.span, format!("unknown length prefix `{name}`"), hint);
                return None;
            };
            let includes = match table.get("includes_prefix") {
                Some(node) => reader.boolean(node, "`includes_prefix`")?,
                None => false,
            };
            super::length_prefix(width, includes, max)
        }
    })
}
