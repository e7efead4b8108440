//! As much of an ELF file as tells where a section lies in memory, and which words its program knows.

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
const TEXT_LEN: std::ops::RangeInclusive<usize> = 3..=32;

/// The most words of a program.
const WORDS_MAX: usize = 1_024;

/// The words that a program knows: texts among its constants, and numbers that its code compares with, the rarest first.
///
/// Numbers are known of x86-64 alone, and come in both byte orders.
pub fn words(file: &[u8]) -> Vec<Vec<u8>> {
    let bytes = |name: &str| section(file, name)?.bytes(file);
    let mut words: Vec<Vec<u8>> = Vec::new();
    const X86_64: [u8; 2] = [0x3e, 0];
    if file.get(0x12..0x14) == Some(&X86_64) {
        words.extend(compared(bytes(".text").unwrap_or_default()));
    }
    let is_printed = |byte: &u8| (b' '..=b'~').contains(byte);
    let texts = bytes(".rodata").unwrap_or_default().split(|byte| *byte == 0);
    let texts = texts.filter(|text| TEXT_LEN.contains(&text.len()) && text.iter().all(is_printed));
    let mut known = std::collections::HashSet::new();
    words.truncate(WORDS_MAX / 2);
    words.extend(texts.map(<[u8]>::to_vec));
    words.retain(|word| known.insert(word.clone()));
    words.truncate(WORDS_MAX);
    words
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
    fn what_is_cut_or_no_elf_has_no_section() {
        assert_eq!(section(b"", ".text"), None);
        assert_eq!(section(b"\x7fELF\x02 and then nothing", ".text"), None);
        assert_eq!(section(&[b"\x7fELF\x02".as_slice(), &[0xff; 200]].concat(), ".text"), None);
    }
}
