//! A run: files in, targets up, cases side by side, events out, and one exit code.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{OnceCell, RwLock, Semaphore, watch};
use tokio::task::LocalSet;

use super::clock::Clock;
use super::growth::History;
use super::plan::Filter;
use super::process::{Guard, Ports};
use super::record::{Names, Record};
use super::secrets::Secrets;
use super::select::{LastFailed, Partition};
use super::target::{Group, Setting};
use super::tls::Keys;
use super::watch::Watch;
use crate::capture::Format;
use crate::event::{Event, EventKind, Failure, Mistake, RunStarted, Summary, Verdict};
use crate::exit::{Exit, Flaky};
use crate::fault::Fault;
use crate::random::Random;
use crate::report::{CaseRecord, Reporter};
use crate::scenario::{Family, Scenario};
use crate::time::Time;
use crate::url::Url;

/// What a run needs to know besides its files.
#[derive(Debug)]
pub struct Options {
    /// What all chance comes from.
    pub seed: u64,
    /// How many cases are played side by side.
    pub jobs: usize,
    /// How often each case is played.
    pub repeat: u32,
    /// Whether the order of the cases is drawn.
    pub shuffle: bool,
    /// Whether the first failure ends the run.
    pub fail_fast: bool,
    /// Whether it does so and is told with the number of its repetition.
    pub until_fail: bool,
    /// How often a case that does not hold is played again.
    pub retries: u32,
    /// What a case counts as that held at a later attempt.
    pub flaky: Flaky,
    /// After this long, and each time it has gone on for so long again, a case is told to be slow.
    pub slow_after: Option<Duration>,
    /// Whether reporters hear of progress.
    pub progress: bool,
    /// What bounds each case.
    pub timeout: Option<Duration>,
    /// How long all targets have to be at rest for what a step waits for to be given up on; `None`: only deadlines count.
    pub rest: Option<Duration>,
    /// What bounds the run.
    pub time_budget: Option<Duration>,
    /// Which cases are played.
    pub filter: Option<Filter>,
    /// Only what did not hold in an earlier run.
    pub last_failed: Option<LastFailed>,
    /// Only one part of what is left of them.
    pub partition: Option<Partition>,
    /// Where targets are instead.
    pub targets: Vec<(Option<String>, Url)>,
    /// Whose TLS secrets captures hold.
    pub tls_keys: Keys,
    /// Whether anything may be sent off this machine.
    pub allow_remote: bool,
    /// Which cases leave a capture.
    pub record: Record,
    /// In which format.
    pub format: Format,
    /// The run's folder.
    pub folder: PathBuf,
    /// What repeats a case: the command line without paths and filter.
    pub reproduce: Vec<String>,
    /// The command line.
    pub command: Vec<String>,
}

/// A file of a run.
#[derive(Debug)]
pub enum Input {
    /// One that cannot be played.
    Invalid {
        /// Its name.
        file: String,
        /// What is wrong with it.
        mistakes: Vec<Mistake>,
    },
    /// A scenario.
    Scenario(Box<Scenario>),
}

/// Plays scenarios to the end, or until `interrupted` says so.
pub fn run(
    inputs: Vec<Input>,
    options: Options,
    reporters: Vec<Box<dyn Reporter>>,
    guard: Guard,
    clock: Clock,
) -> std::io::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let scenarios = || {
        inputs.iter().filter_map(|input| match input {
            Input::Invalid { .. } => None,
            Input::Scenario(scenario) => Some(scenario),
        })
    };
    let values = scenarios().flat_map(|scenario| &scenario.secrets).map(|value| value.clone().into());
    let secrets = Secrets::new(values, scenarios().flat_map(|scenario| scenario.secret_names.clone()));
    let exit =
        local.block_on(&runtime, async move { Run::new(options, secrets, reporters, guard, clock).play(inputs).await });
    // What still runs there are servers of ours, whose connections nobody waits for any more.
    runtime.shutdown_background();
    exit
}

/// Everything that the cases of a run share.
pub(super) struct Run {
    pub(super) options: Options,
    pub(super) started: RunStarted,
    pub(super) clock: Clock,
    pub(super) secrets: Secrets,
    pub(super) setting: Setting,
    /// Where the files of the run's own authority are, by variable.
    pub(super) tls_files: RefCell<Vec<(&'static str, PathBuf)>>,
    pub(super) sink: RefCell<Sink>,
    /// `true` once the run is to end early.
    pub(super) stopping: watch::Sender<Option<Stopping>>,
    pub(super) slots: Semaphore,
    pub(super) watch: Watch,
}

impl File {
    /// The targets that serve cases of this family.
    pub(super) fn group(&self, family: Option<Family>) -> &OnceCell<Result<Group, Box<Failure>>> {
        &self.groups[usize::from(family == Some(Family::V6))]
    }

    /// Keeps which faults of a case have fired. One that leaves it to chance may well never do.
    pub(super) fn note_fired(&self, faults: &[Fault], fired: &[usize]) {
        for (number, fault) in faults.iter().enumerate().filter(|(_, fault)| fault.when.probability.is_none()) {
            *self.fired.borrow_mut().entry(fault.place.to_string()).or_default() |= fired.contains(&number);
        }
    }
}

/// Why a run ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopping {
    /// A case failed, and no more was asked for.
    FailFast,
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// The time budget is used up.
    OutOfTime,
}

/// Where events go, and what was counted.
pub(super) struct Sink {
    pub(super) reporters: Vec<Box<dyn Reporter>>,
    pub(super) summary: Summary,
    pub(super) names: Names,
    pub(super) error: Option<std::io::Error>,
    pub(super) next_case: u32,
}

/// A scenario of a run, and its targets as soon as they are up.
pub(super) struct File {
    pub(super) scenario: Scenario,
    pub(super) folder: PathBuf,
    /// Targets that serve all cases; in the second place those that cases on IPv6 have for themselves.
    pub(super) groups: [OnceCell<Result<Group, Box<Failure>>>; 2],
    /// Which targets have ever been reached.
    pub(super) reached: RefCell<Vec<bool>>,
    /// Held by the cases that are played; a case that stops a target which others use holds it alone.
    pub(super) turn: RwLock<()>,
    /// How many cases are still to be played.
    pub(super) left: Cell<usize>,
    /// The faults of the cases that were played, by place, and whether they have ever fired.
    pub(super) fired: RefCell<BTreeMap<String, bool>>,
    /// What its targets used at the ends of its cases.
    pub(super) history: History,
    /// What no output may show, with what its cases have found so far.
    pub(super) secrets: RefCell<Secrets>,
    /// Targets whose crash a case has told.
    pub(super) told: RefCell<Vec<String>>,
}

impl Run {
    fn new(options: Options, secrets: Secrets, reporters: Vec<Box<dyn Reporter>>, guard: Guard, clock: Clock) -> Run {
        let mut started = RunStarted {
            v: crate::event::VERSION,
            harness: env!("CARGO_PKG_VERSION").into(),
            seed: options.seed,
            unix_ns: clock.unix_ns(),
            command: options.command.clone(),
        };
        secrets.mask_texts(&mut started);
        // Ports are no part of what a seed repeats: two runs with one seed must not meet on them.
        let mut ports = Random::new(clock.unix_ns(), "ports");
        let setting = Setting::new(
            Ports::new(&mut ports),
            guard,
            options.allow_remote,
            options.targets.clone(),
            options.folder.clone(),
        );
        let sink = Sink { reporters, summary: Summary::default(), names: Names::default(), error: None, next_case: 0 };
        Run {
            slots: Semaphore::new(options.jobs.max(1)),
            options,
            started,
            clock,
            secrets,
            setting,
            tls_files: RefCell::default(),
            sink: RefCell::new(sink),
            stopping: watch::Sender::new(None),
            watch: Watch::default(),
        }
    }

    async fn play(self, inputs: Vec<Input>) -> std::io::Result<Exit> {
        let run = Rc::new(self);
        run.tell(EventKind::RunStarted(run.started.clone()));
        let mut files = Vec::new();
        for input in inputs {
            match input {
                Input::Invalid { file, mistakes } => {
                    run.sink.borrow_mut().summary.invalid_files += 1;
                    run.tell(EventKind::FileInvalid { file, mistakes });
                }
                Input::Scenario(scenario) => {
                    let folder = std::path::Path::new(&scenario.file).parent().map(PathBuf::from).unwrap_or_default();
                    let targets = scenario.targets.len() + scenario.actors.len();
                    files.push(Rc::new(File {
                        scenario: *scenario,
                        folder,
                        groups: [OnceCell::new(), OnceCell::new()],
                        reached: RefCell::new(vec![false; targets]),
                        turn: RwLock::new(()),
                        left: Cell::new(0),
                        fired: RefCell::default(),
                        history: History::default(),
                        secrets: RefCell::new(run.secrets.clone()),
                        told: RefCell::default(),
                    }));
                }
            }
        }
        let plan = run.plan(&files);
        if plan.is_empty() && run.sink.borrow().summary.invalid_files == 0 {
            run.tell(EventKind::Warning { message: run.nothing_selected(&files) });
        }
        run.watch.planned.set(plan.len() as u64);
        let watchers = [
            tokio::task::spawn_local(Rc::clone(&run).watch_signals()),
            tokio::task::spawn_local(Rc::clone(&run).watch_budget()),
            tokio::task::spawn_local(Rc::clone(&run).watch_cases()),
        ];
        let mut playing = Vec::new();
        for planned in plan {
            let (file, case, name) = planned.resolve(&files);
            // Cases begin in their order; a slot is taken before the next one is made, so that memory stays bounded.
            let mut stopping = run.stopping.subscribe();
            let slot = tokio::select! {
                biased;
                _ = stopping.wait_for(Option::is_some) => None,
                slot = run.slots.acquire() => slot.ok(),
            };
            let Some(slot) = slot else {
                run.sink.borrow_mut().summary.interrupted += 1;
                run.case_done(&file).await;
                continue;
            };
            slot.forget();
            let run = Rc::clone(&run);
            playing.retain(|task: &tokio::task::JoinHandle<()>| !task.is_finished());
            playing.push(tokio::task::spawn_local(async move {
                run.play_case(&file, case, name).await;
                run.slots.add_permits(1);
                run.case_done(&file).await;
            }));
        }
        let mut broken = false;
        for task in playing {
            broken |= task.await.is_err();
        }
        watchers.iter().for_each(tokio::task::JoinHandle::abort);
        run.finish(broken)
    }

    async fn watch_signals(self: Rc<Self>) {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        self.stopping.send_replace(Some(Stopping::Interrupted));
        // Whoever presses it again does not want to wait for targets that take their time.
        interrupt.recv().await;
        std::process::exit(130);
    }

    async fn watch_budget(self: Rc<Self>) {
        if let Some(budget) = self.options.time_budget {
            tokio::time::sleep_until(self.clock.instant(Time::ZERO + budget)).await;
            self.stopping.send_replace(Some(Stopping::OutOfTime));
        }
    }

    /// Tells what belongs to a file, and to none of its cases.
    pub(super) fn tell_of(&self, file: &File, mut kind: EventKind) {
        file.secrets.borrow().mask_texts(&mut kind);
        self.tell(kind);
    }

    pub(super) fn tell(&self, kind: EventKind) {
        let mut event = Event { at: self.clock.now(), case: None, kind };
        self.secrets.mask(std::slice::from_mut(&mut event));
        let mut sink = self.sink.borrow_mut();
        let told = sink.reporters.event(&event);
        sink.note(told);
    }

    fn finish(&self, broken: bool) -> std::io::Result<Exit> {
        let (summary, error) = {
            let mut sink = self.sink.borrow_mut();
            sink.summary.duration_ns = self.clock.now().as_nanos();
            (sink.summary.clone(), sink.error.take())
        };
        let exit = if broken { Exit::Bug } else { Exit::of(&summary, self.options.flaky) };
        self.tell(EventKind::RunFinished { summary, exit_code: exit.code() });
        match error.or(self.sink.borrow_mut().error.take()) {
            Some(error) => Err(error),
            None => Ok(exit),
        }
    }

    pub(super) fn hand_over(&self, events: &[Event], verdict: Verdict) {
        let mut sink = self.sink.borrow_mut();
        sink.summary.count(verdict);
        let record = CaseRecord::new(events).expect("a case begins and ends");
        let told = sink.reporters.case(&record);
        sink.note(told);
        drop(sink);
        let failed = !verdict.is_good() && !matches!(verdict, Verdict::Interrupted | Verdict::Retried);
        if failed && (self.options.fail_fast || self.options.until_fail) {
            let is_first = self.stopping.send_if_modified(|stopping| {
                stopping.is_none() && {
                    *stopping = Some(Stopping::FailFast);
                    true
                }
            });
            if is_first && self.options.until_fail {
                self.tell(EventKind::Warning { message: self.first_failure(&record) });
            }
        }
    }
}

impl Sink {
    pub(super) fn take_number(&mut self) -> u32 {
        let number = self.next_case;
        self.next_case += 1;
        number
    }

    /// Keeps the first error of a report, for the end: a full disk must not stop the cases.
    pub(super) fn note(&mut self, told: std::io::Result<()>) {
        if let Err(error) = told {
            self.error.get_or_insert(error);
        }
    }
}
