//! From a sign to a finding: played again on fresh targets, alone or after what came before it, and made small.

#![expect(clippy::disallowed_methods, reason = "a campaign's clock is here")]

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::case::{Case, Message, Part, Step};
use super::oracle::Symptom;
use super::player::{Player, Trace};
use crate::mutator::lengths;
use crate::runner::process::Exit;

/// How often a finding is played again on a fresh target.
pub const REPLAYS: u32 = 3;

/// How many earlier cases are played again at most.
pub const LOOK_BACK: usize = 256;

/// How long a target may take to show what is wrong with it.
const SHOW_WITHIN: Duration = Duration::from_millis(150);

/// Until a target that rests is looked at once more.
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// How long a probe may wait for its answer.
pub const PROBE_WITHIN: Duration = Duration::from_secs(2);

/// The share of a processor above which somebody is busy with nothing.
const BUSY_SHARE: f64 = 0.7;

/// For how long that is measured.
const BUSY_FOR: Duration = Duration::from_millis(300);

/// How a finding behaves when it is played again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It shows each time, alone, on a fresh target.
    Deterministic,
    /// It shows now and then.
    Flaky,
    /// It shows each time, after earlier cases.
    NeedsHistory,
}

/// What plays are judged by.
#[derive(Clone, Debug)]
pub struct Judge {
    /// A valid conversation that a target answers, unless it hangs.
    pub probe: Option<Case>,
    /// How targets end after valid conversations.
    pub normal: Vec<Exit>,
}

impl Judge {
    /// Plays a case on the target as it is, and looks for this sign or another one.
    pub fn look(&self, player: &mut Player, case: &Case, wanted: &Symptom) -> Option<Symptom> {
        let mut trace = player.play(case, &mut |_, _| {});
        let deadline = Instant::now() + SHOW_WITHIN;
        let mut looks = 0;
        loop {
            if let Some(symptom) = Symptom::of(&trace, &self.normal) {
                return Some(symptom);
            }
            match wanted {
                Symptom::Wrong => return trace.unmet.map(|_| Symptom::Wrong),
                Symptom::Hang => return (!self.answers(player)).then_some(Symptom::Hang),
                Symptom::Busy => return self.is_busy(player).then_some(Symptom::Busy),
                Symptom::Leak(resource) => {
                    return super::leak::leaks(player, case, *resource).then_some(Symptom::Leak(*resource));
                }
                // Who rests shows nothing any more; but what it wrote may still be on its way to us.
                _ if Instant::now() >= deadline || (looks > 0 && !trace.busy) => return None,
                // No event tells that a pipe has nothing more for us; `SHOW_WITHIN` bounds it.
                _ => std::thread::sleep(LOOK_AGAIN),
            }
            looks += 1;
            let mut more = Trace::default();
            player.finish(&mut more, true);
            trace.busy = more.busy;
            trace.ended = trace.ended.or(more.ended);
            trace.lines.append(&mut more.lines);
        }
    }

    /// Whether the target still answers what is valid; it is asked twice.
    pub fn answers(&self, player: &mut Player) -> bool {
        let Some(probe) = &self.probe else { return true };
        (0..2).any(|_| {
            let within = std::mem::replace(&mut player.reply_within, PROBE_WITHIN);
            let mut answered = false;
            let trace = player.play(probe, &mut |_, reply| answered |= reply.len > 0);
            player.reply_within = within;
            trace.refused.is_none() && answered
        })
    }

    /// Whether the target uses up a processor with nothing to do.
    pub fn is_busy(&self, player: &mut Player) -> bool {
        // Twice: what was slow to end is not what never ends.
        (0..4).all(|_| player.busy_share(BUSY_FOR) > BUSY_SHARE)
    }

    /// Plays a case on a fresh target.
    pub fn try_fresh(&self, player: &mut Player, case: &Case, wanted: &Symptom) -> Option<Symptom> {
        player.restart(false).ok()?;
        self.look(player, case, wanted).filter(|symptom| symptom.kind() == wanted.kind())
    }

    /// How often of so many times a case shows the sign on a fresh target.
    pub fn rate(&self, player: &mut Player, case: &Case, wanted: &Symptom, times: u32) -> u32 {
        (0..times).map(|_| u32::from(self.try_fresh(player, case, wanted).is_some())).sum()
    }

    /// Finds how much of what came before a case is needed for it to show the sign, the case included as the last.
    pub fn verify(&self, player: &mut Player, history: &[Case], wanted: &Symptom) -> (Case, Verdict, u32) {
        let last = history.last().cloned().unwrap_or_default();
        // Something was just seen to be wrong: it may have been the case before that did it.
        for back in 1..=history.len().min(3) {
            let alone = &history[history.len() - back];
            let shown = self.rate(player, alone, wanted, REPLAYS);
            if shown == REPLAYS {
                return (alone.clone(), Verdict::Deterministic, shown);
            }
            if shown > 0 {
                return (alone.clone(), Verdict::Flaky, shown);
            }
        }
        let mut back = 2;
        while back / 2 < history.len() {
            let from = history.len().saturating_sub(back);
            let whole = joined(&history[from..]);
            let shown = self.rate(player, &whole, wanted, REPLAYS);
            if shown == REPLAYS {
                return (whole, Verdict::NeedsHistory, shown);
            }
            if shown > 0 {
                return (whole, Verdict::Flaky, shown);
            }
            back *= 2;
        }
        (last, Verdict::Flaky, 0)
    }

    /// Makes a case small: whatever can be left out is, as long as it shows the same sign on a fresh target.
    pub fn reduce(&self, player: &mut Player, case: Case, wanted: &Symptom, budget: Duration) -> (Case, u32) {
        let deadline = Instant::now() + budget;
        let mut reducer = Reducer { judge: self, player, wanted, deadline, replays: 0, best: case };
        reducer.connections();
        reducer.steps();
        reducer.cuts();
        reducer.bytes();
        reducer.steps();
        (reducer.best, reducer.replays)
    }
}

/// Several cases in one, on connections of their own.
fn joined(cases: &[Case]) -> Case {
    let mut whole = Case::default();
    for case in cases {
        let mut case = case.clone();
        // What a case leaves open is reset before the next one begins.
        let open: std::collections::BTreeSet<u16> = case.steps.iter().filter_map(Step::link).collect();
        case.steps.extend(open.into_iter().map(Step::Reset));
        whole.append(&case);
    }
    whole.tidy();
    whole
}

struct Reducer<'r> {
    judge: &'r Judge,
    player: &'r mut Player,
    wanted: &'r Symptom,
    deadline: Instant,
    replays: u32,
    best: Case,
}

impl Reducer<'_> {
    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Takes a smaller case if it shows the same sign.
    fn take(&mut self, mut smaller: Case) -> bool {
        smaller.tidy();
        if self.is_over() || smaller == self.best || smaller.steps.is_empty() {
            return false;
        }
        self.replays += 1;
        let shown = self.judge.try_fresh(self.player, &smaller, self.wanted);
        let same = shown.is_some_and(|shown| shown.is_like(self.wanted));
        if same {
            self.best = smaller;
        }
        same
    }

    fn connections(&mut self) {
        let links: std::collections::BTreeSet<u16> = self.best.steps.iter().filter_map(Step::link).collect();
        if links.len() < 2 {
            return;
        }
        let links: Vec<u16> = links.into_iter().collect();
        let without = |best: &Case, gone: &[u16]| {
            let mut smaller = best.clone();
            smaller.steps.retain(|step| step.link().is_none_or(|link| !gone.contains(&link)));
            smaller
        };
        self.chunks(links.len(), |best, from, to| without(best, &links[from..to]));
    }

    /// Leaves out halves, quarters and so on, down to single ones, of `count` things.
    fn chunks(&mut self, count: usize, without: impl Fn(&Case, usize, usize) -> Case) {
        let mut size = count.div_ceil(2);
        loop {
            let mut from = 0;
            while from < count && !self.is_over() {
                let to = (from + size).min(count);
                let smaller = without(&self.best, from, to);
                self.take(smaller);
                from = to;
            }
            if size <= 1 {
                break;
            }
            size = size.div_ceil(2);
        }
    }

    fn steps(&mut self) {
        let mut size = self.best.steps.len().div_ceil(2).max(1);
        loop {
            let mut end = self.best.steps.len();
            while end > 0 && !self.is_over() {
                let from = end.saturating_sub(size);
                let mut smaller = self.best.clone();
                smaller.steps.drain(from..end.min(smaller.steps.len()));
                self.take(smaller);
                end = from.min(self.best.steps.len());
            }
            if size <= 1 {
                break;
            }
            size = size.div_ceil(2);
        }
    }

    fn cuts(&mut self) {
        for step in self.best.sends() {
            let Some(cuts) = self.best.clone().message_mut(step).map(|message| message.cuts.clone()) else { continue };
            let with = |best: &Case, cuts: Vec<u32>| {
                let mut smaller = best.clone();
                if let Some(message) = smaller.message_mut(step) {
                    message.cuts = cuts;
                }
                smaller
            };
            let whole = with(&self.best, Vec::new());
            if cuts.is_empty() || self.take(whole) {
                continue;
            }
            let mut size = cuts.len().div_ceil(2);
            let mut left = cuts;
            loop {
                let mut from = 0;
                while from < left.len() && !self.is_over() {
                    let mut fewer = left.clone();
                    fewer.drain(from..(from + size).min(left.len()));
                    let smaller = with(&self.best, fewer.clone());
                    if self.take(smaller) { left = fewer } else { from += size }
                }
                if size <= 1 {
                    break;
                }
                size = size.div_ceil(2);
            }
        }
    }

    fn bytes(&mut self) {
        for step in self.best.sends() {
            let Some(Step::Send(message)) = self.best.steps.get(step) else { continue };
            if message.parts.len() > 1 {
                // Bytes that only the seed had may do as well.
                let flat = flat(message);
                let mut smaller = self.best.clone();
                smaller.steps[step] = Step::Send(flat);
                self.take(smaller);
            }
            let part = |best: &Case| match best.steps.get(step) {
                Some(Step::Send(message)) => message.parts.iter().position(|part| matches!(part, Part::Bytes(_))),
                _ => None,
            };
            let Some(part) = part(&self.best) else { continue };
            let mut size = self.len(step, part).div_ceil(2).max(1);
            loop {
                let mut end = self.len(step, part);
                while end > 0 && !self.is_over() {
                    let from = end.saturating_sub(size);
                    if !self.take_bytes(step, part, from, end, false) {
                        self.take_bytes(step, part, from, end, true);
                    }
                    end = from.min(self.len(step, part));
                }
                if size <= 1 {
                    break;
                }
                size = size.div_ceil(2);
            }
        }
    }

    fn len(&self, step: usize, part: usize) -> usize {
        match self.best.steps.get(step) {
            Some(Step::Send(message)) => message.parts.get(part).map_or(0, |part| part.bytes().len()),
            _ => 0,
        }
    }

    /// Leaves out some bytes; with `honest`, lengths that were true stay true.
    fn take_bytes(&mut self, step: usize, part: usize, from: usize, to: usize, honest: bool) -> bool {
        let mut smaller = self.best.clone();
        let Some(Part::Bytes(bytes)) = smaller.message_mut(step).and_then(|message| message.parts.get_mut(part)) else {
            return false;
        };
        let before = if honest { lengths(bytes) } else { Vec::new() };
        if (honest && before.is_empty()) || to > bytes.len() {
            return false;
        }
        bytes.drain(from..to);
        crate::mutator::repair(&before, bytes);
        self.take(smaller)
    }
}

/// A message without variables.
fn flat(message: &Message) -> Message {
    Message { cuts: message.cuts.clone(), ..Message::new(message.link, message.bytes()) }
}
