//! The `harness` command.

use std::process::ExitCode;

use clap::Parser;
use harness::cli::serve::{ServeArgs, serve};

/// A network protocol test harness and fuzzing toolkit
#[derive(Parser)]
#[command(version)]
enum Cli {
    /// Start a reference server
    Serve(ServeArgs),
}

fn main() -> ExitCode {
    match Cli::parse() {
        Cli::Serve(args) => serve(&args),
    }
    .into()
}
