//! The pages say what the program does: every example is read by the scenario parser, and the whole ones are played.

use std::process::{Command, Output};

use harness::fault::FAULTS;
use harness::framing::FRAMINGS;
use harness::matcher::MATCHERS;
use harness::scenario::lint::{LINTS, Severity, lint};
use harness::scenario::{Known, OPTIONS, VERBS, load};

const SCENARIOS: &str = include_str!("../../../docs/scenarios.md");
const LINTS_PAGE: &str = include_str!("../../../docs/lints.md");
const PROTOCOLS_PAGE: &str = include_str!("../../../docs/protocols.md");
const README: &str = include_str!("../../../README.md");

/// A fenced block of a page.
struct Block {
    language: &'static str,
    text: String,
    line: usize,
}

fn blocks(page: &'static str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some(Block { language, text: String::new(), line: at + 1 }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// The code spans in a page's tables that are a step, and where they stand.
fn steps(page: &'static str) -> Vec<(usize, &'static str)> {
    let rows = page.lines().enumerate().filter(|(_, line)| line.starts_with('|'));
    let cells = rows.flat_map(|(at, row)| row.split('|').map(move |cell| (at + 1, cell.trim())));
    let spans = cells.filter_map(|(line, cell)| Some((line, cell.strip_prefix('`')?.strip_suffix('`')?)));
    let is_step = |code: &str| code.starts_with("{ ") && VERBS.iter().any(|verb| code[2..].starts_with(verb.name));
    spans.filter(|(_, code)| is_step(code)).collect()
}

/// Whether a block says what is played; the others show tables of a file.
fn is_whole(block: &Block) -> bool {
    block.text.lines().any(|line| line.starts_with("steps") || line.starts_with("[case.play]"))
}

/// Reads a text as a scenario file of the folder `docs`.
#[track_caller]
fn check(what: &str, text: &str) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/example.toml");
    let known = Known { env: vec![("HOME".into(), "here".into())], ..Known::default() };
    if let Err(mistakes) = load(file, text, &known) {
        let mistakes: Vec<String> = mistakes.iter().map(|m| format!("{}: {}", m.place.line, m.message)).collect();
        panic!("{what} is no scenario:\n{text}\n{}", mistakes.join("\n"));
    }
}

fn tomls(page: &'static str) -> impl Iterator<Item = Block> {
    blocks(page).into_iter().filter(|block| block.language == "toml")
}

#[test]
fn every_example_is_read_without_a_mistake() {
    for (name, page) in [("README.md", README), ("docs/scenarios.md", SCENARIOS)] {
        for block in tomls(page) {
            let rest = if is_whole(&block) { "" } else { "[[case]]\nname = \"x\"\nsteps = [{ log = \"x\" }]\n" };
            check(&format!("{name}:{}", block.line), &format!("{}{rest}", block.text));
        }
    }
}

#[test]
fn every_description_of_the_page_on_protocols_is_read_and_every_scenario_holds() {
    for block in tomls(PROTOCOLS_PAGE) {
        if block.text.starts_with("name = ") {
            // The page leaves the response to the file that it links to.
            let rest = if block.text.contains("memcached") { "[message.response]\nfields = []\n" } else { "" };
            let read = harness::protocol::load("docs/protocols.md", &format!("{}{rest}", block.text));
            assert!(read.is_ok(), "docs/protocols.md:{}: {:#?}", block.line, read.err());
            continue;
        }
        let output = play(&block, "example.toml");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "docs/protocols.md:{}: {text}", block.line);
    }
}

#[test]
fn the_page_on_protocols_builds_the_description_that_lies_in_the_scenarios() {
    let file = include_str!("../../../scenarios/protocols/memcached-binary.toml");
    let page = tomls(PROTOCOLS_PAGE).find(|block| block.text.contains("memcached-binary")).expect("it is there").text;
    let message = page.split("[message.request]").nth(1).expect("it has a request");
    assert!(file.contains(message.trim()), "the page's request is not the file's");
    assert_eq!(file.lines().count(), 58, "the page says how many lines it has");
    let checked = Command::new(super::run::program())
        .args(["check", concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/protocols/memcached-binary.toml")])
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(said.trim(), "2 messages in 1 file, no mistakes");
    assert!(PROTOCOLS_PAGE.contains(said.trim()));
}

#[test]
fn every_step_in_a_table_is_read_without_a_mistake() {
    let steps = steps(SCENARIOS);
    assert!(steps.len() > 50, "found {}", steps.len());
    for (line, step) in steps {
        // A step of a server needs one; a signal goes to a program.
        let (target, actors) = match step {
            step if step.contains("server.") => {
                ("builtin = \"tcp-echo\"", "actor.server.listen = \"tcp://127.0.0.1:0\"\n")
            }
            step if step.contains("signal") => ("command = [\"x\", \"${target.port}\"]", ""),
            _ => ("builtin = \"tcp-echo\"", ""),
        };
        let text = format!(
            "target = {{ {target} }}\n{actors}vars = {{ size = 7 }}\nsteps = [{{ log = \"x\", mark = \"sent\" }}, {step}]"
        );
        check(&format!("docs/scenarios.md:{line}"), &text);
    }
}

#[test]
fn every_fault_has_a_row_whose_example_is_read_without_a_mistake() {
    for row in FAULTS {
        let example = row.example;
        assert!(SCENARIOS.contains(&format!("\n| `{example}` |")), "docs/scenarios.md has no row for `{example}`");
        for (scheme, fits) in [("tcp", row.streams), ("udp", row.datagrams)] {
            let text = format!(
                "actor.r.relay = {{ listen = \"{scheme}://127.0.0.1:0\", to = \"{scheme}://127.0.0.1:7\" }}\n\
                 steps = [{{ log = \"x\" }}]\n[[fault]]\non = \"r\"\ndo = {{ {example} }}\n"
            );
            match fits {
                true => check(example, &text),
                false => assert!(load("x.toml", &text, &Known::default()).is_err(), "{example} on {scheme}"),
            }
        }
    }
}

#[test]
fn the_page_has_a_row_for_everything_in_the_tables() {
    let rows = |names: Vec<&'static str>| {
        for name in names {
            assert!(SCENARIOS.contains(&format!("\n| `{name}` |")), "docs/scenarios.md has no row for `{name}`");
        }
    };
    rows(VERBS.iter().map(|word| word.name).collect());
    rows(OPTIONS.iter().map(|word| word.name).collect());
    rows(MATCHERS.iter().map(|entry| entry.name).collect());
    for framing in FRAMINGS {
        assert!(SCENARIOS.contains(framing.name), "docs/scenarios.md does not say what `{}` is", framing.name);
    }
}

/// Plays a block as a user would, in a folder of its own.
fn play(block: &Block, name: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(name), &block.text).expect("the folder is writable");
    let mut command = Command::new(super::run::program());
    command.args(["run", name, "--seed", "7"]).current_dir(&folder).env_remove("HARNESS_REPORT");
    command.output().expect("the program runs")
}

#[test]
fn every_whole_example_holds_on_the_reference_servers() {
    let whole = tomls(SCENARIOS)
        .filter(|block| is_whole(block) && (!block.text.contains("\ncommand") || block.text.contains("skip_unless")));
    let mut played = 0;
    for block in whole {
        let output = play(&block, "example.toml");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "docs/scenarios.md:{}\n{said}", block.line);
        played += 1;
    }
    assert!(played >= 6, "played {played}");
}

/// What stays of an output from run to run: words with a digit in them are times, ports and folders.
fn lasting(text: &str) -> Vec<Vec<&str>> {
    let word = |word| if str::contains(word, |c: char| c.is_ascii_digit()) { "0" } else { word };
    text.lines().map(|line| line.split_whitespace().map(word).collect()).collect()
}

#[test]
fn the_readme_shows_a_failure_as_it_is() {
    let blocks = blocks(README);
    let at = blocks.iter().position(|block| block.language == "toml").expect("an example");
    let (example, shown) = (&blocks[at], &blocks[at + 1]);
    let output = play(example, "colour.toml");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(lasting(&said) == lasting(&shown.text), "README.md:{} shows something else than\n{said}", shown.line);
}

const ARCHITECTURE: &str = include_str!("../../../ARCHITECTURE.md");

/// What a constant is, as the page writes it: `64 << 20` is 64 MiB, `Duration::from_secs(5)` is 5 s.
fn shown(value: &str) -> Option<String> {
    if let Some(duration) = value.strip_prefix("Duration::from_") {
        let (unit, number) = duration.strip_suffix(')')?.split_once('(')?;
        return Some(format!("{number} {}", if unit == "secs" { "s" } else { "ms" }));
    }
    if let Some((number, shift)) = value.split_once(" << ") {
        let bytes: u64 = number.parse::<u64>().ok()? << shift.parse::<u32>().ok()?;
        let unit =
            [(30, "GiB"), (20, "MiB"), (10, "KiB")].into_iter().find(|(shift, _)| bytes.is_multiple_of(1 << shift))?;
        return Some(format!("{} {}", bytes >> unit.0, unit.1));
    }
    let digits = value.replace('_', "");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        let begins_group = at > 0 && (digits.len() - at).is_multiple_of(3);
        grouped.extend(begins_group.then_some(' ').into_iter().chain([digit]));
    }
    Some(grouped)
}

#[test]
fn the_limits_are_those_of_the_code() {
    let rows: Vec<Vec<&str>> = ARCHITECTURE
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("_"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .filter(|row: &Vec<&str>| row[2].ends_with(".rs"))
        .collect();
    assert!(rows.len() > 20, "found {}", rows.len());
    for row in rows {
        let (name, file, is) = (row[1], row[2], row[3]);
        let path = format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"));
        let code = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let line = code.lines().find(|line| line.contains(&format!("const {name}: ")));
        let line = line.unwrap_or_else(|| panic!("there is no `{name}` in {file}"));
        let value = line.split(" = ").nth(1).and_then(|value| value.strip_suffix(';')).and_then(shown);
        assert_eq!(value.as_deref(), Some(is), "`{name}` in {file}");
    }
}

#[test]
fn every_lint_has_a_section_with_an_example_in_which_it_alone_finds_something() {
    let mut sections = LINTS_PAGE.split("\n## ").skip(1);
    for expected in LINTS {
        let section = sections.next().unwrap_or_else(|| panic!("`{}` has no section", expected.name));
        let (name, rest) = section.split_once('\n').expect("a section has text");
        assert_eq!(name, expected.name);
        let severity = match expected.severity {
            Severity::Mistake => "A mistake: ",
            Severity::Warning => "A warning: ",
        };
        assert!(rest.trim_start().starts_with(severity), "`{name}` does not begin with `{severity}`");
        let example = rest.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        let scenario =
            load("example.toml", example, &Known::default()).unwrap_or_else(|found| panic!("{name}: {found:?}"));
        let mut found: Vec<&str> = lint(&scenario).iter().map(|finding| finding.lint).collect();
        found.dedup();
        assert_eq!(found, [name]);
    }
    assert_eq!(sections.next(), None);
}
