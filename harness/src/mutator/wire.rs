//! How messages go over the wire: what is said stays the same.

use super::{Around, Mutator, locate, pick_message};
use crate::campaign::case::{Case, Message, Part, Step};
use crate::random::Random;

/// How many single cuts of a message the finite part tries, beside all at once.
const CUTS_MAX: usize = 64;

/// The most pieces that chance cuts a message into.
const PIECES_MAX: u64 = 64;

/// A message in several writes.
pub(super) struct Cut;

fn cut_ways(message: &Message) -> usize {
    match message.len() {
        0 | 1 => 0,
        len => 1 + (len - 1).min(CUTS_MAX),
    }
}

impl Mutator for Cut {
    fn count(&self, case: &Case, around: &Around<'_>) -> usize {
        case.messages()
            .filter(|(_, message)| !is_datagram(case, message.link, around))
            .map(|(_, message)| cut_ways(message))
            .sum()
    }

    fn number(&self, number: usize, case: &mut Case, around: &Around<'_>) -> bool {
        let found = locate(case, number, |_, message| match is_datagram(case, message.link, around) {
            true => 0,
            false => cut_ways(message),
        });
        let Some((step, way)) = found else { return false };
        let Some(message) = case.message_mut(step) else { return false };
        let len = message.len() as u32;
        message.cuts = match way {
            0 => (1..len).take(PIECES_MAX as usize).collect(),
            way => vec![way as u32],
        };
        true
    }

    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        let Some(link) = case.steps[step].link().filter(|link| !is_datagram(case, *link, around)) else { return false };
        let Some(message) = case.message_mut(step).filter(|message| message.len() > 1) else { return false };
        debug_assert_eq!(message.link, link);
        let len = message.len() as u64;
        message.cuts = match random.below(4) {
            0 => (1..len as u32).take(PIECES_MAX as usize).collect(),
            1 => {
                let size = 1 + random.below(len.min(64));
                (1..len).filter(|at| at.is_multiple_of(size)).take(PIECES_MAX as usize).map(|at| at as u32).collect()
            }
            _ => {
                let mut cuts: Vec<u32> = (0..1 + random.below(4)).map(|_| 1 + random.below(len - 1) as u32).collect();
                cuts.sort_unstable();
                cuts.dedup();
                cuts
            }
        };
        true
    }
}

/// Whether a connection carries datagrams.
pub(super) fn is_datagram(case: &Case, link: u16, around: &Around<'_>) -> bool {
    actor_of(case, link).is_some_and(|actor| around.datagrams.get(actor).copied().unwrap_or(false))
}

/// Whose a connection is.
pub(super) fn actor_of(case: &Case, link: u16) -> Option<usize> {
    case.steps.iter().find_map(|step| match step {
        Step::Open(opened, actor) if *opened == link => Some(usize::from(*actor)),
        _ => None,
    })
}

/// Half-closed, closed or reset after any message.
pub(super) struct End;

fn end(case: &mut Case, step: usize, how: usize) -> bool {
    let Some(link) = case.steps[step].link() else { return false };
    let end = match how {
        0 => Step::Shut(link),
        1 => Step::Reset(link),
        _ => Step::Close(link),
    };
    case.steps.insert(step + 1, end);
    true
}

impl Mutator for End {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        3 * case.sends().len()
    }

    fn number(&self, number: usize, case: &mut Case, _: &Around<'_>) -> bool {
        let sends = case.sends();
        sends.get(number / 3).is_some_and(|step| end(case, *step, number % 3))
    }

    fn chance(&self, random: &mut Random, case: &mut Case, _: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        end(case, step, random.below(3) as usize)
    }
}

/// Several messages in one write, without waiting for answers in between.
pub(super) struct Merge;

/// Appends the message of the next step that sends on the same connection, and with it what is expected of both.
fn merge(case: &mut Case, step: usize) -> bool {
    let Some(Step::Send(first)) = case.steps.get(step).cloned() else { return false };
    let next = case.steps.iter().enumerate().skip(step + 1).find_map(|(at, other)| match other {
        Step::Send(message) if message.link == first.link => Some(at),
        _ => None,
    });
    let Some(next) = next else { return false };
    let Step::Send(second) = case.steps.remove(next) else { return false };
    let Some(message) = case.message_mut(step) else { return false };
    for part in second.parts {
        match (message.parts.last_mut(), part) {
            (Some(Part::Bytes(bytes)), Part::Bytes(more)) => bytes.extend_from_slice(&more),
            (_, part) => message.parts.push(part),
        }
    }
    true
}

impl Mutator for Merge {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        // Each two neighbours, and at last all.
        let sends = case.sends().len();
        if sends < 2 { 0 } else { sends }
    }

    fn number(&self, number: usize, case: &mut Case, _: &Around<'_>) -> bool {
        let sends = case.sends();
        match number + 1 < sends.len() {
            true => merge(case, sends[number]),
            false => {
                let mut changed = false;
                while sends.first().is_some_and(|step| merge(case, *step)) {
                    changed = true;
                }
                changed
            }
        }
    }

    fn chance(&self, random: &mut Random, case: &mut Case, _: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        let mut changed = merge(case, step);
        while changed && random.below(2) == 0 {
            changed = merge(case, step);
        }
        changed
    }
}

/// A pause between two messages.
pub(super) struct Pause;

impl Mutator for Pause {
    fn chance(&self, random: &mut Random, case: &mut Case, _: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        // While it lasts, dozens of cases could be played.
        let milliseconds = match random.below(16) {
            0 => 20,
            1..4 => 5,
            _ => 1,
        };
        case.steps.insert(step, Step::Pause(milliseconds));
        true
    }
}
