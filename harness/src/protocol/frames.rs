//! Where a protocol's messages end.

use std::sync::Arc;

use super::description::{Direction, MESSAGE_LEN_MAX, Protocol};
use crate::framing::{Decoded, Framing, FramingError};

/// The framing of a protocol, for somebody who hears this direction: its own, or what its messages say themselves.
pub fn framing(protocol: &Arc<Protocol>, direction: Option<Direction>) -> Arc<dyn Framing> {
    match &protocol.framing {
        Some(framing) => Arc::clone(framing),
        None => Arc::new(Messages { protocol: Arc::clone(protocol), direction }),
    }
}

/// Messages that say themselves where they end.
#[derive(Debug)]
struct Messages {
    protocol: Arc<Protocol>,
    direction: Option<Direction>,
}

impl Framing for Messages {
    fn decode(&self, input: &[u8], _: usize) -> Result<Decoded, FramingError> {
        match self.protocol.decode(input, false, self.direction) {
            Ok(Some(decoded)) => Ok(Decoded::Message { start: 0, end: decoded.len, consumed: decoded.len }),
            Ok(None) if input.len() > MESSAGE_LEN_MAX => {
                Err(FramingError::TooLong { len: input.len() as u64, max: MESSAGE_LEN_MAX })
            }
            Ok(None) => Ok(Decoded::NeedMore),
            Err(error) => Err(FramingError::NoMessage { why: error.to_string() }),
        }
    }

    fn encode(&self, message: &[u8], output: &mut Vec<u8>) -> Result<(), FramingError> {
        // What is sent may lie; it is its receiver who has to see that.
        output.extend_from_slice(message);
        Ok(())
    }
}
