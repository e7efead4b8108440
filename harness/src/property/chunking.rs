//! `chunking`: where a stream is cut into writes changes nothing.
//!
//! TCP promises an order of bytes, and nothing about where reads end. A server that takes a read for a message works on a quiet
//! machine and fails in the field, often at one cut of many: so every cut is tried.

use super::edit::{step_mut, strip_sends};
use super::talk::{is_stream, some};
use super::{Base, Parameters, Property, Variant};
use crate::random::Random;
use crate::testcase::TestCase;
use crate::testcase::step::{parts, split, verb, with};

/// The most cuts that are tried in one case. A longer one is cut near both ends of its messages, and elsewhere by chance.
const CUTS_MAX: usize = 4096;

/// How many cuts at each end of a message are tried in any case.
const EDGE: usize = 64;

/// The most writes of a message that is sent byte by byte; a longer one is sent in pieces of two bytes, three and so on.
const DRIP_MAX: usize = 512;

/// How long a peer has for the first part before the second follows.
const PAUSE: &str = "1B/10ms";

/// How long it has for each byte of many.
const PAUSE_SHORT: &str = "1B/1ms";

pub(super) const PROPERTY: Property = Property {
    name: "chunking",
    about: "however a message is cut into writes, the answers and the end of the connection are the same",
    sends: "the case again and again: each message cut in two at each place, with a pause of 10 ms; each message byte by byte; \
            messages that follow each other in one write",
    judges: "the case's own expectations, and that the server closes the connection if it did so before",
    cost: "one play for each byte sent, side by side: about a second for 1000",
    asked: None,
    parameters: &[],
    reduces: true,
    disturbs: false,
    plan,
    controls,
};

fn plan(base: &Base, _parameters: &Parameters, random: &mut Random) -> Result<Vec<Variant>, String> {
    is_stream(base)?;
    let mut variants = Vec::new();
    // One cut tells more than many.
    for (number, cut) in cuts(base, random) {
        let sent = &base.sends[number];
        let case = edit(base, &sent.lane, sent.at, |step| with(split(step, &[cut]), "pace", PAUSE));
        let what = format!("message {} cut after byte {cut} of {}", number + 1, sent.len);
        variants.extend(case.map(|case| Variant::new(what, case)));
    }
    for (number, sent) in base.sends.iter().enumerate() {
        if sent.len < 2 {
            continue;
        }
        let piece = sent.len.div_ceil(DRIP_MAX);
        let (what, sizes) = match piece {
            1 => ("byte by byte".to_owned(), None),
            _ => (format!("in pieces of {piece} bytes"), Some(vec![piece; sent.len / piece])),
        };
        let case = edit(base, sent.lane.as_str(), sent.at, |step| match &sizes {
            None => with(with(step, "split", "every-byte"), "pace", PAUSE_SHORT),
            Some(sizes) => with(split(step, sizes), "pace", PAUSE_SHORT),
        });
        variants.extend(case.map(|case| Variant::new(format!("message {} {what}", number + 1), case)));
    }
    variants.extend(all_in_one(base));
    some(variants, "there is nothing to cut: no message has two bytes")
}

fn edit(
    base: &Base,
    lane: &str,
    at: usize,
    change: impl FnOnce(crate::document::Node) -> crate::document::Node,
) -> Option<TestCase> {
    let mut case = base.case.clone();
    let step = step_mut(&mut case, lane, at)?;
    *step = change(step.clone());
    Some(case)
}

/// Every place where a message can be cut: the message's number, and after how many bytes. What lies far apart comes first.
fn cuts(base: &Base, random: &mut Random) -> Vec<(usize, usize)> {
    let all = |number: usize| (1..base.sends[number].len).map(move |cut| (number, cut));
    let mut cuts: Vec<(usize, usize)> = (0..base.sends.len()).flat_map(all).collect();
    if cuts.len() > CUTS_MAX {
        let is_edge = |(number, cut): &(usize, usize)| *cut <= EDGE || base.sends[*number].len - cut <= EDGE;
        let (mut kept, mut others): (Vec<_>, Vec<_>) = cuts.into_iter().partition(is_edge);
        kept.truncate(CUTS_MAX);
        while kept.len() < CUTS_MAX && !others.is_empty() {
            let drawn = random.below(others.len() as u64) as usize;
            kept.push(others.swap_remove(drawn));
        }
        cuts = kept;
        cuts.sort_unstable();
    }
    // In the order of the reversed bits of their numbers: after any few of them, no large part is untouched.
    let bits = usize::BITS - cuts.len().leading_zeros();
    let mut order: Vec<usize> =
        (0..1 << bits).map(|at: usize| at.reverse_bits() >> (usize::BITS - bits.max(1))).collect();
    order.retain(|at| *at < cuts.len());
    order.into_iter().map(|at| cuts[at]).collect()
}

/// Messages that follow each other, in one write each time.
fn all_in_one(base: &Base) -> Option<Variant> {
    let mut case = base.case.clone();
    let mut joined = 0;
    for (lane, steps) in base.case.lanes() {
        let mut merged: Vec<crate::document::Node> = Vec::new();
        for step in steps {
            match merged.last_mut().and_then(|last| join(last, step)) {
                Some(both) => {
                    *merged.last_mut().expect("there is one to join with") = both;
                    joined += 1;
                }
                None => merged.push(step.clone()),
            }
        }
        *case.lane_mut(lane)? = merged;
    }
    (joined > 0).then(|| Variant::new("messages that follow each other in one write", case))
}

/// Two sends as one with several payloads, if nothing else is said of them.
fn join(first: &crate::document::Node, second: &crate::document::Node) -> Option<crate::document::Node> {
    use crate::document::{Node, Value};
    let payloads = |step: &Node| -> Option<(Option<String>, Vec<Node>)> {
        let (actor, table) = parts(step)?;
        let plain = table.entries.iter().all(|entry| matches!(entry.key.as_str(), "send" | "note" | "coalesce"));
        if verb(step) != Some("send") || !plain {
            return None;
        }
        let payloads = match &table.get("send")?.value {
            Value::Array(payloads) => payloads.clone(),
            value => vec![Node::from(value.clone())],
        };
        Some((actor.map(str::to_owned), payloads))
    };
    let ((actor, mut all), (other, rest)) = (payloads(first)?, payloads(second)?);
    if actor != other {
        return None;
    }
    all.extend(rest);
    Some(with(crate::testcase::step::step(actor.as_deref(), "send", all), "coalesce", true))
}

fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let mut whole = case.clone();
    strip_sends(&mut whole, &["split", "pace", "coalesce"]);
    (whole.content() != case.content()).then_some(vec![whole])
}
