//! CRC-32/ISO-HDLC: the checksum of IEEE 802.3, zlib and PNG.

/// The checksum of `parts` as if they were one.
pub(crate) fn of(parts: &[&[u8]]) -> u32 {
    !parts.iter().copied().flatten().fold(!0, |crc: u32, &byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_the_check_value_of_its_catalogue_entry() {
        assert_eq!(of(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(of(&[b"1234", b"", b"56789"]), 0xcbf4_3926);
        assert_eq!(of(&[]), 0);
    }
}
