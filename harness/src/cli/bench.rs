//! `harness bench`: latency and load.

#![expect(clippy::disallowed_methods, reason = "a capture that the user names is read here")]

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, CommandFactory as _, Parser as _, ValueEnum};

use super::{Arguments, Command, Talk, complain, files, folder, presets};
use crate::bench::compare::{BAND_CROSS_CORE, BAND_SAME_CORE, Comparison, PAIRS, Sample, Side, order};
use crate::bench::engine::{Pace, Plan};
use crate::bench::environment::Ticks;
use crate::bench::measure::{Interval, Measured};
use crate::bench::modes::{self, Load, RATES_MAX, Step, Wanted, Watcher};
use crate::bench::outcome::{Bench, Outcome, VERSION};
use crate::bench::schedule::Arrivals;
use crate::bench::session::{Pin, Session, SessionError, Settings};
use crate::bench::threshold::{Threshold, parse_rate};
use crate::document::parse_duration;
use crate::exit::Exit;
use crate::report::Look;
use crate::runner::process::Guard;
use crate::runner::{Clock, Filter, Subject, Url};
use crate::scenario::{Case, Known, Scenario};
use crate::text::count;

/// The shortest measurement of a comparison.
const PAIR_MIN: Duration = Duration::from_millis(100);

/// What `harness bench` is given.
#[derive(Clone, Debug, Args)]
pub(super) struct BenchArgs {
    /// The scenario whose cases are measured: the steps of each are one iteration
    #[arg(value_name = "SCENARIO")]
    path: PathBuf,
    /// Put the results exactly there; without it, into a new folder below `reports`
    #[arg(long, value_name = "DIR", env = "HARNESS_OUT")]
    out: Option<PathBuf>,
    /// What to print on stdout: a table for people, or bench.json
    #[arg(long, value_enum, default_value_t, value_name = "NAME", env = "HARNESS_REPORT")]
    report: Report,
    /// Measure only these cases: `tag:fast and not line`, `case:"echoes a line"`
    #[arg(short, long, value_name = "EXPR", value_parser = Filter::parse, env = "HARNESS_FILTER")]
    filter: Option<Filter>,
    /// Connections, over all threads
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000), env = "HARNESS_CONNECTIONS")]
    connections: u32,
    /// Iterations under way on a connection at once: pipelining
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536), env = "HARNESS_DEPTH")]
    depth: u32,
    /// How long to measure; with a sweep or a search, each rate
    #[arg(short, long, value_name = "DURATION", default_value = "10s", value_parser = duration, env = "HARNESS_DURATION")]
    duration: Duration,
    /// End after so many iterations, if before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), env = "HARNESS_ITERATIONS")]
    iterations: Option<u64>,
    /// What is played first and not counted
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = wait, env = "HARNESS_WARMUP")]
    warmup: Duration,
    /// How often counts are kept apart, for what changes over time
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration, env = "HARNESS_INTERVAL")]
    interval: Duration,
    /// Threads of the load generator
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024), env = "HARNESS_THREADS")]
    threads: u32,
    /// Begin so many iterations a second, whatever the server does: an open loop. Latency then counts from when each was due
    #[arg(long, value_name = "RATE", value_parser = rate, env = "HARNESS_RATE", conflicts_with_all = ["sweep", "ramp", "find"])]
    rate: Option<f64>,
    /// How iterations of an open loop are due: `constant`, `poisson`, or `recorded:FILE` as the messages in a capture were
    #[arg(long, value_name = "HOW", default_value = "constant", value_parser = arrivals, env = "HARNESS_ARRIVALS")]
    arrivals: Due,
    /// An open loop at one rate after the other: `LOW:HIGH:STEP`, or `LOW:HIGH:x2` for each twice the one before
    #[arg(long, value_name = "RATES", value_parser = sweep, env = "HARNESS_SWEEP", conflicts_with_all = ["ramp", "find"])]
    sweep: Option<Sweep>,
    /// An open loop whose rate rises from LOW to HIGH over the duration
    #[arg(long, value_name = "LOW:HIGH", value_parser = ramp, env = "HARNESS_RAMP", conflicts_with = "find")]
    ramp: Option<(f64, f64)>,
    /// Search the highest rate at which this holds: `p99<1ms`
    #[arg(long, value_name = "THRESHOLD", value_parser = threshold, env = "HARNESS_FIND")]
    find: Option<Threshold>,
    /// What has to hold, or the exit code is 1: `p99<1ms`, `rate>=10k`, `loss<0.1%`; may be repeated
    #[arg(long, value_name = "THRESHOLD", value_parser = threshold, env = "HARNESS_THRESHOLD", value_delimiter = ',')]
    threshold: Vec<Threshold>,
    /// Measure two in turn and say whether they differ: each a URL or NAME=URL in place of a target, or NAME=VALUE for a variable.
    /// Where the second has fallen behind the exit code is 8
    #[arg(long, num_args = 2, value_names = ["A", "B"], env = "HARNESS_COMPARE", value_delimiter = ' ', conflicts_with_all = ["sweep", "ramp", "find"])]
    compare: Vec<String>,
    /// Compare the scenario with itself: what this machine's noise looks like
    #[arg(long, env = "HARNESS_AA", value_parser = FalseyValueParser::new(), conflicts_with = "compare")]
    aa: bool,
    /// A connection of its own for each iteration; how long connections take to open is told apart
    #[arg(long, env = "HARNESS_FRESH", value_parser = FalseyValueParser::new())]
    fresh: bool,
    /// Iterations begin after the step that sets this mark; what stands before it is played once on each connection
    #[arg(long, value_name = "MARK", env = "HARNESS_FROM")]
    from: Option<String>,
    /// Wait so long before each read, as slow clients do
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "HARNESS_SLOW_READER")]
    slow_reader: Option<Duration>,
    /// Do not compare answers: only their number and length count
    #[arg(long, env = "HARNESS_NO_VERIFY", value_parser = FalseyValueParser::new())]
    no_verify: bool,
    /// Do not measure what a round trip takes on this machine at least
    #[arg(long, env = "HARNESS_NO_FLOOR", value_parser = FalseyValueParser::new())]
    no_floor: bool,
    /// The cores of the server and of the load generator: `0:1`, `0:1,2`; `free` for wherever the system likes. Without it, the
    /// first core and the others
    #[arg(long, value_name = "S:C", value_parser = pin, env = "HARNESS_PIN")]
    pin: Option<Pin>,
    /// How long an iteration may take; without it, as long as the scenario says, and with datagrams at most 1s
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "HARNESS_TIMEOUT")]
    timeout: Option<Duration>,
    /// What all chance comes from; without it, another each time
    #[arg(long, value_name = "N", value_parser = super::run::seed, env = "HARNESS_SEED")]
    seed: Option<u64>,
    /// Use this in place of a target: `NAME=URL`, or `URL` where there is one target; may be repeated
    #[arg(long, value_name = "NAME=URL", value_parser = super::run::target, env = "HARNESS_TARGET", value_delimiter = '\n')]
    target: Vec<(Option<String>, Url)>,
    /// Give a variable a value; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::run::pair, env = "HARNESS_VAR", value_delimiter = '\n')]
    var: Vec<(String, String)>,
    /// Allow targets that are not on this machine
    #[arg(long, env = "HARNESS_ALLOW_REMOTE", value_parser = FalseyValueParser::new())]
    allow_remote: bool,
}

/// What is printed on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Report {
    /// A table
    #[default]
    Human,
    /// What bench.json holds
    Json,
}

/// `--arrivals`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    Known(Arrivals),
    Recorded(PathBuf),
}

/// `--sweep`.
#[derive(Clone, Debug, PartialEq)]
struct Sweep(Vec<f64>);

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

pub(super) fn bench(args: &BenchArgs, talk: Talk, words: &[OsString]) -> u8 {
    let clock = Clock::start();
    let seed = args.seed.unwrap_or_else(|| clock.unix_ns() % 1_000_000_007);
    if args.path.is_dir() {
        let message = format!("`{}` is a folder, and one scenario is measured at a time", args.path.display());
        return complain(&message, None, Exit::Usage);
    }
    let found = vec![(args.path.clone(), true)];
    let known = Known {
        vars: args.var.clone(),
        env: files::environment(),
        seed,
        read: Some(crate::document::read_text),
        ..Known::default()
    };
    let loaded = files::load_all(&found, &known).remove(0);
    let scenario = match loaded.result {
        Ok(scenario) => scenario,
        Err(mistakes) => return super::check::tell_mistakes(&mistakes, talk),
    };
    // What the file says comes first, so that the command line wins.
    let whole = Arguments::command();
    let command = whole.find_subcommand("bench").expect("it is this one");
    let words = match presets::apply(command, &scenario.presets, words) {
        Ok(words) => words,
        Err(mistakes) => return super::check::tell_mistakes(&mistakes, talk),
    };
    let args = match Arguments::try_parse_from(&words) {
        Ok(Arguments { command: Command::Bench(args), .. }) => args,
        Ok(_) => unreachable!("it was this command before"),
        Err(error) => {
            let _ = error.print();
            return Exit::Invalid.code();
        }
    };
    let folder = match folder::make(args.out.as_deref(), std::slice::from_ref(&args.path), &found, clock) {
        Ok(folder) => folder,
        Err(error) => {
            let folder = args.out.as_deref().unwrap_or(Path::new(folder::REPORTS));
            let message = format!("cannot make the folder `{}`: {error}", folder.display());
            return complain(&message, Some("`--out` names another"), Exit::Bug);
        }
    };
    let guard = match Guard::of_this_program(format!("{}-{}", std::process::id(), clock.unix_ns())) {
        Ok(guard) => guard,
        Err(error) => return complain(&format!("cannot find this program: {error}"), None, Exit::Bug),
    };
    let arrivals = match &args.arrivals {
        Due::Known(arrivals) => arrivals.clone(),
        Due::Recorded(file) => match recorded(file) {
            Ok(offsets) => Arrivals::Recorded(offsets),
            Err(message) => return complain(&message, None, Exit::Invalid),
        },
    };
    let load = match (&args.find, &args.sweep, args.ramp, args.rate) {
        (Some(objective), ..) => Load::Find(objective.clone()),
        (_, Some(Sweep(rates)), ..) => Load::Sweep(rates.clone()),
        (_, _, Some((low, high)), _) => Load::Ramp(low, high),
        (_, _, _, Some(rate)) => Load::Open(rate),
        _ if matches!(arrivals, Arrivals::Recorded(_)) => Load::Recorded,
        _ => Load::Closed,
    };
    let mut settings = settings(&args, seed, &folder);
    let mut scenario = *scenario;
    let sides = match args.compare.as_slice() {
        [first, second] => Some([first.clone(), second.clone()]),
        _ if args.aa => Some([String::new(), String::new()]),
        _ => None,
    };
    let mut other = None;
    if let Some(sides) = sides {
        let mut made = Vec::new();
        for side in &sides {
            match variant(&args, &known, &settings, side) {
                Ok(variant) => made.push(variant),
                Err(message) => {
                    return complain(
                        &message,
                        Some("`--compare A B`: a URL, NAME=URL or NAME=VALUE each"),
                        Exit::Usage,
                    );
                }
            }
        }
        let name = |side: &str| if side.is_empty() { "the same".to_owned() } else { side.to_owned() };
        let names = [name(&sides[0]), name(&sides[1])];
        let (second, second_settings) = made.pop().expect("there are two");
        (scenario, settings) = made.pop().expect("there are two");
        other = Some(Other { scenario: second, settings: second_settings, names });
    }
    let run = Run {
        other,
        is_aa: args.aa,
        scenario,
        load,
        wanted: Wanted { arrivals, thresholds: args.threshold.clone() },
        settings,
        filter: args.filter.clone(),
        command: words.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        report: args.report,
        folder,
        clock,
        seed,
        talk,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}"), None, Exit::Bug),
    };
    let exit = tokio::task::LocalSet::new().block_on(&runtime, run.play(guard));
    runtime.shutdown_background();
    exit.code()
}

/// The scenario and settings of one side of a comparison: with another target, or another value of a variable.
fn variant(args: &BenchArgs, known: &Known, settings: &Settings, side: &str) -> Result<(Scenario, Settings), String> {
    let (mut known, mut settings) = (known.clone(), settings.clone());
    if side.contains("://") {
        settings.targets.insert(0, super::run::target(side)?);
    } else if !side.is_empty() {
        known.vars.push(super::run::pair(side)?);
    }
    let loaded = files::load_all(&[(args.path.clone(), true)], &known).remove(0);
    match loaded.result {
        Ok(scenario) => Ok((*scenario, settings)),
        Err(mistakes) => Err(mistakes.first().map_or_else(String::new, |mistake| mistake.message.clone())),
    }
}

fn settings(args: &BenchArgs, seed: u64, folder: &Path) -> Settings {
    Settings {
        connections: args.connections as usize,
        depth: args.depth as usize,
        threads: args.threads as usize,
        pin: args.pin.clone().unwrap_or_default(),
        warmup: args.warmup,
        duration: args.duration,
        iterations: args.iterations,
        interval: args.interval,
        verify: !args.no_verify,
        fresh: args.fresh,
        from: args.from.clone(),
        timeout: args.timeout,
        floor: !args.no_floor,
        seed,
        read_every: args.slow_reader,
        targets: args.target.clone(),
        allow_remote: args.allow_remote,
        folder: folder.to_path_buf(),
    }
}

/// When the messages in a capture were sent.
fn recorded(file: &Path) -> Result<Arc<[u64]>, String> {
    let cannot = |why: String| format!("cannot take arrivals from `{}`: {why}", file.display());
    let bytes = std::fs::read(file).map_err(|error| cannot(error.to_string()))?;
    let offsets = crate::bench::arrivals::of_capture(&bytes).map_err(|error| cannot(error.to_string()))?;
    offsets.ok_or_else(|| cannot("it holds no two packets with data at different times".into()))
}

/// What a benchmark is compared with.
struct Other {
    scenario: Scenario,
    settings: Settings,
    /// What both are called.
    names: [String; 2],
}

/// Everything that is known before targets start.
struct Run {
    other: Option<Other>,
    /// Whether both are the same.
    is_aa: bool,
    scenario: Scenario,
    load: Load,
    wanted: Wanted,
    settings: Settings,
    filter: Option<Filter>,
    command: Vec<String>,
    report: Report,
    folder: PathBuf,
    clock: Clock,
    seed: u64,
    talk: Talk,
}

impl Run {
    async fn play(self, guard: Guard) -> Exit {
        let (before, own) = (Ticks::look(), Ticks::of_process(std::process::id()));
        let session = match Session::start(&self.scenario, self.settings.clone(), guard.clone()).await {
            Ok(session) => session,
            Err(SessionError::Target(failure)) => {
                complain(&failure.message, failure.hint.as_deref(), Exit::Unreachable);
                failure.notes.iter().for_each(|note| self.say(note));
                return Exit::Unreachable;
            }
            Err(error) => {
                complain(&error.to_string(), None, Exit::Unreachable);
                return Exit::Unreachable;
            }
        };
        let other = match &self.other {
            None => None,
            Some(other) => match Session::start(&other.scenario, other.settings.clone(), guard).await {
                Ok(mut started) => {
                    started.stop = Arc::clone(&session.stop);
                    Some((&other.scenario, started, &other.names))
                }
                Err(error) => {
                    complain(&format!("{}: {error}", other.names[1]), None, Exit::Unreachable);
                    return Exit::Unreachable;
                }
            },
        };
        let stop = Arc::clone(&session.stop);
        let interrupts = tokio::task::spawn_local(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                // Whoever presses it again does not want to wait.
                if stop.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
        let mut exit = Exit::Nothing;
        let mut results: Vec<(Outcome, Measured)> = Vec::new();
        let (mut found, mut comparisons) = (None, Vec::new());
        for case in &self.scenario.cases {
            let selected = self.filter.as_ref().is_none_or(|filter| {
                filter.selects(Subject {
                    scenario: &self.scenario.name,
                    case: &case.name,
                    repetition: &case.name,
                    file: &self.scenario.file,
                    tags: &case.tags,
                })
            });
            if !selected || session.is_stopped() {
                continue;
            }
            let measured = match &other {
                Some((scenario, other, names)) => {
                    let other_case = scenario.cases.iter().find(|other| other.name == case.name).unwrap_or(case);
                    let sides = [(&session, &self.scenario, case), (other, scenario, other_case)];
                    self.compare(sides, [&names[0], &names[1]]).await.map(|compared| comparisons.extend(compared))
                }
                None => self.measure(&session, case, &mut results, &mut found).await,
            };
            match measured {
                Ok(()) if exit == Exit::Nothing => exit = Exit::Held,
                Ok(()) => {}
                Err(SessionError::Unfit(unfit)) => {
                    self.say(&format!("{}: cannot be measured: {unfit} ({})", case.name, unfit.place));
                    unfit.hint.iter().for_each(|hint| self.say(&format!("  hint: {hint}")));
                }
                Err(error) => {
                    self.say(&format!("{}: {error}", case.name));
                    if matches!(error, SessionError::Rehearsal(_)) {
                        let file = crate::report::text::shell_word(&self.scenario.file);
                        self.say(&format!("  hint: `harness run {file}` tells more"));
                    }
                    exit = worst(
                        exit,
                        match error {
                            SessionError::Unreachable(_) => Exit::Unreachable,
                            _ => Exit::Failed,
                        },
                    );
                }
            }
        }
        interrupts.abort();
        let environment = session.environment(before, own);
        if let Some((name, status)) = session.fixture().crashed() {
            self.say(&format!("the target `{name}` crashed: {status}"));
            session.fixture().tail(name).iter().for_each(|line| self.say(&format!("  {}", line.text)));
            exit = worst(exit, Exit::Crashed);
        }
        let stopped = session.is_stopped();
        session.finish().await;
        if let Some((_, other, _)) = other {
            other.finish().await;
        }
        if results.is_empty() && comparisons.is_empty() {
            if exit == Exit::Nothing {
                self.say("nothing was measured: no case was selected, or none can be");
            }
            return exit;
        }
        for (outcome, _) in &results {
            exit = worst(exit, verdict(outcome, &self.load));
        }
        if comparisons.iter().any(Comparison::is_regression) {
            exit = worst(exit, if self.is_aa { Exit::Failed } else { Exit::Behind });
        }
        if stopped {
            exit = worst(exit, Exit::Incomplete);
        }
        let bench = Bench {
            v: VERSION,
            harness: env!("CARGO_PKG_VERSION").into(),
            scenario: self.scenario.file.clone(),
            seed: self.seed,
            command: self.command.clone(),
            unix_ns: self.clock.unix_ns(),
            environment,
            results: results.iter().map(|(outcome, _)| outcome.clone()).collect(),
            found,
            comparisons,
        };
        match self.tell(&bench, &results) {
            Ok(()) => exit,
            Err(error) => {
                complain(&format!("not all results could be written: {error}"), None, Exit::Bug);
                Exit::Bug
            }
        }
    }

    async fn measure(
        &self,
        session: &Session,
        case: &Case,
        results: &mut Vec<(Outcome, Measured)>,
        found: &mut Option<crate::bench::outcome::Found>,
    ) -> Result<(), SessionError> {
        let subject = session.prepare(&self.scenario, case).await?;
        subject.notes.iter().for_each(|note| self.say(&format!("{}: {note}", case.name)));
        let floor = session.floor(&subject).await?;
        let watcher = Line { name: case.name.clone(), shown: self.is_watched() };
        let measured = modes::run(session, &subject, &self.load, &self.wanted, watcher).await?;
        if self.is_watched() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        for (mut outcome, measured) in measured.results {
            if let Some((here, same)) = &floor {
                outcome = outcome.with_floor(here, same.as_ref());
            }
            results.push((outcome, measured));
        }
        if measured.found.is_some() {
            *found = measured.found;
        }
        Ok(())
    }

    /// Measures two of the same case in turn, a pair after the other.
    async fn compare(
        &self,
        sides: [(&Session, &Scenario, &Case); 2],
        names: [&str; 2],
    ) -> Result<Option<Comparison>, SessionError> {
        let mut plans = Vec::new();
        for (session, scenario, case) in sides {
            let subject = session.prepare(scenario, case).await?;
            let mut plan = subject.plan;
            plan.duration = (self.settings.duration / (2 * PAIRS as u32)).max(PAIR_MIN);
            plan.warmup = plan.duration / 10;
            plan.interval = plan.duration;
            if let Load::Open(rate) = self.load {
                plan.pace = Pace::Open(rate, self.wanted.arrivals.clone());
            }
            plans.push(plan);
        }
        let (first, case) = (sides[0].0, sides[0].2);
        let is_same_core = first.cores().0.len() == 1 && first.cores().0 == first.cores().1;
        let band = if is_same_core { BAND_SAME_CORE } else { BAND_CROSS_CORE };
        let mut samples = Vec::new();
        let mut halves: [Option<Sample>; 2] = [None, None];
        for side in order(PAIRS) {
            let at = usize::from(side == Side::Second);
            let measured = sides[at].0.measure(plans[at].clone(), |_| {}).await?;
            if measured.total.counts.failed() > 0 {
                return Err(SessionError::Rehearsal(measured.failures));
            }
            halves[at] = Sample::of(&measured);
            if let [Some(one), Some(two)] = halves {
                samples.push([one, two]);
                halves = [None, None];
            }
            if first.is_stopped() {
                break;
            }
        }
        Ok(Comparison::of(names, &case.name, samples, band, self.seed))
    }

    fn is_watched(&self) -> bool {
        !self.talk.quiet && std::io::stderr().is_terminal()
    }

    fn say(&self, text: &str) {
        let _ = writeln!(anstream::stderr(), "{text}");
    }

    fn tell(&self, bench: &Bench, results: &[(Outcome, Measured)]) -> std::io::Result<()> {
        let measured: Vec<&Measured> = results.iter().map(|(_, measured)| measured).collect();
        crate::bench::files::write(&self.folder, bench, &measured)?;
        let mut stdout = anstream::AutoStream::new(std::io::stdout(), super::check::look_choice(self.talk));
        match self.report {
            Report::Json => {
                serde_json::to_writer_pretty(&mut stdout, bench)?;
                writeln!(stdout)
            }
            Report::Human => {
                let look = Look::of(&std::io::stdout(), self.talk.color());
                write!(stdout, "{}", crate::bench::show::bench(bench, look))?;
                if !self.talk.quiet {
                    self.say(&format!("results: {}", self.folder.display()));
                }
                Ok(())
            }
        }
    }
}

/// What a result comes to. What a search tries is meant to fail now and then.
fn verdict(outcome: &Outcome, load: &Load) -> Exit {
    let datagrams = outcome.target.starts_with("udp");
    let counts = &outcome.counts;
    let failed = counts.mismatches + counts.broken + if datagrams { 0 } else { counts.timeouts };
    match load {
        Load::Find(_) => Exit::Held,
        Load::Sweep(_) | Load::Ramp(..) if outcome.held() && counts.mismatches == 0 => Exit::Held,
        _ if outcome.held() && outcome.valid && failed == 0 && counts.iterations > 0 => Exit::Held,
        _ => Exit::Failed,
    }
}

fn worst(first: Exit, second: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Bug => 9,
        Exit::Invalid => 8,
        Exit::Unreachable => 7,
        Exit::Crashed => 6,
        Exit::Failed => 5,
        Exit::Behind => 4,
        Exit::Flaky => 3,
        Exit::Incomplete => 2,
        Exit::Usage | Exit::Held => 1,
        Exit::Nothing => 0,
    };
    if rank(second) > rank(first) { second } else { first }
}

/// The line at the bottom of a terminal while it goes on.
#[derive(Clone)]
struct Line {
    name: String,
    shown: bool,
}

impl Watcher for Line {
    fn begins(&mut self, plan: &Plan) {
        let rate = match &plan.pace {
            Pace::Open(rate, _) if *rate > 0.0 => format!(" at {rate:.0}/s"),
            _ => String::new(),
        };
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K{}{rate}", self.name);
        }
    }

    fn interval(&mut self, interval: &Interval) {
        if self.shown {
            let rate = interval.counts.iterations as f64 * 1e9 / interval.length as f64;
            let [p50, p99, _] = interval.shown.map(|time| time as f64 / 1e3);
            let seconds = interval.begins / 1_000_000_000 + 1;
            let name = &self.name;
            let _ =
                write!(std::io::stderr(), "\r\x1b[K{name}: {seconds} s, {rate:.0}/s, p50 {p50:.1} us, p99 {p99:.1} us");
        }
    }
}
