//! The run's own authority: it is made when it is first needed, and signs what the run's servers and clients show.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority with its key.
#[derive(Debug)]
pub(in crate::runner) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate with what signed it, and its key.
#[derive(Debug)]
pub(in crate::runner) struct Signed {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    chain_pem: String,
    key_pem: String,
}

impl Authority {
    /// Makes one.
    pub(in crate::runner) fn new() -> Result<Authority, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "harness: an authority for one run");
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Authority { issuer: Issuer::new(params, key), certificate })
    }

    /// Its own certificate.
    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// Its own certificate as PEM.
    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for a server on this machine, and for `name`, if there is one.
    pub(super) fn server(&self, name: Option<&str>) -> Result<Signed, rcgen::Error> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
        names.extend(name.filter(|name| !names.iter().any(|known| known == name)).map(str::to_owned));
        self.sign(names, "harness server", ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for a client.
    pub(super) fn client(&self) -> Result<Signed, rcgen::Error> {
        self.sign(Vec::new(), "harness client", ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, names: Vec<String>, common: &str, usage: ExtendedKeyUsagePurpose) -> Result<Signed, rcgen::Error> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, common);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Signed {
            chain: vec![certificate.der().clone(), self.certificate()],
            chain_pem: certificate.pem() + &self.certificate.pem(),
            key_pem: key.serialize_pem(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }

    /// Writes what other programs need to trust it, and to show certificates of it, into `folder`; says what the variables of
    /// a scenario are then.
    pub(in crate::runner) fn write(&self, folder: &Path) -> io::Result<Vec<(&'static str, PathBuf)>> {
        let server = self.server(None).map_err(io::Error::other)?;
        let client = self.client().map_err(io::Error::other)?;
        fs::create_dir_all(folder)?;
        let mut written = Vec::new();
        for (name, file, text) in [
            ("tls.ca", "ca.pem", &self.certificate.pem()),
            ("tls.cert", "cert.pem", &server.chain_pem),
            ("tls.key", "key.pem", &server.key_pem),
            ("tls.client_cert", "client-cert.pem", &client.chain_pem),
            ("tls.client_key", "client-key.pem", &client.key_pem),
        ] {
            let path = std::path::absolute(folder.join(file))?;
            fs::write(&path, text)?;
            written.push((name, path));
        }
        Ok(written)
    }
}
