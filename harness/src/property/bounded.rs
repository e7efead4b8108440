//! `bounded`: answers come in time, and are no longer than they may be.

use super::talk::exchanges;
use super::{Base, Kind, Parameters, Property, Variant};
use crate::random::Random;
use crate::testcase::TestCase;
use crate::testcase::step::{duration, table_mut, verb};

/// How often it is tried.
const TIMES: usize = 20;

pub(super) const PROPERTY: Property = Property {
    name: "bounded",
    about: "every answer comes within a time that the file says",
    sends: "the case 20 times, one after the other",
    judges: "each expectation, with that time as its deadline",
    cost: "20 plays",
    asked: Some("it needs a bound: `bounded = { within = \"100ms\" }`"),
    parameters: &[("within", Kind::Duration, "the longest that an answer may take")],
    reduces: true,
    disturbs: false,
    plan,
    controls,
};

fn plan(base: &Base, parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    let within = parameters.duration("within").ok_or("it needs a bound: `bounded = { within = \"100ms\" }`")?;
    exchanges(&base.case)?;
    let mut case = base.case.clone();
    for node in case.lane_mut("steps").into_iter().flatten() {
        if matches!(verb(node), Some("expect" | "expect_set"))
            && let Some(table) = table_mut(node)
        {
            table.set("within", duration(within));
        }
    }
    let number = |time: usize| Variant::new(format!("play {}", time + 1), case.clone());
    Ok((0..TIMES).map(number).collect())
}

fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let mut patient = case.clone();
    for node in patient.lane_mut("steps").into_iter().flatten() {
        if let Some(table) = table_mut(node) {
            table.remove("within");
        }
    }
    Some(vec![patient])
}
