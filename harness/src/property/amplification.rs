//! `amplification`: an answer is not many times as long as its request.

use super::edit::with_steps;
use super::talk::{in_datagrams, some};
use super::{Base, Kind, Parameters, Property, Variant};
use crate::document::{Node, Table};
use crate::random::Random;
use crate::testcase::step::{step, verb};

/// How many times as long an answer may be unless somebody says otherwise.
const FACTOR: u64 = 10;

pub(super) const PROPERTY: Property = Property {
    name: "amplification",
    about: "no answer is more than 10 times as long as the datagram that asks for it, so that nobody is flooded with a forged sender",
    sends: "the case up to each datagram",
    judges: "the length of each answer",
    cost: "one play for each datagram",
    asked: Some("how much is too much depends on the protocol"),
    parameters: &[("factor", Kind::Number, "how many times as long an answer may be: 10")],
    reduces: false,
    disturbs: false,
    plan,
    controls: |_| Some(Vec::new()),
};

fn plan(base: &Base, parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    let talk = in_datagrams(base)?;
    let factor = parameters.number("factor").unwrap_or(FACTOR);
    let mut variants = Vec::new();
    for (last, exchange) in talk.exchanges.iter().enumerate() {
        let Some(sent) = base.sends.get(last).filter(|_| !exchange.answers.is_empty()) else { continue };
        let mut steps = talk.before(last);
        steps.push(exchange.send.clone());
        let most = (sent.len as u64).saturating_mul(factor) as i64;
        let short = || Table::of([("length", Table::of([("max", most)]))]);
        let short = |_: &Node| step(exchange.speaker(), "expect", short());
        steps.extend(exchange.answers.iter().filter(|node| verb(node) == Some("expect")).map(short));
        let what = format!("an answer to the {} bytes of datagram {} of more than {most}", sent.len, last + 1);
        variants.push(Variant::new(what, with_steps(&base.case, steps)));
    }
    some(variants, "nothing is answered")
}
