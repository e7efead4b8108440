//! `harness run` as its users meet it: the real program, in a folder of its own.

mod again;
mod crashes;
mod examples;
mod exits;
mod faults;
mod hostile;
mod interrupted;
mod limits;
mod lying;
mod options;
mod programs;
mod progress;
mod recordings;
mod tls;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use harness::event::{CaseStarted, Event, EventKind, Failure, Verdict};

/// The root of the project.
pub(super) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The program that is tested: the one that was built beside the tests, or the one that `HARNESS_TEST_PROGRAM` names, from the root of
/// the project.
pub(super) fn program() -> PathBuf {
    root().join(std::env::var_os("HARNESS_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_harness").into()))
}

/// The program, in `folder`, with nothing of the test's own environment that would change what it does.
pub(super) fn harness(folder: &Path) -> Command {
    let mut command = Command::new(program());
    command.current_dir(folder).stdin(Stdio::null()).env("NO_COLOR", "1");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HARNESS_") {
            command.env_remove(name);
        }
    }
    command
}

/// What a process came to.
pub(super) struct Ran {
    code: Option<i32>,
    pub(super) stdout: String,
    stderr: String,
}

#[track_caller]
pub(super) fn ran(command: &mut Command) -> Ran {
    let output = command.output().expect("it was built");
    let text = |bytes| String::from_utf8(bytes).expect("what it says is text");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Ran {
    /// Fails with all that was said unless the exit code is this.
    #[track_caller]
    pub(super) fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }

    /// What it wrote to stdout.
    pub(super) fn stdout(self) -> String {
        self.stdout
    }

    #[track_caller]
    pub(super) fn says(self, what: &str) -> Ran {
        assert!(self.stderr.contains(what), "`{what}` is missing in:\n{}", self.stderr);
        self
    }

    #[track_caller]
    pub(super) fn says_not(self, what: &str) -> Ran {
        assert!(!self.stderr.contains(what), "`{what}` is in:\n{}", self.stderr);
        self
    }

    /// The command that the first failure tells to paste.
    #[track_caller]
    fn reproduce(&self) -> String {
        let line = self.stderr.lines().find_map(|line| line.strip_prefix("  reproduce: "));
        line.unwrap_or_else(|| panic!("there is none in:\n{}", self.stderr)).to_owned()
    }
}

/// A folder with scenarios, for one test.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    /// A folder with one scenario, `s.toml`.
    pub(super) fn with(text: &str) -> Folder {
        let folder = Folder::new();
        folder.write("s.toml", text);
        folder
    }

    /// A folder with an echo server and these cases, each a name and its steps.
    fn echo(cases: &[(&str, &str)]) -> Folder {
        let mut text = "[target]\nbuiltin = \"tcp-echo\"\n".to_owned();
        for (name, steps) in cases {
            text.push_str(&format!("[[case]]\nname = \"{name}\"\nsteps = [{steps}]\n"));
        }
        Folder::with(&text)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// `harness run s.toml --out out ARGS..`, not started yet.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = harness(self.path());
        command.args(["run", "s.toml", "--out", "out"]).args(args);
        command
    }

    #[track_caller]
    pub(super) fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    pub(super) fn out(&self) -> PathBuf {
        self.path().join("out")
    }

    /// What the last run told.
    #[track_caller]
    pub(super) fn story(&self) -> Story {
        Story::read(&self.out())
    }
}

/// The events of a run.
pub(super) struct Story(Vec<Event>);

impl Story {
    #[track_caller]
    pub(super) fn read(folder: &Path) -> Story {
        let text = fs::read_to_string(folder.join("events.ndjson")).expect("every run leaves its events");
        Story(text.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect())
    }

    fn kinds(&self) -> impl Iterator<Item = &EventKind> {
        self.0.iter().map(|event| &event.kind)
    }

    /// Every case with its verdict, by name.
    pub(super) fn verdicts(&self) -> Vec<(String, Verdict)> {
        let mut verdicts = Vec::new();
        let mut case: Option<&Arc<CaseStarted>> = None;
        for kind in self.kinds() {
            match kind {
                EventKind::CaseStarted(started) => case = Some(started),
                EventKind::CaseFinished(finished) => {
                    let started = case.take().expect("a case begins before it ends");
                    verdicts.push((started.name.clone(), finished.verdict));
                }
                _ => {}
            }
        }
        verdicts.sort();
        verdicts
    }

    /// The verdict of the only case.
    #[track_caller]
    pub(super) fn verdict(&self) -> Verdict {
        let verdicts = self.verdicts();
        assert_eq!(verdicts.len(), 1, "{verdicts:?}");
        verdicts[0].1
    }

    /// The only failure.
    #[track_caller]
    pub(super) fn failure(&self) -> &Failure {
        let failures: Vec<&Failure> = self
            .kinds()
            .filter_map(|kind| match kind {
                EventKind::StepFailed { failure, .. } => Some(&**failure),
                _ => None,
            })
            .collect();
        assert_eq!(failures.len(), 1, "{failures:?}");
        failures[0]
    }

    /// Everything that was sent, by case, in the order of the cases' names.
    fn sent(&self) -> Vec<(String, Vec<u8>)> {
        let mut sent = Vec::new();
        let mut data = Vec::new();
        let mut name = String::new();
        for kind in self.kinds() {
            match kind {
                EventKind::CaseStarted(started) => name = started.name.clone(),
                EventKind::Sent { data: bytes, .. } => data.extend_from_slice(bytes),
                EventKind::CaseFinished(_) => sent.push((std::mem::take(&mut name), std::mem::take(&mut data))),
                _ => {}
            }
        }
        sent.sort();
        sent
    }
}

/// Runs `line` as a person pastes it into a shell, with the program on the path.
#[track_caller]
fn paste(folder: &Path, line: &str) -> Ran {
    let program = program();
    let folder_of_it = program.parent().expect("it lies in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(folder).env("PATH", format!("{}:{path}", folder_of_it.display()));
    ran(shell.env("NO_COLOR", "1").stdin(Stdio::null()))
}

/// A Python program that accepts on `sys.argv[1]` and does `script` with each `connection`, as a target of a scenario.
fn python_target(script: &str) -> String {
    let indented: String = script.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "[target.server]\ncommand = [\"python3\", \"-c\", '''\nimport os, signal, socket, sys, time\n\
         server = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\nwhile True:\n    connection, _ = server.accept()\n\
         {indented}''', \"${{server.port}}\"]\n"
    )
}

/// One case that says hello and hears it back.
const HELLO: &str = "[[case]]\nname = \"hello\"\nsteps = [{ send = \"hello\" }, { expect = \"hello\" }]\n";
