//! `harness merge`, as a user sees it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench/python.hlog");

fn merge(arguments: &[&str], out: &Path) -> Output {
    let mut command = Command::new(super::run::program());
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
    for (runs, code, message) in [
        (vec![LOG, run], 3, format!("error: `{run}` is a run, and others are none")),
        (vec![run], 3, format!("error: cannot read `{run}/events.ndjson`: expected `run_started` in line 1")),
        (vec!["nothing"], 3, "error: cannot add `nothing`: ".to_owned()),
    ] {
        let out = tempfile::tempdir().expect("there is room");
        let refused = merge(&runs, out.path());
        assert_eq!(refused.status.code(), Some(code), "{refused:?}");
        let talk = String::from_utf8(refused.stderr).expect("it is text");
        assert!(talk.contains(&message), "{talk}");
    }
    let refused = merge(&[run], folder.path());
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(fs::read(folder.path().join("events.ndjson")).expect("it is there"), b"", "what is read is not written");
}

/// A scenario of five cases, one of which fails, and its runs in `a` and `b`.
fn runs(folder: &Path, options: [&[&str]; 2]) {
    let cases = (0..5).map(|number| {
        let expected = if number == 3 { "other" } else { "hello" };
        format!("[[case]]\nname = \"{number}\"\nsteps = [{{ send = \"hello\" }}, {{ expect = \"{expected}\" }}]\n")
    });
    let text = format!("[target]\nbuiltin = \"tcp-echo\"\n{}", cases.collect::<String>());
    fs::write(folder.join("five.toml"), text).expect("there is room");
    for (out, options) in ["a", "b"].into_iter().zip(options) {
        let mut command = Command::new(super::run::program());
        command.current_dir(folder).args(["run", "five.toml", "--out", out, "-q"]).args(options);
        let code = command.output().expect("it starts").status.code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
    }
}

fn joined(folder: &Path, runs: &[&str]) -> (String, Vec<serde_json::Value>) {
    let runs: Vec<String> = runs.iter().map(|run| folder.join(run).to_string_lossy().into_owned()).collect();
    let out = folder.join("all");
    let joined = merge(&runs.iter().map(String::as_str).collect::<Vec<_>>(), &out);
    assert_eq!(joined.status.code(), Some(0), "{joined:?}");
    let stream = fs::read_to_string(out.join("events.ndjson")).expect("it was written");
    let events = stream.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    (String::from_utf8(joined.stdout).expect("it is text"), events)
}

#[test]
fn the_parts_of_a_plan_are_joined_with_what_they_recorded() {
    let folder = tempfile::tempdir().expect("there is room");
    runs(folder.path(), [&["--seed", "7", "--partition", "1/2"], &["--seed", "7", "--partition", "2/2"]]);
    let (told, events) = joined(folder.path(), &["a", "b/events.ndjson"]);
    assert!(told.contains("five: 3"), "{told}");
    assert!(told.contains("5 cases: 4 passed, 1 failed"), "{told}");
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    assert_eq!((events.first(), events.last()), (Some(of("run_started")[0]), Some(of("run_finished")[0])));
    assert_eq!(of("run_finished")[0]["exit_code"], 1);
    assert_eq!(of("run_started")[0]["seed"], 7);
    assert!(of("warning").is_empty(), "{:?}", of("warning"));
    let finished = of("case_finished");
    let mut numbers: Vec<u64> = finished.iter().filter_map(|event| event["case"].as_u64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    let ends: Vec<u64> = finished.iter().filter_map(|event| event["at_ns"].as_u64()).collect();
    assert!(ends.is_sorted(), "{ends:?}");
    // A step begins within its case.
    for case in 0..5 {
        let of_case = events.iter().filter(|event| event["case"] == case).collect::<Vec<_>>();
        let span = of_case[0]["at_ns"].as_u64()..=of_case.last().expect("it ended")["at_ns"].as_u64();
        let starts = of_case.iter().filter_map(|event| event.get("started_ns"));
        assert_eq!(starts.filter(|start| span.contains(&start.as_u64())).count(), 2, "{of_case:?}");
    }
    for event in finished {
        let capture = event["capture"].as_str().expect("each has one");
        assert!(folder.path().join("all").join(capture).is_file(), "{capture}");
    }
    let junit = fs::read_to_string(folder.path().join("all/junit.xml")).expect("it was written");
    assert!(junit.contains(r#"tests="5""#), "{junit}");
}

#[test]
fn runs_of_the_same_cases_keep_their_captures_apart() {
    let folder = tempfile::tempdir().expect("there is room");
    runs(folder.path(), [&["--seed", "1"], &["--seed", "2"]]);
    let (told, events) = joined(folder.path(), &["a", "b"]);
    assert!(told.contains("10 cases: 8 passed, 2 failed"), "{told}");
    assert!(told.contains("the runs have seeds of their own: 1, 2"), "{told}");
    let captures: std::collections::HashSet<_> = events.iter().filter_map(|event| event["capture"].as_str()).collect();
    assert_eq!(captures.len(), 10, "{captures:?}");
    assert!(captures.contains("captures/five/3-2.pcapng"), "{captures:?}");
}

#[test]
fn a_stream_names_no_file_outside_of_its_folder() {
    let folder = tempfile::tempdir().expect("there is room");
    runs(folder.path(), [&[], &[]]);
    let stream = fs::read_to_string(folder.path().join("a/events.ndjson")).expect("it was written");
    fs::write(folder.path().join("secret"), "secret").expect("there is room");
    let stream = stream.replace("captures/five/3.pcapng", "../secret").replace("captures/five/1.pcapng", "gone");
    // What was killed has no end.
    let cut = &stream[..stream.trim_end().rfind('\n').expect("there are lines") + 10];
    fs::write(folder.path().join("a/events.ndjson"), cut).expect("there is room");
    let (_, events) = joined(folder.path(), &["a"]);
    let captures: Vec<_> = events.iter().filter_map(|event| event["capture"].as_str()).collect();
    assert_eq!(captures.len(), 3, "{captures:?}");
    assert!(captures.iter().all(|capture| capture.starts_with("captures/")), "{captures:?}");
    // The failure is worse than the end that is missing.
    assert_eq!(events.last().map(|event| &event["exit_code"]), Some(&serde_json::json!(1)));
}
