//! `one-shot`: takes one connection, echoes what its first read brought, closes, and the server ends.
//!
//! It stops listening when it has accepted, so a probe that connects to see whether it is up uses it up.

use std::sync::Arc;

use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{SettingError, Setup};

struct OneShot;

impl Server for OneShot {
    fn accept(&self, _: &Peer) -> Box<dyn Service> {
        Box::new(OneShot)
    }

    fn connections_max(&self) -> Option<u64> {
        Some(1)
    }
}

impl Service for OneShot {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        reply.send(input);
        reply.close();
    }
}

pub(crate) fn make(_: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    Ok(Arc::new(OneShot))
}
