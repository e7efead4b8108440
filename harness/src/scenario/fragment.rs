//! Fragments: steps with parameters, put in the place of each `use` before anything else is read.

use std::collections::HashMap;
use std::ops::Range;

use super::loops::ONCE;
use super::words::{OPTIONS, VERBS};
use crate::document::{Entry, Node, Reader, Table, Value, Values, did_you_mean, substitute};

/// How deep fragments can use each other.
pub const FRAGMENT_DEPTH_MAX: usize = 32;

/// The most steps that the fragments of one file become.
pub const EXPANDED_MAX: usize = 20_000;

/// How many of the uses around a step it remembers.
const VIA_MAX: usize = 4;

/// The key under which a step remembers the `use` that it comes from. No file has it: it is no word of the language.
pub(super) const VIA: &str = "\0use";

struct Fragment<'t> {
    entry: &'t Entry,
    steps: &'t [Node],
    /// The parameters that have to be given, if it says so.
    parameters: Option<Vec<String>>,
}

/// What is known while `use` is replaced.
struct Expansion<'t> {
    fragments: HashMap<&'t str, Fragment<'t>>,
    /// The fragments that are being played, each used by the one before.
    chain: Vec<&'t str>,
    steps: usize,
}

/// Whether there is anything to replace.
pub(super) fn is_needed(table: &Table) -> bool {
    let cases = table.entries.iter().filter(|entry| matches!(entry.key.as_str(), "case" | "model" | "play" | "steps"));
    table.entry("fragment").is_some() || cases.into_iter().any(|entry| holds_use(&entry.node))
}

/// Replaces every `use` in the cases of `table`.
pub(super) fn expand(reader: &mut Reader, table: &Table) -> Table {
    let mut expansion = Expansion { fragments: HashMap::new(), chain: Vec::new(), steps: 0 };
    if let Some(fragments) = table.get("fragment").and_then(|node| reader.table(node, "`fragment`")) {
        for entry in &fragments.entries {
            if let Some(fragment) = read(reader, entry) {
                expansion.fragments.insert(&entry.key, fragment);
            }
        }
    }
    let mut expanded = table.clone();
    for entry in &mut expanded.entries {
        match entry.key.as_str() {
            "steps" => expansion.expand_node(reader, &mut entry.node),
            "play" => expansion.expand_play(reader, &mut entry.node),
            "model" => expansion.expand_model(reader, &mut entry.node),
            "case" => {
                let Value::Array(cases) = &mut entry.node.value else { continue };
                for case in cases {
                    let Value::Table(case) = &mut case.value else { continue };
                    for entry in &mut case.entries {
                        match entry.key.as_str() {
                            "steps" => expansion.expand_node(reader, &mut entry.node),
                            "play" => expansion.expand_play(reader, &mut entry.node),
                            _ => {}
                        }
                    }
                }
            }
            _ => {}
        }
    }
    expanded
}

fn read<'t>(reader: &mut Reader, entry: &'t Entry) -> Option<Fragment<'t>> {
    let what = format!("the fragment `{}`", entry.key);
    let table = reader.table(&entry.node, &what)?;
    reader.check_keys(table, &["parameters", "steps", "description"], &what);
    let parameters =
        table.get("parameters").map(|node| reader.static_strings(node, "`parameters`").unwrap_or_default());
    let Some(steps) = table.get("steps") else {
        reader.mistake_with_hint(&entry.key_span, format!("{what} has no steps"), "`steps = [..]`");
        return None;
    };
    Some(Fragment { entry, steps: reader.array(steps, "`steps`")?, parameters })
}

impl<'t> Expansion<'t> {
    fn expand_model(&mut self, reader: &mut Reader, node: &mut Node) {
        let Value::Table(model) = &mut node.value else { return };
        model.get_mut("begin").into_iter().for_each(|steps| self.expand_node(reader, steps));
        let Some(Value::Table(transitions)) = model.get_mut("transition").map(|node| &mut node.value) else { return };
        for entry in &mut transitions.entries {
            if let Value::Table(transition) = &mut entry.node.value {
                transition.get_mut("steps").into_iter().for_each(|steps| self.expand_node(reader, steps));
            }
        }
    }

    fn expand_play(&mut self, reader: &mut Reader, node: &mut Node) {
        let Value::Table(plays) = &mut node.value else { return };
        plays.entries.iter_mut().for_each(|entry| self.expand_node(reader, &mut entry.node));
    }

    /// Replaces every `use` in a list of steps, and in the lists inside of its steps.
    fn expand_node(&mut self, reader: &mut Reader, node: &mut Node) {
        let Value::Array(items) = &mut node.value else { return };
        if !items.iter().any(holds_use) {
            return;
        }
        let mut expanded = Vec::with_capacity(items.len());
        for mut item in std::mem::take(items) {
            match find_use(&item) {
                Some(call) => self.call(reader, &call, &mut expanded),
                None => {
                    if let Value::Table(step) = &mut item.value {
                        self.expand_table(reader, step);
                    }
                    expanded.push(item);
                }
            }
        }
        *items = expanded;
    }

    /// Looks for lists of steps below a step's keys.
    fn expand_inner(&mut self, reader: &mut Reader, node: &mut Node) {
        match &mut node.value {
            Value::Array(_) => {
                self.expand_node(reader, node);
                // An alternative may be a list of its own.
                let Value::Array(items) = &mut node.value else { return };
                items
                    .iter_mut()
                    .filter(|item| matches!(item.value, Value::Array(_)))
                    .for_each(|item| self.expand_node(reader, item));
            }
            Value::Table(table) => self.expand_table(reader, table),
            _ => {}
        }
    }

    /// Only these have steps in them; what other verbs are given is data.
    fn expand_table(&mut self, reader: &mut Reader, table: &mut Table) {
        for entry in &mut table.entries {
            if matches!(entry.key.as_str(), "alt" | "defer" | "for" | "repeat" | "steps") || !is_word(&entry.key) {
                self.expand_inner(reader, &mut entry.node);
            }
        }
    }

    /// Puts a fragment's steps where it is used.
    fn call(&mut self, reader: &mut Reader, call: &Call, into: &mut Vec<Node>) {
        let is_option = |entry: &&Entry| ["after", "between", "mark", "within"].contains(&entry.key.as_str());
        let (options, others): (Vec<&Entry>, Vec<&Entry>) = call.others.iter().partition(is_option);
        for entry in others {
            let message = format!("`{}` does not go with `use`", entry.key);
            reader.mistake_with_hint(&entry.key_span, message, "`with = { .. }` gives a fragment its parameters");
        }
        let Some(name) = reader.static_string(&call.name, "`use`") else { return };
        let Some((&name, fragment)) = self.fragments.get_key_value(name.as_str()) else {
            let near = did_you_mean(&name, self.fragments.keys().copied());
            let hint =
                near.unwrap_or_else(|| format!("`[fragment.{name}]` with `steps` makes one; `include` brings some"));
            return reader.mistake_with_hint(&call.name.span, format!("there is no fragment `{name}`"), hint);
        };
        if self.chain.contains(&name) || self.chain.len() == FRAGMENT_DEPTH_MAX {
            let chain: Vec<String> = self.chain.iter().chain([&name]).map(|name| format!("`{name}`")).collect();
            let message = match self.chain.contains(&name) {
                true => format!("fragments that use each other without end: {}", chain.join(" → ")),
                false => format!("fragments use each other at most {FRAGMENT_DEPTH_MAX} deep: {}", chain.join(" → ")),
            };
            return reader.mistake(&call.name.span, message);
        }
        let values = given(reader, call, name, fragment);
        self.steps += fragment.steps.len();
        if self.steps > EXPANDED_MAX {
            if self.steps - fragment.steps.len() <= EXPANDED_MAX {
                let message = format!("the fragments of this file become more than {EXPANDED_MAX} steps");
                reader.mistake(&call.name.span, message);
            }
            return;
        }
        let mut problems = Vec::new();
        let steps: Vec<Node> = fragment.steps.iter().map(|step| substitute(step, &values, &mut problems)).collect();
        for problem in problems {
            let message = format!("`{}` is {}, which has no place in a text", problem.name, problem.kind);
            let hint = format!("it can stand alone: `\"${{{}}}\"`", problem.name);
            reader.mistake_with_hint(&problem.span, message, hint);
        }
        let mut list = Node { span: call.name.span.clone(), value: Value::Array(steps) };
        self.chain.push(name);
        self.expand_node(reader, &mut list);
        self.chain.pop();
        let Value::Array(steps) = list.value else { unreachable!("it is a list") };
        let steps = steps.into_iter().map(|step| belongs(step, call));
        if options.is_empty() {
            return into.extend(steps);
        }
        // Clocks and marks are for all of it.
        let node = |value| Node { span: call.span.clone(), value };
        let entry = |key: &str, node| Entry { key: key.into(), key_span: call.span.clone(), node };
        let entries = vec![
            entry("times", node(Value::Integer(1))),
            entry("steps", node(Value::Array(steps.collect()))),
            entry(ONCE, node(Value::Boolean(true))),
        ];
        let once = entry("repeat", node(Value::Table(Table { entries })));
        let via = call.via.iter().cloned();
        let entries = std::iter::once(once).chain(options.into_iter().cloned()).chain(via).collect();
        into.push(node(Value::Table(Table { entries })));
    }
}

/// A `use` as it stands in a step.
struct Call {
    /// Whose verbs the fragment's are.
    actor: Option<String>,
    name: Node,
    with: Option<Node>,
    others: Vec<Entry>,
    span: Range<usize>,
    /// The uses around it.
    via: Vec<Entry>,
}

fn find_use(step: &Node) -> Option<Call> {
    let Value::Table(table) = &step.value else { return None };
    let (actor, entries) = match table.get("use") {
        Some(_) => (None, &table.entries),
        None => table.entries.iter().find_map(|entry| match &entry.node.value {
            Value::Table(inner) if inner.get("use").is_some() && !is_word(&entry.key) => {
                Some((Some(entry.key.clone()), &inner.entries))
            }
            _ => None,
        })?,
    };
    // Options stand beside the verb, or beside its actor.
    let beside = table.entries.iter().filter(|entry| actor.is_some() && Some(&entry.key) != actor.as_ref());
    let all: Vec<&Entry> = entries.iter().chain(beside).collect();
    let get = |key: &str| all.iter().find(|entry| entry.key == key);
    let call = *get("use").expect("it was found");
    let with = get("with").map(|entry| entry.node.clone());
    let (via, rest): (Vec<&Entry>, Vec<&Entry>) = all.iter().partition(|entry| entry.key == VIA);
    Some(Call {
        actor,
        name: call.node.clone(),
        with,
        others: rest
            .into_iter()
            .filter(|entry| !["use", "with", "note"].contains(&entry.key.as_str()))
            .cloned()
            .collect(),
        span: call.key_span.start..call.node.span.end,
        via: via.into_iter().cloned().collect(),
    })
}

/// Whether there is a `use` somewhere in a step.
fn holds_use(node: &Node) -> bool {
    match &node.value {
        Value::Array(items) => items.iter().any(holds_use),
        Value::Table(table) => table.entries.iter().any(|entry| entry.key == "use" || holds_use(&entry.node)),
        _ => false,
    }
}

fn is_word(key: &str) -> bool {
    VERBS.iter().chain(OPTIONS).any(|word| word.name == key)
}

/// The values of a fragment's parameters.
fn given(reader: &mut Reader, call: &Call, name: &str, fragment: &Fragment<'_>) -> Values {
    let mut values = Values::new();
    if let Some(with) = call.with.as_ref().and_then(|node| reader.table(node, "`with`")) {
        for entry in &with.entries {
            let known = fragment.parameters.as_ref().is_none_or(|known| known.contains(&entry.key));
            let near = did_you_mean(&entry.key, fragment.parameters.iter().flatten().map(String::as_str));
            if let Some(hint) = near.filter(|_| !known) {
                let message = format!("the fragment `{name}` has no parameter `{}`", entry.key);
                reader.mistake_with_hint(&entry.key_span, message, hint);
            }
            values.insert(entry.key.clone(), entry.node.clone());
        }
    }
    for parameter in fragment.parameters.iter().flatten().filter(|parameter| !values.contains_key(*parameter)) {
        let place = reader.source().place(fragment.entry.key_span.clone());
        let message = format!("the fragment `{name}` needs `{parameter}`, see {place}");
        reader.mistake_with_hint(&call.span, message, format!("`with = {{ {parameter} = .. }}`"));
    }
    values
}

/// A fragment's step as its user's: it knows where it was used, and whose it is if it does not say so.
fn belongs(step: Node, call: &Call) -> Node {
    let Value::Table(mut table) = step.value else { return step };
    let used = Node { span: call.span.clone(), value: Value::Boolean(true) };
    let via = Entry { key: VIA.into(), key_span: call.span.clone(), node: used };
    let first = table.entries.iter().find(|entry| entry.key != VIA);
    let bare = first.is_none_or(|entry| is_word(&entry.key) || !matches!(entry.node.value, Value::Table(_)));
    if let (Some(actor), true) = (&call.actor, bare) {
        let (remembered, own): (Vec<Entry>, Vec<Entry>) = table.entries.into_iter().partition(|entry| entry.key == VIA);
        let span = own.first().map_or(step.span.clone(), |entry| entry.key_span.clone());
        let inner = Node { span: step.span.clone(), value: Value::Table(Table { entries: own }) };
        table = Table { entries: vec![Entry { key: actor.clone(), key_span: span, node: inner }] };
        table.entries.extend(remembered);
    }
    let known = table.entries.iter().filter(|entry| entry.key == VIA).count();
    table.entries.extend(std::iter::once(via).chain(call.via.iter().cloned()).take(VIA_MAX.saturating_sub(known)));
    Node { span: step.span, value: Value::Table(table) }
}
