//! What a campaign is about: its scenario, who talks in it, and what its seeds expect.

use std::sync::Arc;
use std::time::Duration;

use crate::conversation::script::{Script, Step, Verb};
use crate::framing::Framing;
use crate::matcher::Pattern;
use crate::protocol::Protocol;
use crate::scenario::{Case, Connect, Role, Scenario, Tls};
use crate::template::Template;

/// What a campaign is about.
#[derive(Debug)]
pub struct Plan {
    /// The scenario.
    pub scenario: Scenario,
    /// Who talks, by the numbers of the scenario's actors.
    pub actors: Vec<Actor>,
    /// What seeds expect, by the numbers in [`Step::Expect`](super::case::Step::Expect).
    pub patterns: Vec<Pattern>,
    /// For each of them, how long the answer came after the target had come to rest.
    pub late: Vec<Duration>,
}

/// Who talks.
#[derive(Debug)]
pub struct Actor {
    /// Its name.
    pub name: String,
    /// Where its connections go or come from.
    pub place: Place,
    /// Where a message ends.
    pub framing: Option<Arc<dyn Framing>>,
    /// What it speaks.
    pub protocol: Option<Arc<Protocol>>,
    /// How it does TLS from the start of a connection.
    pub tls: Option<Tls>,
    /// How it does TLS from the middle of a connection on.
    pub starttls: Option<Tls>,
}

/// Where connections go or come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// To a target, by its number in the scenario.
    Target(usize),
    /// To a URL.
    Url(Template),
    /// From a program, to a URL where we listen.
    Listen(Template),
}

impl Plan {
    /// The plan of a scenario. `protocol` is what actors speak that do not say so themselves.
    pub fn new(scenario: Scenario, protocol: Option<&Arc<Protocol>>) -> Plan {
        let place = |at: usize| {
            let mut at = at;
            // Whoever connects to a relay is led on to where that goes: faults are the campaign's to make.
            for _ in 0..scenario.actors.len() {
                let to = match &scenario.actors[at].role {
                    Role::Client(to) | Role::Relay { to, .. } => to,
                    Role::Server(url) => return Place::Listen(url.clone()),
                };
                match to {
                    Connect::Target(target) => return Place::Target(*target),
                    Connect::Url(url) => return Place::Url(url.clone()),
                    Connect::Actor(next) => at = *next,
                }
            }
            Place::Url(Template::literal(""))
        };
        let actors = scenario.actors.iter().enumerate().map(|(at, actor)| {
            let protocol = actor.protocol.clone().or_else(|| protocol.cloned());
            let framing = actor.framing.clone();
            let tls = of_cases(&scenario, |case| case.script.actors.get(at)?.tls);
            let starttls = of_cases(&scenario, |case| {
                actor
                    .starttls
                    .or_else(|| case.script.lanes.iter().find_map(|lane| upgrade(&case.script, &lane.steps, at)))
            });
            Actor { name: actor.name.clone(), place: place(at), framing, protocol, tls, starttls }
        });
        let actors = actors.collect();
        Plan { scenario, actors, patterns: Vec::new(), late: Vec::new() }
    }

    /// The same plan, without what its seeds expect.
    pub fn like(other: &Plan) -> Plan {
        Plan {
            patterns: Vec::new(),
            late: Vec::new(),
            ..Plan::new(other.scenario.clone(), other.actors.iter().find_map(|actor| actor.protocol.as_ref()))
        }
    }

    /// Whether it is clients that are tested: programs that connect to us, started anew for each case.
    pub fn is_about_clients(&self) -> bool {
        self.scenario.targets.iter().any(|target| target.is_told)
    }

    /// The scripts that can be seeds: those of cases that are played and hold.
    pub fn scripts(&self) -> Vec<Arc<Script>> {
        let cases = self.scenario.cases.iter();
        let plain = cases.filter(|case| case.skip.is_none() && case.xfail.is_none() && case.disturbs.is_empty());
        plain.map(|case| Arc::clone(&case.script)).collect()
    }
}

/// The first settings for TLS that a case has at the number that `find` gives.
fn of_cases(scenario: &Scenario, find: impl Fn(&Case) -> Option<usize>) -> Option<Tls> {
    scenario.cases.iter().find_map(|case| case.tls.get(find(case)?)).cloned()
}

/// How an actor goes on with TLS, by the first step in which it does.
fn upgrade(script: &Script, steps: &[Step], actor: usize) -> Option<usize> {
    steps.iter().find_map(|step| match &step.verb {
        Verb::StartTls(profile) if script.slots.get(step.slot).is_some_and(|slot| slot.actor == actor) => {
            Some(*profile)
        }
        verb => verb.inner().find_map(|steps| upgrade(script, steps, actor)),
    })
}
