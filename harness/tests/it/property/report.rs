//! `harness prop` on the command line: what it tells people, and what it tells programs.

use std::fs;

use crate::run::{harness, ran};

/// A server of values, with a model that says what is kept.
const KV: &str = r#"
[target]
builtin = "kv"

[actor.client]
connect = "target"
protocol = "kv"

[[case]]
name = "keeps"
steps = [
  { send = { put = { id = 7, key = "colour", data = "blue" } } },
  { expect = { stored = { id = 7 } } },
]

[model]
start = "any"

[model.transition.delete]
with = { key = ["", "nobody"] }
steps = [{ send = { delete = { id = 1, key = "${key}" } } }, { expect = { deleted = { id = 1 } } }]
"#;

#[test]
fn each_property_is_a_case_for_those_who_read_a_report() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("kv.toml"), KV).expect("it is written");
    let args = ["prop", "kv.toml", "--property", "chunking,duplicate", "--cases", "4", "--seed", "7"];
    let told = ran(harness(folder.path()).args(args).args(["--report", "tap", "--out", "out"])).exits(0).stdout();
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("keeps: ")).collect();
    assert!(matches!(lines[..], [held, skipped] if held.starts_with("ok 1") && skipped.contains("# SKIP")), "{told}");
    let junit = fs::read_to_string(folder.path().join("out/junit.xml")).expect("it is there");
    assert!(junit.contains(r#"tests="2""#) && junit.contains(r#"name="keeps: chunking""#), "{junit}");
    // What is left there is a run as any other.
    let again = ran(harness(folder.path()).args(["report", "out", "--report", "tap"])).exits(0).stdout();
    assert!(again.contains("keeps: duplicate # SKIP"), "{again}");
}

#[test]
fn a_model_is_walked_through_without_being_asked_for_and_what_fails_is_an_event() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("kv.toml"), format!("{KV}[properties]\nchunking = true\n")).expect("it is written");
    let args = ["prop", "kv.toml", "--cases", "4", "--seed", "7", "--report", "human,json"];
    let ran = ran(harness(folder.path()).args(args)).exits(1).says("held      chunking").says("violated  model");
    let told = ran.stdout();
    let of_model = told.lines().find(|line| line.contains("step_failed")).expect("it fails");
    assert!(
        of_model.contains("should hold: in each state") && of_model.contains("`harness run cases/model/"),
        "{told}"
    );
    let last = told.lines().last().expect("it ends");
    assert!(last.contains(r#""exit_code":1"#) && last.contains(r#""passed":1,"failed":1"#), "{last}");
}
