//! Steps as they stand in a file: one inline table each, one verb, options beside it.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::actor::{Actors, Name, Role};
use super::case::{File, QUIET_DEFAULT};
use super::fragment::VIA;
use super::scope::Scope;
use super::target::Target;
use super::tls::Tls;
use super::words::{NOBODYS, OPTIONS, OUTCOMES, VERBS, Word, is_reserved};
use crate::conversation::script::{Limit, Slot, Step, Verb};
use crate::document::{Entry, Node, Reader, Table, Value, did_you_mean};
use crate::event::{Place, StepInfo};
use crate::matcher::{self, Speaking};
use crate::template::Template;

/// How deep loops can stand in loops.
const DEPTH_MAX: usize = 16;

/// What is known while the steps of a case are read.
pub(super) struct Steps<'f> {
    pub(super) actors: &'f Actors,
    pub(super) targets: &'f [Target],
    /// What steps can speak on: the actors, then what `accept` names.
    pub(super) slots: Vec<Slot>,
    /// Whom a verb means that names nobody.
    pub(super) solo: Vec<usize>,
    /// Whose steps these are, in `play`.
    pub(super) lane: Option<usize>,
    pub(super) scope: Scope,
    /// How long a step may take that does not say: its case's, or that of the `alt` it stands in.
    pub(super) limit: Limit,
    pub(super) case_limit: Limit,
    pub(super) infos: Vec<StepInfo>,
    /// Where the fragments that the step in hand comes from are used, the innermost first.
    via: Vec<Place>,
    pub(super) marks: Vec<String>,
    /// How actors do TLS.
    pub(super) tls: Vec<Tls>,
    /// The targets that steps stop, restart or send signals to.
    pub(super) disturbed: BTreeSet<String>,
    /// How many lanes come to each barrier.
    pub(super) barriers: HashMap<String, usize>,
    /// Whether an earlier step has dialled, by actor.
    pub(super) dialled: Vec<bool>,
    pub(super) depth: usize,
}

impl<'f> Steps<'f> {
    pub(super) fn new(file: &File<'f>, limit: Limit) -> Steps<'f> {
        let (actors, targets) = (file.actors, file.targets);
        let mut scope = Scope::new(targets.iter().map(|target| target.name.as_str()));
        for actor in actors.list.iter().filter(|actor| !matches!(actor.role, Role::Client(_))) {
            scope.set_target(&actor.name);
        }
        let slots = actors.list.iter().enumerate();
        let slots = slots.map(|(at, actor)| Slot { name: actor.name.as_str().into(), actor: at }).collect();
        // Relays have no steps: beside them an only client need not be named.
        let speaks =
            |name: &&Name| name.index.is_none() && !matches!(actors.list[name.members.start].role, Role::Relay { .. });
        let speaking: Vec<&Name> = actors.names.iter().filter(speaks).collect();
        let solo = match speaking.as_slice() {
            [one] => one.members.clone().collect(),
            _ => Vec::new(),
        };
        Steps {
            actors,
            targets,
            slots,
            solo,
            lane: None,
            scope,
            case_limit: limit.clone(),
            limit,
            infos: Vec::new(),
            via: Vec::new(),
            marks: Vec::new(),
            tls: actors.tls.clone(),
            disturbed: BTreeSet::new(),
            barriers: HashMap::new(),
            dialled: vec![false; actors.list.len()],
            depth: 0,
        }
    }

    /// The slots that a name means.
    fn who(&self, name: &str) -> Option<Vec<usize>> {
        if let Some(found) = self.actors.names.iter().find(|known| known.name == name) {
            return Some(found.members.clone().collect());
        }
        let named = self.slots.iter().enumerate().skip(self.actors.list.len()).filter(|(_, slot)| *slot.name == *name);
        let slots: Vec<usize> =
            named.filter(|(_, slot)| self.lane.is_none_or(|lane| lane == slot.actor)).map(|(at, _)| at).collect();
        (!slots.is_empty()).then_some(slots)
    }

    /// All names that a step can act under.
    fn known(&self) -> impl Iterator<Item = &str> {
        let named = self.slots[self.actors.list.len()..].iter().map(|slot| &*slot.name);
        self.actors.names.iter().map(|name| name.name.as_str()).chain(named)
    }

    /// Gives a connection of `actor` a name.
    fn name_connection(&mut self, actor: usize, name: &str) -> usize {
        let known = self.slots.iter().position(|slot| slot.actor == actor && *slot.name == *name);
        known.unwrap_or_else(|| {
            self.slots.push(Slot { name: name.into(), actor });
            self.slots.len() - 1
        })
    }

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
            if reader.has_enough() {
                break;
            }
            if let Some(table) = reader.table(item, "a step") {
                self.lower(reader, table, item, &mut lowered);
            }
        }
        self.decide_dialling(&mut lowered);
        lowered
    }

    /// An actor's first step connects it, a pause included, unless that step or the first after the pause says how.
    fn decide_dialling(&mut self, steps: &mut [Step]) {
        for at in 0..steps.len() {
            let (slot, waits) = (steps[at].slot, matches!(steps[at].verb, Verb::Sleep(_)));
            let is_client = self.actors.list.get(slot).is_some_and(|actor| matches!(actor.role, Role::Client(_)));
            let nobodys = self.infos[steps[at].id as usize].actor.is_empty();
            if nobodys || !is_client || self.dialled[slot] || !(waits || steps[at].verb.opens()) {
                continue;
            }
            let mut rest = steps[at..].iter().filter(|step| step.slot == slot);
            let next = rest.find(|step| !matches!(step.verb, Verb::Sleep(_) | Verb::Log(_) | Verb::Set(_)));
            let waits_alone = waits && self.solo.len() == 1;
            if waits_alone && next.is_some_and(|step| step.verb.needs_connection()) {
                steps[at].dials = true;
            }
            self.dialled[slot] = !waits || steps[at].dials;
        }
    }

    fn lower(&mut self, reader: &mut Reader, table: &Table, node: &Node, lowered: &mut Vec<Step>) {
        // The verb may stand under the name of its actor: `{ alice.send = "hi" }`.
        let mut actor = None;
        let mut entries: Vec<&Entry> = Vec::new();
        let mut via = Vec::new();
        for entry in &table.entries {
            match (self.who(&entry.key), &entry.node.value) {
                _ if entry.key == VIA => via.push(reader.source().place(entry.key_span.clone())),
                (Some(slots), Value::Table(inner)) if actor.is_none() => {
                    actor = Some((slots, entry));
                    entries.extend(&inner.entries);
                }
                _ => entries.push(entry),
            }
        }
        let mut verb = None;
        let mut unknown = false;
        for entry in &entries {
            let is = |words: &[Word]| words.iter().any(|word| word.name == entry.key);
            match entry.key.as_str() {
                _ if is(VERBS) && verb.is_none() => verb = Some(*entry),
                _ if is(VERBS) => {
                    let hint = "give it a step of its own";
                    reader.mistake_with_hint(&entry.key_span, "a step has one verb, and this is one more", hint);
                }
                _ if is(OPTIONS) => {}
                key => {
                    unknown = true;
                    self.unknown_key(reader, entry, key);
                }
            }
        }
        let Some(verb) = verb else {
            if !unknown {
                let hint = "`harness list verbs` shows them all";
                reader.mistake_with_hint(&node.span, "this step has no verb", hint);
            }
            return;
        };
        let options = Options { entries, verb: verb.key.as_str() };
        options.check(reader);
        let nobodys = NOBODYS.contains(&verb.key.as_str());
        let start = actor.as_ref().map_or(verb.key_span.start, |(_, at)| at.key_span.start.min(verb.key_span.start));
        let span = start..verb.node.span.end;
        let (slots, named) = match actor {
            Some((slots, entry)) => {
                self.check_may_act(reader, &slots, entry);
                (slots, true)
            }
            None if nobodys && self.solo.len() != 1 => {
                let around = self.via.clone();
                self.via.splice(0..0, via);
                lowered.extend(self.build(reader, None, verb, &options, span));
                self.via = around;
                return;
            }
            None if self.solo.is_empty() => {
                let mut names: Vec<&str> = self.known().collect();
                names.sort_unstable();
                let hint = format!("`{{ {}.{} = .. }}`", names[0], verb.key);
                reader.mistake_with_hint(&verb.key_span, "with several actors a step says who acts", hint);
                return;
            }
            None => (self.solo.clone(), false),
        };
        // What stands inside of it comes from where it comes from.
        let around_via = self.via.clone();
        self.via.splice(0..0, via);
        // What stands inside `alice.repeat` is alice's, too.
        let around = named.then(|| std::mem::replace(&mut self.solo, slots.clone()));
        let once = if nobodys { 1 } else { slots.len() };
        for slot in slots.into_iter().take(once) {
            let index = self.index(slot);
            if let Some(index) = index {
                reader.statics.insert("index".into(), index.to_string());
            }
            lowered.extend(self.build(reader, Some(slot), verb, &options, span.clone()));
            if index.is_some() && self.lane.is_none() {
                reader.statics.remove("index");
            }
        }
        if let Some(around) = around {
            self.solo = around;
        }
        self.via = around_via;
    }

    /// The number of a slot's actor in its group.
    pub(super) fn index(&self, slot: usize) -> Option<usize> {
        let actor = self.slots[slot].actor;
        self.actors.names.iter().find(|name| name.index.is_some() && name.members.start == actor)?.index
    }

    /// A relay has no steps, and in `play` everybody plays for himself.
    fn check_may_act(&self, reader: &mut Reader, slots: &[usize], entry: &Entry) {
        let actor = self.slots[slots[0]].actor;
        let name = &entry.key;
        if let Role::Relay { .. } = self.actors.list[actor].role {
            let message = format!("`{name}` is a relay, and a relay has no steps");
            reader.mistake_with_hint(&entry.key_span, message, "`[[case.fault]]` with `on` says what it does");
        } else if let Some(lane) = self.lane.filter(|lane| slots.iter().any(|slot| self.slots[*slot].actor != *lane)) {
            let own = &self.actors.list[lane].name;
            let message = format!("these are the steps of `{own}`, and `{name}` has its own order");
            reader.mistake_with_hint(&entry.key_span, message, format!("`play.{name} = [..]` is played beside it"));
        }
    }

    /// A key that is no verb and no option.
    fn unknown_key(&self, reader: &mut Reader, entry: &Entry, key: &str) {
        match (self.who(key), &entry.node.value) {
            (Some(_), Value::Table(_)) => {
                let hint = "give it a step of its own";
                reader.mistake_with_hint(&entry.key_span, "a step has one actor, and this is one more", hint);
            }
            (Some(_), _) => {
                let hint = format!("`{{ {key}.send = .. }}`");
                reader.mistake_with_hint(&entry.key_span, format!("the actor `{key}` does something"), hint);
            }
            _ => self.unknown_word(reader, entry, key),
        }
    }

    fn unknown_word(&self, reader: &mut Reader, entry: &Entry, key: &str) {
        let words = VERBS.iter().chain(OPTIONS).map(|word| word.name);
        match did_you_mean(key, words.chain(self.known())) {
            Some(hint) => {
                let hint = format!("{hint} `harness list verbs` shows them all");
                reader.mistake_with_hint(&entry.key_span, format!("unknown verb or option `{key}`"), hint);
            }
            None if matches!(entry.node.value, Value::Table(_)) => {
                let hint = format!(
                    "`[actor.{key}]` would make an actor, `accept = \"{key}\"` name a connection; `harness list verbs` shows all verbs"
                );
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
        slot: Option<usize>,
        verb: &Entry,
        options: &Options<'_>,
        span: Range<usize>,
    ) -> Option<Step> {
        let id = self.infos.len() as u32;
        let name = slot.map_or_else(|| "".into(), |slot| Arc::clone(&self.slots[slot].name));
        self.infos.push(StepInfo {
            place: reader.source().place(span),
            actor: name,
            verb: verb.key.clone(),
            via: self.via.clone(),
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
        let mark = options.get("mark").and_then(|node| reader.static_string(node, "`mark`")).map(Arc::from);
        let around = std::mem::replace(&mut self.limit, limit.clone());
        let lowered = self.lower_verb(reader, slot.unwrap_or(0), verb, options);
        self.limit = around;
        if lowered.is_none() && verb.key.starts_with("expect") {
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
        let slot = slot.unwrap_or(0);
        let verb = lowered?;
        Some(Step { id, slot, verb, limit, after, between, mark, save, dials: false })
    }

    fn mark(&mut self, reader: &mut Reader, node: &Node) -> Option<Arc<str>> {
        let name = reader.static_string(node, "`after`")?;
        // What a mark with a variable is called is known when its step is read.
        if !self.marks.iter().any(|mark| *mark == name || mark.contains("${")) {
            let hint = did_you_mean(&name, self.marks.iter().map(String::as_str));
            let hint = hint.unwrap_or_else(|| format!("`mark = \"{name}\"` on an earlier step sets it"));
            reader.mistake_with_hint(&node.span, format!("no step sets the mark `{name}`"), hint);
        }
        Some(name.into())
    }

    fn lower_verb(&mut self, reader: &mut Reader, slot: usize, verb: &Entry, options: &Options<'_>) -> Option<Verb> {
        let node = &verb.node;
        let key = verb.key.as_str();
        Some(match key {
            "accept" => self.lower_accept(reader, slot, node)?,
            "alt" => self.lower_alt(reader, node)?,
            "await" => {
                let name: Arc<str> = reader.static_string(node, "`await`")?.into();
                let times = options.get("times").map(|node| reader.integer(node, "`times`", 1, i64::MAX));
                Verb::Await(name, times.unwrap_or(Some(1))? as u64)
            }
            "barrier" => {
                let name = reader.static_string(node, "`barrier`")?;
                let parties = options.get("parties").map(|node| reader.integer(node, "`parties`", 1, i64::MAX));
                let all = self.barriers.get(&name).copied().unwrap_or(1);
                let parties = parties.map_or(Some(all), |parties| parties.map(|parties| parties as usize))?;
                Verb::Barrier(name.into(), parties)
            }
            "defer" => {
                let items = reader.array(node, "`defer`")?;
                Verb::Defer(self.lower_inner(reader, node, items)?.into())
            }
            "exec" | "restart" | "signal" | "stop" => Verb::Control(self.lower_control(reader, key, node)?),
            "expect_set" => self.lower_set(reader, slot, node, options)?,
            "notify" => Verb::Notify(reader.static_string(node, "`notify`")?.into()),
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
                let speaks = self.speaks(slot);
                let pattern = matcher::lower(reader, node, speaks.as_ref())?;
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
            "send" => Verb::Send(Box::new(self.lower_send(reader, slot, node, options)?)),
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
            "starttls" => Verb::StartTls(self.lower_starttls(reader, slot, node)?),
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

    /// What the actor of a slot speaks, where that is described.
    pub(super) fn speaks(&self, slot: usize) -> Option<Speaking> {
        self.actors.list[self.slots.get(slot)?.actor].speaks()
    }

    /// Steps that stand in another.
    pub(super) fn lower_inner(&mut self, reader: &mut Reader, node: &Node, items: &[Node]) -> Option<Vec<Step>> {
        if self.depth == DEPTH_MAX {
            reader.mistake(&node.span, format!("steps stand at most {DEPTH_MAX} deep in each other"));
            return None;
        }
        self.depth += 1;
        let steps = self.lower_all(reader, items);
        self.depth -= 1;
        Some(steps)
    }

    /// `true` takes what the actor says, a table says it here.
    fn lower_starttls(&mut self, reader: &mut Reader, slot: usize, node: &Node) -> Option<usize> {
        let actor = self.slots[slot].actor;
        if let (Value::Boolean(true), Some(known)) = (&node.value, self.actors.list[actor].starttls) {
            return Some(known);
        }
        let lowered = super::tls::lower(reader, node, "`starttls`", &mut self.scope);
        if lowered.is_none() && node.value == Value::Boolean(false) {
            reader.mistake(&node.span, "`starttls` takes `true` or a table: leave the step out to do nothing");
        }
        self.tls.push(lowered?);
        Some(self.tls.len() - 1)
    }

    fn lower_accept(&mut self, reader: &mut Reader, slot: usize, node: &Node) -> Option<Verb> {
        let actor = self.slots[slot].actor;
        if !matches!(self.actors.list[actor].role, Role::Server(_)) || slot != actor {
            let name = &self.slots[slot].name;
            let hint = "`listen` on an actor makes it a server; `{ server.accept = \"c1\" }`";
            reader.mistake_with_hint(&node.span, format!("`{name}` does not listen, so nobody connects to it"), hint);
            return None;
        }
        if node.value == Value::Boolean(true) {
            return Some(Verb::Accept(None));
        }
        let name = reader.static_string(node, "`accept`")?;
        let taken = self.actors.names.iter().any(|known| known.name == name);
        let problem = match () {
            () if !crate::text::is_identifier(&name) => format!("`{name}` is no name for a connection"),
            () if is_reserved(&name) => format!("`{name}` is a verb or an option, so it cannot name a connection"),
            () if taken => format!("`{name}` is the name of an actor already"),
            () => return Some(Verb::Accept(Some(self.name_connection(actor, &name)))),
        };
        reader.mistake(&node.span, problem);
        None
    }

    fn lower_alt(&mut self, reader: &mut Reader, node: &Node) -> Option<Verb> {
        let mut branches = Vec::new();
        let items = reader.array(node, "`alt`")?;
        for item in items {
            let steps = match &item.value {
                Value::Array(items) => items.as_slice(),
                _ => std::slice::from_ref(item),
            };
            let first = self.infos.len();
            let lowered = self.lower_inner(reader, node, steps)?;
            let Some(step) = lowered.first() else { continue };
            let verb = &self.infos[step.id as usize].verb;
            if !OUTCOMES.contains(&verb.as_str()) || step.id as usize != first {
                let hint = format!("one of {}; more steps may follow it in a list", OUTCOMES.join(", "));
                reader.mistake_with_hint(&item.span, format!("an alternative waits for something, not `{verb}`"), hint);
            }
            branches.push(Arc::from(lowered));
        }
        if items.len() < 2 {
            let hint = "`{ alt = [{ expect_eof = true }, { expect_reset = true }] }`";
            reader.mistake_with_hint(&node.span, "`alt` has at least two outcomes", hint);
        }
        (branches.len() == items.len() && branches.len() >= 2).then_some(Verb::Alt(branches))
    }

    fn lower_set(&mut self, reader: &mut Reader, slot: usize, node: &Node, options: &Options<'_>) -> Option<Verb> {
        let extra = match options.get("extra").map(|node| (node, reader.static_string(node, "`extra`"))) {
            None => false,
            Some((_, Some(text))) if text == "forbid" => false,
            Some((_, Some(text))) if text == "allow" => true,
            Some((node, text)) => {
                if let Some(text) = text {
                    reader.mistake(&node.span, format!("`extra` is `\"forbid\"` or `\"allow\"`, not `{text}`"));
                }
                false
            }
        };
        let items = reader.array(node, "`expect_set`")?;
        if items.is_empty() {
            reader.mistake(&node.span, "`expect_set` has at least one message");
        }
        let speaks = self.speaks(slot);
        let speaks = speaks.as_ref();
        let mut patterns = Vec::new();
        for item in items {
            let Some(pattern) = matcher::lower(reader, item, speaks) else {
                self.scope.set_by(item);
                continue;
            };
            self.scope.check(reader, &item.span, pattern.uses().iter().map(String::as_str));
            pattern.sets().iter().for_each(|name| self.scope.set(name));
            patterns.push(pattern);
        }
        (patterns.len() == items.len()).then_some(Verb::ExpectSet(patterns, extra))
    }
}

/// The keys of one step.
pub(super) struct Options<'s> {
    entries: Vec<&'s Entry>,
    verb: &'s str,
}

impl<'s> Options<'s> {
    fn entry(&self, key: &str) -> Option<&'s Entry> {
        self.entries.iter().find(|entry| entry.key == key).copied()
    }

    pub(super) fn get(&self, key: &str) -> Option<&'s Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// Notes options that do not go with the verb.
    fn check(&self, reader: &mut Reader) {
        for entry in &self.entries {
            let goes_with: &[&str] = match entry.key.as_str() {
                "coalesce" | "corrupt" | "cut_short" | "pace" | "split" | "then" | "truncate" => &["send"],
                "quiet" => &["drain"],
                "extra" => &["expect_set"],
                "parties" => &["barrier"],
                "save" => &["exec", "expect", "expect_set", "send"],
                "times" => &["await"],
                "steps" => &["for", "repeat"],
                "with" => &["use"],
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
pub(super) fn scalar(reader: &mut Reader, node: &Node, what: &str) -> Option<Template> {
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
