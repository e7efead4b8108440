//! One client's connection: which packet may come when, and how it is answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Message;
use super::broker::Broker;
use super::packet::{Ack, ConnectCode, Delivery, Packet};
use super::packet::{emit_ack, emit_connack, emit_pong, emit_suback, parse};
use crate::bell::Bell;
use crate::inbox::Inbox;
use crate::service::{Reply, Service};

/// How long a client may take for its CONNECT: it should be given "a reasonable amount of time", section 3.1.4.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// With what every CONNECT begins.
const CONNECT: u8 = 0x10;

/// One client's connection.
pub(super) struct Client {
    broker: Shared,
    inbox: Inbox,
    packet_len_max: usize,
    link: Link,
}

/// The client's side of its session.
struct Link {
    number: u64,
    bell: Bell,
    state: State,
}

enum State {
    /// No CONNECT yet.
    New,
    /// Let in.
    Connected {
        client_id: Arc<str>,
        /// One and a half times what the client said.
        silence_max: Duration,
    },
    /// The connection is closing.
    Gone,
}

/// A broker and its lock.
#[derive(Clone)]
pub(super) struct Shared(pub(super) Arc<Mutex<Broker>>);

impl Shared {
    /// Waits for the broker. No client's bytes can make it panic; should it, what is left is still sound for the others.
    fn lock(&self) -> MutexGuard<'_, Broker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    pub(super) fn new(broker: Shared, packet_len_max: usize) -> Client {
        let number = broker.lock().connection();
        let link = Link { number, bell: Bell::default(), state: State::New };
        Client { broker, inbox: Inbox::default(), packet_len_max, link }
    }

    /// Sends what the client is to get, and handles what came from it, as far as `reply` takes answers.
    fn advance(&mut self, reply: &mut Reply) {
        let mut broker = self.broker.lock();
        let mut handled = false;
        loop {
            match &self.link.state {
                State::Connected { client_id, .. } => match broker.session(client_id, self.link.number) {
                    Some((session, limits)) => session.pump(limits, reply),
                    None => self.link.leave(&mut broker, reply), // taken over
                },
                State::New => (),
                State::Gone => break,
            }
            if reply.is_full() {
                break;
            }
            let input = self.inbox.rest();
            let is_first = matches!(self.link.state, State::New);
            // [MQTT-3.1.0-1]; without a look at its length, which may be long in coming
            if is_first && input.first().is_some_and(|first| *first != CONNECT) {
                self.link.leave(&mut broker, reply);
                break;
            }
            match parse(input, self.packet_len_max) {
                Ok(None) => break,
                Ok(Some((packet, len))) => {
                    self.link.handle(&packet, &mut broker, reply);
                    self.inbox.consume(len);
                    handled = true;
                }
                Err(_) => self.link.leave(&mut broker, reply), // [MQTT-4.8.0-1]; a CONNECT without a CONNACK, [MQTT-3.1.4-1]
            }
        }
        self.inbox.compact();
        if let State::Connected { silence_max, .. } = &self.link.state
            && handled
        {
            reply.wake_after(*silence_max);
        }
    }
}

impl Link {
    fn handle(&mut self, packet: &Packet<'_>, broker: &mut Broker, reply: &mut Reply) {
        match (&self.state, packet) {
            (State::New, Packet::Connect(connect)) => {
                match broker.connect(connect, self.number, self.bell.clone()) {
                    Ok((client_id, session_present)) => {
                        // The first packet from the server, [MQTT-3.2.0-1], [MQTT-3.1.4-4]: what the session holds comes after it.
                        // [MQTT-3.2.2-1], [MQTT-3.2.2-2], [MQTT-3.2.2-3]
                        emit_connack(session_present, ConnectCode::Accepted, reply);
                        self.state = State::Connected { client_id, silence_max: silence_max(connect.keep_alive_s) };
                    }
                    Err(code) => self.refuse(code, broker, reply),
                }
            }
            (State::New, Packet::OtherVersion) => self.refuse(ConnectCode::OtherVersion, broker, reply), // [MQTT-3.1.2-2]
            (State::Connected { client_id, .. }, packet) => {
                let client_id = Arc::clone(client_id);
                self.handle_connected(&client_id, packet, broker, reply);
            }
            (State::New | State::Gone, _) => self.leave(broker, reply),
        }
    }

    fn handle_connected(&mut self, client_id: &str, packet: &Packet<'_>, broker: &mut Broker, reply: &mut Reply) {
        let Some((session, _)) = broker.session(client_id, self.number) else {
            return self.leave(broker, reply);
        };
        match packet {
            Packet::Disconnect => {
                if let Some(link) = &mut session.link {
                    link.will = None; // [MQTT-3.14.4-3]
                }
                self.leave(broker, reply);
            }
            Packet::Ping => emit_pong(reply), // [MQTT-3.12.4-1]
            Packet::PubAck(id) => session.acknowledged(*id),
            Packet::PubComp(id) => session.completed(*id),
            Packet::PubRec(id) => session.recorded(*id, reply),
            Packet::PubRel(id) => {
                session.release(*id);
                emit_ack(Ack::Complete, *id, reply); // [MQTT-4.3.3-2]
            }
            Packet::Publish { topic, payload, retain, delivery } => {
                let is_new = match delivery {
                    Delivery::Exactly(id) => session.receive(*id),
                    Delivery::AtMost | Delivery::AtLeast(_) => true, // [MQTT-4.3.2-2]
                };
                // It is passed on at once, and acknowledged after that: method B of figure 4.3.
                if is_new {
                    broker.publish(Arc::new(Message::new(topic, payload, delivery.qos(), *retain)));
                }
                // In the order in which they came: [MQTT-4.6.0-2], [MQTT-4.6.0-3].
                match delivery {
                    Delivery::AtMost => (),
                    Delivery::AtLeast(id) => emit_ack(Ack::Published, *id, reply), // [MQTT-3.3.4-1]
                    Delivery::Exactly(id) => emit_ack(Ack::Received, *id, reply),
                }
            }
            Packet::Subscribe { id, filters } => {
                // As if each had come alone: [MQTT-3.8.4-4].
                let granted: Vec<_> =
                    filters.iter().map(|(filter, qos)| broker.subscribe(client_id, filter, *qos)).collect();
                emit_suback(*id, &granted, reply); // [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.8.4-5], [MQTT-3.9.3-1], [MQTT-2.3.1-7]
            }
            Packet::Unsubscribe { id, filters } => {
                // Compared by character, [MQTT-3.10.4-1]; what was queued is still delivered, [MQTT-3.10.4-3].
                filters.iter().for_each(|filter| session.unsubscribe(filter)); // [MQTT-3.10.4-2]
                emit_ack(Ack::Unsubscribed, *id, reply); // [MQTT-3.10.4-4], [MQTT-3.10.4-5], [MQTT-3.10.4-6]
            }
            Packet::Connect(_) | Packet::OtherVersion => self.leave(broker, reply), // [MQTT-3.1.0-2]
        }
    }

    /// Says why a client is not let in, without a session, [MQTT-3.2.2-4], and closes, [MQTT-3.2.2-5]. What it has sent
    /// after its CONNECT is not looked at, [MQTT-3.1.4-5].
    fn refuse(&mut self, code: ConnectCode, broker: &mut Broker, reply: &mut Reply) {
        emit_connack(false, code, reply);
        self.leave(broker, reply);
    }

    /// Closes the connection, and leaves the session if it is still this connection's.
    fn leave(&mut self, broker: &mut Broker, reply: &mut Reply) {
        self.detach(broker);
        reply.close();
    }

    fn detach(&mut self, broker: &mut Broker) {
        if let State::Connected { client_id, .. } = std::mem::replace(&mut self.state, State::Gone)
            && broker.session(&client_id, self.number).is_some()
        {
            broker.disconnect(&client_id);
        }
    }
}

/// One and a half times the keep-alive, [MQTT-3.1.2-24]; 0 is none.
fn silence_max(keep_alive_s: u16) -> Duration {
    match keep_alive_s {
        0 => Duration::MAX,
        seconds => Duration::from_millis(u64::from(seconds) * 1_500),
    }
}

impl Service for Client {
    fn open(&mut self, reply: &mut Reply) {
        self.link.bell = reply.bell();
        reply.wake_after(CONNECT_WITHIN);
    }

    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.inbox.push(input);
        self.advance(reply);
    }

    fn end(&mut self, _: &mut Reply) {
        self.link.detach(&mut self.broker.lock());
    }

    fn drained(&mut self, reply: &mut Reply) {
        self.advance(reply);
    }

    fn woken(&mut self, reply: &mut Reply) {
        self.advance(reply);
    }

    fn timed_out(&mut self, reply: &mut Reply) {
        self.link.leave(&mut self.broker.lock(), reply);
    }
}

impl Drop for Client {
    /// A connection that broke says nothing else.
    fn drop(&mut self) {
        self.link.detach(&mut self.broker.lock());
    }
}
