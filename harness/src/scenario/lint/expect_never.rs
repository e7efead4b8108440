//! What is expected and no message can be.

use bytes::Bytes;

use super::{Scenario, each_step, holding, mistake};
use crate::conversation::script::Verb;
use crate::event::Mistake;
use crate::framing::{Framing, FramingError};
use crate::matcher::{Facts, Matcher};
use crate::scenario::{Actor, Connect, Family, Role, TargetKind};
use crate::text::count;

/// The most bytes of a datagram over IPv4.
const DATAGRAM_LEN_MAX: usize = 65_507;

/// The most bytes of a datagram over IPv6.
const DATAGRAM_LEN_MAX_V6: usize = 65_527;

/// The longest text that is put into a framing to see whether it can be.
const TRIED_LEN_MAX: usize = 1 << 20;

pub(super) fn find(scenario: &Scenario, found: &mut Vec<Mistake>) {
    let wires: Vec<Wire<'_>> = scenario.actors.iter().map(|actor| Wire::of(scenario, actor)).collect();
    for case in holding(scenario) {
        each_step(&case.script, &mut |step, info| {
            let patterns = match &step.verb {
                Verb::Expect(pattern) => std::slice::from_ref(pattern),
                Verb::ExpectSet(patterns, _) => patterns,
                _ => return,
            };
            let Some(slot) = case.script.slots.get(step.slot) else { return };
            let wire = &wires[slot.actor];
            for matcher in patterns.iter().filter_map(|pattern| pattern.as_ready()) {
                let v6 = case.family == Some(Family::V6);
                if let Some((why, hint)) = wire.refuses(matcher, v6) {
                    found.push(mistake(info.place.clone(), format!("this can never match: {why}"), hint));
                }
            }
        });
    }
}

/// What an actor's messages are like.
struct Wire<'s> {
    framing: Option<&'s dyn Framing>,
    url: Vec<u8>,
}

impl<'s> Wire<'s> {
    fn of(scenario: &Scenario, actor: &'s Actor) -> Wire<'s> {
        Wire { framing: actor.framing.as_deref(), url: url(scenario, actor, 0) }
    }

    /// Why no message matches, and what to do about it.
    fn refuses(&self, matcher: &dyn Matcher, v6: bool) -> Option<(String, String)> {
        let datagram = self.url.starts_with(b"udp:") || self.url.starts_with(b"unixgram:");
        let facts = matcher.facts(datagram || self.framing.is_some());
        if let Some(never) = facts.never {
            return Some((never, "a matcher's parts have to go together".into()));
        }
        let long = match v6 || self.url.contains(&b'[') {
            true => DATAGRAM_LEN_MAX_V6,
            false => DATAGRAM_LEN_MAX,
        };
        if self.url.starts_with(b"udp:") && facts.len_min > long {
            let why = format!(
                "it has at least {}, and a datagram at most {}",
                count(facts.len_min, "byte"),
                count(long, "byte")
            );
            return Some((why, "a longer one does not fit an IP packet".into()));
        }
        let why = refused(self.framing?, &facts)?;
        Some((why, "`expect` sees a message without what its framing adds".into()))
    }
}

/// Where an actor's messages come from, as far as the file says it.
fn url(scenario: &Scenario, actor: &Actor, depth: usize) -> Vec<u8> {
    let connect = match &actor.role {
        Role::Server(url) => return url.beginning().to_vec(),
        Role::Client(connect) | Role::Relay { to: connect, .. } => connect,
    };
    match connect {
        // Relays in a circle are a mistake that is told elsewhere.
        Connect::Actor(at) if depth < scenario.actors.len() => url(scenario, &scenario.actors[*at], depth + 1),
        Connect::Actor(_) => Vec::new(),
        Connect::Target(at) => {
            let target = &scenario.targets[*at];
            match (target.url(), &target.kind) {
                (Some(url), _) => url.beginning().to_vec(),
                (None, TargetKind::Builtin { name, .. }) => {
                    let known = targets::TARGETS.iter().find(|target| target.name == name);
                    let first = known.and_then(|target| target.transports.first());
                    first.map_or(Vec::new(), |first| format!("{first}://").into_bytes())
                }
                (None, _) => Vec::new(),
            }
        }
        Connect::Url(url) => url.beginning().to_vec(),
    }
}

/// Why a framing lets nothing through that has these facts.
fn refused(framing: &dyn Framing, facts: &Facts) -> Option<String> {
    if !facts.one_of.is_empty() {
        let all: Option<Vec<String>> = facts.one_of.iter().map(|one| refused(framing, one)).collect();
        if let Some(why) = all {
            return why.into_iter().next();
        }
    }
    let lens = framing.lens();
    if facts.len_min > *lens.end() || facts.len_max < *lens.start() {
        let wanted = match (facts.len_min, facts.len_max) {
            (min, max) if min == max => format!("it has {}", count(min, "byte")),
            (min, max) if min > *lens.end() || max == usize::MAX => format!("it has at least {}", count(min, "byte")),
            (_, max) => format!("it has at most {}", count(max, "byte")),
        };
        let has = match (*lens.start(), *lens.end()) {
            (start, end) if start == end => format!("just {start}"),
            (_, end) => format!("at most {end}"),
        };
        return Some(format!("{wanted}, and a message of this framing has {has}"));
    }
    let whole = facts.bytes.as_ref().and_then(|bytes| terminator(framing, bytes, true));
    whole.or_else(|| facts.contained.iter().find_map(|bytes| terminator(framing, bytes, false)))
}

/// Whether what ends a message would stand in it, and so end it before.
fn terminator(framing: &dyn Framing, bytes: &Bytes, whole: bool) -> Option<String> {
    if bytes.len() > TRIED_LEN_MAX {
        return None;
    }
    match framing.encode(bytes, &mut Vec::new()) {
        // Of a part, what follows it is not known.
        Err(FramingError::TerminatorInside { at, terminator }) if whole || at + terminator.len() <= bytes.len() => {
            Some(format!("it has {} in it, which ends a message of this framing", crate::text::quote(&terminator)))
        }
        _ => None,
    }
}
