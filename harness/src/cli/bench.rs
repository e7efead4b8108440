//! `harness bench`: latency and load.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::{Talk, complain, files, folder};
use crate::bench::engine::Pace;
use crate::bench::schedule::Arrivals;
use crate::bench::session::{Pin, Session, Settings};
use crate::document::parse_duration;
use crate::exit::Exit;
use crate::runner::process::Guard;
use crate::runner::{Clock, Filter, Url};
use crate::scenario::Known;

/// What `harness bench` is given.
#[derive(Clone, Debug, Args)]
pub(super) struct BenchArgs {
    /// The scenario whose cases are measured
    #[arg(value_name = "SCENARIO")]
    path: PathBuf,
    /// Put the results exactly there; without it, into a new folder below `reports`
    #[arg(long, value_name = "DIR", env = "HARNESS_OUT")]
    out: Option<PathBuf>,
    /// Measure only these cases: `tag:fast and not line`, `case:"echoes a line"`
    #[arg(short, long, value_name = "EXPR", value_parser = Filter::parse, env = "HARNESS_FILTER")]
    filter: Option<Filter>,
    /// Connections, over all threads
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000), env = "HARNESS_CONNECTIONS")]
    connections: u32,
    /// Iterations under way on a connection at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536), env = "HARNESS_DEPTH")]
    depth: u32,
    /// How long to measure
    #[arg(short, long, value_name = "DURATION", default_value = "10s", value_parser = duration, env = "HARNESS_DURATION")]
    duration: Duration,
    /// End after so many iterations, if before
    #[arg(long, value_name = "N", env = "HARNESS_ITERATIONS")]
    iterations: Option<u64>,
    /// What is played first and not counted
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration, env = "HARNESS_WARMUP")]
    warmup: Duration,
    /// Threads of the load generator
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024), env = "HARNESS_THREADS")]
    threads: u32,
    /// Begin so many iterations a second, whatever the server does: an open loop
    #[arg(long, value_name = "RATE", value_parser = rate, env = "HARNESS_RATE")]
    rate: Option<f64>,
    /// The cores of the server and of the load generator: `0:1`, `0:1,2`; `free` for wherever the system likes
    #[arg(long, value_name = "S:C", value_parser = pin, env = "HARNESS_PIN")]
    pin: Option<Pin>,
    /// Do not compare answers
    #[arg(long, env = "HARNESS_NO_VERIFY", value_parser = FalseyValueParser::new())]
    no_verify: bool,
    /// Use this in place of a target: `NAME=URL`, or `URL` where there is one target; may be repeated
    #[arg(long, value_name = "NAME=URL", value_parser = super::run::target, env = "HARNESS_TARGET", value_delimiter = '\n')]
    target: Vec<(Option<String>, Url)>,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("expected a duration with its unit: `500ms`, `30s`, `5m`")
}

/// Reads `10000`, `10k`, `1.5M`.
fn rate(text: &str) -> Result<f64, &'static str> {
    let (number, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let number: f64 = number.parse().map_err(|_| "expected a rate a second: `500`, `10k`, `1.5M`")?;
    let rate = number * factor;
    if (0.001..=1e9).contains(&rate) { Ok(rate) } else { Err("expected a rate from 0.001 to 1000M a second") }
}

/// Reads `0:1`, `0:1,2`, `free`.
fn pin(text: &str) -> Result<Pin, &'static str> {
    if text == "free" {
        return Ok(Pin::Free);
    }
    let expected = "expected the server's cores and the load generator's, as `0:1` or `0:1,2`, or `free`";
    let (server, client) = text.split_once(':').ok_or(expected)?;
    let cores = |text: &str| -> Result<Vec<usize>, &'static str> {
        text.split(',').map(|core| core.trim().parse().map_err(|_| expected)).collect()
    };
    Ok(Pin::At(cores(server)?, cores(client)?))
}

pub(super) fn bench(args: &BenchArgs, talk: Talk, words: &[OsString]) -> u8 {
    let _ = (talk, words);
    let clock = Clock::start();
    let found = vec![(args.path.clone(), true)];
    let seed = 1;
    let known = Known { env: files::environment(), seed, read: Some(crate::document::read_text), ..Known::default() };
    let loaded = files::load_all(&found, &known).remove(0);
    let scenario = loaded.result.expect("valid");
    let folder = folder::make(args.out.as_deref(), std::slice::from_ref(&args.path), &found, clock).expect("folder");
    let guard = Guard::of_this_program(format!("{}-{}", std::process::id(), clock.unix_ns())).expect("guard");
    let settings = Settings {
        connections: args.connections as usize,
        depth: args.depth as usize,
        threads: args.threads as usize,
        pin: args.pin.clone().unwrap_or_default(),
        warmup: args.warmup,
        duration: args.duration,
        iterations: args.iterations,
        interval: Duration::from_secs(1),
        verify: !args.no_verify,
        fresh: false,
        from: None,
        timeout: None,
        floor: true,
        seed,
        read_every: None,
        targets: args.target.clone(),
        allow_remote: false,
        folder,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("rt");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let session = match Session::start(&scenario, settings, guard).await {
            Ok(session) => session,
            Err(error) => return complain(&error.to_string(), None, Exit::Unreachable),
        };
        for case in &scenario.cases {
            let subject = match session.prepare(&scenario, case).await {
                Ok(subject) => subject,
                Err(error) => {
                    let _ = writeln!(anstream::stderr(), "{}: {error}", case.name);
                    continue;
                }
            };
            let mut out = anstream::stdout();
            let _ = writeln!(out, "{} {:?}", case.name, subject.notes);
            let floor = session.floor(&subject).await.expect("floor");
            if let Some((floor, same)) = &floor {
                let _ = writeln!(out, "  floor {} same {:?}", floor.p50, same.as_ref().map(|s| s.p50));
            }
            let mut plan = subject.plan.clone();
            if let Some(rate) = args.rate {
                plan.pace = Pace::Open(rate, Arrivals::Constant);
            }
            let measured = session.measure(plan, |_| {}).await.expect("measured");
            let t = &measured.total;
            let q = |h: &hdrhistogram::Histogram<u64>| {
                [0.5, 0.99, 0.999, 1.0].map(|q| h.value_at_quantile(q) as f64 / 1000.0)
            };
            let _ = writeln!(
                out,
                "  {:.0}/s p50/99/999/max us {:?} late {:?} service {:?} counts {:?} {:?} sys/msg {:.3}",
                t.counts.iterations as f64 * 1e9 / measured.window as f64,
                q(&t.latency),
                q(&t.lateness),
                q(&t.service),
                t.counts,
                measured.failures,
                t.counts.syscalls as f64 / t.counts.messages.max(1) as f64,
            );
            if let Some((floor, _)) = &floor {
                let _ = writeln!(out, "  {:.3} x floor", t.latency.value_at_quantile(0.5) as f64 / floor.p50 as f64);
            }
        }
        session.finish().await;
        Exit::Held.code()
    })
}
