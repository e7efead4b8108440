//! As much of an ELF file as tells where a section lies in memory.

/// The most sections that are looked at.
const SECTIONS_MAX: usize = 65_535;

/// A section of an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Where it is, from where the file is loaded.
    pub address: u64,
    /// How long it is.
    pub len: u64,
    /// Whether the file says itself where it is loaded, so that `address` is the whole truth.
    pub fixed: bool,
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
            return Some(Section { address: u64_at(header + 0x10)?, len: u64_at(header + 0x20)?, fixed });
        }
    }
    None
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
    fn what_is_cut_or_no_elf_has_no_section() {
        assert_eq!(section(b"", ".text"), None);
        assert_eq!(section(b"\x7fELF\x02 and then nothing", ".text"), None);
        assert_eq!(section(&[b"\x7fELF\x02".as_slice(), &[0xff; 200]].concat(), ".text"), None);
    }
}
