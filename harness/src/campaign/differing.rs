//! Whether another server answers the same.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::case::{Case, Step};
use super::feedback;
use super::player::{Player, Reply, Trace};
use crate::protocol::{Direction, Protocol};

/// How often the answers to messages of one name may differ before only their status is compared, and before nothing is.
const STRICT_MAX: u32 = 2;
const LOOSE_MAX: u32 = 8;

/// The most names of messages of which that is counted.
const KNOWN_MAX: usize = 10_000;

/// How answers are compared.
#[derive(Clone, Debug, Default)]
pub struct Differing {
    /// The names of messages that the two answer otherwise although they are valid: of these answers only the status is compared.
    loose: HashSet<u64>,
    /// What names them.
    protocol: Option<Arc<Protocol>>,
}

impl Differing {
    /// Finds out what of these conversations the two answer otherwise, each on fresh targets, and of how many messages; `None` where
    /// the other one lets nobody in.
    pub fn of<'c>(
        player: &mut Player,
        seeds: impl Iterator<Item = &'c Case>,
        protocol: Option<Arc<Protocol>>,
    ) -> Option<(Differing, usize)> {
        let mut differing = Differing { protocol, ..Differing::default() };
        let mut count = 0;
        for case in seeds {
            player.restart(false).ok()?;
            let own = player.play(case, &mut |_, _| {});
            let other = player.elsewhere(|player| player.play(case, &mut |_, _| {}));
            let other = other.filter(|other| other.refused.is_none())?;
            for (own, other) in own.replies.iter().zip(&other.replies) {
                if !same(own, other) {
                    differing.loose.extend(differing.name(case, own));
                    count += 1;
                }
            }
        }
        Some((differing, count))
    }

    /// The name of what was answered.
    fn name(&self, case: &Case, reply: &Reply) -> Option<u64> {
        match case.steps.get(reply.step)? {
            Step::Send(message) => Some(feedback::name(&message.bytes(), self.protocol.as_deref(), Direction::Request)),
            _ => None,
        }
    }

    /// The first message that the two have answered otherwise, by its number among the answers. `known` says how often messages of
    /// a name have been: what is known is compared by its status, and what is known well not at all.
    pub fn first(&self, case: &Case, own: &Trace, other: &Trace, known: &Known) -> Option<usize> {
        own.replies.iter().zip(&other.replies).position(|(own, other)| {
            let name = self.name(case, own);
            let often = name.and_then(|name| known.0.get(&name).copied()).unwrap_or(0);
            let is_loose = often >= STRICT_MAX || name.is_some_and(|name| self.loose.contains(&name));
            match is_loose {
                _ if often >= LOOSE_MAX => false,
                true => status(&own.data) != status(&other.data) || own.end.is_some() != other.end.is_some(),
                false => !same(own, other),
            }
        })
    }
}

/// How often messages were answered otherwise, by their names.
#[derive(Clone, Debug, Default)]
pub struct Known(HashMap<u64, u32>);

impl Known {
    /// Notes that the answer to a message of a case was another one.
    pub fn note(&mut self, differing: &Differing, case: &Case, reply: &Reply) {
        if let Some(name) = differing.name(case, reply)
            && (self.0.len() < KNOWN_MAX || self.0.contains_key(&name))
        {
            *self.0.entry(name).or_default() += 1;
        }
    }
}

/// Whether two answers are the same, byte for byte.
pub(super) fn same(own: &Reply, other: &Reply) -> bool {
    own.data == other.data && own.len == other.len && own.end.is_some() == other.end.is_some()
}

/// What of an answer says how it went: its first byte, and the first words of a text as far as each has a digit, such as `250` or
/// `HTTP/1.1 404`.
fn status(data: &[u8]) -> (Option<u8>, Vec<&[u8]>) {
    let line = data.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let words = line.split(|byte| *byte == b' ');
    let is_text = line.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let coded = words.take_while(|word| is_text && word.iter().any(u8::is_ascii_digit));
    (data.first().copied(), coded.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_code_and_not_its_words() {
        assert_eq!(status(b"250 Ok\r\n"), status(b"250 fine, go on\r\n"));
        assert_eq!(status(b"HTTP/1.1 200 OK\r\nServer: a\r\n"), status(b"HTTP/1.1 200 OK\r\nServer: b\r\n"));
        assert_ne!(status(b"HTTP/1.1 200 OK\r\n"), status(b"HTTP/1.1 404 Not Found\r\n"));
        assert_ne!(status(b"+OK 7"), status(b"-ERR 7"));
        assert_eq!(status(b"-ERR what"), status(b"-unknown"));
        assert_ne!(status(b""), status(b"x"));
    }

    #[test]
    fn an_answer_is_the_same_by_its_bytes_and_its_end() {
        let reply = |data: &[u8]| Reply { data: data.to_vec(), len: data.len() as u64, ..Reply::default() };
        assert!(same(&reply(b"a"), &reply(b"a")));
        assert!(!same(&reply(b"a"), &reply(b"b")));
        let ended = Reply { end: Some(super::super::socket::End::Eof), ..reply(b"a") };
        assert!(!same(&reply(b"a"), &ended));
        // Of both only the beginning is kept.
        assert!(!same(&reply(b"a"), &Reply { len: 9_000, ..reply(b"a") }));
    }
}
