//! `reorder`: a datagram that overtakes another one does no harm.

use super::talk::{Exchange, in_datagrams, some};
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
    let talk = in_datagrams(base)?;
    if talk.exchanges.len() < 2 {
        return Err("it takes two requests, and the case has one".into());
    }
    let mut variants = Vec::new();
    for (first, pair) in talk.exchanges.windows(2).enumerate() {
        let answers: Option<Vec<Node>> = pair.iter().flat_map(|exchange| &exchange.answers).map(matcher).collect();
        let Some(answers) = answers.filter(|answers| !answers.is_empty()) else { continue };
        let both = [pair[1].send.clone(), pair[0].send.clone(), step(pair[0].speaker(), "expect_set", answers)];
        let each = |at: usize, exchange: &Exchange| match at {
            _ if at == first => both.to_vec(),
            _ if at == first + 1 => Vec::new(),
            _ => exchange.steps(),
        };
        let what = format!("datagram {} overtakes datagram {}", first + 2, first + 1);
        variants.push(Variant::new(what, talk.with_each(&base.case, each)));
    }
    some(variants, "no two neighbouring requests are answered")
}

/// What a step expects.
fn matcher(node: &Node) -> Option<Node> {
    (verb(node) == Some("expect")).then(|| parts(node)?.1.get("expect").cloned()).flatten()
}
