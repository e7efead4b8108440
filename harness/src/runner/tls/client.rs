//! TLS for those who drive sessions over sockets of their own: a benchmark, a fuzzing campaign.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, CommonState, ServerConfig, ServerConnection};

use super::authority::Authority;
use super::end::TlsEnd;
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

/// How a server does TLS, ready for any number of connections.
#[derive(Clone, Debug)]
pub struct TlsServer(Arc<ServerConfig>);

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

    /// Begins a session. An error says what it means.
    pub fn begin(&self) -> Result<TlsEnd, String> {
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        session.map(TlsEnd::new).map_err(|error| Broken::explain(&error, Side::Client, &[]).told())
    }

    /// What two sides have agreed on.
    pub(super) fn agreed(state: &CommonState) -> TlsSession {
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

impl TlsServer {
    /// Reads the files that `tls` names.
    pub(in crate::runner) fn new(
        tls: &Tls,
        authority: &Authority,
        variables: &Variables,
    ) -> Result<TlsServer, Box<Failure>> {
        let setup = Setup::new(tls, Side::Server, authority, variables)?;
        Ok(TlsServer(setup.server().expect("it is a server's")))
    }

    /// Begins a session. An error says what it means.
    pub fn begin(&self) -> Result<TlsEnd, String> {
        let session = ServerConnection::new(Arc::clone(&self.0));
        session.map(TlsEnd::new).map_err(|error| Broken::explain(&error, Side::Server, &[]).told())
    }
}
