//! The line at the bottom of a terminal: there while the run goes on, in nobody's way, and gone at the end.

use super::*;

/// Runs a program with a terminal of 100 columns as its stderr, and writes down what the terminal was told.
const IN_TERMINAL: &str = r#"
import fcntl, os, pty, struct, subprocess, sys, termios
ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
child = subprocess.Popen(sys.argv[1:], stderr=theirs)
os.close(theirs)
told = b""
while True:
    try:
        told += os.read(ours, 65536)
    except OSError:
        break
sys.stdout.buffer.write(told)
sys.exit(child.wait())
"#;

/// Runs two cases, of which one waits until the line was shown a few times, in a terminal.
fn in_terminal(args: &[&str], variables: &[(&str, &str)]) -> String {
    let folder = Folder::echo(&[("quick", r#"{ send = "a" }, { expect = "a" }"#), ("waits", r#"{ sleep = "600ms" }"#)]);
    let inner = folder.command(args);
    let mut command = Command::new("python3");
    command.args(["-c", IN_TERMINAL]).arg(inner.get_program()).args(inner.get_args());
    command.current_dir(folder.path()).stdin(Stdio::null());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env_remove("CI").env("TERM", "xterm").envs(variables.iter().copied());
    ran(&mut command).exits(0).stdout
}

#[test]
fn a_terminal_shows_how_far_the_run_is_below_what_it_says() {
    let told = in_terminal(&[], &[]);
    assert!(told.contains("] ━━━━━━━━━━────────── 1/2: s: waits ("), "{told:?}");
    for line in ["] s: quick\r\n", "] s: waits\r\n", "2 cases: 2 passed\r\n"] {
        let at = told.find(line).unwrap_or_else(|| panic!("{line:?} is not in {told:?}"));
        let before = told[..at].rsplit("\r\n").next().expect("there is a part at least");
        // Whatever was shown on its line before was taken away.
        assert!(!before.rsplit("\x1b[2K").next().is_some_and(|rest| rest.contains("Running")), "{before:?}");
    }
    let end = told.rsplit("\x1b[2K").next().expect("there is a part at least");
    assert!(end.contains("Summary") && !end.contains("Running"), "{end:?}");
}

#[test]
fn nobody_is_shown_it_who_does_not_look() {
    let none: &[&str] = &[];
    let cases = [
        (none, "CI", "true"),
        (none, "TERM", "dumb"),
        (&["-q"], "TERM", "xterm"),
        (&["--color", "never"], "TERM", "xterm"),
    ];
    for (args, name, value) in cases {
        let told = in_terminal(args, &[(name, value)]);
        assert!(!told.contains("Running") && !told.contains("\x1b[2K"), "{args:?} {name}={value}: {told:?}");
        assert!(told.contains("2 passed"), "{told:?}");
    }
    let told = in_terminal(&[], &[("CI", "false")]);
    assert!(told.contains("Running"), "{told:?}");
}
