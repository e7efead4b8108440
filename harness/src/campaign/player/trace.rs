//! What a play has shown: plain data, for others to judge.

use std::time::Duration;

use super::super::socket::End;
use crate::event::OutputLine;
use crate::runner::process::{Exit, Frame};

/// How much of a reply is kept.
pub const REPLY_LEN_MAX: usize = 4 << 10;

/// What a play has shown.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// What came after each message.
    pub replies: Vec<Reply>,
    /// How many connections were opened.
    pub opened: u64,
    /// How many messages were sent.
    pub messages: u64,
    /// The first step whose expectation did not hold.
    pub unmet: Option<usize>,
    /// The first step at which nobody let us in.
    pub refused: Option<usize>,
    /// Whether the target still worked when it was no longer waited for.
    pub busy: bool,
    /// How a process of the target ended, and which.
    pub ended: Option<(String, Exit)>,
    /// A process that a target has started was ended by a signal that says it did something wrong.
    pub child: Option<(String, Exit)>,
    /// The calls it was in when a signal has ended it, the innermost first, where that was looked at.
    pub stack: Vec<Frame>,
    /// What the target wrote meanwhile.
    pub lines: Vec<OutputLine>,
    /// How long it took.
    pub time: Duration,
}

/// What came after a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The step that sent the message.
    pub step: usize,
    /// The beginning of what came.
    pub data: Vec<u8>,
    /// How much came.
    pub len: u64,
    /// How the connection ended meanwhile.
    pub end: Option<End>,
    /// How long the target had been at rest before it went on with what was expected: by a timer of its own, or somebody else's
    /// answer. Whoever is only slow, or has no processor, has not rested.
    pub late: Duration,
}
