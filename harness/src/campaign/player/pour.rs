//! Much of one thing, said at once, and what it takes the target to take that in.

use std::time::{Duration, Instant};

use super::super::case::Case;
use super::super::socket::Heard;
use super::{Player, Trace};
use crate::runner::process::{forget_peak, usage, work};

/// How much is written before answers are read, unless the target takes no more: what comes faster than it is worked on is the point.
const PIECE_LEN: usize = 256 << 10;

/// How long a target may take for all of it.
const POUR_WITHIN: Duration = Duration::from_secs(5);

/// How much of a processor it may use for that.
const WORK_MAX: Duration = Duration::from_secs(2);

/// After how long without room for more it is looked whether the target works on what it has, and how much work that is.
const STUCK_AFTER: Duration = Duration::from_millis(200);
const STUCK_WORK: Duration = Duration::from_millis(20);

/// After how many bytes it is looked how much of a processor it has used.
const LOOK_EVERY_LEN: usize = 256 << 10;

/// How many times answers are read and waited for anew, after all is said.
const ROUNDS_MAX: usize = 4_096;

/// What it took a target to take something in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effort {
    /// Whether all of it was taken, and the connection is still there.
    pub whole: bool,
    /// How many bytes were answered.
    pub received: u64,
    /// How long a processor was used for it.
    pub work: Duration,
    /// How much memory there was before.
    pub before: u64,
    /// The most that there was since.
    pub peak: u64,
    /// How long it took.
    pub time: Duration,
}

impl Player {
    /// Plays a case, says so many bytes after it on one of its connections, in writes of so many bytes, and waits until the target has
    /// done what that takes.
    pub fn pour(&mut self, before: &Case, link: u16, bytes: &[u8], write_len: Option<usize>) -> (Effort, Trace) {
        let mut trace = Trace::default();
        self.play_open(before, &mut trace);
        self.settle(&mut trace);
        let pids = self.pids();
        let memory = |pids: &[u32]| pids.iter().filter_map(|pid| usage(*pid)).map(|used| used.memory).sum::<u64>();
        let worked = |pids: &[u32]| pids.iter().map(|pid| work(*pid)).sum::<Duration>();
        let forgotten = pids.iter().all(|pid| forget_peak(*pid));
        let mut effort = Effort { before: memory(&pids), ..Effort::default() };
        let before = worked(&pids);
        let heard = |player: &mut Player| player.link(link).map_or(0, |link| link.received);
        let received = heard(self);
        let began = Instant::now();
        let is_in_time = || worked(&pids).saturating_sub(before) < WORK_MAX && began.elapsed() < POUR_WITHIN;
        // Who takes nothing and does nothing will not.
        let seen = std::cell::Cell::new(before);
        let works = || is_in_time() && worked(&pids).saturating_sub(seen.replace(worked(&pids))) > STUCK_WORK;
        effort.whole = self.push_all(link, bytes, write_len.unwrap_or(PIECE_LEN), &is_in_time, &works);
        self.touch();
        for _ in 0..ROUNDS_MAX {
            let works = self.works_on(WORK_MAX);
            let heard = self.read_all();
            self.forget_answers();
            effort.whole &= !works;
            if works || heard == Heard::Nothing || began.elapsed() >= POUR_WITHIN {
                break;
            }
        }
        effort.received = heard(self).saturating_sub(received);
        let gone = |link: &super::Link| link.end.is_some();
        effort.whole &= self.link(link).is_some_and(|link| !gone(link));
        effort.work = worked(&pids).saturating_sub(before);
        let peak = |pid: &u32| usage(*pid).map(|used| if forgotten { used.memory_peak } else { used.memory });
        effort.peak = pids.iter().filter_map(peak).sum();
        effort.time = began.elapsed();
        self.touch();
        self.finish(&mut trace, true);
        (effort, trace)
    }

    /// Writes all of it, reading what is answered meanwhile, as long as `goes_on`.
    fn push_all(
        &mut self,
        link: u16,
        bytes: &[u8],
        len: usize,
        goes_on: &dyn Fn() -> bool,
        works: &dyn Fn() -> bool,
    ) -> bool {
        for (at, piece) in bytes.chunks(len).enumerate() {
            if at > 0 && (at * len).is_multiple_of(LOOK_EVERY_LEN) && !goes_on() {
                return false;
            }
            let Some(open) = self.link(link) else { return false };
            if open.end.is_some() || !open.send_while(piece, STUCK_AFTER, works) {
                return false;
            }
            // Who shares this processor reads it now, and what it says is read before there is more.
            std::thread::yield_now();
            if self.read_all() != Heard::Nothing {
                self.forget_answers();
            }
        }
        true
    }

    /// Nobody looks at what was answered.
    fn forget_answers(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.stream.clear();
            link.datagrams.clear();
        }
    }
}
