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
    /// A target crashed.
    Crashed,
    /// Everything held in the end, but not all of it at once, and that is not good enough.
    Flaky,
    /// A benchmark fell behind its baseline.
    Behind,
    /// The run is incomplete.
    Incomplete,
    /// A bug in the harness, or a disk that takes no results.
    Bug,
}

/// What a case that held at a later attempt counts as: `--flaky`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Flaky {
    /// As one that held
    #[default]
    Pass,
    /// As one that did not, with an exit code of its own
    Fail,
}

/// What is not as it should be, the worst first.
const WORST_FIRST: [Exit; 8] = [
    Exit::Bug,
    Exit::Invalid,
    Exit::Unreachable,
    Exit::Crashed,
    Exit::Failed,
    Exit::Behind,
    Exit::Flaky,
    Exit::Incomplete,
];

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
            Exit::Flaky => 7,
            Exit::Behind => 8,
            Exit::Incomplete => 9,
            Exit::Bug => 70,
        }
    }

    /// The worse of two; what is told of a command line, or of nothing, is not worse than anything.
    pub fn worse(self, other: Exit) -> Exit {
        WORST_FIRST.into_iter().find(|exit| [self, other].contains(exit)).unwrap_or(self)
    }

    /// What a number stands for that tells of something amiss.
    pub fn of_code(code: u8) -> Option<Exit> {
        WORST_FIRST.into_iter().find(|exit| exit.code() == code)
    }

    /// What a run's summary comes to.
    pub fn of(summary: &Summary, flaky: Flaky) -> Exit {
        let flaky = if flaky == Flaky::Fail { summary.flaky } else { 0 };
        let counts = [
            (summary.invalid_files, Exit::Invalid),
            (summary.unreachable, Exit::Unreachable),
            (summary.crashed, Exit::Crashed),
            (summary.failed, Exit::Failed),
            (flaky, Exit::Flaky),
            (summary.interrupted, Exit::Incomplete),
        ];
        match counts.into_iter().find(|(count, _)| *count > 0) {
            Some((_, exit)) => exit,
            None if summary.passed + summary.expected_failures + summary.flaky > 0 => Exit::Held,
            None => Exit::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A summary with one case of each kind whose bit is set.
    fn summary(bits: u32) -> Summary {
        let count = |bit: u32| u64::from(bits >> bit & 1);
        Summary {
            passed: count(0),
            expected_failures: count(1),
            skipped: count(2),
            flaky: count(3),
            interrupted: count(4),
            failed: count(5),
            crashed: count(6),
            unreachable: count(7),
            invalid_files: count(8),
            duration_ns: 0,
        }
    }

    #[test]
    fn the_worst_wins_in_every_combination() {
        for bits in 0..1 << 9 {
            for flaky in [Flaky::Pass, Flaky::Fail] {
                // The highest bit is the worst; what held says only that there was something.
                let expected = match bits >> 3 {
                    0b10_0000.. => 3,
                    0b01_0000.. => 5,
                    0b00_1000.. => 6,
                    0b00_0100.. => 1,
                    rest if rest & 1 == 1 && flaky == Flaky::Fail => 7,
                    0b00_0010.. => 9,
                    1 => 0,
                    _ if bits & 0b11 > 0 => 0,
                    _ => 4,
                };
                assert_eq!(Exit::of(&summary(bits), flaky).code(), expected, "{:?} {flaky:?}", summary(bits));
            }
        }
    }

    #[test]
    fn a_run_of_nothing_is_no_success() {
        assert_eq!(Exit::of(&Summary::default(), Flaky::Pass), Exit::Nothing);
        assert_eq!(Exit::of(&Summary { skipped: 3, ..Summary::default() }, Flaky::Pass), Exit::Nothing);
    }
}
