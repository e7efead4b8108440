//! `no-leak`: whoever comes and goes leaves nothing behind.

use super::edit::speakers;
use super::talk::{on_stream, repeats};
use super::{Base, Kind, Parameters, Property, Variant};
use crate::document::{Node, Table, Value};
use crate::random::Random;
use crate::testcase::TestCase;
use crate::testcase::step::{close, connect, reset, send_raw, verb};

/// How many connections come and go.
const ROUNDS: u64 = 64;

/// How much a server may gain over them unless somebody says otherwise: pools and caches grow, and stop growing.
const MEMORY: &str = "8MiB";

pub(super) const PROPERTY: Property = Property {
    name: "no-leak",
    about: "connections that come and go leave no descriptors, threads or memory behind in the server's process",
    sends: "the case on 64 connections, one after the other; and half of its first message on 64 that are then reset, and on 64 that are closed",
    judges: "by slope after a warm-up: no more than 16 descriptors, 16 threads and 8 MiB gained",
    cost: "192 connections",
    asked: None,
    parameters: &[
        ("memory", Kind::Text, "how much memory may be gained: \"8MiB\""),
        ("rounds", Kind::Number, "how many connections there are: 64"),
    ],
    reduces: false,
    disturbs: false,
    plan,
    controls,
};

fn plan(base: &Base, parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    if !base.ours {
        return Err("the server is not ours to look into: it was not started here".into());
    }
    repeats(base)?;
    on_stream(base)?;
    let rounds = parameters.number("rounds").unwrap_or(ROUNDS).clamp(16, 100_000);
    let [speaker] = speakers(&base.case).try_into().map_err(|_| "it is for cases with one connection")?;
    let speaker: Option<String> = speaker;
    let own = base.case.lanes().first().map(|(_, steps)| steps.to_vec()).unwrap_or_default();
    let mut whole = vec![connect(speaker.as_deref())];
    whole.extend(own.iter().filter(|node| !matches!(verb(node), Some("connect" | "close"))).cloned());
    whole.push(close(speaker.as_deref()));
    let mut variants = vec![Variant::new(format!("{rounds} connections"), repeated(base, parameters, rounds, whole)?)];
    if let Some(sent) = base.sends.first().filter(|sent| sent.len > 1 && sent.at == 0) {
        let half = || send_raw(speaker.as_deref(), &sent.bytes[..sent.len / 2]);
        for (how, end) in [("reset", reset(speaker.as_deref())), ("closed", close(speaker.as_deref()))] {
            let steps = vec![connect(speaker.as_deref()), half(), end];
            let what = format!("{rounds} connections that are {how} in the middle of a message");
            variants.push(Variant::new(what, repeated(base, parameters, rounds, steps)?));
        }
    }
    Ok(variants)
}

fn repeated(base: &Base, parameters: &Parameters, rounds: u64, steps: Vec<Node>) -> Result<TestCase, String> {
    let mut case = base.case.clone();
    let repeat = Table::of([("times", Node::from(rounds as i64)), ("steps", steps.into())]);
    let lane = case.lane_mut("steps").ok_or("it is for cases with one order of steps")?;
    *lane = vec![Table::of([("repeat", repeat)]).into()];
    let most = (rounds / 4) as i64;
    let memory = parameters.text("memory").unwrap_or(MEMORY);
    let limits = [
        ("memory_growth", Node::from(memory)),
        ("descriptors_growth", Node::from(most)),
        ("threads_growth", Node::from(most)),
    ];
    let mut limited = false;
    each_target(&mut case, &mut |target| {
        // What somebody has said of a target already is what holds.
        if target.get("limits").is_none() {
            target.set("limits", Table::of(limits.clone()));
            limited = true;
        }
    });
    if limited { Ok(case) } else { Err("its target has limits of its own".into()) }
}

/// Visits the tables of targets.
fn each_target(case: &mut TestCase, visit: &mut dyn FnMut(&mut Table)) {
    let Some(Value::Table(targets)) = case.document_mut().get_mut("target").map(|node| &mut node.value) else { return };
    let is_one = |table: &Table| {
        ["builtin", "command"].iter().any(|key| table.get(key).is_some_and(|node| node.as_table().is_none()))
    };
    if is_one(targets) {
        return visit(targets);
    }
    for entry in &mut targets.entries {
        if let Value::Table(table) = &mut entry.node.value
            && is_one(table)
        {
            visit(table);
        }
    }
}

fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let mut unlimited = case.clone();
    each_target(&mut unlimited, &mut |target| {
        target.remove("limits");
    });
    Some(vec![unlimited])
}
