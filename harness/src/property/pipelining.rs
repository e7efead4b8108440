//! `pipelining`: requests in one write are answered as requests apart are.
//!
//! A reader that drops what follows the first message of a read works with every client that waits for its answers.

use super::edit::{note, noted, with_steps};
use super::talk::{on_stream, some};
use super::{Base, Parameters, Property, Variant};
use crate::document::{Node, Value};
use crate::random::Random;
use crate::testcase::TestCase;
use crate::testcase::step::{parts, split, step, verb, with};

/// How many copies of one exchange are sent in one write.
const COPIES: usize = 16;

/// What notes on expectations begin with: which request of the write before they answer.
const ANSWER: &str = "answer ";

pub(super) const PROPERTY: Property = Property {
    name: "pipelining",
    about: "requests that are sent in one write are answered as they are when each waits for the answer before it",
    sends: "all requests of the case in one write; each two neighbours; one request 16 times; and two of them with a pause in the \
            middle of the second",
    judges: "the case's own expectations, in the order of the requests",
    cost: "a few plays for each request",
    asked: None,
    parameters: &[],
    reduces: true,
    disturbs: false,
    plan,
    controls,
};

fn plan(base: &Base, _parameters: &Parameters, _random: &mut Random) -> Result<Vec<Variant>, String> {
    let talk = on_stream(base)?;
    if !talk.opening.iter().all(|node| verb(node) != Some("expect")) && !base.asked {
        return Err("the server speaks first, and such protocols often want one request at a time; \
                    `--property pipelining` tests it all the same"
            .into());
    }
    let all = &talk.exchanges;
    if all.iter().any(|exchange| exchange.answers.is_empty()) {
        return Err("a request of the case has no answer that is expected".into());
    }
    let make = |order: &[usize], together: std::ops::Range<usize>, cut: Option<usize>| {
        let mut steps = talk.opening.clone();
        for at in 0..order.len() {
            if !together.contains(&at) {
                steps.extend(all[order[at]].steps());
                continue;
            }
            if at != together.start {
                continue;
            }
            steps.extend(one_write(order[together.clone()].iter().map(|at| &all[*at].send), cut));
            for (number, at) in together.clone().enumerate() {
                let answer = |node: &Node| noted(node.clone(), &format!("{ANSWER}{}", number + 1));
                steps.extend(all[order[at]].answers.iter().map(answer));
            }
        }
        steps.extend(talk.closing.clone());
        with_steps(&base.case, steps)
    };
    let order: Vec<usize> = (0..all.len()).collect();
    let mut variants = Vec::new();
    let mut add = |what: String, case: TestCase| variants.push(Variant::new(what, case));
    if all.len() > 1 {
        add(format!("all {} requests in one write", all.len()), make(&order, 0..all.len(), None));
        for at in (0..all.len() - 1).filter(|_| all.len() > 2) {
            add(format!("requests {} and {} in one write", at + 1, at + 2), make(&order, at..at + 2, None));
        }
        for at in 0..all.len() - 1 {
            if let [Some(first), Some(second)] = [at, at + 1].map(|at| base.sends.get(at).map(|sent| sent.len))
                && second > 1
            {
                let what = format!("requests {} and {} in one write, cut in the middle of the second", at + 1, at + 2);
                add(what, make(&order, at..at + 2, Some(first + second / 2)));
            }
        }
    }
    if !talk.ends_itself() {
        for at in 0..all.len() {
            // What came before is said before: a login, for example.
            let twice: Vec<usize> = (0..at).chain([at, at]).collect();
            add(format!("request {} twice in one write", at + 1), make(&twice, at..at + 2, None));
            let often: Vec<usize> = (0..at).chain([at; COPIES]).collect();
            add(format!("request {} {COPIES} times in one write", at + 1), make(&often, at..at + COPIES, None));
        }
    }
    some(variants, "it has one request, and the server closes the connection after it")
}

/// These sends as one.
fn one_write<'n>(sends: impl Iterator<Item = &'n Node>, cut: Option<usize>) -> Option<Node> {
    let mut payloads = Vec::new();
    let mut speaker = None;
    for send in sends {
        let (actor, table) = parts(send)?;
        speaker = actor.map(str::to_owned);
        match &table.get("send")?.value {
            Value::Array(items) => payloads.extend(items.clone()),
            value => payloads.push(value.clone().into()),
        }
    }
    let one = with(step(speaker.as_deref(), "send", payloads), "coalesce", true);
    Some(match cut {
        Some(cut) => with(split(one, &[cut]), "pace", "1B/10ms"),
        None => one,
    })
}

/// The same requests apart, each with its answers.
fn controls(case: &TestCase) -> Option<Vec<TestCase>> {
    let mut apart = case.clone();
    let lane = apart.lane_mut("steps")?;
    let steps = std::mem::take(lane);
    let mut at = 0;
    while at < steps.len() {
        let table = parts(&steps[at]).map(|(actor, table)| (actor.map(str::to_owned), table));
        let payloads = table.as_ref().filter(|(_, table)| table.get("coalesce").is_some());
        let payloads = payloads.and_then(|(_, table)| table.get("send")?.as_array());
        let Some(payloads) = payloads else {
            lane.push(steps[at].clone());
            at += 1;
            continue;
        };
        let answers: Vec<&Node> = steps[at + 1..].iter().take_while(|node| answers(node).is_some()).collect();
        if answers.is_empty() {
            return None;
        }
        let actor = table.as_ref().and_then(|(actor, _)| actor.as_deref());
        for (number, payload) in payloads.iter().enumerate() {
            lane.push(step(actor, "send", payload.clone()));
            let own = answers.iter().filter(|node| self::answers(node) == Some(number + 1));
            lane.extend(own.map(|node| (*node).clone()));
        }
        at += 1 + answers.len();
    }
    Some(vec![apart])
}

/// Which request of the write before a step waits for.
fn answers(node: &Node) -> Option<usize> {
    note(node)?.strip_prefix(ANSWER)?.parse().ok()
}
