//! Planted failures whose smallest case is known, judged in memory: every count is the same each time.

use std::path::Path;

use super::*;
use crate::document::{Node, Value};
use crate::scenario::Known;
use crate::testcase::step::{parts, verb};

/// A message as it arrives: whether it was cut, and whether after a pause.
#[derive(Clone, Debug)]
struct Message {
    bytes: Vec<u8>,
    cut: bool,
    pause: bool,
}

/// What a conversation says. Loops and names are not known here.
fn messages(case: &TestCase) -> Vec<Message> {
    let (mut said, mut pause) = (Vec::new(), false);
    for (_, steps) in case.lanes() {
        for step in steps {
            let (_, table) = parts(step).expect("it is a step");
            match verb(step) {
                Some("send") => {
                    let data = bytes::Data::read(table.get("send").expect("it sends"), Path::new("")).expect("bytes");
                    let cut = table.get("split").is_some();
                    let bytes = data.bytes().expect("no variables");
                    said.push(Message { bytes, cut, pause });
                    pause = false;
                }
                Some("sleep") => pause = true,
                _ => {}
            }
        }
    }
    said
}

fn base() -> TestCase {
    let text = "[target]\nbuiltin = \"tcp-echo\"\n[[case]]\nname = \"c\"\nsteps = [{ log = \"x\" }]\n";
    TestCase::from_scenario(Path::new("s.toml"), text, &Known::default(), None).expect("it is valid")
}

fn hang() -> Failed {
    Failed::new(Class::Hang, "no answer", "")
}

/// Reduces a case that fails if its messages are `bad`.
#[track_caller]
fn shrunk(case: &TestCase, history: &[TestCase], bad: impl Fn(&[Message]) -> bool) -> Reduced {
    let mut oracle = |case: &TestCase| match bad(&messages(case)) {
        true => Replay::Failed { failed: hang(), position: None },
        false => Replay::Passed,
    };
    let budget = Budget { time: None, replays: Some(2_000), clock: Clock::start() };
    reduce(Subject { case, history, wanted: None }, &mut oracle, budget, &mut |_| {})
}

/// What is said in the end, in order.
fn said(case: &TestCase) -> Vec<String> {
    messages(case).iter().map(|message| String::from_utf8_lossy(&message.bytes).into_owned()).collect()
}

/// Whether these are among the messages, in this order.
fn in_order(messages: &[Message], wanted: &[&str]) -> bool {
    let mut left = wanted.iter();
    let mut next = left.next();
    for message in messages {
        if next.is_some_and(|next| message.bytes == next.as_bytes()) {
            next = left.next();
        }
    }
    next.is_none()
}

/// Sixty messages with answers, of which some are special.
fn hidden(special: &[(usize, &str)]) -> TestCase {
    use crate::testcase::step::{expect_any, send};
    let mut steps = Vec::new();
    for at in 0..60 {
        let word =
            special.iter().find(|(place, _)| *place == at).map_or(format!("m{at}"), |(_, word)| (*word).to_owned());
        steps.extend([send(None, word.as_bytes()), expect_any(None)]);
    }
    base().like("hidden", steps)
}

#[test]
fn three_messages_of_sixty_are_what_is_left() {
    let case = hidden(&[(7, "A"), (33, "B"), (58, "C")]);
    let reduced = shrunk(&case, &[], |messages| in_order(messages, &["A", "B", "C"]));
    assert_eq!(said(&reduced.case), ["A", "B", "C"]);
    assert_eq!(reduced.to, Size { connections: 1, steps: 3, messages: 3, bytes: 3 });
    assert_eq!((reduced.verdict(), reduced.complete), (Some("deterministic"), true));
    assert!(reduced.replays < 60, "{}", reduced.replays);
}

#[test]
fn two_bytes_of_a_thousand_are_what_is_left_and_they_matter() {
    use crate::testcase::step::send;
    let mut bytes: Vec<u8> = (0..1000u32).map(|at| (at * 7 % 26) as u8 + b'a').collect();
    (bytes[400], bytes[700]) = (b'!', b'?');
    let case = base().like("long", vec![send(None, &bytes)]);
    let bad = |messages: &[Message]| {
        messages.iter().any(|message| {
            let at = message.bytes.iter().position(|byte| *byte == b'!');
            at.is_some_and(|at| message.bytes[at..].contains(&b'?'))
        })
    };
    let reduced = shrunk(&case, &[], bad);
    assert_eq!(said(&reduced.case), ["!?"]);
    assert_eq!(reduced.matters.len(), 1);
    assert_eq!(reduced.matters[0].words, "every byte matters: `!?`");
}

#[test]
fn what_only_has_to_be_long_is_said_so() {
    use crate::testcase::step::send;
    let bytes: Vec<u8> = (0..200u32).map(|at| (at * 7 % 256) as u8).collect();
    let case = base().like("long", vec![send(None, &bytes)]);
    let reduced = shrunk(&case, &[], |messages| messages.iter().any(|message| message.bytes.len() >= 77));
    assert_eq!(said(&reduced.case), ["a".repeat(77)]);
    assert_eq!(reduced.matters[0].words, "any value of its 77 bytes fails");
}

#[test]
fn cuts_pauses_and_connections_go_unless_they_are_needed() {
    use crate::testcase::step::{send, sleep, split, with};
    let wait = sleep(Duration::from_secs(3));
    let steps = || {
        vec![
            send(Some("client[0]"), b"x"),
            split(send(Some("client[1]"), b"one"), &[1, 1]),
            wait.clone(),
            with(send(Some("client[0]"), b"two"), "pace", "1B/1ms"),
            with(split(send(Some("client[1]"), b"three"), &[2]), "then", "close"),
        ]
    };
    let mut case = base();
    assert_eq!(case.connections(2).len(), 2);
    let case = case.like("many", steps());
    let ones = |messages: &[Message]| messages.iter().any(|message| message.bytes == b"one");
    let reduced = shrunk(&case, &[], ones);
    assert_eq!(reduced.case.lanes()[0].1, [send(Some("client[1]"), b"one")], "{}", reduced.case.text());
    let reduced =
        shrunk(&case, &[], |messages| messages.iter().any(|message| message.bytes == b"three" && message.cut));
    assert_eq!(reduced.case.lanes()[0].1, [split(send(Some("client[1]"), b"three"), &[2])], "{}", reduced.case.text());
    let reduced =
        shrunk(&case, &[], |messages| messages.iter().any(|message| message.pause && message.bytes == b"two"));
    assert_eq!(reduced.case.lanes()[0].1, [sleep(Duration::from_millis(1)), send(Some("client[0]"), b"two")]);
}

#[test]
fn what_makes_a_failure_sure_stays_although_it_fails_without_it_for_now() {
    use crate::testcase::step::{send, split, step, with};
    // With luck the peer reads two writes at once, and a cut without a pause in two.
    let cut = with(split(send(None, b"abcd"), &[2]), "pace", "1B/150ms");
    let whole = with(step(None, "send", vec![Node::from("ab"), Node::from("cd")]), "coalesce", true);
    for needed in [cut, whole] {
        let case = base().like("c", vec![needed.clone()]);
        let mut oracle = |case: &TestCase| {
            let Some((_, table)) = case.lanes()[0].1.first().and_then(parts) else { return Replay::Invalid };
            let halves = table.get("split").is_some() || table.get("pace").is_some();
            let several = table
                .get("send")
                .and_then(Node::as_array)
                .is_some_and(|payloads| *payloads == [Node::from("ab"), Node::from("cd")]);
            let all = table.get("send").and_then(Node::as_str) == Some("abcd");
            if halves && all || several { Replay::Failed { failed: hang(), position: None } } else { Replay::Passed }
        };
        let budget = Budget { time: None, replays: None, clock: Clock::start() };
        let reduced = reduce(Subject { case: &case, history: &[], wanted: None }, &mut oracle, budget, &mut |_| {});
        assert_eq!(reduced.case.lanes()[0].1, [needed], "{}", reduced.case.text());
    }
}

#[test]
fn an_effort_is_a_time_or_a_number_of_replays() {
    assert_eq!("20s".parse(), Ok(Effort::Time(Duration::from_secs(20))));
    assert_eq!("200".parse(), Ok(Effort::Replays(200)));
    let wrong = "expected a duration such as `10s` or a number of replays, got `-1`";
    assert_eq!("-1".parse::<Effort>(), Err(wrong.to_owned()));
}

#[test]
fn every_byte_is_cut_only_where_it_is_needed() {
    use crate::testcase::step::{send, split, with};
    let case = base().like("c", vec![with(send(None, b"abcdefghij"), "split", "every-byte")]);
    // A cut behind the third byte, whatever else there is.
    let mut oracle = |case: &TestCase| {
        let Some((_, table)) = case.lanes()[0].1.first().and_then(parts) else { return Replay::Invalid };
        let sizes = table.get("split").map(|node| node.value.clone());
        let cut = match sizes {
            Some(Value::Array(sizes)) => {
                let mut at = 0;
                sizes.iter().any(|size| {
                    at += if let Value::Integer(size) = size.value { size } else { 0 };
                    at == 3
                })
            }
            Some(_) => true,
            None => false,
        };
        let whole = table.get("send").and_then(Node::as_str) == Some("abcdefghij");
        if cut && whole { Replay::Failed { failed: hang(), position: None } } else { Replay::Passed }
    };
    let budget = Budget { time: None, replays: None, clock: Clock::start() };
    let reduced = reduce(Subject { case: &case, history: &[], wanted: None }, &mut oracle, budget, &mut |_| {});
    assert_eq!(reduced.case.lanes()[0].1, [split(send(None, b"abcdefghij"), &[3])]);
}

#[test]
fn another_failure_is_told_of_and_not_taken() {
    let case = hidden(&[(10, "A"), (20, "B")]);
    let mut oracle = |case: &TestCase| {
        let messages = messages(case);
        match (in_order(&messages, &["A", "B"]), in_order(&messages, &["A"])) {
            (true, _) => Replay::Failed { failed: hang(), position: None },
            // Without the second it dies of something else.
            (_, true) => Replay::Failed { failed: Failed::new(Class::Panic, "src/x.rs:1", ""), position: None },
            _ => Replay::Passed,
        }
    };
    let mut others = Vec::new();
    let budget = Budget { time: None, replays: None, clock: Clock::start() };
    let reduced = reduce(Subject { case: &case, history: &[], wanted: None }, &mut oracle, budget, &mut |told| {
        if let Told::Other { failed, .. } = told {
            others.push(failed.place.clone());
        }
    });
    assert_eq!(said(&reduced.case), ["A", "B"]);
    assert_eq!(others, ["src/x.rs:1"]);
}

#[test]
fn a_failure_that_comes_and_goes_is_reduced_all_the_same() {
    let case = hidden(&[(7, "A"), (33, "B")]);
    let mut random = crate::random::Random::new(7, "flaky");
    let mut oracle = |case: &TestCase| match in_order(&messages(case), &["A", "B"]) && random.below(2) == 0 {
        true => Replay::Failed { failed: hang(), position: None },
        false => Replay::Passed,
    };
    let budget = Budget { time: None, replays: Some(5_000), clock: Clock::start() };
    let reduced = reduce(Subject { case: &case, history: &[], wanted: None }, &mut oracle, budget, &mut |_| {});
    assert_eq!(said(&reduced.case), ["A", "B"]);
    assert_eq!(reduced.verdict(), Some("flaky"));
    assert!((0.25..=0.75).contains(&reduced.probability()), "{}", reduced.probability());
}

#[test]
fn what_was_said_before_is_looked_for_no_further_back_than_it_has_to_be() {
    use crate::testcase::step::{close, send};
    let one = |word: String| base().like("one", vec![send(None, word.as_bytes()), send(None, b"more"), close(None)]);
    let history: Vec<TestCase> = (0..50).map(|at| one(if at == 37 { "A".into() } else { format!("h{at}") })).collect();
    let case = one("B".into());
    let reduced = shrunk(&case, &history, |messages| in_order(messages, &["A", "B"]));
    assert_eq!(reduced.history, Some(13));
    assert_eq!((reduced.verdict(), said(&reduced.case)), (Some("needs-history"), vec!["A".to_owned(), "B".to_owned()]));
}

#[test]
fn a_request_that_is_not_answered_stays() {
    use crate::testcase::step::{expect, send};
    // An expectation that no request goes before fails in the same way, and is no case of anything.
    let steps = vec![send(None, b"login"), expect(None, b"ok"), send(None, b"get\n"), expect(None, b"x")];
    let case = base().like("silent", steps);
    let mut oracle = |case: &TestCase| {
        let steps = case.lanes()[0].1;
        match steps.iter().position(|step| *step == expect(None, b"x")) {
            Some(at) => {
                let failed = Failed::new(Class::WrongAnswer, "expect timeout", "");
                Replay::Failed { failed, position: Some(("steps".into(), at)) }
            }
            None => Replay::Passed,
        }
    };
    let budget = Budget { time: None, replays: None, clock: Clock::start() };
    let reduced = reduce(Subject { case: &case, history: &[], wanted: None }, &mut oracle, budget, &mut |_| {});
    assert_eq!(reduced.case.lanes()[0].1, [send(None, b"get\n"), expect(None, b"x")]);
}

#[test]
fn what_does_not_fail_again_is_left_alone() {
    let case = hidden(&[]);
    let reduced = shrunk(&case, &[], |_| false);
    assert_eq!((reduced.verdict(), reduced.replays, reduced.case), (None, 23, case));
}

#[test]
fn whoever_stops_it_keeps_the_best_so_far() {
    let case = hidden(&[(30, "A")]);
    let mut left = 12;
    let mut oracle = |case: &TestCase| {
        left -= 1;
        match in_order(&messages(case), &["A"]) {
            _ if left < 0 => Replay::Stopped,
            true => Replay::Failed { failed: hang(), position: None },
            false => Replay::Passed,
        }
    };
    let budget = Budget { time: None, replays: None, clock: Clock::start() };
    let mut last = None;
    let reduced = reduce(Subject { case: &case, history: &[], wanted: None }, &mut oracle, budget, &mut |told| {
        if let Told::Better { case, .. } = told {
            last = Some(case.clone());
        }
    });
    assert!(!reduced.complete);
    assert!(reduced.to.messages < 60 && in_order(&messages(&reduced.case), &["A"]));
    assert_eq!(last, Some(reduced.case));
}

#[test]
fn fields_go_back_to_their_defaults_and_lengths_are_computed_again() {
    let text = "[target]\nbuiltin = \"kv\"\n[actor.client]\nconnect = \"target\"\nprotocol = \"mqtt\"\n\
        [[case]]\nname = \"c\"\nsteps = [{ send = { hex = \"32 0b 00 03 61 2f 62 00 07 68 65 6c 6c\" } }]\n";
    let case = TestCase::from_scenario(Path::new("s.toml"), text, &Known::default(), None).expect("it is valid");
    // It fails for a publish of quality 1 with this topic, in whatever way it is written.
    let mut oracle = |case: &TestCase| {
        let Ok(scenario) = case.load("c.toml", &Known::default()) else { return Replay::Invalid };
        let script = &scenario.cases[0].script;
        let crate::conversation::script::Verb::Send(send) = &script.lanes[0].steps[0].verb else {
            return Replay::Invalid;
        };
        let mut random = crate::random::Random::new(0, "");
        let Ok(bytes) = send.payloads[0].fill(&Default::default(), &mut random, None) else { return Replay::Invalid };
        let is_it =
            bytes.first() == Some(&0x32) && bytes.get(1).is_some_and(|len| usize::from(*len) == bytes.len() - 2);
        match is_it && bytes.get(2..7) == Some(b"\0\x03a/b") {
            true => Replay::Failed { failed: hang(), position: None },
            false => Replay::Passed,
        }
    };
    let budget = Budget { time: None, replays: None, clock: Clock::start() };
    let reduced = reduce(Subject { case: &case, history: &[], wanted: None }, &mut oracle, budget, &mut |_| {});
    let text = reduced.case.text();
    assert!(text.contains("{ send = { publish = { ") && text.contains("topic = \"a/b\""), "{text}");
    assert!(!text.contains("hell") && !text.contains("length"), "{text}");
}

#[test]
fn a_case_that_crashes_its_target_waits_for_the_end_of_it() {
    use crate::testcase::step::{drain, send};
    let case = hidden(&[(7, "A")]);
    let mut oracle = |case: &TestCase| match in_order(&messages(case), &["A"]) {
        true => Replay::Failed { failed: Failed::new(Class::Crash, "signal SIGSEGV", ""), position: None },
        false => Replay::Passed,
    };
    let budget = Budget { time: None, replays: None, clock: Clock::start() };
    let reduced = reduce(Subject { case: &case, history: &[], wanted: None }, &mut oracle, budget, &mut |_| {});
    assert_eq!(reduced.case.lanes()[0].1, [send(None, b"A"), drain(None, Duration::from_secs(1))]);
    let hastened = hasten(&reduced.case, Some(Duration::from_millis(300)), Duration::from_millis(150));
    assert_eq!(hastened.lanes()[0].1[1], drain(None, Duration::from_millis(150)));
    assert_eq!(hastened.document().get("timeout").and_then(Node::as_str), Some("300ms"));
}

#[test]
fn what_luck_has_made_small_is_made_again_with_care() {
    use crate::testcase::step::send;
    let case = base().like("c", vec![send(None, b"Axxxxxxxxx\n")]);
    let mut random = crate::random::Random::new(3, "luck");
    // Without its end the line is seen only sometimes.
    let mut oracle = |case: &TestCase| match messages(case).first().map(|message| message.bytes.as_slice()) {
        Some([b'A', .., b'\n']) => Replay::Failed { failed: hang(), position: None },
        Some([b'A', ..]) if random.below(2) == 0 => Replay::Failed { failed: hang(), position: None },
        _ => Replay::Passed,
    };
    for _ in 0..20 {
        let budget = Budget { time: None, replays: None, clock: Clock::start() };
        let reduced = reduce(Subject { case: &case, history: &[], wanted: None }, &mut oracle, budget, &mut |_| {});
        assert_eq!((said(&reduced.case), reduced.verdict()), (vec!["A\n".to_owned()], Some("deterministic")));
    }
}

/// All that is said, in one.
fn stream(messages: &[Message]) -> Vec<u8> {
    messages.iter().flat_map(|message| message.bytes.clone()).collect()
}

#[test]
fn a_message_that_is_sent_in_pieces_is_sent_in_one() {
    use crate::testcase::step::send_raw;
    let long = |messages: &[Message]| {
        let said = stream(messages);
        said.starts_with(b"GET ") && said.ends_with(b"\n") && said.len() >= 40
    };
    let steps = vec![send_raw(None, b"GET kkkkkkkkkkkkkkkkk"), send_raw(None, &[b'x'; 30]), send_raw(None, b"xx\n")];
    let reduced = shrunk(&base().like("pieces", steps), &[], long);
    assert_eq!(said(&reduced.case), [format!("GET {}\n", "a".repeat(35))]);
}

#[test]
fn messages_that_are_whole_stay_apart() {
    use crate::testcase::step::send_raw;
    let text = "[target]\nbuiltin = \"tcp-echo\"\n[actor.client]\nconnect = \"target\"\nframing = \"line\"\n\
        [[case]]\nname = \"c\"\nsteps = [{ log = \"x\" }]\n";
    let base = TestCase::from_scenario(Path::new("s.toml"), text, &Known::default(), None).expect("it is valid");
    let steps =
        vec![send_raw(Some("client"), b"open\n"), send_raw(Some("client"), b"re"), send_raw(Some("client"), b"ad\n")];
    let both = |messages: &[Message]| stream(messages) == b"open\nread\n";
    assert_eq!(said(&shrunk(&base.like("lines", steps), &[], both).case), ["open\n", "read\n"]);
}

#[test]
fn a_cut_stays_between_the_bytes_that_it_was_between() {
    use crate::testcase::step::{send, split};
    let case = base().like("c", vec![split(send(None, b"one two three GO four"), &[4, 10])]);
    let mut oracle = |case: &TestCase| {
        let Some((_, table)) = case.lanes()[0].1.first().and_then(parts) else { return Replay::Invalid };
        let text = table.get("send").and_then(Node::as_str).unwrap_or_default();
        let sizes = table.get("split").and_then(Node::as_array).unwrap_or_default();
        let mut at = 0;
        let cut = sizes.iter().any(|size| {
            at += if let Value::Integer(size) = size.value { size as usize } else { 0 };
            at > 0 && text.get(at..).is_some_and(|rest| rest.starts_with("GO"))
        });
        if cut { Replay::Failed { failed: hang(), position: None } } else { Replay::Passed }
    };
    let budget = Budget { time: None, replays: None, clock: Clock::start() };
    let reduced = reduce(Subject { case: &case, history: &[], wanted: None }, &mut oracle, budget, &mut |_| {});
    assert_eq!(reduced.case.lanes()[0].1, [split(send(None, b"aGO"), &[1])]);
}

#[test]
fn what_counts_is_not_asked_about_one_by_one() {
    use crate::testcase::step::send;
    let case = |bytes: &[u8]| base().like("c", vec![send(None, bytes)]);
    let count = |messages: &[Message], wanted: u8| stream(messages).iter().filter(|byte| **byte == wanted).count();
    let nested = shrunk(&case(&[b"SUM ".as_slice(), &[b'('; 1_000]].concat()), &[], |said| count(said, b'(') >= 700);
    assert_eq!(said(&nested.case), ["(".repeat(700)]);
    assert!(nested.replays < 60, "{}", nested.replays);
    let lines: Vec<u8> =
        (0..40_000u32).map(|at| if at % 100 == 0 { b'\n' } else { (at * 7 % 251) as u8 | 0x40 }).collect();
    let lines = shrunk(&case(&lines), &[], |said| count(said, b'\n') >= 256);
    assert_eq!(said(&lines.case), ["\n".repeat(256)]);
    assert!(lines.replays < 80, "{}", lines.replays);
}

#[test]
fn what_has_to_be_the_same_twice_is_shortened_together() {
    let case = hidden(&[(7, "login as eve"), (33, "login as eve")]);
    let twice = |messages: &[Message]| {
        let mut logins = messages.iter().filter(|message| message.bytes.starts_with(b"log"));
        logins.next().is_some_and(|first| logins.any(|second| second.bytes == first.bytes))
    };
    assert_eq!(said(&shrunk(&case, &[], twice).case), ["log", "log"]);
}
