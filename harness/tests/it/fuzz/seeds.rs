//! Seeds of captures: what others have recorded, and what the harness has.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::run::{harness, ran};
use super::{SCENARIO, again, planted};

/// A scenario of the planted server without a case.
fn write_bare(folder: &Path, bug: &str) {
    let scenario = SCENARIO.replace("PROGRAM", &planted(false).to_string_lossy()).replace("BUG", bug);
    let (bare, _) = scenario.split_once("[[case]]").expect("it has a case");
    fs::write(folder.join("planted.toml"), bare).expect("room");
}

/// A classic capture with one segment a line, each from a client on port 40000 to this port.
fn text2pcap(folder: &Path, port: u16, lines: &[&str]) {
    let dump: String = lines
        .iter()
        .map(|line| {
            let bytes: Vec<String> = line.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!("000000 {}\n\n", bytes.join(" "))
        })
        .collect();
    fs::write(folder.join("dump.txt"), dump).expect("room");
    let output = Command::new("text2pcap")
        .current_dir(folder)
        .args(["-q", "-F", "pcap", "-T", &format!("40000,{port}"), "dump.txt", "seeds.pcap"])
        .output()
        .expect("text2pcap is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_capture_of_others_and_a_target_are_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    write_bare(folder.path(), "crash");
    text2pcap(folder.path(), 2121, &["USER bob\n", "ECHO hello\n"]);
    let campaign = again(folder, &["--seeds", "seeds.pcap", "--cases", "3000"]);
    campaign.found("crash", 6, 6);
    let seed = &campaign.journal()[0];
    assert_eq!(seed["feedback"], "seed", "{}", campaign.stderr);
    assert!(seed["case"].to_string().contains("555345522"), "`USER` in hexadecimal: {seed}");
}

#[test]
fn our_own_captures_are_seeds() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = SCENARIO.replace("PROGRAM", &planted(false).to_string_lossy()).replace("BUG", "none");
    fs::write(folder.path().join("planted.toml"), scenario).expect("room");
    ran(harness(folder.path()).args(["run", "planted.toml", "--out", "ran", "--record", "all"])).exits(0);
    let mut found = Vec::new();
    let mut folders = vec![folder.path().join("ran/captures")];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("captures").flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    write_bare(folder.path(), "none");
    let campaign = again(folder, &["--seeds", &found[0].to_string_lossy(), "--cases", "50"]);
    assert_eq!(campaign.code, Some(0), "{}", campaign.stderr);
    let sends = campaign.journal()[0]["case"]["steps"].to_string().matches("\"send\"").count();
    assert_eq!(sends, 2, "{}", campaign.journal()[0]);
}

#[test]
fn a_capture_alone_is_fuzzed_where_its_target_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    text2pcap(folder.path(), 2121, &["hello\n"]);
    ran(harness(folder.path()).args(["fuzz", "seeds.pcap"])).exits(2).says("and not to which target");
    ran(harness(folder.path()).args(["fuzz", "seeds.pcap", "--target", "udp://127.0.0.1:9"]))
        .exits(3)
        .says("no conversation in it whose client says something to such a target");
    let (_server, line, _stdout) = super::super::serve::serve(&["tcp-echo"]);
    let mut command = harness(folder.path());
    command.args(["fuzz", "seeds.pcap", "--target", line.trim(), "--cases", "30", "--out", "out"]);
    ran(&mut command).exits(0);
}

#[test]
fn what_is_no_capture_is_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    write_bare(folder.path(), "none");
    fs::write(folder.path().join("seeds.pcap"), "text").expect("room");
    ran(harness(folder.path()).args(["fuzz", "planted.toml", "--seeds", "seeds.pcap"]))
        .exits(3)
        .says("expected a pcapng or pcap file");
}
