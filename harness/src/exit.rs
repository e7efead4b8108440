//! The exit codes, which scripts rely on.

use crate::event::Summary;

/// How the process ends. Where several apply the worst wins: 70, 3, 5, 6, 1, 8, 7, 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything selected held.
    Held,
    /// Something did not.
    Failed,
    /// The command line is wrong.
    Usage,
    /// An input file is invalid.
    Invalid,
    /// Nothing was selected, or everything was skipped.
    Nothing,
    /// A target did not start or could not be reached.
    Unreachable,
    /// A target crashed or hung.
    Crashed,
    /// The run is incomplete.
    Incomplete,
    /// A bug in the harness, or a disk that takes no results.
    Bug,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Held => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Invalid => 3,
            Exit::Nothing => 4,
            Exit::Unreachable => 5,
            Exit::Crashed => 6,
            Exit::Incomplete => 9,
            Exit::Bug => 70,
        }
    }

    /// What a run's summary comes to.
    pub fn of(summary: &Summary) -> Exit {
        let counts = [
            (summary.invalid_files, Exit::Invalid),
            (summary.unreachable, Exit::Unreachable),
            (summary.crashed, Exit::Crashed),
            (summary.failed, Exit::Failed),
            (summary.interrupted, Exit::Incomplete),
        ];
        match counts.into_iter().find(|(count, _)| *count > 0) {
            Some((_, exit)) => exit,
            None if summary.passed + summary.expected_failures > 0 => Exit::Held,
            None => Exit::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins() {
        let all = Summary {
            passed: 1,
            failed: 1,
            crashed: 1,
            unreachable: 1,
            interrupted: 1,
            invalid_files: 1,
            ..Summary::default()
        };
        let mut summary = all;
        assert_eq!(Exit::of(&summary).code(), 3);
        summary.invalid_files = 0;
        assert_eq!(Exit::of(&summary).code(), 5);
        summary.unreachable = 0;
        assert_eq!(Exit::of(&summary).code(), 6);
        summary.crashed = 0;
        assert_eq!(Exit::of(&summary).code(), 1);
        summary.failed = 0;
        assert_eq!(Exit::of(&summary).code(), 9);
        summary.interrupted = 0;
        assert_eq!(Exit::of(&summary).code(), 0);
    }

    #[test]
    fn a_run_of_nothing_is_no_success() {
        assert_eq!(Exit::of(&Summary::default()), Exit::Nothing);
        assert_eq!(Exit::of(&Summary { skipped: 3, ..Summary::default() }), Exit::Nothing);
    }
}
