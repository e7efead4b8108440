//! Captures: a case's events as packets that Wireshark, tshark, tcpdump and scapy open.
//!
//! A capture is a function of the events, like every report: [`encode`] asks no clock and touches no
//! file, and the same events give the same bytes. What the sockets read and wrote is real, to the byte
//! and the nanosecond. The headers around it are invented, and the file says so: as Ethernet, IP and
//! TCP or UDP, so that every tool follows the streams, with good checksums, true sequence numbers and
//! a FIN, an RST or an ICMP error exactly where an event tells of one. Each actor is an interface; the
//! names of actors and targets are in a name resolution block (tshark shows them with `-Nn`); comments
//! say which step sent a packet or was waiting when it came, and which packet shows the failure.
//!
//! Of a connection under TLS the packets hold the records as they went over the wire; the secrets that open
//! them, where the events have them, stand in a block before the first packet.
//!
//! Not here: capture by the kernel.

mod address;
mod check;
mod comment;
mod file;
mod flow;
mod packet;
mod read;
mod streams;
mod timeline;
mod write;

pub use check::{Check, CheckError, check};
pub use file::write_file;
pub use read::{Interface, Packet, Packets, packets};
pub use streams::{CONVERSATION_LEN_MAX, CONVERSATIONS_MAX, Conversation, Turn, conversations};

use crate::event::{CaseFinished, CaseStarted, Event, RunStarted};

/// A format of captures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Classic pcap, with nanoseconds, for tools that read nothing newer. It has no room for comments,
    /// the names of actors and addresses, direction, and the seed, so it drops these.
    Pcap,
    /// pcapng, with everything.
    #[default]
    Pcapng,
}

impl Format {
    /// The extension of its files, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Pcap => "pcap",
            Format::Pcapng => "pcapng",
        }
    }
}

/// A capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// The frame that shows the failure, from 1 as Wireshark counts; `None` for a case that did not
    /// fail, or without a frame.
    pub failing_frame: Option<u64>,
}

/// Makes the capture of a case.
///
/// `events` are the case's own, in order; a `TargetStarted` among them names the target's address.
/// `finished` is `None` while the case is going on: the capture then says so, and is as readable as a
/// whole one. Its `capture` and `frame` are not looked at.
///
/// Where the harness plays both ends of a connection, the two accounts of it become one: a second one
/// would read as retransmissions.
pub fn encode(
    run: &RunStarted,
    case: &CaseStarted,
    events: &[Event],
    finished: Option<&CaseFinished>,
    format: Format,
) -> Encoded {
    let timeline = timeline::lay_out(run, case, events, finished);
    let bytes = match format {
        Format::Pcap => write::pcap(&timeline),
        Format::Pcapng => {
            let texts = comment::Texts::new(case, &timeline);
            let section = comment::section(run, case, finished, &timeline);
            write::pcapng(run, &timeline, &texts, &section)
        }
    };
    Encoded { bytes, failing_frame: timeline.failing.map(|failing| u64::from(failing.frame) + 1) }
}
