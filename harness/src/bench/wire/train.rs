//! Datagrams of one size that leave in one system call, by `UDP_SEGMENT`.

use nix::sys::socket::{setsockopt, sockopt};
use rustix::io::Errno;

use super::{Broken, Wire};
use crate::bench::tally::Counts;

/// The most datagrams that leave in one call: what every kernel since Linux 4.18 takes.
pub(super) const SEGMENTS_MAX: usize = 64;

/// The most bytes that leave in one call: what fits a datagram over IPv4 or IPv6, with room for options.
pub(super) const TRAIN_LEN_MAX: usize = 65_000;

/// What waits in a wire's `unsent`.
#[derive(Debug, Default)]
pub(super) struct Train {
    /// How many bytes each datagram has; the last may have fewer.
    size: usize,
    /// How many there are.
    count: usize,
    /// After how many bytes the socket cuts what it is given; 0 where it does not.
    cuts: usize,
}

impl Wire {
    /// Lets a datagram wait for others of its size.
    pub(super) fn join(&mut self, counts: &mut Counts, datagram: &[u8]) -> Result<(), Broken> {
        let train = self.train.as_ref().expect("datagrams leave together");
        let fits = (1..=train.size).contains(&datagram.len())
            && train.count < SEGMENTS_MAX
            && self.unsent.len() + datagram.len() <= TRAIN_LEN_MAX;
        if !fits {
            self.depart(counts)?;
        }
        if datagram.is_empty() {
            return self.put(counts, datagram).map(|taken| self.took(taken));
        }
        let train = self.train.as_mut().expect("just seen");
        if self.unsent.is_empty() {
            (train.size, train.count) = (datagram.len(), 0);
        }
        train.count += 1;
        self.unsent.extend_from_slice(datagram);
        // Only the last may be shorter.
        if datagram.len() < train.size { self.depart(counts) } else { Ok(()) }
    }

    /// Sends what waits.
    pub(super) fn depart(&mut self, counts: &mut Counts) -> Result<(), Broken> {
        let Some(train) = self.train.as_mut().filter(|_| !self.unsent.is_empty()) else { return Ok(()) };
        let cuts = match train.count {
            // One that is no longer than where the socket cuts is not cut.
            1 if self.unsent.len() <= train.cuts => train.cuts,
            1 => 0,
            _ => train.size,
        };
        if train.cuts != cuts {
            train.cuts = cuts;
            counts.syscalls += 1;
            let set = setsockopt(self.opened(), sockopt::UdpGsoSegment, &(cuts as i32));
            set.map_err(|error| Broken::of("no UDP_SEGMENT", Errno::from_raw_os_error(error as i32)))?;
        }
        let taken = self.put(counts, &self.unsent)?;
        self.took(taken);
        self.unsent.clear();
        Ok(())
    }
}
