//! `loss`: a datagram that never comes does no harm to those that do.

use super::datagrams;
use super::edit::with_steps;
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
    let talk = datagrams::talk(base)?;
    if talk.exchanges.len() < 2 {
        return Err("it takes two requests, and the case has one".into());
    }
    let make = |lost: usize| {
        let mut steps = talk.opening.clone();
        for (_, (send, answers)) in talk.exchanges.iter().enumerate().filter(|(at, _)| *at != lost) {
            steps.push(send.clone());
            steps.extend(answers.clone());
        }
        steps.extend(talk.closing.clone());
        Variant::new(format!("datagram {} never comes", lost + 1), with_steps(&base.case, steps))
    };
    Ok((0..talk.exchanges.len()).map(make).collect())
}
