//! What GitHub Actions is told.

use harness::event::*;
use harness::report::{Settings, Workflow};
use snapbox::{IntoData as _, assert_data_eq, str};

use super::stream::*;

fn settings(workflow: Workflow) -> Settings {
    Settings { folder: Some("out".to_owned()), workflow, ..Settings::plain(80) }
}

#[test]
fn what_did_not_hold_is_annotated_where_it_stands() {
    assert_data_eq!(report("github", &settings(Workflow::default()), &everything()), str![[r#"
::error file=scenarios/echo.toml,line=11,col=3,endColumn=7,title=FAIL echo%3A fails::expected `a`, received `<\x1b]]>`%0Ahint: is it 50%25\r\n, or more: so%0Areproduce: harness run scenarios/echo.toml --filter 'case(fails)' --seed 42%0Acapture: out/captures/echo/fails.pcapng
::warning file=scenarios/echo.toml,line=11,col=3,endColumn=7,title=FLAKY echo%3A comes and goes::it held at attempt 2; before, expected `a`, received `<\x1b]]>`%0Ahint: is it 50%25\r\n, or more: so%0Areproduce: harness run scenarios/echo.toml --filter 'case(comes-and-goes)' --seed 42%0Acapture: out/captures/echo/comes-and-goes.pcapng
::error file=scenarios/echo.toml,line=11,col=3,endColumn=7,title=CRASH echo%3A survives::the target crashed%0Areproduce: harness run scenarios/echo.toml --filter 'case(survives)' --seed 42%0Acapture: out/captures/echo/survives.pcapng
::warning file=scenarios/echo.toml,line=8,col=1,title=INTERRUPTED echo%3A never ends::ctrl-c
::error file=scenarios/bad.toml,line=3,col=1,endColumn=7,title=INVALID::unknown key `timeuot`%0Ahint: did you mean `timeout`?
::warning title=harness::a target\nhad to be killed

"#]].raw());
}

#[test]
fn files_are_named_from_the_root_of_the_repository() {
    let workflow = Workflow { summary: None, prefix: "sub/folder/".to_owned() };
    let text = report("github", &settings(workflow), &everything());
    assert!(text.contains("file=sub/folder/scenarios/echo.toml,"), "{text}");
}

#[test]
fn the_summary_of_the_job_is_added_to_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary.md");
    std::fs::write(&path, "# before\n").unwrap();
    let workflow = Workflow { summary: Some(path.clone()), ..Workflow::default() };
    report("github", &settings(workflow), &everything());
    assert_data_eq!(std::fs::read_to_string(&path).unwrap(), str![[r#"
# before
### harness: 7 cases: 1 passed, 1 flaky, 1 failed, 1 crashed, 1 failed as expected, 1 skipped, 1 interrupted, 1 file invalid

in 1.25s, seed 42

| case | at | what differed | reproduce |
| --- | --- | --- | --- |
| FAIL echo: fails | scenarios/echo.toml:11 | expected &#96;a&#96;, received &#96;&#60;&#92;x1b&#93;&#93;&#62;&#96; | <code>harness run scenarios/echo.toml --filter 'case(fails)' --seed 42</code> |
| FLAKY echo: comes and goes | scenarios/echo.toml:11 | it held at attempt 2; before, expected &#96;a&#96;, received &#96;&#60;&#92;x1b&#93;&#93;&#62;&#96; |  |
| CRASH echo: survives | scenarios/echo.toml:11 | the target crashed | <code>harness run scenarios/echo.toml --filter 'case(survives)' --seed 42</code> |
| INTERRUPTED echo: never ends | scenarios/echo.toml:8 | ctrl-c |  |
| INVALID | scenarios/bad.toml:3 | unknown key &#96;timeuot&#96; |  |


"#]].raw());
}

#[test]
fn a_summary_of_very_many_failures_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary.md");
    let workflow = Workflow { summary: Some(path.clone()), ..Workflow::default() };
    let reason = "x".repeat(10_000);
    let case = |number| Case::new(number, "fails").finished_because(Verdict::Failed, &reason);
    report("github", &settings(workflow), &run((0..300).map(case).collect()));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.len() < 1 << 20, "GitHub takes 1 MiB, not {}", text.len());
    assert!(text.ends_with("\nand 100 more\n\n"), "it has {} bytes", text.len());
}

#[test]
fn a_run_that_holds_has_nothing_to_say() {
    let stream = run(vec![Case::new(0, "one").finished(Verdict::Passed)]);
    assert_eq!(report("github", &settings(Workflow::default()), &stream), "");
}
