//! Reading: what has arrived is held against what is expected, and taken where it matches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Conversation;
use super::lane::Clocks;
use super::link::Link;
use super::script::{Step, Verb};
use super::verdict::Failing;
use super::waiting::Flow;
use crate::event::{EventKind, FailureKind};
use crate::framing::Decoded;
use crate::framing::Framing;
use crate::matcher::{BuildError, Input as Look, Match, Matcher, Outcome, Pattern, Progress};
use crate::text::{count, quote};
use crate::time::Time;

/// How long a peer says nothing before a match that could grow is taken as it stands.
const GROWTH_QUIET: Duration = Duration::from_millis(50);

/// An expectation that has begun.
#[derive(Debug)]
pub(super) struct Expecting {
    matcher: Arc<dyn Matcher>,
    progress: Progress,
    /// It matches, and could grow.
    pending: bool,
}

impl Expecting {
    /// When a match that could grow is taken as it stands.
    pub(super) fn wake(&self, link: &Link) -> Option<Time> {
        self.pending.then(|| link.arrived + GROWTH_QUIET)
    }
}

/// Several expectations, whose messages come in any order.
#[derive(Debug)]
pub(super) struct Gathering {
    members: Vec<Expecting>,
    /// Messages that have come, each with the members that it matches. Which it is for shows when all are there: the
    /// first that fits need not be the right one.
    came: Vec<Came>,
    /// On a raw stream: which members have had theirs.
    held: Vec<bool>,
    pending: bool,
}

#[derive(Debug)]
struct Came {
    whole: Bytes,
    fits: Vec<(usize, Match)>,
}

impl Gathering {
    pub(super) fn new(members: Vec<Expecting>) -> Gathering {
        let held = vec![false; members.len()];
        Gathering { members, came: Vec::new(), held, pending: false }
    }

    pub(super) fn wake(&self, link: &Link) -> Option<Time> {
        self.pending.then(|| link.arrived + GROWTH_QUIET)
    }

    /// Which message is for which member, so that every message has one; `None` if that cannot be (Kuhn's algorithm).
    fn assign(&self) -> Option<Vec<Option<usize>>> {
        let mut owner: Vec<Option<usize>> = vec![None; self.members.len()];
        for message in 0..self.came.len() {
            let mut seen = vec![false; self.members.len()];
            if !self.place(message, &mut owner, &mut seen) {
                return None;
            }
        }
        Some(owner)
    }

    fn place(&self, message: usize, owner: &mut [Option<usize>], seen: &mut [bool]) -> bool {
        for (member, _) in &self.came[message].fits {
            if std::mem::replace(&mut seen[*member], true) {
                continue;
            }
            if owner[*member].is_none_or(|other| self.place(other, owner, seen)) {
                owner[*member] = Some(message);
                return true;
            }
        }
        false
    }

    /// What is still missing, in words.
    fn missing(&self) -> String {
        let owner = self.assign().unwrap_or_else(|| vec![None; self.members.len()]);
        let open = self.members.iter().enumerate().filter(|(at, _)| owner[*at].is_none() && !self.held[*at]);
        let open: Vec<String> = open.map(|(_, member)| member.matcher.describe()).collect();
        let had = self.members.len() - open.len();
        match had {
            0 => open.join(" and "),
            _ => format!("{} (after {had} of {})", open.join(" and "), self.members.len()),
        }
    }
}

/// What stands at the front of a connection.
struct Front<'l> {
    look: Option<Look<'l>>,
    /// Where the message's body starts, and how much the whole of it takes.
    start: usize,
    consumed: Option<usize>,
    end: Option<usize>,
}

fn front<'l>(
    link: &'l mut Link,
    framing: Option<&dyn Framing>,
    over: bool,
) -> Result<Front<'l>, crate::framing::FramingError> {
    let by_message = framing.is_some() || link.transport.is_datagram();
    let message = link.message(framing)?;
    Ok(match (message, by_message) {
        (Some(message), _) => {
            let whole = link.front().expect("a message stands there");
            Front {
                look: Some(Look::message(&whole[message.start..message.end])),
                start: message.start,
                consumed: Some(message.consumed),
                end: Some(message.end),
            }
        }
        (None, true) => Front { look: None, start: 0, consumed: None, end: None },
        (None, false) => {
            let look = link.front().map(|bytes| Look::stream(bytes, over));
            Front { look, start: 0, consumed: None, end: None }
        }
    })
}

impl Conversation {
    pub(super) fn expecting(&self, pattern: &Pattern) -> Result<Expecting, Box<Failing>> {
        let matcher = pattern.fill(&self.variables).map_err(|error| match error {
            BuildError::Unset(name) => Failing::unset(&name),
            BuildError::Invalid(why) => Failing::script(why),
        })?;
        Ok(Expecting { matcher, progress: Progress::default(), pending: false })
    }

    /// Looks at what has arrived with one matcher; takes a match.
    pub(super) fn expect(
        &mut self,
        now: Time,
        step: &Step,
        clocks: &Clocks,
        expecting: &mut Expecting,
    ) -> Result<Flow, Box<Failing>> {
        let Some(at) = self.reading(step.slot) else { return self.unheard(now, clocks, &expecting.matcher.describe()) };
        let script = Arc::clone(&self.script);
        let framing = script.actors[script.slots[step.slot].actor].framing.as_deref();
        let link = &mut self.links[at];
        let over = link.is_over();
        let Expecting { matcher, progress, pending } = expecting;
        let front = match front(link, framing, over) {
            Ok(front) => front,
            Err(error) => return Err(Failing::framing(matcher, link, &error)),
        };
        let outcome = match front.look {
            Some(look) => matcher.check(look, progress),
            None => Outcome::NeedMore,
        };
        *pending = false;
        match outcome {
            Outcome::Match(found) => {
                let consumed = front.consumed.unwrap_or(found.len);
                let (start, end) = (front.start, front.end.unwrap_or(found.len));
                if found.may_grow && !over && now < clocks.deadline.min(link.arrived + GROWTH_QUIET) {
                    *pending = true;
                    return Ok(Flow::Waiting);
                }
                if step.save.is_some() || !found.captures.is_empty() || !found.values.is_empty() {
                    let whole = self.links[at].front().expect("a match stands there");
                    let body = Bytes::copy_from_slice(&whole[start..end]);
                    self.keep(now, &found, &body);
                    if let Some(name) = &step.save {
                        self.set_variable(now, Arc::clone(name), body);
                    }
                }
                self.take(now, at, step.slot, consumed);
                Ok(Flow::Done)
            }
            Outcome::Mismatch { at: difference, why } => {
                let received = front.look.map(|look| Bytes::copy_from_slice(look.bytes)).unwrap_or_default();
                Err(Failing::mismatch(matcher, &received, difference, &why))
            }
            Outcome::NeedMore if over || link.ending.is_some() => {
                Err(Failing::missing(&matcher.describe(), link).expecting(matcher))
            }
            Outcome::NeedMore if !link.has_room() => {
                Err(Failing::flooded(&matcher.describe(), link).expecting(matcher))
            }
            Outcome::NeedMore if now >= clocks.deadline => {
                Err(Failing::timeout(&matcher.describe(), link).expecting(matcher).timed_out())
            }
            Outcome::NeedMore => Ok(Flow::Waiting),
        }
    }

    /// Nobody has said anything to a listener yet.
    fn unheard(&self, now: Time, clocks: &Clocks, expected: &str) -> Result<Flow, Box<Failing>> {
        match now >= clocks.deadline {
            true => {
                let message = format!("expected {expected}, received nothing from anybody");
                Err(Failing::new(FailureKind::Timeout, message).timed_out())
            }
            false => Ok(Flow::Waiting),
        }
    }

    /// Sets the variables of a match.
    fn keep(&mut self, now: Time, found: &Match, body: &Bytes) {
        for (name, range) in &found.captures {
            self.set_variable(now, Arc::clone(name), body.slice(range.clone()));
        }
        for (name, value) in &found.values {
            self.set_variable(now, Arc::clone(name), value.clone());
        }
    }

    /// Takes what matched off a connection. A listener answers whom it has heard last.
    fn take(&mut self, now: Time, at: usize, slot: usize, consumed: usize) {
        let script = Arc::clone(&self.script);
        let actor = &script.actors[script.slots[slot].actor];
        if let Some(speaking) = &actor.speaks {
            let front = self.links[at].front().unwrap_or_default();
            let framed = actor.framing.as_ref().and_then(|framing| framing.decode(front, 0).ok());
            let body = match framed {
                Some(Decoded::Message { start, end, .. }) => &front[start..end],
                _ => &front[..consumed.min(front.len())],
            };
            if let Some((name, fields)) = speaking.protocol.tell(body, speaking.hears) {
                self.tell_message(now, at, false, name, fields);
            }
        }
        self.links[at].consume(consumed);
        if self.hears(slot) {
            self.heard[slot].pop_front();
            self.current[slot] = Some(at);
            if !std::mem::replace(&mut self.links[at].claimed, true) {
                self.arrivals[slot].retain(|arrived| *arrived != at);
            }
        }
    }

    /// Tells of a message by its name.
    pub(super) fn tell_message(&mut self, now: Time, at: usize, sent: bool, name: Arc<str>, fields: String) {
        self.record(now, fields.len(), || EventKind::Message { connection: at as u32, sent, name, fields });
    }

    /// Takes messages until each of several matchers has one.
    pub(super) fn gather(
        &mut self,
        now: Time,
        step: &Step,
        clocks: &Clocks,
        gathering: &mut Gathering,
    ) -> Result<Flow, Box<Failing>> {
        let Verb::ExpectSet(_, extra) = &step.verb else { unreachable!("only `expect_set` gathers") };
        let script = Arc::clone(&self.script);
        let framing = script.actors[script.slots[step.slot].actor].framing.as_deref();
        loop {
            let Some(at) = self.reading(step.slot) else { return self.unheard(now, clocks, &gathering.missing()) };
            if framing.is_none() && !self.links[at].transport.is_datagram() {
                if *extra {
                    return Err(Failing::script("`extra = \"allow\"` needs messages, and this is a raw stream")
                        .hint("a `framing` on the actor says where a message ends"));
                }
                if self.gather_raw(now, at, step, clocks, gathering)? {
                    return Ok(Flow::Done);
                }
                return self.short(now, at, clocks, gathering);
            }
            let link = &mut self.links[at];
            let over = link.is_over();
            let whole = match front(link, framing, over) {
                Ok(Front { look: Some(look), consumed: Some(consumed), .. }) => {
                    (Bytes::copy_from_slice(look.bytes), consumed)
                }
                Ok(_) => return self.short(now, at, clocks, gathering),
                Err(error) => {
                    let message = format!("expected {}, received what is no message: {error}", gathering.missing());
                    let front = Bytes::copy_from_slice(link.front().unwrap_or_default());
                    return Err(Failing::new(FailureKind::Mismatch, message).received(&front, 0));
                }
            };
            let (body, consumed) = whole;
            let mut fits = Vec::new();
            for (member, expecting) in gathering.members.iter().enumerate() {
                // A message is whole: every matcher decides at once.
                if let Outcome::Match(found) = expecting.matcher.check(Look::message(&body), &mut Progress::default()) {
                    fits.push((member, found));
                }
            }
            let unasked = fits.is_empty();
            gathering.came.push(Came { whole: body.clone(), fits });
            let Some(owner) = gathering.assign() else {
                gathering.came.pop();
                if *extra {
                    self.take(now, at, step.slot, consumed);
                    continue;
                }
                let why = if unasked { "which is none of them" } else { "and each that it matches has had its own" };
                let message = format!("expected {}, received {}, {why}", gathering.missing(), quote(&body));
                return Err(Failing::new(FailureKind::Mismatch, message).received(&body, 0));
            };
            self.take(now, at, step.slot, consumed);
            if owner.iter().all(Option::is_some) {
                let mut all = Vec::new();
                for (member, message) in owner.iter().enumerate() {
                    let Came { whole, fits } = &gathering.came[message.expect("every member has one")];
                    let found = fits.iter().find(|(fit, _)| *fit == member).map(|(_, found)| found.clone());
                    self.keep(now, &found.expect("it was assigned"), whole);
                    all.push(whole.clone());
                }
                if let Some(name) = &step.save {
                    self.set_variable(now, Arc::clone(name), all.concat().into());
                }
                return Ok(Flow::Done);
            }
        }
    }

    /// On a raw stream a member takes what it matches at the front; the longest match goes first, once all others that
    /// could still match have decided, so that it does not matter how the bytes were cut.
    fn gather_raw(
        &mut self,
        now: Time,
        at: usize,
        step: &Step,
        clocks: &Clocks,
        gathering: &mut Gathering,
    ) -> Result<bool, Box<Failing>> {
        while gathering.held.contains(&false) {
            let link = &self.links[at];
            let over = link.is_over();
            let front = link.front().unwrap_or_default();
            let (mut best, mut open, mut certain) = (None::<(usize, Match)>, false, None);
            for (member, expecting) in gathering.members.iter_mut().enumerate() {
                if gathering.held[member] {
                    continue;
                }
                match expecting.matcher.check(Look::stream(front, over), &mut expecting.progress) {
                    Outcome::Match(found) => {
                        open |= found.may_grow;
                        if best.as_ref().is_none_or(|(_, best)| found.len > best.len) {
                            best = Some((member, found));
                        }
                    }
                    Outcome::Mismatch { at, .. } => certain = certain.max(Some(at)),
                    Outcome::NeedMore => open = true,
                }
            }
            let patient = now < clocks.deadline.min(link.arrived + GROWTH_QUIET) && !over;
            gathering.pending = best.is_some() && open && patient;
            let Some((member, found)) = best.filter(|_| !gathering.pending) else {
                if !open && !gathering.pending {
                    let (message, received) = (
                        format!("expected {}, received {}, which is none of them", gathering.missing(), quote(front)),
                        Bytes::copy_from_slice(front),
                    );
                    let at = certain.unwrap_or_default();
                    return Err(Failing::new(FailureKind::Mismatch, message).received(&received, at));
                }
                return Ok(false);
            };
            let body = Bytes::copy_from_slice(&front[..found.len]);
            self.keep(now, &found, &body);
            gathering.held[member] = true;
            gathering.members.iter_mut().for_each(|member| member.progress = Progress::default());
            gathering.came.push(Came { whole: body, fits: vec![(member, found.clone())] });
            self.links[at].consume(found.len);
        }
        if let Some(name) = &step.save {
            let all: Vec<Bytes> = gathering.came.iter().map(|came| came.whole.clone()).collect();
            self.set_variable(now, Arc::clone(name), all.concat().into());
        }
        Ok(true)
    }

    /// Some are still missing: whether they can come yet.
    fn short(&self, now: Time, at: usize, clocks: &Clocks, gathering: &Gathering) -> Result<Flow, Box<Failing>> {
        let link = &self.links[at];
        let missing = || gathering.missing();
        if link.is_over() || link.ending.is_some() {
            return Err(Failing::missing(&missing(), link));
        }
        if !link.has_room() {
            return Err(Failing::flooded(&missing(), link));
        }
        if now >= clocks.deadline {
            let had = gathering.came.len();
            let failing = Failing::timeout(&missing(), link).timed_out();
            return Err(match had {
                0 => failing,
                _ => failing.note(format!("{} of {} came", had, count(gathering.members.len(), "message"))),
            });
        }
        Ok(Flow::Waiting)
    }
}
