//! Captures, first as our own reader and etherparse see them, then as the programs that people open them with.

mod laws;
pub(crate) mod story;
pub(crate) mod tools;
mod wire;
