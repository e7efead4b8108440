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

pub mod bench;
pub mod campaign;
pub mod capture;
pub mod cli;
pub mod conversation;
pub mod document;
pub mod event;
pub mod exit;
pub mod fault;
pub mod framing;
pub mod matcher;
pub mod mutator;
pub mod property;
pub mod protocol;
pub mod random;
pub mod reduce;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod template;
pub mod testcase;
pub mod text;
pub mod time;
