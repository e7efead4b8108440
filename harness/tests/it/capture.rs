//! Captures, first as our own reader and etherparse see them, then as the programs that people open them with.

mod laws;
mod story;
mod tools;
mod wire;
