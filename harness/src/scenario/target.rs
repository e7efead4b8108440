//! What is under test: a reference server, an address, or a command.

use std::path::PathBuf;
use std::time::Duration;

use super::scope::Scope;
use super::tls::Tls;
use crate::document::{Entry, Node, Reader, Table, Value, did_you_mean};
use crate::event::Place;
use crate::template::Template;

/// What is under test.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub kind: TargetKind,
    /// When it is started anew.
    pub restart: Restart,
    /// What it may use.
    pub limits: Option<Box<Limits>>,
    /// What it never writes.
    pub never: Vec<Never>,
    /// Whether it is told where an actor listens, and so is started for each case, after its listeners.
    pub is_told: bool,
}

impl Target {
    /// The URL that it serves at, as the file has it.
    pub(super) fn url(&self) -> Option<&Template> {
        match &self.kind {
            TargetKind::Address(url) => Some(url),
            TargetKind::Builtin { listen, .. } => listen.as_ref(),
            TargetKind::Command(command) => command.address.as_ref(),
        }
    }

    /// Whether it is a client program, which no actor connects to.
    pub fn is_client(&self) -> bool {
        matches!(&self.kind, TargetKind::Command(command) if command.address.is_none())
    }
}

/// What a target is.
#[derive(Clone, Debug)]
pub enum TargetKind {
    /// Something that already runs.
    Address(Template),
    /// One of the reference servers.
    Builtin {
        /// Its name in the table.
        name: String,
        /// Where it listens: a URL, with port 0 for a free one.
        listen: Option<Template>,
        /// Its settings.
        settings: Vec<(String, Template)>,
        /// What its TLS is like, on `tls://`.
        tls: Option<Box<Tls>>,
    },
    /// A process that the run starts.
    Command(Box<Command>),
}

impl TargetKind {
    /// Every text in which variables are filled in.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            TargetKind::Address(address) => vec![address],
            TargetKind::Builtin { listen, settings, .. } => {
                listen.iter().chain(settings.iter().map(|(_, value)| value)).collect()
            }
            TargetKind::Command(command) => {
                let env = command.env.iter().map(|(_, value)| value);
                let ready: &[Template] = match &command.ready {
                    ReadyWhen::Command(argv) => argv,
                    _ => &[],
                };
                command.argv.iter().chain(&command.address).chain(env).chain(ready).collect()
            }
        }
    }
}

/// A process that the run starts.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<Template>,
    /// Where it serves; `None` for a client program.
    pub address: Option<Template>,
    /// Its environment, on top of the harness's own.
    pub env: Vec<(String, Template)>,
    /// Its working folder.
    pub cwd: PathBuf,
    /// How to know that it is up.
    pub ready: ReadyWhen,
    /// How long that may take.
    pub ready_within: Duration,
    /// The signal that ends it, and how long that may take.
    pub stop: (String, Duration),
    /// The exit status that is no crash.
    pub expect_exit: Option<i32>,
}

/// How to know that a process is up.
#[derive(Clone, Debug)]
pub enum ReadyWhen {
    /// A command exits with 0.
    Command(Vec<Template>),
    /// A connection is accepted.
    Connect,
    /// So much time has passed.
    Delay(Duration),
    /// The kernel's socket table shows its port.
    Listening,
    /// A line on stderr matches.
    Stderr(String),
    /// A line on stdout matches.
    Stdout(String),
}

/// What a target may use. Growth is what is added after a warm-up, from round to round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// File descriptors that it may gain.
    pub descriptors_growth: Option<UsageLimit>,
    /// How much of a processor it may use with nothing asked of it, before it rests.
    pub idle_work_ms: Option<UsageLimit>,
    /// Resident memory at its peak, in bytes.
    pub memory: Option<UsageLimit>,
    /// Resident memory that it may gain, in bytes.
    pub memory_growth: Option<UsageLimit>,
    /// Threads that it may gain.
    pub threads_growth: Option<UsageLimit>,
    /// How much of a processor it may use for a case, until it rests.
    pub work_ms: Option<UsageLimit>,
}

/// What never happens to a target.
#[derive(Clone, Debug)]
pub struct Never {
    /// What.
    pub what: Unwanted,
    /// Where it stands.
    pub place: Place,
}

/// What a target is not to do.
#[derive(Clone, Debug)]
pub enum Unwanted {
    /// A process that it has started ends by a signal that says it did something wrong.
    Crash,
    /// It writes a line that matches this expression.
    Line {
        /// On stderr, else on stdout.
        stderr: bool,
        /// The expression.
        words: String,
    },
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageLimit {
    /// So much is still right.
    pub most: u64,
    /// Where it stands.
    pub place: Place,
}

/// When a target is started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// For each case.
    Case,
    /// Never: one start serves the file.
    Never,
}

const KINDS: &[&str] = &["builtin", "address", "command"];

const KEYS: &[&str] = &[
    "builtin",
    "settings",
    "listen",
    "tls",
    "address",
    "command",
    "ready",
    "ready_within",
    "env",
    "cwd",
    "stop",
    "restart",
    "expect_exit",
    "limits",
    "never",
];

const LIMITS: &[&str] = &["descriptors_growth", "idle_work", "memory", "memory_growth", "threads_growth", "work"];

/// Reads `[target]` or every `[target.NAME]`.
pub(super) fn lower_all(reader: &mut Reader, table: &Table) -> Vec<Target> {
    let listening = super::actor::listening(table);
    let Some(entry) = table.entry("target") else { return Vec::new() };
    let Some(targets) = reader.table(&entry.node, "`target`") else { return Vec::new() };
    let single = targets.entries.iter().any(|entry| !matches!(entry.node.value, Value::Table(_)) || is_kind(entry));
    if single || targets.entries.is_empty() {
        let scope = Scope::new(listening.iter().map(String::as_str));
        return vec![lower(reader, "target", targets, entry, scope, &listening)];
    }
    let mut lowered = Vec::new();
    for entry in &targets.entries {
        if !crate::text::is_identifier(&entry.key) {
            reader.mistake(&entry.key_span, format!("`{}` is no name for a target", entry.key));
        }
        if let Some(table) = reader.table(&entry.node, &format!("`[target.{}]`", entry.key)) {
            let mut scope = scope_of(entry, &targets.entries);
            listening.iter().for_each(|name| scope.set_target(name));
            lowered.push(lower(reader, &entry.key, table, entry, scope, &listening));
        }
    }
    lowered
}

/// What one of several targets can know of the others: where those are that start before it, and the ports of commands
/// that start with it.
fn scope_of(of: &Entry, all: &[Entry]) -> Scope {
    let each = |entry: &Entry| match &entry.node.value {
        Value::Table(table) => {
            matches!(table.get("restart").map(|node| &node.value), Some(Value::String(text)) if text == "case")
        }
        _ => false,
    };
    let is_command = |entry: &Entry| matches!(&entry.node.value, Value::Table(table) if table.get("command").is_some());
    let mut scope = Scope::new(std::iter::empty());
    let mut before = true;
    for entry in all {
        before &= entry.key != of.key;
        // Those for each case start when those for the whole file are up.
        if (each(entry) == each(of) && before) || (each(of) && !each(entry)) {
            scope.set_target(&entry.key);
        } else if each(entry) == each(of) && is_command(entry) {
            scope.set(&format!("{}.port", entry.key));
        }
    }
    scope
}

/// Whether an entry below `[target]` is a key of the one target, not the name of one of several.
fn is_kind(entry: &Entry) -> bool {
    KEYS.contains(&entry.key.as_str())
        && !matches!(&entry.node.value, Value::Table(table) if KINDS.iter().any(|kind| table.get(kind).is_some()))
}

fn lower(
    reader: &mut Reader,
    name: &str,
    table: &Table,
    entry: &Entry,
    mut scope: Scope,
    listening: &[String],
) -> Target {
    let scope = &mut scope;
    scope.set(&format!("{name}.port"));
    scope.set(&format!("{name}.dir"));
    let what = format!("the target `{name}`");
    reader.check_keys(table, KEYS, &what);
    let place = reader.source().place(entry.key_span.clone());
    let restart = match table.get("restart") {
        None => Restart::Never,
        Some(node) => match reader.static_string(node, "`restart`").as_deref() {
            Some("case") => Restart::Case,
            Some("never") | None => Restart::Never,
            Some(other) => {
                reader.mistake(&node.span, format!("`restart` is `\"never\"` or `\"case\"`, not `{other}`"));
                Restart::Never
            }
        },
    };
    for (key, kinds) in [
        ("settings", "builtin"),
        ("listen", "builtin"),
        ("tls", "builtin"),
        ("ready", "command"),
        ("ready_within", "command"),
        ("env", "command"),
        ("cwd", "command"),
        ("stop", "command"),
        ("expect_exit", "command"),
    ] {
        if let (Some(entry), None) = (table.entry(key), table.get(kinds)) {
            reader.mistake(&entry.key_span, format!("`{key}` goes with `{kinds}`"));
        }
    }
    let kind = match (table.entry("builtin"), table.entry("command"), table.entry("address")) {
        (Some(builtin), None, None) => lower_builtin(reader, builtin, table, scope),
        (None, Some(command), _) => lower_command(reader, name, command, table, scope, listening),
        (None, None, Some(address)) => lower_address(reader, address, scope),
        (Some(builtin), ..) => {
            reader.mistake(&builtin.key_span, format!("{what} is a `builtin`, or has a `command` or an `address`"));
            None
        }
        (None, None, None) => {
            let hint = "`builtin = \"tcp-echo\"`, `address = \"tcp://127.0.0.1:6379\"` or `command = [..]`";
            reader.mistake_with_hint(&entry.key_span, format!("{what} does not say what it is"), hint);
            None
        }
    };
    // One with a mistake still has its name, so that whoever connects to it can be read.
    let kind = kind.unwrap_or_else(|| TargetKind::Address(Template::literal("")));
    // The listeners that it is told of are there for one case.
    let is_told = is_told(&kind, listening);
    let restart = if is_told { Restart::Case } else { restart };
    let limits = table.entry("limits").and_then(|entry| lower_limits(reader, entry, &kind)).map(Box::new);
    let never = table.entry("never").map(|entry| lower_never(reader, entry, &kind)).unwrap_or_default();
    Target { name: name.into(), place, kind, restart, limits, never, is_told }
}

/// Reads `never`: what a process never does.
fn lower_never(reader: &mut Reader, entry: &Entry, kind: &TargetKind) -> Vec<Never> {
    let mut never = Vec::new();
    if let TargetKind::Address(_) = kind {
        let hint = "`command = [..]` starts one whose output can be seen";
        reader.mistake_with_hint(&entry.key_span, "`never` is for a process that the run starts", hint);
        return never;
    }
    let Some(table) = reader.table(&entry.node, "`never`") else { return never };
    reader.check_keys(table, &["crash", "stderr", "stdout"], "`never`");
    for entry in &table.entries {
        let place = reader.source().place(entry.key_span.start..entry.node.span.end);
        if entry.key == "crash" {
            if reader.boolean(&entry.node, "`crash`") == Some(true) {
                never.push(Never { what: Unwanted::Crash, place });
            }
            continue;
        }
        let Some(words) = reader.static_string(&entry.node, &format!("`{}`", entry.key)) else { continue };
        if check_regex(reader, &entry.node, &words) {
            never.push(Never { what: Unwanted::Line { stderr: entry.key == "stderr", words }, place });
        }
    }
    never
}

/// Whether a text is a regular expression.
fn check_regex(reader: &mut Reader, node: &Node, text: &str) -> bool {
    let Err(error) = regex_automata::meta::Regex::new(text) else { return true };
    let whole = error.to_string();
    let last = whole.lines().last().unwrap_or("it cannot be read").to_owned();
    reader.mistake(&node.span, format!("no regular expression: {last}"));
    false
}

fn lower_limits(reader: &mut Reader, entry: &Entry, kind: &TargetKind) -> Option<Limits> {
    match kind {
        TargetKind::Command(_) => {}
        TargetKind::Builtin { listen, .. }
            if !listen.as_ref().is_some_and(|listen| listen.beginning().starts_with(b"tls://")) => {}
        _ => {
            let hint = "`command = [..]` starts one whose memory, descriptors and threads can be seen";
            reader.mistake_with_hint(&entry.key_span, "`limits` are for a process that the run starts", hint);
            return None;
        }
    }
    let table = reader.table(&entry.node, "`limits`")?;
    reader.check_keys(table, LIMITS, "`limits`");
    let mut limits = Limits::default();
    for Entry { key, node, key_span } in &table.entries {
        let what = format!("`{key}`");
        let most = match key.as_str() {
            "idle_work" | "work" => reader.duration(node, &what).map(|most| most.as_millis() as u64),
            "memory" | "memory_growth" => reader.size(node, &what, 0, i64::MAX as u64),
            "descriptors_growth" | "threads_growth" => {
                reader.integer(node, &what, 0, i64::from(u32::MAX)).map(|most| most as u64)
            }
            _ => continue,
        };
        let place = reader.source().place(key_span.start..node.span.end);
        let limit = most.map(|most| UsageLimit { most, place });
        match key.as_str() {
            "descriptors_growth" => limits.descriptors_growth = limit,
            "idle_work" => limits.idle_work_ms = limit,
            "memory" => limits.memory = limit,
            "memory_growth" => limits.memory_growth = limit,
            "work" => limits.work_ms = limit,
            _ => limits.threads_growth = limit,
        }
    }
    Some(limits)
}

/// Whether a target is told where one of these actors listens.
fn is_told(kind: &TargetKind, listening: &[String]) -> bool {
    let mut used = kind.templates().into_iter().flat_map(Template::variables);
    used.any(|name| name.rsplit_once('.').is_some_and(|(actor, _)| listening.iter().any(|known| known == actor)))
}

fn lower_builtin(reader: &mut Reader, entry: &Entry, table: &Table, scope: &mut Scope) -> Option<TargetKind> {
    let name = reader.static_string(&entry.node, "`builtin`")?;
    let Some(target) = targets::find(&name) else {
        let names = targets::TARGETS.iter().map(|target| target.name);
        let hint = did_you_mean(&name, names).map_or(String::new(), |hint| format!("{hint} "));
        let hint = format!("{hint}`harness list targets` shows them all");
        reader.mistake_with_hint(&entry.node.span, format!("unknown target `{name}`"), hint);
        return None;
    };
    let listen = match table.get("listen") {
        Some(node) => {
            let template = template(reader, node, "`listen`", scope)?;
            check_url(reader, node, &template);
            Some(template)
        }
        None => None,
    };
    let mut settings = Vec::new();
    if let Some(node) = table.get("settings") {
        for entry in &reader.table(node, "`settings`")?.entries {
            let known: Vec<&str> = target.settings.iter().map(|setting| setting.name).collect();
            if !known.contains(&entry.key.as_str()) {
                reader.unknown(&entry.key_span, "setting", &entry.key, &known, "harness list targets");
                continue;
            }
            let value = match &entry.node.value {
                Value::Integer(integer) => Template::literal(integer.to_string()),
                Value::Boolean(boolean) => Template::literal(boolean.to_string()),
                _ => template(reader, &entry.node, "a setting", scope)?,
            };
            settings.push((entry.key.clone(), value));
        }
        // The others are known when the target starts.
        let known = settings.iter().filter_map(|(name, value)| {
            Some((name.clone(), String::from_utf8_lossy(value.as_literal()?).into_owned()))
        });
        if let Err(error) =
            target.make(&known.collect::<Vec<_>>(), &targets::Limits::default(), || jiff::Timestamp::UNIX_EPOCH)
        {
            reader.mistake(&node.span, error.to_string());
        }
    }
    let tls = table.get("tls").and_then(|node| super::tls::lower(reader, node, "`tls`", scope)).map(Box::new);
    let on_tls = listen.as_ref().is_some_and(|listen| listen.beginning().starts_with(b"tls://"));
    if let (Some(entry), false) = (table.entry("tls"), on_tls) {
        let hint = "`listen = \"tls://127.0.0.1:0\"`";
        reader.mistake_with_hint(&entry.key_span, "`tls` goes with a `listen` on `tls://`", hint);
    }
    if let (Some(entry), true) = (table.entry("tls"), on_tls && target.ends_process) {
        let message = format!("`{name}` has a process of its own, and a certificate of the run's own there");
        let hint = "a `command` of `harness serve --listen tls://.. --tls-cert .. --tls-key ..` serves it under TLS";
        reader.mistake_with_hint(&entry.key_span, message, hint);
    }
    Some(TargetKind::Builtin { name, listen, settings, tls })
}

fn lower_address(reader: &mut Reader, entry: &Entry, scope: &mut Scope) -> Option<TargetKind> {
    let template = template(reader, &entry.node, "`address`", scope)?;
    check_url(reader, &entry.node, &template);
    Some(TargetKind::Address(template))
}

/// A URL that is known already has to be one.
pub(super) fn check_url(reader: &mut Reader, node: &Node, template: &Template) {
    let Some(text) = template.as_literal() else { return };
    if let Err(error) = crate::url::Url::parse(&String::from_utf8_lossy(text)) {
        let hint = match text.contains(&b'{') {
            true => "`${NAME.port}`, with the target's name, is a free port that the run picks",
            false => "`tcp://127.0.0.1:6379`, `udp://[::1]:53`, `unix:///run/x.sock`, `unixgram:///run/x.sock`",
        };
        reader.mistake_with_hint(&node.span, error.to_string(), hint);
    }
}

fn lower_command(
    reader: &mut Reader,
    name: &str,
    entry: &Entry,
    table: &Table,
    scope: &mut Scope,
    listening: &[String],
) -> Option<TargetKind> {
    let address = lower_command_address(reader, name, entry, table, scope, listening);
    // It is known where the target will be before it is started, so that its command can say so.
    scope.set_target(name);
    let argv = templates(reader, &entry.node, "`command`", scope);
    if argv.as_ref().is_some_and(Vec::is_empty) {
        reader.mistake(&entry.node.span, "`command` has at least the program's name");
    }
    let mut env = Vec::new();
    if let Some(table) = table.get("env").and_then(|node| reader.table(node, "`env`")) {
        for entry in &table.entries {
            env.extend(
                template(reader, &entry.node, "an environment variable", scope)
                    .map(|template| (entry.key.clone(), template)),
            );
        }
    }
    let cwd =
        table.get("cwd").and_then(|node| Some(reader.folder(&node.span).join(reader.static_string(node, "`cwd`")?)));
    let cwd = cwd.unwrap_or_default();
    let ready = match table.get("ready") {
        Some(node) => lower_ready(reader, node, scope),
        None => Some(ReadyWhen::Listening),
    };
    let ready_within = match table.get("ready_within") {
        Some(node) => reader.duration(node, "`ready_within`"),
        None => Some(Duration::from_secs(10)),
    };
    let stop = lower_stop(reader, table);
    let expect_exit = table.get("expect_exit").and_then(|node| reader.integer(node, "`expect_exit`", 0, 255));
    Some(TargetKind::Command(Box::new(Command {
        argv: argv?,
        address: address?,
        env,
        cwd,
        ready: ready?,
        ready_within: ready_within?,
        stop: stop?,
        expect_exit: expect_exit.map(|status| status as i32),
    })))
}

fn lower_ready(reader: &mut Reader, node: &Node, scope: &mut Scope) -> Option<ReadyWhen> {
    if let Value::String(_) = node.value {
        let text = reader.static_string(node, "`ready`")?;
        return match text.as_str() {
            "connect" => Some(ReadyWhen::Connect),
            "listening" => Some(ReadyWhen::Listening),
            _ => {
                let hint = "or `{ stdout = \"regex\" }`, `{ stderr = \"regex\" }`, `{ delay = \"200ms\" }`, `{ command = [..] }`";
                let message = format!("`ready` is `\"listening\"` or `\"connect\"`, not `{text}`");
                reader.mistake_with_hint(&node.span, message, hint);
                None
            }
        };
    }
    let table = reader.table(node, "`ready`")?;
    reader.check_keys(table, &["stdout", "stderr", "delay", "command"], "`ready`");
    let [entry] = table.entries.as_slice() else {
        reader.mistake(&node.span, "`ready` has one key");
        return None;
    };
    match entry.key.as_str() {
        "command" => Some(ReadyWhen::Command(templates(reader, &entry.node, "`command`", scope)?)),
        "delay" => Some(ReadyWhen::Delay(reader.duration(&entry.node, "`delay`")?)),
        "stderr" | "stdout" => {
            let text = reader.static_string(&entry.node, &format!("`{}`", entry.key))?;
            if !check_regex(reader, &entry.node, &text) {
                return None;
            }
            Some(if entry.key == "stdout" { ReadyWhen::Stdout(text) } else { ReadyWhen::Stderr(text) })
        }
        _ => None,
    }
}

fn lower_stop(reader: &mut Reader, table: &Table) -> Option<(String, Duration)> {
    let mut stop = ("SIGTERM".to_owned(), Duration::from_secs(2));
    let Some(node) = table.get("stop") else { return Some(stop) };
    let table = reader.table(node, "`stop`")?;
    reader.check_keys(table, &["signal", "within"], "`stop`");
    if let Some(node) = table.get("signal") {
        stop.0 = reader.static_string(node, "`signal`")?;
        if let Err(error) = crate::signal::Signal::parse(&stop.0) {
            reader.mistake(&node.span, error.to_string());
        }
    }
    if let Some(node) = table.get("within") {
        stop.1 = reader.duration(node, "`within`")?;
    }
    Some(stop)
}

/// Where a command serves: what its `address` says, or the port that it is given.
fn lower_command_address(
    reader: &mut Reader,
    name: &str,
    command: &Entry,
    table: &Table,
    scope: &mut Scope,
    listening: &[String],
) -> Option<Option<Template>> {
    if let Some(entry) = table.entry("address") {
        let template = template(reader, &entry.node, "`address`", scope)?;
        check_url(reader, &entry.node, &template);
        return Some(Some(template));
    }
    let port = format!("${{{name}.port}}");
    let mentions = |what: &str| match &command.node.value {
        Value::Array(items) => {
            items.iter().any(|item| matches!(&item.value, Value::String(text) if text.contains(what)))
        }
        _ => false,
    };
    if !mentions(&port) {
        if listening.iter().any(|actor| mentions(&format!("${{{actor}."))) {
            return Some(None);
        }
        let hint = format!(
            "`address = \"tcp://127.0.0.1:{port}\"`, and `{port}` in the command; a client program's command says `${{ACTOR.address}}`"
        );
        reader.mistake_with_hint(&command.key_span, "a command has an `address` where it serves", hint);
        return None;
    }
    Some(Some(Template::parse(&format!("tcp://127.0.0.1:{port}"), &reader.statics).expect("it is one")))
}

/// A template, each of whose variables will have a value.
fn template(reader: &mut Reader, node: &Node, what: &str, scope: &mut Scope) -> Option<Template> {
    let template = reader.template(node, what)?;
    scope.check(reader, &node.span, template.variables());
    Some(template)
}

fn templates(reader: &mut Reader, node: &Node, what: &str, scope: &mut Scope) -> Option<Vec<Template>> {
    let items = reader.array(node, what)?;
    let templates: Vec<_> = items.iter().map(|item| template(reader, item, what, scope)).collect();
    templates.into_iter().collect()
}
