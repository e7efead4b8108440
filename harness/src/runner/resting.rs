//! Whether the targets of a case have anything left to do: where they rest, what a step waits for does not come.
//!
//! Only processes that were started here can be seen, and one that rests may have set itself an alarm. So this is for those who
//! play a case again before they believe what came of it.

use std::time::Duration;

use super::process::{Activity, Process, Rest};
use super::target::Running;
use crate::conversation::Conversation;
use crate::time::Time;

/// How often targets are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How often at least they have to be asleep in a row: whoever looks may have been away for a while.
const LOOKS_MIN: u32 = 5;

/// The targets of a case, looked at again and again.
pub(super) struct Resting<'r> {
    running: &'r [&'r Running],
    /// How long they have to be at rest.
    after: Duration,
    pids: Vec<u32>,
    rest: Rest,
    asleep: Option<(Time, u32)>,
}

impl<'r> Resting<'r> {
    /// `None` where there are targets that cannot be seen, or none at all.
    pub(super) fn new(running: &'r [&'r Running], after: Duration) -> Option<Resting<'r>> {
        let seen = !running.is_empty() && running.iter().all(|running| running.process().is_some());
        seen.then(|| Resting { running, after, pids: Vec::new(), rest: Rest::default(), asleep: None })
    }

    /// Looks once, and has a conversation give up what it waits for in vain; says when to look again.
    pub(super) fn tick(&mut self, conversation: &mut Conversation, now: Time) -> Time {
        let waits = conversation.waits_since();
        if waits.is_some_and(|since| self.has_rested(now, since)) {
            conversation.handle_rest(now);
        }
        if waits.is_none() {
            self.asleep = None;
        }
        now + LOOK_EVERY
    }

    fn has_rested(&mut self, now: Time, since: Time) -> bool {
        // A step may have started another one.
        let pids: Vec<u32> = self.running.iter().filter_map(|running| Some(running.process()?.pid())).collect();
        if pids != self.pids {
            self.rest = Rest::new(pids.clone());
            self.pids = pids;
        }
        if self.rest.look() != Activity::Asleep {
            self.asleep = None;
            return false;
        }
        let (from, looks) = match self.asleep {
            Some((from, looks)) if from >= since => (from, looks + 1),
            _ => (now, 1),
        };
        self.asleep = Some((from, looks));
        looks >= LOOKS_MIN && now.since(from) >= self.after
    }
}

/// Waits until a process has rested for a while.
///
/// [`Rest::come`] is content with two looks in a row: then a message is done with. But whoever dies slowly sleeps for moments, too.
pub(super) async fn at_rest(process: &Process) {
    let (mut rest, mut looks) = (Rest::new(vec![process.pid()]), 0);
    while looks < LOOKS_MIN {
        // Nobody is told when another process falls asleep: it has to be looked at.
        tokio::time::sleep(LOOK_EVERY).await;
        looks = if rest.look() == Activity::Asleep { looks + 1 } else { 0 };
    }
}
