//! What recording costs: the events in the conversation's way, and the capture after it.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use harness::capture::{Format, check, encode};
use harness::event::{CaseStarted, Endpoint, Event, EventKind, Place, RunStarted, Side, StepInfo, Transport, VERSION};
use harness::time::Time;

/// Messages of one case.
const MESSAGES: u64 = 1_000;

fn run() -> RunStarted {
    RunStarted { v: VERSION, harness: "0.1.0".into(), seed: 42, unix_ns: 1_700_000_000_000_000_000, command: vec![] }
}

fn case() -> CaseStarted {
    let step = |line, verb: &str| StepInfo {
        place: Place { file: "scenarios/echo.toml".into(), line, column: 3, width: 1, text: "".into() },
        actor: "client".into(),
        verb: verb.into(),
        note: None,
        via: Vec::new(),
    };
    CaseStarted {
        scenario: "echo".into(),
        name: "echoes a line".into(),
        file: "scenarios/echo.toml".into(),
        line: 4,
        attempt: 1,
        tags: vec![],
        spec: vec![],
        steps: vec![step(6, "send"), step(7, "expect")],
    }
}

fn event(at: u64, kind: EventKind) -> Event {
    Event { at: Time::from_nanos(at), case: Some(0), kind }
}

/// A conversation of sends and replies, each with its step.
fn conversation(len: usize) -> Vec<Event> {
    let endpoint = |port| Endpoint::Ip(([127, 0, 0, 1], port).into());
    let mut events = vec![event(
        0,
        EventKind::ConnectionOpened {
            connection: 0,
            actor: Arc::from("client"),
            transport: Transport::Tcp,
            dialled: Side::Local,
            local: endpoint(50_000),
            peer: endpoint(7),
        },
    )];
    let data = Bytes::from(vec![b'x'; len]);
    for at in (0..MESSAGES / 2).map(|turn| turn * 10_000) {
        let started = Time::from_nanos(at);
        events.push(event(at, EventKind::Sent { connection: 0, data: data.clone() }));
        events.push(event(at, EventKind::StepPassed { step: 0, started, connection: Some(0) }));
        events.push(event(at + 5_000, EventKind::Received { connection: 0, data: data.clone() }));
        events.push(event(at + 5_000, EventKind::StepPassed { step: 1, started, connection: Some(0) }));
    }
    events
}

fn capture(criterion: &mut Criterion) {
    for len in [64, 1_024] {
        let mut group = criterion.benchmark_group(format!("capture/{len}B"));
        group.throughput(Throughput::Elements(MESSAGES));
        let data = Bytes::from(vec![b'x'; len]);
        group.bench_function("push", |bencher| {
            bencher.iter_batched(
                Vec::new,
                |mut events| {
                    for at in 0..MESSAGES {
                        events.push(event(at, EventKind::Sent { connection: 0, data: data.clone() }));
                    }
                    events
                },
                BatchSize::SmallInput,
            );
        });
        group.throughput(Throughput::ElementsAndBytes { elements: MESSAGES, bytes: MESSAGES * len as u64 });
        let (run, case, events) = (run(), case(), conversation(len));
        for format in [Format::Pcapng, Format::Pcap] {
            group.bench_function(format!("encode-{}", format.extension()), |bencher| {
                bencher.iter(|| encode(&run, &case, black_box(&events), None, format));
            });
        }
        let file = encode(&run, &case, &events, None, Format::Pcapng).bytes;
        group.bench_function("check", |bencher| bencher.iter(|| check(black_box(&file))));
        group.finish();
    }
}

criterion_group!(benches, capture);
criterion_main!(benches);
