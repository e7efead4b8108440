//! What is shown of a case that did not hold.

use bytes::Bytes;
use harness::event::*;
use snapbox::str;

use super::super::stream::*;
use super::*;

#[test]
fn a_mismatch_shows_both_sides() {
    let mut failure = expect_hello(FailureKind::Mismatch, "expected `hello\\n`, received `hexlo\\n`");
    failure.received = Some("hexlo\n".into());
    failure.difference_at = Some(2);
    let case = echo("echoes a line").note("the line comes back").received("hexlo\n").failed(Some(1), failure);
    check(
        case.finished(Verdict::Failed),
        str![[r#"
       FAIL [   110us] echo: echoes a line
scenarios/echo.toml:11:14: expected `hello\n`, received `hexlo\n`
11 |   { expect = "hello\n" },
   |              ^^^^^^^^^
  step: the line comes back

  expected: "hello\n"
  received: "hexlo\n"
               ^ first difference, at byte 2
        expected, 6 bytes                 | received, 6 bytes
  0000  68 65[6c]6c 6f 0a        hello.   | 68 65[78]6c 6f 0a        hexlo.

  what happened (since the case began; → sent, ← received):
  0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 10  client → 6 bytes  "hello\n"
  0.106ms  line 11  client ← 6 bytes  "hexlo\n"
  0.110ms  line 11  client   expect failed after 4us

  what differed: expected `hello\n`, received `hexlo\n`
  reproduce: harness run scenarios/echo.toml --filter 'case(echoes-a-line)' --seed 42
  capture: reports/latest/captures/echo/echoes-a-line.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/echoes-a-line.pcapng)

───────────
what did not hold:
       FAIL echo: echoes a line at scenarios/echo.toml:11:14
    Summary [   1.25s] 1 case: 1 failed
                       seed 42, results in reports/latest

"#]],
    );
}

#[test]
fn a_mismatch_in_the_middle_of_much_data_is_cut_around_it() {
    let expected: Vec<u8> = (0..70_000_u32).map(|n| (n % 251) as u8).collect();
    let mut received = expected.clone();
    received[35_000] ^= 0xff;
    let mut failure = failure(
        FailureKind::Mismatch,
        "expected byte 35,000 to be `6f`, received `90`",
        place(11, 14, 9, r#"  { expect = "${blob}" },"#),
    );
    failure.expected = Some("exactly 70,000 bytes".to_owned());
    failure.expected_bytes = Some(expected.clone().into());
    failure.received = Some(received.clone().into());
    failure.difference_at = Some(35_000);
    let mut case = Case::new(0, "echoes 70,000 bytes")
        .step("send", place(10, 3, 20, "  { send = { random = 70_000 } },"))
        .step("expect", place(11, 3, 22, r#"  { expect = "${blob}" },"#))
        .connected();
    for part in expected.chunks(4096) {
        case = case.sent(Bytes::copy_from_slice(part));
    }
    case = case.passed(0);
    for part in received.chunks(4096) {
        case = case.received(Bytes::copy_from_slice(part));
    }
    check(
        case.failed(Some(1), failure).finished(Verdict::Failed),
        str![[r#"
       FAIL [   518us] echo: echoes 70,000 bytes
scenarios/echo.toml:11:14: expected byte 35,000 to be `6f`, received `90`
11 |   { expect = "${blob}" },
   |              ^^^^^^^^^

  expected: exactly 70,000 bytes
         expected, 70,000 bytes            | received, 70,000 bytes
  … 34,984 bytes not shown …
  088a8  5f 60 61 62 63 64 65 66  _`abcdef | 5f 60 61 62 63 64 65 66  _`abcdef
  088b0  67 68 69 6a 6b 6c 6d 6e  ghijklmn | 67 68 69 6a 6b 6c 6d 6e  ghijklmn
  088b8 [6f]70 71 72 73 74 75 76  opqrstuv |[90]70 71 72 73 74 75 76  .pqrstuv
  088c0  77 78 79 7a 7b 7c 7d 7e  wxyz{|}~ | 77 78 79 7a 7b 7c 7d 7e  wxyz{|}~
  088c8  7f 80 81 82 83 84 85 86  ........ | 7f 80 81 82 83 84 85 86  ........
  088d0  87 88 89 8a 8b 8c 8d 8e  ........ | 87 88 89 8a 8b 8c 8d 8e  ........
  … 34,968 bytes not shown …

  what happened (since the case began; → sent, ← received):
  0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms           client → 4,096 bytes  "\x00\x01\x02\x03\x04\x05\x06\x07"…
  0.105ms           client → … 65,536 bytes in 16 writes …
  0.425ms  line 10  client →   368 bytes  69 6a 6b 6c 6d 6e 6f 70 71 72 73 74…
  0.446ms           client ← 4,096 bytes  "\x00\x01\x02\x03\x04\x05\x06\x07"…
  0.450ms           client ← … 65,536 bytes in 16 reads …
  0.514ms  line 11  client ←   368 bytes  69 6a 6b 6c 6d 6e 6f 70 71 72 73 74…
  0.518ms  line 11  client   expect failed after 4us

  what differed: expected byte 35,000 to be `6f`, received `90`
  reproduce: harness run scenarios/echo.toml --filter 'case(echoes-70,000-bytes)' --seed 42
  capture: reports/latest/captures/echo/echoes-70,000-bytes.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/echoes-70,000-bytes.pcapng)

───────────
what did not hold:
       FAIL echo: echoes 70,000 bytes at scenarios/echo.toml:11:14
    Summary [   1.25s] 1 case: 1 failed
                       seed 42, results in reports/latest

"#]],
    );
}

#[test]
fn a_timeout_with_nothing_received_says_so() {
    let mut failure = expect_hello(FailureKind::Timeout, "expected `hello\\n` within 5s, received nothing");
    failure.received = Some(Bytes::new());
    failure.difference_at = Some(0);
    failure.notes.push("the deadline is the default of 5s; `within` on the step sets another".to_owned());
    failure.hint = Some("does the server answer only after a second line?".to_owned());
    let case = echo("answers in time").after(5_000_000_000).failed(Some(1), failure);
    check(
        case.finished(Verdict::Failed),
        str![[r#"
       FAIL [      5s] echo: answers in time
scenarios/echo.toml:11:14: expected `hello\n` within 5s, received nothing
11 |   { expect = "hello\n" },
   |              ^^^^^^^^^

  expected: "hello\n"
  received: nothing

  note: the deadline is the default of 5s; `within` on the step sets another
  hint: does the server answer only after a second line?

  what happened (since the case began; → sent, ← received):
     0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
     0.085ms  line 10  client → 6 bytes  "hello\n"
  5000.106ms  line 11  client   expect failed after 5s

  what differed: expected `hello\n` within 5s, received nothing
  reproduce: harness run scenarios/echo.toml --filter 'case(answers-in-time)' --seed 42
  capture: reports/latest/captures/echo/answers-in-time.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/answers-in-time.pcapng)

───────────
what did not hold:
       FAIL echo: answers in time at scenarios/echo.toml:11:14
    Summary [   1.25s] 1 case: 1 failed
                       seed 42, results in reports/latest

"#]],
    );
}

#[test]
fn a_timeout_with_half_a_message_shows_what_had_arrived() {
    let mut failure = expect_hello(FailureKind::Timeout, "expected 6 bytes within 250ms, received 3 of them");
    failure.received = Some("hel".into());
    failure.difference_at = Some(3);
    failure.notes.push("the deadline is 250ms, set by `within` at scenarios/echo.toml:11:35".to_owned());
    let case = echo("answers whole").received("hel").after(250_000_000).failed(Some(1), failure);
    check(
        case.finished(Verdict::Failed),
        str![[r#"
       FAIL [   250ms] echo: answers whole
scenarios/echo.toml:11:14: expected 6 bytes within 250ms, received 3 of them
11 |   { expect = "hello\n" },
   |              ^^^^^^^^^

  expected: "hello\n"
  received: "hel"
                ^ missing from here on, from byte 3
        expected, 6 bytes                 | received, 3 bytes
  0000  68 65 6c[6c 6f 0a]       hello.   | 68 65 6c[-- -- --]       hel

  note: the deadline is 250ms, set by `within` at scenarios/echo.toml:11:35

  what happened (since the case began; → sent, ← received):
    0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
    0.085ms  line 10  client → 6 bytes  "hello\n"
    0.106ms  line 11  client ← 3 bytes  "hel"
  250.110ms  line 11  client   expect failed after 250ms

  what differed: expected 6 bytes within 250ms, received 3 of them
  reproduce: harness run scenarios/echo.toml --filter 'case(answers-whole)' --seed 42
  capture: reports/latest/captures/echo/answers-whole.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/answers-whole.pcapng)

───────────
what did not hold:
       FAIL echo: answers whole at scenarios/echo.toml:11:14
    Summary [   1.25s] 1 case: 1 failed
                       seed 42, results in reports/latest

"#]],
    );
}

#[test]
fn a_long_timeline_is_cut_in_the_middle() {
    let mut case = Case::new(0, "plays ping pong").connected();
    for n in 0..30 {
        case = case.sent(format!("ping {n}\n")).received(format!("pong {n}\n"));
    }
    let failure = failure(FailureKind::Limit, "the case took too long", place(8, 1, 8, "[[case]]"));
    check(
        case.failed(None, failure).finished(Verdict::Failed),
        str![[r#"
       FAIL [   805us] echo: plays ping pong
scenarios/echo.toml:8:1: the case took too long
8 | [[case]]
  | ^^^^^^^^

  what happened (since the case began; → sent, ← received):
  0.000ms    client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms    client → 7 bytes  "ping 0\n"
  0.105ms    client ← 7 bytes  "pong 0\n"
  0.109ms    client → 7 bytes  "ping 1\n"
  0.129ms    client ← 7 bytes  "pong 1\n"
  0.133ms    client → 7 bytes  "ping 2\n"
  … 38 events not shown …
  0.609ms    client ← 8 bytes  "pong 21\n"
  0.613ms    client → 8 bytes  "ping 22\n"
  0.633ms    client ← 8 bytes  "pong 22\n"
  0.637ms    client → 8 bytes  "ping 23\n"
  0.657ms    client ← 8 bytes  "pong 23\n"
  0.661ms    client → 8 bytes  "ping 24\n"
  0.681ms    client ← 8 bytes  "pong 24\n"
  0.685ms    client → 8 bytes  "ping 25\n"
  0.705ms    client ← 8 bytes  "pong 25\n"
  0.709ms    client → 8 bytes  "ping 26\n"
  0.729ms    client ← 8 bytes  "pong 26\n"
  0.733ms    client → 8 bytes  "ping 27\n"
  0.753ms    client ← 8 bytes  "pong 27\n"
  0.757ms    client → 8 bytes  "ping 28\n"
  0.777ms    client ← 8 bytes  "pong 28\n"
  0.781ms    client → 8 bytes  "ping 29\n"
  0.801ms    client ← 8 bytes  "pong 29\n"
  0.805ms             failed at the end of the case

  what differed: the case took too long
  reproduce: harness run scenarios/echo.toml --filter 'case(plays-ping-pong)' --seed 42
  capture: reports/latest/captures/echo/plays-ping-pong.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/plays-ping-pong.pcapng)

───────────
what did not hold:
       FAIL echo: plays ping pong at scenarios/echo.toml:8:1
    Summary [   1.25s] 1 case: 1 failed
                       seed 42, results in reports/latest

"#]],
    );
}

#[test]
fn an_end_that_comes_too_early_is_told() {
    let mut failure = failure(
        FailureKind::Closed,
        "expected a match of the regex `^\\d+\\n`, received the end of the stream after 3 bytes",
        place(11, 14, 20, r#"  { expect = { regex = '^\d+\n' } },"#),
    );
    failure.expected = Some("a match of the regex `^\\d+\\n`".to_owned());
    failure.received = Some("123".into());
    failure.difference_at = Some(3);
    let ended = EventKind::Ended { connection: 0, by: Side::Peer, how: End::Fin };
    check(
        echo("counts").received("123").event(ended).failed(Some(1), failure).finished(Verdict::Failed),
        str![[r#"
       FAIL [   110us] echo: counts
scenarios/echo.toml:11:14: expected a match of the regex `^\d+\n`, received the end of the stream after 3 bytes
11 |   { expect = { regex = '^\d+\n' } },
   |              ^^^^^^^^^^^^^^^^^^^^

  expected: a match of the regex `^\d+\n`
  received: 3 bytes, "123"
  0000  31 32 33                                         123

  what happened (since the case began; → sent, ← received):
  0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 10  client → 6 bytes  "hello\n"
  0.106ms           client ← 3 bytes  "123"
  0.110ms  line 11  client ← the peer ended its direction (FIN)
  0.110ms  line 11  client   expect failed after 0ns

  what differed: expected a match of the regex `^\d+\n`, received the end of the stream after 3 bytes
  reproduce: harness run scenarios/echo.toml --filter 'case(counts)' --seed 42
  capture: reports/latest/captures/echo/counts.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/counts.pcapng)

───────────
what did not hold:
       FAIL echo: counts at scenarios/echo.toml:11:14
    Summary [   1.25s] 1 case: 1 failed
                       seed 42, results in reports/latest

"#]],
    );
}

#[test]
fn a_reset_is_told() {
    let mut failure = expect_hello(FailureKind::Reset, "expected `hello\\n`, received a reset (RST)");
    failure.received = Some(Bytes::new());
    let ended = EventKind::Ended { connection: 0, by: Side::Peer, how: End::Reset };
    check(
        echo("stays").event(ended).failed(Some(1), failure).finished(Verdict::Failed),
        str![[r#"
       FAIL [   106us] echo: stays
scenarios/echo.toml:11:14: expected `hello\n`, received a reset (RST)
11 |   { expect = "hello\n" },
   |              ^^^^^^^^^

  expected: "hello\n"
  received: nothing

  what happened (since the case began; → sent, ← received):
  0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 10  client → 6 bytes  "hello\n"
  0.106ms  line 11  client ← the peer reset the connection (RST)
  0.106ms  line 11  client   expect failed after 0ns

  what differed: expected `hello\n`, received a reset (RST)
  reproduce: harness run scenarios/echo.toml --filter 'case(stays)' --seed 42
  capture: reports/latest/captures/echo/stays.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/stays.pcapng)

───────────
what did not hold:
       FAIL echo: stays at scenarios/echo.toml:11:14
    Summary [   1.25s] 1 case: 1 failed
                       seed 42, results in reports/latest

"#]],
    );
}

#[test]
fn bytes_that_nobody_asked_for_are_shown() {
    let mut failure = failure(
        FailureKind::Leftover,
        "expected nothing more at the end of the case, received 12 bytes",
        place(8, 1, 8, "[[case]]"),
    );
    failure.received = Some(Bytes::from_static(b"\x00\x01extra\xffdata"));
    failure.difference_at = Some(0);
    failure.hint = Some("`strict_end = false` on the case lets them be".to_owned());
    let case = echo("says no more")
        .received("hello\n")
        .passed(1)
        .received(&b"\x00\x01extra\xffdata"[..])
        .failed(None, failure);
    check(
        case.finished(Verdict::Failed),
        str![[r#"
       FAIL [   115us] echo: says no more
scenarios/echo.toml:8:1: expected nothing more at the end of the case, received 12 bytes
8 | [[case]]
  | ^^^^^^^^

  received: 12 bytes, "\x00\x01extra\xffdata"
  0000 [00]01 65 78 74 72 61 ff 64 61 74 61              ..extra.data

  hint: `strict_end = false` on the case lets them be

  what happened (since the case began; → sent, ← received):
  0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 10  client →  6 bytes  "hello\n"
  0.106ms  line 11  client ←  6 bytes  "hello\n"
  0.111ms           client ← 12 bytes  "\x00\x01extra\xffdata"
  0.115ms                    failed at the end of the case

  what differed: expected nothing more at the end of the case, received 12 bytes
  reproduce: harness run scenarios/echo.toml --filter 'case(says-no-more)' --seed 42
  capture: reports/latest/captures/echo/says-no-more.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/says-no-more.pcapng)

───────────
what did not hold:
       FAIL echo: says no more at scenarios/echo.toml:8:1
    Summary [   1.25s] 1 case: 1 failed
                       seed 42, results in reports/latest

"#]],
    );
}

#[test]
fn a_crash_shows_the_signal_and_what_the_target_said() {
    let failure = expect_hello(FailureKind::Crash, "expected `hello\\n`, the target crashed: signal SIGSEGV");
    let ended = EventKind::Ended { connection: 0, by: Side::Peer, how: End::Fin };
    let case = echo("survives").event(ended).after(800_000).event(exited()).failed(Some(1), failure);
    check(
        case.finished(Verdict::Crashed),
        str![[r#"
      CRASH [   906us] echo: survives
scenarios/echo.toml:11:14: expected `hello\n`, the target crashed: signal SIGSEGV
11 |   { expect = "hello\n" },
   |              ^^^^^^^^^

  expected: "hello\n"

  what happened (since the case began; → sent, ← received):
  0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 10  client → 6 bytes  "hello\n"
  0.106ms           client ← the peer ended its direction (FIN)
  0.906ms           kv       target ended: signal SIGSEGV
  0.906ms  line 11  client   expect failed after 0ns

  target `kv` crashed: signal SIGSEGV, its last output:
    stdout | listening on 7001
    stderr | ERROR index 9 out of bounds
    stderr | bell  and title

  what differed: expected `hello\n`, the target crashed: signal SIGSEGV
  reproduce: harness run scenarios/echo.toml --filter 'case(survives)' --seed 42
  capture: reports/latest/captures/echo/survives.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/survives.pcapng)

───────────
what did not hold:
      CRASH echo: survives at scenarios/echo.toml:11:14
    Summary [   1.25s] 1 case: 1 crashed
                       seed 42, results in reports/latest

"#]],
    );
}

#[test]
fn a_failure_shows_what_a_target_said_that_still_runs() {
    let output = vec![OutputLine { stderr: true, text: "warning: slow disk".to_owned() }];
    let said = EventKind::TargetOutput { scenario: "echo".to_owned(), target: "kv".to_owned(), output };
    let failure = failure(FailureKind::Timeout, "expected `a`, received nothing within 5s", place(8, 1, 8, "[[case]]"));
    check(
        echo("answers").failed(Some(1), failure).event(said).finished(Verdict::Failed),
        str![[r#"
       FAIL [   106us] echo: answers
scenarios/echo.toml:8:1: expected `a`, received nothing within 5s
8 | [[case]]
  | ^^^^^^^^

  what happened (since the case began; → sent, ← received):
  0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 10  client → 6 bytes  "hello\n"
  0.106ms  line 11  client   expect failed after 1us

  last output of the target `kv`:
    stderr | warning: slow disk

  what differed: expected `a`, received nothing within 5s
  reproduce: harness run scenarios/echo.toml --filter 'case(answers)' --seed 42
  capture: reports/latest/captures/echo/answers.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/answers.pcapng)

───────────
what did not hold:
       FAIL echo: answers at scenarios/echo.toml:8:1
    Summary [   1.25s] 1 case: 1 failed
                       seed 42, results in reports/latest

"#]],
    );
}

#[test]
fn a_target_that_cannot_be_reached_needs_no_step() {
    let failed = EventKind::ConnectionFailed {
        connection: 0,
        actor: "client".into(),
        transport: Transport::Tcp,
        peer: Endpoint::Ip("127.0.0.1:7001".parse().unwrap()),
        refused: true,
        reason: "connection refused".to_owned(),
    };
    let case = Case::new(0, "echoes a line").event(failed);
    check(
        case.finished_because(Verdict::Unreachable, "nothing listens at 127.0.0.1:7001"),
        str![[r#"
UNREACHABLE [     0ns] echo: echoes a line
scenarios/echo.toml:8:1: nothing listens at 127.0.0.1:7001

  what happened (since the case began; → sent, ← received):
  0.000ms    client   refused by 127.0.0.1:7001 (TCP): connection refused

  what differed: nothing listens at 127.0.0.1:7001

───────────
what did not hold:
UNREACHABLE echo: echoes a line at scenarios/echo.toml:8
    Summary [   1.25s] 1 case: 1 unreachable
                       seed 42, results in reports/latest

"#]],
    );
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let mut failure = expect_hello(FailureKind::Mismatch, "expected `hello\\n`, received \x1b[2J");
    failure.received = Some(Bytes::from_static(b"\x1b[2J\x07\n"));
    failure.difference_at = Some(0);
    failure.hint = Some("\u{202e}evil".to_owned());
    let case = Case::new(0, "name \x1b]0;owned\x07")
        .named("bad\nname")
        .step("expect", place(11, 3, 5, "\t\t{ expect = \"\x1b\" }"))
        .connected()
        .received(&b"\x1b[2J\x07\n"[..])
        .event(EventKind::Logged { message: "log \x1b[0m".to_owned() })
        .event(EventKind::VariableSet { name: "na\x1bme".into(), value: Bytes::from_static(b"\x1b\xff") })
        .failed(Some(0), failure);
    check(
        case.finished(Verdict::Failed),
        str![[r#"
       FAIL [    89us] bad\nname: name \x1b]0;owned\x07
scenarios/echo.toml:11:14: expected `hello\n`, received \x1b[2J
11 |   { expect = "hello\n" },
   |              ^^^^^^^^^

  expected: "hello\n"
  received: "\x1b[2J\x07\n"
             ^ first difference, at byte 0
        expected, 6 bytes                 | received, 6 bytes
  0000 [68 65 6c 6c 6f]0a        hello.   |[1b 5b 32 4a 07]0a        .[2J..

  hint: \u{202e}evil

  what happened (since the case began; → sent, ← received):
  0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms           client ← 6 bytes  "\x1b[2J\x07\n"
  0.089ms                    log: log \x1b[0m
  0.089ms                    na\x1bme = 1b ff
  0.089ms  line 11  client   expect failed after 0ns

  what differed: expected `hello\n`, received \x1b[2J
  reproduce: harness run scenarios/echo.toml --filter 'case(name-\x1b]0;owned\x07)' --seed 42
  capture: reports/latest/captures/echo/name-\x1b]0;owned\x07.pcapng, failing frame 7 (wireshark -g 7 'reports/latest/captures/echo/name-\x1b]0;owned\x07.pcapng')

───────────
what did not hold:
       FAIL bad\nname: name \x1b]0;owned\x07 at scenarios/echo.toml:11:14
    Summary [   1.25s] 1 case: 1 failed
                       seed 42, results in reports/latest

"#]],
    );
}

#[test]
fn korean_text_lines_up() {
    let mut failure = failure(
        FailureKind::Mismatch,
        "expected `안녕, 세계`, received `안녕, 세상`",
        place(11, 30, 8, "\t{ send = \"인사\" }, { expect = \"안녕, 세계\" },"),
    );
    failure.expected_bytes = Some("안녕, 세계\n".into());
    failure.received = Some("안녕, 세상\n".into());
    failure.difference_at = Some(11);
    let case = Case::new(0, "인사에 답한다")
        .step("expect", place(11, 1, 1, "\t{ expect = \"안녕, 세계\" },"))
        .connected()
        .received("안녕, 세상\n")
        .failed(Some(0), failure);
    check(
        case.finished(Verdict::Failed),
        str![[r#"
       FAIL [    89us] echo: 인사에 답한다
scenarios/echo.toml:11:30: expected `안녕, 세계`, received `안녕, 세상`
11 |     { send = "인사" }, { expect = "안녕, 세계" },
   |                                   ^^^^^^^^^^^^

  expected: "안녕, 세계\n"
  received: "안녕, 세상\n"
                     ^ first difference, at byte 11
        expected, 15 bytes                | received, 15 bytes
  0000  ec 95 88 eb 85 95 2c 20  ......,  | ec 95 88 eb 85 95 2c 20  ......,
  0008  ec 84 b8[ea b3 84]0a     .......  | ec 84 b8[ec 83 81]0a     .......

  what happened (since the case began; → sent, ← received):
  0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 11  client ← 15 bytes  "안녕, 세상\n"
  0.089ms  line 11  client   expect failed after 4us

  what differed: expected `안녕, 세계`, received `안녕, 세상`
  reproduce: harness run scenarios/echo.toml --filter 'case(인사에-답한다)' --seed 42
  capture: reports/latest/captures/echo/인사에-답한다.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/인사에-답한다.pcapng)

───────────
what did not hold:
       FAIL echo: 인사에 답한다 at scenarios/echo.toml:11:30
    Summary [   1.25s] 1 case: 1 failed
                       seed 42, results in reports/latest

"#]],
    );
}
