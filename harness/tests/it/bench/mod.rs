//! `harness bench`, as its user sees it.
//!
//! No test asks how fast anything is: only whether what was counted is right.

mod actors;
mod baseline;
mod bulk;
mod datagrams;
mod engine;
mod self_test;
mod stamps;
mod starttls;

use std::fs;

use serde_json::Value;

use crate::run::{Folder, Ran, harness, ran};

const ECHO: &str = "[target]\nbuiltin = \"tcp-echo\"\n";

/// Runs `harness bench` on a scenario, for a given number of iterations unless it says otherwise.
fn bench(folder: &Folder, args: &[&str]) -> Ran {
    let mut command = harness(folder.path());
    command.args(["bench", "s.toml", "--out", "out", "--no-floor", "--warmup", "0s", "--pin", "free"]);
    ran(command.args(args))
}

/// What bench.json has of the only result.
fn result(folder: &Folder) -> Value {
    let text = fs::read_to_string(folder.out().join("bench.json")).expect("it is written");
    let bench: Value = serde_json::from_str(&text).expect("it is JSON");
    let results = bench["results"].as_array().expect("there are results");
    assert_eq!(results.len(), 1, "{text}");
    results[0].clone()
}

fn case(steps: &str) -> String {
    format!("[[case]]\nname = \"c\"\nsteps = [{steps}]\n")
}

#[test]
fn every_iteration_is_counted_and_every_byte() {
    let folder = Folder::with(&format!("{ECHO}{}", case("{ send = \"hello\" }, { expect = \"hello\" }")));
    bench(&folder, &["--iterations", "1000"]).exits(0);
    let result = result(&folder);
    assert_eq!(result["counts"]["iterations"], 1000);
    assert_eq!(result["counts"]["bytes_sent"], 5000);
    assert_eq!(result["counts"]["bytes_received"], 5000);
    assert_eq!(result["latency_ns"]["count"], 1000);
    assert_eq!(result["failed"], 0);
}

#[test]
fn iterations_are_shared_by_connections_depth_and_threads() {
    let folder = Folder::with(&format!("{ECHO}{}", case("{ send = \"hello\" }, { expect = \"hello\" }")));
    bench(&folder, &["--iterations", "1000", "-c", "7", "--depth", "3", "--threads", "2"]).exits(0);
    let counts = result(&folder)["counts"].clone();
    // A closed loop ends when each thread has begun its share; what is under way is waited for.
    assert_eq!((counts["iterations"].as_u64(), counts["mismatches"].as_u64()), (Some(1000), Some(0)), "{counts}");
}

#[test]
fn a_wrong_answer_is_told_in_words_before_anything_is_measured() {
    let folder = Folder::with(&format!("{ECHO}{}", case("{ send = \"hello\" }, { expect = \"world\" }")));
    let ran = bench(&folder, &["--duration", "100ms"]).exits(1);
    ran.says("it does not hold even once: expected `world`, got `hello`").says("harness run s.toml");
}

#[test]
fn a_wrong_answer_under_load_makes_the_exit_code() {
    let server = "import socket, sys\ns = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\nn = 0\nwhile True:\n  c, _ = s.accept()\n  while c.recv(1):\n    n += 1\n    c.sendall(b\"x\" if n % 100 else b\"y\")\n";
    let target = format!("[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\"]\n");
    let folder = Folder::with(&format!("{target}{}", case("{ send = \"a\" }, { expect = \"x\" }")));
    bench(&folder, &["--iterations", "300"]).exits(1);
    let result = result(&folder);
    assert_eq!(result["failures"][0], "expected `x`, got `y`");
    assert!(result["counts"]["mismatches"].as_u64() >= Some(2), "{result}");
}

#[test]
fn unverified_answers_only_have_to_come() {
    let folder = Folder::with(&format!(
        "[target]\nbuiltin = \"tcp-echo\"\n[actor.client]\nconnect = \"target\"\nframing = \"line\"\n{}",
        case("{ send = \"${iteration}\" }, { expect = { regex = \"[0-9]+\" } }")
    ));
    bench(&folder, &["--iterations", "50", "--no-verify"]).exits(0);
    assert_eq!(result(&folder)["verify"], false);
}

#[test]
fn an_open_loop_begins_as_many_as_it_was_told() {
    let folder = Folder::with(&format!("{ECHO}{}", case("{ send = \"hello\" }, { expect = \"hello\" }")));
    bench(&folder, &["--rate", "500", "--duration", "400ms", "-c", "4"]);
    let result = result(&folder);
    assert_eq!(result["counts"]["begun"], 200);
    assert_eq!(result["counts"]["iterations"], 200);
    assert_eq!((&result["mode"], &result["asked_per_s"]), (&"open".into(), &500.0.into()));
}

#[test]
fn a_case_that_ends_its_connection_gets_one_for_each_iteration() {
    let steps = "{ send = \"hello\" }, { shutdown = \"write\" }, { expect = \"hello\" }, { expect_eof = true }";
    let folder = Folder::with(&format!("{ECHO}{}", case(steps)));
    bench(&folder, &["--iterations", "20"]).exits(0);
    let result = result(&folder);
    assert_eq!((&result["fresh"], &result["counts"]["iterations"]), (&true.into(), &20.into()));
    assert!(result["connect_ns"]["count"].as_u64() >= Some(20), "{}", result["connect_ns"]);
    assert_eq!(result["steps"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_a_server_says_first_is_expected_once_on_each_connection() {
    let server = "import socket, sys\ns = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\nwhile True:\n  c, _ = s.accept()\n  c.sendall(b\"hello\\n\")\n  while d := c.recv(99): c.sendall(d)\n";
    let target = format!("[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\"]\n");
    let steps = "{ expect = \"hello\\n\" }, { send = \"a\" }, { expect = \"a\" }";
    let folder = Folder::with(&format!("{target}{}", case(steps)));
    bench(&folder, &["--iterations", "10"]).exits(0);
    let counts = result(&folder)["counts"].clone();
    assert_eq!((&counts["iterations"], &counts["bytes_sent"]), (&10.into(), &10.into()), "{counts}");
}

#[test]
fn iterations_can_begin_behind_a_mark() {
    let steps = "{ send = \"one\", mark = \"ready\" }, { expect = \"one\", mark = \"go\" }, { send = \"two\" }, { expect = \"two\" }";
    let folder = Folder::with(&format!("{ECHO}{}", case(steps)));
    bench(&folder, &["--iterations", "10", "--from", "go"]).exits(0);
    // Three bytes each, and three for the opening, which is counted no more than the warm-up.
    assert_eq!(result(&folder)["counts"]["bytes_sent"], 30);
    bench(&folder, &["--iterations", "10", "--from", "nowhere"]).exits(4).says("no step of it sets the mark `nowhere`");
}

#[test]
fn variables_and_captures_are_filled_in_for_every_iteration() {
    let folder = Folder::with(&format!(
        "{ECHO}[actor.client]\nconnect = \"target\"\nframing = \"line\"\n{}",
        case(
            "{ send = \"number ${iteration}\" }, { expect = { regex = \"number (?<n>[0-9]+)\" } }, { send = \"again ${n}\" }, { expect = \"again ${iteration}\" }"
        )
    ));
    bench(&folder, &["--iterations", "50"]).exits(0);
    bench(&folder, &["--iterations", "50", "--depth", "2"]).exits(4).says("`--depth 2`");
}

#[test]
fn datagrams_that_are_lost_are_counted() {
    let server = "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind((\"127.0.0.1\", int(sys.argv[1])))\nn = 0\nwhile True:\n  d, a = s.recvfrom(99)\n  n += 1\n  if n % 10: s.sendto(d, a)\n";
    let target = format!(
        "[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\"]\nready = \"listening\"\naddress = \"udp://127.0.0.1:${{target.port}}\"\n"
    );
    let folder =
        Folder::with(&format!("{target}{}", case("{ send = \"${iteration}\" }, { expect = \"${iteration}\" }")));
    bench(&folder, &["--iterations", "27", "--timeout", "1s"]).exits(0);
    let counts = result(&folder)["counts"].clone();
    // Three were asked before, to see how it goes.
    assert_eq!((&counts["timeouts"], &counts["iterations"]), (&3.into(), &24.into()), "{counts}");
}

#[test]
fn a_threshold_makes_the_exit_code() {
    let folder = Folder::with(&format!("{ECHO}{}", case("{ send = \"hello\" }, { expect = \"hello\" }")));
    bench(&folder, &["--iterations", "100", "--threshold", "p50<1h"]).exits(0);
    bench(&folder, &["--iterations", "100", "--threshold", "p50<1ns"]).exits(1);
    assert_eq!(result(&folder)["thresholds"][0]["held"], false);
    bench(&folder, &["--iterations", "100", "--threshold", "p50<fast"]).exits(2);
}

#[test]
fn a_file_says_what_is_measured_and_the_command_line_has_the_last_word() {
    let folder = Folder::with(&format!(
        "{ECHO}[bench]\niterations = 30\nconnections = 2\nno_verify = true\n{}",
        case("{ send = \"hello\" }, { expect = \"hello\" }")
    ));
    bench(&folder, &[]).exits(0);
    let first = result(&folder);
    assert_eq!((&first["counts"]["iterations"], &first["connections"]), (&30.into(), &2.into()));
    assert_eq!(first["verify"], false);
    bench(&folder, &["--iterations", "40"]).exits(0);
    assert_eq!(result(&folder)["counts"]["iterations"], 40);
}

#[test]
fn a_preset_that_is_no_option_is_a_mistake_of_the_file() {
    let folder =
        Folder::with(&format!("{ECHO}[bench]\nconections = 2\n{}", case("{ send = \"a\" }, { expect = \"a\" }")));
    bench(&folder, &[]).exits(3).says("s.toml:4:1").says("did you mean `connections`?");
}

#[test]
fn what_cannot_be_measured_is_told_with_its_place() {
    let folder = Folder::with(&format!("{ECHO}{}", case("{ send = \"a\" }, { sleep = \"1s\" }, { expect = \"a\" }")));
    bench(&folder, &[]).exits(4).says("`sleep` cannot be part of a workload").says("s.toml:");
}

#[test]
fn a_target_that_is_not_there_is_unreachable() {
    let folder = Folder::with(&format!("{ECHO}{}", case("{ send = \"a\" }, { expect = \"a\" }")));
    bench(&folder, &["--target", "tcp://127.0.0.1:1", "--iterations", "5", "--timeout", "500ms"]).exits(5);
}

#[test]
fn a_target_that_crashes_meanwhile_is_told() {
    let server = "import os, socket, sys\ns = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\nn = 0\nwhile True:\n  c, _ = s.accept()\n  while c.recv(1):\n    n += 1\n    if n == 50: os.abort()\n    c.sendall(b\"x\")\n";
    let target = format!("[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\"]\n");
    let folder = Folder::with(&format!("{target}{}", case("{ send = \"a\" }, { expect = \"x\" }")));
    bench(&folder, &["--iterations", "100", "--timeout", "1s", "--duration", "1s"]).exits(6).says("crashed");
}

#[test]
fn the_json_is_data_on_stdout() {
    let folder = Folder::with(&format!("{ECHO}{}", case("{ send = \"a\" }, { expect = \"a\" }")));
    let output = harness(folder.path())
        .args(["bench", "s.toml", "--out", "out", "--no-floor", "--iterations", "20", "--report", "json"])
        .output()
        .expect("it starts");
    let bench: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((&bench["v"], &bench["results"][0]["case"]), (&1.into(), &"c".into()));
}

#[test]
fn a_sweep_has_a_result_for_each_rate() {
    let folder = Folder::with(&format!("{ECHO}{}", case("{ send = \"hello\" }, { expect = \"hello\" }")));
    bench(&folder, &["--sweep", "100:400:x2", "--duration", "100ms"]);
    let text = fs::read_to_string(folder.out().join("bench.json")).expect("it is written");
    let bench: Value = serde_json::from_str(&text).expect("it is JSON");
    let rates: Vec<f64> =
        bench["results"].as_array().into_iter().flatten().filter_map(|result| result["asked_per_s"].as_f64()).collect();
    assert_eq!(rates, [100.0, 200.0, 400.0]);
}

#[test]
fn a_slower_server_is_found_by_comparing() {
    let server = "import socket, sys, time\ns = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\nwhile True:\n  c, _ = s.accept()\n  while d := c.recv(99):\n    time.sleep(float(sys.argv[2]))\n    c.sendall(d)\n";
    let target = format!(
        "[vars]\npause = \"0\"\n[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\", \"${{pause}}\"]\n"
    );
    let folder = Folder::with(&format!("{target}{}", case("{ send = \"a\" }, { expect = \"a\" }")));
    let slower = ["--compare", "pause=0.001", "pause=0.02", "--duration", "3200ms"];
    bench(&folder, &slower).exits(8);
    let text = fs::read_to_string(folder.out().join("bench.json")).expect("it is written");
    let bench: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(bench["comparisons"][0]["p50"]["verdict"], "worse", "{text}");
}

#[test]
fn a_comparison_is_of_two() {
    let folder = Folder::with(&format!("{ECHO}{}", case("{ send = \"a\" }, { expect = \"a\" }")));
    bench(&folder, &["--compare", "a=1"]).exits(2);
    bench(&folder, &["--compare", "nonsense", "a=1"]).exits(2).says("NAME=VALUE");
}
