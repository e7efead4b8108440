//! How one connection's service is told of what happened on another's.
//!
//! What happened is not here: a service that is woken looks for it where both have put it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// Wakes the service of one connection: after a ring, [`Service::woken`](crate::Service::woken) is called, once for
/// many rings.
///
/// A service gets its own from [`Reply::bell`](crate::Reply::bell) and gives it to whoever may have something for it. To
/// ring it after the connection is over does nothing.
#[derive(Clone, Default)]
pub struct Bell(Arc<State>);

#[derive(Default)]
struct State {
    rung: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Bell {
    /// Has the service woken.
    pub fn ring(&self) {
        // Rung and not yet answered, its connection is on its way already.
        if !self.0.rung.swap(true, Ordering::AcqRel)
            && let Some(waker) = &*self.0.waker.lock().unwrap_or_else(PoisonError::into_inner)
        {
            waker.wake_by_ref();
        }
    }

    /// Has `waker` woken by a ring from here on; one that came before is still to be taken.
    pub(crate) fn attach(&self, waker: &Waker) {
        *self.0.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    /// Whether it was rung since this was last asked.
    pub(crate) fn take(&self) -> bool {
        // The load first: most of the time nobody rang, and a swap would take the line from whoever does.
        self.0.rung.load(Ordering::Acquire) && self.0.rung.swap(false, Ordering::AcqRel)
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("rung", &self.0.rung).finish_non_exhaustive()
    }
}
