//! The two streams: lines of text, and messages with a magic number, a length and a checksum.
//!
//! In binary a message is the magic number `0x464c`, an operation u8, an identifier u16, the length of its body u16, the body,
//! and the CRC-32 of all that, big-endian. The operations are those of [`OPERATIONS`], from 1; the body of `PUT` is the length of the
//! key u8, the key and the value, and that of all others what stands behind the word in text. An answer has the operation `0x80`,
//! and a body that begins with a status u8: 0 is fine, 1 that there is none, 2 an error.

use super::Flaw;
use super::request::{Answer, Request};
use crate::kv::crc32;

/// The longest line, and the longest body.
pub(super) const LEN_MAX: usize = 16 << 10;

const MAGIC: u16 = 0x464c;
const OLD_MAGIC: u16 = 0x464d;

/// What stands around a body.
pub(super) const HEADER_LEN: usize = 7;
const CHECKSUM_LEN: usize = 4;

/// What a stream begins with.
pub(super) enum Cut {
    /// A request with its identifier, and how many bytes it takes.
    Request(Request, u16, usize),
    /// Nothing can be read from here on.
    Lost(&'static str),
    /// Something that ends the process of a server that has this flaw.
    Fatal,
    /// More has to come.
    Short,
}

/// Cuts a line from the front.
pub(super) fn line(input: &[u8]) -> Cut {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) if end <= LEN_MAX => {
            let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
            Cut::Request(Request::parse(line), 0, end + 1)
        }
        None if input.len() <= LEN_MAX => Cut::Short,
        _ => Cut::Lost("line too long"),
    }
}

/// The names of operations, from 1.
const OPERATIONS: &[&[u8]] = &[b"CLOSE", b"DEL", b"ECHO", b"GET", b"HELLO", b"OPEN", b"PUT", b"QUIT", b"READ", b"SUM"];

/// Cuts a binary message from the front.
pub(super) fn message(input: &[u8], flaw: Flaw) -> Cut {
    let Some(header) = input.first_chunk::<HEADER_LEN>() else { return Cut::Short };
    let [m0, m1, operation, id0, id1, l0, l1] = *header;
    let (magic, id, len) = (u16::from_be_bytes([m0, m1]), u16::from_be_bytes([id0, id1]), u16::from_be_bytes([l0, l1]));
    if magic != MAGIC && (flaw, magic) != (Flaw::Magic, OLD_MAGIC) {
        return Cut::Lost("bad magic number");
    }
    if flaw == Flaw::LengthOverflow && usize::from(len.wrapping_add(HEADER_LEN as u16)) < HEADER_LEN {
        return Cut::Fatal;
    }
    let len = usize::from(len);
    if len > LEN_MAX {
        return Cut::Lost("message too long");
    }
    let whole = HEADER_LEN + len + CHECKSUM_LEN;
    let Some(message) = input.get(..whole) else { return Cut::Short };
    let (covered, checksum) = message.split_at(HEADER_LEN + len);
    if crc32::of(&[covered]).to_be_bytes() != checksum {
        return Cut::Request(Request::Wrong("bad checksum", Vec::new()), id, whole);
    }
    if magic == OLD_MAGIC {
        return Cut::Fatal;
    }
    let body = &covered[HEADER_LEN..];
    let request = match OPERATIONS.get(usize::from(operation).wrapping_sub(1)) {
        Some(&b"GET") if flaw == Flaw::Checksum && body.is_empty() => return Cut::Fatal,
        Some(&b"PUT") => put(body, flaw),
        Some(verb) => Request::parse(&[verb, &b" "[..], body].concat()),
        None => Request::Wrong("unknown operation", vec![operation]),
    };
    Cut::Request(request, id, whole)
}

fn put(body: &[u8], flaw: Flaw) -> Request {
    let Some((key_len, rest)) = body.split_first() else { return Request::Wrong("malformed", Vec::new()) };
    let (key, value) = match rest.split_at_checked(usize::from(*key_len)) {
        Some(parts) => parts,
        None if flaw == Flaw::LengthLies => rest.split_at(usize::from(*key_len)),
        None => return Request::Wrong("malformed", Vec::new()),
    };
    Request::Put(key.to_vec(), value.to_vec())
}

/// An answer in binary.
pub(super) fn emit(answer: &Answer, id: u16) -> Vec<u8> {
    let (status, data) = match answer {
        Answer::Bye | Answer::Ok => (0, Vec::new()),
        Answer::Data(number) => (0, number.to_string().into_bytes()),
        Answer::Echo(bytes) | Answer::Hello(bytes) | Answer::Value(bytes) => (0, bytes.clone()),
        Answer::Error(why) => (2, why.as_bytes().to_vec()),
        Answer::None => (1, Vec::new()),
        Answer::Sum(sum) => (0, sum.to_string().into_bytes()),
    };
    let mut message = Vec::with_capacity(HEADER_LEN + 1 + data.len() + CHECKSUM_LEN);
    message.extend_from_slice(&MAGIC.to_be_bytes());
    message.push(0x80);
    message.extend_from_slice(&id.to_be_bytes());
    message.extend_from_slice(&(data.len() as u16 + 1).to_be_bytes()); // what is answered is no longer than what was sent
    message.push(status);
    message.extend_from_slice(&data);
    let checksum = crc32::of(&[&message]);
    message.extend_from_slice(&checksum.to_be_bytes());
    message
}
