//! Steps as they stand in a file: one inline table each, one verb, options beside it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::case::QUIET_DEFAULT;
use super::payload;
use super::scope::Scope;
use crate::conversation::payload::Number;
use crate::conversation::script::{Limit, Repeat, Send, Split, Step, Then, Verb};
use crate::document::{Entry, Node, Reader, Table, Value, did_you_mean, parse_duration, parse_size};
use crate::event::StepInfo;
use crate::matcher;
use crate::template::Template;

/// A verb or an option of a step, for `harness list` and for help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The key.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
}

/// What a step can do.
pub const VERBS: &[Word] = &[
    Word { name: "close", about: "close the connection" },
    Word { name: "connect", about: "open it; the first step does so by itself" },
    Word { name: "drain", about: "read and drop until the peer is quiet or closes" },
    Word { name: "expect", about: "wait for one message that matches" },
    Word { name: "expect_eof", about: "wait for the peer to close" },
    Word { name: "expect_refused", about: "see that nobody listens" },
    Word { name: "expect_reset", about: "wait for the peer's reset" },
    Word { name: "expect_silence", about: "see that nothing comes for so long" },
    Word { name: "for", about: "play steps for each value of a variable" },
    Word { name: "log", about: "say something in the report" },
    Word { name: "repeat", about: "play steps several times" },
    Word { name: "reset", about: "close abruptly, with RST" },
    Word { name: "send", about: "send a payload" },
    Word { name: "set", about: "set variables" },
    Word { name: "shutdown", about: "say that no more will be sent: `shutdown = \"write\"`" },
    Word { name: "sleep", about: "wait" },
];

/// What can stand beside a verb.
pub const OPTIONS: &[Word] = &[
    Word { name: "after", about: "start the step's clocks at this mark" },
    Word { name: "between", about: "the earliest and the latest that it may happen" },
    Word { name: "coalesce", about: "send: several payloads in one write" },
    Word { name: "corrupt", about: "send: spoil a byte, `{ at = 3, xor = 0xff }`" },
    Word { name: "mark", about: "name the moment of the step's end" },
    Word { name: "note", about: "for people" },
    Word { name: "pace", about: "send: so many bytes at a time, `\"1B/2ms\"`" },
    Word { name: "quiet", about: "drain: how long is quiet" },
    Word { name: "save", about: "keep what was sent or taken as a variable" },
    Word { name: "split", about: "send: how the bytes are cut into writes" },
    Word { name: "steps", about: "for: what is played" },
    Word { name: "then", about: "send: `\"close\"`, `\"reset\"` or `\"half-close\"` after the last byte" },
    Word { name: "truncate", about: "send: no more than so many bytes" },
    Word { name: "within", about: "the step's deadline" },
];

/// Verbs and options of the language that this version does not know yet.
const LATER: &[&str] = &[
    "accept",
    "alt",
    "await",
    "barrier",
    "defer",
    "exec",
    "expect_set",
    "extra",
    "notify",
    "parties",
    "restart",
    "signal",
    "starttls",
    "stop",
    "times",
    "use",
    "with",
];

/// Verbs that need no connection: with several actors they need not say whose they are.
const NOBODYS: &[&str] = &["for", "log", "repeat", "set", "sleep"];

/// How deep loops can stand in loops.
const DEPTH_MAX: usize = 16;

/// Whether a name means something in a step, and so cannot be an actor's.
pub(super) fn is_reserved(name: &str) -> bool {
    VERBS.iter().chain(OPTIONS).any(|word| word.name == name) || LATER.contains(&name)
}

/// What is known while the steps of a case are read.
pub(super) struct Steps<'f> {
    pub(super) actors: HashMap<&'f str, usize>,
    pub(super) scope: Scope,
    pub(super) limit: Limit,
    pub(super) infos: Vec<StepInfo>,
    pub(super) marks: Vec<String>,
    /// Whether an earlier step has dialled, by actor.
    pub(super) dialled: Vec<bool>,
    pub(super) depth: usize,
}

impl Steps<'_> {
    /// Notes every mark that a step below `node` sets.
    pub(super) fn find_marks(&mut self, node: &Node) {
        match &node.value {
            Value::Array(items) => items.iter().for_each(|item| self.find_marks(item)),
            Value::Table(table) => {
                for entry in &table.entries {
                    match (entry.key.as_str(), &entry.node.value) {
                        ("mark", Value::String(name)) => self.marks.push(name.clone()),
                        _ => self.find_marks(&entry.node),
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn lower_all(&mut self, reader: &mut Reader, items: &[Node]) -> Vec<Step> {
        let mut lowered = Vec::new();
        for item in items {
            if let Some(table) = reader.table(item, "a step") {
                lowered.extend(self.lower(reader, table, item));
            }
        }
        self.decide_dialling(&mut lowered);
        lowered
    }

    /// An actor's first step connects it, a pause included, unless that step or the first after the pause says how.
    fn decide_dialling(&mut self, steps: &mut [Step]) {
        for at in 0..steps.len() {
            let (actor, waits) = (steps[at].actor, matches!(steps[at].verb, Verb::Sleep(_)));
            let nobodys = self.infos[steps[at].id as usize].actor.is_empty();
            if nobodys || self.dialled[actor] || matches!(steps[at].verb, Verb::Log(_) | Verb::Set(_) | Verb::Repeat(_))
            {
                continue;
            }
            let explicit = |step: &Step| matches!(step.verb, Verb::Connect | Verb::ExpectRefused);
            let mut rest = steps[at..].iter().filter(|step| step.actor == actor);
            let next = rest.find(|step| !matches!(step.verb, Verb::Sleep(_) | Verb::Log(_) | Verb::Set(_)));
            let waits_alone = waits && self.actors.len() == 1;
            if waits_alone && next.is_some_and(|step| !explicit(step) && !matches!(step.verb, Verb::Repeat(_))) {
                steps[at].dials = true;
            }
            self.dialled[actor] = !waits || steps[at].dials;
        }
    }

    fn lower(&mut self, reader: &mut Reader, table: &Table, node: &Node) -> Option<Step> {
        // The verb may stand under the name of its actor: `{ alice.send = "hi" }`.
        let mut actor = None;
        let mut entries: Vec<&Entry> = Vec::new();
        for entry in &table.entries {
            match (self.actors.get(entry.key.as_str()), &entry.node.value) {
                (Some(at), Value::Table(inner)) if actor.is_none() => {
                    actor = Some((*at, entry.key.as_str(), entry.key_span.clone()));
                    entries.extend(&inner.entries);
                }
                _ => entries.push(entry),
            }
        }
        let mut verb = None;
        for entry in &entries {
            let is = |words: &[Word]| words.iter().any(|word| word.name == entry.key);
            match entry.key.as_str() {
                _ if is(VERBS) && verb.is_none() => verb = Some(*entry),
                _ if is(VERBS) => {
                    let hint = "give it a step of its own";
                    reader.mistake_with_hint(&entry.key_span, "a step has one verb, and this is one more", hint);
                }
                _ if is(OPTIONS) => {}
                key if self.actors.contains_key(key) && matches!(entry.node.value, Value::Table(_)) => {
                    let hint = "give it a step of its own";
                    reader.mistake_with_hint(&entry.key_span, "a step has one actor, and this is one more", hint);
                }
                key if self.actors.contains_key(key) => {
                    let hint = format!("`{{ {key}.send = .. }}`");
                    reader.mistake_with_hint(&entry.key_span, format!("the actor `{key}` does something"), hint);
                }
                key if LATER.contains(&key) => {
                    reader.mistake(&entry.key_span, format!("`{key}` is not supported by this version"));
                }
                key => self.unknown_word(reader, entry, key),
            }
        }
        let known_problem = entries.iter().any(|entry| !VERBS.iter().chain(OPTIONS).any(|word| word.name == entry.key));
        let Some(verb) = verb else {
            if !known_problem {
                let hint = "`harness list verbs` shows them all";
                reader.mistake_with_hint(&node.span, "this step has no verb", hint);
            }
            return None;
        };
        let index = match &actor {
            Some((index, ..)) => *index,
            None if self.actors.len() == 1 || NOBODYS.contains(&verb.key.as_str()) => 0,
            None => {
                let mut names: Vec<&str> = self.actors.keys().copied().collect();
                names.sort_unstable();
                let hint = format!("`{{ {}.{} = .. }}`", names[0], verb.key);
                reader.mistake_with_hint(&verb.key_span, "with several actors a step says who acts", hint);
                return None;
            }
        };
        let options = Options { entries, verb: verb.key.as_str() };
        options.check(reader);
        let start = actor.as_ref().map_or(verb.key_span.start, |(_, _, span)| span.start.min(verb.key_span.start));
        let acts = actor.is_some() || self.actors.len() == 1;
        self.build(reader, acts.then_some(index), verb, &options, start..verb.node.span.end)
    }

    fn unknown_word(&self, reader: &mut Reader, entry: &Entry, key: &str) {
        let words = VERBS.iter().chain(OPTIONS).map(|word| word.name);
        match did_you_mean(key, words.chain(self.actors.keys().copied())) {
            Some(hint) => {
                let hint = format!("{hint} `harness list verbs` shows them all");
                reader.mistake_with_hint(&entry.key_span, format!("unknown verb or option `{key}`"), hint);
            }
            None if matches!(entry.node.value, Value::Table(_)) && !self.actors.contains_key(key) => {
                let hint = format!("`[actor.{key}]` would make an actor; `harness list verbs` shows all verbs");
                reader.mistake_with_hint(&entry.key_span, format!("`{key}` is no verb, no option and no actor"), hint);
            }
            None => {
                let hint = "`harness list verbs` shows them all";
                reader.mistake_with_hint(&entry.key_span, format!("unknown verb or option `{key}`"), hint);
            }
        }
    }

    fn build(
        &mut self,
        reader: &mut Reader,
        actor: Option<usize>,
        verb: &Entry,
        options: &Options<'_>,
        span: Range<usize>,
    ) -> Option<Step> {
        let id = self.infos.len() as u32;
        let name = self.actors.iter().find(|(_, at)| Some(**at) == actor).map_or("", |(name, _)| *name);
        self.infos.push(StepInfo {
            place: reader.source().place(span),
            actor: name.into(),
            verb: verb.key.clone(),
            note: options.get("note").and_then(|node| reader.static_string(node, "`note`")),
        });
        // Nothing here ends early: a step with one mistake may have more, and sets its variables all the same.
        let limit = options.entry("within").and_then(|entry| {
            let duration = reader.duration(&entry.node, "`within`")?;
            let place = reader.source().place(entry.key_span.clone());
            Some(Limit { duration, set_by: format!("`within` at {place}").into() })
        });
        let limit = limit.unwrap_or_else(|| self.limit.clone());
        let after = options.get("after").and_then(|node| self.mark(reader, node));
        let between = options.get("between").and_then(|node| lower_between(reader, node));
        let mark = options.get("mark").and_then(|node| reader.string(node, "`mark`")).map(Arc::from);
        let lowered = self.lower_verb(reader, verb, options);
        if lowered.is_none() && verb.key == "expect" {
            self.scope.set_by(&verb.node);
        }
        let save = options.get("save").and_then(|node| {
            let name = reader.string(node, "`save`")?;
            if !crate::text::is_identifier(name) {
                reader.mistake(&node.span, format!("`{name}` is no name for a variable"));
            }
            self.scope.set(name);
            Some(Arc::from(name))
        });
        let actor = actor.unwrap_or(0);
        let verb = lowered?;
        Some(Step { id, actor, verb, limit, after, between, mark, save, dials: false })
    }

    fn mark(&mut self, reader: &mut Reader, node: &Node) -> Option<Arc<str>> {
        let name = reader.string(node, "`after`")?;
        if !self.marks.iter().any(|mark| mark == name) {
            let hint = did_you_mean(name, self.marks.iter().map(String::as_str));
            let hint = hint.unwrap_or_else(|| format!("`mark = \"{name}\"` on an earlier step sets it"));
            reader.mistake_with_hint(&node.span, format!("no step sets the mark `{name}`"), hint);
        }
        Some(name.into())
    }

    fn lower_verb(&mut self, reader: &mut Reader, verb: &Entry, options: &Options<'_>) -> Option<Verb> {
        let node = &verb.node;
        let key = verb.key.as_str();
        Some(match key {
            "close" | "connect" | "drain" | "expect_eof" | "expect_refused" | "expect_reset" | "reset" => {
                if node.value != Value::Boolean(true) {
                    let message = match node.value {
                        Value::Boolean(_) => format!("`{key}` takes `true`: leave the step out to do nothing"),
                        _ => format!("`{key}` takes `true`, not {}", node.value.kind()),
                    };
                    reader.mistake_with_hint(&node.span, message, format!("`{{ {key} = true }}`"));
                    return None;
                }
                match key {
                    "close" => Verb::Close,
                    "connect" => Verb::Connect,
                    "drain" => Verb::Drain(match options.get("quiet") {
                        Some(node) => reader.duration(node, "`quiet`")?,
                        None => QUIET_DEFAULT,
                    }),
                    "expect_eof" => Verb::ExpectEof,
                    "expect_refused" => Verb::ExpectRefused,
                    "expect_reset" => Verb::ExpectReset,
                    _ => Verb::Reset,
                }
            }
            "expect" => {
                let pattern = matcher::lower(reader, node)?;
                self.scope.check(reader, &node.span, pattern.uses().iter().map(String::as_str));
                pattern.sets().iter().for_each(|name| self.scope.set(name));
                Verb::Expect(pattern)
            }
            "expect_silence" => Verb::ExpectSilence(reader.duration(node, "`expect_silence`")?),
            "for" => self.lower_for(reader, node, options)?,
            "log" => {
                let template = reader.template(node, "`log`")?;
                self.scope.check(reader, &node.span, template.variables());
                Verb::Log(template)
            }
            "repeat" => self.lower_repeat(reader, node, options)?,
            "send" => Verb::Send(Box::new(self.lower_send(reader, node, options)?)),
            "set" => {
                let mut values = Vec::new();
                for entry in &reader.table(node, "`set`")?.entries {
                    if !crate::text::is_identifier(&entry.key) {
                        reader.mistake(&entry.key_span, format!("`{}` is no name for a variable", entry.key));
                    }
                    let Some(template) = scalar(reader, &entry.node, "a variable") else {
                        self.scope.set(&entry.key);
                        continue;
                    };
                    self.scope.check(reader, &entry.node.span, template.variables());
                    self.scope.set(&entry.key);
                    values.push((Arc::from(entry.key.as_str()), template));
                }
                Verb::Set(values)
            }
            "shutdown" => match reader.static_string(node, "`shutdown`")?.as_str() {
                "write" => Verb::Shutdown,
                other => {
                    reader.mistake(&node.span, format!("`shutdown` takes `\"write\"`, not `{other}`"));
                    return None;
                }
            },
            "sleep" => Verb::Sleep(reader.duration(node, "`sleep`")?),
            _ => return None,
        })
    }

    fn lower_send(&mut self, reader: &mut Reader, node: &Node, options: &Options<'_>) -> Option<Send> {
        let nodes = match &node.value {
            Value::Array(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        if nodes.is_empty() {
            reader.mistake_with_hint(
                &node.span,
                "there is nothing to send",
                "`{ send = \"\" }` sends an empty message",
            );
        }
        let mut payloads = Vec::new();
        for node in nodes {
            let payload = payload::lower(reader, node);
            if let Some(payload) = &payload {
                let mut names = Vec::new();
                payload.variables(&mut |name| names.push(name.to_owned()));
                self.scope.check(reader, &node.span, names.iter().map(String::as_str));
            }
            payloads.push(payload);
        }
        let split = options.get("split").and_then(|node| lower_split(reader, node)).unwrap_or(Split::Whole);
        let pace = options.get("pace").and_then(|node| lower_pace(reader, node));
        let coalesce = options.get("coalesce").and_then(|node| reader.boolean(node, "`coalesce`")).unwrap_or(false);
        let corrupt = options.get("corrupt").and_then(|node| lower_corrupt(reader, node));
        let truncate = options.get("truncate").and_then(|node| reader.size(node, "`truncate`", 0, u64::MAX));
        let truncate = truncate.map(|len| usize::try_from(len).unwrap_or(usize::MAX));
        let then = options.get("then").and_then(|node| lower_then(reader, node));
        let payloads = payloads.into_iter().collect::<Option<_>>()?;
        Some(Send { payloads, split, pace, coalesce, corrupt, truncate, then })
    }

    fn lower_repeat(&mut self, reader: &mut Reader, node: &Node, options: &Options<'_>) -> Option<Verb> {
        let table = reader.table(node, "`repeat`")?;
        reader.check_keys(table, &["times", "for", "steps"], "`repeat`");
        let body = table.get("steps").or(options.get("steps"));
        if let Some(values) = table.get("for") {
            return self.lower_loop(reader, node, Some(values), Number::Literal(0), body);
        }
        let Some(times) = table.get("times") else {
            reader.mistake(&node.span, "`repeat` says how often: `times = 10`");
            return None;
        };
        let number = payload::number(reader, times, "`times`", u64::MAX)?;
        let names: Vec<String> = number.variables().map(str::to_owned).collect();
        self.scope.check(reader, &times.span, names.iter().map(String::as_str));
        self.lower_loop(reader, node, None, number, body)
    }

    fn lower_for(&mut self, reader: &mut Reader, node: &Node, options: &Options<'_>) -> Option<Verb> {
        let table = reader.table(node, "`for`")?;
        let body = table.get("steps").or(options.get("steps"));
        self.lower_loop(reader, node, Some(node), Number::Literal(0), body)
    }

    fn lower_loop(
        &mut self,
        reader: &mut Reader,
        node: &Node,
        values: Option<&Node>,
        times: Number,
        body: Option<&Node>,
    ) -> Option<Verb> {
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
        if self.depth == DEPTH_MAX {
            reader.mistake(&node.span, format!("loops stand at most {DEPTH_MAX} deep in each other"));
            return None;
        }
        // What one round sets the next can use.
        self.scope.set_by(body);
        let names: Vec<Arc<str>> = lists.iter().map(|(name, _)| Arc::clone(name)).chain(["i".into()]).collect();
        names.iter().for_each(|name| self.scope.set(name));
        let outer = std::mem::take(&mut self.scope.used);
        self.depth += 1;
        let steps = self.lower_all(reader, items);
        self.depth -= 1;
        let counts = self.scope.used.contains("i");
        self.scope.used.extend(outer);
        if self.depth == 0 {
            names.iter().for_each(|name| self.scope.unset(name));
        }
        Some(Verb::Repeat(Repeat { times, values: lists, steps: steps.into(), counts }))
    }
}

/// The keys of one step.
struct Options<'s> {
    entries: Vec<&'s Entry>,
    verb: &'s str,
}

impl<'s> Options<'s> {
    fn entry(&self, key: &str) -> Option<&'s Entry> {
        self.entries.iter().find(|entry| entry.key == key).copied()
    }

    fn get(&self, key: &str) -> Option<&'s Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// Notes options that do not go with the verb.
    fn check(&self, reader: &mut Reader) {
        for entry in &self.entries {
            let goes_with: &[&str] = match entry.key.as_str() {
                "coalesce" | "corrupt" | "pace" | "split" | "then" | "truncate" => &["send"],
                "quiet" => &["drain"],
                "save" => &["expect", "send"],
                "steps" => &["for", "repeat"],
                _ => continue,
            };
            if !goes_with.contains(&self.verb) {
                let verbs: Vec<String> = goes_with.iter().map(|verb| format!("`{verb}`")).collect();
                let message = format!("`{}` goes with {}, not with `{}`", entry.key, verbs.join(" and "), self.verb);
                reader.mistake(&entry.key_span, message);
            }
        }
    }
}

/// A string with variables in it, or a number or boolean as its text.
fn scalar(reader: &mut Reader, node: &Node, what: &str) -> Option<Template> {
    Some(match &node.value {
        Value::Boolean(boolean) => Template::literal(boolean.to_string()),
        Value::Float(float) => Template::literal(float.to_string()),
        Value::Integer(integer) => Template::literal(integer.to_string()),
        _ => return reader.template(node, what),
    })
}

fn lower_between(reader: &mut Reader, node: &Node) -> Option<(Duration, Duration)> {
    let [from, to] = reader.array(node, "`between`")? else {
        reader.mistake(&node.span, "`between` takes two durations: `[\"80ms\", \"400ms\"]`");
        return None;
    };
    let (from, to) = (reader.duration(from, "`between`")?, reader.duration(to, "`between`")?);
    if from > to {
        reader.mistake(&node.span, "`between` goes from the earliest to the latest");
        return None;
    }
    Some((from, to))
}

fn lower_split(reader: &mut Reader, node: &Node) -> Option<Split> {
    let hint = "`[1, 3]`, `\"every-byte\"`, `\"whole\"` or `{ random = 4 }`";
    match &node.value {
        Value::Array(items) => {
            let sizes: Vec<_> = items.iter().map(|item| reader.integer(item, "`split`", 1, i64::MAX)).collect();
            Some(Split::Sizes(sizes.into_iter().map(|size| size.map(|size| size as usize)).collect::<Option<_>>()?))
        }
        Value::String(_) => match reader.static_string(node, "`split`")?.as_str() {
            "every-byte" => Some(Split::EveryByte),
            "whole" => Some(Split::Whole),
            other => {
                reader.mistake_with_hint(&node.span, format!("unknown split `{other}`"), hint);
                None
            }
        },
        Value::Table(table) => {
            if !reader.check_keys(table, &["random"], "`split`") {
                return None;
            }
            let pieces = reader.integer(table.get("random")?, "`random`", 1, i64::MAX)?;
            Some(Split::Random(pieces as usize))
        }
        other => {
            reader.mistake_with_hint(&node.span, format!("`split` is no {}", other.kind()), hint);
            None
        }
    }
}

fn lower_corrupt(reader: &mut Reader, node: &Node) -> Option<(usize, u8)> {
    let table = reader.table(node, "`corrupt`")?;
    let known = reader.check_keys(table, &["at", "xor"], "`corrupt`");
    let (Some(at), Some(xor)) = (table.get("at"), table.get("xor")) else {
        if known {
            reader.mistake(&node.span, "`corrupt` says where and how: `{ at = 3, xor = 0xff }`");
        }
        return None;
    };
    let at = reader.integer(at, "`at`", 0, i64::MAX);
    let xor = reader.integer(xor, "`xor`", 1, 255);
    Some((at? as usize, xor? as u8))
}

fn lower_then(reader: &mut Reader, node: &Node) -> Option<Then> {
    Some(match reader.static_string(node, "`then`")?.as_str() {
        "close" => Then::Close,
        "half-close" => Then::HalfClose,
        "reset" => Then::Reset,
        other => {
            let message = format!("`then` is `\"close\"`, `\"reset\"` or `\"half-close\"`, not `{other}`");
            reader.mistake(&node.span, message);
            return None;
        }
    })
}

fn lower_pace(reader: &mut Reader, node: &Node) -> Option<(usize, Duration)> {
    let text = reader.static_string(node, "`pace`")?;
    let parsed = text.split_once('/').and_then(|(size, pause)| Some((parse_size(size)?, parse_duration(pause)?)));
    match parsed {
        Some((size @ 1.., pause)) => Some((size as usize, pause)),
        _ => {
            let message = format!("`pace` is bytes and a pause, `\"1B/2ms\"`, not `{text}`");
            reader.mistake(&node.span, message);
            None
        }
    }
}
