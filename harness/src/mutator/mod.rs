//! One way to spoil a case a file, one row in the table.
//!
//! A mutator works on one of five levels: fields and trees of a described message, bytes, the sequence of messages, and how they
//! go over the wire. It has a finite part, numbered and the same each time, and one by chance. It plays nothing.

mod bytes;
mod dictionary;
mod field;
mod havoc;
mod infer;
mod known;
mod sequence;
mod splice;
mod text;
mod tree;
mod wire;

use std::fmt;

use crate::campaign::case::{Case, MESSAGE_LEN_MAX, Message, Part, STEPS_MAX};
use crate::campaign::plan::Plan;
use crate::random::Random;

pub use dictionary::{DICTIONARY_MAX, Dictionary, DictionaryError, learn};
pub use infer::{Length, Lengths, lengths, repair};
pub(crate) use known::{Fields, Known, lies};

/// On what a mutator works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Bytes of a message.
    Bytes,
    /// Fields of a message.
    Field,
    /// Which messages there are, in which order, on which connections.
    Sequence,
    /// What stands in what in a message.
    Tree,
    /// How messages are cut into writes, and how connections end.
    Wire,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Bytes => "bytes",
            Level::Field => "field",
            Level::Sequence => "sequence",
            Level::Tree => "tree",
            Level::Wire => "wire",
        })
    }
}

/// What mutators can draw on.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// What the campaign is about.
    pub plan: &'a Plan,
    /// Words that may mean something to the target.
    pub dictionary: &'a Dictionary,
    /// Cases that something can be taken from.
    pub others: &'a [&'a Case],
    /// What the target has answered to the seeds.
    pub answers: &'a [Vec<u8>],
    /// For each actor, what carries its connections: whether that are datagrams.
    pub datagrams: &'a [bool],
}

/// One way to spoil a case.
pub trait Mutator: Sync {
    /// How many ways of its finite part there are for this case.
    fn count(&self, case: &Case, around: &Around<'_>) -> usize {
        let (_, _) = (case, around);
        0
    }

    /// Spoils it in the way of its finite part with this number. `false`: it is as it was.
    fn number(&self, number: usize, case: &mut Case, around: &Around<'_>) -> bool {
        let (_, _, _) = (number, case, around);
        false
    }

    /// Spoils it by chance. `false`: there is nothing that it could do.
    fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool;
}

/// A row of the table of mutators.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// On what it works.
    pub level: Level,
    /// What it does, in one line.
    pub about: &'static str,
    /// How often it is drawn, as long as nothing is known of its yield.
    pub weight: u32,
    mutator: &'static dyn Mutator,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("level", &self.level).finish_non_exhaustive()
    }
}

impl Entry {
    const fn of(
        name: &'static str,
        level: Level,
        weight: u32,
        about: &'static str,
        mutator: &'static dyn Mutator,
    ) -> Entry {
        Entry { name, level, about, weight, mutator }
    }

    /// How many ways of its finite part there are for this case.
    pub fn count(&self, case: &Case, around: &Around<'_>) -> usize {
        self.mutator.count(case, around)
    }

    /// The case spoiled in one way of the finite part.
    pub fn number(&self, number: usize, case: &Case, around: &Around<'_>) -> Option<Case> {
        let mut case = case.clone();
        let changed = self.mutator.number(number, &mut case, around);
        changed.then(|| bounded(case))
    }

    /// Spoils the case by chance.
    pub fn chance(&self, random: &mut Random, case: &mut Case, around: &Around<'_>) -> bool {
        self.mutator.chance(random, case, around)
    }
}

/// The ways there are, in alphabetical order. That of the levels in the finite part is [`SWEEP`].
pub const MUTATORS: &[Entry] = &[
    Entry::of("boundaries", Level::Field, 8, "a field's bounds, and what lies just beyond", &field::Boundaries),
    Entry::of("bytes", Level::Bytes, 4, "a byte at the end of its range, a flipped bit", &bytes::Bits),
    Entry::of("connection", Level::Sequence, 3, "another connection in between", &sequence::Connection),
    Entry::of("cut", Level::Wire, 4, "a message in several writes, cut anywhere", &wire::Cut),
    Entry::of("dictionary", Level::Bytes, 8, "a word that may mean something to the target", &dictionary::Words),
    Entry::of("drop", Level::Sequence, 4, "a message left out", &sequence::Drop),
    Entry::of("duplicate", Level::Sequence, 4, "a message sent again", &sequence::Duplicate),
    Entry::of("end", Level::Wire, 3, "half-closed, closed or reset after any message", &wire::End),
    Entry::of(
        "generate",
        Level::Field,
        6,
        "a valid message of the description, also the other side's",
        &field::Generate,
    ),
    Entry::of("havoc", Level::Bytes, 24, "bytes set, flipped, added, taken, moved", &havoc::Havoc),
    Entry::of("insert", Level::Sequence, 5, "a message of another case", &sequence::Insert),
    Entry::of("lengths", Level::Field, 8, "a length that lies, or holds what it should not", &infer::Lying),
    Entry::of("many", Level::Sequence, 2, "a message sent very often, counting up", &sequence::Many),
    Entry::of("merge", Level::Wire, 2, "several messages in one write, without waiting", &wire::Merge),
    Entry::of("nest", Level::Tree, 3, "a part repeated or put into itself, many times", &tree::Nest),
    Entry::of("numbers", Level::Field, 6, "a number in digits that is at the end of a range", &text::Numbers),
    Entry::of("order", Level::Sequence, 4, "two messages swapped", &sequence::Order),
    Entry::of("parts", Level::Tree, 6, "a field left out, sent twice, or swapped", &tree::Parts),
    Entry::of("pause", Level::Wire, 1, "a pause between two messages", &wire::Pause),
    Entry::of("reflect", Level::Sequence, 4, "an answer of the target, sent back to it", &sequence::Reflect),
    Entry::of("refragment", Level::Tree, 4, "a message in two, each with a header of its own", &infer::Refragment),
    Entry::of("splice", Level::Bytes, 5, "the end of another message", &splice::Splice),
    Entry::of(
        "strings",
        Level::Field,
        6,
        "a word that is very long, or made of what formats and paths know",
        &text::Strings,
    ),
    Entry::of("truncate", Level::Bytes, 4, "the end of a message left out", &bytes::Truncate),
];

/// In which order the finite parts come: what is short and finds most goes first.
pub const SWEEP: &[&str] = &[
    "drop",
    "duplicate",
    "order",
    "reflect",
    "end",
    "merge",
    "truncate",
    "lengths",
    "boundaries",
    "parts",
    "refragment",
    "numbers",
    "strings",
    "cut",
    "bytes",
    "dictionary",
    "connection",
    "nest",
];

/// The mutator with a name.
pub fn find(name: &str) -> Option<&'static Entry> {
    MUTATORS.iter().find(|entry| entry.name == name)
}

/// A case within its limits, without steps that have no effect.
pub fn bounded(mut case: Case) -> Case {
    case.steps.truncate(STEPS_MAX);
    for step in case.sends() {
        if let Some(message) = case.message_mut(step)
            && message.len() > MESSAGE_LEN_MAX
        {
            let mut bytes = message.bytes();
            bytes.truncate(MESSAGE_LEN_MAX);
            *message = Message { cuts: std::mem::take(&mut message.cuts), ..Message::new(message.link, bytes) };
        }
    }
    case.tidy();
    case
}

/// One message of a case by chance: its step.
fn pick_message(random: &mut Random, case: &Case) -> Option<usize> {
    let sends = case.sends();
    (!sends.is_empty()).then(|| sends[random.below(sends.len() as u64) as usize])
}

/// The bytes of a part of one message by chance, the longer ones more often.
fn pick_bytes<'c>(random: &mut Random, case: &'c mut Case) -> Option<&'c mut Vec<u8>> {
    let step = pick_message(random, case)?;
    let message = case.message_mut(step)?;
    let lens: Vec<u64> = message
        .parts
        .iter()
        .map(|part| match part {
            Part::Bytes(bytes) => bytes.len() as u64 + 1,
            Part::Variable(..) => 0,
        })
        .collect();
    let mut at = random.below(lens.iter().sum());
    let part = lens.iter().position(|len| {
        let here = at < *len;
        at = at.saturating_sub(*len);
        here
    })?;
    match &mut message.parts[part] {
        Part::Bytes(bytes) => Some(bytes),
        Part::Variable(..) => None,
    }
}

/// Applies `change` to the bytes of the message of this step; variables in it are what they were in the seed.
fn change_bytes(case: &mut Case, step: usize, change: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
    let Some(message) = case.message_mut(step) else { return false };
    let mut bytes = message.bytes();
    let changed = change(&mut bytes);
    if changed {
        let cuts = std::mem::take(&mut message.cuts);
        *message = Message { cuts, ..Message::new(message.link, bytes) };
    }
    changed
}

/// Finds the `number`-th of some ways that are numbered message by message.
fn locate(case: &Case, mut number: usize, mut count: impl FnMut(usize, &Message) -> usize) -> Option<(usize, usize)> {
    for (step, message) in case.messages() {
        let ways = count(step, message);
        if number < ways {
            return Some((step, number));
        }
        number -= ways;
    }
    None
}

/// One of some values by chance.
fn one_of<T: Copy>(random: &mut Random, values: &[T]) -> T {
    values[random.below(values.len() as u64) as usize]
}
