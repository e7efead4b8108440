//! Bytes that come, and what the kernel says beside them.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::Socket;

use super::stamps::nanos;
use super::{Broken, Wire};

/// Bytes for everything that the kernel may say.
pub(super) const CONTROL_LEN: usize = 256;

/// Takes datagrams together where they came together.
pub(super) fn take_together(socket: &Socket) -> Result<(), Broken> {
    let set = setsockopt(socket, sockopt::UdpGroSegment, &true);
    set.map_err(|error| Broken::of("no UDP_GRO", Errno::from_raw_os_error(error as i32)))
}

impl Wire {
    /// Reads once: how many bytes came and, where they are several datagrams, how many bytes each has but for the last.
    pub(super) fn receive(&mut self, buffer: &mut [u8], control: &mut [u8]) -> Result<(usize, Option<usize>), Errno> {
        if !self.gro && self.stamped.is_none() {
            return rustix::net::recv(self.opened(), buffer, RecvFlags::empty()).map(|(len, _)| (len, None));
        }
        let errno = |error| Errno::from_raw_os_error(error as i32);
        let mut parts = [IoSliceMut::new(buffer)];
        let received = recvmsg::<()>(self.opened().as_raw_fd(), &mut parts, Some(control), MsgFlags::empty());
        let received = received.map_err(errno)?;
        let (mut segment, mut came) = (None, None);
        for said in received.cmsgs().map_err(errno)? {
            match said {
                ControlMessageOwned::UdpGroSegments(size) => {
                    segment = usize::try_from(size).ok().filter(|size| *size > 0);
                }
                ControlMessageOwned::ScmTimestampsns(stamps) => came = nanos(&stamps),
                _ => {}
            }
        }
        if let Some(stamped) = &mut self.stamped {
            stamped.came = came;
        }
        Ok((received.bytes, segment))
    }
}
