//! What was said on earlier connections to the same target, joined to a case.

use super::TestCase;
use super::step::{self, parts, verb};
use crate::document::{Node, Value};

impl TestCase {
    /// Whether it can be joined with others: its steps are played in one order.
    pub fn is_one_order(&self) -> bool {
        self.case().get("steps").is_some()
    }

    /// Itself after other cases on the same targets: each on connections of its own, one after the other.
    ///
    /// All are cases of one file. What is played side by side cannot be joined and is left out; see [`TestCase::is_one_order`].
    #[must_use]
    pub fn after(&self, history: &[TestCase]) -> TestCase {
        let mut joined = self.clone();
        if !self.is_one_order() {
            return joined;
        }
        let mut steps = Vec::new();
        let mut spoke = Vec::new();
        let mut loose = false;
        for case in history.iter().filter(|case| case.is_one_order()) {
            push(&mut steps, &mut spoke, case);
            loose |= case.case().get("strict_end").is_some_and(|node| node.value == Value::Boolean(false));
        }
        if steps.is_empty() {
            return joined;
        }
        let before = steps.len();
        push(&mut steps, &mut spoke, self);
        // Notes on steps move with them; two may have come between: a close and a connect.
        let own = self.lanes()[0].1.len();
        let moved = steps.len().saturating_sub(own).max(before);
        joined.step_notes.iter_mut().for_each(|(_, at, _)| *at += moved);
        if let Some(lane) = joined.lane_mut("steps") {
            *lane = steps;
        }
        if loose {
            joined.case_mut().set("strict_end", false);
        }
        joined
    }
}

/// Adds the steps of a case on new connections.
fn push(steps: &mut Vec<Node>, spoke: &mut Vec<Speaker>, case: &TestCase) {
    let mut met: Vec<Option<String>> = Vec::new();
    let lanes = case.lanes();
    let Some((_, own)) = lanes.first() else { return };
    for item in *own {
        let actor = parts(item).and_then(|(actor, _)| actor.map(str::to_owned));
        let Some(word) = verb(item) else { continue };
        if !is_on_connection(word) {
            steps.push(item.clone());
            continue;
        }
        let is_first = !met.contains(&actor);
        if is_first {
            met.push(actor.clone());
        }
        match spoke.iter_mut().find(|speaker| speaker.actor == actor) {
            Some(speaker) => {
                if is_first {
                    if speaker.open {
                        steps.push(step::close(actor.as_deref()));
                    }
                    if !matches!(word, "connect" | "accept" | "expect_refused") {
                        steps.push(step::connect(actor.as_deref()));
                    }
                }
                speaker.open = stays_open(item, word);
            }
            None => spoke.push(Speaker { actor, open: stays_open(item, word) }),
        }
        steps.push(item.clone());
    }
}

/// One who has spoken, and whether its connection is still there.
struct Speaker {
    actor: Option<String>,
    open: bool,
}

fn is_on_connection(verb: &str) -> bool {
    !matches!(
        verb,
        "await" | "barrier" | "defer" | "exec" | "log" | "notify" | "restart" | "set" | "signal" | "sleep" | "stop"
    )
}

fn stays_open(item: &Node, verb: &str) -> bool {
    let then = parts(item).and_then(|(_, table)| table.get("then")?.as_str());
    !matches!(verb, "close" | "reset" | "expect_refused") && !matches!(then, Some("close" | "reset"))
}
