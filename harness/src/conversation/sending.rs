//! Sending: payloads to writes, and how far the socket has taken them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::lane::Clocks;
use super::link::Ending;
use super::payload::{Cutter, PayloadError};
use super::script::{Send, Step, Then, Verb};
use super::verdict::Failing;
use super::waiting::{Doing, Flow};
use super::{Action, Conversation};
use crate::event::{EventKind, FailureKind};
use crate::text::count;
use crate::time::Time;

/// A `send` that has begun.
#[derive(Debug)]
pub(super) struct Sending {
    link: usize,
    messages: VecDeque<Cutter>,
    /// How much of the current write the socket has not taken yet.
    left: Option<usize>,
    taken: usize,
    total: usize,
    pause: Option<Duration>,
    next_at: Option<Time>,
    datagram: bool,
}

impl Sending {
    /// When the next write is due.
    pub(super) fn wake(&self) -> Option<Time> {
        self.next_at.filter(|_| self.left.is_none())
    }
}

impl Conversation {
    pub(super) fn begin_send(&mut self, now: Time, step: &Step, send: &Send) -> Result<Sending, Box<Failing>> {
        let link = self.open_link(step)?;
        if self.links[link].shut {
            return Err(Failing::script("an earlier step said that no more will be sent"));
        }
        if self.links[link].ending == Some(Ending::Unreachable) {
            self.links[link].ending = None;
        }
        self.check_can_end(link, send.then)?;
        let datagram = self.links[link].transport.is_datagram();
        let script = std::sync::Arc::clone(&self.script);
        let framing = script.actors[script.slots[step.slot].actor].framing.as_deref();
        let (mut messages, mut bodies) = (Vec::with_capacity(send.payloads.len()), Vec::new());
        for payload in &send.payloads {
            let body = payload.fill(&self.variables, &mut self.random, framing);
            let body = body.map_err(|error| Failing::payload(&error))?;
            if step.save.is_some() {
                bodies.push(body.clone());
            }
            if let Some(speaking) = &script.actors[script.slots[step.slot].actor].speaks
                && let Some((name, fields)) = speaking.protocol.tell(&body, speaking.speaks())
            {
                self.tell_message(now, link, true, name, fields);
            }
            messages.push(payload.frame(body, framing).map_err(|error| Failing::payload(&error))?);
        }
        if let Some(name) = step.save.clone() {
            let whole = if bodies.len() == 1 { bodies.remove(0) } else { bodies.concat().into() };
            self.set_variable(now, name, whole);
        }
        if send.coalesce && messages.len() > 1 {
            messages = vec![messages.concat().into()];
        }
        if let Some((at, xor)) = send.corrupt {
            spoil(&mut messages, at, xor)?;
        }
        if let Some(len) = send.truncate {
            let mut left = len;
            for message in &mut messages {
                message.truncate(left);
                left -= message.len();
            }
            messages.retain(|message| !message.is_empty());
        }
        let total = messages.iter().map(Bytes::len).sum();
        let pace = send.pace.map(|(bytes, _)| bytes);
        let mut cutters = VecDeque::with_capacity(messages.len());
        for data in messages {
            cutters.push_back(Cutter::new(data, &send.split, pace, &mut self.random));
        }
        let pause = send.pace.map(|(_, pause)| pause);
        Ok(Sending { link, messages: cutters, left: None, taken: 0, total, pause, next_at: None, datagram })
    }

    pub(super) fn send(
        &mut self,
        now: Time,
        step: &Step,
        clocks: &Clocks,
        sending: &mut Sending,
    ) -> Result<Flow, Box<Failing>> {
        let at = sending.link;
        let Verb::Send(send) = &step.verb else { unreachable!("only `send` sends") };
        match &self.links[at].ending {
            Some(Ending::Reset) if send.cut_short => return Ok(Flow::Done),
            Some(Ending::Reset) => return Err(Failing::cut(FailureKind::Reset, sending.taken, sending.total)),
            Some(Ending::Failed(reason)) => {
                return Err(Failing::new(FailureKind::System, format!("cannot send: {reason}")));
            }
            _ => {}
        }
        if sending.left.is_some() || sending.next_at.is_some_and(|next| now < next) {
            if now >= clocks.deadline {
                return Err(Failing::cut(FailureKind::Timeout, sending.taken, sending.total).timed_out());
            }
            return Ok(Flow::Waiting);
        }
        while let Some(cutter) = sending.messages.front_mut() {
            match cutter.next() {
                Some(piece) if piece.is_empty() && !sending.datagram => {}
                Some(piece) => {
                    sending.left = Some(piece.len());
                    sending.next_at = None;
                    self.links[at].writing = Some(piece.clone());
                    self.actions.push_back(Action::Send { connection: at as u32, data: piece });
                    return Ok(Flow::Waiting);
                }
                None => {
                    sending.messages.pop_front();
                }
            }
        }
        match send.then {
            Some(Then::Close) => self.close(now, at),
            Some(Then::HalfClose) => self.shutdown(now, at),
            Some(Then::Reset) => self.reset(now, at),
            None => {}
        }
        Ok(Flow::Done)
    }

    /// The socket took `len` bytes.
    pub(super) fn written(&mut self, now: Time, at: usize, len: usize) {
        let mut sent = None;
        for lane in &mut self.lanes {
            let Some(Doing::Send(sending)) = lane.running.as_mut().map(|running| &mut running.doing) else { continue };
            if sending.link == at && sending.left.is_some() {
                let left = sending.left.as_mut().expect("just seen");
                let len = len.min(*left);
                *left -= len;
                sending.taken += len;
                if *left == 0 || sending.datagram {
                    sending.left = None;
                    sending.next_at = sending.pause.map(|pause| now + pause);
                }
                sent = Some(len);
                break;
            }
        }
        let link = &mut self.links[at];
        if let (Some(len), Some(data)) = (sent, &mut link.writing) {
            let data = if len < data.len() { data.split_to(len) } else { std::mem::take(data) };
            self.record(now, data.len(), || EventKind::Sent { connection: at as u32, data });
        }
    }
}

/// Changes one byte of what would be sent.
fn spoil(messages: &mut [Bytes], at: usize, xor: u8) -> Result<(), Box<Failing>> {
    let mut offset = at;
    for message in messages.iter_mut() {
        if offset < message.len() {
            let mut bytes = message.to_vec();
            bytes[offset] ^= xor;
            *message = bytes.into();
            return Ok(());
        }
        offset -= message.len();
    }
    let total: usize = messages.iter().map(Bytes::len).sum();
    Err(Failing::script(format!("`corrupt` is at byte {at}, and there are {}", count(total, "byte"))))
}

impl Failing {
    pub(super) fn payload(error: &PayloadError) -> Box<Failing> {
        match error {
            PayloadError::Unset(name) => Failing::unset(name),
            error => Failing::script(error.to_string()),
        }
    }
}
