//! What is said of a case when it begins and when it ends, and of all of them at the end of a run.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Place;

/// What is known when a case begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseStarted {
    /// The scenario's name.
    pub scenario: String,
    /// The case's name, with `#2`, `#3`, … for repetitions.
    pub name: String,
    /// The file it stands in, as it was named on the command line.
    pub file: String,
    /// The line where the case begins, from 1.
    pub line: u32,
    /// Which time it is played, from 1: what does not hold is played again, if `--retries` says so.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub attempt: u32,
    /// Its tags and its file's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Clauses of a specification that it checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spec: Vec<String>,
    /// All its steps, those inside `repeat` once, in the order of the file.
    pub steps: Vec<StepInfo>,
}

/// The number of a case's first attempt.
fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_first(attempt: &u32) -> bool {
    *attempt == first()
}

/// One step of a case, as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepInfo {
    /// Where it stands.
    pub place: Place,
    /// Who acts.
    pub actor: Arc<str>,
    /// `send`, `expect`, …
    pub verb: String,
    /// Where the fragment that it stands in is used, the innermost use first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<Place>,
    /// The author's `note`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseFinished {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, where the verdict alone does not say it: the reason of a skip, the failure's first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long it took.
    pub duration_ns: u64,
    /// Its capture, relative to the run's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<String>,
    /// The frame in the capture that shows the failure, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
    /// The command that plays this case alone with the same seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproduce: Option<String>,
}

/// What is said of a case in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything held.
    Passed,
    /// A step did not hold.
    Failed,
    /// The target crashed while it was in use.
    Crashed,
    /// The target did not start or could not be reached.
    Unreachable,
    /// It failed, as `xfail` said it would.
    ExpectedFailure,
    /// It held although `xfail` said it would not.
    UnexpectedPass,
    /// It did not hold at first, and held when it was played again.
    Flaky,
    /// It did not hold, and is played again: no case ends with this, only an attempt.
    Retried,
    /// It was not played.
    Skipped,
    /// The run ended before it did.
    Interrupted,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Cases with [`Verdict::Passed`].
    pub passed: u64,
    /// Cases with [`Verdict::Failed`] or [`Verdict::UnexpectedPass`].
    pub failed: u64,
    /// Cases with [`Verdict::Crashed`].
    pub crashed: u64,
    /// Cases with [`Verdict::Unreachable`].
    pub unreachable: u64,
    /// Cases with [`Verdict::ExpectedFailure`].
    pub expected_failures: u64,
    /// Cases with [`Verdict::Flaky`].
    #[serde(default)]
    pub flaky: u64,
    /// Cases with [`Verdict::Skipped`].
    pub skipped: u64,
    /// Cases with [`Verdict::Interrupted`], and those that were never begun.
    pub interrupted: u64,
    /// Files that were not valid.
    pub invalid_files: u64,
    /// How long the run took.
    pub duration_ns: u64,
}

impl Verdict {
    /// Its name, as the stream has it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Crashed => "crashed",
            Verdict::Unreachable => "unreachable",
            Verdict::ExpectedFailure => "expected_failure",
            Verdict::UnexpectedPass => "unexpected_pass",
            Verdict::Flaky => "flaky",
            Verdict::Retried => "retried",
            Verdict::Skipped => "skipped",
            Verdict::Interrupted => "interrupted",
        }
    }

    /// Whether nothing is wrong with the case in the end.
    pub fn is_good(self) -> bool {
        matches!(self, Verdict::Passed | Verdict::ExpectedFailure | Verdict::Flaky | Verdict::Skipped)
    }
}

impl Summary {
    /// How many cases were planned, whatever became of them.
    pub fn cases(&self) -> u64 {
        let held = [self.passed, self.expected_failures, self.flaky, self.skipped];
        let rest = [self.failed, self.crashed, self.unreachable, self.interrupted];
        held.iter().chain(&rest).fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Adds what came of another run; the time that both took is not known from that.
    pub fn add(&mut self, other: &Summary) {
        let Summary { passed, failed, crashed, unreachable, expected_failures, flaky, skipped, interrupted, .. } =
            other;
        for (sum, more) in [
            (&mut self.passed, passed),
            (&mut self.failed, failed),
            (&mut self.crashed, crashed),
            (&mut self.unreachable, unreachable),
            (&mut self.expected_failures, expected_failures),
            (&mut self.flaky, flaky),
            (&mut self.skipped, skipped),
            (&mut self.interrupted, interrupted),
            (&mut self.invalid_files, &other.invalid_files),
        ] {
            *sum = sum.saturating_add(*more);
        }
    }

    /// Counts one case; an attempt that is not the last one is none.
    pub fn count(&mut self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Passed => &mut self.passed,
            Verdict::Failed | Verdict::UnexpectedPass => &mut self.failed,
            Verdict::Crashed => &mut self.crashed,
            Verdict::Unreachable => &mut self.unreachable,
            Verdict::ExpectedFailure => &mut self.expected_failures,
            Verdict::Flaky => &mut self.flaky,
            Verdict::Retried => return,
            Verdict::Skipped => &mut self.skipped,
            Verdict::Interrupted => &mut self.interrupted,
        };
        *counter += 1;
    }
}
