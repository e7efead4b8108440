//! From frames to the bytes of a file, through the crate that knows the formats.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapTsResolution, PcapWriter};
use pcap_file::pcapng::blocks::block_common::ENHANCED_PACKET_BLOCK;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::name_resolution::{Ipv4Record, Ipv6Record, NameResolutionBlock, Record};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{PcapNgWriter, RawBlock};
use pcap_file::{DataLink, Endianness};

use super::comment::{Comments, Texts, cut};
use super::flow::{Frame, NEAR, Shape};
use super::packet::{self, SNAPLEN};
use super::timeline::Timeline;
use crate::event::RunStarted;

/// What a frame takes in a file beside its payload, about: one allocation then does for most captures.
const OVERHEAD: usize = 288;
/// The longest name of an interface.
const NAME_LEN_MAX: usize = 255;
/// A block of secrets, and the kind that opens TLS (draft-ietf-opsawg-pcapng, section 4.7).
const DECRYPTION_SECRETS_BLOCK: u32 = 0x0a;
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// The options of a packet's block.
const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const OPTION_FLAGS: u16 = 2;
/// What a write into memory of blocks that are valid by construction answers.
const WRITES: &str = "memory takes every write, and the block keeps to the format's limits";

/// Writes a pcapng section. Little-endian everywhere, so that a capture is the same on every machine.
pub(super) fn pcapng(run: &RunStarted, timeline: &Timeline<'_>, texts: &Texts, section: &[String]) -> Vec<u8> {
    let application = format!("harness {}", cut(&run.harness, NAME_LEN_MAX));
    let mut options = vec![
        SectionHeaderOption::Hardware("synthetic".into()),
        SectionHeaderOption::OS(std::env::consts::OS.into()),
        SectionHeaderOption::UserApplication(application.into()),
    ];
    options.extend(section.iter().map(|text| SectionHeaderOption::Common(CommonOption::Comment(text.into()))));
    let header = SectionHeaderBlock { endianness: Endianness::Little, options, ..SectionHeaderBlock::default() };
    let mut writer = PcapNgWriter::with_section_header(buffer(timeline), header).expect(WRITES);

    // tcpdump refuses a file without an interface, so a case without a connection has one all the same.
    let nobody = timeline.actors.is_empty().then_some("harness");
    for name in timeline.actors.iter().map(|actor| &**actor).chain(nobody) {
        let name = cut(name, NAME_LEN_MAX);
        let options = vec![
            InterfaceDescriptionOption::IfName(name.into()),
            InterfaceDescriptionOption::IfDescription(format!("what {name} read and wrote, headers invented").into()),
            InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            InterfaceDescriptionOption::IfOs(std::env::consts::OS.into()),
            InterfaceDescriptionOption::IfHardware("synthetic".into()),
        ];
        let block = InterfaceDescriptionBlock { linktype: DataLink::ETHERNET, snaplen: SNAPLEN, options };
        writer.write_pcapng_block(block).expect(WRITES);
    }

    let records: Vec<_> = timeline.addresses.names().map(|(ip, name)| record(ip, name)).collect();
    if !records.is_empty() {
        writer.write_pcapng_block(NameResolutionBlock { records, options: Vec::new() }).expect(WRITES);
    }

    // Before every packet: tshark does not go back for what comes later.
    if !timeline.secrets.is_empty() {
        let lines = timeline.secrets.as_bytes();
        let mut body = Vec::with_capacity(lines.len() + 12);
        body.extend_from_slice(&TLS_KEY_LOG.to_le_bytes());
        body.extend_from_slice(&(lines.len() as u32).to_le_bytes());
        body.extend_from_slice(lines);
        pad(&mut body);
        let length = body.len() as u32 + 12;
        let body = Cow::Borrowed(&body[..]);
        let block = RawBlock { type_: DECRYPTION_SECRETS_BLOCK, initial_len: length, body, trailer_len: length };
        writer.write_raw_block(&block).expect(WRITES);
    }

    let mut body = Vec::new();
    let mut comments = Comments::default();
    for (index, frame) in timeline.frames.iter().enumerate() {
        comments.clear();
        texts.frame(timeline, index, &mut comments);
        enhanced_packet(timeline, frame, &comments, &mut body);
        let length = body.len() as u32 + 12;
        let body = Cow::Borrowed(&body[..]);
        let block = RawBlock { type_: ENHANCED_PACKET_BLOCK, initial_len: length, body, trailer_len: length };
        writer.write_raw_block(&block).expect(WRITES);
    }
    writer.into_inner()
}

/// Makes `body` that of a frame's block.
///
/// By hand, since the crate's own type writes each block twice and allocates for its options: `encode` took
/// 268 ns a message with it and takes 194 ns without.
fn enhanced_packet(timeline: &Timeline<'_>, frame: &Frame<'_>, comments: &Comments, body: &mut Vec<u8>) {
    body.clear();
    let interface = timeline.flows[frame.flow as usize].actors[NEAR].unwrap_or(0);
    body.extend_from_slice(&interface.to_le_bytes());
    body.extend_from_slice(&((frame.at_ns >> 32) as u32).to_le_bytes());
    body.extend_from_slice(&(frame.at_ns as u32).to_le_bytes());
    body.extend_from_slice(&[0; 8]);
    let start = body.len();
    packet(timeline, frame, body);
    let length = ((body.len() - start) as u32).to_le_bytes();
    body[start - 8..start - 4].copy_from_slice(&length);
    body[start - 4..start].copy_from_slice(&length);
    pad(body);
    let direction: u32 = if frame.from == NEAR { 2 } else { 1 };
    option(body, OPTION_FLAGS, &direction.to_le_bytes());
    for comment in comments.iter() {
        option(body, OPTION_COMMENT, comment.as_bytes());
    }
    option(body, OPTION_END, &[]);
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Writes a classic pcap file, with the magic number of nanoseconds.
pub(super) fn pcap(timeline: &Timeline<'_>) -> Vec<u8> {
    let header = PcapHeader {
        snaplen: SNAPLEN,
        datalink: DataLink::ETHERNET,
        ts_resolution: PcapTsResolution::NanoSecond,
        endianness: Endianness::Little,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(buffer(timeline), header).expect(WRITES);
    let mut bytes = Vec::new();
    for frame in &timeline.frames {
        bytes.clear();
        packet(timeline, frame, &mut bytes);
        // The format counts seconds in 32 bits.
        let at = Duration::from_nanos(frame.at_ns).min(Duration::from_secs(u32::MAX.into()));
        let packet = PcapPacket::new(at, bytes.len() as u32, &bytes[..]).expect(WRITES);
        writer.write_packet(&packet).expect(WRITES);
    }
    writer.into_inner()
}

fn buffer(timeline: &Timeline<'_>) -> Vec<u8> {
    let payload: usize = timeline.frames.iter().map(|frame| frame.payload.len()).sum();
    Vec::with_capacity(payload + OVERHEAD * (timeline.frames.len() + 4))
}

fn packet(timeline: &Timeline<'_>, frame: &Frame<'_>, bytes: &mut Vec<u8>) {
    let ends = &timeline.flows[frame.flow as usize].ends;
    let (from, to) = (&ends[frame.from], &ends[1 - frame.from]);
    match frame.shape {
        Shape::Datagram => packet::udp(bytes, from, to, frame.payload),
        Shape::Segment(segment) => packet::tcp(bytes, from, to, segment, frame.payload),
        Shape::Unreachable => packet::unreachable(bytes, from, to, frame.payload),
    }
}

fn record(ip: IpAddr, name: String) -> Record<'static> {
    let names = vec![name.into()];
    match ip {
        IpAddr::V4(ip_addr) => Record::Ipv4(Ipv4Record { ip_addr, names }),
        IpAddr::V6(ip_addr) => Record::Ipv6(Ipv6Record { ip_addr, names }),
    }
}
