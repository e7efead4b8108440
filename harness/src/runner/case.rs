//! One case of a run: its targets up, its conversation played, its capture written. How it ended is judged in `verdict`.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::control::{self, Doing, Hands, Looking};
use super::growth::Meter;
use super::player::{self, Origin, Station, World};
use super::record::Record;
use super::relay;
use super::resting::Resting;
use super::run::{File, Run, Stopping};
use super::skip::missing;
use super::stations::transports;
use super::target::{Group, Owner, Running};
use super::tls::{Keys, Profiles};
use super::verdict::Outcome;
use crate::capture;
use crate::conversation::script::{Limit, Script};
use crate::conversation::{Conversation, Ended};
use crate::event::{
    CaseFinished, CaseStarted, Event, EventKind, Failure, FailureKind, Place, RunStarted, StepInfo, Verdict,
};
use crate::fault::Plan;
use crate::random::Random;
use crate::scenario::{Case, Restart, Scenario, Target};
use crate::template::Variables;
use crate::time::Time;

/// After this long, a case that still goes on leaves a first capture.
const PARTIAL_AFTER: Duration = Duration::from_millis(250);

/// How long what a target writes may be on its way to us when its case ends.
const WRITING: Duration = Duration::from_millis(30);

/// What a case is played with.
pub(super) struct Stage<'a> {
    pub(super) file: &'a File,
    pub(super) case: &'a Case,
    pub(super) name: &'a str,
    pub(super) number: u32,
    pub(super) running: &'a [&'a Running],
    pub(super) path: Option<&'a Path>,
}

impl Run {
    /// What a target is never to do, and has done.
    async fn unwanted(&self, stage: &Stage<'_>) -> Option<Box<Failure>> {
        let watched = stage.running.iter().filter_map(|running| {
            let target = stage.file.scenario.targets.iter().find(|target| target.name == running.name)?;
            (!target.never.is_empty()).then_some((running, &target.never))
        });
        let watched: Vec<_> = watched.collect();
        if watched.is_empty() {
            return None;
        }
        // What a thread writes as it dies comes at about the time at which its connection ends.
        tokio::time::sleep(WRITING).await;
        watched.into_iter().find_map(|(running, never)| running.did(never)).map(Box::new)
    }

    /// Plays a case, and again for as long as it does not hold and `--retries` allows.
    pub(super) async fn play_case(&self, file: &Rc<File>, at: usize, name: String) {
        let scenario = &file.scenario;
        let number = self.sink.borrow_mut().take_number();
        let path = (self.options.record != Record::Off)
            .then(|| self.sink.borrow_mut().names.pick(&scenario.name, &name, self.options.format.extension()));
        self.watch.begins(number, self.secrets.masked_text(format!("{}: {name}", scenario.name)), self.clock.now());
        for attempt in 1.. {
            if !self.play_attempt(file, &scenario.cases[at], &name, number, path.as_deref(), attempt).await {
                break;
            }
        }
        self.watch.ends(number);
    }

    /// Plays a case once. `true` if it is to be played again.
    async fn play_attempt(
        &self,
        file: &Rc<File>,
        case: &Case,
        name: &str,
        number: u32,
        path: Option<&Path>,
        attempt: u32,
    ) -> bool {
        let scenario = &file.scenario;
        // Whoever stops a target that others use has it for itself.
        let shared = |name: &String| {
            scenario.targets.iter().any(|target| target.name == *name && target.restart == Restart::Never)
        };
        let disturbs = case.disturbs.iter().any(shared);
        // What a target uses tells of this case only while it plays with nobody else.
        let measured = scenario.targets.iter().any(|target| target.limits.is_some());
        let turn = match disturbs || measured {
            true => (None, Some(file.turn.write().await)),
            false => (Some(file.turn.read().await), None),
        };
        let skipped = case.skip.clone().or_else(|| missing(&case.skip_unless));
        let mut own = Group::default();
        let up = match skipped {
            Some(_) => Ok(Vec::new()),
            None => self.set_up(file, case, name, &mut own).await,
        };
        // The start of a target is no part of the case's time.
        let begun = self.clock.now();
        let script = &case.script;
        let mut started =
            case_started(scenario, name.to_owned(), &script.place, &case.tags, &case.spec, script.infos.clone());
        started.attempt = attempt;
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
            file.secrets.borrow().mask(&mut events);
            self.hand_over(&events, Verdict::Skipped);
            return false;
        }

        let outcome = match up {
            Err(failure) => Outcome { verdict: Verdict::Unreachable, failure: Some(failure) },
            Ok(stations) => {
                let shared = file.group(case.family).get().and_then(|group| group.as_ref().ok());
                let running: Vec<&Running> =
                    shared.into_iter().flat_map(|group| &group.running).chain(&own.running).collect();
                for running in running.iter().filter(|running| running.is_ours()) {
                    tell(&mut events, running.started(&scenario.name));
                }
                let variables = own.variables.clone();
                let stage = Stage { file, case, name, number, running: &running, path };
                self.converse(&stage, stations, variables, &started, &mut events).await
            }
        };
        own.stop().await;
        if disturbs && let Some(Ok(group)) = file.group(case.family).get() {
            for target in group.running.iter().filter(|target| control::is_stopped(target)) {
                // Where it does not come up, the next case that needs it says so.
                let _ = control::start(target, &self.setting.guard).await;
            }
        }
        drop(turn);

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
                    let mut failure = Failure::new(FailureKind::UnexpectedPass, message.clone(), script.place.clone());
                    failure.hint = Some("if what was wrong is put right, take `xfail` out".into());
                    tell(&mut events, EventKind::StepFailed { step: None, started: begun, failure: Box::new(failure) });
                    reason = Some(message);
                }
                _ => {}
            }
        }
        let good = verdict.is_good();
        if good && attempt > 1 {
            reason = Some(format!("it held at attempt {attempt}"));
            verdict = Verdict::Flaky;
        } else if !good && verdict != Verdict::Interrupted && attempt <= self.options.retries {
            match self.not_again(file, case.family) {
                None => verdict = Verdict::Retried,
                Some(why) => note_failure(&mut events, why),
            }
        }
        let again = verdict == Verdict::Retried;
        let mut finished = CaseFinished {
            verdict,
            reason,
            duration_ns: u64::try_from(self.clock.now().since(begun).as_nanos()).unwrap_or(u64::MAX),
            capture: None,
            frame: None,
            reproduce: (!good).then(|| self.reproduce(scenario, Some(name))),
        };
        {
            let mut secrets = file.secrets.borrow_mut();
            secrets.learn(&events);
            secrets.mask(&mut events);
            secrets.mask_texts(&mut finished);
        }
        if let Some(path) = path {
            let wanted = self.options.record == Record::All || !good;
            let own = again.then(|| self.sink.borrow_mut().names.pick_attempt(path, attempt));
            let whole = self.options.folder.join(path);
            let path = own.as_deref().unwrap_or(path);
            if again || !wanted {
                // A long case has left a first one, which nobody wants now.
                remove(&whole);
            }
            if wanted {
                let whole = self.options.folder.join(path);
                let EventKind::CaseStarted(started) = &events[0].kind else { unreachable!("a case begins so") };
                let encoded =
                    capture::encode(&self.started_of(scenario), started, &events, Some(&finished), self.options.format);
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
            }
        }
        tell(&mut events, EventKind::CaseFinished(finished));
        self.hand_over(&events, verdict);
        again
    }

    /// Puts everything of a case in its place: the file's targets once, those of a case for each, then what listens, then the
    /// programs that are told where.
    async fn set_up(
        &self,
        file: &File,
        case: &Case,
        name: &str,
        own: &mut Group,
    ) -> Result<Vec<Station>, Box<Failure>> {
        let scenario = &file.scenario;
        let (each, once): (Vec<&Target>, Vec<&Target>) =
            scenario.targets.iter().partition(|target| target.restart == Restart::Case);
        let (told, each): (Vec<&Target>, Vec<&Target>) = each.into_iter().partition(|target| target.is_told);
        let owner = Owner { scenario: &scenario.name, case: None, folder: &file.folder, family: case.family };
        let known = self.tls_files(scenario, case)?;
        let shared = file
            .group(case.family)
            .get_or_init(|| async {
                let group = super::target::start(&once, &known, owner, &self.setting).await?;
                for running in group.running.iter().filter(|running| running.is_ours()) {
                    self.tell(running.started(&scenario.name));
                }
                Ok(group)
            })
            .await;
        let shared = shared.as_ref().map_err(Clone::clone)?;
        let owner = Owner { case: Some(name), ..owner };
        *own = super::target::start(&each, &shared.variables, owner, &self.setting).await?;
        let listeners = self.bind(owner, scenario, &mut own.variables).await?;
        if !told.is_empty() {
            let guests = super::target::start(&told, &own.variables, owner, &self.setting).await?;
            own.running.extend(guests.running);
            own.variables = guests.variables;
        }
        let running: Vec<&Running> = shared.running.iter().chain(&own.running).collect();
        self.stations(owner, scenario, listeners, &running, &own.variables).await
    }

    /// Writes the files of the run's own authority where a scenario asks for them.
    fn tls_files(&self, scenario: &Scenario, case: &Case) -> Result<Variables, Box<Failure>> {
        let mut variables = Variables::new();
        if !scenario.wants_tls_files {
            return Ok(variables);
        }
        let failed = |message| Box::new(Failure::new(FailureKind::Tls, message, case.script.place.clone()));
        let authority = self.setting.authority().map_err(failed)?;
        let mut files = self.tls_files.borrow_mut();
        if files.is_empty() {
            let written = authority.write(&self.options.folder.join("tls"));
            *files = written.map_err(|error| failed(format!("no certificates can be written: {error}")))?;
        }
        for (name, path) in &*files {
            variables.insert((*name).into(), path.to_string_lossy().into_owned().into());
        }
        Ok(variables)
    }

    /// Whose secrets a case of this file may tell. What a file calls secret must not be opened by a capture.
    fn keys(&self, scenario: &Scenario) -> Keys {
        match self.options.tls_keys {
            Keys::Own if !scenario.secret_names.is_empty() => Keys::Never,
            keys => keys,
        }
    }

    /// Plays the case's conversation, and judges it.
    async fn converse(
        &self,
        stage: &Stage<'_>,
        mut stations: Vec<Station>,
        variables: Variables,
        started: &CaseStarted,
        events: &mut Vec<Event>,
    ) -> Outcome {
        let Stage { file, case, name, number, running, path } = *stage;
        let scenario = &file.scenario;
        let script = self.with_timeout(&case.script);
        let transports = transports(scenario, &stations);
        let authority = (!case.tls.is_empty()).then(|| self.setting.authority().ok()).flatten();
        let tls = Profiles::new(&case.tls, authority, variables.clone(), self.keys(scenario));
        let random = Random::new(self.seed_of(scenario), &format!("{}/{name}", scenario.name));
        let log = relay::Log::new(self.clock, number);
        for (actor, station) in stations.iter_mut().enumerate() {
            if let Station::Relay(relay) = station {
                let (framing, protocol) =
                    (scenario.actors[actor].framing.clone(), scenario.actors[actor].protocol.clone());
                let plan_name = format!("{}/{name}", scenario.name).into();
                let faults = Arc::clone(&case.faults);
                let seed = self.seed_of(scenario);
                relay.start(Plan { faults, relay: actor, framing, protocol, seed, case: plan_name }, &log);
            }
        }
        let now = self.clock.now();
        let mut conversation = Conversation::new(script, transports, variables, random, number, now);

        let mut next_partial = now + PARTIAL_AFTER;
        let mut leave = |conversation: &mut Conversation| -> Option<Time> {
            let path = path?;
            let now = self.clock.now();
            if now >= next_partial {
                while let Some(event) = conversation.poll_event() {
                    events.push(event);
                }
                let secrets = file.secrets.borrow();
                let shown = secrets.masked(events);
                let encoded = capture::encode(&self.started_of(scenario), started, &shown, None, self.options.format);
                // What cannot be written now will be told at the end of the case.
                let _ = capture::write_file(&self.options.folder.join(path), &encoded.bytes);
                // Twice as long each time: all of them together cost no more than the last.
                next_partial = now + now.since(next_partial - PARTIAL_AFTER).max(PARTIAL_AFTER) * 2;
            }
            Some(next_partial)
        };
        let mut resting = self.options.rest.and_then(|after| Resting::new(running, after));
        let mut tick = |conversation: &mut Conversation| -> Option<Time> {
            let look = resting.as_mut().map(|resting| resting.tick(conversation, self.clock.now()));
            leave(conversation).into_iter().chain(look).min()
        };
        let abort = Box::pin(self.trouble(running));
        let origin = Origin { allow_remote: self.options.allow_remote, folder: file.folder.clone() };
        let guard = &self.setting.guard;
        let hands = move |deed| -> Doing<'_> { Box::pin(control::act(deed, running, &file.folder, guard)) };
        let meter = Meter::new(scenario, running);
        let sample = || -> Looking<'_> { Box::pin(meter.sample()) };
        let looped = if meter.is_idle() { None } else { Some(&sample as &dyn Fn() -> _) };
        let world = World { origin, tls, hands: Hands { act: &hands, looped } };
        player::play(&mut conversation, &mut stations, &world, &self.clock, abort, &mut tick).await;
        // A program that is still there sees that nobody listens any more; what stands between it and a target stays.
        stations.retain(|station| matches!(station, Station::Relay(_)));
        let ended = conversation.ended().expect("it was played to its end").clone();
        if matches!(ended, Ended::Passed) {
            self.await_exits(stage).await;
        }
        for station in &mut stations {
            if let Station::Relay(relay) = station {
                relay.stop().await;
            }
        }
        while let Some(event) = conversation.poll_event() {
            events.push(event);
        }
        let (told, fired) = log.take();
        relay::merge(events, told);
        let ended = self.note_faults(stage, ended, &fired, events);
        let outcome = self.judge(stage, ended, events).await;
        if outcome.verdict != Verdict::Passed {
            return outcome;
        }
        if let Some(failure) = self.unwanted(stage).await {
            return Outcome { verdict: Verdict::Failed, failure: Some(failure) };
        }
        match meter.judge(&case.name, &file.history).await {
            Ok(()) => outcome,
            Err(failure) => Outcome { verdict: Verdict::Failed, failure: Some(failure) },
        }
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
            .map(|running| {
                Box::pin(async move {
                    let exit = running.crash().await;
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

    /// What all chance in the cases of a file comes from.
    fn seed_of(&self, scenario: &Scenario) -> u64 {
        scenario.seed.unwrap_or(self.options.seed)
    }

    /// What a capture tells of the run.
    fn started_of(&self, scenario: &Scenario) -> RunStarted {
        RunStarted { seed: self.seed_of(scenario), ..self.started.clone() }
    }

    /// The command that plays one case alone, with the same bytes; without a case, the whole file.
    pub(super) fn reproduce(&self, scenario: &Scenario, case: Option<&str>) -> String {
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
        words.extend(["--seed".to_owned(), self.seed_of(scenario).to_string()]);
        words.extend(self.options.reproduce.iter().cloned());
        let words: Vec<_> = words.iter().map(|word| crate::report::text::shell_word(word)).collect();
        words.join(" ")
    }
}

/// Adds a note to the last failure.
fn note_failure(events: &mut [Event], note: String) {
    for event in events.iter_mut().rev() {
        if let EventKind::StepFailed { failure, .. } = &mut event.kind {
            failure.notes.push(note);
            return;
        }
    }
}

pub(super) fn case_started(
    scenario: &Scenario,
    name: String,
    place: &Place,
    tags: &[String],
    spec: &[String],
    steps: Vec<StepInfo>,
) -> CaseStarted {
    CaseStarted {
        scenario: scenario.name.clone(),
        name,
        file: scenario.file.clone(),
        line: place.line,
        attempt: 1,
        tags: tags.to_vec(),
        spec: spec.to_vec(),
        steps,
    }
}

fn remove(path: &Path) {
    // Most cases are over before there is anything to remove.
    let _ = std::fs::remove_file(path);
}
