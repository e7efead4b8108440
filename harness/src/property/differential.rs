//! `differential`: another server says the same.

use super::edit::recorded;
use super::{Base, Kind, Parameters, Property, Variant};
use crate::document::{Node, Table, Value};
use crate::random::Random;
use crate::testcase::TestCase;

/// The name of the other server.
const OTHER: &str = "other";

/// The name of the first, where it has none.
const FIRST: &str = "first";

pub(super) const PROPERTY: Property = Property {
    name: "differential",
    about: "another server answers the same bytes with the same bytes",
    sends: "what the case sends, byte for byte, to the server of `against`",
    judges: "that what comes in return is what the first server says, each time it is asked; what that says differently from \
             time to time is no difference",
    cost: "a few plays on each server",
    asked: Some("it needs another server: `differential = { against = \"tcp://127.0.0.1:7002\" }`"),
    parameters: &[("against", Kind::Text, "the URL of the other server")],
    reduces: false,
    disturbs: false,
    plan,
    controls,
};

fn plan(base: &Base, parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    let against = parameters.text("against");
    let against = against.ok_or("it needs another server: `differential = { against = \"tcp://127.0.0.1:7002\" }`")?;
    let mut case = recorded(base)?;
    case.connections(1);
    let document = case.document_mut();
    let targets =
        document.remove("target").and_then(|node| node.as_table().cloned()).ok_or("the case has no target")?;
    let is_one = ["address", "builtin", "command"]
        .iter()
        .any(|key| targets.get(key).is_some_and(|node| node.as_table().is_none()));
    if !is_one {
        return Err("it is for files with one `[target]`".into());
    }
    let targets =
        Table::of([(FIRST, Node::from(rewritten(targets))), (OTHER, Table::of([("address", against)]).into())]);
    document.set("target", targets);
    let mut actor = document.get("actor").and_then(Node::as_table).cloned().unwrap_or_default();
    if actor.entries.is_empty() {
        actor.set("client", Table::default());
        for node in case.lane_mut("steps").into_iter().flatten() {
            *node = super::edit::spoken_by(node, "client");
        }
    }
    let document = case.document_mut();
    document.set("actor", actor);
    connect_to(&mut case, OTHER);
    Ok(vec![Variant::new(format!("what the first server says, asked of {against}"), case)])
}

/// A target's own port has another name now.
fn rewritten(mut target: Table) -> Table {
    fn rename(value: &mut Value) {
        match value {
            Value::String(text) => *text = text.replace("${target.", &format!("${{{FIRST}.")),
            Value::Array(items) => items.iter_mut().for_each(|item| rename(&mut item.value)),
            Value::Table(table) => table.entries.iter_mut().for_each(|entry| rename(&mut entry.node.value)),
            _ => {}
        }
    }
    target.entries.iter_mut().for_each(|entry| rename(&mut entry.node.value));
    target
}

fn connect_to(case: &mut TestCase, target: &str) {
    if let Some(Value::Table(actors)) = case.document_mut().get_mut("actor").map(|node| &mut node.value) {
        for entry in &mut actors.entries {
            if let Value::Table(actor) = &mut entry.node.value {
                actor.set("connect", target);
            }
        }
    }
}

/// The first server says it again.
fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let mut first = case.clone();
    connect_to(&mut first, FIRST);
    Some(vec![first])
}
