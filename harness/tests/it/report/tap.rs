//! What readers of TAP get.

use std::process::Command;

use harness::event::*;
use harness::report::Settings;
use snapbox::{IntoData as _, assert_data_eq, str};

use super::stream::*;

fn tap(stream: &[Event]) -> String {
    report("tap", &Settings { folder: Some("out".to_owned()), ..Settings::plain(80) }, stream)
}

#[test]
fn a_run_is_points_with_what_differed_below_them() {
    assert_data_eq!(
        tap(&everything()),
        str![[r#"
TAP version 14
# harness 0.1.0, seed 42
ok 1 - echo: passes \# \\
  ---
  duration_ms: 0.085
  verdict: passed
  ...
# attempt 1 of echo: fails: expected `a`, received `<\x1b]]>`
# attempt 1 of echo: comes and goes: expected `a`, received `<\x1b]]>`
not ok 2 - echo: fails
  ---
  duration_ms: 0.085
  verdict: failed
  attempt: 2
  message: "expected `a`, received `<\\x1b]]>`"
  severity: fail
  at:
    file: "scenarios/echo.toml"
    line: 11
    column: 3
  reproduce: "harness run scenarios/echo.toml --filter 'case(fails)' --seed 42"
  capture: "out/captures/echo/fails.pcapng"
  report: |
    scenarios/echo.toml:11:3: expected `a`, received `<\x1b]]>`
    11 | { expect = "a" }
       |   ^^^^^
      expected: "a"
      received: "<\x1b]]>"
                 ^ first difference, at byte 0
            expected, 1 byte                  | received, 5 bytes
      0000 [61]                      a        |[3c]1b 5d 5d 3e           <.]]>
      hint: is it 50%\r\n, or more: so
      what happened (since the case began; → sent, ← received):
      0.000ms  line 11  client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
      0.085ms  line 11  client   expect failed after 85us
      what differed: expected `a`, received `<\x1b]]>`
      reproduce: harness run scenarios/echo.toml --filter 'case(fails)' --seed 42
      capture: out/captures/echo/fails.pcapng, failing frame 7 (wireshark -g 7 out/captures/echo/fails.pcapng)
  ...
ok 3 - echo: comes and goes
  ---
  duration_ms: 0.085
  verdict: flaky
  attempt: 2
  ...
ok 4 - echo: skips # SKIP no "redis"
not ok 5 - echo: known # TODO until 2.0
  ---
  duration_ms: 0.085
  verdict: expected_failure
  ...
not ok 6 - echo: survives
  ---
  duration_ms: 0.085
  verdict: crashed
  message: "the target crashed"
  severity: error
  at:
    file: "scenarios/echo.toml"
    line: 11
    column: 3
  reproduce: "harness run scenarios/echo.toml --filter 'case(survives)' --seed 42"
  capture: "out/captures/echo/survives.pcapng"
  report: |
    scenarios/echo.toml:11:3: the target crashed
    11 | { x }
       |   ^^^
      what happened (since the case began; → sent, ← received):
      0.000ms  line 11  client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
      0.085ms  line 11  client   expect failed after 85us
      what differed: the target crashed
      reproduce: harness run scenarios/echo.toml --filter 'case(survives)' --seed 42
      capture: out/captures/echo/survives.pcapng, failing frame 7 (wireshark -g 7 out/captures/echo/survives.pcapng)
  ...
not ok 7 - echo: never ends
  ---
  duration_ms: 0.085
  verdict: interrupted
  message: "ctrl-c"
  severity: error
  at:
    file: "scenarios/echo.toml"
    line: 8
    column: 1
  report: |
    scenarios/echo.toml:8:1: ctrl-c
      what happened (since the case began; → sent, ← received):
      0.000ms    client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
      what differed: ctrl-c
  ...
not ok 8 - scenarios/bad.toml is valid
  ---
  message: "1 mistake"
  severity: error
  mistakes:
    - at: "scenarios/bad.toml:3:1"
      message: "unknown key `timeuot`"
      hint: "did you mean `timeout`?"
  ...
# warning: a target\nhad to be killed
1..8

"#]]
        .raw()
    );
}

#[test]
fn what_was_never_begun_is_missing_from_the_plan() {
    let mut stream = run(vec![Case::new(0, "one").finished(Verdict::Passed)]);
    if let EventKind::RunFinished { summary, .. } = &mut stream.last_mut().unwrap().kind {
        summary.interrupted = 3;
    }
    let text = tap(&stream);
    assert!(text.ends_with("# the run has ended before 3 cases began\n1..4\n"), "{text}");
}

#[test]
fn a_run_of_nothing_is_no_success() {
    let text = tap(&run(Vec::new()));
    assert!(text.ends_with("\nBail out! nothing was selected\n"), "{text}");
}

/// What `prove` makes of a text, with its own reader of YAML; `None` where it is missing and may be.
fn prove(text: &str) -> Option<(bool, String)> {
    // Older than perl 5.40 it knows no version 14, and what is written is version 13 as well.
    let text = text.replacen("TAP version 14", "TAP version 13", 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.tap");
    std::fs::write(&path, text).unwrap();
    match Command::new("prove").arg("-v").arg(&path).output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            Some((output.status.success(), said.concat()))
        }
        Err(error) if std::env::var_os("HARNESS_TEST_SKIP_TOOLS").is_none() => {
            panic!("`prove` is missing, `apt-get install perl` has it: {error}")
        }
        Err(_) => None,
    }
}

#[test]
fn prove_reads_it_as_it_is_meant() {
    let held = run(vec![
        Case::new(0, "one # 1").finished(Verdict::Passed),
        Case::new(1, "two").finished_because(Verdict::ExpectedFailure, "until 2.0"),
        Case::new(2, "three").finished_because(Verdict::Skipped, "no redis"),
    ]);
    let Some((is_success, said)) = prove(&tap(&held)) else { return };
    assert!(is_success && said.contains("Result: PASS"), "{said}");
    let (is_success, said) = prove(&tap(&everything())).unwrap();
    assert!(!is_success && said.contains("Failed tests:  2, 6-8"), "{said}");
    assert!(!said.contains("Parse errors") && !said.contains("uninitialized"), "{said}");
}
