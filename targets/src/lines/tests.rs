use super::*;
use crate::memory::Pipe;
use crate::settings::Settings;
use crate::{Limits, find};

fn server(settings: &[(&str, &str)]) -> Arc<dyn Server> {
    let target = find("lines").unwrap();
    target.make(settings, &Limits::default(), || jiff::Timestamp::UNIX_EPOCH).unwrap()
}

#[track_caller]
fn check_with(settings: &[(&str, &str)], input: &str, expected: &str) {
    let mut pipe = Pipe::open(&*server(settings), 1 << 20);
    pipe.send(input.as_bytes());
    assert_eq!(String::from_utf8_lossy(&pipe.take_output()), expected);
}

#[track_caller]
fn check(input: &str, expected: &str) {
    check_with(&[], input, expected);
}

#[test]
fn requests_are_answered_in_order_each_with_its_own_ending() {
    check("PING\nping\r\nEcho  a b \n", "PONG\nPONG\r\nECHO  a b \n");
    check("TIME\n", "TIME 1970-01-01T00:00:00Z\n");
}

#[test]
fn a_value_is_set_read_listed_and_deleted() {
    check("SET a 1 2\nGET a\nSET a \nGET a\n", "OK\nVALUE 1 2\nOK\nVALUE \n");
    check(
        "SET b 1\nSET ab 1\nSET a 1\nLIST a\r\nLIST\nLIST x\n",
        "OK\nOK\nOK\nLIST 2\r\na\r\nab\r\nLIST 3\na\nab\nb\nLIST 0\n",
    );
    check("SET a 1\nDEL a\nDEL a\nGET a\n", "OK\nOK\nERR 404 no such key\nERR 404 no such key\n");
}

#[test]
fn a_wrong_number_of_arguments_is_an_error() {
    for line in [
        "PING x", "ECHO", "GET", "GET ", "GET a b", "GET  a", "SET", "SET a", "SET  a", "DEL", "LIST ", "QUIT now",
        "TIME x",
    ] {
        check(&format!("{line}\n"), "ERR 411 wrong number of arguments\n");
    }
}

#[test]
fn an_unknown_command_is_an_error_and_the_connection_goes_on() {
    check(
        "FLY\n\nPINGS\r\nPING\n",
        "ERR 400 unknown command\nERR 400 unknown command\nERR 400 unknown command\r\nPONG\n",
    );
}

#[test]
fn a_line_that_is_too_long_is_refused_once_and_skipped() {
    let line = &[("line", "6")];
    check_with(line, "ECHO a\r\nECHO ab\r\nPING\n", "ECHO a\r\nERR 413 line too long\nPONG\n");
    check_with(line, "ECHO abcdef", "ERR 413 line too long\n");
}

#[test]
fn an_endless_line_is_not_kept() {
    let store = Store::shared(&Settings::new::<&str>(SETTINGS, &[]).unwrap()).unwrap();
    let commands = Commands { store, clock: || jiff::Timestamp::UNIX_EPOCH };
    let mut service = Lines { inbox: Inbox::default(), searched: 0, skipping: false, line_len_max: 10, commands };
    let mut reply = Reply::new(1_000);
    for _ in 0..1_000 {
        service.receive(&[b'x'; 1_000], &mut reply);
    }
    assert!(service.inbox.rest().is_empty());
    assert_eq!(reply.output, b"ERR 413 line too long\n");
}

#[test]
fn keys_and_the_store_have_limits() {
    let key = "k".repeat(KEY_LEN_MAX);
    check(&format!("SET {key} 1\nSET {key}k 1\n"), "OK\nERR 414 key too long\n");
    check_with(&[("keys", "1")], "SET a 1\nSET b 1\nSET a 2\n", "OK\nERR 507 store full\nOK\n");
    check_with(&[("bytes", "3")], "SET a 123\nSET a 12\n", "ERR 507 store full\nOK\n");
}

#[test]
fn quit_closes_and_what_follows_is_not_played() {
    let mut pipe = Pipe::open(&*server(&[]), 1 << 20);
    pipe.send(b"QUIT\nPING\n");
    assert_eq!(pipe.take_output(), b"BYE\n");
    assert_eq!(pipe.ending(), Some(crate::Ending::Close));
    assert!(!pipe.send(b"PING\n"));
}

#[test]
fn a_last_line_without_an_ending_is_no_request() {
    let mut pipe = Pipe::open(&*server(&[]), 1 << 20);
    pipe.send(b"PING\nPING");
    pipe.end();
    assert_eq!(pipe.take_output(), b"PONG\n");
}

#[test]
fn all_clients_share_the_store() {
    let server = server(&[]);
    let (mut a, mut b) = (Pipe::open(&*server, 1 << 20), Pipe::open(&*server, 1 << 20));
    a.send(b"SET colour blue\n");
    b.send(b"GET colour\n");
    assert_eq!(b.take_output(), b"VALUE blue\n");
}
