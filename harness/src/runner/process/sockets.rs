//! The kernel's socket table: who listens where, seen without connecting.
//!
//! Only addresses of this machine's own network namespace are here. A socket on `::` is taken to serve IPv4
//! too: the table does not show whether it is for IPv6 alone.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{Address, diag};

/// The inodes of the sockets that serve `address`: TCP and Unix streams that listen, datagram sockets that are bound.
///
/// `folder` is where relative paths of Unix sockets start.
pub(super) fn serving(address: &Address, folder: &Path) -> Result<HashSet<u64>, (PathBuf, io::Error)> {
    if let Address::Tcp(wanted) = address
        && let Ok(inodes) = diag::listening(*wanted)
    {
        return Ok(inodes);
    }
    let files = match address {
        // A kernel without `sock_diag` has these only, with every connection of the machine in them.
        Address::Tcp(_) => ["/proc/net/tcp", "/proc/net/tcp6"].as_slice(),
        Address::Udp(_) => &["/proc/net/udp", "/proc/net/udp6"],
        Address::Unix(_) | Address::Unixgram(_) => &["/proc/net/unix"],
    };
    let parse = |line: &str| match address {
        Address::Tcp(wanted) => internet(line, TCP_LISTEN, *wanted),
        Address::Udp(wanted) => internet(line, UDP_UNCONNECTED, *wanted),
        Address::Unix(path) => unix(line, Kind::Stream, path, folder),
        Address::Unixgram(path) => unix(line, Kind::Datagram, path, folder),
    };
    let mut inodes = HashSet::new();
    for (index, file) in files.iter().enumerate() {
        match fs::read(file) {
            Ok(table) => inodes.extend(String::from_utf8_lossy(&table).lines().skip(1).filter_map(parse)),
            // Without IPv6 its tables do not exist.
            Err(error) if error.kind() == io::ErrorKind::NotFound && index > 0 => {}
            Err(error) => return Err((PathBuf::from(file), error)),
        }
    }
    Ok(inodes)
}

/// Reads `SL LOCAL REMOTE STATE QUEUES TIMER RETRANSMITS UID TIMEOUT INODE …`.
fn internet(line: &str, state: &str, wanted: SocketAddr) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    let (ip, port) = fields.nth(1)?.split_once(':')?;
    if u16::from_str_radix(port, 16).ok()? != wanted.port() || fields.nth(1)? != state {
        return None;
    }
    serves(parse_ip(ip)?, wanted.ip()).then(|| fields.nth(5)?.parse().ok()).flatten()
}

/// Words of 32 bits in hex, each in the machine's own byte order.
pub(crate) fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    Some(match hex.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    })
}

/// Whether a socket bound to `bound` answers who dials `wanted`.
pub(crate) fn serves(bound: IpAddr, wanted: IpAddr) -> bool {
    // Who dials the wildcard address reaches the loopback one.
    let wanted = match wanted.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    match bound.to_canonical() {
        IpAddr::V6(bound) if bound.is_unspecified() => true,
        IpAddr::V4(bound) if bound.is_unspecified() => wanted.is_ipv4(),
        bound => bound == wanted,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Datagram,
    Stream,
}

/// Reads `NUM REFCOUNT PROTOCOL FLAGS TYPE STATE INODE PATH`: columns are padded, and a path may hold spaces.
fn unix(line: &str, kind: Kind, wanted: &Path, folder: &Path) -> Option<u64> {
    let mut columns = [""; 7];
    let mut rest = line;
    for column in &mut columns {
        (*column, rest) = rest.trim_start().split_once(' ')?;
    }
    let [_, _, _, flags, socket_type, _, inode] = columns;
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let fits = match kind {
        Kind::Datagram => socket_type == "0002",
        Kind::Stream => socket_type == "0001" && flags & ACCEPTS_CONNECTIONS != 0,
    };
    (fits && same_path(Path::new(rest), wanted, folder)).then(|| inode.parse().ok()).flatten()
}

/// Whether a server that bound `bound` in `folder` serves `wanted`, links followed.
fn same_path(bound: &Path, wanted: &Path, folder: &Path) -> bool {
    bound == wanted
        || bound.file_name() == wanted.file_name()
            && fs::canonicalize(folder.join(bound))
                .is_ok_and(|bound| fs::canonicalize(wanted).is_ok_and(|it| it == bound))
}

/// `TCP_LISTEN` of `net/tcp_states.h`, as the table writes it.
const TCP_LISTEN: &str = "0A";

/// `TCP_CLOSE` there: what the table shows for a UDP socket that is bound and has no peer.
const UDP_UNCONNECTED: &str = "07";

/// `__SO_ACCEPTCON` of `linux/net.h`.
const ACCEPTS_CONNECTIONS: u32 = 0x1_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_serves(bound: &str, wanted: &str, expected: bool) {
        let ip = |text: &str| text.parse().expect("an address");
        assert_eq!(serves(ip(bound), ip(wanted)), expected, "{bound} for {wanted}");
    }

    #[test]
    fn a_wildcard_serves_every_address_of_its_family() {
        check_serves("0.0.0.0", "127.0.0.1", true);
        check_serves("0.0.0.0", "::1", false);
        check_serves("::", "::1", true);
        check_serves("::", "127.0.0.1", true);
    }

    #[test]
    fn a_bound_address_serves_itself_in_both_its_forms() {
        check_serves("127.0.0.1", "127.0.0.1", true);
        check_serves("127.0.0.1", "127.0.0.2", false);
        check_serves("::ffff:127.0.0.1", "127.0.0.1", true);
        check_serves("127.0.0.1", "0.0.0.0", true);
        check_serves("::1", "::", true);
        check_serves("::1", "127.0.0.1", false);
    }

    const TCP: &str =
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0";
    const TCP6: &str =
        "   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0  0  0 77 1";
    const UNIX: &str = "0000000000000000: 00000002 00000000 00010000 0001 01   612 /tmp/a b.sock";
    const UNIXGRAM: &str = "0000000000000000: 00000002 00000000 00000000 0002 01 16123 /tmp/log";

    #[test]
    #[cfg(target_endian = "little")]
    fn a_listening_socket_is_found_by_address_and_port() {
        let find = |line, state, wanted: &str| internet(line, state, wanted.parse().expect("an address"));
        assert_eq!(find(TCP, TCP_LISTEN, "127.0.0.1:8080"), Some(4242));
        assert_eq!(find(TCP, TCP_LISTEN, "127.0.0.1:8081"), None);
        assert_eq!(find(TCP, UDP_UNCONNECTED, "127.0.0.1:8080"), None);
        assert_eq!(find(TCP6, TCP_LISTEN, "[::1]:8080"), Some(77));
    }

    #[test]
    fn a_unix_socket_is_found_by_kind_and_path() {
        let find = |line, kind, wanted| unix(line, kind, Path::new(wanted), Path::new("/"));
        assert_eq!(find(UNIX, Kind::Stream, "/tmp/a b.sock"), Some(612));
        assert_eq!(find(UNIX, Kind::Datagram, "/tmp/a b.sock"), None);
        assert_eq!(find(UNIXGRAM, Kind::Datagram, "/tmp/log"), Some(16_123));
        assert_eq!(find(&UNIX.replace("00010000", "00000000"), Kind::Stream, "/tmp/a b.sock"), None);
    }

    #[test]
    fn a_cut_line_is_no_socket() {
        let wanted = "127.0.0.1:8080".parse().expect("an address");
        for len in 0..80 {
            assert_eq!(internet(&TCP[..len], TCP_LISTEN, wanted), None);
        }
        for len in 0..UNIX.len() {
            assert_eq!(unix(&UNIX[..len], Kind::Stream, Path::new("/tmp/a b.sock"), Path::new("/")), None);
        }
    }
}
