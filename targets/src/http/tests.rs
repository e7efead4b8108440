use super::*;
use crate::memory::Pipe;
use crate::{Ending, Limits, find};

fn pipe() -> Pipe {
    let limits = Limits { frame_len_max: 100, ..Limits::default() };
    let target = find("http").unwrap();
    Pipe::open(&*target.make::<&str>(&[], &limits, || jiff::Timestamp::UNIX_EPOCH).unwrap(), 1 << 20)
}

const DATE: &str = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";

/// Sends requests and compares the answers without their date.
#[track_caller]
fn check_on(pipe: &mut Pipe, input: &str, expected: &str) {
    pipe.send(input.as_bytes());
    let output = String::from_utf8(pipe.take_output()).unwrap();
    let dates = output.matches(DATE).count();
    assert_eq!(output.replace(DATE, ""), expected, "{input}");
    assert_eq!(dates, output.matches("HTTP/1.1 ").count() - output.matches("HTTP/1.1 100").count());
}

#[track_caller]
fn check(input: &str, expected: &str, closes: bool) {
    let mut pipe = pipe();
    check_on(&mut pipe, input, expected);
    assert_eq!(pipe.ending(), closes.then_some(Ending::Close), "{input}");
}

/// What is answered to `input` is this status, and the connection closes.
#[track_caller]
fn check_fatal(input: &str, status: &str) {
    let text = format!("{status}\n");
    let fields = format!("Content-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n", text.len());
    check(input, &format!("HTTP/1.1 {status}\r\n{fields}\r\n{text}"), true);
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nhello, world\n";
const BAD: &str = "400 Bad Request";

#[test]
fn requests_in_one_read_are_answered_in_order() {
    let get = "GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n";
    let head = HELLO.strip_suffix("hello, world\n").unwrap();
    check(&format!("\r\n{get}{}{get}GET /hel", get.replace("GET", "HEAD")), &format!("{HELLO}{head}{HELLO}"), false);
}

#[test]
fn a_connection_ends_when_the_peer_wants_that() {
    let closing = HELLO.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let keeping = HELLO.replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n");
    check("GET /hello.txt HTTP/1.1\r\nHost: x\r\nConnection: a, Close\r\n\r\nGET", &closing, true);
    check("GET /hello.txt HTTP/1.0\r\n\r\n", &closing, true);
    check("GET /hello.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &keeping, false);
}

#[test]
fn a_target_may_be_a_whole_url_and_may_be_escaped() {
    check("GET http://x/hello.txt?a=b HTTP/1.1\r\nHost: x\r\n\r\n", HELLO, false);
    check("GET HTTP://x/hell%6f%2Etxt HTTP/1.1\r\nHost:x\r\n\r\n", HELLO, false);
}

#[test]
fn a_body_comes_with_a_length_or_in_chunks() {
    let echoed = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello";
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\n";
    check(&format!("{head}Content-Length: 5\r\n\r\nhello"), echoed, false);
    let chunked = format!("{head}Transfer-Encoding: Chunked\r\n\r\n");
    check(&format!("{chunked}2\r\nhe\r\n03 ;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n"), echoed, false);
    check_fatal(&format!("{chunked}1\r\nab\r\n"), BAD);
    check_fatal(&format!("{chunked}-1\r\n"), BAD);
    check_fatal(&format!("{chunked}\r\n"), BAD);
    check_fatal(&format!("{chunked}64\r\n{}\r\n1\r\n", "a".repeat(100)), "413 Content Too Large");
    check_fatal(&format!("{chunked}fffffffffffffffff\r\n"), BAD);
    check_fatal(&format!("{head}Content-Length: 101\r\n\r\n"), "413 Content Too Large");
}

#[test]
fn whoever_waits_for_a_100_gets_one() {
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n";
    let mut pipe = pipe();
    check_on(&mut pipe, &format!("{head}\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1\r\n\r\nx";
    check_on(&mut pipe, "x", answer);
    check_fatal("GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", "417 Expectation Failed");
}

#[test]
fn a_long_body_has_a_length_or_comes_in_chunks_or_ends_with_the_connection() {
    let get = |path: &str, version: &str| format!("GET {path} HTTP/{version}\r\nHost: x\r\n\r\n");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
    check(&get("/bytes/3", "1.1"), &format!("{head}Content-Length: 3\r\n\r\nabc"), false);
    check(
        &get("/chunked/3", "1.1"),
        &format!("{head}Transfer-Encoding: chunked\r\nTrailer: Bytes\r\n\r\n3\r\nabc\r\n0\r\nBytes: 3\r\n\r\n"),
        false,
    );
    check(&get("/chunked/3", "1.0"), &format!("{head}Connection: close\r\n\r\nabc"), true);
    let mut pipe = pipe();
    pipe.send(get("/bytes/10000", "1.1").as_bytes());
    assert!(pipe.take_output().ends_with(&[b'a' + (9_999 % 26) as u8]));
}

#[test]
fn a_long_body_waits_for_its_reader() {
    let server = find("http").unwrap().make::<&str>(&[], &Limits::default(), || jiff::Timestamp::UNIX_EPOCH).unwrap();
    let mut pipe = Pipe::open(&*server, 1_000);
    pipe.send(b"GET /bytes/1073741824 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(!pipe.send(b"GET / HTTP/1.1\r\n"), "a pipe is full long before a gigabyte");
}

#[test]
fn files_are_put_read_and_deleted() {
    let say = |method: &str, rest: &str| format!("{method} /files/a%20b HTTP/1.1\r\nHost: x\r\n{rest}");
    let empty = |status: &str| match status {
        "204 No Content" => format!("HTTP/1.1 {status}\r\n\r\n"),
        _ => format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"),
    };
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\n404 Not Found\n";
    let mut pipe = pipe();
    check_on(&mut pipe, &say("GET", "\r\n"), missing);
    check_on(&mut pipe, &say("PUT", "Content-Length: 2\r\n\r\nhi"), &empty("201 Created"));
    check_on(&mut pipe, &say("PUT", "Content-Length: 3\r\n\r\nho!"), &empty("204 No Content"));
    let ho = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 3\r\n\r\nho!";
    check_on(&mut pipe, &say("GET", "\r\n"), ho);
    check_on(&mut pipe, &say("DELETE", "\r\n"), &empty("204 No Content"));
    check_on(&mut pipe, &say("DELETE", "\r\n"), missing);
}

#[test]
fn what_is_private_needs_a_user_and_a_password() {
    let get = |field: &str| format!("GET /private HTTP/1.1\r\nHost: x\r\n{field}\r\n");
    let mut pipe = pipe();
    let refused = "HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain\r\nWWW-Authenticate: Basic realm=\"http\", \
                   charset=\"UTF-8\"\r\nContent-Length: 17\r\n\r\n401 Unauthorized\n";
    check_on(&mut pipe, &get(""), refused);
    check_on(&mut pipe, &get("Authorization: Basic dXNlcjpndWVzcw==\r\n"), refused);
    let entered = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nyou are in\n";
    check_on(&mut pipe, &get("authorization: basic dXNlcjpzZWNyZXQ=\r\n"), entered);
}

#[test]
fn an_error_about_one_request_leaves_the_connection_to_the_next() {
    let say = |line: &str| format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n.");
    let error = |status: &str, fields: &str| {
        let text = format!("{status}\n");
        format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{fields}Content-Length: {}\r\n\r\n{text}", text.len())
    };
    let mut pipe = pipe();
    for path in ["/nothing", "/%", "/%zz", "/bytes/1073741825", "/bytes/x", "/status/600", "/files/"] {
        check_on(&mut pipe, &say(&format!("GET {path}")), &error("404 Not Found", ""));
    }
    check_on(&mut pipe, &say("POST /"), &error("405 Method Not Allowed", "Allow: GET, HEAD, OPTIONS\r\n"));
    check_on(&mut pipe, &say("GET /echo"), &error("405 Method Not Allowed", "Allow: OPTIONS, POST, PUT\r\n"));
    check_on(&mut pipe, &say("BREW /"), &error("501 Not Implemented", ""));
    check_on(&mut pipe, &say("GET /status/503"), &error("503 Service Unavailable", ""));
    check_on(&mut pipe, &say("GET /status/304"), "HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain\r\n\r\n");
    let allow = "HTTP/1.1 204 No Content\r\nAllow: DELETE, GET, HEAD, OPTIONS, POST, PUT\r\n\r\n";
    check_on(&mut pipe, &say("OPTIONS *"), allow);
}

#[test]
fn what_is_no_request_is_answered_and_the_connection_closes() {
    for line in ["GET /", "GET  / HTTP/1.1", "G=T / HTTP/1.1", "GET x HTTP/1.1", "GET * HTTP/1.1", "GET / http/1.1"] {
        check_fatal(&format!("{line}\r\n"), BAD);
    }
    check_fatal("GET / HTTP/1.1\n", BAD);
    check_fatal("GET / HTTP/2.0\r\n", "505 HTTP Version Not Supported");
    check_fatal(&format!("GET /{}", "a".repeat(8 << 10)), "414 URI Too Long");
    for fields in [
        "",
        "Host: x\r\nHost: x\r\n",
        "Host: x\r\nA : b\r\n",
        "Host: x\r\nA: b\r\n c\r\n",
        "Host: x\r\nA: b\rc\r\n",
        "Host: x\r\nA\r\n",
        "Host: x\r\nContent-Length: +1\r\n",
        "Host: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        "Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
    ] {
        check_fatal(&format!("GET / HTTP/1.1\r\n{fields}\r\n"), BAD);
    }
    check_fatal("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", BAD);
    check_fatal("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "501 Not Implemented");
    let many = format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(FIELDS_MAX + 1));
    check_fatal(&many, "431 Request Header Fields Too Large");
    check_fatal(&format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(16 << 10)), "431 Request Header Fields Too Large");
}
