//! `isolation`: connections at the same time leave each other alone.
//!
//! Each connection says something of its own: words of the case that can be others are replaced, in what is sent as in what is
//! expected, so that an answer on the wrong connection is seen. Which words these are was tried out before.

use super::edit::{beside, is_on_connection, speakers, spoken_by, with_steps, without};
use super::talk::{keeps, repeats};
use super::{Base, Kind, Parameters, Property, Variant};
use crate::document::{Node, Table, Value};
use crate::random::Random;
use crate::testcase::TestCase;
use crate::testcase::step::{connect, parts, split, verb, with};

/// How many connections there are unless somebody says otherwise.
const CONNECTIONS: u64 = 4;

/// The most that there are.
const CONNECTIONS_MAX: u64 = 64;

/// The shortest word that is replaced.
const WORD_LEN_MIN: usize = 3;

/// How many words are tried.
pub(super) const WORDS_MAX: usize = 16;

pub(super) const PROPERTY: Property = Property {
    name: "isolation",
    about: "what is said on one connection does not change what another one hears at the same time",
    sends: "the case on 4 connections at once, in lockstep and side by side, each with words of its own where words can be others; \
            one message in two halves while another connection says everything",
    judges: "the case's own expectations on each connection, and that each holds alone",
    cost: "some ten plays with 4 connections each",
    asked: None,
    parameters: &[("connections", Kind::Number, "how many connections there are: 4")],
    reduces: true,
    disturbs: false,
    plan,
    controls,
};

fn plan(base: &Base, parameters: &Parameters, random: &mut Random) -> Result<Vec<Variant>, String> {
    let count = parameters.number("connections").unwrap_or(CONNECTIONS).clamp(2, CONNECTIONS_MAX) as usize;
    let Some((moved, names)) = beside(&base.case, count) else {
        return Err("it is for cases with one connection and without loops".into());
    };
    repeats(base)?;
    if !base.side_by_side {
        return Err("the server serves one connection at a time".into());
    }
    let [(_, own)] = base.case.lanes().try_into().map_err(|_| "it is for cases with one order of steps")?;
    if own.iter().any(keeps) {
        return Err("what one connection saves would be what another one expects".into());
    }
    // What each connection says.
    let shift = 1 + random.below(4);
    let talks: Vec<Vec<Node>> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let fresh = |word: &str| rename(word, number as u64, shift);
            let renamed = own.iter().map(|node| replace(node, &base.words, &fresh));
            renamed.map(|node| speak(&node, name)).collect()
        })
        .collect();
    let make = |what: String, steps: Vec<Node>| {
        let case = with_steps(&moved, steps);
        Variant::new(what, case)
    };
    let steps = talks[0].len();
    let mut variants = Vec::new();
    // Somebody else is there and says nothing. Where connections are meant to hear of each other, one still hears its answers.
    let mut beside_silent = talks[0].clone();
    let first = beside_silent.iter().position(|node| verb(node) == Some("send")).unwrap_or_default();
    let mut come = vec![connect(Some(&names[1]))];
    if first == 0 {
        come.insert(0, connect(Some(&names[0])));
    }
    beside_silent.splice(first..first, come);
    let mut silent = make("another connection is open and says nothing".into(), beside_silent);
    // What it is told unasked is nobody's business.
    silent.case.case_mut().set("strict_end", false);
    let is_meant = !base.undisturbed && !base.asked;
    silent.certain = is_meant.then_some("timeout");
    variants.push(silent);
    if is_meant {
        return Ok(variants);
    }
    let lockstep = (0..steps).flat_map(|at| talks.iter().map(move |talk| talk[at].clone()));
    variants.push(make(format!("{count} connections in lockstep"), lockstep.collect()));
    let turned = (0..steps).flat_map(|at| {
        let is_send = verb(&own[at]) == Some("send");
        let order: Vec<usize> = if is_send { (0..count).collect() } else { (0..count).rev().collect() };
        order.into_iter().map(|number| talks[number][at].clone()).collect::<Vec<_>>()
    });
    variants.push(make(format!("{count} connections in lockstep, the last one answered first"), turned.collect()));
    let together = side_by_side(&moved, &names, &talks);
    variants.push(Variant::new(format!("{count} connections side by side"), together));
    for sent in base.sends.iter().filter(|sent| sent.len > 1 && !base.transport.is_datagram()) {
        for cut in [sent.len / 2, 1, sent.len - 1] {
            // The first connection is in the middle of this message while the second one says everything.
            let mut lanes = [talks[0].clone(), talks[1].clone()];
            lanes[0][sent.at] = with(split(lanes[0][sent.at].clone(), &[cut]), "pace", "1B/60ms");
            // The other one speaks when the server has had the time to read that much, and before it gets the rest.
            let sleep = Table::of([("sleep", "20ms")]).into();
            lanes[1].splice(0..0, [connect(Some(&names[1])), awaits("halfway"), sleep]);
            lanes[0].insert(sent.at, notifies("halfway"));
            let what =
                format!("another connection says everything while {cut} of {} bytes of a message have come", sent.len);
            variants.push(Variant::new(what, side_by_side(&moved, &names[..2], &lanes)));
        }
    }
    Ok(variants)
}

fn awaits(name: &str) -> Node {
    Table::of([("await", name)]).into()
}

fn notifies(name: &str) -> Node {
    Table::of([("notify", name)]).into()
}

fn speak(node: &Node, name: &str) -> Node {
    if verb(node).is_some_and(is_on_connection) { spoken_by(node, name) } else { node.clone() }
}

/// Each connection in an order of its own.
pub(super) fn side_by_side(moved: &TestCase, names: &[String], talks: &[Vec<Node>]) -> TestCase {
    let mut case = moved.clone();
    // In `play` the steps of an actor are its own; a group is as many actors as it has members, and here each says something else.
    let actors = case.document().get("actor").and_then(Node::as_table).cloned().unwrap_or_default();
    let Some(group) = actors.entries.first() else { return case };
    let mut apart = Table::default();
    let mut play = Table::default();
    for (number, (name, talk)) in names.iter().zip(talks).enumerate() {
        let own = format!("{}{}", group.key, number + 1);
        let mut actor = group.node.as_table().cloned().unwrap_or_default();
        actor.remove("count");
        apart.set(own.as_str(), actor);
        let bare = talk.iter().map(|node| match parts(node) {
            Some((Some(actor), table)) if actor == name => Node::from(table.clone()),
            _ => node.clone(),
        });
        play.set(own.as_str(), bare.collect::<Vec<_>>());
    }
    case.document_mut().set("actor", apart);
    case.case_mut().remove("steps");
    case.case_mut().set("play", play);
    case
}

/// Each connection's own steps, alone.
fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    if !case.is_one_order() {
        let lanes: Vec<String> = case.lanes().iter().map(|(name, _)| (*name).to_owned()).collect();
        let alone = |own: &String| {
            let mut alone = case.clone();
            let (_, steps) = case.lanes().into_iter().find(|(name, _)| name == own)?;
            let steps = steps.iter().filter(|node| !verb(node).is_some_and(|verb| matches!(verb, "await" | "notify")));
            let play = Table::of([(own.as_str(), steps.cloned().collect::<Vec<_>>())]);
            alone.case_mut().set("play", play);
            Some(alone)
        };
        return (lanes.len() > 1).then(|| lanes.iter().filter_map(alone).collect());
    }
    let names = speakers(case);
    (names.len() > 1).then(|| names.iter().map(|own| without(case, |actor| actor != own.as_deref())).collect())
}

/// Words of a case that might be others: of its messages, as far as they are text.
pub(super) fn words(base: &Base) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |text: &str| {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
            let known = words.iter().any(|known| known.eq_ignore_ascii_case(word));
            if word.len() >= WORD_LEN_MIN && !known && words.len() < WORDS_MAX {
                words.push(word.to_owned());
            }
        }
    };
    for sent in &base.sends {
        // In a message by name fields have nothing between them; where it is told, each is a text of its own.
        let said = base.case.lanes().into_iter().find(|(name, _)| *name == sent.lane);
        let said = said.and_then(|(_, steps)| parts(steps.get(sent.at)?)?.1.get("send"));
        match said {
            Some(node) if node.as_table().is_some() => texts(node, &mut add),
            _ => {}
        }
        if let Ok(text) = str::from_utf8(&sent.bytes) {
            add(text);
        }
    }
    words
}

/// Visits the texts in a payload.
fn texts(node: &Node, visit: &mut dyn FnMut(&str)) {
    match &node.value {
        Value::Array(items) => items.iter().for_each(|item| texts(item, visit)),
        Value::String(text) => visit(text),
        Value::Table(table) => {
            let read = table.entries.iter().filter(|entry| !matches!(entry.key.as_str(), "hex" | "base64" | "file"));
            read.for_each(|entry| texts(&entry.node, visit));
        }
        _ => {}
    }
}

/// The case with these words replaced by others.
pub(super) fn renamed(case: &TestCase, words: &[String]) -> TestCase {
    let mut renamed = case.clone();
    let names: Vec<String> = case.lanes().iter().map(|(name, _)| (*name).to_owned()).collect();
    for name in names {
        for node in renamed.lane_mut(&name).into_iter().flatten() {
            *node = replace(node, words, &|word| rename(word, 0, 1));
        }
    }
    renamed
}

/// Another word of the same length and look for each number.
pub(super) fn rename(word: &str, number: u64, shift: u64) -> String {
    // The places count like the digits of a number, so that no two connections get the same word.
    let mut rest = number + shift;
    let turned = word.bytes().rev().map(|byte| {
        let (first, size) = match byte {
            b'a'..=b'z' => (b'a', 26),
            b'A'..=b'Z' => (b'A', 26),
            b'0'..=b'9' => (b'0', 10),
            byte => return byte as char,
        };
        let digit = (u64::from(byte - first) + rest % size) % size;
        rest /= size;
        (first + digit as u8) as char
    });
    let turned: Vec<char> = turned.collect();
    turned.into_iter().rev().collect()
}

/// A step with words replaced in all its texts, however they are written.
pub(super) fn replace(node: &Node, words: &[String], fresh: &dyn Fn(&str) -> String) -> Node {
    let mut replaced = node.clone();
    replace_in(&mut replaced.value, words, fresh);
    replaced
}

fn replace_in(value: &mut Value, words: &[String], fresh: &dyn Fn(&str) -> String) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace_in(&mut item.value, words, fresh)),
        Value::String(text) => *text = replace_text(text, words, fresh),
        Value::Table(table) => {
            for entry in &mut table.entries {
                if !matches!(
                    entry.key.as_str(),
                    "within" | "note" | "pace" | "mark" | "after" | "hex" | "base64" | "file"
                ) {
                    replace_in(&mut entry.node.value, words, fresh);
                }
            }
        }
        _ => {}
    }
}

fn replace_text(text: &str, words: &[String], fresh: &dyn Fn(&str) -> String) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(len);
        match words.iter().find(|known| known.eq_ignore_ascii_case(word)) {
            // `hello`, `HELLO` and `Hello` stay the same word.
            Some(known) => {
                let other = fresh(&known.to_ascii_lowercase());
                let look =
                    |(new, old): (char, char)| if old.is_ascii_uppercase() { new.to_ascii_uppercase() } else { new };
                output.extend(other.chars().zip(word.chars()).map(look));
            }
            None => output.push_str(word),
        }
        let mut chars = after.chars();
        output.extend(chars.next());
        rest = chars.as_str();
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_another_one_on_each_connection() {
        let words: std::collections::HashSet<String> = (0..64).map(|number| rename("abc", number, 1)).collect();
        assert!(words.len() == 64 && !words.contains("abc"));
        let fresh = |word: &str| rename(word, 0, 1);
        assert_eq!(replace_text("put colour Blue\r\n", &["blue".into()], &fresh), "put colour Bluf\r\n");
        assert_eq!(replace_text("BLUE blues", &["blue".into()], &fresh), "BLUF blues");
    }
}
