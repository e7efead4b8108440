//! Mails: one that is being taken, and those that were.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A mail that is being taken. What makes it refused is said at its end, since its client hears nothing before.
#[derive(Debug)]
pub(super) struct Draft {
    bytes: Vec<u8>,
    len_max: usize,
    refused: Option<&'static str>,
    /// The line before ended as it should: only then a dot is the end (RFC 5321, section 4.1.1.4).
    pub(super) is_after_crlf: bool,
}

impl Draft {
    pub(super) fn new(len_max: usize) -> Draft {
        Draft { bytes: Vec::new(), len_max, refused: None, is_after_crlf: true }
    }

    /// Takes a line without its ending.
    pub(super) fn push(&mut self, line: &[u8]) {
        self.is_after_crlf = true;
        let line = line.strip_prefix(b".").unwrap_or(line);
        if line.contains(&b'\r') {
            return self.refuse_bare();
        }
        if self.refused.is_some() {
            return;
        }
        if self.bytes.len() + line.len() + 2 > self.len_max {
            return self.refuse("552 5.3.4 message too large");
        }
        self.bytes.extend_from_slice(line);
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub(super) fn refuse_long_line(&mut self) {
        self.refuse("500 5.6.0 line too long");
    }

    /// A line that ended in LF alone.
    pub(super) fn push_bare(&mut self) {
        self.is_after_crlf = false;
        self.refuse_bare();
    }

    fn refuse_bare(&mut self) {
        self.refuse("554 5.6.0 a CR or LF stands alone");
    }

    /// The first reason stays, and what was taken goes.
    fn refuse(&mut self, why: &'static str) {
        self.refused.get_or_insert(why);
        self.bytes = Vec::new();
    }

    /// The mail's lines, each with its ending, or why there are none.
    pub(super) fn finish(self) -> Result<Vec<u8>, &'static str> {
        self.refused.map_or(Ok(self.bytes), Err)
    }
}

/// The mails of one server.
#[derive(Debug)]
pub(super) struct Mails {
    /// The last one to each path.
    last: BTreeMap<String, Arc<[u8]>>,
    taken: usize,
    bytes: usize,
    mailboxes_max: usize,
    bytes_max: usize,
}

/// There is no room.
#[derive(Debug)]
pub(super) struct Full;

impl Mails {
    pub(super) fn new(mailboxes_max: usize, bytes_max: usize) -> Mails {
        Mails { last: BTreeMap::new(), taken: 0, bytes: 0, mailboxes_max, bytes_max }
    }

    /// Keeps a mail as the last one to each of these, and gives its number.
    pub(super) fn put(&mut self, recipients: &[String], mail: Vec<u8>) -> Result<usize, Full> {
        let mail: Arc<[u8]> = mail.into();
        let (mut bytes, mut mailboxes) = (self.bytes, self.last.len());
        let mut sorted: Vec<_> = recipients.iter().collect();
        sorted.sort();
        sorted.dedup();
        for recipient in &sorted {
            bytes += recipient.len() + mail.len();
            match self.last.get(*recipient) {
                Some(old) => bytes -= recipient.len() + old.len(),
                None => mailboxes += 1,
            }
        }
        if bytes > self.bytes_max || mailboxes > self.mailboxes_max {
            return Err(Full);
        }
        self.bytes = bytes;
        for recipient in sorted {
            self.last.insert(recipient.clone(), Arc::clone(&mail));
        }
        self.taken += 1;
        Ok(self.taken)
    }

    /// The last mail to a path.
    pub(super) fn last(&self, recipient: &str) -> Option<Arc<[u8]>> {
        self.last.get(recipient).cloned()
    }
}
