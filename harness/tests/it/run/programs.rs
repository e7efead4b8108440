//! Programs that nobody here wrote, as targets.

use super::*;

#[test]
fn a_server_of_exactly_one_connection_is_not_used_up_by_looking_for_it() {
    let script = "connection.sendall(connection.recv(9))\nconnection.recv(9)\nos._exit(0)";
    let folder = Folder::with(&format!("{}{HELLO}", python_target(script)));
    folder.run(&[]).exits(0);
}

#[test]
fn a_program_is_found_from_the_folder_of_the_file_and_gets_its_environment() {
    let folder = Folder::new();
    folder.write("sub/server.sh", "#!/bin/sh\nexec python3 -c 'import os, socket, sys\nserver = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\nwhile True:\n    connection, _ = server.accept()\n    connection.sendall((os.environ[\"WORD\"] + os.path.basename(os.getcwd())).encode())\n    connection.close()\n' \"$1\"\n");
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.path().join("sub/server.sh");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    folder.write("sub/s.toml", "[target]\ncommand = [\"./server.sh\", \"${target.port}\"]\nenv = { WORD = \"in \" }\n[[case]]\nname = \"c\"\nsteps = [{ expect = \"in sub\" }, { expect_eof = true }]\n");
    ran(harness(folder.path()).args(["run", "sub/s.toml", "--out", "out"])).exits(0);
}

#[test]
fn what_a_target_wrote_is_kept_and_shown_with_a_failure() {
    let script = "print(\"a client came\", flush=True)\nconnection.sendall(b\"no\")";
    let folder = Folder::with(&format!("{}{HELLO}", python_target(script)));
    folder.run(&[]).exits(1).says("a client came");
    let failure = folder.story().failure().message.clone();
    assert!(failure.contains("expected `hello`, received `no"), "{failure}");
    let log = fs::read_to_string(folder.out().join("logs/s/server.stdout")).expect("it is kept");
    assert_eq!(log, "a client came\n");
}

#[test]
fn a_client_program_that_exits_wrongly_after_its_last_step_has_failed_and_not_crashed() {
    let folder = Folder::with(
        "[target.client]\ncommand = [\"python3\", \"-c\", \"import socket, sys; s = socket.create_connection((sys.argv[1], sys.argv[2])); s.send(b'x'); s.recv(1); sys.exit(18)\", \"127.0.0.1\", \"${server.port}\"]\nexpect_exit = 0\n\
         [actor.server]\nlisten = \"tcp://127.0.0.1:0\"\n[[case]]\nname = \"c\"\nsteps = [{ server.accept = \"c\" }, { c.expect = \"x\" }, { c.send = \"y\", then = \"close\" }]\n",
    );
    folder.run(&[]).exits(1).says("expected the target `client` to exit with status 0, got exit status 18");
}

#[test]
fn a_client_program_that_is_killed_has_crashed_whatever_its_status_should_be() {
    let folder = Folder::with(
        "[target.client]\ncommand = [\"python3\", \"-c\", \"import os, socket, sys; s = socket.create_connection((sys.argv[1], sys.argv[2])); s.send(b'x'); s.recv(1); os.abort()\", \"127.0.0.1\", \"${server.port}\"]\nexpect_exit = 0\n\
         [actor.server]\nlisten = \"tcp://127.0.0.1:0\"\n[[case]]\nname = \"c\"\nsteps = [{ server.accept = \"c\" }, { c.expect = \"x\" }, { c.send = \"y\", then = \"close\" }]\n",
    );
    folder.run(&[]).exits(6).says("the target `client` crashed: signal SIGABRT");
}

#[test]
fn a_client_program_that_ends_the_case_is_the_one_that_has_failed() {
    let client = |name: &str, end: &str| {
        format!(
            "[target.{name}]\ncommand = [\"python3\", \"-c\", \"import signal, socket, sys; s = socket.create_connection((sys.argv[1], sys.argv[2])); s.recv(1); {end}\", \"127.0.0.1\", \"${{to-{name}.port}}\"]\nexpect_exit = 0\n\
             [actor.to-{name}]\nlisten = \"tcp://127.0.0.1:0\"\n"
        )
    };
    let folder = Folder::with(&format!(
        "{}{}[[case]]\nname = \"c\"\nquiet = \"10s\"\nsteps = [{{ to-first.accept = \"a\" }}, {{ to-second.accept = \"b\" }}, {{ b.send = \"x\" }}]\n",
        client("first", "signal.pause()"),
        client("second", "sys.exit(3)"),
    ));
    folder.run(&[]).exits(1).says("expected the target `second` to exit with status 0, got exit status 3");
}
