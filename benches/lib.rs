//! What the benchmarks share. Each benchmark is a file beside this one.
