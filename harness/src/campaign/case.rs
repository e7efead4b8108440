//! One case of a campaign: connections and what is said on them, as values that are mutated, stored and played.

use serde::{Deserialize, Serialize};

use crate::random::{self, fnv1a};
use crate::template::Variables;

/// The most steps of a case.
pub const STEPS_MAX: usize = 4_096;

/// The most bytes of one message.
pub const MESSAGE_LEN_MAX: usize = 4 << 20;

/// One case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// The number of no pattern: what is expected is whatever comes until the target rests, and nobody reads it.
pub const REST: u32 = u32::MAX;

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Close a connection.
    Close(u16),
    /// Wait for what a seed's author expects: the connection, and the pattern's number, or [`REST`].
    Expect(u16, u32),
    /// Open a connection of this number for this actor; for one that listens, take the next.
    Open(u16, u16),
    /// Do nothing for so many milliseconds.
    Pause(u16),
    /// Close a connection abruptly.
    Reset(u16),
    /// Send.
    Send(Message),
    /// Say that no more will be sent.
    Shut(u16),
    /// Go on with TLS, as the connection's actor does it.
    StartTls(u16),
}

/// What is sent at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// On which connection.
    pub link: u16,
    /// Its bytes.
    pub parts: Vec<Part>,
    /// Where they are cut into writes, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<u32>,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// These bytes.
    Bytes(#[serde(with = "hex")] Vec<u8>),
    /// What a variable holds when it is sent; the bytes that it had in the seed where it has none.
    Variable(String, #[serde(with = "hex")] Vec<u8>),
}

impl Message {
    /// A message of bytes.
    pub fn new(link: u16, bytes: Vec<u8>) -> Message {
        Message { link, parts: vec![Part::Bytes(bytes)], cuts: Vec::new() }
    }

    /// Its bytes with what variables held in the seed.
    pub fn bytes(&self) -> Vec<u8> {
        self.fill(&Variables::new())
    }

    /// Its bytes with what variables hold now.
    pub fn fill(&self, variables: &Variables) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.len());
        for part in &self.parts {
            whole.extend_from_slice(match part {
                Part::Bytes(bytes) => bytes,
                Part::Variable(name, seed) => variables.get(name.as_str()).map_or(seed, |value| value),
            });
        }
        whole
    }

    /// How many bytes it has, roughly where there are variables.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.bytes().len()).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The writes that it is sent in.
    pub fn writes<'b>(&self, bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let mut writes = Vec::with_capacity(self.cuts.len() + 1);
        let mut from = 0;
        for cut in &self.cuts {
            let cut = *cut as usize;
            if cut > from && cut < bytes.len() {
                writes.push(&bytes[from..cut]);
                from = cut;
            }
        }
        writes.push(&bytes[from..]);
        writes
    }
}

impl Part {
    /// Its bytes, as they were in the seed.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Part::Bytes(bytes) | Part::Variable(_, bytes) => bytes,
        }
    }
}

impl Step {
    /// The connection that it is about.
    pub fn link(&self) -> Option<u16> {
        match self {
            Step::Close(link)
            | Step::Expect(link, _)
            | Step::Open(link, _)
            | Step::Reset(link)
            | Step::Shut(link)
            | Step::StartTls(link)
            | Step::Send(Message { link, .. }) => Some(*link),
            Step::Pause(_) => None,
        }
    }

    fn link_mut(&mut self) -> Option<&mut u16> {
        match self {
            Step::Close(link)
            | Step::Expect(link, _)
            | Step::Open(link, _)
            | Step::Reset(link)
            | Step::Shut(link)
            | Step::StartTls(link)
            | Step::Send(Message { link, .. }) => Some(link),
            Step::Pause(_) => None,
        }
    }
}

impl Case {
    /// The messages, with the numbers of their steps.
    pub fn messages(&self) -> impl Iterator<Item = (usize, &Message)> {
        self.steps.iter().enumerate().filter_map(|(at, step)| match step {
            Step::Send(message) => Some((at, message)),
            _ => None,
        })
    }

    /// The numbers of the steps that send.
    pub fn sends(&self) -> Vec<usize> {
        self.messages().map(|(at, _)| at).collect()
    }

    /// The message of a step that sends.
    pub fn message_mut(&mut self, step: usize) -> Option<&mut Message> {
        match self.steps.get_mut(step) {
            Some(Step::Send(message)) => Some(message),
            _ => None,
        }
    }

    /// How many bytes are sent.
    pub fn bytes(&self) -> usize {
        self.messages().map(|(_, message)| message.len()).sum()
    }

    /// How many connections are opened.
    pub fn connections(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Open(..))).count()
    }

    /// One more than the highest number of a connection.
    pub fn next_link(&self) -> u16 {
        self.steps.iter().filter_map(Step::link).max().map_or(0, |link| link.saturating_add(1))
    }

    /// Adds another case's steps at the end, on connections of their own.
    pub fn append(&mut self, other: &Case) {
        let base = self.next_link();
        for step in &other.steps {
            let mut step = step.clone();
            if let Some(link) = step.link_mut() {
                *link = link.saturating_add(base);
            }
            self.steps.push(step);
        }
    }

    /// The case up to and with the message of this step, and what is expected right behind it.
    pub fn until(&self, step: usize) -> Case {
        let behind = self.steps[step + 1..].iter();
        let expected = behind.take_while(|then| matches!(then, Step::Expect(..))).count();
        Case { steps: self.steps[..=step + expected].to_vec() }
    }

    /// What is done on one of its connections.
    pub fn only(&self, link: u16) -> Case {
        let is_there = |step: &&Step| step.link().is_none_or(|other| other == link);
        Case { steps: self.steps.iter().filter(is_there).cloned().collect() }
    }

    /// Takes out what has no effect: steps on connections that are not open, and TLS where it has begun.
    pub fn tidy(&mut self) {
        // Of each open connection, whether TLS has begun on it.
        let mut open = std::collections::HashMap::new();
        self.steps.truncate(STEPS_MAX);
        self.steps.retain(|step| match step {
            Step::Open(link, _) => !open.contains_key(link) && open.insert(*link, false).is_none(),
            Step::Close(link) | Step::Reset(link) => open.remove(link).is_some(),
            Step::Pause(_) => true,
            Step::StartTls(link) => open.get_mut(link).is_some_and(|begun| !std::mem::replace(begun, true)),
            step => step.link().is_some_and(|link| open.contains_key(&link)),
        });
    }

    /// A number for what it does.
    pub fn hash(&self) -> u64 {
        let mut hash = 0;
        for step in &self.steps {
            match step {
                Step::Close(link) => hash = mix(hash, &[1, u64::from(*link)]),
                Step::Expect(link, pattern) => hash = mix(hash, &[2, u64::from(*link), u64::from(*pattern)]),
                Step::Open(link, actor) => hash = mix(hash, &[3, u64::from(*link), u64::from(*actor)]),
                Step::Pause(milliseconds) => hash = mix(hash, &[4, u64::from(*milliseconds)]),
                Step::Reset(link) => hash = mix(hash, &[5, u64::from(*link)]),
                Step::Shut(link) => hash = mix(hash, &[6, u64::from(*link)]),
                Step::StartTls(link) => hash = mix(hash, &[8, u64::from(*link)]),
                Step::Send(message) => {
                    hash = mix(hash, &[7, u64::from(message.link)]);
                    for part in &message.parts {
                        let name = match part {
                            Part::Bytes(_) => 0,
                            Part::Variable(name, _) => fnv1a(name.as_bytes()),
                        };
                        let (words, rest) = part.bytes().as_chunks::<8>();
                        hash =
                            words.iter().fold(mix(hash, &[name]), |hash, word| mix(hash, &[u64::from_le_bytes(*word)]));
                        hash = mix(hash, &[fnv1a(rest), part.bytes().len() as u64]);
                    }
                    hash = message.cuts.iter().fold(hash, |hash, cut| mix(hash, &[u64::from(*cut)]));
                }
            }
        }
        hash
    }
}

/// Takes numbers into a hash.
fn mix(hash: u64, values: &[u64]) -> u64 {
    values.iter().copied().fold(hash, random::mix)
}

/// Bytes as hexadecimal digits.
mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
        to.serialize_str(&bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        crate::text::parse_hex(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> Case {
        Case { steps: vec![Step::Open(0, 0), Step::Send(Message::new(0, b"hello".to_vec())), Step::Close(0)] }
    }

    #[test]
    fn a_case_survives_its_file() {
        let mut whole = case();
        whole.message_mut(1).expect("it sends").parts.push(Part::Variable("id".into(), vec![0, 255]));
        let text = serde_json::to_string(&whole).expect("plain data");
        assert_eq!(serde_json::from_str::<Case>(&text).expect("the same"), whole);
    }

    #[test]
    fn cuts_beyond_the_end_are_none() {
        let message = Message { cuts: vec![0, 2, 2, 9], ..Message::new(0, b"hello".to_vec()) };
        assert_eq!(message.writes(b"hello"), [&b"he"[..], b"llo"]);
        assert_eq!(message.writes(b""), [b""]);
    }

    #[test]
    fn another_case_brings_its_own_connections() {
        let mut whole = case();
        whole.append(&case());
        assert_eq!(whole.connections(), 2);
        assert_eq!(whole.steps[4].link(), Some(1));
    }

    #[test]
    fn steps_without_a_connection_are_taken_out() {
        let mut whole = case();
        whole.steps.push(Step::Send(Message::new(0, vec![1])));
        whole.steps.remove(0);
        whole.tidy();
        assert!(whole.steps.is_empty());
    }

    #[test]
    fn a_case_ends_with_any_of_its_messages() {
        let say = |link| Step::Send(Message::new(link, b"x".to_vec()));
        let steps = vec![
            Step::Open(0, 0),
            Step::Open(1, 0),
            say(0),
            Step::Expect(0, 0),
            Step::Open(2, 0),
            say(2),
            Step::Reset(0),
            say(1),
        ];
        let case = Case { steps };
        assert_eq!(case.until(2).steps, case.steps[..4]);
        assert_eq!(case.until(5).only(2).steps, [Step::Open(2, 0), say(2)]);
        assert_eq!(case.until(7), case);
    }

    #[test]
    fn tls_begins_once_on_a_connection() {
        let mut whole = case();
        whole.steps.splice(1..1, [Step::StartTls(0), Step::StartTls(0)]);
        whole.tidy();
        assert_eq!(whole.steps.iter().filter(|step| **step == Step::StartTls(0)).count(), 1);
    }
}
