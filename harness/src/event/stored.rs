//! What is said of a stored case: how small it could be made, and what playing it again came to.

use serde::{Deserialize, Serialize};

/// What came of making a case smaller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reduced {
    /// What went wrong: `crash`, `hang`, `leak`, `panic`, `property`, `wrong-answer`.
    pub kind: String,
    /// Where and how.
    pub fingerprint: String,
    /// `deterministic`, `flaky` or `needs-history`.
    pub verdict: String,
    /// How often it fails, of a hundred plays.
    pub percent: u32,
    /// How many plays that took.
    pub replays: u64,
    /// How many of them were of a case that became the smallest.
    pub accepted: u64,
    /// How large it was.
    pub from: CaseSize,
    /// How large it is.
    pub to: CaseSize,
    /// What matters in what is sent, a line a step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matters: Vec<String>,
    /// Whether there was nothing left to try.
    pub complete: bool,
    /// Other failures that were met on the way: the files that hold them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

/// How large a case is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseSize {
    /// Connections that are opened.
    pub connections: u64,
    /// Messages that are sent.
    pub messages: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// What came of playing a stored case again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// `fixed`, `failed`, `flaky` or `error`.
    pub fate: String,
    /// How often it was played.
    pub plays: u32,
    /// How often it failed.
    pub failures: u32,
    /// What went wrong now: kind and fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// What went wrong when it was stored, where that was something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// That it is a known failure, or was: the issue and the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// What differs from the stored capture, a line an answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}
