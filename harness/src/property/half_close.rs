//! `half-close`: what was asked for is answered although the client says that it will ask no more.

use super::edit::{strip_sends, with_steps};
use super::talk::{Exchange, on_stream, some};
use super::{Base, Parameters, Property, Variant};
use crate::random::Random;
use crate::testcase::TestCase;
use crate::testcase::step::with;

pub(super) const PROPERTY: Property = Property {
    name: "half-close",
    about: "a client that closes its own direction after a request still gets the answer",
    sends: "the case up to each request, and a FIN right after that request",
    judges: "the case's own expectations up to there",
    cost: "one play for each request",
    asked: Some("a server may choose to drop a client that will ask no more (many proxies do)"),
    parameters: &[],
    reduces: true,
    disturbs: false,
    plan,
    controls,
};

fn plan(base: &Base, _parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    let talk = on_stream(base)?;
    let answered = talk.exchanges.iter().enumerate().rev().filter(|(_, exchange)| !exchange.answers.is_empty());
    let make = |(last, exchange): (usize, &Exchange)| {
        let mut steps = talk.before(last);
        steps.push(with(exchange.send.clone(), "then", "half-close"));
        steps.extend(exchange.answers.clone());
        if last + 1 == talk.exchanges.len() {
            steps.extend(talk.closing.clone());
        }
        Variant::new(format!("no more is sent after message {}", last + 1), with_steps(&base.case, steps))
    };
    some(answered.map(make).collect(), "no request of the case has an answer that is expected")
}

fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let mut open = case.clone();
    strip_sends(&mut open, &["then"]);
    Some(vec![open])
}
