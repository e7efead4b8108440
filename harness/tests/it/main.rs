//! Tests from outside: what a user of the library and of the command line sees, with real sockets and programs.

mod report;
