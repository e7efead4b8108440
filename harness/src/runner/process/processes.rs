//! Who is whose child, and who holds which socket, as `/proc` tells it.
//!
//! Processes come and go while this reads: what has gone is left out. On systems without `/proc` there is
//! nothing to see, and every answer is empty.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io::Read as _;

/// A process that is not ours, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// The name of its program, as far as the kernel keeps it: 15 bytes.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} (`{}`)", self.pid, self.name)
    }
}

/// The children of `parent` that have not ended.
pub(super) fn children(parent: u32) -> Vec<u32> {
    all()
        .filter_map(status)
        .filter(|status| status.parent == parent && !status.ended)
        .map(|status| status.pid)
        .collect()
}

/// Whether the kernel has begun to take `pid` down (`PF_EXITING`), or has nothing left of it but its status.
pub(super) fn is_exiting(pid: u32) -> bool {
    const PF_EXITING: u64 = 0x4;
    // The kernel gives all of it at once to whoever has room for it.
    let mut buffer = [0; 1 << 10];
    let Ok(len) = fs::File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut buffer)) else {
        return true;
    };
    let stat = String::from_utf8_lossy(&buffer[..len]);
    // The name stands in parentheses and may hold anything; after it come the state and, as the seventh, the flags.
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next().unwrap_or_default();
    let flags = fields.nth(5).and_then(|flags| flags.parse().ok()).unwrap_or(0_u64);
    matches!(state, "Z" | "X") || flags & PF_EXITING != 0
}

/// Who holds one of the sockets with these inodes.
pub(super) enum Owner {
    /// `root` or a descendant of it.
    Ours,
    /// Somebody else.
    Stranger(Holder),
    /// Nobody whose descriptors may be read.
    Unseen,
}

/// Says who holds one of these sockets; with several holders, `root`'s family goes first.
pub(super) fn owner(inodes: &HashSet<u64>, root: Option<u32>) -> Owner {
    let mut stranger = None;
    // Whoever was just started has most likely the highest number.
    let mut pids: Vec<u32> = all().collect();
    pids.sort_unstable_by_key(|pid| std::cmp::Reverse(*pid));
    for pid in pids {
        if !holds(pid, inodes) {
            continue;
        }
        if root.is_some_and(|root| descends(pid, root)) {
            return Owner::Ours;
        }
        stranger = stranger.or_else(|| status(pid).map(|status| Holder { pid, name: status.name }));
    }
    stranger.map_or(Owner::Unseen, Owner::Stranger)
}

/// Whether `pid` is `root` or comes from it.
fn descends(pid: u32, root: u32) -> bool {
    let mut pid = pid;
    for _ in 0..DEPTH_MAX {
        if pid == root {
            return true;
        }
        match status(pid) {
            Some(status) if status.parent != 0 => pid = status.parent,
            _ => return false,
        }
    }
    false
}

fn holds(pid: u32, inodes: &HashSet<u64>) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        let Ok(link) = fs::read_link(descriptor.path()) else { return false };
        let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode| inodes.contains(&inode))
    })
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[derive(Debug, PartialEq, Eq)]
struct Status {
    pid: u32,
    name: String,
    ended: bool,
    parent: u32,
}

fn status(pid: u32) -> Option<Status> {
    // A program's name need not be UTF-8.
    parse_status(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
}

/// Reads `PID (NAME) STATE PARENT …`, where the name may hold anything, brackets and spaces too.
fn parse_status(text: &str) -> Option<Status> {
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let ended = matches!(fields.next()?, "Z" | "X" | "x");
    Some(Status { pid: pid.parse().ok()?, name: name.to_owned(), ended, parent: fields.next()?.parse().ok()? })
}

/// No family is deeper than this; ends a walk over numbers that change while it goes.
const DEPTH_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_brackets_and_spaces() {
        let status = parse_status("7 (a) b) (c) S 1 7 7 0").expect("a status");
        assert_eq!(status, Status { pid: 7, name: "a) b) (c".to_owned(), ended: false, parent: 1 });
    }

    #[test]
    fn a_cut_status_is_none() {
        for text in ["", "7", "7 (x", "7 (x) ", "7 (x) S", "7 (x) S x", "x (x) S 1"] {
            assert_eq!(parse_status(text), None, "{text}");
        }
    }

    #[test]
    fn this_process_descends_from_its_parent_and_not_from_itself_reversed() {
        let (own, parent) = (std::process::id(), std::os::unix::process::parent_id());
        assert!(descends(own, own));
        assert!(descends(own, parent));
        assert!(!descends(parent, own));
    }

    #[test]
    fn a_socket_is_seen_with_its_owner() {
        use std::os::fd::AsRawFd as _;
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).expect("a link");
        let inode = link.to_str().expect("digits")["socket:[".len()..].trim_end_matches(']').parse().expect("a number");
        let inodes = HashSet::from([inode]);
        assert!(matches!(owner(&inodes, Some(std::process::id())), Owner::Ours));
        assert!(matches!(owner(&inodes, None), Owner::Stranger(holder) if holder.pid == std::process::id()));
        drop(socket);
        assert!(matches!(owner(&inodes, None), Owner::Unseen));
    }
}
