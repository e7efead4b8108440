//! `harness bench --self-test`: whether this program tells the truth on this machine.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::args::{BenchArgs, Report, settings};
use super::make_folder;
use crate::bench::plan::Load;
use crate::bench::self_test::{Check, Found, SCENARIO, run};
use crate::bench::session::{Session, SessionError, Settings};
use crate::bench::show;
use crate::cli::{Talk, complain};
use crate::exit::Exit;
use crate::report::{Look, Output};
use crate::runner::Clock;
use crate::runner::process::Guard;
use crate::scenario::{Known, Scenario, load};

/// The checks, for programs.
const FILE: &str = "self-test.json";

/// Measures everything that is known, and gives the exit code.
pub(super) fn self_test(args: &BenchArgs, talk: Talk, clock: Clock, seed: u64) -> u8 {
    let scenario = load("self-test", SCENARIO, &Known { seed, ..Known::default() }).expect("it stands in this program");
    let folder = match make_folder(args, &[(PathBuf::from("self-test"), true)], clock) {
        Ok(folder) => folder,
        Err(exit) => return exit,
    };
    let guard = match Guard::of_this_program(format!("{}-{}", std::process::id(), clock.unix_ns())) {
        Ok(guard) => guard,
        Err(error) => return complain(&format!("cannot find this program: {error}"), None, Exit::Bug),
    };
    let asked = settings(args, seed, &folder);
    let load = Load { warmup: Duration::ZERO, verify: true, ..asked.load };
    // One that is rehearsed alone is held back by `reorder`; longer than that, and no machine takes so long.
    let settings = Settings { load, floor: false, timeout: Some(Duration::from_secs(10)), ..asked };
    let look = Look::of(&std::io::stdout(), talk.color());
    let mut stdout = anstream::AutoStream::new(std::io::stdout(), crate::cli::check::look_choice(talk));
    let is_shown = args.report == Report::Human;
    if is_shown {
        let _ = write!(stdout, "{}", show::check_heads(look)); // nobody may be reading
    }
    let mut tell = |check: &Check| {
        if is_shown {
            let _ = write!(stdout, "{}", show::check(check, look));
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}"), None, Exit::Bug),
    };
    let measured =
        tokio::task::LocalSet::new().block_on(&runtime, measure(&scenario, settings, guard, seed, &mut tell));
    runtime.shutdown_background();
    let checks = match measured {
        Ok(checks) => checks,
        Err(SessionError::Interrupted) => return complain("interrupted", None, Exit::Incomplete),
        Err(error) => return complain(&error.to_string(), None, Exit::Failed),
    };
    let text = serde_json::to_string_pretty(&checks).expect("checks are data") + "\n";
    let _ = match is_shown {
        true => write!(stdout, "{}", show::checked(&checks, look)),
        false => write!(stdout, "{text}"),
    };
    if let Err(error) = Output::File(folder.join(FILE)).write_whole(text.as_bytes()) {
        return complain(&format!("not all results could be written: {error}"), None, Exit::Bug);
    }
    match checks.iter().any(|check| check.found == Found::Wrong) {
        true => Exit::Failed.code(),
        false => Exit::Held.code(),
    }
}

async fn measure(
    scenario: &Scenario,
    settings: Settings,
    guard: Guard,
    seed: u64,
    tell: &mut dyn FnMut(&Check),
) -> Result<Vec<Check>, SessionError> {
    let session = Session::start(scenario, settings, guard).await?;
    let stop = Arc::clone(&session.stop);
    let interrupts = tokio::task::spawn_local(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            // Whoever presses it again does not want to wait.
            if stop.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        }
    });
    let checks = run(&session, scenario, seed, tell).await;
    interrupts.abort();
    session.finish().await;
    checks
}
