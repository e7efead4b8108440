//! What is shown of a run: a line for each case, what is told beside them, and the end.

use harness::event::*;
use harness::report::{Look, Settings, Verbosity};
use harness::time::Time;
use snapbox::{IntoData as _, assert_data_eq, str};

use super::super::stream::*;
use super::*;

/// One case of each verdict.
fn every_verdict() -> Vec<Vec<Event>> {
    let failed = |name: &str, number: u32| {
        Case::new(number, name).connected().failed(
            None,
            failure(FailureKind::UnexpectedPass, "expected a failure, the case held", place(8, 1, 8, "[[case]]")),
        )
    };
    vec![
        echo("echoes a line").received("hello\n").passed(1).finished(Verdict::Passed),
        Case::new(1, "needs redis").finished_because(Verdict::Skipped, "`redis-server` is not installed"),
        Case::new(2, "known bug").connected().finished_because(Verdict::ExpectedFailure, "fails until 2.0"),
        failed("bug is gone", 3).finished(Verdict::UnexpectedPass),
        Case::new(4, "too late").connected().finished_because(Verdict::Interrupted, "ctrl-c"),
    ]
}

#[test]
fn every_case_has_a_line_and_the_end_says_what_did_not_hold() {
    assert_data_eq!(report("human", &settings(80), &run(every_verdict())), str![[r#"
       PASS [   111us] echo: echoes a line
       SKIP [        ] echo: needs redis (`redis-server` is not installed)
      XFAIL [    85us] echo: known bug (fails until 2.0)
      XPASS [    85us] echo: bug is gone
scenarios/echo.toml:8:1: expected a failure, the case held
8 | [[case]]
  | ^^^^^^^^

  what happened (since the case began; → sent, ← received):
  0.000ms    client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms             failed at the end of the case

  what differed: expected a failure, the case held
  reproduce: harness run scenarios/echo.toml --filter 'case(bug-is-gone)' --seed 42
  capture: reports/latest/captures/echo/bug-is-gone.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/bug-is-gone.pcapng)

INTERRUPTED [    85us] echo: too late (ctrl-c)
───────────
what did not hold:
      XPASS echo: bug is gone at scenarios/echo.toml:8:1
INTERRUPTED echo: too late at scenarios/echo.toml:8
    Summary [   1.25s] 5 cases: 1 passed, 1 failed, 1 failed as expected, 1 skipped, 1 interrupted
                       seed 42, results in reports/latest

"#]].raw());
}

#[test]
fn quiet_is_failures_and_the_summary() {
    let settings = Settings { verbosity: Verbosity::Quiet, ..settings(80) };
    let text = report("human", &settings, &run(every_verdict()));
    assert!(!text.contains(" PASS ["), "{text}");
    assert!(!text.contains("SKIP ["), "{text}");
    assert!(text.contains("XPASS ["), "{text}");
    assert!(text.contains("Summary"), "{text}");
}

#[test]
fn verbose_has_every_step_with_its_time() {
    let settings = Settings { verbosity: Verbosity::Verbose, ..settings(80) };
    let case = echo("echoes a line").received("hello\n").passed(1).finished(Verdict::Passed);
    let mut stream = run(vec![case]);
    let up = EventKind::TargetStarted {
        scenario: "echo".to_owned(),
        target: "kv".to_owned(),
        url: "tcp://127.0.0.1:7001".to_owned(),
        pid: Some(4711),
    };
    stream.insert(1, Event { at: Time::ZERO, case: None, kind: up });
    assert_data_eq!(
        report("human", &settings, &stream),
        str![[r#"
echo: `kv` is up at tcp://127.0.0.1:7001, process 4711
       PASS [   111us] echo: echoes a line
  0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 10  client → 6 bytes  "hello\n"
  0.105ms  line 10  client   send held after 20us
  0.106ms  line 11  client ← 6 bytes  "hello\n"
  0.110ms  line 11  client   expect held after 4us
───────────
    Summary [   1.25s] 1 case: 1 passed
                       seed 42, results in reports/latest

"#]]
        .raw()
    );
}

#[test]
fn an_invalid_file_shows_every_mistake() {
    let mistake = |place, message: &str, hint: Option<&str>| Mistake {
        place,
        message: message.to_owned(),
        hint: hint.map(str::to_owned),
    };
    let hint = "did you mean `prefix`? `harness list matchers` shows them all";
    let kind = EventKind::FileInvalid {
        file: "scenarios/echo.toml".to_owned(),
        mistakes: vec![
            mistake(place(3, 1, 7, "timeuot = \"5s\""), "unknown key `timeuot`", Some("did you mean `timeout`?")),
            mistake(place(12, 12, 5, r#"expect = { prefx = "220 " }"#), "unknown matcher `prefx`", Some(hint)),
            mistake(place(104, 21, 6, "\t{ send = \"안녕\" }, { expcet = 1 }"), "unknown key `expcet`", None),
        ],
    };
    let stream = vec![run_started(), Event { at: Time::ZERO, case: None, kind }];
    let end = run_finished(&stream);
    assert_data_eq!(
        report("human", &settings(80), &[stream, vec![end]].concat()),
        str![[r#"
scenarios/echo.toml:3:1: unknown key `timeuot`
3 | timeuot = "5s"
  | ^^^^^^^
hint: did you mean `timeout`?

scenarios/echo.toml:12:12: unknown matcher `prefx`
12 | expect = { prefx = "220 " }
   |            ^^^^^
hint: did you mean `prefix`? `harness list matchers` shows them all

scenarios/echo.toml:104:21: unknown key `expcet`
104 |     { send = "안녕" }, { expcet = 1 }
    |                          ^^^^^^

───────────
what did not hold:
    INVALID scenarios/echo.toml: 3 mistakes
    Summary [   1.25s] 0 cases; 1 file invalid
                       seed 42, results in reports/latest

"#]]
        .raw()
    );
}

#[test]
fn a_target_that_crashes_between_cases_and_a_warning_are_told() {
    let event = |kind| Event { at: Time::ZERO, case: None, kind };
    let warning = EventKind::Warning { message: "target `kv` had to be killed".to_owned() };
    let stream = [run_started(), event(exited()), event(warning)];
    assert_data_eq!(
        report("human", &settings(80), &stream),
        str![[r#"
  target `kv` crashed: signal SIGSEGV, its last output:
    stdout | listening on 7001
    stderr | ERROR index 9 out of bounds
    stderr | bell  and title
warning: target `kv` had to be killed

"#]]
        .raw()
    );
}

#[test]
fn colour_changes_nothing_but_colour() {
    let cases = || run(every_verdict());
    let colored = report("human", &Settings { look: Look::colored(80), ..settings(80) }, &cases());
    assert!(colored.contains("\x1b[1m\x1b[31m") || colored.contains("\x1b[1;31m"), "{colored:?}");
    assert_eq!(anstream::adapter::strip_str(&colored).to_string(), report("human", &settings(80), &cases()));
}

#[test]
fn attempts_are_lines_and_what_is_flaky_is_told_at_the_end() {
    assert_data_eq!(report("human", &settings(80), &everything()), str![[r#"
       PASS [    85us] echo: passes # \
      RETRY [    85us] echo: fails (attempt 1: expected `a`, received `<\x1b]]>`)
      RETRY [    85us] echo: comes and goes (attempt 1: expected `a`, received `<\x1b]]>`)
       FAIL [    85us] echo: fails (attempt 2)
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
  capture: reports/latest/captures/echo/fails.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/fails.pcapng)

      FLAKY [    85us] echo: comes and goes (it held at attempt 2)
       SKIP [        ] echo: skips (no "redis")
      XFAIL [    85us] echo: known (until 2.0)
      CRASH [    85us] echo: survives
scenarios/echo.toml:11:3: the target crashed
11 | { x }
   |   ^^^

  what happened (since the case began; → sent, ← received):
  0.000ms  line 11  client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 11  client   expect failed after 85us

  what differed: the target crashed
  reproduce: harness run scenarios/echo.toml --filter 'case(survives)' --seed 42
  capture: reports/latest/captures/echo/survives.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/survives.pcapng)

INTERRUPTED [    85us] echo: never ends (ctrl-c)
scenarios/bad.toml:3:1: unknown key `timeuot`
3 | timeuot = 1
  | ^^^^^^^
hint: did you mean `timeout`?

       SLOW [   > 10s] echo: never ends
warning: a target\nhad to be killed
───────────
what did not hold:
       FAIL echo: fails at scenarios/echo.toml:11:3
      CRASH echo: survives at scenarios/echo.toml:11:3
INTERRUPTED echo: never ends at scenarios/echo.toml:8
    INVALID scenarios/bad.toml: 1 mistake
what held only when it was played again:
      FLAKY echo: comes and goes at scenarios/echo.toml:11:3
  what differed: expected `a`, received `<\x1b]]>`
  reproduce: harness run scenarios/echo.toml --filter 'case(comes-and-goes)' --seed 42
  capture: reports/latest/captures/echo/comes-and-goes.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/comes-and-goes.pcapng)
    Summary [   1.25s] 7 cases: 1 passed, 1 flaky, 1 failed, 1 crashed, 1 failed as expected, 1 skipped, 1 interrupted; 1 file invalid
                       seed 42, results in reports/latest

"#]].raw());
}

#[test]
fn quietly_only_what_did_not_hold_at_once_is_told() {
    let quiet = Settings { verbosity: Verbosity::Quiet, ..settings(80) };
    let stream = run(vec![
        echo("comes and goes").failed(None, expect_hello(FailureKind::Mismatch, "no")).finished(Verdict::Retried),
        echo("comes and goes").attempt(2).finished_because(Verdict::Flaky, "it held at attempt 2"),
        Case::new(1, "passes").after(2_000_000_000).finished(Verdict::Passed),
    ]);
    assert_data_eq!(
        report("human", &quiet, &stream),
        str![[r#"
───────────
what held only when it was played again:
      FLAKY echo: comes and goes at scenarios/echo.toml:11:14
  what differed: no
  reproduce: harness run scenarios/echo.toml --filter 'case(comes-and-goes)' --seed 42
  capture: reports/latest/captures/echo/comes-and-goes.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/comes-and-goes.pcapng)
    Summary [   1.25s] 2 cases: 1 passed, 1 flaky
                       seed 42, results in reports/latest

"#]]
        .raw()
    );
}

/// A run of cases that take 0, 100, 200, … ms.
fn ever_slower(cases: u32) -> Vec<Event> {
    let case = |n: u32| Case::new(n, &format!("case {n}")).after(u64::from(n) * 100_000_000).finished(Verdict::Passed);
    run((0..cases).map(case).collect())
}

/// The lines after the one of the last case.
fn end(settings: &Settings, stream: &[Event]) -> String {
    let text = report("human", settings, stream);
    text.split_once("───\n").expect("a run has a summary").1.to_owned()
}

#[test]
fn a_longer_run_ends_with_what_took_longest() {
    assert_data_eq!(
        end(&settings(80), &ever_slower(15)),
        str![[r#"
slowest:
            [    1.4s] echo: case 14
            [    1.3s] echo: case 13
            [    1.2s] echo: case 12
    Summary [   1.25s] 15 cases: 15 passed
                       seed 42, results in reports/latest

"#]]
        .raw()
    );
    assert!(!end(&settings(80), &ever_slower(10)).contains("slowest"), "nothing took so long");
}

#[test]
fn somebody_can_want_more_of_the_slowest_or_none() {
    let with = |slowest| Settings { slowest: Some(slowest), ..settings(80) };
    assert_data_eq!(
        end(&with(2), &ever_slower(3)),
        str![[r#"
slowest:
            [   200ms] echo: case 2
            [   100ms] echo: case 1
    Summary [   1.25s] 3 cases: 3 passed
                       seed 42, results in reports/latest

"#]]
        .raw()
    );
    assert!(!end(&with(0), &ever_slower(15)).contains("slowest"));
}
