//! Words and numbers of a message that is text, or partly is.

use super::dictionary::words_in;
use super::infer::change_honestly;
use super::{Around, Mutator, locate, one_of, pick_message};
use crate::campaign::case::{Case, Message};
use crate::random::Random;

/// How many numbers and words of a message the finite part tries.
const PLACES_MAX: usize = 6;

/// What a number becomes.
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "127",
    "128",
    "255",
    "256",
    "32767",
    "32768",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "",
    "1e9",
    "0x10",
    "-2147483649",
    "00000000000000000001",
    "1.5",
];

/// What a word becomes.
const STRINGS: &[&str] = &[
    "",
    "%n%n%n%n",
    "%s%s%s%s%s%s",
    "%99999999d",
    "../../../../../../etc/passwd",
    "..",
    "/",
    "*",
    "~",
    "\0",
    "\r\n",
    "\n",
    "'",
    "\"",
    "`id`",
    "$(id)",
    ";",
    "|",
    "<",
    "\u{feff}",
    "\u{202e}",
    "\u{10ffff}",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "a b",
    "\t",
    "%00",
    "\\",
    "null",
    "true",
    "-",
    "--",
    "@",
    "a@b",
    ":",
    "::1",
    "0",
    ",",
    "=",
];

/// Of how many letters a word becomes: around powers of two, where buffers end.
const LONG: &[usize] = &[
    16, 31, 32, 33, 63, 64, 65, 127, 128, 129, 254, 255, 256, 257, 511, 512, 513, 1_023, 1_024, 1_025, 2_048, 4_095,
    4_096, 4_097, 8_192, 16_384, 65_535, 65_536, 70_000, 300_000,
];

/// Where digits stand in some bytes.
fn numbers_in(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut numbers = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if len > 0 {
            numbers.push((at, at + len));
        }
        at += len.max(1);
    }
    numbers
}

fn replace(bytes: &mut Vec<u8>, (from, to): (usize, usize), with: &[u8]) -> bool {
    let same = bytes[from..to] == *with;
    bytes.splice(from..to, with.iter().copied());
    !same
}

/// What a word becomes, by number.
fn string(at: usize, word: &[u8]) -> Vec<u8> {
    match STRINGS.get(at) {
        Some(text) => text.as_bytes().to_vec(),
        // Its own first letter many times over, so that what has to be a letter still is one.
        None => vec![word.first().copied().unwrap_or(b'A'); LONG[at - STRINGS.len()]],
    }
}

/// A number in digits that is at the end of a range.
pub(super) struct Numbers;

fn number_ways(message: &Message) -> usize {
    numbers_in(&message.bytes()).len().min(PLACES_MAX) * NUMBERS.len()
}

impl Mutator for Numbers {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        case.messages().map(|(_, message)| number_ways(message)).sum()
    }

    fn number(&self, number: usize, case: &mut Case, _: &Around<'_>) -> bool {
        let Some((step, way)) = locate(case, number, |_, message| number_ways(message)) else { return false };
        change_honestly(case, step, |bytes| {
            let place = numbers_in(bytes)[way / NUMBERS.len()];
            replace(bytes, place, NUMBERS[way % NUMBERS.len()].as_bytes())
        })
    }

    fn chance(&self, random: &mut Random, case: &mut Case, _: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        change_honestly(case, step, |bytes| {
            let places = numbers_in(bytes);
            !places.is_empty() && {
                let place = one_of(random, &places);
                replace(bytes, place, one_of(random, NUMBERS).as_bytes())
            }
        })
    }
}

/// A word that is very long, or made of what formats and paths know.
pub(super) struct Strings;

/// The finite part is for messages that are text: of others, a word is chance.
fn string_ways(message: &Message) -> usize {
    let bytes = message.bytes();
    let printable = bytes.iter().filter(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()).count();
    match printable * 10 >= bytes.len() * 9 {
        true => words_in(&bytes).len().min(PLACES_MAX) * (STRINGS.len() + LONG.len()),
        false => 0,
    }
}

impl Mutator for Strings {
    fn count(&self, case: &Case, _: &Around<'_>) -> usize {
        case.messages().map(|(_, message)| string_ways(message)).sum()
    }

    fn number(&self, number: usize, case: &mut Case, _: &Around<'_>) -> bool {
        let Some((step, way)) = locate(case, number, |_, message| string_ways(message)) else { return false };
        let each = STRINGS.len() + LONG.len();
        change_honestly(case, step, |bytes| {
            let place = words_in(bytes)[way / each];
            let with = string(way % each, &bytes[place.0..place.1]);
            replace(bytes, place, &with)
        })
    }

    fn chance(&self, random: &mut Random, case: &mut Case, _: &Around<'_>) -> bool {
        let Some(step) = pick_message(random, case) else { return false };
        change_honestly(case, step, |bytes| {
            let places = words_in(bytes);
            let (from, to) = match places.is_empty() {
                true => (bytes.len(), bytes.len()),
                false => one_of(random, &places),
            };
            let with = string(random.below((STRINGS.len() + LONG.len()) as u64) as usize, &bytes[from..to]);
            match random.below(3) {
                0 => bytes.splice(to..to, with).count() == 0,
                _ => replace(bytes, (from, to), &with),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_found() {
        assert_eq!(numbers_in(b"a12,3\n"), [(1, 3), (4, 5)]);
        assert_eq!(words_in(b"GET /x  y\r\n"), [(0, 3), (4, 6), (8, 9)]);
    }

    #[test]
    fn every_string_has_a_number() {
        for at in 0..STRINGS.len() + LONG.len() {
            string(at, b"x");
        }
        assert_eq!(string(STRINGS.len(), b"x"), [b'x'; 16]);
    }
}
