//! Makes the case small that shows a sign: [`reduce`](crate::reduce()) asks, the campaign's player answers on fresh targets.

use std::collections::{BTreeSet, HashMap};

use super::case::{Case, Message, Step};
use super::oracle::Symptom;
use super::player::{Player, Reply};
use super::reading::{Read, read};
use super::run::{Common, lock};
use super::sign::SILENT_MAX;
use super::state::Ending;
use super::triage::{Judge, Verdict};
use super::worker::Worker;
use crate::document::Node;
use crate::reduce::{Budget, Reduced, Repeats, Replay, Subject, Told, reduce};
use crate::testcase::{Class, Failed, TestCase};
use crate::text::count;

/// How many of the last cases may be the one that did it, whatever the last one was.
const SUSPECTS_MAX: usize = 3;

/// The same where it is seen by the silence of those that came after it.
const SUSPECTS_SILENT_MAX: usize = SILENT_MAX as usize + 2;

/// How many larger cases are tried where the smallest fails only just.
const LARGER_MAX: u32 = 5;

/// How many bytes of earlier cases are played again at most; the oldest are left out.
const LOOK_BACK_LEN_MAX: usize = 512 << 10;

/// What came of it.
#[derive(Debug)]
pub(super) struct Reduction {
    /// The smallest case that shows the sign.
    pub(super) case: Case,
    /// What it was made from, if that is not the case after which the sign was seen.
    pub(super) earlier: Option<Case>,
    /// By its steps, messages that are said by name.
    pub(super) named: HashMap<usize, Node>,
    pub(super) verdict: Verdict,
    /// Whether it was shown at all.
    pub(super) shown: bool,
    /// What matters in messages, in words, by their steps.
    pub(super) words: Vec<(usize, String)>,
    /// For the finding's page.
    pub(super) told: Vec<String>,
    /// Other failures that were met on the way.
    pub(super) others: Vec<(TestCase, Failed)>,
    /// Larger ones that show it as well, the smallest last.
    pub(super) larger: Vec<(Case, HashMap<usize, Node>)>,
}

impl Worker<'_> {
    /// Finds out how a sign comes back, and makes the case small that shows it. `history` is what was played on the same target,
    /// the last one last; `keep` is given what is about to be made small.
    pub(super) fn reduce(&mut self, history: &[Case], symptom: &Symptom, keep: &mut dyn FnMut(&TestCase)) -> Reduction {
        let common = self.common;
        let (player, judge) = (&mut self.player, &common.judge);
        let suspects = if symptom.kind() == Class::Hang { SUSPECTS_SILENT_MAX } else { SUSPECTS_MAX };
        let tried = history.iter().rev().take(suspects);
        let mut tried = tried.enumerate().filter_map(|(at, case)| Some((at, judge.try_fresh(player, case, symptom)?)));
        let (back, symptom) = tried.next().unwrap_or_else(|| (0, symptom.clone()));
        let Some((case, before)) = history[..history.len() - back].split_last() else {
            return Reduction::of(Case::default());
        };
        let right = match symptom {
            Symptom::Wrong => answers(player, &whole(case)),
            _ => Vec::new(),
        };
        let mut len = 0;
        let recent = before.iter().rev().take_while(|case| {
            len += case.bytes();
            len <= LOOK_BACK_LEN_MAX
        });
        let before = &before[before.len() - recent.count()..];
        let connections = history.iter().map(Case::connections).max().unwrap_or(1);
        let subject = common.writer.subject(&common.plan, case, &right, connections);
        let before: Vec<TestCase> =
            before.iter().map(|case| common.writer.subject(&common.plan, &closed(case), &[], connections)).collect();
        keep(&subject);

        let wanted = symptom.failed();
        let mut others = Vec::new();
        let mut oracle = |case: &TestCase| {
            if lock(self.state).ending == Some(Ending::Interrupted) {
                return Replay::Stopped;
            }
            match read(case, &common.plan, &common.options.known) {
                Some(read) => Judge::briefly(&mut self.player, |player| replay(judge, player, read, &symptom)),
                None => Replay::Invalid,
            }
        };
        let reduced = reduce(
            Subject { case: &subject, history: &before, wanted: Some(&wanted) },
            &mut oracle,
            Budget::of(common.options.shrink_budget),
            &mut |told| {
                if let Told::Other { case, failed } = told {
                    others.push((case.clone(), failed.clone()));
                }
            },
        );
        let earlier = (back > 0).then(|| case.clone());
        Reduction { others, earlier, ..result(common, case, &reduced) }
    }
}

impl Reduction {
    /// A case that was not made smaller.
    pub(super) fn of(case: Case) -> Reduction {
        Reduction {
            case,
            earlier: None,
            named: HashMap::new(),
            verdict: Verdict::Flaky,
            shown: false,
            words: Vec::new(),
            told: Vec::new(),
            others: Vec::new(),
            larger: Vec::new(),
        }
    }
}

/// What a reduction has come to, as a case again.
fn result(common: &Common, original: &Case, reduced: &Reduced) -> Reduction {
    let found = reduced.verdict().and_then(|_| read(&reduced.case, &common.plan, &common.options.known));
    let Some(Read { mut case, places, named, .. }) = found else { return Reduction::of(original.clone()) };
    let verdict = match (reduced.repeats, reduced.history) {
        (Repeats::Always, None) => Verdict::Deterministic,
        (Repeats::Always, Some(_)) => Verdict::NeedsHistory,
        _ => Verdict::Flaky,
    };
    let step_of = |place: usize| (0..places.len()).find(|at| places[*at] == place && is_send(&case, *at));
    let matters = reduced.matters.iter();
    let words: Vec<(usize, String)> =
        matters.filter_map(|matter| Some((step_of(matter.step)?, matter.words.clone()))).collect();
    let mut told: Vec<String> = Vec::new();
    for (at, number) in case.sends().into_iter().zip(1..) {
        if let Some(fields) = named.get(&at).map(fields) {
            told.push(format!("message {number}: {fields}"));
        }
        told.extend(
            words.iter().filter(|(step, _)| *step == at).map(|(_, words)| format!("message {number}: {words}")),
        );
    }
    let more = if reduced.complete { "" } else { ", and there was more to try" };
    told.push(format!("made from {} in {}{more}", reduced.from, count(reduced.replays as usize, "replay")));
    let moved = without_expectations(&mut case, named);
    let words = words.into_iter().filter_map(|(at, words)| Some((moved.place(at)?, words))).collect();
    let larger = larger(common, &reduced.larger);
    Reduction { case, earlier: None, named: moved.named, verdict, shown: true, words, told, others: Vec::new(), larger }
}

/// Some of the larger cases, twice as far back each time.
fn larger(common: &Common, trail: &[TestCase]) -> Vec<(Case, HashMap<usize, Node>)> {
    let back = (0..LARGER_MAX).map_while(|power| trail.len().checked_sub(1 << power));
    let mut larger: Vec<_> = back
        .filter_map(|at| {
            let Read { mut case, named, .. } = read(&trail[at], &common.plan, &common.options.known)?;
            let named = without_expectations(&mut case, named).named;
            Some((case, named))
        })
        .collect();
    larger.reverse();
    larger
}

/// Where steps stand now.
struct Moved {
    kept: Vec<usize>,
    named: HashMap<usize, Node>,
}

impl Moved {
    fn place(&self, at: usize) -> Option<usize> {
        self.kept.iter().position(|kept| *kept == at)
    }
}

/// What it had to be answered is no part of what is said.
fn without_expectations(case: &mut Case, named: HashMap<usize, Node>) -> Moved {
    let kept: Vec<usize> = (0..case.steps.len()).filter(|at| !matches!(case.steps[*at], Step::Expect(..))).collect();
    case.steps.retain(|step| !matches!(step, Step::Expect(..)));
    let mut moved = Moved { kept, named: HashMap::new() };
    moved.named = named.into_iter().filter_map(|(at, node)| Some((moved.place(at)?, node))).collect();
    moved
}

fn is_send(case: &Case, at: usize) -> bool {
    matches!(case.steps.get(at), Some(Step::Send(_)))
}

/// Which fields of a message by name are given.
fn fields(message: &Node) -> String {
    let Some([entry]) = message.as_table().map(|table| table.entries.as_slice()) else { return String::new() };
    let given = entry.node.as_table().map_or(&[] as &[_], |fields| fields.entries.as_slice());
    let given: Vec<String> = given.iter().map(|field| format!("`{}`", field.key)).collect();
    match given.len() {
        0 => format!("`{}`, every field of which may be what it is by itself", entry.key),
        _ => format!(
            "`{}`, of which {} matter; every other field may be what it is by itself",
            entry.key,
            given.join(", ")
        ),
    }
}

/// Plays a candidate on a fresh target.
fn replay(judge: &Judge, player: &mut Player, read: Read, wanted: &Symptom) -> Replay {
    let Read { case, patterns, places, .. } = read;
    if case.steps.is_empty() || player.restart(false).is_err() {
        return Replay::Invalid;
    }
    if *wanted != Symptom::Wrong {
        return match judge.look(player, &case, wanted) {
            Some(symptom) => Replay::Failed { failed: symptom.failed(), position: None },
            None => Replay::Passed,
        };
    }
    // Wrong is what does not hold in pieces, and does in one.
    let (trace, unmet) = player.expecting(patterns, |player| {
        let trace = player.play(&case, &mut |_, _| {});
        let unmet = trace.unmet.filter(|_| {
            let restarted = player.restart(false).is_ok();
            restarted && player.play(&whole(&case), &mut |_, _| {}).unmet.is_none()
        });
        (trace, unmet)
    });
    if let Some(symptom) = Symptom::of(&trace, &judge.normal) {
        return Replay::Failed { failed: symptom.failed(), position: None };
    }
    let Some(unmet) = unmet else { return Replay::Passed };
    let reply = trace.replies.iter().rfind(|reply| reply.step < unmet);
    let received = reply.filter(|reply| !reply.data.is_empty()).map(|reply| reply.data.clone().into());
    let position = places.get(unmet).map(|place| ("steps".to_owned(), *place));
    Replay::Failed { failed: Failed { received, ..wanted.failed() }, position }
}

/// What is answered to a case on a fresh target.
pub(super) fn answers(player: &mut Player, case: &Case) -> Vec<Reply> {
    match player.restart(false) {
        Ok(()) => player.play(case, &mut |_, _| {}).replies,
        Err(_) => Vec::new(),
    }
}

/// A case with its messages in one piece each.
pub(super) fn whole(case: &Case) -> Case {
    let mut whole = case.clone();
    for step in whole.sends() {
        if let Some(Message { cuts, .. }) = whole.message_mut(step) {
            cuts.clear();
        }
    }
    whole
}

/// A case that leaves nothing open: what it does is reset before the next one begins, as between the cases of a campaign.
fn closed(case: &Case) -> Case {
    let mut case = case.clone();
    let open: BTreeSet<u16> = case.steps.iter().filter_map(Step::link).collect();
    case.steps.extend(open.into_iter().map(Step::Reset));
    case.tidy();
    case
}
