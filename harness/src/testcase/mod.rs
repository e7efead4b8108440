//! One conversation as a value: what scenarios, findings, counterexamples and stored cases are.
//!
//! A [`TestCase`] is the document of a scenario with one case in it, as a tree that can be changed: who is under test, who
//! talks, the steps with their cuts, delays and faults, the seed, and in `[about]` what went wrong. [`TestCase::write`] writes
//! it as TOML, with its capture beside it, and what is written reads back. [`Player`] plays it on fresh targets, and says
//! in a [`Failed`] what went wrong in words by which the same failure is known again.
//!
//! - [`TestCase::from_scenario`] takes a case out of a file; [`TestCase::like`] is another conversation with the same targets
//!   and actors, of [`step`]s made by a program.
//! - [`TestCase::after`] joins what was said on earlier connections to the same target to it: its history.
//!
//! Not here: how a case is made small ([`reduce`](crate::reduce)), and what a step means ([`scenario`](crate::scenario)).

mod compare;
mod failed;
mod file;
mod history;
pub mod payload;
mod play;
pub mod step;

use std::path::{Path, PathBuf};

pub use compare::differences;
pub use failed::{Class, Failed};
pub use file::TakeError;
pub use play::{PlayError, Played, Player};

use crate::document::{Comments, Node, Source, Table, Value, parse, write};
use crate::event::Mistake;
use crate::scenario::{About, Known, Scenario, load};

/// One conversation, whole: a scenario with one case.
#[derive(Clone, Debug, PartialEq)]
pub struct TestCase {
    /// Where its relative paths start.
    pub folder: PathBuf,
    /// The scenario without `[about]`.
    document: Table,
    /// What is known of it.
    pub about: About,
    /// Comments at the top of its file.
    pub notes: Vec<String>,
    /// Comments above steps: the lane (`steps`, or the actor in `play`), the step's number there, the line.
    pub step_notes: Vec<(String, usize, String)>,
}

impl TestCase {
    /// Another conversation with the same targets and actors: its steps in one order, nothing known of it yet.
    ///
    /// Faults and limits of the file stay; what the case itself says besides its steps does not.
    pub fn like(&self, name: &str, steps: Vec<Node>) -> TestCase {
        let mut like = TestCase { about: About::default(), notes: Vec::new(), step_notes: Vec::new(), ..self.clone() };
        let name = name.replace("${", "$${");
        let case = Table::of([("name", Node::from(name)), ("strict_end", false.into()), ("steps", steps.into())]);
        like.document.set("case", vec![Node::from(case)]);
        like
    }

    /// The scenario without `[about]`: its targets, actors and so on can be changed.
    pub fn document(&self) -> &Table {
        &self.document
    }

    /// [`TestCase::document`], to be changed. It keeps its one case.
    pub fn document_mut(&mut self) -> &mut Table {
        &mut self.document
    }

    /// The case's own table.
    pub fn case(&self) -> &Table {
        let cases = self.document.get("case").and_then(Node::as_array);
        cases.and_then(|cases| cases.first()?.as_table()).expect("a test case has a case")
    }

    /// [`TestCase::case`], to be changed.
    pub fn case_mut(&mut self) -> &mut Table {
        let cases = self.document.get_mut("case").map(|node| &mut node.value);
        let Some(Value::Array(cases)) = cases else { unreachable!("a test case has a case") };
        match cases.first_mut().map(|node| &mut node.value) {
            Some(Value::Table(case)) => case,
            _ => unreachable!("a test case has a case"),
        }
    }

    /// The case's name.
    pub fn name(&self) -> &str {
        self.case().get("name").and_then(Node::as_str).unwrap_or_default()
    }

    /// The orders that its steps are played in: `steps` alone, or each actor's of `play`.
    pub fn lanes(&self) -> Vec<(&str, &[Node])> {
        let case = self.case();
        if let Some(steps) = case.get("steps").and_then(Node::as_array) {
            return vec![("steps", steps)];
        }
        let plays = case.get("play").and_then(Node::as_table).map_or(&[] as &[_], |plays| &plays.entries);
        plays.iter().filter_map(|entry| Some((entry.key.as_str(), entry.node.as_array()?))).collect()
    }

    /// The steps of a lane, to be changed.
    pub fn lane_mut(&mut self, lane: &str) -> Option<&mut Vec<Node>> {
        let case = self.case_mut();
        let node = match lane {
            "steps" if case.get("steps").is_some() => case.get_mut("steps")?,
            lane => match &mut case.get_mut("play")?.value {
                Value::Table(plays) => plays.get_mut(lane)?,
                _ => return None,
            },
        };
        match &mut node.value {
            Value::Array(steps) => Some(steps),
            _ => None,
        }
    }

    /// The names by which steps can speak on so many connections of the first client: its group becomes as large as that.
    ///
    /// `None` for the one connection of a file that names no actor.
    pub fn connections(&mut self, count: usize) -> Vec<Option<String>> {
        if self.document.get("actor").is_none() {
            if count <= 1 {
                return vec![None];
            }
            let target = match self.document.get("target").and_then(Node::as_table) {
                // `[target.NAME]`, one of them.
                Some(targets) if !is_target(targets) => targets.entries.first().map(|entry| entry.key.clone()),
                _ => None,
            };
            let client = Table::of([("connect", target.unwrap_or_else(|| "target".into()))]);
            self.document.set("actor", Table::of([("client", client)]));
        }
        let Some(Value::Table(actors)) = self.document.get_mut("actor").map(|node| &mut node.value) else {
            return vec![None];
        };
        let client = actors.entries.iter_mut().find_map(|entry| match &mut entry.node.value {
            Value::Table(actor) if actor.get("connect").is_some() => Some((&entry.key, actor)),
            _ => None,
        });
        let Some((name, actor)) = client else { return vec![None] };
        let members = match actor.get("count").map(|node| &node.value) {
            Some(Value::Integer(members)) => usize::try_from(*members).unwrap_or(1),
            _ if count <= 1 => return vec![Some(name.clone())],
            _ => 0,
        };
        if members < count {
            actor.set("count", count as i64);
        }
        (0..count).map(|at| Some(format!("{name}[{at}]"))).collect()
    }

    /// What all its chance comes from.
    pub fn set_seed(&mut self, seed: u64) {
        self.document.set("seed", crate::scenario::seed(seed));
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            for line in note.lines() {
                text.push_str(format!("# {line}").trim_end());
                text.push('\n');
            }
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        let mut whole = Table::default();
        let about = self.about.table();
        if !about.entries.is_empty() {
            whole.set("about", about);
        }
        self.document.entries.iter().for_each(|entry| whole.set(entry.key.as_str(), entry.node.clone()));
        text + &write(&whole, &Notes(&self.step_notes))
    }

    /// What is played, without anything that only people read: equal texts are equal conversations.
    pub fn content(&self) -> String {
        write(&self.document, &())
    }

    /// The step that stands at a line of its text: the lane, and the step's number there.
    pub fn step_at(&self, line: u32) -> Option<(String, usize)> {
        let text = self.text();
        let line_of = |at: usize| 1 + memchr::memchr_iter(b'\n', &text.as_bytes()[..at.min(text.len())]).count() as u32;
        let (document, _) = parse(&Source::new("", text.as_str()));
        let placed = TestCase { document, ..self.clone() };
        placed.lanes().into_iter().find_map(|(lane, steps)| {
            let is_it = |step: &Node| (line_of(step.span.start)..=line_of(step.span.end)).contains(&line);
            Some((lane.to_owned(), steps.iter().position(is_it)?))
        })
    }

    /// The scenario that it is, by the name of a file in its folder.
    pub fn load(&self, name: &str, known: &Known) -> Result<Scenario, Vec<Mistake>> {
        load(&self.folder.join(name).to_string_lossy(), &self.text(), known)
    }

    /// Twelve hexadecimal digits of what is played: the name of its file among others.
    pub fn id(&self) -> String {
        let hash = crate::random::fnv1a(self.content().as_bytes());
        format!("{hash:016x}")[..12].to_owned()
    }

    /// Itself with paths that start from another folder.
    #[must_use]
    pub fn in_folder(&self, folder: &Path) -> TestCase {
        let mut moved = self.clone();
        if folder == self.folder {
            return moved;
        }
        crate::scenario::paths(&mut moved.document, &mut |node, surely| {
            crate::scenario::move_path(node, surely, &self.folder, folder);
        });
        let way = crate::scenario::way(&self.folder, folder).to_string_lossy().into_owned();
        if let Some(Value::Table(targets)) = moved.document.get_mut("target").map(|node| &mut node.value)
            && !way.is_empty()
        {
            // A program runs in the folder of the file that names it.
            let run_there = |table: &mut Table| {
                if table.get("command").is_some() && table.get("cwd").is_none() {
                    table.set("cwd", way.as_str());
                }
            };
            run_there(targets);
            for entry in &mut targets.entries {
                if let Value::Table(table) = &mut entry.node.value {
                    run_there(table);
                }
            }
        }
        moved.folder = folder.to_path_buf();
        moved
    }
}

fn is_target(table: &Table) -> bool {
    ["address", "builtin", "command"].iter().any(|kind| table.get(kind).is_some_and(|node| node.as_table().is_none()))
}

struct Notes<'n>(&'n [(String, usize, String)]);

impl Comments for Notes<'_> {
    fn above(&self, key: &str, at: usize) -> Vec<String> {
        let notes = self.0.iter().filter(|(lane, step, _)| lane == key && *step == at);
        notes.map(|(_, _, line)| line.clone()).collect()
    }
}
