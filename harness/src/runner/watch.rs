//! What goes on right now: how far the run is, for a terminal, and which cases take long, for everybody.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::run::Run;
use crate::event::EventKind;
use crate::report::{Progress, Reporter as _};
use crate::time::Time;

/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// The cases that are being played.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// How many are to be played in all.
    pub(super) planned: Cell<u64>,
    running: RefCell<BTreeMap<u32, Running>>,
}

#[derive(Debug)]
struct Running {
    /// `scenario: case`.
    title: String,
    begun: Time,
    /// How often it was told that it is slow.
    told: u32,
}

impl Watch {
    pub(super) fn begins(&self, case: u32, title: String, now: Time) {
        self.running.borrow_mut().insert(case, Running { title, begun: now, told: 0 });
    }

    pub(super) fn ends(&self, case: u32) {
        self.running.borrow_mut().remove(&case);
    }

    /// The cases that have just become slow, or slow once more, and for how long they have been going on.
    fn slow(&self, now: Time, after: Duration) -> Vec<(String, Duration)> {
        let mut slow = Vec::new();
        for running in self.running.borrow_mut().values_mut() {
            if now >= running.due(after) {
                let time = now.since(running.begun);
                // Where nobody had time to tell it in between, it is told once.
                running.told = u32::try_from(time.as_nanos() / after.as_nanos().max(1)).unwrap_or(u32::MAX - 1);
                slow.push((running.title.clone(), time));
            }
        }
        slow
    }

    /// When the next case will be slow, if it does not end before.
    fn next_slow(&self, now: Time, after: Duration) -> Time {
        let running = self.running.borrow();
        // One that begins from here on is slow no earlier than this.
        running.values().map(|running| running.due(after)).fold(now + after, Time::min)
    }
}

impl Running {
    fn due(&self, after: Duration) -> Time {
        self.begun + after.saturating_mul(self.told.saturating_add(1))
    }
}

impl Run {
    /// Tells of slow cases, and of progress where somebody looks, until it is aborted.
    pub(super) async fn watch_cases(self: Rc<Self>) {
        let after = self.options.slow_after;
        loop {
            let now = self.clock.now();
            let next = match (self.options.progress, after) {
                (true, _) => now + PROGRESS_EVERY,
                (false, Some(after)) => self.watch.next_slow(now, after),
                (false, None) => return,
            };
            tokio::time::sleep_until(self.clock.instant(next)).await;
            let now = self.clock.now();
            for (title, running) in after.map(|after| self.watch.slow(now, after)).unwrap_or_default() {
                let running_ns = u64::try_from(running.as_nanos()).unwrap_or(u64::MAX);
                self.tell(EventKind::CaseSlow { title, running_ns });
            }
            if self.options.progress {
                let running = self.watch.running.borrow();
                let running: Vec<(&str, Duration)> =
                    running.values().map(|running| (running.title.as_str(), now.since(running.begun))).collect();
                let mut sink = self.sink.borrow_mut();
                let sink = &mut *sink;
                let (planned, summary) = (self.watch.planned.get(), &sink.summary);
                sink.reporters.progress(&Progress { at: now, planned, summary, running: &running });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_case_is_told_to_be_slow_once_each_time_it_has_taken_so_long_again() {
        let watch = Watch::default();
        let after = Duration::from_secs(10);
        watch.begins(0, "echo: waits".into(), at(1));
        watch.begins(1, "echo: is quick".into(), at(5));
        watch.ends(1);
        assert_eq!(watch.next_slow(at(6), after), at(11));
        assert_eq!(watch.slow(at(10), after), []);
        assert_eq!(watch.slow(at(11), after), [("echo: waits".to_owned(), after)]);
        assert_eq!(watch.slow(at(12), after), []);
        assert_eq!(watch.next_slow(at(12), after), at(21));
        assert_eq!(watch.slow(at(21), after), [("echo: waits".to_owned(), Duration::from_secs(20))]);
        assert_eq!(watch.slow(at(55), after), [("echo: waits".to_owned(), Duration::from_secs(54))]);
        assert_eq!(watch.next_slow(at(55), after), at(61));
        watch.ends(0);
        assert_eq!(watch.next_slow(at(30), after), at(40));
        assert_eq!(watch.slow(at(60), after), []);
    }
}
