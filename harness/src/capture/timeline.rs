//! From a case's events to the frames of its capture, and which step each frame belongs to.
//!
//! A step's end follows the writes and reads that it made, so it claims the frames of its actor that
//! no step has claimed yet. Which frame shows a failure is decided here too: the last frame with data
//! or an end that the failure's connection had when the step failed; without one the last frame of
//! that connection, of the case so far, or of the case.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::address::{Addresses, Invented};
use super::flow::{Claim, Endside, Flow, Frame, FrameId, NEAR, Output};
use crate::event::{
    CaseFinished, CaseStarted, Endpoint, Event, EventKind, Failure, RunStarted, Side, StepInfo, Transport, Verdict,
};

/// How many notes one frame takes.
const NOTES_MAX: usize = 32;
/// How much of a variable's value is shown.
const VALUE_LEN_MAX: usize = 64;

/// All that a capture shows.
#[derive(Debug, Default)]
pub(super) struct Timeline<'a> {
    pub(super) frames: Vec<Frame<'a>>,
    pub(super) flows: Vec<Flow<'a>>,
    pub(super) actors: Vec<Arc<str>>,
    pub(super) addresses: Addresses,
    /// What opens TLS records, as lines of an NSS key log.
    pub(super) secrets: String,
    /// What happened in a case without a single frame.
    pub(super) notes: Vec<String>,
    pub(super) failing: Option<Failing>,
}

/// The frame that shows a failure.
#[derive(Debug)]
pub(super) struct Failing {
    pub(super) frame: FrameId,
    pub(super) step: Option<u32>,
    pub(super) message: String,
}

/// Lays a case's events out in frames.
pub(super) fn lay_out<'a>(
    run: &RunStarted,
    case: &CaseStarted,
    events: &'a [Event],
    finished: Option<&CaseFinished>,
) -> Timeline<'a> {
    let mut walk = Walk {
        run,
        steps: &case.steps,
        timeline: Timeline::default(),
        now_ns: run.unix_ns,
        connections: BTreeMap::new(),
        alone: HashMap::new(),
        secured: HashSet::new(),
        pending: BTreeMap::new(),
        targets: Vec::new(),
        peers: Vec::new(),
        failure: None,
        told: Vec::new(),
    };
    for event in events {
        walk.handle(event);
    }
    walk.finish(finished)
}

struct Walk<'a, 'c> {
    run: &'c RunStarted,
    steps: &'c [StepInfo],
    timeline: Timeline<'a>,
    now_ns: u64,
    /// Connections by number: their flow and the end whose account they are.
    connections: BTreeMap<u32, (usize, Endside)>,
    /// Flows with one account, by what the other account's connection would be.
    alone: HashMap<(Transport, Side, &'a Endpoint, &'a Endpoint), VecDeque<usize>>,
    /// Connections under TLS.
    secured: HashSet<u32>,
    /// Frames of each connection that no step has claimed, with the time when its actor told of them.
    pending: BTreeMap<u32, Vec<(FrameId, Endside, u64)>>,
    targets: Vec<(&'a str, &'a str)>,
    /// The far end of each flow, as it was dialled.
    peers: Vec<&'a Endpoint>,
    /// The first failure, with its frame if there was one.
    failure: Option<(Option<FrameId>, Option<u32>, &'a Failure)>,
    told: Vec<FrameId>,
}

impl<'a> Walk<'a, '_> {
    fn handle(&mut self, event: &'a Event) {
        self.now_ns = self.now_ns.max(self.run.unix_ns.saturating_add(event.at.as_nanos()));
        match &event.kind {
            EventKind::ConnectionOpened { connection, actor, transport, dialled, local, peer } => {
                self.open(*connection, actor, *transport, *dialled, local, peer);
            }
            EventKind::ConnectionFailed { connection, actor, transport, peer, refused, reason } => {
                let local = Addresses::dialler(peer, *connection);
                let index = self.flow(*connection, actor, *transport, &local, peer);
                self.on(*connection, index, NEAR, |flow, output| flow.fail(*refused, output));
                self.note(format!("{actor} could not connect to {peer}: {reason} (its own port is invented)"));
            }
            // Of a connection under TLS the records are shown.
            EventKind::Sent { connection, .. } | EventKind::Received { connection, .. }
                if self.secured.contains(connection) => {}
            EventKind::WireSent { connection, data } => {
                self.secured.insert(*connection);
                self.on_connection(*connection, |flow, end, output| flow.data(end, end, data, output));
            }
            EventKind::WireReceived { connection, data } => {
                self.secured.insert(*connection);
                self.on_connection(*connection, |flow, end, output| flow.data(1 - end, end, data, output));
            }
            EventKind::TlsEstablished { session, .. } => {
                let alpn = session.alpn.as_ref().map(|alpn| format!(", ALPN {alpn}")).unwrap_or_default();
                self.note(format!("TLS established: {}, {}{alpn}", session.version, session.cipher));
            }
            EventKind::TlsFailed { reason, .. } => self.note(format!("TLS handshake failed: {reason}")),
            EventKind::TlsSecrets { lines, .. } => self.timeline.secrets.push_str(lines),
            EventKind::Sent { connection, data } => {
                self.on_connection(*connection, |flow, end, output| flow.data(end, end, data, output));
            }
            EventKind::Received { connection, data } => {
                self.on_connection(*connection, |flow, end, output| flow.data(1 - end, end, data, output));
            }
            EventKind::Ended { connection, by, how } => {
                use crate::event::End;
                self.on_connection(*connection, |flow, end, output| {
                    let from = if *by == Side::Local { end } else { 1 - end };
                    match how {
                        End::Fin => flow.finish(from, end, output),
                        End::Reset => flow.reset(from, end, output),
                        End::Unreachable => flow.unreachable(from, end, output),
                    }
                });
            }
            EventKind::StepPassed { step, started, connection } => {
                self.claim(*step, *connection, self.run.unix_ns.saturating_add(started.as_nanos()), true);
            }
            EventKind::StepFailed { step, started, failure } => {
                if let Some(step) = step {
                    let started_ns = self.run.unix_ns.saturating_add(started.as_nanos());
                    self.claim(*step, failure.connection, started_ns, false);
                }
                self.fail(*step, failure);
            }
            EventKind::RelayOpened { relay, connection, peer, to, .. } => {
                self.note(format!("relay {relay}: connection {connection} from {peer} goes on to {to}"));
            }
            EventKind::RelayFailed { relay, connection, peer, to, reason, .. } => {
                self.note(format!(
                    "relay {relay}: connection {connection} from {peer} does not go on to {to}: {reason}"
                ));
            }
            EventKind::RelayClosed { relay, connection, up, down } => {
                self.note(format!("relay {relay}: connection {connection} ended after {up} bytes up, {down} down"));
            }
            EventKind::FaultFired { fault, place, relay, connection, direction, at_byte, what, .. } => {
                let direction = direction.name();
                self.note(format!(
                    "fault {fault} fired on {relay}.{direction}, connection {connection}, at byte {at_byte}: {what} ({place})"
                ));
            }
            EventKind::PeerMoved { connection, peer } => self.move_peer(*connection, peer),
            EventKind::Message { sent, name, fields, .. } => {
                let verb = if *sent { "sends" } else { "takes" };
                self.note(format!("{verb} {name} {fields}"));
            }
            EventKind::VariableSet { name, value } => {
                let shown = &value[..value.len().min(VALUE_LEN_MAX)];
                let more = if shown.len() < value.len() { ".." } else { "" };
                self.note(format!("variable {name} = \"{}{more}\"", shown.escape_ascii()));
            }
            EventKind::Logged { message } => self.note(format!("log: {message}")),
            EventKind::Warning { message } => self.note(format!("warning: {message}")),
            EventKind::RecordingStopped { kept } => self.note(format!(
                "recording stopped here: the case's record is full after {kept} bytes, what follows is not kept"
            )),
            EventKind::TargetStarted { target, url, .. } => {
                let address = url.split_once("://").map_or(url.as_str(), |(_, address)| address);
                self.targets.push((address, target));
            }
            EventKind::TargetExited { target, status, .. } => self.note(format!("target {target} ended: {status}")),
            EventKind::RunStarted(_)
            | EventKind::RunFinished { .. }
            | EventKind::CaseSlow { .. }
            | EventKind::TargetOutput { .. }
            | EventKind::FileInvalid { .. }
            | EventKind::CaseStarted(_)
            | EventKind::CaseFinished(_)
            | EventKind::Reduced(_)
            | EventKind::Replayed(_) => {}
        }
    }

    fn open(
        &mut self,
        connection: u32,
        actor: &Arc<str>,
        transport: Transport,
        dialled: Side,
        local: &'a Endpoint,
        peer: &'a Endpoint,
    ) {
        if let Some(queue) = self.alone.get_mut(&(transport, dialled, local, peer))
            && let Some(index) = queue.pop_front()
        {
            let actor = self.actor(actor);
            self.timeline.flows[index].actors[1 - NEAR] = Some(actor);
            self.connections.insert(connection, (index, 1 - NEAR));
            return;
        }
        let index = self.flow(connection, actor, transport, local, peer);
        self.connections.insert(connection, (index, NEAR));
        let (dialler, other) = match dialled {
            Side::Local => (NEAR, Side::Peer),
            Side::Peer => (1 - NEAR, Side::Local),
        };
        self.alone.entry((transport, other, peer, local)).or_default().push_back(index);
        self.on(connection, index, NEAR, |flow, output| flow.open(dialler, output));
    }

    /// What a connection carries from here on goes between other ends: a flow of its own.
    fn move_peer(&mut self, connection: u32, peer: &'a Endpoint) {
        let Some((index, _)) = self.connections.get(&connection).copied() else { return };
        let old = &self.timeline.flows[index];
        let local = Endpoint::Ip((old.ends[NEAR].ip, old.ends[NEAR].port).into());
        let actor = old.actors[NEAR].map(|actor| Arc::clone(&self.timeline.actors[actor as usize]));
        let index = self.flow(connection, &actor.unwrap_or_default(), Transport::Udp, &local, peer);
        self.connections.insert(connection, (index, NEAR));
    }

    /// Makes a flow that nobody knows yet.
    fn flow(
        &mut self,
        connection: u32,
        actor: &Arc<str>,
        transport: Transport,
        local: &Endpoint,
        peer: &'a Endpoint,
    ) -> usize {
        let index = self.timeline.flows.len();
        let invented = Invented::new(self.run.seed, connection);
        let ends = self.timeline.addresses.ends(connection, actor, local, peer, invented.macs);
        let actor = self.actor(actor);
        self.timeline.flows.push(Flow::new(index as u32, ends, actor, transport.is_datagram(), &invented));
        self.peers.push(peer);
        index
    }

    fn actor(&mut self, actor: &Arc<str>) -> u32 {
        let actors = &mut self.timeline.actors;
        let index = actors.iter().position(|known| known == actor).unwrap_or_else(|| {
            actors.push(Arc::clone(actor));
            actors.len() - 1
        });
        index as u32
    }

    /// Has a connection's flow make its frames. A connection that was never opened has no addresses, so no frames.
    fn on_connection(&mut self, connection: u32, make: impl FnOnce(&mut Flow<'a>, Endside, &mut Output<'_, 'a>)) {
        if let Some((index, end)) = self.connections.get(&connection).copied() {
            self.on(connection, index, end, |flow, output| make(flow, end, output));
        }
    }

    fn on(
        &mut self,
        connection: u32,
        index: usize,
        end: Endside,
        make: impl FnOnce(&mut Flow<'a>, &mut Output<'_, 'a>),
    ) {
        let flow = &mut self.timeline.flows[index];
        let frames = &mut self.timeline.frames;
        make(flow, &mut Output { frames, at_ns: self.now_ns, told: &mut self.told });
        if flow.actors[end].is_some() {
            let told = self.told.drain(..).map(|frame| (frame, end, self.now_ns));
            self.pending.entry(connection).or_default().extend(told);
        }
    }

    /// Gives a step the frames of its connection; where it names none, those of its actor.
    fn claim(&mut self, step: u32, connection: Option<u32>, started_ns: u64, passed: bool) {
        let Some(info) = self.steps.get(step as usize) else { return };
        let is_its = |actor: &str| {
            // A step of a group stands under the group's name; its members are `name[0]`, `name[1]`, ...
            actor.strip_prefix(&*info.actor).is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        };
        for (of, frames) in &mut self.pending {
            let is_claimed = match connection {
                Some(connection) => *of == connection,
                None => self.connections.get(of).is_some_and(|(index, end)| {
                    let actor = self.timeline.flows[*index].actors[*end];
                    actor.is_some_and(|actor| is_its(&self.timeline.actors[actor as usize]))
                }),
            };
            if !is_claimed {
                continue;
            }
            for (frame, end, told_ns) in frames.drain(..) {
                let claim = Claim { step, early: told_ns < started_ns, passed };
                self.timeline.frames[frame as usize].claims[end] = Some(claim);
            }
        }
    }

    fn fail(&mut self, step: Option<u32>, failure: &'a Failure) {
        if self.failure.is_some() {
            return self.note(format!("failed as well: {}", failure.message));
        }
        let frames = &self.timeline.frames;
        let connection = failure.connection.and_then(|connection| self.connections.get(&connection));
        let frame = connection
            .and_then(|(index, end)| {
                let flow = *index as u32;
                let last = || frames.iter().rposition(|frame| frame.flow == flow).map(|index| index as FrameId);
                self.timeline.flows[*index].last(*end).or_else(last)
            })
            .or_else(|| (frames.len() as FrameId).checked_sub(1));
        self.failure = Some((frame, step, failure));
    }

    /// Leaves a note on the last frame, or on the first to come.
    fn note(&mut self, note: String) {
        let notes = match self.timeline.frames.last_mut() {
            Some(frame) => &mut frame.notes,
            None => &mut self.timeline.notes,
        };
        match notes.len() {
            0..NOTES_MAX => notes.push(note),
            NOTES_MAX => notes.push("further notes are left out".to_owned()),
            _ => {}
        }
    }

    fn finish(mut self, finished: Option<&CaseFinished>) -> Timeline<'a> {
        self.name_addresses();
        let mut timeline = self.timeline;
        if let Some(first) = timeline.frames.first_mut() {
            first.notes.splice(0..0, timeline.notes.drain(..));
        }
        let last = (timeline.frames.len() as FrameId).checked_sub(1);
        timeline.failing = match self.failure {
            Some((frame, step, failure)) => frame.or(last).map(|frame| Failing {
                frame,
                step,
                message: format!("{} ({})", failure.message, failure.place),
            }),
            // A crash can end a case between two steps.
            None => finished
                .filter(|case| !case.verdict.is_good() && case.verdict != Verdict::Interrupted)
                .zip(last)
                .map(|(case, frame)| Failing {
                    frame,
                    step: None,
                    message: case.reason.clone().unwrap_or_else(|| "the case failed".to_owned()),
                }),
        };
        timeline
    }

    /// Gives every address the names of its owners.
    fn name_addresses(&mut self) {
        let Timeline { flows, actors, addresses, .. } = &mut self.timeline;
        for flow in &*flows {
            for (end, actor) in flow.ends.iter().zip(flow.actors) {
                if let Some(actor) = actor {
                    addresses.name(end.ip, &actors[actor as usize]);
                }
            }
        }
        for (flow, peer) in flows.iter().zip(&self.peers) {
            if flow.actors[1 - NEAR].is_some() {
                continue;
            }
            let text = peer.to_string();
            let ip = flow.ends[1 - NEAR].ip;
            match (self.targets.iter().find(|(address, _)| *address == text), peer) {
                (Some((_, target)), _) => addresses.name(ip, target),
                (None, Endpoint::Path(path)) if !path.is_empty() => addresses.name(ip, path),
                // Without this, both ends of a connection on loopback would have our actor's name alone.
                (None, _) if addresses.is_named(ip) => addresses.name(ip, "peer"),
                (None, _) => {}
            }
        }
    }
}
