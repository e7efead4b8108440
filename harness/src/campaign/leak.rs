//! What grows: samples of what a target uses, and which of the cases makes it grow.
//!
//! Samples between cases only raise a suspicion. Whether it is a leak is decided on a fresh target at rest, by counting: a case is
//! played in blocks, and only what grows in every one of them, and as much in the later ones as in the earlier, is a leak. A pool
//! or a cache that fills stops growing; noise grows in some blocks and not in others.

use super::case::Case;
use super::oracle::Resource;
use super::player::{Player, SILENT_FOR, Trace};
use crate::runner::process::{Usage, usage};

/// After how many cases a sample is taken.
pub const SAMPLE_EVERY: u64 = 100;

/// How many samples are looked at together.
const WINDOW: usize = 6;

/// How often a case is played in a block: what is counted one by one shows sooner than what comes by the page.
fn block(resource: Resource) -> u64 {
    match resource {
        Resource::Descriptors | Resource::Threads => 10,
        Resource::Memory => 20,
    }
}

/// How many blocks are judged.
const BLOCKS: usize = 10;

/// How many blocks are played before that, for what is made once and kept.
const WARM_BLOCKS: usize = 2;

/// How many blocks have to have grown where the target was at its limits before the last.
const BLOCKS_MIN: usize = 3;

/// How many times as long blocks have to show the same before memory is looked into: a heap or a cache that fills takes its time.
const LASTING: u64 = 4;

/// How often each case is played in a row, to see which of them takes memory.
const MEMORY_ROUNDS: u64 = 8;

/// How many cases are looked at more closely.
const SUSPECTS_MAX: usize = 4;

/// Less memory a play is not called a leak.
const MEMORY_MIN: u64 = 1_024;

/// How many times as much as valid conversations on as many connections leave behind has to be left: a server may remember each
/// client for some minutes.
const VALID_TIMES: u64 = 2;

/// How many threads more than at first are a crowd: each look at a target takes a look at all of them.
const CROWD: u64 = 16;

/// The same of descriptors: each may be of a connection or a session that the target goes on working for.
const CROWD_DESCRIPTORS: u64 = 64;

/// What a target used, since it was started.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    window: Vec<Usage>,
    /// The first of all.
    first: Option<Usage>,
}

/// What all processes use together.
fn used(pids: &[u32]) -> Usage {
    let mut whole = Usage::default();
    for used in pids.iter().filter_map(|pid| usage(*pid)) {
        whole.memory += used.memory;
        whole.descriptors += used.descriptors;
        whole.threads += used.threads;
    }
    whole
}

/// What a target uses once it is done with what it was sent: connections that were just reset are closed by then.
pub fn at_rest(player: &mut Player) -> Usage {
    player.settle(&mut Trace::default());
    used(&player.pids())
}

fn amount(of: &Usage, resource: Resource) -> u64 {
    match resource {
        Resource::Descriptors => of.descriptors,
        Resource::Memory => of.memory,
        Resource::Threads => of.threads,
    }
}

/// What grows by less in so many plays of one case is not called a leak.
fn least(resource: Resource, plays: u64) -> u64 {
    match resource {
        // Every second play at least: what grows less often has to do with something else.
        Resource::Descriptors | Resource::Threads => plays / 2,
        Resource::Memory => plays * MEMORY_MIN,
    }
}

const RESOURCES: [Resource; 3] = [Resource::Descriptors, Resource::Threads, Resource::Memory];

impl Samples {
    /// Forgets everything: another target was started, and this is what it uses.
    pub fn begin(&mut self, first: Usage) {
        *self = Samples { first: Some(first), ..Samples::default() };
    }

    /// From how many threads on there are too many: each look at the target takes a look at all of them.
    pub fn is_crowd(&self, threads: u64) -> bool {
        self.first.is_some_and(|first| threads > first.threads.saturating_add(CROWD))
    }

    /// Takes in a sample. What has grown from each sample to the next, if anything has.
    pub fn push(&mut self, sample: Usage) -> Option<Resource> {
        let first = *self.first.get_or_insert(sample);
        let crowded = [(Resource::Threads, CROWD), (Resource::Descriptors, CROWD_DESCRIPTORS)];
        let crowded = crowded
            .into_iter()
            .find(|(resource, crowd)| amount(&sample, *resource) > amount(&first, *resource).saturating_add(*crowd));
        self.window.push(sample);
        if self.window.len() > WINDOW {
            self.window.remove(0);
        }
        let window = &self.window;
        let grows = |resource: &Resource| {
            window.windows(2).all(|pair| amount(&pair[1], *resource) > amount(&pair[0], *resource))
        };
        let found = RESOURCES.into_iter().find(|resource| window.len() == WINDOW && grows(resource));
        if found.is_some() {
            self.window.clear();
        }
        // What is left over of some connections, if not of each.
        found.or(crowded.map(|(resource, _)| resource))
    }
}

/// Whether amounts after each block are those of a leak, where a block that leaks adds `least` to them.
fn is_leak(amounts: &[u64], least: u64) -> bool {
    let grown: Vec<u64> = amounts.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    let (early, late) = grown.split_at(grown.len() / 2);
    let sum = |of: &[u64]| of.iter().sum::<u64>();
    grown.len() >= BLOCKS_MIN
        && amounts.is_sorted()
        && grown.iter().filter(|grown| **grown > 0).count() * 10 >= grown.len() * 8
        && sum(&grown) >= least * grown.len() as u64
        // With an odd number of blocks the later part is the longer one.
        && sum(late) * early.len() as u64 * 2 >= sum(early) * late.len() as u64
}

/// Plays a case on a target so often; whether it is still as it should be.
fn play(player: &mut Player, case: &Case, times: u64) -> bool {
    (0..times).all(|_| {
        let trace = player.play(case, &mut |_, _| {});
        trace.ended.is_none() && trace.refused.is_none()
    })
}

/// Whether something grows each time a case is played. Where candidates are asked about one after the other, blocks of one play are
/// enough for what is counted one by one: what is left of them is played in full in the end.
pub fn leaks(player: &mut Player, case: &Case, resource: Resource) -> bool {
    let is_brief = player.silent_for < SILENT_FOR && resource != Resource::Memory;
    grows(player, case, resource, if is_brief { 1 } else { block(resource) })
}

/// The same for as long as nothing but a leak would.
fn lasts(player: &mut Player, case: &Case, resource: Resource) -> bool {
    leaks(player, case, resource)
        && (resource != Resource::Memory || grows(player, case, resource, block(resource) * LASTING))
}

/// Whether something grows in blocks of so many plays, and by more than what is valid leaves behind.
fn grows(player: &mut Player, case: &Case, resource: Resource, block: u64) -> bool {
    let valid = player.remembered * case.connections() as u64 * block * VALID_TIMES;
    let amounts = amounts(player, case, resource, block);
    is_leak(&amounts, least(resource, block).max(valid))
}

/// What there is of something before and after each block of so many plays, on a fresh target.
fn amounts(player: &mut Player, case: &Case, resource: Resource, block: u64) -> Vec<u64> {
    if player.restart(false).is_err() || !play(player, case, block * WARM_BLOCKS as u64) {
        return Vec::new();
    }
    let mut amounts = vec![amount(&at_rest(player), resource)];
    // Where it is at its limits before the end, what it has shown by then has to do.
    while amounts.len() <= BLOCKS && play(player, case, block) {
        amounts.push(amount(&at_rest(player), resource));
    }
    amounts
}

/// By how much of something there is more for each connection of this conversation, whatever becomes of that later.
fn remembered(amounts: &[u64], block: u64, connections: u64) -> u64 {
    let (Some(first), Some(last)) = (amounts.first(), amounts.last()) else { return 0 };
    let plays = (amounts.len() as u64 - 1) * block;
    last.saturating_sub(*first) / (plays * connections).max(1)
}

/// The one of these cases that makes something grow, if one alone does, and what is valid does not.
pub fn find(player: &mut Player, cases: &[Case], probe: Option<&Case>, resource: Resource) -> Option<Case> {
    player.remembered = 0;
    if let Some(probe) = probe {
        let block = block(resource);
        let amounts = amounts(player, probe, resource, block);
        if is_leak(&amounts, least(resource, block)) {
            return None;
        }
        player.remembered = remembered(&amounts, block, probe.connections() as u64);
    }
    let rounds = if resource == Resource::Memory { MEMORY_ROUNDS } else { 1 };
    player.restart(false).ok()?;
    // By how much there is more after each of them than before.
    let mut grown: Vec<(u64, usize)> = Vec::new();
    let mut before = amount(&at_rest(player), resource);
    for (at, case) in cases.iter().enumerate() {
        if !play(player, case, rounds) {
            player.restart(false).ok()?;
        }
        let after = amount(&at_rest(player), resource);
        grown.push((after.saturating_sub(before), at));
        before = after;
    }
    grown.retain(|(grown, _)| *grown > 0);
    // What is counted one by one is there or not, so that the shortest comes first; of memory, noise takes a little as well.
    grown.sort_by_key(|(grown, at)| {
        let amount = if resource == Resource::Memory { *grown } else { 0 };
        (std::cmp::Reverse(amount), cases[*at].bytes())
    });
    let mut suspects = grown.into_iter().take(SUSPECTS_MAX).map(|(_, at)| &cases[at]);
    // What is counted one by one and does not grow with each of a few plays is not played in full.
    let is_worth = |player: &mut Player, case: &Case| resource == Resource::Memory || grows(player, case, resource, 1);
    suspects.find(|case| is_worth(player, case) && lasts(player, case, resource)).cloned()
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
    fn what_is_left_over_of_some_connections_is_a_crowd() {
        assert_eq!(push_all([5, 40, 40, 69, 60]), None);
        assert_eq!(push_all([5, 40, 40, 70, 60]), Some(Resource::Descriptors));
    }

    #[test]
    fn what_goes_up_and_down_does_not_grow() {
        assert_eq!(push_all((0..40).map(|at| 10 + at % 4)), None);
        assert_eq!(push_all([5, 25, 50, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60]), None);
    }

    #[test]
    fn a_leak_grows_in_every_block() {
        let steady: Vec<u64> = (0..=10).map(|block| 7 + 20 * block).collect();
        assert!(is_leak(&steady, 10));
        assert!(is_leak(&steady[..4], 10), "at its limits after three blocks");
        assert!(!is_leak(&steady[..3], 10), "too few to tell");
        assert!(!is_leak(&steady, 30), "too little");
    }

    #[test]
    fn what_fills_once_is_no_leak() {
        let filling: Vec<u64> = (0..=10_u64).map(|block| 7 + 20 * block.min(5)).collect();
        assert!(!is_leak(&filling, 10));
        assert!(!is_leak(&[0, 1_000, 1_001, 1_002, 1_003, 1_004, 1_005, 1_006, 1_007, 1_008, 1_009], 10));
        assert!(!is_leak(&[9; 11], 10));
    }

    #[test]
    fn what_is_remembered_of_a_client_is_counted_for_each_connection() {
        assert_eq!(remembered(&[1_000, 5_000, 9_000], 20, 2), 100);
        assert_eq!(remembered(&[9_000, 5_000], 20, 2), 0);
        assert_eq!(remembered(&[], 20, 1), 0);
    }

    #[test]
    fn what_falls_is_no_leak() {
        assert!(!is_leak(&[0, 20, 40, 30, 80, 100, 120, 140, 160, 180, 200], 10));
    }

    #[test]
    fn memory_comes_by_the_page() {
        // Now and then a block finds room in what it has.
        assert!(is_leak(&[0, 32, 64, 64, 96, 128, 160, 192, 192, 224, 256].map(|kib| kib << 10), 20 << 10));
    }
}
