//! The word of more than one play: what failed among others is played alone where its controls hold, is made small, and has
//! to fail with its own deadlines.

use std::fmt;
use std::sync::Arc;

use super::edit::calm;
use super::prefix_close::GONE;
use super::session::{Patience, Session, Told, Violation};
use super::{Property, Variant};
use crate::reduce::search::delete;
use crate::reduce::{self, Budget, Reduced, Repeats, Replay, Size, Subject};
use crate::testcase::{Failed, Played, TestCase, step};

/// How often the controls of what fails sometimes have to hold.
const CONTROLS: usize = 20;

/// From how often on something that fails sometimes is called a violation.
const SOMETIMES_MIN: f64 = 0.2;

impl Session<'_> {
    /// Plays a case alone on fresh targets. It fails only if its controls hold.
    fn judge(&self, property: &Property, case: &TestCase, patience: Patience) -> Replay {
        let Some(controls) = (property.controls)(case) else { return Replay::Invalid };
        let hastened = patience.hasten(case);
        let replay = Replay::of(&hastened, &self.player.play_until_rest(&hastened, patience.rest));
        if let Replay::Failed { failed, position } = &replay {
            // One that is there to disturb others may fail as it likes.
            let disturbs = position.as_ref().and_then(|(lane, at)| {
                let lanes = case.lanes();
                let (_, steps) = lanes.iter().find(|(name, _)| name == lane)?;
                Some(step::parts(steps.get(*at)?)?.0?.ends_with(GONE))
            });
            if property.disturbs && disturbs == Some(true) && !failed.class.is_targets() {
                return Replay::Passed;
            }
            for control in controls {
                let hastened = patience.hasten(&control);
                match Replay::of(&control, &self.player.play_until_rest(&hastened, patience.rest)) {
                    Replay::Passed => {}
                    Replay::Stopped => return Replay::Stopped,
                    Replay::Failed { .. } | Replay::Invalid => return Replay::Passed,
                }
            }
        }
        replay
    }

    pub(super) fn confirm(
        &self,
        property: &Property,
        variant: &Variant,
        patience: Patience,
        after: usize,
        told: &mut dyn FnMut(Told<'_>),
    ) -> Confirmed {
        let mut ways = vec![calm(&variant.case)];
        if ways[0] != variant.case {
            ways.push(variant.case.clone());
        }
        let mut found = None;
        for case in ways {
            match self.judge(property, &case, patience) {
                Replay::Failed { failed, .. }
                    if variant.certain.is_none_or(|certain| failed.place.contains(certain)) =>
                {
                    found = Some((case, failed));
                }
                Replay::Stopped => return Confirmed::Interrupted,
                Replay::Failed { .. } | Replay::Passed | Replay::Invalid => continue,
            }
            break;
        }
        let Some((case, failed)) = found else { return Confirmed::No };
        told(Told::Found(&case, &failed));
        let reduced = match &variant.parts {
            Some(parts) => self.take_apart(property, parts, &case, &failed, patience, told),
            None => self.reduce(property, &case, &failed, patience, told),
        };
        match self.believe(property, &reduced) {
            Believed::No(why) => Confirmed::Unclear(why),
            Believed::Interrupted => Confirmed::Interrupted,
            Believed::Yes(played) => {
                let verdict = if reduced.repeats == Repeats::Always { "deterministic" } else { "flaky" };
                Confirmed::Yes(Box::new(Violation {
                    what: variant.what.clone(),
                    verdict,
                    probability: reduced.probability(),
                    sizes: (reduced.from, reduced.to),
                    after,
                    replays: reduced.replays,
                    path: None,
                    timeline: Vec::new(),
                    fails_alone: true,
                    // With its own deadlines, where these are told.
                    failed: played.as_ref().and_then(|played| played.failed.clone()).unwrap_or(reduced.failed),
                    played,
                    case: reduced.case,
                }))
            }
        }
    }

    fn reduce(
        &self,
        property: &Property,
        case: &TestCase,
        failed: &Failed,
        patience: Patience,
        told: &mut dyn FnMut(Told<'_>),
    ) -> Reduced {
        let subject = Subject { case, history: &[], wanted: Some(failed) };
        let content = case.content();
        let mut oracle = |candidate: &TestCase| {
            if property.reduces || candidate.content() == content {
                self.judge(property, candidate, patience)
            } else {
                Replay::Invalid
            }
        };
        let mut hear = |heard: reduce::Told<'_>| {
            if let reduce::Told::Better { case, .. } = heard {
                told(Told::Smaller(case, failed));
            }
        };
        reduce::reduce(subject, &mut oracle, Budget::of(self.shrink), &mut hear)
    }

    /// Leaves out what it is made of, and chooses what is simpler.
    fn take_apart(
        &self,
        property: &Property,
        parts: &Parts,
        case: &TestCase,
        failed: &Failed,
        patience: Patience,
        told: &mut dyn FnMut(Told<'_>),
    ) -> Reduced {
        let budget = Budget::of(self.shrink);
        let (mut best, mut how, mut replays) = (case.clone(), failed.clone(), 0);
        let mut stopped = false;
        // `None` when it has taken long enough, or nobody wants to know any more.
        let mut fails = |kept: &[usize], choices: &[usize]| {
            if stopped || budget.is_over(replays) {
                return None;
            }
            let Some(smaller) = (parts.make)(kept, choices) else { return Some(false) };
            replays += 1;
            match self.judge(property, &smaller, patience) {
                Replay::Failed { failed, .. } if failed.class == how.class => {
                    told(Told::Smaller(&smaller, &failed));
                    (best, how) = (smaller, failed);
                    Some(true)
                }
                Replay::Stopped => {
                    stopped = true;
                    None
                }
                Replay::Failed { .. } | Replay::Invalid | Replay::Passed => Some(false),
            }
        };
        let mut choices = parts.choices.clone();
        let mut kept = delete(choices.len(), &|_| false, &mut |kept| fails(kept, &parts.choices));
        // Some can only go together: there and back again.
        let mut len = kept.len().saturating_sub(1);
        while len > 0 {
            match (0..=kept.len() - len)
                .map(|at| [&kept[..at], &kept[at + len..]].concat())
                .find(|less| fails(less, &choices) == Some(true))
            {
                Some(less) => {
                    kept = less;
                    len = len.min(kept.len().saturating_sub(1));
                }
                None => len -= 1,
            }
        }
        for at in &kept {
            let now = choices[*at];
            choices[*at] = (0..now)
                .find(|choice| {
                    let mut simpler = choices.clone();
                    simpler[*at] = *choice;
                    fails(&kept, &simpler) == Some(true)
                })
                .unwrap_or(now);
        }
        let reduced = self.reduce(property, &best, &how, patience, told);
        Reduced { from: Size::of(case), replays: reduced.replays + replays, ..reduced }
    }

    /// The last word: the counterexample with its own deadlines, and its controls as often as it takes.
    fn believe(&self, property: &Property, reduced: &Reduced) -> Believed {
        let Some(controls) = (property.controls)(&reduced.case) else {
            return Believed::No("it is no variant any more".into());
        };
        let times = match reduced.repeats {
            Repeats::Never => return Believed::No("it failed once alone and not again".into()),
            Repeats::Sometimes(p) if p < SOMETIMES_MIN => {
                return Believed::No(format!("it fails {:.0} % of the time, which says little", p * 100.0));
            }
            Repeats::Sometimes(_) => CONTROLS,
            Repeats::Always => 2,
        };
        for control in controls {
            for _ in 0..times {
                match Replay::of(&control, &self.player.play(&control)) {
                    Replay::Passed => {}
                    Replay::Stopped => return Believed::Interrupted,
                    Replay::Failed { failed, .. } => {
                        let why = "it fails sometimes even without what the property does to it";
                        return Believed::No(format!("{why}: {}", failed.message));
                    }
                    Replay::Invalid => {
                        return Believed::No("without what the property does to it it cannot be played".into());
                    }
                }
            }
        }
        let tries = if reduced.repeats == Repeats::Always { 1 } else { CONTROLS };
        for _ in 0..tries {
            let played = self.player.play(&reduced.case);
            match Replay::of(&reduced.case, &played) {
                Replay::Failed { failed, .. } if failed.is_same(&reduced.failed, reduced.steady) => {
                    return Believed::Yes(played.ok().map(Box::new));
                }
                Replay::Stopped => return Believed::Interrupted,
                _ => {}
            }
        }
        Believed::No("with the deadlines of the case it holds: its answer is late".into())
    }
}

/// What a case is made of: operations, transitions.
#[derive(Clone)]
pub(super) struct Parts {
    /// For each part, which of its ways is chosen: the simplest is 0.
    pub(super) choices: Vec<usize>,
    /// The case of some of the parts, by their numbers, with a choice for each of all; `None` where these make no sense.
    pub(super) make: Arc<Make>,
}

/// Makes a case of parts.
pub(super) type Make = dyn Fn(&[usize], &[usize]) -> Option<TestCase> + Send + Sync;

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("choices", &self.choices).finish_non_exhaustive()
    }
}

/// What became of a variant that had failed among others.
pub(super) enum Confirmed {
    Interrupted,
    No,
    Unclear(String),
    Yes(Box<Violation>),
}

enum Believed {
    Interrupted,
    No(String),
    Yes(Option<Box<Played>>),
}
