//! What did not hold, or is wrong in a file, and where.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::data;

/// Why a step did not hold, in parts, so that every reporter can lay it out its own way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// One line: lowercase, no full stop, expected before received.
    pub message: String,
    /// Where the step stands in the scenario.
    pub place: Place,
    /// The connection that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<u32>,
    /// What was expected, in words: `exactly 6 bytes`, `a match of the regex …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The exact bytes that were expected, where the expectation is one of bytes.
    #[serde(default, with = "data::option", skip_serializing_if = "Option::is_none")]
    pub expected_bytes: Option<Bytes>,
    /// The bytes that the step looked at.
    #[serde(default, with = "data::option", skip_serializing_if = "Option::is_none")]
    pub received: Option<Bytes>,
    /// The first byte of `received` that shows the difference; it may be its length, where bytes are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference_at: Option<u64>,
    /// More lines: which deadline it was and where it was set, which repetition, what else had arrived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of which no more is known.
    pub fn new(kind: FailureKind, message: impl Into<String>, place: Place) -> Failure {
        Failure {
            kind,
            message: message.into(),
            place,
            connection: None,
            expected: None,
            expected_bytes: None,
            received: None,
            difference_at: None,
            notes: Vec::new(),
            hint: None,
        }
    }
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The peer ended the connection too early, or did not end it.
    Closed,
    /// A command or a process did not do what a step wanted.
    Command,
    /// The target crashed.
    Crash,
    /// Actors wait for each other, or for what nobody will bring.
    Deadlock,
    /// A limit of the harness was reached.
    Limit,
    /// Bytes arrived that nobody asked for.
    Leftover,
    /// What arrived is not what was expected.
    Mismatch,
    /// Nobody listens there.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The step cannot be done: not connected, a variable without a value, a number that is none.
    Script,
    /// The system refused a read or a write.
    System,
    /// A target used more than its `limits` allow.
    TargetLimit,
    /// A deadline passed.
    Timeout,
    /// A TLS handshake, or what TLS carries, failed.
    Tls,
    /// It held although it should not have.
    UnexpectedPass,
}

/// A mistake in an input file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// One line: lowercase, no full stop.
    pub message: String,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file, as it was named on the command line.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// How many characters of the line it covers, at least 1.
    pub width: u32,
    /// The line's text.
    pub text: Arc<str>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
