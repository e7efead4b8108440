//! What stands in what: parts of a message left out, sent twice, swapped, repeated, put into each other.
//!
//! The parts are the fields of the description where there is one; otherwise lines, or words with what stands between them.

use std::ops::Range;

use super::field::spans;
use super::infer::change_honestly;
use super::{Around, Mutator, locate, one_of, pick_message};
use crate::campaign::case::{Case, MESSAGE_LEN_MAX, Step};
use crate::random::Random;

/// How many parts of a message are used.
const PARTS_MAX: usize = 24;

/// How often a part is repeated.
const DEPTHS: &[usize] = &[2, 16, 256, 1_000, 5_000, 20_000];

/// The parts of the message of a step.
fn parts(case: &Case, step: usize, around: &Around<'_>) -> Vec<Range<usize>> {
    let mut parts = spans(case, step, around);
    if parts.len() < 2
        && let Some(Step::Send(message)) = case.steps.get(step)
    {
        parts = pieces(&message.bytes());
    }
    parts.truncate(PARTS_MAX);
    parts
}

/// Lines where there are several, otherwise words, otherwise single bytes at the beginning.
fn pieces(bytes: &[u8]) -> Vec<Range<usize>> {
    let cut = |is_end: &dyn Fn(u8) -> bool| {
        let mut pieces = Vec::new();
        let mut from = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if is_end(*byte) {
                pieces.push(from..at + 1);
                from = at + 1;
            }
        }
        if from < bytes.len() {
            pieces.push(from..bytes.len());
        }
        pieces
    };
    let lines = cut(&|byte| byte == b'\n');
    if lines.len() > 1 {
        return lines;
    }
    let words = cut(&|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b';' | b':' | b'/' | b'=' | b'&' | 0));
    if words.len() > 1 { words } else { (0..bytes.len()).map(|at| at..at + 1).collect() }
}

/// A field left out, sent twice, or swapped.
pub(super) struct Parts;

fn part_ways(case: &Case, step: usize, around: &Around<'_>) -> usize {
    3 * parts(case, step, around).len()
}

fn change(case: &mut Case, step: usize, around: &Around<'_>, which: usize, how: usize) -> bool {
    let parts = parts(case, step, around);
    let Some(part) = parts.get(which).cloned() else { return false };
    let next = parts.get(which + 1).cloned();
    change_honestly(case, step, |bytes| {
        let own = bytes[part.clone()].to_vec();
        match (how, next) {
            (0, _) => {
                bytes.drain(part);
            }
            (1, _) => {
                bytes.splice(part.end..part.end, own);
            }
            (_, Some(next)) if next.start >= part.end => {
                let other = bytes[next.clone()].to_vec();
                bytes.splice(next, own);
                bytes.splice(part, other);
            }
            _ => return false,
        }
        true
    })
}

impl Mutator for Parts {
    fn count(&self, case: &Case, around: &Around<'_>) -> usize {
        case.sends().into_iter().map(|step| part_ways(case, step, around)).sum()
    }

    fn number(&self, number: usize, case: &mut Case, around: &Around<'_>) -> bool {
        let Some((step, way)) = locate(case, number, |step, _| part_ways(case, step, around)) else { return false };
        change(case, step, around, way / 3, way % 3)
    }

    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        let count = parts(case, step, around).len() as u64;
        count > 0 && change(case, step, around, random.below(count) as usize, random.below(3) as usize)
    }
}

/// A part repeated or put into itself, many times: what stands in front of others a thousand times nests them a thousand deep.
pub(super) struct Nest;

fn repeat(case: &mut Case, step: usize, part: &Range<usize>, times: usize) -> bool {
    change_honestly(case, step, |bytes| {
        let Some(own) = bytes.get(part.clone()).filter(|own| !own.is_empty()) else { return false };
        if own.len() * times > MESSAGE_LEN_MAX / 2 {
            return false;
        }
        let many = own.repeat(times);
        bytes.splice(part.start..part.start, many);
        true
    })
}

/// From how many bytes on parts that are repeated are very long.
const LONG: usize = 16 << 10;

/// The finite part repeats the first parts, and the first byte.
const FIRST_PARTS: usize = 3;

impl Mutator for Nest {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        case.sends().len() * (FIRST_PARTS + 1) * DEPTHS.len()
    }

    fn number(&self, number: usize, case: &mut Case, around: &Around<'_>) -> bool {
        let (at, way) = (number / ((FIRST_PARTS + 1) * DEPTHS.len()), number % ((FIRST_PARTS + 1) * DEPTHS.len()));
        let Some(step) = case.sends().get(at).copied() else { return false };
        let part = match way / DEPTHS.len() {
            0 => Some(0..1),
            which => parts(case, step, around).get(which - 1).cloned(),
        };
        part.is_some_and(|part| repeat(case, step, &part, DEPTHS[way % DEPTHS.len()]))
    }

    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        let Some(Step::Send(message)) = case.steps.get(step) else { return false };
        let len = message.len() as u64;
        let parts = parts(case, step, around);
        let part = match random.below(2) {
            0 if !parts.is_empty() => parts[random.below(parts.len() as u64) as usize].clone(),
            _ => {
                let from = random.below(len) as usize;
                from..(from + 1 + random.below(8) as usize).min(len as usize)
            }
        };
        let mut times = one_of(random, DEPTHS);
        // What is very long takes a target as long as a hundred other cases do; the finite part says some of that.
        if part.len() * times > LONG && random.below(16) > 0 {
            times = (LONG / part.len()).max(1);
        }
        repeat(case, step, &part, times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_described_has_lines_or_words() {
        assert_eq!(pieces(b"a\nb\n"), [0..2, 2..4]);
        assert_eq!(pieces(b"GET a b"), [0..4, 4..6, 6..7]);
        assert_eq!(pieces(b"ab"), [0..1, 1..2]);
    }
}
