//! The words of a step: what it can do, and what can stand beside that.

/// A verb or an option of a step, for `harness list` and for help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The key.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
}

/// What a step can do.
pub const VERBS: &[Word] = &[
    Word { name: "accept", about: "take a listener's next connection, and name it" },
    Word { name: "alt", about: "wait for any one of several outcomes" },
    Word { name: "await", about: "wait for a notice that another actor gives" },
    Word { name: "barrier", about: "wait until all have come here" },
    Word { name: "close", about: "close the connection" },
    Word { name: "connect", about: "open it; the first step does so by itself" },
    Word { name: "defer", about: "steps for the end of the case, whatever happens" },
    Word { name: "drain", about: "read and drop until the peer is quiet or closes" },
    Word { name: "exec", about: "run a command, which has to exit with 0" },
    Word { name: "expect", about: "wait for one message that matches" },
    Word { name: "expect_eof", about: "wait for the peer to close" },
    Word { name: "expect_refused", about: "see that nobody listens" },
    Word { name: "expect_reset", about: "wait for the peer's reset" },
    Word { name: "expect_set", about: "wait for these messages, in any order" },
    Word { name: "expect_silence", about: "see that nothing comes for so long" },
    Word { name: "for", about: "play steps for each value of a variable" },
    Word { name: "log", about: "say something in the report" },
    Word { name: "notify", about: "give a notice that others await" },
    Word { name: "repeat", about: "play steps several times" },
    Word { name: "reset", about: "close abruptly, with RST" },
    Word { name: "restart", about: "stop a target's process and start it again" },
    Word { name: "send", about: "send a payload" },
    Word { name: "set", about: "set variables" },
    Word { name: "shutdown", about: "say that no more will be sent: `shutdown = \"write\"`" },
    Word { name: "signal", about: "send a signal to a target's process" },
    Word { name: "sleep", about: "wait" },
    Word { name: "starttls", about: "go on with TLS on this connection" },
    Word { name: "stop", about: "stop a target's process" },
    Word { name: "use", about: "play the steps of a fragment" },
];

/// What can stand beside a verb.
pub const OPTIONS: &[Word] = &[
    Word { name: "after", about: "start the step's clocks at this mark" },
    Word { name: "between", about: "the earliest and the latest that it may happen" },
    Word { name: "coalesce", about: "send: several payloads in one write" },
    Word { name: "corrupt", about: "send: spoil a byte, `{ at = 3, xor = 0xff }`" },
    Word { name: "cut_short", about: "send: the peer may end the connection before all of it is sent" },
    Word { name: "extra", about: "expect_set: `\"allow\"` other messages in between" },
    Word { name: "mark", about: "name the moment of the step's end" },
    Word { name: "note", about: "for people" },
    Word { name: "pace", about: "send: so many bytes at a time, `\"1B/2ms\"`" },
    Word { name: "parties", about: "barrier: how many come, where it is not all who have it" },
    Word { name: "quiet", about: "drain: how long is quiet" },
    Word { name: "save", about: "keep what was sent or taken as a variable" },
    Word { name: "split", about: "send: how the bytes are cut into writes" },
    Word { name: "steps", about: "for: what is played" },
    Word { name: "then", about: "send: `\"close\"`, `\"reset\"` or `\"half-close\"` after the last byte" },
    Word { name: "times", about: "await: so many notices" },
    Word { name: "truncate", about: "send: no more than so many bytes" },
    Word { name: "with", about: "use: the fragment's parameters" },
    Word { name: "within", about: "the step's deadline" },
];

/// Verbs that need no connection: with several actors they need not say whose they are.
pub(super) const NOBODYS: &[&str] = &[
    "alt", "await", "barrier", "defer", "exec", "for", "log", "notify", "repeat", "restart", "set", "signal", "sleep",
    "stop",
];

/// Verbs that an alternative can begin with: they wait for one of several things that may happen.
pub(super) const OUTCOMES: &[&str] =
    &["accept", "expect", "expect_eof", "expect_refused", "expect_reset", "expect_set", "expect_silence"];

/// Whether a name means something in a step, and so cannot be an actor's.
pub(super) fn is_reserved(name: &str) -> bool {
    VERBS.iter().chain(OPTIONS).any(|word| word.name == name)
}
