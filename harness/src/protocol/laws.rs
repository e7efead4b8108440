//! What holds for every description and every input: shared by the fuzz target, the corpus and the property tests.

use super::PROTOCOLS;
use super::description::Protocol;

/// Any bytes: the first chooses a description that comes with the harness, the rest is what comes.
pub fn check_bytes(bytes: &[u8]) {
    let Some((first, input)) = bytes.split_first() else { return };
    check(&PROTOCOLS[usize::from(*first) % PROTOCOLS.len()].protocol(), input);
}

/// Holds a protocol to its laws on `input`, whole and as the beginning of a stream.
///
/// Decoding neither panics nor changes its mind when more bytes come; what was decoded and is canonical encodes to the same
/// bytes; what that encodes decodes to the same values.
pub fn check(protocol: &Protocol, input: &[u8]) {
    for message in 0..protocol.messages.len() {
        if let Ok(Some(decoded)) = protocol.decode_message(message, input, true) {
            let given = decoded.given(protocol, input);
            let encoded = protocol.encode(message, &given);
            if decoded.canonical {
                let encoded = encoded.as_deref();
                assert_eq!(encoded, Ok(input), "{} `{}`", protocol.name, protocol.messages[message].name);
            }
        }
    }
    if let Ok(Some(whole)) = protocol.decode(input, false, None) {
        assert!(whole.len <= input.len());
        let again = protocol.decode(&input[..whole.len], false, None);
        assert_eq!(again.as_ref().map(Option::as_ref), Ok(Some(&whole)), "{}: of its own bytes alone", protocol.name);
        // However the bytes arrive, the answer is the same.
        for len in (0..whole.len).rev().take(64) {
            let before = protocol.decode(&input[..len], false, None);
            assert_eq!(before, Ok(None), "{}: of {len} of {} bytes", protocol.name, whole.len);
        }
    }
}
