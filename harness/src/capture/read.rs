//! Reads captures: ours and anybody's, pcapng or classic pcap, in either byte order.
//!
//! Written without the crate that [`super::write`] uses, so that each checks the other. It walks bytes
//! in memory, borrows packets from them, and keeps nothing but the interfaces. What is in a packet is
//! not looked at.

use std::borrow::Cow;

use super::Format;
use super::check::CheckError;

/// The most interfaces of a section.
const INTERFACES_MAX: usize = 65_536;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];

const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const OPTION_IF_NAME: u16 = 2;
const OPTION_EPB_FLAGS: u16 = 2;
const OPTION_IF_TSRESOL: u16 = 9;
const OPTION_IF_TSOFFSET: u16 = 14;

/// Where packets were captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Its link type, as <https://www.tcpdump.org/linktypes.html> numbers them.
    pub link_type: u16,
    /// How much of a packet is kept at most; 0 for all.
    pub snaplen: u32,
    resolution: Resolution,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its interface's number within the section.
    pub interface: u32,
    /// Nanoseconds since 1970, where the file says so.
    pub at_ns: Option<u64>,
    /// Its length on the wire.
    pub length: u32,
    /// What was kept of it.
    pub data: &'a [u8],
    /// Its direction and more, as in the format's `epb_flags`; 0 where there are none.
    pub flags: u32,
    /// Its comments.
    pub comments: Vec<Cow<'a, str>>,
}

/// Begins to read a capture; the walk ends with the first error.
pub fn packets(bytes: &[u8]) -> Result<Packets<'_>, CheckError> {
    let mut packets = Packets {
        bytes,
        offset: 0,
        format: Format::Pcapng,
        big_endian: false,
        interfaces: Vec::new(),
        sections: 0,
        section_comments: 0,
        failed: false,
    };
    match bytes.first_chunk() {
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => {}
        Some([0xa1, 0xb2, 0xc3, 0xd4]) => packets.pcap_header(true, 6)?,
        Some([0xa1, 0xb2, 0x3c, 0x4d]) => packets.pcap_header(true, 9)?,
        Some([0xd4, 0xc3, 0xb2, 0xa1]) => packets.pcap_header(false, 6)?,
        Some([0x4d, 0x3c, 0xb2, 0xa1]) => packets.pcap_header(false, 9)?,
        _ => return Err(CheckError::NotACapture),
    }
    Ok(packets)
}

/// The packets of a capture, in order.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    bytes: &'a [u8],
    offset: usize,
    pub(super) format: Format,
    big_endian: bool,
    pub(super) interfaces: Vec<Interface>,
    pub(super) sections: u64,
    pub(super) section_comments: u64,
    failed: bool,
}

impl<'a> Packets<'a> {
    /// The interfaces that the section has described so far.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Where the next block begins: after an error of the walk, the block that is wrong.
    pub fn offset(&self) -> usize {
        self.offset
    }

    fn u16(&self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn u32(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    /// The number at `at` of a block's body that was seen to be long enough.
    fn u32_at(&self, body: &[u8], at: usize) -> u32 {
        self.u32(*body[at..].first_chunk().expect("the body's length was checked"))
    }

    fn pcap_header(&mut self, big_endian: bool, exponent: u8) -> Result<(), CheckError> {
        self.format = Format::Pcap;
        self.big_endian = big_endian;
        self.sections = 1;
        let Some(header) = self.bytes.first_chunk::<24>() else { return Err(CheckError::Cut { offset: 0 }) };
        let major = self.u16([header[4], header[5]]);
        if major != 2 {
            return Err(CheckError::Version { offset: 0, major });
        }
        self.interfaces.push(Interface {
            name: None,
            link_type: self.u32_at(header, 20) as u16,
            snaplen: self.u32_at(header, 16),
            resolution: Resolution { code: exponent, offset_s: 0 },
        });
        self.offset = header.len();
        Ok(())
    }

    fn pcap_packet(&mut self) -> Result<Packet<'a>, CheckError> {
        let offset = self.offset;
        let rest = &self.bytes[offset..];
        let Some((header, rest)) = rest.split_first_chunk::<16>() else { return Err(CheckError::Cut { offset }) };
        let captured = self.u32_at(header, 8);
        let Some(data) = rest.get(..captured as usize) else { return Err(CheckError::Cut { offset }) };
        let fraction_ns = self.interfaces[0].resolution.nanoseconds(self.u32_at(header, 4).into());
        let at_ns = u64::from(self.u32_at(header, 0)) * 1_000_000_000 + fraction_ns;
        let length = self.u32_at(header, 12);
        self.offset += header.len() + data.len();
        Ok(Packet { interface: 0, at_ns: Some(at_ns), length, data, flags: 0, comments: Vec::new() })
    }

    /// Reads one block; `None` where it is no packet.
    fn block(&mut self) -> Result<Option<Packet<'a>>, CheckError> {
        let offset = self.offset;
        let rest = &self.bytes[offset..];
        let cut = CheckError::Cut { offset };
        let Some((head, _)) = rest.split_first_chunk::<12>() else { return Err(cut) };
        // A section's type reads the same in both byte orders; its third field says which it is.
        let kind = self.u32_at(head, 0);
        if kind == SECTION_HEADER {
            self.big_endian = match [head[8], head[9], head[10], head[11]] {
                BYTE_ORDER_MAGIC => true,
                [0x4d, 0x3c, 0x2b, 0x1a] => false,
                _ => return Err(CheckError::NotACapture),
            };
        }
        let length = self.u32_at(head, 4);
        if length < 12 || !length.is_multiple_of(4) {
            return Err(CheckError::BlockLength { offset, length });
        }
        let Some(block) = rest.get(..length as usize) else { return Err(cut) };
        let (body, back) = block[8..].split_last_chunk().expect("at least twelve bytes");
        let back = self.u32(*back);
        if back != length {
            return Err(CheckError::LengthsDiffer { offset, front: length, back });
        }
        let needed = match kind {
            SECTION_HEADER => 16,
            INTERFACE_DESCRIPTION => 8,
            PACKET | ENHANCED_PACKET => 20,
            SIMPLE_PACKET => 4,
            _ => 0,
        };
        if body.len() < needed {
            return Err(CheckError::BlockLength { offset, length });
        }
        let packet = match kind {
            SECTION_HEADER => self.section(body).map(|()| None),
            INTERFACE_DESCRIPTION => self.interface(body).map(|()| None),
            PACKET | ENHANCED_PACKET => self.packet(body, kind).map(Some),
            SIMPLE_PACKET => self.simple_packet(body).map(Some),
            _ => Ok(None),
        }?;
        self.offset += block.len();
        Ok(packet)
    }

    fn section(&mut self, body: &'a [u8]) -> Result<(), CheckError> {
        let major = self.u16([body[4], body[5]]);
        if major != 1 {
            return Err(CheckError::Version { offset: self.offset, major });
        }
        self.sections += 1;
        self.interfaces.clear();
        let mut comments = 0;
        self.options(&body[16..], |code, _| comments += u64::from(code == OPTION_COMMENT))?;
        self.section_comments += comments;
        Ok(())
    }

    fn interface(&mut self, body: &'a [u8]) -> Result<(), CheckError> {
        if self.interfaces.len() == INTERFACES_MAX {
            return Err(CheckError::TooManyInterfaces { max: INTERFACES_MAX });
        }
        let mut interface = Interface {
            name: None,
            link_type: self.u16([body[0], body[1]]),
            snaplen: self.u32_at(body, 4),
            resolution: Resolution { code: 6, offset_s: 0 },
        };
        self.options(&body[8..], |code, value| match (code, value) {
            (OPTION_IF_NAME, name) => interface.name = Some(String::from_utf8_lossy(name).into_owned()),
            (OPTION_IF_TSRESOL, [code]) => interface.resolution.code = *code,
            (OPTION_IF_TSOFFSET, value) => {
                if let Ok(value) = value.try_into() {
                    let value = if self.big_endian { i64::from_be_bytes(value) } else { i64::from_le_bytes(value) };
                    interface.resolution.offset_s = value;
                }
            }
            _ => {}
        })?;
        self.interfaces.push(interface);
        Ok(())
    }

    fn packet(&mut self, body: &'a [u8], kind: u32) -> Result<Packet<'a>, CheckError> {
        let offset = self.offset;
        // The older block has a count of drops in the upper half of the interface's field.
        let interface = if kind == PACKET { u32::from(self.u16([body[0], body[1]])) } else { self.u32_at(body, 0) };
        let Some(Interface { resolution, .. }) = self.interfaces.get(interface as usize) else {
            return Err(CheckError::UnknownInterface { offset, interface });
        };
        let at = u64::from(self.u32_at(body, 4)) << 32 | u64::from(self.u32_at(body, 8));
        let captured = self.u32_at(body, 12);
        let Some(data) = body[20..].get(..captured as usize) else {
            return Err(CheckError::PacketLength { offset, length: captured });
        };
        let mut packet = Packet {
            interface,
            at_ns: Some(resolution.nanoseconds(at)),
            length: self.u32_at(body, 16),
            data,
            flags: 0,
            comments: Vec::new(),
        };
        // The body is padded to four bytes, so this is not beyond its end.
        let options = &body[20 + data.len().next_multiple_of(4)..];
        self.options(options, |code, value| match (code, <[u8; 4]>::try_from(value)) {
            (OPTION_COMMENT, _) => packet.comments.push(String::from_utf8_lossy(value)),
            (OPTION_EPB_FLAGS, Ok(value)) => packet.flags = self.u32(value),
            _ => {}
        })?;
        Ok(packet)
    }

    fn simple_packet(&mut self, body: &'a [u8]) -> Result<Packet<'a>, CheckError> {
        let offset = self.offset;
        let Some(Interface { snaplen, .. }) = self.interfaces.first() else {
            return Err(CheckError::UnknownInterface { offset, interface: 0 });
        };
        let length = self.u32_at(body, 0);
        let captured = if *snaplen == 0 { length } else { length.min(*snaplen) };
        let Some(data) = body[4..].get(..captured as usize) else {
            return Err(CheckError::PacketLength { offset, length: captured });
        };
        Ok(Packet { interface: 0, at_ns: None, length, data, flags: 0, comments: Vec::new() })
    }

    fn options(&self, mut rest: &'a [u8], mut take: impl FnMut(u16, &'a [u8])) -> Result<(), CheckError> {
        while let Some((head, values)) = rest.split_first_chunk::<4>() {
            let code = self.u16([head[0], head[1]]);
            let len = usize::from(self.u16([head[2], head[3]]));
            if code == OPTION_END {
                break;
            }
            let too_long = CheckError::OptionLength { offset: self.offset, code };
            let (Some(value), Some(after)) = (values.get(..len), values.get(len.next_multiple_of(4)..)) else {
                return Err(too_long);
            };
            take(code, value);
            rest = after;
        }
        Ok(())
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, CheckError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed && self.offset < self.bytes.len() {
            let packet = match self.format {
                Format::Pcap => self.pcap_packet().map(Some),
                Format::Pcapng => self.block(),
            };
            self.failed = packet.is_err();
            if let Some(packet) = packet.transpose() {
                return Some(packet);
            }
        }
        None
    }
}

/// What one tick of an interface's clock is, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resolution {
    /// As in `if_tsresol`: a power of ten, or of two with the highest bit set, both negative.
    code: u8,
    offset_s: i64,
}

impl Resolution {
    fn nanoseconds(self, ticks: u64) -> u64 {
        let exponent = u32::from(self.code & 0x7f);
        let ticks = u128::from(ticks);
        let nanoseconds = if self.code & 0x80 != 0 {
            (ticks * 1_000_000_000) >> exponent
        } else if let Some(finer) = exponent.checked_sub(9) {
            10u128.checked_pow(finer).map_or(0, |ticks_per_ns| ticks / ticks_per_ns)
        } else {
            ticks * 10u128.pow(9 - exponent)
        };
        // Below 2^94, so this keeps its value.
        let shifted = nanoseconds as i128 + i128::from(self.offset_s) * 1_000_000_000;
        u64::try_from(shifted.max(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;
    use super::*;

    fn pcapng_block(big_endian: bool, kind: u32, body: &[u8]) -> Vec<u8> {
        let number = |number: u32| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        let length = number(body.len() as u32 + 12);
        [&number(kind)[..], &length, body, &length].concat()
    }

    /// A little-endian section with one interface and `blocks` behind it.
    fn pcapng(if_options: &[u8], blocks: &[Vec<u8>]) -> Vec<u8> {
        let section = [&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[0xff; 8]].concat();
        let interface = [&[1, 0, 0, 0, 0, 0, 4, 0][..], if_options].concat();
        let mut file = pcapng_block(false, SECTION_HEADER, &section);
        file.extend(pcapng_block(false, INTERFACE_DESCRIPTION, &interface));
        file.extend(blocks.concat());
        file
    }

    fn one(file: &[u8]) -> Packet<'_> {
        let mut all = packets(file).expect("a capture");
        let packet = all.next().expect("a packet").expect("a good one");
        assert_eq!(all.next(), None);
        packet
    }

    #[test]
    fn times_keep_their_resolution() {
        let ticks = 1_700_000_000_123_456_789u64;
        for (options, ticks, at_ns) in [
            (&[][..], ticks / 1_000, ticks / 1_000 * 1_000),
            (&[9, 0, 1, 0, 6, 0, 0, 0], ticks / 1_000, ticks / 1_000 * 1_000),
            (&[9, 0, 1, 0, 9, 0, 0, 0], ticks, ticks),
            (&[9, 0, 1, 0, 12, 0, 0, 0], 5_000, 5),
            (&[9, 0, 1, 0, 0x7f, 0, 0, 0], ticks, 0),
            (&[9, 0, 1, 0, 0x81, 0, 0, 0], 3, 1_500_000_000),
            (&[9, 0, 1, 0, 9, 0, 0, 0, 14, 0, 8, 0, 2, 0, 0, 0, 0, 0, 0, 0], 7, 2_000_000_007),
            (&[14, 0, 8, 0, 255, 255, 255, 255, 255, 255, 255, 255], 7, 0),
        ] {
            let at = [((ticks >> 32) as u32).to_le_bytes(), (ticks as u32).to_le_bytes()].concat();
            let body = [&[0; 4][..], &at, &[1, 0, 0, 0, 9, 0, 0, 0, 0xaa, 0, 0, 0]].concat();
            let file = pcapng(options, &[pcapng_block(false, ENHANCED_PACKET, &body)]);
            let packet = one(&file);
            assert_eq!((packet.at_ns, packet.length, packet.data), (Some(at_ns), 9, &[0xaa][..]), "{options:?}");
        }
    }

    #[test]
    fn older_and_simple_packets_are_read() {
        let old = [&[0, 0, 7, 0][..], &[0; 8], &[1, 0, 0, 0, 1, 0, 0, 0, 0xaa, 0, 0, 0]].concat();
        let old = pcapng(&[], &[pcapng_block(false, PACKET, &old)]);
        assert_eq!((one(&old).interface, one(&old).data), (0, &[0xaa][..]));
        let simple = pcapng(&[], &[pcapng_block(false, SIMPLE_PACKET, &[2, 0, 0, 0, 0xaa, 0xbb, 0, 0])]);
        assert_eq!((one(&simple).at_ns, one(&simple).data), (None, &[0xaa, 0xbb][..]));
    }

    #[test]
    fn both_byte_orders_of_both_formats_are_read() {
        let section = [&[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0][..], &[0xff; 8]].concat();
        let body = [&[0; 11][..], &[5, 0, 0, 0, 1, 0, 0, 0, 1, 0xaa, 0, 0, 0]].concat();
        let file = [
            pcapng_block(true, SECTION_HEADER, &section),
            pcapng_block(true, INTERFACE_DESCRIPTION, &[0, 1, 0, 0, 0, 0, 0, 0]),
            pcapng_block(true, ENHANCED_PACKET, &body),
        ];
        let file = file.concat();
        assert_eq!((one(&file).at_ns, one(&file).data), (Some(5_000), &[0xaa][..]));

        let header = |magic: [u8; 4], version: [u8; 4], end: [u8; 4]| [&magic[..], &version, &[0; 12], &end].concat();
        let big = header([0xa1, 0xb2, 0xc3, 0xd4], [0, 2, 0, 4], [0, 0, 0, 1]);
        let big = [big, vec![0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0xaa]].concat();
        assert_eq!(one(&big).at_ns, Some(1_000_002_000));
        let little = header([0x4d, 0x3c, 0xb2, 0xa1], [2, 0, 4, 0], [1, 0, 0, 0]);
        let little = [little, vec![1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0xaa]].concat();
        assert_eq!(one(&little).at_ns, Some(1_000_000_002));
    }

    #[track_caller]
    fn check_error(file: &[u8], expected: &str) {
        assert_eq!(check(file).expect_err("it is broken").to_string(), expected);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let packet = |interface, captured| {
            let body = [&[interface, 0, 0, 0][..], &[0; 8], &[captured, 0, 0, 0, 1, 0, 0, 0], &[0; 4]].concat();
            pcapng_block(false, ENHANCED_PACKET, &body)
        };
        check_error(b"", "expected a pcapng or pcap file, found something else");
        check_error(b"text", "expected a pcapng or pcap file, found something else");
        check_error(&pcapng(&[], &[])[..40], "the file ends within the block at byte 28");
        check_error(&pcapng(&[], &[packet(1, 1)]), "the packet at byte 48 is of interface `1`, which is not described");
        check_error(&pcapng(&[], &[packet(0, 5)]), "the packet at byte 48 has less than the `5` bytes that it says");
        check_error(&pcapng(&[1, 0, 9, 0], &[]), "option `1` of the block at byte 28 is longer than the block");
        check_error(
            &pcapng(&[], &[pcapng_block(false, ENHANCED_PACKET, &[0; 16])]),
            "the block at byte 48 cannot have the length `28`",
        );
        let mut differing = pcapng(&[], &[]);
        differing[44] = 24;
        check_error(&differing, "expected the length `20` behind the block at byte 28, found `24`");
        let mut version = pcapng(&[], &[]);
        version[12] = 2;
        check_error(&version, "expected version `1` of pcapng or `2` of pcap at byte 0, found `2`");
        let many = pcapng(&[], &vec![pcapng_block(false, INTERFACE_DESCRIPTION, &[0; 8]); INTERFACES_MAX]);
        check_error(&many, "more than `65536` interfaces in a section");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            blocks in proptest::collection::vec((0u32..8, proptest::collection::vec(proptest::num::u8::ANY, 0..12)), 0..8),
        ) {
            let _ = check(&bytes);
            for magic in [[0xa1, 0xb2, 0xc3, 0xd4], [0x4d, 0x3c, 0xb2, 0xa1], [0x0a, 0x0d, 0x0d, 0x0a]] {
                let _ = check(&[&magic[..], &bytes].concat());
            }
            let blocks: Vec<_> = blocks.into_iter().map(|(kind, words)| {
                pcapng_block(false, kind, &words.iter().flat_map(|word| [*word, 0, 0, 0]).collect::<Vec<u8>>())
            }).collect();
            let _ = check(&pcapng(&[], &blocks));
        }
    }
}
