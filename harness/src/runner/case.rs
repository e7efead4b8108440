//! One case of a run: its targets up, its conversation played, its end judged, its capture written.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::control::{self, Doing, Hands};
use super::growth::Meter;
use super::player::{self, Origin, Station, World};
use super::process::Exit;
use super::record::Record;
use super::relay;
use super::run::{File, Run, Stopping};
use super::skip::missing;
use super::stations::transports;
use super::target::{Group, Owner, Running};
use super::tls::{Keys, Profiles};
use crate::capture;
use crate::conversation::script::{Limit, Script};
use crate::conversation::{Conversation, Ended};
use crate::event::{
    CaseFinished, CaseStarted, Event, EventKind, Failure, FailureKind, Place, RunStarted, StepInfo, Verdict,
};
use crate::fault::{Fault, Plan};
use crate::random::Random;
use crate::scenario::{Case, Connect, Restart, Role, Scenario, Target, TargetKind};
use crate::template::Variables;
use crate::time::Time;

/// After this long, a case that still goes on leaves a first capture.
const PARTIAL_AFTER: Duration = Duration::from_millis(250);

/// How long a target that is ending may take to say how, before its case is judged without it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long what a target writes may be on its way to us when its case ends.
const WRITING: Duration = Duration::from_millis(30);

/// How many faults that have not fired are told with a failure.
const FAULT_NOTES_MAX: usize = 3;

/// What a case is played with.
struct Stage<'a> {
    file: &'a File,
    case: &'a Case,
    name: &'a str,
    number: u32,
    running: &'a [&'a Running],
    path: Option<&'a Path>,
}

/// What came of a case.
struct Outcome {
    verdict: Verdict,
    failure: Option<Box<Failure>>,
}

impl Run {
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
        let secrets = self.secrets.with_found(&events).into_owned();
        secrets.mask(&mut events);
        secrets.mask_texts(&mut finished);
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
        let mut tick = |conversation: &mut Conversation| -> Option<Time> {
            let path = path?;
            let now = self.clock.now();
            if now >= next_partial {
                while let Some(event) = conversation.poll_event() {
                    events.push(event);
                }
                let shown = self.secrets.masked(events);
                let encoded = capture::encode(&self.started_of(scenario), started, &shown, None, self.options.format);
                // What cannot be written now will be told at the end of the case.
                let _ = capture::write_file(&self.options.folder.join(path), &encoded.bytes);
                // Twice as long each time: all of them together cost no more than the last.
                next_partial = now + now.since(next_partial - PARTIAL_AFTER).max(PARTIAL_AFTER) * 2;
            }
            Some(next_partial)
        };
        let abort = Box::pin(self.trouble(running));
        let origin = Origin { allow_remote: self.options.allow_remote, folder: file.folder.clone() };
        let guard = &self.setting.guard;
        let hands = move |deed| -> Doing<'_> { Box::pin(control::act(deed, running, &file.folder, guard)) };
        let meter = Meter::new(scenario, running);
        let sample = || meter.sample();
        let looped: Option<&dyn Fn()> = if meter.is_idle() { None } else { Some(&sample) };
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
        if let Some(failure) = self.wrote(stage).await {
            return Outcome { verdict: Verdict::Failed, failure: Some(failure) };
        }
        match meter.judge(&case.name, &file.history).await {
            Ok(()) => outcome,
            Err(failure) => Outcome { verdict: Verdict::Failed, failure: Some(failure) },
        }
    }

    /// Keeps which faults have fired, and has a failure say which have not.
    fn note_faults(&self, stage: &Stage<'_>, mut ended: Ended, fired: &[usize], events: &mut [Event]) -> Ended {
        let faults = stage.case.faults.iter().enumerate();
        let is_used = |on: usize| {
            let name = &stage.file.scenario.actors[on].name;
            events.iter().any(|event| matches!(&event.kind, EventKind::RelayOpened { relay, .. } if **relay == **name))
        };
        let idle = faults.filter(|(number, fault)| !fired.contains(number) && is_used(fault.on));
        let idle: Vec<&Fault> = idle.map(|(_, fault)| fault).collect();
        stage.file.note_fired(&stage.case.faults, fired);
        if let Ended::Failed { failure, .. } = &mut ended
            && !idle.is_empty()
        {
            let note = |fault: &Fault| format!("the fault at line {} has not fired", fault.place.line);
            failure.notes.extend(idle.iter().take(FAULT_NOTES_MAX).map(|fault| note(fault)));
            replace_failure(events, failure);
        }
        ended
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
        // Who ends by itself is in use until the last step; after that its status is what it is judged by.
        let (ended, crash_at_end) = match ended {
            Ended::Failed { failure, .. }
                if failure.kind == FailureKind::Crash && failure.place == case.script.place =>
            {
                (Ended::Passed, Some(failure))
            }
            ended => (ended, None),
        };
        let is_guest = |name: &str| guests(stage).any(|(guest, ..)| guest.name == name);
        let mut crash = None;
        let mut gone = None;
        for running in running {
            let Ok(Some(exit)) = tokio::time::timeout(LAST_WORDS, running.end(lost)).await else { continue };
            let process = running.process().expect("only a process ends");
            let is_judged = matches!((&ended, exit), (Ended::Passed, Exit::Code(_))) && is_guest(&running.name);
            if process.is_crash(exit) && !is_judged {
                crash = Some(format!("the target `{}` crashed: {exit}", running.name));
                file.told.borrow_mut().push(running.name.clone());
            }
            gone = Some((running.name.clone(), exit));
            let kind = running.exited(&scenario.name, exit);
            events.push(Event { at: self.clock.now(), case: Some(number), kind });
        }
        let interrupted = self.stopping.borrow().is_some_and(|why| why != Stopping::FailFast);
        let (verdict, failure) = match (ended, crash) {
            (Ended::Passed, None) => match (self.wrong_exit(stage), crash_at_end) {
                (Some(failure), _) => {
                    replace_failure(events, &failure);
                    (Verdict::Failed, failure)
                }
                (None, Some(failure)) => (Verdict::Crashed, failure),
                (None, None) => return Outcome { verdict: Verdict::Passed, failure: None },
            },
            (Ended::Passed, Some(message)) => {
                let failure = Failure::new(FailureKind::Crash, message, case.script.place.clone());
                replace_failure(events, &failure);
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
        // What a target wrote before it answered lies in its pipe already: whoever reads that gets a turn.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
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

    /// A line that a target never writes, and has written.
    async fn wrote(&self, stage: &Stage<'_>) -> Option<Box<Failure>> {
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
        let (running, (never, line)) =
            watched.into_iter().find_map(|(running, never)| Some((running, running.wrote(never)?)))?;
        let message = format!("the target `{}` wrote what it never should: {line}", running.name);
        let mut failure = Failure::new(FailureKind::Mismatch, message, never.place.clone());
        failure.notes.push(format!("no line matches `{}`", never.words));
        Some(Box::new(failure))
    }

    /// Waits for programs of this case that are meant to end by themselves.
    async fn await_exits(&self, stage: &Stage<'_>) {
        for (running, within, _) in guests(stage) {
            if let Some(process) = running.process() {
                let _ = tokio::time::timeout(within, process.wait_exit()).await;
            }
        }
    }

    /// A program of this case that has not ended as it should.
    fn wrong_exit(&self, stage: &Stage<'_>) -> Option<Box<Failure>> {
        for (running, within, wanted) in guests(stage) {
            let target = stage.file.scenario.targets.iter().find(|target| target.name == running.name)?;
            let name = &running.name;
            let (kind, message, hint) = match running.process()?.exited() {
                Some(exit) if exit == Exit::Code(wanted) => continue,
                Some(exit) => {
                    let message = format!("expected the target `{name}` to exit with status {wanted}, got {exit}");
                    (FailureKind::Mismatch, message, "what it wrote last is shown below")
                }
                None => {
                    let within = crate::time::show_duration(within);
                    let message = format!(
                        "expected the target `{name}` to exit with status {wanted}, and it still runs {within} after the last step"
                    );
                    (FailureKind::Timeout, message, "`stop = { within = \"..\" }` gives it more time")
                }
            };
            let mut failure = Failure::new(kind, message, target.place.clone());
            failure.hint = Some(hint.into());
            return Some(Box::new(failure));
        }
        None
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

/// Programs that were started for this case and have to end by themselves: how long they may take, and their status.
fn guests<'s>(stage: &Stage<'s>) -> impl Iterator<Item = (&'s Running, Duration, i32)> {
    let Stage { file, running, .. } = *stage;
    running.iter().filter_map(|running| {
        let target = file.scenario.targets.iter().find(|target| target.name == running.name)?;
        let TargetKind::Command(command) = &target.kind else { return None };
        (target.restart == Restart::Case).then_some((*running, command.stop.1, command.expect_exit?))
    })
}

/// Where it is noted whether an actor's peer was ever reached: by target, or by actor where it has a URL of its own.
fn slot(scenario: &Scenario, actor: usize) -> usize {
    match scenario.actors[actor].role {
        Role::Client(Connect::Target(at)) => at,
        _ => scenario.targets.len() + actor,
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

fn replace_failure(events: &mut [Event], new: &Failure) {
    for event in events.iter_mut().rev() {
        if let EventKind::StepFailed { failure, .. } = &mut event.kind {
            **failure = new.clone();
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
