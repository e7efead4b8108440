//! Words that may mean something to the target: from a file in AFL's format, and learnt from what was said.

use std::collections::HashSet;
use std::fmt;

use super::{Around, Mutator, change_bytes, locate, pick_bytes};
use crate::campaign::case::{Case, Message};
use crate::random::Random;

/// The most words of a dictionary.
pub const DICTIONARY_MAX: usize = 4_096;

/// The longest word.
const WORD_LEN_MAX: usize = 256;

/// How many words the finite part tries.
const SWEPT_WORDS: usize = 1_024;

/// Words.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    words: Vec<Vec<u8>>,
    known: HashSet<Vec<u8>>,
    /// How many of them were said or given; the others are guesses. `None` where there are no guesses.
    sure: Option<usize>,
}

/// Why a file is no dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DictionaryError {
    /// A line is no word in quotes.
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
}

impl fmt::Display for DictionaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DictionaryError::Line { line, why } = self;
        write!(f, "line {line}: {why}")
    }
}

impl std::error::Error for DictionaryError {}

impl Dictionary {
    /// Reads AFL's format: `name="value"` or `"value"` a line, with `\xHH`, `\\` and `\"`; `#` begins a comment.
    pub fn parse(text: &str) -> Result<Dictionary, DictionaryError> {
        let mut dictionary = Dictionary::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why| DictionaryError::Line { line: at + 1, why };
            let (start, end) = match (line.find('"'), line.rfind('"')) {
                (Some(start), Some(end)) if start < end => (start + 1, end),
                _ => return Err(wrong("expected a word in quotes")),
            };
            dictionary.add(&unescape(&line.as_bytes()[start..end]).map_err(wrong)?);
        }
        Ok(dictionary)
    }

    /// The words in AFL's format.
    pub fn text(&self) -> String {
        let escaped = |byte: &u8| match byte {
            b'"' | b'\\' => format!("\\{}", char::from(*byte)),
            b' '..=b'~' => char::from(*byte).to_string(),
            byte => format!("\\x{byte:02x}"),
        };
        self.words.iter().map(|word| format!("\"{}\"\n", word.iter().map(escaped).collect::<String>())).collect()
    }

    /// Adds a word that is not there yet.
    pub fn add(&mut self, word: &[u8]) {
        let fits = (1..=WORD_LEN_MAX).contains(&word.len()) && self.words.len() < DICTIONARY_MAX;
        if fits && self.known.insert(word.to_vec()) {
            self.words.push(word.to_vec());
        }
    }

    /// Adds words that may mean nothing: half of the words that are put in by chance are others.
    pub fn guess(&mut self, words: &[Vec<u8>]) {
        self.sure = self.sure.or(Some(self.words.len()));
        words.iter().for_each(|word| self.add(word));
    }

    /// How many words were said or given, where the others are guesses.
    pub fn sure(&self) -> Option<usize> {
        self.sure
    }

    /// A word by chance.
    fn pick(&self, random: &mut Random) -> Option<&[u8]> {
        let words = match self.sure.filter(|sure| *sure > 0) {
            Some(sure) if random.below(2) == 0 => &self.words[..sure],
            _ => &self.words,
        };
        let at = random.below(words.len().max(1) as u64) as usize;
        words.get(at).map(Vec::as_slice)
    }

    /// The words.
    pub fn words(&self) -> &[Vec<u8>] {
        &self.words
    }
}

fn unescape(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut word = Vec::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            word.push(*first);
            continue;
        }
        rest = match rest {
            [b'x', high, low, after @ ..] => {
                let digit = |byte: u8| (byte as char).to_digit(16).ok_or("expected two hexadecimal digits after `\\x`");
                word.push((digit(*high)? * 16 + digit(*low)?) as u8);
                after
            }
            [escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                after
            }
            [] => return Err("a `\\` stands at the end"),
        };
    }
    Ok(word)
}

/// The words of a text that was said: what stands between anything that is no letter or digit.
pub fn learn(dictionary: &mut Dictionary, said: &[u8]) {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    for word in said.split(|byte| !is_word(byte)).filter(|word| (2..=32).contains(&word.len())) {
        if word.iter().any(u8::is_ascii_alphabetic) {
            dictionary.add(word);
        }
    }
}

/// Puts a word in, or over what is there.
pub(super) fn put(random: &mut Random, bytes: &mut Vec<u8>, at: usize, dictionary: &Dictionary) -> bool {
    let Some(word) = dictionary.pick(random) else { return false };
    let at = at.min(bytes.len());
    let end = match random.below(3) {
        0 => at,
        1 => (at + word.len()).min(bytes.len()),
        // In place of a whole word.
        _ => at + bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count(),
    };
    bytes.splice(at..end, word.iter().copied());
    true
}

/// Where words stand in some bytes: their beginnings and ends.
pub(super) fn words_in(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = bytes[at..].iter().take_while(|byte| byte.is_ascii_graphic()).count();
        if len > 0 {
            words.push((at, at + len));
        }
        at += len.max(1);
    }
    words
}

/// A word that may mean something to the target.
pub(super) struct Words;

/// Of each message, its first words are replaced by each of the dictionary.
fn ways(message: &Message, around: &Around<'_>) -> usize {
    words_in(&message.bytes()).len().min(2) * around.dictionary.words.len().min(SWEPT_WORDS)
}

impl Mutator for Words {
    fn count(&self, case: &Case, around: &Around<'_>) -> usize {
        case.messages().map(|(_, message)| ways(message, around)).sum()
    }

    fn number(&self, number: usize, case: &mut Case, around: &Around<'_>) -> bool {
        let Some((step, way)) = locate(case, number, |_, message| ways(message, around)) else { return false };
        let count = around.dictionary.words.len().min(SWEPT_WORDS);
        change_bytes(case, step, |bytes| {
            let Some((from, to)) = words_in(bytes).get(way / count).copied() else { return false };
            let word = &around.dictionary.words[way % count];
            let same = bytes[from..to] == **word;
            bytes.splice(from..to, word.iter().copied());
            !same
        })
    }

    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        let Some(bytes) = pick_bytes(random, case) else { return false };
        let words = words_in(bytes);
        let at = match random.below(2) {
            0 if !words.is_empty() => super::one_of(random, &words).0,
            _ => random.below(bytes.len() as u64 + 1) as usize,
        };
        put(random, bytes, at, around.dictionary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_of_afl_is_read() {
        let read =
            Dictionary::parse("# x\nkw=\"GET\"\n\n\"\\x00\\xff\\\\\\\"\"\nlevel@1=\"a b\"\n\"GET\"").expect("words");
        assert_eq!(read.words(), [b"GET".to_vec(), vec![0, 255, b'\\', b'"'], b"a b".to_vec()]);
        assert_eq!(read.text(), "\"GET\"\n\"\\x00\\xff\\\\\\\"\"\n\"a b\"\n");
        assert_eq!(Dictionary::parse(&read.text()).expect("words").words(), read.words());
    }

    #[test]
    fn what_is_no_word_is_told_with_its_line() {
        let wrong = |text| Dictionary::parse(text).map(|_| ()).expect_err("a mistake").to_string();
        assert_eq!(wrong("\"a\"\nGET"), "line 2: expected a word in quotes");
        assert_eq!(wrong("\"\\xz0\""), "line 1: expected two hexadecimal digits after `\\x`");
    }

    #[test]
    fn guesses_are_put_in_no_more_often_than_what_was_said() {
        let mut dictionary = Dictionary::default();
        dictionary.add(b"said");
        dictionary.guess(&(0..99).map(|at| format!("guess-{at}").into_bytes()).collect::<Vec<_>>());
        let mut random = Random::new(7, "guesses");
        let said = (0..1_000).filter(|_| dictionary.pick(&mut random) == Some(b"said")).count();
        assert!((400..600).contains(&said), "{said}");
    }

    #[test]
    fn words_are_learnt_from_what_was_said() {
        let mut dictionary = Dictionary::default();
        learn(&mut dictionary, b"USER anonymous\r\n1234 x");
        assert_eq!(dictionary.words(), [b"USER".to_vec(), b"anonymous".to_vec()]);
    }
}
