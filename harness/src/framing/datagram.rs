//! One message a datagram.

use std::sync::Arc;

use super::{Decoded, Framing, FramingError};

/// Takes the whole input as one message, which is right only where the input is one datagram.
///
/// An empty datagram is a message too, but here it reads as [`Decoded::NeedMore`], so that a loop
/// over messages ends: who receives datagrams hands an empty one on without asking. Its length is
/// limited by the system that carries it.
pub fn datagram() -> Arc<dyn Framing> {
    Arc::new(Datagram)
}

#[derive(Debug)]
struct Datagram;

impl Framing for Datagram {
    fn decode(&self, input: &[u8], _searched: usize) -> Result<Decoded, FramingError> {
        Ok(match input.len() {
            0 => Decoded::NeedMore,
            len => Decoded::Message { start: 0, end: len, consumed: len },
        })
    }

    fn encode(&self, message: &[u8], output: &mut Vec<u8>) -> Result<(), FramingError> {
        output.extend_from_slice(message);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_input_is_one_message() {
        let decoded = datagram().decode(b"a\nb\n", 0);
        assert_eq!(decoded, Ok(Decoded::Message { start: 0, end: 4, consumed: 4 }));
    }

    #[test]
    fn a_loop_over_messages_ends() {
        assert_eq!(datagram().decode(b"", 0), Ok(Decoded::NeedMore));
    }
}
