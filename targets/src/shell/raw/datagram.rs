//! Datagrams: one thread that waits in `recvfrom` itself, the least that an answer takes.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny, recvfrom, sendto};

use super::{AWAKE_BEFORE, RUNNING, Shared, timespec};
use crate::connection::answer_into;
use crate::service::{Peer, Reply, Transport};
use crate::shell::datagram::DATAGRAM_LEN_MAX;
use crate::shell::later::{Answer, Later};
use crate::shell::stream::ACCEPT_PAUSE;
use crate::shell::{Note, is_peers_error};

/// Answers datagrams until it is stopped, which has to shut the socket down.
pub(super) fn run(socket: &OwnedFd, transport: Transport, shared: &Shared) {
    let mut buffer = vec![0; DATAGRAM_LEN_MAX];
    let mut reply = Reply::new(usize::MAX);
    let mut later = Later::new();
    let mut number = 0;
    while shared.state() == RUNNING {
        // Looked for first, so that what is due is not late because others ask and ask.
        if later.due().is_some() {
            while let Some(answer) = later.take_due(Instant::now()) {
                answer.send(socket, shared);
            }
        }
        let flags = if later.due().is_some() { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
        let (len, from) = match recvfrom(socket, &mut buffer[..], flags) {
            Ok((len, _, from)) => (len, from),
            Err(Errno::AGAIN) => {
                wait(socket, &later);
                continue;
            }
            Err(error) => {
                let error = error.into();
                if !is_peers_error(&error) {
                    (shared.log)(&Note::AcceptFailed { error });
                    rest(socket, ACCEPT_PAUSE);
                }
                continue;
            }
        };
        if shared.state() != RUNNING {
            return;
        }
        let address = from.clone().and_then(|from| SocketAddr::try_from(from).ok());
        let peer = Peer::new(number, transport, address);
        number += 1;
        let answered = answer_into(&*shared.server, &peer, &buffer[..len], &mut reply);
        if let Some(end) = reply.process_end.take() {
            (shared.log)(&Note::EndsProcess { end });
        }
        if let Some(pause) = reply.pause {
            rest(socket, pause);
            if shared.state() != RUNNING {
                return;
            }
        }
        let overtaken = later.take_behind();
        if let (true, Some(to)) = (answered, from.filter(has_name)) {
            match later.put(&reply, peer, to.clone(), Instant::now) {
                None => send(socket, &reply.output, reply.copies, &to, peer, shared),
                Some(Ok(())) => {}
                Some(Err(error)) => (shared.log)(&Note::Unanswered { peer, len: reply.output.len(), error }),
            }
        }
        if let Some(answer) = overtaken {
            answer.send(socket, shared);
        }
    }
}

/// Waits for a datagram, or for the time of an answer, and for its last part awake.
fn wait(socket: &OwnedFd, later: &Later<SocketAddrAny>) {
    let Some(due) = later.due() else { return };
    let left = due.saturating_duration_since(Instant::now()).saturating_sub(AWAKE_BEFORE);
    if left.is_zero() {
        std::hint::spin_loop();
    } else {
        let mut sockets = [PollFd::new(socket, PollFlags::IN)];
        let _ = poll(&mut sockets, Some(&timespec(left))); // interrupted, it waits again
    }
}

/// Does nothing for so long, or until the socket is shut down.
fn rest(socket: &OwnedFd, time: Duration) {
    let mut sockets = [PollFd::new(socket, PollFlags::empty())];
    let _ = poll(&mut sockets, Some(&timespec(time)));
}

/// Whether it can be answered: a Unix socket need not have an address.
fn has_name(address: &SocketAddrAny) -> bool {
    address.address_family() != AddressFamily::UNIX || address.addr_len() as usize > size_of::<u16>()
}

impl Answer<SocketAddrAny> {
    fn send(&self, socket: &OwnedFd, shared: &Shared) {
        send(socket, &self.bytes, self.copies, &self.to, self.peer, shared);
    }
}

fn send(socket: &OwnedFd, bytes: &[u8], copies: usize, to: &SocketAddrAny, peer: Peer, shared: &Shared) {
    // A Unix socket waits for a peer that does not read, and all others with it; UDP for the system's own buffer only.
    let flags = if peer.transport == Transport::Unixgram { SendFlags::DONTWAIT } else { SendFlags::empty() };
    for _ in 0..copies {
        if let Err(error) = sendto(socket, bytes, flags | SendFlags::NOSIGNAL, to) {
            (shared.log)(&Note::Unanswered { peer, len: bytes.len(), error: error.into() });
        }
    }
}
