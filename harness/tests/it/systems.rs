//! The reference servers that speak well-known protocols, with ordinary clients of these: no client is told that it is not
//! talking to the real thing.

use std::io::Write;
use std::process::{Command, Stdio};

use super::serve::{Server, serve};

/// A server, and the port that it listens on.
fn started(args: &[&str]) -> (Server, String) {
    let (server, line, _) = serve(args);
    let port = line.trim_end().rsplit(':').next().expect("an address ends in a port").to_owned();
    (server, port)
}

/// Whether a program is installed. What needs one that is not is left out.
fn is_here(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// What a program says on stdout when `input` is on its stdin, and its exit code.
#[track_caller]
fn say(program: &str, args: &[&str], input: &[u8]) -> (String, Option<i32>) {
    let mut command = Command::new(program);
    let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is installed");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A program that does not read what it is given is judged by what it says.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("it is a child of ours");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

#[test]
fn redis_cli_works_with_resp() {
    if !is_here("redis-cli") {
        return;
    }
    let (_server, port) = started(&["resp", "--set", "password=secret"]);
    let check = |args: &[&str], input: &str, expected: &str| {
        let all = [&["-p", &port, "--no-auth-warning"], args].concat();
        assert_eq!(say("redis-cli", &all, input.as_bytes()), (expected.to_owned(), Some(0)), "{args:?} {input}");
    };
    check(&["GET", "a"], "", "NOAUTH Authentication required.\n\n");
    let auth = ["-a", "secret"];
    check(&[&auth[..], &["SET", "colour", "light blue"]].concat(), "", "OK\n");
    check(
        &auth,
        "GET colour\nRPUSH l a b\nLRANGE l 0 -1\nGET l\n",
        "light blue\n2\na\nb\nWRONGTYPE Operation against a key holding the wrong kind of value\n\n",
    );
    check(&[&auth[..], &["--scan", "--pattern", "c*"]].concat(), "", "colour\n");
    // Commands as bytes, which are sent as fast as they can be and counted by an ECHO at their end.
    let piped = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n".repeat(1_000);
    check(
        &[&auth[..], &["--pipe"]].concat(),
        &piped,
        "All data transferred. Waiting for the last reply...\nLast reply received from server.\nerrors: 0, replies: 1000\n",
    );
}

#[test]
fn redis_benchmark_works_with_resp() {
    if !is_here("redis-benchmark") {
        return;
    }
    let (_server, port) = started(&["resp"]);
    let (csv, code) = say("redis-benchmark", &["-p", &port, "-n", "1000", "-P", "16", "--csv"], b"");
    assert_eq!(code, Some(0), "{csv}");
    let tests: Vec<_> = csv.lines().skip(1).map(|line| line.split('"').nth(1).unwrap_or_default()).collect();
    for expected in
        ["PING_INLINE", "SET", "INCR", "LPUSH", "RPOP", "SADD", "HSET", "SPOP", "ZADD", "ZPOPMIN", "MSET (10 keys)"]
    {
        assert!(tests.contains(&expected), "{csv}");
    }
    assert!(tests.len() >= 20, "{csv}");
}
