//! A case: the unit of reporting.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::actor::{Actors, Connect, Role};
use super::limit_of;
use super::scope::Scope;
use super::step::Steps;
use super::target::Target;
use super::tls::Tls;
use super::vary::{Family, Variant};
use crate::conversation::script::{self, LaneScript, Limit, Script};
use crate::document::{Entry, Node, Reader, Table, Value, did_you_mean};
use crate::fault::Fault;
use crate::template::Template;

/// How long a peer says nothing before it is called quiet.
pub(super) const QUIET_DEFAULT: Duration = Duration::from_millis(50);

/// The unit of reporting.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Its tags and its file's.
    pub tags: Vec<String>,
    /// Clauses that it checks.
    pub spec: Vec<String>,
    /// Why it is not played.
    pub skip: Option<String>,
    /// What must be there for it to be played.
    pub skip_unless: Vec<SkipUnless>,
    /// Why it must fail.
    pub xfail: Option<String>,
    /// Which loopback it uses, where it says so.
    pub family: Option<Family>,
    /// How its actors do TLS.
    pub tls: Vec<Tls>,
    /// The targets that its steps stop, restart or send signals to.
    pub disturbs: Vec<String>,
    /// What goes wrong on its relays: what the file says first, then what the case says.
    pub faults: Arc<[Fault]>,
    /// What is played.
    pub script: Arc<Script>,
}

/// What must be there for a case to be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipUnless {
    /// A program on the path.
    Command(String),
    /// An environment variable.
    Env(String),
    /// IPv6 on the loopback.
    Ipv6,
    /// This operating system.
    Os(String),
    /// The superuser.
    Root,
}

/// What a case inherits from its file.
pub(super) struct File<'f> {
    pub(super) name: &'f String,
    pub(super) tags: Vec<String>,
    pub(super) timeout: Limit,
    pub(super) targets: &'f [Target],
    pub(super) actors: &'f Actors,
    pub(super) faults: &'f [Fault],
}

const KEYS: &[&str] = &[
    "name",
    "tags",
    "spec",
    "steps",
    "play",
    "skip",
    "skip_unless",
    "xfail",
    "timeout",
    "deadline",
    "fault",
    "strict_end",
    "quiet",
];

pub(super) fn lower(
    reader: &mut Reader,
    variant: &Variant,
    span: &Range<usize>,
    name: Option<&str>,
    file: &File<'_>,
) -> Option<Case> {
    let table = &variant.table;
    reader.check_keys(table, KEYS, "a case");
    let name = match (name, table.get("name")) {
        (Some(name), _) => name.to_owned(),
        (None, Some(node)) => reader.static_string(node, "`name`").unwrap_or_default(),
        (None, None) => {
            reader.mistake_with_hint(span, "a case has a name", "`name = \"echoes a line\"`");
            String::new()
        }
    };
    let name = name + &variant.suffix;
    reader.statics.insert("case".into(), name.clone());
    let mut strings = |key: &str| {
        table.get(key).and_then(|node| reader.static_strings(node, &format!("`{key}`"))).unwrap_or_default()
    };
    let (tags, spec) = (strings("tags"), strings("spec"));
    let tags = file.tags.iter().cloned().chain(tags).collect();
    let mut reason = |key: &str| {
        let node = table.get(key)?;
        if let Value::Boolean(_) = node.value {
            let hint = format!("`{key} = \"the reason\"`, which the report will tell");
            reader.mistake_with_hint(&node.span, format!("`{key}` says why, in a string"), hint);
            return None;
        }
        reader.static_string(node, &format!("`{key}`"))
    };
    let (skip, xfail) = (reason("skip"), reason("xfail"));
    let mut skip_unless = lower_skip_unless(reader, table);
    if variant.family == Some(Family::V6) && !skip_unless.contains(&SkipUnless::Ipv6) {
        skip_unless.push(SkipUnless::Ipv6);
    }
    let timeout = limit_of(reader, table, "timeout").unwrap_or_else(|| file.timeout.clone());
    let deadline = limit_of(reader, table, "deadline");
    let strict_end = match table.get("strict_end") {
        Some(node) => reader.boolean(node, "`strict_end`").unwrap_or(true),
        None => true,
    };
    let quiet = match table.get("quiet") {
        Some(node) => reader.duration(node, "`quiet`").unwrap_or(QUIET_DEFAULT),
        None => QUIET_DEFAULT,
    };

    let mut steps = Steps::new(file, timeout);
    let mut variables = set_by_steps(reader, table);
    // A benchmark counts its connections and its iterations; whoever plays a case once plays the first.
    for name in crate::scenario::COUNTED {
        if !reader.statics.contains_key(name) {
            steps.scope.set(name);
            if variables.iter().all(|(known, _)| **known != *name) {
                variables.push((name.into(), "0".into()));
            }
        }
    }
    variables.iter().for_each(|(name, _)| {
        reader.statics.remove(&**name);
        steps.scope.set(name);
    });
    let lanes = match (table.entry("steps"), table.entry("play")) {
        (Some(entry), None) => lower_steps(reader, &mut steps, entry),
        (None, Some(entry)) => lower_play(reader, &mut steps, entry),
        (Some(_), Some(entry)) => {
            let hint = "`steps` is one order for all actors, `play` one for each: a case has either";
            reader.mistake_with_hint(&entry.key_span, "this case has `steps` as well as `play`", hint);
            return None;
        }
        (None, None) => {
            let message = match name.is_empty() {
                true => "this case has no steps".into(),
                false => format!("the case `{name}` has no steps"),
            };
            reader.mistake_with_hint(span, message, "`steps = [{ send = \"..\" }, ..]`");
            return None;
        }
    };
    for (name, value) in &variables {
        reader.statics.insert(name.to_string(), value.clone());
    }
    let lanes = lanes?;
    let marked: Vec<&Node> = ["steps", "play"].iter().filter_map(|key| table.get(key)).collect();
    let own = super::fault::lower_all(reader, table, &marked, file.actors);
    let faults = file.faults.iter().cloned().chain(own).collect();
    let script = Script {
        name: format!("{}/{name}", file.name),
        actors: file.actors.list.iter().map(script_actor).collect(),
        slots: steps.slots,
        lanes,
        infos: steps.infos,
        place: reader.source().place(span.clone()),
        strict_end,
        quiet,
        deadline,
        variables: variables.into_iter().map(|(name, value)| (name, value.into())).collect(),
    };
    let (disturbs, tls) = (steps.disturbed.into_iter().collect(), steps.tls);
    let family = variant.family;
    Some(Case { name, tags, spec, skip, skip_unless, xfail, family, tls, disturbs, faults, script: Arc::new(script) })
}

/// Variables with a value from the start that a step sets as well: what they are is known only when they are used.
fn set_by_steps(reader: &Reader, table: &Table) -> Vec<(Arc<str>, String)> {
    let mut scope = Scope::new(std::iter::empty());
    ["steps", "play"].iter().filter_map(|key| table.get(key)).for_each(|node| scope.set_by(node));
    scope.names().filter_map(|name| Some((Arc::from(name), reader.statics.get(name)?.clone()))).collect()
}

fn script_actor(actor: &super::Actor) -> script::Actor {
    let (role, connect) = match &actor.role {
        // A URL with variables may need one that a step sets.
        Role::Client(Connect::Url(url)) if url.as_literal().is_none() => (script::Role::Client, Some(url.clone())),
        Role::Client(_) => (script::Role::Client, None),
        Role::Relay { .. } => (script::Role::Relay, None),
        Role::Server(_) => (script::Role::Server, None),
    };
    let speaks = actor.speaks();
    let framing = actor.framing.clone();
    script::Actor { name: actor.name.as_str().into(), role, framing, speaks, connect, tls: actor.tls }
}

fn lower_steps(reader: &mut Reader, steps: &mut Steps<'_>, entry: &Entry) -> Option<Vec<LaneScript>> {
    let items = reader.array(&entry.node, "`steps`")?;
    if items.is_empty() {
        reader.mistake(&entry.node.span, "a case has at least one step");
    }
    steps.find_marks(&entry.node);
    let lane = steps.lower_all(reader, items);
    Some(vec![LaneScript { name: "".into(), steps: lane.into() }])
}

/// Steps in an order for each actor: every member of a group plays the group's.
fn lower_play(reader: &mut Reader, steps: &mut Steps<'_>, entry: &Entry) -> Option<Vec<LaneScript>> {
    let plays = reader.table(&entry.node, "`play`")?;
    if plays.entries.is_empty() {
        reader.mistake_with_hint(&entry.node.span, "nobody plays", "`play.NAME = [..]` has the steps of an actor");
    }
    let actors = steps.actors;
    let mut players = Vec::new();
    for play in &plays.entries {
        let Some(name) = actors.names.iter().find(|name| name.name == play.key) else {
            let known = actors.names.iter().map(|name| name.name.as_str());
            let hint = did_you_mean(&play.key, known).unwrap_or_else(|| format!("`[actor.{}]` makes one", play.key));
            reader.mistake_with_hint(&play.key_span, format!("there is no actor `{}`", play.key), hint);
            continue;
        };
        for member in name.members.clone() {
            if let Role::Relay { .. } = actors.list[member].role {
                reader.mistake(&play.key_span, format!("`{}` is a relay, and a relay has no steps", play.key));
            } else if players.iter().any(|(known, _)| *known == member) {
                let name = &actors.list[member].name;
                reader.mistake(&play.key_span, format!("`{name}` has its steps already"));
            } else {
                players.push((member, play));
            }
        }
    }
    steps.find_marks(&entry.node);
    // Whoever comes after a barrier has to know who comes to it.
    for (member, play) in &players {
        enter(reader, steps, *member);
        let mut found = std::collections::BTreeSet::new();
        find_barriers(reader, &play.node, &mut found);
        found.into_iter().for_each(|name| *steps.barriers.entry(name).or_default() += 1);
    }
    // What one sets, another may use: the order between them is theirs.
    steps.scope.set_by(&entry.node);
    let mut lanes = Vec::new();
    for (member, play) in players {
        enter(reader, steps, member);
        let Some(items) = reader.array(&play.node, &format!("`play.{}`", play.key)) else { continue };
        let lane = steps.lower_all(reader, items);
        lanes.push(LaneScript { name: actors.list[member].name.as_str().into(), steps: lane.into() });
    }
    reader.statics.remove("index");
    Some(lanes)
}

/// From here on, steps are those of this actor.
fn enter(reader: &mut Reader, steps: &mut Steps<'_>, member: usize) {
    steps.lane = Some(member);
    steps.solo = vec![member];
    match steps.index(member) {
        Some(index) => reader.statics.insert("index".into(), index.to_string()),
        None => reader.statics.remove("index"),
    };
}

/// The names of the barriers in some steps.
fn find_barriers(reader: &Reader, node: &Node, found: &mut std::collections::BTreeSet<String>) {
    match &node.value {
        Value::Array(items) => items.iter().for_each(|item| find_barriers(reader, item, found)),
        Value::Table(table) => {
            for entry in &table.entries {
                match (entry.key.as_str(), &entry.node.value) {
                    ("barrier", Value::String(text)) => {
                        let name = Template::parse(text, &reader.statics).ok();
                        let name = name.as_ref().and_then(Template::as_literal);
                        found.extend(name.map(|name| String::from_utf8_lossy(name).into_owned()));
                    }
                    _ => find_barriers(reader, &entry.node, found),
                }
            }
        }
        _ => {}
    }
}

fn lower_skip_unless(reader: &mut Reader, table: &Table) -> Vec<SkipUnless> {
    let mut wanted = Vec::new();
    let Some(node) = table.get("skip_unless") else { return wanted };
    let Some(table) = reader.table(node, "`skip_unless`") else { return wanted };
    reader.check_keys(table, &["command", "env", "os", "root", "ipv6"], "`skip_unless`");
    for entry in &table.entries {
        match entry.key.as_str() {
            "ipv6" | "root" => {
                let wants = reader.boolean(&entry.node, &format!("`{}`", entry.key)) == Some(true);
                let what = if entry.key == "ipv6" { SkipUnless::Ipv6 } else { SkipUnless::Root };
                wanted.extend(wants.then_some(what));
            }
            key @ ("command" | "env" | "os") => {
                for value in reader.static_strings(&entry.node, &format!("`{key}`")).unwrap_or_default() {
                    wanted.push(match key {
                        "command" => SkipUnless::Command(value),
                        "env" => SkipUnless::Env(value),
                        _ => SkipUnless::Os(value),
                    });
                }
            }
            _ => {}
        }
    }
    wanted
}
