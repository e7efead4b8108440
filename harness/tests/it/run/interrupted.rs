//! A run that ends early: by Ctrl-C, and by `kill -9`.

use std::io::Read as _;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::*;

/// Waits for something that another process does; far longer than it takes.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// A run in which one case waits for ever, with a Python server.
fn endless() -> Folder {
    let target = python_target("connection.sendall(connection.recv(9))");
    Folder::with(&format!(
        "{target}[[case]]\nname = \"c\"\nsteps = [{{ send = \"a\" }}, {{ expect = \"a\" }}, {{ sleep = \"10m\" }}]\n"
    ))
}

fn target_pid(folder: &Folder) -> Option<Pid> {
    let events = fs::read_to_string(folder.out().join("events.ndjson")).ok()?;
    let (_, rest) = events.split_once("\"pid\":")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Pid::from_raw(digits.parse().ok()?)
}

#[test]
fn ctrl_c_saves_what_there_is_and_exits_with_9() {
    let folder = endless();
    let mut child = folder.command(&[]).stderr(Stdio::piped()).spawn().expect("it was built");
    until("the target is up", || target_pid(&folder).is_some());
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let mut said = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
    assert_eq!(child.wait().expect("it ends").code(), Some(9), "{said}");
    assert_eq!(folder.story().verdict(), Verdict::Interrupted);
    assert!(fs::read_to_string(folder.out().join("junit.xml")).expect("it is there").contains("</testsuites>"));
}

#[test]
fn a_killed_run_leaves_no_target_and_a_capture_that_reads() {
    let folder = endless();
    let mut child = folder.command(&["-q"]).spawn().expect("it was built");
    let capture = folder.out().join("captures/s/c.pcapng");
    until("there is a first capture", || capture.is_file());
    let target = target_pid(&folder).expect("it is told when it starts");
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    until("the target is gone", || test_kill_process(target).is_err());
    let bytes = fs::read(&capture).expect("it is there");
    assert!(harness::capture::check(&bytes).expect("it is a whole capture").packets >= 5);
}
