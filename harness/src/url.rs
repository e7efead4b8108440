//! Where something is reached, as people write it: a URL.

use std::fmt;
use std::path::PathBuf;

use crate::document::did_you_mean;
use crate::event::Transport;

/// The schemes of URLs.
pub const SCHEMES: &[&str] = &["tcp", "tls", "udp", "unix", "unixgram"];

/// A URL, read but not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// What carries the bytes.
    pub transport: Transport,
    /// Whether TLS begins with the connection.
    pub tls: bool,
    pub(crate) place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Host(String, u16),
    Path(PathBuf),
}

/// Why a text is no URL, or leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// There is no host, no port or no path.
    Incomplete {
        /// The URL.
        url: String,
        /// What is missing.
        missing: &'static str,
    },
    /// The name of the host leads to no address.
    NotFound {
        /// The host.
        host: String,
        /// The system's words.
        reason: String,
    },
    /// The address is not on this machine.
    Remote {
        /// The URL.
        url: String,
    },
    /// The scheme is none, or none that is known.
    Scheme {
        /// The URL.
        url: String,
        /// The scheme.
        scheme: Option<String>,
    },
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlError::Incomplete { url, missing } => write!(f, "the URL `{url}` has no {missing}"),
            UrlError::NotFound { host, reason } => write!(f, "the host `{host}` is not known: {reason}"),
            UrlError::Remote { url } => {
                write!(f, "`{url}` is not on this machine, and without `--allow-remote` nothing is sent there")
            }
            UrlError::Scheme { url, scheme: None } => {
                write!(f, "the URL `{url}` has no scheme: `tcp://{url}` may be meant")
            }
            UrlError::Scheme { scheme: Some(scheme), .. } => {
                write!(f, "unknown scheme `{scheme}`")?;
                match did_you_mean(scheme, SCHEMES.iter().copied()) {
                    Some(hint) => write!(f, ", {hint}"),
                    None => write!(f, ", it is one of {}", SCHEMES.join(", ")),
                }
            }
        }
    }
}

impl std::error::Error for UrlError {}

impl Url {
    /// Reads `tcp://127.0.0.1:7`, `udp://[::1]:53`, `unix:///run/x.sock`, `unixgram://@abstract`.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        let url = || text.to_owned();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(UrlError::Scheme { url: url(), scheme: None });
        };
        let transport = match scheme {
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tcp,
            "udp" => Transport::Udp,
            "unix" => Transport::Unix,
            "unixgram" => Transport::Unixgram,
            _ => return Err(UrlError::Scheme { url: url(), scheme: Some(scheme.into()) }),
        };
        if matches!(transport, Transport::Unix | Transport::Unixgram) {
            return match rest {
                "" => Err(UrlError::Incomplete { url: url(), missing: "path" }),
                path => Ok(Url { transport, tls: false, place: Place::Path(path.into()) }),
            };
        }
        let incomplete = |missing| UrlError::Incomplete { url: url(), missing };
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(|| incomplete("`]`"))?;
                (host, rest.strip_prefix(':').ok_or_else(|| incomplete("port"))?)
            }
            None => rest.rsplit_once(':').ok_or_else(|| incomplete("port"))?,
        };
        if host.is_empty() {
            return Err(incomplete("host"));
        }
        let port = port.parse().map_err(|_| incomplete("port from 0 to 65535"))?;
        Ok(Url { transport, tls: scheme == "tls", place: Place::Host(host.into(), port) })
    }

    /// The port, where there is one.
    pub fn port(&self) -> Option<u16> {
        match self.place {
            Place::Host(_, port) => Some(port),
            Place::Path(_) => None,
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Tcp if self.tls => "tls",
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::Unix => "unix",
            Transport::Unixgram => "unixgram",
        };
        match &self.place {
            Place::Host(host, port) if host.contains(':') => write!(f, "{scheme}://[{host}]:{port}"),
            Place::Host(host, port) => write!(f, "{scheme}://{host}:{port}"),
            Place::Path(path) => write!(f, "{scheme}://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let url = Url::parse(text).map(|url| url.to_string()).map_err(|error| error.to_string());
        assert_eq!(url.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn urls_read_as_they_are_written() {
        check("tcp://127.0.0.1:7", Ok("tcp://127.0.0.1:7"));
        check("udp://[::1]:53", Ok("udp://[::1]:53"));
        check("tcp://localhost:80", Ok("tcp://localhost:80"));
        check("unix:///run/x.sock", Ok("unix:///run/x.sock"));
        check("unixgram://@name", Ok("unixgram://@name"));
    }

    #[test]
    fn what_is_missing_is_named() {
        check("127.0.0.1:7", Err("the URL `127.0.0.1:7` has no scheme: `tcp://127.0.0.1:7` may be meant"));
        check("tcp://127.0.0.1", Err("the URL `tcp://127.0.0.1` has no port"));
        check("tcp://:80", Err("the URL `tcp://:80` has no host"));
        check("tcp://h:99999", Err("the URL `tcp://h:99999` has no port from 0 to 65535"));
        check("unix://", Err("the URL `unix://` has no path"));
        check("tpc://h:1", Err("unknown scheme `tpc`, did you mean `tcp`?"));
    }
}
