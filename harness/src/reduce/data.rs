//! The bytes of a payload: fewer, then simpler.
//!
//! What is the same is asked about at once, the largest first: all bytes of one value, then a long run of one byte, of which only
//! the number can matter, then bytes one by one.

use std::ops::Range;

use super::bytes::{self, Data, Token};
use super::{Reducer, search, steps};
use crate::document::{Node, Value};
use crate::mutator::{Length, lengths, repair};
use crate::testcase::TestCase;

/// From how many bytes on a payload is long.
const LONG: usize = 24;

/// From how many equal bytes on they are a run.
const RUN_MIN: usize = 16;

/// How many answers in a row that something has to stay, until what has to stay is made simple first: what is equal then is asked
/// about once.
const VAIN_MAX: u32 = 24;

/// The shortest payload that is changed together with others that are the same: one may be the same by chance.
const TWIN_MIN: usize = 3;

/// A payload: the number of the step that sends it, and its own there.
type Place = (usize, usize);

/// What bytes are tried as: one that stands for any, and for digits the first of them.
fn simple(byte: u8, text: bool, digits: bool) -> u8 {
    match (digits, byte) {
        (false, _) if text => b'a',
        (false, _) => 0,
        (true, b'0'..=b'9') => b'0',
        (true, byte) => byte,
    }
}

/// Runs of equal bytes that are long.
fn runs(tokens: &[Token]) -> Vec<Range<usize>> {
    let mut at = 0;
    let mut runs = Vec::new();
    for run in tokens.chunk_by(|a, b| a == b && matches!(a, Token::Byte(_))) {
        if run.len() >= RUN_MIN {
            runs.push(at..at + run.len());
        }
        at += run.len();
    }
    runs
}

/// Bytes, and long runs of them that are asked about as a whole.
pub(super) fn units(tokens: &[Token]) -> Vec<Range<usize>> {
    let mut units: Vec<Range<usize>> = Vec::new();
    let mut runs = runs(tokens).into_iter().peekable();
    let mut at = 0;
    while at < tokens.len() {
        let unit = runs.next_if(|run| run.start == at).unwrap_or(at..at + 1);
        at = unit.end;
        units.push(unit);
    }
    units
}

/// Puts bytes in the place of each of these payloads.
fn put(mut case: TestCase, places: &[Place], node: &Node) -> TestCase {
    for (send, at) in places {
        if let Some(place) = steps::payload_mut(&mut case, *send, *at) {
            *place = node.clone();
        }
    }
    case
}

/// Some of the bytes of these payloads; cuts stay between the bytes that they were between.
fn keep(mut case: TestCase, places: &[Place], data: &Data, kept: &[usize]) -> TestCase {
    for (send, _) in places {
        let Some(table) = steps::send_mut(&mut case, *send) else { continue };
        let Some(Value::Array(sizes)) = table.get("split").map(|node| &node.value) else { continue };
        let (mut at, mut end, mut moved) = (0_usize, 0, Vec::new());
        for size in sizes {
            let Value::Integer(size) = size.value else { return put(case, places, &data.with_kept(kept)) };
            at = at.saturating_add(usize::try_from(size).unwrap_or(0));
            // Behind the payload is what its framing adds.
            let here = kept.partition_point(|byte| *byte < at) + at.saturating_sub(data.tokens.len());
            if here > end {
                moved.push(Node::from((here - end) as i64));
                end = here;
            }
        }
        match moved.is_empty() {
            true => {
                table.remove("split");
                table.remove("pace");
            }
            false => table.set("split", moved),
        }
    }
    put(case, places, &data.with_kept(kept))
}

impl Data {
    fn with_kept(&self, kept: &[usize]) -> Node {
        self.with(kept.iter().map(|at| self.tokens[*at].clone()).collect()).write()
    }
}

impl Reducer<'_> {
    /// The payloads that are the same as this one, where none of them is cut.
    pub(super) fn twins(&mut self, send: usize, at: usize) -> Vec<Place> {
        let mut case = self.best.clone();
        let Some(own) = steps::payload_mut(&mut case, send, at).cloned() else { return Vec::new() };
        if bytes::len(&own) < TWIN_MIN {
            return Vec::new();
        }
        let mut twins = Vec::new();
        for send in 0..steps::count_sends(&mut case) {
            let is_plain = steps::send_mut(&mut case, send).is_some_and(|table| table.get("split").is_none());
            for at in 0..steps::payload_count(&mut case, send) {
                if is_plain && steps::payload_mut(&mut case, send, at).is_some_and(|node| *node == own) {
                    twins.push((send, at));
                }
            }
        }
        if twins.contains(&(send, at)) { twins } else { Vec::new() }
    }

    /// The payload that stands there now.
    fn data(&self, places: &[Place]) -> Option<Data> {
        let (send, at) = *places.first()?;
        Data::read(steps::payload_mut(&mut self.best.clone(), send, at)?, &self.best.folder)
    }

    /// Makes payloads shorter that are the same; simpler only where that helps to make them shorter.
    pub(super) fn shorten_data(&mut self, places: &[Place]) {
        self.shorten_honestly(places);
        let is_long = self.data(places).is_some_and(|data| data.tokens.len() >= LONG);
        if is_long {
            self.drop_values(places);
            self.shorten_runs(places);
        }
        if self.drop_bytes(places, is_long) {
            self.simplify(places);
            self.shorten_runs(places);
            self.drop_bytes(places, false);
        }
    }

    /// Leaves out bytes whose number stands before them, and has it stay true: what a length is about cannot go without that.
    fn shorten_honestly(&mut self, places: &[Place]) {
        let Some(data) = self.data(places) else { return };
        let Some(bytes) = data.bytes() else { return };
        let before = lengths(&bytes);
        if before.is_empty() {
            return;
        }
        let is_length = |at: usize| before.iter().any(|length| (length.at..length.at + length.width).contains(&at));
        let base = self.best.clone();
        self.delete(bytes.len(), &is_length, &|kept| {
            let mut bytes: Vec<u8> = kept.iter().map(|at| bytes[*at]).collect();
            // Only those before a gap stand where they did.
            let moved = |length: &&Length| (0..length.at + length.width).all(|at| kept.get(at) == Some(&at));
            repair(&before.iter().filter(moved).copied().collect(), &mut bytes);
            put(base.clone(), places, &data.with(bytes.into_iter().map(Token::Byte).collect()).write())
        });
    }

    /// Leaves out all bytes of a value.
    fn drop_values(&mut self, places: &[Place]) {
        let Some(data) = self.data(places) else { return };
        let mut values: Vec<&Token> = Vec::new();
        for token in data.tokens.iter().filter(|token| matches!(token, Token::Byte(_))) {
            if !values.contains(&token) {
                values.push(token);
            }
        }
        let base = self.best.clone();
        self.delete(values.len(), &|_| false, &|kept| {
            let is_kept = |token: &Token| match values.iter().position(|value| *value == token) {
                Some(value) => kept.binary_search(&value).is_ok(),
                None => true,
            };
            let kept: Vec<usize> = (0..data.tokens.len()).filter(|at| is_kept(&data.tokens[*at])).collect();
            keep(base.clone(), places, &data, &kept)
        });
    }

    /// As few as it takes of the bytes of each long run.
    fn shorten_runs(&mut self, places: &[Place]) {
        let Some(data) = self.data(places) else { return };
        // From the last one on, so that those before stand where they did.
        for run in runs(&data.tokens).into_iter().rev() {
            let base = self.best.clone();
            let Some(data) = self.data(places).filter(|data| data.tokens.len() >= run.end) else { return };
            search::smallest(0, run.len() as u64, &mut |fewer| {
                let end = run.start + fewer as usize;
                let kept: Vec<usize> = (0..end).chain(run.end..data.tokens.len()).collect();
                kept.len() == data.tokens.len() || self.test(keep(base.clone(), places, &data, &kept))
            });
        }
    }

    /// Leaves out bytes one by one, but for those of long runs where these are as short as they get. Whether it has given up
    /// because too many have to stay.
    fn drop_bytes(&mut self, places: &[Place], may_give_up: bool) -> bool {
        let Some(data) = self.data(places) else { return false };
        let runs = runs(&data.tokens);
        let is_in_run = |at: usize| runs.iter().any(|run| run.contains(&at));
        let base = self.best.clone();
        let mut vain = 0;
        search::delete(data.tokens.len(), &is_in_run, &mut |kept| {
            if self.is_over() || may_give_up && vain >= VAIN_MAX {
                return None;
            }
            let goes = self.test(keep(base.clone(), places, &data, kept));
            vain = if goes { 0 } else { vain + 1 };
            Some(goes)
        });
        may_give_up && vain >= VAIN_MAX
    }

    /// Puts bytes that stand for any in the place of those that need not be what they are.
    pub(super) fn simplify(&mut self, places: &[Place]) {
        for digits in [false, true] {
            let Some(data) = self.data(places) else { return };
            let text = data.bytes().is_none_or(|bytes| str::from_utf8(&bytes).is_ok());
            self.simplify_to(places, &data, &|byte| simple(byte, text, digits));
            // What was no text only for what did not matter is one now.
            if !text
                && !digits
                && let Some(data) = self.data(places)
                && data.tokens.iter().all(|token| !matches!(token, Token::Byte(1..=8 | 11 | 12 | 14..=31 | 127..)))
            {
                let letter = |token: &Token| match token {
                    Token::Byte(0) => Token::Byte(b'a'),
                    token => token.clone(),
                };
                let letters = data.with(data.tokens.iter().map(letter).collect());
                self.test(put(self.best.clone(), places, &letters.write()));
            }
        }
    }

    fn simplify_to(&mut self, places: &[Place], data: &Data, simple: &dyn Fn(u8) -> u8) {
        let all = &data.tokens;
        let plain = |token: &Token| match token {
            Token::Byte(byte) => Token::Byte(simple(*byte)),
            Token::Name(_) => token.clone(),
        };
        // A long run is simple as a whole or not at all.
        let units = units(all);
        // A byte that is simple already is no question.
        let is_simple = |unit: usize| plain(&all[units[unit].start]) == all[units[unit].start];
        let base = self.best.clone();
        self.delete(units.len(), &is_simple, &|kept| {
            let token = |unit: usize| {
                let is_kept = kept.binary_search(&unit).is_ok();
                all[units[unit].clone()].iter().map(move |token| if is_kept { token.clone() } else { plain(token) })
            };
            put(base.clone(), places, &data.with((0..units.len()).flat_map(token).collect()).write())
        });
    }
}
