//! Steps of a case, changed: what several properties do to a conversation.

use std::time::Duration;

use crate::document::{Node, Table, Value, parse_duration};
use crate::testcase::TestCase;
use crate::testcase::step::{self, duration, parts, table_mut, verb};

/// The step at a position, to be changed.
pub(super) fn step_mut<'c>(case: &'c mut TestCase, lane: &str, at: usize) -> Option<&'c mut Node> {
    case.lane_mut(lane)?.get_mut(at)
}

/// Takes options off every `send` of a case, in loops too.
pub(super) fn strip_sends(case: &mut TestCase, options: &[&str]) {
    walk(case, &mut |step| {
        if verb(step) == Some("send")
            && let Some(table) = table_mut(step)
        {
            table.entries.retain(|entry| !options.contains(&entry.key.as_str()));
        }
    });
}

/// Visits every step, those inside others too.
pub(super) fn walk(case: &mut TestCase, visit: &mut dyn FnMut(&mut Node)) {
    let names: Vec<String> = case.lanes().iter().map(|(name, _)| (*name).to_owned()).collect();
    for name in names {
        case.lane_mut(&name).into_iter().flatten().for_each(|step| walk_step(step, visit));
    }
}

fn walk_step(step: &mut Node, visit: &mut dyn FnMut(&mut Node)) {
    visit(step);
    let Some(table) = table_mut(step) else { return };
    for entry in &mut table.entries {
        match (entry.key.as_str(), &mut entry.node.value) {
            ("repeat", Value::Table(repeat)) => {
                if let Some(Value::Array(steps)) = repeat.get_mut("steps").map(|node| &mut node.value) {
                    steps.iter_mut().for_each(|step| walk_step(step, visit));
                }
            }
            ("alt" | "defer", Value::Array(steps)) => {
                for item in steps {
                    match &mut item.value {
                        Value::Array(steps) => steps.iter_mut().for_each(|step| walk_step(step, visit)),
                        _ => walk_step(item, visit),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Gives a case deadlines that are no longer than `patience`, and `quiet` at its end.
pub(super) fn hasten(case: &TestCase, patience: Duration, quiet: Duration) -> TestCase {
    let mut hastened = case.clone();
    shorten(hastened.document_mut(), "timeout", patience, true);
    shorten(hastened.case_mut(), "timeout", patience, false);
    shorten(hastened.case_mut(), "quiet", quiet, true);
    walk(&mut hastened, &mut |step| {
        if let Some(table) = table_mut(step) {
            shorten(table, "within", patience, false);
        }
    });
    hastened
}

fn shorten(table: &mut Table, key: &str, most: Duration, add: bool) {
    let is_long = match table.get(key).map(|node| node.as_str().and_then(parse_duration)) {
        Some(Some(now)) => now > most,
        Some(None) => false,
        None => add,
    };
    if is_long {
        table.set(key, duration(most));
    }
}

/// A step of another speaker.
pub(super) fn spoken_by(node: &Node, actor: &str) -> Node {
    match parts(node) {
        Some((_, table)) => Table::of([(actor, Node::from(table.clone()))]).into(),
        None => node.clone(),
    }
}

/// Whose steps a case has, in order: `None` where no actor is named. Steps without a connection speak for nobody.
pub(super) fn speakers(case: &TestCase) -> Vec<Option<String>> {
    let mut speakers = Vec::new();
    for (_, steps) in case.lanes() {
        for node in steps {
            let Some((actor, _)) = parts(node) else { continue };
            let actor = actor.map(str::to_owned);
            if verb(node).is_some_and(is_on_connection) && !speakers.contains(&actor) {
                speakers.push(actor);
            }
        }
    }
    speakers
}

/// Whether a step of this verb speaks on a connection.
pub(super) fn is_on_connection(verb: &str) -> bool {
    let others =
        ["await", "barrier", "exec", "log", "notify", "repeat", "restart", "set", "signal", "sleep", "stop", "use"];
    !others.contains(&verb)
}

/// The case played by the last of `count` connections of its one client; the others, by their names, do what they are told.
///
/// `None` where it has several speakers, loops, or an order of its own for each.
pub(super) fn beside(case: &TestCase, count: usize) -> Option<(TestCase, Vec<String>)> {
    let [(lane, steps)] = case.lanes().try_into().ok()?;
    let nested = |node: &Node| verb(node).is_some_and(|verb| matches!(verb, "repeat" | "alt" | "defer" | "accept"));
    if lane != "steps" || speakers(case).len() != 1 || steps.iter().any(nested) {
        return None;
    }
    let actors = case.document().get("actor").and_then(Node::as_table);
    let is_group = |actor: &Table| actor.get("count").is_some() || actor.get("connect").is_none();
    if actors.is_some_and(|actors| {
        actors.entries.len() != 1 || actors.entries.iter().any(|entry| entry.node.as_table().is_none_or(is_group))
    }) {
        return None;
    }
    let mut moved = case.clone();
    let names: Option<Vec<String>> = moved.connections(count).into_iter().collect();
    let names = names.filter(|names| names.len() == count)?;
    let last = names.last()?.clone();
    for node in moved.lane_mut("steps")? {
        if verb(node).is_some_and(is_on_connection) {
            *node = spoken_by(node, &last);
        }
    }
    Some((moved, names))
}

/// What one client of several says by itself: a case of its steps and no others, up to where it waits for what another one has
/// led to; and for each of them its number in the case.
///
/// A case with one client is itself. `None` where that one is no client of its own, or plays in another order.
pub(super) fn alone(case: &TestCase, actor: Option<&str>) -> Option<(TestCase, Vec<usize>)> {
    let [(lane, steps)] = case.lanes().try_into().ok()?;
    if lane != "steps" {
        return None;
    }
    let Some(actor) = actor.filter(|_| case.document().get("actor").is_some()) else {
        return Some((case.clone(), (0..steps.len()).collect()));
    };
    let (mut own, mut numbers, mut last) = (Vec::new(), Vec::new(), None);
    for (number, node) in steps.iter().enumerate() {
        let Some(verb) = verb(node) else { continue };
        if is_on_connection(verb) {
            let whose = parts(node).and_then(|(actor, _)| actor);
            let before = last.replace(whose);
            if whose != Some(actor) {
                continue;
            }
            if verb.starts_with("expect") && before.is_some_and(|before| before != whose) {
                break;
            }
        } else if !matches!(verb, "log" | "set" | "sleep") {
            continue;
        }
        own.push(node.clone());
        numbers.push(number);
    }
    let mut alone = with_steps(case, own);
    if let Some(Value::Table(actors)) = alone.document_mut().get_mut("actor").map(|node| &mut node.value) {
        actors.entries.retain(|entry| entry.key == actor);
    }
    Some((alone, numbers))
}

/// Takes the steps of one speaker out of a case.
pub(super) fn without(case: &TestCase, mut is_out: impl FnMut(Option<&str>) -> bool) -> TestCase {
    let mut less = case.clone();
    let names: Vec<String> = case.lanes().iter().map(|(name, _)| (*name).to_owned()).collect();
    for name in names {
        if let Some(steps) = less.lane_mut(&name) {
            steps.retain(|node| match (parts(node), verb(node)) {
                (Some((actor, _)), Some(verb)) if is_on_connection(verb) => !is_out(actor),
                _ => true,
            });
        }
    }
    less
}

/// What a step's `note` says.
pub(super) fn note(node: &Node) -> Option<&str> {
    parts(node)?.1.get("note")?.as_str()
}

/// A step with this note.
pub(super) fn noted(node: Node, note: &str) -> Node {
    step::with(node, "note", note)
}

/// The framing of a case's one actor, if it has one: its name, or what it is made of.
pub(super) fn framing_of(case: &TestCase) -> Option<String> {
    let actors = case.document().get("actor")?.as_table()?;
    let actor = actors.entries.first()?.node.as_table()?;
    if actor.get("protocol").is_some() {
        return Some("protocol".into());
    }
    let framing = actor.get("framing")?;
    let name = framing.as_str().map(str::to_owned);
    let name = name.or_else(|| Some(framing.as_table()?.entries.first()?.key.clone()));
    name.filter(|name| name != "raw")
}

/// The case as bytes: what was sent is sent again, and what came in return has to come again.
pub(super) fn recorded(base: &super::Base) -> Result<TestCase, String> {
    let [received] = base.received.as_slice() else { return Err("it is for cases with one connection".into()) };
    let [speaker] = speakers(&base.case).try_into().map_err(|_| "it is for cases with one connection")?;
    let speaker = speaker.as_deref();
    let (mut steps, mut heard) = (Vec::new(), 0);
    // On a stream nobody sees where reads end; datagrams are one by one.
    let stream: Vec<u8> = received.concat();
    let mut hear = |steps: &mut Vec<Node>, until: usize| {
        if base.transport.is_datagram() {
            let mut end = 0;
            for datagram in received {
                end += datagram.len();
                if end > heard && end <= until {
                    steps.push(step::expect(speaker, datagram));
                }
            }
        } else if until > heard {
            steps.push(step::expect(speaker, &stream[heard..until]));
        }
        heard = heard.max(until);
    };
    for sent in &base.sends {
        hear(&mut steps, sent.heard);
        steps.push(step::send_raw(speaker, &sent.bytes));
    }
    hear(&mut steps, stream.len());
    if !steps.iter().any(|node| verb(node) == Some("expect")) {
        return Err("nothing is answered".into());
    }
    let mut case = base.case.like(base.case.name(), steps);
    case.case_mut().remove("strict_end");
    if let Some(Value::Table(actors)) = case.document_mut().get_mut("actor").map(|node| &mut node.value) {
        for entry in &mut actors.entries {
            if let Value::Table(actor) = &mut entry.node.value {
                actor.remove("protocol");
                if !base.transport.is_datagram() {
                    actor.set("framing", "raw");
                }
            }
        }
    }
    Ok(case)
}

/// A cut with more time for the first part: a server that has only just started is slower than one that is warm.
pub(super) fn calm(case: &TestCase) -> TestCase {
    let mut calm = case.clone();
    walk(&mut calm, &mut |step| {
        if let Some(table) = table_mut(step)
            && table.get("split").is_some()
            && let Some(pace) = table.get("pace").and_then(Node::as_str).map(str::to_owned)
        {
            table.set("pace", if pace == "1B/1ms" { "1B/5ms" } else { "1B/150ms" });
        }
    });
    calm
}

/// The case without the steps that have this note; `None` where there are none.
pub(super) fn without_note(case: &TestCase, text: &str) -> Option<Vec<TestCase>> {
    let mut less = case.clone();
    let steps = less.lane_mut("steps")?;
    let before = steps.len();
    steps.retain(|node| note(node) != Some(text));
    (steps.len() < before).then_some(vec![less])
}

/// The case with other steps.
pub(super) fn with_steps(case: &TestCase, steps: Vec<Node>) -> TestCase {
    let mut other = case.clone();
    if let Some(lane) = other.lane_mut("steps") {
        *lane = steps;
    }
    other
}
