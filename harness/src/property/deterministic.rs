//! `deterministic`: the same talk gets the same bytes.

use super::edit::{beside, recorded, spoken_by, with_steps};
use super::{Base, Parameters, Property, Variant};
use crate::random::Random;
use crate::testcase::step::close;

/// On how many connections the same is said.
const TIMES: usize = 3;

pub(super) const PROPERTY: Property = Property {
    name: "deterministic",
    about: "the same bytes on a new connection get the same bytes in return, again and again",
    sends: "what the case sends, byte for byte, on three connections one after the other",
    judges: "that what comes in return is what came the first time, byte for byte",
    cost: "two plays",
    asked: Some("answers may hold a time, a counter or chance"),
    parameters: &[],
    reduces: false,
    disturbs: false,
    plan,
    controls: |_| Some(Vec::new()),
};

fn plan(base: &Base, _parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    let once = recorded(base)?;
    let mut variants = vec![Variant::new("the same bytes to a server that was started again", once.clone())];
    if let Some((case, names)) = beside(&once, TIMES) {
        let own = case.lanes().first().map(|(_, steps)| steps.to_vec()).unwrap_or_default();
        let mut steps = Vec::new();
        for name in &names {
            steps.extend(own.iter().map(|node| spoken_by(node, name)));
            steps.push(close(Some(name)));
        }
        let case = with_steps(&case, steps);
        variants.push(Variant::new("the same bytes on three connections, one after the other", case));
    }
    Ok(variants)
}
