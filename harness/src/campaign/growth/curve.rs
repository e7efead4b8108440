//! What a target used for more and more of one thing, and whether that is more than it should be.
//!
//! What takes a processor four times as long for twice as much, twice in a row, is work that grows with the square. A sound server
//! takes twice as long; tables that fill up and caches that are too small make that three times, but not twice in a row.

use std::fmt;
use std::time::Duration;

use crate::text::show_size;

/// How many times as long as half of it something may take, twice in a row, before that is called a square.
const SQUARE: f64 = 3.0;

/// Who is answered more than so many times as much for twice as much has asked for that.
const ANSWERED: f64 = 2.4;

/// Less work than this at last does not matter.
const WORK_MIN: Duration = Duration::from_millis(100);

/// Less work is too little to compare anything with.
const WORK_COMPARED: Duration = Duration::from_millis(4);

/// How many times what was sent may be kept in memory.
const TIMES_SENT: u64 = 8;

/// Less memory is a target's own business.
const MEMORY_MIN: u64 = 16 << 20;

/// How many times as much memory twice as much has to take for it to be what was sent that is kept.
const IN_PROPORTION: f64 = 1.5;

/// What so much of one thing has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// How many bytes were sent.
    pub sent: u64,
    /// How many were answered.
    pub received: u64,
    /// How long a processor was used.
    pub work: Duration,
    /// How much more memory there was at the peak.
    pub memory: u64,
}

/// What grows too fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grows {
    /// Memory: many times what was sent.
    Memory,
    /// Work: with the square of what is sent.
    Work,
}

/// Whether what was seen of all on one connection is not seen of the same on several: what is stored, and looked through each time, is
/// the same whoever has said it, and costs what it costs.
pub fn is_of_connection(grows: Grows, whole: &Point, apart: &Point) -> bool {
    match grows {
        Grows::Memory => apart.memory * 2 <= whole.memory,
        Grows::Work => apart.work * 2 <= whole.work,
    }
}

impl Point {
    fn said(&self) -> f64 {
        (self.sent + self.received) as f64
    }
}

/// What grows too fast by points of which each is twice the one before.
pub fn judge(points: &[Point]) -> Option<Grows> {
    let [.., first, second, third] = points else { return None };
    let times = |more: Duration, less: Duration| more.as_secs_f64() / less.as_secs_f64();
    let is_asked_for = |more: &Point, less: &Point| more.said() > ANSWERED * less.said();
    if is_asked_for(third, second) || is_asked_for(second, first) {
        return None;
    }
    if third.work >= WORK_MIN
        && first.work >= WORK_COMPARED
        && times(second.work, first.work) >= SQUARE
        && times(third.work, second.work) >= SQUARE
    {
        return Some(Grows::Work);
    }
    let is_much = |point: &Point| point.memory >= TIMES_SENT * (point.sent + point.received);
    let in_proportion = |more: &Point, less: &Point| more.memory as f64 >= IN_PROPORTION * less.memory as f64;
    let grows = third.memory >= MEMORY_MIN
        && is_much(third)
        && is_much(second)
        && in_proportion(third, second)
        && third.memory as f64 >= IN_PROPORTION * IN_PROPORTION * first.memory as f64;
    grows.then_some(Grows::Memory)
}

/// How many times as much is said after a little, to see whether it is worth a closer look.
pub const TIMES: usize = 4;

/// Whether so many times as much has taken so much more that it is worth a closer look.
pub fn is_suspicious(little: &Point, much: &Point) -> bool {
    let is_asked_for = much.said() > 5.5 * little.said();
    let work = much.work >= Duration::from_millis(1) && much.work.as_secs_f64() > 5.5 * little.work.as_secs_f64();
    let memory = much.memory >= little.memory * 2
        && much.memory >= MEMORY_MIN / 16
        && much.memory >= TIMES_SENT / 4 * 3 * (much.sent + much.received);
    !is_asked_for && (work || memory)
}

/// Whether the last points already show that nothing grows too fast: what does shows it the more clearly the more there is.
pub fn is_hopeless(points: &[Point]) -> bool {
    let [.., less, more] = points else { return false };
    let by_work = more.work >= WORK_COMPARED * 4 && more.work < less.work * 5 / 2;
    let by_memory = more.memory >= MEMORY_MIN / 4 && more.memory < TIMES_SENT / 2 * (more.sent + more.received);
    // What is too little of either says nothing yet.
    let no_work = more.work < less.work * 5 / 2;
    let no_memory = more.memory < TIMES_SENT / 2 * (more.sent + more.received);
    (by_work && no_memory) || (by_memory && no_work)
}

/// Whether more would show nothing else.
pub fn is_enough(point: &Point) -> bool {
    point.work >= WORK_MIN * 4 || point.memory >= MEMORY_MIN * 8
}

impl Grows {
    /// What was seen, in words.
    pub fn told(self, points: &[Point]) -> String {
        let last = &points[points.len().saturating_sub(3)..];
        let each = last.iter().map(|point| match self {
            Grows::Memory => format!("{} {}", show_size(point.sent), show_size(point.memory)),
            Grows::Work => format!("{} {} ms", show_size(point.sent), point.work.as_millis()),
        });
        format!("{self}: {}", each.collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Grows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Grows::Memory => "memory grows by many times what is sent",
            Grows::Work => "work grows with the square of what is sent",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(works_ms: &[u64], memories: &[u64]) -> Vec<Point> {
        let works = works_ms.iter().zip(memories).enumerate();
        let point = |(at, (work, memory)): (usize, (&u64, &u64))| Point {
            sent: (1 << 20) << at,
            received: 0,
            work: Duration::from_millis(*work),
            memory: memory << 20,
        };
        works.map(point).collect()
    }

    #[test]
    fn four_times_the_work_for_twice_as_much_is_a_square() {
        let found = points(&[31, 125, 502], &[0, 0, 0]);
        assert_eq!(judge(&found), Some(Grows::Work));
        let told = "work grows with the square of what is sent: 1 MiB 31 ms, 2 MiB 125 ms, 4 MiB 502 ms";
        assert_eq!(Grows::Work.told(&found), told);
    }

    #[test]
    fn twice_the_work_is_none() {
        assert_eq!(judge(&points(&[100, 200, 400], &[0, 0, 0])), None);
        assert_eq!(judge(&points(&[20, 80, 200], &[0, 0, 0])), None, "a cache that is too small from here on");
        assert_eq!(judge(&points(&[1, 10, 99], &[0, 0, 0])), None, "too little to matter");
        assert_eq!(judge(&points(&[100, 400], &[0, 0])), None, "too few to tell");
    }

    #[test]
    fn what_grows_as_it_should_is_not_looked_at_for_long() {
        assert!(is_hopeless(&points(&[20, 41], &[1, 1])));
        assert!(is_hopeless(&points(&[1, 2], &[3, 6])));
        assert!(!is_hopeless(&points(&[5, 20], &[1, 1])));
        assert!(!is_hopeless(&points(&[3, 9], &[1, 1])), "what is linear still counts for much of it");
        assert!(!is_hopeless(&points(&[20, 41], &[10, 20])));
        assert!(!is_hopeless(&points(&[1, 2], &[0, 0])), "too little to tell");
    }

    #[test]
    fn who_is_answered_ever_more_has_asked_for_it() {
        let mut found = points(&[31, 125, 502], &[0, 0, 0]);
        for (at, point) in found.iter_mut().enumerate() {
            point.received = (16 << 20) << (2 * at);
        }
        assert_eq!(judge(&found), None);
    }

    #[test]
    fn what_is_stored_takes_as_much_whoever_has_said_it() {
        let [whole, apart] = points(&[400, 390], &[64, 64])[..] else { unreachable!("there are two") };
        assert!(!is_of_connection(Grows::Work, &whole, &apart) && !is_of_connection(Grows::Memory, &whole, &apart));
        let [whole, apart] = points(&[400, 60], &[64, 9])[..] else { unreachable!("there are two") };
        assert!(is_of_connection(Grows::Work, &whole, &apart) && is_of_connection(Grows::Memory, &whole, &apart));
    }

    #[test]
    fn many_times_what_was_sent_is_too_much_memory() {
        assert_eq!(judge(&points(&[1, 2, 4], &[10, 20, 40])), Some(Grows::Memory));
        assert_eq!(judge(&points(&[1, 2, 4], &[2, 4, 8])), None, "twice what was sent");
        assert_eq!(judge(&points(&[1, 2, 4], &[32, 32, 33])), None, "a table that was made once");
    }
}
