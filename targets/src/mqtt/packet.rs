//! Control packets as bytes: what a client sends is parsed, what a server sends is emitted.
//!
//! What a packet leads to is not here. Every reason for which a packet alone is wrong is: the connection then closes,
//! [MQTT-4.8.0-1].

use super::topic;
use crate::service::Reply;

/// The longest remaining length that four bytes can say.
const REMAINING_MAX: usize = 268_435_455;

/// A client's name for a packet that is on its way; never 0, [MQTT-2.3.1-1].
pub(super) type Id = u16;

/// How surely a message is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Qos {
    AtMost,
    AtLeast,
    Exactly,
}

impl Qos {
    fn parse(bits: u8) -> Result<Qos, Malformed> {
        match bits {
            0 => Ok(Qos::AtMost),
            1 => Ok(Qos::AtLeast),
            2 => Ok(Qos::Exactly),
            _ => Err(Malformed::Qos),
        }
    }
}

/// What a client sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Connect(Connect<'a>),
    Disconnect,
    /// A CONNECT of another version of the protocol.
    OtherVersion,
    Ping,
    PubAck(Id),
    PubComp(Id),
    PubRec(Id),
    PubRel(Id),
    Publish {
        topic: &'a str,
        payload: &'a [u8],
        retain: bool,
        delivery: Delivery,
    },
    Subscribe {
        id: Id,
        filters: Vec<(&'a str, Qos)>,
    },
    Unsubscribe {
        id: Id,
        filters: Vec<&'a str>,
    },
}

/// How a message is delivered, and under which id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    AtMost,
    AtLeast(Id),
    Exactly(Id),
}

impl Delivery {
    pub(super) const fn qos(self) -> Qos {
        match self {
            Delivery::AtMost => Qos::AtMost,
            Delivery::AtLeast(_) => Qos::AtLeast,
            Delivery::Exactly(_) => Qos::Exactly,
        }
    }
}

/// How a client introduces itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Connect<'a> {
    pub(super) clean_session: bool,
    pub(super) keep_alive_s: u16,
    pub(super) client_id: &'a str,
    pub(super) will: Option<Will<'a>>,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a [u8]>,
}

/// What is published when a client goes without a word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Will<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) qos: Qos,
    pub(super) retain: bool,
}

/// Why bytes are no packet that a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// It ends inside a field.
    Cut,
    /// A flag is not as the packet demands it: [MQTT-2.2.2-1], [MQTT-2.2.2-2].
    Flags,
    /// The topic's filter is none: [MQTT-4.7.1-2], [MQTT-4.7.1-3], [MQTT-4.7.3-1].
    Filter,
    /// A packet identifier is 0: [MQTT-2.3.1-1].
    Id,
    /// No client sends this kind of packet.
    Kind,
    /// The topic's name is none: [MQTT-3.3.2-2], [MQTT-4.7.3-1].
    Name,
    /// It has no filter: [MQTT-3.8.3-3], [MQTT-3.10.3-2].
    NoFilter,
    /// It speaks another protocol: [MQTT-3.1.2-1].
    Protocol,
    /// The quality of service is 3: [MQTT-3.1.2-14], [MQTT-3.3.1-4], [MQTT-3-8.3-4].
    Qos,
    /// The remaining length takes more than four bytes.
    RemainingLen,
    /// More follows than the packet has fields.
    Surplus,
    /// A text is no UTF-8, or has a U+0000: [MQTT-1.5.3-1], [MQTT-1.5.3-2].
    Text,
    /// It is longer than the server takes.
    TooLong,
}

/// Cuts a packet from the front of `input`, and says how long it was. `None` while it has not all arrived.
pub(super) fn parse(input: &[u8], len_max: usize) -> Result<Option<(Packet<'_>, usize)>, Malformed> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    let (kind, flags) = (first >> 4, first & 0x0f);
    match kind {
        0x3 => (),
        // [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1]
        0x6 | 0x8 | 0xa if flags != 0x2 => return Err(Malformed::Flags),
        0x6 | 0x8 | 0xa => (),
        0x1 | 0x4 | 0x5 | 0x7 | 0xc | 0xe if flags != 0 => return Err(Malformed::Flags), // [MQTT-3.14.1-1]
        0x1 | 0x4 | 0x5 | 0x7 | 0xc | 0xe => (),
        _ => return Err(Malformed::Kind),
    }
    let Some((remaining, prefix_len)) = remaining_len(rest)? else { return Ok(None) };
    let start = 1 + prefix_len;
    let len = start + remaining;
    if len > len_max {
        return Err(Malformed::TooLong);
    }
    let Some(body) = input.get(start..len) else { return Ok(None) };
    let mut fields = Fields(body);
    let packet = match kind {
        0x1 => connect(&mut fields)?,
        0x3 => publish(flags, &mut fields)?,
        0x4 => Packet::PubAck(fields.id()?),
        0x5 => Packet::PubRec(fields.id()?),
        0x6 => Packet::PubRel(fields.id()?),
        0x7 => Packet::PubComp(fields.id()?),
        0x8 => Packet::Subscribe {
            id: fields.id()?,
            filters: fields.all(|fields| {
                let filter = fields.filter()?;
                Ok((filter, Qos::parse(fields.u8()?)?)) // the reserved bits, too, make it larger than 2
            })?,
        },
        0xa => Packet::Unsubscribe { id: fields.id()?, filters: fields.all(Fields::filter)? },
        0xc => Packet::Ping,
        _ => Packet::Disconnect,
    };
    if packet != Packet::OtherVersion && !fields.0.is_empty() {
        return Err(Malformed::Surplus);
    }
    Ok(Some((packet, len)))
}

/// The remaining length and how many bytes say it: section 2.2.3.
fn remaining_len(input: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut value = 0;
    for (at, byte) in input.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if input.len() < 4 { Ok(None) } else { Err(Malformed::RemainingLen) }
}

fn connect<'a>(fields: &mut Fields<'a>) -> Result<Packet<'a>, Malformed> {
    // Version 3.1 calls itself otherwise, and is answered like every other version.
    if !matches!(fields.bytes()?, b"MQTT" | b"MQIsdp") {
        return Err(Malformed::Protocol);
    }
    if fields.u8()? != 4 {
        return Ok(Packet::OtherVersion);
    }
    let flags = fields.u8()?;
    let flag = |bit: u8| flags & 1 << bit != 0;
    let (has_user, has_password, has_will) = (flag(7), flag(6), flag(2));
    // [MQTT-3.1.2-3], [MQTT-3.1.2-22]; [MQTT-3.1.2-11], [MQTT-3.1.2-13] and [MQTT-3.1.2-15]
    if flag(0) || has_password && !has_user || !has_will && flags & 0b0011_1000 != 0 {
        return Err(Malformed::Flags);
    }
    let keep_alive_s = fields.u16()?;
    // In this order, [MQTT-3.1.3-1], and only what the flags say: [MQTT-3.1.2-18].
    let client_id = fields.text()?;
    let will = match has_will {
        true => Some(Will {
            topic: fields.name()?,
            payload: fields.bytes()?,
            qos: Qos::parse(flags >> 3 & 0x3)?,
            retain: flag(5),
        }),
        false => None,
    };
    let user = if has_user { Some(fields.text()?) } else { None };
    let password = if has_password { Some(fields.bytes()?) } else { None };
    Ok(Packet::Connect(Connect { clean_session: flag(1), keep_alive_s, client_id, will, user, password }))
}

fn publish<'a>(flags: u8, fields: &mut Fields<'a>) -> Result<Packet<'a>, Malformed> {
    let qos = Qos::parse(flags >> 1 & 0x3)?;
    let topic = fields.name()?;
    let delivery = match qos {
        Qos::AtMost if flags & 0x8 != 0 => return Err(Malformed::Flags), // [MQTT-3.3.1-2]
        Qos::AtMost => Delivery::AtMost,
        Qos::AtLeast => Delivery::AtLeast(fields.id()?),
        Qos::Exactly => Delivery::Exactly(fields.id()?),
    };
    let payload = std::mem::take(&mut fields.0);
    Ok(Packet::Publish { topic, payload, retain: flags & 0x1 != 0, delivery })
}

/// The fields of a packet that are still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed::Cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn id(&mut self) -> Result<Id, Malformed> {
        Ok(match self.u16()? {
            0 => return Err(Malformed::Id),
            id => id,
        })
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u16()?;
        self.take(len.into())
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        // A U+FEFF stays where it is, [MQTT-1.5.3-3].
        let text = str::from_utf8(self.bytes()?).map_err(|_| Malformed::Text)?;
        if text.contains('\0') { Err(Malformed::Text) } else { Ok(text) }
    }

    fn name(&mut self) -> Result<&'a str, Malformed> {
        let name = self.text()?;
        if topic::is_name(name) { Ok(name) } else { Err(Malformed::Name) }
    }

    fn filter(&mut self) -> Result<&'a str, Malformed> {
        let filter = self.text()?;
        if topic::is_filter(filter) { Ok(filter) } else { Err(Malformed::Filter) }
    }

    /// One or more until the packet's end.
    fn all<T>(&mut self, one: impl Fn(&mut Fields<'a>) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            all.push(one(self)?);
        }
        if all.is_empty() { Err(Malformed::NoFilter) } else { Ok(all) }
    }
}

/// A packet that says no more than an id.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Ack {
    Published = 0x40,
    Received = 0x50,
    Release = 0x62, // [MQTT-3.6.1-1]
    Complete = 0x70,
    Unsubscribed = 0xb0,
}

pub(super) fn emit_ack(ack: Ack, id: Id, reply: &mut Reply) {
    let id = id.to_be_bytes();
    reply.send(&[ack as u8, 2, id[0], id[1]]);
}

/// How a CONNECT is answered; the codes are those of table 3.1.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum ConnectCode {
    Accepted = 0x00,
    OtherVersion = 0x01,
    ClientId = 0x02,
    Unavailable = 0x03,
    NotAuthorized = 0x05,
}

pub(super) fn emit_connack(session_present: bool, code: ConnectCode, reply: &mut Reply) {
    reply.send(&[0x20, 2, session_present.into(), code as u8]);
}

pub(super) fn emit_pong(reply: &mut Reply) {
    reply.send(&[0xd0, 0]);
}

/// Grants a `QoS` to each filter of a SUBSCRIBE, in their order; `None` refuses it.
pub(super) fn emit_suback(id: Id, granted: &[Option<Qos>], reply: &mut Reply) {
    emit_header(0x90, 2 + granted.len(), reply);
    reply.send(&id.to_be_bytes());
    // No other codes, [MQTT-3.9.3-2].
    let codes: Vec<_> = granted.iter().map(|qos| qos.map_or(0x80, |qos| qos as u8)).collect();
    reply.send(&codes);
}

pub(super) fn emit_publish(
    topic: &str,
    payload: &[u8],
    retain: bool,
    repeated: bool,
    delivery: Delivery,
    reply: &mut Reply,
) {
    let first = 0x30 | u8::from(repeated) << 3 | (delivery.qos() as u8) << 1 | u8::from(retain);
    let id = match delivery {
        Delivery::AtMost => None,
        Delivery::AtLeast(id) | Delivery::Exactly(id) => Some(id.to_be_bytes()),
    };
    let id = id.as_ref().map_or(&[][..], |id| id);
    emit_header(first, 2 + topic.len() + id.len() + payload.len(), reply);
    let topic_len = u16::try_from(topic.len()).expect("it came in a field of that length");
    for part in [&topic_len.to_be_bytes(), topic.as_bytes(), id, payload] {
        reply.send(part);
    }
}

fn emit_header(first: u8, remaining: usize, reply: &mut Reply) {
    debug_assert!(remaining <= REMAINING_MAX);
    let mut header = [first, 0, 0, 0, 0];
    let (mut rest, mut len) = (remaining, 1);
    loop {
        header[len] = (rest & 0x7f) as u8 | if rest > 0x7f { 0x80 } else { 0 };
        (rest, len) = (rest >> 7, len + 1);
        if rest == 0 {
            return reply.send(&header[..len]);
        }
    }
}

#[cfg(test)]
mod tests;
