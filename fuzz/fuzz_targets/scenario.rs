//! The parser of scenario files: whatever a file holds, there are mistakes with places, or a scenario.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if bytes.len() > LEN_MAX {
        return Corpus::Reject;
    }
    harness::scenario::check_bytes(bytes);
    Corpus::Keep
});

/// A long file says nothing that a short one cannot.
const LEN_MAX: usize = 2048;
