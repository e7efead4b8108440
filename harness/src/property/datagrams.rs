//! What the properties of datagrams share.

use std::time::Duration;

use super::Base;
use super::edit::{Talk, exchanges};
use crate::event::Transport;

/// How long nothing may come before the next request.
pub(super) const QUIET: Duration = Duration::from_millis(20);

/// The requests and answers of a case that speaks in datagrams.
pub(super) fn talk(base: &Base) -> Result<Talk, String> {
    if base.transport != Transport::Udp {
        return Err("it is about UDP, and the case speaks on streams".into());
    }
    exchanges(&base.case)
}
