//! The steps of a scenario that say what a case says, each in the name of its connection.

use std::collections::HashMap;
use std::time::Duration;

use super::super::case::{Case, Message, Step};
use super::super::plan::{Place, Plan};
use super::super::player::{REPLY_LEN_MAX, Reply};
use super::super::socket::End;
use super::QUIET;
use crate::document::Node;
use crate::framing::{Decoded, Framing};
use crate::scenario::Tls;
use crate::testcase::{TestCase, step};

/// Between the pieces of a message that was cut.
const BETWEEN: Duration = Duration::from_millis(2);

/// The same where there are few pieces: a machine that is busy with others must not join them.
const BETWEEN_FEW: Duration = Duration::from_millis(30);

/// Up to how many pieces are few.
const FEW: usize = 8;

/// From how many cuts on a message is written in one step.
const CUTS_MAX: usize = 64;

/// How long a valid conversation may wait for its answer, where none comes.
pub(super) const PROBE_WITHIN: Duration = Duration::from_secs(3);

/// By which name steps speak on which connection.
pub(super) struct Names<'p> {
    plan: &'p Plan,
    /// For each actor, whether its connections carry datagrams.
    datagrams: &'p [bool],
    names: Vec<(u16, Option<String>)>,
    /// Whose each connection is.
    actor_of: HashMap<u16, usize>,
    probe: Option<String>,
    probe_is_alone: bool,
    /// Whether what is right is that nothing comes after an answer, or the end.
    pub(super) to_the_end: bool,
}

/// How long a peer has to say nothing that has nothing more to say.
const SILENT: Duration = Duration::from_millis(100);

impl<'p> Names<'p> {
    /// The names of a case's connections, and of one more for a valid conversation. There are `least` of the first client's at
    /// least.
    pub(super) fn new(
        plan: &'p Plan,
        datagrams: &'p [bool],
        case: &Case,
        probe: Option<&Case>,
        least: usize,
        whole: &mut TestCase,
    ) -> Names<'p> {
        let opened: Vec<(u16, usize)> = case
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Open(link, actor) => Some((*link, usize::from(*actor))),
                _ => None,
            })
            .collect();
        let first = plan.actors.iter().position(|actor| !matches!(actor.place, Place::Listen(_))).unwrap_or(0);
        let of_first = opened.iter().filter(|(_, actor)| *actor == first).count();
        let probed = usize::from(probe.is_some());
        let mut group = whole.connections(least.max(of_first + probed)).into_iter();
        let mut names = Vec::new();
        for (at, (link, actor)) in opened.iter().enumerate() {
            let name = match &plan.actors[*actor].place {
                // A connection that comes to us has a name of its own.
                Place::Listen(_) => Some(format!("c{at}")),
                _ if *actor == first => group.next().flatten(),
                _ => Some(plan.actors[*actor].name.clone()),
            };
            names.push((*link, name));
        }
        let probe_name = group.next();
        Names {
            plan,
            datagrams,
            names,
            actor_of: opened.into_iter().collect(),
            probe_is_alone: matches!(probe_name, Some(None)),
            probe: probe_name.flatten(),
            to_the_end: false,
        }
    }

    /// The name of a connection; `None` inside is that of the one actor without a name.
    pub(super) fn of(&self, link: u16) -> Option<Option<String>> {
        self.names.iter().rev().find(|(known, _)| *known == link).map(|(_, name)| name.clone())
    }

    /// Adds a step as it is played by the runner, which waits until its peer has been quiet for so long. `right` is what has to be
    /// answered to it.
    pub(super) fn push(
        &mut self,
        own: &Step,
        named: Option<&Node>,
        quiet: Option<Duration>,
        right: Option<&Reply>,
        steps: &mut Vec<Node>,
    ) {
        match own {
            Step::Send(message) => {
                let Some(name) = self.of(message.link) else { return };
                let name = name.as_deref();
                match named {
                    Some(node) => steps.push(step::step(name, "send", node.clone())),
                    None => send(message, name, steps),
                }
                match right {
                    Some(right) => {
                        self.expect(message.link, right, steps);
                        self.expect_no_more(name, right, steps);
                    }
                    None => steps.extend(quiet.map(|quiet| step::drain(name, quiet))),
                }
            }
            Step::Shut(link) => {
                self.plain(own, steps);
                steps.extend(self.of(*link).zip(quiet).map(|(name, quiet)| step::drain(name.as_deref(), quiet)));
            }
            Step::StartTls(link) => {
                // What came in the clear is no part of what TLS carries.
                steps.extend(self.of(*link).zip(quiet).map(|(name, quiet)| step::drain(name.as_deref(), quiet)));
                self.plain(own, steps);
            }
            Step::Expect(..) => {}
            own => self.plain(own, steps),
        }
    }

    /// Adds a step as it is made smaller: the cuts of a message stand beside it, and nothing is waited for but what is right.
    pub(super) fn push_short(&mut self, own: &Step, right: Option<&Reply>, steps: &mut Vec<Node>) {
        let Step::Send(message) = own else { return self.plain(own, steps) };
        let Some(name) = self.of(message.link) else { return };
        let bytes = message.bytes();
        let sizes: Vec<usize> = message.writes(&bytes).into_iter().map(<[u8]>::len).collect();
        let said = step::send_raw(name.as_deref(), &bytes);
        steps.push(if sizes.len() > 1 { step::split(said, &sizes) } else { said });
        if let Some(right) = right {
            self.expect(message.link, right, steps);
        }
    }

    /// Adds a step that says nothing.
    pub(super) fn plain(&self, own: &Step, steps: &mut Vec<Node>) {
        let Some(link) = own.link() else {
            if let Step::Pause(milliseconds) = own {
                steps.push(step::sleep(Duration::from_millis((*milliseconds).into())));
            }
            return;
        };
        let Some(name) = self.of(link) else { return };
        let name = name.as_deref();
        // The runner refuses what a socket of datagrams does not know.
        let is_datagram = self.actor_of.get(&link).is_some_and(|actor| self.datagrams.get(*actor) == Some(&true));
        match own {
            Step::Shut(_) if is_datagram => {}
            Step::Reset(_) if is_datagram => steps.push(step::close(name)),
            Step::Open(_, actor) => match &self.plan.actors[usize::from(*actor)] {
                listener if matches!(listener.place, Place::Listen(_)) => {
                    steps.push(step::step(Some(&listener.name), "accept", name.unwrap_or_default()));
                }
                _ => steps.push(step::connect(name)),
            },
            Step::Shut(_) => steps.push(step::half_close(name)),
            Step::Close(_) => steps.push(step::close(name)),
            Step::Reset(_) => steps.push(step::reset(name)),
            Step::StartTls(_) => self.start_tls(self.actor_of.get(&link), name, steps),
            Step::Expect(..) | Step::Pause(_) | Step::Send(_) => {}
        }
    }

    /// Goes on with TLS as an actor does it, wherever its settings stand.
    fn start_tls(&self, actor: Option<&usize>, name: Option<&str>, steps: &mut Vec<Node>) {
        let actor = actor.map(|actor| &self.plan.actors[*actor]);
        let tls = actor.and_then(|actor| actor.starttls.as_ref()).map_or(true.into(), Tls::node);
        steps.push(step::step(name, "starttls", tls));
    }

    /// Expects what comes after an answer, where the answer of another server is what is right.
    fn expect_no_more(&self, name: Option<&str>, right: &Reply, steps: &mut Vec<Node>) {
        if self.to_the_end && right.len <= REPLY_LEN_MAX as u64 {
            steps.push(match right.end {
                Some(End::Eof) => step::expect_eof(name),
                Some(End::Reset) => step::step(name, "expect_reset", true),
                None => step::step(name, "expect_silence", step::duration(SILENT)),
            });
        }
    }

    /// Expects an answer, message by message where its actor's framing says where one ends.
    fn expect(&self, link: u16, right: &Reply, steps: &mut Vec<Node>) {
        let Some(name) = self.of(link) else { return };
        let framing = self.actor_of.get(&link).and_then(|actor| self.plan.actors[*actor].framing.as_deref());
        for body in messages(framing, &right.data) {
            steps.push(step::expect(name.as_deref(), body));
        }
    }

    /// Ends what a case has opened and not ended, but for what the target has.
    pub(super) fn end(&self, case: &Case, ended: &[(usize, u16)], how: fn(u16) -> Step, steps: &mut Vec<Node>) {
        let mut open = std::collections::BTreeSet::new();
        for own in &case.steps {
            match own {
                Step::Open(link, actor) if !matches!(self.plan.actors[usize::from(*actor)].place, Place::Listen(_)) => {
                    open.insert(*link);
                }
                Step::Close(link) | Step::Reset(link) => _ = open.remove(link),
                _ => {}
            }
        }
        let open = open.iter().filter(|link| !ended.iter().any(|(_, other)| other == *link));
        open.for_each(|link| self.plain(&how(*link), steps));
    }

    /// A valid conversation, which has to be answered within this time as it was before.
    pub(super) fn probe(&self, case: &Case, replies: &[Reply], within: Duration, steps: &mut Vec<Node>) {
        let name = self.probe.as_deref();
        if name.is_none() && !self.probe_is_alone {
            return;
        }
        steps.push(step::connect(name));
        let mut actor = None;
        for (at, own) in case.steps.iter().enumerate() {
            let message = match own {
                Step::Open(_, opened) => {
                    actor = Some(usize::from(*opened));
                    continue;
                }
                Step::Send(message) => message,
                Step::StartTls(_) => {
                    steps.push(step::drain(name, QUIET));
                    self.start_tls(actor.as_ref(), name, steps);
                    continue;
                }
                _ => continue,
            };
            send(message, name, steps);
            if replies.iter().any(|reply| reply.step == at && reply.len > 0) {
                let within = step::duration(within);
                steps.push(step::with(step::expect_any(name), "within", within));
                // One answer is enough to know that somebody is there.
                break;
            }
        }
    }
}

/// A message, its pieces one after the other.
fn send(message: &Message, name: Option<&str>, steps: &mut Vec<Node>) {
    let bytes = message.bytes();
    let writes = message.writes(&bytes);
    if writes.len() > CUTS_MAX {
        let sizes: Vec<usize> = writes.iter().map(|write| write.len()).collect();
        steps.push(step::split(step::send_raw(name, &bytes), &sizes));
        return;
    }
    let between = if writes.len() <= FEW { BETWEEN_FEW } else { BETWEEN };
    for (at, write) in writes.into_iter().enumerate() {
        if at > 0 {
            steps.push(step::sleep(between));
        }
        steps.push(step::send_raw(name, write));
    }
}

/// The messages in an answer; what is cut off at its end is none. Without a framing all of it is one.
fn messages<'d>(framing: Option<&dyn Framing>, data: &'d [u8]) -> Vec<&'d [u8]> {
    let Some(framing) = framing else { return if data.is_empty() { Vec::new() } else { vec![data] } };
    let (mut bodies, mut rest) = (Vec::new(), data);
    while let Ok(Decoded::Message { start, end, consumed }) = framing.decode(rest, 0) {
        bodies.push(&rest[start..end]);
        rest = &rest[consumed.max(1).min(rest.len())..];
        if rest.is_empty() {
            break;
        }
    }
    bodies
}
