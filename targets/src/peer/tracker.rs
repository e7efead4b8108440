//! The tracker: who shares the file (BEP 3, "trackers"), in the compact form, too (BEP 23, BEP 7).
//!
//! It is over HTTP only, and knows one torrent. Addresses are those that announcements come from: `ip` is not looked at, so
//! that nobody can send peers to somebody else.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use jiff::{SignedDuration, Timestamp};

use super::bencode::Value;
use super::message::PeerId;
use super::torrent::Hash;
use crate::http::decoded;

/// How many peers are known.
const PEERS_MAX: usize = 1_000;
/// How many are told at once, which is what is told unless less is wanted.
const TOLD_MAX: usize = 50;
/// How often peers are to announce themselves.
const INTERVAL_S: i64 = 30;
/// Who has not done so for so long is forgotten.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_secs(3 * INTERVAL_S);

#[derive(Debug, Default)]
pub(super) struct Tracker {
    peers: BTreeMap<PeerId, Known>,
}

#[derive(Debug)]
struct Known {
    address: SocketAddr,
    is_whole: bool,
    seen: Timestamp,
}

/// The peer that the tracker belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    pub(super) peer_id: PeerId,
    pub(super) address: SocketAddr,
    pub(super) is_whole: bool,
}

/// What a peer announces.
#[derive(Debug, Default)]
struct Announcement {
    info_hash: Option<Hash>,
    peer_id: Option<PeerId>,
    port: Option<u16>,
    left: Option<u64>,
    wanted: Option<usize>,
    is_compact: bool,
    stops: bool,
}

impl Announcement {
    /// Reads the query of an announcement. What cannot be read counts as not said.
    fn parse(query: &[u8]) -> Announcement {
        let mut said = Announcement::default();
        for pair in query.split(|byte| *byte == b'&') {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (key, value) = (&pair[..at], pair.get(at + 1..).unwrap_or_default());
            let Some(value) = decoded(value) else { continue };
            let number = || str::from_utf8(&value).ok().and_then(|text| text.parse::<u64>().ok());
            match key {
                b"compact" => said.is_compact = value == b"1",
                b"event" => said.stops = value == b"stopped",
                b"info_hash" => said.info_hash = value.as_slice().try_into().ok(),
                b"left" => said.left = number(),
                b"numwant" => said.wanted = number().and_then(|number| usize::try_from(number).ok()),
                b"peer_id" => said.peer_id = value.as_slice().try_into().ok(),
                b"port" => said.port = number().and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0),
                _ => {}
            }
        }
        said
    }
}

impl Tracker {
    /// Answers an announcement that came from `ip`. Whoever makes one is there from now on.
    pub(super) fn announce(
        &mut self,
        query: &[u8],
        ip: Option<IpAddr>,
        info_hash: &Hash,
        host: Option<Host>,
        now: Timestamp,
    ) -> Value {
        let said = Announcement::parse(query);
        match self.take(&said, ip, info_hash, now) {
            Ok(peer_id) => self.tell(&said, &peer_id, host),
            Err(reason) => Value::dictionary([("failure reason", Value::text(reason))]),
        }
    }

    fn take(
        &mut self,
        said: &Announcement,
        ip: Option<IpAddr>,
        info_hash: &Hash,
        now: Timestamp,
    ) -> Result<PeerId, &'static str> {
        if said.info_hash.as_ref() != Some(info_hash) {
            return Err("this torrent is not shared here");
        }
        let peer_id = said.peer_id.ok_or("expected a `peer_id` of 20 bytes")?;
        let port = said.port.ok_or("expected a `port` from 1 to 65535")?;
        let ip = ip.ok_or("expected a connection over TCP")?;
        self.peers.retain(|_, known| now.duration_since(known.seen) < FORGOTTEN_AFTER);
        if said.stops {
            self.peers.remove(&peer_id);
        } else if self.peers.len() < PEERS_MAX || self.peers.contains_key(&peer_id) {
            let known = Known { address: SocketAddr::new(ip, port), is_whole: said.left == Some(0), seen: now };
            self.peers.insert(peer_id, known);
        } else {
            return Err("too many peers are here");
        }
        Ok(peer_id)
    }

    /// Where everybody is who has announced itself.
    pub(super) fn peers(&self) -> impl Iterator<Item = SocketAddr> {
        self.peers.values().map(|known| known.address)
    }

    fn tell(&self, said: &Announcement, to: &PeerId, host: Option<Host>) -> Value {
        let known = self.peers.iter().map(|(peer_id, known)| (*peer_id, known.address, known.is_whole));
        let host = host.map(|host| (host.peer_id, host.address, host.is_whole));
        let all: Vec<_> = host.into_iter().chain(known).collect();
        let whole = all.iter().filter(|(.., is_whole)| *is_whole).count();
        let others =
            all.iter().filter(|(peer_id, ..)| peer_id != to).take(said.wanted.unwrap_or(TOLD_MAX).min(TOLD_MAX));
        let mut answer = Value::dictionary([
            ("complete", Value::count(whole as u64)),
            ("incomplete", Value::count((all.len() - whole) as u64)),
            ("interval", Value::Integer(INTERVAL_S)),
        ]);
        let Value::Dictionary(entries) = &mut answer else { unreachable!("it was made one") };
        if said.is_compact {
            let (mut peers, mut peers6) = (Vec::new(), Vec::new());
            for (_, address, _) in others {
                let list = match address.ip() {
                    IpAddr::V4(ip) => {
                        peers.extend(ip.octets());
                        &mut peers
                    }
                    IpAddr::V6(ip) => {
                        peers6.extend(ip.octets());
                        &mut peers6
                    }
                };
                list.extend(address.port().to_be_bytes());
            }
            entries.insert(b"peers".to_vec(), Value::Bytes(peers));
            if !peers6.is_empty() {
                entries.insert(b"peers6".to_vec(), Value::Bytes(peers6));
            }
        } else {
            let peers = others.map(|(peer_id, address, _)| {
                Value::dictionary([
                    ("ip", Value::text(&address.ip().to_string())),
                    ("peer id", Value::Bytes(peer_id.to_vec())),
                    ("port", Value::count(address.port().into())),
                ])
            });
            entries.insert(b"peers".to_vec(), Value::List(peers.collect()));
        }
        answer
    }
}

/// Reads the addresses in a tracker's answer, in whichever form they are.
pub(super) fn parse_peers(answer: &Value) -> Vec<SocketAddr> {
    let compact = |key, len: usize| answer.entry(key).and_then(Value::as_bytes).unwrap_or_default().chunks_exact(len);
    let v4 = compact("peers", 6).map(|bytes| {
        let ip: [u8; 4] = bytes[..4].try_into().expect("it has 6 bytes");
        (IpAddr::from(ip), [bytes[4], bytes[5]])
    });
    let v6 = compact("peers6", 18).map(|bytes| {
        let ip: [u8; 16] = bytes[..16].try_into().expect("it has 18 bytes");
        (IpAddr::from(ip), [bytes[16], bytes[17]])
    });
    let mut peers: Vec<_> = v4.chain(v6).map(|(ip, port)| SocketAddr::new(ip, u16::from_be_bytes(port))).collect();
    if let Some(Value::List(list)) = answer.entry("peers") {
        peers.extend(list.iter().filter_map(|peer| {
            let ip = str::from_utf8(peer.entry("ip")?.as_bytes()?).ok()?.parse().ok()?;
            Some(SocketAddr::new(ip, u16::try_from(peer.entry("port")?.as_count()?).ok()?))
        }));
    }
    peers
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: Hash = [b'h'; 20];
    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn announce(tracker: &mut Tracker, id: u8, rest: &str, ip: IpAddr, second: i64) -> Value {
        let (hash, id) = ("h".repeat(20), (id as char).to_string().repeat(20));
        let query = format!("info_hash={hash}&peer_id={id}{rest}");
        let now = Timestamp::from_second(second).unwrap();
        let host = Host { peer_id: [b'-'; 20], address: SocketAddr::new(LOCAL, 7), is_whole: true };
        tracker.announce(query.as_bytes(), Some(ip), &HASH, Some(host), now)
    }

    #[track_caller]
    fn check(answer: &Value, expected: &[&str]) {
        let peers = parse_peers(answer);
        assert_eq!(peers.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{answer:?}");
    }

    #[test]
    fn a_peer_hears_of_the_others_in_both_forms() {
        let mut tracker = Tracker::default();
        check(&announce(&mut tracker, b'a', "&port=1&left=5&event=started", LOCAL, 0), &["127.0.0.1:7"]);
        let answer = announce(&mut tracker, b'b', "&port=2&left=0", "::1".parse().unwrap(), 1);
        check(&answer, &["127.0.0.1:7", "127.0.0.1:1"]);
        assert_eq!(
            (answer.entry("complete"), answer.entry("incomplete")),
            (Some(&Value::Integer(2)), Some(&Value::Integer(1)))
        );
        let compact = announce(&mut tracker, b'c', "&port=3&compact=1", LOCAL, 2);
        assert_eq!(compact.entry("peers"), Some(&Value::Bytes(b"\x7f\0\0\x01\0\x07\x7f\0\0\x01\0\x01".to_vec())));
        check(&compact, &["127.0.0.1:7", "127.0.0.1:1", "[::1]:2"]);
        check(&announce(&mut tracker, b'c', "&port=3&numwant=1", LOCAL, 2), &["127.0.0.1:7"]);
    }

    #[test]
    fn who_stops_or_is_silent_for_long_is_forgotten() {
        let mut tracker = Tracker::default();
        announce(&mut tracker, b'a', "&port=1", LOCAL, 0);
        announce(&mut tracker, b'b', "&port=2", LOCAL, 50);
        check(&announce(&mut tracker, b'c', "&port=3", LOCAL, 100), &["127.0.0.1:7", "127.0.0.1:2"]);
        announce(&mut tracker, b'b', "&port=2&event=stopped", LOCAL, 100);
        check(&announce(&mut tracker, b'c', "&port=3", LOCAL, 100), &["127.0.0.1:7"]);
    }

    #[test]
    fn what_is_no_announcement_is_refused_with_a_reason() {
        let mut tracker = Tracker::default();
        let mut reason = |query: &str, ip| {
            let answer = tracker.announce(query.as_bytes(), ip, &HASH, None, Timestamp::UNIX_EPOCH);
            String::from_utf8(answer.entry("failure reason").unwrap().as_bytes().unwrap().to_vec()).unwrap()
        };
        let hash = "%68".repeat(20);
        assert_eq!(reason("", Some(LOCAL)), "this torrent is not shared here");
        assert_eq!(reason(&format!("info_hash={hash}&peer_id=a"), Some(LOCAL)), "expected a `peer_id` of 20 bytes");
        let id = "a".repeat(20);
        let port = "expected a `port` from 1 to 65535";
        assert_eq!(reason(&format!("info_hash={hash}&peer_id={id}&port=0"), Some(LOCAL)), port);
        assert_eq!(reason(&format!("info_hash={hash}&peer_id={id}&port=%x"), Some(LOCAL)), port);
        assert_eq!(reason(&format!("info_hash={hash}&peer_id={id}&port=1"), None), "expected a connection over TCP");
    }

    #[test]
    fn addresses_that_are_none_are_left_out() {
        check(
            &super::super::bencode::parse(b"d5:peersl1:ad2:ip1:x4:porti1eed2:ip9:127.0.0.14:porti1eeee").unwrap(),
            &["127.0.0.1:1"],
        );
        check(&super::super::bencode::parse(b"d5:peers7:1234567e").unwrap(), &["49.50.51.52:13622"]);
    }
}
