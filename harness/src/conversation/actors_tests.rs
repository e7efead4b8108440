//! Conversations of several actors in memory: clients and servers of one script are wired to each other.

use std::time::Duration;

use super::*;
use crate::event::Failure;
use crate::scenario::{Known, Role, load};

/// A case whose clients connect to its own listeners.
struct World {
    conversation: Conversation,
    now: Time,
    /// The other end of each connection.
    ends: Vec<Option<u32>>,
    listener: usize,
    events: Vec<EventKind>,
}

impl World {
    /// Plays `text`, whose first listener takes every connection.
    #[track_caller]
    fn new(text: &str, transport: Transport) -> World {
        let scenario = match load("t.toml", text, &Known::default()) {
            Ok(scenario) => scenario,
            Err(mistakes) => panic!("{mistakes:#?}"),
        };
        let listener = scenario.actors.iter().position(|actor| matches!(actor.role, Role::Server(_)));
        let script = Arc::clone(&scenario.cases[0].script);
        let random = Random::new(7, &script.name);
        let transports = vec![transport; scenario.actors.len()];
        let conversation = Conversation::new(script, transports, Variables::new(), random, 0, Time::ZERO);
        let mut world = World {
            conversation,
            now: Time::ZERO,
            ends: Vec::new(),
            listener: listener.unwrap_or(usize::MAX),
            events: Vec::new(),
        };
        world.play();
        world
    }

    fn wire(&mut self, from: u32, to: u32) {
        let len = self.ends.len().max(from.max(to) as usize + 1);
        self.ends.resize(len, None);
        self.ends[from as usize] = Some(to);
        self.ends[to as usize] = Some(from);
    }

    fn other(&self, connection: u32) -> Option<u32> {
        self.ends.get(connection as usize).copied().flatten()
    }

    fn tell(&mut self, connection: u32, input: Input) {
        self.conversation.handle_input(self.now, connection, input);
    }

    fn act(&mut self) {
        while let Some(action) = self.conversation.poll_action() {
            match action {
                Action::Connect { connection, .. } => {
                    let (local, peer) = (Endpoint::Path("us".into()), Endpoint::Path("them".into()));
                    if let Some(accepted) = self.conversation.handle_accept(self.now, self.listener) {
                        self.wire(connection, accepted);
                        self.tell(accepted, Input::Connected { local: peer.clone(), peer: local.clone() });
                    }
                    self.tell(connection, Input::Connected { local, peer });
                }
                Action::Send { connection, data } => {
                    self.tell(connection, Input::Written(data.len()));
                    if let Some(other) = self.other(connection) {
                        self.tell(other, Input::Data(data));
                    }
                }
                Action::Close(connection) | Action::Shutdown(connection) => {
                    if let Some(other) = self.other(connection) {
                        self.tell(other, Input::Eof);
                    }
                }
                Action::Reset(connection) => {
                    if let Some(other) = self.other(connection) {
                        self.tell(other, Input::Reset);
                    }
                }
                Action::Control { number, deed } => {
                    let outcome = match deed {
                        Deed::Exec(argv) if argv[0] == "false" => Err("`false` exited with status 1".into()),
                        Deed::Exec(argv) => Ok(Bytes::from(argv.join(" "))),
                        _ => Ok(Bytes::new()),
                    };
                    self.conversation.handle_control(self.now, number, outcome);
                }
                Action::Looped | Action::Marked(_) | Action::StartTls { .. } => {}
            }
        }
        self.events.extend(std::iter::from_fn(|| self.conversation.poll_event()).map(|event| event.kind));
    }

    /// Plays to the end, time moving when nothing else can.
    fn play(&mut self) -> &mut World {
        self.act();
        for _ in 0..10_000 {
            let Some(next) = self.conversation.poll_timeout() else { break };
            self.now = self.now.max(next);
            self.conversation.handle_timeout(self.now);
            self.act();
        }
        self
    }

    #[track_caller]
    fn passed(&self) {
        assert_eq!(self.conversation.ended(), Some(&Ended::Passed));
    }

    #[track_caller]
    fn failed(&self) -> &Failure {
        match self.conversation.ended() {
            Some(Ended::Failed { failure, .. }) => failure,
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    #[track_caller]
    fn fails(&self, kind: FailureKind, message: &str) -> &Failure {
        let failure = self.failed();
        assert_eq!((failure.kind, failure.message.as_str()), (kind, message));
        failure
    }

    fn logged(&self) -> Vec<&str> {
        let logged = self.events.iter().filter_map(|event| match event {
            EventKind::Logged { message } => Some(message.as_str()),
            _ => None,
        });
        logged.collect()
    }

    /// How much time has passed.
    fn took(&self) -> Duration {
        self.now.since(Time::ZERO)
    }
}

const PAIR: &str =
    "actor.alice.connect = \"server\"\nactor.bob.connect = \"server\"\nactor.server.listen = \"tcp://127.0.0.1:0\"\n";

#[track_caller]
fn tcp(text: &str) -> World {
    World::new(&format!("{PAIR}{text}"), Transport::Tcp)
}

const PEERS: &str =
    "actor.alice.connect = \"server\"\nactor.bob.connect = \"server\"\nactor.server.listen = \"udp://127.0.0.1:0\"\n";

#[track_caller]
fn udp(text: &str) -> World {
    World::new(&format!("{PEERS}{text}"), Transport::Udp)
}

#[test]
fn one_order_for_client_and_server() {
    tcp(r#"steps = [
        { alice.send = "hi\n" }, { server.accept = "c1" }, { c1.expect = "hi\n" }, { c1.send = "ho\n" },
        { alice.expect = "ho\n" }, { alice.close = true }, { c1.expect_eof = true },
    ]"#)
    .passed();
}

#[test]
fn a_server_speaks_first_and_takes_its_connection_without_being_told() {
    tcp(r#"
        play.server = [{ send = "220 ready\r\n" }, { expect = "QUIT\r\n" }, { send = "221 bye\r\n", then = "close" }]
        play.alice = [{ expect = "220 ready\r\n" }, { send = "QUIT\r\n" }, { expect = "221 bye\r\n" }, { expect_eof = true }]
    "#)
    .passed();
}

#[test]
fn connections_are_taken_in_their_order_and_known_by_their_names() {
    tcp(r#"steps = [
        { alice.send = "a" }, { bob.send = "b" }, { server.accept = "first" }, { server.accept = "second" },
        { second.expect = "b" }, { first.expect = "a" }, { first.send = "1" }, { alice.expect = "1" },
        { server.send = "2" }, { bob.expect = "2" },
    ]"#)
    .passed();
}

#[test]
fn nobody_comes() {
    let world = tcp(r#"steps = [{ server.accept = "c1", within = "2s" }]"#);
    world.fails(FailureKind::Timeout, "expected a connection to `server`, and nobody came within 2s");
    assert_eq!(world.took(), Duration::from_secs(2));
}

#[test]
fn a_connection_that_nobody_has_taken_may_not_say_anything() {
    let world = tcp(r#"steps = [{ alice.send = "x" }]"#);
    assert_eq!(world.failed().kind, FailureKind::Leftover);
}

#[test]
fn a_notice_lets_the_other_go_on() {
    tcp(r#"
        play.alice = [{ await = "ready" }, { send = "a" }]
        play.server = [{ sleep = "1s" }, { notify = "ready" }, { expect = "a" }]
    "#)
    .passed();
}

#[test]
fn notices_are_counted_and_each_lane_takes_them_for_itself() {
    tcp(r#"
        play.alice = [{ notify = "n" }, { notify = "n" }]
        play.bob = [{ await = "n", times = 2 }, { log = "bob" }]
        play.server = [{ await = "n" }, { await = "n" }, { log = "server" }]
    "#)
    .passed();
}

#[test]
fn a_notice_that_nobody_can_give_is_a_deadlock_at_once() {
    let world = tcp(r#"
        play.alice = [{ await = "a" }, { notify = "b" }]
        play.bob = [{ await = "b" }, { notify = "a" }]
    "#);
    world.fails(
        FailureKind::Deadlock,
        "deadlock: `alice` awaits the notice `a` from `bob`; `bob` awaits the notice `b` from `alice`",
    );
    assert_eq!(world.took(), Duration::ZERO);
}

#[test]
fn a_deadlock_beside_somebody_who_still_plays_is_found_at_once() {
    let world = tcp(r#"
        play.alice = [{ await = "never" }]
        play.bob = [{ sleep = "4s" }]
    "#);
    world.fails(
        FailureKind::Deadlock,
        "nobody is left who could let it go on: `alice` awaits the notice `never`, and no step that is still to come gives it",
    );
    assert_eq!(world.took(), Duration::ZERO);
}

#[test]
fn a_notice_that_a_loop_or_an_alternative_may_still_give_is_hoped_for() {
    tcp(r#"
        play.alice = [{ await = "x" }]
        play.bob = [{ repeat = { times = 2, steps = [{ sleep = "1s" }, { notify = "x" }] } }]
    "#)
    .passed();
    tcp(r#"
        play.alice = [{ await = "x" }]
        play.bob = [{ alt = [[{ expect_silence = "1s" }, { notify = "x" }], { expect = "y" }] }]
        play.server = [{ accept = true }]
    "#)
    .passed();
}

#[test]
fn a_barrier_waits_for_all_who_have_it() {
    let world = tcp(r#"
        play.alice = [{ sleep = "1s" }, { barrier = "b" }, { log = "alice" }]
        play.bob = [{ barrier = "b" }, { log = "bob" }]
    "#);
    world.passed();
    assert!(world.took() >= Duration::from_secs(1));
}

#[test]
fn a_barrier_opens_again_and_again() {
    tcp(r#"
        play.alice = [{ repeat = { times = 3, steps = [{ barrier = "b" }] } }]
        play.bob = [{ repeat = { times = 3, steps = [{ sleep = "1ms" }, { barrier = "b" }] } }]
    "#)
    .passed();
}

#[test]
fn a_barrier_that_too_few_come_to_is_a_deadlock() {
    let world = tcp(r#"
        play.alice = [{ barrier = "b" }, { barrier = "b" }]
        play.bob = [{ barrier = "b" }]
    "#);
    let failure = world.failed();
    assert_eq!(failure.kind, FailureKind::Deadlock);
    assert!(failure.message.contains("`alice` stands at a barrier for 1 more party"), "{}", failure.message);
}

#[test]
fn an_accept_in_a_loop_names_the_latest() {
    let world = World::new(
        r#"
        actor.sub = { connect = "server", count = 3 }
        actor.server = { listen = "tcp://127.0.0.1:0", framing = "line" }
        [[case]]
        name = "c"
        play.sub = [{ send = "hello ${index}\n" }, { expect = "hello ${index}\n" }]
        play.server = [{ repeat = { times = 3, steps = [{ accept = "c" }, { c.expect = { save = "who" } }, { c.send = "${who}" }] } }]
        "#,
        Transport::Tcp,
    );
    world.passed();
}

#[test]
fn what_a_lane_has_set_is_its_own_and_others_see_the_latest() {
    let world = World::new(
        r#"
        actor.m = { connect = "server", count = 2 }
        actor.server.listen = "tcp://127.0.0.1:0"
        [[case]]
        name = "c"
        play.m = [{ set = { mine = "m${index}" } }, { barrier = "set" }, { log = "${mine}" }, { notify = "done" }]
        play.server = [{ await = "done", times = 2 }, { log = "server sees ${mine}" }]
        "#,
        Transport::Tcp,
    );
    world.passed();
    let mut logged = world.logged();
    logged.sort_unstable();
    assert_eq!(logged, ["m0", "m1", "server sees m1"]);
}

#[test]
fn loops_side_by_side_count_for_themselves() {
    let world = tcp(r#"
        play.alice = [{ repeat = { times = 2, steps = [{ sleep = "2ms" }, { log = "a${i}" }] } }]
        play.bob = [{ repeat = { times = 3, steps = [{ sleep = "1ms" }, { log = "b${i}" }] } }]
    "#);
    world.passed();
    let mut logged = world.logged();
    logged.sort_unstable();
    assert_eq!(logged, ["a0", "a1", "b0", "b1", "b2"]);
}

#[test]
fn a_group_in_steps_means_all_its_members() {
    let world = World::new(
        r#"
        actor.m = { connect = "server", count = 3 }
        actor.server.listen = "tcp://127.0.0.1:0"
        [[case]]
        name = "c"
        steps = [
          { m.send = "x${index}" }, { server.accept = "a" }, { server.accept = "b" }, { server.accept = "c" },
          { a.expect = "x0" }, { b.expect = "x1" }, { c.expect = "x2" }, { c.send = "y" }, { "m[2]".expect = "y" },
        ]
        "#,
        Transport::Tcp,
    );
    world.passed();
}

#[test]
fn messages_in_any_order() {
    let text = |sent: &str| {
        format!(
            r#"
            actor.alice = {{ connect = "server", framing = "line" }}
            actor.server = {{ listen = "tcp://127.0.0.1:0", framing = "line" }}
            [[case]]
            name = "c"
            strict_end = false
            steps = [
              {{ alice.connect = true }}, {{ server.send = [{sent}] }},
              {{ alice.expect_set = ["a", {{ regex = '^(?<x>.)$' }}, {{ prefix = "c" }}] }}, {{ log = "${{x}}" }},
            ]
            "#
        )
    };
    for sent in [r#""a", "b", "cc""#, r#""cc", "b", "a""#, r#""b", "cc", "a""#] {
        let world = World::new(&text(sent), Transport::Tcp);
        world.passed();
        // The first that matches need not be the right one: `a` fits two.
        assert_eq!(world.logged(), ["b"], "{sent}");
    }
    let world = World::new(&text(r#""a", "zz", "cc""#), Transport::Tcp);
    let failure = world.failed();
    assert_eq!(failure.kind, FailureKind::Mismatch);
    assert!(failure.message.contains("which is none of them"), "{}", failure.message);
    let world = World::new(&text(r#""a", "a", "a""#), Transport::Tcp);
    assert!(world.failed().message.contains("has had its own"), "{}", world.failed().message);
    let world = World::new(&text(r#""cc""#), Transport::Tcp);
    assert!(
        world.failed().message.contains("(after 1 of 3) received nothing")
            || world.failed().message.contains("received nothing"),
        "{}",
        world.failed().message
    );
}

#[test]
fn other_messages_in_between_are_dropped_where_that_is_allowed() {
    World::new(
        r#"
        actor.alice = { connect = "server", framing = "line" }
        actor.server = { listen = "tcp://127.0.0.1:0", framing = "line" }
        [[case]]
        name = "c"
        steps = [
          { alice.connect = true }, { server.send = ["x", "a", "y", "b"] },
          { alice.expect_set = ["b", "a"], extra = "allow" },
        ]
        "#,
        Transport::Tcp,
    )
    .passed();
}

#[test]
fn a_raw_stream_gives_the_longest_match_however_it_is_cut() {
    for split in ["\"whole\"", "\"every-byte\"", "[2]", "[3]"] {
        let world = tcp(&format!(
            r#"steps = [
                {{ alice.connect = true }}, {{ server.send = "abcab", split = {split} }},
                {{ alice.expect_set = ["ab", "abc"] }},
            ]"#
        ));
        world.passed();
    }
}

#[test]
fn any_one_of_several_outcomes() {
    for (last, logged) in
        [(r#"server.close = true"#, "eof"), (r#"server.reset = true"#, "reset"), (r#"server.send = "bye""#, "bye")]
    {
        let world = tcp(&format!(
            r#"steps = [
                {{ alice.send = "x" }}, {{ server.expect = "x" }}, {{ {last} }},
                {{ alice.alt = [
                    [{{ expect_eof = true }}, {{ log = "eof" }}],
                    [{{ expect_reset = true }}, {{ log = "reset" }}],
                    [{{ expect = "bye" }}, {{ log = "bye" }}],
                ] }},
            ]"#
        ));
        world.passed();
        assert_eq!(world.logged(), [logged]);
    }
}

#[test]
fn no_alternative_holds() {
    let world = tcp(
        r#"steps = [{ alice.send = "x" }, { server.expect = "x" }, { server.send = "nope" }, { alice.alt = [{ expect = "yes" }, { expect_eof = true }] }]"#,
    );
    let failure = world.failed();
    assert!(failure.message.starts_with("none of 2 alternatives held: expected"), "{}", failure.message);
    assert_eq!(failure.notes.len(), 1);
}

#[test]
fn what_is_deferred_is_played_whatever_happens_the_last_first() {
    let world = tcp(r#"steps = [
            { defer = [{ log = "first" }] }, { defer = [{ exec = ["false"] }, { log = "not reached" }] }, { defer = [{ log = "third" }] },
            { alice.send = "x" }, { server.expect = "y" },
        ]"#);
    assert_eq!(world.failed().kind, FailureKind::Mismatch);
    let logged = world.logged();
    assert_eq!((logged[0], logged[2]), ("third", "first"));
    assert!(logged[1].contains("a deferred step failed, too: `false` exited with status 1"), "{}", logged[1]);
    let failures = world.events.iter().filter(|event| matches!(event, EventKind::StepFailed { .. })).count();
    assert_eq!(failures, 1);
}

#[test]
fn a_deferred_step_that_fails_fails_its_case() {
    let world = tcp(r#"steps = [{ defer = [{ exec = ["false"] }] }, { log = "done" }]"#);
    world.fails(FailureKind::Command, "`false` exited with status 1");
}

#[test]
fn deferred_steps_still_have_their_connections() {
    tcp(r#"steps = [
        { alice.connect = true }, { server.accept = "c" }, { defer = [{ alice.send = "bye" }, { c.expect = "bye" }] },
    ]"#)
    .passed();
}

#[test]
fn a_command_gives_its_output() {
    let world =
        tcp(r#"steps = [{ set = { who = "me" } }, { exec = ["echo", "${who}"], save = "out" }, { log = "${out}" }]"#);
    world.passed();
    assert_eq!(world.logged(), ["echo me"]);
}

#[test]
fn a_listener_for_datagrams_hears_all_and_answers_the_last() {
    udp(r#"steps = [
        { alice.send = "a" }, { server.expect = "a" }, { server.send = "1" }, { bob.send = "b" }, { server.expect = "b" },
        { server.send = "2" }, { alice.expect = "1" }, { bob.expect = "2" }, { alice.send = "c" }, { server.expect = "c" },
        { server.send = "3" }, { alice.expect = "3" },
    ]"#)
    .passed();
}

#[test]
fn a_peer_with_a_name_is_heard_by_that_name_only() {
    udp(r#"steps = [
        { alice.send = "a" }, { bob.send = "b" }, { server.accept = "one" }, { server.expect = "b" }, { one.expect = "a" },
        { one.send = "1" }, { alice.expect = "1" }, { server.send = "2" }, { bob.expect = "2" },
    ]"#)
    .passed();
}

#[test]
fn a_listener_for_datagrams_that_hears_nothing() {
    let world = udp(r#"steps = [{ server.expect = "a", within = "1s" }]"#);
    world.fails(FailureKind::Timeout, "expected `a`, received nothing from anybody within 1s");
}

#[test]
fn a_handshake_that_fails_fails_the_accept() {
    let scenario = load(
        "t.toml",
        "actor.server.listen = \"tcp://127.0.0.1:0\"\nsteps = [{ accept = \"c\" }]\n",
        &Known::default(),
    )
    .expect("a valid scenario");
    let script = Arc::clone(&scenario.cases[0].script);
    let random = Random::new(7, "x");
    let mut conversation = Conversation::new(script, vec![Transport::Tcp], Variables::new(), random, 0, Time::ZERO);
    let connection = conversation.handle_accept(Time::ZERO, 0).expect("room");
    let failed = Input::TlsFailed { reason: "no shared version".into(), hint: Some("offer 1.3".into()) };
    conversation.handle_input(Time::ZERO, connection, failed);
    let Some(Ended::Failed { failure, unreached }) = conversation.ended() else { panic!("it fails") };
    assert_eq!(failure.message, "a client's TLS handshake failed: no shared version");
    assert_eq!((failure.kind, failure.hint.as_deref(), *unreached), (FailureKind::Tls, Some("offer 1.3"), None));
}

#[test]
fn bytes_in_the_clear_before_tls_are_not_taken_for_protected_ones() {
    let mut conversation = {
        let scenario = load(
            "t.toml",
            "actor.c.connect = \"tcp://127.0.0.1:1\"\nsteps = [{ expect = \"ok\\n\" }]\n",
            &Known::default(),
        )
        .expect("a valid scenario");
        let mut script = Script::clone(&scenario.cases[0].script);
        let mut steps = script.lanes[0].steps.to_vec();
        let mut upgrade = steps[0].clone();
        upgrade.verb = script::Verb::StartTls(0);
        steps.push(upgrade);
        script.lanes[0].steps = steps.into();
        Conversation::new(Arc::new(script), vec![Transport::Tcp], Variables::new(), Random::new(1, "x"), 0, Time::ZERO)
    };
    let end = Endpoint::Path(String::new());
    conversation.handle_input(Time::ZERO, 0, Input::Connected { local: end.clone(), peer: end });
    conversation.handle_input(Time::ZERO, 0, Input::Data(Bytes::from_static(b"ok\ninjected")));
    let Some(Ended::Failed { failure, .. }) = conversation.ended() else { panic!("it fails") };
    assert_eq!(failure.kind, FailureKind::Leftover);
}
