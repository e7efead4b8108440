//! The one source of chance.
//!
//! Every draw of a run comes from its seed through `ChaCha8`, whose stream is the same on every machine
//! and in every version. A case draws from a stream of its own, named after the case, so that neither
//! order nor `--jobs` nor `--filter` changes its bytes.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded stream of chance.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream called `name` of the run with this `seed`.
    pub fn new(seed: u64, name: &str) -> Random {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        stream.set_stream(fnv1a(name.as_bytes()));
        Random(stream)
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from `0` to `end - 1`; `0` where `end` is `0`. Its bias is below one in 2^32 for ends that fit 32 bits.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }
}

/// FNV-1a in 64 bits: names to numbers that stay the same.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Takes a number into a hash.
pub(crate) fn mix(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_name_give_the_same_bytes_for_ever() {
        let mut bytes = [0; 8];
        Random::new(42, "echo/echoes a line").fill(&mut bytes);
        assert_eq!(bytes, [221, 200, 137, 237, 7, 64, 19, 191]);
    }

    #[test]
    fn another_name_gives_other_bytes() {
        assert_ne!(Random::new(1, "a").next_u64(), Random::new(1, "b").next_u64());
    }

    #[test]
    fn a_draw_stays_below_its_end() {
        let mut random = Random::new(7, "below");
        assert!((0..1_000).all(|_| random.below(3) < 3));
        assert_eq!(random.below(0), 0);
    }
}
