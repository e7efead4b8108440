//! Order between lanes: notices, barriers, and the proof that nobody can go on.

use std::collections::HashMap;
use std::sync::Arc;

use super::Conversation;
use super::lane::Lane;
use super::script::Verb;
use super::verdict::Failing;
use super::waiting::{Doing, Flow};
use crate::event::FailureKind;
use crate::text::count;

/// How many of those that wait are told.
const TOLD_MAX: usize = 20;

/// What lanes have told each other.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// How many notices of each name were given.
    notices: HashMap<Arc<str>, u64>,
    barriers: HashMap<Arc<str>, Barrier>,
    /// Whether a lane has begun to wait, or has ended, since the last look for a deadlock.
    pub(super) changed: bool,
}

#[derive(Debug, Default)]
struct Barrier {
    arrived: usize,
    /// How often all have come.
    opened: u64,
}

impl Order {
    pub(super) fn notify(&mut self, name: &Arc<str>) {
        *self.notices.entry(Arc::clone(name)).or_default() += 1;
    }

    /// Takes notices, if there are enough.
    pub(super) fn take(&self, lane: &mut HashMap<Arc<str>, u64>, name: &Arc<str>, times: u64) -> bool {
        let taken = lane.get(name).copied().unwrap_or_default();
        let enough = self.given(name) >= taken + times;
        if enough {
            lane.insert(Arc::clone(name), taken + times);
        }
        enough
    }

    fn given(&self, name: &str) -> u64 {
        self.notices.get(name).copied().unwrap_or_default()
    }

    /// Comes to a barrier, and says which opening to wait for.
    pub(super) fn arrive(&mut self, name: &Arc<str>, parties: usize) -> u64 {
        let barrier = self.barriers.entry(Arc::clone(name)).or_default();
        let wanted = barrier.opened + 1;
        barrier.arrived += 1;
        if barrier.arrived >= parties {
            barrier.arrived = 0;
            barrier.opened = wanted;
        }
        wanted
    }

    pub(super) fn is_open(&self, name: &str, wanted: u64) -> bool {
        self.barriers.get(name).is_some_and(|barrier| barrier.opened >= wanted)
    }

    fn arrived(&self, name: &str) -> usize {
        self.barriers.get(name).map_or(0, |barrier| barrier.arrived)
    }
}

/// What a lane waits for that only another lane can bring.
enum Need<'a> {
    /// So many more notices.
    Notice(&'a Arc<str>, u64),
    /// So many more lanes.
    Parties(&'a Arc<str>, usize),
}

impl Conversation {
    /// What a lane waits for, where only another can bring it.
    fn need<'l>(&self, lane: &'l Lane) -> Option<Need<'l>> {
        let running = lane.running()?;
        match (&running.step().verb, &running.doing) {
            (Verb::Await(name, times), _) => {
                let taken = lane.awaited.get(name).copied().unwrap_or_default();
                Some(Need::Notice(name, (taken + times).saturating_sub(self.order.given(name))))
            }
            (Verb::Barrier(name, parties), Doing::Barrier(_)) => {
                Some(Need::Parties(name, parties.saturating_sub(self.order.arrived(name))))
            }
            _ => None,
        }
    }

    /// Finds lanes that nobody can help any more: the first of them, and who waits for whom.
    pub(super) fn deadlock(&mut self) -> Option<(usize, Box<Failing>)> {
        if !std::mem::take(&mut self.order.changed) {
            return None;
        }
        let needs: Vec<Option<Need<'_>>> = self.lanes.iter().map(|lane| self.need(lane)).collect();
        let mut stuck: Vec<bool> = needs.iter().map(Option::is_some).collect();
        if !stuck.contains(&true) {
            return None;
        }
        // Whoever can still be helped by one that is not stuck is not stuck either.
        loop {
            let helped = (0..needs.len()).find(|at| stuck[*at] && self.can_be_helped(*at, &needs, &stuck));
            match helped {
                Some(at) => stuck[at] = false,
                None => break,
            }
        }
        let first = stuck.iter().position(|stuck| *stuck)?;
        let told: Vec<String> = (0..needs.len()).filter(|at| stuck[*at]).map(|at| self.tell_need(at, &needs)).collect();
        let hint = "found as soon as nobody could go on, without waiting for a deadline";
        let failing = match told.as_slice() {
            [one] => Failing::new(FailureKind::Deadlock, format!("nobody is left who could let it go on: {one}")),
            [_, _] => Failing::new(FailureKind::Deadlock, format!("deadlock: {}", told.join("; "))),
            all => {
                let message = format!("deadlock: {} wait for what nobody will bring", all.len());
                all.iter().take(TOLD_MAX).fold(Failing::new(FailureKind::Deadlock, message), Failing::note)
            }
        };
        let failing = failing.hint(hint);
        Some((first, failing))
    }

    fn can_be_helped(&self, at: usize, needs: &[Option<Need<'_>>], stuck: &[bool]) -> bool {
        let helpers = || (0..self.lanes.len()).filter(|other| *other != at && !stuck[*other]);
        match &needs[at] {
            None => true,
            Some(Need::Notice(name, missing)) => {
                let mut hoped = 0;
                for other in helpers() {
                    match self.lanes[other].to_come(&|verb| matches!(verb, Verb::Notify(given) if given == *name)) {
                        None => return true,
                        Some(more) => hoped += more,
                    }
                }
                hoped >= *missing
            }
            Some(Need::Parties(name, missing)) => {
                let comes = |other: &usize| {
                    let is = |verb: &Verb| matches!(verb, Verb::Barrier(other, _) if other == *name);
                    self.lanes[*other].to_come(&is) != Some(0)
                };
                helpers().filter(comes).count() >= *missing
            }
        }
    }

    /// Who waits for what, and who could have brought it.
    fn tell_need(&self, at: usize, needs: &[Option<Need<'_>>]) -> String {
        let who = |at: usize| match &*self.lanes[at].name {
            "" => "this case".to_owned(),
            name => format!("`{name}`"),
        };
        let by = |name: &Arc<str>, is: &dyn Fn(&Verb) -> bool, else_: &str| {
            let could: Vec<String> = (0..self.lanes.len())
                .filter(|other| *other != at && self.lanes[*other].to_come(is) != Some(0))
                .map(who)
                .collect();
            match could.as_slice() {
                [] => format!("`{name}`, {else_}"),
                _ => format!("`{name}` from {}", could.join(" or ")),
            }
        };
        match &needs[at] {
            Some(Need::Notice(name, missing)) => {
                let is = |verb: &Verb| matches!(verb, Verb::Notify(given) if given == *name);
                let more = if *missing > 1 { format!("{missing} more notices of ") } else { "the notice ".into() };
                format!("{} awaits {more}{}", who(at), by(name, &is, "and no step that is still to come gives it"))
            }
            Some(Need::Parties(name, missing)) => {
                let is = |verb: &Verb| matches!(verb, Verb::Barrier(other, _) if other == *name);
                let more = count(*missing, "more party").replace("partys", "parties");
                format!("{} stands at a barrier for {more}: {}", who(at), by(name, &is, "and nobody else comes there"))
            }
            None => String::new(),
        }
    }

    /// Looks at a step that waits for other lanes.
    pub(super) fn wait_for_others(&self, lane: &mut HashMap<Arc<str>, u64>, verb: &Verb, doing: &Doing) -> Flow {
        let held = match (verb, doing) {
            (Verb::Await(name, times), _) => self.order.take(lane, name, *times),
            (Verb::Barrier(name, _), Doing::Barrier(wanted)) => self.order.is_open(name, *wanted),
            _ => true,
        };
        if held { Flow::Done } else { Flow::Waiting }
    }
}
