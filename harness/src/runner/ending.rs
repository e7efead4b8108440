//! The end of a file's targets: when its last case is done they are stopped, and how they ended is judged.

use std::sync::Arc;
use std::time::Duration;

use super::case::case_started;
use super::growth::ROUNDS_MIN;
use super::process::{Exit, Rest};
use super::run::{File, Run};
use super::target::Group;
use crate::event::{CaseFinished, Event, EventKind, Failure, FailureKind, OutputLine, Verdict};
use crate::scenario::{Target, TargetKind};

/// A target that has used so much of a processor after its last case is not about to rest, and is ended as it is.
const LAST_WORK: Duration = Duration::from_millis(100);

impl Run {
    /// After a case: the last one of its file ends the file's targets.
    pub(super) async fn case_done(&self, file: &File) {
        file.left.set(file.left.get() - 1);
        if file.left.get() == 0 {
            for (place, _) in file.fired.borrow().iter().filter(|(_, fired)| !**fired) {
                self.tell(EventKind::Warning { message: format!("{place}: this fault has never fired") });
            }
            for target in file.history.unjudged(&file.scenario) {
                let (place, name) = (&target.place, &target.name);
                let message = format!(
                    "{place}: how `{name}` grows was never judged: that takes {ROUNDS_MIN} rounds of a `repeat`, or `--repeat {ROUNDS_MIN}`"
                );
                self.tell(EventKind::Warning { message });
            }
            for group in file.groups.iter().filter_map(|group| group.get()?.as_ref().ok()) {
                self.end_group(file, group).await;
            }
        }
    }

    /// Ends targets, and judges how they ended.
    async fn end_group(&self, file: &File, group: &Group) {
        let scenario = &file.scenario;
        let mut verdicts = Vec::new();
        for running in &group.running {
            let Some(process) = running.process() else { continue };
            let target = scenario.targets.iter().find(|target| target.name == running.name).expect("it was started");
            let TargetKind::Command(command) = &target.kind else { continue };
            // What it was told last, or that a connection has ended, may be what it dies of.
            let _ = Rest::new(vec![process.pid()]).come(LAST_WORK).await;
            if running.end(false, false).await.is_none() && command.expect_exit.is_some() {
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
                (Some(exit), Some(wanted)) if exit != Exit::Code(wanted) && !process.is_crash(exit) => {
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
                self.tell_of(file, running.exited(&scenario.name, exit));
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
        let failure = Failure::new(kind, message.clone(), target.place.clone());
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
        let mut events: Vec<Event> = kinds.into_iter().map(|kind| Event { at, case: Some(number), kind }).collect();
        file.secrets.borrow().mask(&mut events);
        self.hand_over(&events, verdict);
    }
}
