//! A finding's scenario as a case again: what [`reduce`](crate::reduce) has made smaller is played by the campaign's player.
//!
//! Only what [`Writer`](super::finding::Writer) says is read: steps in one order, on connections of the campaign's actors. What
//! `drain` and the like wait for, the player knows by itself.

use std::collections::{HashMap, HashSet};

use super::case::{Case, Message, Step};
use super::plan::Plan;
use crate::conversation::payload::Cutter;
use crate::conversation::script::{self, Script, Split, Verb};
use crate::document::Node;
use crate::matcher::Pattern;
use crate::random::Random;
use crate::reduce::is_message;
use crate::scenario::{Known, Scenario};
use crate::testcase::{TestCase, step::parts};

/// What was read.
#[derive(Debug, Default)]
pub struct Read {
    /// The case.
    pub case: Case,
    /// What its steps expect.
    pub patterns: Vec<Pattern>,
    /// For each of its steps, the step of the scenario.
    pub places: Vec<usize>,
    /// By its steps, messages that have a name.
    pub named: HashMap<usize, Node>,
}

/// Reads a scenario; `None` if it says what a campaign cannot play.
pub fn read(from: &TestCase, plan: &Plan, known: &Known) -> Option<Read> {
    let scenario = from.load("case.toml", known).ok()?;
    let script = &scenario.cases.first()?.script;
    let ([lane], [(_, nodes)]) = (&*script.lanes, &*from.lanes()) else { return None };
    if lane.steps.len() != nodes.len() {
        return None;
    }
    let mut reader = Reader {
        scenario: &scenario,
        script,
        plan,
        links: HashMap::new(),
        closed: HashSet::new(),
        next_link: 0,
        random: Random::new(known.seed, "reading"),
        read: Read::default(),
    };
    for (at, (step, node)) in lane.steps.iter().zip(*nodes).enumerate() {
        reader.step(step, node)?;
        reader.read.places.resize(reader.read.case.steps.len(), at);
    }
    Some(reader.read)
}

struct Reader<'r> {
    scenario: &'r Scenario,
    script: &'r Script,
    plan: &'r Plan,
    /// The connection that each slot speaks on.
    links: HashMap<usize, u16>,
    closed: HashSet<usize>,
    next_link: u16,
    random: Random,
    read: Read,
}

impl Reader<'_> {
    fn push(&mut self, step: Step) {
        self.read.case.steps.push(step);
    }

    /// Opens a connection of a slot's actor, for this slot.
    fn open(&mut self, of: usize, slot: usize) -> Option<()> {
        let name = &self.scenario.actors.get(self.script.slots.get(of)?.actor)?.name;
        // A finding may need more connections than the campaign's scenario has members of a group.
        let base = name.split('[').next().unwrap_or(name);
        let actors = &self.plan.actors;
        let same = |actor: &super::plan::Actor| actor.name.split('[').next() == Some(base);
        let exact = actors.iter().position(|actor| actor.name == *name);
        let actor = exact.or_else(|| actors.iter().position(same))?;
        let link = self.next_link;
        self.next_link = link.checked_add(1)?;
        self.closed.remove(&slot);
        self.links.insert(slot, link);
        self.push(Step::Open(link, u16::try_from(actor).ok()?));
        Some(())
    }

    /// The connection of a slot; its first step opens it.
    fn link(&mut self, slot: usize) -> Option<u16> {
        if !self.links.contains_key(&slot) {
            if self.closed.contains(&slot) {
                return None;
            }
            self.open(slot, slot)?;
        }
        self.links.get(&slot).copied()
    }

    fn step(&mut self, step: &script::Step, node: &Node) -> Option<()> {
        match &step.verb {
            Verb::Connect => self.open(step.slot, step.slot)?,
            Verb::Accept(slot) => self.open(step.slot, slot.unwrap_or(step.slot))?,
            Verb::Send(send) => self.send(step, send, node)?,
            Verb::Expect(pattern) => {
                let link = self.link(step.slot)?;
                let number = u32::try_from(self.read.patterns.len()).ok()?;
                self.read.patterns.push(pattern.clone());
                self.push(Step::Expect(link, number));
            }
            Verb::Close | Verb::Reset => {
                let link = self.link(step.slot)?;
                self.links.remove(&step.slot);
                self.closed.insert(step.slot);
                self.push(if matches!(step.verb, Verb::Close) { Step::Close(link) } else { Step::Reset(link) });
            }
            Verb::Shutdown => {
                let link = self.link(step.slot)?;
                self.push(Step::Shut(link));
            }
            Verb::StartTls(_) => {
                let link = self.link(step.slot)?;
                self.push(Step::StartTls(link));
            }
            Verb::Sleep(time) => self.push(Step::Pause(u16::try_from(time.as_millis()).unwrap_or(u16::MAX))),
            Verb::Drain(_) => {
                self.link(step.slot)?;
            }
            _ => return None,
        }
        Some(())
    }

    fn send(&mut self, step: &script::Step, send: &script::Send, node: &Node) -> Option<()> {
        let link = self.link(step.slot)?;
        let framing = self.script.actors[self.script.slots[step.slot].actor].framing.clone();
        let [payload] = send.payloads.as_slice() else { return None };
        let variables = self.script.variables.iter().cloned().collect();
        let body = payload.fill(&variables, &mut self.random, framing.as_deref()).ok()?;
        let bytes = payload.frame(body, framing.as_deref()).ok()?.to_vec();
        let mut message = Message::new(link, bytes.clone());
        if send.split != Split::Whole {
            let mut at = 0;
            for piece in Cutter::new(bytes.into(), &send.split, None, &mut self.random) {
                at += u32::try_from(piece.len()).ok()?;
                message.cuts.push(at);
            }
        }
        let said = parts(node).and_then(|(_, table)| table.get("send"));
        if let Some(said) = said.filter(|said| is_message(said)) {
            self.read.named.insert(self.read.case.steps.len(), said.clone());
        }
        self.push(Step::Send(message));
        Some(())
    }
}
