//! Scenario files: TOML to checked values, every mistake with its place.
//!
//! Nothing here runs anything. What a file says about steps becomes a [`Script`](crate::conversation::script::Script);
//! what it says about targets stays a description until a run starts them.

mod about;
mod actor;
mod alone;
mod case;
mod control;
mod fault;
mod fragment;
mod include;
pub mod lint;
mod loops;
pub(crate) mod message;
mod model;
mod outline;
mod payload;
mod preset;
mod scope;
mod send;
mod step;
mod target;
mod tls;
mod vary;
mod words;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The variable that tells iterations apart: it counts them, over all connections.
pub const ITERATION: &str = "iteration";

/// The variable that tells connections apart: it counts them, over all threads; those of several actors that play together have one.
pub const CONNECTION: &str = "connection";

/// The variables that every case knows since a benchmark counts by them.
pub const COUNTED: [&str; 2] = [CONNECTION, ITERATION];

pub use about::{ABOUT, About};
pub use actor::{Actor, COUNT_MAX, Connect, Role};
pub use alone::{Alone, alone};
pub(crate) use alone::{move_path, paths, seed, way};
pub use case::{Case, SkipUnless};
pub use fragment::{EXPANDED_MAX, FRAGMENT_DEPTH_MAX};
pub use include::INCLUDES_MAX;
pub use loops::UNROLLED_MAX;
pub use model::{Model, TRANSITIONS_MAX, Transition, WAYS_MAX};
pub use outline::Outline;
pub use payload::PAYLOADS;
pub use preset::{PRESETS, Preset, presets};
pub use target::{Command, Limits, Never, ReadyWhen, Restart, Target, TargetKind, Unwanted, UsageLimit};
pub use tls::{Identity, TLS_VARIABLES, Tls, Trust};
pub use vary::{COMBINATIONS_MAX, Family};
pub use words::{OPTIONS, VERBS, Word};

use crate::conversation::script::Limit;
use crate::document::{Node, Reader, Source, Table, Value, did_you_mean, parse};
use crate::event::Mistake;

/// How long a step waits unless somebody says otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// The most cases of one file.
pub const CASES_MAX: usize = 100_000;

/// A scenario file, checked.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file, as it was named by its user.
    pub file: String,
    /// Its name; the file's stem unless it says otherwise.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// What is under test.
    pub targets: Vec<Target>,
    /// Who talks.
    pub actors: Vec<Actor>,
    /// What is played.
    pub cases: Vec<Case>,
    /// Values that no output may show.
    pub secrets: Vec<String>,
    /// Variables whose values no output may show, whatever step sets them.
    pub secret_names: Vec<String>,
    /// Whether it uses files of the run's own authority.
    pub wants_tls_files: bool,
    /// What it names, and which names it uses.
    pub outline: Outline,
    /// What commands do with it unless somebody says otherwise.
    pub presets: Vec<Preset>,
    /// What its targets should do in which state.
    pub model: Option<Arc<Model>>,
    /// What all chance in its cases comes from, where it is not what the run's comes from.
    pub seed: Option<u64>,
    /// What is known of it, where it is a stored case.
    pub about: Option<Box<About>>,
}

impl Scenario {
    /// Whoever connects to this target, or to any, begins with TLS from now on, unless the file says how it does TLS.
    pub fn begin_with_tls(&mut self, target: Option<&str>) {
        for (at, actor) in self.actors.iter().enumerate() {
            let Role::Client(Connect::Target(to)) = actor.role else { continue };
            let is_meant = target.is_none_or(|target| target == self.targets[to].name);
            if !is_meant || actor.tls.is_some() || actor.starttls.is_some() {
                continue;
            }
            let folder = Path::new(&self.file).parent().unwrap_or(Path::new(""));
            for case in &mut self.cases {
                case.tls.push(Tls::plain(actor.place.clone(), folder.to_path_buf()));
                Arc::make_mut(&mut case.script).actors[at].tls = Some(case.tls.len() - 1);
            }
        }
    }
}

/// Reads the text of a file, or says why not.
pub type ReadFile = fn(&Path) -> Result<String, String>;

/// What a run knows before it reads a file.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// `--var NAME=VALUE`.
    pub vars: Vec<(String, String)>,
    /// The environment, for `${env.NAME}`.
    pub env: Vec<(String, String)>,
    /// `${seed}`.
    pub seed: u64,
    /// Whether that goes before the `seed` of a file.
    pub seed_given: bool,
    /// Reads a file that another includes; without it, nothing can be included.
    pub read: Option<ReadFile>,
}

const KEYS: &[&str] = &[
    "name",
    "description",
    "tags",
    "timeout",
    "seed",
    "about",
    "vars",
    "include",
    "fragment",
    "secret",
    "target",
    "actor",
    "case",
    "fault",
    "steps",
    "play",
    "properties",
    "fuzz",
    "bench",
    "model",
    "strict_end",
    "quiet",
    "deadline",
    "skip",
    "skip_unless",
    "xfail",
    "spec",
    "vary",
];

/// Keys of a file's top level that belong to its one case when it has `steps` there.
const CASE_KEYS: &[&str] = &["vary", "strict_end", "quiet", "deadline", "skip", "skip_unless", "xfail", "spec"];

/// Reads a scenario from `text`. `file` names it, and its folder is where relative paths start.
pub fn load(file: &str, text: &str, known: &Known) -> Result<Scenario, Vec<Mistake>> {
    let source = Source::new(file, text);
    let (mut table, mistakes) = parse(&source);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let mut reader = Reader::new(source);
    set_known(&mut reader, known);
    include::include(&mut reader, &mut table, known);
    let outline = Outline::of(&reader, &table);
    if fragment::is_needed(&table) {
        table = fragment::expand(&mut reader, &table);
    }
    let scenario = lower(&mut reader, &table, known, outline);
    let mistakes = reader.into_mistakes();
    if mistakes.is_empty() { Ok(scenario) } else { Err(mistakes) }
}

fn lower(reader: &mut Reader, table: &Table, known: &Known, outline: Outline) -> Scenario {
    reader.check_keys(table, KEYS, "a scenario");
    let seed = lower_seed(reader, table, known);
    let about = about::lower(reader, table).map(Box::new);
    let file = reader.source().file().to_string();
    let stem = Path::new(&file).file_stem().map_or_else(|| file.clone(), |stem| stem.to_string_lossy().into_owned());
    lower_vars(reader, table, known);

    let mut text = |key: &str| table.get(key).and_then(|node| reader.static_string(node, &format!("`{key}`")));
    let name = text("name").unwrap_or(stem);
    let description = text("description");
    let tags = table.get("tags").and_then(|node| reader.static_strings(node, "`tags`")).unwrap_or_default();
    let timeout = limit_of(reader, table, "timeout")
        .unwrap_or(Limit { duration: TIMEOUT_DEFAULT, set_by: "the default `timeout`".into() });
    let (secrets, secret_names) = lower_secrets(reader, table);
    let targets = target::lower_all(reader, table);
    let actors = actor::lower_all(reader, table, &targets);
    let marked: Vec<&Node> = ["case", "steps", "play"].iter().filter_map(|key| table.get(key)).collect();
    let faults = fault::lower_all(reader, table, &marked, &actors);
    let file_case = case::File { name: &name, tags, timeout, targets: &targets, actors: &actors, faults: &faults };
    let cases = lower_cases(reader, table, &file_case);
    let model = model::lower(reader, table, &file_case).map(Arc::new);
    let presets = preset::lower_all(reader, table);
    let wants_tls_files = reader.source().mentions("${tls.");
    let actors = actors.list;
    Scenario {
        file,
        name,
        description,
        targets,
        actors,
        cases,
        secrets,
        secret_names,
        wants_tls_files,
        outline,
        presets,
        model,
        seed,
        about,
    }
}

/// What is known before the file is read.
fn set_known(reader: &mut Reader, known: &Known) {
    for (name, value) in &known.env {
        reader.statics.insert(format!("env.{name}"), value.clone());
    }
    reader.statics.insert("seed".into(), known.seed.to_string());
    for (name, value) in &known.vars {
        reader.statics.insert(name.clone(), value.clone());
    }
}

/// The file's own seed, unless somebody has given one.
fn lower_seed(reader: &mut Reader, table: &Table, known: &Known) -> Option<u64> {
    let node = table.get("seed")?;
    let seed = match &node.value {
        Value::Integer(integer) => u64::try_from(*integer).ok(),
        // The larger half of all seeds is beyond TOML's numbers.
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let Some(seed) = seed else {
        reader.mistake(
            &node.span,
            "`seed` is a number from 0 to 18446744073709551615, in quotes where TOML has none so large",
        );
        return None;
    };
    if known.seed_given {
        return None;
    }
    reader.statics.insert("seed".into(), seed.to_string());
    Some(seed)
}

fn lower_vars(reader: &mut Reader, table: &Table, known: &Known) {
    if let Some(vars) = table.get("vars").and_then(|node| reader.table(node, "`[vars]`")) {
        for entry in &vars.entries {
            if !crate::text::is_identifier(&entry.key) {
                reader.mistake(&entry.key_span, format!("`{}` is no name for a variable", entry.key));
                continue;
            }
            let value = match &entry.node.value {
                Value::Integer(integer) => Some(integer.to_string()),
                Value::Float(float) => Some(float.to_string()),
                Value::Boolean(boolean) => Some(boolean.to_string()),
                _ => reader.static_string(&entry.node, "a variable"),
            };
            reader.statics.insert(entry.key.clone(), value.unwrap_or_default());
        }
    }
    for (name, value) in &known.vars {
        reader.statics.insert(name.clone(), value.clone());
    }
}

/// The values that are known already, and the names of them all.
fn lower_secrets(reader: &mut Reader, table: &Table) -> (Vec<String>, Vec<String>) {
    let Some(node) = table.get("secret") else { return Default::default() };
    let names = reader.static_strings(node, "`secret`").unwrap_or_default();
    let mut by_steps = scope::Scope::new(std::iter::empty());
    ["case", "steps", "play"].iter().filter_map(|key| table.get(key)).for_each(|node| by_steps.set_by(node));
    let mut secrets = Vec::new();
    for name in &names {
        match reader.statics.get(name) {
            Some(value) if !value.is_empty() => secrets.push(value.clone()),
            Some(_) => {}
            None if by_steps.names().any(|known| known == name) => {}
            None => {
                let message = format!("`secret` names `{name}`, and there is no such variable");
                let known = reader.statics.keys().map(String::as_str).filter(|known| !known.starts_with("env."));
                let hint = "`[vars]`, `--var`, and `save`, `set` and named groups of a step make variables";
                let hint = did_you_mean(name, known.chain(by_steps.names())).unwrap_or_else(|| hint.into());
                reader.mistake_with_hint(&node.span, message, hint);
            }
        }
    }
    (secrets, names)
}

fn lower_cases(reader: &mut Reader, table: &Table, file: &case::File<'_>) -> Vec<Case> {
    let (steps, cases) = (table.entry("steps").or(table.entry("play")), table.entry("case"));
    match (steps, cases) {
        (Some(entry), Some(_)) => {
            let hint = "put them into a `[[case]]` of their own";
            reader.mistake_with_hint(&entry.key_span, "steps at the top level go without `[[case]]`", hint);
            Vec::new()
        }
        (Some(entry), None) => {
            let mut whole = Table::default();
            let own = |key: &str| matches!(key, "play" | "steps") || CASE_KEYS.contains(&key);
            whole.entries.extend(table.entries.iter().filter(|entry| own(&entry.key)).cloned());
            lower_variants(reader, &whole, &entry.key_span, Some(file.name), file)
        }
        (None, Some(entry)) => {
            for key in CASE_KEYS {
                if let Some(entry) = table.entry(key) {
                    let message = format!("`{key}` belongs to a case");
                    reader.mistake_with_hint(&entry.key_span, message, "write it below a `[[case]]`");
                }
            }
            if let Value::Table(_) = entry.node.value {
                let message = "a file has a list of cases, and this is one table";
                reader.mistake_with_hint(&entry.key_span, message, "`[[case]]`, with two brackets, begins each");
                return Vec::new();
            }
            let Some(items) = reader.array(&entry.node, "`case`") else { return Vec::new() };
            if items.len() > CASES_MAX {
                reader.mistake(&entry.key_span, format!("a file has at most {CASES_MAX} cases, not {}", items.len()));
            }
            let mut lowered = Vec::new();
            for item in items.iter().take(CASES_MAX) {
                if reader.has_enough() {
                    break;
                }
                if let Some(table) = reader.table(item, "a case") {
                    let span = item.span.start..item.span.start + "[[case]]".len();
                    lowered.extend(lower_variants(reader, table, &span, None, file));
                }
            }
            lowered
        }
        (None, None) => {
            let hint = "`[[case]]` with a `name` and `steps` makes one";
            reader.mistake_with_hint(&(0..0), "there is no case in this file", hint);
            Vec::new()
        }
    }
}

/// A case for each combination of what varies.
fn lower_variants(
    reader: &mut Reader,
    table: &Table,
    span: &std::ops::Range<usize>,
    name: Option<&str>,
    file: &case::File<'_>,
) -> Vec<Case> {
    let variants = vary::variants(reader, table);
    variants.iter().filter_map(|variant| case::lower(reader, variant, span, name, file)).collect()
}

/// A duration under `key` as a limit that knows who set it.
fn limit_of(reader: &mut Reader, table: &Table, key: &str) -> Option<Limit> {
    let entry = table.entry(key)?;
    let duration = reader.duration(&entry.node, &format!("`{key}`"))?;
    let place = reader.source().place(entry.key_span.clone());
    Some(Limit { duration, set_by: Arc::from(format!("`{key}` at {place}")) })
}

/// Reads any text as a scenario: for the fuzz target and the corpus. Whatever it holds, there are mistakes or a scenario.
pub fn check_bytes(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let known = Known { seed: 1, ..Known::default() };
    match load("fuzz.toml", &text, &known) {
        Ok(scenario) => {
            assert!(!scenario.cases.is_empty(), "a valid file has a case");
            let placed = |finding: &lint::Finding| finding.mistake.place.line >= 1;
            assert!(lint::lint(&scenario).iter().all(placed), "every finding has a place");
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "an invalid file has a mistake");
            for mistake in mistakes {
                assert!(mistake.place.line >= 1 && mistake.place.column >= 1, "every mistake has a place");
            }
        }
    }
}
