//! When bytes left the kernel and when they came to it, by its own timestamps (`SO_TIMESTAMPING`).
//!
//! The kernel stamps by the clock of the day; [`crate::bench::clock::ahead`] says how far that is from ours.

use std::os::fd::AsRawFd as _;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, TimestampingFlag, Timestamps, recvmsg, setsockopt, sockopt};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::received::CONTROL_LEN;
use super::{Broken, Wire};
use crate::bench::tally::Counts;

/// Which timestamps are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stamps {
    /// Of what comes.
    Rx,
    /// Of what comes, and of the first that leaves of an iteration.
    RxTx,
}

/// What a wire knows of its stamps, in nanoseconds since 1970.
#[derive(Debug)]
pub(super) struct Stamped {
    asked: Stamps,
    /// When the last bytes that were read came to the kernel.
    pub(super) came: Option<u64>,
    /// When the first bytes of an iteration left it.
    left: Option<u64>,
    /// Whether the next bytes that leave are the first of an iteration.
    begins: bool,
    /// The number of those whose stamp is waited for, by [`Stamped::sent`].
    wanted: Option<u32>,
    /// How many bytes, or datagrams, the socket has taken: the kernel counts them in the same way.
    sent: u32,
}

impl Stamped {
    pub(super) fn new(asked: Stamps) -> Stamped {
        Stamped { asked, came: None, left: None, begins: false, wanted: None, sent: 0 }
    }

    /// The socket has taken bytes.
    pub(super) fn took(&mut self, taken: usize, is_datagram: bool) {
        if taken > 0 && self.asked == Stamps::RxTx {
            self.sent = self.sent.wrapping_add(if is_datagram { 1 } else { taken as u32 });
            if std::mem::take(&mut self.begins) {
                self.wanted = Some(self.sent.wrapping_sub(1));
            }
        }
    }
}

impl Wire {
    /// Asks for stamps from here on: of a stream, before anything is sent.
    pub(super) fn ask_for_stamps(&mut self) -> Result<(), Broken> {
        let Some(asked) = self.stamped.as_ref().map(|stamped| stamped.asked) else { return Ok(()) };
        self.stamped = Some(Stamped::new(asked));
        let mut flags = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE;
        if asked == Stamps::RxTx {
            flags |= TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE
                | TimestampingFlag::SOF_TIMESTAMPING_OPT_ID
                | TimestampingFlag::SOF_TIMESTAMPING_OPT_TSONLY;
        }
        let set = setsockopt(self.opened(), sockopt::Timestamping, &flags);
        set.map_err(|error| Broken::of("no kernel timestamps", Errno::from_raw_os_error(error as i32)))
    }

    /// An iteration begins.
    pub fn begins(&mut self) {
        if let Some(stamped) = &mut self.stamped {
            (stamped.left, stamped.wanted, stamped.begins) = (None, None, true);
        }
    }

    /// When the first bytes of the iteration left the kernel, and when the last that were read came to it.
    pub fn stamps(&self) -> (Option<u64>, Option<u64>) {
        self.stamped.as_ref().map_or((None, None), |stamped| (stamped.left, stamped.came))
    }

    /// Takes the stamp of what has left, where one is waited for; with `all`, every one that there is.
    pub fn collect(&mut self, counts: &mut Counts, all: bool) {
        let Some(stamped) = &mut self.stamped else { return };
        let Some(socket) = &self.socket else { return };
        let mut control = [0; CONTROL_LEN];
        while stamped.wanted.is_some() || (all && stamped.asked == Stamps::RxTx) {
            counts.syscalls += 1;
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let Ok(received) = recvmsg::<()>(socket.as_raw_fd(), &mut [], Some(&mut control), flags) else { return };
            let (mut number, mut at) = (None, None);
            for said in received.cmsgs().into_iter().flatten() {
                match said {
                    ControlMessageOwned::ScmTimestampsns(stamps) => at = nanos(&stamps),
                    ControlMessageOwned::Ipv4RecvErr(said, _) => number = Some(said.ee_data),
                    ControlMessageOwned::Ipv6RecvErr(said, _) => number = Some(said.ee_data),
                    _ => {}
                }
            }
            if number.is_some() && number == stamped.wanted {
                (stamped.left, stamped.wanted) = (at, None);
            }
        }
    }
}

/// A software timestamp.
pub(super) fn nanos(stamps: &Timestamps) -> Option<u64> {
    let (seconds, nanos) = (u64::try_from(stamps.system.tv_sec()).ok()?, u64::try_from(stamps.system.tv_nsec()).ok()?);
    Some(seconds * 1_000_000_000 + nanos).filter(|at| *at > 0)
}
