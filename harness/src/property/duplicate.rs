//! `duplicate`: a datagram that comes twice does no harm.

use std::time::Duration;

use super::edit::{noted, without_note};
use super::talk::{Exchange, in_datagrams};
use super::{Base, Parameters, Property, Variant};
use crate::random::Random;
use crate::testcase::step::drain;

/// How long nothing may come before the next request.
const QUIET: Duration = Duration::from_millis(20);

/// The note on what comes a second time.
const AGAIN: &str = "again";

pub(super) const PROPERTY: Property = Property {
    name: "duplicate",
    about: "a datagram that the network delivers twice changes nothing for the rest of the conversation",
    sends: "the case with one datagram twice, for each of them",
    judges: "the case's own expectations; what else comes before the next request is dropped",
    cost: "one play for each datagram",
    asked: Some("a request that changes something may well change it twice"),
    parameters: &[],
    reduces: true,
    disturbs: false,
    plan,
    controls: |case| without_note(case, AGAIN),
};

fn plan(base: &Base, _parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    let talk = in_datagrams(base)?;
    let make = |again: usize| {
        let each = |at: usize, exchange: &Exchange| {
            let mut steps = exchange.steps();
            if at == again {
                steps.insert(1, noted(exchange.send.clone(), AGAIN));
                steps.push(noted(drain(exchange.speaker(), QUIET), AGAIN));
            }
            steps
        };
        Variant::new(format!("datagram {} twice", again + 1), talk.with_each(&base.case, each))
    };
    Ok((0..talk.exchanges.len()).map(make).collect())
}
