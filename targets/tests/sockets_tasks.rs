//! Servers on sockets, as tasks of a runtime.
#![expect(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod sockets;

use targets::{bind as bind_at, serve as serve_at};
