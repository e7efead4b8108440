//! Whom a client of ours takes for the server.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Looks at the certificate that a server shows. Whoever that is has to hold its key: signatures are always checked.
#[derive(Debug)]
pub(super) struct Verifier {
    takes: Takes,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Takes {
    /// Any certificate: `insecure = true`.
    Anybody,
    /// What is signed by whom it trusts, and the certificates themselves that it trusts: one that is its own authority, as
    /// `openssl req -x509` makes it, is commonly given as both.
    Known { usual: Arc<WebPkiServerVerifier>, trusted: Vec<CertificateDer<'static>> },
}

impl Verifier {
    pub(super) fn anybody(provider: &CryptoProvider) -> Verifier {
        Verifier { takes: Takes::Anybody, algorithms: provider.signature_verification_algorithms }
    }

    pub(super) fn known(
        provider: Arc<CryptoProvider>,
        roots: RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
    ) -> Result<Verifier, VerifierBuilderError> {
        let algorithms = provider.signature_verification_algorithms;
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Verifier { takes: Takes::Known { usual, trusted }, algorithms })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Takes::Known { usual, trusted } = &self.takes else { return Ok(ServerCertVerified::assertion()) };
        let verified = usual.verify_server_cert(shown, chain, name, ocsp, now);
        match &verified {
            // Its time has been checked before that.
            Err(Error::InvalidCertificate(CertificateError::Other(other)))
                if other.to_string().contains("CaUsedAsEndEntity") && trusted.contains(shown) =>
            {
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            _ => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
