//! The shell: sockets, processes and time, in short loops around the core.

pub mod process;
