//! What a campaign is about: its scenario, who talks in it, and what its seeds expect.

use std::sync::Arc;
use std::time::Duration;

use crate::conversation::script::{Script, Verb};
use crate::framing::Framing;
use crate::matcher::Pattern;
use crate::protocol::Protocol;
use crate::scenario::{Connect, Role, Scenario};
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
            Actor { name: actor.name.clone(), place: place(at), framing, protocol }
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

    /// Whether cases are left out because they speak TLS.
    pub fn speaks_tls(&self) -> bool {
        self.scenario.cases.iter().any(|case| uses_tls(&case.script))
    }

    /// The scripts that can be seeds: those of cases that are played and hold.
    pub fn scripts(&self) -> Vec<Arc<Script>> {
        let cases = self.scenario.cases.iter();
        let plain = cases.filter(|case| case.skip.is_none() && case.xfail.is_none() && case.disturbs.is_empty());
        plain.filter(|case| !uses_tls(&case.script)).map(|case| Arc::clone(&case.script)).collect()
    }
}

fn uses_tls(script: &Script) -> bool {
    let begins = script.actors.iter().any(|actor| actor.tls.is_some());
    begins || script.lanes.iter().any(|lane| lane.steps.iter().any(|step| matches!(step.verb, Verb::StartTls(_))))
}
