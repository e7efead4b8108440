//! `answers`: a message that its description allows is answered by one that it allows, whatever the fields hold.
//!
//! What no description allows is for `robust`. Here only fields change, within their bounds, and the message stays what it was;
//! what an answer then says is not judged, and neither is that to what the case itself says afterwards: a valid message may well
//! change what others hear.

use std::sync::Arc;

use super::edit::{alone, beside, is_on_connection, speakers, spoken_by, with_steps, without};
use super::judge::Parts;
use super::prefix_close::GONE;
use super::robust::{DATAGRAM_LEN_MAX, QUIET, RANDOM};
use super::talk::{keeps, repeats, some};
use super::{Base, Kind, Parameters, Property, Variant};
use crate::document::{Node, Table, Value};
use crate::mutator::{Fields, Known};
use crate::protocol::{Direction, Given, Protocol};
use crate::random::Random;
use crate::reduce::fields;
use crate::testcase::TestCase;
use crate::testcase::step::{close, drain, expect_eof, parts, send_message, step, verb};

/// The most messages with one field changed that one message becomes.
const BOUNDS_MAX: usize = 256;

/// The longest message on a stream: two bytes of length reach their bound.
const STREAM_LEN_MAX: usize = 70_000;

pub(super) const PROPERTY: Property = Property {
    name: "answers",
    about: "a valid message is answered by a valid one, or the connection is closed, whatever its fields hold; and so is the next client",
    sends: "on one connection the case up to a message by name, and that message with other fields that its description allows (each \
            field's least, greatest, empty, longest; then all of them by chance); on another one the same with the message as it was",
    judges: "that each answer is one of the description's, or an end of the connection, and comes in time, on both connections; not what it says",
    cost: "some 100 plays for each message by name, or as many as `cases` says and up to 256 more",
    asked: Some(
        "its description has to say which values a server takes, and fields that a case depends on have to be named",
    ),
    parameters: &[
        ("cases", Kind::Number, "how many messages there are by chance: 64"),
        (
            "keep",
            Kind::Texts,
            "a list of fields, or of bits, that stay as the case has them: `keep = [\"id\"]`; those with variables do anyway",
        ),
    ],
    reduces: false,
    disturbs: false,
    plan,
    controls,
};

fn plan(base: &Base, parameters: &Parameters, random: &mut Random) -> Result<Vec<Variant>, String> {
    repeats(base)?;
    let protocol = base.protocol.as_ref().ok_or("it takes an actor with a `protocol` that is described")?;
    let keep = parameters.texts("keep").unwrap_or_default();
    let mut unknown = keep.clone();
    let mut variants = Vec::new();
    let mut is_any = false;
    let known = crate::scenario::Known { read: Some(crate::document::read_text), ..Default::default() };
    for speaker in speakers(&base.case) {
        // What another one says has no part in it: whoever waits for that is asked about what it says before.
        let Some((own, numbers)) = alone(&base.case, speaker.as_deref()) else { continue };
        let Some((case, names)) = beside(&own, 2) else { continue };
        is_any = true;
        for (number, sent) in base.sends.iter().enumerate() {
            let Ok(at) = numbers.binary_search(&sent.at) else { continue };
            let Some(asked) = Asked::of(base, protocol, &case, &names, at, &sent.bytes) else { continue };
            // What another one was told may stand in what it says.
            let itself = asked.case(&asked.known.given(), &|_| true);
            if itself.is_none_or(|case| case.load("case.toml", &known).is_err()) {
                continue;
            }
            let asked = Arc::new(asked);
            unknown.retain(|name| !asked.known.keep(&mut asked.known.given(), name));
            for (what, given) in asked.others(&keep, parameters.number("cases").unwrap_or(RANDOM), random) {
                let what = format!("message {} is valid, and {what}", number + 1);
                variants.extend(variant(&asked, what, &given));
            }
        }
    }
    if !is_any {
        return Err("it is for clients with one connection each, in one order and without loops".into());
    }
    if let ([name, ..], false) = (unknown.as_slice(), variants.is_empty()) {
        return Err(format!("no message of the case has a field `{name}` that could be kept"));
    }
    some(
        variants,
        "it takes a message by name, `{ get = { id = 7, .. } }`, with fields of which its description allows other values",
    )
}

/// Each field that is another one, and each message before, is a part that a counterexample may do without.
fn variant(asked: &Arc<Asked>, what: String, given: &Fields) -> Option<Variant> {
    let original = asked.known.given();
    let value = |fields: &Fields, name: &str| fields.iter().find(|(known, _)| **known == *name).map(|(_, v)| v.clone());
    let names = given.iter().chain(&original).map(|(name, _)| Arc::clone(name));
    let mut changed: Vec<(Arc<str>, Vec<Option<Given>>)> = Vec::new();
    for name in names {
        let now = value(given, &name);
        if now != value(&original, &name) && !changed.iter().any(|(known, _)| *known == name) {
            changed.push((name, simpler(now)));
        }
    }
    let case = asked.case(given, &|_| true)?;
    let before = asked.exchanges();
    let choices = changed.iter().map(|(_, values)| values.len() - 1).chain(std::iter::repeat_n(0, before)).collect();
    let asked = Arc::clone(asked);
    let make = move |kept: &[usize], choices: &[usize]| {
        let mut mixed = original.clone();
        for (part, (name, values)) in changed.iter().enumerate().filter(|(part, _)| kept.contains(part)) {
            match (mixed.iter_mut().find(|(known, _)| known == name), values[choices[part]].clone()) {
                (Some((_, now)), Some(value)) => *now = value,
                (None, Some(value)) => mixed.push((Arc::clone(name), value)),
                (_, None) => mixed.retain(|(known, _)| known != name),
            }
        }
        let is_other = kept.iter().any(|part| *part < changed.len());
        let case = || asked.case(&mixed, &|exchange| kept.contains(&(changed.len() + exchange)));
        is_other.then(case).flatten()
    };
    Some(Variant { parts: Some(Parts { choices, make: Arc::new(make) }), ..Variant::new(what, case) })
}

/// What a field may be in place of a value, the simplest first, and the value itself: a text is also half as long.
fn simpler(value: Option<Given>) -> Vec<Option<Given>> {
    let mut values = vec![value];
    while let Some(Some(Given::Bytes(bytes))) = values.last()
        && !bytes.is_empty()
    {
        values.push(Some(Given::Bytes(bytes.slice(..bytes.len() / 2))));
    }
    values.reverse();
    values
}

/// A message of the case.
struct Asked {
    case: TestCase,
    /// The connection that the other message is sent on, and the one of who comes next.
    gone: String,
    next: String,
    /// The steps before it.
    before: Vec<Node>,
    /// Its name, and its fields as they are written.
    name: String,
    written: Table,
    known: Known,
    /// Whether it is answered.
    answered: bool,
    is_datagram: bool,
}

impl Asked {
    /// `None` for what is no message by name, or is sent in a way of its own.
    fn of(
        base: &Base,
        protocol: &Arc<Protocol>,
        case: &TestCase,
        names: &[String],
        at: usize,
        bytes: &[u8],
    ) -> Option<Asked> {
        let lanes = case.lanes();
        let (_, steps) = lanes.first()?;
        let (_, table) = parts(steps.get(at)?)?;
        // However it is cut, it is the same message to whoever reads a stream.
        let is_plain = |key: &str| matches!(key, "note" | "pace" | "send" | "split" | "within");
        if !table.entries.iter().all(|entry| is_plain(&entry.key)) {
            return None;
        }
        let [message] = table.get("send")?.as_table()?.entries.as_slice() else { return None };
        let is_datagram = base.transport.is_datagram();
        let known = Known::request(protocol, bytes, is_datagram)?;
        // A message may be written by the name of another one of the same bytes.
        if *known.protocol.messages[known.message].name != *message.key {
            return None;
        }
        Some(Asked {
            case: case.clone(),
            gone: names.first()?.clone(),
            next: names.get(1)?.clone(),
            before: steps[..at].to_vec(),
            name: message.key.clone(),
            written: message.node.as_table()?.clone(),
            known,
            answered: is_answered(&steps[at + 1..]),
            is_datagram,
        })
    }

    /// What is different, and the fields: one after the other changed, then all of them.
    fn others(&self, keep: &[&str], chance: u64, random: &mut Random) -> Vec<(String, Fields)> {
        let original = self.known.given();
        let mut others: Vec<(String, Fields)> = Vec::new();
        let mut add = |what: String, mut given: Fields| {
            let named = keep.iter().copied().chain(self.variable());
            named.for_each(|name| _ = self.known.keep(&mut given, name));
            let is_new = given != original && !others.iter().any(|(_, known)| *known == given);
            if is_new && self.is_valid(&given) {
                others.push((what, given));
            }
            others.len()
        };
        for (what, given) in self.known.others(false) {
            if add(what, given) >= BOUNDS_MAX {
                break;
            }
        }
        for _ in 0..chance {
            if let Some(given) = self.known.protocol.generate(self.known.message, random) {
                add("its fields are by chance".into(), given);
            }
        }
        others
    }

    /// The fields that are written with variables.
    fn variable(&self) -> impl Iterator<Item = &str> {
        self.written.entries.iter().filter(|entry| has_variables(&entry.node)).map(|entry| entry.key.as_str())
    }

    fn is_valid(&self, given: &Fields) -> bool {
        let len_max = if self.is_datagram { DATAGRAM_LEN_MAX } else { STREAM_LEN_MAX };
        self.known.valid(given, self.is_datagram).is_some_and(|bytes| bytes.len() <= len_max)
    }

    /// How many messages are sent before it, and can be left out; none where later ones depend on what was answered.
    fn exchanges(&self) -> usize {
        if self.before.iter().any(keeps) { 0 } else { self.before.iter().filter(|node| is_send(node)).count() }
    }

    /// The message with these fields on one connection, and as it was on the next, with some of what is said before.
    fn case(&self, given: &Fields, is_said: &dyn Fn(usize) -> bool) -> Option<TestCase> {
        if !self.is_valid(given) {
            return None;
        }
        let mut number = 0;
        let mut before = self.before.clone();
        before.retain(|node| {
            number += usize::from(is_send(node));
            number == 0 || is_said(number - 1)
        });
        let (gone, next) = (self.gone.as_str(), self.next.as_str());
        let stays = |name: &str| self.written.get(name).is_some();
        let mut fields = fields(&self.known.protocol, self.known.message, given.clone(), &stays)?;
        for entry in self.written.entries.iter().filter(|entry| has_variables(&entry.node)) {
            fields.set(&entry.key, entry.node.clone());
        }
        let said = before.iter().filter(|node| verb(node).is_some_and(is_on_connection));
        let mut steps: Vec<Node> = said.map(|node| spoken_by(node, gone)).collect();
        steps.push(send_message(Some(gone), &self.name, fields));
        steps.push(self.answer(gone, self.answered && !self.may_be_silent(given), true));
        steps.push(close(Some(gone)));
        for (at, node) in before.iter().enumerate() {
            match verb(node) {
                Some("send") => {
                    steps.push(node.clone());
                    if is_answered(&before[at + 1..]) {
                        steps.push(self.answer(next, true, false));
                    }
                }
                // What is expected once something was said may be something else by now.
                Some("expect" | "expect_set") if before[..at].iter().any(is_send) && !keeps(node) => {}
                _ => steps.push(node.clone()),
            }
        }
        steps.push(send_message(Some(next), &self.name, self.written.clone()));
        steps.push(self.answer(next, self.answered, true));
        let mut case = with_steps(&self.case, steps);
        case.case_mut().set("strict_end", false);
        Some(case)
    }

    /// Waits for any message that may answer this one, or whatever was said, or for the end of the connection.
    fn answer(&self, actor: &str, has_to_come: bool, this: bool) -> Node {
        if !has_to_come {
            return drain(Some(actor), QUIET);
        }
        let mut names: Vec<Node> =
            self.replies(this).into_iter().map(|name| Table::of([(name, true)]).into()).collect();
        let wanted = match names.len() {
            1 => names.remove(0),
            _ => Table::of([("one_of", names)]).into(),
        };
        if self.is_datagram {
            return step(Some(actor), "expect", wanted);
        }
        let answer = vec![step(None, "expect", wanted), drain(None, QUIET)];
        let ends = [expect_eof(None), step(None, "expect_reset", true)];
        step(Some(actor), "alt", std::iter::once(Node::from(answer)).chain(ends).collect::<Vec<_>>())
    }

    /// The messages that may come: those that answer `this` one, and those that answer none; or all.
    fn replies(&self, this: bool) -> Vec<&str> {
        let messages = &self.known.protocol.messages;
        let own = &messages[self.known.message].replies;
        let comes = |at: &usize| {
            let answers = |message: &crate::protocol::Message| message.replies.contains(at);
            Protocol::goes(&messages[*at], Some(Direction::Reply))
                && (!this || own.is_empty() || own.contains(at) || !messages.iter().any(answers))
        };
        (0..messages.len()).filter(comes).map(|at| &*messages[at].name).collect()
    }

    /// Whether the description's states have no answer to a message with these fields.
    fn may_be_silent(&self, given: &Fields) -> bool {
        let known = &self.known;
        let states = known.protocol.states.iter().flat_map(|states| &states.states);
        let said = states.flat_map(|state| &state.transitions).filter(|said| said.message == known.message);
        let holds = |condition: &crate::protocol::Expression| {
            condition.holds(&|reference| known.number(given, reference)) == Some(true)
        };
        let mut replies = said.filter(|said| said.only_if.as_ref().is_none_or(holds)).map(|said| &said.replies);
        replies.next().is_some_and(|first| first.is_empty() && replies.all(Vec::is_empty))
    }
}

fn is_send(node: &Node) -> bool {
    verb(node) == Some("send")
}

/// Whether something is waited for in these steps before anything else is sent.
fn is_answered(steps: &[Node]) -> bool {
    let next = steps.iter().filter_map(verb).find(|verb| is_on_connection(verb));
    matches!(next, Some("expect" | "expect_eof" | "expect_set"))
}

fn has_variables(node: &Node) -> bool {
    match &node.value {
        Value::String(text) => text.replace("$${", "").contains("${"),
        Value::Array(items) => items.iter().any(has_variables),
        Value::Table(table) => table.entries.iter().any(|entry| has_variables(&entry.node)),
        _ => false,
    }
}

/// The same conversation on the next connection alone.
fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let other = without(case, |actor| actor.is_some_and(|actor| actor.ends_with(GONE)));
    (other.content() != case.content()).then_some(vec![other])
}
