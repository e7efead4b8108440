//! One test binary: what the harness does from outside.

mod serve;
