//! What goes wrong on a link: `[[fault]]` for every case, `[[case.fault]]` for one.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::actor::{Actor, Actors, Connect, Role};
use super::send::lower_corrupt;
use crate::document::{Entry, Node, Reader, Table, Value, did_you_mean, parse_duration, parse_size};
use crate::fault::{CONTAINS_LEN_MAX, CORRUPT_AT_MAX, Direction, Do, FAULTS, FAULTS_MAX, Fault, REORDER_MAX, When};
use crate::protocol::Protocol;

const KEYS: &[&str] = &["on", "when", "do"];

const WHEN_KEYS: &[&str] = &["after", "byte", "connection", "contains", "every", "message", "nth", "probability"];

/// The names that faults of a file and of its cases act on.
pub(super) fn names(table: &Table, found: &mut Vec<String>) {
    let items = |node: Option<&Node>| match node.map(|node| &node.value) {
        Some(Value::Array(items)) => items.clone(),
        _ => Vec::new(),
    };
    for item in items(table.get("fault")) {
        let Value::Table(fault) = &item.value else { continue };
        if let Some(Value::String(on)) = fault.get("on").map(|node| &node.value) {
            let name = on.strip_suffix(".up").or(on.strip_suffix(".down")).unwrap_or(on);
            found.push(name.to_owned());
        }
    }
    for case in items(table.get("case")) {
        if let Value::Table(case) = &case.value {
            names(case, found);
        }
    }
}

/// Reads `fault` of a file or a case. `marked` has the steps whose marks a fault can wait for.
pub(super) fn lower_all(reader: &mut Reader, table: &Table, marked: &[&Node], actors: &Actors) -> Vec<Fault> {
    let Some(entry) = table.entry("fault") else { return Vec::new() };
    if let Value::Table(_) = entry.node.value {
        let hint = "`[[fault]]` or `[[case.fault]]`, with two brackets, begins each";
        reader.mistake_with_hint(&entry.key_span, "faults are a list, and this is one table", hint);
        return Vec::new();
    }
    let Some(items) = reader.array(&entry.node, "`fault`") else { return Vec::new() };
    if items.len() > FAULTS_MAX {
        reader.mistake(&entry.key_span, format!("there are at most {FAULTS_MAX} faults, not {}", items.len()));
    }
    let mut marks = Vec::new();
    marked.iter().for_each(|node| find_marks(node, &mut marks));
    items.iter().take(FAULTS_MAX).filter_map(|item| lower(reader, item, &marks, actors)).collect()
}

/// The names of the marks that steps set.
fn find_marks(node: &Node, marks: &mut Vec<String>) {
    match &node.value {
        Value::Array(items) => items.iter().for_each(|item| find_marks(item, marks)),
        Value::Table(table) => {
            for entry in &table.entries {
                match (entry.key.as_str(), &entry.node.value) {
                    ("mark", Value::String(name)) => marks.push(name.clone()),
                    // A fault is no step.
                    ("fault", _) => {}
                    _ => find_marks(&entry.node, marks),
                }
            }
        }
        _ => {}
    }
}

fn lower(reader: &mut Reader, node: &Node, marks: &[String], actors: &Actors) -> Option<Fault> {
    let table = reader.table(node, "a fault")?;
    reader.check_keys(table, KEYS, "a fault");
    let span = match table.entry("do").or(table.entry("on")) {
        Some(entry) => entry.key_span.start..entry.node.span.end,
        None => node.span.clone(),
    };
    let on = match table.get("on") {
        Some(on) => lower_on(reader, on, actors),
        None => {
            let hint = "`on = \"middle\"` names a relay, `\"middle.up\"` or `\"middle.down\"` one direction through it";
            reader.mistake_with_hint(&node.span, "a fault says where it acts", hint);
            None
        }
    };
    let when = match table.get("when") {
        Some(when) => {
            let protocol = on.and_then(|(at, _)| actors.list[at].protocol.as_deref());
            lower_when(reader, when, marks, protocol)
        }
        None => Some(When::default()),
    };
    let does = match table.get("do") {
        Some(does) => lower_do(reader, does, on.map(|(at, _)| is_datagram(actors, at))),
        None => {
            let hint = "`do = { delay = \"30ms\" }`, `{ cut = true }`, `{ drop = true }`, ..";
            reader.mistake_with_hint(&node.span, "a fault says what it does", hint);
            None
        }
    };
    let (on, direction) = on?;
    Some(Fault { place: reader.source().place(span), on, direction, when: when?, does: does? })
}

fn lower_on(reader: &mut Reader, node: &Node, actors: &Actors) -> Option<(usize, Option<Direction>)> {
    let text = reader.static_string(node, "`on`")?;
    let (name, direction) = match text.rsplit_once('.') {
        Some((name, "up")) => (name, Some(Direction::Up)),
        Some((name, "down")) => (name, Some(Direction::Down)),
        Some((name, direction)) if actors.list.iter().any(|actor| actor.name == name) => {
            let hint = format!(
                "`\"{name}.up\"` is what its clients send, `\"{name}.down\"` what they are answered, `\"{name}\"` both"
            );
            reader.mistake_with_hint(&node.span, format!("unknown direction `{direction}`"), hint);
            return None;
        }
        _ => (text.as_str(), None),
    };
    // A fault on a client is one on what it sends.
    let link = actors.list.iter().position(|actor| actor.name == super::actor::link_of(name));
    if let Some(at) = link {
        return Some((at, direction.or(Some(Direction::Up))));
    }
    let is_relay = |at: &usize| matches!(actors.list[*at].role, Role::Relay { .. });
    let found = actors.list.iter().position(|actor| actor.name == name);
    if let Some(at) = found.filter(is_relay) {
        return Some((at, direction));
    }
    let (message, hint) = match actors.names.iter().find(|known| known.name == name) {
        Some(_) => (
            format!("a fault acts on a client or a relay, and `{name}` is a server"),
            format!(
                "`[actor.middle]` with `relay = {{ listen = \"tcp://127.0.0.1:0\", to = \"{name}\" }}` stands in front of it"
            ),
        ),
        None => {
            let relays = actors.list.iter().filter(|actor| matches!(actor.role, Role::Relay { .. }));
            let near = did_you_mean(name, relays.map(|actor| actor.name.as_str()));
            let makes =
                || format!("`[actor.{name}]` with `relay = {{ listen = \"tcp://127.0.0.1:0\", to = \"NAME\" }}`");
            (format!("there is no relay `{name}`"), near.unwrap_or_else(makes))
        }
    };
    reader.mistake_with_hint(&node.span, message, hint);
    None
}

/// Whether a relay carries datagrams.
fn is_datagram(actors: &Actors, at: usize) -> bool {
    let Role::Relay { listen, .. } = &actors.list[at].role else { return false };
    listen.beginning().starts_with(b"udp:")
}

fn lower_when(reader: &mut Reader, node: &Node, marks: &[String], protocol: Option<&Protocol>) -> Option<When> {
    let table = reader.table(node, "`when`")?;
    let known = reader.check_keys(table, WHEN_KEYS, "`when`");
    let mut when = When::default();
    let mut is_whole = known;
    for Entry { key, node, .. } in &table.entries {
        let read = match key.as_str() {
            "after" => lower_after(reader, node, marks).map(|mark| when.after = Some(mark)),
            "byte" => reader.size(node, "`byte`", 0, i64::MAX as u64).map(|byte| when.byte = Some(byte)),
            "connection" => reader
                .integer(node, "`connection`", 1, i64::from(u32::MAX))
                .map(|connection| when.connection = Some(connection as u32)),
            "contains" => lower_contains(reader, node).map(|bytes| when.contains = Some(bytes)),
            "every" => reader.integer(node, "`every`", 1, i64::MAX).map(|every| when.every = Some(every as u64)),
            "message" => lower_message(reader, node, protocol).map(|name| when.message = Some(name)),
            "nth" => lower_nth(reader, node).map(|nth| when.nth = nth),
            "probability" => lower_probability(reader, node).map(|chance| when.probability = Some(chance)),
            _ => Some(()),
        };
        is_whole &= read.is_some();
    }
    is_whole.then_some(when)
}

fn lower_after(reader: &mut Reader, node: &Node, marks: &[String]) -> Option<Arc<str>> {
    let mark = reader.static_string(node, "`after`")?;
    if !marks.contains(&mark) {
        let hint = did_you_mean(&mark, marks.iter().map(String::as_str))
            .unwrap_or_else(|| format!("`mark = \"{mark}\"` on a step sets it"));
        reader.mistake_with_hint(&node.span, format!("no step sets the mark `{mark}`"), hint);
        return None;
    }
    Some(mark.into())
}

/// Reads the name of a message of the relay's protocol.
fn lower_message(reader: &mut Reader, node: &Node, protocol: Option<&Protocol>) -> Option<Arc<str>> {
    let name = reader.static_string(node, "`message`")?;
    let Some(protocol) = protocol else {
        let hint = "`protocol = \"mqtt\"` on the relay says what passes through it";
        reader.mistake_with_hint(&node.span, "`message` goes with a relay that knows its protocol", hint);
        return None;
    };
    if protocol.message(&name).is_none() {
        let known = protocol.messages.iter().map(|message| &*message.name);
        let hint = did_you_mean(&name, known.clone())
            .unwrap_or_else(|| format!("it has {}", known.collect::<Vec<_>>().join(", ")));
        reader.mistake_with_hint(&node.span, format!("there is no message `{name}` in `{}`", protocol.name), hint);
        return None;
    }
    Some(name.into())
}

fn lower_contains(reader: &mut Reader, node: &Node) -> Option<Bytes> {
    let bytes = match &node.value {
        Value::Table(table) => {
            if !reader.check_keys(table, &["hex"], "`contains`") {
                return None;
            }
            let Some(hex) = table.get("hex") else {
                reader.mistake(&node.span, "`contains` is a string or `{ hex = \"00 ff\" }`");
                return None;
            };
            let text = reader.static_string(hex, "`hex`")?;
            match crate::text::parse_hex(&text) {
                Ok(bytes) => Bytes::from(bytes),
                Err(why) => {
                    reader.mistake(&hex.span, why);
                    return None;
                }
            }
        }
        _ => Bytes::from(reader.static_string(node, "`contains`")?),
    };
    if !(1..=CONTAINS_LEN_MAX).contains(&bytes.len()) {
        reader.mistake(&node.span, format!("`contains` is 1 to {CONTAINS_LEN_MAX} bytes, not {}", bytes.len()));
        return None;
    }
    Some(bytes)
}

fn lower_nth(reader: &mut Reader, node: &Node) -> Option<Vec<u64>> {
    let one = |reader: &mut Reader, node: &Node| reader.integer(node, "`nth`", 1, i64::MAX).map(|nth| nth as u64);
    match &node.value {
        Value::Array(items) if items.is_empty() => {
            reader.mistake(&node.span, "`nth` is a number from 1, or several: `[2, 5]`");
            None
        }
        Value::Array(items) => items.iter().map(|item| one(reader, item)).collect(),
        _ => one(reader, node).map(|nth| vec![nth]),
    }
}

fn lower_probability(reader: &mut Reader, node: &Node) -> Option<f64> {
    let chance = match &node.value {
        Value::Float(float) => Some(*float),
        Value::Integer(integer) => Some(*integer as f64),
        Value::String(_) => reader.static_string(node, "`probability`")?.trim().parse().ok(),
        _ => None,
    };
    let chance = chance.filter(|chance| (0.0..=1.0).contains(chance));
    if chance.is_none() {
        reader.mistake(&node.span, "`probability` is a number from 0 to 1: `0.1` is one time in ten");
    }
    chance
}

/// Reads what a fault does. `datagram` says what its relay carries, where that is known.
fn lower_do(reader: &mut Reader, node: &Node, datagram: Option<bool>) -> Option<Do> {
    let table = reader.table(node, "`do`")?;
    let names: Vec<&str> = FAULTS.iter().map(|row| row.name).collect();
    let known: Vec<&str> = names.iter().copied().chain(["jitter"]).collect();
    if !reader.check_keys(table, &known, "`do`") {
        return None;
    }
    let [entry] = table.entries.iter().filter(|entry| names.contains(&entry.key.as_str())).collect::<Vec<_>>()[..]
    else {
        let hint = "two things that go wrong are two faults; only `jitter` stands beside `delay`";
        reader.mistake_with_hint(&node.span, "`do` has one key that says what goes wrong", hint);
        return None;
    };
    let row = FAULTS.iter().find(|row| row.name == entry.key)?;
    if let Some(jitter) = table.entry("jitter").filter(|_| row.name != "delay") {
        reader.mistake(&jitter.key_span, format!("`jitter` goes with `delay`, not with `{}`", row.name));
        return None;
    }
    match datagram {
        Some(false) if !row.streams => {
            let message = format!("`{}` is for datagrams: a stream's bytes all arrive, and in their order", row.name);
            let hint = match row.name {
                "drop" => {
                    "`stall` lets nothing pass for a while, `cut` and `reset` end the connection after some bytes"
                }
                "duplicate" => "`slice`, `delay` and `corrupt` are what a stream can show of a bad link",
                _ => "`delay` with `jitter` shows uneven times, `slice` cuts writes small",
            };
            reader.mistake_with_hint(&entry.key_span, message, hint);
            return None;
        }
        Some(true) if !row.datagrams => {
            let message = format!("`{}` is for streams: datagrams come whole and one by one", row.name);
            let hint = "`drop`, `duplicate`, `reorder`, `corrupt` and `delay` are what happens to datagrams";
            reader.mistake_with_hint(&entry.key_span, message, hint);
            return None;
        }
        _ => {}
    }
    lower_effect(reader, table, entry)
}

fn lower_effect(reader: &mut Reader, table: &Table, entry: &Entry) -> Option<Do> {
    let (key, node) = (entry.key.as_str(), &entry.node);
    Some(match key {
        "corrupt" => {
            let (at, xor) = lower_corrupt(reader, node)?;
            if at as u64 > CORRUPT_AT_MAX {
                reader
                    .mistake(&node.span, format!("`at` is 0 to {CORRUPT_AT_MAX}, counted from where the fault fires"));
                return None;
            }
            Do::Corrupt { at: at as u64, xor }
        }
        "cut" => match &node.value {
            Value::String(_) => match reader.static_string(node, "`cut`")?.as_str() {
                "half" => Do::Cut { half: true },
                other => {
                    let message = format!("`cut` is `true`, or `\"half\"` for one direction alone, not `{other}`");
                    reader.mistake(&node.span, message);
                    return None;
                }
            },
            _ => only_true(reader, node, key).map(|()| Do::Cut { half: false })?,
        },
        "delay" => {
            let delay = reader.duration(node, "`delay`");
            let jitter = match table.get("jitter") {
                Some(node) => reader.duration(node, "`jitter`"),
                None => Some(std::time::Duration::ZERO),
            };
            Do::Delay { delay: delay?, jitter: jitter? }
        }
        "drop" => only_true(reader, node, key).map(|()| Do::Drop)?,
        "duplicate" => only_true(reader, node, key).map(|()| Do::Duplicate)?,
        "rate" => Do::Rate(lower_rate(reader, node)?),
        "reorder" => match &node.value {
            Value::Boolean(_) => only_true(reader, node, key).map(|()| Do::Reorder(1))?,
            _ => Do::Reorder(reader.integer(node, "`reorder`", 1, REORDER_MAX as i64)? as u64),
        },
        "reset" => only_true(reader, node, key).map(|()| Do::Reset)?,
        "slice" => Do::Slice(usize::try_from(reader.size(node, "`slice`", 1, i64::MAX as u64)?).unwrap_or(usize::MAX)),
        _ => Do::Stall(reader.duration(node, "`stall`")?),
    })
}

fn only_true(reader: &mut Reader, node: &Node, key: &str) -> Option<()> {
    if !reader.boolean(node, &format!("`{key}`"))? {
        reader.mistake_with_hint(&node.span, format!("`{key}` takes `true`"), "without the fault nothing happens");
        return None;
    }
    Some(())
}

/// Reads `20KiB/s`, in bytes a second.
fn lower_rate(reader: &mut Reader, node: &Node) -> Option<u64> {
    let text = reader.static_string(node, "`rate`")?;
    let parsed = text.split_once('/').and_then(|(size, time)| {
        let time = if time.trim() == "s" { std::time::Duration::from_secs(1) } else { parse_duration(time)? };
        let rate = u128::from(parse_size(size)?) * 1_000_000_000 / time.as_nanos().max(1);
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    });
    if parsed.is_none() {
        let message = format!("`rate` is bytes in a time, at least 1 a second, not `{text}`");
        reader.mistake_with_hint(&node.span, message, "`\"20KiB/s\"`, `\"500B/100ms\"`");
    }
    parsed
}

/// What a relay's two sides have to agree in.
pub(super) fn check_relay(reader: &mut Reader, node: &Node, listen: &[u8], to: &Connect) {
    let scheme = |url: &[u8]| url.split(|byte| *byte == b':').next().unwrap_or_default().to_vec();
    let listens = scheme(listen);
    if listens == b"unixgram" {
        let hint = "`tcp://`, `udp://` and `unix://` are what a relay carries";
        return reader.mistake_with_hint(&node.span, "a relay for Unix datagrams is not supported", hint);
    }
    if listens == b"tls" {
        let hint = "`listen = \"tcp://127.0.0.1:0\"`, and `tls` on whoever connects to it";
        return reader.mistake_with_hint(&node.span, "a relay passes TLS on as it is, and speaks none itself", hint);
    }
    let Connect::Url(to) = to else { return };
    let goes = scheme(to.beginning());
    let is_datagram = |scheme: &[u8]| scheme == b"udp" || scheme == b"unixgram";
    if !goes.is_empty() && is_datagram(&goes) != is_datagram(&listens) {
        let (listens, goes) = (String::from_utf8_lossy(&listens), String::from_utf8_lossy(&goes));
        let message = format!("a relay cannot pass `{listens}://` on to `{goes}://`");
        reader.mistake_with_hint(&node.span, message, "streams go to streams, datagrams to datagrams");
    }
}

/// Relays that pass on to each other, and to nobody else.
pub(super) fn check_circles(reader: &mut Reader, actors: &[Actor], spans: &[&Range<usize>]) {
    let next = |at: usize| match actors[at].role {
        Role::Relay { to: Connect::Actor(to), .. } => Some(to),
        _ => None,
    };
    for (at, span) in spans.iter().enumerate() {
        let circle = std::iter::successors(next(at), |to| next(*to)).take(actors.len()).any(|to| to == at);
        if circle {
            let message = format!("what comes to the relay `{}` comes back to it", actors[at].name);
            reader.mistake_with_hint(span, message, "`to` names a target, a server or a URL in the end");
        }
    }
}
