//! Findings as files: a scenario that fails while the bug lives, its capture, what the target wrote, and a page for people.

#![expect(clippy::disallowed_methods, reason = "findings are written here")]

mod bucket;
mod names;
mod page;
mod teardown;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use bucket::{Kept, bucket, keep, shape};
use names::{Names, PROBE_WITHIN};
pub use page::page;
use teardown::Gone;
pub use teardown::Teardown;

use super::case::{Case, Step};
use super::growth::{DRIP_LEN, Family, Grows, Said};
use super::oracle::{Resource, Symptom};
use super::plan::Plan;
use super::player::Reply;
use super::triage::Verdict;
use crate::document::{Node, Table};
use crate::testcase::{self, Class, Played, TestCase, step};

/// A finding, as `campaign.json` has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What it has in common with others of its kind.
    pub bucket: String,
    /// What it counts as.
    pub kind: Class,
    /// How long the campaign had been running.
    pub seconds: f64,
    /// How many cases had been played.
    pub cases: u64,
    /// How it behaves when it is played again.
    pub verdict: Verdict,
    /// How many connections it takes.
    pub connections: usize,
    /// How many messages.
    pub messages: usize,
    /// How many bytes.
    pub bytes: usize,
    /// How many findings it stands for: what is taken for the same bug lies in its folder as a sample.
    pub samples: u32,
    /// What it is taken for the same by: its name where it says where it happened, else the sign and the case's shape.
    pub shape: String,
    /// Its folder.
    pub path: PathBuf,
}

/// How long a peer is quiet before the next message is sent.
const QUIET: Duration = Duration::from_millis(50);

/// The same in a long conversation.
const QUIET_SHORT: Duration = Duration::from_millis(5);

/// From how many messages on a conversation is long.
const LONG: usize = 12;

/// How long a target may take to end after the last message.
const QUIET_LAST: Duration = Duration::from_millis(300);

/// How long a target has to end, where that is what is wrong: who ends is not waited for any longer.
const QUIET_ENDING: Duration = Duration::from_secs(1);

/// How long an answer that stays away is waited for where it has been waited for in full before.
const PROBE_BRIEFLY: Duration = Duration::from_secs(1);

/// How long each step may take of a scenario that says much of one thing.
const GROWN_WITHIN: Duration = Duration::from_secs(60);

/// How much of a processor a target may use after a case that is a finding because it uses one up.
const IDLE_WORK: &str = "300ms";

/// How often a leak of memory is played.
const LEAK_ROUNDS: i64 = 200;

/// How often one of descriptors or threads is: enough to tell, and far from what a process may have of them.
const LEAK_ROUNDS_COUNTED: i64 = 48;

/// Makes scenarios of cases.
#[derive(Debug)]
pub struct Writer {
    /// A case of the campaign's scenario.
    base: TestCase,
    player: testcase::Player,
    /// For each actor, whether its connections carry datagrams.
    pub datagrams: Vec<bool>,
}

/// What a scenario of a finding is made of.
#[derive(Clone, Debug)]
pub struct Material<'m> {
    /// The case.
    pub case: &'m Case,
    /// What was answered to its messages.
    pub replies: &'m [Reply],
    /// What is wrong.
    pub symptom: &'m Symptom,
    /// A valid conversation, and what was answered to it.
    pub probe: Option<(&'m Case, &'m [Reply])>,
    /// What a right answer is, where that is what is wrong: each message's.
    pub right: &'m [Reply],
    /// By their steps, messages that are said by name.
    pub named: &'m HashMap<usize, Node>,
    /// What matters in messages, in words, by their steps.
    pub words: &'m [(usize, String)],
}

impl Writer {
    /// A writer of scenarios with the targets and actors of `base`.
    pub fn new(base: TestCase, player: testcase::Player) -> Writer {
        Writer { base, player, datagrams: Vec::new() }
    }

    /// The finding as a scenario.
    pub fn scenario(&self, plan: &Plan, name: &str, material: &Material<'_>, teardown: Teardown) -> TestCase {
        let mut whole = self.base.like(name, Vec::new());
        let probe = material.probe.filter(|_| teardown.probed);
        let mut names = Names::new(plan, &self.datagrams, material.case, probe.map(|(case, _)| case), 0, &mut whole);
        names.to_the_end = *material.symptom == Symptom::Differs;
        let mut steps = Vec::new();
        let is_leak = matches!(material.symptom, Symptom::Leak(_));
        let quiet = if is_leak || material.case.sends().len() > LONG { QUIET_SHORT } else { QUIET };
        let ended: Vec<(usize, u16)> = ended(material);
        let last = material.case.sends().last().copied();
        for (at, own) in material.case.steps.iter().enumerate() {
            let gone = own.link().is_some_and(|link| ended.iter().any(|(step, other)| *other == link && at > *step));
            // Nobody reads there any more, and once the bug is gone that must be no failure.
            if gone && !matches!(own, Step::Open(..) | Step::Reset(_)) {
                continue;
            }
            let right = material.right.iter().find(|reply| reply.step == at);
            let quiet = match material.symptom {
                _ if Some(at) == last && teardown.gone == Gone::ResetAtOnce => None,
                _ if Some(at) == last && teardown.gone == Gone::Reset => Some(quiet),
                Symptom::Ended { .. } if Some(at) == last => Some(QUIET_ENDING),
                _ if Some(at) == last && !is_leak => Some(QUIET_LAST),
                _ => Some(quiet),
            };
            let words = material.words.iter().filter(|(step, _)| *step == at && !is_leak);
            whole.step_notes.extend(words.map(|(_, words)| ("steps".to_owned(), steps.len(), words.clone())));
            names.push(own, material.named.get(&at), quiet, right, &mut steps);
        }
        match teardown.gone {
            Gone::Left => {}
            Gone::Closed => names.end(material.case, &ended, Step::Close, &mut steps),
            Gone::Reset | Gone::ResetAtOnce => names.end(material.case, &ended, Step::Reset, &mut steps),
        }
        if let Some((case, replies)) = probe {
            let within = match material.symptom {
                // In the middle between then and now, so that neither is a matter of luck.
                Symptom::Late(time) => Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX) / 2),
                _ => PROBE_WITHIN,
            };
            names.probe(case, replies, within, &mut steps);
        }
        if let Symptom::Leak(resource) = *material.symptom {
            names.end(material.case, &[], Step::Reset, &mut steps);
            let times = if resource == Resource::Memory { LEAK_ROUNDS } else { LEAK_ROUNDS_COUNTED };
            steps = vec![
                Table::of([("repeat", Node::from(Table::of([("times", Node::from(times)), ("steps", steps.into())])))])
                    .into(),
            ];
            let (key, most) = match resource {
                Resource::Descriptors => ("descriptors_growth", Node::from(4)),
                Resource::Memory => ("memory_growth", Node::from("128KiB")),
                Resource::Threads => ("threads_growth", Node::from(4)),
            };
            set_limit(&mut whole, key, &most);
        }
        if *material.symptom == Symptom::Busy {
            set_limit(&mut whole, "idle_work", &Node::from(IDLE_WORK));
        }
        if let Symptom::Panic(_) = material.symptom {
            forbid(&mut whole, "stderr", &"thread '.*panicked at|Sanitizer: |: runtime error: ".into());
        }
        if let Symptom::Child { .. } = material.symptom {
            forbid(&mut whole, "crash", &true.into());
        }
        if let Some(own) = whole.lane_mut("steps") {
            *own = steps;
        }
        whole
    }

    /// More and more of one thing as a scenario: what is said before it, and then the most of it.
    pub fn grown(&self, plan: &Plan, name: &str, family: &Family, said: &Said, grows: Grows, limit: &str) -> TestCase {
        let mut whole = self.base.like(name, Vec::new());
        whole.case_mut().set("timeout", step::duration(GROWN_WITHIN));
        let mut names = Names::new(plan, &self.datagrams, &family.before, None, 0, &mut whole);
        let mut steps = Vec::new();
        for own in &family.before.steps {
            names.push(own, None, Some(QUIET), None, &mut steps);
        }
        let Some(name) = names.of(family.link) else { return whole };
        let name = name.as_deref();
        let send = step::step(name, "send", Table::of([("raw", said.node())]));
        // Once the bug is gone, it may be that so much is refused.
        let send = step::with(send, "cut_short", true);
        steps.push(if family.drips { step::with(send, "pace", format!("{DRIP_LEN}B/50us")) } else { send });
        steps.push(step::drain(name, QUIET_LAST));
        let key = match grows {
            Grows::Memory => "memory",
            Grows::Work => "work",
        };
        set_limit(&mut whole, key, &Node::from(limit));
        if let Some(own) = whole.lane_mut("steps") {
            *own = steps;
        }
        whole
    }

    /// A case as it is made smaller: nothing but what it says, with room for so many connections. With `right` that is what has
    /// to be answered.
    pub fn subject(&self, plan: &Plan, case: &Case, right: &[Reply], connections: usize) -> TestCase {
        let mut whole = self.base.like("subject", Vec::new());
        let mut names = Names::new(plan, &self.datagrams, case, None, connections, &mut whole);
        let mut steps = Vec::new();
        for (at, own) in case.steps.iter().enumerate() {
            names.push_short(own, right.iter().find(|reply| reply.step == at), &mut steps);
        }
        if let Some(own) = whole.lane_mut("steps") {
            *own = steps;
        }
        whole
    }

    /// Plays a scenario as `harness run` does.
    pub fn play(&self, case: &TestCase) -> Option<Played> {
        self.player.play(case).ok()
    }

    /// Plays a scenario that fails because an answer stays away, and waits for that no longer than it takes to see it.
    pub fn play_briefly(&self, case: &TestCase) -> Option<Played> {
        let mut brief = case.clone();
        for table in brief.lane_mut("steps").into_iter().flatten().filter_map(step::table_mut) {
            if table.get("within").and_then(Node::as_str) == Some(&step::duration(PROBE_WITHIN)) {
                table.set("within", step::duration(PROBE_BRIEFLY));
            }
        }
        self.play(&brief)
    }

    /// Writes a finding's folder.
    pub fn write(
        &self,
        folder: &Path,
        case: &TestCase,
        played: Option<&Played>,
        stderr: &str,
        page: &str,
    ) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let capture = played.and_then(Played::capture);
        case.write(&folder.join("repro.toml"), capture.as_deref())?;
        fs::write(folder.join("stderr.txt"), stderr)?;
        fs::write(folder.join("report.md"), page)
    }
}

/// After which steps which connections were ended by the target.
fn ended(material: &Material<'_>) -> Vec<(usize, u16)> {
    let links = material.replies.iter().filter(|reply| reply.end.is_some());
    links.filter_map(|reply| Some((reply.step, material.case.steps.get(reply.step)?.link()?))).collect()
}

/// The tables of the targets that are processes.
fn targets<'t>(whole: &'t mut TestCase) -> Vec<&'t mut Table> {
    use crate::document::Value;
    let Some(Value::Table(table)) = whole.document_mut().get_mut("target").map(|node| &mut node.value) else {
        return Vec::new();
    };
    let is_one = |table: &Table| {
        ["builtin", "command", "address"].iter().any(|key| table.get(key).is_some_and(|node| node.as_table().is_none()))
    };
    let tables: Vec<&'t mut Table> = match is_one(table) {
        true => vec![table],
        false => table
            .entries
            .iter_mut()
            .filter_map(|entry| match &mut entry.node.value {
                Value::Table(table) => Some(table),
                _ => None,
            })
            .collect(),
    };
    tables.into_iter().filter(|table| table.get("builtin").or(table.get("command")).is_some()).collect()
}

fn set_limit(whole: &mut TestCase, key: &'static str, most: &Node) {
    for table in targets(whole) {
        table.set("limits", Table::of([(key, most.clone())]));
    }
}

fn forbid(whole: &mut TestCase, key: &'static str, what: &Node) {
    for table in targets(whole).into_iter().filter(|table| table.get("never").is_none()) {
        table.set("never", Table::of([(key, what.clone())]));
    }
}
