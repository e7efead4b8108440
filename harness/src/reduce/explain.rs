//! Which bytes matter: each is given other values, many at once.

use super::data::units;
use super::{Reducer, bytes, search, steps};
use crate::testcase::TestCase;
use crate::text::{count, quote};

/// The longest payload of which each byte is asked about.
const EXPLAINED_MAX: usize = 256;

/// What matters in a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matter {
    /// The lane of the step.
    pub lane: String,
    /// Its number there.
    pub step: usize,
    /// The bytes that cannot have just any value, from 0.
    pub bytes: Vec<usize>,
    /// How many there are.
    pub len: usize,
    /// In words: `bytes 0 to 1 matter: "BU"; of the other 14 any value fails`.
    pub words: String,
}

impl Reducer<'_> {
    /// Asks about the bytes of each payload.
    pub(super) fn explain(&mut self) -> Vec<Matter> {
        let mut matters = Vec::new();
        for send in 0..steps::count_sends(&mut self.best.clone()) {
            let locked = self.is_locked_send(send);
            let place = steps::place_of(&self.best, send).filter(|_| !locked && !self.is_over());
            let single = steps::payload_count(&mut self.best.clone(), send) == 1;
            if let Some((lane, step)) = place.filter(|_| single)
                && let Some((bytes, all)) = self.explain_payload(send)
            {
                let words = words(&bytes, &all);
                matters.push(Matter { lane, step, bytes, len: all.len(), words });
            }
        }
        // What could not be asked any more is not known.
        if self.is_over() {
            matters.pop();
        }
        matters
    }

    fn explain_payload(&mut self, send: usize) -> Option<(Vec<usize>, Vec<u8>)> {
        let mut base = self.best.clone();
        let folder = base.folder.clone();
        let data = bytes::Data::read(steps::payload_mut(&mut base, send, 0)?, &folder)?;
        let all = data.bytes().filter(|bytes| (1..=EXPLAINED_MAX).contains(&bytes.len()))?;
        // Of a long run of one byte each is as much to the point as the others.
        let units = units(&data.tokens);
        let of = |kept: &[usize]| kept.iter().flat_map(|unit| units[*unit].clone()).collect::<Vec<usize>>();
        let with = |mut case: TestCase, kept: &[usize], round: u8| {
            let kept = of(kept);
            let other = |(at, byte): (usize, &u8)| {
                bytes::Token::Byte(if kept.binary_search(&at).is_ok() { *byte } else { another(*byte, round) })
            };
            let tokens = all.iter().enumerate().map(other).collect();
            if let Some(place) = steps::payload_mut(&mut case, send, 0) {
                *place = data.with(tokens).write();
            }
            case
        };
        let mut ask = |kept: &[usize], round: u8| match self.is_over() {
            true => None,
            false => Some(self.fails(&with(base.clone(), kept, round)).is_some()),
        };
        let mut kept = search::delete(units.len(), &|_| false, &mut |kept| ask(kept, 0));
        // A second value: the first may have been as bad by chance.
        if kept.len() < units.len() && ask(&kept, 1) == Some(false) {
            let matter = |at: usize| kept.contains(&at);
            kept = search::delete(units.len(), &matter, &mut |kept| ask(kept, 1));
        }
        let kept = of(&kept);
        Some((kept, all))
    }
}

/// Another byte of the same sort.
fn another(byte: u8, round: u8) -> u8 {
    let choice: &[u8] = match byte {
        b'0'..=b'9' => b"739",
        b'a'..=b'z' => b"qzj",
        b'A'..=b'Z' => b"QZJ",
        b' '..=b'~' => b"#+~",
        _ => &[0x55, 0xaa, 0x33],
    };
    let at = usize::from(round);
    if choice[at] == byte { choice[2] } else { choice[at] }
}

fn words(matters: &[usize], all: &[u8]) -> String {
    let rest = all.len() - matters.len();
    if matters.is_empty() {
        return format!("any value of its {} fails", count(all.len(), "byte"));
    }
    let runs: Vec<String> = matters
        .chunk_by(|a, b| a + 1 == *b)
        .map(|run| match run {
            [only] => format!("byte {only} {}", quote(&all[*only..=*only])),
            [first, .., last] => format!("bytes {first} to {last} {}", quote(&all[*first..=*last])),
            [] => String::new(),
        })
        .collect();
    let verb = if matters.len() == 1 { "matters" } else { "matter" };
    match rest {
        0 => format!("every byte matters: {}", quote(all)),
        _ => format!("{} {verb}; of the other {rest} any value fails", runs.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_said_in_words() {
        assert_eq!(words(&[], b"ab"), "any value of its 2 bytes fails");
        assert_eq!(words(&[0, 1], b"ab"), "every byte matters: `ab`");
        assert_eq!(
            words(&[1, 2, 4], b"abcdef"),
            "bytes 1 to 2 `bc`, byte 4 `e` matter; of the other 3 any value fails"
        );
    }

    #[test]
    fn another_value_is_another() {
        for byte in 0..=255 {
            assert!(another(byte, 0) != byte && another(byte, 1) != byte, "{byte}");
        }
    }
}
