//! `http`: a web server of HTTP/1.1 (RFC 9110, RFC 9112).
//!
//! # What there is
//!
//! | resource | methods | answer |
//! | --- | --- | --- |
//! | `/` | GET | a page with links to the others |
//! | `/hello.txt` | GET | `hello, world` |
//! | `/bytes/N` | GET | so many bytes, `abc..z` again and again; at most 1 GiB |
//! | `/chunked/N` | GET | the same in chunks, with the trailer field `Bytes: N` |
//! | `/status/CODE` | any | this status, from 200 to 599 |
//! | `/redirect` | GET | 302 to `/hello.txt` |
//! | `/echo` | POST, PUT | the request's body, of its type |
//! | `/files/NAME` | DELETE, GET, PUT | what was put there: 201 when it is new, 204 when it is not; shared by all connections |
//! | `/private` | GET | 401 without the user and password of the settings (Basic, RFC 7617) |
//!
//! Where there is GET there is HEAD; OPTIONS is answered everywhere, and for `*`.
//!
//! # The wire
//!
//! - Lines end in CRLF: a CR or LF alone is 400. So are white space before a colon, a folded line, a field's name that is no
//!   token, and control characters (RFC 9112, 2.2, 5.1 and 5.2). Empty lines before a request are skipped (2.2).
//! - The target may be a path, a whole URL, or `*` for OPTIONS (3.2). 1.1 needs one Host, no more (3.2).
//! - A body's length is in Content-Length, or it comes in chunks. Both, lengths that differ, or chunks in 1.0 are 400 (6.1 to
//!   6.3); another coding is 501. Chunk extensions and trailer fields are read and dropped (7.1).
//! - The connection goes on after each answer, errors included, unless the peer says `close`, speaks 1.0 without
//!   `keep-alive`, or the end of its request cannot be known (9.3). Requests may be sent without waiting; the answers come in
//!   their order (9.3.2).
//! - `Expect: 100-continue` is answered at once when a body is to come, and always, so that answers do not depend on how bytes
//!   are cut; another expectation is 417 (RFC 9110, 10.1.1).
//! - 204 and 304 and what answers HEAD have no body (6.3). To 1.0 nothing is sent in chunks: the end is the connection's.
//!
//! | status | when |
//! | --- | --- |
//! | 400 | what stands above |
//! | 404, 405 | there is no such resource; there is, but not for this method (`Allow` names those that are) |
//! | 413 | the body is longer than a frame; the connection closes |
//! | 414, 431 | the first line is longer than 8 KiB; the fields are longer than 16 KiB or more than 100 |
//! | 501 | a method that none of the resources knows, a coding that is not `chunked` |
//! | 505 | a version that is not 1.x |
//! | 507 | no room for a file |

mod head;
mod response;
mod site;

use std::sync::Arc;

pub(crate) use head::Head;
pub(crate) use response::Response;
pub(crate) use site::decoded;

use head::Framing;
use response::Sending;
use site::Site;

use crate::inbox::Inbox;
use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{Clock, Setting, SettingError, Setup};
use crate::store::Store;

/// The longest first line of a request.
pub const LINE_LEN_MAX: usize = 8 << 10;
/// The most bytes of header fields, and as many of trailer fields.
pub const FIELDS_LEN_MAX: usize = 16 << 10;
/// The most header fields.
pub const FIELDS_MAX: usize = 100;

/// The settings of `http`.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "bytes", default: "16MiB", about: "how many bytes of names and contents `/files` takes" },
    Setting { name: "keys", default: "1_000", about: "how many files `/files` takes" },
    Setting { name: "password", default: "secret", about: "the password for `/private`" },
    Setting { name: "user", default: "user", about: "the user for `/private`" },
];

/// What the next bytes are.
enum State {
    /// The first line, or an empty one before it.
    Line,
    Fields,
    /// So many bytes of a body.
    Sized(usize),
    ChunkSize,
    /// So many bytes of a chunk and, at its end, a line's end.
    Chunk(usize),
    Trailers,
}

/// A request that cannot be understood, so that nobody knows where the next one begins.
struct Fatal(u16);

/// What a web server answers requests with.
pub(crate) trait Resources: Send + Sync {
    /// Answers a request that came whole.
    fn answer(&self, head: &Head, body: Vec<u8>) -> Response;
}

/// A connection of a web server.
pub(crate) struct Http {
    inbox: Inbox,
    /// How much of the inbox has no line's end in it.
    searched: usize,
    state: State,
    /// The request that is being read.
    head: Head,
    /// How many bytes of fields or trailers there were.
    fields_len: usize,
    body: Vec<u8>,
    /// The answer whose body is being sent.
    sending: Option<Sending>,
    resources: Arc<dyn Resources>,
    clock: Clock,
    body_len_max: usize,
}

impl Service for Http {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        self.inbox.push(input);
        self.drained(reply);
    }

    fn drained(&mut self, reply: &mut Reply) {
        while !reply.is_full() && !reply.closing {
            if let Some(sending) = &mut self.sending {
                if sending.go_on(reply) {
                    self.sending = None;
                }
                continue;
            }
            match self.step(reply) {
                Ok(true) => {}
                Ok(false) => break,
                Err(Fatal(status)) => {
                    // Of what could not be read nothing is known but this.
                    self.head.closes = true;
                    self.send(Response::error(status), reply);
                }
            }
        }
        self.inbox.compact();
    }
}

impl Http {
    /// A connection that is answered from `resources`, with requests whose bodies are at most so long.
    pub(crate) fn new(resources: Arc<dyn Resources>, clock: Clock, body_len_max: usize) -> Http {
        Http {
            inbox: Inbox::default(),
            searched: 0,
            state: State::Line,
            head: Head::default(),
            fields_len: 0,
            body: Vec::new(),
            sending: None,
            resources,
            clock,
            body_len_max,
        }
    }

    /// Reads one line or one piece of a body; `false` if more bytes are needed.
    fn step(&mut self, reply: &mut Reply) -> Result<bool, Fatal> {
        match self.state {
            State::Line => self.first_line(),
            State::Fields => self.field(reply),
            State::Sized(left) => Ok(self.sized(left, reply)),
            State::ChunkSize => self.chunk_size(),
            State::Chunk(left) => self.chunk(left),
            State::Trailers => self.trailer(reply),
        }
    }

    fn first_line(&mut self) -> Result<bool, Fatal> {
        let Some(line) = self.line(LINE_LEN_MAX, 414)? else { return Ok(false) };
        if !line.is_empty() {
            self.head = Head::parse(&line).map_err(Fatal)?;
            self.fields_len = 0;
            self.state = State::Fields;
        }
        Ok(true)
    }

    fn field(&mut self, reply: &mut Reply) -> Result<bool, Fatal> {
        let Some(line) = self.line(FIELDS_LEN_MAX - self.fields_len, 431)? else { return Ok(false) };
        self.fields_len += line.len();
        if !line.is_empty() {
            self.head.push(&line, FIELDS_MAX).map_err(Fatal)?;
            return Ok(true);
        }
        let framing = self.head.framing().map_err(Fatal)?;
        if matches!(framing, Framing::Sized(len) if len > self.body_len_max as u64) {
            return Err(Fatal(413));
        }
        match self.head.expects_more() {
            Ok(true) if framing != Framing::Sized(0) => reply.send(b"HTTP/1.1 100 Continue\r\n\r\n"),
            Ok(_) => {}
            Err(status) => return Err(Fatal(status)),
        }
        self.state = match framing {
            Framing::Chunked => State::ChunkSize,
            Framing::Sized(len) => State::Sized(len as usize), // it is at most the limit
        };
        if framing == Framing::Sized(0) {
            self.answer(reply);
        }
        Ok(true)
    }

    fn sized(&mut self, left: usize, reply: &mut Reply) -> bool {
        let taken = self.take(left);
        self.state = State::Sized(left - taken);
        if left == taken {
            self.answer(reply);
        }
        taken > 0
    }

    fn chunk_size(&mut self) -> Result<bool, Fatal> {
        let Some(line) = self.line(LINE_LEN_MAX, 400)? else { return Ok(false) };
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
        let size = head::number(size, 16).ok_or(Fatal(400))?;
        if size > (self.body_len_max - self.body.len()) as u64 {
            return Err(Fatal(413));
        }
        self.fields_len = 0;
        self.state = if size == 0 { State::Trailers } else { State::Chunk(size as usize) }; // it is at most the limit
        Ok(true)
    }

    fn chunk(&mut self, left: usize) -> Result<bool, Fatal> {
        if left > 0 {
            let taken = self.take(left);
            self.state = State::Chunk(left - taken);
            return Ok(taken > 0);
        }
        let Some(line) = self.line(0, 400)? else { return Ok(false) };
        debug_assert!(line.is_empty());
        self.state = State::ChunkSize;
        Ok(true)
    }

    fn trailer(&mut self, reply: &mut Reply) -> Result<bool, Fatal> {
        let Some(line) = self.line(FIELDS_LEN_MAX - self.fields_len, 431)? else { return Ok(false) };
        self.fields_len += line.len();
        if line.is_empty() {
            self.answer(reply);
        }
        Ok(true)
    }

    /// Moves at most `len` bytes into the body and says how many.
    fn take(&mut self, len: usize) -> usize {
        let rest = self.inbox.rest();
        let taken = len.min(rest.len());
        self.body.extend_from_slice(&rest[..taken]);
        self.inbox.consume(taken);
        taken
    }

    /// The next line, without its ending; if it has more than `len_max` bytes, `status` says so.
    fn line(&mut self, len_max: usize, status: u16) -> Result<Option<Vec<u8>>, Fatal> {
        let rest = self.inbox.rest();
        let end = memchr::memchr(b'\n', &rest[self.searched..]).map(|at| self.searched + at);
        // A CR at the end may be half of the line's ending.
        let len = end.unwrap_or(rest.len()) - usize::from(rest[..end.unwrap_or(rest.len())].last() == Some(&b'\r'));
        if len > len_max {
            return Err(Fatal(status));
        }
        let Some(end) = end else {
            self.searched = rest.len();
            return Ok(None);
        };
        let line = rest[..end].strip_suffix(b"\r").ok_or(Fatal(400))?.to_vec();
        self.searched = 0;
        self.inbox.consume(end + 1);
        Ok(Some(line))
    }

    /// Answers the request that is whole now.
    fn answer(&mut self, reply: &mut Reply) {
        let body = std::mem::take(&mut self.body);
        self.state = State::Line;
        let response = self.resources.answer(&self.head, body);
        self.send(response, reply);
        self.head = Head::default(); // what is wrong with the next first line has nothing to do with this request
    }

    fn send(&mut self, response: Response, reply: &mut Reply) {
        self.sending = response.begin(&self.head, (self.clock)(), reply);
    }
}

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let (user, password) = (setup.settings.text("user"), setup.settings.text("password"));
    let site: Arc<dyn Resources> = Arc::new(Site::new(Store::shared(&setup.settings)?, user, password));
    let (clock, body_len_max) = (setup.clock, setup.frame_len_max);
    Ok(Arc::new(move |_: &Peer| Http::new(Arc::clone(&site), clock, body_len_max)))
}

#[cfg(test)]
mod tests;
