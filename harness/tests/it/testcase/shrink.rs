//! `harness shrink` and `harness replay` as their users meet them: real servers with planted bugs.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use harness::event::{EventKind, Verdict};
use harness::scenario::{About, Known};
use harness::testcase::{TestCase, step};

use super::line_server;
use crate::run::{Folder, Ran, harness, ran};

/// Time enough for a machine that has other things to do.
const BUDGET: &str = "--shrink-budget=300s";

fn steps(messages: &[&str]) -> String {
    messages
        .iter()
        .map(|message| format!("  {{ send = \"{message}\\n\" }},\n  {{ expect = {{ any = true }} }},\n"))
        .collect()
}

/// A folder with a server and one case that sends these lines and takes any answer to each.
fn folder(server: &str, messages: &[&str]) -> Folder {
    Folder::with(&format!("{}[[case]]\nname = \"c\"\nsteps = [\n{}]\n", line_server(server), steps(messages)))
}

#[track_caller]
fn shrink(folder: &Folder, args: &[&str]) -> Ran {
    ran(harness(folder.path()).args(["shrink", "s.toml", "--out", "out", BUDGET]).args(args))
}

#[track_caller]
fn replay(folder: &Folder, args: &[&str]) -> Ran {
    ran(harness(folder.path()).args(["replay", "--out", "again"]).args(args))
}

#[track_caller]
fn small(folder: &Folder, file: &str) -> TestCase {
    let known = Known { read: Some(harness::document::read_text), ..Known::default() };
    let read = TestCase::read(&folder.path().join(file), &known, None);
    read.unwrap_or_else(|error| panic!("{error}"))
}

/// What the messages of a case are, in order.
#[track_caller]
fn said(case: &TestCase) -> Vec<String> {
    let sends = case.lanes()[0].1.iter().filter(|item| step::verb(item) == Some("send"));
    sends.map(|item| step::parts(item).and_then(|(_, table)| table.get("send")?.text()).expect("text")).collect()
}

/// Remembers on a connection, and dies of three messages in order.
const THREE: &str = "if line[:1] == b\"A\": seen = [1]\n\
    if line[:1] == b\"B\" and seen == [1]: seen = [1, 2]\n\
    if line[:1] == b\"C\" and line[-1:] == b\"\\n\" and seen == [1, 2]: os.kill(os.getpid(), 11)\n\
    connection.sendall(line)";

#[test]
fn a_crash_is_made_small_and_the_small_case_fails_by_itself() {
    let lines = ["a", "A", "b", "B", "c", "C", "d"];
    let folder = folder(THREE, &lines);
    let ran = shrink(&folder, &[]).exits(0).says("CRASH").says("deterministic");
    assert_eq!(ran.stdout, "out/s.toml\n");
    let case = small(&folder, "out/s.toml");
    assert_eq!(said(&case), ["A\n", "B\n", "C\n"]);
    assert_eq!(case.lanes()[0].1.len(), 4, "{}", case.text());
    let About { kind, fingerprint, verdict, .. } = &case.about;
    let known = [kind, fingerprint, verdict].map(|text| text.as_deref().unwrap_or_default());
    assert_eq!(known, ["crash", "signal SIGSEGV", "deterministic"]);
    let capture = fs::read(folder.path().join("out/s.pcapng")).expect("it is beside it");
    assert!(harness::capture::check(&capture).is_ok());
    crate::run::ran(harness(folder.path()).args(["run", "out/s.toml"])).exits(6);

    replay(&folder, &["out/s.toml"]).exits(6).says("failed: it failed in 3 of 3 plays").says_not("differs");
    // The server is mended: the same file says so.
    let text = fs::read_to_string(folder.path().join("out/s.toml")).expect("it was written");
    folder.write("cases/s.toml", text.replace("os.kill(os.getpid(), 11)", "pass"));
    fs::copy(folder.path().join("out/s.pcapng"), folder.path().join("cases/s.pcapng")).expect("a copy");
    replay(&folder, &[])
        .exits(0)
        .says("fixed: it held in 3 plays")
        .says("the target closed it then, and left it open now");
}

#[test]
fn the_cases_before_it_are_part_of_it_if_it_takes_them() {
    let server =
        "if line == b\"P\\n\": seen.append(1)\nif line == b\"U\\n\" and seen: os._exit(4)\nconnection.sendall(line)";
    let mut text = line_server(server);
    for (at, line) in ["a", "P", "b", "U"].iter().enumerate() {
        text.push_str(&format!("[[case]]\nname = \"c{at}\"\nsteps = [\n{}]\n", steps(&[line])));
    }
    let folder = Folder::with(&text);
    shrink(&folder, &[])
        .exits(0)
        .says("needs-history")
        .says("it fails each time, but only after the 2 cases before it");
    let case = small(&folder, "out/s.toml");
    assert_eq!(said(&case), ["P\n", "U\n"]);
    assert_eq!(case.about.verdict.as_deref(), Some("needs-history"));
}

#[test]
fn a_wrong_answer_stays_the_same_wrong_answer() {
    let server = "connection.sendall(b\"BUG\\n\" if b\"!\" in line and b\"?\" in line else b\"ok\\n\" if line.strip() else b\"empty\\n\")";
    let long = format!("{}!{}?{}", "x".repeat(9), "y".repeat(9), "z".repeat(9));
    let text = line_server(server);
    let steps = format!(
        "  {{ send = \"h\\n\" }},\n  {{ expect = \"ok\\n\" }},\n  {{ send = \"{long}\\n\" }},\n  {{ expect = \"ok\\n\" }},\n"
    );
    let folder = Folder::with(&format!("{text}[[case]]\nname = \"c\"\nsteps = [\n{steps}]\n"));
    shrink(&folder, &[]).exits(0).says("wrong-answer: expect mismatch, received `BUG\\n`");
    assert_eq!(said(&small(&folder, "out/s.toml")), ["!?\n"]);
    replay(&folder, &["out/s.toml", "--tries", "1"]).exits(1).says("failed: it failed in 1 of 1 play");
}

#[test]
fn a_failure_that_is_another_has_a_file_of_its_own() {
    let server = "if line == b\"I\\n\": seen = [1]\n\
        if line == b\"O\\n\": os.kill(os.getpid(), 6) if seen else os._exit(5)\n\
        connection.sendall(line)";
    let folder = folder(server, &["a", "I", "b", "O"]);
    shrink(&folder, &[]).exits(0).says("another failure: crash: exit status 5: out/s-2.toml");
    assert_eq!(said(&small(&folder, "out/s.toml")), ["I\n", "O\n"]);
    let other = small(&folder, "out/s-2.toml");
    assert_eq!(other.about.fingerprint.as_deref(), Some("exit status 5"));
    ran(harness(folder.path()).args(["run", "out/s-2.toml"])).exits(6);
}

#[test]
fn whoever_is_killed_leaves_the_best_so_far() {
    let lines: Vec<String> = (0..30).map(|at| format!("m{at}")).collect();
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    (lines[5], lines[15], lines[29]) = ("A", "B", "C");
    let folder = folder(THREE, &lines);
    let mut command = harness(folder.path());
    command.args(["shrink", "s.toml", "--out", "out", BUDGET]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it was built");
    // As soon as it has said how far it is, there is something better on disk.
    let mut said_so_far = String::new();
    let stderr = std::io::BufReader::new(child.stderr.take().expect("it is piped"));
    for line in std::io::BufRead::lines(stderr) {
        said_so_far = line.expect("text");
        if said_so_far.contains(" replays, ") {
            break;
        }
    }
    assert!(said_so_far.contains(" replays, "), "{said_so_far}");
    child.kill().expect("it is still at it");
    child.wait().expect("it is ours");
    let case = small(&folder, "out/s.toml");
    assert!(said(&case).len() < 30, "{}", case.text());
    ran(harness(folder.path()).args(["run", "out/s.toml"])).exits(6);
}

#[test]
fn what_does_not_fail_is_not_made_smaller() {
    let folder = Folder::with(
        "[target]\nbuiltin = \"tcp-echo\"\n[[case]]\nname = \"c\"\nsteps = [{ send = \"a\" }, { expect = \"a\" }]\n",
    );
    shrink(&folder, &[]).exits(4).says("nothing fails in `s.toml`");
    assert!(!folder.path().join("out").exists());
    shrink(&folder, &["--case", "d"]).exits(2).says("there is no case `d`");
}

/// A stored case of which this is known.
fn stored(about: &str, expected: &str) -> String {
    format!(
        "[about]\n{about}\n[target]\nbuiltin = \"tcp-echo\"\n[[case]]\nname = \"c\"\nsteps = [{{ send = \"a\" }}, {{ expect = \"{expected}\" }}]\n"
    )
}

#[track_caller]
fn check(about: &str, expected: &str, code: i32, says: &str) {
    let folder = Folder::new();
    folder.write("cases/deep/c.toml", stored(about, expected));
    replay(&folder, &[]).exits(code).says(says);
}

#[test]
fn a_known_failure_is_none_until_its_day() {
    check("", "b", 1, "failed: it failed in 3 of 3 plays");
    check("status = \"known\"\nissue = \"example/x#7\"", "b", 0, "XFAIL");
    check("status = \"known\"\nuntil = \"9999-01-01\"", "b", 0, "until 9999-01-01");
    check("status = \"known\"\nuntil = 2020-01-31", "b", 1, "and only until 2020-01-31, which is over");
    check("status = \"known\"\nissue = \"example/x#7\"", "a", 0, "it is fixed, so `status = \"known\"` can go");
}

#[test]
fn a_failure_that_is_not_the_stored_one_is_told_with_both() {
    check("kind = \"crash\"\nfingerprint = \"signal SIGSEGV\"", "b", 1, "stored: crash: signal SIGSEGV");
}

#[test]
fn what_is_no_longer_valid_is_stale() {
    let folder = Folder::new();
    folder.write("cases/c.toml", stored("", "a").replace("expect", "exspect"));
    replay(&folder, &[]).exits(3).says("is stale").says("exspect");
    folder.write("cases/c.toml", stored("kind = \"bug\"", "a"));
    replay(&folder, &[]).exits(3).says("`kind` is one of");
    fs::remove_dir_all(folder.path().join("cases")).expect("it is ours");
    replay(&folder, &[]).exits(3).says("cannot read `cases`");
    folder.write("cases/.keep", "");
    replay(&folder, &[]).exits(4).says("there are no stored cases in `cases`");
}

#[test]
fn what_comes_and_goes_is_flaky() {
    let folder = Folder::new();
    // Every second start of it answers wrongly.
    let server = line_server(
        "n = os.path.exists(\"odd\")\n(os.remove if n else lambda p: open(p, \"w\").close())(\"odd\")\nconnection.sendall(b\"no\\n\" if n else line)",
    );
    folder.write(
        "cases/c.toml",
        format!("{server}[[case]]\nname = \"c\"\nsteps = [\n  {{ send = \"a\\n\" }},\n  {{ expect = \"a\\n\" }},\n]\n"),
    );
    replay(&folder, &["--tries", "4"]).exits(7).says("flaky: it failed in 2 of 4 plays");
    replay(&folder, &["--tries", "4", "--flaky", "pass"]).exits(0);
}

#[test]
fn a_replay_is_a_run_that_every_reporter_tells() {
    let folder = Folder::new();
    folder.write("cases/a.toml", stored("", "a"));
    folder.write("cases/b.toml", stored("", "b"));
    let ran = replay(&folder, &["--report", "json"]).exits(1);
    let events: Vec<harness::event::Event> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect();
    let fates: Vec<&str> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Replayed(replayed) => Some(replayed.fate.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(fates, ["fixed", "failed"]);
    let story = crate::run::Story::read(&folder.path().join("again"));
    assert_eq!(story.verdicts(), [("c".to_owned(), Verdict::Passed), ("c".to_owned(), Verdict::Failed)]);
    assert!(folder.path().join("again/junit.xml").exists());
    assert!(Path::new(&folder.path().join("again/captures/b.pcapng")).exists());
    ran_report(&folder);
}

/// The stored stream renders again.
#[track_caller]
fn ran_report(folder: &Folder) {
    let told = ran(harness(folder.path()).args(["report", "again"])).exits(0);
    assert!(told.stdout.contains("fixed: it held in 3 plays"), "{}", told.stdout);
}
