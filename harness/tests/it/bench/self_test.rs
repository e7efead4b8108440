//! `harness bench --self-test`. How fast this machine is decides nothing here.

use std::fs;

use serde_json::Value;

use crate::run::{Folder, harness, ran};

#[test]
fn what_is_counted_is_exact_and_nothing_that_was_not_told_has_passed() {
    let folder = Folder::new();
    let ran = ran(harness(folder.path()).args(["bench", "--self-test", "--out", "out", "--seed", "1"]));
    let text = fs::read_to_string(folder.out().join("self-test.json")).expect("it is written");
    let checks: Vec<Value> = serde_json::from_str(&text).expect("it is JSON");
    let of = |found: &str| checks.iter().filter(|check| check["found"] == found).count();
    let counted: Vec<&Value> = checks.iter().filter(|check| check["is_of_time"] == false).collect();
    assert_eq!(counted.len(), 5, "{text}");
    counted.iter().for_each(|check| assert_eq!(check["found"], "ok", "{text}"));
    // What is timed may be anything on a machine that others use, but it says so.
    assert_eq!(of("ok") + of("not ok") + of("n/a"), checks.len(), "{text}");
    let has_why = |check: &&Value| check["why"].as_str().is_some_and(|why| why.starts_with("machine too busy: "));
    assert_eq!(checks.iter().filter(has_why).count(), of("n/a"), "{text}");
    let shown = ran.exits(i32::from(of("not ok") > 0)).stdout();
    assert_eq!(shown.lines().filter(|line| line.contains("stall: p")).count(), 2, "{shown}");
}

#[test]
fn a_self_test_takes_no_scenario() {
    let folder = Folder::with("");
    ran(harness(folder.path()).args(["bench", "s.toml", "--self-test"])).exits(2);
    ran(harness(folder.path()).args(["bench"])).exits(2).says("<SCENARIO>");
}
