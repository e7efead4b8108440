//! `harness merge`, as a user sees it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench/python.hlog");

fn merge(arguments: &[&str], out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    command.arg("merge").args(arguments).arg("--out").arg(out).env("NO_COLOR", "1");
    command.output().expect("it starts")
}

#[test]
fn logs_of_another_tool_are_added() {
    let folder = tempfile::tempdir().expect("there is room");
    let added = merge(&[LOG, LOG], folder.path());
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    let shown = String::from_utf8(added.stdout).expect("it is text");
    assert!(shown.contains("(no tag)"), "{shown}");
    let text = fs::read(folder.path().join("bench.hlog")).expect("it was written");
    let log = harness::bench::hlog::read(&text[..]).expect("it is a log");
    let counts = log.lines.iter().map(|line| line.histogram.histogram().len());
    assert_eq!(counts.collect::<Vec<_>>(), [2000, 4]);
}

#[test]
fn what_cannot_be_added_is_named() {
    let folder = tempfile::tempdir().expect("there is room");
    fs::write(folder.path().join("events.ndjson"), "").expect("there is room");
    let run = folder.path().to_str().expect("it is text");
    let refused = merge(&[LOG, run], &folder.path().join("out"));
    assert_eq!(refused.status.code(), Some(3));
    let talk = String::from_utf8(refused.stderr).expect("it is text");
    assert!(talk.contains(&format!("error: cannot add `{run}`: ")), "{talk}");
    assert!(talk.contains("hint: only benchmarks are added so far, not the runs of `harness run`"), "{talk}");
    assert!(!folder.path().join("out").exists());
}
