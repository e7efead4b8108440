//! Who listens with TCP, asked of the kernel by `sock_diag(7)`.
//!
//! `/proc/net/tcp` says the same, but the kernel writes every connection of the machine into it, and those that are long closed:
//! milliseconds where this takes microseconds, and targets are asked for every time that one starts.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

use super::sockets::serves;

/// The inodes of the sockets that listen where `wanted` is dialled. An error where the kernel does not answer such questions.
pub(super) fn listening(wanted: SocketAddr) -> Result<HashSet<u64>, Errno> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
    let (mut inodes, mut answer) = (HashSet::new(), vec![0; ANSWER_LEN_MAX]);
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        send(&socket, &request(family, wanted.port()), SendFlags::empty())?;
        loop {
            // Each holds many sockets, and the last one says that it is the last.
            let (_, len) = recv(&socket, &mut answer[..], RecvFlags::DONTWAIT)?;
            if read(&answer[..len], wanted, &mut inodes)? {
                break;
            }
        }
    }
    Ok(inodes)
}

/// A `struct nlmsghdr` and a `struct inet_diag_req_v2`: all that listen at `port`.
fn request(family: AddressFamily, port: u16) -> [u8; REQUEST_LEN] {
    let mut bytes = [0; REQUEST_LEN];
    bytes[..4].copy_from_slice(&(REQUEST_LEN as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes[HEADER_LEN] = family.as_raw() as u8; // 2 or 10
    bytes[HEADER_LEN + 1] = IPPROTO_TCP;
    bytes[HEADER_LEN + 4..HEADER_LEN + 8].copy_from_slice(&(1_u32 << TCP_LISTEN).to_ne_bytes());
    bytes[HEADER_LEN + 8..HEADER_LEN + 10].copy_from_slice(&port.to_be_bytes());
    bytes
}

/// Takes the sockets out of one answer that serve `wanted`; `true` after the last one.
fn read(mut rest: &[u8], wanted: SocketAddr, inodes: &mut HashSet<u64>) -> Result<bool, Errno> {
    while let Some(header) = rest.first_chunk::<HEADER_LEN>() {
        let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let body = rest.get(HEADER_LEN..len).ok_or(Errno::BADMSG)?;
        match u16::from_ne_bytes([header[4], header[5]]) {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => return Err(Errno::OPNOTSUPP),
            SOCK_DIAG_BY_FAMILY => {
                let (port, ip, inode) = socket(body).ok_or(Errno::BADMSG)?;
                if port == wanted.port() && serves(ip, wanted.ip()) {
                    inodes.insert(inode);
                }
            }
            _ => {}
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The port, the address and the inode of a `struct inet_diag_msg`.
fn socket(body: &[u8]) -> Option<(u16, IpAddr, u64)> {
    let ip: IpAddr = match AddressFamily::from_raw(u16::from(*body.first()?)) {
        AddressFamily::INET => <[u8; 4]>::try_from(body.get(8..12)?).ok()?.into(),
        AddressFamily::INET6 => <[u8; 16]>::try_from(body.get(8..24)?).ok()?.into(),
        _ => return None,
    };
    let port = u16::from_be_bytes(body.get(4..6)?.try_into().ok()?);
    let inode = u32::from_ne_bytes(body.get(68..72)?.try_into().ok()?);
    Some((port, ip, inode.into()))
}

/// `sizeof(struct nlmsghdr)`.
const HEADER_LEN: usize = 16;

/// That and `sizeof(struct inet_diag_req_v2)`.
const REQUEST_LEN: usize = HEADER_LEN + 56;

/// The kernel writes no more into one datagram of an answer (`NLMSG_GOODSIZE` and what `netlink_dump` allows above it).
const ANSWER_LEN_MAX: usize = 32 * 1024;

// `linux/netlink.h`, `linux/sock_diag.h`, `net/tcp_states.h`.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u32 = 10;

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a socket that listens is what is looked for")]

    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[track_caller]
    fn check(bound: &str, dialled: &str, is_seen: bool) {
        let listener = TcpListener::bind((bound, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let wanted = SocketAddr::new(dialled.parse().expect("an address"), address.port());
        // Connections at that port are not what is asked for.
        let _connection = TcpStream::connect((if address.is_ipv6() { "::1" } else { "127.0.0.1" }, address.port()));
        assert_eq!(listening(wanted).expect("the kernel answers").len(), usize::from(is_seen), "{bound} for {dialled}");
        drop(listener);
        assert_eq!(listening(wanted).expect("the kernel answers"), HashSet::new(), "{bound} is closed");
    }

    #[test]
    fn who_listens_is_seen_where_it_is_dialled() {
        check("127.0.0.1", "127.0.0.1", true);
        check("0.0.0.0", "127.0.0.1", true);
        check("::1", "::1", true);
        check("::1", "127.0.0.1", false);
        check("127.0.0.1", "127.0.0.2", false);
    }

    #[test]
    fn a_cut_answer_is_an_error_and_not_a_socket() {
        let wanted = SocketAddr::from(([127, 0, 0, 1], 8080));
        let mut whole = request(AddressFamily::INET, 8080).to_vec();
        whole.resize(HEADER_LEN + 72, 0);
        whole[..4].copy_from_slice(&(HEADER_LEN as u32 + 72).to_ne_bytes());
        let body = &mut whole[HEADER_LEN..];
        body[0] = 2;
        body[4..6].copy_from_slice(&8080_u16.to_be_bytes());
        body[8..12].copy_from_slice(&[127, 0, 0, 1]);
        body[68..72].copy_from_slice(&77_u32.to_ne_bytes());
        let mut inodes = HashSet::new();
        assert_eq!(read(&whole, wanted, &mut inodes), Ok(false));
        assert_eq!(inodes, HashSet::from([77]));
        for len in HEADER_LEN..whole.len() {
            assert_eq!(read(&whole[..len], wanted, &mut HashSet::new()), Err(Errno::BADMSG), "{len}");
        }
        // A length of its own that is too small to hold its header, and would be read again and again.
        whole[..4].copy_from_slice(&0_u32.to_ne_bytes());
        assert_eq!(read(&whole, wanted, &mut HashSet::new()), Err(Errno::BADMSG));
    }
}
