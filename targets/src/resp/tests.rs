use std::cell::Cell;

use super::*;
use crate::memory::Pipe;
use crate::{Ending, Limits, find};

thread_local! {
    static NOW_MS: Cell<i64> = const { Cell::new(0) };
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(NOW_MS.get()).unwrap()
}

fn pipe(settings: &[(&str, &str)], frame_len_max: usize) -> Pipe {
    let limits = Limits { frame_len_max, ..Limits::default() };
    Pipe::open(&*find("resp").unwrap().make(settings, &limits, now).unwrap(), 1 << 20)
}

/// Sends each line as a command and compares the answers, in which a space stands for CRLF and `_` for a space.
#[track_caller]
fn check_on(pipe: &mut Pipe, commands: &[(&str, &str)]) {
    for (command, expected) in commands {
        pipe.send(format!("{command}\r\n").as_bytes());
        let answer = String::from_utf8(pipe.take_output()).unwrap().replace(' ', "_").replace("\r\n", " ");
        assert_eq!(answer.trim_end(), *expected, "{command}");
    }
}

#[track_caller]
fn check(commands: &[(&str, &str)]) {
    check_on(&mut pipe(&[], 1 << 20), commands);
}

#[track_caller]
fn check_bytes(input: &[u8], expected: &str, ending: Option<Ending>) {
    let mut pipe = pipe(&[], 1_000);
    pipe.send(input);
    assert_eq!(String::from_utf8_lossy(&pipe.take_output()), expected);
    assert_eq!(pipe.ending(), ending);
}

#[test]
fn requests_are_arrays_or_lines_and_are_answered_in_order() {
    check_bytes(
        b"*1\r\n$4\r\nPING\r\nping\n*2\r\n$4\r\necho\r\n$2\r\n\r\n\r\n",
        "+PONG\r\n+PONG\r\n$2\r\n\r\n\r\n",
        None,
    );
    check_bytes(b"\r\n*0\r\n*-1\r\n  PING  \r\n*1\r\n$4\r\nPIN", "+PONG\r\n", None);
    check_bytes(b"QUIT\r\nPING\r\n", "+OK\r\n", Some(Ending::Close));
}

#[test]
fn what_is_no_request_is_named_and_the_connection_closes() {
    for (input, what) in [
        ("*1\r\n+PING\r\n", "expected '$', got '+'"),
        ("*x\r\n", "invalid multibulk length"),
        ("*1\n", "invalid multibulk length"),
        ("*167\r\n", "invalid multibulk length"),
        ("*00000000000000000000000000000001", "invalid multibulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$989\r\n", "invalid bulk length"),
        ("*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
    ] {
        check_bytes(input.as_bytes(), &format!("-ERR Protocol error: {what}\r\n"), Some(Ending::Close));
    }
    check_bytes(&[b'a'; 64 << 10], "", None);
    check_bytes(&[b'a'; (64 << 10) + 1], "-ERR Protocol error: too big inline request\r\n", Some(Ending::Close));
}

#[test]
fn the_longest_request_is_as_long_as_a_frame() {
    let input = format!("*2\r\n$4\r\nECHO\r\n$978\r\n{}\r\n", "a".repeat(978));
    assert_eq!(input.len(), 1_000);
    check_bytes(input.as_bytes(), &format!("$978\r\n{}\r\n", "a".repeat(978)), None);
}

#[test]
fn a_string_is_set_read_changed_and_deleted() {
    check(&[
        ("GET a", "$-1"),
        ("SET a 1", "+OK"),
        ("INCR a", ":2"),
        ("INCRBY a -5", ":-3"),
        ("APPEND a 7", ":3"),
        ("GET a", "$3 -37"),
        ("GETRANGE a 1 -1", "$2 37"),
        ("GETRANGE a -9 0", "$1 -"),
        ("GETRANGE a 5 9", "$0"),
        ("STRLEN a", ":3"),
        ("SETNX a 1", ":0"),
        ("SET a 9223372036854775807 XX GET", "$3 -37"),
        ("INCR a", "-ERR_increment_or_decrement_would_overflow"),
        ("SET a 1 NX", "$-1"),
        ("SET a 1 NX XX", "-ERR_syntax_error"),
        ("MSET b 1 c x", "+OK"),
        ("INCR c", "-ERR_value_is_not_an_integer_or_out_of_range"),
        ("DECRBY b -9223372036854775808", "-ERR_decrement_would_overflow"),
        ("MGET b c d", "*3 $1 1 $1 x $-1"),
        ("GETSET b 2", "$1 1"),
        ("GETDEL b", "$1 2"),
        ("DEL a b c", ":2"),
        ("MSET a", "-ERR_wrong_number_of_arguments_for_'mset'_command"),
        ("get", "-ERR_wrong_number_of_arguments_for_'get'_command"),
        ("NOTHING", "-ERR_unknown_command_'NOTHING'"),
    ]);
}

#[test]
fn a_list_grows_and_shrinks_at_both_ends_and_is_gone_when_empty() {
    check(&[
        ("RPUSH l b c", ":2"),
        ("LPUSH l a", ":3"),
        ("LRANGE l 0 -1", "*3 $1 a $1 b $1 c"),
        ("LRANGE l -2 9", "*2 $1 b $1 c"),
        ("LRANGE l 2 1", "*0"),
        ("LINDEX l -3", "$1 a"),
        ("LINDEX l -4", "$-1"),
        ("LINDEX l 3", "$-1"),
        ("LPOP l", "$1 a"),
        ("RPOP l 9", "*2 $1 c $1 b"),
        ("EXISTS l l", ":0"),
        ("LPOP l", "$-1"),
        ("LPOP l 1", "*-1"),
        ("LPOP l -1", "-ERR_value_is_out_of_range,_must_be_positive"),
        ("LLEN l", ":0"),
    ]);
}

#[test]
fn sets_hashes_and_sorted_sets_keep_their_order() {
    check(&[
        ("SADD s b a b", ":2"),
        ("SMEMBERS s", "*2 $1 a $1 b"),
        ("SISMEMBER s a", ":1"),
        ("SPOP s", "$1 a"),
        ("SREM s b x", ":1"),
        ("SCARD s", ":0"),
        ("HSET h b 1 a 2", ":2"),
        ("HSET h b 3", ":0"),
        ("HGETALL h", "*4 $1 a $1 2 $1 b $1 3"),
        ("HINCRBY h b 4", ":7"),
        ("HMGET h b x", "*2 $1 7 $-1"),
        ("HKEYS h", "*2 $1 a $1 b"),
        ("HVALS h", "*2 $1 2 $1 7"),
        ("HDEL h a b", ":2"),
        ("TYPE h", "+none"),
        ("ZADD z 2 a 1 b -1.5 c -inf d", ":4"),
        ("ZADD z 3 c", ":0"),
        ("ZRANGE z 0 -1 WITHSCORES", "*8 $1 d $4 -inf $1 b $1 1 $1 a $1 2 $1 c $1 3"),
        ("ZADD z nan a", "-ERR_value_is_not_a_valid_float"),
        ("ZINCRBY z inf d", "-ERR_resulting_score_is_not_a_number_(NaN)"),
        ("ZINCRBY z -0.5 b", "$3 0.5"),
        ("ZSCORE z b", "$3 0.5"),
        ("ZPOPMIN z 2", "*4 $1 d $4 -inf $1 b $3 0.5"),
        ("ZPOPMAX z", "*2 $1 c $1 3"),
        ("ZREM z a", ":1"),
        ("ZCARD z", ":0"),
        ("DBSIZE", ":0"),
    ]);
}

#[test]
fn a_key_of_another_kind_is_named_and_stays() {
    let wrong = "-WRONGTYPE_Operation_against_a_key_holding_the_wrong_kind_of_value";
    let mut pipe = pipe(&[], 1 << 20);
    check_on(&mut pipe, &[("SADD s a", ":1"), ("MGET s", "*1 $-1"), ("SET s 1 GET", wrong)]);
    for command in ["GET s", "INCR s", "LPUSH s a", "LPOP s", "HSET s a b", "HDEL s a", "ZADD s 1 a", "ZPOPMIN s"] {
        check_on(&mut pipe, &[(command, wrong)]);
    }
    check_on(&mut pipe, &[("TYPE s", "+set"), ("SMEMBERS s", "*1 $1 a")]);
}

#[test]
fn a_key_is_gone_when_its_time_is_over() {
    let mut pipe = pipe(&[], 1 << 20);
    NOW_MS.set(0);
    check_on(
        &mut pipe,
        &[
            ("SET a 1 PX 1500", "+OK"),
            ("SETEX b 1 x", "+OK"),
            ("SET c 1", "+OK"),
            ("TTL a", ":2"),
            ("PTTL a", ":1500"),
            ("TTL c", ":-1"),
            ("TTL d", ":-2"),
            ("INCR a", ":2"),
            ("SET a 3 KEEPTTL", "+OK"),
            ("PERSIST b", ":1"),
            ("PERSIST b", ":0"),
            ("PEXPIRE c 1500", ":1"),
            ("EXPIRE d 1", ":0"),
            ("SET a 1 EX 0", "-ERR_invalid_expire_time_in_'set'_command"),
            ("EXPIRE a 9223372036854775807", "-ERR_invalid_expire_time_in_'expire'_command"),
        ],
    );
    NOW_MS.set(1_499);
    check_on(&mut pipe, &[("GET a", "$1 3"), ("DBSIZE", ":3")]);
    NOW_MS.set(1_500);
    check_on(&mut pipe, &[("KEYS *", "*1 $1 b"), ("GET a", "$-1"), ("RPUSH c x", ":1"), ("TTL c", ":-1")]);
}

#[test]
fn keys_are_found_by_pattern_and_renamed() {
    check(&[
        ("MSET one 1 two 2 [x] 3", "+OK"),
        ("KEYS *o*", "*2 $3 one $3 two"),
        ("KEYS ?[^m-o]?", "*2 $3 [x] $3 two"),
        ("KEYS \\[*\\]", "*1 $3 [x]"),
        ("KEYS on", "*0"),
        ("KEYS *e*e", "*0"),
        ("SCAN 0 MATCH t* COUNT 5 TYPE string", "*2 $1 0 *1 $3 two"),
        ("SCAN 0 MATCH", "-ERR_syntax_error"),
        ("RENAME one two", "+OK"),
        ("GET two", "$1 1"),
        ("RENAME one two", "-ERR_no_such_key"),
        ("RENAME two two", "+OK"),
        ("DBSIZE", ":2"),
        ("FLUSHALL", "+OK"),
        ("DBSIZE", ":0"),
    ]);
}

#[test]
fn a_pattern_of_stars_ends_soon() {
    let (stars, text) = ("a*".repeat(31), "a".repeat(KEY_LEN_MAX));
    check(&[
        (&format!("SET {text} 1"), "+OK"),
        (&format!("KEYS {stars}b"), "*0"),
        (&format!("KEYS {stars}aab"), "-ERR_pattern_too_long"),
        (&format!("SET {text}a 1"), "-ERR_key_too_long"),
    ]);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let full = "-OOM_command_not_allowed_when_used_memory_>_'maxmemory'.";
    let mut pipe = pipe(&[("bytes", "100"), ("keys", "2")], 60);
    check_on(
        &mut pipe,
        &[
            ("SET a 1", "+OK"),
            ("RPUSH l x", ":1"),
            ("RPUSH l y", full),
            ("LRANGE l 0 -1", "*1 $1 x"),
            ("SET b 1", full),
            ("LPOP l", "$1 x"),
            ("SET b 123456789012345678901234567890123", "+OK"),
            ("SET b 1234567890123456789012345678901234", full),
            ("STRLEN b", ":33"),
            ("MGET b b", "-ERR_reply_too_long"),
        ],
    );
}

#[test]
fn nothing_is_said_before_the_password() {
    let mut pipe = pipe(&[("password", "secret")], 1 << 20);
    let wrong = "-WRONGPASS_invalid_username-password_pair_or_user_is_disabled.";
    check_on(
        &mut pipe,
        &[
            ("GET a", "-NOAUTH_Authentication_required."),
            ("PING", "-NOAUTH_Authentication_required."),
            ("HELLO 2", "-NOAUTH_Authentication_required."),
            ("AUTH secre", wrong),
            ("AUTH root secret", wrong),
            ("AUTH", "-ERR_wrong_number_of_arguments_for_'auth'_command"),
            ("AUTH default secret", "+OK"),
            ("PING", "+PONG"),
        ],
    );
}

#[test]
fn the_connection_has_a_name_a_number_and_a_version() {
    let hello = "*14 $6 server $5 redis $7 version $5 7.0.0 $5 proto :2 $2 id :1 $4 mode $10 standalone $4 role $6 master \
                 $7 modules *0";
    check(&[
        ("HELLO 3", "-NOPROTO_unsupported_protocol_version"),
        ("HELLO 2 SETNAME me", hello),
        ("CLIENT GETNAME", "$2 me"),
        ("CLIENT ID", ":1"),
        ("SELECT 1", "-ERR_DB_index_is_out_of_range"),
        ("CONFIG GET save dir", "*2 $4 save $0"),
        ("COMMAND DOCS", "*0"),
    ]);
}

#[test]
fn every_command_stands_in_the_tables_once_and_in_lowercase() {
    let names: Vec<_> = COMMANDS.iter().copied().flatten().map(|command| command.name).collect();
    let set: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(set.len(), names.len());
    assert!(COMMANDS.iter().all(|table| table.is_sorted_by(|a, b| a.name < b.name)));
    assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase())));
}

proptest::proptest! {
    #[test]
    fn the_costs_are_counted_whatever_happens(
        commands in proptest::collection::vec((0_usize..100, 0_usize..3, proptest::collection::vec("[0-9a]{1,3}", 0..4)), 0..60)
    ) {
        let all: Vec<_> = COMMANDS.iter().copied().flatten().collect();
        let mut data = Data::new(4, 500);
        for (command, key, words) in commands {
            let command = all[command % all.len()];
            let words = std::iter::once(&["x", "y", "z"][key]).copied().chain(words.iter().map(String::as_str));
            let words: Vec<_> = words.map(str::as_bytes).collect();
            if words.len() >= command.words.0 && words.len() <= command.words.1 {
                let _ = (command.play)(&mut data, &words, &mut Answer::new(1_000));
                proptest::prop_assert!(data.is_counted(), "{} {words:?}", command.name);
            }
        }
    }
}
