//! Results for tests, as a measurement would have given them.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::environment::Environment;
use super::measure::{Interval, Measured};
use super::outcome::{Bench, Mode, Outcome, Slice, VERSION};
use super::packed::Packed;
use super::plan::{Load, Pace, Peer, Plan};
use super::tally::{Tally, histogram};
use super::wire::Segments;
use super::workload::Workload;
use crate::runner::Address;

/// What a test may change about a plan and a tally.
pub(super) mod with {
    use super::super::plan::{Pace, Plan};
    use super::super::schedule::Arrivals;
    use super::super::tally::Tally;

    pub(in super::super) fn rate(plan: &mut Plan, rate: f64) {
        plan.pace = Pace::Open(rate, Arrivals::Constant);
    }

    pub(in super::super) fn poisson(plan: &mut Plan, rate: f64) {
        plan.pace = Pace::Open(rate, Arrivals::Poisson);
    }

    /// All iterations began so late.
    pub(in super::super) fn lateness(tally: &mut Tally, nanos: u64) {
        tally.lateness.record_n(nanos, tally.counts.iterations).expect("it is in bounds");
    }

    /// All iterations took so long.
    pub(in super::super) fn latencies(tally: &mut Tally, nanos: impl IntoIterator<Item = u64>) {
        *tally = Tally::new(tally.steps.len());
        for nanos in nanos {
            tally.latency.record(nanos).expect("it is in bounds");
            tally.service.record(nanos).expect("it is in bounds");
            tally.steps[0].record(nanos).expect("it is in bounds");
            tally.counts.iterations += 1;
        }
    }
}

/// These values, counted.
pub(super) fn counted(values: &[u64]) -> Histogram<u64> {
    let mut all = histogram();
    values.iter().for_each(|value| all.saturating_record(*value));
    all
}

/// A plan for one connection to an echo server.
pub(super) fn plan() -> Plan {
    let workload = Workload {
        case: "echoes a line".into(),
        parts: Vec::new(),
        ends_connection: false,
        steps: vec!["expect `hello\\n`".into()],
        timeout: Duration::from_secs(5),
        variables: BTreeMap::new().into_iter().collect(),
        is_static: true,
        side_by_side: false,
        noticed: Vec::new(),
        bulk: None,
    };
    let load = Load {
        connections: 1,
        depth: 1,
        threads: 1,
        warmup: Duration::from_millis(500),
        duration: Duration::from_secs(1),
        iterations: None,
        interval: Duration::from_secs(1),
        verify: true,
        fresh: false,
        seed: 1,
        read_every: None,
        segments: Segments::default(),
        stamps: None,
    };
    Plan {
        workload,
        peers: vec![Peer { address: Address::Tcp(([127, 0, 0, 1], 7001).into()), tls: None }],
        load,
        cores: vec![1],
        pace: Pace::Closed,
        timeout: Duration::from_secs(5),
    }
}

/// A thousand iterations of 10 us in a second, and 64 bytes each way.
pub(super) fn measured(plan: &Plan) -> Measured {
    let mut total = Tally::new(plan.workload.steps.len());
    with::latencies(&mut total, std::iter::repeat_n(10_000, 1000));
    total.counts.begun = 1000;
    total.counts.connections = plan.load.connections as u64;
    (total.counts.bytes_sent, total.counts.bytes_received) = (64_000, 64_000);
    (total.counts.messages, total.counts.syscalls) = (2000, 2000);
    let mut first = histogram();
    first.add(&total.latency).expect("the bounds are the same");
    let interval = Interval {
        begins: 0,
        length: 1_000_000_000,
        latency: Packed::of(&first),
        shown: [10_000; 3],
        counts: total.counts,
    };
    Measured {
        total,
        intervals: vec![interval],
        window: 1_000_000_000,
        failures: Vec::new(),
        processor: 300_000_000,
        interrupted: false,
        tls: None,
        congestion: None,
    }
}

/// What becomes of that after some changes to the plan, the window and the tally.
pub(super) fn outcome(change: impl FnOnce(&mut Plan, &mut u64), record: impl FnOnce(&mut Tally)) -> Outcome {
    let mut plan = plan();
    let mut measured = measured(&plan);
    change(&mut plan, &mut measured.window);
    record(&mut measured.total);
    let mode = if plan.pace == Pace::Closed { Mode::Closed } else { Mode::Open };
    Outcome::of(&measured, &plan, mode, Some(0))
}

/// Intervals of a second with these medians.
pub(super) fn intervals(medians: &[u64]) -> Vec<Slice> {
    let slice = |(at, median): (usize, &u64)| Slice {
        t_s: at as f64,
        length_s: 1.0,
        iterations: 1000,
        failed: 0,
        p50: *median,
        p99: median * 2,
        max: median * 5,
    };
    medians.iter().enumerate().map(slice).collect()
}

/// A benchmark with these results.
pub(super) fn bench(results: Vec<Outcome>) -> Bench {
    let environment = Environment {
        kernel: "6.18.44".into(),
        processor: "Xeon".into(),
        cores: vec![0, 1],
        idle: "haltpoll, menu".into(),
        virtual_machine: true,
        clock: "tsc".into(),
        congestion_control: "cubic".into(),
        nodelay: true,
        load: 0.25,
        ..Environment::default()
    };
    Bench {
        v: VERSION,
        harness: "0.1.0".into(),
        scenario: "echo.toml".into(),
        seed: 1,
        command: ["harness", "bench", "echo.toml"].map(str::to_owned).to_vec(),
        unix_ns: 1_790_000_000_000_000_000,
        environment,
        results,
        found: None,
        comparisons: Vec::new(),
        baseline: Vec::new(),
    }
}

/// A sweep from 50,000 a second in steps of as much, with these 99th percentiles in microseconds.
pub(super) fn sweep(p99s: &[u64]) -> Vec<Outcome> {
    let step = |(at, p99): (usize, &u64)| {
        let rate = 50_000.0 * (at + 1) as f64;
        // 1000 in 20 ms are 50,000 a second.
        let record = |tally: &mut Tally| {
            with::latencies(tally, (1..=1000).map(|rank| if rank < 980 { 18_000 + rank } else { p99 * 1000 }));
            with::lateness(tally, 100);
        };
        let change = |plan: &mut Plan, window: &mut u64| {
            with::rate(plan, rate);
            plan.load.connections = 16;
            *window = 20_000_000 / (at as u64 + 1);
        };
        let mut outcome = outcome(change, record);
        outcome.mode = Mode::Sweep;
        outcome
    };
    p99s.iter().enumerate().map(step).collect()
}
