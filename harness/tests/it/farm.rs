//! The farm of planted bugs: whatever its row names finds each of them, and makes it as small as the row says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;
use targets::faulty::flawed::{FLAWS, Found, Row, Wire};

use super::run::{harness, root};

/// How many campaigns and properties are under way at once: most of their time they wait.
const AT_ONCE: usize = 6;

/// So many replays make a counterexample small: as small on a slow machine as on a fast one.
const REPLAYS: u32 = 16;

/// As many where it has to lose tens of thousands of bytes.
const REPLAYS_LONG: u32 = 60;

/// As many for what fuzzing has found, which is longer.
const REPLAYS_FUZZ: u32 = 60;

/// As many where each takes its time.
const REPLAYS_SLOW: u32 = 6;

/// So many cases are played of a server without a flaw.
const SOUND_CASES: u32 = 3_000;

fn scenario(wire: Wire) -> &'static str {
    match wire {
        Wire::Binary => "scenarios/farm/binary.toml",
        Wire::Datagrams => "scenarios/farm/datagrams.toml",
        Wire::Text => "scenarios/farm/text.toml",
    }
}

/// How often a reproduction that fails sometimes is played until it does.
const SOMETIMES: u32 = 20;

/// What a command has said, and how it ended.
struct Said {
    code: Option<i32>,
    text: String,
}

fn say(command: &mut Command) -> Said {
    let output = command.output().expect("it was built");
    let text = [output.stdout, output.stderr].concat();
    Said { code: output.status.code(), text: String::from_utf8_lossy(&text).into_owned() }
}

/// A reproduction is small enough, and fails by itself.
fn check_size(row: &Row, size: (usize, usize, usize), file: &Path, out: &Path, told: &str) -> Result<(), String> {
    let most = row.smallest;
    if size.0 > most.0 || size.1 > most.1 || size.2 > most.2 {
        return Err(format!("expected at most {most:?} connections, messages and bytes, got {size:?}\n{told}"));
    }
    // What depends on which of two connections is served first is told to happen sometimes, and how often.
    let plays = if told.contains("happens      sometimes") { SOMETIMES } else { 1 };
    let play = || say(harness(root()).arg("run").arg(file).arg("--out").arg(out.join("played")));
    match (0..plays).map(|_| play()).find(|said| !matches!(said.code, Some(0))) {
        Some(Said { code: Some(1 | 6), .. }) => Ok(()),
        Some(Said { code, text }) => Err(format!("the reproduction ends with {code:?}: {text}\n{told}")),
        None => Err(format!("the reproduction holds, {plays} times\n{told}")),
    }
}

/// The files below a folder with this ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == ending)).collect()
}

fn property(row: &Row, name: &str, case: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = harness(root());
    let replays = match name {
        "bounded" => REPLAYS_SLOW,
        "robust" => REPLAYS_LONG,
        _ => REPLAYS,
    };
    command.args(["prop", scenario(row.wire), "--property", name, "--seed", "1", "--time", "600s"]);
    command.args(["--shrink-budget", &replays.to_string()]);
    command.args(["--filter", &format!("case:\"{case}\""), "--var", &format!("flaw={}", row.name)]);
    let said = say(command.arg("--out").arg(folder.path()));
    let stored = files(&folder.path().join("cases").join(name), "toml");
    let [file] = stored.as_slice() else { return Err(format!("it is not found: {:?}\n{}", said.code, said.text)) };
    let smallest = said.text.lines().find_map(|line| line.trim().strip_prefix("smallest"));
    let smallest = smallest.and_then(|line| line.split(", made of").next()).unwrap_or_default();
    let numbers = smallest.split(", ").map(|part| {
        let digits = part.trim().split(' ').next().unwrap_or_default().replace(',', "");
        digits.parse::<usize>().unwrap_or(usize::MAX)
    });
    let [connections, messages, bytes] = numbers.collect::<Vec<_>>()[..] else { return Err(said.text) };
    check_size(row, (connections, messages, bytes), file, folder.path(), &said.text)
}

fn fuzzing(row: &Row, kind: &str, cases: u32) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let mut command = harness(root());
    command.args(["fuzz", scenario(row.wire), "--seed", "1", "--cases", &cases.to_string()]);
    command.args(["--shrink-budget", &REPLAYS_FUZZ.to_string(), "--var", &format!("flaw={}", row.name)]);
    let said = say(command.arg("--out").arg(&out));
    let json = fs::read_to_string(out.join("campaign.json")).unwrap_or_default();
    let json: Value = serde_json::from_str(&json).map_err(|error| format!("{error}: {}", said.text))?;
    // Whatever else is met on the way is no excuse.
    let [finding] = json["findings"].as_array().map_or(&[][..], Vec::as_slice) else {
        return Err(format!("expected one finding\n{}", said.text));
    };
    if finding["kind"] != kind || finding["verdict"] != "deterministic" {
        return Err(format!("expected a {kind} that comes each time, got {finding}\n{}", said.text));
    }
    let number =
        |key: &str| finding[key].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(usize::MAX);
    let file = Path::new(finding["path"].as_str().unwrap_or_default()).join("repro.toml");
    check_size(row, (number("connections"), number("messages"), number("bytes")), &file, folder.path(), &said.text)
}

/// Looks for the flaws of these rows, some at once.
#[track_caller]
fn check(is_meant: impl Fn(&Row) -> bool) {
    let rows: Vec<&Row> = FLAWS.iter().filter(|row| !row.late && is_meant(row)).collect();
    assert!(!rows.is_empty());
    let (left, failed) = (Mutex::new(rows), Mutex::new(Vec::new()));
    let next = || left.lock().expect("nobody panics with it").pop();
    let work = || {
        while let Some(row) = next() {
            let found = match row.found {
                Found::Fuzz { kind, cases } => fuzzing(row, kind, cases),
                Found::No { .. } => Ok(()),
                Found::Property { name, case } => property(row, name, case),
            };
            if let Err(why) = found {
                failed.lock().expect("nobody panics with it").push(format!("{}: {why}", row.name));
            }
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| _ = scope.spawn(work)));
    let failed = failed.into_inner().expect("nobody panics with it");
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// The properties that find flaws in lines, a test each.
const IN_LINES: [&[&str]; 5] = [
    &["chunking", "half-close", "prefix-close"],
    &["deterministic", "idempotent", "isolation", "recovers"],
    &["bounded", "no-leak"],
    &["pipelining"],
    &["robust"],
];

fn property_of(row: &Row) -> Option<&'static str> {
    match row.found {
        Found::Property { name, .. } => Some(name),
        Found::Fuzz { .. } | Found::No { .. } => None,
    }
}

#[track_caller]
fn check_in_lines(names: &[&str]) {
    check(|row| row.wire == Wire::Text && property_of(row).is_some_and(|name| names.contains(&name)));
}

#[test]
fn each_property_that_finds_a_flaw_has_its_test() {
    let names = FLAWS.iter().filter(|row| row.wire == Wire::Text).filter_map(property_of);
    let missing: Vec<&str> = names.filter(|name| !IN_LINES.concat().contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn flaws_of_cuts_and_closing_are_found() {
    check_in_lines(IN_LINES[0]);
}

#[test]
fn flaws_of_what_is_shared_and_kept_are_found() {
    check_in_lines(IN_LINES[1]);
}

#[test]
fn flaws_of_time_and_memory_are_found() {
    check_in_lines(IN_LINES[2]);
}

#[test]
fn flaws_of_many_requests_at_once_are_found() {
    check_in_lines(IN_LINES[3]);
}

#[test]
fn flaws_of_wrong_requests_are_found() {
    check_in_lines(IN_LINES[4]);
}

#[test]
fn flaws_in_messages_and_datagrams_are_found() {
    check(|row| row.wire != Wire::Text && property_of(row).is_some());
}

fn is_for_fuzzing(row: &Row) -> bool {
    matches!(row.found, Found::Fuzz { .. })
}

#[test]
fn flaws_in_lines_are_found_by_fuzzing() {
    check(|row| row.wire == Wire::Text && is_for_fuzzing(row));
}

#[test]
fn flaws_in_messages_and_datagrams_are_found_by_fuzzing() {
    check(|row| row.wire != Wire::Text && is_for_fuzzing(row));
}

/// Whatever finds a flaw on this wire finds nothing where there is none.
#[track_caller]
fn is_silent(wire: Wire) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut names = Vec::new();
    for row in FLAWS.iter().filter(|row| row.wire == wire) {
        if let Found::Property { name, .. } = row.found
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    let mut command = harness(root());
    command.args(["prop", scenario(wire), "--seed", "1", "--property", &names.join(","), "--time", "300s"]);
    // Both are cases of all properties that make sense for them; the others would take minutes.
    command.args(["--filter", &format!("case:\"{}\"", if wire == Wire::Text { "greets" } else { "keeps a value" })]);
    let said = say(command.arg("--out").arg(folder.path()));
    assert_eq!(said.code, Some(0), "{}", said.text);
    let mut command = harness(root());
    command.args(["fuzz", scenario(wire), "--seed", "1", "--cases", &SOUND_CASES.to_string()]);
    let said = say(command.arg("--out").arg(folder.path()));
    assert_eq!(said.code, Some(0), "{}", said.text);
}

#[test]
fn a_sound_server_of_lines_is_silent() {
    is_silent(Wire::Text);
}

#[test]
fn a_sound_server_of_messages_is_silent() {
    is_silent(Wire::Binary);
}

#[test]
fn a_sound_server_of_datagrams_is_silent() {
    is_silent(Wire::Datagrams);
}

/// A row of the page.
fn told(row: &Row) -> String {
    let wire = match row.wire {
        Wire::Binary => "binary",
        Wire::Datagrams => "datagrams",
        Wire::Text => "text",
    };
    let late = if row.late { ", not in CI" } else { "" };
    let (found, size) = match row.found {
        Found::Fuzz { kind, cases } => (format!("`fuzz`: {kind}, {cases} cases{late}"), true),
        Found::No { because } => (format!("no: {because}"), false),
        Found::Property { name, .. } => (format!("`prop`: `{name}`{late}"), true),
    };
    let size = match row.smallest {
        (connections, messages, bytes) if size => format!("{connections}, {messages}, {bytes}"),
        _ => String::new(),
    };
    format!("| `{}` | {} | {wire} | {found} | {size} |", row.name, row.about).replace("|  |", "| |")
}

#[test]
fn the_page_has_a_row_for_each_flaw() {
    let page = include_str!("../../../docs/farm.md");
    let expected: Vec<String> = FLAWS.iter().filter(|row| row.name != "none").map(told).collect();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows, expected, "\n{}\n", expected.join("\n"));
}
