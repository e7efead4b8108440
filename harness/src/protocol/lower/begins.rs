//! Which messages may begin with each byte.

use crate::protocol::description::{Bits, Extent, Integer, Kind, Layout, Message};

/// Which messages may begin with each byte.
pub(super) fn begins(messages: &[Message]) -> Vec<Vec<u16>> {
    let mut begins = vec![Vec::new(); 256];
    for (number, message) in messages.iter().enumerate() {
        let may = |byte: u8| match message.fields.first() {
            None => false,
            Some(field) if field.only_if.is_some() => true,
            Some(field) => match &field.kind {
                Kind::Bytes { constant: Some(constant), extent: Extent::Fixed(_), .. } => {
                    constant.first().is_none_or(|first| *first == byte)
                }
                Kind::Integer(Integer { layout: Layout::Fixed { len, big, .. }, number, bits, .. }) => {
                    let shift = if *big { 8 * (u32::from(*len) - 1) } else { 0 };
                    let whole = number.constant.is_none_or(|constant| (constant >> shift) as u8 == byte);
                    // Of several bytes only the bits in the first count.
                    let part = |bits: &Bits| match bits.number.constant {
                        Some(constant) => {
                            let (mask, value) =
                                ((bits.mask() << bits.shift) >> shift, (constant << bits.shift) >> shift);
                            byte & mask as u8 == value as u8 & mask as u8
                        }
                        None => true,
                    };
                    whole && bits.iter().all(part)
                }
                _ => true,
            },
        };
        for byte in 0..=255_u8 {
            if may(byte) {
                begins[usize::from(byte)].push(number as u16);
            }
        }
    }
    begins
}
