//! Paths: who a mail is from and for (RFC 5321, section 4.1.2).

/// The longest local part and domain (RFC 5321, section 4.5.3.1).
const LOCAL_LEN_MAX: usize = 64;
const DOMAIN_LEN_MAX: usize = 255;

/// A mailbox; the domain is in lowercase, and empty for `<postmaster>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) local: String,
    pub(super) domain: String,
}

impl Path {
    /// Reads `<local@domain>` at the front of `text`, `None` in the place of the empty path, and gives the rest.
    pub(super) fn parse(text: &str) -> Option<(Option<Path>, &str)> {
        let inside = text.strip_prefix('<')?;
        let mut quoted = false;
        let mut escaped = false;
        let end = inside.bytes().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => {}
            }
            byte == b'>' && !quoted
        })?;
        let (path, rest) = (&inside[..end], &inside[end + 1..]);
        if path.is_empty() {
            return Some((None, rest));
        }
        // A route before the mailbox is read and ignored (RFC 5321, appendix C).
        let mailbox = if path.starts_with('@') { path.split_once(':')?.1 } else { path };
        let (local, domain) = match mailbox.rsplit_once('@') {
            Some((local, domain)) if is_domain(domain) => (local, domain),
            None if mailbox.eq_ignore_ascii_case("postmaster") => (mailbox, ""),
            _ => return None,
        };
        if !is_local(local) {
            return None;
        }
        Some((Some(Path { local: local.to_owned(), domain: domain.to_ascii_lowercase() }), rest))
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.domain.as_str() {
            "" => f.write_str(&self.local),
            domain => write!(f, "{}@{domain}", self.local),
        }
    }
}

/// A dot-string or a quoted string.
fn is_local(text: &str) -> bool {
    let is_atom = |atom: &str| {
        !atom.is_empty() && atom.bytes().all(|byte| byte.is_ascii_graphic() && !br#""(),:;<>@[\]"#.contains(&byte))
    };
    let is_quoted = text.len() > 1 && text.starts_with('"') && text.ends_with('"');
    text.len() <= LOCAL_LEN_MAX && (is_quoted || text.split('.').all(is_atom))
}

/// Labels with dots between them, or an address in brackets.
pub(super) fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_in = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(is_in) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_address = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit() || b".:IPv".contains(&byte));
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    text.len() <= DOMAIN_LEN_MAX && bracketed.map_or_else(|| text.split('.').all(is_label), is_address)
}
