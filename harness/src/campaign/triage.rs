//! Whether a sign is there: cases played on a target as it is, and on fresh ones.
//!
//! Not here: how a case that shows one is made small, which is `reduction`.

#![expect(clippy::disallowed_methods, reason = "a campaign's clock is here")]

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::case::Case;
use super::differing::{Differing, Known, same};
use super::limits::Limited;
use super::oracle::Symptom;
use super::player::{Player, Reply, SILENT_FOR, Trace};
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

/// How long a target has to rest without an answer while candidates are played, each of which is asked once: what has become of
/// all this is played with more patience in the end.
const SILENT_FOR_BRIEFLY: Duration = Duration::from_millis(100);

/// How long an answer may take that still comes.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How many times longer than on a fresh target it has to take before that is what is wrong.
const SLOWER: u32 = 4;

/// How much of a processor a target uses with nothing to do before it is called busy.
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
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// A valid conversation that a target answers, unless it hangs.
    pub probe: Option<Case>,
    /// How targets end after valid conversations.
    pub normal: Vec<Exit>,
    /// What the scenario says that its targets may use.
    pub limits: Limited,
    /// How the answers of another server are compared.
    pub differing: Differing,
}

impl Judge {
    /// Plays a case on the target as it is, and looks for this sign or another one.
    pub fn look(&self, player: &mut Player, case: &Case, wanted: &Symptom) -> Option<Symptom> {
        let worked = self.limits.worked(player);
        let mut trace = player.play(case, &mut |_, _| {});
        let deadline = Instant::now() + SHOW_WITHIN;
        let mut looks = 0;
        loop {
            if let Some(symptom) = Symptom::of(&trace, &self.normal) {
                return Some(symptom);
            }
            match wanted {
                Symptom::Wrong => return trace.unmet.map(|_| Symptom::Wrong),
                Symptom::Differs => return self.difference(player, case, &trace).map(|_| Symptom::Differs),
                Symptom::Hang => return (!self.answers(player)).then_some(Symptom::Hang),
                Symptom::Busy => return self.is_busy(player).then_some(Symptom::Busy),
                Symptom::Limit(limit, _) => {
                    let broken = self.limits.broken(player, &worked, trace.busy);
                    return broken.filter(|(other, _)| other == limit).map(|(limit, told)| Symptom::Limit(limit, told));
                }
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
            trace.child = trace.child.or(more.child);
            if trace.stack.is_empty() {
                trace.stack = more.stack;
            }
            trace.lines.append(&mut more.lines);
        }
    }

    /// The answer of the other server to the first message that it answers otherwise, each time it is asked; and so does the target.
    pub fn difference(&self, player: &mut Player, case: &Case, own: &Trace) -> Option<Reply> {
        let other = player.elsewhere(|player| player.play(case, &mut |_, _| {}))?;
        let at = self.differing.first(case, own, &other, &Known::default())?;
        player.restart(false).ok()?;
        let own_again = player.play(case, &mut |_, _| {});
        let other_again = player.elsewhere(|player| player.play(case, &mut |_, _| {}))?;
        let is_stable =
            |first: &Trace, again: &Trace| again.replies.get(at).is_some_and(|reply| same(reply, &first.replies[at]));
        let is_all_there = own.refused.is_none() && other.refused.is_none();
        (is_all_there && is_stable(own, &own_again) && is_stable(&other, &other_again))
            .then(|| other.replies[at].clone())
    }

    /// Whether the target still answers what is valid; it is asked twice.
    pub fn answers(&self, player: &mut Player) -> bool {
        let times = if player.silent_for < SILENT_FOR { 1 } else { 2 };
        (0..times).any(|_| self.asks(player, PROBE_WITHIN))
    }

    /// Whether the target answers what is valid within this time, unless it rests before.
    fn asks(&self, player: &mut Player, within: Duration) -> bool {
        let Some(probe) = &self.probe else { return true };
        let before = std::mem::replace(&mut player.reply_within, within);
        player.insists = true;
        let mut answered = false;
        let trace = player.play(probe, &mut |_, reply| answered |= reply.len > 0);
        (player.reply_within, player.insists) = (before, false);
        trace.refused.is_none() && answered
    }

    /// Has targets that do not answer told from others in a fraction of the time, for as long as `doing` takes.
    pub fn briefly<T>(player: &mut Player, doing: impl FnOnce(&mut Player) -> T) -> T {
        let before = std::mem::replace(&mut player.silent_for, SILENT_FOR_BRIEFLY);
        let done = doing(player);
        player.silent_for = before;
        done
    }

    /// How long the answer to what is valid takes after a case, where it comes at last; each on a fresh target. `None` where it
    /// does not come, or comes as fast as without the case.
    pub fn is_slow(&self, player: &mut Player, case: &Case) -> Option<Duration> {
        let mut time = |case: Option<&Case>| {
            player.restart(false).ok()?;
            if let Some(case) = case {
                player.play(case, &mut |_, _| {});
            }
            let patience = std::mem::replace(&mut player.silent_for, ANSWER_WITHIN);
            let began = Instant::now();
            let answers = self.asks(player, ANSWER_WITHIN);
            player.silent_for = patience;
            answers.then(|| began.elapsed())
        };
        let (fresh, then) = (time(None)?, time(Some(case))?);
        (then >= fresh * SLOWER && then >= SILENT_FOR).then_some(then)
    }

    /// Whether the target uses up a processor with nothing to do.
    pub fn is_busy(&self, player: &mut Player) -> bool {
        player.works_on(BUSY_FOR)
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
}
