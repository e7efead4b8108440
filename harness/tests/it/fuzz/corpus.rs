//! Corpora that come from others and go to them, and campaigns that are cut off.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::super::run::{harness, ran};
use super::{Campaign, SCENARIO, again, fuzz, planted};

#[test]
fn corpora_of_others_are_begun_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("room");
        fs::write(path, bytes).expect("room");
    };
    write("afl/queue/id:000000,time:0,orig:a", b"ECHO of afl\n");
    write("afl/queue/.state/x", b"nothing");
    write("aflnet/replayable-queue/id:000000", b"\x09\0\0\0USER bob\n\x0e\0\0\0ECHO of aflnet");
    write("words.dict", b"# words\nverb=\"XYZZY\"\n\"\\x00\\xff\"\n");
    let scenario = SCENARIO.replace("PROGRAM", &planted(false).to_string_lossy()).replace("BUG", "none");
    write("planted.toml", scenario.as_bytes());
    ran(harness(folder.path()).args(["fuzz", "corpus", "merge", "afl", "aflnet", "--into", "all"])).exits(0);
    let campaign = again(folder, &["--corpus", "all", "--dictionary", "words.dict", "--cases", "600"]);
    let journal = campaign.journal();
    let imported: Vec<&Value> = journal.iter().filter(|entry| entry["feedback"] == "import").collect();
    let sends = |entry: &&Value| entry["case"]["steps"].to_string().matches("\"send\"").count();
    let mut counts: Vec<usize> = imported.iter().map(sends).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2], "{imported:?}");
    let folder = campaign.folder;
    fs::write(folder.path().join("words.dict"), "no word").expect("room");
    ran(harness(folder.path()).args(["fuzz", "planted.toml", "--dictionary", "words.dict", "--out", "other"])).exits(3);
}

#[test]
fn a_corpus_is_made_small_and_takes_the_same_edges() {
    let campaign = fuzz("none", true, &["--cases", "1500"]);
    let all = campaign.journal();
    ran(harness(campaign.folder.path()).args(["fuzz", "corpus", "min", "out", "--into", "least"])).exits(0);
    let folder = campaign.folder.path().join("least");
    let kept = fs::read_dir(&folder).expect("it is there").flatten().filter(|entry| entry.path().is_file()).count();
    assert!((1..all.len()).contains(&kept), "{kept} of {}", all.len());
    assert_eq!(fs::read_dir(folder.join("replay")).expect("AFLNet's files").count(), kept);
    assert_eq!(fs::read_dir(folder.join("afl/queue")).expect("AFL's files").count(), kept);
    let said = fs::read(folder.join("afl/queue/id:000000")).expect("the first case");
    assert!(said.ends_with(b"ECHO hello\n"), "{}", String::from_utf8_lossy(&said));
    // What AFL is given by it is what a campaign can be given, too.
    let words = fs::read_to_string(folder.join("afl/words.dict")).expect("the words");
    assert!(words.contains("\"ECHO\"\n"), "{words}");
    let again = ["fuzz", "planted.toml", "--corpus", "least/afl", "--dictionary", "least/afl/words.dict"];
    ran(harness(campaign.folder.path()).args(again).args(["--cases", "50", "--out", "again"])).exits(0);
}

#[test]
fn a_finding_becomes_a_regression_test() {
    let campaign = fuzz("crash", false, &["--cases", "3000"]);
    let finding = campaign.found("crash", 6, 6)["path"].as_str().expect("a path").to_owned();
    let folder = campaign.folder.path();
    let told = ran(harness(folder).args(["fuzz", "promote", &finding, "--to", "regress"])).exits(0).stdout();
    assert!(Path::new(&folder.join(told.trim())).exists(), "{told}");
    ran(harness(folder).args(["run", "regress", "--out", "again"])).exits(6);
}

#[test]
fn a_campaign_that_is_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = SCENARIO.replace("PROGRAM", &planted(false).to_string_lossy()).replace("BUG", "none");
    fs::write(folder.path().join("planted.toml"), scenario).expect("room");
    let mut killed = harness(folder.path())
        .args(["fuzz", "planted.toml", "--out", "out", "--seed", "1", "--cases", "1000000"])
        .stderr(Stdio::null())
        .spawn()
        .expect("it was built");
    let checkpoint = folder.path().join("out/checkpoint.json");
    while !checkpoint.exists() {
        assert!(killed.try_wait().expect("a child").is_none(), "it has ended by itself");
        std::thread::yield_now();
    }
    killed.kill().expect("it runs");
    killed.wait().expect("it ends");
    let stored: Value = serde_json::from_str(&fs::read_to_string(&checkpoint).expect("whole")).expect("JSON");
    let counts = &stored["counts"];
    assert_eq!(counts["given"], counts["cases"], "no case is in between");
    let entries = stored["entries"].as_u64().expect("a number") as usize;
    let journal = fs::read_to_string(folder.path().join("out/journal.ndjson")).expect("it is there");
    let known: Vec<Value> =
        journal.lines().take(entries).map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let cases = counts["given"].as_u64().expect("a number") + 100;
    let resumed: Campaign = again(folder, &["--cases", &cases.to_string(), "--resume"]);
    assert_eq!((resumed.code, &resumed.json["cases"]), (Some(0), &cases.into()), "{}", resumed.stderr);
    assert!(entries > 0 && resumed.journal()[..entries] == known, "the corpus is another");
}
