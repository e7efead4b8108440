//! Loops: `repeat` and `for`.
//!
//! There are loops whose rounds differ in what has to be known when the file is read: durations, names, sizes of splits.
//!
//! Such a loop becomes its rounds, one after the other. All other loops stay what they are.

use std::sync::Arc;

use super::payload;
use super::step::{Options, Steps, scalar};
use crate::conversation::payload::Number;
use crate::conversation::script::{Repeat, Step, Verb};
use crate::document::{Node, Reader, Value};
use crate::template::Template;

/// The key by which a fragment that is used with options is one loop of one round. No file has it.
pub(super) const ONCE: &str = "\0once";

/// The most steps of a case that loops are turned into.
pub const UNROLLED_MAX: usize = 20_000;

/// What takes no variable that a step sets.
const FIXED: &[&str] = &[
    "accept",
    "after",
    "await",
    "barrier",
    "between",
    "corrupt",
    "expect_silence",
    "mark",
    "notify",
    "pace",
    "parties",
    "quiet",
    "signal",
    "sleep",
    "split",
    "then",
    "truncate",
    "within",
];

/// The variables of one round, with their values.
pub(super) type Round = Vec<(String, String)>;

impl Steps<'_> {
    pub(super) fn lower_repeat(&mut self, reader: &mut Reader, node: &Node, options: &Options<'_>) -> Option<Verb> {
        let table = reader.table(node, "`repeat`")?;
        reader.check_keys(table, &["times", "for", "steps", ONCE], "`repeat`");
        let body = table.get("steps").or(options.get("steps"));
        if let Some(values) = table.get("for") {
            return self.lower_loop(reader, node, Some(values), Number::Literal(0), body, options);
        }
        let Some(times) = table.get("times") else {
            reader.mistake(&node.span, "`repeat` says how often: `times = 10`");
            return None;
        };
        let number = payload::number(reader, times, "`times`", u64::MAX)?;
        let names: Vec<String> = number.variables().map(str::to_owned).collect();
        self.scope.check(reader, &times.span, names.iter().map(String::as_str));
        self.lower_loop(reader, node, None, number, body, options)
    }

    pub(super) fn lower_for(&mut self, reader: &mut Reader, node: &Node, options: &Options<'_>) -> Option<Verb> {
        let table = reader.table(node, "`for`")?;
        let body = table.get("steps").or(options.get("steps"));
        self.lower_loop(reader, node, Some(node), Number::Literal(0), body, options)
    }

    fn lower_loop(
        &mut self,
        reader: &mut Reader,
        node: &Node,
        values: Option<&Node>,
        times: Number,
        body: Option<&Node>,
        options: &Options<'_>,
    ) -> Option<Verb> {
        let bounded = options.get("within").is_some();
        let mut lists: Vec<(Arc<str>, Vec<Template>)> = Vec::new();
        if let Some(values) = values {
            for entry in &reader.table(values, "`for`")?.entries {
                if entry.key == "steps" {
                    continue;
                }
                let items = reader.array(&entry.node, &format!("`{}`", entry.key))?;
                let templates: Vec<_> = items.iter().map(|item| scalar(reader, item, "a value")).collect();
                let templates: Vec<Template> = templates.into_iter().collect::<Option<_>>()?;
                if lists.first().is_some_and(|(_, first)| first.len() != templates.len()) {
                    reader.mistake(&entry.key_span, "the lists of one `for` are of one length");
                    return None;
                }
                for (item, template) in items.iter().zip(&templates) {
                    self.scope.check(reader, &item.span, template.variables());
                }
                lists.push((entry.key.as_str().into(), templates));
            }
            if lists.is_empty() {
                reader.mistake(&values.span, "`for` names a variable and its values: `{ key = [\"a\", \"b\"] }`");
                return None;
            }
        }
        let Some(body) = body else {
            reader.mistake(&node.span, "a loop has `steps`");
            return None;
        };
        let items = reader.array(body, "`steps`")?;
        // What one round sets the next can use.
        self.scope.set_by(body);
        let once = matches!(&node.value, Value::Table(table) if table.get(ONCE).is_some());
        let counter = (!once).then(|| Arc::from("i"));
        let names: Vec<Arc<str>> = lists.iter().map(|(name, _)| Arc::clone(name)).chain(counter).collect();
        if is_needed(body, &names)
            && let Some(rounds) = rounds(&lists, &times)
        {
            let steps = self.unroll(reader, node, items, rounds)?;
            let steps = steps.into();
            return Some(Verb::Repeat(Repeat {
                times: Number::Literal(1),
                values: Vec::new(),
                steps,
                counts: false,
                bounded,
            }));
        }
        // What is known from the start by these names is something else inside of the loop.
        let hidden: Vec<_> = names.iter().filter_map(|name| reader.statics.remove_entry(&**name)).collect();
        let new: Vec<_> = names.iter().filter(|name| !self.scope.names().any(|known| known == &***name)).collect();
        names.iter().for_each(|name| self.scope.set(name));
        let outer = std::mem::take(&mut self.scope.used);
        let around = std::mem::replace(&mut self.limit, self.case_limit.clone());
        let steps = self.lower_inner(reader, node, items);
        self.limit = around;
        reader.statics.extend(hidden);
        let counts = !once && self.scope.used.contains("i");
        self.scope.used.extend(outer);
        if self.depth == 0 {
            new.into_iter().for_each(|name| self.scope.unset(name));
        }
        Some(Verb::Repeat(Repeat { times, values: lists, steps: steps?.into(), counts, bounded }))
    }

    /// The rounds of a loop one after the other, each with its own values in its place.
    fn unroll(&mut self, reader: &mut Reader, node: &Node, items: &[Node], rounds: Vec<Round>) -> Option<Vec<Step>> {
        let around = std::mem::replace(&mut self.limit, self.case_limit.clone());
        let mut steps = Some(Vec::new());
        for round in rounds {
            if self.infos.len() > UNROLLED_MAX {
                let message = format!("loops whose steps differ in each round become more than {UNROLLED_MAX} steps");
                reader.mistake(&node.span, message);
                break;
            }
            let outer: Vec<_> = round.iter().map(|(name, _)| (name.clone(), reader.statics.remove(name))).collect();
            reader.statics.extend(round);
            let lowered = self.lower_inner(reader, node, items);
            for (name, value) in outer {
                match value {
                    Some(value) => reader.statics.insert(name, value),
                    None => reader.statics.remove(&name),
                };
            }
            steps = steps.zip(lowered).map(|(steps, lowered)| [steps, lowered].concat());
        }
        self.limit = around;
        steps
    }
}

/// Whether a step below `node` has one of these variables where it has to be known already.
pub(super) fn is_needed(node: &Node, names: &[Arc<str>]) -> bool {
    match &node.value {
        Value::Array(items) => items.iter().any(|item| is_needed(item, names)),
        Value::Table(table) => table.entries.iter().any(|entry| match FIXED.contains(&entry.key.as_str()) {
            true => mentions(&entry.node, names),
            false => is_needed(&entry.node, names),
        }),
        _ => false,
    }
}

fn mentions(node: &Node, names: &[Arc<str>]) -> bool {
    match &node.value {
        Value::Array(items) => items.iter().any(|item| mentions(item, names)),
        Value::String(text) => names.iter().any(|name| text.contains(&format!("${{{name}}}"))),
        Value::Table(table) => table.entries.iter().any(|entry| mentions(&entry.node, names)),
        _ => false,
    }
}

/// The rounds of a loop, where they are known and not too many.
pub(super) fn rounds(lists: &[(Arc<str>, Vec<Template>)], times: &Number) -> Option<Vec<Round>> {
    let count = match (lists.first(), times) {
        (Some((_, values)), _) => values.len(),
        (None, Number::Literal(times)) => usize::try_from(*times).ok()?,
        (None, Number::Text(_)) => return None,
    };
    let round = |at: usize| -> Option<Round> {
        let values = lists.iter().map(|(name, values)| {
            let value = values[at].as_literal()?;
            Some((name.to_string(), String::from_utf8_lossy(value).into_owned()))
        });
        values.chain([Some(("i".to_owned(), at.to_string()))]).collect()
    };
    (count <= UNROLLED_MAX).then(|| (0..count).map(round).collect())?
}
