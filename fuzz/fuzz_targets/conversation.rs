//! Conversations with a peer that says anything, cut in any way: no panic, no hang, no growth, and a verdict that does not
//! depend on the cuts.

#![no_main]

use harness::conversation::laws;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if bytes.len() > LEN_MAX {
        return Corpus::Reject;
    }
    laws::check_bytes(bytes);
    Corpus::Keep
});

/// Room for several messages of each script.
const LEN_MAX: usize = 256;
