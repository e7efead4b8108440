//! Messages that all have one length.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Decoded, FRAME_LEN_LIMIT, Framing, FramingError, Shape};

/// Cuts a message every `len` bytes.
pub fn fixed(len: usize) -> Result<Arc<dyn Framing>, FramingError> {
    if (1..=FRAME_LEN_LIMIT).contains(&len) {
        Ok(Arc::new(Fixed { len }))
    } else {
        Err(FramingError::FixedOutOfRange { len })
    }
}

#[derive(Debug)]
struct Fixed {
    len: usize,
}

impl Framing for Fixed {
    fn decode(&self, input: &[u8], _searched: usize) -> Result<Decoded, FramingError> {
        Ok(if input.len() < self.len {
            Decoded::NeedMore
        } else {
            Decoded::Message { start: 0, end: self.len, consumed: self.len }
        })
    }

    fn shape(&self) -> Option<Shape<'_>> {
        Some(Shape::Fixed(self.len))
    }

    fn lens(&self) -> RangeInclusive<usize> {
        self.len..=self.len
    }

    fn encode(&self, message: &[u8], output: &mut Vec<u8>) -> Result<(), FramingError> {
        if message.len() != self.len {
            return Err(FramingError::WrongLength { expected: self.len, len: message.len() });
        }
        output.extend_from_slice(message);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing() -> Arc<dyn Framing> {
        fixed(3).expect("three bytes are within the limit")
    }

    #[test]
    fn a_message_is_cut_at_its_length() {
        let framing = framing();
        assert_eq!(framing.decode(b"ab", 0), Ok(Decoded::NeedMore));
        assert_eq!(framing.decode(b"abcd", 2), Ok(Decoded::Message { start: 0, end: 3, consumed: 3 }));
    }

    #[test]
    fn a_message_of_another_length_is_refused() {
        let mut output = b"before".to_vec();
        let refused = framing().encode(b"ab", &mut output);
        assert_eq!(refused, Err(FramingError::WrongLength { expected: 3, len: 2 }));
        assert_eq!(output, b"before");
    }

    #[test]
    fn a_length_that_no_message_can_have_is_refused() {
        assert_eq!(fixed(0).err(), Some(FramingError::FixedOutOfRange { len: 0 }));
        assert_eq!(fixed(usize::MAX).err(), Some(FramingError::FixedOutOfRange { len: usize::MAX }));
    }
}
