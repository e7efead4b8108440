//! Load and latency: a scenario's steps again and again, timed.
//!
//! `workload` makes operations of a case; `engine` has threads that do them, each with its own connections, histograms and
//! schedule; `measure` starts the threads together and collects what they counted. `floor` measures what the machine itself
//! takes, and `environment` says what else a figure depends on. What a figure means is told elsewhere.
//!
//! Nothing here uses tokio: between a clock that was read and bytes that leave there is to be as little as can be.

#![expect(clippy::disallowed_methods, reason = "this is a shell of its own: it measures sockets and time")]

pub mod arrivals;
pub mod clock;
pub mod compare;
pub mod connection;
pub mod correlation;
pub mod drops;
pub mod engine;
pub mod environment;
pub mod expectation;
pub mod figure;
pub mod files;
#[cfg(test)]
mod fixture;
pub mod floor;
pub mod hlog;
pub mod html;
pub mod judge;
pub mod knee;
pub mod measure;
pub mod merge;
pub mod modes;
pub mod outcome;
pub mod packed;
pub mod pairs;
pub mod place;
pub mod plan;
pub mod quantiles;
pub mod schedule;
pub mod self_test;
pub mod session;
pub mod show;
pub mod statistics;
pub mod tally;
pub mod threshold;
pub mod watch;
pub mod wire;
pub mod workload;
