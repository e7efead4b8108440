//! Which cases leave a capture, and in which format.

use super::*;

const GOOD_AND_BAD: &[(&str, &str)] =
    &[("bad", r#"{ send = "a" }, { expect = "b" }"#), ("good", r#"{ send = "a" }, { expect = "a" }"#)];

fn captures(folder: &Folder) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder.out().join("captures/s")) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("it is ours").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_case_leaves_a_capture_unless_it_is_told_otherwise() {
    for (which, expected) in [("all", &["bad.pcapng", "good.pcapng"][..]), ("fail", &["bad.pcapng"]), ("off", &[])] {
        let folder = Folder::echo(GOOD_AND_BAD);
        folder.run(&["--record", which]).exits(1);
        assert_eq!(captures(&folder), expected);
    }
}

#[test]
fn a_capture_can_be_pcap() {
    let folder = Folder::echo(GOOD_AND_BAD);
    folder.run(&["--capture-format", "pcap"]).exits(1);
    assert_eq!(captures(&folder), ["bad.pcap", "good.pcap"]);
    let bytes = fs::read(folder.out().join("captures/s/good.pcap")).expect("it is there");
    assert!(harness::capture::check(&bytes).expect("it is one").packets > 5);
}

#[test]
fn the_failing_frame_that_is_told_is_there() {
    let folder = Folder::echo(GOOD_AND_BAD);
    folder.run(&["--filter", "case:bad"]).exits(1).says("failing frame 5");
    let bytes = fs::read(folder.out().join("captures/s/bad.pcapng")).expect("it is there");
    assert!(harness::capture::check(&bytes).expect("it is one").packets >= 5);
}
