//! A case that holds, and what was learnt of it by playing: what it sends, and what its server can do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::event::{End, EventKind, Side, Transport};
use crate::protocol::Protocol;
use crate::scenario::Model;
use crate::testcase::step::verb;
use crate::testcase::{Played, TestCase};

/// A case that holds.
#[derive(Clone, Debug)]
pub struct Base {
    /// The case. If its server closes the connection in the end, it expects that.
    pub case: TestCase,
    /// What carries its connections.
    pub transport: Transport,
    /// Its messages, in the order in which they are sent; not those in loops.
    pub sends: Vec<Sent>,
    /// What has come in return on each connection, as it came.
    pub received: Vec<Vec<Bytes>>,
    /// How long it takes.
    pub duration: Duration,
    /// Whether it holds again and again on the same server.
    pub repeatable: bool,
    /// Whether a connection is served while another one is open.
    pub side_by_side: bool,
    /// Whether copies of it that are played at once leave each other alone.
    pub undisturbed: bool,
    /// Whether its server is a process that is started here.
    pub ours: bool,
    /// Whether its servers' threads can be seen, and so whether they rest.
    pub seen: bool,
    /// What its first actor with a description speaks.
    pub protocol: Option<Arc<Protocol>>,
    /// Words of its messages that can be others: with others in their place, sent and expected, it holds as well.
    pub words: Vec<String>,
    /// What its server should do in which state, where the file says so.
    pub model: Option<Arc<Model>>,
    /// Whether the property is tested because somebody has asked for it.
    pub asked: bool,
}

/// A message of a case.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The lane of its step.
    pub lane: String,
    /// The step's number there.
    pub at: usize,
    /// The bytes, as the socket took them.
    pub bytes: Bytes,
    /// How many they are.
    pub len: usize,
    /// How many bytes had come on its connection before.
    pub heard: usize,
}

impl Base {
    /// Reads off one play of it what is known of a case; `None` where nothing was ever connected.
    pub(super) fn of(case: &TestCase, played: &Played) -> Option<Base> {
        let infos = &played.case_started()?.steps;
        let mut pending: HashMap<u32, BytesMut> = HashMap::new();
        let mut received: Vec<Vec<Bytes>> = Vec::new();
        let (mut transport, mut sends) = (None, Vec::new());
        let mut pids = played.events.iter().filter_map(|event| match event.kind {
            EventKind::TargetStarted { pid, .. } => Some(pid),
            _ => None,
        });
        let seen = pids.next().is_some_and(|pid| pid.is_some() && pids.all(|pid| pid.is_some()));
        for event in &played.events {
            match &event.kind {
                EventKind::ConnectionOpened { connection, transport: carrier, .. } => {
                    transport = transport.or(Some(*carrier));
                    received.resize((*connection as usize + 1).max(received.len()), Vec::new());
                }
                EventKind::Sent { connection, data } => pending.entry(*connection).or_default().extend_from_slice(data),
                EventKind::Received { connection, data } => {
                    if let Some(heard) = received.get_mut(*connection as usize) {
                        heard.push(data.clone());
                    }
                }
                EventKind::StepPassed { step, connection: Some(connection), .. } => {
                    let Some(info) = infos.get(*step as usize).filter(|info| info.verb == "send") else { continue };
                    let bytes = pending.remove(connection).unwrap_or_default().freeze();
                    let Some((lane, at)) = case.step_at(info.place.line) else { continue };
                    let steps = case.lanes().into_iter().find(|(name, _)| *name == lane).map(|(_, steps)| steps);
                    if steps.and_then(|steps| steps.get(at)).and_then(verb) == Some("send") {
                        let heard =
                            received.get(*connection as usize).map_or(0, |heard| heard.iter().map(Bytes::len).sum());
                        sends.push(Sent { lane, at, len: bytes.len(), bytes, heard });
                    }
                }
                _ => {}
            }
        }
        Some(Base {
            case: case.clone(),
            transport: transport?,
            sends,
            received,
            duration: played.duration,
            repeatable: false,
            side_by_side: false,
            undisturbed: false,
            ours: false,
            seen,
            protocol: None,
            words: Vec::new(),
            model: None,
            asked: false,
        })
    }
}

/// Whether the peer of the case's one connection closed it in the end by itself.
pub(super) fn closes(played: &Played) -> bool {
    let mut ends = played.events.iter().filter_map(|event| match &event.kind {
        EventKind::Ended { by, how, .. } => Some((*by, *how)),
        _ => None,
    });
    let opened = played.events.iter().filter(|event| matches!(event.kind, EventKind::ConnectionOpened { .. })).count();
    opened == 1 && ends.next() == Some((Side::Peer, End::Fin))
}
