//! What clients do to keys, as it is drawn; and the same as a case: side by side, or one after the other with the answers that are
//! the only right ones then.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use super::history::{Act, Operation};
use crate::document::{Node, Table};
use crate::event::EventKind;
use crate::property::Base;
use crate::property::edit::{beside, noted, spoken_by, with_steps};
use crate::property::isolation::{rename, replace, side_by_side};
use crate::property::judge::Parts;
use crate::property::talk::{Exchange, exchanges};
use crate::random::Random;
use crate::testcase::step::{connect, table_mut, verb};
use crate::testcase::{Played, TestCase};
use crate::time::Time;

/// What clients do, in the order in which it was drawn.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
}

/// One operation that is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Whose it is.
    pub(super) client: usize,
    /// On which key.
    pub(super) key: usize,
    /// The number of the value that is written; `None` for a read.
    pub(super) writes: Option<u32>,
    /// Whether it is done before everything else: so that each key holds something.
    pub(super) first: bool,
}

/// How a key is written and read, as a case does it.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The case with a connection for each client.
    moved: TestCase,
    /// Their names.
    names: Vec<String>,
    /// What each says before: a login.
    opening: Vec<Node>,
    write: Exchange,
    read: Exchange,
    /// The word that is the key; `None` where there is one register.
    pub(super) key: Option<String>,
    value: String,
}

impl Program {
    /// Every key is written once; then all clients write and read as chance has it.
    pub(super) fn draw(clients: usize, keys: usize, operations: usize, random: &mut Random) -> Program {
        let begin = |key| Step { client: 0, key, writes: Some(key as u32), first: true };
        let mut steps: Vec<Step> = (0..keys).map(begin).collect();
        for _ in 0..operations {
            for client in 0..clients {
                let writes = (random.below(2) == 0).then_some(steps.len() as u32);
                steps.push(Step { client, key: random.below(keys as u64) as usize, writes, first: false });
            }
        }
        Program { steps }
    }

    /// Only the steps with these numbers.
    pub(super) fn only(&self, kept: &[usize]) -> Program {
        Program { steps: kept.iter().map(|at| self.steps[*at]).collect() }
    }

    /// What a play of it says of each step; `None` for one that was never begun, and for all if an answer cannot be read.
    pub(super) fn history(&self, shape: &Shape, played: &Played) -> Option<Vec<Option<Operation>>> {
        let infos = &played.case_started()?.steps;
        let number =
            |step: u32| infos.get(step as usize)?.note.as_ref()?.strip_prefix(OPERATION)?.parse::<usize>().ok();
        let mut history: Vec<Option<Operation>> = vec![None; self.steps.len()];
        // Since its last answer, for each connection: when it first sent something, what came, and whose turn it is.
        let mut sent: HashMap<u32, Time> = HashMap::new();
        let mut heard: HashMap<u32, Vec<u8>> = HashMap::new();
        let mut last: HashMap<u32, (usize, u64)> = HashMap::new();
        for event in &played.events {
            match &event.kind {
                EventKind::Sent { connection, .. } => {
                    sent.entry(*connection).or_insert(event.at);
                }
                EventKind::Received { connection, data } => {
                    heard.entry(*connection).or_default().extend_from_slice(data);
                }
                EventKind::StepPassed { step, connection: Some(connection), .. } => {
                    let begun = sent.remove(connection);
                    let Some(at) = number(*step).filter(|at| *at < history.len()) else {
                        heard.remove(connection);
                        continue;
                    };
                    let now = event.at.as_nanos();
                    let planned = self.steps[at];
                    if infos[*step as usize].verb == "send" {
                        // A client begins nothing before what it did last has ended.
                        let after = last.get(connection).map_or(0, |(_, ended)| ended + 1);
                        let begun = begun.map_or(now, Time::as_nanos).max(after);
                        let act = planned.writes.map_or(Act::Read(None), Act::Write);
                        history[at] = Some(Operation { act, begun, ended: None });
                        heard.remove(connection);
                        continue;
                    }
                    let operation = history[at].as_mut()?;
                    operation.ended = Some(now.max(operation.begun));
                    last.insert(*connection, (at, now.max(operation.begun)));
                    if planned.writes.is_none() {
                        let bytes = heard.get(connection).map_or(&[] as &[u8], Vec::as_slice);
                        let seen: Vec<u32> = self.values().filter(|value| holds(bytes, &shape.value(*value))).collect();
                        operation.act = match seen[..] {
                            [] => Act::Read(None),
                            [value] => Act::Read(Some(value)),
                            _ => return None,
                        };
                    }
                }
                _ => {}
            }
        }
        Some(history)
    }

    /// The values that are written.
    fn values(&self) -> impl Iterator<Item = u32> {
        self.steps.iter().filter_map(|step| step.writes)
    }
}

/// What notes on steps begin with: the number of the operation.
const OPERATION: &str = "operation ";

/// Where all clients wait for each other.
const BARRIER: &str = "every key holds something";

impl Shape {
    /// Finds out how the case writes a key and reads it.
    pub(super) fn of(base: &Base, clients: usize, key: Option<&str>, value: Option<&str>) -> Result<Shape, String> {
        let talk = exchanges(&base.case)?;
        for word in [key, value].into_iter().flatten() {
            if !base.words.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                return Err(format!("`{word}` cannot be another word: with one in its place the case does not hold"));
            }
        }
        let says = |exchange: &Exchange, word: &str| mentions(&exchange.send, word);
        let answers = |exchange: &Exchange, word: &str| exchange.answers.iter().any(|node| mentions(node, word));
        let pairs = |word: &str| {
            let write = talk.exchanges.iter().position(|exchange| says(exchange, word))?;
            let is_read = |exchange: &Exchange| !says(exchange, word) && answers(exchange, word);
            let read = write + 1 + talk.exchanges[write + 1..].iter().position(is_read)?;
            Some((write, read))
        };
        let found = base.words.iter().filter(|word| value.is_none_or(|value| value.eq_ignore_ascii_case(word)));
        let found = found.filter_map(|word| Some((word.clone(), pairs(word)?))).next();
        let Some((value, (write, read))) = found else {
            return Err("it takes a case that writes a value and reads it back with another message: a word that is sent once and \
                        comes back later; `linearizable = { key = \"..\", value = \"..\" }` says which"
                .into());
        };
        let shared =
            |word: &&String| **word != value && says(&talk.exchanges[write], word) && says(&talk.exchanges[read], word);
        let key = base.words.iter().find(|word| shared(word) && key.is_none_or(|key| key.eq_ignore_ascii_case(word)));
        let (moved, mut names) = beside(&base.case, clients.max(2)).ok_or("it is for cases with one connection")?;
        names.truncate(clients);
        let (write, read) = (&talk.exchanges[write], &talk.exchanges[read]);
        if !read.answers.iter().any(|node| verb(node) == Some("expect") && mentions(node, &value)) {
            return Err("the value is read by something else than an `expect`".into());
        }
        let first = talk.exchanges.iter().position(|exchange| says(exchange, &value)).unwrap_or_default();
        Ok(Shape {
            moved,
            names,
            opening: talk.before(first),
            write: write.clone(),
            read: read.clone(),
            key: key.cloned(),
            value,
        })
    }

    /// How many clients there are.
    pub(super) fn clients(&self) -> usize {
        self.names.len()
    }

    /// The word that is the value with this number.
    pub(super) fn value(&self, number: u32) -> String {
        rename(&self.value, u64::from(number), 1)
    }

    /// The word that is the key with this number.
    pub(super) fn key(&self, number: usize) -> String {
        self.key.as_deref().map_or(String::new(), |key| rename(key, number as u64, 1))
    }

    /// Steps with their words replaced, said by one client.
    fn spoken(&self, nodes: &[Node], client: usize, key: usize, value: u32) -> Vec<Node> {
        let words: Vec<String> = self.key.iter().chain([&self.value]).cloned().collect();
        let fresh = |word: &str| {
            let is_value = word.eq_ignore_ascii_case(&self.value);
            if is_value { rename(word, u64::from(value), 1) } else { rename(word, key as u64, 1) }
        };
        let own = nodes.iter().map(|node| replace(node, &words, &fresh));
        own.map(|node| spoken_by(&node, &self.names[client])).collect()
    }

    fn opening_of(&self, client: usize) -> Vec<Node> {
        let steps: Vec<Node> = self.opening.iter().map(|node| spoken_by(node, &self.names[client])).collect();
        if steps.is_empty() { vec![connect(Some(&self.names[client]))] } else { steps }
    }

    /// All clients side by side. A read takes any value that is ever written to its key.
    pub(super) fn concurrent(&self, program: &Program) -> TestCase {
        let mut lanes: Vec<Vec<Node>> = (0..self.clients()).map(|client| self.opening_of(client)).collect();
        let barrier = || Node::from(Table::of([("barrier", BARRIER)]));
        let mut begun = false;
        for (at, step) in program.steps.iter().enumerate() {
            if !step.first && !begun {
                lanes.iter_mut().for_each(|lane| lane.push(barrier()));
                begun = true;
            }
            let exchange = if step.writes.is_some() { &self.write } else { &self.read };
            let mut steps = self.spoken(&exchange.steps(), step.client, step.key, step.writes.unwrap_or_default());
            if step.writes.is_none() {
                let own = program.steps.iter().filter(|other| other.key == step.key).filter_map(|other| other.writes);
                let ways: Vec<Vec<Node>> =
                    own.map(|value| self.spoken(&exchange.steps(), step.client, step.key, value)).collect();
                for (number, node) in steps.iter_mut().enumerate() {
                    if verb(node) == Some("expect") && mentions(&exchange.steps()[number], &self.value) {
                        let any = ways.iter().filter_map(|way| expected(&way[number]));
                        let any: Vec<Node> = any.collect();
                        if let Some(table) = table_mut(node) {
                            table.set("expect", Table::of([("one_of", any)]));
                        }
                    }
                }
            }
            lanes[step.client].extend(steps.into_iter().map(|node| noted(node, &format!("{OPERATION}{at}"))));
        }
        let mut case = side_by_side(&self.moved, &self.names, &lanes);
        case.case_mut().remove("strict_end");
        case
    }

    /// The operations of a program in this order, one after the other, each read with the value that it has to see.
    ///
    /// What can be left out are operations; what can be otherwise is which client does one.
    pub(super) fn one_by_one(&self, program: &Program, order: &[usize]) -> Parts {
        let steps: Vec<Step> = order.iter().map(|at| program.steps[*at]).collect();
        let choices = steps.iter().map(|step| step.client).collect();
        let shape = self.clone();
        let make = move |kept: &[usize], clients: &[usize]| {
            let mut holds: HashMap<usize, u32> = HashMap::new();
            let mut said: Vec<Node> = Vec::new();
            let mut known = vec![false; shape.clients()];
            for at in kept {
                let (step, client) = (steps[*at], clients[*at]);
                if !std::mem::replace(&mut known[client], true) {
                    said.extend(shape.opening_of(client));
                }
                match step.writes {
                    Some(value) => {
                        holds.insert(step.key, value);
                        said.extend(shape.spoken(&shape.write.steps(), client, step.key, value));
                    }
                    // What was never written is another question.
                    None => {
                        said.extend(shape.spoken(&shape.read.steps(), client, step.key, *holds.get(&step.key)?));
                    }
                }
            }
            let mut case = with_steps(&shape.moved, said);
            case.case_mut().remove("strict_end");
            Some(case)
        };
        Parts { choices, make: Arc::new(make) }
    }
}

/// What a step expects.
fn expected(node: &Node) -> Option<Node> {
    crate::testcase::step::parts(node)?.1.get("expect").cloned()
}

/// Whether a word stands in a step.
fn mentions(node: &Node, word: &str) -> bool {
    let found = Cell::new(false);
    let see = |word: &str| {
        found.set(true);
        word.to_owned()
    };
    // Verbs and names of fields are no words of it: only values are looked at.
    replace(node, &[word.to_owned()], &see);
    found.get()
}

fn holds(bytes: &[u8], word: &str) -> bool {
    memchr::memmem::find(bytes, word.as_bytes()).is_some()
}
