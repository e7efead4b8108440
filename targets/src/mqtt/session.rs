//! What the broker keeps of one client: its subscriptions, and the messages that it is still to get.
//!
//! It outlives the client's connection where the client asked for it. Who may have one is not here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::packet::{Ack, Delivery, Id, Qos, emit_ack, emit_publish};
use super::topic;
use super::{Limits, Message};
use crate::bell::Bell;
use crate::service::Reply;

/// What the broker keeps of one client.
#[derive(Debug)]
pub(super) struct Session {
    /// It ends with its connection, and not before: [MQTT-3.1.2-6], [MQTT-4.1.0-2].
    pub(super) clean: bool,
    /// The client's connection, while it has one.
    pub(super) link: Option<Link>,
    /// Each filter once, [MQTT-3.8.4-3].
    subscriptions: BTreeMap<Box<str>, Qos>,
    /// `QoS` 2 messages that the client has sent and not yet released.
    received: BTreeSet<Id>,
    /// What was not sent yet, in order.
    queue: VecDeque<Outgoing>,
    queue_len: usize,
    /// What was sent and not acknowledged, in order.
    in_flight: VecDeque<InFlight>,
    id: Id,
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct Link {
    /// Which of all that the broker ever had.
    pub(super) number: u64,
    pub(super) bell: Bell,
    /// What is published when it goes without a word.
    pub(super) will: Option<Arc<Message>>,
}

/// A message for one client.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) message: Arc<Message>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
}

#[derive(Debug)]
struct InFlight {
    id: Id,
    stage: Stage,
    /// Whether it was sent on this connection.
    sent: bool,
}

#[derive(Debug)]
enum Stage {
    /// The client is to say PUBACK or PUBREC, by the message's `QoS`.
    Published(Outgoing),
    /// The client is to say PUBCOMP.
    Released,
}

impl Session {
    pub(super) fn new(clean: bool) -> Session {
        Session {
            clean,
            link: None,
            subscriptions: BTreeMap::new(),
            received: BTreeSet::new(),
            queue: VecDeque::new(),
            queue_len: 0,
            in_flight: VecDeque::new(),
            id: 0,
        }
    }

    /// Goes on over a new connection: all that is in flight is to be sent again, [MQTT-4.4.0-1].
    pub(super) fn resume(&mut self, link: Link) {
        self.link = Some(link);
        self.in_flight.iter_mut().for_each(|in_flight| in_flight.sent = false);
    }

    /// Subscribes, or changes the `QoS` of what was subscribed; `false` if there is no room.
    pub(super) fn subscribe(&mut self, filter: &str, qos: Qos, limits: &Limits) -> bool {
        if let Some(known) = self.subscriptions.get_mut(filter) {
            *known = qos;
            return true;
        }
        let fits = self.subscriptions.len() < limits.subscriptions;
        if fits {
            self.subscriptions.insert(filter.into(), qos);
        }
        fits
    }

    pub(super) fn unsubscribe(&mut self, filter: &str) {
        self.subscriptions.remove(filter);
    }

    /// At which `QoS` the client wants what is published to `name`: the highest of all filters that match, since
    /// overlapping ones get a message once, [MQTT-3.3.5-1].
    pub(super) fn interest(&self, name: &str) -> Option<Qos> {
        let matching = self.subscriptions.iter().filter(|(filter, _)| topic::matches(filter, name));
        matching.map(|(_, qos)| *qos).max()
    }

    /// Puts a message into the queue. One that finds it full is lost to this client, and so is one of `QoS` 0 while it is away.
    pub(super) fn offer(&mut self, outgoing: Outgoing, limits: &Limits) {
        let len = outgoing.message.len();
        let is_away = self.link.is_none();
        if is_away && outgoing.qos == Qos::AtMost
            || self.queue.len() >= limits.queue
            || self.queue_len + len > limits.queue_len
        {
            return;
        }
        self.queue_len += len;
        self.queue.push_back(outgoing);
        if let Some(link) = &self.link {
            link.bell.ring();
        }
    }

    /// Sends as much as `reply` takes: first again what is in flight, then the queue. Every topic in order: [MQTT-4.6.0-5],
    /// [MQTT-4.6.0-6].
    pub(super) fn pump(&mut self, limits: &Limits, reply: &mut Reply) {
        // [MQTT-4.6.0-1] and [MQTT-4.6.0-4], under the same ids, [MQTT-2.3.1-3]
        for in_flight in self.in_flight.iter_mut().filter(|in_flight| !in_flight.sent) {
            if reply.is_full() {
                return;
            }
            in_flight.sent = true;
            match &in_flight.stage {
                // [MQTT-3.3.1-1]; whatever the publisher's said, [MQTT-3.3.1-3]
                Stage::Published(outgoing) => outgoing.emit(in_flight.id, true, reply),
                Stage::Released => emit_ack(Ack::Release, in_flight.id, reply),
            }
        }
        while !reply.is_full()
            && let Some(outgoing) = self.queue.front()
        {
            if outgoing.qos > Qos::AtMost && self.in_flight.len() >= limits.in_flight {
                return;
            }
            let outgoing = self.queue.pop_front().expect("it was there a moment ago");
            self.queue_len -= outgoing.message.len();
            if outgoing.qos == Qos::AtMost {
                outgoing.emit(0, false, reply);
            } else {
                let id = self.next_id();
                outgoing.emit(id, false, reply);
                self.in_flight.push_back(InFlight { id, stage: Stage::Published(outgoing), sent: true });
            }
        }
    }

    /// An id that nothing in flight has: [MQTT-2.3.1-4]. Never 0, [MQTT-2.3.1-1].
    fn next_id(&mut self) -> Id {
        loop {
            self.id = self.id.checked_add(1).unwrap_or(1);
            // There are more ids than may be in flight.
            if !self.in_flight.iter().any(|in_flight| in_flight.id == self.id) {
                return self.id;
            }
        }
    }

    /// The client has a message of `QoS` 1. What was never sent, or is of another `QoS`, is passed over.
    pub(super) fn acknowledged(&mut self, id: Id) {
        self.in_flight.retain(|in_flight| {
            let is_it = in_flight.id == id
                && matches!(&in_flight.stage, Stage::Published(outgoing) if outgoing.qos == Qos::AtLeast);
            !is_it
        });
    }

    /// The client has a message of `QoS` 2, and is told to release it: [MQTT-4.3.3-1]. It is not sent again.
    pub(super) fn recorded(&mut self, id: Id, reply: &mut Reply) {
        let Some(at) = self.in_flight.iter().position(|in_flight| in_flight.id == id) else { return };
        match &self.in_flight[at].stage {
            Stage::Published(outgoing) if outgoing.qos == Qos::AtLeast => return,
            // To the end, so that releases are repeated in the order of the PUBRECs: [MQTT-4.6.0-4].
            Stage::Published(_) => {
                self.in_flight.remove(at);
                self.in_flight.push_back(InFlight { id, stage: Stage::Released, sent: true });
            }
            Stage::Released => (),
        }
        emit_ack(Ack::Release, id, reply);
    }

    /// The client has released a message of `QoS` 2: its id is free.
    pub(super) fn completed(&mut self, id: Id) {
        self.in_flight.retain(|in_flight| in_flight.id != id || !matches!(in_flight.stage, Stage::Released));
    }

    /// The client sends a message of `QoS` 2; `false` if it had done so before, and the message is not to be delivered
    /// again: [MQTT-4.3.3-2].
    pub(super) fn receive(&mut self, id: Id) -> bool {
        self.received.insert(id)
    }

    /// The client will not send that message again.
    pub(super) fn release(&mut self, id: Id) {
        self.received.remove(&id);
    }
}

impl Outgoing {
    fn emit(&self, id: Id, repeated: bool, reply: &mut Reply) {
        let delivery = match self.qos {
            Qos::AtMost => Delivery::AtMost,
            Qos::AtLeast => Delivery::AtLeast(id),
            Qos::Exactly => Delivery::Exactly(id),
        };
        emit_publish(&self.message.topic, &self.message.payload, self.retain, repeated, delivery, reply);
    }
}
