//! What faults keep to, whatever passes and however it is cut.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::framing;
use crate::time::Time;

fn plan(faults: Vec<Fault>) -> Plan {
    Plan { faults: faults.into(), relay: 0, framing: None, protocol: None, seed: 1, case: "case".into() }
}

fn fault(when: When, does: Do) -> Fault {
    Fault { place: Place::default(), on: 0, direction: None, when, does }
}

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

/// What came of a direction: writes with their times, the end, and what fired.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    writes: Vec<(u64, Bytes)>,
    end: Option<(u64, End)>,
    fired: Vec<(u64, u64, String)>,
}

impl Outcome {
    fn bytes(&self) -> Vec<u8> {
        self.writes.iter().flat_map(|(_, data)| data.to_vec()).collect()
    }

    fn told(&self) -> Vec<String> {
        self.fired.iter().map(|(at, nth, what)| format!("{at} {nth} {what}")).collect()
    }

    fn written(&self) -> Vec<(u64, &str)> {
        self.writes.iter().map(|(at, data)| (*at, str::from_utf8(data).unwrap())).collect()
    }
}

/// Plays a direction: reads at their times, then FIN where nothing else has ended it, with time moved by hand.
fn play(plan: &Plan, reads: &[(u64, &[u8])]) -> Outcome {
    let mut stream = Stream::new(plan, 1, Direction::Down, &Marks::new(), Time::ZERO);
    let mut outcome = Outcome::default();
    for (time, data) in reads {
        run(&mut stream, at(*time), &mut outcome);
        stream.handle_data(at(*time), Bytes::copy_from_slice(data));
    }
    let end = at(reads.last().map_or(0, |(time, _)| *time));
    run(&mut stream, end, &mut outcome);
    stream.handle_end(end, End::Fin);
    run(&mut stream, Time::from_nanos(u64::MAX), &mut outcome);
    outcome
}

/// Does everything that is due until `until`.
fn run(stream: &mut Stream, until: Time, outcome: &mut Outcome) {
    while let Some(due) = stream.poll_timeout().filter(|due| *due <= until) {
        let millis = due.as_nanos() / 1_000_000;
        match stream.poll_action(due).expect("it is due") {
            Action::Write(data) => outcome.writes.push((millis, data)),
            Action::End(end) => {
                assert_eq!(outcome.end, None, "there is one end");
                outcome.end = Some((millis, end));
            }
        }
    }
    while let Some(fired) = stream.poll_fired() {
        outcome.fired.push((fired.at_byte, fired.nth, fired.what));
    }
}

fn when() -> When {
    When::default()
}

#[test]
fn without_faults_a_read_is_a_write() {
    let outcome = play(&plan(Vec::new()), &[(0, b"ab"), (5, b"c")]);
    assert_eq!(outcome.written(), [(0, "ab"), (5, "c")]);
    assert_eq!((outcome.end, outcome.fired.len()), (Some((5, End::Fin)), 0));
}

#[test]
fn a_cut_comes_when_its_bytes_have_passed_and_not_with_the_next() {
    let cut = plan(vec![fault(When { byte: Some(3), ..when() }, Do::Cut { half: false })]);
    let mut stream = Stream::new(&cut, 1, Direction::Down, &Marks::new(), Time::ZERO);
    stream.handle_data(at(0), Bytes::from_static(b"abc"));
    assert_eq!(stream.poll_action(at(0)), Some(Action::Write(Bytes::from_static(b"abc"))));
    assert_eq!(stream.poll_action(at(0)), Some(Action::End(End::Cut)));
    assert_eq!(stream.poll_fired().expect("it fired").what, "cut the connection after 3 bytes");
}

#[test]
fn a_cut_without_a_condition_comes_at_once_and_is_told_of_one_direction() {
    let cut = plan(vec![fault(when(), Do::Cut { half: false })]);
    let mut up = Stream::new(&cut, 1, Direction::Up, &Marks::new(), at(7));
    assert_eq!(up.poll_action(at(7)), Some(Action::End(End::Cut)));
    let mut down = Stream::new(&cut, 1, Direction::Down, &Marks::new(), at(7));
    assert_eq!(down.poll_action(at(7)), None);
}

#[test]
fn a_mark_resets_an_idle_connection() {
    let mark: Arc<str> = "asked".into();
    let reset = plan(vec![fault(When { after: Some(Arc::clone(&mark)), ..when() }, Do::Reset)]);
    let mut stream = Stream::new(&reset, 1, Direction::Up, &Marks::new(), Time::ZERO);
    stream.handle_data(at(0), Bytes::from_static(b"a"));
    assert_eq!(stream.poll_action(at(0)), Some(Action::Write(Bytes::from_static(b"a"))));
    stream.handle_mark(at(9), &"other".into());
    assert_eq!(stream.poll_action(at(9)), None);
    stream.handle_mark(at(9), &mark);
    assert_eq!(stream.poll_action(at(9)), Some(Action::End(End::Reset)));
}

#[test]
fn half_a_cut_ends_one_direction_and_swallows_the_rest() {
    let cut = plan(vec![fault(When { byte: Some(1), ..when() }, Do::Cut { half: true })]);
    let outcome = play(&cut, &[(0, b"ab"), (1, b"c")]);
    assert_eq!((outcome.written(), outcome.end), (vec![(0, "a")], Some((0, End::Fin))));
}

#[test]
fn a_message_is_counted_however_it_arrives() {
    let mut framed = plan(vec![fault(When { nth: vec![2], ..when() }, Do::Cut { half: false })]);
    framed.framing = framing::line(64).ok();
    for reads in [&[(0, &b"one\ntwo\n"[..])][..], &[(0, b"o"), (0, b"ne\nt"), (0, b"wo\n")]] {
        assert_eq!(play(&framed, reads).bytes(), b"one\n");
    }
}

#[test]
fn every_third_unit_fires() {
    let every = plan(vec![fault(When { every: Some(3), ..when() }, Do::Corrupt { at: 0, xor: 0x20 })]);
    let reads: Vec<(u64, &[u8])> = (0..7).map(|_| (0, &b"x"[..])).collect();
    let outcome = play(&every, &reads);
    assert_eq!(outcome.bytes(), b"xxXxxXx");
    assert_eq!(outcome.told(), ["2 3 made 0x78 of byte 2 into 0x58", "5 6 made 0x78 of byte 5 into 0x58"]);
}

#[test]
fn content_is_found_over_two_reads_and_acts_behind_it() {
    let cut =
        plan(vec![fault(When { contains: Some(Bytes::from_static(b"VALUE")), ..when() }, Do::Cut { half: false })]);
    assert_eq!(play(&cut, &[(0, b"a VAL"), (1, b"UE 123")]).bytes(), b"a VALUE");
}

#[test]
fn content_counts_within_one_message_where_there_are_messages() {
    let mut cut = plan(vec![fault(When { contains: Some(Bytes::from_static(b"a\nb")), ..when() }, Do::Reset)]);
    cut.framing = framing::line(64).ok();
    assert_eq!(play(&cut, &[(0, b"a\nb\n")]).bytes(), b"a\nb\n");
}

#[test]
fn all_conditions_hold_together() {
    let all = When { nth: vec![2], contains: Some(Bytes::from_static(b"x")), ..when() };
    let outcome = play(&plan(vec![fault(all, Do::Cut { half: false })]), &[(0, b"x"), (0, b"yx z"), (0, b"x")]);
    assert_eq!(outcome.bytes(), b"xyx");
    let other = When { connection: Some(2), ..when() };
    assert_eq!(play(&plan(vec![fault(other, Do::Reset)]), &[(0, b"x")]).bytes(), b"x");
}

#[test]
fn a_byte_is_spoiled_where_it_is_said() {
    let spoil = |when, at| plan(vec![fault(when, Do::Corrupt { at, xor: 0xff })]);
    assert_eq!(play(&spoil(When { byte: Some(2), ..when() }, 1), &[(0, b"ab"), (0, b"cd")]).bytes(), b"abc\x9b");
    // What a unit does not have is not spoiled in the next.
    let outcome = play(&spoil(When { nth: vec![1], ..when() }, 3), &[(0, b"ab"), (0, b"cdef")]);
    assert_eq!((outcome.bytes(), outcome.fired.len()), (b"abcdef".to_vec(), 0));
}

#[test]
fn a_stall_holds_what_comes_after_it_back() {
    let stall = plan(vec![fault(When { byte: Some(2), ..when() }, Do::Stall(Duration::from_millis(250)))]);
    let outcome = play(&stall, &[(0, b"abc"), (10, b"d")]);
    assert_eq!((outcome.written(), outcome.end), (vec![(0, "ab"), (250, "c"), (250, "d")], Some((250, End::Fin))));
    assert_eq!(outcome.told(), ["2 1 stalls for 250ms"]);
}

#[test]
fn a_delay_keeps_the_order_and_the_end() {
    let delay = Do::Delay { delay: Duration::from_millis(30), jitter: Duration::ZERO };
    let outcome = play(&plan(vec![fault(When { nth: vec![1], ..when() }, delay.clone())]), &[(0, b"a"), (10, b"b")]);
    assert_eq!((outcome.written(), outcome.end), (vec![(30, "a"), (30, "b")], Some((30, End::Fin))));
    let content = When { contains: Some(Bytes::from_static(b"b")), ..when() };
    let outcome = play(&plan(vec![fault(content, delay)]), &[(0, b"a"), (10, b"xbx"), (50, b"c")]);
    assert_eq!(outcome.written(), [(0, "a"), (40, "xbx"), (50, "c")]);
}

#[test]
fn what_lasts_is_told_once() {
    let delay = Do::Delay { delay: Duration::from_millis(1), jitter: Duration::ZERO };
    let outcome = play(&plan(vec![fault(when(), delay)]), &[(0, b"a"), (1, b"b"), (2, b"c")]);
    assert_eq!(outcome.told(), ["0 1 delays by 1ms"]);
}

#[test]
fn what_fires_without_end_is_told_so_often_and_no_more() {
    let stall = plan(vec![fault(When { every: Some(1), ..when() }, Do::Stall(Duration::ZERO))]);
    let reads: Vec<(u64, &[u8])> = (0..500).map(|_| (0, &b"x"[..])).collect();
    assert_eq!(play(&stall, &reads).fired.len(), TOLD_MAX as usize);
}

#[test]
fn a_rate_spreads_bytes_over_time() {
    let rate = plan(vec![fault(when(), Do::Rate(1_000))]);
    let outcome = play(&rate, &[(0, &[b'x'; 40])]);
    let writes: Vec<(u64, usize)> = outcome.writes.iter().map(|(at, data)| (*at, data.len())).collect();
    assert_eq!(writes, [(10, 10), (20, 10), (30, 10), (40, 10)]);
}

#[test]
fn a_full_queue_wants_no_more_until_it_has_been_written() {
    let stall = plan(vec![fault(when(), Do::Stall(Duration::from_secs(1)))]);
    let mut stream = Stream::new(&stall, 1, Direction::Up, &Marks::new(), Time::ZERO);
    stream.handle_data(at(0), Bytes::from(vec![0; QUEUE_LEN_MAX - 1]));
    assert!(stream.has_room());
    stream.handle_data(at(0), Bytes::from_static(b"x"));
    assert!(!stream.has_room());
    assert!(matches!(stream.poll_action(at(1_000)), Some(Action::Write(data)) if data.len() == QUEUE_LEN_MAX - 1));
    assert!(stream.has_room());
}

/// Plays datagrams of one peer upwards, one a millisecond, and gives what left with its time.
fn send(plan: Plan, datagrams: &[&'static str]) -> (Vec<(u64, String)>, Vec<String>) {
    let mut machine = Datagrams::new(plan);
    let mut left = Vec::new();
    let mut run = |machine: &mut Datagrams, until: Time| {
        while let Some(due) = machine.poll_timeout().filter(|due| *due <= until) {
            if let Some(delivery) = machine.poll_delivery(due) {
                left.push((due.as_nanos() / 1_000_000, String::from_utf8_lossy(&delivery.data).into_owned()));
            }
        }
    };
    for (time, data) in datagrams.iter().enumerate() {
        run(&mut machine, at(time as u64));
        let data = Bytes::from_static(data.as_bytes());
        machine.handle_datagram(at(time as u64), Delivery { connection: 1, direction: Direction::Up, data });
    }
    run(&mut machine, Time::from_nanos(u64::MAX));
    let fired = std::iter::from_fn(|| machine.poll_fired()).map(|fired| format!("{} {}", fired.nth, fired.what));
    (left, fired.collect())
}

#[track_caller]
fn check_sent(when: When, does: Do, datagrams: &[&'static str], expected: &[(u64, &str)], fired: &[&str]) {
    let (left, told) = send(plan(vec![fault(when, does)]), datagrams);
    let left: Vec<(u64, &str)> = left.iter().map(|(at, data)| (*at, data.as_str())).collect();
    assert_eq!(left, expected);
    assert_eq!(told, fired);
}

#[test]
fn every_third_datagram_is_dropped() {
    let every = When { every: Some(3), ..when() };
    check_sent(every, Do::Drop, &["a", "b", "c", "d"], &[(0, "a"), (1, "b"), (3, "d")], &["3 dropped 1 byte"]);
}

#[test]
fn a_datagram_leaves_twice() {
    let nth = When { nth: vec![2], ..when() };
    let expected = [(0, "a"), (1, "b"), (1, "b"), (2, "c")];
    check_sent(nth, Do::Duplicate, &["a", "b", "c"], &expected, &["2 sent 1 byte twice"]);
}

#[test]
fn a_datagram_is_overtaken() {
    let nth = || When { nth: vec![1], ..when() };
    let told = "1 holds it until another has passed";
    check_sent(nth(), Do::Reorder(1), &["a", "b", "c"], &[(1, "b"), (1, "a"), (2, "c")], &[told]);
    let told = "1 holds it until 2 others have passed";
    check_sent(nth(), Do::Reorder(2), &["a", "b", "c"], &[(1, "b"), (2, "c"), (2, "a")], &[told]);
}

#[test]
fn a_datagram_that_none_overtakes_leaves_all_the_same() {
    let told = "1 holds it until another has passed";
    check_sent(When { nth: vec![1], ..when() }, Do::Reorder(1), &["a"], &[(250, "a")], &[told]);
}

#[test]
fn datagrams_are_chosen_by_content_and_by_what_has_passed() {
    let contains = When { contains: Some(Bytes::from_static(b"b")), ..when() };
    check_sent(contains, Do::Drop, &["a", "xby", "c"], &[(0, "a"), (2, "c")], &["2 dropped 3 bytes"]);
    let byte = When { byte: Some(2), ..when() };
    check_sent(byte, Do::Drop, &["aa", "b", "c"], &[(0, "aa"), (2, "c")], &["2 dropped 1 byte"]);
    let corrupt = Do::Corrupt { at: 1, xor: 0x20 };
    let told = "2 made 0x62 of its byte 1 into 0x42";
    check_sent(when(), corrupt, &["a", "ab"], &[(0, "a"), (1, "aB")], &[told]);
}

#[test]
fn datagrams_are_counted_over_all_peers_but_for_one_that_is_named() {
    let drop = |connection| vec![fault(When { nth: vec![2], connection, ..when() }, Do::Drop)];
    for (connection, lost) in [(None, 2), (Some(1), 3)] {
        let mut machine = Datagrams::new(plan(drop(connection)));
        for (sent, connection) in [(1, 1), (2, 2), (3, 1)] {
            let data = Bytes::copy_from_slice(&[sent]);
            machine.handle_datagram(at(0), Delivery { connection, direction: Direction::Up, data });
        }
        let left: Vec<u8> = std::iter::from_fn(|| machine.poll_delivery(at(0))).map(|left| left.data[0]).collect();
        assert_eq!(left, [1, 2, 3].into_iter().filter(|sent| *sent != lost).collect::<Vec<u8>>());
    }
}

#[test]
fn no_more_datagrams_are_wanted_than_can_wait() {
    let delay = Do::Delay { delay: Duration::from_secs(1), jitter: Duration::ZERO };
    let mut machine = Datagrams::new(plan(vec![fault(when(), delay)]));
    for _ in 0..DATAGRAMS_MAX {
        assert!(machine.has_room());
        machine.handle_datagram(at(0), Delivery { connection: 1, direction: Direction::Up, data: Bytes::new() });
    }
    assert!(!machine.has_room());
}

fn any_when() -> impl Strategy<Value = When> {
    let content = proptest::option::of(proptest::collection::vec(0_u8..3, 1..3).prop_map(Bytes::from));
    let byte = proptest::option::of(0_u64..40);
    let every = proptest::option::of(1_u64..4);
    let nth = proptest::collection::vec(1_u64..6, 0..2);
    let probability = proptest::option::of(0.0..=1.0);
    (content, byte, every, nth, probability).prop_map(|(contains, byte, every, nth, probability)| When {
        contains,
        byte,
        every,
        nth,
        probability,
        ..When::default()
    })
}

fn any_shaping() -> impl Strategy<Value = Do> {
    let millis = || (0_u64..50).prop_map(Duration::from_millis);
    prop_oneof![
        (millis(), millis()).prop_map(|(delay, jitter)| Do::Delay { delay, jitter }),
        (1_u64..2_000).prop_map(Do::Rate),
        (1_usize..5).prop_map(Do::Slice),
        millis().prop_map(Do::Stall),
    ]
}

fn any_do() -> impl Strategy<Value = Do> {
    prop_oneof![
        4 => any_shaping(),
        1 => any::<bool>().prop_map(|half| Do::Cut { half }),
        1 => Just(Do::Reset),
        1 => (0_u64..6, 1_u8..).prop_map(|(at, xor)| Do::Corrupt { at, xor }),
    ]
}

fn any_reads() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
    proptest::collection::vec((0_u64..20, proptest::collection::vec(0_u8..3, 1..12)), 0..8).prop_map(|mut reads| {
        reads.sort_by_key(|(time, _)| *time);
        reads
    })
}

fn borrowed(reads: &[(u64, Vec<u8>)]) -> Vec<(u64, &[u8])> {
    reads.iter().map(|(time, data)| (*time, &data[..])).collect()
}

fn any_plan(does: impl Strategy<Value = Do>) -> impl Strategy<Value = Plan> {
    let faults = proptest::collection::vec((any_when(), does).prop_map(|(when, does)| fault(when, does)), 0..4);
    (faults, any::<bool>(), any::<u64>()).prop_map(|(faults, framed, seed)| {
        let framing = framed.then(|| framing::delimiter(&[2], 8).expect("a framing"));
        Plan { framing, seed, ..plan(faults) }
    })
}

proptest! {
    #[test]
    fn what_only_shapes_changes_no_byte(plan in any_plan(any_shaping()), reads in any_reads()) {
        let outcome = play(&plan, &borrowed(&reads));
        prop_assert_eq!(outcome.bytes(), reads.iter().flat_map(|(_, data)| data.clone()).collect::<Vec<u8>>());
        prop_assert_eq!(outcome.end.map(|(_, end)| end), Some(End::Fin));
    }

    #[test]
    fn a_cut_delivers_just_the_bytes_before_it(
        cut in 0_u64..40,
        others in any_plan(any_shaping()),
        reads in any_reads(),
    ) {
        let mut faults = others.faults.to_vec();
        faults.push(fault(When { byte: Some(cut), ..when() }, Do::Cut { half: false }));
        // A cut at no byte at all belongs to the other direction.
        faults.last_mut().expect("one was pushed").direction = Some(Direction::Down);
        let plan = Plan { faults: faults.into(), ..others };
        let whole: Vec<u8> = reads.iter().flat_map(|(_, data)| data.clone()).collect();
        let outcome = play(&plan, &borrowed(&reads));
        prop_assert_eq!(outcome.bytes(), &whole[..whole.len().min(cut as usize)]);
        let end = if whole.len() as u64 >= cut { End::Cut } else { End::Fin };
        prop_assert_eq!(outcome.end.map(|(_, end)| end), Some(end));
    }

    #[test]
    fn a_seed_gives_the_same_again(plan in any_plan(any_do()), reads in any_reads()) {
        prop_assert_eq!(play(&plan, &borrowed(&reads)), play(&plan, &borrowed(&reads)));
    }

    #[test]
    fn messages_make_the_reads_irrelevant(
        plan in any_plan(any_do()),
        data in proptest::collection::vec(0_u8..3, 1..60),
        cuts in proptest::collection::vec(1_usize..9, 1..60),
    ) {
        // A limit that no message here exceeds: what is no message is counted by reads.
        let plan = Plan { framing: framing::delimiter(&[2], 64).ok(), ..plan };
        let mut reads: Vec<(u64, &[u8])> = Vec::new();
        let mut rest = &data[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (read, others) = rest.split_at(rest.len().min(*cut));
            reads.push((0, read));
            rest = others;
        }
        let (cut, whole) = (play(&plan, &reads), play(&plan, &[(0, &data)]));
        prop_assert_eq!(cut.bytes(), whole.bytes());
        prop_assert_eq!(cut.end.map(|(_, end)| end), whole.end.map(|(_, end)| end));
        // What has come together with a content is kept together with it, so there the reads decide.
        let told = |outcome: &Outcome| {
            let by_reads = |what: &str| ["delays", "passes", "writes"].iter().any(|verb| what.starts_with(verb));
            outcome.fired.iter().filter(|(_, _, what)| !by_reads(what)).cloned().collect::<Vec<_>>()
        };
        prop_assert_eq!(told(&cut), told(&whole));
    }

    #[test]
    fn no_datagram_comes_from_nowhere(when in any_when(), reorder in 1_u64..4, does in 0..4, count in 0_u8..20) {
        let does = match does {
            0 => Do::Drop,
            1 => Do::Duplicate,
            2 => Do::Reorder(reorder),
            _ => Do::Delay { delay: Duration::from_millis(5), jitter: Duration::from_millis(5) },
        };
        let mut machine = Datagrams::new(plan(vec![fault(when, does.clone())]));
        for sent in 0..count {
            let data = Bytes::copy_from_slice(&[sent]);
            machine.handle_datagram(at(u64::from(sent)), Delivery { connection: 1, direction: Direction::Up, data });
        }
        let mut left: Vec<u8> =
            std::iter::from_fn(|| machine.poll_delivery(Time::from_nanos(u64::MAX))).map(|left| left.data[0]).collect();
        left.sort_unstable();
        let times = |sent: u8| left.iter().filter(|left| **left == sent).count();
        for sent in 0..count {
            let right = match does {
                Do::Drop => 0..=1,
                Do::Duplicate => 1..=2,
                _ => 1..=1,
            };
            prop_assert!(right.contains(&times(sent)));
        }
        prop_assert!(left.iter().all(|left| *left < count));
    }
}
