//! Conversations in memory: the smallest script that shows a rule, and time moved by hand.

use std::time::Duration;

use super::*;
use crate::event::Failure;
use crate::scenario::{Known, load};

/// A case being played against a peer that the test plays by hand.
struct Table {
    conversation: Conversation,
    now: Time,
    sent: Vec<u8>,
    actions: Vec<Action>,
}

impl Table {
    /// Begins to play steps with a raw client.
    #[track_caller]
    fn new(steps: &str) -> Table {
        Table::with("", "", steps, Transport::Tcp)
    }

    #[track_caller]
    fn framed(framing: &str, steps: &str) -> Table {
        Table::with(&format!("framing = {framing}"), "", steps, Transport::Tcp)
    }

    #[track_caller]
    fn with(actor: &str, case: &str, steps: &str, transport: Transport) -> Table {
        let text = format!(
            "[actor.client]\nconnect = \"tcp://127.0.0.1:1\"\n{actor}\n[[case]]\nname = \"c\"\n{case}\nsteps = [\n{steps}\n]\n"
        );
        let scenario = load("t.toml", &text, &Known::default()).expect("a valid scenario");
        let script = Arc::clone(&scenario.cases[0].script);
        let random = Random::new(7, &script.name);
        let conversation = Conversation::new(script, vec![transport], Variables::new(), random, 0, Time::ZERO);
        let mut table = Table { conversation, now: Time::ZERO, sent: Vec::new(), actions: Vec::new() };
        table.act();
        table
    }

    /// Does what is asked for: connects, takes every write whole.
    fn act(&mut self) {
        while let Some(action) = self.conversation.poll_action() {
            self.actions.push(action.clone());
            match action {
                Action::Connect { connection, .. } => {
                    let (local, peer) = (Endpoint::Path("us".into()), Endpoint::Path("them".into()));
                    self.conversation.handle_input(self.now, connection, Input::Connected { local, peer });
                }
                Action::Send { connection, data } => {
                    self.sent.extend_from_slice(&data);
                    self.conversation.handle_input(self.now, connection, Input::Written(data.len()));
                }
                Action::Control { .. }
                | Action::Close(_)
                | Action::Looped
                | Action::Marked(_)
                | Action::Reset(_)
                | Action::Shutdown(_)
                | Action::StartTls { .. } => {}
            }
        }
    }

    fn input(&mut self, input: Input) -> &mut Table {
        let connection = self.conversation.links.len() as u32 - 1;
        self.conversation.handle_input(self.now, connection, input);
        self.act();
        self
    }

    fn says(&mut self, data: &[u8]) -> &mut Table {
        self.input(Input::Data(Bytes::copy_from_slice(data)))
    }

    fn closes(&mut self) -> &mut Table {
        self.input(Input::Eof)
    }

    /// Lets time pass, with a look at each deadline on the way.
    fn pass(&mut self, ms: u64) -> &mut Table {
        let until = self.now + Duration::from_millis(ms);
        while let Some(next) = self.conversation.poll_timeout().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.conversation.handle_timeout(self.now);
            self.act();
        }
        self.now = until;
        self
    }

    #[track_caller]
    fn passed(&mut self) {
        self.pass(60);
        assert_eq!(self.conversation.ended(), Some(&Ended::Passed));
    }

    #[track_caller]
    fn failed(&mut self) -> Failure {
        match self.conversation.ended() {
            Some(Ended::Failed { failure, .. }) => (**failure).clone(),
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    #[track_caller]
    fn fails(&mut self, kind: FailureKind, message: &str) -> Failure {
        let failure = self.failed();
        assert_eq!((failure.kind, failure.message.as_str()), (kind, message));
        failure
    }

    #[track_caller]
    fn goes_on(&self) {
        assert_eq!(self.conversation.ended(), None);
    }
}

#[test]
fn an_exchange_holds_however_the_answer_is_cut() {
    let mut table = Table::new(r#"{ send = "ping" }, { expect = "pong" },"#);
    assert_eq!(table.sent, b"ping");
    table.says(b"p").says(b"on");
    table.goes_on();
    table.says(b"g").passed();
}

#[test]
fn what_an_exact_expect_does_not_want_is_left_for_the_next() {
    Table::new(r#"{ expect = "one" }, { expect = "two" },"#).says(b"onetwo").passed();
}

#[test]
fn a_mismatch_is_told_at_its_first_byte_and_not_at_the_deadline() {
    let mut table = Table::new(r#"{ expect = "hello\n" },"#);
    let failure = table
        .says(b"heL")
        .fails(FailureKind::Mismatch, "expected `hello\\n`, received `heL`: byte 2 is 0x4c, not 0x6c");
    assert_eq!(failure.difference_at, Some(2));
    assert_eq!(failure.place.to_string(), "t.toml:8:3");
}

#[test]
fn a_timeout_says_what_had_arrived_and_who_set_the_deadline() {
    let mut table = Table::new(r#"{ expect = "hello", within = "200ms" },"#);
    table.says(b"he").pass(199).goes_on();
    let failure = table.pass(1).fails(FailureKind::Timeout, "expected `hello`, received `he` and no more within 200ms");
    assert_eq!(failure.notes, ["deadline: 200ms, `within` at t.toml:8:21"]);
}

#[test]
fn a_peer_at_rest_is_waited_for_no_longer() {
    let mut table = Table::new(r#"{ send = "hi" }, { expect = "hello" },"#);
    table.pass(70).says(b"he").pass(30);
    assert_eq!(table.conversation.waits_since(), Some(Time::ZERO + Duration::from_millis(70)));
    table.conversation.handle_rest(table.now);
    table.fails(FailureKind::Timeout, "expected `hello`, received `he` and no more within 100ms");
}

#[test]
fn what_waits_for_time_is_not_given_up_because_the_peer_rests() {
    for steps in [r#"{ sleep = "1s" },"#, r#"{ send = "hi", pace = "1B/1s" },"#, r#"{ expect_silence = "1s" },"#] {
        let mut table = Table::new(steps);
        table.pass(100);
        assert_eq!(table.conversation.waits_since(), None, "{steps}");
        table.conversation.handle_rest(table.now);
        table.goes_on();
    }
}

#[test]
fn without_a_deadline_of_its_own_a_step_has_the_default() {
    let mut table = Table::new(r#"{ expect = "hello" },"#);
    let failure = table.pass(5_000).fails(FailureKind::Timeout, "expected `hello`, received nothing within 5s");
    assert_eq!(failure.notes, ["deadline: 5s, the default `timeout`"]);
}

#[test]
fn a_connection_that_closes_too_early_is_told_at_once() {
    Table::new(r#"{ expect = "hello" },"#)
        .says(b"he")
        .closes()
        .fails(FailureKind::Closed, "expected `hello`, but the peer closed the connection after `he`");
}

#[test]
fn a_reset_is_no_close() {
    Table::new(r#"{ expect = "hello" },"#)
        .input(Input::Reset)
        .fails(FailureKind::Reset, "expected `hello`, but the peer reset the connection before any of it came");
    Table::new("{ expect_eof = true },")
        .input(Input::Reset)
        .fails(FailureKind::Reset, "expected the peer to close the connection, but the peer reset the connection");
    Table::new("{ expect_reset = true },")
        .closes()
        .fails(FailureKind::Closed, "expected the peer to reset the connection, but the peer closed the connection");
    Table::new("{ expect_reset = true },").input(Input::Reset).passed();
}

#[test]
fn bytes_that_nobody_asked_for_fail_the_case() {
    let mut table = Table::new(r#"{ expect = "a" },"#);
    table
        .says(b"ab")
        .fails(FailureKind::Leftover, "expected nothing after the last step, received bytes that no step reads: `b`");
}

#[test]
fn bytes_that_come_just_after_the_last_step_fail_the_case_too() {
    let mut table = Table::new(r#"{ expect = "a" },"#);
    table.says(b"a").pass(49).goes_on();
    table
        .says(b"b")
        .fails(FailureKind::Leftover, "expected nothing after the last step, received bytes that no step reads: `b`");
}

#[test]
fn a_relaxed_end_lets_them_be() {
    let mut table = Table::with("", "strict_end = false", r#"{ expect = "a" },"#, Transport::Tcp);
    table.says(b"ab");
    assert_eq!(table.conversation.ended(), Some(&Ended::Passed));
}

#[test]
fn a_closed_peer_needs_no_quiet_time_at_the_end() {
    let mut table = Table::new(r#"{ expect = "a" },"#);
    table.says(b"a").closes();
    assert_eq!(table.conversation.ended(), Some(&Ended::Passed));
}

#[test]
fn silence_counts_half_a_message() {
    Table::framed(r#""line""#, r#"{ expect_silence = "100ms" },"#)
        .says(b"half")
        .fails(FailureKind::Leftover, "expected silence, received `half`");
    Table::new(r#"{ expect_silence = "100ms" }, { expect = "a" },"#).pass(100).says(b"a").passed();
}

#[test]
fn silence_counts_what_came_before_it_and_was_not_read() {
    Table::new(r#"{ expect = "a" }, { expect_silence = "100ms" },"#)
        .says(b"ab")
        .fails(FailureKind::Leftover, "expected silence, received `b`");
}

#[test]
fn a_drain_ends_when_the_peer_falls_quiet() {
    let mut table = Table::new(r#"{ drain = true }, { send = "next" },"#);
    table.says(b"noise").pass(30).says(b"more").pass(49);
    assert_eq!(table.sent, b"");
    table.pass(1);
    assert_eq!(table.sent, b"next");
}

#[test]
fn a_drain_of_an_endless_peer_has_a_deadline() {
    let mut table = Table::new(r#"{ drain = true, within = "100ms" },"#);
    for _ in 0..10 {
        table.says(b"x").pass(10);
    }
    table.says(b"x").fails(FailureKind::Timeout, "the peer does not fall quiet within 100ms");
}

#[test]
fn a_match_that_could_grow_waits_for_quiet_or_for_what_settles_it() {
    let mut table = Table::new(r#"{ expect = { regex = '\d+' }, save = "n" }, { send = "${n}" },"#);
    table.says(b"12").pass(40).says(b"3").pass(49);
    assert_eq!(table.sent, b"");
    table.pass(1);
    assert_eq!(table.sent, b"123");
    let mut table = Table::new(r#"{ expect = { regex = '\d+' }, save = "n" }, { send = "${n}" }, { expect = ";" },"#);
    table.says(b"12;");
    assert_eq!(table.sent, b"12", "what follows has settled it");
}

#[test]
fn named_groups_and_saves_become_variables() {
    let mut table = Table::new(
        r#"{ expect = { regex = '^(?P<key>\w+)=(?P<value>\w+)\n' }, save = "all" }, { send = "${value}:${key}:${all}" },"#,
    );
    table.says(b"a=b\n");
    assert_eq!(table.sent, b"b:a:a=b\n");
}

#[test]
fn a_random_payload_can_be_kept_and_expected() {
    let mut table = Table::new(r#"{ send = { random = 100 }, save = "blob" }, { expect = "${blob}" },"#);
    let sent = table.sent.clone();
    assert_eq!(sent.len(), 100);
    table.says(&sent).passed();
}

#[test]
fn a_framed_message_is_framed_and_unframed() {
    let mut table = Table::framed(r#""line""#, r#"{ send = "PING" }, { expect = "PONG" }, { send = { raw = "x" } },"#);
    assert_eq!(table.sent, b"PING\n");
    table.says(b"PO").says(b"NG\n");
    assert_eq!(table.sent, b"PING\nx");
}

#[test]
fn a_message_must_match_as_a_whole() {
    Table::framed(r#""line""#, r#"{ expect = "PONG" },"#)
        .says(b"PONG!\n")
        .fails(FailureKind::Mismatch, "expected `PONG`, received `PONG!`: 1 more byte follows");
}

#[test]
fn what_is_no_message_is_told() {
    let failure = Table::framed(r#"{ length_prefix = "u16be", max = 4 }"#, r#"{ expect = "PONG" },"#)
        .says(&[0xff, 0xff])
        .failed();
    assert_eq!(failure.kind, FailureKind::Mismatch);
    assert!(failure.message.contains("65535"), "{}", failure.message);
}

#[test]
fn a_message_cut_by_the_end_of_the_connection_is_told() {
    Table::framed(r#""line""#, r#"{ expect = "PONG" },"#)
        .says(b"PO")
        .closes()
        .fails(FailureKind::Closed, "expected `PONG`, but the peer closed the connection after `PO`");
}

#[test]
fn a_datagram_is_a_message() {
    let mut table = Table::with("", "", r#"{ send = "a" }, { expect = "one" }, { expect = "two" },"#, Transport::Udp);
    table.says(b"one").says(b"two").passed();
    Table::with("", "", r#"{ send = "a" }, { expect = "one" },"#, Transport::Udp)
        .says(b"onetwo")
        .fails(FailureKind::Mismatch, "expected `one`, received `onetwo`: 3 more bytes follow");
}

#[test]
fn an_empty_datagram_is_a_message_too() {
    let mut table = Table::with("", "", r#"{ send = "" }, { expect = "" },"#, Transport::Udp);
    assert!(table.actions.contains(&Action::Send { connection: 0, data: Bytes::new() }));
    table.says(b"").passed();
}

#[test]
fn an_unreachable_port_is_a_refusal() {
    let mut table = Table::with("", "", r#"{ send = "a" }, { expect_refused = true },"#, Transport::Udp);
    table.input(Input::Unreachable).passed();
    Table::with("", "", r#"{ send = "a" }, { expect = "b" },"#, Transport::Udp)
        .input(Input::Unreachable)
        .fails(FailureKind::Refused, "expected `b`, but nobody listens on the port");
}

#[test]
fn a_send_is_cut_as_it_says() {
    let mut table = Table::new(r#"{ send = "hello", split = [1, 3] },"#);
    let pieces: Vec<Bytes> = table
        .actions
        .drain(..)
        .filter_map(|action| match action {
            Action::Send { data, .. } => Some(data),
            _ => None,
        })
        .collect();
    assert_eq!(pieces, ["h", "ell", "o"]);
}

#[test]
fn a_pace_waits_between_pieces() {
    let mut table = Table::new(r#"{ send = "abc", pace = "1B/10ms" },"#);
    assert_eq!(table.sent, b"a");
    table.pass(9);
    assert_eq!(table.sent, b"a");
    table.pass(1);
    assert_eq!(table.sent, b"ab");
    table.pass(10);
    assert_eq!(table.sent, b"abc");
}

#[test]
fn a_send_can_be_spoilt_cut_short_and_broken_off() {
    let mut table = Table::new(
        r#"{ send = ["ab", "cd"], coalesce = true, corrupt = { at = 2, xor = 0x20 }, truncate = 3, then = "reset" },"#,
    );
    assert_eq!(table.sent, b"abC");
    assert!(table.actions.contains(&Action::Reset(0)));
    table.passed();
}

#[test]
fn a_write_that_the_socket_does_not_take_has_a_deadline() {
    let text = "[actor.c]\nconnect = \"tcp://127.0.0.1:1\"\n[[case]]\nname = \"c\"\nsteps = [{ send = \"hello\" }]\n";
    let scenario = load("t.toml", text, &Known::default()).expect("a valid scenario");
    let script = Arc::clone(&scenario.cases[0].script);
    let random = Random::new(7, "c");
    let mut conversation = Conversation::new(script, vec![Transport::Tcp], Variables::new(), random, 0, Time::ZERO);
    let (local, peer) = (Endpoint::Path("us".into()), Endpoint::Path("them".into()));
    conversation.handle_input(Time::ZERO, 0, Input::Connected { local, peer });
    conversation.handle_input(Time::ZERO, 0, Input::Written(2));
    let late = conversation.poll_timeout().expect("a deadline");
    assert_eq!(late, Time::ZERO + Duration::from_secs(5));
    conversation.handle_timeout(late);
    let Some(Ended::Failed { failure, .. }) = conversation.ended() else { panic!("it failed") };
    assert_eq!(failure.message, "the peer took 2 of 5 bytes and no more within 5s");
}

#[test]
fn a_loop_counts_and_names_the_repetition_that_failed() {
    let mut table =
        Table::new(r#"{ repeat = { times = 3, steps = [{ send = "${i}" }, { expect = "ok" }] } }, { send = "done" },"#);
    table.says(b"ok").says(b"ok");
    assert_eq!(table.sent, b"012");
    let failure = table.says(b"no").failed();
    assert_eq!(failure.notes, ["in repetition 3 of 3 (`${i}` is 2)"]);
}

#[test]
fn a_loop_over_values_gives_each_its_turn() {
    let table = Table::new(r#"{ for = { key = ["a", "b"] }, steps = [{ send = "${key}${i}" }] }, { send = "." },"#);
    assert_eq!(table.sent, b"a0b1.");
    let table = Table::new(r#"{ repeat = { for = { key = ["a", "b"] }, steps = [{ send = "${key}" }] } },"#);
    assert_eq!(table.sent, b"ab");
}

#[test]
fn loops_in_loops_restore_their_variables() {
    let table = Table::new(
        r#"{ repeat = { times = 2, steps = [{ repeat = { times = 2, steps = [{ send = "${i}" }] } }, { send = "${i};" }] } },"#,
    );
    assert_eq!(table.sent, b"010;011;");
}

#[test]
fn a_loop_of_none_does_nothing() {
    let mut table = Table::new(r#"{ repeat = { times = 0, steps = [{ send = "x" }] } }, { send = "y" },"#);
    assert_eq!(table.sent, b"y");
    table.passed();
}

#[test]
fn an_endless_loop_gives_others_their_turn_and_has_a_deadline() {
    let mut table = Table::with(
        "",
        "deadline = \"1s\"",
        r#"{ repeat = { times = 1_000_000_000_000, steps = [{ set = { a = "b" } }] } },"#,
        Transport::Tcp,
    );
    assert_eq!(table.conversation.poll_timeout(), Some(Time::ZERO));
    table.now = Time::from_nanos(1_000_000_000);
    table.conversation.handle_timeout(table.now);
    table.fails(FailureKind::Timeout, "the case was not done within 1s");
}

#[test]
fn a_variable_without_a_value_fails_the_step() {
    let text = r#"{ repeat = { times = 1, steps = [{ send = "${later}" }, { set = { later = "x" } }] } },"#;
    Table::new(text).fails(FailureKind::Script, "the variable `later` has no value yet");
}

#[test]
fn after_a_close_a_step_says_what_is_missing() {
    let mut table = Table::new(r#"{ close = true }, { send = "x" },"#);
    table.fails(FailureKind::Script, "not connected: the connection was closed before");
    let mut table = Table::new(r#"{ close = true }, { connect = true }, { expect = "x" },"#);
    table.says(b"x").passed();
}

#[test]
fn a_refused_connection_names_the_actor_that_was_not_reached() {
    let text = "[actor.c]\nconnect = \"tcp://127.0.0.1:1\"\n[[case]]\nname = \"c\"\nsteps = [{ send = \"hello\" }]\n";
    for (text, passes) in [(text.to_owned(), false), (text.replace("send = \"hello\"", "expect_refused = true"), true)]
    {
        let scenario = load("t.toml", &text, &Known::default()).expect("a valid scenario");
        let script = Arc::clone(&scenario.cases[0].script);
        let random = Random::new(7, "c");
        let mut conversation = Conversation::new(script, vec![Transport::Tcp], Variables::new(), random, 0, Time::ZERO);
        let (peer, reason) = (Endpoint::Path("them".into()), "nobody listens at tcp://127.0.0.1:1".to_owned());
        conversation.handle_input(Time::ZERO, 0, Input::ConnectFailed { peer, refused: true, reason });
        match conversation.ended() {
            Some(Ended::Passed) => assert!(passes),
            Some(Ended::Failed { failure, unreached }) => {
                assert!(!passes);
                assert_eq!(*unreached, Some(0));
                assert_eq!(failure.message, "cannot connect: nobody listens at tcp://127.0.0.1:1");
            }
            None => panic!("it is over"),
        }
    }
}

#[test]
fn between_refuses_what_comes_too_early_and_too_late() {
    let steps = r#"{ send = "a", mark = "asked" }, { expect = "b", after = "asked", between = ["80ms", "400ms"] },"#;
    Table::new(steps).pass(80).says(b"b").passed();
    Table::new(steps)
        .pass(79)
        .says(b"b")
        .fails(FailureKind::Mismatch, "expected no earlier than 80ms after the mark `asked`, came 1ms too early");
    let failure =
        Table::new(steps).pass(400).fails(FailureKind::Timeout, "expected `b`, received nothing within 400ms");
    assert_eq!(failure.notes, ["deadline: 400ms, `between` of this step"]);
}

#[test]
fn a_loop_that_is_not_done_in_time_says_what_its_deadline_was_and_where_it_stood() {
    let late = |steps: &str, message: &str, notes: &[&str]| {
        let failure = Table::new(steps).pass(200).fails(FailureKind::Timeout, message);
        assert_eq!(failure.notes[..notes.len()], *notes);
    };
    late(
        r#"{ repeat = { times = 3, steps = [{ sleep = "50ms" }] }, between = ["0ms", "80ms"] },"#,
        "the loop was not done within 80ms: 2 of 3 rounds",
        &["deadline: 80ms, `between` of the loop"],
    );
    let inner = r#"{ repeat = { times = 3, steps = [{ sleep = "50ms" }] } }"#;
    late(
        &format!(r#"{{ repeat = {{ times = 2, steps = [{inner}] }}, within = "80ms" }},"#),
        "the loop was not done within 80ms: 0 of 2 rounds",
        &["deadline: 80ms, `within` at t.toml:8:95"],
    );
}

#[test]
fn a_length_that_a_variable_makes_negative_is_a_mistake_of_the_script() {
    for length in [r#""${n}""#, r#"{ max = "${n}" }"#, r#"{ min = "${n}" }"#] {
        let steps = format!(r#"{{ set = {{ n = "-1" }} }}, {{ expect = {{ length = {length} }} }},"#);
        Table::new(&steps).says(b"abc").fails(FailureKind::Script, "a length is 0 or more, not -1");
    }
}

#[test]
fn a_sleep_connects_unless_the_next_step_does() {
    let table = Table::new(r#"{ sleep = "10ms" }, { send = "x" },"#);
    assert!(matches!(table.actions[..], [Action::Connect { .. }]));
    let mut table = Table::new(r#"{ sleep = "10ms" }, { connect = true }, { send = "x" },"#);
    assert!(table.actions.is_empty());
    table.pass(10);
    assert_eq!(table.sent, b"x");
}

#[test]
fn a_full_record_says_so_and_the_case_goes_on() {
    let mut table = Table::new(r#"{ send = { repeat = [68_000_000, "x"] } }, { expect = "y" },"#);
    table.says(b"y").passed();
    let mut stopped = 0;
    let mut kept = 0;
    while let Some(event) = table.conversation.poll_event() {
        match event.kind {
            EventKind::RecordingStopped { .. } => stopped += 1,
            EventKind::Sent { data, .. } | EventKind::Received { data, .. } => kept += data.len(),
            _ => {}
        }
    }
    assert_eq!((stopped, kept), (1, 0), "what follows the end of the record is not kept");
}

#[test]
fn a_flood_is_bounded() {
    let mut table = Table::new(r#"{ expect = { contains = "never" } },"#);
    let block = Bytes::from(vec![b'x'; 1 << 20]);
    let mut given = 0;
    while table.conversation.ended().is_none() {
        assert!(table.conversation.reads(0), "the conversation must end or read on");
        table.input(Input::Data(block.clone()));
        given += block.len();
    }
    assert_eq!(given, UNREAD_MAX);
    assert_eq!(table.failed().kind, FailureKind::Limit);
}

#[test]
fn a_peer_that_nobody_reads_has_to_wait() {
    let mut table = Table::new(r#"{ sleep = "1s" }, { expect = "x" },"#);
    table.says(&vec![b'x'; UNREAD_MAX]);
    assert!(!table.conversation.reads(0));
}

#[test]
fn several_clients_play_in_one_order() {
    let text = "[actor.a]\nconnect = \"tcp://127.0.0.1:1\"\n[actor.b]\nconnect = \"tcp://127.0.0.1:1\"\n[[case]]\nname = \"c\"\nsteps = [{ a.send = \"x\" }, { b.send = \"y\" }, { a.expect = \"1\" }, { b.expect = \"2\" }]\n";
    let scenario = load("t.toml", text, &Known::default()).expect("a valid scenario");
    let script = Arc::clone(&scenario.cases[0].script);
    let random = Random::new(7, "c");
    let transports = vec![Transport::Tcp; 2];
    let conversation = Conversation::new(script, transports, Variables::new(), random, 0, Time::ZERO);
    let mut table = Table { conversation, now: Time::ZERO, sent: Vec::new(), actions: Vec::new() };
    table.act();
    assert_eq!(table.sent, b"xy");
    table.conversation.handle_input(table.now, 1, Input::Data(Bytes::from("2")));
    table.goes_on();
    table.conversation.handle_input(table.now, 0, Input::Data(Bytes::from("1")));
    table.passed();
}

#[test]
fn the_same_seed_sends_the_same_bytes() {
    let steps = r#"{ send = { random = 32 }, split = { random = 5 } },"#;
    assert_eq!(Table::new(steps).actions, Table::new(steps).actions);
}

#[test]
fn the_scripts_of_the_laws_hold_against_a_reference_server() {
    let echo = targets::find("tcp-echo").expect("it is in the table");
    let server =
        echo.make::<&str>(&[], &targets::Limits::default(), || jiff::Timestamp::UNIX_EPOCH).expect("its defaults");
    let text = "[actor.c]\nconnect = \"tcp://127.0.0.1:1\"\n[[case]]\nname = \"c\"\nsteps = [{ send = { random = 70_000 }, save = \"x\" }, { shutdown = \"write\" }, { expect = \"${x}\" }, { expect_eof = true }]\n";
    let scenario = load("t.toml", text, &Known::default()).expect("a valid scenario");
    let play = || {
        let script = Arc::clone(&scenario.cases[0].script);
        let random = Random::new(7, "c");
        let mut conversation = Conversation::new(script, vec![Transport::Tcp], Variables::new(), random, 0, Time::ZERO);
        let mut peer = crate::conversation::memory::Served::new(&*server);
        crate::conversation::memory::play(&mut conversation, &mut peer, Time::ZERO).expect("it ends");
        assert_eq!(conversation.ended(), Some(&Ended::Passed));
        std::iter::from_fn(|| conversation.poll_event()).collect::<Vec<_>>()
    };
    assert_eq!(play(), play(), "with virtual time the events are the same to the nanosecond");
}

#[test]
fn clients_of_a_broker_meet_in_memory() {
    let broker = targets::find("mqtt-broker").expect("it is in the table");
    let text = include_str!("../../../scenarios/mqtt.toml");
    let scenario = load("mqtt.toml", text, &Known::default()).expect("a valid scenario");
    for case in &scenario.cases {
        if case.name.contains("silent") {
            continue; // a server's own time does not pass in memory
        }
        let limits = targets::Limits::default();
        let server = broker.make::<&str>(&[], &limits, || jiff::Timestamp::UNIX_EPOCH).expect("its defaults");
        let script = Arc::clone(&case.script);
        let mut conversation =
            Conversation::new(script, vec![Transport::Tcp; 8], Variables::new(), Random::new(7, "c"), 0, Time::ZERO);
        let mut peer = crate::conversation::memory::Served::new(&*server);
        crate::conversation::memory::play(&mut conversation, &mut peer, Time::ZERO).expect("it ends");
        assert_eq!(conversation.ended(), Some(&Ended::Passed), "{}", case.name);
    }
}
