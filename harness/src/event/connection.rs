//! Connections: what carries them, between whom, and how they end.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What two sides of a TLS connection have agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsSession {
    /// `TLS 1.2` or `TLS 1.3`.
    pub version: String,
    /// The cipher suite, by its registered name.
    pub cipher: String,
    /// The protocol that ALPN chose (RFC 7301).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// On a server: the name that the client asked for (SNI, RFC 6066 section 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// On a server: whether the client showed a certificate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub client_certificate: bool,
}

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// A Unix stream socket.
    Unix,
    /// A Unix datagram socket.
    Unixgram,
}

impl Transport {
    /// Whether it carries datagrams.
    pub fn is_datagram(self) -> bool {
        matches!(self, Transport::Udp | Transport::Unixgram)
    }
}

/// A direction through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From whoever was connected to, to whoever came.
    Down,
    /// From whoever came, to whoever was connected to.
    Up,
}

impl Direction {
    /// `up` or `down`.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Down => "down",
            Direction::Up => "up",
        }
    }
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The harness.
    Local,
    /// The other side.
    Peer,
}

/// How a direction of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// In order: TCP's FIN. From our side this is `close` or `shutdown`, whichever came first.
    Fin,
    /// Abruptly, both directions: TCP's RST.
    Reset,
    /// An ICMP port unreachable answered a datagram.
    Unreachable,
}

/// An address of a connection's end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An Internet address and port.
    Ip(SocketAddr),
    /// A Unix socket's path, `@` in front of an abstract one, or empty where it has none.
    Path(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Ip(address) => address.fmt(f),
            Endpoint::Path(path) => f.write_str(path),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Endpoint, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.parse() {
            Ok(address) => Endpoint::Ip(address),
            Err(_) => Endpoint::Path(text),
        })
    }
}
