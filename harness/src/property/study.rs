//! Plays a case as it stands, and finds out what its server can do before anybody accuses it.

use std::sync::Arc;
use std::time::Duration;

use super::base::{Base, closes};
use super::edit::beside;
use super::isolation;
use super::session::{Patience, Session, Unfit};
use crate::event::Verdict;
use crate::protocol::Protocol;
use crate::scenario::TargetKind;
use crate::testcase::{Played, TestCase, step};

/// The least that it has while words are tried out.
const WORD_PATIENCE_MIN: Duration = Duration::from_millis(300);

/// How long a server has to close a connection by itself.
const EOF_WITHIN: Duration = Duration::from_millis(300);

impl Session<'_> {
    /// Plays a case as it stands, and finds out what its server can do.
    pub fn study(&self, case: &TestCase) -> Result<Base, Unfit> {
        let first = self.player.play(case).map_err(Unfit::Unplayable)?;
        match first.verdict {
            Verdict::Passed if first.failed.is_none() => {}
            Verdict::Skipped => return Err(Unfit::Skipped("the case is skipped here".into())),
            Verdict::Unreachable => return Err(Unfit::Unreachable(Box::new(first))),
            _ => return Err(Unfit::Fails(Box::new(first))),
        }
        let Some(mut base) = Base::of(case, &first) else {
            return Err(Unfit::Skipped("nothing is connected to in it".into()));
        };
        base.ours = self.can_restart(case);
        base.protocol = self.protocol(case);
        let patience = self.patience(&base);
        if let Some(closing) = with_eof(case) {
            // Whoever has closed by now closes; others get a moment.
            let moment = Patience { within: EOF_WITHIN, ..patience };
            let wait = if closes(&first) || base.seen { patience } else { moment };
            if self.all_hold(&[closing.clone(), closing.clone()], 2, wait) {
                base.case = closing;
            }
        }
        let copies = vec![base.case.clone(); 3];
        base.repeatable = self.all_hold(&copies, 1, patience);
        if !base.repeatable && !base.ours {
            let why = "it does not hold several times on the same server, and that is not ours to restart";
            return Err(Unfit::Skipped(why.into()));
        }
        if base.repeatable {
            base.side_by_side = base.transport.is_datagram() || self.is_side_by_side(&base, patience);
            base.undisturbed = base.side_by_side && self.all_hold(&vec![base.case.clone(); 8], 8, patience);
        }
        Ok(base)
    }

    /// What its actors speak.
    fn protocol(&self, case: &TestCase) -> Option<Arc<Protocol>> {
        let scenario = case.load("case.toml", &self.player.known).ok()?;
        scenario.actors.iter().find_map(|actor| actor.protocol.clone())
    }

    /// Which words of its messages can be others.
    pub(super) fn words(&self, base: &Base, patience: Patience) -> Vec<String> {
        // A word of the language is none that can be another.
        let is_valid = |word: &String| {
            let other = isolation::renamed(&base.case, std::slice::from_ref(word));
            other.load("case.toml", &self.player.known).is_ok()
        };
        let words: Vec<String> = isolation::words(base).into_iter().filter(is_valid).collect();
        if words.is_empty() || !base.side_by_side {
            return Vec::new();
        }
        // A server that does not know a word may well say nothing.
        let within = (base.duration * 5).clamp(WORD_PATIENCE_MIN, patience.within);
        let patience = if base.seen { patience } else { Patience { within, ..patience } };
        let one = |word: &String| patience.hasten(&isolation::renamed(&base.case, std::slice::from_ref(word)));
        let cases: Vec<TestCase> = words.iter().map(one).collect();
        let Ok(batch) = self.player.play_all(&cases, 1, Some(patience.rest)) else { return Vec::new() };
        let holds = |played: &Option<Played>| played.as_ref().is_some_and(|played| played.verdict == Verdict::Passed);
        let free = words.into_iter().zip(&batch.played).filter(|(_, played)| holds(played));
        let free: Vec<String> = free.map(|(word, _)| word).collect();
        // Together they may still be too many.
        let all = isolation::renamed(&base.case, &free);
        if !free.is_empty() && self.all_hold(&[all], 1, patience) { free } else { Vec::new() }
    }

    /// Whether each play can have a server of its own.
    fn can_restart(&self, case: &TestCase) -> bool {
        let ours = |scenario: crate::scenario::Scenario| {
            scenario.targets.iter().all(|target| !matches!(target.kind, TargetKind::Address(_)))
        };
        self.player.targets.is_empty() && case.load("case.toml", &self.player.known).is_ok_and(ours)
    }

    /// Whether a conversation is served while another connection is open and says nothing.
    fn is_side_by_side(&self, base: &Base, patience: Patience) -> bool {
        let Some((mut case, names)) = beside(&base.case, 2) else {
            return self.all_hold(&vec![base.case.clone(); 8], 8, patience);
        };
        case.lane_mut("steps").into_iter().for_each(|steps| steps.insert(0, step::connect(Some(&names[0]))));
        // What a server says first to the one that only waits is nobody's business.
        case.case_mut().set("strict_end", false);
        self.all_hold(&[case], 1, patience)
    }

    fn all_hold(&self, cases: &[TestCase], jobs: usize, patience: Patience) -> bool {
        let hastened: Vec<TestCase> = cases.iter().map(|case| patience.hasten(case)).collect();
        let Ok(batch) = self.player.play_all(&hastened, jobs, Some(patience.rest)) else { return false };
        let holds = |played: &Option<Played>| {
            played.as_ref().is_some_and(|played| played.verdict == Verdict::Passed && played.failed.is_none())
        };
        batch.noticed.is_none() && batch.played.iter().all(holds)
    }
}

/// The case, and that the connection is closed after it.
fn with_eof(case: &TestCase) -> Option<TestCase> {
    let mut closing = case.clone();
    let lanes = case.lanes();
    let [("steps", steps)] = lanes.as_slice() else { return None };
    let (actor, last) = (step::parts(steps.last()?)?.0.map(str::to_owned), step::verb(steps.last()?)?);
    if matches!(last, "close" | "reset" | "expect_eof" | "expect_reset" | "repeat" | "drain" | "alt" | "defer") {
        return None;
    }
    closing.lane_mut("steps")?.push(step::expect_eof(actor.as_deref()));
    Some(closing)
}
