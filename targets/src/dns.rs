//! `dns`: an authoritative server of one small zone, over UDP and TCP (RFC 1034, RFC 1035).
//!
//! # The zone
//!
//! | name in `example.test` | records |
//! | --- | --- |
//! | the zone itself | SOA, two NS, two MX, TXT, A 192.0.2.1, AAAA `2001:db8::1` |
//! | `ns1`, `ns2`, `mail`, `mail2` | A 192.0.2.53, .54, .25, .26 |
//! | `www`, `alias` | CNAME to the zone's own name; CNAME to `www` |
//! | `away`, `loop` | CNAME to another zone; CNAME to itself |
//! | `text` | TXT with two strings, one with a quote in it |
//! | `_sip._tcp` | SRV |
//! | `many` | 40 A, more than 512 bytes hold |
//! | `N.long` | TXT with so many bytes, from 0 to 60 000 |
//! | `*.wild` | A 192.0.2.99, for any name there (RFC 4592) |
//! | `child` | is delegated to `ns.child`, 192.0.2.60: the answer is a referral |
//!
//! # The wire
//!
//! - Over UDP a datagram is a message (RFC 1035, 4.2.1); over TCP its length stands in front, and queries may be sent without
//!   waiting (4.2.2; RFC 7766, 6.2.1.1). A datagram that is no query (shorter than a header, or itself an answer) gets no answer;
//!   on TCP the connection closes.
//! - What is longer than 512 bytes, or than EDNS allows (RFC 6891; at most the setting `udp`), is sent with TC over UDP, and with
//!   no record in it (RFC 2181, 9): the client asks again over TCP. Additional records are left out without TC.
//! - Names are compared without case and given back in the case of the question (RFC 4343). Pointers in a question go backwards
//!   only. Names are compressed where RFC 1035 has them (4.1.4), so not in SRV (RFC 2782).
//! - A name that is there without records of the type gets none and the SOA (RFC 2308, 2.2); `_tcp` is such a name too
//!   (RFC 8020). ANY gets all records.
//!
//! | code | when |
//! | --- | --- |
//! | FORMERR | the message does not hold what its header says, it has not one question, or two OPT |
//! | SERVFAIL | the answer is longer than a frame |
//! | NXDOMAIN | there is no such name; with the SOA |
//! | NOTIMP | it is no standard query |
//! | REFUSED | the name is in another zone, the class is not IN, or the type is AXFR, IXFR or another that is no record's |
//! | BADVERS | a version of EDNS above 0 |

mod message;
mod name;
mod zone;

use std::sync::Arc;

use message::{Query, Writer};
use zone::{Found, Zone};

use crate::inbox::Inbox;
use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{Setting, SettingError, Setup};

/// What every datagram may have (RFC 1035, section 4.2.1).
const UDP_LEN_MIN: usize = 512;
/// The longest message over TCP.
const MESSAGE_LEN_MAX: usize = u16::MAX as usize;

/// The settings of `dns`.
pub(crate) const SETTINGS: &[Setting] = &[Setting {
    name: "udp",
    default: "1_232",
    about: "the longest answer over UDP to a client that allows it (EDNS)",
}];

/// What stands in the last bits of an answer's flags (RFC 1035, section 4.1.1), and in those of EDNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    BadVers = 16,
}

/// Answers one message with at most so many bytes, or not at all.
fn answer(zone: &Zone, message: &[u8], udp_len_max: Option<usize>, len_max: usize) -> Option<Vec<u8>> {
    let query = Query::parse(message)?;
    let len_max = match udp_len_max {
        Some(max) => query.edns.map_or(UDP_LEN_MIN, |edns| edns.udp_len.into()).clamp(UDP_LEN_MIN, max),
        None => len_max,
    };
    let found = match (&query.question, query.code) {
        (Some(question), Code::NoError) => zone.find(question),
        (_, code) => Found { code, ..Found::default() },
    };
    let whole = Writer::answer(&query, &found, true);
    if whole.len() <= len_max {
        return Some(whole);
    }
    let without_additional = Writer::answer(&query, &Found { additional: Vec::new(), ..found.clone() }, true);
    if without_additional.len() <= len_max {
        return Some(without_additional);
    }
    let empty = Found { is_authoritative: found.is_authoritative, ..Found::default() };
    Some(match udp_len_max {
        Some(_) => Writer::answer(&query, &empty, false),
        None => Writer::answer(&query, &Found { code: Code::ServFail, ..empty }, true),
    })
}

/// A server of datagrams: each is a message.
struct Datagram {
    zone: Arc<Zone>,
    udp_len_max: usize,
}

impl Service for Datagram {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        if let Some(answer) = answer(&self.zone, input, Some(self.udp_len_max), MESSAGE_LEN_MAX) {
            reply.send(&answer);
        }
    }
}

/// A connection: each message has its length in front.
struct Stream {
    inbox: Inbox,
    zone: Arc<Zone>,
    message_len_max: usize,
}

impl Service for Stream {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.inbox.push(input);
        self.drained(reply);
    }

    fn drained(&mut self, reply: &mut Reply) {
        while !reply.is_full() && !reply.closing {
            let Some((len, rest)) = self.inbox.rest().split_first_chunk() else { break };
            let len = usize::from(u16::from_be_bytes(*len));
            let Some(message) = rest.get(..len) else { break };
            match answer(&self.zone, message, None, self.message_len_max) {
                Some(answer) => {
                    reply.send(&(answer.len() as u16).to_be_bytes()); // it is at most MESSAGE_LEN_MAX
                    reply.send(&answer);
                }
                None => reply.close(),
            }
            self.inbox.consume(2 + len);
        }
        self.inbox.compact();
    }
}

struct Dns {
    zone: Arc<Zone>,
    udp_len_max: usize,
    message_len_max: usize,
}

impl Server for Dns {
    fn accept(&self, peer: &Peer) -> Box<dyn Service> {
        let zone = Arc::clone(&self.zone);
        match peer.transport.is_datagram() {
            true => Box::new(Datagram { zone, udp_len_max: self.udp_len_max }),
            false => Box::new(Stream { inbox: Inbox::default(), zone, message_len_max: self.message_len_max }),
        }
    }
}

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let udp_len_max = setup.settings.number("udp")?.clamp(UDP_LEN_MIN, MESSAGE_LEN_MAX);
    // An answer that says no more than what was asked fits into any datagram, so into any frame worth the name.
    let message_len_max = setup.frame_len_max.clamp(UDP_LEN_MIN, MESSAGE_LEN_MAX);
    Ok(Arc::new(Dns { zone: Arc::new(Zone::example()), udp_len_max, message_len_max }))
}

#[cfg(test)]
mod tests;
