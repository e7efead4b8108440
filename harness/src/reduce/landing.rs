//! The end of a case that crashes its target: it has to be seen, however little else is left.
//!
//! A target may take a while to die of what it was sent, and whoever sent it has nothing more to do. So such a case ends with a
//! `drain`: where the target dies it ends at once, where the bug is fixed the case holds.

use std::time::Duration;

use super::Reducer;
use crate::document::Node;
use crate::testcase::step::{drain, duration, parts, table_mut, verb};
use crate::testcase::{Class, TestCase};

/// How long it waits for a target that does not die.
const LANDING: Duration = Duration::from_secs(1);

impl Reducer<'_> {
    /// Has the case end with a wait for the target's end: in the place of what follows the last `send`, or after all of it.
    pub(super) fn land(&mut self) {
        if !matches!(self.wanted.class, Class::Crash | Class::Panic) || !self.best.is_one_order() {
            return;
        }
        // Without it the case fails only where the target dies fast enough: whatever else there is no budget for, there is for this.
        let spent = std::mem::replace(&mut self.is_free, true);
        self.add_landing();
        self.is_free = spent;
    }

    fn add_landing(&mut self) {
        let base = self.best.clone();
        let Some((_, steps)) = base.lanes().first().copied() else { return };
        if steps.last().is_some_and(is_landing) {
            return;
        }
        let Some(last) = steps.iter().rposition(|step| verb(step) == Some("send")) else { return };
        if parts(&steps[last])
            .is_some_and(|(_, table)| matches!(table.get("then").and_then(Node::as_str), Some("close" | "reset")))
        {
            return;
        }
        let actor = parts(&steps[last]).and_then(|(actor, _)| actor);
        let mut short = steps[..=last].to_vec();
        short.push(drain(actor, LANDING));
        let mut long = steps.to_vec();
        long.push(drain(actor, LANDING));
        for steps in [short, long] {
            let mut case = base.clone();
            if let Some(lane) = case.lane_mut("steps") {
                *lane = steps;
            }
            if self.test(case) {
                return;
            }
        }
    }
}

/// Whether a step is such a wait.
pub(super) fn is_landing(step: &Node) -> bool {
    let quiet = parts(step).filter(|_| verb(step) == Some("drain")).and_then(|(_, table)| table.get("quiet")?.as_str());
    quiet == Some(&duration(LANDING))
}

/// A candidate as it is best played: steps wait no longer than `timeout` where they do not say how long, and the last step no
/// longer than `quiet` for the target's end. What waits for something that never comes is most of what a reduction costs.
#[must_use]
pub fn hasten(case: &TestCase, timeout: Option<Duration>, quiet: Duration) -> TestCase {
    let mut case = case.clone();
    if let Some(timeout) = timeout {
        case.document_mut().set("timeout", duration(timeout));
    }
    let last = case.lane_mut("steps").and_then(|steps| steps.last_mut()).filter(|step| is_landing(step));
    if let Some(table) = last.and_then(table_mut) {
        table.set("quiet", duration(quiet));
    }
    case
}
