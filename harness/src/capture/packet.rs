//! The bytes of a packet: Ethernet, IP, and TCP, UDP or ICMP around a payload.
//!
//! Written by hand, since that is four times as fast as a general builder, and tested against one.
//! What a packet says, and when, is decided elsewhere.

use std::net::IpAddr;

/// The longest payload of a TCP segment: with all the options of a real stack it fills a 65 535-byte packet.
pub(super) const SEGMENT_LEN_MAX: usize = 65_483;
/// The longest payload of a UDP datagram over IPv4; the few bytes more that IPv6 allows are not used.
pub(super) const DATAGRAM_LEN_MAX: usize = 65_507;
/// The longest frame that leaves this file, and more: the common snap length of all interfaces.
pub(super) const SNAPLEN: u32 = 262_144;
/// How much of a datagram an ICMP error quotes: RFC 1812, 4.3.2.3, with room to spare under RFC 4443's 1280.
const QUOTE_LEN_MAX: usize = 548;

/// TCP's flags.
pub(super) mod flag {
    pub(in super::super) const FIN: u8 = 0x01;
    pub(in super::super) const SYN: u8 = 0x02;
    pub(in super::super) const RST: u8 = 0x04;
    pub(in super::super) const PSH: u8 = 0x08;
    pub(in super::super) const ACK: u8 = 0x10;
}

/// MSS 65 483, and window scale 14: nothing that a case sends fills a window of 1 GiB.
const SYN_OPTIONS: [u8; 8] = [2, 4, (SEGMENT_LEN_MAX >> 8) as u8, SEGMENT_LEN_MAX as u8, 1, 3, 3, 14];

const ETHERNET_LEN: usize = 14;
const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMPV6: u8 = 58;

/// One end of a connection as packets name it. Both ends of a connection have addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) mac: [u8; 6],
    pub(super) ip: IpAddr,
    pub(super) port: u16,
}

/// The part of a TCP header that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: u8,
}

/// Appends a TCP segment to `packet`.
pub(super) fn tcp(packet: &mut Vec<u8>, from: &End, to: &End, segment: Segment, payload: &[u8]) {
    let options: &[u8] = if segment.flags & flag::SYN == 0 { &[] } else { &SYN_OPTIONS };
    let header_len = 20 + options.len();
    let start = network(packet, from, to, PROTOCOL_TCP, header_len + payload.len());
    packet.extend_from_slice(&from.port.to_be_bytes());
    packet.extend_from_slice(&to.port.to_be_bytes());
    packet.extend_from_slice(&segment.sequence.to_be_bytes());
    packet.extend_from_slice(&segment.acknowledgement.to_be_bytes());
    packet.extend_from_slice(&[(header_len as u8 / 4) << 4, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend_from_slice(options);
    packet.extend_from_slice(payload);
    let sum = checksum(pseudo(from, to, PROTOCOL_TCP, packet.len() - start), &packet[start..]);
    packet[start + 16..start + 18].copy_from_slice(&sum.to_be_bytes());
}

/// Appends a UDP datagram to `packet`.
pub(super) fn udp(packet: &mut Vec<u8>, from: &End, to: &End, payload: &[u8]) {
    let len = 8 + payload.len();
    let start = network(packet, from, to, PROTOCOL_UDP, len);
    packet.extend_from_slice(&from.port.to_be_bytes());
    packet.extend_from_slice(&to.port.to_be_bytes());
    packet.extend_from_slice(&(len as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(payload);
    // RFC 768: a sum of zero is sent as all ones, for zero means that there is none.
    let sum = match checksum(pseudo(from, to, PROTOCOL_UDP, len), &packet[start..]) {
        0 => 0xffff,
        sum => sum,
    };
    packet[start + 6..start + 8].copy_from_slice(&sum.to_be_bytes());
}

/// Appends `from`'s answer to a datagram of `to`'s that carried `payload`: nobody listens here.
pub(super) fn unreachable(packet: &mut Vec<u8>, from: &End, to: &End, payload: &[u8]) {
    let mut quote = Vec::new();
    udp(&mut quote, to, from, payload);
    quote.truncate(ETHERNET_LEN + QUOTE_LEN_MAX);
    let quote = &quote[ETHERNET_LEN..];
    let (protocol, kind) = if from.ip.is_ipv4() { (PROTOCOL_ICMP, [3, 3]) } else { (PROTOCOL_ICMPV6, [1, 4]) };
    let len = 8 + quote.len();
    let start = network(packet, from, to, protocol, len);
    packet.extend_from_slice(&kind);
    packet.extend_from_slice(&[0; 6]);
    packet.extend_from_slice(quote);
    let pseudo = if from.ip.is_ipv4() { 0 } else { pseudo(from, to, protocol, len) };
    let sum = checksum(pseudo, &packet[start..]);
    packet[start + 2..start + 4].copy_from_slice(&sum.to_be_bytes());
}

/// Appends the headers below the transport's, for `len` bytes of it, and says where it starts.
fn network(packet: &mut Vec<u8>, from: &End, to: &End, protocol: u8, len: usize) -> usize {
    packet.extend_from_slice(&to.mac);
    packet.extend_from_slice(&from.mac);
    match (from.ip, to.ip) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet.extend_from_slice(&[0x08, 0x00]);
            let start = packet.len();
            packet.extend_from_slice(&[0x45, 0]);
            packet.extend_from_slice(&((20 + len) as u16).to_be_bytes());
            // Never in fragments, so the identification may be 0: RFC 6864, 4.1. Hops: 64, as Linux has it.
            packet.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&destination.octets());
            let sum = checksum(0, &packet[start..]);
            packet[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
        }
        (source, destination) => {
            packet.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
            packet.extend_from_slice(&(len as u16).to_be_bytes());
            packet.extend_from_slice(&[protocol, 64]);
            packet.extend_from_slice(&octets(source));
            packet.extend_from_slice(&octets(destination));
        }
    }
    packet.len()
}

/// The sum over the header that is summed but not sent: RFC 9293, 3.1 and RFC 8200, 8.1.
fn pseudo(from: &End, to: &End, protocol: u8, len: usize) -> u64 {
    let addresses = match (from.ip, to.ip) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => sum(&source.octets()) + sum(&destination.octets()),
        (source, destination) => sum(&octets(source)) + sum(&octets(destination)),
    };
    addresses + u64::from(protocol) + len as u64
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The Internet checksum, RFC 1071.
fn checksum(pseudo: u64, bytes: &[u8]) -> u16 {
    !fold(pseudo + sum(bytes))
}

/// The sum of `bytes` as 16-bit numbers.
///
/// Four bytes at a time and in the machine's byte order, which folds to the same (RFC 1071, 2) in half the time.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let sum = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum::<u64>();
    u64::from(u16::from_be(fold(sum + u64::from(u32::from_ne_bytes(last)))))
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use etherparse::{Icmpv4Slice, NetSlice, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    use super::*;

    fn end(v6: bool, mac: [u8; 6], ip: u128, port: u16) -> End {
        let ip = if v6 { Ipv6Addr::from(ip).into() } else { Ipv4Addr::from(ip as u32).into() };
        End { mac, ip, port }
    }

    fn ends() -> impl Strategy<Value = (End, End)> {
        let one = || any::<([u8; 6], u128, u16)>();
        (any::<bool>(), one(), one()).prop_map(|(v6, a, b)| (end(v6, a.0, a.1, a.2), end(v6, b.0, b.1, b.2)))
    }

    /// Reads the layers below the transport with etherparse and says whether all is as asked.
    #[track_caller]
    fn check_network<'a>(packet: &'a [u8], from: &End, to: &End) -> SlicedPacket<'a> {
        let sliced = SlicedPacket::from_ethernet(packet).expect("a packet that etherparse reads");
        let Some(etherparse::LinkSlice::Ethernet2(ethernet)) = &sliced.link else { panic!("no Ethernet") };
        assert_eq!((ethernet.source(), ethernet.destination()), (from.mac, to.mac));
        let addresses: (IpAddr, IpAddr) = match sliced.net.as_ref().expect("an IP header") {
            NetSlice::Ipv4(ip) => {
                let header = ip.header();
                assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
                (header.source_addr().into(), header.destination_addr().into())
            }
            NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            NetSlice::Arp(_) => panic!("ARP"),
        };
        assert_eq!(addresses, (from.ip, to.ip));
        sliced
    }

    proptest! {
        #[test]
        fn a_segment_is_what_etherparse_reads(
            (from, to) in ends(),
            sequence: u32,
            acknowledgement: u32,
            flags in 0u8..0x20,
            payload in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut packet = Vec::new();
            tcp(&mut packet, &from, &to, Segment { sequence, acknowledgement, flags }, &payload);
            let sliced = check_network(&packet, &from, &to);
            let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
            prop_assert_eq!((tcp.source_port(), tcp.destination_port()), (from.port, to.port));
            prop_assert_eq!((tcp.sequence_number(), tcp.acknowledgment_number()), (sequence, acknowledgement));
            prop_assert_eq!((tcp.syn(), tcp.ack(), tcp.fin(), tcp.rst(), tcp.psh()), (
                flags & flag::SYN != 0, flags & flag::ACK != 0, flags & flag::FIN != 0,
                flags & flag::RST != 0, flags & flag::PSH != 0,
            ));
            prop_assert_eq!(tcp.payload(), &payload[..]);
            let header = tcp.to_header();
            let sum = match (from.ip, to.ip) {
                (IpAddr::V4(a), IpAddr::V4(b)) => header.calc_checksum_ipv4_raw(a.octets(), b.octets(), &payload),
                (a, b) => header.calc_checksum_ipv6_raw(octets(a), octets(b), &payload),
            };
            prop_assert_eq!(tcp.checksum(), sum.expect("a short payload"));
        }

        #[test]
        fn a_datagram_is_what_etherparse_reads(
            (from, to) in ends(),
            payload in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut packet = Vec::new();
            udp(&mut packet, &from, &to, &payload);
            let sliced = check_network(&packet, &from, &to);
            let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("no UDP") };
            prop_assert_eq!((udp.source_port(), udp.destination_port()), (from.port, to.port));
            prop_assert_eq!(udp.payload(), &payload[..]);
            let header = udp.to_header();
            let sum = match (from.ip, to.ip) {
                (IpAddr::V4(a), IpAddr::V4(b)) => header.calc_checksum_ipv4_raw(a.octets(), b.octets(), &payload),
                (a, b) => header.calc_checksum_ipv6_raw(octets(a), octets(b), &payload),
            };
            prop_assert_eq!(udp.checksum(), sum.expect("a short payload"));
        }

        #[test]
        fn an_unreachable_port_is_what_etherparse_reads(
            (from, to) in ends(),
            payload in proptest::collection::vec(any::<u8>(), 0..2_000),
        ) {
            let mut packet = Vec::new();
            unreachable(&mut packet, &from, &to, &payload);
            let sliced = check_network(&packet, &from, &to);
            match sliced.transport {
                Some(TransportSlice::Icmpv4(icmp)) => {
                    prop_assert_eq!((icmp.type_u8(), icmp.code_u8()), (3, 3));
                    prop_assert_eq!(Icmpv4Slice::from_slice(icmp.slice()).expect("it read before").checksum(),
                        icmp.icmp_type().calc_checksum(icmp.payload()));
                    prop_assert_eq!(&icmp.payload()[..1], &[0x45]);
                }
                Some(TransportSlice::Icmpv6(icmp)) => {
                    prop_assert_eq!((icmp.type_u8(), icmp.code_u8()), (1, 4));
                    prop_assert!(icmp.is_checksum_valid(octets(from.ip), octets(to.ip)));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_sum_of_zero_is_sent_as_ones() {
        let from = end(false, [2; 6], 0x7f00_0001, 1);
        let to = end(false, [2; 6], 0x7f00_0001, 2);
        let mut packet = Vec::new();
        // The first payload leaves some sum; sending that sum as a payload leaves none.
        udp(&mut packet, &from, &to, &[0, 0]);
        let sum = [packet[40], packet[41]];
        packet.clear();
        udp(&mut packet, &from, &to, &sum);
        assert_eq!(packet[40..42], [0xff, 0xff]);
    }
}
