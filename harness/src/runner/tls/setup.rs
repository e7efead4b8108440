//! Settings as rustls wants them, from what a file says.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, Error, KeyLog, RootCertStore, ServerConfig, ServerConnection,
};

use super::authority::Authority;
use super::verifier::Verifier;
use crate::event::{Failure, FailureKind};
use crate::scenario::{Identity, Tls, Trust};
use crate::template::{Template, Variables};

/// Which side of a connection one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runner) enum Side {
    Client,
    Server,
}

/// How one end does TLS, ready for any number of connections.
#[derive(Debug)]
pub(in crate::runner) struct Setup {
    config: Config,
    server_name: Option<String>,
    /// Whether what it protects is protected by certificates of the run's own.
    pub(super) own: bool,
}

#[derive(Debug)]
enum Config {
    Client(Box<ClientConfig>),
    Server(Box<ServerConfig>),
}

/// The secrets of one connection, in the format of NSS key logs.
#[derive(Debug, Default)]
pub(super) struct Keys(Mutex<String>);

impl Keys {
    pub(super) fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeyLog for Keys {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        use std::fmt::Write as _;
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hex = |lines: &mut String, bytes: &[u8]| bytes.iter().for_each(|byte| _ = write!(lines, "{byte:02x}"));
        lines.push_str(label);
        lines.push(' ');
        hex(&mut lines, client_random);
        lines.push(' ');
        hex(&mut lines, secret);
        lines.push('\n');
    }
}

impl Setup {
    /// Reads the files that `tls` names, and puts all together.
    pub(in crate::runner) fn new(
        tls: &Tls,
        side: Side,
        authority: &Authority,
        variables: &Variables,
    ) -> Result<Setup, Box<Failure>> {
        let fill = |template: &Template| {
            template
                .fill_text(variables)
                .map_err(|unset| failure(tls, format!("the variable `{}` has no value", unset.0)))
        };
        let server_name = tls.server_name.as_ref().map(fill).transpose()?;
        let trusted = match &tls.ca {
            Trust::Default | Trust::Own => vec![authority.certificate()],
            Trust::File(path) => certificates(tls, &fill(path)?)?,
        };
        let mut roots = RootCertStore::empty();
        for certificate in trusted.clone() {
            roots.add(certificate).map_err(|error| failure(tls, format!("`ca` cannot be used: {error}")))?;
        }
        let files = match &tls.identity {
            Identity::Files { cert, key } => Some((certificates(tls, &fill(cert)?)?, key_of(tls, &fill(key)?)?)),
            _ => None,
        };
        let signed = |made: Result<super::authority::Signed, rcgen::Error>| {
            made.map(|signed| (signed.chain, signed.key))
                .map_err(|error| failure(tls, format!("no certificate can be made: {error}")))
        };
        let provider = Arc::new(ring::default_provider());
        let alpn = || tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let wrong = |error: Error| failure(tls, format!("`cert` and `key` cannot be used: {error}"));
        let own_trust = !matches!(tls.ca, Trust::File(_));
        let (config, own) = match side {
            Side::Client => {
                let own = own_trust && !tls.insecure;
                let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
                let builder = builder.with_safe_default_protocol_versions().expect("ring has suites for both");
                let verifier = match tls.insecure {
                    true => Verifier::anybody(&provider),
                    false => Verifier::known(provider, roots, trusted)
                        .map_err(|error| failure(tls, format!("`ca` cannot be used: {error}")))?,
                };
                let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
                let identity = match (&tls.identity, files) {
                    (Identity::Own, _) => Some(signed(authority.client())?),
                    (_, files) => files,
                };
                let mut config = match identity {
                    Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(wrong)?,
                    None => builder.with_no_client_auth(),
                };
                config.alpn_protocols = alpn();
                // Each connection is a case of its own: what another one learnt plays no part.
                config.resumption = rustls::client::Resumption::disabled();
                (Config::Client(Box::new(config)), own)
            }
            Side::Server => {
                let own = files.is_none();
                let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
                let builder = builder.with_safe_default_protocol_versions().expect("ring has suites for both");
                let builder = match tls.ca {
                    Trust::Default => builder.with_no_client_auth(),
                    _ => {
                        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                        let verifier =
                            verifier.map_err(|error| failure(tls, format!("`ca` cannot be used: {error}")))?;
                        builder.with_client_cert_verifier(verifier)
                    }
                };
                let (chain, key) = match files {
                    Some(files) => files,
                    None => signed(authority.server(server_name.as_deref()))?,
                };
                let mut config = builder.with_single_cert(chain, key).map_err(wrong)?;
                config.alpn_protocols = alpn();
                (Config::Server(Box::new(config)), own)
            }
        };
        if let (Config::Client(_), Some(name)) = (&config, &server_name) {
            ServerName::try_from(name.as_str())
                .map_err(|_| failure(tls, format!("`server_name` is no name of a host: `{name}`")))?;
        }
        Ok(Setup { config, server_name, own })
    }

    pub(super) fn side(&self) -> Side {
        match self.config {
            Config::Client(_) => Side::Client,
            Config::Server(_) => Side::Server,
        }
    }

    /// What a server of ours needs.
    pub(in crate::runner) fn server(&self) -> Option<Arc<ServerConfig>> {
        match &self.config {
            Config::Server(config) => Some(Arc::new((**config).clone())),
            Config::Client(_) => None,
        }
    }

    /// What a client needs to begin sessions with whoever is at `peer`.
    pub(super) fn client(self, peer: Option<IpAddr>) -> Option<(ClientConfig, ServerName<'static>)> {
        let name = self.name(peer);
        match self.config {
            Config::Client(config) => Some((*config, name)),
            Config::Server(_) => None,
        }
    }

    /// The name that a server has to show.
    fn name(&self, peer: Option<IpAddr>) -> ServerName<'static> {
        match (&self.server_name, peer) {
            (Some(name), _) => ServerName::try_from(name.clone()).expect("it was checked"),
            (None, Some(ip)) => ServerName::from(ip),
            (None, None) => ServerName::try_from("localhost").expect("it is one"),
        }
    }

    /// Begins a session with whoever is at `peer`; its secrets go to `keys`.
    pub(super) fn begin(&self, peer: Option<IpAddr>, keys: Arc<Keys>) -> Result<Connection, Error> {
        match &self.config {
            Config::Client(config) => {
                let mut config = config.clone();
                config.key_log = keys;
                let name = self.name(peer);
                Ok(ClientConnection::new(Arc::new(*config), name)?.into())
            }
            Config::Server(config) => {
                let mut config = config.clone();
                config.key_log = keys;
                Ok(ServerConnection::new(Arc::new(*config))?.into())
            }
        }
    }
}

fn failure(tls: &Tls, message: String) -> Box<Failure> {
    Box::new(Failure::new(FailureKind::Tls, message, tls.place.clone()))
}

fn certificates(tls: &Tls, path: &str) -> Result<Vec<CertificateDer<'static>>, Box<Failure>> {
    let path = tls.folder.join(path);
    let read = || -> Result<Vec<_>, rustls::pki_types::pem::Error> { CertificateDer::pem_file_iter(&path)?.collect() };
    match read() {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(failure(tls, format!("there is no certificate in `{}`", path.display()))),
        Err(error) => Err(failure(tls, format!("cannot read certificates from `{}`: {error}", path.display()))),
    }
}

fn key_of(tls: &Tls, path: &str) -> Result<PrivateKeyDer<'static>, Box<Failure>> {
    let path: &Path = &tls.folder.join(path);
    let read = PrivateKeyDer::from_pem_file(path);
    read.map_err(|error| failure(tls, format!("cannot read a key from `{}`: {error}", path.display())))
}
