//! The reference servers that speak well-known protocols, with ordinary clients of these: no client is told that it is not
//! talking to the real thing.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use targets::memory::Pipe;

use super::capture::tools::have;
use super::serve::{Server, serve};

/// A server, and the port that it listens on.
fn started(args: &[&str]) -> (Server, String) {
    let (server, line, _) = serve(args);
    let port = line.trim_end().rsplit(':').next().expect("an address ends in a port").to_owned();
    (server, port)
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
    if !have(&["curl"]) {
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
    if !have(&["redis-cli"]) {
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

/// Commands whose answers have no order of chance, no time and no score with a fraction in them.
const REDIS: &str = "GET a, SET a 1, INCR a, INCRBY a -5, APPEND a 7, GETRANGE a 1 -1, GETRANGE a -9 0, GETRANGE a 5 9, STRLEN a, SETNX a 1, \
SET a 9223372036854775807 XX GET, INCR a, SET a 1 NX, SET a 1 NX XX, SET a, SET a b EX, SET a b EX x, SET a b EX 0, SET a b PX 10 KEEPTTL, \
MSET b 1 c x, MSET b, MSET b 1 c, INCR c, SET d 01, INCR d, DECRBY b -9223372036854775808, MGET b c nothing, GETSET b 2, GETDEL b, \
TTL a, TTL nothing, PERSIST a, EXPIRE nothing 1, EXPIRE a x, EXPIRE d -1, EXISTS d a a, SETEX a 0 1, PSETEX a -1 1, \
RPUSH l b c, LPUSH l a, LRANGE l 0 -1, LRANGE l -2 9, LRANGE l 2 1, LRANGE l -9 -4, LRANGE l a b, LINDEX l -3, LINDEX l -4, LINDEX l x, \
LPOP l, LPOP l 0, RPOP l 9, LPOP l, LPOP l 1, LPOP l -1, LPUSH, GET, RPUSH l a, GET l, INCR l, SADD l a, HSET l a b, ZADD l 1 a, STRLEN l, \
SADD s b a b, SISMEMBER s a, SREM s b x, SMEMBERS s, SPOP s 0, SPOP s, SPOP s, SPOP s 2, SPOP s -1, SCARD s, TYPE s, \
HSET h a 2, HSET h a 3, HSET h b, HMSET h b, HINCRBY h a 4, HINCRBY h a x, HSET h t x, HINCRBY h t 1, HMGET h a x, HGETALL nothing, HDEL h a t, \
ZADD z 2 a 1 b 15 c -inf d, ZADD z 3 c, ZADD z 1, ZADD z 1 a 2, ZADD z x a, ZRANGE z 0 -1, ZRANGE z 0 -1 WITHSCORES, ZRANGE z 0 -1 FOO, \
ZINCRBY z inf d, ZINCRBY z -1 a, ZSCORE z a, ZSCORE z x, ZPOPMIN z 2, ZPOPMAX z, ZPOPMIN nothing 2, ZREM z a x, ZCARD z, \
RENAME nothing x, SET x 1, RENAME x y, GET y, SCAN x, SCAN 0 COUNT 0, SCAN 0 MATCH, KEYS, KEYS [x-y], PING a, PING a b, ECHO, SELECT x, \
CLIENT GETNAME, CLIENT SETNAME me, CLIENT GETNAME, TIME x, FLUSHALL FOO, FLUSHALL, DBSIZE";

#[test]
fn resp_says_what_redis_says() {
    if !have(&["redis-server"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--unixsocket"]).arg(&socket).current_dir(folder.path());
    let mut redis = Server(command.stdout(Stdio::piped()).spawn().expect("it is installed"));
    let is_ready = |line: &str| line.contains("eady to accept connections");
    let mut lines = BufReader::new(redis.0.stdout.take().expect("it is piped")).lines();
    assert!(lines.any(|line| is_ready(&line.expect("text"))), "it says when it listens");
    let mut redis = UnixStream::connect(&socket).expect("it listens");
    redis.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    let resp = targets::find("resp").expect("it is in the table");
    let resp =
        resp.make::<&str>(&[], &targets::Limits::default(), || jiff::Timestamp::UNIX_EPOCH).expect("its defaults");
    let mut resp = Pipe::open(&*resp, 1 << 20);
    for line in REDIS.split(", ") {
        // The end of the answer is the answer to the command after it.
        let end = b"$3\r\nend\r\n";
        let commands = format!("{line}\r\nECHO end\r\n");
        redis.write_all(commands.as_bytes()).expect("it reads");
        let mut expected = Vec::new();
        while !expected.ends_with(end) {
            let mut bytes = [0; 4_096];
            let len = redis.read(&mut bytes).expect("it answers");
            assert!(len > 0, "it closed at {line}");
            expected.extend_from_slice(&bytes[..len]);
        }
        resp.send(commands.as_bytes());
        assert_eq!(resp.take_output().escape_ascii().to_string(), expected.escape_ascii().to_string(), "{line}");
    }
}

#[test]
fn redis_benchmark_works_with_resp() {
    if !have(&["redis-benchmark"]) {
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
    if !have(&["swaks"]) {
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
