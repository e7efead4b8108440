use super::*;
use crate::connection::{Connection, answer};
use crate::service::{ProcessEnd, Transport};
use crate::{Ending, Limits, find};

fn server(flaw: &str, wire: &str) -> Arc<dyn Server> {
    let target = find("flawed").expect("it is in the table");
    let pairs = [("flaw", flaw), ("wire", wire)];
    target.make(&pairs, &Limits::default(), || jiff::Timestamp::UNIX_EPOCH).expect("these are right")
}

fn open(server: &dyn Server, number: u64) -> Connection {
    Connection::open(server, &Peer::new(number, Transport::Tcp, None), 1 << 16)
}

/// What comes back on a connection.
fn said(connection: &mut Connection, input: &[u8]) -> String {
    connection.receive(input);
    let output = connection.output().escape_ascii().to_string();
    connection.written(connection.output().len());
    output
}

#[track_caller]
fn check(input: &str, expected: &str) {
    let mut connection = open(&*server("none", "text"), 0);
    assert_eq!(said(&mut connection, input.as_bytes()).replace("\\r\\n", " / "), expected);
}

#[test]
fn values_are_kept_until_they_are_deleted() {
    check("PUT a b c\nGET a\nDEL a\nDEL a\nGET a\n", "OK / VALUE b c / OK / NONE / NONE / ");
}

#[test]
fn a_channel_is_for_those_who_have_said_hello() {
    check(
        "OPEN\r\nHELLO x\nREAD\nOPEN\nREAD\nREAD\nCLOSE\nREAD\nCLOSE\n",
        concat!(
            "ERROR say hello first / HELLO x / ERROR no channel / OK / DATA 1 / DATA 2 / OK / ",
            "ERROR no channel / ERROR no channel / "
        ),
    );
}

#[test]
fn lists_are_added_up_to_a_depth() {
    check("SUM (1 (2 3) 4)\nSUM (1\nSUM (1))\nSUM 1\n", "SUM 10 / ERROR no list / ERROR no list / ERROR no list / ");
    let nested = |depth| format!("SUM {}{}\n", "(".repeat(depth), ")".repeat(depth));
    check(&nested(32), "SUM 0 / ");
    check(&nested(33), "ERROR no list / ");
}

#[test]
fn what_is_wrong_is_an_error_and_the_connection_goes_on() {
    check("GET\nget a\n\nECHO on\n", "ERROR bad name / ERROR unknown command / ERROR unknown command / ECHO on / ");
    check(&format!("GET {}\nECHO on\n", "k".repeat(65)), "ERROR bad name / ECHO on / ");
}

#[test]
fn a_line_without_an_end_ends_the_connection() {
    let mut connection = open(&*server("none", "text"), 0);
    assert_eq!(said(&mut connection, &[b'x'; 20_000]), "ERROR line too long\\r\\n");
    assert_eq!(connection.ending(), Some(Ending::Close));
}

/// A request in binary.
fn message(operation: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0x46, 0x4c, operation, 0, 7, 0, body.len() as u8];
    message.extend_from_slice(body);
    let checksum = crate::kv::crc32::of(&[&message]);
    message.extend_from_slice(&checksum.to_be_bytes());
    message
}

#[test]
fn binary_answers_have_the_identifier_and_a_checksum() {
    let mut connection = open(&*server("none", "binary"), 0);
    let ok = said(&mut connection, &message(7, b"\x01ab"));
    assert!(ok.starts_with("FL\\x80\\x00\\x07\\x00\\x01\\x00"), "{ok}");
    let value = said(&mut connection, &message(4, b"a"));
    assert!(value.starts_with("FL\\x80\\x00\\x07\\x00\\x02\\x00b"), "{value}");
    let mut spoilt = message(4, b"a");
    spoilt[7] ^= 1;
    assert!(said(&mut connection, &spoilt).contains("bad checksum"));
    assert!(said(&mut connection, b"XX\x04\0\x07\0\0").contains("bad magic number"));
    assert_eq!(connection.ending(), Some(Ending::Close));
}

#[test]
fn a_datagram_is_answered_with_its_number() {
    let (server, peer) = (server("none", "text"), Peer::new(0, Transport::Udp, None));
    let said = |input: &[u8]| answer(&*server, &peer, input).map(|answer| answer.escape_ascii().to_string());
    assert_eq!(said(b"7 ECHO x").as_deref(), Some("7 ECHO x"));
    assert_eq!(said(b"8 GET a").as_deref(), Some("8 NONE"));
    assert_eq!(said(b"ECHO x"), None);
    assert_eq!(said(b""), None);
}

#[test]
fn a_flaw_shows_where_it_is_and_nowhere_else() {
    for (flaw, ends) in [("none", false), ("state-confusion", true)] {
        let server = server(flaw, "text");
        let mut connection = open(&*server, 0);
        connection.receive(b"HELLO x\nOPEN\nREAD\nCLOSE\n");
        assert_eq!(connection.take_process_end(), None, "{flaw}");
        connection.receive(b"READ\n");
        assert_eq!(connection.take_process_end(), ends.then_some(ProcessEnd::Crash), "{flaw}");
    }
}

#[test]
fn an_answer_goes_astray_only_while_another_connection_is_halfway() {
    let server = server("answer-astray", "text");
    let (mut first, mut second) = (open(&*server, 0), open(&*server, 1));
    assert_eq!(said(&mut second, b"ECHO a\n"), "ECHO a\\r\\n");
    assert_eq!(said(&mut first, b"EC"), "");
    assert_eq!(said(&mut second, b"ECHO b\n"), "");
    first.answer_bell();
    assert_eq!(said(&mut first, b""), "ECHO b\\r\\n");
}

#[test]
fn each_cut_of_a_sound_conversation_is_answered_the_same() {
    let whole = b"PUT a b\r\nGET a\r\nECHO x\r\n";
    for cut in 0..=whole.len() {
        let mut connection = open(&*server("none", "text"), 0);
        let answers = said(&mut connection, &whole[..cut]) + &said(&mut connection, &whole[cut..]);
        assert_eq!(answers, "OK\\r\\nVALUE b\\r\\nECHO x\\r\\n", "{cut}");
    }
}

#[test]
fn the_table_has_each_flaw_once_in_alphabetical_order() {
    assert!(FLAWS.is_sorted_by(|a, b| a.name < b.name));
    for (at, row) in FLAWS.iter().enumerate() {
        assert!(FLAWS[..at].iter().all(|other| other.flaw != row.flaw), "{}", row.name);
    }
    let found = FLAWS.iter().filter(|row| !matches!(row.found, Found::No { .. })).count();
    assert!(found >= 24, "{found}");
}

#[test]
fn what_is_no_flaw_is_named() {
    let target = find("flawed").expect("it is in the table");
    let make = |name, value| {
        let made = target.make(&[(name, value)], &Limits::default(), || jiff::Timestamp::UNIX_EPOCH);
        made.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(
        make("flaw", "smell").starts_with("`flaw`: expected one of `amplification`, "),
        "{}",
        make("flaw", "smell")
    );
    assert_eq!(make("wire", "copper"), "`wire`: expected one of `binary`, `text`, got `copper`");
}
