//! What a person reads.

use bytes::Bytes;
use harness::event::*;
use harness::report::{Look, Settings, Verbosity};
use harness::time::Time;
use snapbox::data::Inline;
use snapbox::{IntoData as _, assert_data_eq, str};

use super::stream::*;

fn settings(width: usize) -> Settings {
    Settings { folder: Some("reports/latest".to_owned()), ..Settings::plain(width) }
}

#[track_caller]
fn check(case: Vec<Event>, shown: Inline) {
    let text = report("human", &settings(80), &run(vec![case]));
    assert_data_eq!(text, shown.raw());
}

/// A conversation of one line, up to the answer.
fn echo(name: &str) -> Case {
    Case::new(0, name)
        .step("send", place(10, 3, 20, r#"  { send = "hello\n" },"#))
        .step("expect", place(11, 3, 22, r#"  { expect = "hello\n" },"#))
        .connected()
        .sent("hello\n")
        .passed(0)
}

fn expect_hello(kind: FailureKind, message: &str) -> Failure {
    let mut failure = failure(kind, message, place(11, 14, 9, r#"  { expect = "hello\n" },"#));
    failure.expected_bytes = Some("hello\n".into());
    failure
}

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

fn exited() -> EventKind {
    EventKind::TargetExited {
        scenario: "echo".to_owned(),
        target: "kv".to_owned(),
        status: "signal SIGSEGV".to_owned(),
        crash: true,
        output: vec![
            OutputLine { stderr: false, text: "listening on 7001".to_owned() },
            OutputLine { stderr: true, text: "\x1b[31mERROR\x1b[0m index 9 out of bounds\r\n".to_owned() },
            OutputLine { stderr: true, text: "bell \x07 and title \x1b]0;owned\x07".to_owned() },
        ],
    }
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

/// One case of each verdict.
fn every_verdict() -> Vec<Vec<Event>> {
    let failed = |name: &str, number: u32| {
        Case::new(number, name).connected().failed(
            None,
            failure(FailureKind::UnexpectedPass, "expected a failure, the case held", place(8, 1, 8, "[[case]]")),
        )
    };
    vec![
        echo("echoes a line").received("hello\n").passed(1).finished(Verdict::Passed),
        Case::new(1, "needs redis").finished_because(Verdict::Skipped, "`redis-server` is not installed"),
        Case::new(2, "known bug").connected().finished_because(Verdict::ExpectedFailure, "fails until 2.0"),
        failed("bug is gone", 3).finished(Verdict::UnexpectedPass),
        Case::new(4, "too late").connected().finished_because(Verdict::Interrupted, "ctrl-c"),
    ]
}

#[test]
fn every_case_has_a_line_and_the_end_says_what_did_not_hold() {
    assert_data_eq!(report("human", &settings(80), &run(every_verdict())), str![[r#"
       PASS [   111us] echo: echoes a line
       SKIP [        ] echo: needs redis (`redis-server` is not installed)
      XFAIL [    85us] echo: known bug (fails until 2.0)
      XPASS [    85us] echo: bug is gone
scenarios/echo.toml:8:1: expected a failure, the case held
8 | [[case]]
  | ^^^^^^^^

  what happened (since the case began; → sent, ← received):
  0.000ms    client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms             failed at the end of the case

  what differed: expected a failure, the case held
  reproduce: harness run scenarios/echo.toml --filter 'case(bug-is-gone)' --seed 42
  capture: reports/latest/captures/echo/bug-is-gone.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/bug-is-gone.pcapng)

INTERRUPTED [    85us] echo: too late (ctrl-c)
───────────
what did not hold:
      XPASS echo: bug is gone at scenarios/echo.toml:8:1
INTERRUPTED echo: too late at scenarios/echo.toml:8
    Summary [   1.25s] 5 cases: 1 passed, 1 failed, 1 failed as expected, 1 skipped, 1 interrupted
                       seed 42, results in reports/latest

"#]].raw());
}

#[test]
fn quiet_is_failures_and_the_summary() {
    let settings = Settings { verbosity: Verbosity::Quiet, ..settings(80) };
    let text = report("human", &settings, &run(every_verdict()));
    assert!(!text.contains(" PASS ["), "{text}");
    assert!(!text.contains("SKIP ["), "{text}");
    assert!(text.contains("XPASS ["), "{text}");
    assert!(text.contains("Summary"), "{text}");
}

#[test]
fn verbose_has_every_step_with_its_time() {
    let settings = Settings { verbosity: Verbosity::Verbose, ..settings(80) };
    let case = echo("echoes a line").received("hello\n").passed(1).finished(Verdict::Passed);
    let mut stream = run(vec![case]);
    let up = EventKind::TargetStarted {
        scenario: "echo".to_owned(),
        target: "kv".to_owned(),
        url: "tcp://127.0.0.1:7001".to_owned(),
        pid: Some(4711),
    };
    stream.insert(1, Event { at: Time::ZERO, case: None, kind: up });
    assert_data_eq!(
        report("human", &settings, &stream),
        str![[r#"
echo: `kv` is up at tcp://127.0.0.1:7001, process 4711
       PASS [   111us] echo: echoes a line
  0.000ms           client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 10  client → 6 bytes  "hello\n"
  0.105ms  line 10  client   send held after 20us
  0.106ms  line 11  client ← 6 bytes  "hello\n"
  0.110ms  line 11  client   expect held after 4us
───────────
    Summary [   1.25s] 1 case: 1 passed
                       seed 42, results in reports/latest

"#]]
        .raw()
    );
}

#[test]
fn an_invalid_file_shows_every_mistake() {
    let mistake = |place, message: &str, hint: Option<&str>| Mistake {
        place,
        message: message.to_owned(),
        hint: hint.map(str::to_owned),
    };
    let hint = "did you mean `prefix`? `harness list matchers` shows them all";
    let kind = EventKind::FileInvalid {
        file: "scenarios/echo.toml".to_owned(),
        mistakes: vec![
            mistake(place(3, 1, 7, "timeuot = \"5s\""), "unknown key `timeuot`", Some("did you mean `timeout`?")),
            mistake(place(12, 12, 5, r#"expect = { prefx = "220 " }"#), "unknown matcher `prefx`", Some(hint)),
            mistake(place(104, 21, 6, "\t{ send = \"안녕\" }, { expcet = 1 }"), "unknown key `expcet`", None),
        ],
    };
    let stream = vec![run_started(), Event { at: Time::ZERO, case: None, kind }];
    let end = run_finished(&stream);
    assert_data_eq!(
        report("human", &settings(80), &[stream, vec![end]].concat()),
        str![[r#"
scenarios/echo.toml:3:1: unknown key `timeuot`
3 | timeuot = "5s"
  | ^^^^^^^
hint: did you mean `timeout`?

scenarios/echo.toml:12:12: unknown matcher `prefx`
12 | expect = { prefx = "220 " }
   |            ^^^^^
hint: did you mean `prefix`? `harness list matchers` shows them all

scenarios/echo.toml:104:21: unknown key `expcet`
104 |     { send = "안녕" }, { expcet = 1 }
    |                          ^^^^^^

───────────
what did not hold:
    INVALID scenarios/echo.toml: 3 mistakes
    Summary [   1.25s] 0 cases; 1 file invalid
                       seed 42, results in reports/latest

"#]]
        .raw()
    );
}

#[test]
fn a_target_that_crashes_between_cases_and_a_warning_are_told() {
    let event = |kind| Event { at: Time::ZERO, case: None, kind };
    let warning = EventKind::Warning { message: "target `kv` had to be killed".to_owned() };
    let stream = [run_started(), event(exited()), event(warning)];
    assert_data_eq!(
        report("human", &settings(80), &stream),
        str![[r#"
  target `kv` crashed: signal SIGSEGV, its last output:
    stdout | listening on 7001
    stderr | ERROR index 9 out of bounds
    stderr | bell  and title
warning: target `kv` had to be killed

"#]]
        .raw()
    );
}

#[test]
fn colour_changes_nothing_but_colour() {
    let cases = || run(every_verdict());
    let colored = report("human", &Settings { look: Look::colored(80), ..settings(80) }, &cases());
    assert!(colored.contains("\x1b[1m\x1b[31m") || colored.contains("\x1b[1;31m"), "{colored:?}");
    assert_eq!(anstream::adapter::strip_str(&colored).to_string(), report("human", &settings(80), &cases()));
}

#[test]
fn attempts_are_lines_and_what_is_flaky_is_told_at_the_end() {
    assert_data_eq!(report("human", &settings(80), &everything()), str![[r#"
       PASS [    85us] echo: passes # \
      RETRY [    85us] echo: fails (attempt 1: expected `a`, received `<\x1b]]>`)
      RETRY [    85us] echo: comes and goes (attempt 1: expected `a`, received `<\x1b]]>`)
       FAIL [    85us] echo: fails (attempt 2)
scenarios/echo.toml:11:3: expected `a`, received `<\x1b]]>`
11 | { expect = "a" }
   |   ^^^^^

  expected: "a"
  received: "<\x1b]]>"
             ^ first difference, at byte 0
        expected, 1 byte                  | received, 5 bytes
  0000 [61]                      a        |[3c]1b 5d 5d 3e           <.]]>

  hint: is it 50%\r\n, or more: so

  what happened (since the case began; → sent, ← received):
  0.000ms  line 11  client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 11  client   expect failed after 85us

  what differed: expected `a`, received `<\x1b]]>`
  reproduce: harness run scenarios/echo.toml --filter 'case(fails)' --seed 42
  capture: reports/latest/captures/echo/fails.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/fails.pcapng)

      FLAKY [    85us] echo: comes and goes (it held at attempt 2)
       SKIP [        ] echo: skips (no "redis")
      XFAIL [    85us] echo: known (until 2.0)
      CRASH [    85us] echo: survives
scenarios/echo.toml:11:3: the target crashed
11 | { x }
   |   ^^^

  what happened (since the case began; → sent, ← received):
  0.000ms  line 11  client   connected 127.0.0.1:49152 → 127.0.0.1:7001 (TCP)
  0.085ms  line 11  client   expect failed after 85us

  what differed: the target crashed
  reproduce: harness run scenarios/echo.toml --filter 'case(survives)' --seed 42
  capture: reports/latest/captures/echo/survives.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/survives.pcapng)

INTERRUPTED [    85us] echo: never ends (ctrl-c)
scenarios/bad.toml:3:1: unknown key `timeuot`
3 | timeuot = 1
  | ^^^^^^^
hint: did you mean `timeout`?

       SLOW [   > 10s] echo: never ends
warning: a target\nhad to be killed
───────────
what did not hold:
       FAIL echo: fails at scenarios/echo.toml:11:3
      CRASH echo: survives at scenarios/echo.toml:11:3
INTERRUPTED echo: never ends at scenarios/echo.toml:8
    INVALID scenarios/bad.toml: 1 mistake
what held only when it was played again:
      FLAKY echo: comes and goes at scenarios/echo.toml:11:3
  what differed: expected `a`, received `<\x1b]]>`
  reproduce: harness run scenarios/echo.toml --filter 'case(comes-and-goes)' --seed 42
  capture: reports/latest/captures/echo/comes-and-goes.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/comes-and-goes.pcapng)
    Summary [   1.25s] 7 cases: 1 passed, 1 flaky, 1 failed, 1 crashed, 1 failed as expected, 1 skipped, 1 interrupted; 1 file invalid
                       seed 42, results in reports/latest

"#]].raw());
}

#[test]
fn quietly_only_what_did_not_hold_at_once_is_told() {
    let quiet = Settings { verbosity: Verbosity::Quiet, ..settings(80) };
    let stream = run(vec![
        echo("comes and goes").failed(None, expect_hello(FailureKind::Mismatch, "no")).finished(Verdict::Retried),
        echo("comes and goes").attempt(2).finished_because(Verdict::Flaky, "it held at attempt 2"),
        Case::new(1, "passes").after(2_000_000_000).finished(Verdict::Passed),
    ]);
    assert_data_eq!(
        report("human", &quiet, &stream),
        str![[r#"
───────────
what held only when it was played again:
      FLAKY echo: comes and goes at scenarios/echo.toml:11:14
  what differed: no
  reproduce: harness run scenarios/echo.toml --filter 'case(comes-and-goes)' --seed 42
  capture: reports/latest/captures/echo/comes-and-goes.pcapng, failing frame 7 (wireshark -g 7 reports/latest/captures/echo/comes-and-goes.pcapng)
    Summary [   1.25s] 2 cases: 1 passed, 1 flaky
                       seed 42, results in reports/latest

"#]]
        .raw()
    );
}

/// A run of cases that take 0, 100, 200, … ms.
fn ever_slower(cases: u32) -> Vec<Event> {
    let case = |n: u32| Case::new(n, &format!("case {n}")).after(u64::from(n) * 100_000_000).finished(Verdict::Passed);
    run((0..cases).map(case).collect())
}

/// The lines after the one of the last case.
fn end(settings: &Settings, stream: &[Event]) -> String {
    let text = report("human", settings, stream);
    text.split_once("───\n").expect("a run has a summary").1.to_owned()
}

#[test]
fn a_longer_run_ends_with_what_took_longest() {
    assert_data_eq!(
        end(&settings(80), &ever_slower(15)),
        str![[r#"
slowest:
            [    1.4s] echo: case 14
            [    1.3s] echo: case 13
            [    1.2s] echo: case 12
    Summary [   1.25s] 15 cases: 15 passed
                       seed 42, results in reports/latest

"#]]
        .raw()
    );
    assert!(!end(&settings(80), &ever_slower(10)).contains("slowest"), "nothing took so long");
}

#[test]
fn somebody_can_want_more_of_the_slowest_or_none() {
    let with = |slowest| Settings { slowest: Some(slowest), ..settings(80) };
    assert_data_eq!(
        end(&with(2), &ever_slower(3)),
        str![[r#"
slowest:
            [   200ms] echo: case 2
            [   100ms] echo: case 1
    Summary [   1.25s] 3 cases: 3 passed
                       seed 42, results in reports/latest

"#]]
        .raw()
    );
    assert!(!end(&with(0), &ever_slower(15)).contains("slowest"));
}
