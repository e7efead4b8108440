//! What happened in a case, a line an event: when, by which step, on whose connection, which bytes.

use std::collections::{HashMap, HashSet};
use std::slice;
use std::sync::Arc;

use super::text::{count, cut, cut_start, escape, pad, show_start, width};
use super::{CaseRecord, Look};
use crate::event::{Direction, End, Event, EventKind, Place, Side, Transport};
use crate::time::show_duration;

/// How many lines a timeline has at its beginning, where it is cut.
const HEAD: usize = 6;
/// How many it has at its end.
const TAIL: usize = 18;
/// The most columns a name or a place takes.
const NAME_MAX: usize = 24;

/// What a timeline tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What went over connections and what failed, cut in the middle where it is long.
    Failure,
    /// All of it, steps that held included.
    Everything,
}

/// Appends the timeline of a case; nothing, where nothing happened in it.
pub fn push_timeline(output: &mut String, case: &CaseRecord<'_>, detail: Detail, look: &Look) {
    let told: Vec<usize> = (0..case.events.len()).filter(|at| is_told(&case.events[*at].kind, detail)).collect();
    let groups = match detail {
        Detail::Everything => told.chunks(1).collect(),
        Detail::Failure => group(case.events, &told),
    };
    let hidden = match detail {
        Detail::Failure if groups.len() > HEAD + TAIL + 1 => HEAD..groups.len() - TAIL,
        _ => 0..0,
    };
    let names = Names::new(case.events);
    let shown = groups.iter().enumerate().filter(|(at, _)| !hidden.contains(at));
    let lines: Vec<Line<'_>> = shown.map(|(_, group)| Line::of_group(case, group, &names)).collect();
    let time = lines.iter().map(|line| width(&line.time)).max().unwrap_or(0);
    let place = lines.iter().map(|line| width(&line.place)).max().unwrap_or(0);
    let who = lines.iter().map(|line| width(&line.who)).max().unwrap_or(0);
    let len =
        lines.iter().map(|line| if let Text::Bytes(len, _) = &line.text { width(len) } else { 0 }).max().unwrap_or(0);
    let room = look.width.saturating_sub(2 + time + 2 + place + 2 + who + 3);
    let dim = look.theme.dim;
    for (at, line) in lines.iter().enumerate() {
        if at == HEAD && !hidden.is_empty() {
            let events = groups[hidden.clone()].iter().map(|group| group.len() as u64).sum();
            output.push_str(&format!("  {dim}… {} not shown …{dim:#}\n", count(events, "event")));
        }
        let style = if line.failed { look.theme.bad } else { anstyle::Style::new() };
        let start = format!("{}  {}", pad(&line.time, time, true), pad(&line.place, place, false));
        let (who, arrow, text) = (pad(&line.who, who, false), line.arrow, line.text.show(room, len));
        output.push_str(&format!("  {dim}{start}{dim:#}  {who} {arrow} {style}{text}{style:#}\n"));
    }
}

/// Puts together what one line can say: of more than three reads or writes in a row, those between the first and the last.
fn group<'a>(events: &[Event], told: &'a [usize]) -> Vec<&'a [usize]> {
    let direction = |at: usize| match &events[at].kind {
        EventKind::Sent { connection, .. } => Some((*connection, Side::Local)),
        EventKind::Received { connection, .. } => Some((*connection, Side::Peer)),
        _ => None,
    };
    let runs = told.chunk_by(|a, b| direction(*a).is_some() && direction(*a) == direction(*b));
    let split = |run: &'a [usize]| match run {
        [first, between @ .., last] if between.len() > 1 => {
            vec![slice::from_ref(first), between, slice::from_ref(last)]
        }
        run => run.chunks(1).collect(),
    };
    runs.flat_map(split).collect()
}

/// Whether an event has a line.
fn is_told(kind: &EventKind, detail: Detail) -> bool {
    match kind {
        EventKind::CaseStarted(_) | EventKind::CaseFinished(_) => false,
        EventKind::Reduced(_) | EventKind::Replayed(_) => false,
        // It happened all the while, and stands below the timeline.
        EventKind::TargetOutput { .. } => false,
        // What it carried is told.
        EventKind::TlsSecrets { .. } | EventKind::WireReceived { .. } | EventKind::WireSent { .. } => false,
        EventKind::StepPassed { .. } => detail == Detail::Everything,
        _ => true,
    }
}

/// Connections' names.
struct Names<'a> {
    actors: HashMap<u32, &'a Arc<str>>,
    /// Actors with more than one connection.
    several: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    fn new(events: &'a [Event]) -> Names<'a> {
        let mut names = Names { actors: HashMap::new(), several: HashSet::new() };
        let mut seen = HashMap::new();
        for event in events {
            if let EventKind::ConnectionOpened { connection, actor, .. }
            | EventKind::ConnectionFailed { connection, actor, .. } = &event.kind
            {
                names.actors.insert(*connection, actor);
                if *seen.entry(&**actor).or_insert(connection) != connection {
                    names.several.insert(actor);
                }
            }
        }
        names
    }

    /// `client`, or `client#1` where the client has several connections.
    fn of(&self, connection: u32) -> String {
        match self.actors.get(&connection) {
            Some(actor) if self.several.contains(&***actor) => format!("{}#{connection}", escape(actor)),
            Some(actor) => escape(actor),
            None => format!("connection {connection}"),
        }
    }
}

/// One line's parts.
struct Line<'a> {
    time: String,
    place: String,
    who: String,
    arrow: char,
    text: Text<'a>,
    failed: bool,
}

/// What a line says.
enum Text<'a> {
    Bytes(String, &'a [u8]),
    Variable(&'a str, &'a [u8]),
    Words(String),
}

impl Text<'_> {
    /// The text in `room` columns, lengths of data in the first `len` of them.
    fn show(&self, room: usize, len: usize) -> String {
        match self {
            Text::Bytes(count, data) => {
                let start = format!("{}  ", pad(count, len, true));
                let room = room.saturating_sub(width(&start));
                start + &show_start(data, room)
            }
            Text::Variable(name, value) => {
                let start = format!("{} = ", cut(&escape(name), NAME_MAX));
                let room = room.saturating_sub(width(&start));
                start + &show_start(value, room)
            }
            Text::Words(words) if width(words) > room => format!("{}…", cut(words, room.saturating_sub(1))),
            Text::Words(words) => words.clone(),
        }
    }
}

impl<'a> Line<'a> {
    /// The line of one event, or of several reads or writes in a row.
    fn of_group(case: &CaseRecord<'a>, group: &[usize], names: &Names<'_>) -> Line<'a> {
        let mut line = Line::new(case, group[0], names);
        if group.len() > 1 {
            let (mut bytes, mut unit) = (0, "read");
            for at in group {
                match &case.events[*at].kind {
                    EventKind::Sent { data, .. } => (bytes, unit) = (bytes + data.len() as u64, "write"),
                    EventKind::Received { data, .. } => bytes += data.len() as u64,
                    _ => {}
                }
            }
            let times = count(group.len() as u64, unit);
            line.text = Text::Words(format!("… {} in {times} …", count(bytes, "byte")));
        }
        line
    }

    fn new(case: &CaseRecord<'a>, at: usize, names: &Names<'_>) -> Line<'a> {
        let event = &case.events[at];
        let nanos = event.at.since(case.events[0].at).as_nanos();
        let mut line = Line {
            time: format!("{}.{:03}ms", nanos / 1_000_000, nanos / 1_000 % 1_000),
            place: String::new(),
            who: String::new(),
            arrow: ' ',
            text: Text::Words(String::new()),
            failed: false,
        };
        let mut step = None;
        match &event.kind {
            EventKind::ConnectionOpened { connection, transport, dialled, local, peer, .. } => {
                line.who = names.of(*connection);
                let (local, peer) = (escape(&local.to_string()), escape(&peer.to_string()));
                line.text = Text::Words(match dialled {
                    Side::Local => format!("connected {local} → {peer} ({})", name(*transport)),
                    Side::Peer => format!("accepted {peer} → {local} ({})", name(*transport)),
                });
                step = next_step(case, at, *connection, names);
            }
            EventKind::ConnectionFailed { connection, transport, peer, refused, reason, .. } => {
                line.who = names.of(*connection);
                let what = if *refused { "refused by" } else { "could not connect to" };
                let peer = escape(&peer.to_string());
                line.text = Text::Words(format!("{what} {peer} ({}): {}", name(*transport), escape(reason)));
                line.failed = true;
                step = next_step(case, at, *connection, names);
            }
            EventKind::Sent { connection, data } => {
                (line.who, line.arrow, line.text) =
                    (names.of(*connection), '→', Text::Bytes(count(data.len() as u64, "byte"), data));
                step = next_step(case, at, *connection, names);
            }
            EventKind::Received { connection, data } => {
                (line.who, line.arrow, line.text) =
                    (names.of(*connection), '←', Text::Bytes(count(data.len() as u64, "byte"), data));
                step = next_step(case, at, *connection, names);
            }
            EventKind::Ended { connection, by, how } => {
                line.who = names.of(*connection);
                line.arrow = if *by == Side::Local { '→' } else { '←' };
                line.text = Text::Words(match (by, how) {
                    (Side::Local, End::Fin) => "we ended our direction (FIN)".to_owned(),
                    (Side::Local, End::Reset) => "we reset the connection (RST)".to_owned(),
                    (Side::Peer, End::Fin) => "the peer ended its direction (FIN)".to_owned(),
                    (Side::Peer, End::Reset) => "the peer reset the connection (RST)".to_owned(),
                    (_, End::Unreachable) => "port unreachable (ICMP)".to_owned(),
                });
                step = next_step(case, at, *connection, names);
            }
            EventKind::TlsEstablished { connection, session } => {
                line.who = names.of(*connection);
                let alpn = session.alpn.as_ref().map(|alpn| format!(", ALPN {}", escape(alpn))).unwrap_or_default();
                let asked =
                    session.server_name.as_ref().map(|name| format!(", for {}", escape(name))).unwrap_or_default();
                let shown = if session.client_certificate { ", with a client's certificate" } else { "" };
                let (version, cipher) = (escape(&session.version), escape(&session.cipher));
                line.text = Text::Words(format!("{version} established, {cipher}{alpn}{asked}{shown}"));
                step = next_step(case, at, *connection, names);
            }
            EventKind::TlsFailed { connection, reason } => {
                line.who = names.of(*connection);
                line.text = Text::Words(format!("TLS failed: {}", escape(reason)));
                line.failed = true;
                step = next_step(case, at, *connection, names);
            }
            EventKind::PeerMoved { connection, peer } => {
                line.who = names.of(*connection);
                line.text =
                    Text::Words(format!("{} has answered, and is the peer from here on", escape(&peer.to_string())));
                step = next_step(case, at, *connection, names);
            }
            EventKind::RelayOpened { relay, connection, transport, peer, to } => {
                line.who = format!("{}#{connection}", escape(relay));
                let (peer, to) = (escape(&peer.to_string()), escape(&to.to_string()));
                line.text = Text::Words(format!("relays {peer} → {to} ({})", name(*transport)));
            }
            EventKind::RelayFailed { relay, connection, to, refused, reason, .. } => {
                line.who = format!("{}#{connection}", escape(relay));
                let what = if *refused { "refused by" } else { "could not connect to" };
                line.text = Text::Words(format!("{what} {}: {}", escape(&to.to_string()), escape(reason)));
                line.failed = true;
            }
            EventKind::RelayClosed { relay, connection, up, down } => {
                line.who = format!("{}#{connection}", escape(relay));
                line.text =
                    Text::Words(format!("ended after {} up, {} down", count(*up, "byte"), count(*down, "byte")));
            }
            EventKind::FaultFired { fault, place, relay, connection, direction, at_byte, what, .. } => {
                line.who = format!("{}#{connection}", escape(relay));
                line.arrow = if *direction == Direction::Up { '→' } else { '←' };
                let what = escape(what);
                line.text = Text::Words(format!("fault {fault} fired at byte {at_byte} {}: {what}", direction.name()));
                line.place = line_of(case, place);
            }
            EventKind::StepPassed { step: number, started, .. } => {
                step = Some(*number);
                let info = case.started.steps.get(*number as usize);
                line.who = info.map_or_else(String::new, |info| escape(&info.actor));
                let verb = info.map_or_else(|| "step".to_owned(), |info| escape(&info.verb));
                line.text = Text::Words(format!("{verb} held after {}", show_duration(event.at.since(*started))));
            }
            EventKind::StepFailed { step: number, started, .. } => {
                step = *number;
                let info = number.and_then(|number| case.started.steps.get(number as usize));
                line.who = info.map_or_else(String::new, |info| escape(&info.actor));
                line.text = Text::Words(match info {
                    Some(info) => {
                        let verb = escape(&info.verb);
                        format!("{verb} failed after {}", show_duration(event.at.since(*started)))
                    }
                    None => "failed at the end of the case".to_owned(),
                });
                line.failed = true;
            }
            EventKind::Message { connection, sent, name, fields } => {
                line.who = names.of(*connection);
                line.arrow = if *sent { '→' } else { '←' };
                line.text = Text::Words(format!("{} {}", escape(name), escape(fields)));
                step = next_step(case, at, *connection, names);
            }
            EventKind::VariableSet { name, value } => line.text = Text::Variable(name, value),
            EventKind::Logged { message } => line.text = Text::Words(format!("log: {}", escape(message))),
            EventKind::RecordingStopped { kept } => {
                line.text =
                    Text::Words(format!("record full at {}, data is only counted from here", count(*kept, "byte")));
            }
            EventKind::TargetStarted { target, url, .. } => {
                line.who = escape(target);
                line.text = Text::Words(match url.as_str() {
                    "" => "target was started".to_owned(),
                    url => format!("target is up at {}", escape(url)),
                });
            }
            EventKind::TargetExited { target, status, crash, .. } => {
                line.who = escape(target);
                line.text = Text::Words(format!("target ended: {}", escape(status)));
                line.failed = *crash;
            }
            EventKind::TargetOutput { target, output, .. } => {
                line.who = escape(target);
                line.text = Text::Words(format!("target has written {}", count(output.len() as u64, "line")));
            }
            EventKind::Warning { message } => line.text = Text::Words(format!("warning: {}", escape(message))),
            // These belong to no case; where a stream has them in one all the same, they are named.
            EventKind::TlsSecrets { .. } | EventKind::WireReceived { .. } | EventKind::WireSent { .. } => {}
            EventKind::RunStarted(_) => line.text = Text::Words("run started".to_owned()),
            EventKind::RunFinished { .. } => line.text = Text::Words("run finished".to_owned()),
            EventKind::CaseSlow { title, .. } => line.text = Text::Words(format!("{} is slow", escape(title))),
            EventKind::FileInvalid { file, .. } => line.text = Text::Words(format!("invalid file {}", escape(file))),
            EventKind::CaseStarted(_) => line.text = Text::Words("case started".to_owned()),
            EventKind::Reduced(_) => line.text = Text::Words("case made smaller".to_owned()),
            EventKind::Replayed(_) => line.text = Text::Words("stored case played again".to_owned()),
            EventKind::CaseFinished(_) => line.text = Text::Words("case finished".to_owned()),
        }
        if let Some(place) = step.and_then(|step| case.started.steps.get(step as usize)).map(|info| &info.place) {
            line.place = line_of(case, place);
        }
        // Of a place that is too long, the line's number is what counts.
        line.place = cut_start(&line.place, NAME_MAX).to_owned();
        line.who = cut(&line.who, NAME_MAX).to_owned();
        line
    }
}

/// `line 7`, and the file where it is another than the case's.
fn line_of(case: &CaseRecord<'_>, place: &Place) -> String {
    match *place.file == *case.started.file {
        true => format!("line {}", place.line),
        false => format!("{}:{}", escape(&place.file), place.line),
    }
}

/// The step that an event on a connection belongs to: the next one on it to end, if it had begun by then.
fn next_step(case: &CaseRecord<'_>, at: usize, of: u32, names: &Names<'_>) -> Option<u32> {
    let actor = names.actors.get(&of)?;
    // A step that names no connection may be its actor's.
    let is_actors = |step: u32| case.started.steps.get(step as usize).is_some_and(|info| info.actor == **actor);
    let is_its = |step: u32, connection: &Option<u32>| connection.map_or_else(|| is_actors(step), |on| on == of);
    let (step, started) = case.events[at..].iter().find_map(|event| match &event.kind {
        EventKind::StepPassed { step, started, connection } if is_its(*step, connection) => Some((*step, *started)),
        EventKind::StepFailed { step: Some(step), started, failure } if is_its(*step, &failure.connection) => {
            Some((*step, *started))
        }
        _ => None,
    })?;
    (started <= case.events[at].at).then_some(step)
}

/// What people call a transport.
fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
        Transport::Unix => "Unix",
        Transport::Unixgram => "Unix datagrams",
    }
}
