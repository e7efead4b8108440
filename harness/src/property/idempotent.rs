//! `idempotent`: a request that is sent again gets the same answer again.

use super::edit::{noted, without_note};
use super::talk::exchanges;
use super::{Base, Kind, Parameters, Property, Variant};
use crate::document::Node;
use crate::random::Random;
use crate::testcase::step::parts;

/// The note on steps that are played a second time.
const AGAIN: &str = "again";

pub(super) const PROPERTY: Property = Property {
    name: "idempotent",
    about: "a request that is sent twice gets the same answer both times, and the rest of the conversation does not change",
    sends: "the case with one request sent again after its answer, for each request; or for those that are named",
    judges: "the case's own expectations, for the second answer as for the first",
    cost: "one play for each request",
    asked: Some("not every request is meant to be idempotent"),
    parameters: &[(
        "messages",
        Kind::Texts,
        "a list of messages, by their names in the protocol or by what they begin with: `idempotent = [\"get\"]`",
    )],
    reduces: true,
    disturbs: false,
    plan,
    controls: |case| without_note(case, AGAIN),
};

fn plan(base: &Base, parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    let talk = exchanges(&base.case)?;
    let wanted = parameters.texts("messages");
    let mut variants = Vec::new();
    for (again, exchange) in talk.exchanges.iter().enumerate() {
        let is_last = again + 1 == talk.exchanges.len();
        if exchange.answers.is_empty() || (is_last && talk.ends_itself()) {
            continue;
        }
        if wanted.as_ref().is_some_and(|wanted| !wanted.iter().any(|name| is_called(&exchange.send, name))) {
            continue;
        }
        let case = talk.with_each(&base.case, |at, exchange| {
            let mut steps = exchange.steps();
            if at == again {
                steps.extend(exchange.steps().into_iter().map(|node| noted(node, AGAIN)));
            }
            steps
        });
        variants.push(Variant::new(format!("message {} a second time", again + 1), case));
    }
    match (variants.is_empty(), wanted) {
        (false, _) => Ok(variants),
        (true, Some(wanted)) => Err(format!("the case sends no {} that is answered", wanted.join(", "))),
        (true, None) => Err("no request of the case can be sent again".into()),
    }
}

/// Whether a send is of a message of this name, or begins with it.
fn is_called(send: &Node, name: &str) -> bool {
    let Some(payload) = parts(send).and_then(|(_, table)| table.get("send")) else { return false };
    match payload.as_table() {
        Some(table) => table.get(name).is_some(),
        None => payload
            .as_str()
            .is_some_and(|text| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))),
    }
}
