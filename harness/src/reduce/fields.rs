//! Messages by name: bytes that are one become one, and fields that need not be given go back to their defaults.
//!
//! Lengths and checksums are computed again as soon as nobody gives them.

use std::sync::Arc;

use super::{Reducer, bytes, steps};
use crate::document::{Node, Table, Value};
use crate::framing::{Decoded, Framing};
use crate::matcher::Speaking;
use crate::protocol::{Given, Protocol};
use crate::scenario::{Actor, Known, Scenario};
use crate::testcase::TestCase;
use crate::testcase::payload::payload;
use crate::testcase::step::parts;

impl Reducer<'_> {
    /// Says bytes as messages where they are one, and gives as few fields as it takes.
    pub(super) fn default_fields(&mut self) {
        let spoken = speakers(&self.best);
        for send in 0..steps::count_sends(&mut self.best.clone()) {
            if self.is_over() || self.is_locked_send(send) {
                continue;
            }
            for at in 0..steps::payload_count(&mut self.best.clone(), send) {
                if let Some(Some((speaking, framing))) = spoken.get(send) {
                    self.name_message(send, at, speaking, framing.as_deref());
                }
                self.drop_fields(send, at);
            }
        }
    }

    /// Puts a message by name in the place of its bytes: as they are, or else as they should be.
    fn name_message(&mut self, send: usize, at: usize, speaking: &Speaking, framing: Option<&dyn Framing>) {
        let mut case = self.best.clone();
        let folder = case.folder.clone();
        let Some(node) = steps::payload_mut(&mut case, send, at) else { return };
        // What is said past the framing may be what the framing would have said.
        let Some(data) = bytes::Data::read(node, &folder).filter(|data| data.is_bare() || data.is_raw()) else {
            return;
        };
        let Some(bytes) = data.bytes() else { return };
        let framing = framing.filter(|_| data.is_raw());
        let body: &[u8] = match framing.map(|framing| framing.decode(&bytes, 0)) {
            Some(Ok(Decoded::Message { start, end, consumed })) if consumed == bytes.len() => &bytes[start..end],
            _ => &bytes,
        };
        let Some(message) = named(body, speaking).or_else(|| named(&bytes, speaking)) else { return };
        *node = message;
        self.test(case);
    }

    /// Gives as few fields as it takes: the outermost first.
    fn drop_fields(&mut self, send: usize, at: usize) {
        for depth in 0..FIELDS_DEEP {
            let mut tables = Vec::new();
            let mut base = self.best.clone();
            let Some(node) = steps::payload_mut(&mut base, send, at) else { return };
            if !is_message(node) {
                return;
            }
            find_tables(node, &mut Vec::new(), depth + 1, &mut tables);
            for path in tables {
                let base = self.best.clone();
                let mut looked = base.clone();
                let table = steps::payload_mut(&mut looked, send, at).and_then(|node| bytes::leaf_mut(node, &path));
                let Some(count) = table.as_ref().and_then(|node| Some(node.as_table()?.entries.len())) else {
                    continue;
                };
                self.delete(count, &|_| false, &|kept| {
                    let mut case = base.clone();
                    let node = steps::payload_mut(&mut case, send, at).and_then(|node| bytes::leaf_mut(node, &path));
                    if let Some(Value::Table(table)) = node.map(|node| &mut node.value) {
                        let mut at = 0;
                        table.entries.retain(|_| {
                            at += 1;
                            kept.contains(&(at - 1))
                        });
                    }
                    case
                });
            }
        }
    }
}

/// How deep in messages fields are looked for.
const FIELDS_DEEP: usize = 4;

/// Whether a payload is a message by name.
pub fn is_message(node: &Node) -> bool {
    match node.as_table().map(|table| table.entries.as_slice()) {
        Some([entry]) => !crate::scenario::PAYLOADS.contains(&entry.key.as_str()) && entry.node.as_table().is_some(),
        _ => false,
    }
}

/// The ways to the tables so deep in a payload: the message's fields are the first.
fn find_tables(node: &Node, path: &mut Vec<usize>, depth: usize, found: &mut Vec<Vec<usize>>) {
    let inner: Vec<&Node> = match &node.value {
        Value::Table(table) if depth == 0 => {
            if !table.entries.is_empty()
                && !table.entries.iter().all(|entry| crate::scenario::PAYLOADS.contains(&entry.key.as_str()))
            {
                found.push(path.clone());
            }
            return;
        }
        Value::Table(table) => table.entries.iter().map(|entry| &entry.node).collect(),
        Value::Array(items) => items.iter().collect(),
        _ => return,
    };
    // The elements of a list are as deep as the list.
    let deeper = if matches!(node.value, Value::Array(_)) { depth } else { depth - 1 };
    for (at, node) in inner.into_iter().enumerate() {
        path.push(at);
        find_tables(node, path, deeper, found);
        path.pop();
    }
}

/// What somebody speaks, and where a message of it ends.
type Spoken = (Speaking, Option<Arc<dyn Framing>>);

/// Where a message of an actor ends; `None` where there is no such actor.
pub(super) fn framing_of(scenario: &Scenario, actor: Option<&str>) -> Option<Option<Arc<dyn Framing>>> {
    let mut actors = scenario.actors.iter();
    match actor {
        Some(name) => actors.find(|actor| is_called(actor, name)).map(|actor| actor.framing.clone()),
        None => actors.next().map(|actor| actor.framing.clone()),
    }
}

/// Whether an actor has this name, or is one of a group that has it.
fn is_called(actor: &Actor, name: &str) -> bool {
    actor.name == name || actor.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('['))
}

/// What the actor of each step that sends speaks.
fn speakers(case: &TestCase) -> Vec<Option<Spoken>> {
    let known = Known { read: Some(crate::document::read_text), ..Known::default() };
    let Ok(scenario) = case.load("case.toml", &known) else { return Vec::new() };
    let of = |actor: &Actor| Some((actor.speaks()?, actor.framing.clone()));
    let speaks = |name: &str| scenario.actors.iter().find(|actor| is_called(actor, name)).and_then(of);
    let only = scenario.actors.iter().find_map(of);
    let mut found = Vec::new();
    for (lane, steps) in case.lanes() {
        steps.iter().for_each(|step| {
            visit(step, (lane != "steps").then_some(lane), &mut |actor| {
                found.push(actor.map_or_else(|| only.clone(), speaks));
            });
        });
    }
    found
}

/// Tells whose each step is that sends, in the order of [`steps::send_mut`].
fn visit(step: &Node, owner: Option<&str>, tell: &mut dyn FnMut(Option<&str>)) {
    let Some((actor, table)) = parts(step) else { return };
    let actor = actor.or(owner);
    if table.get("send").is_some() {
        return tell(actor);
    }
    fn inner(node: &Node, actor: Option<&str>, tell: &mut dyn FnMut(Option<&str>)) {
        match &node.value {
            Value::Array(items) => items.iter().for_each(|item| match item.value {
                Value::Array(_) => inner(item, actor, tell),
                _ => visit(item, actor, tell),
            }),
            Value::Table(table) => table.get("steps").into_iter().for_each(|steps| inner(steps, actor, tell)),
            _ => {}
        }
    }
    for entry in &table.entries {
        if matches!(entry.key.as_str(), "alt" | "defer" | "for" | "repeat" | "steps") {
            inner(&entry.node, actor, tell);
        }
    }
}

/// The message that some bytes are, by name, with every field that is not what it would be anyway.
fn named(bytes: &[u8], speaking: &Speaking) -> Option<Node> {
    let protocol = &speaking.protocol;
    let decoded = protocol.decode(bytes, true, speaking.speaks()).ok()??;
    if decoded.len != bytes.len() {
        return None;
    }
    let name = &protocol.messages[decoded.message].name;
    let fields = fields(protocol, decoded.message, decoded.given(protocol, bytes), &|_| false)?;
    Some(Table::of([(&**name, fields)]).into())
}

/// Fields as a scenario has them. What the description gives by itself need not stand there, unless it `stays`.
pub(crate) fn fields(
    protocol: &Arc<Protocol>,
    message: usize,
    mut given: Vec<(Arc<str>, Given)>,
    stays: &dyn Fn(&str) -> bool,
) -> Option<Table> {
    let wanted = protocol.encode(message, &given).ok()?;
    for at in (0..given.len()).rev().filter(|at| !stays(&given[*at].0)).collect::<Vec<_>>() {
        let field = given.remove(at);
        if protocol.encode(message, &given).ok().as_ref() != Some(&wanted) {
            given.insert(at, field);
        }
    }
    Some(table(protocol, &given))
}

fn table(protocol: &Arc<Protocol>, given: &[(Arc<str>, Given)]) -> Table {
    Table::of(given.iter().map(|(name, value)| (&**name, node(protocol, value))))
}

fn node(protocol: &Arc<Protocol>, given: &Given) -> Node {
    match given {
        Given::Bytes(bytes) => payload(bytes),
        Given::List(items) => items.iter().map(|item| node(protocol, item)).collect::<Vec<_>>().into(),
        Given::Number(number) => i64::try_from(*number).map_or_else(|_| number.to_string().into(), Node::from),
        Given::Table(fields) => table(protocol, fields).into(),
    }
}
