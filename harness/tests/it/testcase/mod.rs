//! A conversation as a value: taken out of a file, changed, written, read back and played in this process.

mod shrink;

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::document::{Node, Table};
use harness::event::Verdict;
use harness::runner::process::Guard;
use harness::scenario::{About, Known};
use harness::testcase::{Class, Player, TakeError, TestCase, step};

/// A player, and the folder that it leaves things in.
pub(super) fn player() -> (Player, tempfile::TempDir) {
    let scratch = tempfile::tempdir().expect("a folder");
    let guard = Guard::new(super::run::program(), "test");
    (Player::new(guard, scratch.path()), scratch)
}

/// A server in Python that does `script` with each `line` of each connection, as a target. It is started again and again, so it
/// does without whatever takes its time to be imported.
pub(super) fn line_server(script: &str) -> String {
    let indented: String = script.lines().map(|line| format!("        {line}\n")).collect();
    format!(
        "[target]\ncommand = [\"python3\", \"-I\", \"-S\", \"-u\", \"-c\", '''\n{SERVER}{indented}    connection.close()\n''', \"${{target.port}}\"]\n"
    )
}

const SERVER: &str = r#"import _socket, os, sys
def lines(connection):
    rest = b""
    while data := connection.recv(65536):
        *whole, rest = (rest + data).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest
server = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
server.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen(16)
seen = []
count = 0
while True:
    connection = _socket.socket(fileno=server._accept()[0])
    count += 1
    for line in lines(connection):
"#;

fn known() -> Known {
    Known { seed: 1, read: Some(harness::document::read_text), ..Known::default() }
}

#[track_caller]
pub(super) fn case(text: &str) -> TestCase {
    let case = TestCase::from_scenario(Path::new("s.toml"), text, &known(), None);
    case.unwrap_or_else(|error| panic!("{error}"))
}

const ECHO: &str =
    "[target]\nbuiltin = \"tcp-echo\"\n[[case]]\nname = \"c\"\nsteps = [{ send = \"a\" }, { expect = \"a\" }]\n";

#[test]
fn what_is_written_is_read_back_and_plays_the_same() {
    let (player, folder) = player();
    let mut case = case(ECHO);
    case.about = About {
        kind: Some("wrong-answer".into()),
        probability: Some(0.5),
        message: Some("got ${x}".into()),
        ..About::default()
    };
    case.notes.push("one line\nand another".into());
    case.step_notes.push(("steps".into(), 1, "this is what fails".into()));
    let path = folder.path().join("cases/a.toml");
    let written = case.write(&path, None).expect("the folder is writable");
    let read = TestCase::read(&path, &known(), None).expect("it is valid");
    assert_eq!((read.content(), &read.about), (written.content(), &written.about));
    let text = std::fs::read_to_string(&path).expect("it was written");
    assert!(text.starts_with("# one line\n# and another\n\nname = \"s\"\nseed = 1\n\n[about]\n"), "{text}");
    assert!(text.contains("  # this is what fails\n  { expect = \"a\" },\n"), "{text}");
    assert_eq!(player.play(&read).expect("it plays").verdict, Verdict::Passed);
}

#[test]
fn other_steps_are_played_on_the_same_targets() {
    let (player, _folder) = player();
    let base = case(ECHO);
    let steps = vec![
        step::split(step::send(None, &[0, 0xff, b'x']), &[1]),
        step::expect(None, &[0, 0xff, b'x']),
        step::sleep(Duration::from_millis(1)),
        step::send_raw(None, b"${literally}"),
        step::expect(None, b"${literally}"),
        step::half_close(None),
        step::expect_eof(None),
    ];
    let played = player.play(&base.like("made", steps)).expect("it plays");
    assert_eq!((played.verdict, played.failed), (Verdict::Passed, None));
    let played = player.play(&base.like("wrong", vec![step::send(None, b"a"), step::expect(None, b"b")]));
    let played = played.expect("it plays");
    let failed = played.failed.as_ref().expect("it fails");
    assert_eq!(
        (failed.class, failed.fingerprint(true).as_str()),
        (Class::WrongAnswer, "expect mismatch, received `a`")
    );
    assert_eq!(played.step, Some(1));
    assert!(harness::capture::check(&played.capture().expect("there was a case")).is_ok());
}

#[test]
fn several_connections_of_a_file_without_actors() {
    let (player, _folder) = player();
    let mut base = case(ECHO);
    assert_eq!(base.connections(1), [None]);
    let names = base.connections(2);
    assert_eq!(names, [Some("client[0]".to_owned()), Some("client[1]".to_owned())]);
    let names: Vec<Option<&str>> = names.iter().map(Option::as_deref).collect();
    let steps = vec![
        step::send(names[0], b"0"),
        step::send(names[1], b"1"),
        step::expect(names[0], b"0"),
        step::expect(names[1], b"1"),
    ];
    assert_eq!(player.play(&base.like("two", steps)).expect("it plays").verdict, Verdict::Passed);
}

#[test]
fn a_panic_that_nobody_notices_is_a_failure_all_the_same() {
    let (player, _folder) = player();
    let server = line_server(
        "sys.stderr.write(\"thread 'worker' panicked at src/x.rs:7:1:\\nno\\n\")\nconnection.sendall(line)",
    );
    let case =
        case(&format!("{server}[[case]]\nname = \"c\"\nsteps = [{{ send = \"a\\n\" }}, {{ expect = \"a\\n\" }}]\n"));
    let played = player.play(&case).expect("it plays");
    assert_eq!(played.verdict, Verdict::Passed);
    let failed = played.failed.expect("there was a panic");
    assert_eq!((failed.class, failed.place.as_str()), (Class::Panic, "panicked at src/x.rs:7"));
}

#[test]
fn a_crash_that_is_seen_after_the_last_step_is_one() {
    let (player, _folder) = player();
    let server = line_server("os.kill(os.getpid(), 11)");
    let text = format!(
        "{server}[[case]]\nname = \"c\"\nsteps = [{{ send = \"a\\n\" }}, {{ drain = true, quiet = \"4s\" }}]\n"
    );
    let played = player.play(&case(&text)).expect("it plays");
    let failed = played.failed.expect("it crashed");
    assert_eq!((failed.class, failed.place.as_str()), (Class::Crash, "signal SIGSEGV"));
}

#[test]
fn cases_before_it_are_its_history() {
    let (player, _folder) = player();
    let server = line_server("if count == 3: os._exit(9)\nconnection.sendall(line)");
    let text = format!("{server}[[case]]\nname = \"c\"\nsteps = [{{ send = \"a\\n\" }}, {{ expect = \"a\\n\" }}]\n");
    let case = case(&text);
    assert_eq!(player.play(&case).expect("it plays").failed, None);
    let joined = case.after(std::slice::from_ref(&case));
    assert_eq!(player.play(&joined).expect("it plays").failed, None);
    let joined = case.after(&[case.clone(), case.clone()]);
    let failed = player.play(&joined).expect("it plays").failed.expect("the third connection ends it");
    assert_eq!(failed.place, "exit status 9");
}

#[test]
fn paths_start_from_wherever_the_case_is_written() {
    let (player, folder) = player();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
    };
    write("project/data/hello.bin", "hello");
    write("project/server.py", include_str!("echo.py"));
    write("project/common/say.toml", "[fragment.say]\nsteps = [{ send = { file = \"../data/hello.bin\" } }]\n");
    let text = "include = \"common/say.toml\"\n[target]\ncommand = [\"python3\", \"server.py\", \"${target.port}\"]\n\
        [[case]]\nname = \"c\"\nsteps = [{ use = \"say\" }, { expect = \"hello\" }]\n";
    write("project/s.toml", text);
    let case = TestCase::read(&folder.path().join("project/s.toml"), &known(), None).expect("it is valid");
    assert_eq!(player.play(&case).expect("it plays").failed, None);
    let path: PathBuf = folder.path().join("elsewhere/deep/c.toml");
    case.write(&path, None).expect("the folder is writable");
    let text = std::fs::read_to_string(&path).expect("it was written");
    assert!(text.contains("file = \"../../project/data/hello.bin\""), "{text}");
    assert!(text.contains("cwd = \"../../project\""), "{text}");
    let read = TestCase::read(&path, &known(), None).expect("it is valid");
    assert_eq!(player.play(&read).expect("it plays").failed, None);
    assert!(
        std::fs::read_dir(folder.path())
            .expect("it is there")
            .flatten()
            .all(|entry| { !entry.file_name().to_string_lossy().starts_with("play-") })
    );
}

#[test]
fn a_case_has_to_be_named_where_there_are_several() {
    let text = format!("{ECHO}[[case]]\nname = \"d\"\nsteps = [{{ send = \"b\" }}]\n");
    let take = |name| TestCase::from_scenario(Path::new("s.toml"), &text, &known(), name);
    assert_eq!(take(None), Err(TakeError::Several(2)));
    assert_eq!(take(Some("d")).expect("it is there").name(), "d");
    assert!(matches!(take(Some("e")), Err(TakeError::NoSuchCase { .. })));
}

#[test]
fn a_changed_case_may_be_invalid() {
    let (player, _folder) = player();
    let mut case = case(ECHO);
    case.lane_mut("steps").expect("it has steps").push(Table::of([("sennd", Node::from("a"))]).into());
    assert!(matches!(player.play(&case), Err(harness::testcase::PlayError::Invalid(_))));
}
