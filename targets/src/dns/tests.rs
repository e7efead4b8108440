use super::*;
use crate::memory::Pipe;
use crate::service::Transport;
use crate::{Limits, answer as answer_datagram, find};

fn server(settings: &[(&str, &str)]) -> Arc<dyn Server> {
    find("dns").unwrap().make(settings, &Limits::default(), || jiff::Timestamp::UNIX_EPOCH).unwrap()
}

/// A name on the wire.
fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn query(text: &str, kind: u8) -> Vec<u8> {
    [b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0".to_vec(), name(text), vec![0, kind, 0, 1]].concat()
}

/// With an OPT record: the longest datagram, and the version.
fn with_edns(mut query: Vec<u8>, udp_len: u16, version: u8) -> Vec<u8> {
    query[11] += 1;
    query.extend_from_slice(b"\0\0\x29");
    query.extend_from_slice(&udp_len.to_be_bytes());
    query.extend_from_slice(&[0, version, 0x80, 0, 0, 0]);
    query
}

fn ask(query: &[u8]) -> Option<Vec<u8>> {
    answer_datagram(&*server(&[]), &Peer::new(0, Transport::Udp, None), query)
}

fn ask_over_tcp(server: &dyn Server, query: &[u8]) -> Vec<u8> {
    let mut pipe = Pipe::open(server, 1 << 20);
    pipe.send(&[&(query.len() as u16).to_be_bytes(), query].concat());
    pipe.take_output()
}

/// The flags, and how many records each section has.
#[track_caller]
fn check(query: &[u8], flags: u16, counts: [u8; 3]) {
    let answer = ask(query).expect("it is answered");
    let [a, b, c] = counts;
    let head = [&[0x12, 0x34][..], &flags.to_be_bytes(), &[0, 1, 0, a, 0, b, 0, c]].concat();
    assert_eq!(answer[..12], head);
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).expect("a name ends") + 5;
    assert_eq!(answer[12..end], query[12..end], "the question comes back");
}

#[test]
fn the_bytes_of_an_answer_are_as_the_rfc_says() {
    let query = query("WWW.example.test", 1);
    let answer = [
        b"\x12\x34\x85\x00\0\x01\0\x02\0\0\0\0\x03WWW\x07example\x04test\0\0\x01\0\x01".as_slice(),
        b"\xc0\x0c\0\x05\0\x01\0\0\x01\x2c\0\x02\xc0\x10",
        b"\xc0\x10\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x01",
    ];
    assert_eq!(ask(&query).unwrap(), answer.concat());
}

#[test]
fn every_type_has_its_records_and_its_addresses() {
    for (text, kind, counts) in [
        ("example.test", 1, [1, 0, 0]),
        ("example.test", 28, [1, 0, 0]),
        ("example.test", 2, [2, 0, 2]),
        ("example.test", 6, [1, 0, 0]),
        ("example.test", 15, [2, 0, 2]),
        ("example.test", 16, [1, 0, 0]),
        ("example.test", 255, [8, 0, 4]),
        ("_sip._tcp.example.test", 33, [1, 0, 1]),
        ("alias.example.test", 1, [3, 0, 0]),
        ("alias.example.test", 5, [1, 0, 0]),
        ("away.example.test", 1, [1, 0, 0]),
        ("loop.example.test", 1, [1, 0, 0]),
        ("any.name.wild.example.test", 1, [1, 0, 0]),
        ("a.wild.example.test", 16, [0, 1, 0]),
        ("text.example.test", 1, [0, 1, 0]),
        ("_tcp.example.test", 1, [0, 1, 0]),
        ("0.long.example.test", 16, [1, 0, 0]),
    ] {
        check(&query(text, kind), 0x8500, counts);
    }
}

#[test]
fn what_is_not_there_is_told_with_its_code() {
    check(&query("nothing.example.test", 1), 0x8503, [0, 1, 0]);
    check(&query("60001.long.example.test", 16), 0x8503, [0, 1, 0]);
    check(&query("example.org", 1), 0x8105, [0, 0, 0]);
    check(&query("", 2), 0x8105, [0, 0, 0]);
    check(&query("example.test", 252), 0x8105, [0, 0, 0]);
    let mut chaos = query("example.test", 16);
    *chaos.last_mut().unwrap() = 3;
    check(&chaos, 0x8105, [0, 0, 0]);
    check(&query("a.child.example.test", 1), 0x8100, [0, 1, 1]);
}

#[test]
fn an_answer_that_is_too_long_is_cut_and_whole_over_tcp() {
    let long = query("many.example.test", 1);
    check(&long, 0x8700, [0, 0, 0]);
    check(&with_edns(long.clone(), 4_096, 0), 0x8500, [40, 0, 1]);
    check(&with_edns(long.clone(), 0, 0), 0x8700, [0, 0, 1]);
    check(&with_edns(query("1300.long.example.test", 16), 4_096, 0), 0x8700, [0, 0, 1]);
    let answer = ask_over_tcp(&*server(&[]), &long);
    assert_eq!(usize::from(u16::from_be_bytes([answer[0], answer[1]])), answer.len() - 2);
    assert_eq!(answer[4..10], [0x85, 0, 0, 1, 0, 40]);
    let longest = ask_over_tcp(&*server(&[]), &query("60000.long.example.test", 16));
    assert_eq!(longest.len(), 2 + 12 + 29 + 12 + 60_000 + 60_000_usize.div_ceil(255));
}

#[test]
fn an_answer_that_no_frame_holds_is_a_failure() {
    let limits = Limits { frame_len_max: 100, ..Limits::default() };
    let server = find("dns").unwrap().make::<&str>(&[], &limits, || jiff::Timestamp::UNIX_EPOCH).unwrap();
    let answer = ask_over_tcp(&*server, &query("600.long.example.test", 16));
    assert_eq!(answer[4..10], [0x85, 2, 0, 1, 0, 0]);
}

#[test]
fn edns_is_answered_by_edns() {
    let answer = ask(&with_edns(query("example.test", 1), 1_232, 0)).unwrap();
    assert!(answer.ends_with(b"\0\0\x29\x02\0\0\0\x80\0\0\0"), "{answer:x?}");
    let answer = ask(&with_edns(query("example.test", 1), 1_232, 1)).unwrap();
    assert_eq!(answer[2..4], [0x81, 0]);
    assert!(answer.ends_with(b"\0\0\x29\x02\0\x01\0\x80\0\0\0"), "{answer:x?}");
    let twice = with_edns(with_edns(query("example.test", 1), 1_232, 0), 1_232, 0);
    assert_eq!(ask(&twice).unwrap()[3] & 0xf, 1);
}

#[test]
fn what_cannot_be_read_is_a_format_error_without_a_question() {
    let question = query("example.test", 1);
    for message in [
        question[..question.len() - 1].to_vec(),
        [&question[..4], &[0, 2], &question[6..]].concat(),
        [&question[..6], &[0xff, 0xff], &question[8..]].concat(),
        [&question[..12], &[0xc0, 12, 0, 1, 0, 1]].concat(),
        [&question[..12], &[0xc0, 0xff, 0, 1, 0, 1]].concat(),
        [&question[..12], &[0x40, 0, 1, 0, 1]].concat(),
        [&question[..12], &[&[63][..], &[b'a'; 63]].concat().repeat(4), &[0, 0, 1, 0, 1]].concat(),
    ] {
        let answer = ask(&message).unwrap();
        assert_eq!(answer, b"\x12\x34\x81\x01\0\0\0\0\0\0\0\0", "{message:x?}");
    }
    let mut update = question;
    update[2] = 5 << 3;
    assert_eq!(ask(&update).unwrap()[2..4], [0xa8, 4]);
}

#[test]
fn what_is_no_query_is_not_answered_and_ends_a_connection() {
    let mut reply = query("example.test", 1);
    reply[2] |= 0x80;
    assert_eq!(ask(&reply), None);
    assert_eq!(ask(b""), None);
    assert_eq!(ask(&[0; 11]), None);
    let mut pipe = Pipe::open(&*server(&[]), 1 << 20);
    pipe.send(b"\0\0");
    assert_eq!(pipe.ending(), Some(crate::Ending::Close));
}

#[test]
fn queries_in_one_read_are_answered_in_order() {
    let query = query("example.test", 1);
    let framed = [&(query.len() as u16).to_be_bytes(), query.as_slice()].concat();
    let mut pipe = Pipe::open(&*server(&[]), 1 << 20);
    pipe.send(&[framed.as_slice(), &framed, &framed[..5]].concat());
    let two = pipe.take_output();
    assert_eq!(two.len(), 2 * (2 + query.len() + 16));
    assert_eq!(two[..two.len() / 2], two[two.len() / 2..]);
}
