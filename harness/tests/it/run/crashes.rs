//! Targets that die, and targets that do not.

use super::*;

#[test]
fn a_signal_in_mid_case_is_a_crash_by_its_name() {
    let target = python_target(
        "connection.sendall(connection.recv(9))\nprint(\"last words\", file=sys.stderr, flush=True)\nconnection.recv(9)\nos.kill(os.getpid(), signal.SIGSEGV)",
    );
    let steps = r#"{ send = "a" }, { expect = "a" }, { send = "b" }, { expect = "b" }"#;
    let folder = Folder::with(&format!("{target}[[case]]\nname = \"c\"\nsteps = [{steps}]\n"));
    folder.run(&[]).exits(6).says("crashed: signal SIGSEGV (11)").says("last words");
    assert_eq!(folder.story().verdict(), Verdict::Crashed);
}

#[test]
fn a_crash_counts_even_when_every_step_has_held() {
    let target = python_target("connection.recv(9)\nos._exit(3)");
    let folder = Folder::with(&format!(
        "{target}[[case]]\nname = \"c\"\nsteps = [{{ send = \"a\" }}, {{ expect_eof = true }}]\n"
    ));
    folder.run(&[]).exits(6).says("exit status 3");
}

#[test]
fn a_crash_that_takes_its_time_after_the_last_step_is_a_crash() {
    let target = python_target("connection.recv(9)\nsum(range(1_000_000))\nos._exit(3)");
    let folder = Folder::with(&format!("{target}[[case]]\nname = \"c\"\nsteps = [{{ connect = true }}]\n"));
    folder.run(&[]).exits(6).says("exit status 3");
}

#[test]
fn an_exit_with_0_is_no_crash_and_the_steps_judge() {
    let target = python_target("connection.recv(9)\nos._exit(0)");
    let folder = Folder::with(&format!(
        "{target}[[case]]\nname = \"c\"\nsteps = [{{ send = \"a\" }}, {{ expect_eof = true }}]\n"
    ));
    folder.run(&[]).exits(0);
}

#[test]
fn a_wrong_status_is_a_case_of_its_own() {
    let target = python_target("connection.recv(9)\nos._exit(0)");
    let target = target.replace("[target.server]\n", "[target.server]\nexpect_exit = 7\n");
    let case = "[[case]]\nname = \"c\"\nsteps = [{ send = \"a\" }, { expect_eof = true }]\n";
    let folder = Folder::with(&format!("{target}{case}"));
    folder.run(&[]).exits(1).says("expected exit status 7").says("1 passed, 1 failed");
    let right = target.replace("os._exit(0)", "os._exit(7)");
    Folder::with(&format!("{right}{case}")).run(&[]).exits(0);
}

#[test]
fn a_target_started_for_each_case_has_a_port_of_its_own() {
    let target = python_target("connection.sendall(str(os.getpid()).encode())\nconnection.close()\nos._exit(0)");
    let target = target.replace("[target.server]\n", "[target.server]\nrestart = \"case\"\n");
    let case = |name| {
        format!(
            "[[case]]\nname = \"{name}\"\nsteps = [{{ expect = {{ regex = '^\\d+' }} }}, {{ expect_eof = true }}]\n"
        )
    };
    let folder = Folder::with(&format!("{target}{}{}", case("a"), case("b")));
    folder.run(&[]).exits(0).says("2 passed");
}

#[test]
fn a_target_that_has_to_be_killed_is_a_warning() {
    let target = python_target("connection.sendall(connection.recv(9))");
    let target = target
        .replace("while True:", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:")
        .replace("[target.server]\n", "[target.server]\nstop = { signal = \"SIGTERM\", within = \"100ms\" }\n");
    let folder = Folder::with(&format!("{target}{HELLO}"));
    folder.run(&[]).exits(0).says("had to be killed");
}
