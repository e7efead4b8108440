//! TLS for those who drive a client's sessions over sockets of their own: a benchmark.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, CommonState, Error};

use super::authority::Authority;
use super::error::Broken;
use super::setup::{Setup, Side};
use crate::event::{Failure, TlsSession};
use crate::scenario::Tls;
use crate::template::Variables;

/// How a client does TLS, ready for any number of connections.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// Reads the files that `tls` names, for connections to `peer`.
    pub(in crate::runner) fn new(
        tls: &Tls,
        authority: &Authority,
        variables: &Variables,
        peer: Option<IpAddr>,
    ) -> Result<TlsClient, Box<Failure>> {
        let (config, name) =
            Setup::new(tls, Side::Client, authority, variables)?.client(peer).expect("it is a client's");
        Ok(TlsClient { config: Arc::new(config), name })
    }

    /// Begins a session.
    pub fn begin(&self) -> Result<ClientConnection, Error> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone())
    }

    /// What an error means, and what to try. `first` are the first bytes that came from the server.
    pub fn explain(error: &Error, first: &[u8]) -> String {
        TlsClient::told(Broken::explain(error, Side::Client, first))
    }

    /// The server went away in the middle of the handshake.
    pub fn gone(how: &str) -> String {
        TlsClient::told(Broken::gone(how, Side::Client))
    }

    fn told(Broken { reason, hint }: Broken) -> String {
        match hint {
            Some(hint) => format!("TLS: {reason}: {hint}"),
            None => format!("TLS: {reason}"),
        }
    }

    /// What two sides have agreed on.
    pub fn agreed(state: &CommonState) -> TlsSession {
        let version = match state.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
            other => format!("{other:?}"),
        };
        TlsSession {
            version,
            cipher: state.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default(),
            alpn: state.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            ..TlsSession::default()
        }
    }
}
