//! How large a case is.

use std::fmt;

use super::bytes;
use crate::document::{Node, Value};
use crate::testcase::TestCase;
use crate::testcase::step::{parts, verb};
use crate::text::count;

/// How large a case is, loops unrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Connections that are opened.
    pub connections: usize,
    /// Steps.
    pub steps: usize,
    /// Messages that are sent.
    pub messages: usize,
    /// Bytes in them, as far as the file says them; of a message by name those of its fields.
    pub bytes: usize,
}

impl Size {
    /// Of a case.
    pub fn of(case: &TestCase) -> Size {
        let mut size = Size::default();
        let mut spoke: Vec<Option<&str>> = Vec::new();
        for (lane, steps) in case.lanes() {
            let owner = (lane != "steps").then_some(lane);
            steps.iter().for_each(|step| size.add(step, owner, 1, &mut spoke));
        }
        size.connections += spoke.len();
        size
    }

    fn add<'c>(&mut self, step: &'c Node, owner: Option<&'c str>, times: usize, spoke: &mut Vec<Option<&'c str>>) {
        let Some((actor, table)) = parts(step) else { return };
        let actor = actor.or(owner);
        self.steps += times;
        match verb(step) {
            Some("send") => {
                if !spoke.contains(&actor) {
                    spoke.push(actor);
                }
                let sends = table.get("send").map(|node| match &node.value {
                    Value::Array(items) => items.iter().collect(),
                    _ => vec![node],
                });
                for payload in sends.into_iter().flatten() {
                    self.messages += times;
                    self.bytes += times * bytes::len(payload);
                }
            }
            Some("connect") if spoke.contains(&actor) => self.connections += times,
            Some("connect") => spoke.push(actor),
            Some("repeat") => {
                let Some(inner) = table.get("repeat").and_then(Node::as_table) else { return };
                let rounds = match inner.get("times").map(|node| &node.value) {
                    Some(Value::Integer(rounds)) => usize::try_from(*rounds).unwrap_or(1),
                    _ => 1,
                };
                let steps = inner.get("steps").and_then(Node::as_array).unwrap_or_default();
                steps.iter().for_each(|step| self.add(step, actor, times.saturating_mul(rounds), spoke));
            }
            _ => {}
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { connections, messages, bytes, .. } = *self;
        write!(f, "{}, {}, {}", count(connections, "connection"), count(messages, "message"), count(bytes, "byte"))
    }
}
