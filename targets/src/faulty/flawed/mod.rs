//! `flawed`: a small server that is sound, until the setting `flaw` gives it one bug.
//!
//! What it serves is the same on three wires: keys and values, a name, a channel that is opened, read and closed, and sums.
//!
//! | request | answer |
//! | --- | --- |
//! | `HELLO name` | `HELLO name`; a channel is only for those who have said it |
//! | `PUT key value` | `OK` |
//! | `GET key`, `DEL key` | `VALUE value` or `NONE`; `OK` or `NONE` |
//! | `ECHO text` | `ECHO text` |
//! | `OPEN`, `READ`, `CLOSE` | `OK`; `DATA n`, where n counts what this channel has given; `OK` |
//! | `SUM (1 (2 3))` | `SUM 6`; lists stand in lists at most 32 deep |
//! | `QUIT` | `BYE`, and the connection closes |
//! | anything else | `ERROR why` |
//!
//! As text each is a line. In binary it has a magic number, an identifier, a length and a checksum, see `wire` and
//! `scenarios/protocols/flawed.toml`. A datagram is one request with a number in front, `7 GET colour`, and so is its answer.
//!
//! Each row of [`FLAWS`] says what is wrong, what has to find it, and how small that has to make it.

mod datagram;
mod request;
mod session;
mod state;
mod wire;

use std::sync::Arc;

use self::state::Shared;
use crate::service::{Peer, Server, Service};
use crate::settings::{Setting, SettingError, Setup};

/// On which wire a flaw shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// Messages with a magic number, a length and a checksum.
    Binary,
    /// Datagrams of text.
    Datagrams,
    /// Lines of text.
    Text,
}

/// What finds a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// `harness fuzz`, as a finding of this kind, within so many cases.
    Fuzz {
        /// The kind of the finding.
        kind: &'static str,
        /// Within how many cases.
        cases: u32,
    },
    /// Nothing does.
    No {
        /// Why not.
        because: &'static str,
    },
    /// `harness prop`, with this property of this case.
    Property {
        /// The property.
        name: &'static str,
        /// The case of the scenario.
        case: &'static str,
    },
}

/// A row of the table of flaws.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// How the setting `flaw` names it.
    pub name: &'static str,
    /// What is wrong.
    pub about: &'static str,
    /// Where it shows.
    pub wire: Wire,
    /// What has to find it.
    pub found: Found,
    /// Whether that takes longer than a test of each change may.
    pub late: bool,
    /// Of how many connections, messages and bytes its reproduction has to do with.
    pub smallest: (usize, usize, usize),
    flaw: Flaw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Amplification,
    AnswerAstray,
    AnswerTruncated,
    Busy,
    CaseFolded,
    Checksum,
    CounterWraps,
    Crash,
    CutHeader,
    CutNewline,
    DatagramDeaf,
    DatagramDuplicate,
    DatagramEmpty,
    DatagramOrder,
    DeepNesting,
    DoubleDelivery,
    ErrorAstray,
    ErrorOutOfStep,
    Exit,
    HalfCloseLost,
    Hang,
    IdTwice,
    IdZero,
    KeepsRead,
    LeakDescriptor,
    LeakMemory,
    LeakOnError,
    LeakThread,
    LengthLies,
    LengthOverflow,
    Magic,
    NameKept,
    None,
    NotIdempotent,
    Nul,
    Panic,
    PartialShared,
    PipelinedLost,
    Poisoned,
    PrefixCrash,
    Reordered,
    ScansAgain,
    SecondConnection,
    Secret,
    Slow,
    SlowsDown,
    Spinning,
    StaleRead,
    StateConfusion,
    Uninitialised,
    Utf8,
}

const fn fuzz(kind: &'static str, cases: u32) -> Found {
    Found::Fuzz { kind, cases }
}

const fn property(name: &'static str, case: &'static str) -> Found {
    Found::Property { name, case }
}

// Whether a test of each change has the time for it.
const LATE: bool = true;
const SOON: bool = false;

const KEEPS: &str = "keeps a value";
const GREETS: &str = "greets";
const READS: &str = "reads from a channel";

macro_rules! rows {
    ($($name:literal $wire:ident $flaw:ident $smallest:expr, $late:ident $found:expr, $about:literal;)*) => {
        &[$(Row {
            name: $name,
            about: $about,
            wire: Wire::$wire,
            found: $found,
            late: $late,
            smallest: $smallest,
            flaw: Flaw::$flaw,
        }),*]
    };
}

/// Every flaw, in alphabetical order.
pub const FLAWS: &[Row] = rows! {
    "amplification" Datagrams Amplification (1, 1, 13), SOON property("amplification", KEEPS),
        "to say that there is no such key takes a kilobyte";
    "answer-astray" Text AnswerAstray (2, 2, 22), SOON property("isolation", GREETS),
        "an answer goes to the connection that is in the middle of a request";
    "answer-truncated" Text AnswerTruncated (1, 16, 16_080), SOON property("pipelining", "echoes much"),
        "what is answered at once ends after 4096 bytes";
    "busy" Text Busy (1, 1, 9), LATE fuzz("hang", 3_000),
        "a list that is closed too often is read for ever";
    "case-folded" Text CaseFolded (1, 2, 64), LATE fuzz("panic", 6_000),
        "a command in small letters is known to the parser and to nobody else";
    "checksum" Binary Checksum (1, 1, 11), SOON fuzz("crash", 3_000),
        "a `get` without a key, behind a checksum that is right";
    "counter-wraps" Text CounterWraps (1, 1, 256), LATE fuzz("crash", 6_000),
        "requests are counted in eight bits";
    "crash" Text Crash (1, 1, 80), SOON fuzz("crash", 3_000),
        "a key that is too long ends the process";
    "cut-header" Binary CutHeader (1, 1, 11), SOON property("chunking", KEEPS),
        "a header that comes alone is read as that of an empty message";
    "cut-newline" Text CutNewline (1, 1, 11), SOON property("chunking", GREETS),
        "a carriage return at the end of a read ends the line, and its line feed another";
    "datagram-deaf" Datagrams DatagramDeaf (1, 2, 24), SOON property("loss", KEEPS),
        "a number that is left out is waited for without end";
    "datagram-duplicate" Datagrams DatagramDuplicate (1, 3, 39), SOON property("duplicate", KEEPS),
        "the answer to a datagram that comes twice is kept, and given to the next";
    "datagram-empty" Datagrams DatagramEmpty (1, 1, 0), SOON fuzz("crash", 3_000),
        "an empty datagram ends the process";
    "datagram-order" Datagrams DatagramOrder (1, 3, 37), SOON property("reorder", KEEPS),
        "a number below the last one is not answered";
    "deep-nesting" Text DeepNesting (1, 1, 2_048), LATE fuzz("crash", 3_000),
        "lists in lists are read by recursion, as deep as they are";
    "double-delivery" Text DoubleDelivery (1, 1, 11), SOON property("chunking", GREETS),
        "a request that comes in four reads or more is answered twice";
    "error-astray" Text ErrorAstray (2, 2, 16_500), SOON property("robust", GREETS),
        "an error goes to whoever speaks next";
    "error-out-of-step" Text ErrorOutOfStep (1, 3, 20), SOON property("recovers", GREETS),
        "after an error each answer is that to the request before";
    "exit" Text Exit (1, 1, 16), LATE fuzz("crash", 6_000),
        "`QUIT` with an argument ends the process, with status 0";
    "half-close-lost" Text HalfCloseLost (1, 1, 11), SOON property("half-close", GREETS),
        "a client that half-closes while its answer is made gets none";
    "hang" Text Hang (1, 1, 8), LATE fuzz("hang", 3_000),
        "a channel that was never opened is read from, and nobody is answered any more";
    "id-twice" Binary IdTwice (1, 16, 192), SOON property("correlate", KEEPS),
        "of more than four answers at once the last has the identifier of the one before";
    "id-zero" Binary IdZero (2, 2, 48), SOON property("answers", KEEPS),
        "a request whose identifier is 0 is taken for one that wants no answer";
    "keeps-read" Text KeepsRead (1, 3, 524_288), LATE fuzz("leak", 20_000),
        "what is read from a channel is kept, a kilobyte each time, until its connection ends";
    "leak-descriptor" Text LeakDescriptor (1, 64, 576), SOON property("no-leak", GREETS),
        "each connection leaves a descriptor behind";
    "leak-memory" Text LeakMemory (1, 64, 576), SOON property("no-leak", GREETS),
        "each connection leaves 256 KiB behind";
    "leak-on-error" Text LeakOnError (1, 1, 64), LATE fuzz("leak", 20_000),
        "each command that is not known leaves a descriptor behind";
    "leak-thread" Text LeakThread (1, 64, 576), SOON property("no-leak", GREETS),
        "each connection leaves a thread behind";
    "length-lies" Binary LengthLies (1, 1, 32), SOON fuzz("panic", 3_000),
        "the length of a key is believed, whatever follows";
    "length-overflow" Binary LengthOverflow (1, 1, 7), SOON fuzz("crash", 3_000),
        "the length of a message and its header are added in sixteen bits";
    "magic" Binary Magic (1, 1, 22), SOON fuzz("crash", 3_000),
        "an older magic number leads to code that nobody has run, behind a checksum that is right";
    "name-kept" Text NameKept (2, 3, 21), SOON property("prefix-close", READS),
        "the name of a client that is gone in the middle of a request is taken for ever";
    "none" Text None (0, 0, 0), SOON Found::No { because: "nothing is wrong" },
        "nothing is wrong";
    "not-idempotent" Text NotIdempotent (1, 2, 30), SOON property("idempotent", KEEPS),
        "to put what is there already is an error";
    "nul" Text Nul (1, 1, 12), SOON fuzz("crash", 3_000),
        "a key with a byte of zero ends the process";
    "panic" Text Panic (1, 1, 6), SOON fuzz("panic", 3_000),
        "`GET` without a key is a panic that the process survives";
    "partial-shared" Text PartialShared (2, 2, 22), SOON property("isolation", GREETS),
        "half a request is kept for all connections together";
    "pipelined-lost" Text PipelinedLost (1, 2, 18), SOON property("pipelining", GREETS),
        "of several requests in one read the first is answered";
    "poisoned" Text Poisoned (2, 3, 128), SOON property("robust", KEEPS),
        "a command of more than 32 letters, and no value can be read any more";
    "prefix-crash" Text PrefixCrash (2, 2, 22), SOON property("prefix-close", GREETS),
        "a connection that ends in the middle of a request ends the process";
    "reordered" Binary Reordered (1, 16, 208), SOON property("order", KEEPS),
        "of more than eight answers at once the last two are swapped";
    "scans-again" Text ScansAgain (1, 1, 8_388_608), LATE fuzz("hang", 20_000),
        "a line may be as long as it likes, and is looked through from its beginning with each read";
    "second-connection" Text SecondConnection (2, 2, 32), LATE fuzz("crash", 6_000),
        "a name that another connection has ends the process";
    "secret" Text Secret (1, 1, 10), SOON Found::No { because: "four bytes out of 2^32, and nothing on the wire says which; the program does, among 11000 numbers like it" },
        "a text that is one word of four bytes ends the process";
    "slow" Text Slow (1, 4, 24), SOON property("bounded", READS),
        "to read from a channel takes 700 ms";
    "slows-down" Text SlowsDown (1, 12, 160), LATE fuzz("hang", 3_000),
        "from the twelfth greeting on each takes 700 ms";
    "spinning" Text Spinning (1, 1, 8), LATE fuzz("hang", 3_000),
        "a list that is closed too often leaves a thread busy, and is answered";
    "stale-read" Text StaleRead (1, 3, 35), SOON property("pipelining", KEEPS),
        "what is put is seen only when all that was read with it is answered";
    "state-confusion" Text StateConfusion (1, 4, 32), SOON fuzz("crash", 3_000),
        "a channel that was opened and closed is read from";
    "uninitialised" Text Uninitialised (3, 12, 90), SOON property("deterministic", READS),
        "a channel begins to count where the last one has ended";
    "utf8" Text Utf8 (1, 1, 80), LATE fuzz("panic", 6_000),
        "a name that is not UTF-8 is a panic that the process survives";
};

pub(crate) const SETTINGS: &[Setting] = &[
    Setting { name: "flaw", default: "none", about: "what is wrong with it: a name of the table in `docs/farm.md`" },
    Setting { name: "wire", default: "text", about: "what it speaks on streams: text or binary" },
];

pub(crate) fn make(setup: &Setup) -> Result<Arc<dyn Server>, SettingError> {
    let settings = &setup.settings;
    let wrong = |name: &'static str, known| SettingError::NotOneOf {
        name: name.into(),
        value: settings.text(name).into(),
        known,
    };
    let name = settings.text("flaw");
    let row = FLAWS.iter().find(|row| row.name == name);
    let row = row.ok_or_else(|| wrong("flaw", FLAWS.iter().map(|row| row.name).collect()))?;
    let wire = match settings.text("wire") {
        "binary" => Wire::Binary,
        "text" => Wire::Text,
        _ => return Err(wrong("wire", vec!["binary", "text"])),
    };
    Ok(Arc::new(Flawed { shared: Arc::new(Shared::new(row.flaw)), wire }))
}

struct Flawed {
    shared: Arc<Shared>,
    wire: Wire,
}

impl Server for Flawed {
    fn accept(&self, peer: &Peer) -> Box<dyn Service> {
        let shared = Arc::clone(&self.shared);
        match peer.transport.is_datagram() {
            true => Box::new(datagram::Datagram::new(shared, peer.address)),
            false => Box::new(session::Session::new(shared, self.wire, peer.number)),
        }
    }
}

#[cfg(test)]
mod tests;
