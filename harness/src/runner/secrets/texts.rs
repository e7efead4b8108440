//! The texts of events: whatever somebody may have written into them, and not the stream's own words.
//!
//! Every event names all of its fields here, so that a new one cannot be forgotten. Bytes are not texts.

use std::sync::Arc;

use crate::event::{
    CaseFinished, CaseStarted, Endpoint, EventKind, Failure, Mistake, OutputLine, Place, Reduced, Replayed, RunStarted,
    StepInfo, TlsSession,
};

/// Something with texts in it.
pub(in crate::runner) trait Texts {
    /// Shows `visit` each of them.
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String));
}

impl Texts for String {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        visit(self);
    }
}

impl Texts for Arc<str> {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let mut text = self.to_string();
        visit(&mut text);
        if text != **self {
            *self = text.into();
        }
    }
}

impl<T: Texts> Texts for Option<T> {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        self.iter_mut().for_each(|inner| inner.visit(visit));
    }
}

impl<T: Texts> Texts for Vec<T> {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        self.iter_mut().for_each(|inner| inner.visit(visit));
    }
}

/// Shows `$visit` the texts of each of these.
macro_rules! each {
    ($visit:ident, $($texts:expr),*) => {{ $($texts.visit($visit);)* }};
}

impl Texts for Endpoint {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        match self {
            Endpoint::Ip(_) => {}
            Endpoint::Path(path) => path.visit(visit),
        }
    }
}

impl Texts for Place {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let Place { file, line: _, column: _, width: _, text } = self;
        each!(visit, file, text);
    }
}

impl Texts for Mistake {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let Mistake { place, message, hint } = self;
        each!(visit, place, message, hint);
    }
}

impl Texts for OutputLine {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let OutputLine { stderr: _, text } = self;
        each!(visit, text);
    }
}

impl Texts for StepInfo {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let StepInfo { place, actor, verb: _, via, note } = self;
        each!(visit, place, actor, via, note);
    }
}

impl Texts for TlsSession {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let TlsSession { version: _, cipher: _, alpn, server_name, client_certificate: _ } = self;
        each!(visit, alpn, server_name);
    }
}

impl Texts for Failure {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let Failure {
            kind: _,
            message,
            place,
            connection: _,
            expected,
            expected_bytes: _,
            received: _,
            difference_at: _,
            notes,
            hint,
        } = self;
        each!(visit, message, place, expected, notes, hint);
    }
}

impl Texts for RunStarted {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let RunStarted { v: _, harness: _, seed: _, unix_ns: _, command } = self;
        each!(visit, command);
    }
}

impl Texts for CaseStarted {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let CaseStarted { scenario, name, file, line: _, attempt: _, tags, spec, steps } = self;
        each!(visit, scenario, name, file, tags, spec, steps);
    }
}

impl Texts for CaseFinished {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let CaseFinished { verdict: _, reason, duration_ns: _, capture, frame: _, reproduce } = self;
        each!(visit, reason, capture, reproduce);
    }
}

impl Texts for Reduced {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let Reduced {
            kind: _,
            fingerprint,
            verdict: _,
            percent: _,
            replays: _,
            accepted: _,
            from: _,
            to: _,
            matters,
            complete: _,
            others,
        } = self;
        each!(visit, fingerprint, matters, others);
    }
}

impl Texts for Replayed {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let Replayed { fate: _, plays: _, failures: _, now, stored, known, differences } = self;
        each!(visit, now, stored, known, differences);
    }
}

impl Texts for EventKind {
    fn visit(&mut self, visit: &mut dyn FnMut(&mut String)) {
        match self {
            EventKind::RunStarted(started) => started.visit(visit),
            EventKind::RunFinished { summary: _, exit_code: _ } => {}
            EventKind::FileInvalid { file, mistakes } => each!(visit, file, mistakes),
            EventKind::Warning { message } => message.visit(visit),
            EventKind::TargetStarted { scenario, target, url, pid: _ } => each!(visit, scenario, target, url),
            EventKind::TargetExited { scenario, target, status, crash: _, output } => {
                each!(visit, scenario, target, status, output);
            }
            EventKind::CaseSlow { title, running_ns: _ } => title.visit(visit),
            EventKind::TargetOutput { scenario, target, output } => each!(visit, scenario, target, output),
            EventKind::CaseStarted(started) => Arc::make_mut(started).visit(visit),
            EventKind::CaseFinished(finished) => finished.visit(visit),
            EventKind::Reduced(reduced) => reduced.visit(visit),
            EventKind::Replayed(replayed) => replayed.visit(visit),
            EventKind::ConnectionOpened { connection: _, actor, transport: _, dialled: _, local, peer } => {
                each!(visit, actor, local, peer);
            }
            EventKind::ConnectionFailed { connection: _, actor, transport: _, peer, refused: _, reason } => {
                each!(visit, actor, peer, reason);
            }
            EventKind::Sent { connection: _, data: _ }
            | EventKind::Received { connection: _, data: _ }
            | EventKind::WireReceived { connection: _, data: _ }
            | EventKind::WireSent { connection: _, data: _ }
            | EventKind::Ended { connection: _, by: _, how: _ }
            | EventKind::StepPassed { step: _, started: _, connection: _ }
            // Numbers in hexadecimal, and of no use with a gap.
            | EventKind::TlsSecrets { connection: _, lines: _ }
            | EventKind::RecordingStopped { kept: _ } => {}
            EventKind::PeerMoved { connection: _, peer } => peer.visit(visit),
            EventKind::RelayOpened { relay, connection: _, transport: _, peer, to } => each!(visit, relay, peer, to),
            EventKind::RelayFailed { relay, connection: _, peer, to, refused: _, reason } => {
                each!(visit, relay, peer, to, reason);
            }
            EventKind::RelayClosed { relay, connection: _, up: _, down: _ } => relay.visit(visit),
            EventKind::FaultFired {
                fault: _,
                place,
                relay,
                connection: _,
                direction: _,
                at_byte: _,
                nth: _,
                what,
            } => each!(visit, place, relay, what),
            EventKind::StepFailed { step: _, started: _, failure } => failure.visit(visit),
            EventKind::TlsEstablished { connection: _, session } => session.visit(visit),
            EventKind::TlsFailed { connection: _, reason } => reason.visit(visit),
            EventKind::Message { connection: _, sent: _, name, fields } => each!(visit, name, fields),
            EventKind::VariableSet { name, value: _ } => name.visit(visit),
            EventKind::Logged { message } => message.visit(visit),
            EventKind::Reduced(reduced) => {
                let Reduced { kind: _, fingerprint, verdict: _, matters, others, .. } = &mut **reduced;
                each!(visit, fingerprint, matters, others);
            }
            EventKind::Replayed(replayed) => {
                let Replayed { fate: _, plays: _, failures: _, now, stored, known, differences } = &mut **replayed;
                each!(visit, now, stored, known, differences);
            }
        }
    }
}
