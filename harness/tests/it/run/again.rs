//! Cases that are played again: in one run, in the next one, on several machines.

use super::*;

/// A server that answers its first connection wrongly, and echoes on the others.
fn flaky_target() -> String {
    python_target(
        "data = connection.recv(9)\nfirst = 'seen' not in globals()\nseen = True\nconnection.sendall(b'no' if first else data)\nconnection.close()",
    )
}

fn flaky() -> Folder {
    let case = "[[case]]\nname = \"c\"\nsteps = [{ send = { random = 4 }, save = \"x\" }, { expect = \"${x}\" }, { expect_eof = true }]\n";
    Folder::with(&format!("{}{case}", flaky_target()))
}

/// Every attempt: the case, its number, its verdict, its capture.
fn attempts(folder: &Folder) -> Vec<(String, u32, Verdict, Option<String>)> {
    let mut attempts = Vec::new();
    let mut begun = (String::new(), 0);
    for kind in folder.story().kinds() {
        match kind {
            EventKind::CaseStarted(started) => begun = (started.name.clone(), started.attempt),
            EventKind::CaseFinished(finished) => {
                attempts.push((begun.0.clone(), begun.1, finished.verdict, finished.capture.clone()));
            }
            _ => {}
        }
    }
    attempts
}

#[test]
fn what_holds_at_the_second_attempt_is_flaky_and_both_are_kept() {
    let folder = flaky();
    folder.run(&[]).exits(1);
    folder.run(&["--retries", "2"]).exits(0).says("RETRY").says("held at attempt 2").says("1 case: 1 flaky");
    let kept = |name: &str| Some(format!("captures/s/{name}.pcapng"));
    assert_eq!(
        attempts(&folder),
        [("c".to_owned(), 1, Verdict::Retried, kept("c.attempt-1")), ("c".to_owned(), 2, Verdict::Flaky, kept("c"))]
    );
    for (.., capture) in attempts(&folder) {
        let bytes = fs::read(folder.out().join(capture.expect("just seen"))).expect("it is there");
        assert!(harness::capture::check(&bytes).expect("it is one").packets >= 5);
    }
    let sent = folder.story().sent();
    assert_eq!(sent[0], sent[1], "an attempt has the bytes of the one before");
    let xml = fs::read_to_string(folder.out().join("junit.xml")).expect("it is there");
    assert!(xml.contains("<flakyFailure"), "{xml}");
}

#[test]
fn flaky_cases_can_be_failures_with_a_code_of_their_own() {
    flaky().run(&["--retries", "1", "--flaky", "fail"]).exits(7).says("1 flaky");
}

#[test]
fn only_captures_of_failures_are_kept_where_only_they_are_wanted() {
    let folder = flaky();
    folder.run(&["--retries", "1", "--record", "fail"]).exits(0);
    let names: Vec<_> = fs::read_dir(folder.out().join("captures/s")).expect("it is there").collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(folder.out().join("captures/s/c.attempt-1.pcapng").is_file());
}

#[test]
fn what_never_holds_has_failed_after_its_last_attempt() {
    let folder = Folder::echo(&[("bad", r#"{ send = "a" }, { expect = "b" }"#)]);
    folder.run(&["--retries", "2"]).exits(1).says("(attempt 3)").says("1 case: 1 failed");
    let verdicts: Vec<_> = attempts(&folder).into_iter().map(|(_, attempt, verdict, _)| (attempt, verdict)).collect();
    assert_eq!(verdicts, [(1, Verdict::Retried), (2, Verdict::Retried), (3, Verdict::Failed)]);
}

#[test]
fn a_dead_target_is_not_tried_again() {
    let target = python_target("connection.recv(9)\nos.kill(os.getpid(), signal.SIGSEGV)");
    let folder = Folder::with(&format!("{target}{HELLO}"));
    folder.run(&["--retries", "3"]).exits(6).says("it is not played again: the target `server` has ended");
    assert_eq!(attempts(&folder).len(), 1);
    let folder = Folder::with(&format!("target.command = [\"no-such-program\", \"${{target.port}}\"]\n{HELLO}"));
    folder.run(&["--retries", "3"]).exits(5).says("the targets of the file did not start");
    assert_eq!(attempts(&folder).len(), 1);
}

#[test]
fn a_target_of_the_case_is_started_for_each_attempt() {
    let target = python_target("connection.recv(9)\nos.kill(os.getpid(), signal.SIGSEGV)");
    let target = target.replace("[target.server]\n", "[target.server]\nrestart = \"case\"\n");
    let folder = Folder::with(&format!("{target}{HELLO}"));
    folder.run(&["--retries", "2"]).exits(6);
    let verdicts: Vec<_> = attempts(&folder).into_iter().map(|(_, attempt, verdict, _)| (attempt, verdict)).collect();
    assert_eq!(verdicts, [(1, Verdict::Retried), (2, Verdict::Retried), (3, Verdict::Crashed)]);
}

#[test]
fn a_failure_that_is_expected_is_not_tried_again() {
    let folder = Folder::with(
        "target.builtin = \"tcp-echo\"\n[[case]]\nname = \"c\"\nxfail = \"always\"\nsteps = [{ send = \"a\" }, { expect = \"b\" }]\n",
    );
    folder.run(&["--retries", "3"]).exits(0);
    assert_eq!(attempts(&folder).len(), 1);
}

/// A server that answers its third connection wrongly.
fn third_is_wrong() -> Folder {
    let target = python_target(
        "data = connection.recv(9)\ncount = globals().get('count', 0) + 1\nconnection.sendall(b'no' if count == 3 else data)\nconnection.close()",
    );
    let case =
        "[[case]]\nname = \"c\"\nsteps = [{ send = \"hello\" }, { expect = \"hello\" }, { expect_eof = true }]\n";
    Folder::with(&format!("{target}{case}"))
}

#[test]
fn repetitions_end_with_the_first_that_fails_and_say_which() {
    let folder = third_is_wrong();
    let told = folder.run(&["--repeat", "100", "--until-fail", "--jobs", "1", "--seed", "7"]).exits(1);
    let told = told
        .says("`s: c` did not hold in repetition 3 of 100, which this repeats: harness run s.toml")
        .says("2 passed, 1 failed, 97 interrupted");
    assert_eq!(folder.story().verdicts().len(), 3);
    // Alone it is the server's first connection, and holds; it is the right case.
    paste(folder.path(), &format!("{} --out again", told.reproduce())).exits(0);
    assert_eq!(Story::read(&folder.path().join("again")).verdicts(), [("c #3".to_owned(), Verdict::Passed)]);
    folder.run(&["--until-fail"]).exits(2).says("`--until-fail` needs `--repeat N`");
    let mut command = folder.command(&[]);
    ran(command.env("HARNESS_UNTIL_FAIL", "no").env("HARNESS_LAST_FAILED", "no")).exits(0);
    ran(harness(folder.path()).arg("run").env("HARNESS_LAST_FAILED", "no"))
        .exits(2)
        .says("expected a file or a folder");
}

#[test]
fn parts_together_play_each_case_once() {
    let cases: Vec<String> = (0..7).map(|n| format!("case {n}")).collect();
    let steps = r#"{ send = "a" }, { expect = "a" }"#;
    let folder = Folder::echo(&cases.iter().map(|name| (name.as_str(), steps)).collect::<Vec<_>>());
    let mut played = Vec::new();
    for part in ["1/3", "2/3", "3/3"] {
        folder.run(&["--partition", part, "--shuffle"]).exits(0);
        let names = folder.story().verdicts();
        assert!((2..=3).contains(&names.len()), "{names:?}");
        played.extend(names.into_iter().map(|(name, _)| name));
    }
    played.sort();
    assert_eq!(played, cases);
    folder.run(&["--partition", "9/9"]).exits(4).says("part 9/9 matches none of 7 cases");
    for wrong in ["0/3", "4/3", "3"] {
        folder.run(&["--partition", wrong]).exits(2).says("`1/4` to `4/4`");
    }
}

const GOOD_AND_BAD: &[(&str, &str)] =
    &[("good", r#"{ send = "a" }, { expect = "a" }"#), ("bad", r#"{ send = "a" }, { expect = "b" }"#)];

#[test]
fn what_failed_last_is_played_alone_until_it_holds() {
    let folder = Folder::echo(GOOD_AND_BAD);
    let run = |args: &[&str]| ran(harness(folder.path()).arg("run").args(args));
    run(&["s.toml", "--last-failed"]).exits(3).says("cannot read `reports/latest/events.ndjson`");
    run(&["s.toml", "--seed", "77"]).exits(1);
    // By another name of the file, with the seed of that run.
    run(&["./s.toml", "--last-failed"]).exits(1).says("1 case: 1 failed").says("seed 77");
    // Without a file it is the one that it was in.
    let text = fs::read_to_string(folder.path().join("s.toml")).expect("it is there");
    folder.write("s.toml", text.replace("{ expect = \"b\" }", "{ expect = \"a\" }"));
    run(&["--last-failed"]).exits(0).says("1 case: 1 passed").says("seed 77");
    run(&["--last-failed"]).exits(4).says("everything held in `reports/latest/events.ndjson`");
    // That was no run: what it found is still there.
    run(&["--last-failed"]).exits(4);
}

#[test]
fn what_failed_last_is_known_from_the_folder_of_the_results() {
    let folder = Folder::echo(GOOD_AND_BAD);
    folder.run(&[]).exits(1);
    folder.run(&["--last-failed"]).exits(1);
    assert_eq!(folder.story().verdicts(), [("bad".to_owned(), Verdict::Failed)]);
    folder.run(&["--last-failed", "--filter", "case:good"]).exits(4).says("together match none of 2 cases");
}

#[test]
fn a_repetition_that_failed_last_is_that_one_or_else_the_case() {
    let folder = third_is_wrong();
    folder.run(&["--repeat", "4", "--jobs", "1"]).exits(1).says("3 passed, 1 failed");
    let again = |args: &[&str], out: &str| {
        fs::create_dir_all(folder.path().join(out)).expect("it is ours");
        fs::copy(folder.out().join("events.ndjson"), folder.path().join(out).join("events.ndjson"))
            .expect("it is there");
        let mut command = harness(folder.path());
        ran(command.args(["run", "s.toml", "--last-failed", "--out", out]).args(args)).exits(0);
        Story::read(&folder.path().join(out)).verdicts()
    };
    assert_eq!(again(&["--repeat", "4"], "a"), [("c #3".to_owned(), Verdict::Passed)]);
    assert_eq!(again(&[], "b"), [("c".to_owned(), Verdict::Passed)]);
}

#[test]
fn a_file_that_was_invalid_is_played_whole_when_it_is_not() {
    let folder = Folder::echo(GOOD_AND_BAD);
    let text = fs::read_to_string(folder.path().join("s.toml")).expect("it is there");
    folder.write("s.toml", text.replace("steps", "setps"));
    folder.run(&[]).exits(3);
    folder.write("s.toml", text);
    folder.run(&["--last-failed"]).exits(1).says("1 passed, 1 failed");
}

#[test]
fn after_a_target_that_ended_wrongly_all_of_its_file_is_played() {
    let target = python_target("connection.sendall(connection.recv(9))\nos._exit(0)");
    let target = target.replace("[target.server]\n", "[target.server]\nexpect_exit = 7\n");
    let folder = Folder::with(&format!("{target}{HELLO}"));
    folder.run(&[]).exits(1).says("the end of the target").says("1 passed, 1 failed");
    folder.run(&["--last-failed"]).exits(1).says("1 passed, 1 failed");
}

#[test]
fn a_stored_run_is_told_again_in_any_format() {
    let folder = Folder::echo(GOOD_AND_BAD);
    let told = folder.run(&["--report", "tap"]).exits(1);
    let report = |args: &[&str]| ran(harness(folder.path()).arg("report").args(args)).exits(0).stdout;
    assert_eq!(report(&["out", "--report", "tap"]), told.stdout);
    assert_eq!(report(&["out", "--report", "junit"]), fs::read_to_string(folder.out().join("junit.xml")).unwrap());
    let stored = fs::read_to_string(folder.out().join("events.ndjson")).unwrap();
    assert_eq!(report(&["out/events.ndjson", "--report", "json"]), stored);
    let told = folder.run(&["--seed", "3"]).exits(1);
    assert_eq!(report(&["out"]), told.stderr);
    assert!(report(&["out", "--slowest", "1"]).contains("slowest:"));
}

#[test]
fn what_is_no_stored_run_is_refused() {
    let folder = Folder::echo(GOOD_AND_BAD);
    let report = |args: &[&str]| ran(harness(folder.path()).arg("report").args(args));
    report(&[]).exits(3).says("cannot read `reports/latest`");
    report(&["s.toml"]).exits(3).says("cannot read `s.toml`: line 1 is no event");
    report(&["s.toml", "--report", "tpa"]).exits(2).says("did you mean `tap`?");
}

#[test]
fn two_reports_do_not_share_stdout() {
    let folder = Folder::echo(GOOD_AND_BAD);
    folder.run(&["--report", "json,tap"]).exits(2).says("`json` and `tap` both go to stdout");
    assert!(!folder.out().exists(), "nothing was played");
    let ran = folder.run(&["--report", "human,tap"]).exits(1).says("1 passed, 1 failed");
    assert!(ran.stdout.starts_with("TAP version 14\n") && ran.stdout.ends_with("\n1..2\n"), "{}", ran.stdout);
}

#[test]
fn a_job_on_github_is_annotated_and_summed_up() {
    let folder = Folder::new();
    let text =
        "[target]\nbuiltin = \"tcp-echo\"\n[[case]]\nname = \"bad\"\nsteps = [{ send = \"a\" }, { expect = \"b\" }]\n";
    folder.write("sub/s.toml", text);
    let root = folder.path().canonicalize().expect("it is there");
    let mut command = harness(&root.join("sub"));
    command.args(["run", "s.toml", "--report", "github"]);
    command.env("GITHUB_WORKSPACE", &root).env("GITHUB_STEP_SUMMARY", root.join("summary.md"));
    let ran = ran(&mut command).exits(1);
    assert!(ran.stdout.starts_with("::error file=sub/s.toml,line=5,col=28,"), "{}", ran.stdout);
    let summary = fs::read_to_string(root.join("summary.md")).expect("it was written");
    assert!(summary.starts_with("### harness: 1 case: 1 failed\n"), "{summary}");
}

#[test]
fn a_summary_that_cannot_be_written_is_named() {
    let folder = Folder::echo(GOOD_AND_BAD);
    let mut command = folder.command(&["--report", "github"]);
    ran(command.env("GITHUB_STEP_SUMMARY", "no/such/folder.md")).exits(70).says("no/such/folder.md: No such file");
}

#[test]
fn more_repetitions_than_anybody_can_count_are_refused() {
    let folder = Folder::echo(GOOD_AND_BAD);
    folder.run(&["--repeat", "500001"]).exits(2).says("`--repeat 500001` makes 1000002 of 2 cases");
}

#[test]
fn a_case_that_takes_long_is_told_while_it_does() {
    let folder = Folder::echo(&[("waits", r#"{ sleep = "500ms" }"#)]);
    folder.run(&["--slow-after", "20ms"]).exits(0).says("SLOW").says("] s: waits");
    let slow: Vec<_> = folder
        .story()
        .kinds()
        .filter_map(|kind| match kind {
            EventKind::CaseSlow { title, running_ns } => Some((title.clone(), *running_ns >= 20_000_000)),
            _ => None,
        })
        .collect();
    assert!(slow.len() >= 2 && slow.iter().all(|slow| *slow == ("s: waits".to_owned(), true)), "{slow:?}");
    folder.run(&["--slow-after", "0s"]).exits(0).says_not("SLOW");
}
