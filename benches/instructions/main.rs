//! How many instructions what is pure takes: the same each time, so a gate can ask for it.
//!
//! A name does one thing once to warm up and once in `counted`, which callgrind is told to count. `.ci/instructions.py` runs all
//! of them under valgrind and holds the counts against `benches/instructions.toml`. Without a name each is done once.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use harness::bench::tally::Tally;
use harness::bench::workload::{Expecting, Operation, Wanted, Workload};
use harness::framing::{self, Decoded, FRAME_LEN_MAX, Framing, Width};
use harness::matcher::{Input, Matcher, Progress};
use harness::protocol::{self, Given, Protocol};
use harness::scenario::{Known, load};

/// How often each is done: what is told is for so many.
const TIMES: usize = 1_000;

type Work = Box<dyn FnMut()>;

/// A name, and what is done for it.
type Row = (&'static str, fn() -> Work);

const ROWS: &[Row] = &[
    ("framing-line", || cut(framing::line(FRAME_LEN_MAX).expect("the limit is one"))),
    ("framing-u32be", || cut(framing::length_prefix(Width::U32Be, false, FRAME_LEN_MAX).expect("the limit is one"))),
    ("matcher-exact", || check("\"echoed 12345\"")),
    ("matcher-regex", || check("{ regex = \"^echoed (?<n>[0-9]+)$\" }")),
    ("protocol-decode", decode),
    ("protocol-encode", encode),
    ("tally-record", record),
];

/// Cuts messages of 64 bytes out of a stream.
fn cut(framing: Arc<dyn Framing>) -> Work {
    let mut stream = Vec::new();
    (0..TIMES).for_each(|_| framing.encode(&[b'x'; 64], &mut stream).expect("the message fits its framing"));
    Box::new(move || {
        let (mut front, mut count) = (0, 0);
        while let Ok(Decoded::Message { consumed, .. }) = framing.decode(black_box(&stream[front..]), 0) {
            front += consumed;
            count += 1;
        }
        assert_eq!((front, count), (stream.len(), TIMES));
    })
}

/// Asks a matcher about a message that it matches.
fn check(expect: &str) -> Work {
    let text = format!(
        "[target]\nbuiltin = 'tcp-echo'\n[actor.client]\nconnect = 'target'\nframing = 'line'\n\
         [[case]]\nname = 'c'\nsteps = [{{ send = 'echoed 12345' }}, {{ expect = {expect} }}]\n"
    );
    let scenario = load("instructions.toml", &text, &Known::default()).expect("it is valid");
    let workload = Workload::new(&scenario, &scenario.cases[0], None, 1).expect("it is one");
    let matcher: Arc<dyn Matcher> = match workload.parts[0].operations.last() {
        Some(Operation::Expect(Expecting { what: Wanted::Matcher(matcher), .. })) => Arc::clone(matcher),
        Some(Operation::Expect(Expecting { what: Wanted::Bytes(bytes), .. })) => {
            Arc::new(harness::matcher::Exact(bytes.clone()))
        }
        _ => unreachable!("it ends with an expectation"),
    };
    Box::new(move || {
        for _ in 0..TIMES {
            let outcome = matcher.check(Input::message(black_box(b"echoed 12345")), &mut Progress::default());
            assert!(matches!(outcome, harness::matcher::Outcome::Match(_)), "{outcome:?}");
        }
    })
}

fn mqtt() -> (Arc<Protocol>, Vec<(Arc<str>, Given)>) {
    let given = vec![
        ("qos".into(), Given::Number(1)),
        ("topic".into(), Given::Bytes("house/kitchen/temperature".into())),
        ("id".into(), Given::Number(7)),
        ("payload".into(), Given::Bytes(vec![b'x'; 64].into())),
    ];
    (protocol::find("mqtt").expect("it comes with the harness").protocol(), given)
}

fn encode() -> Work {
    let (protocol, given) = mqtt();
    Box::new(move || {
        let (message, _) = protocol.message("publish").expect("it is there");
        for _ in 0..TIMES {
            black_box(protocol.encode(message, black_box(&given)).expect("it is right"));
        }
    })
}

fn decode() -> Work {
    let (protocol, given) = mqtt();
    let (message, _) = protocol.message("publish").expect("it is there");
    let bytes = Bytes::from(protocol.encode(message, &given).expect("it is right"));
    Box::new(move || {
        for _ in 0..TIMES {
            black_box(protocol.decode(black_box(&bytes), false, None).expect("it is one").expect("it is whole"));
        }
    })
}

/// Notes latencies from a microsecond to some milliseconds.
fn record() -> Work {
    let mut tally = Tally::new(1);
    Box::new(move || {
        for at in 0..TIMES as u64 {
            tally.latency.saturating_record(black_box(1_000 + at * at * 5));
        }
        assert!(!tally.latency.is_empty());
    })
}

/// What is counted. It has to keep its name.
#[inline(never)]
fn counted(work: &mut Work) {
    work();
    black_box(());
}

fn main() {
    let wanted = std::env::args().nth(1).filter(|word| !word.starts_with('-'));
    for (name, make) in ROWS {
        if wanted.as_deref().is_none_or(|wanted| wanted == *name) {
            let mut work = make();
            work();
            counted(&mut work);
        }
    }
}
