//! Servers that are wrong on purpose, one way at a time: what the harness has to notice.
//!
//! [`liar`] departs from a truth that each of its scenarios spells out. [`flawed`] is a sound server until it is given a bug
//! that has to be looked for, by properties and by fuzzing.

pub mod flawed;
pub mod liar;

pub use liar::{EXIT_STATUS, LIES, Lie, Row};
