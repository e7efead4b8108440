//! `amplification`: an answer is not many times as long as its request.

use super::datagrams;
use super::edit::with_steps;
use super::{Base, Kind, Parameters, Property, Variant};
use crate::document::Table;
use crate::random::Random;
use crate::testcase::step::{parts, step, verb};

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
    let talk = datagrams::talk(base)?;
    let factor = parameters.number("factor").unwrap_or(FACTOR);
    let mut variants = Vec::new();
    for (last, (send, answers)) in talk.exchanges.iter().enumerate() {
        let Some(sent) = base.sends.get(last).filter(|_| !answers.is_empty()) else { continue };
        let mut steps = talk.opening.clone();
        for (send, answers) in &talk.exchanges[..last] {
            steps.push(send.clone());
            steps.extend(answers.clone());
        }
        steps.push(send.clone());
        let most = (sent.len as u64).saturating_mul(factor) as i64;
        let short = || Table::of([("length", Table::of([("max", most)]))]);
        let speaker = |node| parts(node).and_then(|(actor, _)| actor.map(str::to_owned));
        let short = |node| step(speaker(node).as_deref(), "expect", short());
        steps.extend(answers.iter().filter(|node| verb(node) == Some("expect")).map(short));
        let what = format!("an answer to the {} bytes of datagram {} of more than {most}", sent.len, last + 1);
        variants.push(Variant::new(what, with_steps(&base.case, steps)));
    }
    if variants.is_empty() { Err("nothing is answered".into()) } else { Ok(variants) }
}
