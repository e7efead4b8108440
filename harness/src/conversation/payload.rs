//! What is sent: payloads, and how they become writes.

use std::sync::Arc;

use bytes::Bytes;

use super::message::Giving;
use super::script::Split;
use crate::framing::Framing;
use crate::random::Random;
use crate::template::{Template, Unset, Variables};
use crate::text::{parse_base64, parse_hex};

/// The longest payload, in bytes.
pub const PAYLOAD_LEN_MAX: u64 = 256 << 20;

/// What is sent.
#[derive(Clone, Debug)]
pub enum Payload {
    /// Base64 with variables in it.
    Base64(Template),
    /// Bytes that are known.
    Bytes(Bytes),
    /// One after the other.
    Concat(Vec<Payload>),
    /// A number that is another one in each round of the `repeat` around it.
    Counted(Counted),
    /// With the actor's framing around it.
    Framed(Box<Payload>),
    /// Hexadecimal with variables in it.
    Hex(Template),
    /// A message of a protocol.
    Message(Box<Giving>),
    /// So many random bytes.
    Random(Number),
    /// Without the framing.
    Raw(Box<Payload>),
    /// The same again and again.
    Repeat(Number, Box<Payload>),
    /// Text with variables in it.
    Text(Template),
}

/// A number that grows from round to round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// How it lies in bytes.
    pub how: How,
    /// What it is in the first round.
    pub from: u64,
    /// How much more it is in each of the next.
    pub by: u64,
}

/// How a number that is counted lies in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// In so many bytes, the most significant first.
    Big(usize),
    /// As decimal digits.
    Decimal,
    /// In so many bytes, the least significant first.
    Little(usize),
}

/// The ways in which a number can be counted, by name.
pub const COUNTED: &[(&str, How)] = &[
    ("decimal", How::Decimal),
    ("u8", How::Big(1)),
    ("u16be", How::Big(2)),
    ("u16le", How::Little(2)),
    ("u32be", How::Big(4)),
    ("u32le", How::Little(4)),
    ("u64be", How::Big(8)),
    ("u64le", How::Little(8)),
];

impl Counted {
    /// Its bytes in a round; what does not fit is cut.
    pub fn bytes(&self, round: u64) -> Vec<u8> {
        let value = self.from.wrapping_add(self.by.wrapping_mul(round));
        match self.how {
            How::Big(width) => value.to_be_bytes()[8 - width..].to_vec(),
            How::Decimal => value.to_string().into(),
            How::Little(width) => value.to_le_bytes()[..width].to_vec(),
        }
    }
}

/// A number, which a variable may hold.
#[derive(Clone, Debug)]
pub enum Number {
    /// As written.
    Literal(u64),
    /// Digits with variables.
    Text(Template),
}

/// Why a payload cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// A variable's value is not what is wanted in its place.
    Invalid(String),
    /// It is longer than [`PAYLOAD_LEN_MAX`].
    TooLong,
    /// A variable has no value yet.
    Unset(Arc<str>),
}

impl From<Unset> for PayloadError {
    fn from(Unset(name): Unset) -> PayloadError {
        PayloadError::Unset(name)
    }
}

impl std::fmt::Display for PayloadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PayloadError::Invalid(why) => f.write_str(why),
            PayloadError::TooLong => write!(f, "a payload has at most {PAYLOAD_LEN_MAX} bytes"),
            PayloadError::Unset(name) => write!(f, "the variable `{name}` has no value yet"),
        }
    }
}

impl std::error::Error for PayloadError {}

impl Number {
    /// Its value.
    pub fn fill(&self, variables: &Variables) -> Result<u64, PayloadError> {
        match self {
            Number::Literal(number) => Ok(*number),
            Number::Text(template) => {
                let text = template.fill_text(variables)?;
                crate::document::parse_size(&text)
                    .ok_or_else(|| PayloadError::Invalid(format!("expected a number, got `{text}`")))
            }
        }
    }

    /// The variables that it needs.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        match self {
            Number::Literal(_) => None,
            Number::Text(template) => Some(template.variables()),
        }
        .into_iter()
        .flatten()
    }
}

impl Payload {
    /// The bytes of one message, without framing but for what is `framed` inside of it.
    pub fn fill(
        &self,
        variables: &Variables,
        random: &mut Random,
        framing: Option<&dyn Framing>,
    ) -> Result<Bytes, PayloadError> {
        self.fill_round(0, variables, random, framing)
    }

    /// The same in a round of the `repeat` around it.
    fn fill_round(
        &self,
        round: u64,
        variables: &Variables,
        random: &mut Random,
        framing: Option<&dyn Framing>,
    ) -> Result<Bytes, PayloadError> {
        Ok(match self {
            Payload::Base64(template) => {
                let text = template.fill_text(variables)?;
                parse_base64(text.as_bytes()).map_err(PayloadError::Invalid)?.into()
            }
            Payload::Bytes(bytes) => bytes.clone(),
            Payload::Concat(parts) => {
                let mut whole = Vec::new();
                for part in parts {
                    whole.extend_from_slice(&part.fill_part(round, variables, random, framing)?);
                    check_len(whole.len() as u64)?;
                }
                whole.into()
            }
            Payload::Counted(counted) => counted.bytes(round).into(),
            Payload::Framed(inner) => inner.fill_round(round, variables, random, framing)?,
            Payload::Raw(inner) => inner.fill_part(round, variables, random, framing)?,
            Payload::Hex(template) => parse_hex(&template.fill_text(variables)?).map_err(PayloadError::Invalid)?.into(),
            Payload::Message(giving) => giving.fill(variables, random)?,
            Payload::Random(len) => {
                let mut bytes = vec![0; check_len(len.fill(variables)?)?];
                random.fill(&mut bytes);
                bytes.into()
            }
            Payload::Repeat(times, inner) if inner.is_counted() => {
                let mut whole = Vec::new();
                for round in 0..times.fill(variables)? {
                    whole.extend_from_slice(&inner.fill_part(round, variables, random, framing)?);
                    check_len(whole.len() as u64)?;
                }
                whole.into()
            }
            Payload::Repeat(times, inner) => {
                let inner = inner.fill_part(round, variables, random, framing)?;
                let times = times.fill(variables)?;
                check_len(times.saturating_mul(inner.len() as u64))?;
                if inner.is_empty() { inner } else { inner.repeat(times as usize).into() }
            }
            Payload::Text(template) => template.fill(variables)?,
        })
    }

    /// The bytes of a part of a message.
    fn fill_part(
        &self,
        round: u64,
        variables: &Variables,
        random: &mut Random,
        framing: Option<&dyn Framing>,
    ) -> Result<Bytes, PayloadError> {
        let body = self.fill_round(round, variables, random, framing)?;
        match self {
            Payload::Framed(_) => self.frame(body, framing),
            _ => Ok(body),
        }
    }

    /// Whether something in it is another in each round of the `repeat` around it.
    fn is_counted(&self) -> bool {
        match self {
            Payload::Concat(parts) => parts.iter().any(Payload::is_counted),
            Payload::Counted(_) => true,
            Payload::Framed(inner) | Payload::Raw(inner) => inner.is_counted(),
            // What one inside counts are its own rounds.
            _ => false,
        }
    }

    /// The bytes of one message as they go on the wire.
    pub fn frame(&self, body: Bytes, framing: Option<&dyn Framing>) -> Result<Bytes, PayloadError> {
        match (self, framing) {
            (Payload::Raw(_), _) | (_, None) => Ok(body),
            (_, Some(framing)) => {
                let mut framed = Vec::with_capacity(body.len() + 16);
                framing.encode(&body, &mut framed).map_err(|error| PayloadError::Invalid(error.to_string()))?;
                Ok(framed.into())
            }
        }
    }

    /// Tells `visit` the variables that it needs.
    pub fn variables(&self, visit: &mut dyn FnMut(&str)) {
        match self {
            Payload::Base64(template) | Payload::Hex(template) | Payload::Text(template) => {
                template.variables().for_each(visit);
            }
            Payload::Bytes(_) | Payload::Counted(_) => {}
            Payload::Concat(parts) => parts.iter().for_each(|part| part.variables(visit)),
            Payload::Framed(inner) | Payload::Raw(inner) => inner.variables(visit),
            Payload::Message(giving) => giving.variables(visit),
            Payload::Random(len) => len.variables().for_each(visit),
            Payload::Repeat(times, inner) => {
                times.variables().for_each(&mut *visit);
                inner.variables(visit);
            }
        }
    }
}

fn check_len(len: u64) -> Result<usize, PayloadError> {
    if len > PAYLOAD_LEN_MAX { Err(PayloadError::TooLong) } else { Ok(len as usize) }
}

/// The most pieces that a random split makes.
pub const PIECES_MAX: usize = 100_000;

/// Cuts one message into writes, one at a time.
#[derive(Debug)]
pub struct Cutter {
    rest: Bytes,
    sizes: Sizes,
    /// An empty datagram is a write, too.
    empty: bool,
}

#[derive(Debug)]
enum Sizes {
    All(usize),
    List(std::collections::VecDeque<usize>),
}

impl Cutter {
    /// Cuts `data` as `split` says; a whole one in pieces of at most `pace` bytes.
    pub fn new(data: Bytes, split: &Split, pace: Option<usize>, random: &mut Random) -> Cutter {
        let sizes = match split {
            Split::EveryByte => Sizes::All(1),
            Split::Random(pieces) => {
                // Every cut lies between two bytes, and no two are the same.
                let mut cuts = std::collections::BTreeSet::new();
                let wanted = pieces.saturating_sub(1).min(data.len().saturating_sub(1)).min(PIECES_MAX);
                while cuts.len() < wanted {
                    cuts.insert(1 + random.below(data.len() as u64 - 1) as usize);
                }
                let mut start = 0;
                Sizes::List(cuts.into_iter().map(|cut| cut - std::mem::replace(&mut start, cut)).collect())
            }
            Split::Sizes(sizes) => Sizes::List(sizes.iter().copied().collect()),
            Split::Whole => Sizes::All(pace.unwrap_or(usize::MAX)),
        };
        Cutter { empty: data.is_empty(), rest: data, sizes }
    }
}

impl Iterator for Cutter {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            return std::mem::take(&mut self.empty).then(Bytes::new);
        }
        let size = match &mut self.sizes {
            Sizes::All(size) => *size,
            Sizes::List(sizes) => sizes.pop_front().unwrap_or(usize::MAX),
        };
        Some(self.rest.split_to(size.clamp(1, self.rest.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(how: &Split, expected: &[&str]) {
        let cutter = Cutter::new(Bytes::from("hello"), how, None, &mut Random::new(1, "x"));
        assert_eq!(cutter.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_write_is_cut_as_the_step_says() {
        check(&Split::Whole, &["hello"]);
        check(&Split::EveryByte, &["h", "e", "l", "l", "o"]);
        check(&Split::Sizes(vec![1, 3]), &["h", "ell", "o"]);
        check(&Split::Sizes(vec![9, 1]), &["hello"]);
        check(&Split::Random(99), &["h", "e", "l", "l", "o"]);
        check(&Split::Random(1), &["hello"]);
    }

    #[test]
    fn a_payload_has_a_limit() {
        let (variables, mut random) = (Variables::new(), Random::new(1, "x"));
        let text = Payload::Text(Template::literal("ab"));
        let long = Payload::Repeat(Number::Literal(u64::MAX), Box::new(text.clone()));
        assert_eq!(long.fill(&variables, &mut random, None), Err(PayloadError::TooLong));
        let short = Payload::Repeat(Number::Literal(3), Box::new(text));
        assert_eq!(short.fill(&variables, &mut random, None), Ok(Bytes::from("ababab")));
    }

    #[test]
    fn a_number_is_counted_by_the_repeat_around_it() {
        let fill = |payload: &Payload| payload.fill(&Variables::new(), &mut Random::new(1, "x"), None);
        let counted = |how, from, by| Payload::Counted(Counted { how, from, by });
        let repeat = |payload| Payload::Repeat(Number::Literal(3), Box::new(payload));
        let line = Payload::Concat(vec![Payload::Text(Template::literal("a")), counted(How::Decimal, 9, 1)]);
        assert_eq!(fill(&repeat(line.clone())), Ok(Bytes::from("a9a10a11")));
        assert_eq!(fill(&line), Ok(Bytes::from("a9")), "without a round it is the first");
        let odd = repeat(counted(How::Big(2), 0xff, 2));
        assert_eq!(fill(&odd), Ok(Bytes::from_static(&[0, 0xff, 1, 1, 1, 3])));
        assert_eq!(fill(&repeat(counted(How::Little(1), 255, 1))), Ok(Bytes::from_static(&[255, 0, 1])));
        let inner = repeat(repeat(counted(How::Decimal, 0, 1)));
        assert_eq!(fill(&inner), Ok(Bytes::from("012012012")), "the innermost counts");
    }

    #[test]
    fn the_same_seed_gives_the_same_random_payload() {
        let payload = Payload::Random(Number::Literal(100));
        let fill = |name| payload.fill(&Variables::new(), &mut Random::new(9, name), None);
        assert_eq!(fill("a"), fill("a"));
        assert_ne!(fill("a"), fill("b"));
    }
}
