//! What a benchmark has found, as data: the types of `bench.json`.
//!
//! An [`Outcome`] is one measurement with everything that a person needs to believe it. How it is judged stands in `judge`,
//! how it is shown in `show`, and what each figure means in docs/bench.md.

mod parts;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::parts::{Found, Judged, Little, OneWay, Ratio, Slice, Split, Steady, Step};
use super::compare::{Comparison, Unpaired};
use super::environment::Environment;
use super::floor::Floor;
use super::judge;
use super::measure::{Interval, Measured};
use super::plan::{Pace, Plan};
use super::quantiles::Quantiles;
use super::schedule::Arrivals;
use super::tally::Counts;
use super::workload::Bulk;
use crate::event::TlsSession;

/// The version of the format.
pub const VERSION: u32 = 1;

/// All that a benchmark leaves: `bench.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// [`VERSION`].
    pub v: u32,
    /// The harness's version.
    pub harness: String,
    /// The scenario's file.
    pub scenario: String,
    /// Where chance came from.
    pub seed: u64,
    /// The command line.
    pub command: Vec<String>,
    /// When it began, in nanoseconds since 1970 (UTC).
    pub unix_ns: u64,
    /// What the figures depend on besides the server.
    pub environment: Environment,
    /// The measurements, in their order.
    pub results: Vec<Outcome>,
    /// What `--find` found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// What `--compare` found, a case each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
    /// What `--baseline` found, a series each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<Unpaired>,
}

/// How load was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Everything goes one way, as fast as it goes.
    Bulk,
    /// A connection for each iteration.
    Churn,
    /// The next iteration begins when the one before has ended.
    Closed,
    /// One of the rates that a search has tried.
    Find,
    /// Iterations begin at times of their own.
    Open,
    /// One step of a rate that rises.
    Ramp,
    /// Clients that read slowly on purpose.
    SlowReader,
    /// One of several rates.
    Sweep,
}

impl Mode {
    /// Its name in files and on the terminal.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Bulk => "bulk",
            Mode::Churn => "churn",
            Mode::Closed => "closed",
            Mode::Find => "find",
            Mode::Open => "open",
            Mode::Ramp => "ramp",
            Mode::SlowReader => "slow-reader",
            Mode::Sweep => "sweep",
        }
    }
}

/// Which cores were used. `None` and nothing mean wherever the system liked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cores {
    /// The server's.
    pub server: Option<usize>,
    /// The load generator's, one for each thread and then from the first again.
    pub client: Vec<usize>,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The case whose steps were played.
    pub case: String,
    /// How load was made.
    pub mode: Mode,
    /// To whom.
    pub target: String,
    /// Connections at once; with several actors each of them has so many.
    pub connections: usize,
    /// How many actors play an iteration together.
    #[serde(default = "one")]
    pub actors: usize,
    /// Iterations under way on a connection at most.
    pub depth: usize,
    /// Threads of the load generator.
    pub threads: usize,
    /// Where things ran.
    pub cores: Cores,
    /// Whether answers were compared.
    pub verify: bool,
    /// Whether each iteration had a connection of its own.
    pub fresh: bool,
    /// The rate that was asked for, in iterations a second, if iterations began at times of their own.
    pub asked_per_s: Option<f64>,
    /// How those times lay to each other: `constant`, `poisson` or `recorded`.
    pub arrivals: Option<String>,
    /// How long was played before counting, in seconds.
    pub warmup_s: f64,
    /// How long was counted, in seconds.
    pub duration_s: f64,
    /// Iterations that ended as they should, a second. With a schedule only what ended while it lasted: what was answered
    /// after it is in all other figures, and would make an overloaded server look as if it kept up.
    pub rate_per_s: f64,
    /// Bytes written a second.
    pub sent_bytes_per_s: f64,
    /// Bytes read a second.
    pub received_bytes_per_s: f64,
    /// How many of what.
    pub counts: Counts,
    /// Iterations that did not end as they should.
    pub failed: u64,
    /// The share of iterations that were never answered, from 0 to 1.
    pub loss: f64,
    /// From when an iteration was to begin until it ended.
    pub latency_ns: Quantiles,
    /// From when it began until it ended.
    pub service_ns: Quantiles,
    /// How late the load generator began it though a connection was free.
    pub lateness_ns: Quantiles,
    /// How long connections took to open.
    pub connect_ns: Quantiles,
    /// How long both sides took to agree on TLS, from the open connection on.
    #[serde(default)]
    pub handshake_ns: Quantiles,
    /// The field by which answers were matched to what had been asked, where there was one.
    #[serde(default)]
    pub correlate: Option<String>,
    /// Whether datagrams left together, by `UDP_SEGMENT`.
    #[serde(default)]
    pub gso: bool,
    /// Whether they came together, by `UDP_GRO`.
    #[serde(default)]
    pub gro: bool,
    /// What went one way, where it was about that.
    #[serde(default)]
    pub bulk: Option<OneWay>,
    /// What the kernel's timestamps say, where they were asked for.
    #[serde(default)]
    pub stamps: Option<Split>,
    /// What TLS was agreed on, where it was.
    #[serde(default)]
    pub tls: Option<TlsSession>,
    /// Each expectation, from what was sent before it until it held.
    pub steps: Vec<Step>,
    /// What the machine itself takes, and how much more this is.
    pub floor: Option<Ratio>,
    /// Little's law.
    pub little: Option<Little>,
    /// System calls for each message that was written or read.
    pub syscalls_per_message: Option<f64>,
    /// Processor time of the load generator's threads over time: 1 is a whole core.
    pub processor_share: f64,
    /// Whether the headline can be believed.
    pub valid: bool,
    /// Why not.
    pub invalid: Vec<String>,
    /// Whether it was the same all along; `None` with too few intervals to say.
    pub steady: Option<Steady>,
    /// What had to hold.
    pub thresholds: Vec<Judged>,
    /// What a reader should know.
    pub warnings: Vec<String>,
    /// What failed, in words; the first few.
    pub failures: Vec<String>,
    /// Whether it was ended early.
    pub interrupted: bool,
    /// Piece by piece.
    pub intervals: Vec<Slice>,
}

impl Outcome {
    /// What a measurement by a plan gives, without a floor and thresholds.
    pub fn of(measured: &Measured, plan: &Plan, mode: Mode, server: Option<usize>) -> Outcome {
        let (asked, arrivals) = match &plan.pace {
            Pace::Closed => (None, None),
            Pace::Open(rate, arrivals) => ((*rate > 0.0).then_some(*rate), Some(arrivals_name(arrivals).to_owned())),
        };
        let step = |name: &String| Step { name: name.clone(), ns: Quantiles::default() };
        let mut outcome = Outcome {
            case: plan.workload.case.clone(),
            mode,
            target: plan.target(),
            connections: plan.load.connections,
            actors: plan.peers.len(),
            depth: plan.load.depth,
            threads: plan.load.threads,
            cores: Cores { server, client: plan.cores.clone() },
            verify: plan.load.verify,
            fresh: plan.load.fresh || plan.workload.ends_connection,
            asked_per_s: asked,
            arrivals,
            warmup_s: plan.load.warmup.as_secs_f64(),
            duration_s: 0.0,
            rate_per_s: 0.0,
            sent_bytes_per_s: 0.0,
            received_bytes_per_s: 0.0,
            counts: Counts::default(),
            failed: 0,
            loss: 0.0,
            latency_ns: Quantiles::default(),
            service_ns: Quantiles::default(),
            lateness_ns: Quantiles::default(),
            connect_ns: Quantiles::default(),
            handshake_ns: Quantiles::default(),
            correlate: plan.workload.correlation().map(|known| known.name.to_string()),
            gso: plan.load.segments.gso,
            gro: plan.load.segments.gro,
            bulk: plan.workload.bulk.as_ref().map(|bulk| OneWay {
                direction: if matches!(bulk, Bulk::Receive) { "received" } else { "sent" }.to_owned(),
                bytes_per_s: 0.0,
                floor_bytes_per_s: None,
                ratio: None,
                congestion_control: None,
            }),
            stamps: plan.load.stamps.map(|kind| Split::of(kind, &measured.total)),
            tls: None,
            steps: plan.workload.steps.iter().map(step).collect(),
            floor: None,
            little: None,
            syscalls_per_message: None,
            processor_share: 0.0,
            valid: true,
            invalid: Vec::new(),
            steady: None,
            thresholds: Vec::new(),
            warnings: Vec::new(),
            failures: Vec::new(),
            interrupted: false,
            intervals: Vec::new(),
        };
        outcome.measure(measured);
        outcome
    }

    /// Fills in what follows from a measurement.
    pub(super) fn measure(&mut self, measured: &Measured) {
        let total = &measured.total;
        let counts = total.counts;
        let seconds = measured.window as f64 / 1e9;
        let ended = counts.iterations + counts.failed();
        self.duration_s = seconds;
        self.rate_per_s = rounded(over(in_time(measured, self.arrivals.is_some()) as f64, seconds), 3);
        self.sent_bytes_per_s = rounded(over(counts.bytes_sent as f64, seconds), 0);
        self.received_bytes_per_s = rounded(over(counts.bytes_received as f64, seconds), 0);
        self.counts = counts;
        self.failed = counts.failed();
        self.loss = over(counts.timeouts as f64, ended as f64);
        self.latency_ns = Quantiles::of(&total.latency);
        self.service_ns = Quantiles::of(&total.service);
        self.lateness_ns = Quantiles::of(&total.lateness);
        self.connect_ns = Quantiles::of(&total.connect);
        self.handshake_ns = Quantiles::of(&total.handshake);
        if let Some(bulk) = &mut self.bulk {
            bulk.bytes_per_s = if bulk.direction == "sent" { self.sent_bytes_per_s } else { self.received_bytes_per_s };
            bulk.congestion_control = measured.congestion.clone();
            (bulk.floor_bytes_per_s, bulk.ratio) = (None, None);
        }
        self.stamps = self.stamps.take().map(|split| Split::of(split.kind, total));
        self.tls = measured.tls.clone();
        for (step, times) in self.steps.iter_mut().zip(&total.steps) {
            step.ns = Quantiles::of(times);
        }
        self.syscalls_per_message =
            (counts.messages > 0).then(|| rounded(over(counts.syscalls as f64, counts.messages as f64), 4));
        self.processor_share = rounded(over(measured.processor as f64 / 1e9, seconds + self.warmup_s), 3);
        self.failures = measured.failures.clone();
        self.interrupted = measured.interrupted;
        self.intervals = measured.intervals.iter().map(slice).collect();
        judge::judge(self, total);
    }

    /// Adds the floor that was measured in the same place, and the one on a single core if that is another.
    pub fn with_floor(mut self, floor: &Floor, same_core: Option<&Floor>) -> Outcome {
        let p50_ns = floor.p50;
        let ratio = self.latency_ns.p50.map(|p50| rounded(over(p50 as f64, p50_ns as f64), 3));
        let same_core_p50_ns = same_core.map(|floor| floor.p50);
        self.warnings.extend(same_core_p50_ns.and_then(|same| judge::waking(p50_ns, same)));
        let (request, response) = (floor.request, floor.response);
        self.floor = Some(Ratio { p50_ns, ratio, same_core_p50_ns, request, response });
        self
    }

    /// Adds the floor of what goes one way.
    pub fn with_floor_one_way(mut self, floor: f64) -> Outcome {
        if let Some(bulk) = &mut self.bulk {
            bulk.floor_bytes_per_s = Some(rounded(floor, 0));
            bulk.ratio = Some(rounded(over(bulk.bytes_per_s, floor), 3));
        }
        self
    }

    /// Whether every threshold held.
    pub fn held(&self) -> bool {
        self.thresholds.iter().all(|judged| judged.held)
    }

    /// What tells it from other results of a benchmark: `closed 64x1`, `open 10000`.
    pub fn label(&self) -> String {
        let mode = self.mode.name();
        match self.asked_per_s {
            Some(rate) => format!("{mode} {rate}"),
            None => format!("{mode} {}x{}", self.connections, self.depth),
        }
    }
}

fn one() -> usize {
    1
}

/// How many iterations ended in the time that counts.
fn in_time(measured: &Measured, is_open: bool) -> u64 {
    let all = measured.total.counts.iterations;
    // A schedule may end within an interval; then that one is counted whole. Stored intervals begin at a millisecond.
    let late = |interval: &&Interval| is_open && interval.begins + 1_000_000 > measured.window;
    let late = measured.intervals.iter().filter(late);
    all.saturating_sub(late.map(|interval| interval.counts.iterations).sum())
}

fn arrivals_name(arrivals: &Arrivals) -> &'static str {
    match arrivals {
        Arrivals::Constant => "constant",
        Arrivals::Poisson => "poisson",
        Arrivals::Recorded(_) => "recorded",
    }
}

fn slice(interval: &Interval) -> Slice {
    let [p50, p99, max] = interval.shown;
    let (t_s, length_s) = (interval.begins as f64 / 1e9, interval.length as f64 / 1e9);
    let (iterations, failed) = (interval.counts.iterations, interval.counts.failed());
    Slice { t_s, length_s, iterations, failed, p50, p99, max }
}

/// A ratio that is a number whatever it is of.
pub(super) fn over(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// As many digits behind the point as mean something.
pub(super) fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (number * scale).round() / scale
}
