//! Fewer steps: what follows the failure, connections, messages, steps in loops.

use super::Reducer;
use super::landing::is_landing;
use super::search::smallest;
use crate::document::{Node, Table, Value};
use crate::testcase::TestCase;
use crate::testcase::step::{parts, table_mut, verb};

/// The list of steps with this number among a list and all in it.
fn find_body<'n>(steps: &'n mut Vec<Node>, left: &mut usize) -> Option<&'n mut Vec<Node>> {
    if *left == 0 {
        return Some(steps);
    }
    *left -= 1;
    steps.iter_mut().flat_map(inner).find_map(|body| find_body(body, left))
}

/// The lists of steps in a step.
fn inner(step: &mut Node) -> Vec<&mut Vec<Node>> {
    fn list(node: &mut Node) -> Option<&mut Vec<Node>> {
        match &mut node.value {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }
    let mut found = Vec::new();
    let Some(table) = table_mut(step) else { return found };
    for entry in &mut table.entries {
        match (entry.key.as_str(), &mut entry.node.value) {
            ("alt", Value::Array(branches)) => found.extend(branches.iter_mut().filter_map(list)),
            ("defer" | "steps", Value::Array(steps)) => found.push(steps),
            ("repeat" | "for", Value::Table(inner)) => found.extend(inner.get_mut("steps").and_then(list)),
            _ => {}
        }
    }
    found
}

/// A list of steps.
enum List {
    /// By its number among all.
    Body(usize),
    /// That of a lane.
    Lane(String),
}

/// In which lane the list of steps with this number is, and its number there: 0 for the lane itself.
fn lane_of(case: &mut TestCase, number: usize) -> Option<(String, usize)> {
    let lanes: Vec<String> = case.lanes().iter().map(|(lane, _)| (*lane).to_owned()).collect();
    let mut left = number;
    for lane in lanes {
        let before = left;
        if case.lane_mut(&lane).and_then(|steps| find_body(steps, &mut left)).is_some() {
            return Some((lane, before));
        }
    }
    None
}

/// The list of steps with this number: the lanes, each followed by what is in it.
fn body_mut(case: &mut TestCase, number: usize) -> Option<&mut Vec<Node>> {
    let (lane, mut left) = lane_of(case, number)?;
    find_body(case.lane_mut(&lane)?, &mut left)
}

/// Tells `visit` every step that sends, in order.
fn sends<'n>(steps: &'n mut [Node], found: &mut Vec<&'n mut Table>) {
    for step in steps {
        if verb(step) == Some("send") {
            found.extend(table_mut(step));
        } else {
            inner(step).into_iter().for_each(|body| sends(body, found));
        }
    }
}

fn all_sends(case: &mut TestCase) -> Vec<&mut Table> {
    let mut found = Vec::new();
    let case = case.case_mut();
    for entry in &mut case.entries {
        match (entry.key.as_str(), &mut entry.node.value) {
            ("steps", Value::Array(steps)) => sends(steps, &mut found),
            ("play", Value::Table(plays)) => {
                for play in &mut plays.entries {
                    if let Value::Array(steps) = &mut play.node.value {
                        sends(steps, &mut found);
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// How many steps send something.
pub(super) fn count_sends(case: &mut TestCase) -> usize {
    all_sends(case).len()
}

/// The table of the step that is the `number`th to send something.
pub(super) fn send_mut(case: &mut TestCase, number: usize) -> Option<&mut Table> {
    all_sends(case).into_iter().nth(number)
}

/// How many payloads it has.
pub(super) fn payload_count(case: &mut TestCase, send: usize) -> usize {
    let node = send_mut(case, send).and_then(|table| table.get("send"));
    node.map_or(0, |node| node.as_array().map_or(1, <[Node]>::len))
}

/// One of them.
pub(super) fn payload_mut(case: &mut TestCase, send: usize, at: usize) -> Option<&mut Node> {
    let node = send_mut(case, send)?.get_mut("send")?;
    match node.value {
        Value::Array(_) => match &mut node.value {
            Value::Array(items) => items.get_mut(at),
            _ => None,
        },
        _ => Some(node),
    }
}

/// Steps that belong together: a `send`, and what follows until the next of the same list.
fn groups(steps: &[Node]) -> Vec<std::ops::Range<usize>> {
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if verb(step) != Some("send") || group.start == at => group.end = at + 1,
            _ => groups.push(at..at + 1),
        }
    }
    groups
}

/// The parts of a list of steps that have a connection each, where it has one after the other.
fn connections(steps: &[Node]) -> Vec<std::ops::Range<usize>> {
    let mut parts: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        match parts.last_mut() {
            Some(part) if verb(step) != Some("connect") => part.end = at + 1,
            _ => parts.push(at..at + 1),
        }
    }
    parts
}

impl Reducer<'_> {
    /// Cuts off what follows the step that failed.
    pub(super) fn cut(&mut self) {
        let Some((lane, at)) = self.position.clone() else { return };
        let mut case = self.best.clone();
        if let Some(steps) = case.lane_mut(&lane)
            && at + 1 < steps.len()
        {
            let landing = steps.pop().filter(is_landing);
            steps.truncate(at + 1);
            steps.extend(landing);
            self.test(case);
        }
    }

    /// Drops those who talk, and connections that come one after the other.
    pub(super) fn drop_connections(&mut self) {
        let lanes: Vec<String> = self.best.lanes().iter().map(|(lane, _)| (*lane).to_owned()).collect();
        if lanes.len() > 1 {
            let base = self.best.clone();
            self.delete(lanes.len(), &|_| false, &|kept| {
                let mut case = base.clone();
                if let Some(Value::Table(plays)) = case.case_mut().get_mut("play").map(|node| &mut node.value) {
                    plays.entries.retain(|entry| kept.iter().any(|at| lanes[*at] == entry.key));
                }
                case
            });
        }
        for (lane, steps) in self.best.clone().lanes() {
            let mut actors: Vec<&str> = Vec::new();
            for actor in steps.iter().filter_map(|step| parts(step)?.0) {
                if !actors.contains(&actor) {
                    actors.push(actor);
                }
            }
            if actors.len() > 1 {
                let base = self.best.clone();
                self.delete(actors.len(), &|_| false, &|kept| {
                    let mut case = base.clone();
                    if let Some(steps) = case.lane_mut(lane) {
                        steps.retain(|step| {
                            parts(step)
                                .and_then(|(actor, _)| actor)
                                .is_none_or(|actor| kept.iter().any(|at| actors[*at] == actor))
                        });
                    }
                    case
                });
            }
        }
        for lane in lanes {
            let base = self.best.clone();
            let Some((_, steps)) = base.lanes().into_iter().find(|(name, _)| *name == lane) else { continue };
            let parts = connections(steps);
            if parts.len() > 1 {
                self.delete_ranges(&base, &List::Lane(lane.clone()), &parts);
            }
        }
        self.drop_actors();
    }

    /// Takes out actors whom nobody needs any more, and members of groups.
    fn drop_actors(&mut self) {
        let base = self.best.clone();
        let Some(actors) = base.document().get("actor").and_then(Node::as_table) else { return };
        let names: Vec<&str> = actors.entries.iter().map(|entry| entry.key.as_str()).collect();
        let text = crate::document::write(base.case(), &());
        let is_used = |name: &str| {
            let quoted = [format!("{name} = "), format!("\"{name}["), format!("\"{name}"), format!("play.{name} ")];
            quoted.iter().any(|word| text.contains(word.as_str()))
        };
        let unused: Vec<&str> = names.iter().copied().filter(|name| !is_used(name)).collect();
        if !unused.is_empty() && unused.len() < names.len() {
            let mut case = base.clone();
            if let Some(Value::Table(actors)) = case.document_mut().get_mut("actor").map(|node| &mut node.value) {
                actors.entries.retain(|entry| !unused.contains(&entry.key.as_str()));
            }
            self.test(case);
        }
        for name in names {
            let base = self.best.clone();
            let count_of = |case: &TestCase| match case
                .document()
                .get("actor")?
                .as_table()?
                .get(name)?
                .as_table()?
                .get("count")?
                .value
            {
                Value::Integer(count) => u64::try_from(count).ok(),
                _ => None,
            };
            let Some(count) = count_of(&base).filter(|count| *count > 1) else { continue };
            smallest(1, count, &mut |fewer| {
                let mut case = base.clone();
                let actors = case.document_mut().get_mut("actor").map(|node| &mut node.value);
                if let Some(Value::Table(actors)) = actors
                    && let Some(Value::Table(actor)) = actors.get_mut(name).map(|node| &mut node.value)
                {
                    actor.set("count", fewer as i64);
                }
                self.test(case)
            });
        }
    }

    /// Drops messages with what belongs to them, then steps.
    pub(super) fn drop_steps(&mut self) {
        for body in 0.. {
            let mut base = self.best.clone();
            let Some(steps) = body_mut(&mut base, body) else { break };
            let mut groups = groups(steps);
            if let Some(group) = groups.last_mut()
                && steps.last().is_some_and(is_landing)
            {
                // It belongs to whatever is left.
                group.end -= 1;
                groups.push(steps.len() - 1..steps.len());
                groups.retain(|group| !group.is_empty());
            }
            self.delete_ranges(&base, &List::Body(body), &groups);
            let mut base = self.best.clone();
            // What stood in a step that went is there no longer.
            let Some(steps) = body_mut(&mut base, body) else { break };
            let single: Vec<std::ops::Range<usize>> = (0..steps.len()).map(|at| at..at + 1).collect();
            if single.len() != groups.len() || body > 0 {
                self.delete_ranges(&base, &List::Body(body), &single);
            }
        }
    }

    /// Deletes ranges of the steps of a list.
    fn delete_ranges(&mut self, base: &TestCase, list: &List, ranges: &[std::ops::Range<usize>]) {
        let locked = self.locked_steps(base, list);
        let is_locked = |at: usize| locked.iter().any(|step| ranges[at].contains(step));
        self.delete(ranges.len(), &is_locked, &|kept| {
            let mut case = base.clone();
            let steps = match list {
                List::Body(number) => body_mut(&mut case, *number),
                List::Lane(lane) => case.lane_mut(lane),
            };
            if let Some(steps) = steps {
                let mut at = 0;
                steps.retain(|_| {
                    at += 1;
                    kept.iter().any(|range| ranges[*range].contains(&(at - 1)))
                });
            }
            case
        });
    }

    /// The steps of a list without which the failure would be another, or would not be seen: the one that fails and what it is
    /// an answer to; the one that waits for the target's end.
    fn locked_steps(&self, base: &TestCase, list: &List) -> Vec<usize> {
        if matches!(list, List::Body(0) | List::Lane(_))
            && let Some((_, [.., last])) = base.lanes().first()
            && is_landing(last)
        {
            return vec![base.lanes()[0].1.len() - 1];
        }
        let Some((failing, at)) = self.position.as_ref().filter(|_| self.keeps_request()) else { return Vec::new() };
        let is_it = match list {
            List::Body(number) => {
                lane_of(&mut base.clone(), *number).is_some_and(|(lane, at)| lane == *failing && at == 0)
            }
            List::Lane(lane) => lane == failing,
        };
        let lanes = base.lanes();
        match lanes.iter().find(|(name, _)| is_it && name == failing) {
            Some((_, steps)) => request(steps, *at).into_iter().chain([*at]).collect(),
            None => Vec::new(),
        }
    }

    /// Whether the bytes of a `send` are what the failing step waits to be answered.
    pub(super) fn is_locked_send(&self, send: usize) -> bool {
        let Some((lane, at)) = self.position.as_ref().filter(|_| self.keeps_request()) else { return false };
        let lanes = self.best.lanes();
        let Some((_, steps)) = lanes.iter().find(|(name, _)| name == lane) else { return false };
        let Some(request) = request(steps, *at) else { return false };
        place_of(&self.best, send) == Some((lane.clone(), request))
    }

    /// Loops: their steps once, or as few rounds as it takes.
    pub(super) fn unroll(&mut self) {
        for body in 0.. {
            let mut base = self.best.clone();
            let Some(steps) = body_mut(&mut base, body) else { break };
            let loops: Vec<usize> = (0..steps.len()).filter(|at| rounds(&mut steps[*at]).is_some()).collect();
            for at in loops.into_iter().rev() {
                self.unroll_one(body, at);
            }
        }
    }

    fn unroll_one(&mut self, body: usize, at: usize) {
        let base = self.best.clone();
        let mut once = base.clone();
        let Some(steps) = body_mut(&mut once, body) else { return };
        let Some(rounds_now) = rounds(&mut steps[at]) else { return };
        let own = inner(&mut steps[at]).into_iter().next().map(std::mem::take).unwrap_or_default();
        let actor = parts(&steps[at]).and_then(|(actor, _)| actor.map(str::to_owned));
        if actor.is_none() {
            steps.splice(at..=at, own);
            if self.test(once) {
                return;
            }
        }
        smallest(1, rounds_now, &mut |fewer| {
            let mut case = base.clone();
            if let Some(Value::Table(repeat)) = body_mut(&mut case, body)
                .and_then(|steps| table_mut(&mut steps[at])?.get_mut("repeat"))
                .map(|node| &mut node.value)
            {
                repeat.set("times", fewer as i64);
            }
            self.test(case)
        });
    }
}

/// How often a `repeat` plays its steps.
fn rounds(step: &mut Node) -> Option<u64> {
    match table_mut(step)?.get("repeat")?.as_table()?.get("times")?.value {
        Value::Integer(times) => u64::try_from(times).ok().filter(|times| *times > 0),
        _ => None,
    }
}

/// The last `send` before a step by the same actor.
fn request(steps: &[Node], at: usize) -> Option<usize> {
    let actor = |step: &Node| parts(step).and_then(|(actor, _)| actor.map(str::to_owned));
    let whose = actor(steps.get(at)?);
    (0..at).rev().find(|before| verb(&steps[*before]) == Some("send") && actor(&steps[*before]) == whose)
}

/// Where the `number`th step that sends something stands, if it stands in no other.
pub(super) fn place_of(case: &TestCase, number: usize) -> Option<(String, usize)> {
    let mut marked = case.clone();
    send_mut(&mut marked, number)?.set("note", "\0");
    let is_it = |step: &Node| parts(step).and_then(|(_, table)| table.get("note")?.as_str()) == Some("\0");
    let lanes = marked.lanes();
    lanes.iter().find_map(|(lane, steps)| Some(((*lane).to_owned(), steps.iter().position(is_it)?)))
}
