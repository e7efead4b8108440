//! Tests from outside: what a user of the library and of the command line sees, with real sockets and programs.

#![expect(clippy::disallowed_methods, reason = "tests look at the world from outside")]

mod bench;
mod capture;
mod contract;
mod dissector;
mod docs;
mod farm;
mod framing;
mod fuzz;
mod laws;
mod merge;
mod mqtt;
mod peer;
mod process;
mod property;
mod protocols;
mod report;
mod run;
mod serve;
mod systems;
mod testcase;
mod tidy;
