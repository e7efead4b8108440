//! The resources of the server, and what they answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Resources;
use super::head::{Head, number};
use super::response::Response;
use crate::store::{Full, Shared};

/// The longest body that `/bytes` and `/chunked` send.
const PATTERN_LEN_MAX: u64 = 1 << 30;
/// The longest name of a file.
const NAME_LEN_MAX: usize = 256;

const PAGE: &str = "<!doctype html>\n<title>http</title>\n<p>A server to practise on:\n\
                    <a href=\"/hello.txt\">hello.txt</a>, <a href=\"/bytes/100\">bytes</a>, <a href=\"/chunked/10000\">chunks</a>,\n\
                    <a href=\"/redirect\">a redirection</a>, <a href=\"/status/503\">an error</a>, \
                    <a href=\"/private\">what is private</a>.\n";

#[derive(Debug)]
pub(super) struct Site {
    files: Shared,
    /// What `Authorization` has to say for `/private`.
    credentials: String,
}

/// A resource, and what its name said.
enum Resource {
    Bytes { len: u64, chunked: bool },
    Echo,
    File(Vec<u8>),
    Hello,
    Page,
    Private,
    Redirect,
    Status(u16),
}

impl Resource {
    fn find(path: &[u8]) -> Option<Resource> {
        let path = decoded(path)?;
        let pattern = |digits: &[u8]| number(digits, 10).filter(|len| *len <= PATTERN_LEN_MAX);
        Some(match path.as_slice() {
            b"/" => Resource::Page,
            b"/echo" => Resource::Echo,
            b"/hello.txt" => Resource::Hello,
            b"/private" => Resource::Private,
            b"/redirect" => Resource::Redirect,
            path => {
                if let Some(digits) = path.strip_prefix(b"/bytes/") {
                    Resource::Bytes { len: pattern(digits)?, chunked: false }
                } else if let Some(digits) = path.strip_prefix(b"/chunked/") {
                    Resource::Bytes { len: pattern(digits)?, chunked: true }
                } else if let Some(digits) = path.strip_prefix(b"/status/") {
                    let status = number(digits, 10).and_then(|status| u16::try_from(status).ok())?;
                    Resource::Status((200..600).contains(&status).then_some(status)?)
                } else {
                    let name = path.strip_prefix(b"/files/")?;
                    Resource::File((1..=NAME_LEN_MAX).contains(&name.len()).then_some(name)?.to_vec())
                }
            }
        })
    }

    /// What `Allow` says of it.
    fn methods(&self) -> &'static str {
        match self {
            Resource::Echo => "OPTIONS, POST, PUT",
            Resource::File(_) => "DELETE, GET, HEAD, OPTIONS, PUT",
            Resource::Status(_) => METHODS,
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

/// The methods that there are.
const METHODS: &str = "DELETE, GET, HEAD, OPTIONS, POST, PUT";

impl Site {
    pub(super) fn new(files: Shared, user: &str, password: &str) -> Site {
        Site { files, credentials: STANDARD.encode(format!("{user}:{password}")) }
    }

    fn file(&self, method: &[u8], name: &[u8], body: &[u8]) -> Response {
        let mut files = self.files.lock();
        match method {
            b"DELETE" => match files.delete(name) {
                true => Response::text(204, ""),
                false => Response::error(404),
            },
            b"PUT" => {
                let is_new = files.value(name).is_none();
                match files.put(name, body) {
                    Ok(()) => Response::text(if is_new { 201 } else { 204 }, ""),
                    Err(Full) => Response::error(507),
                }
            }
            _ => match files.value(name) {
                Some(bytes) => Response::new(200, "application/octet-stream", bytes.to_vec()),
                None => Response::error(404),
            },
        }
    }

    fn may_enter(&self, head: &Head) -> bool {
        let Some((scheme, said)) = head.values("authorization").next().and_then(|value| value.split_at_checked(6))
        else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Basic ") && said.trim_ascii() == self.credentials.as_bytes()
    }
}

impl Resources for Site {
    fn answer(&self, head: &Head, body: Vec<u8>) -> Response {
        let is_in = |methods: &str| methods.split(", ").any(|method| method.as_bytes() == head.method);
        if !is_in(METHODS) {
            return Response::error(501);
        }
        if head.path == b"*" {
            return Response::text(204, "").with("Allow", METHODS);
        }
        let Some(resource) = Resource::find(&head.path) else { return Response::error(404) };
        if !is_in(resource.methods()) {
            return Response::error(405).with("Allow", resource.methods());
        }
        if head.method == b"OPTIONS" {
            return Response::text(204, "").with("Allow", resource.methods());
        }
        match resource {
            Resource::Bytes { len, chunked } => Response::pattern(len, chunked),
            Resource::Echo => {
                let kind = head.values("content-type").next().unwrap_or(b"application/octet-stream");
                Response::new(200, &String::from_utf8_lossy(kind), body)
            }
            Resource::File(name) => self.file(&head.method, &name, &body),
            Resource::Hello => Response::text(200, "hello, world\n"),
            Resource::Page => Response::new(200, "text/html; charset=utf-8", PAGE.as_bytes().to_vec()),
            Resource::Private if self.may_enter(head) => Response::text(200, "you are in\n"),
            Resource::Private => {
                Response::error(401).with("WWW-Authenticate", "Basic realm=\"http\", charset=\"UTF-8\"")
            }
            Resource::Redirect => Response::text(302, "").with("Location", "/hello.txt"),
            Resource::Status(status) => Response::error(status),
        }
    }
}

/// A path with its `%41` made `A` (RFC 3986, section 2.1).
pub(crate) fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, others @ ..] = rest {
        rest = others;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let (digits, others) = rest.split_at_checked(2)?;
        decoded.push(u8::try_from(number(digits, 16)?).ok()?);
        rest = others;
    }
    Some(decoded)
}
