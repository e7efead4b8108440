//! `duplicate`: a datagram that comes twice does no harm.

use super::datagrams::{self, QUIET};
use super::edit::{noted, with_steps, without_note};
use super::{Base, Parameters, Property, Variant};
use crate::random::Random;
use crate::testcase::step::{drain, parts};

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
    let talk = datagrams::talk(base)?;
    let make = |again: usize| {
        let mut steps = talk.opening.clone();
        for (at, (send, answers)) in talk.exchanges.iter().enumerate() {
            steps.push(send.clone());
            if at == again {
                steps.push(noted(send.clone(), AGAIN));
            }
            steps.extend(answers.clone());
            if at == again {
                let actor = parts(send).and_then(|(actor, _)| actor.map(str::to_owned));
                steps.push(noted(drain(actor.as_deref(), QUIET), AGAIN));
            }
        }
        steps.extend(talk.closing.clone());
        Variant::new(format!("datagram {} twice", again + 1), with_steps(&base.case, steps))
    };
    Ok((0..talk.exchanges.len()).map(make).collect())
}
