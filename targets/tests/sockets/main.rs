//! Every target and every limit over real sockets, whoever serves.

#![expect(clippy::disallowed_methods, reason = "tests look at the world from outside")]
#![expect(clippy::duplicate_mod, reason = "the same holds of both")]
#![expect(clippy::unwrap_used, reason = "in a test it is an assertion")]

/// As tasks of a runtime.
#[path = "."]
mod by_tasks {
    mod both;
    mod dials;

    use targets::{bind as bind_at, serve as serve_at};
}

/// On threads of their own.
#[path = "."]
mod by_threads {
    mod both;
    mod raw;

    use std::io;
    use std::num::NonZeroUsize;
    use std::sync::Arc;

    use targets::{Address, Handle, Limits, Log, ServeError, Server, Target};

    const ONE: NonZeroUsize = NonZeroUsize::MIN;

    fn bind_at(server: Arc<dyn Server>, address: &Address, limits: Limits, log: Log) -> io::Result<Handle> {
        targets::bind_raw(server, address, limits, log, ONE)
    }

    fn serve_at(
        target: &Target,
        address: &Address,
        settings: &[(&str, &str)],
        limits: Limits,
        log: Log,
    ) -> Result<Handle, ServeError> {
        targets::serve_raw(target, address, settings, limits, log, ONE)
    }
}
