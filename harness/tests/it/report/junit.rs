//! What CI systems read.

use harness::event::*;
use harness::report::{Output, REPORTERS, Settings};
use harness::time::Time;
use quick_junit::{Report, TestCaseStatus};
use snapbox::{IntoData as _, assert_data_eq, str};

use super::stream::*;

/// A scenario with one case of most verdicts, a crash in another, and a file that is not valid.
fn stream() -> Vec<Event> {
    let line = |name: &str, number| Case::new(number, name).step("expect", place(11, 3, 5, "{ x }")).connected();
    let mut mismatch =
        failure(FailureKind::Mismatch, "expected `a`, received `<\x1b]]>`", place(11, 3, 5, "{ expect = \"a\" }"));
    mismatch.expected_bytes = Some("a".into());
    mismatch.received = Some("<\x1b]]>".into());
    let exited = EventKind::TargetExited {
        scenario: "kv".to_owned(),
        target: "kv".to_owned(),
        status: "signal SIGSEGV".to_owned(),
        crash: true,
        output: vec![
            OutputLine { stderr: true, text: "\x1b[31mboom\x1b[0m \x08 & <tag>".to_owned() },
            OutputLine { stderr: false, text: "listening".to_owned() },
        ],
    };
    let invalid = EventKind::FileInvalid {
        file: "scenarios/bad.toml".to_owned(),
        mistakes: vec![Mistake {
            place: Place { file: "scenarios/bad.toml".into(), ..place(3, 1, 7, "timeuot = 1") },
            message: "unknown key `timeuot`".to_owned(),
            hint: None,
        }],
    };
    let crash = failure(FailureKind::Crash, "the target crashed", place(11, 3, 5, "{ x }"));
    // They end in another order than they were planned.
    let mut stream = run(vec![
        line("fails", 1).failed(Some(0), mismatch).finished(Verdict::Failed),
        line("passes", 0).finished(Verdict::Passed),
        line("skips", 2).finished_because(Verdict::Skipped, "no \"redis\""),
        line("known", 3).finished_because(Verdict::ExpectedFailure, "until 2.0"),
        line("survives", 4).named("kv").event(exited.clone()).failed(Some(0), crash).finished(Verdict::Crashed),
        line("never ends", 5).named("kv").finished_because(Verdict::Interrupted, "ctrl-c"),
    ]);
    let at = stream.len() - 1;
    stream.insert(at, Event { at: Time::ZERO, case: None, kind: invalid });
    stream.insert(at, Event { at: Time::ZERO, case: None, kind: exited });
    stream
}

fn read() -> Report {
    let xml = report("junit", &Settings::plain(80), &stream());
    Report::deserialize_from_str(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"))
}

#[test]
fn a_run_is_a_file_that_ci_systems_read() {
    assert_data_eq!(report("junit", &Settings::plain(80), &stream()), str![[r#"
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="harness" tests="7" skipped="2" failures="1" errors="3" timestamp="2026-09-21T14:13:20.123+00:00" time="1.250">
    <testsuite name="scenarios/bad.toml" tests="1" skipped="0" errors="1" failures="0" timestamp="2026-09-21T14:13:20.123+00:00" time="0.000" file="scenarios/bad.toml">
        <properties>
            <property name="seed" value="42"/>
        </properties>
        <testcase name="is valid" classname="scenarios/bad.toml" time="0.000" file="scenarios/bad.toml">
            <error message="1 mistake: unknown key `timeuot`" type="invalid_file">
scenarios/bad.toml:3:1: unknown key `timeuot`
3 | timeuot = 1
  | ^^^^^^^
</error>
        </testcase>
    </testsuite>
    <testsuite name="echo" tests="4" skipped="2" errors="0" failures="1" timestamp="2026-09-21T14:13:20.124+00:00" time="0.000" file="scenarios/echo.toml">
        <properties>
            <property name="seed" value="42"/>
        </properties>
        <testcase name="passes" classname="echo" time="0.000" file="scenarios/echo.toml" line="8"/>
        <testcase name="fails" classname="echo" time="0.000" file="scenarios/echo.toml" line="8">
            <failure message="expected `a`, received `&lt;\x1b]]&gt;`" type="mismatch">
scenarios/echo.toml:11:3: expected `a`, received `&lt;\x1b]]&gt;`
11 | { expect = &quot;a&quot; }
   |   ^^^^^

  expected: &quot;a&quot;
  received: &quot;&lt;\x1b]]&gt;&quot;
             ^ first difference, at byte 0
        expected, 1 byte                  | received, 5 bytes
  0000 [61]                      a        |[3c]1b 5d 5d 3e           &lt;.]]&gt;

  what happened (since the case began; → sent, ← received):
  0.000ms  line 11  client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 11  client   expect failed after 85us

  what differed: expected `a`, received `&lt;\x1b]]&gt;`
  reproduce: harness run scenarios/echo.toml --filter &apos;case(fails)&apos; --seed 42
  capture: captures/echo/fails.pcapng, failing frame 7 (wireshark -g 7 captures/echo/fails.pcapng)
</failure>
        </testcase>
        <testcase name="skips" classname="echo" time="0.000" file="scenarios/echo.toml" line="8">
            <skipped message="no &quot;redis&quot;" type="skip"/>
        </testcase>
        <testcase name="known" classname="echo" time="0.000" file="scenarios/echo.toml" line="8">
            <skipped message="failed as expected: until 2.0" type="xfail"/>
        </testcase>
    </testsuite>
    <testsuite name="kv" tests="2" skipped="0" errors="2" failures="0" timestamp="2026-09-21T14:13:20.124+00:00" time="0.000" file="scenarios/echo.toml">
        <properties>
            <property name="seed" value="42"/>
        </properties>
        <testcase name="survives" classname="kv" time="0.000" file="scenarios/echo.toml" line="8">
            <error message="the target crashed" type="crash">
scenarios/echo.toml:11:3: the target crashed
11 | { x }
   |   ^^^

  what happened (since the case began; → sent, ← received):
  0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms           kv       target ended: signal SIGSEGV
  0.085ms  line 11  client   expect failed after 0ns

  target `kv` crashed: signal SIGSEGV, its last output:
    stderr | boom  &amp; &lt;tag&gt;
    stdout | listening

  what differed: the target crashed
  reproduce: harness run scenarios/echo.toml --filter &apos;case(survives)&apos; --seed 42
  capture: captures/echo/survives.pcapng, failing frame 7 (wireshark -g 7 captures/echo/survives.pcapng)
</error>
            <system-out>listening
</system-out>
            <system-err>boom  &amp; &lt;tag&gt;
target `kv` ended: signal SIGSEGV
</system-err>
        </testcase>
        <testcase name="never ends" classname="kv" time="0.000" file="scenarios/echo.toml" line="8">
            <error message="ctrl-c" type="interrupted">
scenarios/echo.toml:8:1: ctrl-c

  what happened (since the case began; → sent, ← received):
  0.000ms    client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)

  what differed: ctrl-c
</error>
        </testcase>
        <system-out>listening
</system-out>
        <system-err>boom  &amp; &lt;tag&gt;
target `kv` ended: signal SIGSEGV
</system-err>
    </testsuite>
</testsuites>

"#]].raw());
}

#[test]
fn counts_are_the_cases() {
    let report = read();
    assert_eq!((report.tests, report.failures, report.errors, report.skipped), (7, 1, 3, 2));
    for suite in &report.test_suites {
        assert_eq!(suite.tests, suite.test_cases.len(), "{}", &*suite.name);
        assert!(suite.timestamp.is_some(), "{}", &*suite.name);
    }
}

#[test]
fn cases_stand_in_the_order_of_the_plan() {
    let report = read();
    let names: Vec<String> =
        report.test_suites.iter().flat_map(|suite| &suite.test_cases).map(|case| case.name.to_string()).collect();
    assert_eq!(names, ["is valid", "passes", "fails", "skips", "known", "survives", "never ends"]);
}

#[test]
fn a_failure_carries_the_report_for_people() {
    let report = read();
    let case =
        report.test_suites.iter().flat_map(|suite| &suite.test_cases).find(|case| &*case.name == "fails").unwrap();
    let TestCaseStatus::NonSuccess { message, ty, description, .. } = &case.status else { panic!("{case:?}") };
    assert_eq!(message.as_deref(), Some("expected `a`, received `<\\x1b]]>`"));
    assert_eq!(ty.as_deref(), Some("mismatch"));
    let description = description.as_deref().unwrap();
    assert!(description.contains("scenarios/echo.toml:11:3"), "{description}");
    assert!(description.contains("[3c]1b 5d 5d 3e"), "{description}");
}

#[test]
fn the_file_is_there_only_when_the_run_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("junit.xml");
    let entry = REPORTERS.iter().find(|entry| entry.name == "junit").unwrap();
    let mut reporter = (entry.open)(Output::File(path.clone()), &Settings::plain(80)).unwrap();
    let stream = stream();
    let (end, rest) = stream.split_last().unwrap();
    tell(rest, &mut *reporter).unwrap();
    assert!(!path.exists());
    tell(std::slice::from_ref(end), &mut *reporter).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), report("junit", &Settings::plain(80), &stream));
}

#[test]
fn attempts_stand_in_their_case() {
    let xml = report("junit", &Settings::plain(80), &everything());
    let report = Report::deserialize_from_str(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    assert_eq!((report.tests, report.failures, report.errors, report.skipped), (8, 1, 3, 2));
    let cases: Vec<_> = report.test_suites.iter().flat_map(|suite| &suite.test_cases).collect();
    let status = |name: &str| &cases.iter().find(|case| &*case.name == name).unwrap().status;
    let TestCaseStatus::Success { flaky_runs } = status("comes and goes") else { panic!("{cases:?}") };
    assert_eq!(flaky_runs[0].message.as_deref(), Some("expected `a`, received `<\\x1b]]>`"));
    assert_eq!(flaky_runs[0].ty.as_deref(), Some("mismatch"));
    assert!(flaky_runs[0].description.as_deref().unwrap().contains("captures/echo/comes-and-goes.pcapng"));
    let TestCaseStatus::NonSuccess { reruns, .. } = status("fails") else { panic!("{cases:?}") };
    assert_eq!(reruns.runs.len(), 1);
    assert!(xml.contains("<flakyFailure ") && xml.contains("<rerunFailure "), "{xml}");
}
