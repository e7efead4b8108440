//! `recovers`: after a message that is refused, the same connection goes on as before.
//!
//! What a message of another kind leads to on other connections is for `robust`. Here the message is whole and its refusal an answer
//! like any other, so that whoever lost count of the answers is found.

use super::edit::{framing_of, note, noted, without_note};
use super::talk::{exchanges, some};
use super::{Base, Kind, Parameters, Property, Variant};
use crate::random::Random;
use crate::testcase::TestCase;
use crate::testcase::step::{expect_any, send, verb};

/// The note on steps that are the property's.
const REFUSED: &str = "refused";

/// What no server knows.
const UNKNOWN: &str = "XYZZY";

pub(super) const PROPERTY: Property = Property {
    name: "recovers",
    about: "after a message that is refused, the rest of the conversation holds on the same connection",
    sends: "the case with a message in between that the server does not know, with the actor's framing, before each request",
    judges: "that one message answers it, and the case's own expectations",
    cost: "one play for each request and each message",
    asked: Some("a server may close a connection after an error, or say nothing or more than one message to it"),
    parameters: &[(
        "messages",
        Kind::Texts,
        "a list of messages that are refused: `recovers = [\"XYZZY\"]`, which is what is sent without it",
    )],
    reduces: true,
    disturbs: false,
    plan,
    controls,
};

fn plan(base: &Base, parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    if framing_of(&base.case).is_none() && !base.transport.is_datagram() {
        return Err("it takes an actor with a framing: where an answer ends has to be known".into());
    }
    let talk = exchanges(&base.case)?;
    let messages = parameters.texts("messages").unwrap_or_else(|| vec![UNKNOWN]);
    let mut variants = Vec::new();
    for message in &messages {
        for before in 0..talk.exchanges.len() {
            let case = talk.with_each(&base.case, |at, exchange| {
                let mut steps = Vec::new();
                if at == before {
                    let refused = [send(exchange.speaker(), message.as_bytes()), expect_any(exchange.speaker())];
                    steps.extend(refused.map(|node| noted(node, REFUSED)));
                }
                steps.extend(exchange.steps());
                steps
            });
            variants.push(Variant::new(format!("`{message}` before message {}", before + 1), case));
        }
    }
    some(variants, "the case sends nothing")
}

/// Each message that is refused keeps its answer: without, the next one would be answered by that.
fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let lanes = case.lanes();
    let [(_, steps)] = lanes.as_slice() else { return None };
    let own: Vec<_> = steps.iter().filter(|node| note(node) == Some(REFUSED)).filter_map(verb).collect();
    let is_whole = own.chunks(2).all(|pair| pair == ["send", "expect"]);
    is_whole.then(|| without_note(case, REFUSED)).flatten()
}
