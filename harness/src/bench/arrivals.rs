//! Arrivals as a capture has them: when somebody else's clients said something.

use std::sync::Arc;

use crate::capture::CheckError;
use crate::capture::{Packet, packets};

/// The most moments that are taken from one capture.
pub const MOMENTS_MAX: usize = 10_000_000;

/// The direction in a packet's flags: what the captured side has sent.
const OUTBOUND: u32 = 2;

/// The direction in a packet's flags: what it has received.
const INBOUND: u32 = 1;

/// The times of the packets that carry data, in nanoseconds from the first: those that were sent, where the capture tells
/// directions, otherwise all. A capture with fewer than two of them says nothing about how they lie to each other.
pub fn of_capture(bytes: &[u8]) -> Result<Option<Arc<[u64]>>, CheckError> {
    let mut moments = Vec::new();
    let mut walk = packets(bytes)?;
    while let Some(packet) = walk.next() {
        let packet = packet?;
        let link = walk.interfaces().get(packet.interface as usize).map_or(1, |interface| interface.link_type);
        if let Some(at) = packet.at_ns.filter(|_| carries_data(&packet, link) && moments.len() < MOMENTS_MAX) {
            moments.push((at, packet.flags & 3));
        }
    }
    let tells = moments.iter().any(|(_, direction)| *direction == OUTBOUND);
    let mut times: Vec<u64> =
        moments.into_iter().filter(|(_, direction)| !tells || *direction != INBOUND).map(|(at, _)| at).collect();
    times.sort_unstable();
    let first = times.first().copied().unwrap_or_default();
    let offsets: Vec<u64> = times.iter().map(|at| at - first).collect();
    Ok((offsets.len() > 1 && offsets.last() != Some(&0)).then(|| offsets.into()))
}

/// Whether a packet has a payload above TCP or UDP. What is neither is taken as it is.
fn carries_data(packet: &Packet<'_>, link: u16) -> bool {
    const ETHERNET: u16 = 1;
    let ip = match link {
        ETHERNET => packet.data.get(14..),
        // Raw IP, under its three numbers.
        12 | 101 | 228 | 229 => Some(packet.data),
        // Linux cooked captures, in both versions.
        113 => packet.data.get(16..),
        276 => packet.data.get(20..),
        // The BSDs' loopback.
        0 | 108 => packet.data.get(4..),
        _ => None,
    };
    let Some(ip) = ip else { return true };
    let at = |number: usize| ip.get(number).copied().unwrap_or_default();
    let u16_at = |number: usize| usize::from(u16::from_be_bytes([at(number), at(number + 1)]));
    let (header, whole, protocol) = match at(0) >> 4 {
        4 => (usize::from(at(0) & 15) * 4, u16_at(2), at(9)),
        6 => (40, 40 + u16_at(4), at(6)),
        _ => return true,
    };
    match protocol {
        6 => whole > header + usize::from(at(header + 12) >> 4) * 4,
        17 => whole > header + 8,
        _ => true,
    }
}
