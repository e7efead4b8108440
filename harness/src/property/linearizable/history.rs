//! Whether what clients saw of a register can have happened in one order: the search of Wing and Gong, with a memory of where it
//! has been as Lowe has it.
//!
//! Each operation takes effect at one moment between its beginning and its end. A history is linearizable if there are moments
//! in whose order each read sees the last write. Keys that leave each other alone are registers of their own, each with a
//! history of its own. Not here: where histories come from.

use std::collections::HashSet;

/// The most steps that a search takes; then nothing is known. Histories of a few clients take a few steps an operation.
pub(super) const SEARCH_MAX: usize = 1_000_000;

/// What is done to a register. Values are numbers; `None` is what was there before anything was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// This value is seen.
    Read(Option<u32>),
    /// This value is put there.
    Write(u32),
}

/// One operation of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// What is done.
    pub(super) act: Act,
    /// A moment at which it had not begun, or just begins.
    pub(super) begun: u64,
    /// A moment at which it had ended; `None` where nobody knows whether it ever took effect.
    pub(super) ended: Option<u64>,
}

/// What a history is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It can have happened in this order.
    Linearizable(Vec<usize>),
    /// It cannot have happened in any.
    Not {
        /// The longest order that works, by the numbers of operations.
        longest: Vec<usize>,
        /// The operation that has no place after it.
        stuck: usize,
        /// What the register holds then.
        holds: Option<u32>,
    },
    /// The search took more than [`SEARCH_MAX`] steps.
    Unknown,
}

/// Searches an order in which these operations can have happened to a register that holds nothing.
pub(super) fn judge(history: &[Operation], steps_max: usize) -> Judgement {
    Search::new(history).run(steps_max)
}

/// Beginnings and ends in the order of time, as a ring with its head at 0: what has found its place is taken out.
struct Search<'h> {
    history: &'h [Operation],
    /// Whose each is, and whether it is a beginning.
    points: Vec<(usize, bool)>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Where the end of each operation is; 0 without one.
    ends: Vec<usize>,
}

impl<'h> Search<'h> {
    fn new(history: &'h [Operation]) -> Search<'h> {
        let mut times: Vec<(u64, bool, usize)> = Vec::new();
        for (at, operation) in history.iter().enumerate() {
            // What nobody saw the end of can have happened at any time, or never; a read of that kind says nothing.
            if operation.ended.is_none() && matches!(operation.act, Act::Read(_)) {
                continue;
            }
            times.push((operation.begun, false, at));
            // At the same moment beginnings come first: then the two overlap.
            times.push((operation.ended.unwrap_or(u64::MAX), true, at));
        }
        times.sort_unstable();
        let mut points = vec![(usize::MAX, false)];
        points.extend(times.iter().map(|(_, is_end, at)| (*at, !is_end)));
        let count = points.len();
        let mut ends = vec![0; history.len()];
        for (point, (at, begins)) in points.iter().enumerate().skip(1) {
            if !begins {
                ends[*at] = point;
            }
        }
        let next = (1..=count).map(|point| point % count).collect();
        let previous = (0..count).map(|point| (point + count - 1) % count).collect();
        Search { history, points, next, previous, ends }
    }

    fn unlink(&mut self, point: usize) {
        let (before, after) = (self.previous[point], self.next[point]);
        self.next[before] = after;
        self.previous[after] = before;
    }

    fn link(&mut self, point: usize) {
        let (before, after) = (self.previous[point], self.next[point]);
        self.next[before] = point;
        self.previous[after] = point;
    }

    fn run(mut self, steps_max: usize) -> Judgement {
        let mut state: Option<u32> = None;
        let mut placed = vec![0_u64; self.history.len().div_ceil(64)];
        let mut known: HashSet<(Vec<u64>, Option<u32>)> = HashSet::new();
        // The points of what has a place, and what the register held before each.
        let mut order: Vec<(usize, Option<u32>)> = Vec::new();
        let (mut longest, mut stuck, mut holds) = (Vec::new(), usize::MAX, None);
        let mut point = self.next[0];
        let mut steps = 0;
        while self.next[0] != 0 {
            steps += 1;
            if steps > steps_max {
                return Judgement::Unknown;
            }
            let (at, begins) = self.points[point];
            if begins {
                let after = match self.history[at].act {
                    Act::Write(value) => Some(Some(value)),
                    Act::Read(seen) => (seen == state).then_some(state),
                };
                if let Some(after) = after {
                    placed[at / 64] |= 1 << (at % 64);
                    if known.insert((placed.clone(), after)) {
                        order.push((point, state));
                        state = after;
                        self.unlink(point);
                        self.unlink(self.ends[at]);
                        point = self.next[0];
                        continue;
                    }
                    placed[at / 64] &= !(1 << (at % 64));
                }
                point = self.next[point];
                continue;
            }
            // Something has ended, or all that is left is what nobody saw the end of, and it has no place yet.
            if stuck == usize::MAX || order.len() > longest.len() {
                longest = order.iter().map(|(point, _)| self.points[*point].0).collect();
                (stuck, holds) = (at, state);
            }
            let Some((last, before)) = order.pop() else { return Judgement::Not { longest, stuck, holds } };
            let (at, _) = self.points[last];
            state = before;
            placed[at / 64] &= !(1 << (at % 64));
            self.link(self.ends[at]);
            self.link(last);
            point = self.next[last];
        }
        Judgement::Linearizable(order.iter().map(|(point, _)| self.points[*point].0).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: u32, begun: u64, ended: u64) -> Operation {
        Operation { act: Act::Read(Some(value)), begun, ended: Some(ended) }
    }

    fn write(value: u32, begun: u64, ended: u64) -> Operation {
        Operation { act: Act::Write(value), begun, ended: Some(ended) }
    }

    #[track_caller]
    fn check(history: &[Operation], expected: bool) {
        let judged = judge(history, SEARCH_MAX);
        assert_eq!(matches!(judged, Judgement::Linearizable(_)), expected, "{judged:?}");
        assert_eq!(by_force(history), expected, "the other way to tell");
    }

    /// Tries every order.
    fn by_force(history: &[Operation]) -> bool {
        fn place(history: &[Operation], placed: &mut Vec<bool>, state: Option<u32>) -> bool {
            let open = |at: usize| history[at].ended.is_some() && !placed[at];
            if !(0..history.len()).any(open) {
                return true;
            }
            // Whoever begins after another has ended comes after it.
            let first_end = (0..history.len()).filter(|at| open(*at)).filter_map(|at| history[at].ended).min();
            for at in 0..history.len() {
                if placed[at] || first_end.is_some_and(|end| history[at].begun > end) {
                    continue;
                }
                let after = match history[at].act {
                    Act::Write(value) => Some(value),
                    Act::Read(seen) if seen == state => state,
                    Act::Read(_) => continue,
                };
                placed[at] = true;
                if place(history, placed, after) {
                    return true;
                }
                placed[at] = false;
            }
            false
        }
        place(history, &mut vec![false; history.len()], None)
    }

    #[test]
    fn a_read_sees_the_last_write() {
        check(&[], true);
        check(&[write(1, 0, 1), read(1, 2, 3)], true);
        check(&[write(1, 0, 1), read(2, 2, 3)], false);
        check(&[Operation { act: Act::Read(None), begun: 0, ended: Some(1) }, write(1, 2, 3)], true);
        check(&[write(1, 0, 1), Operation { act: Act::Read(None), begun: 2, ended: Some(3) }], false);
    }

    #[test]
    fn a_stale_read_has_no_place() {
        let history = [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)];
        check(&history, false);
        let told = Judgement::Not { longest: vec![0, 1], stuck: 2, holds: Some(2) };
        assert_eq!(judge(&history, SEARCH_MAX), told);
    }

    #[test]
    fn what_overlaps_can_have_happened_either_way() {
        check(&[write(1, 0, 10), read(1, 1, 2), read(1, 3, 4)], true);
        // One has seen the new value, and after that another one still sees the old one.
        check(&[write(1, 0, 1), write(2, 2, 10), read(2, 3, 4), read(1, 5, 6)], false);
        check(&[write(1, 0, 1), write(2, 2, 10), read(1, 3, 4), read(2, 5, 6)], true);
        // What ends when another begins overlaps with it.
        check(&[write(1, 0, 1), write(2, 2, 3), read(1, 3, 4)], true);
    }

    #[test]
    fn two_writes_at_once_end_with_one_of_them() {
        let both = |first, second| [write(1, 0, 9), write(2, 0, 9), read(first, 10, 11), read(second, 12, 13)];
        check(&both(1, 1), true);
        check(&both(2, 2), true);
        check(&both(1, 2), false);
    }

    #[test]
    fn a_write_without_an_answer_has_happened_at_some_time_or_never() {
        let lost = Operation { ended: None, ..write(2, 2, 0) };
        check(&[write(1, 0, 1), lost, read(1, 3, 4), read(2, 5, 6)], true);
        check(&[write(1, 0, 1), lost, read(1, 3, 4)], true);
        check(&[write(1, 0, 1), lost, read(2, 3, 4), read(1, 5, 6)], false);
        check(&[lost, Operation { ended: None, ..read(7, 0, 0) }], true);
    }

    #[test]
    fn a_search_ends_at_its_limit() {
        // Twenty writes at once, and a value that was never written: every order has to be tried.
        let mut history: Vec<Operation> = (0..20).map(|value| write(value, 0, 100)).collect();
        history.push(read(99, 200, 300));
        assert_eq!(judge(&history, 10_000), Judgement::Unknown);
    }

    #[test]
    fn a_long_history_of_a_few_clients_is_judged() {
        let turn = |at: u64| {
            let value = at as u32;
            let from = at * 10;
            [
                write(value, from, from + 8),
                write(value + 100_000, from + 1, from + 9),
                read(value, from + 10, from + 11),
            ]
        };
        let history: Vec<Operation> = (0..500).flat_map(|at| turn(at * 2)).collect();
        assert!(matches!(judge(&history, SEARCH_MAX), Judgement::Linearizable(order) if order.len() == 1_500));
    }

    proptest! {
        #[test]
        fn the_search_says_what_trying_every_order_says(
            drawn in prop::collection::vec((any::<bool>(), 0_u32..3, 0_u64..12, 0_u64..6, 0_u8..8), 0..7),
        ) {
            let history: Vec<Operation> = drawn
                .iter()
                .map(|(writes, value, begun, lasts, lost)| Operation {
                    act: if *writes { Act::Write(*value) } else { Act::Read(value.checked_sub(1)) },
                    begun: *begun,
                    ended: (*lost > 0).then_some(begun + lasts),
                })
                .collect();
            let judged = judge(&history, SEARCH_MAX);
            prop_assert_eq!(matches!(judged, Judgement::Linearizable(_)), by_force(&history), "{:?}", judged);
        }
    }
}
