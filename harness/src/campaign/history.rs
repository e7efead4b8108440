//! What a target was told since it was started, as far back as that can matter.

use std::collections::VecDeque;

use super::case::Case;
use super::triage::LOOK_BACK;

/// The most bytes of what was played since the target was started that are remembered; the newest case is in any case.
const HISTORY_LEN_MAX: usize = 16 << 20;

/// The last cases, the newest last.
#[derive(Debug, Default)]
pub(super) struct History {
    cases: VecDeque<Case>,
    /// Their bytes together.
    len: usize,
}

impl History {
    /// Adds a case, and forgets the oldest ones above the limits.
    pub(super) fn push(&mut self, case: Case) {
        self.len += case.bytes();
        self.cases.push_back(case);
        while self.cases.len() > 1 && (self.cases.len() > LOOK_BACK || self.len > HISTORY_LEN_MAX) {
            self.len -= self.cases.pop_front().map_or(0, |oldest| oldest.bytes());
        }
    }

    /// The cases, the newest last.
    pub(super) fn cases(&self) -> &VecDeque<Case> {
        &self.cases
    }

    /// Forgets all of it, and hands it out.
    pub(super) fn take(&mut self) -> Vec<Case> {
        std::mem::take(self).cases.into()
    }
}

impl From<Vec<Case>> for History {
    fn from(cases: Vec<Case>) -> History {
        let len = cases.iter().map(Case::bytes).sum();
        History { cases: cases.into(), len }
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::{Message, Step};
    use super::*;

    fn case(len: usize) -> Case {
        Case { steps: vec![Step::Send(Message::new(0, vec![0; len]))] }
    }

    #[test]
    fn the_oldest_are_forgotten_by_their_number_and_by_their_bytes() {
        let mut history = History::from(vec![case(1); LOOK_BACK]);
        history.push(case(2));
        assert_eq!((history.cases().len(), history.len), (LOOK_BACK, LOOK_BACK + 1));
        history.push(case(HISTORY_LEN_MAX));
        assert_eq!(history.cases().len(), 1);
        history.push(case(HISTORY_LEN_MAX + 1));
        assert_eq!((history.cases().len(), history.len), (1, HISTORY_LEN_MAX + 1));
        assert_eq!((history.take().len(), history.len), (1, 0));
    }
}
