//! `tcp-echo` and `udp-echo`: what comes goes back (RFC 862).
//!
//! On a stream the peer may half-close: everything is still answered, then the server closes.

use std::sync::Arc;

use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{SettingError, Setup};

struct Echo;

impl Service for Echo {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        reply.send(input);
    }
}

pub(crate) fn make(_: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    Ok(Arc::new(|_: &Peer| Echo))
}
