//! `correlate` and `order`: each of many requests under way has its own answer.

use std::sync::Arc;

use super::edit::{note, noted, with_steps};
use super::judge::Parts;
use super::talk::{exchanges, some};
use super::{Base, Kind, Parameters, Property, Variant};
use crate::document::{Node, Table, Value};
use crate::random::Random;
use crate::testcase::TestCase;
use crate::testcase::step::{parts, step, verb, with};

/// How many requests are under way at once.
const REQUESTS: u64 = 16;

/// The most of them.
const REQUESTS_MAX: u64 = 1000;

/// The note on a write of many requests.
const MANY: &str = "all at once";

const PARAMETERS: &[(&str, Kind, &str)] = &[
    (
        "by",
        Kind::Text,
        "the field that a request and its answer share; without it, `correlate` of the protocol's description",
    ),
    ("requests", Kind::Number, "how many requests are under way at once: 16"),
];

pub(super) const CORRELATE: Property = Property {
    name: "correlate",
    about: "of many requests under way on a connection each gets exactly one answer, with its own identifier",
    sends: "a request of the case 16 times in one write, each with an identifier of its own",
    judges: "that exactly one answer comes for each identifier, in any order, as the case expects it",
    cost: "one play for each kind of request",
    asked: Some("it takes a protocol whose messages have identifiers"),
    parameters: PARAMETERS,
    reduces: true,
    disturbs: false,
    plan: |base, parameters, random| plan(base, parameters, random, false),
    controls,
};

pub(super) const ORDER: Property = Property {
    name: "order",
    about: "requests under way on a connection are answered in the order in which they were sent",
    sends: "a request of the case 16 times in one write, each with an identifier of its own",
    judges: "that the answers come in the order of the requests, as the case expects them",
    cost: "one play for each kind of request",
    asked: Some("a server may answer as it likes where answers have identifiers"),
    parameters: PARAMETERS,
    reduces: true,
    disturbs: false,
    plan: |base, parameters, random| plan(base, parameters, random, true),
    controls,
};

fn plan(base: &Base, parameters: &Parameters, random: &mut Random, ordered: bool) -> Result<Vec<Variant>, String> {
    let talk = exchanges(&base.case)?;
    let count = parameters.number("requests").unwrap_or(REQUESTS).clamp(2, REQUESTS_MAX);
    let first = 1 + random.below(1000);
    let mut variants = Vec::new();
    for (at, exchange) in talk.exchanges.iter().enumerate() {
        let [answer] = exchange.answers.as_slice() else { continue };
        let Some((actor, table)) = parts(&exchange.send) else { continue };
        let Some(payload) = table.get("send") else { continue };
        let by = parameters.text("by").map(str::to_owned).or_else(|| described(base, payload));
        let Some(by) = by else { continue };
        let expected = parts(answer).and_then(|(_, table)| table.get("expect").cloned());
        let Some(expected) = expected.filter(|_| verb(answer) == Some("expect")) else { continue };
        let asked = Asked {
            case: base.case.clone(),
            opening: talk.before(at),
            actor: actor.map(str::to_owned),
            payload: payload.clone(),
            expected,
            first,
            ordered,
            apart: base.transport.is_datagram(),
            by,
        };
        let every: Vec<usize> = (0..count as usize).collect();
        let Some(case) = asked.together(&every) else { continue };
        let what = format!("message {} {count} times at once, each with its own `{}`", at + 1, asked.by);
        // A counterexample is as few of them as it takes.
        let parts = Parts { choices: vec![0; every.len()], make: Arc::new(move |kept, _| asked.together(kept)) };
        variants.push(Variant { parts: Some(parts), ..Variant::new(what, case) });
    }
    some(
        variants,
        "it takes a message by name, `{ get = { id = 7, .. } }`, and an answer that is expected by name with the same field: \
         `correlate = { by = \"id\" }`, or `correlate` in the protocol's description",
    )
}

/// One kind of request, and its answer.
struct Asked {
    case: TestCase,
    /// What is said before.
    opening: Vec<Node>,
    actor: Option<String>,
    payload: Node,
    expected: Node,
    /// The field that they share, and its first value.
    by: String,
    first: u64,
    ordered: bool,
    /// Datagrams stay apart.
    apart: bool,
}

impl Asked {
    /// The case with the requests of these numbers at once.
    fn together(&self, numbers: &[usize]) -> Option<TestCase> {
        if numbers.is_empty() {
            return None;
        }
        let actor = self.actor.as_deref();
        let all = |node: &Node| -> Option<Vec<Node>> {
            numbers.iter().map(|number| identified(node, &self.by, (self.first + *number as u64) as i64)).collect()
        };
        let many = step(actor, "send", all(&self.payload)?);
        let many = if self.apart { many } else { with(many, "coalesce", true) };
        let mut steps = self.opening.clone();
        steps.push(noted(many, MANY));
        let wanted = all(&self.expected)?;
        if self.ordered {
            steps.extend(wanted.into_iter().map(|wanted| step(actor, "expect", wanted)));
        } else {
            steps.push(step(actor, "expect_set", wanted));
        }
        Some(with_steps(&self.case, steps))
    }
}

/// The field that the description says.
fn described(base: &Base, payload: &Node) -> Option<String> {
    let [only] = payload.as_table()?.entries.as_slice() else { return None };
    let (_, message) = base.protocol.as_ref()?.message(&only.key)?;
    let [at] = message.correlate.as_ref()?.path[..] else { return None };
    Some(message.fields.get(at)?.name.to_string())
}

/// A message by name with this identifier, where it has one.
fn identified(node: &Node, by: &str, id: i64) -> Option<Node> {
    let [only] = node.as_table()?.entries.as_slice() else { return None };
    let mut fields = only.node.as_table()?.clone();
    fields.set(by, id);
    Some(Table::of([(only.key.as_str(), fields)]).into())
}

/// The same requests, each after the answer to the one before it.
fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let mut apart = case.clone();
    let lane = apart.lane_mut("steps")?;
    let steps = std::mem::take(lane);
    let many = steps.iter().position(|node| note(node) == Some(MANY))?;
    let (actor, table) = parts(&steps[many])?;
    let payloads = table.get("send")?.as_array()?;
    let wanted: Vec<Node> = match steps.get(many + 1).and_then(|node| parts(node)?.1.get("expect_set").cloned()) {
        Some(Node { value: Value::Array(wanted), .. }) => wanted,
        _ => {
            let expected = |node: &Node| parts(node)?.1.get("expect").cloned();
            steps[many + 1..].iter().map_while(expected).collect()
        }
    };
    if payloads.len() != wanted.len() {
        return None;
    }
    lane.extend(steps[..many].iter().cloned());
    for (payload, wanted) in payloads.iter().zip(wanted) {
        lane.push(step(actor, "send", payload.clone()));
        lane.push(step(actor, "expect", wanted));
    }
    Some(vec![apart])
}
