//! What `shrink` and `replay` share: their options, the player, and the telling of cases to the reporters.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::run::{duration, pair, target};
use super::{Talk, files, reporters};
use crate::event::{CaseFinished, CaseStarted, Event, EventKind, Failure, RunStarted, Summary, Verdict};
use crate::exit::{Exit, Flaky};
use crate::report::{CaseRecord, Entry, Look, Reporter};
use crate::runner::Clock;
use crate::runner::process::Guard;
use crate::scenario::Known;
use crate::testcase::{Played, Player};
use crate::time::Time;
use crate::url::Url;

/// How cases are played, and what is told of them.
#[derive(Clone, Debug, Args)]
pub(super) struct PlayArgs {
    /// Put the results exactly there; without it, into a new folder below `reports`
    #[arg(long, value_name = "DIR", env = "HARNESS_OUT")]
    pub(super) out: Option<PathBuf>,
    /// What to print: human on stderr, and one of github, json, junit and tap on stdout; the folder gets json and junit in any
    /// case
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "human", value_parser = reporters::name, env = "HARNESS_REPORT")]
    pub(super) report: Vec<&'static Entry>,
    /// Use this in place of a target: `NAME=URL`, or `URL` where there is one target; may be repeated
    #[arg(long, value_name = "NAME=URL", value_parser = target, env = "HARNESS_TARGET", value_delimiter = '\n')]
    pub(super) target: Vec<(Option<String>, Url)>,
    /// Give a variable a value; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, env = "HARNESS_VAR", value_delimiter = '\n')]
    pub(super) var: Vec<(String, String)>,
    /// Bound each play, whatever its own deadlines say
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "HARNESS_TIMEOUT")]
    pub(super) timeout: Option<Duration>,
    /// Allow targets that are not on this machine
    #[arg(long, env = "HARNESS_ALLOW_REMOTE", value_parser = FalseyValueParser::new())]
    pub(super) allow_remote: bool,
}

impl PlayArgs {
    /// What is known before a file is read.
    pub(super) fn known(&self, seed: u64, seed_given: bool) -> Known {
        let read = Some(crate::document::read_text as crate::scenario::ReadFile);
        Known { vars: self.var.clone(), env: files::environment(), seed, seed_given, read }
    }

    /// A player whose plays leave nothing behind.
    pub(super) fn player(&self, known: Known, clock: Clock) -> Result<Player, String> {
        let guard = Guard::of_this_program(format!("{}-{}", std::process::id(), clock.unix_ns()));
        let guard = guard.map_err(|error| format!("cannot find this program: {error}"))?;
        let mut player = Player::new(guard, std::env::temp_dir().join("harness-plays"));
        player.known = known;
        player.targets = self.target.clone();
        player.allow_remote = self.allow_remote;
        player.timeout = self.timeout;
        Ok(player)
    }
}

/// Whether somebody has pressed Ctrl-C. Plays see it themselves; what lies between them asks.
pub(super) fn interrupts() -> Arc<AtomicBool> {
    let pressed = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&pressed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let Ok(runtime) = runtime else { return pressed };
    // Nobody waits for it: it ends with the program.
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            told.store(true, Ordering::Relaxed);
        });
    });
    pressed
}

/// Tells cases that were played one by one as one run.
pub(super) struct Telling {
    reporters: Vec<Box<dyn Reporter>>,
    clock: Clock,
    summary: Summary,
    next: u32,
    error: Option<std::io::Error>,
}

impl Telling {
    /// Begins to tell.
    pub(super) fn begin(
        args: &PlayArgs,
        talk: Talk,
        folder: &Path,
        clock: Clock,
        seed: u64,
        words: &[std::ffi::OsString],
    ) -> std::io::Result<Telling> {
        let settings = reporters::settings(Look::of_stderr(talk.color()), talk, folder, Some(0));
        Ok(Telling::to(reporters::open(&args.report, &settings, Some(folder), false)?, clock, seed, words))
    }

    /// Begins to tell these reporters.
    pub(super) fn to(
        reporters: Vec<Box<dyn Reporter>>,
        clock: Clock,
        seed: u64,
        words: &[std::ffi::OsString],
    ) -> Telling {
        let mut telling = Telling { reporters, clock, summary: Summary::default(), next: 0, error: None };
        telling.event(EventKind::RunStarted(RunStarted {
            v: crate::event::VERSION,
            harness: env!("CARGO_PKG_VERSION").into(),
            seed,
            unix_ns: clock.unix_ns(),
            command: words.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        }));
        telling
    }

    /// Tells a case that is none of one play: when it began, how it failed and how it ended.
    pub(super) fn judged(
        &mut self,
        began: Time,
        started: CaseStarted,
        failure: Option<Failure>,
        finished: CaseFinished,
    ) {
        let case = Some(self.next);
        self.next += 1;
        self.summary.count(finished.verdict);
        let now = self.clock.now();
        let failed =
            failure.map(|failure| EventKind::StepFailed { step: None, started: began, failure: Box::new(failure) });
        let mut events = vec![Event { at: began, case, kind: EventKind::CaseStarted(Arc::new(started)) }];
        events.extend(failed.map(|kind| Event { at: now, case, kind }));
        events.push(Event { at: now, case, kind: EventKind::CaseFinished(finished) });
        if let Some(record) = CaseRecord::new(&events) {
            let told = self.reporters.case(&record);
            self.note(told);
        }
    }

    /// Tells an event of the whole run.
    pub(super) fn event(&mut self, kind: EventKind) {
        if let EventKind::FileInvalid { .. } = kind {
            self.summary.invalid_files += 1;
        }
        let told = self.reporters.event(&Event { at: self.clock.now(), case: None, kind });
        self.note(told);
    }

    /// Tells a case by one of its plays: with this verdict, for this reason, and with one more event in it.
    pub(super) fn case(&mut self, played: &Played, told: EventKind, change: impl FnOnce(&mut CaseFinished)) {
        let mut events = played.case_events();
        let number = self.next;
        self.next += 1;
        events.iter_mut().for_each(|event| event.case = Some(number));
        let Some(last) = events.last_mut() else { return };
        let at = last.at;
        if let EventKind::CaseFinished(finished) = &mut last.kind {
            change(finished);
            self.summary.count(finished.verdict);
        }
        let before_last = events.len() - 1;
        events.insert(before_last, Event { at, case: Some(number), kind: told });
        if let Some(record) = CaseRecord::new(&events) {
            let told = self.reporters.case(&record);
            self.note(told);
        }
    }

    /// Counts what was not played any more.
    pub(super) fn interrupted(&mut self, cases: u64) {
        self.summary.interrupted += cases;
    }

    /// Ends the telling; `own` is worse than what the cases come to.
    pub(super) fn end(mut self, flaky: Flaky, own: Option<Exit>) -> std::io::Result<Exit> {
        self.summary.duration_ns = self.clock.now().as_nanos();
        let exit = own.unwrap_or_else(|| Exit::of(&self.summary, flaky));
        let summary = self.summary.clone();
        self.event(EventKind::RunFinished { summary, exit_code: exit.code() });
        self.error.map_or(Ok(exit), Err)
    }

    fn note(&mut self, told: std::io::Result<()>) {
        if let Err(error) = told {
            self.error.get_or_insert(error);
        }
    }
}

/// The verdict of a case with this failure.
pub(super) fn verdict_of(played: &Played) -> Verdict {
    match (&played.failed, played.verdict) {
        (Some(failed), verdict) if verdict.is_good() => match failed.class.is_targets() {
            true => Verdict::Crashed,
            false => Verdict::Failed,
        },
        (_, verdict) => verdict,
    }
}
