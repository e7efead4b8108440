//! `[model]`: what a server should do in which state, as a table of transitions.
//!
//! A transition leads from states to a state, may be taken where its guard holds, and is some steps with the answers that are
//! right there. Guards and updates speak of whole numbers that the model counts; steps know them, and the values that a
//! transition is given, by their names. Not here: how one walks through it (`property`).

use std::ops::Range;

use super::alone::clean;
use super::case::File;
use crate::document::{Entry, Node, Reader, Table, Value, Values, did_you_mean, substitute};
use crate::text::is_identifier;

/// The most transitions of a model.
pub const TRANSITIONS_MAX: usize = 1_000;

/// The most ways in which one transition can be taken.
pub const WAYS_MAX: usize = 256;

/// States, and what leads from one to another.
#[derive(Clone, Debug)]
pub struct Model {
    /// The names of the states; the first is where it starts.
    pub states: Vec<String>,
    /// What is played before anything else.
    pub begin: Vec<Node>,
    /// What it counts, and from which number.
    pub counts: Vec<(String, i64)>,
    /// What leads from state to state, in the order of the file.
    pub transitions: Vec<Transition>,
}

/// What leads from states to a state.
#[derive(Clone, Debug)]
pub struct Transition {
    /// Its name.
    pub name: String,
    /// From which states, by number; `None` for all.
    pub from: Option<Vec<usize>>,
    /// To which; `None` if the state stays.
    pub to: Option<usize>,
    /// Between which numbers counts have to be: by number of the count, at least, at most.
    pub when: Vec<(usize, i64, i64)>,
    /// What counts become.
    pub set: Vec<(usize, i64)>,
    /// What is added to counts.
    pub add: Vec<(usize, i64)>,
    /// The values that it can be given, the simplest first: a combination each.
    pub ways: Vec<Vec<(String, Node)>>,
    /// What is said, and what has to come in return.
    pub steps: Vec<Node>,
}

impl Model {
    /// The steps of a transition that is taken in one of its ways, where counts are these.
    pub fn steps(&self, transition: usize, way: usize, counts: &[i64]) -> Vec<Node> {
        let transition = &self.transitions[transition];
        let mut values = Values::new();
        for ((name, _), count) in self.counts.iter().zip(counts) {
            values.insert(name.clone(), Node::from(*count));
        }
        for (name, value) in transition.ways.get(way).into_iter().flatten() {
            values.insert(name.clone(), value.clone());
        }
        transition.steps.iter().map(|step| substitute(step, &values, &mut Vec::new())).collect()
    }
}

const KEYS: &[&str] = &["begin", "counts", "start", "transition"];

const TRANSITION_KEYS: &[&str] = &["add", "description", "from", "set", "steps", "to", "when", "with"];

/// Reads `[model]`. Its steps are read as those of a case are, so that their mistakes are told here.
pub(super) fn lower(reader: &mut Reader, table: &Table, file: &File<'_>) -> Option<Model> {
    let entry = table.entry("model")?;
    let table = reader.table(&entry.node, "`[model]`")?;
    reader.check_keys(table, KEYS, "`[model]`");
    let mut model = Model { states: Vec::new(), begin: Vec::new(), counts: Vec::new(), transitions: Vec::new() };
    match table.get("start") {
        Some(node) => model.states.extend(reader.static_string(node, "`start`")),
        None => {
            reader.mistake_with_hint(&entry.key_span, "a model starts in a state", "`start = \"greeted\"`");
            return None;
        }
    }
    for count in
        table.get("counts").and_then(|node| reader.table(node, "`counts`")).into_iter().flat_map(|table| &table.entries)
    {
        if !is_identifier(&count.key) {
            reader.mistake(&count.key_span, format!("`{}` is no name for a count", count.key));
        }
        let from = reader.integer(&count.node, &format!("`{}`", count.key), i64::MIN, i64::MAX).unwrap_or_default();
        model.counts.push((count.key.clone(), from));
    }
    let transitions = table.get("transition").and_then(|node| reader.table(node, "`[model.transition]`"));
    let transitions = transitions.map_or(&[] as &[Entry], |table| &table.entries);
    if transitions.is_empty() {
        let hint = "`[model.transition.login]` with `from`, `to` and `steps` makes one";
        reader.mistake_with_hint(&entry.key_span, "a model has transitions", hint);
    }
    if transitions.len() > TRANSITIONS_MAX {
        let message = format!("a model has at most {TRANSITIONS_MAX} transitions, not {}", transitions.len());
        reader.mistake(&entry.key_span, message);
        return None;
    }
    // A state is whatever something leads to: a name that only stands in `from` is a slip.
    for transition in transitions {
        let to = transition.node.as_table().and_then(|table| table.get("to"));
        if let Some(to) = to.and_then(|node| reader.static_string(node, "`to`"))
            && !model.states.contains(&to)
        {
            model.states.push(to);
        }
    }
    if let Some(begin) = table.get("begin") {
        model.begin = reader.array(begin, "`begin`")?.to_vec();
        if !model.begin.is_empty() {
            check_steps(reader, &model.begin, &begin.span, file);
        }
        model.begin.iter_mut().for_each(clean);
    }
    for transition in transitions {
        let lowered = lower_transition(reader, transition, &model, file);
        model.transitions.extend(lowered);
    }
    Some(model)
}

fn lower_transition(reader: &mut Reader, entry: &Entry, model: &Model, file: &File<'_>) -> Option<Transition> {
    let what = format!("the transition `{}`", entry.key);
    let table = reader.table(&entry.node, &what)?;
    reader.check_keys(table, TRANSITION_KEYS, &what);
    let state = |reader: &mut Reader, span: &Range<usize>, name: &str| {
        let at = model.states.iter().position(|known| known == name);
        if at.is_none() {
            let hint = did_you_mean(name, model.states.iter().map(String::as_str))
                .unwrap_or_else(|| format!("there are {}", model.states.join(", ")));
            reader.mistake_with_hint(span, format!("nothing leads to the state `{name}`"), hint);
        }
        at
    };
    let from = table.get("from").map(|node| {
        let names = reader.static_strings(node, "`from`").unwrap_or_default();
        names.iter().filter_map(|name| state(reader, &node.span, name)).collect()
    });
    let to = table.get("to").and_then(|node| {
        let name = reader.static_string(node, "`to`")?;
        state(reader, &node.span, &name)
    });
    let when = counts(reader, table, "when", model);
    let when = when.into_iter().filter_map(|(at, node)| {
        let (least, most) = bounds(reader, &node)?;
        Some((at, least, most))
    });
    let when = when.collect();
    let mut numbers = |key: &str| -> Vec<(usize, i64)> {
        let all = counts(reader, table, key, model);
        all.into_iter()
            .filter_map(|(at, node)| Some((at, reader.integer(&node, &format!("`{key}`"), i64::MIN, i64::MAX)?)))
            .collect()
    };
    let (set, add) = (numbers("set"), numbers("add"));
    let ways = ways(reader, table, model, &what)?;
    let Some(steps) = table.get("steps") else {
        reader.mistake_with_hint(&entry.key_span, format!("{what} has no steps"), "`steps = [..]`");
        return None;
    };
    let nodes = reader.array(steps, "`steps`")?.to_vec();
    let transition = Transition { name: entry.key.clone(), from, to, when, set, add, ways, steps: nodes };
    let counted: Vec<i64> = model.counts.iter().map(|(_, from)| *from).collect();
    let mut one = Model { transitions: vec![transition], ..model.clone() };
    // A value may make a mistake that another one does not.
    for way in 0..one.transitions[0].ways.len().max(1) {
        let before = reader.mistake_count();
        check_steps(reader, &one.steps(0, way, &counted), &steps.span, file);
        if reader.mistake_count() > before {
            break;
        }
    }
    let mut transition = one.transitions.pop()?;
    transition.steps.iter_mut().for_each(clean);
    Some(transition)
}

/// The counts that a table speaks of.
fn counts(reader: &mut Reader, table: &Table, key: &str, model: &Model) -> Vec<(usize, Node)> {
    let Some(spoken) = table.get(key).and_then(|node| reader.table(node, &format!("`{key}`"))) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in &spoken.entries {
        match model.counts.iter().position(|(name, _)| *name == entry.key) {
            Some(at) => found.push((at, entry.node.clone())),
            None => {
                let known = model.counts.iter().map(|(name, _)| name.as_str());
                let hint = did_you_mean(&entry.key, known).unwrap_or_else(|| "`counts` of the model names them".into());
                reader.mistake_with_hint(&entry.key_span, format!("the model counts no `{}`", entry.key), hint);
            }
        }
    }
    found
}

/// A number, or `{ min, max }`.
fn bounds(reader: &mut Reader, node: &Node) -> Option<(i64, i64)> {
    let Value::Table(table) = &node.value else {
        let number = reader.integer(node, "a guard", i64::MIN, i64::MAX)?;
        return Some((number, number));
    };
    reader.check_keys(table, &["min", "max"], "a guard");
    let mut bound = |key: &str, or: i64| match table.get(key) {
        Some(node) => reader.integer(node, &format!("`{key}`"), i64::MIN, i64::MAX),
        None => Some(or),
    };
    Some((bound("min", i64::MIN)?, bound("max", i64::MAX)?))
}

/// Every combination of the values of `with`, the first of each first.
fn ways(reader: &mut Reader, table: &Table, model: &Model, what: &str) -> Option<Vec<Vec<(String, Node)>>> {
    let mut ways: Vec<Vec<(String, Node)>> = vec![Vec::new()];
    let Some(with) = table.get("with") else { return Some(ways) };
    for entry in &reader.table(with, "`with`")?.entries {
        if !is_identifier(&entry.key) || model.counts.iter().any(|(name, _)| *name == entry.key) {
            reader.mistake(&entry.key_span, format!("`{}` is no name for a value, or is counted", entry.key));
            return None;
        }
        let values = reader.array(&entry.node, &format!("`{}`", entry.key))?;
        if values.is_empty() {
            reader.mistake(&entry.node.span, format!("`{}` has no values", entry.key));
            return None;
        }
        if ways.len().saturating_mul(values.len()) > WAYS_MAX {
            reader.mistake(&with.span, format!("{what} can be taken in at most {WAYS_MAX} ways"));
            return None;
        }
        let more = ways.iter().flat_map(|way| {
            values.iter().map(|value| way.iter().cloned().chain([(entry.key.clone(), value.clone())]).collect())
        });
        ways = more.collect();
    }
    Some(ways)
}

/// Reads steps as a case has them, for their mistakes.
fn check_steps(reader: &mut Reader, steps: &[Node], span: &Range<usize>, file: &File<'_>) {
    let case = Table::of([("steps", Node { span: span.clone(), value: Value::Array(steps.to_vec()) })]);
    super::lower_variants(reader, &case, span, Some("model"), file);
}
