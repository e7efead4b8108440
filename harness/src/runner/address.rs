//! The address that a URL stands for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::process::Address;
use crate::event::{Endpoint, Transport};
use crate::url::{Place, Url, UrlError};

impl Url {
    /// Finds the address. A name is looked up; an address off this machine is refused unless `allow_remote`.
    pub async fn resolve(&self, allow_remote: bool) -> Result<Address, UrlError> {
        let (host, port) = match &self.place {
            Place::Host(host, port) => (host, *port),
            Place::Path(path) if self.transport == Transport::Unix => return Ok(Address::Unix(path.clone())),
            Place::Path(path) => return Ok(Address::Unixgram(path.clone())),
        };
        let socket = if let Ok(ip) = host.parse::<IpAddr>() {
            SocketAddr::new(ip, port)
        } else if host == "localhost" {
            // Not looked up: half the surprises with servers on one machine are a `localhost` that means ::1.
            SocketAddr::from((Ipv4Addr::LOCALHOST, port))
        } else if allow_remote {
            let mut found = tokio::net::lookup_host((host.as_str(), port))
                .await
                .map_err(|error| UrlError::NotFound { host: host.clone(), reason: error.to_string() })?;
            let none = || UrlError::NotFound { host: host.clone(), reason: "it has no address".into() };
            found.next().ok_or_else(none)?
        } else {
            return Err(UrlError::Remote { url: self.to_string() });
        };
        if !socket.ip().is_loopback() && !allow_remote {
            return Err(UrlError::Remote { url: self.to_string() });
        }
        Ok(match self.transport {
            Transport::Udp => Address::Udp(socket),
            _ => Address::Tcp(socket),
        })
    }
}

impl Address {
    /// What carries the bytes.
    pub fn transport(&self) -> Transport {
        match self {
            Address::Tcp(_) => Transport::Tcp,
            Address::Udp(_) => Transport::Udp,
            Address::Unix(_) => Transport::Unix,
            Address::Unixgram(_) => Transport::Unixgram,
        }
    }

    /// The address in events.
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Address::Tcp(address) | Address::Udp(address) => Endpoint::Ip(*address),
            Address::Unix(path) | Address::Unixgram(path) => Endpoint::Path(path.to_string_lossy().into_owned()),
        }
    }

    /// The port, where there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp(address) | Address::Udp(address) => Some(address.port()),
            Address::Unix(_) | Address::Unixgram(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_off_this_machine_is_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for url in ["tcp://10.0.0.1:80", "udp://[2001:db8::1]:53", "tcp://0.0.0.0:80", "tcp://example.org:80"] {
            let url = Url::parse(url).expect("a URL");
            assert!(matches!(runtime.block_on(url.resolve(false)), Err(UrlError::Remote { .. })), "{url}");
        }
    }
}
