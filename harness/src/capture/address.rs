//! How packets name the two ends of a connection.
//!
//! Internet sockets keep their real addresses and ports: people compare them with logs and with
//! `ss`. Where both ends share an address, as on loopback, its name is the names of both
//! (`client+kv`); which of the two sent a packet is in its interface, direction and comment.
//!
//! A Unix socket has no address, so each path gets one in 127.85.0.0/16 (85 is `U`), counted from
//! 127.85.0.1 in the order of appearance, with port 49152; an end without a path gets one for its
//! actor, with a port for each connection. The name of such an address is the path or the actor.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::packet::End;
use crate::event::Endpoint;
use crate::random::Random;

/// The port of a Unix socket with a path: the first of those that are never registered (RFC 6335, 6).
const UNIX_PORT: u16 = 49_152;
/// The ports above [`UNIX_PORT`] that invented ends have.
const INVENTED_PORTS: u16 = 16_383;
/// The longest name of an address: Wireshark keeps no more than 63 bytes.
const NAME_LEN_MAX: usize = 60;

/// What is invented for a connection: the same seed and number, the same values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Invented {
    pub(super) macs: [[u8; 6]; 2],
    /// The first sequence number of either end.
    pub(super) sequences: [u32; 2],
}

impl Invented {
    /// Draws for a connection of a run.
    pub(super) fn new(seed: u64, connection: u32) -> Invented {
        let mut random = Random::new(seed, &format!("capture, connection {connection}"));
        let mut draw = [0; 20];
        random.fill(&mut draw);
        let [a, b, c, d, e, f, g, h, i, j, s @ ..] = draw;
        // 02: one address, administered locally.
        let macs = [[0x02, a, b, c, d, e], [0x02, f, g, h, i, j]];
        let sequences = [[s[0], s[1], s[2], s[3]], [s[4], s[5], s[6], s[7]]].map(u32::from_be_bytes);
        Invented { macs, sequences }
    }
}

/// The addresses of one capture.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    unix: HashMap<String, Ipv4Addr>,
    names: Vec<(IpAddr, Vec<String>)>,
}

impl Addresses {
    /// The ends of a connection, ours first.
    pub(super) fn ends(
        &mut self,
        connection: u32,
        actor: &str,
        local: &Endpoint,
        peer: &Endpoint,
        macs: [[u8; 6]; 2],
    ) -> [End; 2] {
        let near = self.resolve(local, connection, actor);
        let far = self.resolve(peer, connection, "peer");
        let (near_ip, far_ip) = match (near.ip().to_canonical(), far.ip().to_canonical()) {
            (IpAddr::V4(a), IpAddr::V6(b)) => (a.to_ipv6_mapped().into(), b.into()),
            (IpAddr::V6(a), IpAddr::V4(b)) => (a.into(), b.to_ipv6_mapped().into()),
            same => same,
        };
        [End { mac: macs[0], ip: near_ip, port: near.port() }, End { mac: macs[1], ip: far_ip, port: far.port() }]
    }

    /// Our end of a connection that never came to be: the system does not tell it.
    pub(super) fn dialler(peer: &Endpoint, connection: u32) -> Endpoint {
        match peer {
            Endpoint::Ip(peer) => {
                let ip = match peer.ip() {
                    ip if ip.is_loopback() => ip,
                    IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
                };
                Endpoint::Ip(SocketAddr::new(ip, invented_port(connection)))
            }
            Endpoint::Path(_) => Endpoint::Path(String::new()),
        }
    }

    fn resolve(&mut self, endpoint: &Endpoint, connection: u32, actor: &str) -> SocketAddr {
        let (name, port) = match endpoint {
            Endpoint::Ip(address) => return *address,
            Endpoint::Path(path) if path.is_empty() => (actor, invented_port(connection)),
            Endpoint::Path(path) => (path.as_str(), UNIX_PORT),
        };
        let next = self.unix.len() as u16 + 1;
        let ip = *self.unix.entry(name.to_owned()).or_insert_with(|| {
            let [high, low] = next.to_be_bytes();
            Ipv4Addr::new(127, 85, high, low)
        });
        SocketAddr::new(ip.into(), port)
    }

    /// Adds a name to an address.
    pub(super) fn name(&mut self, ip: IpAddr, name: &str) {
        match self.names.iter_mut().find(|(known, _)| *known == ip) {
            Some((_, names)) if names.iter().any(|known| known == name) => {}
            Some((_, names)) => names.push(name.to_owned()),
            None => self.names.push((ip, vec![name.to_owned()])),
        }
    }

    /// Whether the address has a name already.
    pub(super) fn is_named(&self, ip: IpAddr) -> bool {
        self.names.iter().any(|(known, _)| *known == ip)
    }

    /// Every address with its name, those of all its owners joined.
    pub(super) fn names(&self) -> impl Iterator<Item = (IpAddr, String)> {
        self.names.iter().map(|(ip, names)| (*ip, join(names)))
    }
}

fn invented_port(connection: u32) -> u16 {
    UNIX_PORT + 1 + (connection % u32::from(INVENTED_PORTS)) as u16
}

/// Joins names with `+` as far as there is room, and counts the rest.
fn join(names: &[String]) -> String {
    let mut joined = String::new();
    for (index, name) in names.iter().enumerate() {
        // A zero byte ends a name in the file.
        let name = name.replace('\0', "@");
        if index > 0 && joined.len() + name.len() + 12 > NAME_LEN_MAX {
            return format!("{joined}+{} more", names.len() - index);
        }
        if index > 0 {
            joined.push('+');
        }
        joined.push_str(super::comment::cut(&name, NAME_LEN_MAX - 12));
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(local: &str, peer: &str, expected: [&str; 2]) {
        let parse = |text: &str| text.parse().map_or(Endpoint::Path(text.into()), Endpoint::Ip);
        let ends = Addresses::default().ends(7, "client", &parse(local), &parse(peer), [[2; 6]; 2]);
        assert_eq!(ends.map(|end| SocketAddr::new(end.ip, end.port).to_string()), expected);
    }

    #[test]
    fn internet_addresses_stay() {
        check("127.0.0.1:5000", "127.0.0.1:80", ["127.0.0.1:5000", "127.0.0.1:80"]);
        check("[::1]:5000", "[::1]:80", ["[::1]:5000", "[::1]:80"]);
    }

    #[test]
    fn a_mapped_address_is_what_is_on_the_wire() {
        check("[::ffff:127.0.0.1]:5000", "[::ffff:127.0.0.1]:80", ["127.0.0.1:5000", "127.0.0.1:80"]);
    }

    #[test]
    fn mixed_families_become_one() {
        check("[::1]:5000", "127.0.0.1:80", ["[::1]:5000", "[::ffff:127.0.0.1]:80"]);
    }

    #[test]
    fn unix_sockets_get_addresses() {
        check("", "/run/kv.sock", ["127.85.0.1:49160", "127.85.0.2:49152"]);
        check("@a", "@b", ["127.85.0.1:49152", "127.85.0.2:49152"]);
    }

    #[test]
    fn a_shared_address_has_all_names_that_fit() {
        let mut addresses = Addresses::default();
        let ip = IpAddr::from([127, 0, 0, 1]);
        addresses.name(ip, "client");
        addresses.name(ip, "kv");
        addresses.name(ip, "client");
        assert_eq!(addresses.names().collect::<Vec<_>>(), [(ip, "client+kv".to_owned())]);
        for index in 0..100 {
            addresses.name(ip, &format!("alice[{index}]"));
        }
        let (_, name) = addresses.names().next().expect("there is one");
        assert_eq!(name, "client+kv+alice[0]+alice[1]+alice[2]+alice[3]+96 more");
        assert!(name.len() <= NAME_LEN_MAX);
    }

    #[test]
    fn connections_of_a_run_differ_and_repeat() {
        let draw = |seed, connection| {
            let invented = Invented::new(seed, connection);
            (invented.macs, invented.sequences)
        };
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        assert_ne!(draw(1, 0), draw(2, 0));
        assert!(draw(1, 0).0.iter().all(|mac| mac[0] == 2));
    }
}
