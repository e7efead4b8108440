//! Free ports for targets.
//!
//! A port that the system picks (`bind` to 0) is one of those that it gives to clients, too: between the picking
//! and the target's start some outgoing connection may take it. These come from outside that range, each is
//! free on every local address for TCP and UDP, and no two runs on this machine pick the same one.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::os::unix::net::UnixDatagram;

use socket2::{Domain, Socket, Type};

use crate::random::Random;

/// A source of free ports; one for a run.
#[derive(Debug)]
pub struct Ports {
    candidates: Vec<u16>,
    next: usize,
    claims: VecDeque<UnixDatagram>,
}

impl Ports {
    /// Begins at a port of chance, so that runs side by side seldom look at the same ones.
    pub fn new(random: &mut Random) -> Ports {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let candidates = outside(&parse_range(&range).unwrap_or(CLIENTS));
        let next = usize::try_from(random.below(candidates.len() as u64)).expect("a port's number fits");
        Ports { candidates, next, claims: VecDeque::new() }
    }

    /// Picks a port that nobody uses. None comes twice before all others have had their turn.
    pub fn pick(&mut self) -> io::Result<u16> {
        for _ in 0..self.candidates.len() {
            let port = self.candidates[self.next];
            self.next = (self.next + 1) % self.candidates.len();
            if !is_free(port)? {
                continue;
            }
            match claim(port) {
                Ok(claim) => self.claims.extend(claim),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => continue,
                Err(error) => return Err(error),
            }
            if self.claims.len() > CLAIMS_MAX {
                self.claims.pop_front();
            }
            return Ok(port);
        }
        // Everything outside the clients' range is in use. What the system picks is at least free now.
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
    }
}

/// Whether a server could bind the port on every address, with no connection of an earlier one in the way.
fn is_free(port: u16) -> io::Result<bool> {
    for kind in [Type::STREAM, Type::DGRAM] {
        // `SO_REUSEADDR` stays off: some servers do without, and a connection in TIME_WAIT is then in their way.
        let v4 = Socket::new(Domain::IPV4, kind, None)?.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into());
        // A system without IPv6 has nobody on it either: there, only a port in use counts.
        let v6 = Socket::new(Domain::IPV6, kind, None).and_then(|socket| {
            socket.set_only_v6(true)?;
            socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())
        });
        match (v4, v6) {
            (_, Err(error)) if error.kind() == io::ErrorKind::AddrInUse => return Ok(false),
            (Ok(()), _) => {}
            (Err(error), _) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
                return Ok(false);
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(true)
}

/// Takes the port's name among all runs on this machine, for as long as the socket is open.
#[cfg(target_os = "linux")]
fn claim(port: u16) -> io::Result<Option<UnixDatagram>> {
    use std::os::linux::net::SocketAddrExt as _;
    let name = std::os::unix::net::SocketAddr::from_abstract_name(format!("harness-port-{port}"))?;
    UnixDatagram::bind_addr(&name).map(Some)
}

/// This system has no names that vanish with their holder.
#[cfg(not(target_os = "linux"))]
fn claim(_port: u16) -> io::Result<Option<UnixDatagram>> {
    Ok(None)
}

/// What lies below and above the clients' range, without the low ports that well-known services have.
fn outside(clients: &RangeInclusive<u16>) -> Vec<u16> {
    (LOWEST..=u16::MAX).filter(|port| !clients.contains(port)).collect()
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.trim().split_once(char::is_whitespace)?;
    Some(first.parse().ok()?..=last.trim().parse().ok()?)
}

/// What Linux gives to clients unless it is told otherwise.
const CLIENTS: RangeInclusive<u16> = 32_768..=60_999;

const LOWEST: u16 = 10_000;

/// Older claims than these are given up: their targets have bound their ports by then.
const CLAIMS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> Ports {
        Ports::new(&mut Random::new(7, "ports"))
    }

    #[test]
    fn a_port_is_outside_the_clients_range_and_free() {
        let port = ports().pick().expect("a port");
        let clients = parse_range(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default());
        assert!(!clients.unwrap_or(CLIENTS).contains(&port));
        TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    }

    #[test]
    fn runs_with_the_same_seed_pick_different_ports() {
        let (mut one, mut other) = (ports(), ports());
        let picked: Vec<u16> =
            (0..4).flat_map(|_| [one.pick(), other.pick()]).map(|port| port.expect("a port")).collect();
        let different: std::collections::HashSet<u16> = picked.iter().copied().collect();
        assert_eq!(different.len(), picked.len(), "{picked:?}");
    }

    #[test]
    fn a_port_that_is_in_use_on_any_address_is_not_free() {
        for address in ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().expect("an address").port();
            assert!(!is_free(port).expect("a check"), "{address}");
        }
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        assert!(!is_free(socket.local_addr().expect("an address").port()).expect("a check"));
    }

    #[test]
    fn the_clients_range_is_left_out() {
        assert_eq!(outside(&(10_001..=65_534)), [10_000, 65_535]);
        assert!(outside(&(1_024..=65_535)).is_empty());
        assert_eq!(parse_range("32768\t60999\n"), Some(CLIENTS));
        assert_eq!(parse_range("32768"), None);
    }
}
