//! Where a server listens, as a URL.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::service::Transport;

/// Where a server listens: `tcp://127.0.0.1:0`, `tls://127.0.0.1:0`, `udp://[::1]:7`, `unix:///path`, `unixgram:///path`.
///
/// The host is an IP address or `localhost`, which is 127.0.0.1: a server does not look names up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP port; 0 is any that is free.
    Tcp(SocketAddr),
    /// A TCP port, with TLS from the start of each connection.
    Tls(SocketAddr),
    /// A UDP port; 0 is any that is free.
    Udp(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
    /// A Unix datagram socket.
    Unixgram(PathBuf),
}

impl Address {
    /// What carries the bytes.
    pub const fn transport(&self) -> Transport {
        match self {
            Address::Tcp(_) | Address::Tls(_) => Transport::Tcp,
            Address::Udp(_) => Transport::Udp,
            Address::Unix(_) => Transport::Unix,
            Address::Unixgram(_) => Transport::Unixgram,
        }
    }

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) | Address::Tls(address) | Address::Udp(address) => address.ip().is_loopback(),
            Address::Unix(_) | Address::Unixgram(_) => true,
        }
    }

    /// The host and port, where it has them.
    pub const fn socket(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) | Address::Tls(address) | Address::Udp(address) => Some(*address),
            Address::Unix(_) | Address::Unixgram(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) | Address::Udp(address) => write!(f, "{}://{address}", self.transport()),
            Address::Tls(address) => write!(f, "tls://{address}"),
            Address::Unix(path) | Address::Unixgram(path) => write!(f, "{}://{}", self.transport(), path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(AddressError::NoScheme { text: text.to_owned() });
        };
        let socket = || match rest.strip_prefix("localhost:") {
            Some(port) => port.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok(),
            None => rest.parse().ok(),
        };
        let socket = || socket().ok_or_else(|| AddressError::NotASocket { text: rest.to_owned() });
        let path = || match rest {
            "" => Err(AddressError::NoPath),
            _ => Ok(PathBuf::from(rest)),
        };
        Ok(match scheme {
            "tcp" => Address::Tcp(socket()?),
            "tls" => Address::Tls(socket()?),
            "udp" => Address::Udp(socket()?),
            "unix" => Address::Unix(path()?),
            "unixgram" => Address::Unixgram(path()?),
            _ => return Err(AddressError::UnknownScheme { scheme: scheme.to_owned() }),
        })
    }
}

/// Why a text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// No path stands after the scheme.
    NoPath,
    /// There is no `://` in it.
    NoScheme {
        /// The text.
        text: String,
    },
    /// What stands after the scheme is no IP address with a port.
    NotASocket {
        /// What stands there.
        text: String,
    },
    /// The scheme is none that can be listened on.
    UnknownScheme {
        /// The scheme.
        scheme: String,
    },
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::NoPath => write!(f, "expected a path like `unix:///tmp/echo.sock`, got none"),
            AddressError::NoScheme { text } => write!(f, "expected a URL like `tcp://127.0.0.1:0`, got `{text}`"),
            AddressError::NotASocket { text } => {
                write!(f, "expected an IP address and a port like `127.0.0.1:0` or `[::1]:0`, got `{text}`")
            }
            AddressError::UnknownScheme { scheme } => {
                write!(f, "expected `tcp`, `tls`, `udp`, `unix` or `unixgram` before `://`, got `{scheme}`")
            }
        }
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_as_it_was_written() {
        for url in ["tcp://127.0.0.1:0", "udp://[::1]:7", "unix:///tmp/a.sock", "unixgram://a.sock"] {
            assert_eq!(url.parse::<Address>().unwrap().to_string(), url);
        }
        assert_eq!("tcp://localhost:7".parse::<Address>().unwrap().to_string(), "tcp://127.0.0.1:7");
    }

    #[track_caller]
    fn check(text: &str, message: &str) {
        assert_eq!(text.parse::<Address>().unwrap_err().to_string(), message);
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_was_expected() {
        let socket = "expected an IP address and a port like `127.0.0.1:0` or `[::1]:0`, got";
        check("127.0.0.1:7", "expected a URL like `tcp://127.0.0.1:0`, got `127.0.0.1:7`");
        check("tcp://127.0.0.1", &format!("{socket} `127.0.0.1`"));
        check("tcp://", &format!("{socket} ``"));
        check("udp://localhost:99999", &format!("{socket} `localhost:99999`"));
        check("tcp://::1:7", &format!("{socket} `::1:7`"));
        check("unix://", "expected a path like `unix:///tmp/echo.sock`, got none");
        check("http://x", "expected `tcp`, `tls`, `udp`, `unix` or `unixgram` before `://`, got `http`");
    }

    #[test]
    fn only_loopback_and_paths_are_local() {
        for (url, local) in [
            ("tcp://127.0.0.1:0", true),
            ("udp://127.9.9.9:0", true),
            ("tcp://[::1]:0", true),
            ("unix:///a", true),
            ("tcp://0.0.0.0:0", false),
            ("tcp://[::]:0", false),
            ("udp://192.0.2.1:0", false),
        ] {
            assert_eq!(url.parse::<Address>().unwrap().is_local(), local, "{url}");
        }
    }
}
