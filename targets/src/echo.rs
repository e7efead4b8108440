//! `tcp-echo` and `udp-echo`: what comes goes back (RFC 862).
//!
//! On a stream the peer may half-close: everything is still answered, then the server closes. With the setting `spin`
//! the server is slower by so much for each read or datagram, and works meanwhile: a difference that is known, to try on
//! it what compares two servers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::service::{Peer, Reply, Server, Service};
use crate::settings::{Setting, SettingError, Setup, parse_duration};

/// The settings of both.
pub(crate) const SETTINGS: &[Setting] =
    &[Setting { name: "spin", default: "0", about: "how long it is busy with each message, like `150ns`" }];

/// A longer one would keep all other connections waiting.
const SPIN_MAX: Duration = Duration::from_secs(1);

struct Echo;

impl Service for Echo {
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        reply.send(input);
    }
}

/// Echoes, but is busy before.
struct Busy(Duration);

impl Service for Busy {
    #[expect(clippy::disallowed_methods, reason = "time that is wasted has to pass")]
    fn receive(&mut self, input: &[u8], reply: &mut Reply) {
        let start = Instant::now();
        while start.elapsed() < self.0 {
            std::hint::spin_loop();
        }
        reply.send(input);
    }
}

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let spin = parse_duration("spin", setup.settings.text("spin"))?;
    if spin > SPIN_MAX {
        return Err(SettingError::TooLong { name: "spin".into(), value: spin, other: "a second", max: SPIN_MAX });
    }
    Ok(match spin.is_zero() {
        true => Arc::new(|_: &Peer| Echo),
        false => Arc::new(move |_: &Peer| Busy(spin)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Transport;
    use crate::{Limits, answer, find};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it is about time that passes")]
    fn a_busy_echo_takes_the_time_that_it_is_told() {
        let clock = || jiff::Timestamp::UNIX_EPOCH;
        let server = find("udp-echo").unwrap().make(&[("spin", "50us")], &Limits::default(), clock).unwrap();
        let start = Instant::now();
        assert_eq!(answer(&*server, &Peer::new(0, Transport::Udp, None), b"x").as_deref(), Some(&b"x"[..]));
        assert!(start.elapsed() >= Duration::from_micros(50));
    }
}
