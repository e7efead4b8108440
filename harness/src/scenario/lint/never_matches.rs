//! Expectations that nothing can meet: parts that contradict each other, and messages that their framing or transport
//! never brings.

use super::walk::{cases, every_step};
use super::{File, Found};
use crate::conversation::script::{Role, Verb};
use crate::framing::Framing;
use crate::matcher::{Input, Matcher, Outcome, Parts, Pattern, Progress};
use crate::scenario::{self, Actor, Connect, Scenario, TargetKind};
use crate::template::Variables;
use crate::text::{count, quote};

/// What one UDP datagram can hold: 65,535 bytes of IPv4 less its header and UDP's.
const DATAGRAM_LEN_MAX: usize = 65_507;

/// Up to this length a message of a fixed length is tried on a framing.
const TRIED_LEN_MAX: usize = 1 << 20;

pub(super) fn check(file: &File<'_>, found: &mut Found) {
    for case in cases(&file.scenario.cases) {
        let script = &case.script;
        every_step(script, |step| {
            let patterns = match &step.verb {
                Verb::Expect(pattern) => std::slice::from_ref(pattern),
                Verb::ExpectSet(patterns, _) => patterns.as_slice(),
                _ => return,
            };
            let actor = script.slots[step.slot].actor;
            let reads = Reads {
                framing: script.actors[actor].framing.as_deref(),
                datagram: is_datagram(file.scenario, &file.scenario.actors[actor], script.actors[actor].role),
            };
            let place = &script.infos[step.id as usize].place;
            if let Some((why, hint)) = patterns.iter().find_map(|pattern| reads.never(pattern)) {
                found.error(place, format!("nothing can match this: {why}"), hint);
            }
        });
    }
}

/// Whether an actor speaks in datagrams, where that is known.
fn is_datagram(scenario: &Scenario, actor: &Actor, role: Role) -> bool {
    let begins = |url: &crate::template::Template| url.beginning().starts_with(b"udp://");
    match (&actor.role, role) {
        (scenario::Role::Server(url), _) => begins(url),
        (scenario::Role::Client(Connect::Url(url)), _) => begins(url),
        (scenario::Role::Client(Connect::Target(at)), _) => match &scenario.targets[*at].kind {
            TargetKind::Address(url) => begins(url),
            TargetKind::Builtin { listen, .. } => listen.as_ref().is_some_and(begins),
            TargetKind::Command(command) => command.address.as_ref().is_some_and(begins),
        },
        _ => false,
    }
}

/// How an actor reads.
struct Reads<'a> {
    framing: Option<&'a dyn Framing>,
    datagram: bool,
}

impl Reads<'_> {
    /// Why nothing can match, and what to do. Patterns with variables that are not known yet are left alone.
    fn never(&self, pattern: &Pattern) -> Option<(String, String)> {
        let matcher = pattern.fill(&Variables::new()).ok()?;
        let whole = self.framing.is_some() || self.datagram;
        contradiction(&*matcher, whole).map(|why| (why, String::new())).or_else(|| self.too_much(&*matcher))
    }

    /// A message that does not come in this way.
    fn too_much(&self, matcher: &dyn Matcher) -> Option<(String, String)> {
        let (least, most) = matcher.lens();
        if self.datagram && self.framing.is_none() && least > DATAGRAM_LEN_MAX {
            let why = format!("it has at least {}, and a datagram at most {DATAGRAM_LEN_MAX}", count(least, "byte"));
            return Some((why, String::new()));
        }
        let framing = self.framing?;
        let exact = matcher.bytes().filter(|_| least == most);
        let message = match exact {
            Some(bytes) => bytes.clone(),
            None if least == most && least <= TRIED_LEN_MAX => vec![b'x'; least].into(),
            None => return None,
        };
        let error = framing.encode(&message, &mut Vec::new()).err()?;
        let what = match exact {
            Some(bytes) => format!("the message {}", quote(bytes)),
            None => format!("a message of {}", count(least, "byte")),
        };
        // What it says of sending is of no use here.
        let error = error.to_string();
        let error = error.split(';').next().unwrap_or_default();
        let hint = "on an actor with a framing an `expect` sees the message without its terminator or prefix";
        Some((format!("the actor's framing never brings {what}: {error}"), hint.into()))
    }
}

/// Two parts of a matcher that cannot hold together.
fn contradiction(matcher: &dyn Matcher, whole: bool) -> Option<String> {
    if let Some(inner) = matcher.negated() {
        return inner.is_always().then(|| "everything matches what it is not to be".to_owned());
    }
    match matcher.parts() {
        Parts::None => None,
        // One that can match is enough.
        Parts::Any(parts) => {
            let mut whys = parts.iter().map(|part| contradiction(&**part, whole));
            whys.next()?.filter(|_| whys.all(|why| why.is_some()))
        }
        Parts::All(parts) => {
            if let Some(why) = parts.iter().find_map(|part| contradiction(&**part, whole)) {
                return Some(why);
            }
            if whole {
                let longest = parts.iter().max_by_key(|part| part.lens().0)?;
                let shortest = parts.iter().min_by_key(|part| part.lens().1)?;
                if longest.lens().0 > shortest.lens().1 {
                    return Some(format!("it is to be {} as well as {}", shortest.describe(), longest.describe()));
                }
            }
            let exact = |part: &&std::sync::Arc<dyn Matcher>| part.bytes().is_some() && part.lens().0 == part.lens().1;
            for part in parts.iter().filter(exact) {
                let bytes = part.bytes().expect("it was just seen");
                let input = if whole { Input::message(bytes) } else { Input::stream(bytes, false) };
                let against = parts.iter().find(|other| match other.negated() {
                    Some(inner) => {
                        matches!(inner.check(Input::message(bytes), &mut Progress::default()), Outcome::Match(_))
                    }
                    None => matches!(other.check(input, &mut Progress::default()), Outcome::Mismatch { .. }),
                });
                if let Some(against) = against {
                    return Some(format!("it is to be {} as well as {}", part.describe(), against.describe()));
                }
            }
            None
        }
    }
}
