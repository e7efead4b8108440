//! What is sent back: a head at once, and a body that is never far ahead of its reader.

use std::sync::Arc;

use jiff::Timestamp;

use super::head::Head;
use crate::service::Reply;

/// How much of a long body is sent in one go, and the longest chunk.
const PIECE_LEN: u64 = 4 << 10;

/// An answer that is not sent yet.
#[derive(Debug)]
pub(crate) struct Response {
    status: u16,
    fields: Vec<(&'static str, String)>,
    body: Body,
}

/// A body.
#[derive(Debug)]
enum Body {
    Bytes(Vec<u8>),
    /// What others hold, too.
    Parts(Vec<Arc<[u8]>>),
    /// The alphabet again and again.
    Pattern {
        len: u64,
        chunked: bool,
    },
}

impl Response {
    pub(crate) fn new(status: u16, kind: &str, body: Vec<u8>) -> Response {
        let fields = if body.is_empty() { Vec::new() } else { vec![("Content-Type", kind.to_owned())] };
        Response { status, fields, body: Body::Bytes(body) }
    }

    pub(crate) fn text(status: u16, text: &str) -> Response {
        Response::new(status, "text/plain", text.as_bytes().to_vec())
    }

    pub(super) fn pattern(len: u64, chunked: bool) -> Response {
        Response { status: 200, fields: Vec::new(), body: Body::Pattern { len, chunked } }
            .with("Content-Type", "text/plain")
    }

    /// A file in parts that are not copied.
    pub(crate) fn parts(kind: &str, parts: Vec<Arc<[u8]>>) -> Response {
        Response { status: 200, fields: Vec::new(), body: Body::Parts(parts) }.with("Content-Type", kind)
    }

    /// A status that says itself what is wrong.
    pub(crate) fn error(status: u16) -> Response {
        Response::text(status, &format!("{status} {}\n", reason(status)))
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.fields.push((name, value.into()));
        self
    }

    /// Sends the head, and gives what is to be sent after it. The connection closes at its end if the peer wants that.
    pub(super) fn begin(self, request: &Head, now: Timestamp, reply: &mut Reply) -> Option<Sending> {
        let mut closes = request.closes;
        let mut fields = self.fields;
        let no_body = matches!(self.status, 204 | 304);
        let body = match self.body {
            Body::Pattern { chunked: true, .. } if request.minor == 0 && request.method != b"HEAD" => {
                // It cannot know where chunks end: the end is the connection's (RFC 9112, section 6.1).
                closes = true;
                let Body::Pattern { len, .. } = self.body else { unreachable!("it was matched") };
                Sending { source: Source::Pattern { len, at: 0, chunked: false }, closes }
            }
            Body::Pattern { len, chunked } => {
                fields.push(if chunked {
                    ("Transfer-Encoding", "chunked".into())
                } else {
                    ("Content-Length", len.to_string())
                });
                if chunked {
                    fields.push(("Trailer", "Bytes".into()));
                }
                Sending { source: Source::Pattern { len, at: 0, chunked }, closes }
            }
            Body::Bytes(bytes) => {
                if !no_body {
                    fields.push(("Content-Length", bytes.len().to_string()));
                }
                Sending { source: Source::Bytes(bytes), closes }
            }
            Body::Parts(parts) => {
                fields.push(("Content-Length", parts.iter().map(|part| part.len()).sum::<usize>().to_string()));
                Sending { source: Source::Parts(parts.into_iter()), closes }
            }
        };
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        head.push_str(&now.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n").to_string());
        if closes {
            fields.push(("Connection", "close".into()));
        } else if request.minor == 0 {
            fields.push(("Connection", "keep-alive".into()));
        }
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        reply.send(head.as_bytes());
        if no_body || request.method == b"HEAD" {
            return Some(Sending { source: Source::Bytes(Vec::new()), closes });
        }
        Some(body)
    }
}

/// A body on its way.
#[derive(Debug)]
pub(super) struct Sending {
    source: Source,
    closes: bool,
}

#[derive(Debug)]
enum Source {
    Bytes(Vec<u8>),
    Parts(std::vec::IntoIter<Arc<[u8]>>),
    Pattern { len: u64, at: u64, chunked: bool },
}

impl Sending {
    /// Sends a piece, and says whether it was the last one.
    pub(super) fn go_on(&mut self, reply: &mut Reply) -> bool {
        match &mut self.source {
            Source::Bytes(bytes) => reply.send(bytes),
            Source::Parts(parts) => {
                if let Some(part) = parts.next() {
                    reply.send(&part);
                }
                if !parts.as_slice().is_empty() {
                    return false;
                }
            }
            Source::Pattern { len, at, chunked } => {
                let end = (*at + PIECE_LEN).min(*len);
                let piece: Vec<u8> = (*at..end).map(|at| b'a' + (at % 26) as u8).collect(); // 0 to 25
                if *chunked && !piece.is_empty() {
                    reply.send(format!("{:x}\r\n", piece.len()).as_bytes());
                }
                reply.send(&piece);
                if *chunked && !piece.is_empty() {
                    reply.send(b"\r\n");
                }
                *at = end;
                if end < *len {
                    return false;
                }
                if *chunked {
                    reply.send(format!("0\r\nBytes: {len}\r\n\r\n").as_bytes());
                }
            }
        }
        if self.closes {
            reply.close();
        }
        true
    }
}

/// What a status is called (RFC 9110, section 15).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}
