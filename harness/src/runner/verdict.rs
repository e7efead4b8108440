//! What is said of a case when it has been played: what its script saw, and what became of the programs beside it.

use std::collections::HashMap;
use std::time::Duration;

use super::case::Stage;
use super::process::Exit;
use super::run::{File, Run, Stopping};
use super::target::Running;
use crate::conversation::Ended;
use crate::event::{Event, EventKind, Failure, FailureKind, Verdict};
use crate::fault::Fault;
use crate::scenario::{Connect, Restart, Role, Scenario, TargetKind};

/// How long a target that is ending may take to say how, before its case is judged without it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How many faults that have not fired are told with a failure.
const FAULT_NOTES_MAX: usize = 3;

/// What came of a case.
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) failure: Option<Box<Failure>>,
}

impl Run {
    /// Keeps which faults have fired, and has a failure say which have not.
    pub(super) fn note_faults(
        &self,
        stage: &Stage<'_>,
        mut ended: Ended,
        fired: &[usize],
        events: &mut [Event],
    ) -> Ended {
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

    pub(super) async fn judge(&self, stage: &Stage<'_>, ended: Ended, events: &mut Vec<Event>) -> Outcome {
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
            let Ok(Some(exit)) = tokio::time::timeout(LAST_WORDS, running.end(lost, self.options.rest.is_some())).await
            else {
                continue;
            };
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

    /// Waits for programs of this case that are meant to end by themselves.
    pub(super) async fn await_exits(&self, stage: &Stage<'_>) {
        for (running, within, _) in guests(stage) {
            if let Some(process) = running.process() {
                let _ = tokio::time::timeout(within, process.wait_exit()).await;
            }
        }
    }

    /// A program of this case that has not ended as it should. One that has ended wrongly comes before one that still runs:
    /// it may have ended the case, and then nobody has waited for the others.
    fn wrong_exit(&self, stage: &Stage<'_>) -> Option<Box<Failure>> {
        let mut wrong = None;
        for (running, within, wanted) in guests(stage) {
            let target = stage.file.scenario.targets.iter().find(|target| target.name == running.name)?;
            let name = &running.name;
            let told = |kind, message, hint: &str| {
                let mut failure = Failure::new(kind, message, target.place.clone());
                failure.hint = Some(hint.into());
                Some(Box::new(failure))
            };
            match running.process()?.exited() {
                Some(exit) if exit == Exit::Code(wanted) => {}
                Some(exit) => {
                    let message = format!("expected the target `{name}` to exit with status {wanted}, got {exit}");
                    return told(FailureKind::Mismatch, message, "what it wrote last is shown below");
                }
                None => {
                    let within = crate::time::show_duration(within);
                    let message = format!(
                        "expected the target `{name}` to exit with status {wanted}, and it still runs {within} after the last step"
                    );
                    let hint = "`stop = { within = \"..\" }` gives it more time";
                    wrong = wrong.or_else(|| told(FailureKind::Timeout, message, hint));
                }
            }
        }
        wrong
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

fn replace_failure(events: &mut [Event], new: &Failure) {
    for event in events.iter_mut().rev() {
        if let EventKind::StepFailed { failure, .. } = &mut event.kind {
            **failure = new.clone();
            return;
        }
    }
}
