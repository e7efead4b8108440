//! Targets that leak, and targets that do not.

use super::*;

/// So many rounds with a server that does this to each connection, with these limits.
fn rounds(limits: &str, body: &str, times: u32) -> Folder {
    let case = format!(
        "[[case]]\nname = \"c\"\nsteps = [{{ repeat = {{ times = {times}, steps = [{{ connect = true }}, {{ send = \"x\" }}, {{ expect = \"x\" }}, {{ close = true }}] }} }}]\n"
    );
    Folder::with(&format!("{}limits = {{ {limits} }}\n\n{case}", python_target(body)))
}

const ECHO: &str = "connection.sendall(connection.recv(1))\nconnection.close()";
const KEEPS_DESCRIPTORS: &str =
    "connection.sendall(connection.recv(1))\nkept = globals().setdefault('kept', [])\nkept.append(connection)";
const KEEPS_MEMORY: &str = "connection.sendall(connection.recv(1))\nkept = globals().setdefault('kept', [])\nkept.append(b'x' * 300000)\nconnection.close()";
const KEEPS_THREADS: &str = "connection.sendall(connection.recv(1))\nconnection.close()\nimport threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()";

#[test]
fn a_descriptor_that_stays_open_each_round_is_a_leak() {
    let folder = rounds("descriptors_growth = 0", KEEPS_DESCRIPTORS, 24);
    folder
        .run(&[])
        .exits(1)
        .says("the target `server` grew from")
        .says("about 1.0 each, and `descriptors_growth` allows 0 descriptors")
        .says("17 rounds")
        .says("the first 6 rounds were its warm-up")
        .says("limits = { descriptors_growth = 0 }");
}

#[test]
fn memory_that_is_kept_each_round_is_a_leak() {
    let folder = rounds("memory_growth = \"1MiB\"", KEEPS_MEMORY, 30);
    folder.run(&[]).exits(1).says("`memory_growth` allows 1 MiB").says("KiB each");
}

#[test]
fn threads_that_stay_are_a_leak() {
    let folder = rounds("threads_growth = 0", KEEPS_THREADS, 16);
    folder.run(&[]).exits(1).says("about 1.0 each, and `threads_growth` allows 0 threads");
}

#[test]
fn memory_has_a_peak() {
    rounds("memory = \"1MiB\"", ECHO, 1).run(&[]).exits(1).says("of memory at its peak, and `memory` allows 1 MiB");
}

#[test]
fn work_for_a_case_has_a_limit() {
    let body =
        |rounds: u32| format!("connection.sendall(connection.recv(1))\nsum(range({rounds}))\nconnection.close()");
    let folder = rounds("work = \"150ms\"", &body(50_000_000), 1);
    folder.run(&[]).exits(1).says("used more than 150ms of a processor for the case, and `work` allows no more");
    rounds("work = \"150ms\"", &body(10), 1).run(&[]).exits(0);
}

#[test]
fn a_server_that_keeps_nothing_stays_within_its_limits() {
    let all = "memory = \"1GiB\", memory_growth = \"2MiB\", descriptors_growth = 0, threads_growth = 0";
    rounds(all, ECHO, 40).run(&[]).exits(0).says("1 passed").says_not("never judged");
}

#[test]
fn a_leak_shows_in_plays_of_a_case_as_well() {
    let folder = rounds("descriptors_growth = 1", KEEPS_DESCRIPTORS, 1);
    folder.run(&[]).exits(0).says("how `server` grows was never judged");
    folder.run(&["--repeat", "9", "--jobs", "4"]).exits(1).says("plays, about 1.0 each");
}

#[test]
fn a_reference_server_with_limits_is_measured_in_a_process_of_its_own() {
    let text = "[target]\nbuiltin = \"tcp-echo\"\nlimits = { memory = \"4KiB\" }\n\n[[case]]\nname = \"c\"\nsteps = [{ send = \"x\" }, { expect = \"x\" }]\n";
    Folder::with(text).run(&[]).exits(1).says("`memory` allows 4 KiB");
}
