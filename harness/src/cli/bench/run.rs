//! One benchmark, from the start of its targets to its exit code.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::args::Report;
use super::compare::Other;
use crate::bench::compare::{Comparison, Unpaired, Verdict, band, unpaired};
use crate::bench::environment::Ticks;
use crate::bench::hlog::Log;
use crate::bench::measure::{Interval, Measured};
use crate::bench::modes::{self, Load, Wanted, Watcher};
use crate::bench::outcome::{Bench, Outcome, VERSION};
use crate::bench::plan::{Pace, Plan};
use crate::bench::session::{Session, SessionError, Settings};
use crate::cli::{Talk, complain};
use crate::exit::Exit;
use crate::report::Look;
use crate::runner::process::Guard;
use crate::runner::{Clock, Filter, Subject};
use crate::scenario::{Case, Scenario};

/// Everything that is known before targets start.
pub(super) struct Run {
    pub(super) other: Option<Other>,
    /// Whether both are the same.
    pub(super) is_aa: bool,
    pub(super) scenario: Scenario,
    pub(super) load: Load,
    /// An earlier benchmark, to hold the latencies against.
    pub(super) baseline: Option<Log>,
    pub(super) wanted: Wanted,
    pub(super) settings: Settings,
    pub(super) filter: Option<Filter>,
    pub(super) command: Vec<String>,
    pub(super) report: Report,
    pub(super) folder: PathBuf,
    pub(super) clock: Clock,
    pub(super) seed: u64,
    pub(super) talk: Talk,
}

impl Run {
    pub(super) async fn play(self, guard: Guard) -> Exit {
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
        let (stopped, cores) = (session.is_stopped(), session.cores().clone());
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
        let mut bench = Bench {
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
            baseline: Vec::new(),
        };
        if let Some(baseline) = &self.baseline {
            bench.baseline = against(baseline, &bench, &results, band(&cores));
            if bench.baseline.is_empty() {
                complain(
                    "the baseline has no latencies under the same load, or too few intervals of them",
                    Some("case, mode, rate, connections and depth have to be those of the baseline"),
                    Exit::Invalid,
                );
                exit = worst(exit, Exit::Invalid);
            }
            if bench.baseline.iter().any(|series| series.verdict == Verdict::Worse) {
                exit = worst(exit, Exit::Behind);
            }
        }
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
        let (mut floor, mut one_way) = (None, None);
        match &subject.plan.workload.bulk {
            None => floor = session.floor(&subject).await?,
            Some(bulk) => one_way = session.floor_one_way(&subject, bulk).await?,
        }
        let watcher = Line { name: case.name.clone(), shown: self.is_watched() };
        let measured = modes::run(session, &subject, &self.load, &self.wanted, watcher).await?;
        if self.is_watched() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        for (mut outcome, measured) in measured.results {
            if let Some((here, same)) = &floor {
                outcome = outcome.with_floor(here, same.as_ref());
            }
            if let Some(floor) = one_way {
                outcome = outcome.with_floor_one_way(floor);
            }
            results.push((outcome, measured));
        }
        if measured.found.is_some() {
            *found = measured.found;
        }
        Ok(())
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
        let mut stdout = anstream::AutoStream::new(std::io::stdout(), crate::cli::check::look_choice(self.talk));
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

/// The latencies, held against those of an earlier benchmark.
fn against(baseline: &Log, bench: &Bench, results: &[(Outcome, Measured)], band: f64) -> Vec<Unpaired> {
    let measured: Vec<&Measured> = results.iter().map(|(_, measured)| measured).collect();
    let mut now = crate::bench::files::histograms(bench, &measured);
    now.lines.retain(|line| line.tag.ends_with("/latency"));
    unpaired(baseline, &now, band)
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
