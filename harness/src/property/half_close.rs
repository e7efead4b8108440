//! `half-close`: what was asked for is answered although the client says that it will ask no more.

use super::edit::{exchanges, strip_sends, with_steps};
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
    if base.transport.is_datagram() {
        return Err("it is about streams, and the case speaks in datagrams".into());
    }
    let talk = exchanges(&base.case)?;
    let count = talk.exchanges.len();
    let variants: Vec<Variant> = (0..count)
        .rev()
        .filter(|last| !talk.exchanges[*last].1.is_empty())
        .map(|last| {
            let mut steps = talk.opening.clone();
            for (at, (send, answers)) in talk.exchanges[..=last].iter().enumerate() {
                steps.push(if at == last { with(send.clone(), "then", "half-close") } else { send.clone() });
                steps.extend(answers.clone());
            }
            if last + 1 == count {
                steps.extend(talk.closing.clone());
            }
            let case = with_steps(&base.case, steps);
            Variant::new(format!("no more is sent after message {}", last + 1), case)
        })
        .collect();
    if variants.is_empty() { Err("no request of the case has an answer that is expected".into()) } else { Ok(variants) }
}

fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let mut open = case.clone();
    strip_sends(&mut open, &["then"]);
    Some(vec![open])
}
