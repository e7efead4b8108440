//! `prefix-close`: a client that goes away in the middle of a message harms nobody else.

use super::edit::{beside, spoken_by, with_steps, without};
use super::talk::{is_stream, repeats, some};
use super::{Base, Parameters, Property, Variant};
use crate::random::Random;
use crate::testcase::TestCase;
use crate::testcase::step::{close, connect, reset, send_raw};

/// How many places of one message a client goes away at.
const PLACES: usize = 24;

/// What the names of connections that go away end with.
pub(super) const GONE: &str = "[0]";

pub(super) const PROPERTY: Property = Property {
    name: "prefix-close",
    about: "a client that goes away in the middle of a message, in order or abruptly, leaves the server as it was for the next",
    sends: "on one connection the case up to somewhere in a message, then a close or a reset; on another one the whole case",
    judges: "the case's own expectations, on the other connection",
    cost: "two plays for each of up to 24 places of a message",
    asked: None,
    parameters: &[],
    reduces: true,
    disturbs: true,
    plan,
    controls,
};

fn plan(base: &Base, _parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    is_stream(base)?;
    repeats(base)?;
    let (case, names) = beside(&base.case, 2).ok_or("it is for cases with one connection and without loops")?;
    let gone = Some(names[0].as_str());
    let own = case.lanes().first().map(|(_, steps)| steps.to_vec()).unwrap_or_default();
    let mut variants = Vec::new();
    for (number, sent) in base.sends.iter().enumerate() {
        for place in places(sent.len) {
            let mut said: Vec<_> = own[..sent.at].iter().map(|node| spoken_by(node, &names[0])).collect();
            if said.is_empty() {
                said.push(connect(gone));
            }
            if place > 0 {
                said.push(send_raw(gone, &sent.bytes[..place]));
            }
            for (how, end) in [("closes", close(gone)), ("resets", reset(gone))] {
                let mut steps = said.clone();
                steps.push(end);
                steps.extend(own.clone());
                let case = with_steps(&case, steps);
                let what =
                    format!("another client {how} after {place} of {} bytes of message {}", sent.len, number + 1);
                variants.push(Variant::new(what, case));
            }
        }
    }
    some(variants, "the case sends nothing")
}

/// Where a message is left: in the middle first.
fn places(len: usize) -> Vec<usize> {
    let mut places: Vec<usize> = match len {
        ..=PLACES => (0..len).collect(),
        _ => (0..PLACES).map(|at| at * (len - 1) / (PLACES - 1)).collect(),
    };
    places.sort_by_key(|place| place.abs_diff(len / 2));
    places
}

fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let other = without(case, |actor| actor.is_some_and(|actor| actor.ends_with(GONE)));
    (other.content() != case.content()).then_some(vec![other])
}
