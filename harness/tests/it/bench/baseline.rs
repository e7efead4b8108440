//! `harness bench --baseline`: what was measured, held against what was stored.

use std::fs;

use serde_json::Value;

use super::{bench, case};
use crate::run::Folder;

/// A server that takes so many seconds for each answer, by a variable.
fn slow() -> Folder {
    let server = "import socket, sys, time\ns = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\nwhile True:\n  c, _ = s.accept()\n  while d := c.recv(99):\n    time.sleep(float(sys.argv[2]))\n    c.sendall(d)\n";
    let target = format!(
        "[vars]\npause = \"0\"\n[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\", \"${{pause}}\"]\n"
    );
    Folder::with(&format!("{target}{}", case("{ send = \"a\" }, { expect = \"a\" }")))
}

#[test]
fn a_server_that_has_become_slower_falls_behind_its_baseline() {
    let folder = slow();
    // Ten intervals, and times so far apart that no machine makes one the other.
    bench(&folder, &["--duration", "500ms", "--var", "pause=0.0001"]).exits(0);
    fs::rename(folder.out(), folder.path().join("before")).expect("it is moved");
    let ran = bench(&folder, &["--duration", "1s", "--var", "pause=0.05", "--baseline", "before"]).exits(8);
    assert!(ran.stdout().contains("\nworse       p50 +"));
    let text = fs::read_to_string(folder.out().join("bench.json")).expect("it is written");
    let bench: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(bench["baseline"].as_array().map(Vec::len), Some(1), "{text}");
    assert_eq!(bench["baseline"][0]["tag"], "c/closed-1x1/latency");
    assert_eq!(bench["baseline"][0]["verdict"], "worse");
}

#[test]
fn a_baseline_of_another_load_is_none() {
    let folder = slow();
    bench(&folder, &["--duration", "200ms"]).exits(0);
    fs::rename(folder.out().join("bench.hlog"), folder.path().join("one.hlog")).expect("it is moved");
    let two = ["--duration", "200ms", "-c", "2", "--baseline", "one.hlog"];
    bench(&folder, &two).exits(3).says("the baseline has no latencies under the same load");
}

#[test]
fn a_baseline_that_cannot_be_read_is_told_before_anything_is_measured() {
    let folder = slow();
    bench(&folder, &["--baseline", "nowhere"]).exits(3).says("cannot compare with `nowhere`: ");
    folder.write("no.hlog", "nonsense\n");
    bench(&folder, &["--baseline", "no.hlog"]).exits(3).says("cannot compare with `no.hlog`: ");
}
