//! What a server says of itself while it runs. A connection that opens and closes in good order is no news.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::service::{Peer, ProcessEnd};

/// Where a server's notes go.
pub type Log = Arc<dyn Fn(&Note) + Send + Sync>;

/// Something that a person who watches a server should know.
#[derive(Debug)]
#[non_exhaustive]
pub enum Note {
    /// A connection could not be accepted, or a datagram not received; the server goes on after a pause.
    AcceptFailed {
        /// Why.
        error: io::Error,
    },
    /// Connections were still writing when the grace time of a stop was over, and were cut.
    Cut {
        /// How many.
        connections: usize,
    },
    /// A service wants its process to end. Whoever runs the server in one of its own does it.
    EndsProcess {
        /// How.
        end: ProcessEnd,
    },
    /// A connection broke.
    Failed {
        /// Whose it was.
        peer: Peer,
        /// Why.
        error: io::Error,
    },
    /// A connection was closed because it was silent for too long.
    Idle {
        /// Whose it was.
        peer: Peer,
    },
    /// A connection was closed at once because there were too many.
    OverLimit {
        /// Whose it was.
        peer: Peer,
        /// The limit.
        connections_max: usize,
    },
    /// A service panicked; its connection is closed, and the server goes on.
    Panicked,
    /// A datagram was not answered because its answer could not be sent.
    Unanswered {
        /// Whose it was.
        peer: Peer,
        /// How long the answer was.
        len: usize,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::AcceptFailed { error } => write!(f, "cannot accept: {error}"),
            Note::Cut { connections } => write!(f, "cut {connections} connections that were still writing"),
            Note::EndsProcess { end: ProcessEnd::Crash } => write!(f, "crashes on purpose"),
            Note::EndsProcess { end: ProcessEnd::Exit(status) } => write!(f, "exits with {status} on purpose"),
            Note::Failed { peer, error } => write!(f, "{peer}: {error}"),
            Note::Idle { peer } => write!(f, "{peer}: closed, it was silent for too long"),
            Note::OverLimit { peer, connections_max } => {
                write!(f, "{peer}: closed at once, {connections_max} connections are open")
            }
            Note::Panicked => write!(f, "a service panicked, its connection is closed"),
            Note::Unanswered { peer, len, error } => write!(f, "{peer}: cannot send an answer of {len} bytes: {error}"),
        }
    }
}
