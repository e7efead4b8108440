//! Ways through the steps of a case.

use crate::conversation::payload::Number;
use crate::conversation::script::{Script, Step, Verb};
use crate::scenario::Case;

/// The cases that are to hold: one that is known to fail, or is not played, may be as wrong as it likes.
pub(super) fn cases(cases: &[Case]) -> impl Iterator<Item = &Case> {
    cases.iter().filter(|case| case.xfail.is_none() && case.skip.is_none())
}

/// Every step of some steps and all inside them.
pub(super) fn each<'s>(steps: &'s [Step], see: &mut impl FnMut(&'s Step)) {
    for step in steps {
        see(step);
        step.verb.inner().for_each(|inner| each(inner, see));
    }
}

/// Every step of a case.
pub(super) fn every_step<'s>(script: &'s Script, mut see: impl FnMut(&'s Step)) {
    script.lanes.iter().for_each(|lane| each(&lane.steps, &mut see));
}

/// How often something is done at least and at most. `None` for no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Times {
    pub(super) least: u64,
    pub(super) most: Option<u64>,
}

impl Times {
    const NEVER: Times = Times { least: 0, most: Some(0) };

    fn and(self, other: Times) -> Times {
        let most = self.most.zip(other.most).map(|(a, b)| a.saturating_add(b));
        Times { least: self.least.saturating_add(other.least), most }
    }

    fn or(self, other: Times) -> Times {
        let most = self.most.zip(other.most).map(|(a, b)| a.max(b));
        Times { least: self.least.min(other.least), most }
    }

    fn rounds(self, rounds: Times) -> Times {
        let most = match (self.most, rounds.most) {
            (Some(0), _) | (_, Some(0)) => Some(0),
            (most, times) => most.zip(times).map(|(most, times)| most.saturating_mul(times)),
        };
        Times { least: self.least.saturating_mul(rounds.least), most }
    }
}

/// How often some steps do something; `of` says it of one step alone.
pub(super) fn times(steps: &[Step], of: &impl Fn(&Step) -> u64) -> Times {
    steps.iter().fold(Times::NEVER, |sum, step| {
        let own = of(step);
        let own = Times { least: own, most: Some(own) };
        let inner = match &step.verb {
            Verb::Alt(branches) => {
                let all: Vec<Times> = branches.iter().map(|branch| times(branch, of)).collect();
                all.into_iter().reduce(Times::or).unwrap_or(Times::NEVER)
            }
            Verb::Repeat(repeat) => {
                let rounds = match (repeat.values.first(), &repeat.times) {
                    (Some((_, values)), _) => Some(values.len() as u64),
                    (None, Number::Literal(times)) => Some(*times),
                    _ => None,
                };
                times(&repeat.steps, of).rounds(Times { least: rounds.unwrap_or(0), most: rounds })
            }
            // It is played, but only at the end.
            Verb::Defer(steps) => Times { least: 0, ..times(steps, of) },
            _ => Times::NEVER,
        };
        sum.and(own).and(inner)
    })
}
