//! `harness bench`: latency and load.
//!
//! `args` is what it is given; `run` is one benchmark from the start of its targets to its exit code; `compare` are two that
//! are measured in turn; `self_test` measures the tool.

mod args;
mod compare;
mod run;
mod self_test;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(super) use self::args::BenchArgs;
use self::args::{Due, Sweep, recorded, settings};
use self::compare::{Other, variant};
use self::run::Run;
use self::self_test::self_test;
use super::{Command, Talk, complain, files, folder, presets};
use crate::bench::files::HLOG;
use crate::bench::hlog::Log;
use crate::bench::merge::{MergeError, read_log};
use crate::bench::modes::{Load, Wanted};
use crate::bench::schedule::Arrivals;
use crate::exit::Exit;
use crate::runner::Clock;
use crate::runner::process::Guard;
use crate::scenario::Known;

pub(super) fn bench(args: &BenchArgs, talk: Talk, words: &[OsString]) -> u8 {
    let clock = Clock::start();
    let seed = args.seed.unwrap_or_else(|| clock.unix_ns() % 1_000_000_007);
    if args.self_test {
        return self_test(args, talk, clock, seed);
    }
    let path = args.path();
    if path.is_dir() {
        let message = format!("`{}` is a folder, and one scenario is measured at a time", path.display());
        return complain(&message, None, Exit::Usage);
    }
    let found = vec![(path.to_owned(), true)];
    let known = Known {
        vars: args.var.clone(),
        env: files::environment(),
        seed,
        read: Some(crate::document::read_text),
        ..Known::default()
    };
    let loaded = files::load_all(&found, &known).remove(0);
    let scenario = match loaded.result {
        Ok(scenario) => scenario,
        Err(mistakes) => return super::check::tell_mistakes(&mistakes, talk),
    };
    // What the file says comes first, so that the command line wins.
    let args = match presets::parse("bench", &scenario.presets, words, talk) {
        Ok(Command::Bench(args)) => args,
        Ok(_) => unreachable!("it was this command before"),
        Err(code) => return code,
    };
    let folder = match make_folder(&args, &found, clock) {
        Ok(folder) => folder,
        Err(exit) => return exit,
    };
    let guard = match Guard::of_this_program(format!("{}-{}", std::process::id(), clock.unix_ns())) {
        Ok(guard) => guard,
        Err(error) => return complain(&format!("cannot find this program: {error}"), None, Exit::Bug),
    };
    let arrivals = match &args.arrivals {
        Due::Known(arrivals) => arrivals.clone(),
        Due::Recorded(file) => match recorded(file) {
            Ok(offsets) => Arrivals::Recorded(offsets),
            Err(message) => return complain(&message, None, Exit::Invalid),
        },
    };
    let baseline = match args.baseline.as_deref().map(|path| (path, read_baseline(path))) {
        None => None,
        Some((_, Ok(log))) => Some(log),
        Some((path, Err(error))) => {
            let message = format!("cannot compare with `{}`: {error}", path.display());
            return complain(&message, None, Exit::Invalid);
        }
    };
    let load = match (&args.find, &args.sweep, args.ramp, args.rate) {
        (Some(objective), ..) => Load::Find(objective.clone()),
        (_, Some(Sweep(rates)), ..) => Load::Sweep(rates.clone()),
        (_, _, Some((low, high)), _) => Load::Ramp(low, high),
        (_, _, _, Some(rate)) => Load::Open(rate),
        _ if matches!(arrivals, Arrivals::Recorded(_)) => Load::Recorded,
        _ => Load::Closed,
    };
    let mut settings = settings(&args, seed, &folder);
    let mut scenario = *scenario;
    let sides = match args.compare.as_slice() {
        [first, second] => Some([first.clone(), second.clone()]),
        _ if args.aa => Some([String::new(), String::new()]),
        _ => None,
    };
    let mut other = None;
    if let Some(sides) = sides {
        let mut made = Vec::new();
        for side in &sides {
            match variant(&args, &known, &settings, side) {
                Ok(variant) => made.push(variant),
                Err(message) => {
                    return complain(
                        &message,
                        Some("`--compare A B`: a URL, NAME=URL or NAME=VALUE each"),
                        Exit::Usage,
                    );
                }
            }
        }
        let name = |side: &str| if side.is_empty() { "the same".to_owned() } else { side.to_owned() };
        let names = [name(&sides[0]), name(&sides[1])];
        let (second, second_settings) = made.pop().expect("there are two");
        (scenario, settings) = made.pop().expect("there are two");
        other = Some(Other { scenario: second, settings: second_settings, names });
    }
    let run = Run {
        other,
        is_aa: args.aa,
        scenario,
        load,
        baseline,
        wanted: Wanted { arrivals, thresholds: args.threshold.clone() },
        settings,
        filter: args.filter.clone(),
        command: words.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        report: args.report,
        folder,
        clock,
        seed,
        talk,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}"), None, Exit::Bug),
    };
    let exit = tokio::task::LocalSet::new().block_on(&runtime, run.play(guard));
    runtime.shutdown_background();
    exit.code()
}

/// The histograms of an earlier benchmark, by its folder or its log.
fn read_baseline(path: &Path) -> Result<Log, MergeError> {
    read_log(&if path.is_dir() { path.join(HLOG) } else { path.to_owned() })
}

/// Where results go, or the exit code.
fn make_folder(args: &BenchArgs, found: &[(PathBuf, bool)], clock: Clock) -> Result<PathBuf, u8> {
    folder::make(args.out.as_deref(), &[], found, clock).map_err(|error| {
        let folder = args.out.as_deref().unwrap_or(Path::new(folder::REPORTS));
        let message = format!("cannot make the folder `{}`: {error}", folder.display());
        complain(&message, Some("`--out` names another"), Exit::Bug)
    })
}
