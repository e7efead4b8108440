//! Chance that repeats: a number for each place, with no state in between.

/// A number that depends on nothing but a seed and two places, and is spread evenly: `SplitMix64`, once for each.
pub(crate) fn draw(seed: u64, first: u64, second: u64) -> u64 {
    [seed, first, second].into_iter().fold(0, |state, word| {
        let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}
