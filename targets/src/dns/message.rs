//! Messages: queries are read, answers are written (RFC 1035, section 4.1).

use super::Code;
use super::name::{Name, same};
use super::zone::{Data, Found, Record};

/// The header of a message.
const HEADER_LEN: usize = 12;
/// The pseudo-record of EDNS (RFC 6891, section 6.1.1).
const OPT: u16 = 41;
const IN: u16 = 1;
/// Names after this cannot be pointed to.
const POINTER_MAX: usize = 0x3fff;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: u16,
    pub(super) class: u16,
}

/// What a client says about itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edns {
    /// The longest datagram that it takes.
    pub(super) udp_len: u16,
    version: u8,
    /// Its flag DO is given back (RFC 3225, section 3).
    wants_signatures: bool,
}

/// A query.
#[derive(Debug)]
pub(super) struct Query {
    id: u16,
    flags: u16,
    /// None if it could not be read.
    pub(super) question: Option<Question>,
    pub(super) edns: Option<Edns>,
    /// What is wrong with the message itself.
    pub(super) code: Code,
}

impl Query {
    /// Reads a message; `None` if it is none that is to be answered.
    pub(super) fn parse(message: &[u8]) -> Option<Query> {
        let header: &[u8; HEADER_LEN] = message.first_chunk()?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let flags = word(2);
        if flags & 0x8000 != 0 {
            return None; // two servers would answer each other for ever
        }
        let mut query = Query { id: word(0), flags, question: None, edns: None, code: Code::NoError };
        if flags >> 11 & 0xf != 0 {
            query.code = Code::NotImp;
        } else if query.read(message, [word(4), word(6), word(8), word(10)]).is_none() {
            query.code = Code::FormErr;
        } else if query.edns.is_some_and(|edns| edns.version > 0) {
            query.code = Code::BadVers;
        }
        Some(query)
    }

    fn read(&mut self, message: &[u8], counts: [u16; 4]) -> Option<()> {
        if counts[0] != 1 {
            return None;
        }
        let (name, at) = Name::parse(message, HEADER_LEN)?;
        let [kind_high, kind_low, class_high, class_low] = *message.get(at..)?.first_chunk()?;
        let (kind, class) = (u16::from_be_bytes([kind_high, kind_low]), u16::from_be_bytes([class_high, class_low]));
        let mut at = at + 4;
        // A record has eleven bytes at least, so that the message ends long before a count that is a lie.
        for _ in 0..counts[1..].iter().map(|count| u32::from(*count)).sum() {
            let (owner, start) = Name::parse(message, at)?;
            let [k, ind, udp, len, extended, version, do_bit, _, data_len, low] =
                *message.get(start..)?.first_chunk()?;
            at = start + 10 + usize::from(u16::from_be_bytes([data_len, low]));
            message.get(start + 10..at)?;
            if u16::from_be_bytes([k, ind]) == OPT {
                let _ = extended; // of an answer
                if self.edns.is_some() || !owner.labels.is_empty() {
                    return None;
                }
                let (udp_len, wants_signatures) = (u16::from_be_bytes([udp, len]), do_bit & 0x80 != 0);
                self.edns = Some(Edns { udp_len, version, wants_signatures });
            }
        }
        self.question = Some(Question { name, kind, class });
        Some(())
    }
}

/// An answer being written, and where its names are.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    names: Vec<(Vec<Vec<u8>>, u16)>,
}

impl Writer {
    /// The answer to `query`. Unless it is `whole`, what was found does not fit.
    pub(super) fn answer(query: &Query, found: &Found, whole: bool) -> Vec<u8> {
        let mut writer = Writer { bytes: Vec::new(), names: Vec::new() };
        // QR, and of the query its opcode, RD and CD (RFC 4035, section 3.2.2); RA is never set.
        let mut flags = 0x8000 | query.flags & 0x7910 | (found.code as u16 & 0xf);
        if found.is_authoritative {
            flags |= 0x0400;
        }
        if !whole {
            flags |= 0x0200;
        }
        let sections = [&found.answers, &found.authority, &found.additional];
        writer.word(query.id);
        writer.word(flags);
        writer.word(query.question.is_some().into());
        for (at, section) in sections.iter().enumerate() {
            let opt = usize::from(at == 2 && query.edns.is_some());
            writer.word((section.len() + opt) as u16); // the zone has fewer
        }
        if let Some(question) = &query.question {
            writer.name(&question.name, true);
            writer.word(question.kind);
            writer.word(question.class);
        }
        for record in sections.into_iter().flatten() {
            writer.record(record);
        }
        if let Some(edns) = query.edns {
            writer.bytes.push(0);
            writer.word(OPT);
            writer.word(super::UDP_LEN_MIN as u16);
            writer.bytes.push((found.code as u16 >> 4) as u8); // the rest of the code, at most 8 bits
            writer.bytes.push(0);
            writer.word(if edns.wants_signatures { 0x8000 } else { 0 });
            writer.word(0);
        }
        writer.bytes
    }

    fn word(&mut self, word: u16) {
        self.bytes.extend_from_slice(&word.to_be_bytes());
    }

    /// Writes a name, as a pointer from where it has been written before.
    fn name(&mut self, name: &Name, compress: bool) {
        for (at, label) in name.labels.iter().enumerate() {
            let rest = &name.labels[at..];
            if compress && let Some((_, offset)) = self.names.iter().find(|(known, _)| same(known, rest)) {
                return self.word(0xc000 | *offset);
            }
            if self.bytes.len() <= POINTER_MAX {
                self.names.push((rest.to_vec(), self.bytes.len() as u16)); // it is below POINTER_MAX
            }
            self.bytes.push(label.len() as u8); // at most 63
            self.bytes.extend_from_slice(label);
        }
        self.bytes.push(0);
    }

    fn record(&mut self, record: &Record) {
        self.name(&record.owner, true);
        self.word(record.data.kind());
        self.word(IN);
        self.bytes.extend_from_slice(&record.ttl.to_be_bytes());
        let at = self.bytes.len();
        self.word(0);
        match &record.data {
            Data::A(address) => self.bytes.extend_from_slice(&address.octets()),
            Data::Aaaa(address) => self.bytes.extend_from_slice(&address.octets()),
            Data::Cname(name) | Data::Ns(name) => self.name(name, true),
            Data::Mx(preference, name) => {
                self.word(*preference);
                self.name(name, true);
            }
            Data::Soa(primary, mailbox, numbers) => {
                self.name(primary, true);
                self.name(mailbox, true);
                numbers.iter().for_each(|number| self.bytes.extend_from_slice(&number.to_be_bytes()));
            }
            Data::Srv(numbers, name) => {
                numbers.iter().for_each(|number| self.word(*number));
                self.name(name, false);
            }
            Data::Txt(texts) => {
                for text in texts {
                    self.bytes.push(text.len() as u8); // at most 255
                    self.bytes.extend_from_slice(text);
                }
            }
        }
        let len = (self.bytes.len() - at - 2) as u16; // the longest is a TXT of TEXT_LEN_MAX bytes
        self.bytes[at..at + 2].copy_from_slice(&len.to_be_bytes());
    }
}
