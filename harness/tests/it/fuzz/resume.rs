//! A campaign that was interrupted ends as one that was not: every case, answer, count and finding.

use std::fs;

use super::super::run::{harness, ran};
use super::{Campaign, SCENARIO, again, fuzz, planted};

/// What does not depend on how long it took.
fn outcome(campaign: &Campaign) -> String {
    let json = &campaign.json;
    let journal = campaign.journal().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let counts = ["cases", "sessions", "messages", "edges", "digest"].map(|key| format!("{key}: {}", json[key]));
    let findings = json["findings"].as_array().expect("a list").iter();
    let findings: Vec<String> = findings.map(|finding| format!("{} {}", finding["bucket"], finding["cases"])).collect();
    format!("{}\n{}\n{journal}", counts.join(", "), findings.join("\n"))
}

/// A campaign of this many cases that is killed when the server takes the client of this number, and then goes on.
#[track_caller]
fn killed_at(client: u32, coverage: bool, arguments: &[&str]) -> Campaign {
    let folder = tempfile::tempdir().expect("a folder");
    let program = planted(coverage).to_string_lossy().into_owned();
    let scenario = SCENARIO.replace("PROGRAM", &program).replace("BUG", &format!("kill-{client}"));
    fs::write(folder.path().join("planted.toml"), scenario).expect("room");
    let mut first = harness(folder.path());
    first.args(["fuzz", "planted.toml", "--out", "out", "--seed", "1", "--checkpoint-every", "1ms"]).args(arguments);
    // The sweep that looks for growth begins by the clock and starts a server anew, which would count its clients from the first.
    first.args(["--growth", "off"]);
    let output = first.output().expect("it was built");
    assert_eq!(output.status.code(), None, "it was not killed: {}", String::from_utf8_lossy(&output.stderr));
    assert!(folder.path().join("out/checkpoint.json").exists(), "it was killed before its first checkpoint");
    again(folder, &[&["--resume"], arguments].concat())
}

#[test]
fn the_same_seed_says_the_same() {
    let (first, second) = (fuzz("none", false, &["--cases", "400"]), fuzz("none", false, &["--cases", "400"]));
    assert_eq!(outcome(&first), outcome(&second));
}

#[test]
fn a_campaign_goes_on_where_it_was() {
    let whole = fuzz("none", false, &["--cases", "400"]);
    let part = fuzz("none", false, &["--cases", "250"]);
    let rest = again(part.folder, &["--cases", "400", "--resume"]);
    assert_eq!(rest.json["cases"], 400);
    assert_eq!(outcome(&whole), outcome(&rest));
}

#[test]
fn a_killed_campaign_ends_as_one_that_was_not() {
    let whole = outcome(&fuzz("none", false, &["--cases", "300"]));
    for client in [90, 270] {
        assert_eq!(outcome(&killed_at(client, false, &["--cases", "300"])), whole, "killed at client {client}");
    }
}

#[test]
fn edges_are_the_same_after_a_kill() {
    let whole = outcome(&fuzz("none", true, &["--cases", "200"]));
    assert_eq!(outcome(&killed_at(150, true, &["--cases", "200"])), whole);
}

#[test]
fn another_seed_is_no_continuation() {
    let folder = fuzz("none", false, &["--cases", "5"]).folder;
    let resume = ["fuzz", "planted.toml", "--out", "out", "--resume", "--cases", "6"];
    ran(harness(folder.path()).args(resume).args(["--seed", "2"])).exits(3).says("expected the seed `1`");
    // Without one it is that of before.
    ran(harness(folder.path()).args(resume)).exits(0).says("with seed 1");
}
