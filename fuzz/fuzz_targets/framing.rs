//! The laws of framings, on bytes that choose their framing themselves.

#![no_main]

use harness::framing::laws;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    // More bytes only repeat what fewer have shown, and cost speed.
    if bytes.len() > LEN_MAX {
        return Corpus::Reject;
    }
    laws::check_bytes(bytes);
    Corpus::Keep
});

/// Room for a message whose varint takes two bytes.
const LEN_MAX: usize = 160;
