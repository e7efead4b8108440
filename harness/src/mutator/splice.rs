//! The end of one message behind the beginning of another.

use super::infer::change_honestly;
use super::{Around, Mutator, pick_message};
use crate::campaign::case::Case;
use crate::random::Random;

/// The end of another message.
pub(super) struct Splice;

impl Mutator for Splice {
    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        if around.others.is_empty() {
            return false;
        }
        let other = super::one_of(random, around.others);
        let (Some(step), Some(from)) = (pick_message(random, case), pick_message(random, other)) else { return false };
        let crate::campaign::case::Step::Send(message) = &other.steps[from] else { return false };
        let tail = message.bytes();
        change_honestly(case, step, |bytes| {
            let at = random.below(bytes.len() as u64 + 1) as usize;
            let cut = random.below(tail.len() as u64 + 1) as usize;
            match random.below(2) {
                // In place of the end, or in the middle.
                0 => bytes.truncate(at),
                _ => {
                    let rest = bytes.split_off(at);
                    bytes.extend_from_slice(&tail[cut..]);
                    bytes.extend_from_slice(&rest);
                    return true;
                }
            }
            bytes.extend_from_slice(&tail[cut..]);
            true
        })
    }
}
