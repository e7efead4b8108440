//! A run: files in, targets up, cases side by side, events out, and one exit code.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::task::LocalSet;

use super::Address;
use super::address::Url;
use super::clock::Clock;
use super::plan::{Filter, Subject};
use super::player::{self, Dial};
use super::process::{Guard, Ports};
use super::record::{Names, Record};
use super::target::{Group, Owner, Running, Setting};
use crate::capture::{self, Format};
use crate::conversation::script::{Limit, Script};
use crate::conversation::{Conversation, Ended};
use crate::event::{
    CaseFinished, CaseStarted, Event, EventKind, Failure, FailureKind, Mistake, OutputLine, Place, RunStarted, Summary,
    Verdict,
};
use crate::exit::Exit;
use crate::random::Random;
use crate::report::{CaseRecord, Reporter};
use crate::scenario::{Actor, Case, Connect, Restart, Scenario, SkipUnless, Target};
use crate::template::Variables;
use crate::time::Time;

/// After this long, a case that still goes on leaves a first capture.
const PARTIAL_AFTER: Duration = Duration::from_millis(250);

/// How long a target that is ending may take to say how, before its case is judged without it.
const LAST_WORDS: Duration = Duration::from_secs(2);

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
    /// What bounds each case.
    pub timeout: Option<Duration>,
    /// What bounds the run.
    pub time_budget: Option<Duration>,
    /// Which cases are played.
    pub filter: Option<Filter>,
    /// Where targets are instead.
    pub targets: Vec<(Option<String>, Url)>,
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
    let exit = local.block_on(&runtime, async move { Run::new(options, reporters, guard, clock).play(inputs).await });
    // What still runs there are servers of ours, whose connections nobody waits for any more.
    runtime.shutdown_background();
    exit
}

/// Everything that the cases of a run share.
struct Run {
    options: Options,
    started: RunStarted,
    clock: Clock,
    setting: Setting,
    sink: RefCell<Sink>,
    /// `true` once the run is to end early.
    stopping: watch::Sender<Option<Stopping>>,
    slots: Semaphore,
}

/// Why a run ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    /// A case failed, and no more was asked for.
    FailFast,
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// The time budget is used up.
    OutOfTime,
}

/// Where events go, and what was counted.
struct Sink {
    reporters: Vec<Box<dyn Reporter>>,
    summary: Summary,
    names: Names,
    error: Option<std::io::Error>,
    next_case: u32,
}

/// A scenario of a run, and its targets as soon as they are up.
struct File {
    scenario: Scenario,
    folder: PathBuf,
    /// Targets that serve all cases.
    group: OnceCell<Result<Group, Box<Failure>>>,
    /// Which targets have ever been reached.
    reached: RefCell<Vec<bool>>,
    /// How many cases are still to be played.
    left: Cell<usize>,
    /// Targets whose crash a case has told.
    told: RefCell<Vec<String>>,
}

impl Run {
    fn new(options: Options, reporters: Vec<Box<dyn Reporter>>, guard: Guard, clock: Clock) -> Run {
        let started = RunStarted {
            v: crate::event::VERSION,
            harness: env!("CARGO_PKG_VERSION").into(),
            seed: options.seed,
            unix_ns: clock.unix_ns(),
            command: options.command.clone(),
        };
        // Ports are no part of what a seed repeats: two runs with one seed must not meet on them.
        let mut ports = Random::new(clock.unix_ns(), "ports");
        let setting = Setting {
            ports: RefCell::new(Ports::new(&mut ports)),
            guard,
            allow_remote: options.allow_remote,
            overrides: options.targets.clone(),
            folder: options.folder.clone(),
            logs: RefCell::default(),
        };
        let sink = Sink { reporters, summary: Summary::default(), names: Names::default(), error: None, next_case: 0 };
        Run {
            slots: Semaphore::new(options.jobs.max(1)),
            options,
            started,
            clock,
            setting,
            sink: RefCell::new(sink),
            stopping: watch::Sender::new(None),
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
                        group: OnceCell::new(),
                        reached: RefCell::new(vec![false; targets]),
                        left: Cell::new(0),
                        told: RefCell::default(),
                    }));
                }
            }
        }
        let plan = run.plan(&files);
        if plan.is_empty() && run.sink.borrow().summary.invalid_files == 0 {
            let cases: usize = files.iter().map(|file| file.scenario.cases.len()).sum();
            let message = match cases {
                0 => "nothing was selected: there is no scenario in these folders".to_owned(),
                _ => format!("nothing was selected: the filter matches none of {}", crate::text::count(cases, "case")),
            };
            run.tell(EventKind::Warning { message });
        }
        let watchers = [
            tokio::task::spawn_local(Rc::clone(&run).watch_signals()),
            tokio::task::spawn_local(Rc::clone(&run).watch_budget()),
        ];
        let mut playing = Vec::new();
        for (file, case, name) in plan {
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

    /// What is played, in its order: file, case, and the name with the repetition's number.
    fn plan(&self, files: &[Rc<File>]) -> Vec<(Rc<File>, usize, String)> {
        let mut plan = Vec::new();
        for repetition in 1..=self.options.repeat {
            for file in files {
                for (at, case) in file.scenario.cases.iter().enumerate() {
                    let name = if repetition == 1 { case.name.clone() } else { format!("{} #{repetition}", case.name) };
                    let scenario = &file.scenario;
                    let subject = Subject {
                        scenario: &scenario.name,
                        case: &case.name,
                        repetition: &name,
                        file: &scenario.file,
                        tags: &case.tags,
                    };
                    if self.options.filter.as_ref().is_none_or(|filter| filter.selects(subject)) {
                        file.left.set(file.left.get() + 1);
                        plan.push((Rc::clone(file), at, name));
                    }
                }
            }
        }
        if self.options.shuffle {
            let mut random = Random::new(self.options.seed, "shuffle");
            for at in (1..plan.len()).rev() {
                plan.swap(at, random.below(at as u64 + 1) as usize);
            }
        }
        plan
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

    fn tell(&self, kind: EventKind) {
        let event = Event { at: self.clock.now(), case: None, kind };
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
        let exit = if broken { Exit::Bug } else { Exit::of(&summary) };
        self.tell(EventKind::RunFinished { summary, exit_code: exit.code() });
        match error.or(self.sink.borrow_mut().error.take()) {
            Some(error) => Err(error),
            None => Ok(exit),
        }
    }

    /// After a case: the last one of its file ends the file's targets.
    async fn case_done(&self, file: &File) {
        file.left.set(file.left.get() - 1);
        if file.left.get() == 0
            && let Some(Ok(group)) = file.group.get()
        {
            self.end_group(file, group).await;
        }
    }

    /// Ends targets, and judges how they ended.
    async fn end_group(&self, file: &File, group: &Group) {
        let scenario = &file.scenario;
        let mut verdicts = Vec::new();
        for running in &group.running {
            let Some(process) = running.process() else { continue };
            let target = scenario.targets.iter().find(|target| target.name == running.name).expect("it was started");
            let crate::scenario::TargetKind::Command(command) = &target.kind else { continue };
            if running.end(false).await.is_none() && command.expect_exit.is_some() {
                // It is meant to end by itself.
                let _ = tokio::time::timeout(command.stop.1, process.wait_exit()).await;
            }
            let exit = process.exited();
            match (exit, command.expect_exit) {
                (Some(exit), _) if process.is_crash(exit) && !file.told.borrow().contains(&running.name) => {
                    let (kind, wanted) = match command.expect_exit {
                        Some(wanted) => (FailureKind::Mismatch, format!("expected exit status {wanted}, got {exit}")),
                        None => (FailureKind::Crash, format!("the target `{}` crashed: {exit}", running.name)),
                    };
                    verdicts.push((target, kind, wanted, running.tail()));
                }
                (Some(exit), Some(wanted)) if exit != super::process::Exit::Code(wanted) && !process.is_crash(exit) => {
                    let message = format!("expected exit status {wanted}, got {exit}");
                    verdicts.push((target, FailureKind::Mismatch, message, running.tail()));
                }
                (None, Some(wanted)) => {
                    let shown = crate::time::show_duration(command.stop.1);
                    let message =
                        format!("expected exit status {wanted}, and it still runs {shown} after the last case");
                    verdicts.push((target, FailureKind::Timeout, message, running.tail()));
                }
                _ => {}
            }
            let untold = !file.told.borrow().contains(&running.name);
            if let Some(exit) = exit.filter(|_| untold) {
                self.tell(running.exited(&scenario.name, exit));
            }
        }
        let stopped = group.stop().await;
        for (name, stopped) in stopped {
            if stopped.killed {
                let message = format!("the target `{name}` did not end in time and had to be killed");
                self.tell(EventKind::Warning { message });
            }
        }
        for (target, kind, message, output) in verdicts {
            self.tell_end_of_target(file, target, kind, message, output);
        }
    }

    /// A target's wrong end, reported as a case of its own.
    fn tell_end_of_target(
        &self,
        file: &File,
        target: &Target,
        kind: FailureKind,
        message: String,
        output: Vec<OutputLine>,
    ) {
        let at = self.clock.now();
        let number = self.sink.borrow_mut().take_number();
        let name = format!("the end of the target `{}`", target.name);
        let started = case_started(&file.scenario, name, &target.place, &[], &[], Vec::new());
        let failure = failure(kind, message.clone(), target.place.clone());
        let verdict = if kind == FailureKind::Crash { Verdict::Crashed } else { Verdict::Failed };
        let finished = CaseFinished {
            verdict,
            reason: Some(message),
            duration_ns: 0,
            capture: None,
            frame: None,
            reproduce: Some(self.reproduce(&file.scenario, None)),
        };
        let mut kinds = vec![
            EventKind::CaseStarted(Arc::new(started)),
            EventKind::StepFailed { step: None, started: at, failure: Box::new(failure) },
            EventKind::CaseFinished(finished),
        ];
        if !output.is_empty() {
            let (scenario, target) = (file.scenario.name.clone(), target.name.clone());
            kinds.insert(2, EventKind::TargetOutput { scenario, target, output });
        }
        let events: Vec<Event> = kinds.into_iter().map(|kind| Event { at, case: Some(number), kind }).collect();
        self.hand_over(&events, verdict);
    }

    fn hand_over(&self, events: &[Event], verdict: Verdict) {
        let mut sink = self.sink.borrow_mut();
        sink.summary.count(verdict);
        let record = CaseRecord::new(events).expect("a case begins and ends");
        let told = sink.reporters.case(&record);
        sink.note(told);
        let failed =
            !matches!(verdict, Verdict::Passed | Verdict::Skipped | Verdict::ExpectedFailure | Verdict::Interrupted);
        if failed && self.options.fail_fast {
            self.stopping.send_if_modified(|stopping| {
                stopping.is_none() && {
                    *stopping = Some(Stopping::FailFast);
                    true
                }
            });
        }
    }

    async fn play_case(&self, file: &Rc<File>, at: usize, name: String) {
        let scenario = &file.scenario;
        let case = &scenario.cases[at];
        let number = self.sink.borrow_mut().take_number();
        let skipped = case.skip.clone().or_else(|| missing(&case.skip_unless));
        let mut own = Group::default();
        let up = match skipped {
            Some(_) => Ok(None),
            None => self.targets_up(file, &name, &mut own).await,
        };
        // The start of a target is no part of the case's time.
        let begun = self.clock.now();
        let script = &case.script;
        let started = case_started(scenario, name.clone(), &script.place, &case.tags, &case.spec, script.infos.clone());
        let started = Arc::new(started);
        let mut events =
            vec![Event { at: begun, case: Some(number), kind: EventKind::CaseStarted(Arc::clone(&started)) }];
        let tell =
            |events: &mut Vec<Event>, kind| events.push(Event { at: self.clock.now(), case: Some(number), kind });

        if let Some(reason) = skipped {
            let finished = CaseFinished {
                verdict: Verdict::Skipped,
                reason: Some(reason),
                duration_ns: 0,
                capture: None,
                frame: None,
                reproduce: None,
            };
            tell(&mut events, EventKind::CaseFinished(finished));
            return self.hand_over(&events, Verdict::Skipped);
        }

        let path = (self.options.record != Record::Off)
            .then(|| self.sink.borrow_mut().names.pick(&scenario.name, &name, self.options.format.extension()));
        let outcome = match up {
            Err(failure) => Outcome { verdict: Verdict::Unreachable, failure: Some(failure) },
            Ok(shared) => {
                let running: Vec<&Running> =
                    shared.into_iter().flat_map(|group| &group.running).chain(&own.running).collect();
                for running in running.iter().filter(|running| running.is_ours()) {
                    tell(&mut events, running.started(&scenario.name));
                }
                let mut variables = shared.map(|group| group.variables.clone()).unwrap_or_default();
                variables.extend(own.variables.clone());
                let stage = Stage { file, case, name: &name, number, running: &running, path: path.as_deref() };
                self.converse(&stage, variables, &started, &mut events).await
            }
        };
        own.stop().await;

        let Outcome { mut verdict, failure } = outcome;
        let mut reason = failure.as_ref().map(|failure| failure.message.clone());
        if let Some(failure) =
            failure.filter(|_| !events.iter().any(|event| matches!(event.kind, EventKind::StepFailed { .. })))
        {
            tell(&mut events, EventKind::StepFailed { step: None, started: begun, failure });
        }
        if let Some(why) = &case.xfail {
            match verdict {
                Verdict::Failed | Verdict::Crashed => (verdict, reason) = (Verdict::ExpectedFailure, Some(why.clone())),
                Verdict::Passed => {
                    verdict = Verdict::UnexpectedPass;
                    let message = format!("it held, although it is expected to fail: {why}");
                    let mut failure = self::failure(FailureKind::UnexpectedPass, message.clone(), script.place.clone());
                    failure.hint = Some("if what was wrong is put right, take `xfail` out".into());
                    tell(&mut events, EventKind::StepFailed { step: None, started: begun, failure: Box::new(failure) });
                    reason = Some(message);
                }
                _ => {}
            }
        }
        let good = matches!(verdict, Verdict::Passed | Verdict::ExpectedFailure);
        let mut finished = CaseFinished {
            verdict,
            reason,
            duration_ns: u64::try_from(self.clock.now().since(begun).as_nanos()).unwrap_or(u64::MAX),
            capture: None,
            frame: None,
            reproduce: (!good).then(|| self.reproduce(scenario, Some(&name))),
        };
        if let Some(path) = path {
            let wanted = self.options.record == Record::All || !good;
            let whole = self.options.folder.join(&path);
            if wanted {
                let encoded = capture::encode(&self.started, &started, &events, Some(&finished), self.options.format);
                match capture::write_file(&whole, &encoded.bytes) {
                    Ok(()) => {
                        finished.capture = Some(path.to_string_lossy().into_owned());
                        finished.frame = encoded.failing_frame;
                    }
                    Err(error) => {
                        let message = format!("cannot write the capture {}: {error}", whole.display());
                        self.tell(EventKind::Warning { message });
                    }
                }
            } else {
                // A long case has left a first one, which nobody wants now.
                remove(&whole);
            }
        }
        tell(&mut events, EventKind::CaseFinished(finished));
        self.hand_over(&events, verdict);
    }

    /// Starts what is to be started: the file's targets once, those of a case for each.
    async fn targets_up<'f>(
        &self,
        file: &'f File,
        case: &str,
        own: &mut Group,
    ) -> Result<Option<&'f Group>, Box<Failure>> {
        let scenario = &file.scenario;
        let (each, once): (Vec<&Target>, Vec<&Target>) =
            scenario.targets.iter().partition(|target| target.restart == Restart::Case);
        let owner = Owner { scenario: &scenario.name, case: None, folder: &file.folder };
        let shared = file
            .group
            .get_or_init(|| async {
                let group = super::target::start(&once, &Variables::new(), owner, &self.setting).await?;
                for running in group.running.iter().filter(|running| running.is_ours()) {
                    self.tell(running.started(&scenario.name));
                }
                Ok(group)
            })
            .await;
        let shared = shared.as_ref().map_err(Clone::clone)?;
        if !each.is_empty() {
            let owner = Owner { case: Some(case), ..owner };
            *own = super::target::start(&each, &shared.variables, owner, &self.setting).await?;
        }
        Ok(Some(shared))
    }

    /// Plays the case's conversation, and judges it.
    async fn converse(
        &self,
        stage: &Stage<'_>,
        variables: Variables,
        started: &CaseStarted,
        events: &mut Vec<Event>,
    ) -> Outcome {
        let Stage { file, case, name, number, running, path } = *stage;
        let scenario = &file.scenario;
        let mut dials = Vec::new();
        for actor in &scenario.actors {
            match self.dial(actor, scenario, running, &variables, &file.folder).await {
                Ok(dial) => dials.push(dial),
                Err(message) => {
                    let failure = failure(FailureKind::Refused, message, case.script.place.clone());
                    return Outcome { verdict: Verdict::Unreachable, failure: Some(Box::new(failure)) };
                }
            }
        }
        let script = self.with_timeout(&case.script);
        let transports = dials.iter().map(|dial| dial.address.transport()).collect();
        let random = Random::new(self.options.seed, &format!("{}/{name}", scenario.name));
        let now = self.clock.now();
        let mut conversation = Conversation::new(script, transports, variables, random, number, now);

        let mut next_partial = now + PARTIAL_AFTER;
        let mut tick = |conversation: &mut Conversation| -> Option<Time> {
            let path = path?;
            let now = self.clock.now();
            if now >= next_partial {
                while let Some(event) = conversation.poll_event() {
                    events.push(event);
                }
                let encoded = capture::encode(&self.started, started, events, None, self.options.format);
                // What cannot be written now will be told at the end of the case.
                let _ = capture::write_file(&self.options.folder.join(path), &encoded.bytes);
                // Twice as long each time: all of them together cost no more than the last.
                next_partial = now + now.since(next_partial - PARTIAL_AFTER).max(PARTIAL_AFTER) * 2;
            }
            Some(next_partial)
        };
        let abort = Box::pin(self.trouble(running));
        player::play(&mut conversation, &dials, &self.clock, abort, &mut tick).await;
        while let Some(event) = conversation.poll_event() {
            events.push(event);
        }
        let ended = conversation.ended().expect("it was played to its end").clone();
        self.judge(stage, ended, events).await
    }

    /// Waits for whatever ends a case from outside: a crash of a target, or the end of the run.
    async fn trouble(&self, running: &[&Running]) -> (FailureKind, String) {
        let mut stopping = self.stopping.subscribe();
        let interrupted = async {
            let _ = stopping.wait_for(|stopping| stopping.is_some_and(|why| why != Stopping::FailFast)).await;
            (FailureKind::System, "the run was interrupted".to_owned())
        };
        let mut crashes: Vec<_> = running
            .iter()
            .filter_map(|running| Some((running, running.process()?)))
            .map(|(running, process)| {
                Box::pin(async move {
                    let exit = process.wait_exit().await;
                    if !process.is_crash(exit) {
                        // It has ended in order; the steps tell whether that was right.
                        std::future::pending::<()>().await;
                    }
                    (FailureKind::Crash, format!("the target `{}` crashed: {exit}", running.name))
                })
            })
            .collect();
        let crashed = std::future::poll_fn(|cx| {
            for crash in &mut crashes {
                if let std::task::Poll::Ready(crash) = crash.as_mut().poll(cx) {
                    return std::task::Poll::Ready(crash);
                }
            }
            std::task::Poll::Pending
        });
        tokio::select! {
            biased;
            crash = crashed => crash,
            interrupted = interrupted => interrupted,
        }
    }

    async fn judge(&self, stage: &Stage<'_>, ended: Ended, events: &mut Vec<Event>) -> Outcome {
        let Stage { file, case, number, running, .. } = *stage;
        let scenario = &file.scenario;
        self.note_reached(file, events);
        // A connection that ends when it should not may be the first sign of a crash that is still on its way.
        let lost = matches!(
            &ended,
            Ended::Failed { failure, .. }
                if matches!(failure.kind, FailureKind::Closed | FailureKind::Refused | FailureKind::Reset)
        );
        let mut crash = None;
        let mut gone = None;
        for running in running {
            let Ok(Some(exit)) = tokio::time::timeout(LAST_WORDS, running.end(lost)).await else { continue };
            let process = running.process().expect("only a process ends");
            if process.is_crash(exit) {
                crash = Some(format!("the target `{}` crashed: {exit}", running.name));
                file.told.borrow_mut().push(running.name.clone());
            }
            gone = Some((running.name.clone(), exit));
            let kind = running.exited(&scenario.name, exit);
            events.push(Event { at: self.clock.now(), case: Some(number), kind });
        }
        let interrupted = self.stopping.borrow().is_some_and(|why| why != Stopping::FailFast);
        let (verdict, failure) = match (ended, crash) {
            (Ended::Passed, None) => return Outcome { verdict: Verdict::Passed, failure: None },
            (Ended::Passed, Some(message)) => {
                let failure = failure(FailureKind::Crash, message, case.script.place.clone());
                (Verdict::Crashed, Box::new(failure))
            }
            (Ended::Failed { mut failure, .. }, Some(message)) => {
                // Whatever the step saw, it saw of a server that was dying.
                if failure.kind != FailureKind::Crash {
                    failure.notes.insert(0, std::mem::replace(&mut failure.message, message));
                    failure.kind = FailureKind::Crash;
                    replace_failure(events, &failure);
                }
                (Verdict::Crashed, failure)
            }
            (Ended::Failed { failure, .. }, None) if interrupted && failure.kind == FailureKind::System => {
                (Verdict::Interrupted, failure)
            }
            (Ended::Failed { mut failure, unreached }, None) => {
                let never = unreached.is_some_and(|actor| !self.is_reached(file, actor));
                if let (Some((name, exit)), true) = (gone, failure.kind == FailureKind::Refused) {
                    failure.notes.push(format!("the target `{name}` has ended before: {exit}"));
                    failure.hint.get_or_insert_with(|| "`restart = \"case\"` starts one for each case".into());
                    replace_failure(events, &failure);
                }
                if never && failure.hint.is_none() {
                    failure.hint =
                        Some("nothing was ever reached there: is the target running, and is this its address?".into());
                    replace_failure(events, &failure);
                }
                (if never { Verdict::Unreachable } else { Verdict::Failed }, failure)
            }
        };
        for running in running {
            let output = running.tail();
            if running.process().is_some_and(|process| process.exited().is_none()) && !output.is_empty() {
                let (scenario, target) = (scenario.name.clone(), running.name.clone());
                let kind = EventKind::TargetOutput { scenario, target, output };
                events.push(Event { at: self.clock.now(), case: Some(number), kind });
            }
        }
        Outcome { verdict, failure: Some(failure) }
    }

    /// A target was reached when a connection to it opened, or when a datagram came back.
    fn note_reached(&self, file: &File, events: &[Event]) {
        let mut opened: HashMap<u32, (usize, bool)> = HashMap::new();
        for event in events {
            let (connection, data) = match &event.kind {
                EventKind::ConnectionOpened { connection, actor, transport, .. } => {
                    let at = file.scenario.actors.iter().position(|known| known.name == **actor);
                    opened.insert(*connection, (at.expect("it is one of them"), transport.is_datagram()));
                    (*connection, false)
                }
                EventKind::Received { connection, .. } => (*connection, true),
                _ => continue,
            };
            if let Some((actor, datagram)) = opened.get(&connection)
                && (data || !datagram)
            {
                file.reached.borrow_mut()[slot(&file.scenario, *actor)] = true;
            }
        }
    }

    fn is_reached(&self, file: &File, actor: usize) -> bool {
        file.reached.borrow()[slot(&file.scenario, actor)]
    }

    async fn dial(
        &self,
        actor: &Actor,
        scenario: &Scenario,
        running: &[&Running],
        variables: &Variables,
        folder: &std::path::Path,
    ) -> Result<Dial, String> {
        let unset = |unset: crate::template::Unset| format!("the variable `{}` has no value", unset.0);
        let address = match &actor.connect {
            Connect::Target(at) => {
                let name = &scenario.targets[*at].name;
                let running = running.iter().find(|running| running.name == *name);
                running.expect("all targets are up").address.clone()
            }
            Connect::Url(template) => {
                let url =
                    Url::parse(&template.fill_text(variables).map_err(unset)?).map_err(|error| error.to_string())?;
                let address = url.resolve(self.options.allow_remote).await.map_err(|error| error.to_string())?;
                super::socket::in_folder(address, folder)
            }
        };
        let bind = match &actor.bind {
            None => None,
            Some(template) => {
                let text = template.fill_text(variables).map_err(unset)?;
                let socket = text.parse().or_else(|_| text.parse().map(|ip| SocketAddr::new(ip, 0)));
                Some(socket.map_err(|_| format!("`bind` is a host, or a host and a port, not `{text}`"))?)
            }
        };
        let bind = bind.filter(|_| matches!(address, Address::Tcp(_) | Address::Udp(_)));
        Ok(Dial { address, bind })
    }

    /// The script with `--timeout` as its deadline, if that is the earlier one.
    fn with_timeout(&self, script: &Arc<Script>) -> Arc<Script> {
        match self.options.timeout {
            Some(duration) if script.deadline.as_ref().is_none_or(|limit| duration < limit.duration) => {
                let deadline = Some(Limit { duration, set_by: "`--timeout` on the command line".into() });
                Arc::new(Script { deadline, ..Script::clone(script) })
            }
            _ => Arc::clone(script),
        }
    }

    /// The command that plays one case alone, with the same bytes; without a case, the whole file.
    fn reproduce(&self, scenario: &Scenario, case: Option<&str>) -> String {
        let mut words = vec!["harness".to_owned(), "run".to_owned(), scenario.file.clone()];
        // A repetition draws its own bytes, by its number; the first is what is played without any.
        let number = case.and_then(|name| name.rsplit_once(" #")?.1.parse::<u32>().ok());
        let number = number.filter(|number| (2..=self.options.repeat).contains(number));
        if let Some(name) = case.filter(|_| scenario.cases.len() > 1 || number.is_some()) {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            words.extend(["--filter".to_owned(), format!("case:\"{quoted}\"")]);
        }
        if let Some(number) = number {
            words.extend(["--repeat".to_owned(), number.to_string()]);
        }
        words.extend(["--seed".to_owned(), self.options.seed.to_string()]);
        words.extend(self.options.reproduce.iter().cloned());
        let words: Vec<_> = words.iter().map(|word| crate::report::text::shell_word(word)).collect();
        words.join(" ")
    }
}

impl Sink {
    fn take_number(&mut self) -> u32 {
        let number = self.next_case;
        self.next_case += 1;
        number
    }

    /// Keeps the first error of a report, for the end: a full disk must not stop the cases.
    fn note(&mut self, told: std::io::Result<()>) {
        if let Err(error) = told {
            self.error.get_or_insert(error);
        }
    }
}

/// What a case is played with.
struct Stage<'a> {
    file: &'a File,
    case: &'a Case,
    name: &'a str,
    number: u32,
    running: &'a [&'a Running],
    path: Option<&'a std::path::Path>,
}

/// What came of a case.
struct Outcome {
    verdict: Verdict,
    failure: Option<Box<Failure>>,
}

/// Where it is noted whether an actor's peer was ever reached: by target, or by actor where it has a URL of its own.
fn slot(scenario: &Scenario, actor: usize) -> usize {
    match scenario.actors[actor].connect {
        Connect::Target(at) => at,
        Connect::Url(_) => scenario.targets.len() + actor,
    }
}

fn replace_failure(events: &mut [Event], new: &Failure) {
    for event in events.iter_mut().rev() {
        if let EventKind::StepFailed { failure, .. } = &mut event.kind {
            **failure = new.clone();
            return;
        }
    }
}

fn failure(kind: FailureKind, message: String, place: Place) -> Failure {
    Failure {
        kind,
        message,
        place,
        connection: None,
        expected: None,
        expected_bytes: None,
        received: None,
        difference_at: None,
        notes: Vec::new(),
        hint: None,
    }
}

fn case_started(
    scenario: &Scenario,
    name: String,
    place: &Place,
    tags: &[String],
    spec: &[String],
    steps: Vec<crate::event::StepInfo>,
) -> CaseStarted {
    CaseStarted {
        scenario: scenario.name.clone(),
        name,
        file: scenario.file.clone(),
        line: place.line,
        tags: tags.to_vec(),
        spec: spec.to_vec(),
        steps,
    }
}

/// Why a case cannot be played here.
fn missing(wanted: &[SkipUnless]) -> Option<String> {
    wanted.iter().find_map(|wanted| match wanted {
        SkipUnless::Command(name) => (!on_path(name)).then(|| format!("the program `{name}` is not here")),
        SkipUnless::Env(name) => {
            std::env::var_os(name).is_none().then(|| format!("the environment has no variable `{name}`"))
        }
        SkipUnless::Ipv6 => (!has_ipv6()).then(|| "there is no IPv6 on the loopback".to_owned()),
        SkipUnless::Os(name) => {
            (name != std::env::consts::OS).then(|| format!("this is {}, not {name}", std::env::consts::OS))
        }
        SkipUnless::Root => (!geteuid().is_root()).then(|| "it needs the superuser".to_owned()),
    })
}

fn on_path(name: &str) -> bool {
    let is_program = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return is_program(std::path::Path::new(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(name)))
}

fn has_ipv6() -> bool {
    std::net::UdpSocket::bind("[::1]:0").is_ok()
}

fn remove(path: &std::path::Path) {
    // Most cases are over before there is anything to remove.
    let _ = std::fs::remove_file(path);
}
