//! What the benchmarks share. Each benchmark is a file beside this one.

#![cfg(feature = "program")]
#![expect(clippy::disallowed_methods, reason = "a benchmark has sockets and a clock of its own")]

pub mod echo;
pub mod engine;
