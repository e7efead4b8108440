//! `linearizable`: clients that write and read the same keys at once see what one order of it all explains.
//!
//! How a key is written and read is taken from the case: a word that one message says and the answer to another one repeats is
//! a value, a word that both messages say is the key. Clients of a `Program` say these two messages with other words, each
//! written value a different one, so that a read says by itself which write it has seen. What they saw is a history, and that is
//! judged (`history`). One that has no order is proof already; still it is tried whether the same operations one after the other
//! fail as well, because such a case is small and fails by itself.

mod history;
mod program;

use std::cell::Cell;
use std::collections::BTreeMap;

use history::{Act, Judgement, Operation, SEARCH_MAX, judge};
use program::{Program, Shape};

use super::judge::Confirmed;
use super::session::{Session, Told, Violation};
use super::{Base, Kind, Outcome, Parameters, Property, Selected, Variant};
use crate::event::Verdict;
use crate::random::Random;
use crate::reduce::search::delete;
use crate::reduce::{Budget, Size};
use crate::testcase::{Class, Failed, Played, TestCase};

/// How many programs are played unless somebody says otherwise.
const PROGRAMS: usize = 32;

/// How many are played on the same targets.
const BATCH: usize = 8;

/// How many clients there are.
const CLIENTS: u64 = 4;

/// The most clients: a search takes exponentially longer with each.
const CLIENTS_MAX: u64 = 16;

/// How many keys they use.
const KEYS: u64 = 2;

/// The most keys.
const KEYS_MAX: u64 = 64;

/// How many operations each client has.
const OPERATIONS: u64 = 12;

/// The most operations of a client.
const OPERATIONS_MAX: u64 = 200;

/// How often what does not fail one after the other is played again, to say how often it happens.
const REPLAYS: usize = 20;

/// How often a smaller program of that kind is tried.
const TRIES: usize = 6;

/// How many operations a timeline shows.
const SHOWN: usize = 10;

pub(super) const PROPERTY: Property = Property {
    name: "linearizable",
    about: "of clients that write and read the same keys at once each sees what one order of all that was said explains",
    sends: "32 times 4 clients side by side, each with 12 writes and reads of 2 keys, made of the case's own write and read with other \
            keys and values; each written value is a different one",
    judges: "whether there is an order in which each read sees the last write and nothing comes before what had ended when it began",
    cost: "32 plays with 4 connections each; a search that takes more than a million steps is given up and told",
    asked: Some("replicas and caches may promise less, and the case has to write a value and read it back"),
    parameters: &[
        ("clients", Kind::Number, "how many clients there are: 4"),
        ("key", Kind::Text, "the word of the case that is the key; without it, the one that write and read share"),
        ("keys", Kind::Number, "how many keys they use: 2"),
        ("operations", Kind::Number, "how many operations each client has: 12"),
        ("value", Kind::Text, "the word of the case that is the value; without it, the one that is read back"),
    ],
    reduces: false,
    disturbs: false,
    plan: |_, _, _| Err("it is tested in a way of its own".into()),
    controls: |_| Some(Vec::new()),
};

/// What a play of a program shows.
enum Seen {
    /// One order explains it.
    Fine,
    /// None does.
    Wrong(Wrong),
    /// It cannot be judged, and why.
    Unclear(&'static str),
}

/// A history without an order.
struct Wrong {
    /// In a sentence.
    message: String,
    /// What happened on the key, line by line.
    timeline: Vec<String>,
    /// The operations in the order in which they ended.
    order: Vec<usize>,
}

/// Tests a case.
pub(super) fn test(
    session: &Session<'_>,
    selected: &Selected,
    base: &Base,
    random: &mut Random,
    told: &mut dyn FnMut(Told<'_>),
) -> Outcome {
    let parameters = &selected.parameters;
    let shape = match shape(base, parameters) {
        Ok(shape) => shape,
        Err(why) => return Outcome::LeftOut(why),
    };
    let number = |name: &str, or: u64, most: u64| parameters.number(name).unwrap_or(or).clamp(1, most) as usize;
    let keys = if shape.key.is_some() { number("keys", KEYS, KEYS_MAX) } else { 1 };
    let operations = number("operations", OPERATIONS, OPERATIONS_MAX);
    let planned = session.cases.unwrap_or(PROGRAMS);
    let patience = session.patience(base);
    let mut unclear = None;
    let mut played = 0;
    while played < planned && (played == 0 || !session.is_late()) {
        told(Told::Progress(played, planned));
        let count = if base.repeatable { BATCH.min(planned - played) } else { 1 };
        let draw = |_| Program::draw(shape.clients(), keys, operations, random);
        let programs: Vec<Program> = (0..count).map(draw).collect();
        let cases: Vec<TestCase> = programs.iter().map(|program| patience.hasten(&shape.concurrent(program))).collect();
        let batch = match session.player.play_all(&cases, 1, Some(patience.rest)) {
            Ok(batch) => batch,
            Err(error) => return Outcome::Unknown(error.to_string()),
        };
        for (at, (program, result)) in programs.iter().zip(&batch.played).enumerate() {
            let Some(result) = result else { continue };
            if result.verdict == Verdict::Interrupted {
                return Outcome::Interrupted;
            }
            let found = match (see(&shape, program, result), result.failed.is_some()) {
                (Seen::Wrong(wrong), _) => violation(session, &shape, program, &wrong, base, played + at + 1, told),
                // Nobody has written what was read, or there was no answer: that fails as it stands.
                (_, true) => {
                    let what = format!("{} clients at once", shape.clients());
                    let variant = Variant::new(what, shape.concurrent(program));
                    session.confirm(&PROPERTY, &variant, patience, played + at + 1, told)
                }
                (Seen::Unclear(why), false) => Confirmed::Unclear(why.into()),
                (Seen::Fine, false) => Confirmed::No,
            };
            match found {
                Confirmed::Yes(violation) => return Outcome::Violated(violation),
                Confirmed::Interrupted => return Outcome::Interrupted,
                Confirmed::Unclear(why) => unclear = Some(why),
                Confirmed::No => {}
            }
        }
        played += count;
    }
    match unclear {
        Some(why) => Outcome::Unknown(why),
        None => Outcome::Held { played, planned },
    }
}

fn shape(base: &Base, parameters: &Parameters) -> Result<Shape, String> {
    super::talk::repeats(base)?;
    if !base.side_by_side {
        return Err("the server serves one connection at a time".into());
    }
    let clients = parameters.number("clients").unwrap_or(CLIENTS).clamp(1, CLIENTS_MAX) as usize;
    Shape::of(base, clients, parameters.text("key"), parameters.text("value"))
}

/// What a play of a program shows.
fn see(shape: &Shape, program: &Program, played: &Played) -> Seen {
    let Some(history) = program.history(shape, played) else {
        return Seen::Unclear(
            "an answer holds several of the values that were written, so nobody knows which was read",
        );
    };
    let mut by_key: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, operation) in history.iter().enumerate() {
        if operation.is_some() {
            by_key.entry(program.steps[at].key).or_default().push(at);
        }
    }
    for own in by_key.values() {
        let operations: Vec<Operation> = own.iter().filter_map(|at| history[*at]).collect();
        match judge(&operations, SEARCH_MAX) {
            Judgement::Linearizable(_) => {}
            Judgement::Unknown => return Seen::Unclear("the search for an order took more than a million steps"),
            Judgement::Not { longest, stuck, holds } => {
                let (stuck_at, stuck) = (own[stuck], operations[stuck]);
                let longest: Vec<usize> = longest.into_iter().map(|at| own[at]).collect();
                let mut order: Vec<usize> = (0..history.len()).filter(|at| history[*at].is_some()).collect();
                order.sort_by_key(|at| history[*at].and_then(|operation| operation.ended).unwrap_or(u64::MAX));
                let value =
                    |value: Option<u32>| value.map_or("nothing".into(), |value| format!("`{}`", shape.value(value)));
                let who = program.steps[stuck_at].client + 1;
                let of = shape
                    .key
                    .as_ref()
                    .map_or(String::new(), |_| format!(" of `{}`", shape.key(program.steps[stuck_at].key)));
                let message = match stuck.act {
                    Act::Read(seen) => format!(
                        "client {who} read {}{of}, and no order of what was said explains that: by then it was {}",
                        value(seen),
                        value(holds)
                    ),
                    Act::Write(_) => format!("no order of what was said{of} explains what was read"),
                };
                return Seen::Wrong(Wrong {
                    message,
                    timeline: timeline(shape, program, &history, own, &longest, stuck_at),
                    order,
                });
            }
        }
    }
    Seen::Fine
}

/// What happened on one key until nothing explains it any more: who, from when to when, what.
fn timeline(
    shape: &Shape,
    program: &Program,
    history: &[Option<Operation>],
    own: &[usize],
    longest: &[usize],
    stuck: usize,
) -> Vec<String> {
    let until = history[stuck].and_then(|operation| operation.ended).unwrap_or(u64::MAX);
    let mut shown: Vec<(usize, Operation)> = own
        .iter()
        .filter_map(|at| Some((*at, history[*at]?)))
        .filter(|(_, operation)| operation.begun <= until)
        .collect();
    shown.sort_by_key(|(_, operation)| (operation.begun, operation.ended));
    let left_out = shown.len().saturating_sub(SHOWN);
    let shown = &shown[left_out..];
    let first = shown.first().map_or(0, |(_, operation)| operation.begun);
    let at = |time: u64| format!("{}", time.saturating_sub(first) / 1000);
    let mut lines = Vec::new();
    if left_out > 0 {
        lines.push(format!("({left_out} operations before)"));
    }
    for (number, operation) in shown {
        let what = match operation.act {
            Act::Read(Some(value)) => format!("reads  {}", shape.value(value)),
            Act::Read(None) => "reads  nothing".into(),
            Act::Write(value) => format!("writes {}", shape.value(value)),
        };
        let place = longest.iter().position(|at| at == number);
        let place = match place {
            _ if *number == stuck => "has no place".into(),
            Some(place) => format!("can be the {}.", place + 1),
            None => String::new(),
        };
        let time = format!("{}..{} us", at(operation.begun), operation.ended.map_or("?".into(), at));
        lines.push(
            format!("client {:<2} {time:<16} {what:<20} {place}", program.steps[*number].client + 1).trim_end().into(),
        );
    }
    lines
}

/// What is made of a history without an order: a case that fails each time, or else how often it happens.
fn violation(
    session: &Session<'_>,
    shape: &Shape,
    program: &Program,
    wrong: &Wrong,
    base: &Base,
    after: usize,
    told: &mut dyn FnMut(Told<'_>),
) -> Confirmed {
    let patience = session.patience(base);
    let parts = shape.one_by_one(program, &wrong.order);
    let every: Vec<usize> = (0..parts.choices.len()).collect();
    if let Some(case) = (parts.make)(&every, &parts.choices) {
        let what = "writes and reads of several clients, one after the other";
        let variant = Variant { parts: Some(parts), ..Variant::new(what, case) };
        match session.confirm(&PROPERTY, &variant, patience, after, told) {
            Confirmed::Yes(mut violation) => {
                violation.timeline.clone_from(&wrong.timeline);
                return Confirmed::Yes(violation);
            }
            Confirmed::Interrupted => return Confirmed::Interrupted,
            Confirmed::No | Confirmed::Unclear(_) => {}
        }
    }
    sometimes(session, shape, program, wrong, base, after)
}

/// A history is proof, also where it does not happen again: what is left to say is how often it does, and with how little.
fn sometimes(
    session: &Session<'_>,
    shape: &Shape,
    program: &Program,
    wrong: &Wrong,
    base: &Base,
    after: usize,
) -> Confirmed {
    let patience = session.patience(base);
    let budget = Budget::of(session.shrink);
    let replays = Cell::new(0);
    let mut shown: Option<(Program, Wrong)> = None;
    // One after the other on the same targets: every play begins with a write to each key.
    let play = |program: &Program, times: usize| -> Vec<Wrong> {
        replays.set(replays.get() + times as u64);
        let cases = vec![patience.hasten(&shape.concurrent(program)); times];
        let Ok(batch) = session.player.play_all(&cases, 1, Some(patience.rest)) else { return Vec::new() };
        let wrong = |played: &Played| match see(shape, program, played) {
            Seen::Wrong(wrong) => Some(wrong),
            Seen::Fine | Seen::Unclear(_) => None,
        };
        batch.played.iter().flatten().filter_map(wrong).collect()
    };
    delete(program.steps.len(), &|at| program.steps[at].first, &mut |kept| {
        let smaller = program.only(kept);
        if budget.is_over(replays.get()) {
            return None;
        }
        let found = play(&smaller, TRIES).into_iter().next();
        let is_wrong = found.is_some();
        shown = found.map(|wrong| (smaller, wrong)).or(shown.take());
        Some(is_wrong)
    });
    let (smallest, wrong) = match &shown {
        Some((smallest, wrong)) => (smallest, wrong),
        None => (program, wrong),
    };
    let times = play(smallest, REPLAYS).len();
    let case = shape.concurrent(smallest);
    Confirmed::Yes(Box::new(Violation {
        what: format!("{} clients at once", shape.clients()),
        failed: Failed::new(Class::Property, PROPERTY.name, &wrong.message),
        timeline: wrong.timeline.clone(),
        fails_alone: false,
        played: None,
        verdict: if times == REPLAYS { "deterministic" } else { "flaky" },
        probability: times as f64 / REPLAYS as f64,
        sizes: (Size::of(&shape.concurrent(program)), Size::of(&case)),
        after,
        replays: replays.get(),
        path: None,
        case,
    }))
}
