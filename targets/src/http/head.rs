//! The head of a request: its first line and its header fields. Mistakes are the statuses that they are answered with.

/// The head of a request.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) method: Vec<u8>,
    /// The path, before anything is decoded; `*` for the server as a whole.
    pub(crate) path: Vec<u8>,
    /// What stands behind its `?`, before anything is decoded.
    pub(crate) query: Vec<u8>,
    /// The digit behind `HTTP/1.`.
    pub(super) minor: u8,
    /// The peer wants no further answer on this connection.
    pub(super) closes: bool,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// How the end of a request's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    Sized(u64),
}

impl Head {
    /// Reads a request's first line (RFC 9112, section 3).
    pub(super) fn parse(line: &[u8]) -> Result<Head, u16> {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(400);
        };
        if !is_token(method) || target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
            return Err(400);
        }
        let minor = match version {
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] => minor - b'0',
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(505),
            _ => return Err(400),
        };
        let (path, query) = path(target, method).ok_or(400_u16)?;
        let (path, query) = (path.to_vec(), query.to_vec());
        Ok(Head { method: method.to_vec(), path, query, minor, closes: minor == 0, fields: Vec::new() })
    }

    /// Reads one field (RFC 9112, section 5).
    pub(super) fn push(&mut self, line: &[u8], fields_max: usize) -> Result<(), u16> {
        let colon = line.iter().position(|byte| *byte == b':').ok_or(400_u16)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // A folded line begins with white space, which is no token.
        if !is_token(name) || value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(400);
        }
        if self.fields.len() == fields_max {
            return Err(431);
        }
        self.fields.push((name.to_ascii_lowercase(), value.to_vec()));
        Ok(())
    }

    /// The values of the fields called `name`, which is in lowercase.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let named = move |field: &&(Vec<u8>, Vec<u8>)| field.0 == name.as_bytes();
        self.fields.iter().filter(named).map(|(_, value)| value.as_slice())
    }

    /// Finds what the fields say about the body, the connection and the host, all of which have been read.
    pub(super) fn framing(&mut self) -> Result<Framing, u16> {
        let tokens: Vec<_> = self.values("connection").flat_map(|value| value.split(|byte| *byte == b',')).collect();
        let says = |what: &str| tokens.iter().any(|token| token.trim_ascii().eq_ignore_ascii_case(what.as_bytes()));
        let closes = says("close") || self.minor == 0 && !says("keep-alive");
        self.closes = closes;
        let hosts = self.values("host").count();
        if hosts > 1 || hosts == 0 && self.minor > 0 {
            return Err(400);
        }
        let codings: Vec<_> = self.values("transfer-encoding").collect();
        let mut lens = self.values("content-length");
        let Some(len) = lens.next() else {
            return match codings.as_slice() {
                [] => Ok(Framing::Sized(0)),
                _ if self.minor == 0 => Err(400),
                [coding] if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
                _ => Err(501),
            };
        };
        if !codings.is_empty() || lens.any(|other| other != len) {
            return Err(400);
        }
        number(len, 10).map(Framing::Sized).ok_or(400)
    }

    /// Whether the peer waits for a 100 before it sends the body (RFC 9110, section 10.1.1).
    pub(super) fn expects_more(&self) -> Result<bool, u16> {
        match self.values("expect").next() {
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(self.minor > 0),
            Some(_) => Err(417),
            None => Ok(false),
        }
    }
}

/// The path of a request's target (RFC 9112, section 3.2), and its query.
fn path<'a>(target: &'a [u8], method: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let path = match target {
        b"*" => return (method == b"OPTIONS").then_some((target, b"")),
        [b'/', ..] => target,
        // Host and port are a proxy's target; we are none, and say so for the method.
        _ if method == b"CONNECT" => return Some((b"/", b"")),
        _ => {
            let rest =
                target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case(b"http://")).map(|_| &target[7..])?;
            let slash = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            if slash == 0 {
                return None;
            }
            &rest[slash..]
        }
    };
    let mut parts = path.splitn(2, |byte| *byte == b'?');
    let path = parts.next().filter(|path| !path.is_empty()).unwrap_or(b"/");
    Some((path, parts.next().unwrap_or_default()))
}

/// A token (RFC 9110, section 5.6.2).
fn is_token(bytes: &[u8]) -> bool {
    let is_in = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_in)
}

/// A number of nothing but digits.
pub(super) fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u64::from_str_radix(text, radix).ok()
}
