//! A network protocol test harness and fuzzing toolkit.
//!
//! Read in this order: [`event`] is what a run tells.

pub mod cli;
pub mod event;
pub mod framing;
pub mod random;
pub mod time;
