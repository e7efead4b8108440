//! `harness fuzz` as its users meet it: servers with one planted bug each, and servers with none.

mod against;
mod corpus;
mod resume;
mod seeds;
mod targets;
mod tls;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::run::{harness, ran};

const SCENARIO: &str = r#"
[target.server]
command = ["PROGRAM", "${server.port}", "BUG"]
address = "tcp://127.0.0.1:${server.port}"

[actor.client]
connect = "server"
framing = "line"

[[case]]
name = "logs in and echoes"
steps = [
  { send = "USER bob" },
  { expect = { prefix = "331" } },
  { send = "ECHO hello" },
  { expect = "ECHO hello" },
]
"#;

/// The server with planted bugs, built once; with `coverage`, so that it counts edges for our runtime.
fn planted(coverage: bool) -> &'static Path {
    static BUILT: [OnceLock<(tempfile::TempDir, PathBuf)>; 2] = [OnceLock::new(), OnceLock::new()];
    let (_, program) = BUILT[usize::from(coverage)].get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fuzz/planted.c");
        let program = folder.path().join("planted");
        let object = folder.path().join("planted.o");
        let gcc = |arguments: &[&std::ffi::OsStr]| {
            let output = Command::new("gcc").args(arguments).output().expect("gcc is installed");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        if coverage {
            let runtime = folder.path().join("runtime.c");
            let text = ran(harness(folder.path()).args(["fuzz", "--runtime"])).exits(0).stdout();
            fs::write(&runtime, text).expect("room");
            gcc(&[
                "-O1".as_ref(),
                "-fsanitize-coverage=trace-pc".as_ref(),
                "-c".as_ref(),
                source.as_ref(),
                "-o".as_ref(),
                object.as_ref(),
            ]);
            gcc(&["-pthread".as_ref(), object.as_ref(), runtime.as_ref(), "-o".as_ref(), program.as_ref()]);
        } else {
            gcc(&["-O1".as_ref(), "-pthread".as_ref(), source.as_ref(), "-o".as_ref(), program.as_ref()]);
        }
        (folder, program)
    });
    program
}

struct Campaign {
    folder: tempfile::TempDir,
    code: Option<i32>,
    stderr: String,
    json: Value,
}

/// Fuzzes the server with this bug.
#[track_caller]
fn fuzz(bug: &str, coverage: bool, arguments: &[&str]) -> Campaign {
    let folder = tempfile::tempdir().expect("a folder");
    let program = planted(coverage).to_string_lossy().into_owned();
    let scenario = SCENARIO.replace("PROGRAM", &program).replace("BUG", bug);
    fs::write(folder.path().join("planted.toml"), scenario).expect("room");
    again(folder, arguments)
}

/// Fuzzes what this scenario says, in which `PROGRAM` is the server with planted bugs.
#[track_caller]
fn fuzz_scenario(scenario: &str, arguments: &[&str]) -> Campaign {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = scenario.replace("PROGRAM", &planted(false).to_string_lossy());
    fs::write(folder.path().join("planted.toml"), scenario).expect("room");
    again(folder, arguments)
}

/// No campaign begins of this scenario, and this is why.
#[track_caller]
fn refused(scenario: &str, code: i32, why: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("planted.toml"), scenario).expect("room");
    ran(harness(folder.path()).args(["fuzz", "planted.toml", "--out", "out"])).exits(code).says(why);
}

/// Whether what a finding's capture has is records of TLS, the first of them a handshake's.
fn spoken_over_tls(campaign: &Campaign, finding: &Value) -> bool {
    let path = PathBuf::from(finding["path"].as_str().expect("a path")).join("repro.pcapng");
    let capture = fs::read(&path).unwrap_or_else(|error| panic!("{error}\n{}", campaign.stderr));
    let has = |bytes: &[u8]| capture.windows(bytes.len()).any(|window| window == bytes);
    has(&[0x16, 0x03, 0x01]) && has(b"CLIENT_TRAFFIC_SECRET_0") && !has(b"PUT ") && !has(b"GET ")
}

#[track_caller]
fn again(folder: tempfile::TempDir, arguments: &[&str]) -> Campaign {
    let mut command = harness(folder.path());
    command.args(["fuzz", "planted.toml", "--out", "out", "--seed", "1"]).args(arguments);
    // Where it has to be as small as it gets, the test says so.
    if !arguments.contains(&"--shrink-budget") {
        command.args(["--shrink-budget", "1s"]);
    }
    let output = command.output().expect("it was built");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = fs::read_to_string(folder.path().join("out/campaign.json")).unwrap_or_else(|_| panic!("{stderr}"));
    let json = serde_json::from_str(&json).expect("it is JSON");
    Campaign { folder, code: output.status.code(), stderr, json }
}

impl Campaign {
    /// Every case of the corpus.
    #[track_caller]
    fn journal(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("out/journal.ndjson")).expect("it is there");
        text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
    }

    /// A file of a finding.
    fn read(&self, finding: &Value, name: &str) -> String {
        let path = PathBuf::from(finding["path"].as_str().expect("a path")).join(name);
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}\n{}", self.stderr))
    }

    /// The one finding, which fails under `harness run` as it did here.
    #[track_caller]
    fn found(&self, kind: &str, code: i32, run_code: i32) -> &Value {
        let findings = self.json["findings"].as_array().expect("a list");
        let [finding] = findings.as_slice() else { panic!("{findings:?}\n{}", self.stderr) };
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        self.shows(finding, kind, run_code);
        finding
    }

    /// It has ended well, and nothing was found.
    fn found_nothing(&self) {
        let nothing = (Some(0), &Value::Array(Vec::new()));
        assert_eq!((self.code, &self.json["findings"]), nothing, "{}", self.stderr);
    }

    /// A finding is of this kind, has its files, and a scenario that fails.
    fn shows(&self, finding: &Value, kind: &str, run_code: i32) {
        assert_eq!(finding["kind"], kind, "{}", self.stderr);
        let folder = PathBuf::from(finding["path"].as_str().expect("a path"));
        for file in ["repro.toml", "repro.pcapng", "stderr.txt", "report.md"] {
            assert!(folder.join(file).exists(), "there is no `{file}`");
        }
        let repro = folder.join("repro.toml");
        ran(harness(self.folder.path()).args(["run", "--out", "played"]).arg(&repro)).exits(run_code);
    }
}

#[test]
fn a_number_that_only_the_program_knows_is_found_in_it() {
    let program = planted(false).to_string_lossy().into_owned();
    let campaign = fuzz("word", false, &["--cases", "6000", "--shrink-budget", "60s", "--dictionary", &program]);
    let finding = campaign.found("crash", 6, 6);
    assert_eq!(
        (&finding["messages"], &finding["bytes"]),
        (&1.into(), &10.into()),
        "{}",
        campaign.read(finding, "report.md")
    );
    let without = fuzz("word", false, &["--cases", "6000"]);
    assert_eq!(without.code, Some(0), "{}", without.stderr);
}

#[test]
fn a_word_that_is_compared_letter_by_letter_is_found_where_edges_are_seen() {
    let campaign = fuzz("letters", true, &["--cases", "6000"]);
    let finding = campaign.found("crash", 6, 6);
    assert!(campaign.read(finding, "repro.toml").contains("ECHO water"), "{}", campaign.stderr);
    // Without them, one letter is as good as another.
    fuzz("letters", false, &["--cases", "6000"]).found_nothing();
}

#[test]
fn a_crash_in_a_process_for_one_connection_is_found() {
    let campaign = fuzz("fork-crash", false, &["--cases", "3000"]);
    let finding = campaign.found("crash", 6, 1);
    assert_eq!(finding["verdict"], "deterministic");
    assert!(campaign.stderr.contains("a process that the target `server` has started ended: signal SIGSEGV"));
    assert!(campaign.read(finding, "report.md").contains("even_length"));
    assert!(campaign.read(finding, "repro.toml").contains("never = { crash = true }"));
    // The run says where, as well.
    let repro = campaign.read(finding, "repro.toml");
    fs::write(campaign.folder.path().join("again.toml"), repro).expect("room");
    let again = ran(harness(campaign.folder.path()).args(["run", "again.toml", "--out", "again"])).exits(1);
    again.says("has started ended: signal SIGSEGV").says("even_length");
}

#[test]
fn a_sound_server_of_a_process_for_each_connection_stays_silent() {
    fuzz("fork", false, &["--cases", "600"]).found_nothing();
}

#[test]
fn crashes_are_told_apart_by_their_stacks() {
    let arguments = ["--cases", "2000", "--keep-going"];
    let campaign = fuzz("places", false, &arguments);
    let findings = campaign.json["findings"].as_array().expect("they are listed");
    let mut buckets: Vec<&str> = findings.iter().filter_map(|finding| finding["bucket"].as_str()).collect();
    buckets.sort_unstable();
    assert_eq!(buckets.len(), 2, "{buckets:?}\n{}", campaign.stderr);
    for (bucket, function) in buckets.iter().zip(["even_length", "odd_length"]) {
        assert!(bucket.starts_with(&format!("crash-sigsegv-{function}-")), "{bucket}");
    }
    for finding in findings {
        let page = campaign.read(finding, "report.md");
        assert!(page.contains("## Where\n\n```\n#0   ") && page.contains("_length\n#1   "), "{page}");
        assert_eq!(finding["verdict"], "deterministic");
        assert!(finding["samples"].as_u64() > Some(2), "{finding}");
    }
}

#[test]
fn a_crash_is_found_made_small_and_told_of() {
    let campaign = fuzz("crash", false, &["--cases", "3000", "--shrink-budget", "60s"]);
    let finding = campaign.found("crash", 6, 6);
    assert_eq!(finding["verdict"], "deterministic");
    // `USER `, and a line of more than 40 bytes after it, each with its end.
    assert_eq!(
        (&finding["messages"], &finding["bytes"]),
        (&2.into(), &47.into()),
        "{}",
        campaign.read(finding, "report.md")
    );
    let page = campaign.read(finding, "report.md");
    assert!(page.contains("- message 1: every byte matters: `USER \\n`"), "{page}");
    let keys = |value: &Value| value.as_object().expect("a table").keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(&campaign.json),
        ["cases", "digest", "edges", "findings", "messages", "seconds", "seed", "sessions"]
    );
    let expected = [
        "bucket",
        "bytes",
        "cases",
        "connections",
        "kind",
        "messages",
        "path",
        "samples",
        "seconds",
        "shape",
        "verdict",
    ];
    assert_eq!(keys(finding), expected);
}

#[test]
fn an_end_with_status_zero_is_found_too() {
    fuzz("exit", false, &["--cases", "3000"]).found("crash", 6, 1);
}

#[test]
fn a_panic_that_the_process_survives_is_found() {
    let campaign = fuzz("panic", false, &["--cases", "3000"]);
    let finding = campaign.found("panic", 1, 1);
    assert_eq!(finding["bucket"], "panic-src-parse.rs-7-9");
}

#[test]
fn a_report_that_takes_its_time_is_a_crash_with_its_place() {
    let campaign = fuzz("report", false, &["--cases", "3000"]);
    assert_eq!(campaign.found("crash", 6, 6)["bucket"], "crash-exit-1-heap-buffer-overflow-parse-serve");
}

#[test]
fn a_report_that_the_process_survives_is_none() {
    let campaign = fuzz("report-and-go-on", false, &["--cases", "3000"]);
    assert_eq!(campaign.found("panic", 1, 1)["bucket"], "panic-heap-buffer-overflow-parse-serve");
}

#[test]
fn what_is_found_again_where_it_shows_each_time_is_counted() {
    let campaign = fuzz("panic", false, &["--cases", "2000", "--keep-going"]);
    let finding = campaign.found("panic", 1, 1);
    assert!(finding["samples"].as_u64() > Some(2), "{finding}");
    assert!(!campaign.stderr.contains("another sample"), "{}", campaign.stderr);
}

#[test]
fn a_server_that_takes_this_machine_alone_is_spoken_to_from_there() {
    let campaign = fuzz("local", false, &["--cases", "30"]);
    assert!(!campaign.stderr.contains("not hold"), "{}", campaign.stderr);
}

#[test]
fn a_name_that_the_program_knows_is_said() {
    fuzz("name", false, &["--cases", "3000"]).found("crash", 6, 6);
}

#[test]
fn what_a_scenario_drains_is_no_answer_to_what_comes_next() {
    let drains = SCENARIO.replace("{ expect = { prefix = \"331\" } }", "{ drain = true }");
    let campaign = fuzz_scenario(&drains.replace("BUG", "none"), &["--cases", "200"]);
    assert!(!campaign.stderr.contains("not hold"), "{}", campaign.stderr);
    assert_eq!(campaign.journal()[0]["feedback"], "seed");
}

#[test]
fn a_server_that_falls_silent_is_found() {
    fuzz("hang", false, &["--cases", "3000"]).found("hang", 6, 1);
}

#[test]
fn a_server_that_is_busy_with_nothing_is_found() {
    fuzz("busy", false, &["--cases", "3000"]).found("hang", 6, 1);
}

#[test]
fn a_thread_that_spins_beside_one_that_answers_is_found() {
    let campaign = fuzz("spin", false, &["--cases", "3000"]);
    let finding = campaign.found("hang", 6, 1);
    assert_eq!(finding["verdict"], "deterministic", "{}", campaign.stderr);
    let repro = campaign.read(finding, "repro.toml");
    assert!(repro.contains("idle_work = \"300ms\""), "{repro}");
}

#[test]
fn work_that_grows_with_the_square_is_found() {
    let campaign = fuzz("scan", false, &["--time", "60s"]);
    let finding = campaign.found("hang", 6, 1);
    assert_eq!(finding["verdict"], "deterministic", "{}", campaign.stderr);
    let repro = campaign.read(finding, "repro.toml");
    assert!(repro.contains("limits = { work = ") && repro.contains("{ repeat = ["), "{repro}");
    assert!(repro.len() < 4_096, "it is said in few words: {repro}");
    assert!(campaign.stderr.contains("work grows with the square of what is sent: "), "{}", campaign.stderr);
}

#[test]
fn memory_of_a_connection_that_is_many_times_what_it_says_is_found() {
    let scenario = SCENARIO.replace("BUG", "burst");
    let campaign = fuzz_scenario(&scenario, &["--time", "60s"]);
    let finding = campaign.found("leak", 1, 1);
    assert_eq!(finding["verdict"], "deterministic", "{}", campaign.stderr);
    let repro = campaign.read(finding, "repro.toml");
    assert!(repro.contains("limits = { memory = ") && repro.contains("{ repeat = ["), "{repro}");
}

#[test]
fn what_is_stored_and_looked_through_is_no_square() {
    // Each line is looked for in all that were said, on whichever connection: that is what was asked for.
    let campaign = fuzz("stores", false, &["--cases", "3000", "--keep-going"]);
    assert_eq!(campaign.json["findings"].as_array().map(Vec::len), Some(0), "{}", campaign.stderr);
}

#[test]
fn a_limit_of_the_scenario_that_does_not_hold_is_found() {
    let limited = SCENARIO.replace("\n\n[actor", "\nlimits = { work = \"50ms\" }\n\n[actor").replace("BUG", "busy");
    let campaign = fuzz_scenario(&limited, &["--cases", "3000"]);
    let finding = campaign.found("leak", 1, 1);
    assert_eq!(finding["bucket"], "leak-limit-work-echo", "{}", campaign.stderr);
}

#[test]
fn descriptors_that_leak_are_found() {
    let campaign = fuzz("leak", false, &["--cases", "3000"]);
    assert_eq!(
        campaign.found("leak", 1, 1)["bucket"].as_str().map(|name| name.starts_with("leak-descriptors")),
        Some(true)
    );
}

#[test]
fn memory_that_leaks_is_found() {
    let campaign = fuzz("forget", false, &["--cases", "3000"]);
    assert_eq!(campaign.found("leak", 1, 1)["bucket"].as_str().map(|name| name.starts_with("leak-memory")), Some(true));
}

#[test]
fn threads_that_leak_are_found() {
    let campaign = fuzz("spawn", false, &["--cases", "3000"]);
    assert_eq!(
        campaign.found("leak", 1, 1)["bucket"].as_str().map(|name| name.starts_with("leak-threads")),
        Some(true)
    );
}

#[test]
fn a_cache_that_fills_once_is_no_leak() {
    let campaign = fuzz("cache", false, &["--cases", "1500"]);
    campaign.found_nothing();
}

#[test]
fn a_cache_that_fills_slowly_is_no_leak_either() {
    let campaign = fuzz("cache-slowly", false, &["--cases", "3000"]);
    campaign.found_nothing();
}

#[test]
fn an_answer_that_depends_on_the_pieces_is_found() {
    let campaign = fuzz("cut", false, &["--cases", "3000"]);
    let finding = campaign.found("wrong-answer", 1, 1);
    let mended = campaign.read(finding, "repro.toml").replace("\"cut\"", "\"none\"");
    fs::write(campaign.folder.path().join("mended.toml"), mended).expect("room");
    ran(harness(campaign.folder.path()).args(["run", "mended.toml", "--out", "mended"])).exits(0);
}

#[test]
fn what_needs_earlier_connections_is_found_with_them() {
    let campaign = fuzz("history", false, &["--cases", "3000"]);
    let findings = campaign.json["findings"].as_array().expect("a list");
    assert_eq!(findings.len(), 1, "{}", campaign.stderr);
    assert_ne!(findings[0]["verdict"], "deterministic");
}

#[test]
fn a_sound_server_stays_silent() {
    let campaign = fuzz("none", false, &["--cases", "1100"]);
    assert_eq!((campaign.code, &campaign.json["cases"]), (Some(0), &Value::from(1100)), "{}", campaign.stderr);
    assert_eq!(campaign.json["findings"], Value::Array(Vec::new()));
}

#[test]
fn a_case_that_does_not_hold_is_told_and_its_answers_are_not_waited_for() {
    let scenario = r#"
[target]
builtin = "lines"

[actor.client]
connect = "target"
framing = "line"

[[case]]
name = "says what nobody answers"
steps = [{ send = "ECHO a" }, { expect = { prefix = "none of it" } }]
"#;
    let campaign = fuzz_scenario(scenario, &["--cases", "30"]);
    let note = "note: 1 of 1 case in the scenario does not hold, the first `planted/says what nobody answers` (planted.toml:11:33): ";
    assert!(campaign.stderr.contains(note), "{}", campaign.stderr);
    let expects = campaign.journal().iter().any(|entry| entry["case"].to_string().contains("expect"));
    assert!(!expects, "{:?}", campaign.journal());
}

#[test]
fn edges_are_counted_by_our_runtime() {
    let campaign = fuzz("none", true, &["--cases", "200"]);
    assert!(campaign.json["edges"].as_u64().expect("a number") > 10, "{}\n{}", campaign.json, campaign.stderr);
    let journal = fs::read_to_string(campaign.folder.path().join("out/journal.ndjson")).expect("it is there");
    assert!(journal.contains("\"feedback\":\"edge\""), "{journal}");
    let page = fs::read_to_string(campaign.folder.path().join("out/report.html")).expect("it is there");
    for part in ["<h2>Edges over time</h2>", "<h2>States over time</h2>", "<tr><td>edge<td>", "The target was started "]
    {
        assert!(page.contains(part), "there is no `{part}` in {page}");
    }
}

#[test]
fn a_scenario_holds_defaults() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = planted(false).to_string_lossy().into_owned();
    let scenario = SCENARIO.replace("PROGRAM", &program).replace("BUG", "none");
    fs::write(folder.path().join("planted.toml"), format!("{scenario}\n[fuzz]\ncases = 40\n")).expect("room");
    assert_eq!(again(folder, &[]).json["cases"], 40);
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("planted.toml"), format!("{scenario}\n[fuzz]\ncase = 40\n")).expect("room");
    ran(harness(folder.path()).args(["fuzz", "planted.toml"])).exits(3).says("`harness fuzz` has no option `--case`");
}

#[test]
fn a_target_that_does_not_start_is_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = SCENARIO.replace("PROGRAM", "no-such-program").replace("BUG", "none");
    fs::write(folder.path().join("planted.toml"), scenario).expect("room");
    ran(harness(folder.path()).args(["fuzz", "planted.toml", "--out", "out"])).exits(5).says("did not start");
}
