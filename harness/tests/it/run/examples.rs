//! The scenarios that come with the project: what works, what each failure says, and what each mistake says.

use std::collections::BTreeSet;
use std::sync::Mutex;

use regex_automata::meta::Regex;
use snapbox::data::DataFormat;
use snapbox::{Data, assert_data_eq};

use super::*;

#[test]
fn every_scenario_holds() {
    let out = Folder::new();
    let ran = ran(harness(root()).args(["run", "scenarios", "--out"]).arg(out.path()));
    ran.exits(0).says(" passed");
    let verdicts = Story::read(out.path()).verdicts();
    assert!(verdicts.len() > 100, "{} cases", verdicts.len());
}

/// What differs from run to run, and what stands for it.
fn without_chance(text: &str, out: &Path) -> String {
    let rules = [
        // What is told of a case that takes long depends on the machine.
        (r"(?m)^ +SLOW .*\n", ""),
        (r"\[ *[0-9.]+(ns|us|ms|s)\]", "[TIME]"),
        (r"(?m)^ +[0-9.]+ms  ", "  TIME  "),
        (r"failed after [0-9.]+(ns|us|ms|s)", "failed after TIME"),
        (r"came [0-9.]+ms too early", "came TIME too early"),
        (r"(127\.0\.0\.1:)[0-9]+", "127.0.0.1:PORT"),
        (r"(note: command: .*) [0-9]{4,5}\n", "$1 PORT\n"),
        (r", core dumped", ""),
        // How a flood is cut into reads, and what its server says when nobody reads it any more.
        (r"[0-9,]+ bytes in [0-9,]+ reads", "MANY bytes in MANY reads"),
        (r"[0-9,]{9,} bytes that do not match", "MANY bytes that do not match"),
        (r"record full at [0-9,]+ bytes", "record full at MANY bytes"),
        (r"failing frame [0-9]{4,}", "failing frame MANY"),
        (r"wireshark -g [0-9]{4,}", "wireshark -g MANY"),
        (r"← +[0-9]{2},[0-9]{3} bytes  .*", "← MANY bytes"),
        (r"    stderr \| tcp peer .*\n", ""),
    ];
    let mut text = text.replace(out.to_str().expect("a plain path"), "OUT");
    for (pattern, stands) in rules {
        let regex = Regex::new(pattern).expect("a regular expression");
        let mut replaced = String::new();
        let mut from = 0;
        for captures in regex.captures_iter(&text) {
            let found = captures.get_match().expect("a match");
            replaced.push_str(&text[from..found.start()]);
            let first = captures.get_group(1).map_or("", |group| &text[group.range()]);
            replaced.push_str(&stands.replace("$1", first));
            from = found.end();
        }
        replaced.push_str(&text[from..]);
        text = replaced;
    }
    // How much of a long line of the timeline is shown depends on how long the times are that stand before it.
    let cut = |line: &str| match line.char_indices().nth(TIMELINE_MAX) {
        Some((at, _)) if line.starts_with("  TIME") => format!("{}…\n", &line[..at]),
        _ => format!("{line}\n"),
    };
    text.lines().map(cut).collect()
}

/// How many characters of a line of the timeline never depend on chance.
const TIMELINE_MAX: usize = 72;

/// Compares what is said of each file in a folder with the text beside it. `SNAPSHOTS=overwrite` writes it anew.
fn check_folder(folder: &str, say: impl Fn(&str) -> String + Sync) {
    let names = |extension: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join(folder)).expect("the folder is there");
        let paths = entries.map(|entry| entry.expect("it can be read").path());
        let of = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
        of.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
    };
    let files = names("toml");
    let wrong = Mutex::new(Vec::new());
    let queue = Mutex::new(files.iter());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(name) = queue.lock().expect("no panic holds it").next() else { break };
                    let said = say(&format!("{folder}/{name}.toml"));
                    let path = root().join(folder).join(format!("{name}.txt"));
                    let compared = std::panic::catch_unwind(|| {
                        assert_data_eq!(said, Data::read_from(&path, Some(DataFormat::Text)).raw());
                    });
                    if compared.is_err() {
                        wrong.lock().expect("no panic holds it").push(name);
                    }
                }
            });
        }
    });
    assert_eq!(wrong.into_inner().expect("no panic holds it"), Vec::<&String>::new(), "see above");
    assert_eq!(names("txt"), files, "every file has its text, and every text its file");
}

#[test]
fn every_failure_says_what_to_do_about_it() {
    check_folder("scenarios/failing", |file| {
        let out = Folder::new();
        let mut command = harness(root());
        command.args(["run", file, "--seed", "7", "--jobs", "1", "--out"]).arg(out.path());
        let ran = ran(&mut command);
        assert!(matches!(ran.code, Some(1 | 5 | 6)), "{file}: {:?}\n{}", ran.code, ran.stderr);
        for line in ["  what differed: ", "  reproduce: harness run "] {
            assert!(ran.stderr.contains(line), "{file}: `{line}` is missing in:\n{}", ran.stderr);
        }
        format!("exit code {}\n\n{}", ran.code.expect("no signal"), without_chance(&ran.stderr, out.path()))
    });
}

#[test]
fn every_mistake_in_a_file_is_told_with_its_place() {
    check_folder("scenarios/broken", |file| {
        let checked = ran(harness(root()).args(["check", file])).exits(3);
        assert!(checked.stderr.starts_with(&format!("{file}:")), "{}", checked.stderr);
        checked.stderr
    });
}

#[test]
fn what_cannot_work_or_was_hardly_meant_is_told_with_its_place() {
    check_folder("scenarios/linted", |file| {
        let checked = ran(harness(root()).args(["check", file]));
        assert!(checked.stderr.starts_with(&format!("{file}:")), "{}", checked.stderr);
        let said = checked.stderr.lines().filter(|line| line.starts_with(&format!("{file}:")));
        let fails = said.into_iter().any(|line| !line.contains(": warning: "));
        ran(harness(root()).args(["check", "--deny-warnings", file])).exits(3);
        checked.exits(if fails { 3 } else { 0 }).stderr
    });
}

#[test]
fn nothing_is_to_be_said_of_the_scenarios_that_come_with_the_project() {
    ran(harness(root()).args(["check", "--deny-warnings", "scenarios"])).exits(0);
    // What these two fail for is what is said of them.
    let told = ["case-deadline.toml", "not-connected.toml"];
    let entries = fs::read_dir(root().join("scenarios/failing")).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let files = paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let files = files.filter(|path| !told.iter().any(|name| path.ends_with(name)));
    ran(harness(root()).args(["check", "--deny-warnings"]).args(files)).exits(0);
}

#[test]
fn a_run_plays_what_lints_speak_of_and_tells_them_on_request() {
    let folder = Folder::echo(&[("x", r#"{ send = "a", mark = "sent" }, { expect = "a" }"#)]);
    let run = |more: &[&str]| ran(harness(folder.path()).args(["run", ".", "--out", "out"]).args(more)).exits(0).stderr;
    assert!(!run(&[]).contains("warning:"));
    assert!(run(&["-v"]).contains("warning: nothing counts from the mark `sent` [unused-mark]\n"));
    assert_eq!(ran(harness(folder.path()).args(["check", "-q", "."])).exits(0).stderr, "");
}

#[test]
fn a_broken_file_is_not_played() {
    let out = Folder::new();
    ran(harness(root()).args(["run", "scenarios/broken", "--out"]).arg(out.path())).exits(3);
    let story = Story::read(out.path());
    let played = |kind: &EventKind| {
        !matches!(kind, EventKind::RunStarted(_) | EventKind::RunFinished { .. } | EventKind::FileInvalid { .. })
    };
    assert!(!story.kinds().any(played));
}

#[test]
fn a_broken_file_keeps_no_other_from_being_played() {
    let folder = Folder::echo(&[("hello", r#"{ send = "hello" }, { expect = "hello" }"#)]);
    folder.write("broken.toml", "steps = 5\n");
    let ran = ran(harness(folder.path()).args(["run", ".", "--out", "out"]));
    ran.exits(3).says("broken.toml:1:9: ").says("PASS").says("1 case: 1 passed; 1 file invalid");
}
