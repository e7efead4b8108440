//! TLS: certificates made on the fly, settings, and streams.
//!
//! The conversation sees what TLS carries; what goes over the wire is kept beside it, so that a capture shows the real records.

mod authority;
mod client;
mod end;
mod error;
mod setup;
mod stream;
mod verifier;

pub(super) use authority::Authority;
pub use client::{TlsClient, TlsServer};
pub use end::TlsEnd;
pub(super) use error::Broken;
pub(super) use setup::{Setup, Side};
pub(super) use stream::{Inner, TlsStream, Wire};

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::event::Failure;
use crate::scenario::Tls;
use crate::template::Variables;

/// How the actors of a case do TLS: read when it is first needed, since a step may make the files.
#[derive(Debug, Default)]
pub struct Profiles {
    tls: Vec<Tls>,
    authority: Option<Rc<Authority>>,
    variables: Variables,
    /// Whether secrets are told that are not of the run's own certificates.
    pub(super) keys: Keys,
    setups: RefCell<HashMap<(usize, bool), Made>>,
}

/// What came of reading one.
type Made = Result<Arc<Setup>, Broken>;

/// What a reference server on `tls://` needs, for those who serve it outside of a run: given files, or else a certificate of
/// an authority that is made for it. The second is that authority's certificate as PEM, where there is one.
pub fn server_config(
    identity: Option<(&str, &str)>,
    client_ca: Option<&str>,
) -> Result<(Arc<targets::ServerConfig>, Option<String>), String> {
    let authority = Authority::new().map_err(|error| format!("no certificate can be made: {error}"))?;
    let mut tls = Tls::plain(crate::event::Place::default(), std::path::PathBuf::new());
    let literal = |text: &str| crate::template::Template::literal(text.to_owned());
    if let Some((cert, key)) = identity {
        tls.identity = crate::scenario::Identity::Files { cert: literal(cert), key: literal(key) };
    }
    if let Some(ca) = client_ca {
        tls.ca = crate::scenario::Trust::File(literal(ca));
    }
    let setup = Setup::new(&tls, Side::Server, &authority, &Variables::new()).map_err(|failure| failure.message)?;
    let config = setup.server().expect("it is a server's");
    Ok((config, identity.is_none().then(|| authority.pem())))
}

/// Whose secrets are put into captures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// Everybody's.
    Always,
    /// Nobody's.
    Never,
    /// Those of certificates that were made for this run.
    #[default]
    Own,
}

impl Profiles {
    pub(super) fn new(tls: &[Tls], authority: Option<Rc<Authority>>, variables: Variables, keys: Keys) -> Profiles {
        Profiles { tls: tls.to_vec(), authority, variables, keys, setups: RefCell::default() }
    }

    /// What one of them is for a client or a server.
    pub(super) fn setup(&self, profile: usize, server: bool) -> Result<Arc<Setup>, Broken> {
        let mut setups = self.setups.borrow_mut();
        let setup = setups.entry((profile, server)).or_insert_with(|| {
            let (Some(tls), Some(authority)) = (self.tls.get(profile), &self.authority) else {
                return Err(Broken::new("there are no settings for TLS here"));
            };
            let side = if server { Side::Server } else { Side::Client };
            let setup = Setup::new(tls, side, authority, &self.variables);
            setup.map(Arc::new).map_err(|failure: Box<Failure>| {
                Broken::new(failure.message.clone()).hint(format!("the settings stand at {}", failure.place))
            })
        });
        setup.clone()
    }
}
