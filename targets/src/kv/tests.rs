use super::*;
use crate::memory::Pipe;
use crate::{Ending, Limits, find};

fn server(settings: &[(&str, &str)], frame_len_max: usize) -> Arc<dyn Server> {
    let limits = Limits { frame_len_max, ..Limits::default() };
    find("kv").unwrap().make(settings, &limits, || jiff::Timestamp::UNIX_EPOCH).unwrap()
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

fn request(op: u8, id: u32, key: &[u8], data: &[u8]) -> Vec<u8> {
    framed(&[&[op][..], &id.to_be_bytes(), &(key.len() as u16).to_be_bytes(), key, data].concat())
}

fn reply(op: u8, id: u32, status: u8, data: &[u8]) -> Vec<u8> {
    let body = [&[op][..], &id.to_be_bytes(), &[status], data].concat();
    let crc = crc32::of(&[&body]);
    framed(&[&body[..], &crc.to_be_bytes()].concat())
}

fn failure(id: u32, code: u16, text: &str) -> Vec<u8> {
    framed(&[&[0xff][..], &id.to_be_bytes(), &code.to_be_bytes(), text.as_bytes()].concat())
}

#[track_caller]
fn check_on(server: &dyn Server, requests: &[Vec<u8>], replies: &[Vec<u8>]) {
    let mut pipe = Pipe::open(server, 1 << 20);
    pipe.send(&requests.concat());
    assert_eq!(pipe.take_output(), replies.concat());
}

#[track_caller]
fn check(requests: &[Vec<u8>], replies: &[Vec<u8>]) {
    check_on(&*server(&[], FRAME_LEN_MAX), requests, replies);
}

#[test]
fn the_bytes_of_a_get_and_its_value_are_as_the_table_says() {
    let server = server(&[], FRAME_LEN_MAX);
    check_on(&*server, &[request(0x02, 1, b"colour", b"blue")], &[reply(0x82, 1, 0, b"")]);
    let mut pipe = Pipe::open(&*server, 1 << 20);
    pipe.send(b"\0\0\0\x0d\x01\0\0\0\x07\0\x06colour");
    // The checksum was computed with zlib.
    assert_eq!(pipe.take_output(), b"\0\0\0\x0e\x81\0\0\0\x07\0blue\x48\x3a\x2f\x59");
}

#[test]
fn requests_in_one_read_are_answered_in_order() {
    check(
        &[
            request(0x01, 1, b"a", b""),
            request(0x02, 2, b"a", b"x"),
            request(0x01, 3, b"a", b""),
            request(0x03, 4, b"a", b""),
            request(0x03, 5, b"a", b""),
            request(0x01, u32::MAX, b"a", b""),
        ],
        &[
            reply(0x81, 1, 1, b""),
            reply(0x82, 2, 0, b""),
            reply(0x81, 3, 0, b"x"),
            reply(0x83, 4, 0, b""),
            reply(0x83, 5, 1, b""),
            reply(0x81, u32::MAX, 1, b""),
        ],
    );
}

#[test]
fn a_list_has_the_keys_with_the_prefix_in_order() {
    let put = |id, key| request(0x02, id, key, b"");
    let stored = |id| reply(0x82, id, 0, b"");
    check(
        &[put(1, b"b"), put(2, b"ab"), put(3, b"a"), request(0x04, 4, b"a", b""), request(0x04, 5, b"", b"")],
        &[
            stored(1),
            stored(2),
            stored(3),
            reply(0x84, 4, 0, b"\0\x01a\0\x02ab"),
            reply(0x84, 5, 0, b"\0\x01a\0\x02ab\0\x01b"),
        ],
    );
}

#[test]
fn a_malformed_request_fails_with_its_id_and_the_next_is_answered() {
    for (body, id) in [
        (&b""[..], 0),
        (b"\x01", 0),
        (b"\x01\0\0\0", 0),
        (b"\x01\0\0\0\x07", 7),
        (b"\x01\0\0\0\x07\0", 7),
        (b"\x01\0\0\0\x07\0\x02a", 7),
        (b"\x01\0\0\0\x07\0\x01ab", 7),
        (b"\x04\0\0\0\x07\0\0b", 7),
    ] {
        check(
            &[framed(body), request(0x01, 8, b"a", b"")],
            &[failure(id, 1, "malformed request"), reply(0x81, 8, 1, b"")],
        );
    }
}

#[test]
fn an_unknown_op_fails_whatever_follows_it() {
    for op in [0x00, 0x05, 0x81, 0xff] {
        check(&[framed(&[op, 0, 0, 0, 7])], &[failure(7, 2, "unknown op")]);
    }
}

#[test]
fn a_key_has_at_least_1_and_at_most_256_bytes() {
    let (longest, too_long) = ([b'k'; 256], [b'k'; 257]);
    let bad = failure(7, 4, "key is empty or too long");
    check(&[request(0x02, 7, &longest, b"")], &[reply(0x82, 7, 0, b"")]);
    for op in 0x01..=0x04 {
        check(&[request(op, 7, &too_long, b"")], std::slice::from_ref(&bad));
    }
    for op in 0x01..=0x03 {
        check(&[request(op, 7, b"", b"")], std::slice::from_ref(&bad));
    }
}

#[test]
fn a_frame_above_the_limit_fails_with_id_0_and_closes() {
    for (limit, len, fits) in [
        (FRAME_LEN_MAX, 1 << 20, true),
        (FRAME_LEN_MAX, (1 << 20) + 1, false),
        (10, 11, false),
        (usize::MAX, u32::MAX, false),
    ] {
        let mut pipe = Pipe::open(&*server(&[], limit), 1 << 20);
        pipe.send(&len.to_be_bytes());
        assert_eq!(pipe.ending(), (!fits).then_some(Ending::Close));
        assert_eq!(pipe.take_output(), if fits { vec![] } else { failure(0, 3, "frame too long") });
    }
}

#[test]
fn the_longest_value_can_be_read_back() {
    let server = server(&[], 100);
    let longest = [b'x'; 100 - 10];
    check_on(
        &*server,
        &[request(0x02, 1, b"k", &longest), request(0x01, 2, b"k", b"")],
        &[reply(0x82, 1, 0, b""), reply(0x81, 2, 0, &longest)],
    );
    check_on(&*server, &[request(0x02, 3, b"k", &[b'x'; 91])], &[failure(3, 5, "value too long")]);
}

#[test]
fn the_store_has_limits() {
    let full = |id| failure(id, 6, "store full");
    let put = |id, key, data| request(0x02, id, key, data);
    let stored = |id| reply(0x82, id, 0, b"");
    check_on(&*server(&[("keys", "1")], 100), &[put(1, b"a", b""), put(2, b"b", b"")], &[stored(1), full(2)]);
    check_on(&*server(&[("bytes", "2")], 100), &[put(1, b"a", b"12"), put(2, b"a", b"1")], &[full(1), stored(2)]);
}

#[test]
fn keys_that_do_not_fit_a_frame_fail() {
    let server = server(&[], 40);
    let key = [b'k'; 29];
    check_on(
        &*server,
        &[request(0x02, 1, &key, b""), request(0x04, 2, b"", b"")],
        &[reply(0x82, 1, 0, b""), failure(2, 7, "reply too long")],
    );
    check_on(
        &*server,
        &[request(0x03, 3, &key, b""), request(0x02, 4, &key[..28], b"")],
        &[reply(0x83, 3, 0, b""), reply(0x82, 4, 0, b"")],
    );
    let data = [&[0, 28][..], &key[..28]].concat();
    check_on(&*server, &[request(0x04, 5, b"", b"")], &[reply(0x84, 5, 0, &data)]);
}

#[test]
fn a_half_close_inside_a_message_fails() {
    let mut pipe = Pipe::open(&*server(&[], 100), 1 << 20);
    pipe.send(&request(0x01, 7, b"a", b"")[..8]);
    pipe.end();
    assert_eq!(pipe.take_output(), failure(0, 1, "malformed request"));
    assert_eq!(pipe.ending(), Some(Ending::Close));
}

#[test]
fn many_requests_for_a_long_value_wait_for_their_reader() {
    let server = server(&[], FRAME_LEN_MAX);
    let value = vec![b'x'; 100_000];
    check_on(&*server, &[request(0x02, 1, b"k", &value)], &[reply(0x82, 1, 0, b"")]);
    let mut connection = crate::Connection::open(&*server, &Peer::new(0, crate::Transport::Tcp, None), 250_000);
    connection.receive(&request(0x01, 2, b"k", b"").repeat(50));
    assert_eq!(connection.output().len(), 3 * (4 + 10 + 100_000));
    assert!(!connection.wants_input());
    let mut total = 0;
    while !connection.output().is_empty() {
        assert!(connection.output().len() <= 250_000 + 100_014);
        total += connection.output().len();
        connection.written(connection.output().len());
    }
    assert_eq!(total, 50 * 100_014);
    assert!(connection.wants_input());
}
