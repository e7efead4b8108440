//! Tests through the public interface, with real sockets and programs.

mod process;
