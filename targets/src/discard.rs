//! `discard`: reads everything and says nothing (RFC 863).

use std::sync::Arc;

use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{SettingError, Setup};

struct Discard;

impl Service for Discard {
    fn receive(&mut self, _: &[u8], _: &mut Reply) {}
}

pub(crate) fn make(_: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    Ok(Arc::new(|_: &Peer| Discard))
}
