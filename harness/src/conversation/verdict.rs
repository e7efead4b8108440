//! How a step fails: what was expected, what came instead, and what a person has to know to see why.

use std::sync::Arc;

use bytes::Bytes;

use super::link::{Ending, Link, Refusal};
use super::{Conversation, Ended, Phase};
use crate::event::{EventKind, Failure, FailureKind};
use crate::framing::FramingError;
use crate::matcher::Matcher;
use crate::text::{count, quote};
use crate::time::{Time, show_duration};

/// How many received bytes a failure carries.
const RECEIVED_MAX: usize = 4 << 20;

/// A difference in the first so many bytes can be seen in a message's quotes.
const QUOTED_MAX: usize = 60;

/// A failure before it is known which step of which repetition it was.
#[derive(Debug)]
pub(super) struct Failing {
    kind: FailureKind,
    message: String,
    expected: Option<String>,
    expected_bytes: Option<Bytes>,
    received: Option<Bytes>,
    difference_at: Option<usize>,
    hint: Option<String>,
    pub(super) notes: Vec<String>,
    /// What follows the deadline in the message, where it was one that passed.
    timed_out: Option<&'static str>,
    unreached: Option<usize>,
}

impl Failing {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Box<Failing> {
        Box::new(Failing {
            kind,
            message: message.into(),
            expected: None,
            expected_bytes: None,
            received: None,
            difference_at: None,
            hint: None,
            notes: Vec::new(),
            timed_out: None,
            unreached: None,
        })
    }

    pub(super) fn script(message: impl Into<String>) -> Box<Failing> {
        Failing::new(FailureKind::Script, message)
    }

    pub(super) fn unset(name: &str) -> Box<Failing> {
        Failing::script(format!("the variable `{name}` has no value yet"))
            .hint("a step that sets it has to be played before")
    }

    pub(super) fn no_mark(name: &str) -> Box<Failing> {
        Failing::script(format!("no step has set the mark `{name}` yet"))
    }

    pub(super) fn hint(mut self: Box<Failing>, hint: impl Into<String>) -> Box<Failing> {
        self.hint = Some(hint.into());
        self
    }

    /// The step's deadline is part of the story.
    pub(super) fn timed_out(self: Box<Failing>) -> Box<Failing> {
        self.timed_out_and("")
    }

    /// The step's deadline is part of the story, and `rest` follows it in the message.
    pub(super) fn timed_out_and(mut self: Box<Failing>, rest: &'static str) -> Box<Failing> {
        self.timed_out = Some(rest);
        self
    }

    pub(super) fn received(mut self: Box<Failing>, bytes: &Bytes, difference_at: usize) -> Box<Failing> {
        self.difference_at = Some(difference_at);
        if bytes.len() > RECEIVED_MAX {
            self.notes
                .push(format!("{} were received; the first {RECEIVED_MAX} are shown", count(bytes.len(), "byte")));
        }
        self.received = Some(bytes.slice(..bytes.len().min(RECEIVED_MAX)));
        self
    }

    pub(super) fn note(mut self: Box<Failing>, note: impl Into<String>) -> Box<Failing> {
        self.notes.push(note.into());
        self
    }

    /// How far what was expected had come, for choosing among several.
    pub(super) fn progress(&self) -> Option<usize> {
        self.difference_at
    }

    /// Puts what failed beside it into the story.
    pub(super) fn also(&mut self, headline: &str, others: &[Failing]) {
        self.message = match others {
            [] => std::mem::take(&mut self.message),
            _ => format!("{headline}: {}", self.message),
        };
        self.notes.extend(others.iter().map(|other| format!("nor: {}", other.message)));
    }

    pub(super) fn expecting(mut self: Box<Failing>, matcher: &Arc<dyn Matcher>) -> Box<Failing> {
        self.expected = Some(matcher.describe());
        self.expected_bytes = matcher.bytes().cloned();
        self
    }

    pub(super) fn mismatch(matcher: &Arc<dyn Matcher>, received: &Bytes, at: usize, why: &str) -> Box<Failing> {
        // Where the two differ far from their beginning, quoting that shows nothing.
        let received_words = match (matcher.show(received), at < QUOTED_MAX) {
            (Some(shown), _) => shown,
            (None, true) => quote(received),
            (None, false) => count(received.len(), "byte"),
        };
        let message = format!("expected {}, received {received_words}: {why}", matcher.describe());
        Failing::new(FailureKind::Mismatch, message).expecting(matcher).received(received, at)
    }

    pub(super) fn framing(matcher: &Arc<dyn Matcher>, link: &Link, error: &FramingError) -> Box<Failing> {
        let front = link.front().unwrap_or_default();
        let message = format!("expected {}, received what is no message: {error}", matcher.describe());
        Failing::new(FailureKind::Mismatch, message).expecting(matcher).received(&Bytes::copy_from_slice(front), 0)
    }

    /// The connection ended before what was expected.
    pub(super) fn missing(expected: &str, link: &Link) -> Box<Failing> {
        let front = link.front().unwrap_or_default();
        let ending = link.ending.as_ref();
        let (kind, how) = match ending {
            Some(ending) => ending.shown(),
            None => (FailureKind::Closed, "the connection was closed".into()),
        };
        let after = match (ending, front.is_empty()) {
            (_, false) => format!(" after {}", quote(front)),
            (Some(Ending::Eof | Ending::Reset), true) => " before any of it came".into(),
            (_, true) => String::new(),
        };
        let message = format!("expected {expected}, but {how}{after}");
        let at = front.len();
        Failing::new(kind, message).ending_hint(ending).received(&Bytes::copy_from_slice(front), at)
    }

    /// More has arrived than is kept, and it does not match.
    pub(super) fn flooded(expected: &str, link: &Link) -> Box<Failing> {
        let len = link.unread();
        let front = link.front().unwrap_or_default();
        let message = format!("expected {expected}, received {} that do not match", count(len, "byte"));
        let shown = Bytes::copy_from_slice(&front[..front.len().min(RECEIVED_MAX)]);
        Failing::new(FailureKind::Limit, message).received(&shown, 0).hint(format!(
            "at most {} unread are kept of a connection",
            crate::text::show_size(super::UNREAD_MAX as u64)
        ))
    }

    pub(super) fn timeout(expected: &str, link: &Link) -> Box<Failing> {
        let front = link.front().unwrap_or_default();
        let message = match front.is_empty() {
            true => format!("expected {expected}, received nothing"),
            false => format!("expected {expected}, received {} and no more", quote(front)),
        };
        let at = front.len();
        Failing::new(FailureKind::Timeout, message).received(&Bytes::copy_from_slice(front), at)
    }

    /// A `send` that was not taken whole.
    pub(super) fn cut(kind: FailureKind, taken: usize, total: usize) -> Box<Failing> {
        let message = match kind {
            FailureKind::Reset => format!("the peer reset the connection after {taken} of {total} bytes were sent"),
            _ => format!("the peer took {taken} of {total} bytes and no more"),
        };
        Failing::new(kind, message)
    }

    /// The connection ended, but not as expected.
    pub(super) fn ended(expected: &str, ending: &Ending) -> Box<Failing> {
        let (kind, how) = ending.shown();
        Failing::new(kind, format!("expected {expected}, but {how}")).ending_hint(Some(ending))
    }

    fn ending_hint(mut self: Box<Failing>, ending: Option<&Ending>) -> Box<Failing> {
        if let Some(Ending::Tls(_, hint)) = ending {
            self.hint.clone_from(hint);
        }
        self
    }

    /// A connection that could not be opened.
    pub(super) fn not_opened(actor: usize, incoming: bool, refusal: &Refusal) -> Box<Failing> {
        let Some(hint) = &refusal.handshake else { return Failing::unreached(actor, &refusal.reason) };
        let who = if incoming { "a client's" } else { "the" };
        let mut failing = Failing::new(FailureKind::Tls, format!("{who} TLS handshake failed: {}", refusal.reason));
        failing.hint.clone_from(hint);
        failing
    }

    pub(super) fn unreached(actor: usize, reason: &str) -> Box<Failing> {
        let mut failing = Failing::new(FailureKind::Refused, format!("cannot connect: {reason}"));
        failing.unreached = Some(actor);
        failing
    }
}

impl Ending {
    fn shown(&self) -> (FailureKind, String) {
        match self {
            Ending::Eof => (FailureKind::Closed, "the peer closed the connection".into()),
            Ending::Failed(reason) => (FailureKind::System, format!("the system says: {reason}")),
            Ending::Reset => (FailureKind::Reset, "the peer reset the connection".into()),
            Ending::Tls(reason, _) => (FailureKind::Tls, format!("TLS failed: {reason}")),
            Ending::Unreachable => (FailureKind::Refused, "nobody listens on the port".into()),
        }
    }
}

impl Conversation {
    /// The failure of the step that runs in a lane, and the actor that it could not connect.
    pub(super) fn failure(&self, lane: usize, failing: Failing) -> (Failure, Option<usize>) {
        let lane = &self.lanes[lane];
        let mut notes = failing.notes;
        let mut message = failing.message;
        let running = lane.running();
        if let (Some(rest), Some(running)) = (failing.timed_out, running) {
            let allowed = running.clocks.allowed();
            message = format!("{message} within {}{rest}", show_duration(allowed));
            let limit = &running.step().limit;
            let set_by = match (limit.duration == allowed, lane.bound()) {
                (true, _) => limit.set_by.to_string(),
                (false, Some((bound, looping))) if bound == running.clocks.deadline => {
                    let (whole, set_by) = looping.allowed();
                    format!("what {set_by} leaves of {}", show_duration(whole))
                }
                _ => "`between` of this step".to_owned(),
            };
            notes.push(format!("deadline: {}, {set_by}", show_duration(allowed)));
        }
        for (done, times) in lane.repetitions() {
            notes.push(format!("in repetition {} of {times} (`${{i}}` is {done})", done + 1));
        }
        let step = running.map(super::lane::Running::step);
        if let Some(step) = step {
            notes.extend(
                self.script.infos[step.id as usize].via.iter().map(|place| format!("in a fragment, used at {place}")),
            );
        }
        let failure = Failure {
            kind: failing.kind,
            message,
            place: match step {
                Some(step) => self.script.infos[step.id as usize].place.clone(),
                None => self.script.place.clone(),
            },
            connection: step.and_then(|step| self.told_connection(step)),
            expected: failing.expected,
            expected_bytes: failing.expected_bytes,
            received: failing.received,
            difference_at: failing.difference_at.map(|at| at as u64),
            notes,
            hint: failing.hint,
        };
        // A datagram socket opens without asking anybody: nobody there is learnt at the first answer.
        let refused = failing.kind == FailureKind::Refused;
        let unreached =
            failing.unreached.or_else(|| step.filter(|_| refused).map(|step| self.script.slots[step.slot].actor));
        (failure, unreached)
    }

    /// A failure of whatever step runs now.
    pub(super) fn failure_now(&self, kind: FailureKind, message: String) -> Failure {
        let lane = self.lanes.iter().position(|lane| lane.running().is_some()).unwrap_or(0);
        self.failure(lane, *Failing::new(kind, message)).0
    }

    /// Bytes that nobody asked for, when all steps have held.
    pub(super) fn leftover_at_end(&self, at: usize) -> Failure {
        let link = &self.links[at];
        let front = link.front().unwrap_or_default();
        let unread = link.unread();
        let what =
            if link.transport.is_datagram() { "a datagram that no step reads" } else { "bytes that no step reads" };
        let message = format!("expected nothing after the last step, received {what}: {}", quote(front));
        let failing = Failing::new(FailureKind::Leftover, message)
            .received(&Bytes::copy_from_slice(front), 0)
            .hint("`{ drain = true }` reads and drops them, `strict_end = false` on the case lets them be");
        let mut failure = self.failure(0, *failing).0;
        if let Some(last) = self.script.infos.last() {
            failure.place = last.place.clone();
        }
        failure.connection = Some(at as u32);
        failure.notes.push(format!("{} unread", count(unread, "byte")));
        failure
    }

    /// The end of a case that did not hold, but for what it has deferred.
    pub(super) fn fail(&mut self, now: Time, failure: Failure, unreached: Option<usize>) {
        let running = self.lanes.iter().filter_map(|lane| lane.running()).next();
        let (step, started) = match running {
            Some(running) => (Some(running.step().id), running.clocks.started),
            None => (None, now),
        };
        self.fail_step(now, step, started, failure, unreached);
    }

    pub(super) fn fail_step(
        &mut self,
        now: Time,
        step: Option<u32>,
        started: Time,
        failure: Failure,
        unreached: Option<usize>,
    ) {
        let failure = Box::new(failure);
        if let Phase::Deferring { ended: Ended::Failed { .. }, .. } = &self.phase {
            // One failure ends a case; what fails while it is tidied up is only told.
            let message = format!("{}: a deferred step failed, too: {}", failure.place, failure.message);
            self.tell(now, EventKind::Logged { message });
            return self.next_deferred(now);
        }
        self.tell(now, EventKind::StepFailed { step, started, failure: failure.clone() });
        self.end_with(now, Ended::Failed { failure, unreached });
    }
}
