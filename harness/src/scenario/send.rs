//! What a step sends, and how its bytes go out.

use std::time::Duration;

use super::payload;
use super::step::{Options, Steps};
use crate::conversation::script::{Send, Split, Then};
use crate::document::{Node, Reader, Value, parse_duration, parse_size};

impl Steps<'_> {
    pub(super) fn lower_send(
        &mut self,
        reader: &mut Reader,
        slot: usize,
        node: &Node,
        options: &Options<'_>,
    ) -> Option<Send> {
        let nodes = match &node.value {
            Value::Array(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        if nodes.is_empty() {
            reader.mistake_with_hint(
                &node.span,
                "there is nothing to send",
                "`{ send = \"\" }` sends an empty message",
            );
        }
        let speaks = self.speaks(slot);
        let protocol = speaks.as_ref().map(|speaking| &speaking.protocol);
        let mut payloads = Vec::new();
        for node in nodes {
            let payload = payload::lower(reader, node, protocol);
            if let Some(payload) = &payload {
                let mut names = Vec::new();
                payload.variables(&mut |name| names.push(name.to_owned()));
                self.scope.check(reader, &node.span, names.iter().map(String::as_str));
            }
            payloads.push(payload);
        }
        let split = options.get("split").and_then(|node| lower_split(reader, node)).unwrap_or(Split::Whole);
        let pace = options.get("pace").and_then(|node| lower_pace(reader, node));
        let coalesce = options.get("coalesce").and_then(|node| reader.boolean(node, "`coalesce`")).unwrap_or(false);
        let corrupt = options.get("corrupt").and_then(|node| lower_corrupt(reader, node));
        let cut_short = options.get("cut_short").and_then(|node| reader.boolean(node, "`cut_short`")).unwrap_or(false);
        let truncate = options.get("truncate").and_then(|node| reader.size(node, "`truncate`", 0, u64::MAX));
        let truncate = truncate.map(|len| usize::try_from(len).unwrap_or(usize::MAX));
        let then = options.get("then").and_then(|node| lower_then(reader, node));
        let payloads = payloads.into_iter().collect::<Option<_>>()?;
        Some(Send { payloads, split, pace, coalesce, corrupt, cut_short, truncate, then })
    }
}

fn lower_split(reader: &mut Reader, node: &Node) -> Option<Split> {
    let hint = "`[1, 3]`, `\"every-byte\"`, `\"whole\"` or `{ random = 4 }`";
    match &node.value {
        Value::Array(items) => {
            let sizes: Vec<_> = items.iter().map(|item| reader.integer(item, "`split`", 1, i64::MAX)).collect();
            Some(Split::Sizes(sizes.into_iter().map(|size| size.map(|size| size as usize)).collect::<Option<_>>()?))
        }
        Value::String(_) => match reader.static_string(node, "`split`")?.as_str() {
            "every-byte" => Some(Split::EveryByte),
            "whole" => Some(Split::Whole),
            other => {
                reader.mistake_with_hint(&node.span, format!("unknown split `{other}`"), hint);
                None
            }
        },
        Value::Table(table) => {
            if !reader.check_keys(table, &["random"], "`split`") {
                return None;
            }
            let pieces = reader.integer(table.get("random")?, "`random`", 1, i64::MAX)?;
            Some(Split::Random(pieces as usize))
        }
        other => {
            reader.mistake_with_hint(&node.span, format!("`split` is no {}", other.kind()), hint);
            None
        }
    }
}

pub(super) fn lower_corrupt(reader: &mut Reader, node: &Node) -> Option<(usize, u8)> {
    let table = reader.table(node, "`corrupt`")?;
    let known = reader.check_keys(table, &["at", "xor"], "`corrupt`");
    let (Some(at), Some(xor)) = (table.get("at"), table.get("xor")) else {
        if known {
            reader.mistake(&node.span, "`corrupt` says where and how: `{ at = 3, xor = 0xff }`");
        }
        return None;
    };
    let at = reader.integer(at, "`at`", 0, i64::MAX);
    let xor = reader.integer(xor, "`xor`", 1, 255);
    Some((at? as usize, xor? as u8))
}

fn lower_then(reader: &mut Reader, node: &Node) -> Option<Then> {
    Some(match reader.static_string(node, "`then`")?.as_str() {
        "close" => Then::Close,
        "half-close" => Then::HalfClose,
        "reset" => Then::Reset,
        other => {
            let message = format!("`then` is `\"close\"`, `\"reset\"` or `\"half-close\"`, not `{other}`");
            reader.mistake(&node.span, message);
            return None;
        }
    })
}

fn lower_pace(reader: &mut Reader, node: &Node) -> Option<(usize, Duration)> {
    let text = reader.static_string(node, "`pace`")?;
    let parsed = text.split_once('/').and_then(|(size, pause)| Some((parse_size(size)?, parse_duration(pause)?)));
    match parsed {
        Some((size @ 1.., pause)) => Some((size as usize, pause)),
        _ => {
            let message = format!("`pace` is bytes and a pause, `\"1B/2ms\"`, not `{text}`");
            reader.mistake(&node.span, message);
            None
        }
    }
}
