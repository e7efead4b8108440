//! A fault that waits for its occasion on one direction of one connection.

use std::sync::Arc;
use std::time::Duration;

use memchr::memmem::Finder;

use super::{Direction, Do, Fault, Marks, Plan, TOLD_MAX, When};
use crate::random::Random;

/// A fault, and what has passed of what it waits for.
#[derive(Debug)]
pub(super) struct Armed {
    /// Its number in the plan.
    pub(super) number: usize,
    pub(super) when: When,
    pub(super) does: Do,
    /// Whether it is for both directions.
    pub(super) is_for_both: bool,
    marked: bool,
    /// Whether `byte` has had its one time.
    spent: bool,
    search: Option<Search>,
    chance: Random,
    jitter: Random,
    told: u32,
}

/// The faults of a plan that can fire on this direction of this connection.
pub(super) fn arm(plan: &Plan, connection: u32, direction: Direction, marks: &Marks) -> Vec<Armed> {
    let fits = |fault: &Fault| {
        fault.on == plan.relay
            && fault.direction.is_none_or(|wanted| wanted == direction)
            && fault.when.connection.is_none_or(|wanted| wanted == connection)
    };
    let armed = plan.faults.iter().enumerate().filter(|(_, fault)| fits(fault)).map(|(number, fault)| {
        // A stream of chance of its own: what others draw, on which connection and when, changes nothing here.
        let name = format!("{}/fault {number}/connection {connection}/{}", plan.case, direction.name());
        Armed {
            number,
            when: fault.when.clone(),
            does: fault.does.clone(),
            is_for_both: fault.direction.is_none(),
            marked: fault.when.after.as_ref().is_none_or(|mark| marks.contains(mark)),
            spent: false,
            search: fault.when.contains.as_deref().map(Search::new),
            chance: Random::new(plan.seed, &name),
            // How much has been drawn here depends on the reads, which must not change what fires.
            jitter: Random::new(plan.seed, &format!("{name}/jitter")),
            told: 0,
        }
    });
    armed.collect()
}

impl Armed {
    /// A mark was reached. Whether it is the one that this fault waits for.
    pub(super) fn mark(&mut self, mark: &Arc<str>) -> bool {
        let is_its = !self.marked && self.when.after.as_ref() == Some(mark);
        self.marked |= is_its;
        is_its
    }

    /// Whether it may fire now, at the very moment, whatever passes.
    pub(super) fn fires_at_once(&mut self) -> bool {
        let fires = self.marked && !self.spent && self.when.is_any_moment();
        self.spent |= fires;
        fires
    }

    /// A new message begins: what this fault looks for does not begin in the one before.
    pub(super) fn begin_message(&mut self) {
        if let Some(search) = &mut self.search {
            search.forget();
        }
    }

    /// Where it fires in `data`, which begins after `position` bytes: offsets from 0 to its length.
    pub(super) fn occasions(
        &mut self,
        data: &[u8],
        position: u64,
        (unit, name): (u64, Option<&str>),
        begins: bool,
    ) -> Vec<usize> {
        let found = match &mut self.search {
            Some(search) => search.ends(data),
            None => Vec::new(),
        };
        if !self.marked || self.spent || !self.when.holds_for(unit, name) {
            return Vec::new();
        }
        let mut places: Vec<usize> = match (&self.when.contains, self.when.byte) {
            (Some(_), byte) => {
                found.into_iter().filter(|at| byte.is_none_or(|byte| position + *at as u64 >= byte)).collect()
            }
            (None, Some(byte)) => {
                let at = usize::try_from(byte.saturating_sub(position)).unwrap_or(usize::MAX);
                Some(at).filter(|at| *at <= data.len()).into_iter().collect()
            }
            (None, None) => Some(0).filter(|_| begins).into_iter().collect(),
        };
        // A place comes once, and is drawn for once; of contents the first that is drawn counts.
        self.spent = self.when.byte.is_some() && self.when.contains.is_none() && !places.is_empty();
        places.retain(|_| self.draw());
        if self.when.byte.is_some() && !places.is_empty() {
            places.truncate(1);
            self.spent = true;
        }
        places
    }

    /// Whether it can fire on this datagram, before which so many bytes have come.
    pub(super) fn fits(&mut self, data: &[u8], at_byte: u64, nth: u64, name: Option<&str>) -> bool {
        let contains = self.search.as_ref().is_none_or(|search| search.finder.find(data).is_some());
        let reached = self.when.byte.is_none_or(|byte| at_byte >= byte);
        self.marked && contains && reached && self.when.holds_for(nth, name)
    }

    /// Whether chance wants it to fire.
    pub(super) fn draw(&mut self) -> bool {
        // 53 bits are what a fraction holds.
        self.when
            .probability
            .is_none_or(|wanted| ((self.chance.next_u64() >> 11) as f64) < wanted * (1_u64 << 53) as f64)
    }

    /// A draw from `-jitter` to `+jitter`, added to `delay`.
    pub(super) fn jittered(&mut self, delay: Duration, jitter: Duration) -> Duration {
        let jitter = u64::try_from(jitter.as_nanos()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
        if jitter == 0 {
            return delay;
        }
        let drawn = self.jitter.below(2 * jitter + 1);
        (delay + Duration::from_nanos(drawn)).saturating_sub(Duration::from_nanos(jitter))
    }

    /// Whether to tell that it fired: what lasts is told where it begins.
    pub(super) fn tells(&mut self) -> bool {
        let lasting = matches!(self.does, Do::Delay { .. } | Do::Rate(_) | Do::Slice(_)) && self.when.is_lasting();
        self.told = self.told.saturating_add(1);
        self.told <= if lasting { 1 } else { TOLD_MAX }
    }
}

/// Looks for bytes in a stream, however it is cut.
#[derive(Debug)]
struct Search {
    finder: Finder<'static>,
    /// The end of what has passed that the bytes may begin in.
    tail: Vec<u8>,
}

impl Search {
    fn new(wanted: &[u8]) -> Search {
        Search { finder: Finder::new(wanted).into_owned(), tail: Vec::new() }
    }

    fn forget(&mut self) {
        self.tail.clear();
    }

    /// Where what is looked for ends in `data`. One match begins after the other.
    fn ends(&mut self, data: &[u8]) -> Vec<usize> {
        let len = self.finder.needle().len();
        let before = self.tail.len();
        self.tail.extend_from_slice(data);
        let mut from = 0;
        let mut ends = Vec::new();
        while let Some(at) = self.finder.find(&self.tail[from..]) {
            from += at + len;
            ends.push(from - before);
        }
        let keep = from.max((self.tail.len() + 1).saturating_sub(len));
        self.tail.drain(..keep);
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: &'static str, reads: &[&str], expected: &[&[usize]]) {
        let mut search = Search::new(wanted.as_bytes());
        let found: Vec<Vec<usize>> = reads.iter().map(|read| search.ends(read.as_bytes())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn bytes_are_found_however_they_are_cut() {
        check("ab", &["xabyab"], &[&[3, 6]]);
        check("ab", &["xa", "by"], &[&[], &[1]]);
        check("abc", &["a", "b", "c"], &[&[], &[], &[1]]);
        check("a", &["aa"], &[&[1, 2]]);
    }

    #[test]
    fn one_match_begins_after_the_other() {
        check("aa", &["aaa", "a"], &[&[2], &[1]]);
    }

    #[test]
    fn no_more_is_kept_than_a_match_can_begin_in() {
        let mut search = Search::new(b"abc");
        search.ends(&[b'x'; 1_000]);
        assert_eq!(search.tail.len(), 2);
    }
}
