//! What each option of `harness run` does.

use super::*;

const TWO: &[(&str, &str)] = &[
    ("one", r#"{ send = { random = 9 }, save = "x" }, { expect = "${x}" }"#),
    ("two", r#"{ send = "b" }, { expect = "b" }"#),
];

#[test]
fn a_filter_selects_by_name_and_tag() {
    let folder = Folder::echo(TWO);
    folder.run(&["--filter", "case:one"]).exits(0);
    assert_eq!(folder.story().verdicts(), [("one".to_owned(), Verdict::Passed)]);
    folder.run(&["--filter", "not case:one and tag:none or two"]).exits(0);
    assert_eq!(folder.story().verdicts(), [("two".to_owned(), Verdict::Passed)]);
}

#[test]
fn the_same_seed_sends_the_same_bytes_whatever_the_order() {
    let folder = Folder::echo(TWO);
    folder.run(&["--seed", "42", "--repeat", "3"]).exits(0);
    let first = folder.story().sent();
    folder.run(&["--seed", "42", "--repeat", "3", "--jobs", "1", "--shuffle"]).exits(0);
    assert_eq!(folder.story().sent(), first);
    folder.run(&["--seed", "43", "--repeat", "3"]).exits(0);
    assert_ne!(folder.story().sent(), first);
}

#[test]
fn many_repetitions_side_by_side_all_hold() {
    let folder = Folder::echo(TWO);
    folder.run(&["--repeat", "100", "--jobs", "16", "-q"]).exits(0).says("200 passed");
}

#[test]
fn a_target_can_be_elsewhere() {
    let folder = Folder::with(&format!("target.command = [\"false\", \"${{target.port}}\"]\n{HELLO}"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let server = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut client, _) = listener.accept().expect("a client");
        let mut hello = [0; 5];
        client.read_exact(&mut hello).expect("it says hello");
        client.write_all(&hello).expect("it listens");
        let _ = client.read(&mut hello);
    });
    folder.run(&["--target", &format!("target={url}")]).exits(0);
    server.join().expect("it served");
}

#[test]
fn a_variable_can_be_given() {
    let folder = Folder::with(
        "vars.word = \"a\"\ntarget.builtin = \"tcp-echo\"\n[[case]]\nname = \"c\"\nsteps = [{ send = \"${word}\" }, { expect = \"b\" }]\n",
    );
    folder.run(&[]).exits(1);
    folder.run(&["--var", "word=b"]).exits(0);
    ran(folder.command(&[]).env("HARNESS_VAR", "word=b")).exits(0);
}

#[test]
fn secrets_are_in_no_output() {
    let folder = Folder::with(
        "secret = [\"word\"]\nvars.word = \"hunter2-secret\"\ntarget.builtin = \"tcp-echo\"\n[[case]]\nname = \"c\"\nsteps = [{ send = \"x${word}\", split = [4] }, { expect = \"y${word}\" }]\n",
    );
    let ran = folder.run(&["--var", "word=hunter3-secret", "--report", "human,json"]).exits(1).says_not("hunter");
    assert!(!ran.stdout.contains("hunter"), "{}", ran.stdout);
    let mut files = vec![folder.out()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).expect("it is ours").map(|entry| entry.expect("it is ours").path()));
            continue;
        }
        let bytes = fs::read(&path).expect("it is ours");
        let found = bytes.windows(6).any(|window| window == b"hunter");
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn a_secret_may_be_a_word_of_the_stream() {
    let folder = Folder::with(
        "secret = [\"word\"]\nvars.word = \"pass\"\ntarget.builtin = \"tcp-echo\"\n[[case]]\nname = \"c\"\nsteps = [{ send = \"${word}\" }, { expect = \"${word}\" }]\n",
    );
    for word in ["pass", "tcp", "e"] {
        folder.run(&["--var", &format!("word={word}")]).exits(0);
    }
}

#[test]
fn what_a_case_has_found_is_in_no_output_of_what_comes_later() {
    let folder = Folder::with(
        r#"
secret = ["word"]
[target]
command = ["python3", "-c", """
import socket, sys
server = socket.create_server(("127.0.0.1", ${target.port}))
for answer in [b"hunter2", b"other"]:
    client = server.accept()[0]
    print("hunter2", file=sys.stderr, flush=True)
    client.sendall(answer)
    client.close()
server.accept()
"""]
address = "tcp://127.0.0.1:${target.port}"
[actor.client]
connect = "target"
[[case]]
name = "finds"
steps = [{ expect = { regex = "(?<word>.*2)" } }, { expect_eof = true }]
[[case]]
name = "fails"
steps = [{ expect = "it" }]
"#,
    );
    folder.run(&["--jobs", "1"]).exits(1).says("stderr | *******").says_not("hunter");
}

#[test]
fn a_timeout_bounds_each_case_and_a_budget_the_run() {
    let folder = Folder::echo(&[("slow", r#"{ sleep = "60s" }"#)]);
    folder.run(&["--timeout", "50ms"]).exits(1).says("within 50ms");
    folder.run(&["--time-budget", "50ms"]).exits(9);
    assert_eq!(folder.story().verdict(), Verdict::Interrupted);
}

#[test]
fn the_first_failure_can_end_the_run() {
    let folder = Folder::echo(&[
        ("bad", r#"{ send = "a" }, { expect = "b" }"#),
        ("good", r#"{ send = "a" }, { expect = "a" }"#),
    ]);
    folder.run(&["--fail-fast", "--jobs", "1"]).exits(1);
    assert_eq!(folder.story().verdicts(), [("bad".to_owned(), Verdict::Failed)]);
}

#[test]
fn without_out_results_lie_below_reports_and_latest_points_there() {
    let folder = Folder::echo(TWO);
    ran(harness(folder.path()).args(["run", "s.toml"])).exits(0).says("results in reports/");
    let latest = folder.path().join("reports/latest");
    assert!(latest.join("events.ndjson").is_file() && latest.join("junit.xml").is_file());
    assert!(latest.join("captures/s/one.pcapng").is_file());
}

#[test]
fn json_on_stdout_is_the_stream_in_the_folder() {
    let folder = Folder::echo(TWO);
    let ran = folder.run(&["--report", "json"]).exits(0);
    assert_eq!(ran.stdout, fs::read_to_string(folder.out().join("events.ndjson")).expect("it is there"));
    assert_eq!(ran.stderr, "");
}
