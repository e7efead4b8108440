//! Servers that lie, one way at a time: what is said of each, where, with which exit code, and at what cost.

use std::collections::BTreeMap;

use harness::event::FailureKind;
use targets::faulty::LIES;

use super::*;

/// Plays the scenario that has to notice a lie: its exit code, and where and as what its one case failed.
#[track_caller]
fn check(lie: &str, code: i32, verdict: Verdict, kind: FailureKind, place: (u32, u32)) {
    let row = LIES.iter().find(|row| row.name == lie).expect("it is in the table");
    let path = format!("scenarios/failing/{}", row.caught_by.expect("somebody notices it"));
    let out = Folder::new();
    ran(harness(root()).args(["run", &path, "--out"]).arg(out.path())).exits(code);
    let story = Story::read(out.path());
    let failure = story.failure();
    assert_eq!((story.verdict(), failure.kind), (verdict, kind), "{failure:?}");
    assert_eq!((failure.place.line, failure.place.column), place, "{failure:?}");
}

#[test]
fn a_wrong_byte() {
    check("wrong-byte", 1, Verdict::Failed, FailureKind::Mismatch, (11, 5));
}

#[test]
fn a_byte_too_many() {
    check("trailing-byte", 1, Verdict::Failed, FailureKind::Leftover, (11, 5));
}

#[test]
fn a_reset_in_place_of_a_close() {
    check("reset", 1, Verdict::Failed, FailureKind::Reset, (13, 5));
}

#[test]
fn an_answer_that_is_late() {
    check("late", 1, Verdict::Failed, FailureKind::Timeout, (11, 5));
}

#[test]
fn a_datagram_that_comes_twice() {
    check("duplicate", 1, Verdict::Failed, FailureKind::Leftover, (15, 5));
}

#[test]
fn an_answer_before_its_question() {
    check("early", 1, Verdict::Failed, FailureKind::Leftover, (11, 5));
}

#[test]
fn a_server_that_says_nothing() {
    check("silent", 1, Verdict::Failed, FailureKind::Timeout, (11, 5));
}

#[test]
fn half_an_answer() {
    check("half", 1, Verdict::Failed, FailureKind::Closed, (11, 5));
}

#[test]
fn an_exit_in_place_of_an_answer() {
    check("exit", 6, Verdict::Crashed, FailureKind::Crash, (12, 5));
}

#[test]
fn a_crash_in_place_of_an_answer() {
    check("crash", 6, Verdict::Crashed, FailureKind::Crash, (12, 5));
}

#[test]
fn a_flood_is_met_within_a_bound_of_memory() {
    let out = Folder::new();
    let script = "import resource, subprocess, sys\nsubprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n\
                  print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(program());
    command.args(["run", "scenarios/failing/liar-flood.toml", "--out"]);
    let output = command.arg(out.path()).current_dir(root()).output().expect("python is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let peak_kib: u64 = text.trim().parse().expect("it prints a number");
    let story = Story::read(out.path());
    assert_eq!((story.failure().kind, story.failure().place.line), (FailureKind::Limit, 11));
    // 64 MiB unread, as much recorded, and the capture of that as it is written; the flood is 1 GiB.
    assert!((64 << 10..512 << 10).contains(&peak_kib), "{peak_kib} KiB");
}

#[test]
fn a_lie_is_noticed_every_time_while_others_lie_beside_it() {
    let files = LIES.iter().filter(|row| row.name != "flood").filter_map(|row| row.caught_by);
    let out = Folder::new();
    let mut command = harness(root());
    command.args(["run", "--repeat", "5", "--jobs", "16", "--record", "off", "--out"]).arg(out.path());
    ran(command.args(files.map(|file| format!("scenarios/failing/{file}")))).exits(6);
    let mut verdicts: BTreeMap<String, Vec<Verdict>> = BTreeMap::new();
    for (name, verdict) in Story::read(out.path()).verdicts() {
        let name = name.split(" #").next().expect("a name").to_owned();
        verdicts.entry(name).or_default().push(verdict);
    }
    assert_eq!(verdicts.len(), LIES.len() - 2, "{verdicts:?}");
    for (name, verdicts) in verdicts {
        let expected = if ["crash", "exit"].contains(&name.as_str()) { Verdict::Crashed } else { Verdict::Failed };
        assert_eq!(verdicts, [expected; 5], "{name}");
    }
}

#[test]
fn the_truth_holds() {
    let text = "[target]\nbuiltin = \"liar\"\n\n[[case]]\nname = \"c\"\nsteps = [{ send = \"ping\\n\" }, { expect = \"pong\\n\" }, { shutdown = \"write\" }, { expect_eof = true }]\n";
    Folder::with(text).run(&[]).exits(0);
}

#[test]
fn an_unknown_lie_is_a_mistake_of_the_file() {
    let text = "[target]\nbuiltin = \"liar\"\nsettings = { lie = \"honest\" }\n\n[[case]]\nname = \"c\"\nsteps = [{ connect = true }]\n";
    Folder::with(text).run(&[]).exits(3).says("s.toml:3:12: `lie`: expected one of `crash`").says("got `honest`");
}

#[test]
fn a_server_in_a_process_of_its_own_is_served_under_tls_with_a_certificate_of_the_run() {
    let text = "[target]\nbuiltin = \"liar\"\nlisten = \"tls://127.0.0.1:0\"\n\n[[case]]\nname = \"c\"\nsteps = [{ connect = true }]\n";
    let folder = Folder::with(text);
    folder.run(&[]).exits(0);
    assert!(folder.story().kinds().any(|kind| matches!(kind, EventKind::TlsEstablished { .. })));
    let own = text.replace("\n\n", "\ntls = { server_name = \"example.org\" }\n\n");
    Folder::with(&own).run(&[]).exits(3).says("4:1: `liar` has a process of its own");
    let limited = text.replace("liar", "tcp-echo").replace("\n\n", "\nlimits = { memory = \"1GiB\" }\n\n");
    Folder::with(&limited).run(&[]).exits(3).says("4:1: `limits` are for a process that the run starts");
}
