//! `model`: in every state the server does what the table of the file says, however it got there.
//!
//! Walks through the `[model]` of a file: to each transition on the shortest way, in each of its ways; each two transitions that
//! can follow each other; and by chance. A walk that fails is made small by leaving out transitions, as far as the guards of the
//! others still hold, and by taking them in simpler ways.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::edit::with_steps;
use super::judge::Parts;
use super::{Base, Kind, Parameters, Property, Variant};
use crate::random::Random;
use crate::scenario::Model;
use crate::testcase::TestCase;

/// How many walks by chance there are.
const WALKS: u64 = 64;

/// How many transitions one of them has.
const LENGTH: u64 = 24;

/// The most transitions of a walk.
const LENGTH_MAX: u64 = 1_000;

/// The most states, each with its counts, that are looked at for the shortest ways.
const PLACES_MAX: usize = 4_096;

/// The most walks of two transitions that follow each other.
const PAIRS_MAX: usize = 1_024;

/// How many transitions the name of a walk tells.
const TOLD: usize = 8;

pub(super) const PROPERTY: Property = Property {
    name: "model",
    about: "in each state the server does what the `[model]` of the file says, however it got there",
    sends: "walks through the model: the shortest to each transition, in each of its ways; each two that can follow each other; and 64 \
            of 24 transitions by chance",
    judges: "the expectations of each transition's steps, and that nothing else comes",
    cost: "a play for each way of a transition, each two transitions, and each walk by chance",
    asked: Some("it needs a `[model]` in the file, and is then tested without being asked for"),
    parameters: &[
        ("length", Kind::Number, "how many transitions a walk by chance has: 24"),
        ("walks", Kind::Number, "how many walks by chance there are: 64"),
    ],
    reduces: false,
    disturbs: false,
    plan,
    controls: |_| Some(Vec::new()),
};

/// A state, and what is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct At {
    state: usize,
    counts: Vec<i64>,
}

/// A transition by number, in one of its ways.
type Taken = (usize, usize);

impl At {
    fn start(model: &Model) -> At {
        At { state: 0, counts: model.counts.iter().map(|(_, from)| *from).collect() }
    }

    fn allows(&self, model: &Model, transition: usize) -> bool {
        let transition = &model.transitions[transition];
        let from = transition.from.as_ref().is_none_or(|from| from.contains(&self.state));
        from && transition.when.iter().all(|(count, least, most)| (*least..=*most).contains(&self.counts[*count]))
    }

    fn after(&self, model: &Model, transition: usize) -> At {
        let transition = &model.transitions[transition];
        let mut after = self.clone();
        after.state = transition.to.unwrap_or(self.state);
        transition.set.iter().for_each(|(count, number)| after.counts[*count] = *number);
        transition.add.iter().for_each(|(count, number)| {
            after.counts[*count] = after.counts[*count].saturating_add(*number);
        });
        after
    }

    fn allowed(&self, model: &Model) -> Vec<usize> {
        (0..model.transitions.len()).filter(|transition| self.allows(model, *transition)).collect()
    }
}

fn plan(base: &Base, parameters: &Parameters, random: &mut Random) -> Result<Vec<Variant>, String> {
    let model = base.model.as_ref().ok_or("the file has no `[model]`")?;
    let walks = walks(
        model,
        parameters.number("walks").unwrap_or(WALKS) as usize,
        parameters.number("length").unwrap_or(LENGTH).min(LENGTH_MAX) as usize,
        random,
    );
    let variants = walks.into_iter().filter_map(|walk| {
        let every: Vec<usize> = (0..walk.len()).collect();
        let what = told(model, &walk);
        let transitions: Vec<usize> = walk.iter().map(|(transition, _)| *transition).collect();
        let choices: Vec<usize> = walk.iter().map(|(_, way)| *way).collect();
        let (model, like) = (Arc::clone(model), base.case.clone());
        let make = move |kept: &[usize], choices: &[usize]| {
            let walk: Vec<Taken> = kept.iter().map(|at| (transitions[*at], choices[*at])).collect();
            case(&like, &model, &walk)
        };
        let case = make(&every, &choices)?;
        Some(Variant { parts: Some(Parts { choices, make: Arc::new(make) }), ..Variant::new(what, case) })
    });
    Ok(variants.collect())
}

/// The steps of a walk; `None` where a guard does not hold, or nothing is said.
fn case(like: &TestCase, model: &Model, walk: &[Taken]) -> Option<TestCase> {
    let mut at = At::start(model);
    let mut steps = model.begin.clone();
    for (transition, way) in walk {
        if !at.allows(model, *transition) {
            return None;
        }
        steps.extend(model.steps(*transition, *way, &at.counts));
        at = at.after(model, *transition);
    }
    if steps.is_empty() {
        return None;
    }
    let mut case = with_steps(&like.like("a walk through the model", Vec::new()), steps);
    case.case_mut().remove("strict_end");
    Some(case)
}

fn told(model: &Model, walk: &[Taken]) -> String {
    let names: Vec<&str> = walk.iter().map(|(transition, _)| model.transitions[*transition].name.as_str()).collect();
    match names.len() {
        ..=TOLD => names.join(", "),
        count => format!("{}, .. ({count} transitions)", names[..TOLD].join(", ")),
    }
}

/// The walks, those that tell most first.
fn walks(model: &Model, by_chance: usize, length: usize, random: &mut Random) -> Vec<Vec<Taken>> {
    let mut walks: Vec<Vec<Taken>> = Vec::new();
    let mut known: HashSet<Vec<Taken>> = HashSet::new();
    let mut add = |walk: Vec<Taken>| {
        if known.insert(walk.clone()) {
            walks.push(walk);
        }
    };
    let shortest = shortest(model);
    for (way, at) in &shortest {
        let (before, last) = way.split_at(way.len() - 1);
        for choice in 0..model.transitions[*at].ways.len().max(1) {
            add([before, &[(last[0].0, choice)]].concat());
        }
    }
    let mut pairs = 0;
    for (way, _) in &shortest {
        let at = way.iter().fold(At::start(model), |at, (transition, _)| at.after(model, *transition));
        for next in at.allowed(model) {
            if pairs < PAIRS_MAX {
                pairs += 1;
                add([way.as_slice(), &[(next, 0)]].concat());
            }
        }
    }
    // What was taken least is taken first.
    let mut taken = vec![0_u64; model.transitions.len()];
    for _ in 0..by_chance {
        let (mut at, mut walk) = (At::start(model), Vec::new());
        while walk.len() < length {
            let allowed = at.allowed(model);
            if allowed.is_empty() {
                break;
            }
            let mut draw = || allowed[random.below(allowed.len() as u64) as usize];
            let (one, other) = (draw(), draw());
            let next = if taken[other] < taken[one] { other } else { one };
            taken[next] += 1;
            let ways = model.transitions[next].ways.len().max(1);
            walk.push((next, random.below(ways as u64) as usize));
            at = at.after(model, next);
        }
        if !walk.is_empty() {
            add(walk);
        }
    }
    walks
}

/// The shortest walk that ends with each transition that can be reached, and that transition.
fn shortest(model: &Model) -> Vec<(Vec<Taken>, usize)> {
    let mut found: Vec<(Vec<Taken>, usize)> = Vec::new();
    let mut seen = HashSet::from([At::start(model)]);
    let mut open: VecDeque<(At, Vec<Taken>)> = VecDeque::from([(At::start(model), Vec::new())]);
    while let Some((at, way)) = open.pop_front() {
        for transition in at.allowed(model) {
            let longer = [way.as_slice(), &[(transition, 0)]].concat();
            if !found.iter().any(|(_, known)| *known == transition) {
                found.push((longer.clone(), transition));
            }
            let after = at.after(model, transition);
            if seen.len() < PLACES_MAX && seen.insert(after.clone()) {
                open.push_back((after, longer));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Known, load};

    const TABLE: &str = r#"
        [target]
        builtin = "tcp-echo"
        [[case]]
        name = "c"
        steps = [{ send = "a" }, { expect = "a" }]
        [model]
        start = "out"
        counts = { tries = 0 }
        [model.transition.fail]
        from = "out"
        when = { tries = { max = 1 } }
        add = { tries = 1 }
        with = { word = ["no", "never"] }
        steps = [{ send = "${word} ${tries}" }, { expect = "${word} ${tries}" }]
        [model.transition.login]
        from = "out"
        to = "in"
        when = { tries = 2 }
        steps = [{ send = "yes" }, { expect = "yes" }]
    "#;

    fn table() -> Model {
        let scenario = load("s.toml", TABLE, &Known::default()).expect("it is valid");
        scenario.model.as_deref().expect("it has one").clone()
    }

    #[test]
    fn the_shortest_way_to_each_transition_keeps_to_the_guards() {
        let model = table();
        assert_eq!(shortest(&model), [(vec![(0, 0)], 0), (vec![(0, 0), (0, 0), (1, 0)], 1)]);
        let walks = walks(&model, 4, 9, &mut Random::new(1, "walks"));
        assert_eq!(&walks[..4], [vec![(0, 0)], vec![(0, 1)], vec![(0, 0), (0, 0), (1, 0)], vec![(0, 0), (0, 0)]]);
        assert!(walks[4..].iter().all(|walk| walk.len() == 3 && walk[2] == (1, 0)), "{walks:?}");
    }

    #[test]
    fn steps_know_values_and_counts() {
        let model = table();
        let base = TestCase::from_scenario(std::path::Path::new("s.toml"), TABLE, &Known::default(), None);
        let base = base.expect("it is valid");
        let walk = case(&base, &model, &[(0, 1), (0, 0), (1, 0)]).expect("the guards hold");
        let text = walk.text();
        assert!(text.contains(r#"{ send = "never 0" }"#) && text.contains(r#"{ send = "no 1" }"#), "{text}");
        assert_eq!(case(&base, &model, &[(0, 0), (1, 0)]), None, "one failure is not enough");
        assert!(!text.contains("model."), "{text}");
    }

    #[track_caller]
    fn mistake(from: &str, to: &str, expected: &str) {
        let text = TABLE.replacen(from, to, 1);
        assert_ne!(text, TABLE);
        let mistakes = load("s.toml", &text, &Known::default()).expect_err("there is a mistake");
        let told: Vec<String> =
            mistakes.iter().map(|mistake| format!("{}: {}", mistake.place.line, mistake.message)).collect();
        assert_eq!(told, [expected]);
    }

    #[test]
    fn mistakes_in_a_model_are_told_with_their_places() {
        mistake("start = \"out\"", "begin = []", "7: a model starts in a state");
        mistake("from = \"out\"\n        to", "from = \"ot\"\n        to", "17: nothing leads to the state `ot`");
        mistake("when = { tries = 2 }", "when = { trie = 2 }", "19: the model counts no `trie`");
        mistake("max = 1", "most = 1", "12: unknown key `most` in a guard");
        mistake("{ expect = \"yes\" }", "{ expekt = \"yes\" }", "20: unknown verb or option `expekt`");
        mistake("${word} ${tries}", "${wort} ${tries}", "15: unknown variable `wort`");
        mistake("[\"no\", \"never\"]", "[]", "14: `word` has no values");
        let steps = "steps = [{ send = \"yes\" }, { expect = \"yes\" }]";
        mistake(steps, "", "16: the transition `login` has no steps");
    }
}
