//! What was said in a capture: its TCP and UDP conversations, as what each side said in turn.
//!
//! Segments are put in order, and what was sent twice counts once. Of a direction in which something is missing, what stands
//! before the gap is kept. Not here: fragments of IP, and what is said inside TLS.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::check::CheckError;
use super::read::packets;

/// The most conversations of a capture.
pub const CONVERSATIONS_MAX: usize = 1_024;

/// The most bytes of a conversation that are kept.
pub const CONVERSATION_LEN_MAX: usize = 1 << 20;

/// The most segments of a direction that wait for one before them.
const WAITING_MAX: usize = 256;

/// Two who talked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Whether it was over UDP.
    pub datagrams: bool,
    /// Who began.
    pub client: SocketAddr,
    /// Who was begun with.
    pub server: SocketAddr,
    /// What was said, in order.
    pub turns: Vec<Turn>,
}

/// What one of them said at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whether the client said it.
    pub from_client: bool,
    /// What was said.
    pub data: Vec<u8>,
}

/// Reads the conversations of a capture, in the order in which they began. A capture that is cut off or goes wrong in its middle
/// has those before that.
pub fn conversations(bytes: &[u8]) -> Result<Vec<Conversation>, CheckError> {
    let mut packets = packets(bytes)?;
    let mut found: Vec<Flow> = Vec::new();
    let mut open: HashMap<(bool, SocketAddr, SocketAddr), usize> = HashMap::new();
    while let Some(Ok(packet)) = packets.next() {
        let link = packets.interfaces().get(packet.interface as usize).map_or(1, |interface| interface.link_type);
        let Some(segment) = network(link, packet.data).and_then(ip) else { continue };
        let key = match segment.from <= segment.to {
            true => (segment.tcp.is_none(), segment.from, segment.to),
            false => (segment.tcp.is_none(), segment.to, segment.from),
        };
        let begins = segment.tcp.is_some_and(|tcp| tcp.flags & (SYN | ACK) == SYN);
        let known = open.get(&key).copied().filter(|at| !(begins && found[*at].has_spoken()));
        let at = match known {
            Some(at) => at,
            None if found.len() == CONVERSATIONS_MAX => continue,
            None => {
                open.insert(key, found.len());
                found.push(Flow::new(&segment));
                found.len() - 1
            }
        };
        found[at].take(&segment);
    }
    Ok(found.into_iter().map(|flow| flow.conversation).filter(|conversation| !conversation.turns.is_empty()).collect())
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// A packet that says something.
struct Segment<'a> {
    from: SocketAddr,
    to: SocketAddr,
    tcp: Option<Tcp>,
    data: &'a [u8],
}

#[derive(Clone, Copy)]
struct Tcp {
    sequence: u32,
    flags: u8,
}

/// A conversation that is being read.
struct Flow {
    conversation: Conversation,
    len: usize,
    /// The client's direction, then the server's.
    directions: [Direction; 2],
}

#[derive(Default)]
struct Direction {
    /// The sequence number of the next byte, once one is known.
    next: Option<u32>,
    /// What came before its turn, by how far ahead it is.
    waiting: BTreeMap<u32, Vec<u8>>,
    /// The longest segment: one that long may go on in the next.
    longest: usize,
    /// Whether what came last may go on.
    is_open: bool,
}

impl Flow {
    fn new(first: &Segment<'_>) -> Flow {
        // Who answers a SYN was begun with; without one, whoever has the lower port, as servers do.
        let swapped = match first.tcp {
            Some(tcp) if tcp.flags & SYN != 0 => tcp.flags & ACK != 0,
            Some(_) => first.from.port() < first.to.port(),
            None => false,
        };
        let (client, server) = if swapped { (first.to, first.from) } else { (first.from, first.to) };
        let conversation = Conversation { datagrams: first.tcp.is_none(), client, server, turns: Vec::new() };
        Flow { conversation, len: 0, directions: Default::default() }
    }

    fn has_spoken(&self) -> bool {
        self.len > 0
    }

    fn take(&mut self, segment: &Segment<'_>) {
        let from_client = segment.from == self.conversation.client;
        let Some(tcp) = segment.tcp else { return self.say(from_client, segment.data.to_vec(), false) };
        let side = usize::from(!from_client);
        let data_at = tcp.sequence.wrapping_add(u32::from(tcp.flags & SYN != 0));
        let direction = &mut self.directions[side];
        let next = *direction.next.get_or_insert(data_at);
        if segment.data.is_empty() {
            return;
        }
        // How far ahead it begins; what lies behind was said already.
        let ahead = data_at.wrapping_sub(next).cast_signed();
        if ahead > 0 {
            if direction.waiting.len() < WAITING_MAX {
                direction.waiting.entry(data_at).or_insert_with(|| segment.data.to_vec());
            }
            return;
        }
        let old = ahead.unsigned_abs() as usize;
        if let Some(new) = segment.data.get(old..).filter(|new| !new.is_empty()) {
            self.advance(side, new.to_vec());
        }
        // What has waited for this.
        while let Some(next) = self.directions[side].next {
            let waiting = &mut self.directions[side].waiting;
            let due = waiting.keys().copied().find(|at| at.wrapping_sub(next).cast_signed() <= 0);
            let Some((at, data)) = due.and_then(|at| waiting.remove_entry(&at)) else { break };
            if let Some(new) = data.get(next.wrapping_sub(at) as usize..).filter(|new| !new.is_empty()) {
                self.advance(side, new.to_vec());
            }
        }
        if tcp.flags & FIN != 0 {
            self.directions[side].is_open = false;
        }
    }

    fn advance(&mut self, side: usize, data: Vec<u8>) {
        let direction = &mut self.directions[side];
        direction.next = direction.next.map(|next| next.wrapping_add(data.len() as u32));
        // Segments that are as long as they get belong together.
        let goes_on = std::mem::replace(&mut direction.is_open, data.len() >= direction.longest.max(SEGMENT_LEN_MIN));
        direction.longest = direction.longest.max(data.len());
        self.say(side == 0, data, goes_on);
    }

    /// Adds what one of them said; `goes_on` if it belongs to what that one said last.
    fn say(&mut self, from_client: bool, data: Vec<u8>, goes_on: bool) {
        self.len += data.len();
        if data.is_empty() || self.len > CONVERSATION_LEN_MAX {
            return;
        }
        match self.conversation.turns.last_mut() {
            Some(last) if goes_on && last.from_client == from_client => last.data.extend_from_slice(&data),
            _ => self.conversation.turns.push(Turn { from_client, data }),
        }
    }
}

/// No segment that is shorter is full.
const SEGMENT_LEN_MIN: usize = 536;

/// The packet of the network layer in one of a link's.
fn network(link: u16, packet: &[u8]) -> Option<&[u8]> {
    match link {
        // BSD loopback: a number for the family.
        0 | 108 => packet.get(4..),
        1 => {
            let mut at = 12;
            // VLANs put a tag in front of the type.
            while matches!(packet.get(at..at + 2)?, [0x81, 0x00] | [0x88, 0xa8]) {
                at += 4;
            }
            matches!(packet.get(at..at + 2)?, [0x08, 0x00] | [0x86, 0xdd]).then(|| packet.get(at + 2..))?
        }
        12 | 14 | 101 | 228 | 229 => Some(packet),
        // Linux, of any interface, in its two ways.
        113 => packet.get(16..),
        276 => packet.get(20..),
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The segment or datagram in a packet of IP; fragments are none.
fn ip(packet: &[u8]) -> Option<Segment<'_>> {
    let (from, to, protocol, payload): (IpAddr, IpAddr, u8, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet[0] & 0x0f) * 4;
            let len = usize::from(u16_at(packet, 2)?);
            if u16_at(packet, 6)? & 0x3fff != 0 {
                return None;
            }
            // Where the card cuts, the length is not written yet.
            let end = if len == 0 { packet.len() } else { len.min(packet.len()) };
            let address = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<4>()?));
            (address(12)?, address(16)?, *packet.get(9)?, packet.get(header..end)?)
        }
        6 => {
            let end = (40 + usize::from(u16_at(packet, 4)?)).min(packet.len());
            let address = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<16>()?));
            (address(8)?, address(24)?, *packet.get(6)?, packet.get(40..end)?)
        }
        _ => return None,
    };
    let from = SocketAddr::new(from, u16_at(payload, 0)?);
    let to = SocketAddr::new(to, u16_at(payload, 2)?);
    match protocol {
        6 => {
            let sequence = u32::from_be_bytes(*payload.get(4..)?.first_chunk()?);
            let header = usize::from(payload.get(12)? >> 4) * 4;
            let tcp = Tcp { sequence, flags: *payload.get(13)? };
            Some(Segment { from, to, tcp: Some(tcp), data: payload.get(header..)? })
        }
        17 => {
            let len = usize::from(u16_at(payload, 4)?).clamp(8, payload.len().max(8));
            Some(Segment { from, to, tcp: None, data: payload.get(8..len)? })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);
    const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 21);

    /// A packet of TCP, without any link.
    fn tcp(from: ([u8; 4], u16), to: ([u8; 4], u16), sequence: u32, flags: u8, data: &[u8]) -> Vec<u8> {
        let len = (40 + data.len()) as u16;
        let mut packet = vec![0x45, 0, len.to_be_bytes()[0], len.to_be_bytes()[1], 0, 0, 0, 0, 64, 6, 0, 0];
        packet.extend(from.0.into_iter().chain(to.0));
        packet.extend(from.1.to_be_bytes().into_iter().chain(to.1.to_be_bytes()));
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        packet.extend(data);
        packet
    }

    /// A classic capture of packets without a link.
    fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0];
        for packet in packets {
            let len = (packet.len() as u32).to_le_bytes();
            file.extend([0; 8].into_iter().chain(len).chain(len));
            file.extend(packet);
        }
        file
    }

    #[track_caller]
    fn check(packets: &[Vec<u8>], expected: &[(bool, &str)]) {
        let found = conversations(&capture(packets)).expect("a capture");
        let [found] = found.as_slice() else { panic!("{found:?}") };
        let said: Vec<(bool, &str)> =
            found.turns.iter().map(|turn| (turn.from_client, str::from_utf8(&turn.data).expect("text"))).collect();
        assert_eq!(said, expected);
        assert_eq!((found.client.port(), found.server.port()), (CLIENT.1, SERVER.1));
    }

    #[test]
    fn both_sides_are_told_apart_by_who_began() {
        check(
            &[
                tcp(CLIENT, SERVER, 99, SYN, b""),
                tcp(SERVER, CLIENT, 499, SYN | ACK, b""),
                tcp(SERVER, CLIENT, 500, ACK, b"220\n"),
                tcp(CLIENT, SERVER, 100, ACK, b"USER\n"),
            ],
            &[(false, "220\n"), (true, "USER\n")],
        );
    }

    #[test]
    fn without_a_beginning_the_lower_port_serves() {
        check(&[tcp(SERVER, CLIENT, 7, ACK, b"220\n")], &[(false, "220\n")]);
    }

    #[test]
    fn what_came_twice_or_late_stands_where_it_belongs() {
        check(
            &[
                tcp(CLIENT, SERVER, u32::MAX, SYN, b""),
                tcp(CLIENT, SERVER, 2, ACK, b"cd"),
                tcp(CLIENT, SERVER, 0, ACK, b"ab"),
                tcp(CLIENT, SERVER, 0, ACK, b"ab"),
                tcp(CLIENT, SERVER, 2, ACK, b"cdef"),
                tcp(CLIENT, SERVER, 100, ACK, b"after a gap"),
            ],
            &[(true, "ab"), (true, "cd"), (true, "ef")],
        );
    }

    #[test]
    fn full_segments_are_one_message() {
        let full = "x".repeat(1_448);
        let packets = [
            tcp(CLIENT, SERVER, 99, SYN, b""),
            tcp(CLIENT, SERVER, 100, ACK, full.as_bytes()),
            tcp(CLIENT, SERVER, 1_548, ACK, b"end"),
            tcp(CLIENT, SERVER, 1_551, ACK, b"next"),
        ];
        check(&packets, &[(true, &format!("{full}end")), (true, "next")]);
    }

    #[test]
    fn a_port_that_is_used_again_is_another_conversation() {
        let once = [tcp(CLIENT, SERVER, 99, SYN, b""), tcp(CLIENT, SERVER, 100, ACK, b"a")];
        assert_eq!(conversations(&capture(&[once.clone(), once].concat())).expect("a capture").len(), 2);
    }

    #[test]
    fn packets_that_are_cut_anywhere_say_nothing_wrong() {
        let whole = tcp(CLIENT, SERVER, 100, ACK, b"hello");
        for len in 0..whole.len() {
            let found = conversations(&capture(&[whole[..len].to_vec()])).expect("a capture");
            let said: Vec<u8> = found.into_iter().flat_map(|found| found.turns).flat_map(|turn| turn.data).collect();
            assert!(b"hello".starts_with(&said), "{said:?}");
        }
        assert!(conversations(b"no capture").is_err());
    }
}
