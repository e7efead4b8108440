//! Payloads as they stand in a file.

use std::sync::Arc;

use bytes::Bytes;

use crate::conversation::message::Giving;
use crate::conversation::payload::{COUNTED, Counted, Number, PAYLOAD_LEN_MAX, Payload};
use crate::document::{Node, Reader, Value, did_you_mean};
use crate::protocol::Protocol;
use crate::text::parse_hex;

/// The names of payloads.
pub const PAYLOADS: &[&str] = &["base64", "concat", "counted", "file", "framed", "hex", "random", "raw", "repeat"];

/// Reads a payload: a string, or a table with one key.
pub(super) fn lower(reader: &mut Reader, node: &Node, protocol: Option<&Arc<Protocol>>) -> Option<Payload> {
    let table = match &node.value {
        Value::String(_) => {
            let template = reader.template(node, "a payload")?;
            return Some(match template.as_literal() {
                Some(bytes) => Payload::Bytes(bytes.clone()),
                None => Payload::Text(template),
            });
        }
        Value::Table(table) => table,
        other => {
            let hint = "a string is its UTF-8 bytes; others are `{ hex = \"00 ff\" }`, `{ random = 100 }`, …";
            let message = format!("a payload is a string or a table with one key, not {}", other.kind());
            reader.mistake_with_hint(&node.span, message, hint);
            return None;
        }
    };
    let [entry] = table.entries.as_slice() else {
        reader.check_keys(table, PAYLOADS, "a payload");
        let hint = "`{ concat = [..] }` puts several together";
        reader.mistake_with_hint(&node.span, format!("a payload has one key, not {}", table.entries.len()), hint);
        return None;
    };
    let inner = &entry.node;
    match entry.key.as_str() {
        "base64" => {
            let template = reader.template(inner, "`base64`")?;
            let payload = Payload::Base64(template.clone());
            fixed(reader, inner, template.as_literal().is_some(), payload)
        }
        "concat" => {
            let items = reader.array(inner, "`concat`")?;
            let parts: Vec<_> = items.iter().map(|item| lower(reader, item, protocol)).collect();
            Some(Payload::Concat(parts.into_iter().collect::<Option<_>>()?))
        }
        "counted" => lower_counted(reader, inner),
        "file" => lower_file(reader, inner),
        "framed" => Some(Payload::Framed(Box::new(lower(reader, inner, protocol)?))),
        "hex" => {
            let template = reader.template(inner, "`hex`")?;
            if let Some(text) = template.as_literal() {
                return match parse_hex(&String::from_utf8_lossy(text)) {
                    Ok(bytes) => Some(Payload::Bytes(bytes.into())),
                    Err(why) => {
                        reader.mistake(&inner.span, why);
                        None
                    }
                };
            }
            Some(Payload::Hex(template))
        }
        "random" => Some(Payload::Random(size(reader, inner, "`random`", PAYLOAD_LEN_MAX)?)),
        "raw" => Some(Payload::Raw(Box::new(lower(reader, inner, protocol)?))),
        "repeat" => {
            let [times, what] = reader.array(inner, "`repeat`")? else {
                reader.mistake(&inner.span, "`repeat` takes a number and a payload: `{ repeat = [1000, \"ab\"] }`");
                return None;
            };
            let times = number(reader, times, "`repeat`", PAYLOAD_LEN_MAX);
            let what = lower(reader, what, protocol);
            Some(Payload::Repeat(times?, Box::new(what?)))
        }
        key => {
            if let Some(protocol) = protocol
                && let Some((message, _)) = protocol.message(key)
            {
                let fields = super::message::lower(reader, protocol, message, inner)?;
                return Some(Payload::Message(Box::new(Giving { protocol: Arc::clone(protocol), message, fields })));
            }
            let messages = protocol.into_iter().flat_map(|protocol| &protocol.messages).map(|message| &*message.name);
            let hint = did_you_mean(key, PAYLOADS.iter().copied().chain(messages));
            let hint = hint.unwrap_or_else(|| {
                let messages = protocol.map_or_else(String::new, |protocol| format!("; {}", protocol.listed()));
                format!("a payload is a string, or one of: {}{messages}", PAYLOADS.join(", "))
            });
            let what = if protocol.is_some() { "payload or message" } else { "payload" };
            reader.mistake_with_hint(&entry.key_span, format!("unknown {what} `{key}`"), hint);
            None
        }
    }
}

/// Reads a number that grows from round to round of the `repeat` around it.
fn lower_counted(reader: &mut Reader, node: &Node) -> Option<Payload> {
    let table = reader.table(node, "`counted`")?;
    reader.check_keys(table, &["as", "by", "from"], "`counted`");
    let how = match table.get("as") {
        None => COUNTED[0].1,
        Some(node) => {
            let name = reader.static_string(node, "`as`")?;
            let Some((_, how)) = COUNTED.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = COUNTED.iter().map(|(name, _)| *name).collect();
                let hint = did_you_mean(&name, known.iter().copied());
                let hint = hint.unwrap_or_else(|| format!("one of: {}", known.join(", ")));
                reader.mistake_with_hint(&node.span, format!("a number is not counted as `{name}`"), hint);
                return None;
            };
            *how
        }
    };
    let mut number = |key: &str, otherwise: u64| match table.get(key) {
        None => Some(otherwise),
        Some(node) => Some(reader.integer(node, &format!("`{key}`"), 0, i64::MAX)? as u64),
    };
    let (from, by) = (number("from", 0), number("by", 1));
    Some(Payload::Counted(Counted { how, from: from?, by: by? }))
}

/// A payload that needs no variable is made once, and a mistake in it is one of the file.
fn fixed(reader: &mut Reader, node: &Node, is_fixed: bool, payload: Payload) -> Option<Payload> {
    if !is_fixed {
        return Some(payload);
    }
    let mut random = crate::random::Random::new(0, "");
    match payload.fill(&crate::template::Variables::new(), &mut random, None) {
        Ok(bytes) => Some(Payload::Bytes(bytes)),
        Err(error) => {
            reader.mistake(&node.span, error.to_string());
            None
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a payload's file is part of the scenario, and is read with it")]
fn lower_file(reader: &mut Reader, node: &Node) -> Option<Payload> {
    let path = reader.static_string(node, "`file`")?;
    let path = reader.folder(&node.span).join(path);
    let read = || -> std::io::Result<Bytes> {
        let metadata = std::fs::metadata(&path)?;
        if !metadata.is_file() {
            return Err(std::io::Error::other("it is no ordinary file"));
        }
        if metadata.len() > PAYLOAD_LEN_MAX {
            return Err(std::io::Error::other(format!("it has more than {PAYLOAD_LEN_MAX} bytes")));
        }
        std::fs::read(&path).map(Bytes::from)
    };
    match read() {
        Ok(bytes) => Some(Payload::Bytes(bytes)),
        Err(error) => {
            reader.mistake(&node.span, format!("cannot read `{}`: {error}", path.display()));
            None
        }
    }
}

/// Reads a size, which a variable may hold.
fn size(reader: &mut Reader, node: &Node, what: &str, max: u64) -> Option<Number> {
    match reader.holds_variable(node) {
        true => number(reader, node, what, max),
        false => Some(Number::Literal(reader.size(node, what, 0, max)?)),
    }
}

/// Reads a number, which a variable may hold.
pub(super) fn number(reader: &mut Reader, node: &Node, what: &str, max: u64) -> Option<Number> {
    if reader.holds_variable(node) {
        return Some(Number::Text(reader.template(node, what)?));
    }
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    Some(Number::Literal(reader.integer(node, what, 0, max)? as u64))
}
