//! What a round trip through the conversation engine costs, beside the least that the system allows.
//!
//! A round trip is 64 bytes there and back over loopback, both ends on one core. Rows are named `client <- server`:
//!
//! - `blocking <- blocking`: two threads in `read` and `write`. This is the floor.
//! - `tokio <- ..`: the same over tokio, which is what a program on it can hope for.
//! - `engine <- ..`: a scenario that repeats `send` and `expect`, played as `harness run` plays it, its events recorded.
//!
//! Criterion measures one row after the other, and a machine is never the same for so long. So at the end all rows take
//! turns in short rounds, and each is told as a ratio to the floor of its own round. `-- ratios` does only that.

use std::io;
use std::time::Duration;

use benches::echo::{self, Client, Transport, Wait};
use benches::engine;
use criterion::{Criterion, Throughput, criterion_group};
use harness::runner::Address;

/// How often the rows take turns.
const ROUNDS: usize = 31;

/// Round trips of one turn.
const TURN: u64 = 4_000;

type Open = fn(&Address) -> io::Result<Client>;

const ROWS: &[(&str, Open, Wait)] = &[
    ("blocking", echo::blocking, Wait::Blocking),
    ("tokio", echo::tokio, Wait::Blocking),
    ("engine", engine::client, Wait::Blocking),
    ("tokio", echo::tokio, Wait::Tokio),
    ("engine", engine::client, Wait::Tokio),
];

fn rows(transport: Transport) -> io::Result<Vec<(String, Client)>> {
    ROWS.iter()
        .map(|(name, open, wait)| {
            let server = echo::serve(transport, *wait)?;
            Ok((format!("{name} <- {}", wait.name()), open(&server)?))
        })
        .collect()
}

fn round_trips(criterion: &mut Criterion) {
    for transport in Transport::ALL {
        let mut group = criterion.benchmark_group(format!("round-trip/{}", transport.name()));
        group.throughput(Throughput::Elements(1)).sample_size(50).measurement_time(Duration::from_secs(2));
        for (name, mut measure) in rows(transport).expect("loopback serves") {
            group.bench_function(name, |bencher| bencher.iter_custom(&mut measure));
        }
        group.finish();
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark tells its figures")]
fn ratios() -> io::Result<()> {
    for transport in Transport::ALL {
        let mut rows = rows(transport)?;
        let mut turns = vec![Vec::new(); rows.len()];
        for round in 0..=ROUNDS {
            for (times, (_, measure)) in turns.iter_mut().zip(&mut rows) {
                let micros = measure(TURN).as_secs_f64() * 1e6 / TURN as f64;
                // The first round warms up.
                if round > 0 {
                    times.push(micros);
                }
            }
        }
        println!("\n{:<24}{:>12}{:>10}{:>22}", transport.name(), "median", "ratio", "ratios of the rounds");
        for ((name, _), times) in rows.iter().zip(&turns) {
            let mut ratios: Vec<f64> = times.iter().zip(&turns[0]).map(|(time, floor)| time / floor).collect();
            let mut times = times.clone();
            times.sort_by(f64::total_cmp);
            ratios.sort_by(f64::total_cmp);
            let quarter = |sorted: &[f64], number: usize| sorted[(sorted.len() - 1) * number / 4];
            println!(
                "{name:<24}{:>9.2} us{:>10.2}{:>14.2} to {:.2}",
                quarter(&times, 2),
                quarter(&ratios, 2),
                quarter(&ratios, 1),
                quarter(&ratios, 3),
            );
        }
    }
    Ok(())
}

criterion_group!(benches, round_trips);

fn main() -> io::Result<()> {
    echo::pin()?;
    benches();
    Criterion::default().configure_from_args().final_summary();
    // Without `--bench` it is a test, which runs everything once.
    let is = |flag: &str| std::env::args().any(|argument| argument == flag);
    if is("--bench") && !["--test", "--list", "--profile-time"].into_iter().any(is) { ratios() } else { Ok(()) }
}
