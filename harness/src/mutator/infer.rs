//! Lengths in messages that nobody has described: a number that is just as large as what follows it.

use super::{Around, Mutator, change_bytes, locate, one_of, pick_message};
use crate::campaign::case::{Case, Message, Step};
use crate::random::{Random, fnv1a, mix};

/// How far from a message's beginning a length is looked for.
const PLACES_MAX: usize = 64;

/// How many bytes of a message are looked at for that: a number that begins at the last place may take eight.
const LOOKED_AT: usize = PLACES_MAX + 7;

/// How many lengths of one message are used.
const LENGTHS_MAX: usize = 8;

/// How many cuts of a message's body the finite part tries.
const FRAGMENTS_MAX: usize = 24;

/// A number that is as large as what follows it, to the end of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Where it stands.
    pub at: usize,
    /// How many bytes it takes.
    pub width: usize,
    /// How it lies there.
    pub how: How,
    /// What it counts of the bytes before its own end.
    pub extra: usize,
}

/// How a length lies in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The most significant byte first.
    Big,
    /// The least significant byte first.
    Little,
    /// Seven bits a byte, the least significant first.
    Varint,
}

/// The lengths of a message, those that stand first and take most bytes at first.
pub type Lengths = Vec<Length>;

/// Finds numbers that say how much follows.
pub fn lengths(bytes: &[u8]) -> Lengths {
    lengths_at(&bytes[..bytes.len().min(LOOKED_AT)], bytes.len())
}

/// The same of a message of which only the beginning is there.
fn lengths_at(head: &[u8], len: usize) -> Lengths {
    let mut found: Lengths = Vec::new();
    for at in 0..len.min(PLACES_MAX) {
        for width in [8_usize, 4, 3, 2, 1] {
            let Some(rest) = len.checked_sub(at + width).filter(|rest| *rest > 0) else { continue };
            let field = &head[at..at + width];
            for how in [How::Big, How::Little, How::Varint] {
                if (width == 1 && how != How::Big) || (how == How::Varint && width == 8) {
                    continue;
                }
                let Some(value) = read(field, how) else { continue };
                // Most numbers are much larger than any message.
                if value < rest as u64 || value > len as u64 {
                    continue;
                }
                for extra in [0, width, at + width] {
                    // A number within a longer one that was found is the same one.
                    let known = |known: &Length| known.at <= at && at + width <= known.at + known.width;
                    if value == (rest + extra) as u64 && !found.iter().any(known) && found.len() < LENGTHS_MAX {
                        found.push(Length { at, width, how, extra });
                    }
                }
            }
        }
    }
    found
}

fn read(field: &[u8], how: How) -> Option<u64> {
    let mut word = [0; 8];
    match how {
        How::Big => {
            word[8 - field.len()..].copy_from_slice(field);
            Some(u64::from_be_bytes(word))
        }
        How::Little => {
            word[..field.len()].copy_from_slice(field);
            Some(u64::from_le_bytes(word))
        }
        How::Varint => {
            let (last, before) = field.split_last()?;
            let whole = *last < 0x80 && *last > 0 && before.iter().all(|byte| *byte >= 0x80);
            whole.then(|| field.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)))
        }
    }
}

impl Length {
    /// Its bytes for another value, of the same width; what does not fit is cut.
    fn write(self, value: u64) -> Vec<u8> {
        match self.how {
            How::Big => value.to_be_bytes()[8 - self.width..].to_vec(),
            How::Little => value.to_le_bytes()[..self.width].to_vec(),
            How::Varint => {
                let more = |at: usize| if at + 1 < self.width { 0x80 } else { 0 };
                (0..self.width).map(|at| (value >> (7 * at)) as u8 & 0x7f | more(at)).collect()
            }
        }
    }

    /// The largest that it can be.
    pub(crate) fn most(self) -> u64 {
        match self.how {
            How::Varint => (1 << (7 * self.width)) - 1,
            _ if self.width == 8 => u64::MAX,
            _ => (1 << (8 * self.width)) - 1,
        }
    }

    /// Sets it to what follows it now.
    fn set_true(self, bytes: &mut [u8]) {
        let end = self.at + self.width;
        if let Some(rest) = bytes.len().checked_sub(end) {
            let value = self.write((rest + self.extra) as u64);
            bytes[self.at..end].copy_from_slice(&value);
        }
    }
}

/// Makes the lengths true again that were true before a change.
pub fn repair(before: &Lengths, bytes: &mut [u8]) {
    before.iter().for_each(|length| length.set_true(bytes));
}

/// How many lies there are about a length.
const LIES: usize = 10;

/// A length that lies.
pub(super) struct Lying;

fn lie(length: Length, now: u64, lie: usize) -> u64 {
    let most = length.most();
    match lie {
        0 => 0,
        1 => 1,
        2 => now.wrapping_sub(1),
        3 => now.wrapping_add(1),
        4 => now.wrapping_add(4),
        5 => now / 2,
        6 => most,
        7 => most - 1,
        8 => most / 2,
        _ => most / 2 + 1,
    }
}

impl Mutator for Lying {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        case.messages().map(|(_, message)| lengths(&message.bytes()).len() * LIES).sum()
    }

    fn number(&self, number: usize, case: &mut Case, _: &Around<'_>) -> bool {
        let ways = |_, message: &Message| lengths(&message.bytes()).len() * LIES;
        let Some((step, way)) = locate(case, number, ways) else { return false };
        lie_about(case, step, way / LIES, way % LIES)
    }

    fn chance(&self, random: &mut Random, case: &mut Case, _: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        let Step::Send(message) = &case.steps[step] else { return false };
        let count = lengths(&message.bytes()).len();
        count > 0 && lie_about(case, step, random.below(count as u64) as usize, random.below(LIES as u64) as usize)
    }
}

fn lie_about(case: &mut Case, step: usize, which: usize, how: usize) -> bool {
    let Some(message) = case.message_mut(step) else { return false };
    let mut bytes = message.bytes();
    let Some(length) = lengths(&bytes).get(which).copied() else { return false };
    let place = length.at..length.at + length.width;
    let now = read(&bytes[place.clone()], length.how).unwrap_or(0);
    let lied = length.write(lie(length, now, how));
    let same = bytes[place.clone()] == lied;
    bytes[place].copy_from_slice(&lied);
    *message = Message { cuts: std::mem::take(&mut message.cuts), ..Message::new(message.link, bytes) };
    !same
}

/// A message in two, each with a header of its own.
pub(super) struct Refragment;

/// Of each length, the body behind it cut in two places at most so many.
fn fragments(message: &Message) -> usize {
    let bytes = message.bytes();
    lengths(&bytes).iter().map(|length| (bytes.len() - length.at - length.width - 1).min(FRAGMENTS_MAX)).sum()
}

fn refragment(message: &mut Message, length: Length, cut: usize) -> bool {
    let bytes = message.bytes();
    let head = length.at + length.width;
    let body = &bytes[head..];
    if cut == 0 || cut >= body.len() {
        return false;
    }
    let mut both = Vec::new();
    let mut border = 0;
    for part in [&body[..cut], &body[cut..]] {
        let from = both.len();
        both.extend_from_slice(&bytes[..head]);
        both.extend_from_slice(part);
        length.set_true(&mut both[from..]);
        border = from;
    }
    *message = Message { cuts: vec![border as u32], ..Message::new(message.link, both) };
    true
}

impl Mutator for Refragment {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        case.messages().map(|(_, message)| fragments(message)).sum()
    }

    fn number(&self, number: usize, case: &mut Case, _: &Around<'_>) -> bool {
        let Some((step, mut way)) = locate(case, number, |_, message| fragments(message)) else { return false };
        let Some(message) = case.message_mut(step) else { return false };
        let bytes = message.bytes();
        for length in lengths(&bytes) {
            let cuts = (bytes.len() - length.at - length.width - 1).min(FRAGMENTS_MAX);
            if way < cuts {
                return refragment(message, length, way + 1);
            }
            way -= cuts;
        }
        false
    }

    fn chance(&self, random: &mut Random, case: &mut Case, _: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        let Some(message) = case.message_mut(step) else { return false };
        let bytes = message.bytes();
        let found = lengths(&bytes);
        if found.is_empty() {
            return false;
        }
        let length = one_of(random, &found);
        refragment(message, length, random.below((bytes.len() - length.at - length.width) as u64) as usize)
    }
}

/// What [`change_bytes`] does, with lengths that are true afterwards every second time.
pub(super) fn change_honestly(case: &mut Case, step: usize, change: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
    change_bytes(case, step, |bytes| {
        let len = bytes.len();
        let mut before = [0; LOOKED_AT];
        let before = &mut before[..len.min(LOOKED_AT)];
        before.copy_from_slice(&bytes[..before.len()]);
        let changed = change(bytes);
        // Which times that are follows from the bytes: it needs no draw.
        let head = &bytes[..bytes.len().min(LOOKED_AT)];
        if changed && bytes.len() != len && mix(fnv1a(head), bytes.len() as u64) >> 63 == 0 {
            repair(&lengths_at(before, len), bytes);
        }
        changed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_in_front_of_what_follows_is_found() {
        let find = |bytes: &[u8]| lengths(bytes).first().copied();
        let of = |at, width, how, extra| Some(Length { at, width, how, extra });
        assert_eq!(find(b"\x00\x00\x00\x05hello"), of(0, 4, How::Big, 0));
        assert_eq!(find(b"\x16\x03\x01\x00\x05hello"), of(3, 2, How::Big, 0));
        assert_eq!(find(b"\x07\x00hello"), of(0, 2, How::Little, 2));
        assert_eq!(find(b"xx\x05hello"), of(2, 1, How::Big, 0));
        assert_eq!(find(b"hello world"), None);
        let long = [b"\x30\xc8\x01".as_slice(), &[b'x'; 200]].concat();
        assert_eq!(find(&long), of(1, 2, How::Varint, 0));
    }

    #[test]
    fn a_message_in_two_has_two_true_headers() {
        let mut message = Message::new(0, b"\x16\x00\x05hello".to_vec());
        let length = lengths(&message.bytes())[0];
        assert!(refragment(&mut message, length, 2));
        assert_eq!(message.bytes(), b"\x16\x00\x02he\x16\x00\x03llo");
        assert_eq!(message.cuts, [5]);
    }

    #[test]
    fn a_repaired_length_is_true() {
        let before = lengths(b"\x00\x05hello");
        let mut bytes = b"\x00\x05hello, world".to_vec();
        repair(&before, &mut bytes);
        assert_eq!(bytes, b"\x00\x0chello, world");
    }
}
