//! What one round trip costs in the conversation itself: steps, deadlines, matching and events, without a socket.
//!
//! The peer is memory and echoes, and the clock is moved by hand. What this takes of a round trip in `latency.rs` is the
//! engine's own; the rest is tokio's and the system's.

use std::time::Duration;

use benches::engine::{self, ROUND_TRIPS_MAX};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use harness::event::Transport;

fn conversation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("conversation");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(2));
    for (name, framing, transport) in [
        ("raw stream", "raw", Transport::Tcp),
        ("line", "line", Transport::Tcp),
        ("datagram", "datagram", Transport::Udp),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let whole = times / ROUND_TRIPS_MAX;
                let rest = times % ROUND_TRIPS_MAX;
                let play = |times| engine::in_memory(times, framing, transport);
                (0..whole).map(|_| play(ROUND_TRIPS_MAX)).sum::<Duration>() + play(rest)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, conversation);
criterion_main!(benches);
