//! A network protocol test harness and fuzzing toolkit.
//!
//! Read in this order: [`event`] is what a run tells, [`capture`] shows it as packets.

pub mod capture;
pub mod event;
pub mod framing;
pub mod random;
pub mod time;
