//! What all clients of a broker share: sessions by client id, and retained messages.
//!
//! What a client says, and in which order it may, is not here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::packet::{Connect, ConnectCode, Qos};
use super::session::{Link, Outgoing, Session};
use super::topic;
use super::{Limits, Message, User};
use crate::bell::Bell;

/// The longest client id: every id of up to 23 characters is taken, [MQTT-3.1.3-5].
const CLIENT_ID_LEN_MAX: usize = 256;
/// The longest filter that is subscribed to.
const FILTER_LEN_MAX: usize = 1_024;
/// Topics that only the broker publishes to.
const OWN_TOPICS: &str = "$SYS/";

/// What all clients of a broker share.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) limits: Limits,
    /// Who may come; if nobody is named, anybody.
    users: Vec<User>,
    sessions: BTreeMap<Arc<str>, Session>,
    retained: BTreeMap<Box<str>, Arc<Message>>,
    retained_len: usize,
    connections: u64,
    client_ids: u64,
}

impl Broker {
    pub(super) fn new(limits: Limits, users: Vec<User>) -> Broker {
        let mut broker = Broker {
            limits,
            users,
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            retained_len: 0,
            connections: 0,
            client_ids: 0,
        };
        let version = concat!("mqtt-broker ", env!("CARGO_PKG_VERSION"));
        let version = Message::new("$SYS/broker/version", version.as_bytes(), Qos::AtMost, true);
        broker.retained.insert(version.topic.clone(), Arc::new(version));
        broker
    }

    /// The number of a new connection.
    pub(super) fn connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    /// Lets a client in, and says its id and whether it had a session.
    pub(super) fn connect(
        &mut self,
        connect: &Connect<'_>,
        number: u64,
        bell: Bell,
    ) -> Result<(Arc<str>, bool), ConnectCode> {
        let client_id = match connect.client_id {
            "" if !connect.clean_session => return Err(ConnectCode::ClientId), // [MQTT-3.1.3-7], [MQTT-3.1.3-8]
            "" => self.make_client_id(),
            client_id if client_id.len() > CLIENT_ID_LEN_MAX => return Err(ConnectCode::ClientId), // [MQTT-3.1.3-9]
            client_id => client_id.into(),
        };
        if !self.users.is_empty() && !self.users.iter().any(|user| user.is(connect.user, connect.password)) {
            return Err(ConnectCode::NotAuthorized);
        }
        // The older connection of this client goes, [MQTT-3.1.4-2]: it finds its session in other hands.
        self.disconnect(&client_id);
        if connect.clean_session {
            self.sessions.remove(&client_id); // [MQTT-3.1.2-6]
        }
        let is_present = self.sessions.contains_key(&client_id); // [MQTT-3.1.2-4], [MQTT-3.1.4-3]
        if !is_present && self.sessions.len() >= self.limits.sessions {
            return Err(ConnectCode::Unavailable);
        }
        let session =
            self.sessions.entry(Arc::clone(&client_id)).or_insert_with(|| Session::new(connect.clean_session));
        let will = connect.will.as_ref();
        let will = will.map(|will| Arc::new(Message::new(will.topic, will.payload, will.qos, will.retain)));
        session.resume(Link { number, bell, will });
        Ok((client_id, is_present))
    }

    /// A client id that nobody has, [MQTT-3.1.3-6].
    fn make_client_id(&mut self) -> Arc<str> {
        loop {
            self.client_ids += 1;
            let client_id = format!("auto-{}", self.client_ids);
            if !self.sessions.contains_key(&*client_id) {
                return client_id.into();
            }
        }
    }

    /// The session of `client_id`, if it is still that of connection `number`.
    pub(super) fn session(&mut self, client_id: &str, number: u64) -> Option<(&mut Session, &Limits)> {
        let session = self.sessions.get_mut(client_id)?;
        let is_its = session.link.as_ref().is_some_and(|link| link.number == number);
        is_its.then_some((session, &self.limits))
    }

    /// The connection of a client is over, however that came: what it left is published, and its session ends unless it
    /// is to be kept.
    pub(super) fn disconnect(&mut self, client_id: &str) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let Some(link) = session.link.take() else { return };
        if session.clean {
            self.sessions.remove(client_id);
        }
        link.bell.ring();
        // [MQTT-3.1.2-8], [MQTT-3.1.2-12]; once, [MQTT-3.1.2-10]
        if let Some(will) = link.will {
            self.publish(will); // retained or not as it says: [MQTT-3.1.2-16], [MQTT-3.1.2-17]
        }
    }

    /// Gives a message to everybody who wants it, [MQTT-4.5.0-1], and keeps it if it is to be retained.
    pub(super) fn publish(&mut self, message: Arc<Message>) {
        if message.topic.starts_with(OWN_TOPICS) {
            return; // and it is acknowledged like any other, [MQTT-3.3.5-2]
        }
        for session in self.sessions.values_mut() {
            if let Some(granted) = session.interest(&message.topic) {
                let qos = granted.min(message.qos); // [MQTT-3.8.4-6]
                // To an established subscription it goes as not retained, [MQTT-3.3.1-9].
                session.offer(Outgoing { message: Arc::clone(&message), qos, retain: false }, &self.limits);
            }
        }
        if message.retain {
            // [MQTT-3.3.1-12]
            self.retain(message);
        }
    }

    /// Keeps the last message of a topic, [MQTT-3.3.1-5], however long sessions live, [MQTT-3.1.2-7]. Where there is no room the topic is left without one.
    fn retain(&mut self, message: Arc<Message>) {
        if let Some(old) = self.retained.remove(&message.topic) {
            self.retained_len -= old.len(); // [MQTT-3.3.1-7]
        }
        // [MQTT-3.3.1-10], [MQTT-3.3.1-11]: an empty one only removes.
        if !message.payload.is_empty()
            && self.retained.len() <= self.limits.retained // the broker's own is not counted
            && self.retained_len + message.len() <= self.limits.retained_len
        {
            self.retained_len += message.len();
            self.retained.insert(message.topic.clone(), message);
        }
    }

    /// Subscribes a client, and gives it what is retained there, whether or not it had subscribed before:
    /// [MQTT-3.3.1-6], [MQTT-3.8.4-3]. The `QoS` that is granted, or `None`.
    pub(super) fn subscribe(&mut self, client_id: &str, filter: &str, qos: Qos) -> Option<Qos> {
        let session = self.sessions.get_mut(client_id)?;
        if filter.len() > FILTER_LEN_MAX || !session.subscribe(filter, qos, &self.limits) {
            return None;
        }
        for message in self.retained.values().filter(|message| topic::matches(filter, &message.topic)) {
            let outgoing = Outgoing { message: Arc::clone(message), qos: qos.min(message.qos), retain: true };
            session.offer(outgoing, &self.limits); // [MQTT-3.3.1-8]
        }
        Some(qos)
    }
}
