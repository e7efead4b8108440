//! The names of messages on a stream. Only a whole message has one, so whoever asks for it waits for the rest.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Direction, Plan};
use crate::framing::{Decoded, Framing};

/// What has come of the message in hand.
#[derive(Debug)]
pub(super) struct Names {
    plan: Plan,
    direction: Direction,
    /// `None` once something came that is no message.
    framing: Option<Arc<dyn Framing>>,
    held: BytesMut,
    searched: usize,
}

impl Names {
    pub(super) fn new(plan: &Plan, direction: Direction) -> Names {
        let framing = plan.framing_of(direction);
        Names { plan: plan.clone(), direction, framing, held: BytesMut::new(), searched: 0 }
    }

    /// Takes in what has come, and gives back whole messages with their names; without one, what is no message.
    pub(super) fn push(&mut self, data: &Bytes) -> Vec<(Option<Arc<str>>, Bytes)> {
        let mut whole = Vec::new();
        self.held.extend_from_slice(data);
        while let (Some(framing), false) = (&self.framing, self.held.is_empty()) {
            match framing.decode(&self.held, self.searched) {
                Ok(Decoded::Message { start, end, consumed }) => {
                    let name = self.plan.name_of(self.direction, &self.held[start..end]);
                    whole.push((name, self.held.split_to(consumed).freeze()));
                    self.searched = 0;
                }
                Ok(Decoded::NeedMore) => {
                    self.searched = self.held.len();
                    return whole;
                }
                Err(_) => self.framing = None,
            }
        }
        whole.extend(self.take().map(|rest| (None, rest)));
        whole
    }

    /// What came of a message that is not whole.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        Some(self.held.split().freeze()).filter(|rest| !rest.is_empty())
    }
}
