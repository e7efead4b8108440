//! Descriptions of protocols: the first byte chooses one, the rest is what comes.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if bytes.len() > LEN_MAX {
        return Corpus::Reject;
    }
    harness::protocol::laws::check_bytes(bytes);
    Corpus::Keep
});

/// A long message says little that a short one cannot.
const LEN_MAX: usize = 1024;
