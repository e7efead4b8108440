//! Says what is in a capture, or the first thing that is wrong with it.

use std::fmt;

use super::Format;
use super::read::{Interface, packets};

/// What is in a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its format.
    pub format: Format,
    /// How many sections it has; 1 for classic pcap.
    pub sections: u64,
    /// The interfaces of the last section.
    pub interfaces: Vec<Interface>,
    /// How many packets it has.
    pub packets: u64,
    /// How many comments packets and sections have.
    pub comments: u64,
    /// How many bytes of packets it holds.
    pub captured: u64,
    /// The first packet's time, in nanoseconds since 1970.
    pub first_ns: Option<u64>,
    /// The last packet's time.
    pub last_ns: Option<u64>,
    /// How many packets are earlier than the one before them.
    pub out_of_order: u64,
}

/// What is wrong with a capture, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckError {
    /// It begins like no capture.
    NotACapture,
    /// A section of another version.
    Version {
        /// Where.
        offset: usize,
        /// The major version it says.
        major: u16,
    },
    /// The file ends within a block.
    Cut {
        /// Where the block begins.
        offset: usize,
    },
    /// A block is too short for what it is, or its length is no multiple of four.
    BlockLength {
        /// Where the block begins.
        offset: usize,
        /// The length it says.
        length: u32,
    },
    /// A block says one length in front and another behind.
    LengthsDiffer {
        /// Where the block begins.
        offset: usize,
        /// The length in front.
        front: u32,
        /// The length behind.
        back: u32,
    },
    /// A packet says that it is longer than its block.
    PacketLength {
        /// Where the block begins.
        offset: usize,
        /// The length it says.
        length: u32,
    },
    /// An option says that it is longer than its block.
    OptionLength {
        /// Where the block begins.
        offset: usize,
        /// The option's code.
        code: u16,
    },
    /// A packet of an interface that the section has not described.
    UnknownInterface {
        /// Where the block begins.
        offset: usize,
        /// The interface it says.
        interface: u32,
    },
    /// More interfaces than a section may have.
    TooManyInterfaces {
        /// The limit.
        max: usize,
    },
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckError::NotACapture => write!(f, "expected a pcapng or pcap file, found something else"),
            CheckError::Version { offset, major } => {
                write!(f, "expected version `1` of pcapng or `2` of pcap at byte {offset}, found `{major}`")
            }
            CheckError::Cut { offset } => write!(f, "the file ends within the block at byte {offset}"),
            CheckError::BlockLength { offset, length } => {
                write!(f, "the block at byte {offset} cannot have the length `{length}`")
            }
            CheckError::LengthsDiffer { offset, front, back } => {
                write!(f, "expected the length `{front}` behind the block at byte {offset}, found `{back}`")
            }
            CheckError::PacketLength { offset, length } => {
                write!(f, "the packet at byte {offset} has less than the `{length}` bytes that it says")
            }
            CheckError::OptionLength { offset, code } => {
                write!(f, "option `{code}` of the block at byte {offset} is longer than the block")
            }
            CheckError::UnknownInterface { offset, interface } => {
                write!(f, "the packet at byte {offset} is of interface `{interface}`, which is not described")
            }
            CheckError::TooManyInterfaces { max } => write!(f, "more than `{max}` interfaces in a section"),
        }
    }
}

impl std::error::Error for CheckError {}

/// Walks a whole capture and says what is in it, or the first thing that is wrong with it.
pub fn check(bytes: &[u8]) -> Result<Check, CheckError> {
    let mut packets = packets(bytes)?;
    let mut check = Check {
        format: packets.format,
        sections: 0,
        interfaces: Vec::new(),
        packets: 0,
        comments: 0,
        captured: 0,
        first_ns: None,
        last_ns: None,
        out_of_order: 0,
    };
    for packet in &mut packets {
        let packet = packet?;
        check.packets += 1;
        check.comments += packet.comments.len() as u64;
        check.captured += packet.data.len() as u64;
        check.first_ns = check.first_ns.or(packet.at_ns);
        check.out_of_order += u64::from(packet.at_ns.is_some() && packet.at_ns < check.last_ns);
        check.last_ns = packet.at_ns.or(check.last_ns);
    }
    check.sections = packets.sections;
    check.comments += packets.section_comments;
    check.interfaces = packets.interfaces;
    Ok(check)
}
