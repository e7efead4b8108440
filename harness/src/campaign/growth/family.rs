//! What is said more and more of: families of messages, made of what seeds say.
//!
//! A family is one thing in so many rounds: a message, two that follow each other, a line, a byte of a value. How many bytes that
//! is, is asked of it; so is how a scenario says it in few words.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::case::{Case, Message, Step};
use super::super::plan::Plan;
use crate::conversation::payload::{COUNTED, Counted, How};
use crate::document::{Node, Table};
use crate::mutator::{Known, Lengths, lengths, repair};
use crate::protocol::Protocol;
use crate::testcase::payload::{is_readable, payload};

/// The most bytes that are said of one family.
pub const LEN_MAX: usize = 8 << 20;

/// The most rounds of what is longer than a byte.
pub const ROUNDS_MAX: usize = 65_536;

/// The most families of a campaign.
const FAMILIES_MAX: usize = 768;

/// How many kinds of families there are.
const KINDS: usize = 7;

/// How many seeds are looked at, and how many messages of each.
const SEEDS_MAX: usize = 24;
const MESSAGES_MAX: usize = 16;

/// The longest message that is said again and again.
const UNIT_LEN_MAX: usize = 16 << 10;

/// How many values of a text become longer, and how many of its lines are said again.
const VALUES_MAX: usize = 4;
const LINES_MAX: usize = 3;

/// How many fields of a described message become longer.
const FIELDS_MAX: usize = 6;

/// How many numbers of a message are counted up.
const NUMBERS_MAX: usize = 4;

/// How many bytes each write has where what is said drips.
pub const DRIP_LEN: usize = 512;

/// The most bytes that drip.
const DRIPPED_MAX: usize = 4 << 20;

/// One thing that is said again and again.
#[derive(Clone, Debug)]
pub struct Family {
    /// What is said before it.
    pub before: Case,
    /// On which connection.
    pub link: u16,
    /// What it is, in words.
    pub what: String,
    /// Whether it is said in small writes.
    pub drips: bool,
    /// The message or the messages that it is made of.
    pub message: Vec<u8>,
    /// What kind of family it is, and the how-manieth of that kind for its message: kinds have turns.
    rank: (u32, usize),
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    /// A field of a described message becomes longer.
    Described { protocol: Arc<Protocol>, number: usize },
    /// Rounds between a beginning and an end; lengths that are true of the whole stay true.
    Rounds { head: Vec<u8>, unit: Vec<Piece>, tail: Vec<u8>, lengths: Lengths, unfinished: bool },
}

/// A part of what is said in each round.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// The same bytes each time.
    Bytes(Vec<u8>),
    /// A number that is another one each time.
    Counted(Counted),
}

/// What is said with so many rounds: a beginning, rounds, an end.
#[derive(Clone, Debug)]
pub struct Said {
    head: Vec<u8>,
    unit: Vec<Piece>,
    rounds: usize,
    tail: Vec<u8>,
}

impl Piece {
    fn push(&self, round: usize, to: &mut Vec<u8>) {
        match self {
            Piece::Bytes(bytes) => to.extend_from_slice(bytes),
            Piece::Counted(counted) => to.extend_from_slice(&counted.bytes(round as u64)),
        }
    }

    fn node(&self) -> Node {
        match self {
            Piece::Bytes(bytes) => payload(bytes),
            Piece::Counted(Counted { how, from, by }) => {
                let name = COUNTED.iter().find(|(_, known)| known == how).map_or("decimal", |(name, _)| name);
                let number = |value: u64| Node::from(i64::try_from(value).unwrap_or(i64::MAX));
                let table = Table::of([("as", Node::from(name)), ("from", number(*from)), ("by", number(*by))]);
                Table::of([("counted", table)]).into()
            }
        }
    }
}

impl Said {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut whole = self.head.clone();
        for round in 0..self.rounds {
            self.unit.iter().for_each(|piece| piece.push(round, &mut whole));
        }
        whole.extend_from_slice(&self.tail);
        whole
    }

    /// As a payload.
    pub fn node(&self) -> Node {
        let unit = match self.unit.as_slice() {
            [only] => only.node(),
            many => Table::of([("concat", many.iter().map(Piece::node).collect::<Vec<_>>())]).into(),
        };
        let rounds = Table::of([("repeat", vec![Node::from(self.rounds as i64), unit])]).into();
        let ends = |bytes: &[u8]| (!bytes.is_empty()).then(|| payload(bytes));
        let parts: Vec<Node> = ends(&self.head).into_iter().chain([rounds]).chain(ends(&self.tail)).collect();
        match <[Node; 1]>::try_from(parts) {
            Ok([only]) => only,
            Err(parts) => Table::of([("concat", parts)]).into(),
        }
    }

    /// Bytes of which the longest run of equal parts of this length are rounds.
    fn of(bytes: &[u8], period: usize) -> Said {
        let (mut best, mut start) = (0..0, 0);
        for at in 0..=bytes.len().saturating_sub(period) {
            if at + period >= bytes.len() || bytes[at] != bytes[at + period] {
                if at - start > best.len() {
                    best = start..at;
                }
                start = at + 1;
            }
        }
        let rounds = best.len() / period + 1;
        let end = best.start + rounds * period;
        Said {
            head: bytes[..best.start].to_vec(),
            unit: vec![Piece::Bytes(bytes[best.start..best.start + period].to_vec())],
            rounds,
            tail: bytes[end..].to_vec(),
        }
    }
}

impl Family {
    /// How many rounds there are at most.
    pub fn most(&self) -> usize {
        let len_max = if self.drips { DRIPPED_MAX } else { LEN_MAX };
        match &self.shape {
            Shape::Described { .. } => LEN_MAX,
            Shape::Rounds { unit, lengths, head, tail, .. } => {
                let len: usize = unit.iter().map(piece_len).sum();
                let rounds = if len == 1 { len_max } else { ROUNDS_MAX.min(len_max / len.max(1)) };
                let fits = lengths.iter().map(|length| length.most() as usize).min().unwrap_or(usize::MAX);
                rounds.min(fits.saturating_sub(head.len() + tail.len()) / len.max(1))
            }
        }
    }

    /// Whether whole messages are said again, which a target may refuse after a few.
    pub fn is_of_messages(&self) -> bool {
        matches!(&self.shape, Shape::Rounds { head, .. } if head.is_empty())
    }

    /// What is said in so many rounds; `None` where that cannot be said.
    pub fn said(&self, rounds: usize) -> Option<Said> {
        match &self.shape {
            Shape::Described { protocol, number } => {
                let known = Known::request(protocol, &self.message, false)?;
                let bytes = known.stretched(*number, rounds)?;
                // Of a list, an element is as long as one more makes the message longer.
                let period = match known.stretched(*number, rounds + 1)?.len().checked_sub(bytes.len())? {
                    0 => return None,
                    period => period.min(bytes.len()),
                };
                Some(Said::of(&bytes, period))
            }
            Shape::Rounds { head, unit, tail, lengths, unfinished } => {
                let mut said = Said { head: head.clone(), unit: unit.clone(), rounds, tail: tail.clone() };
                if !lengths.is_empty() {
                    let mut bytes = said.bytes();
                    repair(lengths, &mut bytes);
                    said.head.copy_from_slice(&bytes[..head.len()]);
                }
                if *unfinished && !lengths.is_empty() {
                    said.rounds = rounds.saturating_sub(1);
                }
                Some(said)
            }
        }
    }

    /// The same rounds on another connection, after so many: what tells stored things apart goes on, what tells those of a connection
    /// apart begins anew.
    pub fn after(&self, rounds: usize) -> Family {
        let mut after = self.clone();
        if let Shape::Rounds { unit, .. } = &mut after.shape {
            for piece in unit {
                if let Piece::Counted(counted @ Counted { how: How::Decimal, .. }) = piece {
                    counted.from += counted.by * rounds as u64;
                }
            }
        }
        after
    }

    /// The case that says it.
    pub fn case(&self, said: Vec<u8>) -> Case {
        let mut case = self.before.clone();
        case.steps.push(Step::Send(Message::new(self.link, said)));
        case
    }
}

fn piece_len(piece: &Piece) -> usize {
    match piece {
        Piece::Bytes(bytes) => bytes.len(),
        Piece::Counted(Counted { how: How::Big(width) | How::Little(width), .. }) => *width,
        Piece::Counted(_) => 5,
    }
}

/// All families of these seeds.
pub(super) fn families(seeds: &[Case], plan: &Plan, spoken: Option<&Arc<Protocol>>, datagrams: &[bool]) -> Vec<Family> {
    let mut all = Vec::new();
    let mut seen = HashSet::new();
    for seed in seeds.iter().take(SEEDS_MAX) {
        let sends: Vec<(usize, &Message)> = seed.messages().take(MESSAGES_MAX).collect();
        for (at, (step, message)) in sends.iter().enumerate() {
            let actor = seed.steps.iter().find_map(|step| match step {
                Step::Open(link, actor) if *link == message.link => Some(usize::from(*actor)),
                _ => None,
            });
            let Some(actor) = actor.filter(|actor| datagrams.get(*actor) != Some(&true)) else { continue };
            let before = Case { steps: seed.steps[..*step].to_vec() };
            let bytes = message.bytes();
            if bytes.is_empty() || bytes.len() > UNIT_LEN_MAX {
                continue;
            }
            let mut maker = Maker { before: &before, link: message.link, bytes: &bytes, all: &mut all };
            if let Some((_, next)) = sends.get(at + 1).filter(|(_, next)| next.link == message.link) {
                let both = [bytes.clone(), next.bytes()].concat();
                if both.len() <= UNIT_LEN_MAX && seen.insert(both.clone()) {
                    maker.again(&both, "two messages");
                }
            }
            if seen.insert(bytes.clone()) {
                maker.again(&bytes, "a message");
                maker.longer();
                let protocol = plan.actors.get(actor).and_then(|actor| actor.protocol.as_ref()).or(spoken);
                if let Some(protocol) = protocol {
                    maker.described(protocol);
                }
            }
        }
    }
    in_turns(&mut all);
    all.truncate(FAMILIES_MAX);
    all
}

/// One family of each kind, then the next of each, the first ones of each message before the second ones.
fn in_turns(all: &mut [Family]) {
    all.sort_by_key(|family| family.rank);
    let mut given = [0; KINDS];
    for Family { rank: (kind, turn), .. } in all.iter_mut() {
        let given = &mut given[*kind as usize];
        *turn = *given;
        *given += 1;
    }
    all.sort_by_key(|Family { rank: (kind, turn), .. }| (*turn, *kind));
}

/// Makes the families of one message.
struct Maker<'m> {
    before: &'m Case,
    link: u16,
    bytes: &'m [u8],
    all: &'m mut Vec<Family>,
}

impl Maker<'_> {
    fn push(&mut self, rank: (u32, usize), what: String, drips: bool, shape: Shape) {
        self.push_of(self.bytes, rank, what, drips, shape);
    }

    fn push_of(&mut self, message: &[u8], rank: (u32, usize), what: String, drips: bool, shape: Shape) {
        let (before, message) = (self.before.clone(), message.to_vec());
        self.all.push(Family { before, link: self.link, what, drips, message, rank, shape });
    }

    /// One or two messages again and again: as they are, and with their numbers counted up.
    fn again(&mut self, unit: &[u8], what: &str) {
        let rounds = |unit| Shape::Rounds {
            head: Vec::new(),
            unit,
            tail: Vec::new(),
            lengths: Lengths::new(),
            unfinished: false,
        };
        self.push_of(unit, (0, 0), format!("{what} again and again"), false, rounds(vec![Piece::Bytes(unit.to_vec())]));
        for (at, (how, value, places)) in numbers(unit).into_iter().take(NUMBERS_MAX).enumerate() {
            // The identifiers of one side are every number, or every other one.
            let steps: &[u64] = if how == How::Decimal { &[1] } else { &[2, 1] };
            for by in steps {
                let pieces = with_counted(unit, &places, Counted { how, from: value, by: *by });
                let what = format!("{what} again and again, in which the number {value} grows by {by}");
                self.push_of(unit, (1, at), what, false, rounds(pieces));
            }
        }
    }

    /// A value or a line that becomes longer and longer, with the end of the message and without.
    fn longer(&mut self) {
        let bytes = self.bytes;
        let is_text = str::from_utf8(bytes).is_ok_and(is_readable);
        let rounds = |head: &[u8], unit: Vec<u8>, tail: &[u8], lengths: Lengths, unfinished| Shape::Rounds {
            head: head.to_vec(),
            unit: vec![Piece::Bytes(unit)],
            tail: tail.to_vec(),
            lengths,
            unfinished,
        };
        if !is_text {
            let found = lengths(bytes);
            let (head, unit) = (bytes, vec![bytes[bytes.len() - 1]]);
            self.push((3, 0), "its last byte".into(), false, rounds(head, unit.clone(), b"", found.clone(), false));
            self.push((4, 0), "its last byte, without an end".into(), true, rounds(head, unit, b"", found, true));
            return;
        }
        for (at, end) in values(bytes).into_iter().enumerate() {
            let (head, tail) = bytes.split_at(end);
            let unit = vec![head[end - 1]];
            let what = format!("what follows {}", crate::text::quote(&head[head.len().saturating_sub(16)..]));
            let no = Lengths::new;
            self.push((2, at), format!("{what}, without an end"), false, rounds(head, unit.clone(), b"", no(), true));
            self.push((3, at), what.clone(), false, rounds(head, unit.clone(), tail, no(), false));
            self.push(
                (4, at),
                format!("{what}, without an end, in small writes"),
                true,
                rounds(head, unit, b"", no(), true),
            );
        }
        let mut start = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n').take(LINES_MAX + 1) {
            let (head, whole) = (&bytes[..start], line.to_vec());
            start += line.len();
            if head.is_empty() || line.len() < 3 || !line.ends_with(b"\n") {
                continue;
            }
            let what = format!("the line {}", crate::text::quote(line));
            self.push((5, start), what, false, rounds(head, whole, b"", Lengths::new(), true));
        }
    }

    /// A field of a described message that becomes longer and longer.
    fn described(&mut self, protocol: &Arc<Protocol>) {
        let Some(known) = Known::request(protocol, self.bytes, false) else { return };
        for number in 0..known.stretchable().min(FIELDS_MAX) {
            let shape = Shape::Described { protocol: Arc::clone(protocol), number };
            self.push((6, number), format!("field {} of a described message", number + 1), false, shape);
        }
    }
}

/// Where values of a text end: the first, the last and the longest ones.
fn values(text: &[u8]) -> Vec<usize> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'*' | b'$' | b'+');
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut start = 0;
    for at in 0..=text.len() {
        if at == text.len() || !is_part(text[at]) {
            if at > start {
                found.push((at - start, at));
            }
            start = at + 1;
        }
    }
    let (first, last) = (found.first().copied(), found.last().copied());
    found.sort_by_key(|(len, at)| (std::cmp::Reverse(*len), *at));
    let mut ends: Vec<usize> = Vec::new();
    for (_, end) in last.into_iter().chain(first).chain(found) {
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    ends.truncate(VALUES_MAX);
    ends
}

/// Numbers in a message that may tell its rounds apart: how each lies there, what it is, and where; the likeliest first.
fn numbers(bytes: &[u8]) -> Vec<(How, u64, Vec<usize>)> {
    let mut found: Vec<(How, u64, Vec<usize>)> = Vec::new();
    if str::from_utf8(bytes).is_ok_and(is_readable) {
        let mut start = 0;
        for run in bytes.split(|byte| !byte.is_ascii_digit()) {
            let at = start;
            start += run.len() + 1;
            let value = str::from_utf8(run).ok().and_then(|run| run.parse::<u64>().ok());
            // What begins with a zero is written otherwise when it is counted.
            let Some(value) = value.filter(|value| value.to_string().len() == run.len()) else { continue };
            match found.iter_mut().find(|(_, known, _)| *known == value) {
                Some((_, _, places)) => places.push(at),
                None => found.push((How::Decimal, value, vec![at])),
            }
        }
        return found;
    }
    for (how, width, most) in
        [(How::Big(4), 4, 0xffff), (How::Little(4), 4, 0xffff), (How::Big(2), 2, 0xff), (How::Little(2), 2, 0xff)]
    {
        for at in 0..bytes.len().saturating_sub(width - 1) {
            let field = &bytes[at..at + width];
            let join = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
            let value = match how {
                How::Big(_) => field.iter().fold(0, join),
                _ => field.iter().rev().fold(0, join),
            };
            if value == 0 || value > most {
                continue;
            }
            match found.iter_mut().find(|(known, other, _)| (*known, *other) == (how, value)) {
                Some((_, _, places)) if places.last().is_some_and(|last| last + width > at) => {}
                Some((_, _, places)) => places.push(at),
                None => found.push((how, value, vec![at])),
            }
        }
    }
    // What stands there more than once is what messages have in common.
    found.sort_by_key(|(_, _, places)| std::cmp::Reverse(places.len().min(2)));
    found
}

/// A message in which a number is counted at these places.
fn with_counted(bytes: &[u8], places: &[usize], counted: Counted) -> Vec<Piece> {
    let width = counted.bytes(0).len();
    let mut pieces = Vec::new();
    let mut from = 0;
    for at in places {
        if *at > from {
            pieces.push(Piece::Bytes(bytes[from..*at].to_vec()));
        }
        pieces.push(Piece::Counted(counted));
        from = at + width;
    }
    if from < bytes.len() {
        pieces.push(Piece::Bytes(bytes[from..].to_vec()));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_stand_there_twice_come_first() {
        let pair = [&[0, 0, 2, 1, 5, 0, 0, 0, 1, 0x82, 0x84][..], &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8]].concat();
        let (how, value, places) = numbers(&pair).remove(0);
        assert_eq!((how, value, places), (How::Big(4), 1, vec![5, 16]));
        let pieces = with_counted(&pair, &[5, 16], Counted { how, from: 1, by: 2 });
        let said = Said { head: Vec::new(), unit: pieces, rounds: 2, tail: Vec::new() }.bytes();
        assert_eq!((said[8], said[19], said[24 + 8], said[24 + 19]), (1, 1, 3, 3));
        assert_eq!(said.len(), 2 * pair.len());
    }

    #[test]
    fn digits_are_counted_as_digits() {
        assert_eq!(numbers(b"a7 SET k7 007"), [(How::Decimal, 7, vec![1, 8])]);
    }

    #[test]
    fn values_of_a_text_are_the_last_the_first_and_the_longest() {
        assert_eq!(values(b"GET /chat HTTP/1.1\r\n"), [18, 3, 9, 14]);
        assert_eq!(values(b"\r\n"), Vec::<usize>::new());
    }

    #[test]
    fn a_run_of_equal_parts_is_rounds() {
        let said = Said::of(b"<abababab>", 2);
        assert_eq!((said.rounds, said.bytes()), (4, b"<abababab>".to_vec()));
        assert_eq!(said.head, b"<");
        let said = Said::of(b"xaaaay", 1);
        assert_eq!((said.rounds, said.tail.as_slice()), (4, &b"y"[..]));
    }
}
