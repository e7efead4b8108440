//! Fields of messages that a protocol describes: numbers at their bounds, texts of awkward lengths, lies about what is computed.

use std::ops::Range;
use std::sync::Arc;

use super::known::{Known, body};
use super::wire::actor_of;
use super::{Around, Mutator, locate, one_of, pick_message};
use crate::campaign::case::{Case, Message, Step};
use crate::framing::Framing;
use crate::protocol::{Direction, Protocol, Value, framing};
use crate::random::Random;

/// What the messages of an actor are said in.
fn speech(case: &Case, link: u16, around: &Around<'_>) -> Option<(Arc<Protocol>, Direction, Arc<dyn Framing>)> {
    let actor = around.plan.actors.get(actor_of(case, link)?)?;
    let protocol = actor.protocol.clone()?;
    let direction = match actor.place {
        crate::campaign::plan::Place::Listen(_) => Direction::Reply,
        _ => Direction::Request,
    };
    let framing = framing(&protocol, Some(direction));
    Some((protocol, direction, framing))
}

fn understand(case: &Case, step: usize, around: &Around<'_>) -> Option<Known> {
    let Some(Step::Send(message)) = case.steps.get(step) else { return None };
    let (protocol, direction, framing) = speech(case, message.link, around)?;
    let is_datagram = super::wire::is_datagram(case, message.link, around);
    Known::of(protocol, direction, framing, &message.bytes(), is_datagram)
}

/// Where the fields of a message that is described lie in its bytes.
pub(super) fn spans(case: &Case, step: usize, around: &Around<'_>) -> Vec<Range<usize>> {
    let found = || {
        let Some(Step::Send(message)) = case.steps.get(step) else { return None };
        let (protocol, direction, framing) = speech(case, message.link, around)?;
        let bytes = message.bytes();
        let body = body(&bytes, &*framing, super::wire::is_datagram(case, message.link, around))?;
        let decoded = protocol.decode(&bytes[body.clone()], true, Some(direction)).ok()??;
        let mut spans = Vec::new();
        for item in decoded.fields() {
            match item.value() {
                Value::Absent => {}
                Value::Array(items) | Value::Struct(items) | Value::Case(_, items) => {
                    spans.extend(decoded.items(items).iter().map(crate::protocol::Item::span));
                }
                _ => spans.push(item.span()),
            }
        }
        let moved = |span: Range<usize>| span.start + body.start..span.end + body.start;
        Some(spans.into_iter().filter(|span| !span.is_empty()).map(moved).collect())
    };
    found().unwrap_or_default()
}

/// A field's bounds, and what lies just beyond.
pub(super) struct Boundaries;

fn change(case: &mut Case, step: usize, around: &Around<'_>, way: usize) -> bool {
    let Some(known) = understand(case, step, around) else { return false };
    let mut way = way;
    for leaf in &known.leaves {
        let ways = Known::ways(leaf);
        if way < ways {
            let Some(message) = case.message_mut(step) else { return false };
            let Some(bytes) = known.changed(leaf, way).and_then(|given| known.encode(&given)) else { return false };
            let cuts = std::mem::take(&mut message.cuts);
            *message = Message { cuts, ..Message::new(message.link, bytes) };
            return true;
        }
        way -= ways;
    }
    false
}

fn count(case: &Case, step: usize, around: &Around<'_>) -> usize {
    understand(case, step, around).map_or(0, |known| known.leaves.iter().map(Known::ways).sum())
}

impl Mutator for Boundaries {
    fn count(&self, case: &Case, around: &Around<'_>) -> usize {
        case.sends().into_iter().map(|step| count(case, step, around)).sum()
    }

    fn number(&self, number: usize, case: &mut Case, around: &Around<'_>) -> bool {
        let found = locate(case, number, |step, _| count(case, step, around));
        found.is_some_and(|(step, way)| change(case, step, around, way))
    }

    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        let ways = count(case, step, around);
        ways > 0 && change(case, step, around, random.below(ways as u64) as usize)
    }
}

/// Of how many messages of the description one may be any, whoever says it.
const OTHER_SIDE: u64 = 3;

/// A valid message of the description.
pub(super) struct Generate;

impl Mutator for Generate {
    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        let Some(link) = case.steps[step].link() else { return false };
        let Some((protocol, direction, framing)) = speech(case, link, around) else { return false };
        // What only the other side says is read by the same parser more often than anybody meant.
        let direction = (random.below(OTHER_SIDE) > 0).then_some(direction);
        let said: Vec<usize> =
            (0..protocol.messages.len()).filter(|at| Protocol::goes(&protocol.messages[*at], direction)).collect();
        if said.is_empty() {
            return false;
        }
        let message = one_of(random, &said);
        let Some(given) = protocol.generate(message, random) else { return false };
        let framing = match super::wire::is_datagram(case, link, around) {
            true => crate::framing::datagram(),
            false => framing,
        };
        let known = Known { protocol, message, given, leaves: Vec::new(), framing };
        let Some(made) = known.encode(&known.given).map(|bytes| Message::new(link, bytes)) else { return false };
        match random.below(2) {
            0 => case.steps[step] = Step::Send(made),
            _ => case.steps.insert(step + random.below(2) as usize, Step::Send(made)),
        }
        true
    }
}
