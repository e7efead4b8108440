//! `daytime`: says what time it is (RFC 867): on a stream at once, then closes; to each datagram one.
//!
//! The RFC leaves the form open; this is its first example's, in UTC: `Tuesday, February 22, 1982 17:37:43-UTC`.

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{Clock, SettingError, Setup};

struct Daytime(Clock);

impl Service for Daytime {
    fn open(&mut self, reply: &mut Reply) {
        self.receive(b"", reply);
        reply.close();
    }

    fn receive(&mut self, _: &[u8], reply: &mut Reply) {
        let now = (self.0)().to_zoned(TimeZone::UTC);
        reply.send(now.strftime("%A, %B %-d, %Y %H:%M:%S-UTC\r\n").to_string().as_bytes());
    }
}

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let clock = setup.clock;
    Ok(Arc::new(move |_: &Peer| Daytime(clock)))
}
