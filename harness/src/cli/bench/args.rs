//! What `harness bench` is given on its command line, and how each of it is read.

#![expect(clippy::disallowed_methods, reason = "a capture that the user names is read here")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{FalseyValueParser, PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

use crate::bench::modes::{self, RATES_MAX, Step};
use crate::bench::plan::Load;
use crate::bench::schedule::Arrivals;
use crate::bench::session::{Pin, Settings};
use crate::bench::threshold::{Threshold, parse_rate};
use crate::bench::wire::{Segments, Stamps};
use crate::document::parse_duration;
use crate::runner::Filter;
use crate::text::count;
use crate::url::Url;

/// What `harness bench` is given.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    /// The scenario whose cases are measured: the steps of each are one iteration
    #[arg(value_name = "SCENARIO", required_unless_present = "self_test")]
    path: Option<PathBuf>,
    /// Measure servers whose answers are known instead, and say whether this program tells the truth on this machine: about 15 s
    #[arg(long, conflicts_with = "path")]
    pub(super) self_test: bool,
    /// Put the results exactly there; without it, into a new folder below `reports`
    #[arg(long, value_name = "DIR", env = "HARNESS_OUT")]
    pub(super) out: Option<PathBuf>,
    /// What to print on stdout: a table for people, or bench.json
    #[arg(long, value_enum, default_value_t, value_name = "NAME", env = "HARNESS_REPORT")]
    pub(super) report: Report,
    /// Measure only these cases: `tag:fast and not line`, `case:"echoes a line"`
    #[arg(short, long, value_name = "EXPR", value_parser = Filter::parse, env = "HARNESS_FILTER")]
    pub(super) filter: Option<Filter>,
    /// Connections, over all threads
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000), env = "HARNESS_CONNECTIONS")]
    pub(super) connections: u32,
    /// Iterations under way on a connection at once: pipelining
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536), env = "HARNESS_DEPTH")]
    pub(super) depth: u32,
    /// How long to measure; with a sweep or a search, each rate
    #[arg(short, long, alias = "time", value_name = "DURATION", default_value = "10s", value_parser = duration, env = "HARNESS_DURATION")]
    pub(super) duration: Duration,
    /// End after so many iterations, if before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), env = "HARNESS_ITERATIONS")]
    pub(super) iterations: Option<u64>,
    /// What is played first and not counted
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = wait, env = "HARNESS_WARMUP")]
    pub(super) warmup: Duration,
    /// How often counts are kept apart, for what changes over time
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration, env = "HARNESS_INTERVAL")]
    pub(super) interval: Duration,
    /// Threads of the load generator
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024), env = "HARNESS_THREADS")]
    pub(super) threads: u32,
    /// Begin so many iterations a second, whatever the server does: an open loop. Latency then counts from when each was due
    #[arg(long, value_name = "RATE", value_parser = rate, env = "HARNESS_RATE", conflicts_with_all = ["sweep", "ramp", "find"])]
    pub(super) rate: Option<f64>,
    /// How iterations of an open loop are due: `constant`, `poisson`, or `recorded:FILE` as the messages in a capture were
    #[arg(long, value_name = "HOW", default_value = "constant", value_parser = arrivals, env = "HARNESS_ARRIVALS")]
    pub(super) arrivals: Due,
    /// An open loop at one rate after the other: `LOW:HIGH:STEP`, or `LOW:HIGH:x2` for each twice the one before
    #[arg(long, value_name = "RATES", value_parser = sweep, env = "HARNESS_SWEEP", conflicts_with_all = ["ramp", "find"])]
    pub(super) sweep: Option<Sweep>,
    /// An open loop whose rate rises from LOW to HIGH over the duration
    #[arg(long, value_name = "LOW:HIGH", value_parser = ramp, env = "HARNESS_RAMP", conflicts_with = "find")]
    pub(super) ramp: Option<(f64, f64)>,
    /// Search the highest rate at which this holds: `p99<1ms`
    #[arg(long, value_name = "THRESHOLD", value_parser = threshold, env = "HARNESS_FIND")]
    pub(super) find: Option<Threshold>,
    /// What has to hold, or the exit code is 1: `p99<1ms`, `rate>=10k`, `loss<0.1%`; may be repeated
    #[arg(long, value_name = "THRESHOLD", value_parser = threshold, env = "HARNESS_THRESHOLD", value_delimiter = ',')]
    pub(super) threshold: Vec<Threshold>,
    /// Measure two in turn and say whether they differ: each a URL or NAME=URL in place of a target, or NAME=VALUE for a variable.
    /// Where the second has fallen behind the exit code is 8
    #[arg(long, num_args = 2, value_names = ["A", "B"], env = "HARNESS_COMPARE", value_delimiter = ' ', conflicts_with_all = ["sweep", "ramp", "find"])]
    pub(super) compare: Vec<String>,
    /// Compare the scenario with itself: what this machine's noise looks like
    #[arg(long, env = "HARNESS_AA", value_parser = FalseyValueParser::new(), conflicts_with = "compare")]
    pub(super) aa: bool,
    /// Hold the latencies against those of an earlier benchmark, a folder or a `.hlog` file: exit code 8 where they have fallen behind.
    /// What the machine did in between is in the difference; `--compare` measures in turn
    #[arg(long, value_name = "RUN", env = "HARNESS_BASELINE", conflicts_with_all = ["compare", "aa", "find"])]
    pub(super) baseline: Option<PathBuf>,
    /// A connection of its own for each iteration; how long connections take to open is told apart
    #[arg(long, env = "HARNESS_FRESH", value_parser = FalseyValueParser::new())]
    pub(super) fresh: bool,
    /// Iterations begin after the step that sets this mark; what stands before it is played once on each connection
    #[arg(long, value_name = "MARK", env = "HARNESS_FROM")]
    pub(super) from: Option<String>,
    /// Wait so long before each read, as slow clients do
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "HARNESS_SLOW_READER")]
    pub(super) slow_reader: Option<Duration>,
    /// Let datagrams of one size leave together, by `UDP_SEGMENT`: for `--depth`. It changes how they arrive
    #[arg(long, env = "HARNESS_GSO", value_parser = FalseyValueParser::new())]
    pub(super) gso: bool,
    /// Take datagrams together that came together, by `UDP_GRO`
    #[arg(long, env = "HARNESS_GRO", value_parser = FalseyValueParser::new())]
    pub(super) gro: bool,
    /// Send the last step's bytes again and again, or read whatever comes where the last step expects something, as fast as it
    /// goes: bytes a second one way. What stands before it is done once on each connection
    #[arg(long, env = "HARNESS_BULK", value_parser = FalseyValueParser::new(),
        conflicts_with_all = ["rate", "sweep", "ramp", "find", "compare", "aa", "fresh", "from", "slow_reader", "stamps"])]
    pub(super) bulk: bool,
    /// Ask the kernel when what came came to it (`rx`), and also when what was sent left it (`rxtx`): the report then says how much
    /// of the latency lies away from this program
    #[arg(long, value_name = "WHICH", value_parser = PossibleValuesParser::new(["rx", "rxtx"]).map(|which| stamps(&which)), env = "HARNESS_STAMPS")]
    pub(super) stamps: Option<Stamps>,
    /// Do not compare answers: only their number and length count
    #[arg(long, env = "HARNESS_NO_VERIFY", value_parser = FalseyValueParser::new())]
    pub(super) no_verify: bool,
    /// Do not measure what a round trip takes on this machine at least
    #[arg(long, env = "HARNESS_NO_FLOOR", value_parser = FalseyValueParser::new())]
    pub(super) no_floor: bool,
    /// The cores of the server and of the load generator: `0:1`, `0:1,2`; `free` for wherever the system likes. Without it, the
    /// first core and the others
    #[arg(long, value_name = "S:C", value_parser = pin, env = "HARNESS_PIN")]
    pub(super) pin: Option<Pin>,
    /// How long an iteration may take; without it, as long as the scenario says, and with datagrams at most 1s
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "HARNESS_TIMEOUT")]
    pub(super) timeout: Option<Duration>,
    /// What all chance comes from; without it, another each time
    #[arg(long, value_name = "N", value_parser = crate::cli::run::seed, env = "HARNESS_SEED")]
    pub(super) seed: Option<u64>,
    /// Use this in place of a target: `NAME=URL`, or `URL` where there is one target; may be repeated
    #[arg(long, value_name = "NAME=URL", value_parser = crate::cli::run::target, env = "HARNESS_TARGET", value_delimiter = '\n')]
    pub(super) target: Vec<(Option<String>, Url)>,
    /// Give a variable a value; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = crate::cli::run::pair, env = "HARNESS_VAR", value_delimiter = '\n')]
    pub(super) var: Vec<(String, String)>,
    /// Allow targets that are not on this machine
    #[arg(long, env = "HARNESS_ALLOW_REMOTE", value_parser = FalseyValueParser::new())]
    pub(super) allow_remote: bool,
}

impl BenchArgs {
    /// The scenario.
    pub(super) fn path(&self) -> &Path {
        self.path.as_deref().expect("without a self-test there has to be one")
    }
}

/// What is printed on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Report {
    /// A table
    #[default]
    Human,
    /// What bench.json holds
    Json,
}

/// `--arrivals`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Known(Arrivals),
    Recorded(PathBuf),
}

/// `--sweep`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sweep(pub(super) Vec<f64>);

fn duration(text: &str) -> Result<Duration, &'static str> {
    let duration = parse_duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or("expected a duration with its unit: `500ms`, `30s`, `5m`")
}

fn wait(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("expected a duration with its unit: `500ms`, `2s`, `0s`")
}

fn rate(text: &str) -> Result<f64, &'static str> {
    let rate = parse_rate(text).ok_or("expected a rate a second: `500`, `10k`, `1.5M`")?;
    if (0.001..=1e9).contains(&rate) { Ok(rate) } else { Err("expected a rate from 0.001 to 1000M a second") }
}

fn threshold(text: &str) -> Result<Threshold, String> {
    Threshold::parse(text).map_err(|error| match error.hint() {
        Some(hint) => format!("{error}: {hint}"),
        None => error.to_string(),
    })
}

fn arrivals(text: &str) -> Result<Due, &'static str> {
    match text {
        "constant" => Ok(Due::Known(Arrivals::Constant)),
        "poisson" => Ok(Due::Known(Arrivals::Poisson)),
        _ => match text.strip_prefix("recorded:") {
            Some(file) if !file.is_empty() => Ok(Due::Recorded(file.into())),
            _ => Err("expected `constant`, `poisson` or `recorded:FILE`"),
        },
    }
}

fn sweep(text: &str) -> Result<Sweep, String> {
    let expected = || "expected `LOW:HIGH:STEP` or `LOW:HIGH:x2`".to_owned();
    let parts: Vec<&str> = text.split(':').collect();
    let [low, high, step] = parts.as_slice() else { return Err(expected()) };
    let (low, high) = (rate(low)?, rate(high)?);
    let step = match step.strip_prefix('x') {
        Some(factor) => Step::Times(factor.parse().ok().filter(|factor| *factor > 1.0).ok_or_else(expected)?),
        None => Step::Add(rate(step)?),
    };
    let rates = modes::rates(low, high, step);
    match rates.len() {
        0 => Err("the first rate is above the last".into()),
        1..=RATES_MAX => Ok(Sweep(rates)),
        _ => Err(format!("that is more than {RATES_MAX} rates")),
    }
}

fn stamps(which: &str) -> Stamps {
    if which == "rx" { Stamps::Rx } else { Stamps::RxTx }
}

fn ramp(text: &str) -> Result<(f64, f64), String> {
    let (low, high) = text.split_once(':').ok_or("expected `LOW:HIGH`")?;
    Ok((rate(low)?, rate(high)?))
}

/// Reads `0:1`, `0:1,2`, `free`.
fn pin(text: &str) -> Result<Pin, String> {
    if text == "free" {
        return Ok(Pin::Free);
    }
    let expected = "expected the server's core and the load generator's, as `0:1` or `0:1,2`, or `free`";
    let (server, client) = text.split_once(':').ok_or(expected)?;
    let known = crate::bench::place::cores();
    let cores = |text: &str| -> Result<Vec<usize>, String> {
        let read = |core: &str| {
            let core: usize = core.trim().parse().map_err(|_| expected.to_owned())?;
            match known.contains(&core) {
                true => Ok(core),
                false => Err(format!("there is no core {core} here: {}", count(known.len(), "core"))),
            }
        };
        text.split(',').map(read).collect()
    };
    Ok(Pin::At(cores(server)?, cores(client)?))
}

pub(super) fn settings(args: &BenchArgs, seed: u64, folder: &Path) -> Settings {
    let load = Load {
        connections: args.connections as usize,
        depth: args.depth as usize,
        threads: args.threads as usize,
        warmup: args.warmup,
        duration: args.duration,
        iterations: args.iterations,
        interval: args.interval,
        verify: !args.no_verify,
        fresh: args.fresh,
        seed,
        read_every: args.slow_reader,
        segments: Segments { gso: args.gso, gro: args.gro },
        stamps: args.stamps,
    };
    Settings {
        load,
        pin: args.pin.clone().unwrap_or_default(),
        from: args.from.clone(),
        timeout: args.timeout,
        floor: !args.no_floor,
        bulk: args.bulk,
        targets: args.target.clone(),
        allow_remote: args.allow_remote,
        folder: folder.to_path_buf(),
    }
}

/// When the messages in a capture were sent.
pub(super) fn recorded(file: &Path) -> Result<Arc<[u64]>, String> {
    let cannot = |why: String| format!("cannot take arrivals from `{}`: {why}", file.display());
    let bytes = std::fs::read(file).map_err(|error| cannot(error.to_string()))?;
    let offsets = crate::bench::arrivals::of_capture(&bytes).map_err(|error| cannot(error.to_string()))?;
    offsets.ok_or_else(|| cannot("it holds no two packets with data at different times".into()))
}
