//! What grows: samples of what a target uses, and which of the cases makes it grow.

use super::case::Case;
use super::oracle::Resource;
use super::player::Player;
use crate::runner::process::{Usage, usage};

/// After how many cases a sample is taken.
pub const SAMPLE_EVERY: u64 = 200;

/// How many samples are looked at together.
const WINDOW: usize = 10;

/// How often a case is played to see what grows with it.
pub const ROUNDS: u64 = 200;

/// How often it is played before that, for what is made once and kept.
const WARM_UP: u64 = 40;

/// What a target used, since it was started.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Usage>);

/// What all processes use together.
pub fn used(pids: &[u32]) -> Usage {
    let mut whole = Usage::default();
    for used in pids.iter().filter_map(|pid| usage(*pid)) {
        whole.memory += used.memory;
        whole.descriptors += used.descriptors;
        whole.threads += used.threads;
    }
    whole
}

fn amount(of: &Usage, resource: Resource) -> u64 {
    match resource {
        Resource::Descriptors => of.descriptors,
        Resource::Memory => of.memory,
        Resource::Threads => of.threads,
    }
}

/// What grows by less in so many plays is not called a leak.
fn least(resource: Resource, plays: u64) -> u64 {
    match resource {
        Resource::Descriptors | Resource::Threads => plays / 8,
        Resource::Memory => plays * 1_024,
    }
}

const RESOURCES: [Resource; 3] = [Resource::Descriptors, Resource::Threads, Resource::Memory];

impl Samples {
    /// Forgets everything: another target was started.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes in a sample. What seems to grow from sample to sample, if anything does.
    pub fn push(&mut self, sample: Usage) -> Option<Resource> {
        self.0.push(sample);
        if self.0.len() > WINDOW {
            self.0.remove(0);
        }
        let window = &self.0;
        if window.len() < WINDOW {
            return None;
        }
        let suspect = |resource: &Resource| {
            let mut deltas: Vec<i128> = window
                .windows(2)
                .map(|pair| i128::from(amount(&pair[1], *resource)) - i128::from(amount(&pair[0], *resource)))
                .collect();
            deltas.sort_unstable();
            // Of a few cases among many it is enough to make a trend.
            let trend = i128::from(least(*resource, SAMPLE_EVERY) / 8).max(2);
            deltas[deltas.len() / 2] >= trend
        };
        let found = RESOURCES.into_iter().find(suspect);
        if found.is_some() {
            self.0.clear();
        }
        found
    }
}

/// By how much something grows when these cases are played in turns, `plays` of them, on a target that is warm.
pub fn growth(player: &mut Player, cases: &[Case], resource: Resource, plays: u64) -> Option<u64> {
    player.restart(false).ok()?;
    let play = |player: &mut Player, count: u64| {
        for at in 0..count {
            let trace = player.play(&cases[at as usize % cases.len()], &mut |_, _| {});
            if trace.ended.is_some() || trace.refused.is_some() {
                return None;
            }
        }
        Some(amount(&used(&player.pids()), resource))
    };
    let before = play(player, WARM_UP.max(cases.len() as u64 / 4))?;
    let middle = play(player, plays / 2)?;
    let after = play(player, plays / 2)?;
    // What grows at first and then no more is a pool that fills.
    let (first, second) = (middle.saturating_sub(before), after.saturating_sub(middle));
    Some(first.min(second) * 2)
}

/// Whether something grows each time a case is played.
pub fn leaks(player: &mut Player, case: &Case, resource: Resource) -> bool {
    let cases = std::slice::from_ref(case);
    growth(player, cases, resource, ROUNDS).is_some_and(|grown| grown >= least(resource, ROUNDS))
}

/// The one of these cases that makes something grow, if one alone does, and what is valid does not.
pub fn find(player: &mut Player, cases: &[Case], probe: Option<&Case>, resource: Resource) -> Option<Case> {
    if probe.is_some_and(|probe| leaks(player, probe, resource)) {
        return None;
    }
    let mut left = cases.to_vec();
    while left.len() > 1 {
        let right = left.split_off(left.len() / 2);
        let of = |player: &mut Player, half: &[Case]| growth(player, half, resource, ROUNDS).unwrap_or(0);
        let (first, second) = (of(player, &left), of(player, &right));
        if second >= first {
            left = right;
        }
    }
    left.pop().filter(|case| leaks(player, case, resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push_all(values: impl IntoIterator<Item = u64>) -> Option<Resource> {
        let mut samples = Samples::default();
        let mut found = None;
        for descriptors in values {
            found = found.or(samples.push(Usage { descriptors, ..Usage::default() }));
        }
        found
    }

    #[test]
    fn what_grows_from_sample_to_sample_is_seen() {
        assert_eq!(push_all((0..20).map(|at| 10 + 5 * at)), Some(Resource::Descriptors));
    }

    #[test]
    fn what_goes_up_and_down_does_not_grow() {
        assert_eq!(push_all((0..40).map(|at| 10 + at % 4)), None);
        assert_eq!(push_all([5, 50, 100, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200]), None);
    }
}
