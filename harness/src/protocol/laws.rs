//! What holds for every description and every input: shared by the fuzz target, the corpus and the property tests.

use super::PROTOCOLS;
use super::description::Protocol;
use super::value::Decoded;

/// One in so many inputs is held to everything by [`check_bytes`].
const SAMPLE: u64 = 64;

/// How many prefixes of a message are decoded of the other inputs, besides the longest.
const PREFIXES: usize = 3;

/// Any bytes: the first chooses a description that comes with the harness, the rest is what comes.
///
/// What costs much and rarely says anything new is left to some of the inputs, and the inputs themselves say to which: the
/// fuzzer sees a multitude that differ in one byte.
pub fn check_bytes(bytes: &[u8]) {
    let Some((first, input)) = bytes.split_first() else { return };
    let protocol = PROTOCOLS[usize::from(*first) % PROTOCOLS.len()].protocol();
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    if (hash >> 32).is_multiple_of(SAMPLE) {
        return check(&protocol, input);
    }
    protocol.decode_each(input, |decoded| check_decoded(&protocol, input, decoded));
    check_stream(&protocol, input, |len| {
        let apart = len.div_ceil(PREFIXES).max(1);
        let from = (hash >> 40) as usize % apart;
        (from..len).step_by(apart).chain(len.checked_sub(1))
    });
}

/// The same to everything, as the tests do it.
pub fn check_bytes_fully(bytes: &[u8]) {
    let Some((first, input)) = bytes.split_first() else { return };
    check(&PROTOCOLS[usize::from(*first) % PROTOCOLS.len()].protocol(), input);
}

/// Holds a protocol to its laws on `input`, whole and as the beginning of a stream.
///
/// Decoding neither panics nor changes its mind when more bytes come; what was decoded and is canonical encodes to the same
/// bytes; what that encodes decodes to the same values.
pub fn check(protocol: &Protocol, input: &[u8]) {
    let mut found = Vec::new();
    for message in 0..protocol.messages.len() {
        if let Ok(Some(decoded)) = protocol.decode_message(message, input, true) {
            check_decoded(protocol, input, &decoded);
            found.push(message);
        }
    }
    // Whether or not somebody asks why it is none, and whichever byte it begins with, a message is one.
    let mut each = Vec::new();
    protocol.decode_each(input, |decoded| each.push(decoded.message));
    if !input.is_empty() {
        assert_eq!(each, found, "{}", protocol.name);
    }
    check_stream(protocol, input, |len| (0..len).rev().take(64));
}

fn check_decoded(protocol: &Protocol, input: &[u8], decoded: &Decoded) {
    let encoded = protocol.encode(decoded.message, &decoded.given(protocol, input));
    if decoded.canonical {
        assert_eq!(encoded.as_deref(), Ok(input), "{} `{}`", protocol.name, decoded.description(protocol).name);
    }
}

/// Decodes the message at the front of a stream, and prefixes of it, whose lengths `prefixes` chooses.
fn check_stream<P: Iterator<Item = usize>>(protocol: &Protocol, input: &[u8], prefixes: impl FnOnce(usize) -> P) {
    let Ok(Some(whole)) = protocol.decode(input, false, None) else { return };
    assert!(whole.len <= input.len());
    let again = protocol.decode(&input[..whole.len], false, None);
    assert_eq!(again.as_ref().map(Option::as_ref), Ok(Some(&whole)), "{}: of its own bytes alone", protocol.name);
    // However the bytes arrive, the answer is the same.
    for len in prefixes(whole.len) {
        let before = protocol.decode(&input[..len], false, None);
        assert_eq!(before, Ok(None), "{}: of {len} of {} bytes", protocol.name, whole.len);
    }
}
