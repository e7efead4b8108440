//! A case: the unit of reporting.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::actor::Actor;
use super::scope::Scope;
use super::step::Steps;
use super::target::Target;
use super::{limit_of, names};
use crate::conversation::script::{self, Limit, Script};
use crate::document::{Reader, Table, Value};

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
    pub(super) actors: &'f [Actor],
}

const KEYS: &[&str] =
    &["name", "tags", "spec", "steps", "skip", "skip_unless", "xfail", "timeout", "deadline", "strict_end", "quiet"];

/// Parts of the language that this version does not know yet.
const LATER: &[&str] = &["vary", "fault", "play"];

pub(super) fn lower(
    reader: &mut Reader,
    table: &Table,
    span: &Range<usize>,
    name: Option<&str>,
    file: &File<'_>,
) -> Option<Case> {
    reader.check_keys_but(table, KEYS, LATER, "a case");
    let name = match (name, table.get("name")) {
        (Some(name), _) => name.to_owned(),
        (None, Some(node)) => reader.static_string(node, "`name`").unwrap_or_default(),
        (None, None) => {
            reader.mistake_with_hint(span, "a case has a name", "`name = \"echoes a line\"`");
            String::new()
        }
    };
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
    let skip_unless = lower_skip_unless(reader, table);
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

    let Some(entry) = table.entry("steps") else {
        if table.entry("play").is_none() {
            reader.mistake_with_hint(
                span,
                if name.is_empty() {
                    "this case has no steps".into()
                } else {
                    format!("the case `{name}` has no steps")
                },
                "`steps = [{ send = \"..\" }, ..]`",
            );
        }
        return None;
    };
    let items = reader.array(&entry.node, "`steps`")?;
    if items.is_empty() {
        reader.mistake(&entry.node.span, "a case has at least one step");
    }
    let mut steps = Steps {
        actors: names(file.actors.iter().map(|actor| &actor.name)),
        scope: Scope::new(file.targets.iter().map(|target| target.name.as_str())),
        limit: timeout,
        infos: Vec::new(),
        marks: Vec::new(),
        dialled: vec![false; file.actors.len()],
        depth: 0,
    };
    steps.find_marks(&entry.node);
    let lane = steps.lower_all(reader, items);
    let actors = file.actors.iter();
    let actors = actors
        .map(|actor| script::Actor { name: actor.name.as_str().into(), framing: actor.framing.clone() })
        .collect();
    let script = Script {
        name: format!("{}/{name}", file.name),
        actors,
        lanes: vec![lane.into()],
        infos: steps.infos,
        place: reader.source().place(span.clone()),
        strict_end,
        quiet,
        deadline,
    };
    Some(Case { name, tags, spec, skip, skip_unless, xfail, script: Arc::new(script) })
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
