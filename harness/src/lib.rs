//! A network protocol test harness and fuzzing toolkit.
//!
//! Read in this order:
//!
//! 1. [`event`] is what a run tells, and [`time`] when.
//! 2. [`conversation`] is the core: scripted peers with no socket and no clock. It cuts messages with a [`framing`] and
//!    asks a [`matcher`] about each. [`fault`] is what goes wrong on a link.
//! 3. [`scenario`] reads files into scripts, by way of [`document`] and [`template`].
//! 4. [`runner`] is the shell: sockets, processes and time around the core.
//! 5. [`report`] and [`capture`] are functions of the events; [`exit`] is what scripts learn.
//! 6. [`testcase`] is a conversation as a value, and plays it; [`reduce`] makes a failing one small.
//! 7. [`mod@bench`] measures; [`campaign`] fuzzes: it plays cases that a [`mutator`] has spoilt, on sockets of its own.
//! 8. [`cli`] puts it on a command line.
//!
//! What the first three name is the core, and all there is without the feature `program`: it is what is fuzzed.

#![cfg_attr(not(feature = "program"), expect(dead_code, unused_imports, reason = "the program uses it"))]

pub mod conversation;
pub mod document;
pub mod event;
pub mod fault;
pub mod framing;
pub mod matcher;
pub mod protocol;
pub mod random;
pub mod scenario;
pub mod signal;
pub mod template;
pub mod text;
pub mod time;
pub mod url;

#[cfg(feature = "program")]
pub mod bench;
#[cfg(feature = "program")]
pub mod campaign;
#[cfg(feature = "program")]
pub mod capture;
#[cfg(feature = "program")]
pub mod cli;
#[cfg(feature = "program")]
pub mod exit;
#[cfg(feature = "program")]
pub mod mutator;
#[cfg(feature = "program")]
pub mod property;
#[cfg(feature = "program")]
pub mod reduce;
#[cfg(feature = "program")]
pub mod report;
#[cfg(feature = "program")]
pub mod runner;
#[cfg(feature = "program")]
pub mod testcase;
