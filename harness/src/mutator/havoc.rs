//! Many small changes at once, anywhere.

use super::infer::change_honestly;
use super::{Around, Mutator, one_of};
use crate::campaign::case::{Case, MESSAGE_LEN_MAX};
use crate::random::Random;

/// Numbers at which programs change their minds.
const EDGES: &[u64] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    9,
    10,
    13,
    15,
    16,
    31,
    32,
    63,
    64,
    99,
    100,
    127,
    128,
    129,
    254,
    255,
    256,
    257,
    511,
    512,
    999,
    1_000,
    1_023,
    1_024,
    4_095,
    4_096,
    4_097,
    32_767,
    32_768,
    65_534,
    65_535,
    65_536,
    0xff_ffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// The longest block that is added at once.
const BLOCK_LEN_MAX: u64 = 1_500;

/// Bytes set, flipped, added, taken, moved.
pub(super) struct Havoc;

impl Mutator for Havoc {
    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        let times = 1 << random.below(5);
        // In one message, so that the others lead there as they should.
        let Some(step) = super::pick_message(random, case) else { return false };
        let is_plain = case.message_mut(step).is_some_and(|message| message.parts.len() < 2);
        if is_plain {
            return change_honestly(case, step, |bytes| {
                (0..times).fold(false, |changed, _| once(random, bytes, around) || changed)
            });
        }
        // What variables hold stays theirs.
        let Some(bytes) = largest(case, step) else { return false };
        (0..times).fold(false, |changed, _| once(random, bytes, around) || changed)
    }
}

/// The longest part of a message that is bytes.
fn largest(case: &mut Case, step: usize) -> Option<&mut Vec<u8>> {
    let message = case.message_mut(step)?;
    let parts = message.parts.iter_mut().filter_map(|part| match part {
        crate::campaign::case::Part::Bytes(bytes) => Some(bytes),
        crate::campaign::case::Part::Variable(..) => None,
    });
    parts.max_by_key(|bytes| bytes.len())
}

/// Where to look: near the beginning more often, since that is where headers are.
fn place(random: &mut Random, len: usize) -> usize {
    let within = match random.below(3) {
        0 => len.min(16),
        1 => len.min(64),
        _ => len,
    };
    random.below(within as u64) as usize
}

/// One change.
fn once(random: &mut Random, bytes: &mut Vec<u8>, around: &Around<'_>) -> bool {
    let len = bytes.len();
    if len == 0 {
        bytes.push(random.below(256) as u8);
        return true;
    }
    let at = place(random, len);
    match random.below(14) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.below(256) as u8,
        2 => bytes[at] = one_of(random, EDGES) as u8,
        3 => bytes[at] = bytes[at].wrapping_add(1 + random.below(16) as u8),
        4 => bytes[at] = bytes[at].wrapping_sub(1 + random.below(16) as u8),
        5 => set_number(random, bytes, at, false),
        6 => set_number(random, bytes, at, true),
        7 => {
            let end = (at + 1 + block(random, len - at)).min(len);
            bytes.drain(at..end);
        }
        8 if len < MESSAGE_LEN_MAX / 2 => {
            let from = place(random, len);
            let end = (from + 1 + block(random, len - from)).min(len);
            let copy = bytes[from..end].to_vec();
            make_room(bytes, at, copy.len()).copy_from_slice(&copy);
        }
        9 => {
            let from = place(random, len);
            let count = (1 + block(random, len)).min(len - from).min(len - at);
            bytes.copy_within(from..from + count, at);
        }
        10 if len < MESSAGE_LEN_MAX / 2 => {
            let count = (1 + random.below(BLOCK_LEN_MAX) as usize) >> random.below(8);
            let fill = if random.below(2) == 0 { bytes[at] } else { random.below(256) as u8 };
            make_room(bytes, at, count.max(1)).fill(fill);
        }
        11 => {
            let other = place(random, len);
            bytes.swap(at, other);
        }
        12 => return super::dictionary::put(random, bytes, at, around.dictionary),
        _ => {
            let fill = random.below(256) as u8;
            let end = (at + 1 + block(random, len - at)).min(len);
            bytes[at..end].fill(fill);
        }
    }
    true
}

/// A length of a block, short ones more often.
fn block(random: &mut Random, max: usize) -> usize {
    let max = match random.below(4) {
        0 => max.min(4),
        1 => max.min(16),
        2 => max.min(64),
        _ => max,
    };
    random.below(max as u64) as usize
}

/// So many more bytes at a place; what was there comes behind them.
fn make_room(bytes: &mut Vec<u8>, at: usize, count: usize) -> &mut [u8] {
    let len = bytes.len();
    bytes.resize(len + count, 0);
    bytes.copy_within(at..len, at + count);
    &mut bytes[at..at + count]
}

/// Writes a number at which programs change their minds, or one near to what is there, over some bytes.
fn set_number(random: &mut Random, bytes: &mut [u8], at: usize, near: bool) {
    let width = one_of(random, &[2_usize, 2, 4, 4, 8]).min(bytes.len() - at);
    let big = random.below(2) == 0;
    let field = &mut bytes[at..at + width];
    let mut value = one_of(random, EDGES);
    if near {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(field);
        if big {
            wide[..width].reverse();
        }
        let delta = 1 + random.below(35);
        let now = u64::from_le_bytes(wide);
        value = if random.below(2) == 0 { now.wrapping_add(delta) } else { now.wrapping_sub(delta) };
    }
    let mut wide = value.to_le_bytes();
    if big {
        wide[..width].reverse();
    }
    field.copy_from_slice(&wide[..width]);
}
