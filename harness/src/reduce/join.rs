//! Messages that stand in pieces, each sent by a step of its own, as one step: what is the same conversation to whoever reads a
//! stream is told in the same way, wherever it was cut.

use super::bytes::Data;
use super::fields::framing_of;
use super::{Reducer, search};
use crate::document::Node;
use crate::framing::{Decoded, Framing};
use crate::scenario::Known;
use crate::testcase::TestCase;
use crate::testcase::step::{parts, table_mut};

/// After how many answers in a row that steps cannot be joined nothing more is asked: messages are, then, what they seem to be.
const VAIN_MAX: u32 = 6;

/// The payload of a step that sends it and does nothing else.
fn plain(step: &Node, case: &TestCase) -> Option<Data> {
    let (_, table) = parts(step)?;
    let [entry] = table.entries.as_slice() else { return None };
    (entry.key == "send").then(|| Data::read(&entry.node, &case.folder)).flatten()
}

/// Whether some bytes end in the middle of a message. Where nobody knows what one is, they may, unless they end a line.
fn is_cut(bytes: &[u8], framing: Option<&dyn Framing>) -> bool {
    let Some(framing) = framing else { return !bytes.ends_with(b"\n") };
    let mut rest = bytes;
    while !rest.is_empty() {
        match framing.decode(rest, 0) {
            Ok(Decoded::Message { consumed, .. }) if consumed > 0 => rest = &rest[consumed..],
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
    false
}

impl Reducer<'_> {
    /// Sends in one step what several in a row send of one message.
    pub(super) fn join(&mut self) {
        let known = Known { read: Some(crate::document::read_text), ..Known::default() };
        let Ok(scenario) = self.best.load("case.toml", &known) else { return };
        let lanes: Vec<String> = self.best.lanes().iter().map(|(lane, _)| (*lane).to_owned()).collect();
        for lane in lanes {
            let base = self.best.clone();
            let Some((_, steps)) = base.lanes().into_iter().find(|(name, _)| *name == lane) else { continue };
            let owner = (lane != "steps").then_some(lane.as_str());
            let can_be_joined = |pair: &[Node]| {
                let actor = |step: &Node| parts(step).and_then(|(actor, _)| actor.map(str::to_owned));
                let (Some(first), Some(second)) = (plain(&pair[0], &base), plain(&pair[1], &base)) else {
                    return false;
                };
                let Some(framing) = framing_of(&scenario, parts(&pair[0]).and_then(|(actor, _)| actor).or(owner))
                else {
                    return false;
                };
                // With a framing around it each of them is a message.
                let is_raw =
                    first.is_raw() && second.is_raw() || framing.is_none() && first.is_bare() && second.is_bare();
                is_raw
                    && actor(&pair[0]) == actor(&pair[1])
                    && first.bytes().is_some_and(|bytes| is_cut(&bytes, framing.as_deref()))
            };
            let joints: Vec<usize> =
                steps.windows(2).enumerate().filter(|(_, pair)| can_be_joined(pair)).map(|(at, _)| at + 1).collect();
            let join = |kept: &[usize]| {
                let mut case = base.clone();
                let folder = case.folder.clone();
                let Some(steps) = case.lane_mut(&lane) else { return case };
                for (number, at) in joints.iter().enumerate().rev() {
                    if kept.binary_search(&number).is_ok() {
                        continue;
                    }
                    let read = |step: &Node| Data::read(parts(step)?.1.get("send")?, &folder);
                    let (Some(first), Some(second)) = (read(&steps[at - 1]), read(&steps[*at])) else { continue };
                    let whole = first.with([first.tokens.clone(), second.tokens].concat());
                    if let Some(table) = table_mut(&mut steps[at - 1]) {
                        table.set("send", whole.write());
                    }
                    steps.remove(*at);
                }
                case
            };
            let mut vain = 0;
            search::delete(joints.len(), &|_| false, &mut |kept| {
                if self.is_over() || vain >= VAIN_MAX {
                    return None;
                }
                let joined = self.test(join(kept));
                vain = if joined { 0 } else { vain + 1 };
                Some(joined)
            });
        }
    }
}
