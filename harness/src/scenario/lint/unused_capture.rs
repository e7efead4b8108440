//! What is kept and never used: variables that steps set, and names of connections.

use std::collections::BTreeSet;

use super::{Scenario, each_step, is_allowed, mistake, naming, part};
use crate::conversation::script::{Control, Script, Step, Verb};
use crate::event::Mistake;
use crate::matcher::Pattern;
use crate::scenario::Role;
use crate::template::Template;

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    let used: Vec<BTreeSet<String>> = scenario.cases.iter().map(|case| used(&case.script)).collect();
    // A name that no step needs while it runs had its value before.
    let needed: BTreeSet<&str> = used.iter().flatten().map(String::as_str).collect();
    let outline = &scenario.outline;
    let known = |name: &str| {
        outline.mentioned_outside.contains(name) || (outline.mentioned.contains(name) && !needed.contains(name))
    };
    for (case, used) in scenario.cases.iter().zip(&used) {
        let called = called(&case.script);
        each_step(&case.script, &mut |step, info| {
            // What a fragment keeps one of its users may need and another not.
            let from_fragment = !info.via.is_empty();
            for name in sets(step) {
                let is_used = match from_fragment {
                    true => outline.mentioned.contains(name),
                    false => used.contains(name) || known(name),
                };
                if !is_used && !is_allowed(name) {
                    let hint = format!("`${{{name}}}` stands for it; `_{name}` need not be used");
                    found.push(mistake(naming(&info.place, name), format!("`{name}` is set and never used"), hint));
                }
            }
            if let Verb::Accept(Some(slot)) = step.verb {
                let slot_name = &case.script.slots[slot].name;
                let actor = &scenario.actors[case.script.slots[slot].actor];
                // Over UDP the name keeps a peer apart from others.
                let streams = matches!(&actor.role, Role::Server(url) if !is_datagram(url.beginning()));
                if streams && !from_fragment && !called.contains(&slot) && !is_allowed(slot_name) {
                    let place = part(&info.place, &format!("\"{slot_name}\""));
                    let message = format!("the connection `{slot_name}` is never called by its name");
                    found.push(mistake(place, message, "`accept = true` takes one without naming it"));
                }
            }
        });
    }
}

fn is_datagram(url: &[u8]) -> bool {
    url.starts_with(b"udp:") || url.starts_with(b"unixgram:")
}

/// The variables that a step sets.
fn sets(step: &Step) -> Vec<&str> {
    let mut names: Vec<&str> = step.save.iter().map(|name| &**name).collect();
    match &step.verb {
        Verb::Expect(pattern) => names.extend(pattern.sets().iter().map(|name| &**name)),
        Verb::ExpectSet(patterns, _) => {
            names.extend(patterns.iter().flat_map(Pattern::sets).map(|name| &**name));
        }
        Verb::Set(values) => names.extend(values.iter().map(|(name, _)| &**name)),
        _ => {}
    }
    names
}

/// The connections that steps call by their names.
fn called(script: &Script) -> BTreeSet<usize> {
    let mut called = BTreeSet::new();
    each_step(script, &mut |step, _| _ = called.insert(step.slot));
    called
}

/// The variables that a case needs while it runs.
fn used(script: &Script) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut add = |name: &str| _ = used.insert(name.to_owned());
    script.actors.iter().filter_map(|actor| actor.connect.as_ref()).flat_map(Template::variables).for_each(&mut add);
    each_step(script, &mut |step, _| match &step.verb {
        Verb::Control(Control::Exec(argv)) => argv.iter().flat_map(Template::variables).for_each(&mut add),
        Verb::Expect(pattern) => pattern.uses().iter().map(String::as_str).for_each(&mut add),
        Verb::ExpectSet(patterns, _) => {
            patterns.iter().flat_map(Pattern::uses).map(String::as_str).for_each(&mut add);
        }
        Verb::Log(text) => text.variables().for_each(&mut add),
        Verb::Repeat(repeat) => {
            repeat.times.variables().for_each(&mut add);
            repeat.values.iter().flat_map(|(_, values)| values).flat_map(Template::variables).for_each(&mut add);
        }
        Verb::Send(send) => send.payloads.iter().for_each(|payload| payload.variables(&mut add)),
        Verb::Set(values) => values.iter().flat_map(|(_, value)| value.variables()).for_each(&mut add),
        _ => {}
    });
    used
}
