//! As much of an ELF file as tells where a section lies in memory, and which words its program knows.

use std::collections::HashSet;
use std::ops::RangeInclusive;

/// The most sections that are looked at.
const SECTIONS_MAX: usize = 65_535;

/// A section of an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Where it is, from where the file is loaded.
    pub address: u64,
    /// How long it is.
    pub len: u64,
    /// Where it lies in the file.
    offset: u64,
    /// Whether the file says itself where it is loaded, so that `address` is the whole truth.
    pub fixed: bool,
}

impl Section {
    /// What it holds.
    pub fn bytes(self, file: &[u8]) -> Option<&[u8]> {
        file.get(usize::try_from(self.offset).ok()?..)?.get(..usize::try_from(self.len).ok()?)
    }
}

/// The section with this name, in a file of 64 bits in this machine's byte order.
pub fn section(file: &[u8], name: &str) -> Option<Section> {
    let u16_at = |at: usize| Some(u16::from_ne_bytes(*file.get(at..)?.first_chunk()?));
    let u32_at = |at: usize| Some(u32::from_ne_bytes(*file.get(at..)?.first_chunk()?));
    let u64_at = |at: usize| Some(u64::from_ne_bytes(*file.get(at..)?.first_chunk()?));
    if !file.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let table = usize::try_from(u64_at(0x28)?).ok()?;
    let (size, count) = (usize::from(u16_at(0x3a)?), usize::from(u16_at(0x3c)?).min(SECTIONS_MAX));
    let header = |at: usize| at.checked_mul(size)?.checked_add(table);
    let names = usize::try_from(u64_at(header(usize::from(u16_at(0x3e)?))? + 0x18)?).ok()?;
    for at in 0..count {
        let header = header(at)?;
        let start = names.checked_add(u32_at(header)? as usize)?;
        let found = file.get(start..)?.split(|byte| *byte == 0).next()?;
        if found == name.as_bytes() {
            const EXECUTABLE: u16 = 2;
            let fixed = u16_at(0x10)? == EXECUTABLE;
            let (address, offset, len) = (u64_at(header + 0x10)?, u64_at(header + 0x18)?, u64_at(header + 0x20)?);
            return Some(Section { address, len, offset, fixed });
        }
    }
    None
}

/// The lengths of texts that may be words.
const TEXT_LEN: RangeInclusive<usize> = 3..=32;

/// The lengths of texts that may be names.
const NAME_LEN: RangeInclusive<usize> = 3..=20;

/// The most names of a program.
const NAMES_MAX: usize = 512;

/// Whoever has more names than this interprets programs, and what they mean stands elsewhere.
const INTERPRETER_NAMES: usize = 1_500;

/// The most words of a program.
const WORDS_MAX: usize = 1_024;

/// The words that a program knows: texts among its constants, and numbers that its code compares with, the rarest first.
///
/// Numbers are known of x86-64 alone, and come in both byte orders.
pub fn words(file: &[u8]) -> Vec<Vec<u8>> {
    let bytes = |name: &str| section(file, name)?.bytes(file);
    let mut numbers: Vec<Vec<u8>> = Vec::new();
    const X86_64: [u8; 2] = [0x3e, 0];
    if file.get(0x12..0x14) == Some(&X86_64) {
        numbers = compared(bytes(".text").unwrap_or_default());
    }
    let is_printed = |byte: &u8| (b' '..=b'~').contains(byte);
    let texts = texts(bytes(".rodata").unwrap_or_default(), TEXT_LEN, is_printed);
    distinct(numbers.iter().map(Vec::as_slice).take(WORDS_MAX / 2).chain(texts), WORDS_MAX)
}

/// Of the texts that a program knows, those that look like words of a protocol: names of commands, of header fields, of values.
/// There are fewer of them, so that whoever has not been asked for them loses little by them.
pub fn names(file: &[u8]) -> Vec<Vec<u8>> {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/' | b':' | b'+' | b'=');
    let is_name = |text: &&[u8]| text.iter().any(u8::is_ascii_alphabetic) && !text.starts_with(b"/");
    let constants = section(file, ".rodata").and_then(|section| section.bytes(file)).unwrap_or_default();
    let texts = texts(constants, NAME_LEN, is_of_name).filter(is_name);
    let mut names = distinct(texts, INTERPRETER_NAMES + 1);
    if names.len() > INTERPRETER_NAMES {
        names.clear();
    }
    names.truncate(NAMES_MAX);
    names
}

/// The texts among some constants that are so long and of such bytes.
fn texts(constants: &[u8], len: RangeInclusive<usize>, is_of: fn(&u8) -> bool) -> impl Iterator<Item = &[u8]> {
    let texts = constants.split(|byte| *byte == 0);
    texts.filter(move |text| len.contains(&text.len()) && text.iter().all(is_of))
}

/// The first of these words, each once.
fn distinct<'w>(words: impl IntoIterator<Item = &'w [u8]>, most: usize) -> Vec<Vec<u8>> {
    let mut known = HashSet::new();
    words.into_iter().filter(|word| known.insert(*word)).take(most).map(<[u8]>::to_vec).collect()
}

/// The numbers of four bytes that instructions of x86-64 compare with, in both byte orders.
fn compared(code: &[u8]) -> Vec<Vec<u8>> {
    let mut times: std::collections::BTreeMap<[u8; 4], u32> = std::collections::BTreeMap::new();
    for at in 0..code.len() {
        // `cmp eax, imm32`, and `cmp r/m32, imm32`, whose operand may have an index, and be some way off.
        let behind = match code[at..] {
            [0x3d, ..] => 1,
            [0x81, operand, ..] if operand >> 3 & 7 == 7 => {
                let (mode, base) = (operand >> 6, operand & 7);
                let index = usize::from(mode != 3 && base == 4);
                let offset = match (mode, base) {
                    (0, 5) | (2, _) => 4,
                    (1, _) => 1,
                    _ => 0,
                };
                2 + index + offset
            }
            _ => continue,
        };
        let Some(number) = code.get(at + behind..).and_then(|rest| rest.first_chunk::<4>()) else { continue };
        // What is small, or a little below zero, is a count.
        let is_count = number[2..] == [0, 0] || number[2..] == [0xff, 0xff];
        if !is_count {
            *times.entry(*number).or_insert(0) += 1;
        }
    }
    let mut numbers: Vec<([u8; 4], u32)> = times.into_iter().collect();
    numbers.sort_by_key(|(_, times)| *times);
    let both = |number: [u8; 4]| [number.to_vec(), number.iter().rev().copied().collect()];
    numbers.into_iter().flat_map(|(number, _)| both(number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test reads its own program")]
    fn this_program_has_a_text_section() {
        let own = std::fs::read("/proc/self/exe").expect("it is there");
        let text = section(&own, ".text").expect("every program has one");
        assert!(text.len > 1_000 && text.address > 0, "{text:?}");
        assert_eq!(section(&own, ".nothing"), None);
    }

    #[test]
    fn what_code_compares_with_is_a_word_in_both_orders() {
        let code = b"\x90\x81\x38\xc5\x3a\x9e\x71\x0f\x3d\x01\x00\x00\x00\x81\xfb\xff\xff\xff\xff";
        assert_eq!(compared(code), [b"\xc5\x3a\x9e\x71".to_vec(), b"\x71\x9e\x3a\xc5".to_vec()]);
        // On the stack, some way off.
        assert_eq!(compared(b"\x81\xbc\x24\x00\x20\x00\x00\x01\x02\x03\x04")[0], [1, 2, 3, 4]);
        assert_eq!(compared(b"\x81\x38\xc5"), Vec::<Vec<u8>>::new());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test reads its own program")]
    fn this_program_knows_words_and_not_too_many() {
        let words = words(&std::fs::read("/proc/self/exe").expect("it is there"));
        assert!((100..=WORDS_MAX).contains(&words.len()), "{}", words.len());
        assert_eq!(super::words(b"\x7fELF\x02 and then nothing"), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn what_looks_like_a_name_is_one() {
        let found: Vec<&[u8]> =
            texts(b"SITE\0no\0two words\0utf-8\0%s\0RTP/AVP\0", NAME_LEN, u8::is_ascii_graphic).collect();
        assert_eq!(found, [&b"SITE"[..], b"utf-8", b"RTP/AVP"]);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test reads its own program")]
    fn names_are_fewer_than_words() {
        let names = names(&std::fs::read("/proc/self/exe").expect("it is there"));
        assert!(names.len() <= NAMES_MAX && names.iter().all(|name| !name.contains(&b' ')), "{names:?}");
    }

    #[test]
    fn what_is_cut_or_no_elf_has_no_section() {
        assert_eq!(section(b"", ".text"), None);
        assert_eq!(section(b"\x7fELF\x02 and then nothing", ".text"), None);
        assert_eq!(section(&[b"\x7fELF\x02".as_slice(), &[0xff; 200]].concat(), ".text"), None);
    }
}
