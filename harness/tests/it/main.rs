//! Tests from outside: what a user of the library and of the command line sees, with real sockets and programs.

mod capture;
mod process;
mod report;
mod serve;
