//! A network protocol test harness and fuzzing toolkit.
//!
//! Read in this order: [`event`] is what a run tells.

pub mod conversation;
pub mod document;
pub mod event;
pub mod framing;
pub mod matcher;
pub mod random;
pub mod template;
pub mod text;
pub mod time;
