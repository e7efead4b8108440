//! `harness merge`: benchmarks of several machines as one.

#![expect(clippy::disallowed_methods, reason = "the folder of the sum is made here")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Talk, complain, join, print};
use crate::bench::files::{self, HLOG, JSON};
use crate::bench::{hlog, merge, show};
use crate::exit::Exit;
use crate::report::{Look, Output};

/// What `harness merge` is given.
#[derive(Clone, Debug, Args)]
pub(super) struct MergeArgs {
    /// Folders of runs, or of benchmarks; or logs of histograms (`.hlog`), by whatever tool
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Put the sum exactly there
    #[arg(long, value_name = "DIR", env = "HARNESS_OUT")]
    out: PathBuf,
}

pub(super) fn merge(args: &MergeArgs, talk: Talk, words: &[OsString]) -> u8 {
    // What is written would replace what is read.
    if let Ok(out) = args.out.canonicalize()
        && let Some(run) = args.runs.iter().find(|run| run.canonicalize().is_ok_and(|run| run.starts_with(&out)))
    {
        let message = format!("`{}` lies in `{}`, where the sum would be written", run.display(), args.out.display());
        return complain(&message, Some("`--out` names a folder of its own"), Exit::Usage);
    }
    let command: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let runs: Vec<&Path> =
        args.runs.iter().filter(|path| !path.join(JSON).is_file()).filter_map(|path| join::run_of(path)).collect();
    if runs.len() == args.runs.len() {
        return join::runs(&runs, &args.out, talk, command);
    }
    if let Some(run) = runs.first() {
        let message = format!("`{}` is a run, and others are none", run.display());
        return complain(&message, Some("runs are joined with runs, and benchmarks with benchmarks"), Exit::Invalid);
    }
    benchmarks(args, talk, &command)
}

/// Adds up benchmarks.
fn benchmarks(args: &MergeArgs, talk: Talk, command: &[String]) -> u8 {
    let refused =
        |path: &Path, why: String| complain(&format!("cannot add `{}`: {why}", path.display()), None, Exit::Invalid);
    let look = Look::of(&std::io::stdout(), talk.color());
    // Where there is only a log there is nothing that a figure could be told of but its histograms.
    let has_all = |path: &PathBuf| path.is_dir() && path.join(JSON).is_file();
    let written = if args.runs.iter().all(has_all) {
        let mut sum = merge::Sum::default();
        for path in &args.runs {
            if let Err(error) = merge::read(path).and_then(|(bench, log)| sum.add(bench, log)) {
                return refused(path, error.to_string());
            }
        }
        let merged = match sum.finish(command) {
            Ok(merged) => merged.expect("there is at least one"),
            Err(error) => return complain(&error.to_string(), None, Exit::Invalid),
        };
        if !talk.quiet && print(show::bench(&merged.bench, look).as_bytes()) != Exit::Held.code() {
            return Exit::Bug.code();
        }
        let measured: Vec<_> = merged.measured.iter().collect();
        fs::create_dir_all(&args.out).and_then(|()| files::write(&args.out, &merged.bench, &measured).map(drop))
    } else {
        let mut logs = Vec::new();
        for path in &args.runs {
            let file = if path.is_dir() { path.join(HLOG) } else { path.clone() };
            match merge::read_log(&file) {
                Ok(log) => logs.push(log),
                Err(error) => return refused(path, error.to_string()),
            }
        }
        let mut text = Vec::new();
        match merge::logs(&logs) {
            Ok(log) => {
                hlog::write(&log, &mut text).expect("a vector takes everything");
                let page = show::series(&merge::totals(&log), look);
                if !talk.quiet && print(page.as_bytes()) != Exit::Held.code() {
                    return Exit::Bug.code();
                }
            }
            Err(error) => return complain(&error.to_string(), None, Exit::Invalid),
        }
        fs::create_dir_all(&args.out).and_then(|()| Output::File(args.out.join(HLOG)).write_whole(&text))
    };
    match written {
        Ok(()) => Exit::Held.code(),
        Err(error) => complain(&format!("cannot write to `{}`: {error}", args.out.display()), None, Exit::Bug),
    }
}
