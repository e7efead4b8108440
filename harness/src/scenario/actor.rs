//! Who talks.

use std::ops::Range;
use std::sync::Arc;

use super::scope::Scope;
use super::target::{Target, TargetKind, check_url};
use super::tls::Tls;
use crate::document::{Entry, Node, Reader, Table, Value, did_you_mean};
use crate::event::Place;
use crate::framing::{self, Framing};
use crate::matcher::Speaking;
use crate::protocol::{Direction, Protocol};
use crate::template::Template;

/// The most members of a group.
pub const COUNT_MAX: i64 = 1_000;

/// Who talks.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its name; `alice[0]` for a member of a group.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// How it gets its connections.
    pub role: Role,
    /// Where a message ends; `None` for a raw stream, and for datagrams as they come.
    pub framing: Option<Arc<dyn Framing>>,
    /// What it speaks, where that is described.
    pub protocol: Option<Arc<Protocol>>,
    /// The local address: a host, or a host and a port.
    pub bind: Option<Template>,
    /// How it does TLS from the start, by number in [`Case::tls`](super::Case::tls).
    pub tls: Option<usize>,
    /// How it does TLS from a `starttls` on.
    pub starttls: Option<usize>,
    /// Whether it takes whoever answers first for its peer from there on.
    pub follow: bool,
}

/// How an actor gets its connections.
#[derive(Clone, Debug)]
pub enum Role {
    /// It dials.
    Client(Connect),
    /// It stands between those who connect to it and another.
    Relay {
        /// Where it listens: a URL.
        listen: Template,
        /// To whom it passes on.
        to: Connect,
    },
    /// It listens, at this URL.
    Server(Template),
}

/// Where an actor connects.
#[derive(Clone, Debug)]
pub enum Connect {
    /// To another actor, by its number in the file.
    Actor(usize),
    /// To a target, by its number in the file.
    Target(usize),
    /// To a URL of its own.
    Url(Template),
}

/// All actors of a file, and the names that steps call them by.
#[derive(Clone, Debug, Default)]
pub(super) struct Actors {
    pub(super) list: Vec<Actor>,
    pub(super) names: Vec<Name>,
    pub(super) tls: Vec<Tls>,
}

/// A name that a step can act under.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) name: String,
    /// Whom it means: all members, for a group's.
    pub(super) members: Range<usize>,
    /// Its number in its group, for a member's.
    pub(super) index: Option<usize>,
}

const KEYS: &[&str] =
    &["connect", "listen", "relay", "framing", "protocol", "tls", "starttls", "bind", "count", "follow"];

/// The actor of a file that names none.
const CLIENT: &str = "client";

/// An actor as it stands in the file.
struct Draft<'n> {
    entry: &'n Entry,
    table: &'n Table,
    count: Option<usize>,
}

/// The names of the actors that listen, which targets can be told.
pub(super) fn listening(table: &Table) -> Vec<String> {
    let Some(Value::Table(actors)) = table.get("actor").map(|node| &node.value) else { return Vec::new() };
    let mut names = Vec::new();
    for entry in &actors.entries {
        let Value::Table(actor) = &entry.node.value else { continue };
        if actor.get("listen").is_none() && actor.get("relay").is_none() {
            continue;
        }
        match actor.get("count").map(|node| &node.value) {
            Some(Value::Integer(count)) => {
                names.extend((0..(*count).clamp(0, COUNT_MAX)).map(|at| format!("{}[{at}]", entry.key)));
            }
            _ => names.push(entry.key.clone()),
        }
    }
    names
}

/// Reads every `[actor.NAME]`; with one target and no actor there is one, `client`.
pub(super) fn lower_all(reader: &mut Reader, table: &Table, targets: &[Target]) -> Actors {
    let mut actors = Actors::default();
    let Some(entry) = table.entry("actor") else {
        match targets {
            [] if table.entry("target").is_none() => {
                let hint = "`[target]` with `builtin`, `address` or `command`";
                reader.mistake_with_hint(&(0..0), "nothing is under test: there is no target and no actor", hint);
            }
            [] => {}
            [target] => {
                actors.add_client(Connect::Target(0));
                if target.url().is_some_and(|url| url.beginning().starts_with(b"tls://")) {
                    actors.tls.push(Tls::plain(target.place.clone(), reader.folder(&(0..0))));
                    actors.list[0].tls = Some(0);
                }
                lay_links(table, targets, &mut actors);
                return actors;
            }
            [_, second, ..] => {
                let hint = format!("`[actor.client]` with `connect = \"{}\"`", second.name);
                let span = table.entry("target").map_or(0..0, |entry| entry.key_span.clone());
                reader.mistake_with_hint(&span, "several targets need actors that say who connects where", hint);
            }
        }
        // Where nobody could be found to talk, the steps are read as if there was one.
        actors.add_client(Connect::Url(Template::literal("")));
        return actors;
    };
    let drafts = draft_all(reader, entry);
    if drafts.is_empty() {
        let hint = "`[actor.client]` with `connect = \"NAME\"`";
        reader.mistake_with_hint(&entry.key_span, "there is no actor in `[actor]`", hint);
        actors.add_client(Connect::Url(Template::literal("")));
        return actors;
    }
    let mut next = 0;
    for draft in &drafts {
        let (name, first) = (&draft.entry.key, next);
        next += draft.count.unwrap_or(1);
        actors.names.push(Name { name: name.clone(), members: first..next, index: None });
        for index in 0..draft.count.unwrap_or(0) {
            let name = format!("{name}[{index}]");
            actors.names.push(Name { name, members: first + index..first + index + 1, index: Some(index) });
        }
    }
    // Where it connects may be known only from a step.
    let mut scope = Scope::new(targets.iter().map(|target| target.name.as_str()));
    listening(table).iter().for_each(|name| scope.set_target(name));
    for key in ["case", "steps", "play", "fragment"] {
        table.get(key).into_iter().for_each(|node| scope.set_by(node));
    }
    for draft in &drafts {
        for index in 0..draft.count.unwrap_or(1) {
            let name = match draft.count {
                Some(_) => format!("{}[{index}]", draft.entry.key),
                None => draft.entry.key.clone(),
            };
            if draft.count.is_some() {
                reader.statics.insert("index".into(), index.to_string());
            }
            let actor = lower(reader, draft, name, targets, &drafts, &mut actors, &mut scope);
            reader.statics.remove("index");
            actors.list.push(actor);
        }
    }
    let spans: Vec<_> = drafts.iter().flat_map(|draft| vec![&draft.entry.key_span; draft.count.unwrap_or(1)]).collect();
    super::fault::check_circles(reader, &actors.list, &spans);
    meet_in_tls(reader, &drafts, targets, &mut actors);
    lay_links(table, targets, &mut actors);
    actors
}

/// What stands between a client and its peer where a fault names the client: a relay that no step can speak of.
pub(super) fn link_of(client: &str) -> String {
    format!("{client}~")
}

/// Puts such a relay behind each client that a fault names.
fn lay_links(table: &Table, targets: &[Target], actors: &mut Actors) {
    let mut wanted = Vec::new();
    super::fault::names(table, &mut wanted);
    wanted.sort_unstable();
    wanted.dedup();
    for name in wanted {
        let Some(members) = actors.names.iter().find(|known| known.name == name).map(|name| name.members.clone())
        else {
            continue;
        };
        let Some(Actor { role: Role::Client(to), .. }) = actors.list.get(members.start) else { continue };
        let (to, first) = (to.clone(), &actors.list[members.start]);
        let scheme = if is_datagram(&first.role, targets) { "udp" } else { "tcp" };
        let listen = Template::literal(format!("{scheme}://127.0.0.1:0"));
        let link = Actor {
            name: link_of(&name),
            place: first.place.clone(),
            role: Role::Relay { listen, to },
            // What is described has messages of its own in each direction.
            framing: if first.protocol.is_some() { None } else { first.framing.clone() },
            protocol: first.protocol.clone(),
            bind: None,
            follow: first.follow,
            tls: None,
            starttls: None,
        };
        let at = actors.list.len();
        actors.list.push(link);
        actors.list[members].iter_mut().for_each(|member| member.role = Role::Client(Connect::Actor(at)));
    }
}

/// Whoever connects to an actor that does TLS from the start does so, too, unless it says otherwise. Relays pass it on.
fn meet_in_tls(reader: &Reader, drafts: &[Draft<'_>], targets: &[Target], actors: &mut Actors) {
    for at in 0..actors.list.len() {
        let actor = &actors.list[at];
        let Role::Client(Connect::Actor(server)) = actor.role else { continue };
        let key = actor.name.split('[').next().unwrap_or_default();
        let draft = drafts.iter().find(|draft| draft.entry.key == key);
        let says = draft.is_some_and(|draft| draft.table.get("tls").is_some() || draft.table.get("starttls").is_some());
        // Relays that go round in circles are a mistake that is told elsewhere.
        let behind = |at: usize| match actors.list[at].role {
            Role::Relay { to: Connect::Actor(to), .. } => Some(to),
            _ => None,
        };
        let chain = std::iter::successors(Some(server), |at| behind(*at)).take(actors.list.len());
        let last = chain.last().expect("it begins with the server");
        let does = match &actors.list[last].role {
            Role::Relay { to, .. } => begins_with_tls(&Role::Client(to.clone()), targets),
            _ => actors.list[last].tls.is_some(),
        };
        if does && !says {
            let place = actor.place.clone();
            actors.tls.push(Tls::plain(place, reader.folder(&(0..0))));
            actors.list[at].tls = Some(actors.tls.len() - 1);
        }
    }
}

/// Every table below `[actor]`, with how many it stands for.
fn draft_all<'n>(reader: &mut Reader, entry: &'n Entry) -> Vec<Draft<'n>> {
    let mut drafts = Vec::new();
    for entry in reader.table(&entry.node, "`actor`").map_or(&[] as &[Entry], |table| &table.entries) {
        let name = &entry.key;
        if !crate::text::is_identifier(name) {
            reader.mistake(&entry.key_span, format!("`{name}` is no name for an actor"));
        }
        if super::words::is_reserved(name) {
            let message = format!("`{name}` is a verb or an option, so it cannot name an actor");
            reader.mistake(&entry.key_span, message);
        }
        let Some(table) = reader.table(&entry.node, &format!("`[actor.{name}]`")) else { continue };
        let count = table.get("count").and_then(|node| reader.integer(node, "`count`", 1, COUNT_MAX));
        drafts.push(Draft { entry, table, count: count.map(|count| count as usize) });
    }
    drafts
}

impl Actors {
    fn add_client(&mut self, connect: Connect) {
        self.names.push(Name { name: CLIENT.into(), members: 0..1, index: None });
        self.list.push(Actor {
            name: CLIENT.into(),
            place: Place::default(),
            role: Role::Client(connect),
            framing: None,
            protocol: None,
            bind: None,
            follow: false,
            tls: None,
            starttls: None,
        });
    }
}

/// Reads one actor. One with a mistake still has its name, so that the steps that use it can be read.
fn lower(
    reader: &mut Reader,
    draft: &Draft<'_>,
    name: String,
    targets: &[Target],
    drafts: &[Draft<'_>],
    actors: &mut Actors,
    scope: &mut Scope,
) -> Actor {
    let (table, span) = (draft.table, &draft.entry.key_span);
    reader.check_keys(table, KEYS, &format!("the actor `{}`", draft.entry.key));
    let framing = table.get("framing").and_then(|node| framing::lower(reader, node)).flatten();
    let bind = table.get("bind").and_then(|node| {
        let template = reader.template(node, "`bind`")?;
        scope.check(reader, &node.span, template.variables());
        Some(template)
    });
    let follow = table.get("follow").and_then(|node| reader.boolean(node, "`follow`")).unwrap_or(false);
    let mut connect = |reader: &mut Reader, node: &Node, what: &str| {
        let template = reader.template(node, what)?;
        scope.check(reader, &node.span, template.variables());
        lower_connect(reader, node, template, targets, drafts, &actors.names)
    };
    let roles: Vec<&Entry> = ["connect", "listen", "relay"].iter().filter_map(|key| table.entry(key)).collect();
    let role = match roles.as_slice() {
        [entry] => match entry.key.as_str() {
            "connect" => connect(reader, &entry.node, "`connect`").map(Role::Client),
            "listen" => lower_listen(reader, &entry.node).map(Role::Server),
            _ => lower_relay(reader, &entry.node, &mut connect),
        },
        [] => {
            let hint =
                "`connect = \"NAME\"` names a target, or holds a URL; `listen = \"tcp://127.0.0.1:0\"` makes a server";
            reader.mistake_with_hint(span, format!("the actor `{name}` does not say where it connects"), hint);
            None
        }
        [_, second, ..] => {
            let hint = "`connect` makes a client, `listen` a server, `relay` one in between";
            reader.mistake_with_hint(&second.key_span, format!("the actor `{name}` has one role"), hint);
            None
        }
    };
    let role = role.unwrap_or_else(|| match table.get("listen") {
        Some(_) => Role::Server(Template::literal("")),
        None => Role::Client(Connect::Url(Template::literal(""))),
    });
    for (key, fits) in [
        ("bind", matches!(role, Role::Client(_))),
        ("follow", !matches!(role, Role::Server(_))),
        ("count", !matches!(role, Role::Relay { .. })),
    ] {
        if let Some(entry) = table.entry(key).filter(|_| !fits) {
            reader.mistake(&entry.key_span, format!("`{key}` goes with `connect`"));
        }
    }
    for entry in ["tls", "starttls"].iter().filter_map(|key| table.entry(key)) {
        if let Role::Relay { .. } = role {
            let hint = format!("`{}` goes with whoever connects to it, or listens behind it", entry.key);
            reader.mistake_with_hint(&entry.key_span, "a relay passes TLS on as it is, and speaks none itself", hint);
        }
    }
    let mut tls = |key: &str| {
        let node = table.get(key)?;
        let lowered = super::tls::lower(reader, node, &format!("`{key}`"), scope)?;
        actors.tls.push(lowered);
        Some(actors.tls.len() - 1)
    };
    let (mut from_start, starttls) = (tls("tls"), tls("starttls"));
    let protocol = table.get("protocol").and_then(|node| lower_protocol(reader, node));
    let framing = match &protocol {
        // A datagram is a message; a framing that the actor has for itself goes first.
        // A relay has two directions, each with messages of its own.
        Some(protocol)
            if table.get("framing").is_none()
                && !is_datagram(&role, targets)
                && !matches!(role, Role::Relay { .. }) =>
        {
            Some(crate::protocol::framing(protocol, hears(&role)))
        }
        _ => framing,
    };
    let place = reader.source().place(span.clone());
    if from_start.is_none() && table.get("tls").is_none() && begins_with_tls(&role, targets) {
        actors.tls.push(Tls::plain(place.clone(), reader.folder(span)));
        from_start = Some(actors.tls.len() - 1);
    }
    Actor { name, place, role, framing, protocol, bind, follow, tls: from_start, starttls }
}

impl Actor {
    /// What it speaks, and what of it it hears.
    pub(crate) fn speaks(&self) -> Option<Speaking> {
        let protocol = Arc::clone(self.protocol.as_ref()?);
        Some(Speaking { protocol, hears: hears(&self.role) })
    }
}

/// Which messages an actor hears.
fn hears(role: &Role) -> Option<Direction> {
    match role {
        Role::Client(_) => Some(Direction::Reply),
        Role::Relay { .. } => None,
        Role::Server(_) => Some(Direction::Request),
    }
}

/// Whether an actor speaks in datagrams, as far as that is known.
fn is_datagram(role: &Role, targets: &[Target]) -> bool {
    let says = |url: &Template| url.beginning().starts_with(b"udp:") || url.beginning().starts_with(b"unixgram:");
    match role {
        Role::Client(Connect::Target(at)) => match (&targets[*at].kind, targets[*at].url()) {
            (_, Some(url)) => says(url),
            (TargetKind::Builtin { name, .. }, None) => {
                let builtin = targets::find(name);
                builtin.is_some_and(|builtin| !builtin.transports.contains(&targets::Transport::Tcp))
            }
            _ => false,
        },
        Role::Client(Connect::Url(url)) => says(url),
        Role::Client(Connect::Actor(_)) => false,
        Role::Relay { listen, .. } => says(listen),
        Role::Server(listen) => says(listen),
    }
}

/// Reads `protocol`: the name of a description that comes with the harness, or the path of one.
fn lower_protocol(reader: &mut Reader, node: &Node) -> Option<Arc<Protocol>> {
    let name = reader.static_string(node, "`protocol`")?;
    if let Some(entry) = crate::protocol::find(&name) {
        return Some(entry.protocol());
    }
    if !name.contains('/') && !name.ends_with(".toml") {
        let names: Vec<&str> = crate::protocol::PROTOCOLS.iter().map(|entry| entry.name).collect();
        reader.unknown(&node.span, "protocol", &name, &names, "harness list protocols");
        return None;
    }
    let path = reader.folder(&node.span).join(&name);
    let text = match crate::document::read_text(&path) {
        Ok(text) => text,
        Err(why) => {
            reader.mistake(&node.span, format!("`{}`: {why}", path.display()));
            return None;
        }
    };
    match crate::protocol::load(&path.to_string_lossy(), &text) {
        Ok(protocol) => Some(protocol),
        Err(mistakes) => {
            reader.mistake(&node.span, format!("`{name}` has {}", crate::text::count(mistakes.len(), "mistake")));
            reader.add_mistakes(mistakes);
            None
        }
    }
}

/// Whether the URL that an actor listens at or connects to says TLS.
fn begins_with_tls(role: &Role, targets: &[Target]) -> bool {
    let says = |url: &Template| url.beginning().starts_with(b"tls://");
    match role {
        Role::Client(Connect::Url(url)) | Role::Server(url) => says(url),
        Role::Client(Connect::Target(at)) => targets[*at].url().is_some_and(says),
        _ => false,
    }
}

fn lower_listen(reader: &mut Reader, node: &Node) -> Option<Template> {
    let template = reader.template(node, "`listen`")?;
    if template.as_literal().is_none() {
        let hint = "port 0 is a free one: `tcp://127.0.0.1:0`; `${server.port}` is what it became";
        reader.mistake_with_hint(&node.span, "`listen` is known before anything runs", hint);
        return None;
    }
    check_url(reader, node, &template);
    Some(template)
}

fn lower_relay(
    reader: &mut Reader,
    node: &Node,
    connect: &mut dyn FnMut(&mut Reader, &Node, &str) -> Option<Connect>,
) -> Option<Role> {
    let table = reader.table(node, "`relay`")?;
    let known = reader.check_keys(table, &["listen", "to"], "`relay`");
    let (Some(listen), Some(to)) = (table.get("listen"), table.get("to")) else {
        if known {
            let hint = "`{ listen = \"tcp://127.0.0.1:0\", to = \"NAME\" }`";
            reader.mistake_with_hint(&node.span, "a relay says where it listens and to whom it passes on", hint);
        }
        return None;
    };
    let listen = lower_listen(reader, listen);
    let to = connect(reader, to, "`to`");
    let (listen, to) = (listen?, to?);
    super::fault::check_relay(reader, node, listen.beginning(), &to);
    Some(Role::Relay { listen, to })
}

/// What a name or a URL leads to.
fn lower_connect(
    reader: &mut Reader,
    node: &Node,
    template: Template,
    targets: &[Target],
    drafts: &[Draft<'_>],
    names: &[Name],
) -> Option<Connect> {
    let text = template.as_literal().map(|text| String::from_utf8_lossy(text).into_owned());
    let Some(text) = text.filter(|text| !text.contains("://")) else {
        check_url(reader, node, &template);
        return Some(Connect::Url(template));
    };
    if let Some(at) = targets.iter().position(|target| target.name == text) {
        if targets[at].is_client() {
            let message = format!("the target `{text}` is a client program: its command is told of a listening actor");
            reader.mistake_with_hint(&node.span, message, "an `address` on the target says where it serves, too");
        }
        return Some(Connect::Target(at));
    }
    if let Some(found) = names.iter().find(|known| known.name == text) {
        let key = text.split('[').next().unwrap_or_default();
        let draft = drafts.iter().find(|draft| draft.entry.key == key).expect("names are made of drafts");
        if draft.table.get("listen").is_none() && draft.table.get("relay").is_none() {
            reader.mistake(&node.span, format!("the actor `{text}` does not listen"));
        } else if found.members.len() > 1 {
            let hint = format!("`\"{text}[0]\"` is the first, `\"{text}[${{index}}]\"` each its own");
            reader.mistake_with_hint(&node.span, format!("`{text}` is a group, and a connection goes to one"), hint);
        }
        return Some(Connect::Actor(found.members.start));
    }
    let known = targets.iter().map(|target| target.name.as_str()).chain(names.iter().map(|known| known.name.as_str()));
    let hint = did_you_mean(&text, known).unwrap_or_else(|| match crate::text::is_identifier(&text) {
        true => format!("`[target.{text}]` would make one; a URL has a scheme: `tcp://127.0.0.1:80`"),
        false => format!("a URL has a scheme: `tcp://{text}`"),
    });
    reader.mistake_with_hint(&node.span, format!("there is no target `{text}`"), hint);
    None
}
