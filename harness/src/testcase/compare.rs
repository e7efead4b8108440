//! What a target answered then and now: two captures of one case, answer by answer.

use crate::capture::packets;
use crate::text::quote;

/// How many differences are told.
const DIFFERENCES_MAX: usize = 10;

/// What was said on a connection, in turns; bytes that follow each other in one direction are one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Talk {
    ends: Option<[Vec<u8>; 2]>,
    turns: Vec<Turn>,
    end: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Turn {
    ours: bool,
    bytes: Vec<u8>,
    /// Of datagrams each is a turn of its own.
    datagram: bool,
}

/// What a target answers otherwise than a stored capture has it, a line an answer; `None` where a capture cannot be read.
pub fn differences(then: &[u8], now: &[u8]) -> Option<Vec<String>> {
    let (then, now) = (talks(then)?, talks(now)?);
    let mut lines = Vec::new();
    for at in 0..then.len().max(now.len()) {
        let none = Talk::default();
        let (then, now) = (then.get(at).unwrap_or(&none), now.get(at).unwrap_or(&none));
        let answers = |talk: &Talk| -> Vec<Vec<u8>> {
            talk.turns.iter().filter(|turn| !turn.ours).map(|turn| turn.bytes.clone()).collect()
        };
        let (old, new) = (answers(then), answers(now));
        for answer in 0..old.len().max(new.len()) {
            let (was, is) = (old.get(answer), new.get(answer));
            if was != is {
                let show = |bytes: Option<&Vec<u8>>| bytes.map_or_else(|| "nothing".to_owned(), |bytes| quote(bytes));
                let (number, connection) = (answer + 1, at + 1);
                lines.push(format!(
                    "answer {number} on connection {connection} was {}, and is {}",
                    show(was),
                    show(is)
                ));
            }
        }
        if then.end != now.end {
            let show = |end: Option<&'static str>| end.unwrap_or("left it open");
            lines.push(format!("connection {}: the target {} then, and {} now", at + 1, show(then.end), show(now.end)));
        }
    }
    if lines.len() > DIFFERENCES_MAX {
        let more = lines.len() - DIFFERENCES_MAX;
        lines.truncate(DIFFERENCES_MAX);
        lines.push(format!("and {more} more"));
    }
    Some(lines)
}

/// What the packets of a capture carried, by connection in the order in which they began.
fn talks(capture: &[u8]) -> Option<Vec<Talk>> {
    let mut talks: Vec<Talk> = Vec::new();
    for packet in packets(capture).ok()? {
        let packet = packet.ok()?;
        let ours = packet.flags & 3 == OUTBOUND;
        let Some(segment) = Segment::read(packet.data) else { continue };
        let ends = if segment.from <= segment.to { [segment.from, segment.to] } else { [segment.to, segment.from] };
        let at = talks.iter().rposition(|talk| talk.ends.as_ref() == Some(&ends)).unwrap_or_else(|| {
            talks.push(Talk { ends: Some(ends), ..Talk::default() });
            talks.len() - 1
        });
        let talk = &mut talks[at];
        if !ours && segment.ends.is_some() {
            talk.end = segment.ends;
        }
        if segment.payload.is_empty() {
            continue;
        }
        match talk.turns.last_mut() {
            Some(turn) if turn.ours == ours && !segment.datagram => turn.bytes.extend_from_slice(segment.payload),
            _ => talk.turns.push(Turn { ours, bytes: segment.payload.to_vec(), datagram: segment.datagram }),
        }
    }
    Some(talks)
}

/// `epb_flags` of a packet that was sent.
const OUTBOUND: u32 = 2;

/// What is in a packet of Ethernet, IP, and TCP or UDP.
struct Segment<'p> {
    from: Vec<u8>,
    to: Vec<u8>,
    payload: &'p [u8],
    datagram: bool,
    ends: Option<&'static str>,
}

impl Segment<'_> {
    fn read(frame: &[u8]) -> Option<Segment<'_>> {
        let kind = u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?);
        let packet = frame.get(14..)?;
        let (protocol, addresses, rest) = match kind {
            0x0800 => {
                let header = usize::from(packet.first()? & 0x0f) * 4;
                let len = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
                (
                    *packet.get(9)?,
                    (packet.get(12..16)?, packet.get(16..20)?),
                    packet.get(header..len.min(packet.len()))?,
                )
            }
            0x86dd => (*packet.get(6)?, (packet.get(8..24)?, packet.get(24..40)?), packet.get(40..)?),
            _ => return None,
        };
        let end = |address: &[u8], port: &[u8]| [address, port].concat();
        let (from, to) = (end(addresses.0, rest.get(..2)?), end(addresses.1, rest.get(2..4)?));
        match protocol {
            6 => {
                let header = usize::from(rest.get(12)? >> 4) * 4;
                let flags = *rest.get(13)?;
                let ends = match flags {
                    flags if flags & 0x04 != 0 => Some("reset it"),
                    flags if flags & 0x01 != 0 => Some("closed it"),
                    _ => None,
                };
                Some(Segment { from, to, payload: rest.get(header..)?, datagram: false, ends })
            }
            17 => Some(Segment { from, to, payload: rest.get(8..)?, datagram: true, ends: None }),
            _ => None,
        }
    }
}
