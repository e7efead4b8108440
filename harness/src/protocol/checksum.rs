//! Checksums over bytes, as protocols have them.

/// A checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// Adler-32 (RFC 1950, section 8.2).
    Adler32,
    /// CRC-16/ARC: reflected polynomial 0x8005, from 0.
    Crc16,
    /// CRC-16/XMODEM: polynomial 0x1021, from 0.
    Crc16Ccitt,
    /// CRC-16/MODBUS: reflected polynomial 0x8005, from 0xffff.
    Crc16Modbus,
    /// CRC-32/ISO-HDLC (IEEE 802.3, zlib).
    Crc32,
    /// CRC-32C (RFC 3720, appendix B.4).
    Crc32c,
    /// The Internet checksum (RFC 1071).
    Internet,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// Their names.
pub const SUMS: &[(&str, Sum)] = &[
    ("adler32", Sum::Adler32),
    ("crc16", Sum::Crc16),
    ("crc16-ccitt", Sum::Crc16Ccitt),
    ("crc16-modbus", Sum::Crc16Modbus),
    ("crc32", Sum::Crc32),
    ("crc32c", Sum::Crc32c),
    ("internet", Sum::Internet),
    ("sha1", Sum::Sha1),
    ("sha256", Sum::Sha256),
];

/// A checksum's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summed {
    /// A digest of 20 or 32 bytes.
    Digest(Vec<u8>),
    /// A number of at most 32 bits.
    Number(u32),
}

impl Sum {
    /// Whether it is a number; otherwise it is bytes.
    pub fn is_number(self) -> bool {
        !matches!(self, Sum::Sha1 | Sum::Sha256)
    }

    /// How many bytes a digest has.
    pub fn digest_len(self) -> usize {
        if self == Sum::Sha1 { 20 } else { 32 }
    }

    /// The checksum of `bytes`.
    pub fn of(self, bytes: &[u8]) -> Summed {
        Summed::Number(match self {
            Sum::Adler32 => {
                let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
                    let a = (a + u32::from(*byte)) % 65_521;
                    (a, (b + a) % 65_521)
                });
                b << 16 | a
            }
            Sum::Crc16 => reflected(bytes, 0xa001, 0),
            Sum::Crc16Ccitt => bytes.iter().fold(0, |crc, byte| {
                (0..8).fold(crc ^ u32::from(*byte) << 8, |crc, _| {
                    (if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }) & 0xffff
                })
            }),
            Sum::Crc16Modbus => reflected(bytes, 0xa001, 0xffff),
            Sum::Crc32 => !reflected(bytes, 0xedb8_8320, u32::MAX),
            Sum::Crc32c => !reflected(bytes, 0x82f6_3b78, u32::MAX),
            Sum::Internet => {
                let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)));
                let mut sum: u64 = words.sum();
                while sum > 0xffff {
                    sum = (sum & 0xffff) + (sum >> 16);
                }
                !(sum as u32) & 0xffff
            }
            Sum::Sha1 => return digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes),
            Sum::Sha256 => return digest(&ring::digest::SHA256, bytes),
        })
    }
}

fn digest(algorithm: &'static ring::digest::Algorithm, bytes: &[u8]) -> Summed {
    Summed::Digest(ring::digest::digest(algorithm, bytes).as_ref().to_vec())
}

fn reflected(bytes: &[u8], polynomial: u32, start: u32) -> u32 {
    bytes.iter().fold(start, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ polynomial })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values_of_the_catalogue_come_out() {
        let number = |sum: Sum| match sum.of(b"123456789") {
            Summed::Number(number) => number,
            Summed::Digest(_) => panic!("it is a number"),
        };
        assert_eq!(number(Sum::Adler32), 0x091e_01de);
        assert_eq!(number(Sum::Crc16), 0xbb3d);
        assert_eq!(number(Sum::Crc16Ccitt), 0x31c3);
        assert_eq!(number(Sum::Crc16Modbus), 0x4b37);
        assert_eq!(number(Sum::Crc32), 0xcbf4_3926);
        assert_eq!(number(Sum::Crc32c), 0xe306_9283);
    }

    #[test]
    fn the_internet_checksum_of_rfc_1071_comes_out() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::Internet.of(&bytes), Summed::Number(!0xddf2 & 0xffff));
    }

    #[test]
    fn digests_have_their_lengths() {
        for sum in [Sum::Sha1, Sum::Sha256] {
            let Summed::Digest(digest) = sum.of(b"abc") else { panic!("it is bytes") };
            assert_eq!(digest.len(), sum.digest_len());
        }
        let Summed::Digest(digest) = Sum::Sha1.of(b"abc") else { panic!("it is bytes") };
        assert_eq!(digest[..4], [0xa9, 0x99, 0x3e, 0x36]);
    }
}
