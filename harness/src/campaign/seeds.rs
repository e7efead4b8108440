//! Seeds: what scenarios say, played once and written down as cases.
//!
//! Everything that a script computes is computed here, once: loops are unrolled, fragments and variables filled in. What the
//! target has told, and is said again later, stays a variable.

#![expect(clippy::disallowed_methods, reason = "how long answers take is measured here")]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::case::{Case, Message, Part, REST, STEPS_MAX, Step};
use super::player::{Player, Trace};
use crate::conversation::payload::Cutter;
use crate::conversation::script::{self, Script, Split, Then, Verb};
use crate::event::Place;
use crate::matcher::Pattern;
use crate::random::Random;

/// The most rounds of a loop that become part of a seed.
const ROUNDS_MAX: u64 = 4;

/// The longest pause that becomes part of a seed.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// What playing a script has shown.
#[derive(Debug, Default)]
pub struct Seed {
    /// The scenario's name for it.
    pub name: String,
    /// What was said.
    pub case: Case,
    /// What was answered.
    pub answers: Vec<Vec<u8>>,
    /// The longest that an answer took.
    pub slowest: Duration,
    /// The longest that an answer came after the target had come to rest.
    pub late: Duration,
    /// Whether everything came as the script expects it.
    pub holds: bool,
    /// The first step that did not.
    pub unmet: Option<Place>,
    /// Why there was no TLS, where that went wrong.
    pub trouble: Option<String>,
}

/// Plays a script, and writes down what is said. What it expects is added to `expected`, with how long each answer came after
/// the target had come to rest.
pub fn record(
    player: &mut Player,
    script: &Script,
    expected: &mut Vec<(Pattern, Duration)>,
    random: &mut Random,
) -> Seed {
    let mut recorder = Recorder {
        player,
        script,
        expected,
        random,
        seed: Seed { name: script.name.clone(), holds: true, ..Seed::default() },
        links: HashMap::new(),
        next_link: 0,
        captured: HashSet::new(),
        trace: Trace::default(),
    };
    if recorder.player.begin().is_err() {
        recorder.seed.holds = false;
        return recorder.seed;
    }
    for (name, value) in &script.variables {
        recorder.player.set(name, value.clone());
    }
    // Who plays side by side takes turns.
    let lanes: Vec<&[script::Step]> = script.lanes.iter().map(|lane| &*lane.steps).collect();
    let longest = lanes.iter().map(|lane| lane.len()).max().unwrap_or(0);
    for at in 0..longest {
        for lane in &lanes {
            if let Some(step) = lane.get(at) {
                recorder.step(step);
            }
        }
    }
    let mut trace = std::mem::take(&mut recorder.trace);
    recorder.player.finish(&mut trace, false);
    recorder.seed.holds &= trace.ended.is_none();
    // In order: who stumbles over a reset does not end so after what is valid.
    for link in 0..recorder.next_link {
        recorder.player.play_alone(&Step::Close(link), &mut trace);
    }
    recorder.seed.trouble = recorder.player.take_trouble();
    recorder.seed.case.tidy();
    recorder.seed
}

struct Recorder<'r> {
    player: &'r mut Player,
    script: &'r Script,
    expected: &'r mut Vec<(Pattern, Duration)>,
    random: &'r mut Random,
    seed: Seed,
    /// The connection that each slot speaks on.
    links: HashMap<usize, u16>,
    next_link: u16,
    /// Variables that hold what the target has told.
    captured: HashSet<String>,
    trace: Trace,
}

impl Recorder<'_> {
    fn push(&mut self, step: Step) {
        if self.seed.case.steps.len() < STEPS_MAX {
            self.seed.case.steps.push(step);
        }
    }

    fn open(&mut self, slot: usize) -> Option<u16> {
        let actor = self.script.slots[slot].actor;
        let link = self.next_link;
        if self.player.open(link, actor).is_err() {
            self.seed.holds = false;
            return None;
        }
        self.next_link += 1;
        self.links.insert(slot, link);
        self.push(Step::Open(link, u16::try_from(actor).ok()?));
        Some(link)
    }

    /// The connection of a slot, opened now if it never was.
    fn link(&mut self, slot: usize) -> Option<u16> {
        match self.links.get(&slot) {
            Some(link) => Some(*link),
            None => self.open(slot),
        }
    }

    fn step(&mut self, step: &script::Step) {
        match &step.verb {
            Verb::Connect => {
                self.open(step.slot);
            }
            Verb::Accept(slot) => {
                if let (Some(link), Some(slot)) = (self.open(step.slot), slot) {
                    self.links.insert(*slot, link);
                }
            }
            Verb::Send(send) => self.send(step, send),
            Verb::Expect(pattern) => self.expect(step, pattern),
            // In the order of the file; what comes in another does not hold, and nothing is lost by that.
            Verb::ExpectSet(patterns, _) => patterns.iter().for_each(|pattern| self.expect(step, pattern)),
            Verb::Close | Verb::Reset | Verb::Shutdown => {
                let Some(link) = self.links.get(&step.slot).copied() else { return };
                let end = match step.verb {
                    Verb::Close => Step::Close(link),
                    Verb::Reset => Step::Reset(link),
                    _ => Step::Shut(link),
                };
                if !matches!(step.verb, Verb::Shutdown) {
                    self.links.remove(&step.slot);
                }
                self.play(end);
            }
            Verb::Set(values) => {
                for (name, template) in values {
                    if let Ok(value) = template.fill(self.player.variables()) {
                        self.player.set(name, value);
                    }
                }
            }
            Verb::Repeat(repeat) => self.repeat(repeat),
            Verb::Sleep(duration) => {
                let milliseconds = u16::try_from((*duration).min(PAUSE_MAX).as_millis()).unwrap_or(0);
                self.play(Step::Pause(milliseconds));
            }
            Verb::Alt(branches) => {
                // Which of them it is does not matter for what is said; what the first says is said.
                self.player.settle(&mut self.trace);
                for step in branches.first().into_iter().flat_map(|branch| branch.iter()) {
                    if !step.verb.listens() {
                        self.step(step);
                    }
                }
            }
            Verb::Defer(steps) => steps.iter().for_each(|step| self.step(step)),
            Verb::Drain(_) => self.drain(step),
            Verb::ExpectSilence(_) => {
                if self.link(step.slot).is_some() {
                    self.player.settle(&mut self.trace);
                }
            }
            Verb::Await(..)
            | Verb::Barrier(..)
            | Verb::Control(_)
            | Verb::ExpectEof
            | Verb::ExpectRefused
            | Verb::ExpectReset
            | Verb::Log(_)
            | Verb::Notify(_) => {}
            Verb::StartTls(_) => {
                if let Some(link) = self.link(step.slot) {
                    self.play(Step::StartTls(link));
                }
            }
        }
    }

    /// Plays a step by itself.
    fn play(&mut self, step: Step) {
        self.player.play_alone(&step, &mut self.trace);
        self.push(step);
    }

    fn send(&mut self, step: &script::Step, send: &script::Send) {
        let Some(link) = self.link(step.slot) else { return };
        let framing = self.script.actors[self.script.slots[step.slot].actor].framing.clone();
        let mut whole = Vec::new();
        let mut names = Vec::new();
        for payload in &send.payloads {
            let framed = payload
                .fill(self.player.variables(), self.random, framing.as_deref())
                .and_then(|body| payload.frame(body, framing.as_deref()));
            let Ok(framed) = framed else {
                self.seed.holds = false;
                return;
            };
            payload.variables(&mut |name| names.push(name.to_owned()));
            whole.push(framed.to_vec());
        }
        if send.coalesce {
            whole = vec![whole.concat()];
        }
        for mut bytes in whole {
            if let Some((at, xor)) = send.corrupt
                && let Some(byte) = bytes.get_mut(at)
            {
                *byte ^= xor;
            }
            bytes.truncate(send.truncate.unwrap_or(usize::MAX));
            let mut message = Message { parts: self.parts(&bytes, &names), ..Message::new(link, Vec::new()) };
            if send.split != Split::Whole {
                let mut at = 0;
                let cutter = Cutter::new(bytes.clone().into(), &send.split, None, self.random);
                for piece in cutter {
                    at += piece.len() as u32;
                    message.cuts.push(at);
                }
            }
            self.player.send(&message, &bytes, &mut self.trace);
            self.push(Step::Send(message));
        }
        let end = match send.then {
            None => return,
            Some(Then::Close) => Step::Close(link),
            Some(Then::Reset) => Step::Reset(link),
            Some(Then::HalfClose) => Step::Shut(link),
        };
        self.play(end);
    }

    /// A message's bytes, with what the target has told before as variables.
    fn parts(&self, bytes: &[u8], names: &[String]) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut rest = bytes;
        for name in names.iter().filter(|name| self.captured.contains(*name)) {
            let Some(value) = self.player.variables().get(name.as_str()).filter(|value| !value.is_empty()) else {
                continue;
            };
            let Some(at) = memchr::memmem::find(rest, value) else { continue };
            if at > 0 {
                parts.push(Part::Bytes(rest[..at].to_vec()));
            }
            parts.push(Part::Variable(name.clone(), value.to_vec()));
            rest = &rest[at + value.len()..];
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Bytes(rest.to_vec()));
        }
        parts
    }

    fn expect(&mut self, step: &script::Step, pattern: &Pattern) {
        let Some(link) = self.link(step.slot) else { return };
        let is_live = pattern.uses().iter().all(|name| self.captured.contains(name));
        let pattern = match is_live {
            true => pattern.clone(),
            false => match pattern.filled(self.player.variables()) {
                Ok(filled) => filled,
                Err(_) => {
                    self.seed.holds = false;
                    return;
                }
            },
        };
        let began = Instant::now();
        let mut kept = Vec::new();
        self.player.late = Duration::ZERO;
        let within = std::mem::replace(&mut self.player.reply_within, step.limit.duration.min(Duration::from_secs(2)));
        let held = self.player.expect(link, &pattern, &mut kept, &mut self.trace);
        self.player.reply_within = within;
        self.seed.holds &= held;
        if held {
            self.seed.slowest = self.seed.slowest.max(began.elapsed());
        } else {
            let info = self.script.infos.get(step.id as usize);
            self.seed.unmet = self.seed.unmet.take().or_else(|| info.map(|info| info.place.clone()));
        }
        self.captured.extend(pattern.sets().iter().map(ToString::to_string));
        if let Some(name) = &step.save {
            self.player.set(name, kept.clone().into());
        }
        if !kept.is_empty() {
            self.seed.answers.push(kept);
        }
        // What did not come now is not waited for in each case.
        if held {
            let number = self.expected.len() as u32;
            self.expected.push((pattern, self.player.late));
            self.seed.late = self.seed.late.max(self.player.late);
            self.push(Step::Expect(link, number));
        }
    }

    /// Drops what comes, as each play does then: what is left of it would be taken for the answer to what is said next.
    fn drain(&mut self, step: &script::Step) {
        let Some(link) = self.link(step.slot) else { return };
        let mut kept = Vec::new();
        self.player.drain(link, &mut kept, &mut self.trace);
        if !kept.is_empty() {
            self.seed.answers.push(kept);
            self.push(Step::Expect(link, REST));
        }
    }

    fn repeat(&mut self, repeat: &script::Repeat) {
        let times = repeat.times.fill(self.player.variables()).unwrap_or(1).min(ROUNDS_MAX);
        for round in 0..times {
            for (name, values) in &repeat.values {
                let value = values.get(round as usize).and_then(|value| value.fill(self.player.variables()).ok());
                if let Some(value) = value {
                    self.player.set(name, value);
                }
            }
            if repeat.counts {
                self.player.set("i", round.to_string().into());
            }
            let steps: Arc<[script::Step]> = Arc::clone(&repeat.steps);
            steps.iter().for_each(|step| self.step(step));
        }
    }
}
