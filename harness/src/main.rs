//! The command line.

use std::process::ExitCode;

use harness::runner::process::{GUARD_COMMAND, guard_main};

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == GUARD_COMMAND) {
        return ExitCode::from(guard_main());
    }
    ExitCode::SUCCESS
}
