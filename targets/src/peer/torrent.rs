//! What is shared: one file in pieces, each with its hash, and the file that tells others of it (BEP 3, "metainfo files").
//!
//! A torrent of several files is refused.

use std::fmt;

use ring::digest;

use super::bencode::{self, BencodeError, Value};
use super::message::Block;

/// The most pieces, and with them the longest bitfield.
pub(super) const PIECES_MAX: usize = 1 << 14;
/// The longest piece.
pub(super) const PIECE_LEN_MAX: usize = 4 << 20;
/// The longest file: all of it is held in memory.
pub(super) const FILE_LEN_MAX: usize = 256 << 20;

/// A SHA-1, which is what the protocol has: it is no protection against somebody who makes collisions.
pub(super) type Hash = [u8; 20];

pub(super) fn hash(bytes: &[u8]) -> Hash {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    digest.as_ref().try_into().expect("a SHA-1 has 20 bytes")
}

/// A file and the hashes of its pieces.
#[derive(Debug)]
pub(super) struct Torrent {
    pub(super) name: String,
    len: usize,
    piece_len: usize,
    hashes: Vec<Hash>,
    info: Value,
    pub(super) info_hash: Hash,
}

impl Torrent {
    /// That of `content`, which is not empty, under a name that is a file's.
    pub(super) fn of(name: &str, content: &[u8], piece_len: usize) -> Result<Torrent, TorrentError> {
        let pieces: Vec<u8> = content.chunks(piece_len.max(1)).flat_map(hash).collect();
        Torrent::new(Value::dictionary([
            ("length", Value::count(content.len() as u64)),
            ("name", Value::text(name)),
            ("piece length", Value::count(piece_len as u64)),
            ("pieces", Value::Bytes(pieces)),
            // BEP 27: peers are found by the tracker alone, so that nothing of it is told to the world.
            ("private", Value::Integer(1)),
        ]))
    }

    /// Reads a `.torrent`.
    pub(super) fn parse(metainfo: &[u8]) -> Result<Torrent, TorrentError> {
        let value = bencode::parse(metainfo).map_err(TorrentError::Bencode)?;
        Torrent::new(value.entry("info").ok_or(TorrentError::Key { key: "info" })?.clone())
    }

    fn new(info: Value) -> Result<Torrent, TorrentError> {
        let name = info.entry("name").and_then(Value::as_bytes).and_then(|name| str::from_utf8(name).ok());
        // It becomes a path of URLs and of files.
        let is_file = |name: &&str| !matches!(*name, "" | "." | "..") && !name.contains(['/', '\\', '\0']);
        let name = name.filter(is_file).ok_or(TorrentError::Key { key: "name" })?.to_owned();
        let number = |key, max: usize| {
            let number = info.entry(key).and_then(Value::as_count).and_then(|number| usize::try_from(number).ok());
            match number.ok_or(TorrentError::Key { key })? {
                number if (1..=max).contains(&number) => Ok(number),
                number => Err(TorrentError::OutOfRange { key, number, max }),
            }
        };
        let (len, piece_len) = (number("length", FILE_LEN_MAX)?, number("piece length", PIECE_LEN_MAX)?);
        let pieces = info.entry("pieces").and_then(Value::as_bytes).ok_or(TorrentError::Key { key: "pieces" })?;
        let (hashes, rest) = pieces.as_chunks();
        let expected = len.div_ceil(piece_len);
        if expected > PIECES_MAX {
            return Err(TorrentError::OutOfRange { key: "pieces", number: expected, max: PIECES_MAX });
        }
        if !rest.is_empty() || hashes.len() != expected {
            return Err(TorrentError::Hashes { expected, len: pieces.len() });
        }
        Ok(Torrent { name, len, piece_len, hashes: hashes.to_vec(), info_hash: hash(&info.emit()), info })
    }

    /// The `.torrent`, with the URL of a tracker if there is one.
    pub(super) fn metainfo(&self, announce: Option<&str>) -> Vec<u8> {
        let mut metainfo = Value::dictionary([("info", self.info.clone())]);
        if let (Value::Dictionary(entries), Some(url)) = (&mut metainfo, announce) {
            entries.insert(b"announce".to_vec(), Value::text(url));
        }
        metainfo.emit()
    }

    /// How many bytes the file has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn pieces(&self) -> usize {
        self.hashes.len()
    }

    /// How long a piece is: all are of one length but the last.
    pub(super) fn piece_len(&self, index: usize) -> usize {
        self.piece_len.min(self.len - index * self.piece_len)
    }

    pub(super) fn is_piece(&self, index: usize, bytes: &[u8]) -> bool {
        self.hashes[index] == hash(bytes)
    }

    /// The index of the piece that a block is in, if there is such a block.
    pub(super) fn piece_of(&self, block: Block) -> Option<usize> {
        let index = usize::try_from(block.index).ok().filter(|index| *index < self.pieces())?;
        let end = u64::from(block.begin) + u64::from(block.len);
        (block.len > 0 && end <= self.piece_len(index) as u64).then_some(index)
    }

    /// One piece of a file of the right length.
    pub(super) fn cut<'a>(&self, content: &'a [u8], index: usize) -> &'a [u8] {
        &content[index * self.piece_len..][..self.piece_len(index)]
    }
}

/// Why something is no torrent that can be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(super) enum TorrentError {
    Bencode(BencodeError),
    Hashes { expected: usize, len: usize },
    Key { key: &'static str },
    OutOfRange { key: &'static str, number: usize, max: usize },
}

impl fmt::Display for TorrentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TorrentError::Bencode(error) => error.fmt(f),
            TorrentError::Hashes { expected, len } => {
                write!(f, "expected {expected} hashes of 20 bytes in `pieces`, got {len} bytes")
            }
            TorrentError::Key { key } => write!(f, "expected the torrent of one file with a `{key}`, got none"),
            TorrentError::OutOfRange { key, number, max } => {
                write!(f, "`{key}`: expected a number from 1 to {max}, got {number}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_with_the_same_hash() {
        let torrent = Torrent::of("a.txt", b"0123456789", 4).unwrap();
        let read = Torrent::parse(&torrent.metainfo(Some("http://127.0.0.1:1/announce"))).unwrap();
        assert_eq!((read.info_hash, read.len(), read.pieces()), (torrent.info_hash, 10, 3));
        assert_eq!((read.piece_len(0), read.piece_len(2)), (4, 2));
        assert!(read.is_piece(2, b"89") && !read.is_piece(2, b"98"));
        // As `printf d6:lengthi10e..ee | sha1sum` has it.
        assert_eq!(
            torrent.metainfo(None).len(),
            b"d4:infod6:lengthi10e4:name5:a.txt12:piece lengthi4e6:pieces60:".len() + 60 + b"7:privatei1eee".len()
        );
    }

    #[track_caller]
    fn check(metainfo: &str, message: &str) {
        assert_eq!(Torrent::parse(metainfo.as_bytes()).unwrap_err().to_string(), message, "{metainfo}");
    }

    #[test]
    fn what_cannot_be_shared_is_refused() {
        let hash = "12345678901234567890";
        let key = |key: &str| format!("expected the torrent of one file with a `{key}`, got none");
        check("d", "it is not bencoded, or not canonically, at byte 1");
        check("de", &key("info"));
        check("d4:infodee", &key("name"));
        check("d4:infod4:name4:../aee", &key("name"));
        check("d4:infod5:filesle4:name1:aee", &key("length"));
        let of = |len: u64, piece_len: u64, hashes: usize| {
            let pieces = format!("{}:{}", 20 * hashes, hash.repeat(hashes));
            format!("d4:infod6:lengthi{len}e4:name1:a12:piece lengthi{piece_len}e6:pieces{pieces}ee")
        };
        assert!(Torrent::parse(of(10, 5, 2).as_bytes()).is_ok());
        check(&of(10, 4, 2), "expected 3 hashes of 20 bytes in `pieces`, got 40 bytes");
        check(&of(10, 0, 2), "`piece length`: expected a number from 1 to 4194304, got 0");
        check(&of(0, 1, 0), "`length`: expected a number from 1 to 268435456, got 0");
        check(&of(1 << 28, 1, 0), "`pieces`: expected a number from 1 to 16384, got 268435456");
    }

    #[test]
    fn a_block_is_within_a_piece() {
        let torrent = Torrent::of("a", b"0123456789", 4).unwrap();
        let piece_of = |index, begin, len| torrent.piece_of(Block { index, begin, len });
        assert_eq!((piece_of(0, 0, 4), piece_of(2, 1, 1)), (Some(0), Some(2)));
        assert_eq!((piece_of(0, 0, 5), piece_of(2, 1, 2), piece_of(3, 0, 1)), (None, None, None));
        assert_eq!((piece_of(0, 4, 0), piece_of(0, u32::MAX, 2)), (None, None));
    }
}
