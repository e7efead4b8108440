//! Findings as files: a scenario that fails while the bug lives, its capture, what the target wrote, and a page for people.

#![expect(clippy::disallowed_methods, reason = "findings are written here")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::case::{Case, Message, Step};
use super::oracle::{Kind, Resource, Symptom};
use super::plan::{Place, Plan};
use super::player::Reply;
use super::triage::Verdict;
use crate::document::{Node, Table};
use crate::testcase::{self, Played, TestCase, step};

/// A finding, as `campaign.json` has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What it has in common with others of its kind.
    pub bucket: String,
    /// What it counts as.
    pub kind: Kind,
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

/// Between the pieces of a message that was cut.
const BETWEEN: Duration = Duration::from_millis(2);

/// How long a valid conversation may wait for its answer.
const PROBE_WITHIN: Duration = Duration::from_secs(3);

/// From how many cuts on a message is written in one step.
const CUTS_MAX: usize = 64;

/// How often a leak is played.
const LEAK_ROUNDS: i64 = 200;

/// How many bytes of a message the page shows.
const SHOWN_MAX: usize = 512;

/// Makes scenarios of cases.
#[derive(Debug)]
pub struct Writer {
    /// A case of the campaign's scenario.
    base: TestCase,
    player: testcase::Player,
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
}

impl Writer {
    /// A writer of scenarios with the targets and actors of `base`.
    pub fn new(base: TestCase, player: testcase::Player) -> Writer {
        Writer { base, player }
    }

    /// The finding as a scenario. `probed` ends it with the valid conversation.
    pub fn scenario(&self, plan: &Plan, name: &str, material: &Material<'_>, probed: bool) -> TestCase {
        let mut whole = self.base.like(name, Vec::new());
        let probe = material.probe.filter(|_| probed);
        let mut names = Names::new(plan, material.case, probe.map(|(case, _)| case), &mut whole);
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
            let quiet = if Some(at) == last && !is_leak { QUIET_LAST } else { quiet };
            names.push(own, quiet, right, &mut steps);
        }
        if let Some((case, replies)) = probe {
            names.probe(case, replies, &mut steps);
        }
        if let Symptom::Leak(resource) = material.symptom {
            for link in material.case.steps.iter().filter_map(Step::link).collect::<std::collections::BTreeSet<_>>() {
                steps.extend(names.of(link).map(|name| step::reset(name.as_deref())));
            }
            steps = vec![
                Table::of([(
                    "repeat",
                    Node::from(Table::of([("times", Node::from(LEAK_ROUNDS)), ("steps", steps.into())])),
                )])
                .into(),
            ];
            set_limit(&mut whole, *resource);
        }
        if let Symptom::Panic(_) = material.symptom {
            forbid_panics(&mut whole);
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

/// By which name steps speak on which connection.
struct Names<'p> {
    plan: &'p Plan,
    names: Vec<(u16, Option<String>)>,
    probe: Option<String>,
    probe_is_alone: bool,
}

impl<'p> Names<'p> {
    fn new(plan: &'p Plan, case: &Case, probe: Option<&Case>, whole: &mut TestCase) -> Names<'p> {
        let opened: Vec<(u16, usize)> = case
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Open(link, actor) => Some((*link, usize::from(*actor))),
                _ => None,
            })
            .collect();
        let first = plan.actors.iter().position(|actor| !matches!(actor.place, Place::Listen(_))).unwrap_or(0);
        let of_first = opened.iter().filter(|(_, actor)| *actor == first).count();
        let probed = usize::from(probe.is_some());
        let mut group = whole.connections(of_first + probed).into_iter();
        let mut names = Vec::new();
        for (at, (link, actor)) in opened.iter().enumerate() {
            let name = match &plan.actors[*actor].place {
                // A connection that comes to us has a name of its own.
                Place::Listen(_) => Some(format!("c{at}")),
                _ if *actor == first => group.next().flatten(),
                _ => Some(plan.actors[*actor].name.clone()),
            };
            names.push((*link, name));
        }
        let probe_name = group.next();
        Names { plan, names, probe_is_alone: matches!(probe_name, Some(None)), probe: probe_name.flatten() }
    }

    /// The name of a connection; `None` inside is that of the one actor without a name.
    fn of(&self, link: u16) -> Option<Option<String>> {
        self.names.iter().rev().find(|(known, _)| *known == link).map(|(_, name)| name.clone())
    }

    fn push(&mut self, own: &Step, quiet: Duration, right: Option<&Reply>, steps: &mut Vec<Node>) {
        let Some(link) = own.link() else {
            if let Step::Pause(milliseconds) = own {
                steps.push(step::sleep(Duration::from_millis((*milliseconds).into())));
            }
            return;
        };
        let Some(name) = self.of(link) else { return };
        let name = name.as_deref();
        match own {
            Step::Open(_, actor) => match &self.plan.actors[usize::from(*actor)] {
                listener if matches!(listener.place, Place::Listen(_)) => {
                    steps.push(step::step(Some(&listener.name), "accept", name.unwrap_or_default()));
                }
                _ => steps.push(step::connect(name)),
            },
            Step::Send(message) => {
                send(message, name, steps);
                match right {
                    Some(right) if right.len > 0 => steps.push(step::expect(name, &right.data)),
                    Some(_) => {}
                    None => steps.push(step::drain(name, quiet)),
                }
            }
            Step::Shut(_) => {
                steps.push(step::half_close(name));
                steps.push(step::drain(name, quiet));
            }
            Step::Close(_) => steps.push(step::close(name)),
            Step::Reset(_) => steps.push(step::reset(name)),
            Step::Expect(..) | Step::Pause(_) => {}
        }
    }

    /// A valid conversation, whose every message has to be answered that was before.
    fn probe(&self, case: &Case, replies: &[Reply], steps: &mut Vec<Node>) {
        let name = self.probe.as_deref();
        if name.is_none() && !self.probe_is_alone {
            return;
        }
        steps.push(step::connect(name));
        for (at, message) in case.messages() {
            send(message, name, steps);
            if replies.iter().any(|reply| reply.step == at && reply.len > 0) {
                let within = step::duration(PROBE_WITHIN);
                steps.push(step::with(step::expect_any(name), "within", within));
                // One answer is enough to know that somebody is there.
                break;
            }
        }
    }
}

/// A message, its pieces one after the other.
fn send(message: &Message, name: Option<&str>, steps: &mut Vec<Node>) {
    let bytes = message.bytes();
    let writes = message.writes(&bytes);
    if writes.len() > CUTS_MAX {
        let sizes: Vec<usize> = writes.iter().map(|write| write.len()).collect();
        steps.push(step::split(step::send_raw(name, &bytes), &sizes));
        return;
    }
    for (at, write) in writes.into_iter().enumerate() {
        if at > 0 {
            steps.push(step::sleep(BETWEEN));
        }
        steps.push(step::send_raw(name, write));
    }
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

fn set_limit(whole: &mut TestCase, resource: Resource) {
    for table in targets(whole) {
        let limit = match resource {
            Resource::Descriptors => ("descriptors_growth", Node::from(4)),
            Resource::Memory => ("memory_growth", Node::from("128KiB")),
            Resource::Threads => ("threads_growth", Node::from(4)),
        };
        table.set("limits", Table::of([limit]));
    }
}

fn forbid_panics(whole: &mut TestCase) {
    for table in targets(whole).into_iter().filter(|table| table.get("never").is_none()) {
        let words = "thread '.*panicked at|Sanitizer: |: runtime error: ";
        table.set("never", Table::of([("stderr", words)]));
    }
}

/// The page of a finding.
pub fn page(finding: &Finding, symptom: &Symptom, case: &Case, told: &[String]) -> String {
    let mut page = format!("# {}\n\n{symptom}.\n\n", finding.bucket);
    page.push_str(&format!(
        "Found after {:.1} s and {} cases. {}\n\n```\nharness run {}\n```\n\nfails as long as it is there.\n",
        finding.seconds,
        finding.cases,
        match finding.verdict {
            Verdict::Deterministic => "It shows each time, on a fresh target.",
            Verdict::Flaky => "It shows now and then.",
            Verdict::NeedsHistory =>
                "It shows each time, on a fresh target, after what several connections have said before.",
        },
        finding.path.join("repro.toml").display()
    ));
    if !told.is_empty() {
        page.push_str("\n## What matters\n\n");
        told.iter().for_each(|line| page.push_str(&format!("- {line}\n")));
    }
    page.push_str(&format!(
        "\n## What is said\n\n{}, {}, {}.\n",
        crate::text::count(finding.connections, "connection"),
        crate::text::count(finding.messages, "message"),
        crate::text::count(finding.bytes, "byte"),
    ));
    for (at, message) in case.messages() {
        let bytes = message.bytes();
        let cuts = match message.cuts.len() {
            0 => String::new(),
            cuts => format!(", in {} writes", cuts + 1),
        };
        page.push_str(&format!("\nStep {}, connection {}{cuts}:\n\n```\n", at + 1, message.link));
        page.push_str(&dump(&bytes[..bytes.len().min(SHOWN_MAX)]));
        if bytes.len() > SHOWN_MAX {
            page.push_str(&format!("… {}\n", crate::text::count(bytes.len(), "byte")));
        }
        page.push_str("```\n");
    }
    page
}

/// Bytes in hexadecimal, with what of them is text.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, line) in bytes.chunks(16).enumerate() {
        let hex: String = line.iter().map(|byte| format!("{byte:02x} ")).collect();
        let shown: String =
            line.iter().map(|byte| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' }).collect();
        text.push_str(&format!("{:04x}  {hex:<48} {shown}\n", at * 16));
    }
    text
}
