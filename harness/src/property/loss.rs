//! `loss`: a datagram that never comes does no harm to those that do.

use super::talk::{Exchange, in_datagrams};
use super::{Base, Parameters, Property, Variant};
use crate::random::Random;

pub(super) const PROPERTY: Property = Property {
    name: "loss",
    about: "the requests that come are answered although one before them never came",
    sends: "the case without one request, for each of them",
    judges: "the case's own expectations of the others",
    cost: "one play for each request",
    asked: Some("a request may need what an earlier one did"),
    parameters: &[],
    reduces: false,
    disturbs: false,
    plan,
    controls: |_| Some(Vec::new()),
};

fn plan(base: &Base, _parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    let talk = in_datagrams(base)?;
    let count = talk.exchanges.len();
    if count < 2 {
        return Err("it takes two requests, and the case has one".into());
    }
    let make = |lost: usize| {
        let each = |at: usize, exchange: &Exchange| if at == lost { Vec::new() } else { exchange.steps() };
        Variant::new(format!("datagram {} never comes", lost + 1), talk.with_each(&base.case, each))
    };
    Ok((0..count).map(make).collect())
}
