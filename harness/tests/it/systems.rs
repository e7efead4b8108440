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
fn curl_works_with_http() {
    if !is_here("curl") {
        return;
    }
    let (_server, port) = started(&["http"]);
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let curl = |args: &[&str], input: &[u8]| {
        let (said, code) = say("curl", &[&["--silent", "--show-error", "--max-time", "20"], args].concat(), input);
        assert_eq!(code, Some(0), "{args:?} {said}");
        said
    };
    // The second request goes over the first one's connection: it counts no new one.
    let connects = ["--write-out", "%{http_code} %{num_connects} "];
    let (hello, page) = (url("/hello.txt"), url("/redirect"));
    assert_eq!(curl(&[&connects[..], &[&hello, &hello]].concat(), b""), "hello, world\n200 1 hello, world\n200 0 ");
    assert_eq!(curl(&["--location", &page], b""), "hello, world\n");
    assert!(curl(&["--head", &hello], b"").contains("\r\nContent-Length: 13\r\n"));
    assert_eq!(curl(&["--http1.0", &hello], b""), "hello, world\n");
    let alphabet: String = ('a'..='z').cycle().take(100_000).collect();
    assert_eq!(curl(&[&url("/chunked/100000")], b""), alphabet);
    assert_eq!(curl(&["--http1.0", &url("/chunked/100000")], b""), alphabet);
    assert_eq!(curl(&[&url("/bytes/100000")], b""), alphabet);
    // A body of unknown length is sent in chunks; a known one of more than a megabyte waits for a 100.
    assert_eq!(curl(&["--upload-file", "-", &url("/echo")], alphabet.as_bytes()), alphabet);
    let large = alphabet.repeat(10);
    assert_eq!(
        curl(&["--data-binary", "@-", "--header", "Expect: 100-continue", &url("/echo")], large.as_bytes()),
        large
    );
    let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    let code = |args: &[&str], input: &[u8]| curl(&[&status[..], args].concat(), input);
    assert_eq!(code(&["--upload-file", "-", &url("/files/a%20b")], b"hi"), "201");
    assert_eq!(curl(&[&url("/files/a%20b")], b""), "hi");
    assert_eq!(code(&["--request", "DELETE", &url("/files/a%20b")], b""), "204");
    assert_eq!(code(&[&url("/files/a%20b")], b""), "404");
    assert_eq!(code(&["--data", "x", &hello], b""), "405");
    assert_eq!(
        code(&["--data-binary", "@-", "--header", "Expect:", &url("/echo")], &large.as_bytes().repeat(2)),
        "413"
    );
    assert_eq!(code(&["--request", "BREW", &hello], b""), "501");
    assert_eq!(code(&["--header", "A : b", &hello], b""), "400");
    assert_eq!(code(&[&url("/private")], b""), "401");
    assert_eq!(curl(&["--user", "user:secret", &url("/private")], b""), "you are in\n");
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

#[test]
fn swaks_works_with_smtp() {
    if !is_here("swaks") {
        return;
    }
    let (_server, port) = started(&["smtp", "--set", "users=anna:secret"]);
    let swaks = |args: &[&str], body: &str| {
        let who = ["--helo", "me", "--from", "anna@example.test", "--to", "ben@example.test", "--timeout", "10s"];
        let all = [&["--server", "127.0.0.1", "--port", &port, "--body", "-"], &who[..], args].concat();
        say("swaks", &all, body.as_bytes())
    };
    let auth = ["--auth", "PLAIN", "--auth-user", "anna", "--auth-password", "secret"];
    let (said, code) = swaks(&auth, "hello\n.\nthere\n");
    assert!(code == Some(0) && said.contains("<~  235 2.7.0") | said.contains("<-  235 2.7.0"), "{code:?} {said}");
    let pipelined = [&auth[..], &["--pipeline", "--add-header", "X-Long: 1"]].concat();
    assert_eq!(swaks(&pipelined, "hello").1, Some(0));
    // Its exit codes: 28 for a login that failed, 23 and 24 for a sender and a recipient that were refused, 26 for the mail.
    assert_eq!(swaks(&["--auth", "PLAIN", "--auth-user", "anna", "--auth-password", "guess"], "").1, Some(28));
    assert_eq!(swaks(&[], "").1, Some(23));
    assert_eq!(swaks(&[&auth[..], &["--to", "nobody@example.test"]].concat(), "").1, Some(24));
    let (said, code) = swaks(&auth, &"a".repeat(999));
    assert!(code == Some(26) && said.contains("500 5.6.0 line too long"), "{code:?} {said}");
}
