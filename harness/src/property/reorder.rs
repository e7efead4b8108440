//! `reorder`: a datagram that overtakes another one does no harm.

use super::datagrams;
use super::edit::with_steps;
use super::{Base, Parameters, Property, Variant};
use crate::document::Node;
use crate::random::Random;
use crate::testcase::step::{parts, step, verb};

pub(super) const PROPERTY: Property = Property {
    name: "reorder",
    about: "two requests that come in the other order are both answered, in whatever order",
    sends: "the case with two neighbouring requests in the other order, one right after the other",
    judges: "that all their answers come, in any order, and the case's other expectations",
    cost: "one play for each pair of neighbours",
    asked: Some("a request may need what the one before it did"),
    parameters: &[],
    reduces: false,
    disturbs: false,
    plan,
    controls: |_| Some(Vec::new()),
};

fn plan(base: &Base, _parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    let talk = datagrams::talk(base)?;
    if talk.exchanges.len() < 2 {
        return Err("it takes two requests, and the case has one".into());
    }
    let mut variants = Vec::new();
    for first in 0..talk.exchanges.len() - 1 {
        let (one, other) = (&talk.exchanges[first], &talk.exchanges[first + 1]);
        let answers: Option<Vec<Node>> = one.1.iter().chain(&other.1).map(matcher).collect();
        let Some(answers) = answers.filter(|answers| !answers.is_empty()) else { continue };
        let mut steps = talk.opening.clone();
        for (send, answers) in &talk.exchanges[..first] {
            steps.push(send.clone());
            steps.extend(answers.clone());
        }
        let actor = parts(&one.0).and_then(|(actor, _)| actor.map(str::to_owned));
        steps.extend([other.0.clone(), one.0.clone(), step(actor.as_deref(), "expect_set", answers)]);
        for (send, answers) in &talk.exchanges[first + 2..] {
            steps.push(send.clone());
            steps.extend(answers.clone());
        }
        steps.extend(talk.closing.clone());
        let what = format!("datagram {} overtakes datagram {}", first + 2, first + 1);
        variants.push(Variant::new(what, with_steps(&base.case, steps)));
    }
    if variants.is_empty() { Err("no two neighbouring requests are answered".into()) } else { Ok(variants) }
}

/// What a step expects.
fn matcher(node: &Node) -> Option<Node> {
    (verb(node) == Some("expect")).then(|| parts(node)?.1.get("expect").cloned()).flatten()
}
