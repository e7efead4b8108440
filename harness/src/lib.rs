//! A network protocol test harness and fuzzing toolkit.
//!
//! Read in this order: [`event`] is what a run tells.

pub mod event;
pub mod framing;
pub mod random;
pub mod report;
pub mod time;
