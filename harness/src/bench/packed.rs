//! A histogram in as little memory as it needs: the V2 format of `HdrHistogram`, not compressed.
//!
//! Spread out it takes 27 times as much, nearly all of it zeros. What is stored, added and sent is this; it is spread out once,
//! where its percentiles are wanted. Reading takes what anybody wrote, so everything read has a limit.

use std::fmt;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};

/// The most bytes of one histogram.
pub const HISTOGRAM_LEN_MAX: usize = 32 << 20;

/// The most significant digits of a histogram; each takes ten times the memory.
pub const HISTOGRAM_DIGITS_MAX: u32 = 4;

/// What a compressed histogram begins with, and what one that is not.
const COMPRESSED: u32 = 0x1c84_9314;
const PLAIN: u32 = 0x1c84_9313;

/// Bytes before the counts of a histogram that is not compressed.
const HEADER_LEN: usize = 40;

/// A histogram, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed {
    bounds: Bounds,
    bytes: Vec<u8>,
}

/// What a histogram tells apart: the shortest, the longest, and how many digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    low: u64,
    high: u64,
    digits: u8,
}

impl Bounds {
    fn of(histogram: &Histogram<u64>) -> Bounds {
        Bounds { low: histogram.low(), high: histogram.high(), digits: histogram.sigfig() }
    }

    /// How many values a bucket tells apart, as a power of two.
    fn bucket_magnitude(self) -> u32 {
        (2 * 10_u64.pow(u32::from(self.digits))).next_power_of_two().trailing_zeros()
    }

    /// What the values are multiples of, as a power of two.
    fn unit_magnitude(self) -> u32 {
        self.low.ilog2()
    }

    /// How many counts there are.
    fn counts(self) -> usize {
        let beyond = 1_u128 << (self.bucket_magnitude() + self.unit_magnitude());
        let mut buckets = 1;
        while beyond << (buckets - 1) <= u128::from(self.high) {
            buckets += 1;
        }
        (buckets + 1) << (self.bucket_magnitude() - 1)
    }

    /// The least value that is counted at a place.
    fn value_at(self, place: usize) -> u64 {
        let half = self.bucket_magnitude() - 1;
        match place >> half {
            // The first bucket has twice the places of the others.
            0 => (place as u64) << self.unit_magnitude(),
            bucket => ((place & ((1 << half) - 1)) as u64 + (1 << half)) << (bucket as u32 - 1 + self.unit_magnitude()),
        }
    }

    /// A histogram of these bounds with nothing in it.
    fn empty(self) -> Histogram<u64> {
        Histogram::new_with_bounds(self.low, self.high, self.digits).expect("they were checked")
    }
}

impl Packed {
    /// What a histogram is packed.
    pub fn of(histogram: &Histogram<u64>) -> Packed {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(histogram, &mut bytes).expect("a vector takes everything");
        Packed { bounds: Bounds::of(histogram), bytes }
    }

    /// The histogram in some bytes, compressed or not; or what is wrong with them.
    pub fn read(bytes: &[u8]) -> Result<Packed, &'static str> {
        let word =
            |at: usize| bytes.get(at..at + 4).map(|word| u32::from_be_bytes(word.try_into().expect("they are four")));
        let mut bytes = match (word(0), word(4)) {
            (Some(PLAIN), _) => bytes.to_vec(),
            (Some(COMPRESSED), Some(len)) => {
                let compressed = bytes[8..].get(..len as usize).ok_or("its histogram is cut off")?;
                let mut plain = Vec::new();
                let mut reader = ZlibDecoder::new(compressed).take(HISTOGRAM_LEN_MAX as u64);
                reader.read_to_end(&mut plain).map_err(|_| "its histogram is damaged")?;
                plain
            }
            _ => return Err("its histogram is of no version that is known"),
        };
        if bytes.len() < HEADER_LEN {
            return Err("its histogram is cut off");
        }
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("they are four"));
        let long = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("they are eight"));
        let (is_plain, len, shifted, digits) = (word(0) == PLAIN, word(4) as usize, word(8) != 0, word(12));
        let (low, high, scaled) = (long(16), long(24), f64::from_bits(long(32)) != 1.0);
        if !is_plain || bytes.len() - HEADER_LEN < len {
            return Err("its histogram is cut off");
        }
        if digits > HISTOGRAM_DIGITS_MAX || i64::try_from(high).is_err() {
            return Err("its histogram is larger than any that is read");
        }
        let bounds = Bounds { low, high, digits: u8::try_from(digits).expect("there are few") };
        if shifted || scaled || low == 0 || high / 2 < low || bounds.bucket_magnitude() + bounds.unit_magnitude() > 63 {
            return Err("its histogram is damaged");
        }
        bytes.truncate(HEADER_LEN + len);
        let places = bounds.counts();
        for count in counts(&bytes[HEADER_LEN..]) {
            let Some((place, _)) = count else { return Err("its histogram is damaged") };
            if place >= places {
                return Err("its histogram is damaged");
            }
        }
        Ok(Packed { bounds, bytes })
    }

    /// The histogram, spread out.
    pub fn histogram(&self) -> Histogram<u64> {
        let mut all = self.bounds.empty();
        self.count_in(&mut all);
        all
    }

    /// Whether its buckets are those of a histogram, as far as both go.
    pub fn is_like(&self, other: &Histogram<u64>) -> bool {
        (self.bounds.low, self.bounds.digits) == (other.low(), other.sigfig())
    }

    /// Whether its buckets are those of a histogram, and as many.
    pub fn has_bounds_of(&self, other: &Histogram<u64>) -> bool {
        self.bounds == Bounds::of(other)
    }

    /// Adds it to a histogram that [is like it](Packed::is_like), exactly. A recorder that grows as it needs to gives
    /// histograms of different heights: what it is added to becomes as high as it is.
    pub fn add_to(&self, whole: &mut Histogram<u64>) {
        if self.bounds.high > whole.high() {
            let mut higher = self.bounds.empty();
            higher.add(&*whole).expect("what is lower fits");
            *whole = higher;
        }
        self.count_in(whole);
    }

    fn count_in(&self, whole: &mut Histogram<u64>) {
        for (place, count) in counts(&self.bytes[HEADER_LEN..]).flatten() {
            whole.record_n(self.bounds.value_at(place), count).expect("it is as high");
        }
    }

    /// Its bytes, as they are.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes compressed, as a log has them.
    pub fn compressed(&self) -> Vec<u8> {
        let mut packer = ZlibEncoder::new(vec![0; 8], Compression::default());
        packer.write_all(&self.bytes).expect("a vector takes everything");
        let mut bytes = packer.finish().expect("a vector takes everything");
        let len = u32::try_from(bytes.len() - 8).expect("a histogram has fewer bytes");
        bytes[..4].copy_from_slice(&COMPRESSED.to_be_bytes());
        bytes[4..8].copy_from_slice(&len.to_be_bytes());
        bytes
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted: u64 =
            counts(&self.bytes[HEADER_LEN..]).flatten().map(|(_, count)| count).fold(0, u64::saturating_add);
        f.debug_struct("Packed").field("bounds", &self.bounds).field("counted", &counted).finish_non_exhaustive()
    }
}

/// What is counted, and at which place; `None` where bytes are no number, or a number is none that can be.
fn counts(mut bytes: &[u8]) -> impl Iterator<Item = Option<(usize, u64)>> {
    let mut place = 0_usize;
    std::iter::from_fn(move || {
        while !bytes.is_empty() {
            let Some((number, rest)) = number(bytes) else {
                bytes = &[];
                return Some(None);
            };
            bytes = rest;
            // What is negative is a number of zeros.
            let (skip, counted) = match u64::try_from(number) {
                Ok(count) => (1, (count > 0).then_some((place, count))),
                Err(_) => (number.unsigned_abs() as usize, None),
            };
            let Some(next) = place.checked_add(skip) else {
                bytes = &[];
                return Some(None);
            };
            place = next;
            if counted.is_some() {
                return Some(counted);
            }
        }
        None
    })
}

/// A number at the beginning of some bytes, and what follows it: LEB128 of at most nine bytes, of which the last has eight bits
/// of it, and the lowest bit is the sign.
fn number(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        let is_last = at == 8 || byte & 0x80 == 0;
        let bits = if at == 8 { *byte } else { byte & 0x7f };
        number |= u64::from(bits) << (7 * at);
        if is_last {
            let signed = (number >> 1) as i64 ^ -((number & 1) as i64);
            // There is one that cannot be turned around.
            return (signed != i64::MIN).then_some((signed, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::fixture::counted;
    use super::*;
    use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};
    use proptest::prelude::*;

    /// A histogram that is not compressed, with some bytes changed.
    fn changed(at: usize, bytes: &[u8]) -> Result<Packed, &'static str> {
        let mut plain = Packed::of(&counted(&[1, 5, 9, 70_000])).bytes;
        plain[at..at + bytes.len()].copy_from_slice(bytes);
        Packed::read(&plain)
    }

    #[test]
    fn a_histogram_that_lies_about_its_size_takes_no_memory() {
        assert_eq!(changed(4, &[0x7f; 4]), Err("its histogram is cut off"));
        assert_eq!(changed(12, &[0, 0, 0, 5]), Err("its histogram is larger than any that is read"));
        assert_eq!(changed(24, &[0xff; 8]), Err("its histogram is larger than any that is read"));
        assert_eq!(changed(8, &[1; 4]), Err("its histogram is damaged"));
        assert_eq!(changed(16, &[0x70; 8]), Err("its histogram is damaged"));
        // A number of zeros that cannot be turned around.
        let mut plain = Packed::of(&counted(&[1])).bytes;
        plain.truncate(HEADER_LEN);
        plain[4..8].copy_from_slice(&9_u32.to_be_bytes());
        plain.extend([0xff; 9]);
        assert_eq!(Packed::read(&plain), Err("its histogram is damaged"));
    }

    #[test]
    fn what_unpacks_without_end_is_cut() {
        let zeros = std::io::Read::take(std::io::repeat(0), HISTOGRAM_LEN_MAX as u64 + 1);
        let mut packed = Vec::new();
        flate2::read::ZlibEncoder::new(zeros, Compression::fast()).read_to_end(&mut packed).expect("it packs");
        let mut bytes = COMPRESSED.to_be_bytes().to_vec();
        bytes.extend((packed.len() as u32).to_be_bytes());
        bytes.extend(packed);
        assert_eq!(Packed::read(&bytes), Err("its histogram is cut off"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn histograms_survive_the_way(values in prop::collection::vec(1_u64..60_000_000_000, 0..200)) {
            let all = counted(&values);
            let packed = Packed::of(&all);
            prop_assert_eq!(packed.histogram(), all.clone());
            prop_assert_eq!(Packed::read(&packed.compressed()).expect("just made"), packed.clone());
            let mut theirs = Vec::new();
            V2DeflateSerializer::new().serialize(&all, &mut theirs).expect("a vector takes everything");
            prop_assert_eq!(Packed::read(&theirs).expect("just made"), packed);
        }

        #[test]
        fn sums_are_those_of_the_library(
            one in prop::collection::vec(1_u64..60_000_000_000, 0..50), two in prop::collection::vec(1_u64..60_000_000_000, 0..50),
        ) {
            let (mut sum, mut expected) = (counted(&one), counted(&one));
            Packed::of(&counted(&two)).add_to(&mut sum);
            expected.add(counted(&two)).expect("the bounds are the same");
            prop_assert_eq!(sum, expected);
        }

        #[test]
        fn every_place_of_every_size_is_where_the_library_has_it(low in 1_u64..5000, more in 2_u64..1_000_000_000, digits in 0_u8..=4) {
            let bounds = Bounds { low, high: low * more, digits };
            let empty = bounds.empty();
            prop_assert_eq!(bounds.counts(), empty.distinct_values());
            // The library tells the values of all places one after another.
            let places = bounds.counts().min(20_000);
            for (place, value) in empty.iter_all().take(places).enumerate() {
                prop_assert_eq!(empty.lowest_equivalent(value.value_iterated_to()), bounds.value_at(place));
            }
        }

        #[test]
        fn damage_is_what_the_library_reads_or_an_error(
            values in prop::collection::vec(1_u64..1_000_000, 1..20), at in 0_usize..200, byte: u8,
        ) {
            let mut plain = Packed::of(&counted(&values)).bytes;
            let at = at % plain.len();
            plain[at] = byte;
            if let Ok(packed) = Packed::read(&plain) {
                let theirs: Histogram<u64> = Deserializer::new().deserialize(&mut &plain[..]).expect("it is read here");
                prop_assert_eq!(packed.histogram(), theirs);
            }
        }
    }
}
