//! `greeting`: answers `Hello, client!` to anything, then closes.

use std::sync::Arc;

use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{SettingError, Setup};

struct Greeting;

impl Service for Greeting {
    fn receive(&mut self, _: &[u8], reply: &mut Reply) {
        reply.send(b"Hello, client!");
        reply.close();
    }
}

pub(crate) fn make(_: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    Ok(Arc::new(|_: &Peer| Greeting))
}
