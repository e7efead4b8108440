//! Single bytes, and ends that are left out.

use super::{Around, Mutator, change_bytes, locate, pick_bytes, pick_message};
use crate::campaign::case::Case;
use crate::random::Random;

/// How much of a message has every bit of it flipped in the finite part.
const BITS_LEN_MAX: usize = 64;

/// What each byte becomes in the finite part, beside its flipped bits.
const VALUES: &[u8] = &[0x00, 0xff, 0x7f, 0x80, b'\n', b'%'];

/// How many lengths of a message the finite part tries.
const LENS_MAX: usize = 64;

/// A byte at the end of its range, a flipped bit.
pub(super) struct Bits;

impl Mutator for Bits {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        case.messages().map(|(_, message)| message.len().min(BITS_LEN_MAX) * (8 + VALUES.len())).sum()
    }

    fn number(&self, number: usize, case: &mut Case, _: &Around<'_>) -> bool {
        let ways = |_, message: &crate::campaign::case::Message| message.len().min(BITS_LEN_MAX) * (8 + VALUES.len());
        let Some((step, way)) = locate(case, number, ways) else { return false };
        change_bytes(case, step, |bytes| {
            let (at, how) = (way / (8 + VALUES.len()), way % (8 + VALUES.len()));
            let Some(byte) = bytes.get_mut(at) else { return false };
            let before = *byte;
            *byte = if how < 8 { before ^ (1 << how) } else { VALUES[how - 8] };
            *byte != before
        })
    }

    fn chance(&self, random: &mut Random, case: &mut Case, _: &Around<'_>) -> bool {
        let Some(bytes) = pick_bytes(random, case).filter(|bytes| !bytes.is_empty()) else { return false };
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] = match random.below(3) {
            0 => bytes[at] ^ (1 << random.below(8)),
            1 => super::one_of(random, VALUES),
            _ => random.below(256) as u8,
        };
        true
    }
}

/// The end of a message left out.
pub(super) struct Truncate;

/// The lengths that are tried: all of a short message, and of a long one its beginning and its end.
fn lens(len: usize) -> impl Iterator<Item = usize> {
    (0..len).filter(move |at| len <= LENS_MAX || *at < LENS_MAX / 2 || *at >= len - LENS_MAX / 2)
}

impl Mutator for Truncate {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        case.messages().map(|(_, message)| lens(message.len()).count()).sum()
    }

    fn number(&self, number: usize, case: &mut Case, _: &Around<'_>) -> bool {
        let ways = |_, message: &crate::campaign::case::Message| lens(message.len()).count();
        let Some((step, way)) = locate(case, number, ways) else { return false };
        change_bytes(case, step, |bytes| {
            let len = lens(bytes.len()).nth(way).unwrap_or(0);
            bytes.truncate(len);
            true
        })
    }

    fn chance(&self, random: &mut Random, case: &mut Case, _: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        change_bytes(case, step, |bytes| {
            bytes.truncate(random.below(bytes.len() as u64) as usize);
            true
        })
    }
}
