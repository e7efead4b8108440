//! Exit codes: each by what it stands for, and the worst wins.

use super::*;

#[test]
fn what_holds_exits_with_0() {
    let folder = Folder::echo(&[("one", r#"{ send = "a" }, { expect = "a" }"#)]);
    folder.run(&[]).exits(0).says("1 passed");
    assert_eq!(folder.story().verdict(), Verdict::Passed);
}

#[test]
fn what_does_not_hold_exits_with_1_and_can_be_repeated_by_what_is_said() {
    let folder = Folder::echo(&[
        ("good", r#"{ send = "a" }, { expect = "a" }"#),
        ("it's \\\"bad\\\"", r#"{ send = { random = 4 }, save = "x" }, { expect = "${x}!" , within = "10ms" }, "#),
    ]);
    let ran = folder.run(&[]).exits(1).says("s.toml:8:51: ");
    let sent = folder.story().sent();
    let repeated = paste(folder.path(), &format!("{} --out again", ran.reproduce()));
    repeated.exits(1).says("1 case: 1 failed");
    let again = Story::read(&folder.path().join("again")).sent();
    assert_eq!(again[0].1, sent.iter().find(|(name, _)| name.contains("bad")).expect("it was played").1);
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let folder = Folder::echo(&[("one", r#"{ send = "a" }, { expect = "a" }"#)]);
    for args in [
        &["--bogus"][..],
        &["--jobs", "0"],
        &["--filter", "tag:"][..1],
        &["--filter", "nosuchkey:x"],
        &["--target", "nobody=tcp://127.0.0.1:1"],
        &["--target", "tcp://127.0.0.1"],
        &["--timeout", "5"],
        &["--report", "humna"],
    ] {
        folder.run(args).exits(2).says("error");
    }
    assert!(!folder.out().exists(), "nothing was played");
}

#[test]
fn an_invalid_file_exits_with_3_and_the_others_are_played() {
    let folder = Folder::echo(&[("one", r#"{ send = "a" }, { expect = "a" }"#)]);
    folder
        .write("broken.toml", "[target]\nbuiltin = \"tcp-ecko\"\n[[case]]\nname = \"c\"\nsteps = [{ sned = \"a\" }]\n");
    let ran = ran(harness(folder.path()).args(["run", ".", "--out", "out"])).exits(3);
    ran.says("broken.toml:2:11: unknown target `tcp-ecko`")
        .says("broken.toml:5:12: ")
        .says("did you mean `send`?")
        .says("1 passed");
}

#[test]
fn nothing_to_play_exits_with_4() {
    let folder = Folder::echo(&[("one", r#"{ send = "a" }"#)]);
    folder.run(&["--filter", "other"]).exits(4).says("none of 1 case");
    folder.write("empty/x.txt", "");
    ran(harness(folder.path()).args(["run", "empty", "--out", "out"])).exits(4);
    let skipped = Folder::with(
        "target.builtin = \"tcp-echo\"\n[[case]]\nname = \"c\"\nskip = \"later\"\nsteps = [{ send = \"a\" }]\n",
    );
    skipped.run(&[]).exits(4).says("later");
}

#[test]
fn a_target_that_is_not_there_exits_with_5() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("it is bound").port();
    drop(free);
    let folder = Folder::with(&format!("target.address = \"tcp://127.0.0.1:{port}\"\n{HELLO}"));
    folder.run(&[]).exits(5).says("nobody listens at");
    assert_eq!(folder.story().verdict(), Verdict::Unreachable);
    let folder = Folder::with(&format!("target.command = [\"no-such-program\", \"${{target.port}}\"]\n{HELLO}"));
    folder.run(&[]).exits(5).says("no-such-program");
}

#[test]
fn a_remote_address_is_refused() {
    let folder = Folder::with(&format!("target.address = \"tcp://192.0.2.1:7\"\n{HELLO}"));
    folder.run(&[]).exits(5).says("--allow-remote");
    let sent = folder.story().sent();
    assert!(sent.iter().all(|(_, data)| data.is_empty()));
}

#[test]
fn the_worst_wins() {
    let crash = python_target("connection.recv(9); os.kill(os.getpid(), signal.SIGSEGV)");
    let folder = Folder::echo(&[("fails", r#"{ send = "a" }, { expect = "b" }"#)]);
    folder.write("crash.toml", format!("{crash}{HELLO}"));
    ran(harness(folder.path()).args(["run", ".", "--out", "out"])).exits(6).says("1 failed").says("1 crashed");
}
