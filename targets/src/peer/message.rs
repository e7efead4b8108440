//! The peer wire (BEP 3, "peer protocol"): the handshake, and messages with their length in front.

use super::torrent::Hash;
use crate::service::Reply;

/// The longest block that may be asked for: with 2^14 bytes all do, and "close connections which request an amount greater
/// than that".
pub(super) const BLOCK_LEN_MAX: u32 = 1 << 14;
/// The length of the protocol's name, and the name.
pub(super) const PROTOCOL: &[u8] = b"\x13BitTorrent protocol";
/// How long a handshake is up to the peer's id.
pub(super) const HANDSHAKE_LEN: usize = PROTOCOL.len() + 8 + 20;

/// Who a peer says that it is.
pub(super) type PeerId = [u8; 20];

/// A part of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block {
    pub(super) index: u32,
    pub(super) begin: u32,
    pub(super) len: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Bitfield(&'a [u8]),
    Cancel(Block),
    Choke,
    Have(u32),
    Interested,
    KeepAlive,
    NotInterested,
    /// One of an extension, which nobody has asked for.
    Other,
    Piece {
        index: u32,
        begin: u32,
        block: &'a [u8],
    },
    Request(Block),
    Unchoke,
}

/// What is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads one message at the front of `input`, and how long it is with its length; `None` until all of it is there.
///
/// `len_max` is the longest that it may be, without its length.
pub(super) fn parse(input: &[u8], len_max: usize) -> Result<Option<(Message<'_>, usize)>, Malformed> {
    let Some((len, rest)) = input.split_first_chunk() else { return Ok(None) };
    let len = u32::from_be_bytes(*len) as usize;
    if len > len_max {
        return Err(Malformed);
    }
    let Some(message) = rest.get(..len) else { return Ok(None) };
    let message = match message {
        [] => Message::KeepAlive,
        [0] => Message::Choke,
        [1] => Message::Unchoke,
        [2] => Message::Interested,
        [3] => Message::NotInterested,
        [4, index @ ..] => Message::Have(u32::from_be_bytes(index.try_into().map_err(|_| Malformed)?)),
        [5, pieces @ ..] => Message::Bitfield(pieces),
        [6, block @ ..] => Message::Request(parse_block(block)?),
        [7, rest @ ..] => {
            let ([index, begin], block) = parse_numbers(rest).ok_or(Malformed)?;
            Message::Piece { index, begin, block }
        }
        [8, block @ ..] => Message::Cancel(parse_block(block)?),
        [0..=3, ..] => return Err(Malformed),
        _ => Message::Other,
    };
    Ok(Some((message, 4 + len)))
}

fn parse_block(bytes: &[u8]) -> Result<Block, Malformed> {
    match parse_numbers(bytes) {
        Some(([index, begin, len], [])) => Ok(Block { index, begin, len }),
        _ => Err(Malformed),
    }
}

fn parse_numbers<const N: usize>(bytes: &[u8]) -> Option<([u32; N], &[u8])> {
    let (numbers, _) = bytes.as_chunks::<4>();
    let numbers: &[[u8; 4]; N] = numbers.first_chunk()?;
    Some((numbers.map(u32::from_be_bytes), &bytes[4 * N..]))
}

pub(super) fn emit_handshake(info_hash: &Hash, peer_id: &PeerId, reply: &mut Reply) {
    reply.send(PROTOCOL);
    reply.send(&[0; 8]); // no extensions
    reply.send(info_hash);
    reply.send(peer_id);
}

pub(super) fn emit(message: Message<'_>, reply: &mut Reply) {
    let send = |reply: &mut Reply, id: u8, numbers: &[u32], rest: &[u8]| {
        let len = 1 + 4 * numbers.len() + rest.len();
        reply.send(&u32::try_from(len).expect("it holds a block or a bitfield").to_be_bytes());
        reply.send(&[id]);
        numbers.iter().for_each(|number| reply.send(&number.to_be_bytes()));
        reply.send(rest);
    };
    match message {
        Message::KeepAlive => reply.send(&[0; 4]),
        Message::Choke => send(reply, 0, &[], &[]),
        Message::Unchoke => send(reply, 1, &[], &[]),
        Message::Interested => send(reply, 2, &[], &[]),
        Message::NotInterested => send(reply, 3, &[], &[]),
        Message::Have(index) => send(reply, 4, &[index], &[]),
        Message::Bitfield(pieces) => send(reply, 5, &[], pieces),
        Message::Request(Block { index, begin, len }) => send(reply, 6, &[index, begin, len], &[]),
        Message::Piece { index, begin, block } => send(reply, 7, &[index, begin], block),
        Message::Cancel(Block { index, begin, len }) => send(reply, 8, &[index, begin, len], &[]),
        Message::Other => {}
    }
}

/// A bitfield: the high bit of the first byte is piece 0, and spare bits at the end are 0.
pub(super) fn emit_bits(bits: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut bytes = vec![0; bits.len().div_ceil(8)];
    for (at, bit) in bits.enumerate() {
        bytes[at / 8] |= u8::from(bit) << (7 - at % 8);
    }
    bytes
}

/// Reads a bitfield of `len` pieces.
pub(super) fn parse_bits(bytes: &[u8], len: usize) -> Result<Vec<bool>, Malformed> {
    let bit = |at: usize| bytes[at / 8] >> (7 - at % 8) & 1 == 1;
    if bytes.len() != len.div_ceil(8) || (len..8 * bytes.len()).any(bit) {
        return Err(Malformed);
    }
    Ok((0..len).map(bit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_when_all_of_it_is_there() {
        let block = Block { index: 1, begin: 2, len: 3 };
        for message in [
            Message::Bitfield(b"\xa0"),
            Message::Cancel(block),
            Message::Choke,
            Message::Have(7),
            Message::Interested,
            Message::KeepAlive,
            Message::NotInterested,
            Message::Piece { index: 1, begin: 2, block: b"abc" },
            Message::Request(block),
            Message::Unchoke,
        ] {
            let mut reply = Reply::new(usize::MAX);
            emit(message, &mut reply);
            let bytes = reply.unwritten();
            assert_eq!(parse(bytes, 13), Ok(Some((message, bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut], 13), Ok(None), "{message:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_message_of_a_wrong_length_is_refused() {
        let with_len = |message: &[u8]| [&(message.len() as u32).to_be_bytes()[..], message].concat();
        for message in
            [&b"\0x"[..], b"\x03x", b"\x04", b"\x04abc", b"\x06abcdefgh", b"\x06abcdefghijklm", b"\x07abcdefg"]
        {
            assert_eq!(parse(&with_len(message), 100), Err(Malformed), "{message:?}");
        }
        assert_eq!(parse(b"\0\0\0\x65", 100), Err(Malformed), "too long, and told so before it is all there");
        assert_eq!(parse(&with_len(b"\x14\x00de"), 100), Ok(Some((Message::Other, 8))));
    }

    #[test]
    fn a_bitfield_has_the_first_piece_in_its_highest_bit_and_no_spare_ones() {
        let bits = [true, false, true, false, false, false, false, false, true];
        assert_eq!(emit_bits(bits.into_iter()), [0xa0, 0x80]);
        assert_eq!(parse_bits(&[0xa0, 0x80], 9), Ok(bits.to_vec()));
        assert_eq!(parse_bits(&[0xa0, 0xc0], 9), Err(Malformed));
        assert_eq!(parse_bits(&[0xa0], 9), Err(Malformed));
        assert_eq!(parse_bits(&[0xa0, 0, 0], 9), Err(Malformed));
    }
}
