//! Datagrams that the kernel dropped because a socket had no room: this side's own, told apart from the server's.
//!
//! It is the number that `SO_RXQ_OVFL` would put beside each datagram, read from the kernel's table of sockets instead: that
//! costs no system call while anything is measured, and tells of the server's socket as well where that is on this machine.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::runner::process::{parse_ip, serves};

/// A UDP socket of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    local: SocketAddr,
    peer: SocketAddr,
    drops: u64,
}

/// What sockets had dropped at some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Of those that are connected to the server, by their own addresses.
    own: HashMap<SocketAddr, u64>,
    /// Of those that are bound to the server's address.
    server: u64,
}

impl Drops {
    /// Looks at the sockets that a server and its clients have.
    pub fn look(server: SocketAddr) -> Drops {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Drops::of(server, &format!("{}{}", read("/proc/net/udp"), read("/proc/net/udp6")))
    }

    fn of(server: SocketAddr, table: &str) -> Drops {
        let mut drops = Drops::default();
        for row in table.lines().filter_map(row) {
            if row.peer == server {
                drops.own.insert(row.local, row.drops);
            } else if row.local.port() == server.port() && serves(row.local.ip(), server.ip()) {
                drops.server += row.drops;
            }
        }
        drops
    }

    /// What sockets with these addresses have dropped since `before`.
    pub fn own_since(&self, before: &Drops, sockets: impl Iterator<Item = SocketAddr>) -> u64 {
        let drops = |drops: &Drops, socket: &SocketAddr| drops.own.get(socket).copied().unwrap_or_default();
        sockets.map(|socket| drops(self, &socket).saturating_sub(drops(before, &socket))).sum()
    }

    /// What the server's have dropped since `before`.
    pub fn server_since(&self, before: &Drops) -> u64 {
        self.server.saturating_sub(before.server)
    }
}

/// Reads a row: `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode ref pointer drops`.
fn row(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace();
    let (local, peer) = (address(words.nth(1)?)?, address(words.next()?)?);
    Some(Row { local, peer, drops: words.nth(9)?.parse().ok()? })
}

/// Reads an address and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    // A socket for both speaks to IPv4 by its mapped addresses.
    Some(SocketAddr::new(parse_ip(ip)?.to_canonical(), u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn own_sockets_and_the_servers_are_told_apart() {
        let table = |own: u64, server: u64| {
            format!(
                "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
                 1: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 {own}\n\
                 2: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2 2 0000000000000000 {server}\n\
                 3: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3 2 0000000000000000 99\n\
                 4: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4 2 0000000000000000 1\n"
            )
        };
        let server = SocketAddr::from(([127, 0, 0, 1], 8080));
        let (before, after) = (Drops::of(server, &table(5, 7)), Drops::of(server, &table(8, 17)));
        let own = SocketAddr::from(([127, 0, 0, 1], 0xd431));
        let stranger = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(after.own_since(&before, [own, stranger].into_iter()), 3);
        assert_eq!(after.server_since(&before), 10);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_read_as_the_kernel_writes_them() {
        assert_eq!(address("0100007F:0035"), Some(([127, 0, 0, 1], 53).into()));
        let loopback = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 53));
        assert_eq!(address("00000000000000000000000001000000:0035"), Some(loopback));
        assert_eq!(address("0000000000000000FFFF00000100007F:0035"), Some(([127, 0, 0, 1], 53).into()));
        assert_eq!((address("0100007F"), address("01007F:0035"), address("é100007F:0035")), (None, None, None));
    }

    #[test]
    fn a_line_that_is_none_is_left_out() {
        assert_eq!(Drops::of(([127, 0, 0, 1], 1).into(), "nonsense\n\n1: a b c\n"), Drops::default());
    }
}
