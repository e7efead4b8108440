//! A network protocol test harness and fuzzing toolkit.
//!
//! Read in this order: [`event`] is what a run tells.

pub mod capture;
pub mod cli;
pub mod conversation;
pub mod document;
pub mod event;
pub mod exit;
pub mod framing;
pub mod matcher;
pub mod random;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod template;
pub mod text;
pub mod time;
