//! Files that nobody should write, and peers that nobody should have.

use super::*;

#[test]
fn a_file_too_large_is_refused() {
    let folder = Folder::new();
    folder.write("s.toml", vec![b'#'; (16 << 20) + 1]);
    folder.run(&[]).exits(3).says("bytes");
}

#[test]
fn a_file_that_is_no_text_is_refused_with_its_line() {
    let folder = Folder::new();
    folder.write("s.toml", b"name = \"x\"\n\xff\n");
    folder.run(&[]).exits(3).says("line 2");
}

#[test]
fn deep_nesting_is_refused() {
    let folder = Folder::new();
    folder.write("s.toml", format!("a = {}{}\n", "[".repeat(100_000), "]".repeat(100_000)));
    folder.run(&[]).exits(3);
}

#[test]
fn a_folder_that_leads_back_to_itself_ends() {
    let folder = Folder::echo(&[("one", r#"{ send = "a" }, { expect = "a" }"#)]);
    std::os::unix::fs::symlink(".", folder.path().join("loop")).expect("a link");
    ran(harness(folder.path()).args(["run", ".", "--out", "out"])).exits(0).says("1 case");
}

#[test]
fn a_peer_that_floods_is_bounded() {
    let text = "[target]\nbuiltin = \"chargen\"\nsettings = { bytes = 0 }\n[[case]]\nname = \"c\"\nsteps = [{ expect = { contains = \"never said\" } }]\n";
    let folder = Folder::with(text);
    folder.run(&["--record", "off"]).exits(1).says("bytes that do not match");
}
