//! Why TLS failed, in words that help.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use super::setup::Side;

/// Why a handshake, or what came after it, failed, and what to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runner) struct Broken {
    pub(in crate::runner) reason: String,
    pub(in crate::runner) hint: Option<String>,
}

impl Broken {
    pub(super) fn new(reason: impl Into<String>) -> Broken {
        Broken { reason: reason.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Broken {
        self.hint = Some(hint.into());
        self
    }

    /// Both in one line.
    pub(super) fn told(self) -> String {
        match self.hint {
            Some(hint) => format!("TLS: {}: {hint}", self.reason),
            None => format!("TLS: {}", self.reason),
        }
    }

    /// What `error` means to one who plays `side`. `first` are the first bytes that came from the peer.
    pub(super) fn explain(error: &Error, side: Side, first: &[u8]) -> Broken {
        // Every record begins with its type (RFC 8446, section 5.1).
        if first.first().is_some_and(|kind| !(0x14..=0x18).contains(kind)) {
            let shown = crate::text::quote(&first[..first.len().min(40)]);
            let broken = Broken::new(format!("the peer does not speak TLS, it sent {shown}"));
            return broken
                .hint("if it begins in the clear, `starttls` after its first messages begins TLS in mid-stream");
        }
        match error {
            Error::AlertReceived(alert) => received(*alert, side),
            Error::InvalidCertificate(error) => certificate(error, side),
            Error::NoCertificatesPresented => {
                Broken::new("the client showed no certificate, and `ca` on the server asks for one")
            }
            Error::PeerIncompatible(why) => incompatible(why),
            Error::NoApplicationProtocol => Broken::new("there is no protocol that both sides offer by ALPN")
                .hint("`alpn` says what this side offers"),
            error => Broken::new(error.to_string()),
        }
    }

    /// The peer went away in the middle of the handshake.
    pub(super) fn gone(how: &str, side: Side) -> Broken {
        let broken = Broken::new(format!("the peer {how} in the middle of the handshake"));
        match side {
            Side::Client => broken.hint("a server that does not speak TLS on this port does so"),
            Side::Server => broken
                .hint("a client that does not trust the certificate does so; `${tls.ca}` is the authority to trust"),
        }
    }
}

fn incompatible(why: &PeerIncompatible) -> Broken {
    match why {
        PeerIncompatible::NoCipherSuitesInCommon => Broken::new("the two sides have no cipher suite in common"),
        PeerIncompatible::NoSignatureSchemesInCommon => Broken::new("the two sides have no signature scheme in common"),
        PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::Tls12NotOffered => {
            Broken::new("the peer speaks neither TLS 1.2 nor 1.3")
        }
        why => Broken::new(format!("the two sides have no common ground: {why:?}")),
    }
}

fn certificate(error: &CertificateError, side: Side) -> Broken {
    let whose = if side == Side::Client { "the server's" } else { "the client's" };
    match error {
        CertificateError::UnknownIssuer => {
            let broken = Broken::new(format!("{whose} certificate is signed by nobody who is trusted here"));
            broken.hint("`ca = \"ca.pem\"` says whom to trust, `insecure = true` trusts everybody")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Broken::new(format!("{whose} certificate has expired"))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Broken::new(format!("{whose} certificate is not valid yet"))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() { "nobody by name".to_owned() } else { presented.join(", ") };
            let expected = expected.to_str();
            Broken::new(format!("{whose} certificate is not for `{expected}`, it is for {names}"))
                .hint("`server_name` says whom to ask for")
        }
        CertificateError::NotValidForName => {
            Broken::new(format!("{whose} certificate is for another name")).hint("`server_name` says whom to ask for")
        }
        CertificateError::BadSignature => Broken::new(format!("{whose} certificate has a wrong signature")),
        CertificateError::BadEncoding => Broken::new(format!("{whose} certificate cannot be read")),
        CertificateError::Revoked => Broken::new(format!("{whose} certificate was revoked")),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Broken::new(format!("{whose} certificate is not made for this side of a connection"))
        }
        // The same certificate as authority and as server: many that are made by hand.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            Broken::new(format!("{whose} certificate is one of an authority, not of a server"))
                .hint("one signed by it is needed, or `insecure = true`")
        }
        error => Broken::new(format!("{whose} certificate is not taken: {error}")),
    }
}

fn received(alert: AlertDescription, side: Side) -> Broken {
    let name = words(alert);
    let broken = Broken::new(format!("the peer ended it with the alert `{name}`"));
    match (alert, side) {
        (AlertDescription::CertificateRequired | AlertDescription::BadCertificate, Side::Client) => {
            broken.hint("it asks for a client's certificate: `tls = { cert = \"cert.pem\", key = \"key.pem\" }`")
        }
        (AlertDescription::UnknownCA | AlertDescription::CertificateUnknown | AlertDescription::BadCertificate, _) => {
            broken.hint("it does not trust our certificate; `${tls.ca}` is the authority to trust")
        }
        (AlertDescription::NoApplicationProtocol, _) => {
            broken.hint("it takes none of the protocols in `alpn`, or wants one and there is no `alpn`")
        }
        (AlertDescription::ProtocolVersion, _) => broken.hint("it speaks neither TLS 1.2 nor 1.3"),
        (AlertDescription::UnrecognisedName, Side::Client) => broken.hint("it does not know this `server_name`"),
        _ => broken,
    }
}

/// `CertificateRequired` as RFC 8446 writes it: `certificate_required`.
fn words(alert: AlertDescription) -> String {
    let (mut name, mut before) = (String::new(), 'A');
    for c in format!("{alert:?}").chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
        before = c;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: &Error, side: Side, first: &[u8], reason: &str) {
        assert_eq!(Broken::explain(error, side, first).reason, reason);
    }

    #[test]
    fn what_is_no_tls_is_shown() {
        let error = Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        check(&error, Side::Client, b"220 ready\r\n", "the peer does not speak TLS, it sent `220 ready\\r\\n`");
    }

    #[test]
    fn alerts_have_their_names() {
        let error = Error::AlertReceived(AlertDescription::CertificateRequired);
        check(&error, Side::Client, &[0x15], "the peer ended it with the alert `certificate_required`");
        assert_eq!(words(AlertDescription::UnknownCA), "unknown_ca");
    }
}
