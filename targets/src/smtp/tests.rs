use super::*;
use crate::memory::Pipe;
use crate::{Ending, Limits, find};

fn pipe(settings: &[(&str, &str)]) -> Pipe {
    let limits = Limits { frame_len_max: 3_000, ..Limits::default() };
    let server = find("smtp").unwrap().make(settings, &limits, || jiff::Timestamp::UNIX_EPOCH).unwrap();
    let mut pipe = Pipe::open(&*server, 1 << 20);
    assert_eq!(pipe.take_output(), b"220 example.test ESMTP\r\n");
    pipe
}

/// Sends each line with its ending and compares the answers, in which ` / ` stands for a line's end.
#[track_caller]
fn check_on(pipe: &mut Pipe, lines: &[(&str, &str)]) {
    for (line, expected) in lines {
        pipe.send(format!("{line}\r\n").as_bytes());
        let answer = String::from_utf8(pipe.take_output()).unwrap();
        assert_eq!(answer.replace("\r\n", " / ").trim_end_matches(" / "), *expected, "{line}");
    }
}

const EHLO: (&str, &str) =
    ("EHLO me", "250-example.test / 250-8BITMIME / 250-ENHANCEDSTATUSCODES / 250-PIPELINING / 250 SIZE 3000");
const MAIL: (&str, &str) = ("MAIL FROM:<me@example.org>", "250 2.1.0 ok");
const RCPT: (&str, &str) = ("RCPT TO:<you@example.test>", "250 2.1.5 ok");
const DATA: (&str, &str) = ("DATA", "354 end with a dot on a line of its own");

#[test]
fn a_mail_is_taken_and_shown_with_where_it_came_from() {
    let mut pipe = pipe(&[]);
    check_on(&mut pipe, &[("XLAST <you@example.test>", "550 5.1.1 no mail"), EHLO, MAIL, RCPT, DATA]);
    check_on(&mut pipe, &[("Subject: x", ""), ("", ""), ("..dots", ""), (".-", ""), (".", "250 2.6.0 taken as 1")]);
    let trace = "250-Return-Path: <me@example.org> / 250-Received: from me by example.test with ESMTP; Thu, 01 Jan 1970 \
                 00:00:00 +0000 / ";
    let shown = format!("{trace}250-Subject: x / 250- / 250-.dots / 250 -");
    check_on(&mut pipe, &[("XLAST <you@example.test>", &shown), ("DATA", "503 5.5.1 MAIL first")]);
    check_on(&mut pipe, &[("helo me", "250 example.test"), ("mail from:<>", "250 2.1.0 ok"), RCPT, DATA]);
    let trace = trace.replace("ESMTP", "SMTP").replace("me@example.org", "");
    let shown = trace.replace("250-Received", "250 Received");
    check_on(&mut pipe, &[(".", "250 2.6.0 taken as 2"), ("XLAST <you@EXAMPLE.test>", shown.trim_end_matches(" / "))]);
    check_on(&mut pipe, &[("QUIT", "221 2.0.0 bye")]);
    assert_eq!(pipe.ending(), Some(Ending::Close));
}

#[test]
fn commands_in_one_read_are_answered_in_order() {
    let mut pipe = pipe(&[]);
    let lines = ["EHLO [127.0.0.1]", MAIL.0, RCPT.0, DATA.0, "x", ".", MAIL.0, "RSET", MAIL.0].join("\r\n");
    let answers = [EHLO.1, MAIL.1, RCPT.1, DATA.1, "250 2.6.0 taken as 1", MAIL.1, "250 2.0.0 ok", MAIL.1].join(" / ");
    check_on(&mut pipe, &[(&lines, &answers)]);
}

#[test]
fn what_is_out_of_order_is_refused() {
    let order = "503 5.5.1 MAIL first";
    check_on(
        &mut pipe(&[]),
        &[
            (MAIL.0, "503 5.5.1 EHLO first"),
            (RCPT.0, order),
            ("DATA", order),
            EHLO,
            MAIL,
            (MAIL.0, "503 5.5.1 there is a sender"),
            ("DATA", "554 5.5.1 no valid recipients"),
            RCPT,
            EHLO,
            ("DATA", order),
            ("AUTH PLAIN", "502 5.5.1 there are no users"),
        ],
    );
}

#[test]
fn a_wrong_command_or_argument_is_named() {
    let mail = "501 5.5.4 MAIL FROM:<path>";
    check_on(
        &mut pipe(&[]),
        &[
            ("EHLO", "501 5.5.4 wrong argument"),
            ("EHLO a_b", "501 5.5.4 wrong argument"),
            ("BREW", "500 5.5.1 unknown command"),
            ("NO\0OP", "500 5.5.2 not a command"),
            ("EXPN x", "502 5.5.1 there are no lists"),
            EHLO,
            ("MAIL FROM:me@example.org", mail),
            ("MAIL FROM:<me>", mail),
            ("MAIL FROM:<me@>", mail),
            ("MAIL FROM:<a..b@example.org>", mail),
            ("MAIL FROM:<me@example.org>SIZE=1", mail),
            ("MAIL FROM:<me@example.org> SIZE=3001", "552 5.3.4 message too large"),
            ("MAIL FROM:<me@example.org> SIZE=x", "501 5.5.4 wrong size"),
            ("MAIL FROM:<me@example.org> RET=FULL", "555 5.5.4 unknown parameter"),
        ],
    );
    check_on(
        &mut pipe(&[]),
        &[
            EHLO,
            ("MAIL FROM:<@a,@b:\"a >b\"@[127.0.0.1]> SIZE=3000 body=8bitmime", MAIL.1),
            ("RCPT TO:<>", "501 5.5.4 RCPT TO:<path>"),
            ("RCPT TO:<you@example.test> NOTIFY=NEVER", "555 5.5.4 unknown parameter"),
            ("RCPT TO:<you@example.org>", "550 5.7.1 not for this server"),
            ("RCPT TO:<nobody@example.test>", "550 5.1.1 no such mailbox"),
            ("RCPT TO:<Later@example.test>", "450 4.2.0 try again later"),
            ("RCPT TO:<full@example.test>", "452 4.2.2 mailbox full"),
            ("RCPT TO:<Postmaster>", RCPT.1),
            ("VRFY x", "252 2.1.5 send a mail and see"),
        ],
    );
}

#[test]
fn a_mail_has_at_most_a_hundred_recipients() {
    let mut pipe = pipe(&[]);
    check_on(&mut pipe, &[EHLO, MAIL]);
    (0..100).for_each(|_| check_on(&mut pipe, &[RCPT]));
    check_on(&mut pipe, &[(RCPT.0, "452 4.5.3 too many recipients")]);
}

#[test]
fn a_mail_that_cannot_be_taken_is_refused_at_its_end_and_the_next_is_not() {
    let longest = "a".repeat(TEXT_LINE_LEN_MAX);
    let mut pipe = pipe(&[("bytes", "2_500")]);
    check_on(&mut pipe, &[EHLO]);
    for (text, expected) in [
        (format!("{longest}\r\n.{longest}\r\n."), "250 2.6.0 taken as 1"),
        (format!("{longest}a\r\n."), "500 5.6.0 line too long"),
        (format!("{}\r\n.", longest.repeat(5)), "500 5.6.0 line too long"),
        ("a\n.\r\n.".into(), "554 5.6.0 a CR or LF stands alone"),
        ("a\r\n.\n.\r\n.".into(), "554 5.6.0 a CR or LF stands alone"),
        ("a\rb\r\n.".into(), "554 5.6.0 a CR or LF stands alone"),
        (format!("{longest}\r\n{longest}\r\n{longest}\r\nb\r\n."), "552 5.3.4 message too large"),
        (format!("{longest}\r\n{longest}\r\n{}\r\n.", "a".repeat(600)), "452 4.3.1 no room"),
        ("a\r\n.".into(), "250 2.6.0 taken as 2"),
    ] {
        check_on(&mut pipe, &[MAIL, RCPT, DATA, (&text, expected)]);
    }
}

#[test]
fn a_command_that_is_too_long_is_refused_and_skipped() {
    let longest = format!("NOOP {}", "a".repeat(COMMAND_LEN_MAX - 5));
    check_on(
        &mut pipe(&[]),
        &[
            (&longest, "250 2.0.0 ok"),
            (&format!("{longest}a"), "500 5.5.2 line too long"),
            ("NOOP\nNOOP", "500 5.5.2 a line ends in CRLF / 250 2.0.0 ok"),
            ("NOOP", "250 2.0.0 ok"),
        ],
    );
    let mut pipe = pipe(&[]);
    pipe.send(&[b'a'; COMMAND_LEN_MAX + 2]);
    assert_eq!(pipe.take_output(), b"500 5.5.2 line too long\r\n", "before its end");
    check_on(&mut pipe, &[("aaaa", ""), ("NOOP", "250 2.0.0 ok")]);
}

#[test]
fn who_is_refused_too_often_is_sent_away() {
    let mut pipe = pipe(&[]);
    (0..19).for_each(|_| check_on(&mut pipe, &[("", "500 5.5.1 unknown command")]));
    check_on(&mut pipe, &[("", "500 5.5.1 unknown command / 421 4.7.0 too many errors")]);
    assert_eq!(pipe.ending(), Some(Ending::Close));
}

#[test]
fn where_there_are_users_nobody_else_sends() {
    let users = [("users", "anna:secret,ben:geheim")];
    let ehlo = EHLO.1.replace("250-ENH", "250-AUTH PLAIN / 250-ENH");
    let mut first = pipe(&users);
    check_on(
        &mut first,
        &[
            ("AUTH PLAIN", "503 5.5.1 EHLO first"),
            ("EHLO me", &ehlo),
            (MAIL.0, "530 5.7.0 log in first"),
            ("AUTH LOGIN", "504 5.5.4 no such mechanism"),
            ("AUTH PLAIN", "334 "),
            ("*", "501 5.7.0 cancelled"),
            ("AUTH PLAIN", "334 "),
            ("=", "501 5.5.2 not base64 of a text"),
            ("AUTH PLAIN YW5uYQ==", "501 5.5.2 not what PLAIN says"),
            ("AUTH PLAIN AGFubmEAZ2VoZWlt", "535 5.7.8 wrong user or password"),
            ("AUTH PLAIN YmVuAGFubmEAc2VjcmV0", "535 5.7.8 wrong user or password"),
            ("AUTH PLAIN", "334 "),
            ("AGFubmEAc2VjcmV0", "235 2.7.0 you are in"),
            ("AUTH PLAIN AGFubmEAc2VjcmV0", "503 5.5.1 not now"),
            MAIL,
        ],
    );
    check_on(&mut pipe(&users), &[("EHLO me", &ehlo), ("AUTH plain AGJlbgBnZWhlaW0=", "235 2.7.0 you are in"), MAIL]);
}
