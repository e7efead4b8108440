//! Where a program stops comparing: the first byte of a message that makes no difference, right behind those that do.
//!
//! A keyword that is read letter by letter takes one more edge for each letter that is right. Then the next one is the byte behind
//! the last that matters, and 256 values settle it; by chance alone, each letter is one draw of many thousands. Which bytes matter
//! is found by halving: all from some place on are changed at once, and the same edges are taken or not.

use std::collections::{HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::case::{Case, Message};
use crate::random::{fnv1a, mix};

/// How many of them wait at most; the oldest are dropped.
const WAITING_MAX: usize = 64;

/// The longest message that is looked at.
const MESSAGE_LEN_MAX: usize = 4 << 10;

/// How many there are of a byte.
const VALUES: u16 = 256;

/// A place in a case whose byte may have any value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    /// The number of the case in the corpus.
    entry: usize,
    /// The step that sends the message.
    step: usize,
    /// Where in the message.
    at: usize,
    /// How many values were tried.
    tried: u16,
}

/// All that wait, the newest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Frontiers {
    waiting: VecDeque<Frontier>,
    /// What stood before those that were ever tried.
    known: HashSet<u64>,
}

impl Frontiers {
    /// Has the values of a byte tried; `case` is the one of this number. What stands behind the same bytes is tried once.
    pub fn add(&mut self, entry: usize, case: &Case, step: usize, at: usize) {
        let Some((_, message)) = case.messages().find(|(other, _)| *other == step) else { return };
        let before = fnv1a(&message.bytes()[..at]);
        if self.known.insert(mix(before, at as u64)) {
            self.waiting.push_front(Frontier { entry, step, at, tried: 0 });
            self.waiting.truncate(WAITING_MAX);
        }
    }

    /// The next case, and the number of the one that it is made of; `case` gives it.
    pub fn next<'c>(&mut self, case: impl FnOnce(usize) -> Option<&'c Case>) -> Option<(usize, Case)> {
        let frontier = self.waiting.front_mut()?;
        let Frontier { entry, step, at, tried } = *frontier;
        frontier.tried += 1;
        if frontier.tried == VALUES {
            self.waiting.pop_front();
        }
        let mut case = case(entry)?.clone();
        let message = case.message_mut(step)?;
        let mut bytes = message.bytes();
        // What can be typed comes first.
        let value = (tried as u8).wrapping_add(b' ');
        if at == end(&bytes) {
            bytes.insert(at, value);
        } else {
            *bytes.get_mut(at)? = value;
        }
        *message = Message { cuts: std::mem::take(&mut message.cuts), ..Message::new(message.link, bytes) };
        Some((entry, case))
    }
}

/// Where a message ends, but for the end of its line.
fn end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1)
}

/// The first byte of a message behind all those that matter; `is_same` says whether a case takes the edges that this one takes.
/// `None` where none matters.
pub fn find(case: &Case, step: usize, is_same: &mut dyn FnMut(&Case) -> bool) -> Option<usize> {
    let (_, message) = case.messages().find(|(other, _)| *other == step)?;
    let bytes = message.bytes();
    if bytes.len() > MESSAGE_LEN_MAX {
        return None;
    }
    let (mut from, mut to) = (0, end(&bytes));
    // All from `to` on make no difference.
    while from < to {
        let middle = from.midpoint(to);
        let mut changed = bytes.clone();
        let end = end(&bytes);
        changed[middle..end].iter_mut().for_each(|byte| *byte = another(*byte));
        let mut other = case.clone();
        *other.message_mut(step)? = Message { cuts: message.cuts.clone(), ..Message::new(message.link, changed) };
        match is_same(&other) {
            true => to = middle,
            false => from = middle + 1,
        }
    }
    (to > 0).then_some(to)
}

/// Another byte of the same kind, which stands for those that nobody asks about.
fn another(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => {
            if byte == b'q' {
                b'j'
            } else {
                b'q'
            }
        }
        b'A'..=b'Z' => {
            if byte == b'Q' {
                b'J'
            } else {
                b'Q'
            }
        }
        b'0'..=b'9' => {
            if byte == b'7' {
                b'3'
            } else {
                b'7'
            }
        }
        _ => byte ^ 0x01,
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::Step;
    use super::*;

    fn case(line: &[u8]) -> Case {
        Case { steps: vec![Step::Open(0, 0), Step::Send(Message::new(0, line.to_vec()))] }
    }

    fn said(case: &Case) -> Vec<u8> {
        case.messages().next().expect("it says something").1.bytes()
    }

    /// How many letters of a keyword a line has right.
    fn right(case: &Case) -> usize {
        said(case).iter().zip(b"KEY ladder").take_while(|(own, other)| own == other).count()
    }

    #[test]
    fn a_keyword_is_found_a_letter_at_a_time() {
        let (mut frontiers, mut line, mut plays) = (Frontiers::default(), case(b"KEY none\n"), 0);
        while right(&line) < 10 {
            let before = right(&line);
            let at = find(&line, 1, &mut |other| {
                plays += 1;
                right(other) == before
            });
            assert_eq!(at, Some(before));
            frontiers.add(0, &line, 1, before);
            line = loop {
                plays += 1;
                let (_, tried) = frontiers.next(|_| Some(&line)).expect("not all were tried");
                if right(&tried) > before {
                    break tried;
                }
            };
        }
        assert_eq!(said(&line), b"KEY ladder\n");
        assert!(plays < 6 * 110, "{plays}");
    }

    #[test]
    fn what_makes_no_difference_at_all_is_no_frontier() {
        assert_eq!(find(&case(b"anything"), 1, &mut |_| true), None);
        assert_eq!(find(&case(b""), 1, &mut |_| true), None);
    }

    #[test]
    fn what_stands_behind_the_same_bytes_is_tried_once() {
        let mut frontiers = Frontiers::default();
        frontiers.add(0, &case(b"KEY none"), 1, 4);
        frontiers.add(1, &case(b"KEY other"), 1, 4);
        let line = case(b"KEY none");
        let all = std::iter::from_fn(|| frontiers.next(|_| Some(&line))).count();
        assert_eq!(all, 256);
    }
}
