//! Why bytes are no message, and why values are none.

use std::fmt;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The message that it was most like, if any.
    pub message: Option<String>,
    /// The field, as `header.flags` or `topics[2].name`; empty for the message itself.
    pub path: String,
    /// At which byte.
    pub at: usize,
    /// What was expected there.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DecodeError { message, path, at, expected, found } = self;
        match (message, path.is_empty()) {
            (Some(message), true) => write!(f, "`{message}`: ")?,
            (Some(message), false) => write!(f, "`{message}.{path}`: ")?,
            (None, _) => {}
        }
        write!(f, "expected {expected} at byte {at}, found {found}")
    }
}

impl std::error::Error for DecodeError {}

/// Why values are no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// The field, as `header.flags`.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => f.write_str(&self.why),
            false => write!(f, "`{}`: {}", self.path, self.why),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Puts a field's name in front of a path.
pub(super) fn push_front(path: &mut String, name: &str) {
    if name.is_empty() {
        return;
    }
    let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
    path.insert_str(0, dot);
    path.insert_str(0, name);
}
