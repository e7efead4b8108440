//! The player: a case on fresh targets, in this process.
//!
//! It is a run of one case with [`run`](crate::runner::run) whose events are kept. Whoever already is in an asynchronous runtime
//! plays on a thread of its own.

#![expect(clippy::disallowed_methods, reason = "each play has a folder of its own, and reads the logs in it")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Failed, TestCase};
use crate::capture::{Format, encode};
use crate::event::{CaseFinished, CaseStarted, Event, EventKind, Mistake, RunStarted, Verdict};
use crate::exit::Flaky;
use crate::report::{CaseRecord, Reporter};
use crate::runner::process::Guard;
use crate::runner::{Clock, Input, Keys, LOGS, Options, Record, run};
use crate::scenario::Known;
use crate::url::Url;

/// How much of what the targets wrote to stderr is looked at.
const STDERR_LEN_MAX: usize = 1 << 20;

/// Plays cases, each on fresh targets.
#[derive(Debug)]
pub struct Player {
    /// How targets' processes are started.
    pub guard: Guard,
    /// A folder for what plays leave; each has one below it, which is gone when the play is.
    pub scratch: PathBuf,
    /// `--var` and the environment.
    pub known: Known,
    /// `--target`: where targets are instead.
    pub targets: Vec<(Option<String>, Url)>,
    /// Whether anything may be sent off this machine.
    pub allow_remote: bool,
    /// What bounds each play.
    pub timeout: Option<Duration>,
    plays: AtomicU64,
}

/// Why a case was not played.
#[derive(Debug)]
pub enum PlayError {
    /// It is no valid scenario, or no longer.
    Invalid(Vec<Mistake>),
    /// The system refused what a play needs.
    System(io::Error),
}

impl std::fmt::Display for PlayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PlayError::Invalid(mistakes) => match mistakes.first() {
                Some(mistake) => write!(f, "{}: {}", mistake.place, mistake.message),
                None => f.write_str("the case is no valid scenario"),
            },
            PlayError::System(error) => write!(f, "the case cannot be played: {error}"),
        }
    }
}

impl std::error::Error for PlayError {}

impl From<io::Error> for PlayError {
    fn from(error: io::Error) -> PlayError {
        PlayError::System(error)
    }
}

/// What became of a case that was played.
#[derive(Clone, Debug)]
pub struct Played {
    /// What `harness run` says of it.
    pub verdict: Verdict,
    /// What went wrong; also where the verdict is good and a thread of the target has panicked all the same.
    pub failed: Option<Failed>,
    /// The step that did not hold, by number in [`CaseStarted::steps`].
    pub step: Option<u32>,
    /// How long the case took, without the start of its targets.
    pub duration: Duration,
    /// The run's first event.
    pub started: RunStarted,
    /// All other events of the run: those of the case, and what was told of targets before and after it.
    pub events: Vec<Event>,
    /// What the targets wrote to stderr.
    pub stderr: String,
}

impl Player {
    /// A player whose targets' processes are guarded by `guard`, and whose plays are left below `scratch`.
    pub fn new(guard: Guard, scratch: impl Into<PathBuf>) -> Player {
        let known = Known { seed: 1, read: Some(crate::document::read_text), ..Known::default() };
        Player {
            guard,
            scratch: scratch.into(),
            known,
            targets: Vec::new(),
            allow_remote: false,
            timeout: None,
            plays: AtomicU64::new(0),
        }
    }

    /// How many cases it has played.
    pub fn plays(&self) -> u64 {
        self.plays.load(Ordering::Relaxed)
    }

    /// Plays a case on fresh targets.
    pub fn play(&self, case: &TestCase) -> Result<Played, PlayError> {
        self.play_as(case, "case.toml")
    }

    /// [`Player::play`], the case by the name of its file.
    pub fn play_as(&self, case: &TestCase, name: &str) -> Result<Played, PlayError> {
        Self::told(self.events_of(case, name, 1, None)?)
    }

    /// [`Player::play`], but what a step waits for is given up on as soon as its targets have been at rest for so long.
    ///
    /// That is a guess, of targets whose threads can be seen: whoever acts on it has to play the case again.
    pub fn play_until_rest(&self, case: &TestCase, rest: Duration) -> Result<Played, PlayError> {
        Self::told(self.events_of(case, "case.toml", 1, Some(rest))?)
    }

    fn told((events, stderr): (Vec<Event>, String)) -> Result<Played, PlayError> {
        Played::of(events, stderr).ok_or_else(|| PlayError::System(io::Error::other("the run has told nothing")))
    }

    /// Plays all cases of a document, `jobs` at once: what was told, and what the targets wrote to stderr.
    pub(super) fn events_of(
        &self,
        case: &TestCase,
        name: &str,
        jobs: usize,
        rest: Option<Duration>,
    ) -> Result<(Vec<Event>, String), PlayError> {
        let mut scenario = case.load(name, &self.known).map_err(PlayError::Invalid)?;
        for (target, _) in self.targets.iter().filter(|(_, url)| url.tls) {
            scenario.begin_with_tls(target.as_deref());
        }
        let number = self.plays.fetch_add(1, Ordering::Relaxed);
        let folder = self.scratch.join(format!("play-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let heard: Arc<Mutex<Vec<Event>>> = Arc::default();
        let reporter: Box<dyn Reporter> = Box::new(Ear(Arc::clone(&heard)));
        let options = Options { jobs, rest, ..self.options(folder.clone()) };
        let exit =
            run(vec![Input::Scenario(Box::new(scenario))], options, vec![reporter], self.guard.clone(), Clock::start());
        let stderr = stderr_in(&folder);
        // Who cannot remove it leaves it: it lies where temporary things do.
        let _ = fs::remove_dir_all(&folder);
        exit?;
        let events = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((events, stderr))
    }

    fn options(&self, folder: PathBuf) -> Options {
        Options {
            seed: self.known.seed,
            jobs: 1,
            repeat: 1,
            shuffle: false,
            fail_fast: false,
            until_fail: false,
            retries: 0,
            flaky: Flaky::Pass,
            slow_after: None,
            progress: false,
            timeout: self.timeout,
            rest: None,
            time_budget: None,
            filter: None,
            last_failed: None,
            partition: None,
            targets: self.targets.clone(),
            tls_keys: Keys::Own,
            allow_remote: self.allow_remote,
            record: Record::Off,
            format: Format::Pcapng,
            folder,
            reproduce: Vec::new(),
            command: Vec::new(),
        }
    }
}

impl Played {
    /// Reads it off the events of a run of one case.
    pub fn of(mut events: Vec<Event>, stderr: String) -> Option<Played> {
        let at = events.iter().position(|event| matches!(event.kind, EventKind::RunStarted(_)))?;
        let EventKind::RunStarted(started) = events.remove(at).kind else { return None };
        let ends = events.iter().filter_map(|event| match &event.kind {
            EventKind::CaseFinished(finished) => Some(finished),
            _ => None,
        });
        // The first is the case; what follows are targets whose end was wrong.
        let ends: Vec<&CaseFinished> = ends.collect();
        let first = ends.first()?;
        let verdict = match ends.iter().find(|end| !end.verdict.is_good()) {
            Some(worse) if first.verdict.is_good() => worse.verdict,
            _ => first.verdict,
        };
        let duration = Duration::from_nanos(first.duration_ns);
        let failed = Failed::of(&events, verdict, &stderr);
        let step = events.iter().find_map(|event| match event.kind {
            EventKind::StepFailed { step, .. } => step,
            _ => None,
        });
        Some(Played { verdict, failed, step, duration, started, events, stderr })
    }

    /// Where the case failed: the lane, and the step's number there.
    pub fn position(&self, case: &TestCase) -> Option<(String, usize)> {
        let place = self.events.iter().find_map(|event| match &event.kind {
            EventKind::StepFailed { step: Some(_), failure, .. } => Some(&failure.place),
            _ => None,
        });
        case.step_at(place?.line)
    }

    /// The case as it began.
    pub fn case_started(&self) -> Option<&Arc<CaseStarted>> {
        self.events.iter().find_map(|event| match &event.kind {
            EventKind::CaseStarted(started) => Some(started),
            _ => None,
        })
    }

    /// The events of the case, from its beginning to its end.
    pub fn case_events(&self) -> Vec<Event> {
        let number = self.events.iter().find(|event| matches!(event.kind, EventKind::CaseStarted(_)));
        let number = number.and_then(|event| event.case);
        self.events.iter().filter(|event| event.case == number && number.is_some()).cloned().collect()
    }

    /// The capture of the case, in pcapng.
    pub fn capture(&self) -> Option<Vec<u8>> {
        let started = self.case_started()?;
        let mut events = self.case_events();
        // Where the targets are stands before the case.
        let targets = self
            .events
            .iter()
            .filter(|event| event.case.is_none() && matches!(event.kind, EventKind::TargetStarted { .. }));
        events.splice(1..1, targets.cloned());
        let finished = events.iter().find_map(|event| match &event.kind {
            EventKind::CaseFinished(finished) => Some(finished.clone()),
            _ => None,
        });
        Some(encode(&self.started, started, &events, finished.as_ref(), Format::Pcapng).bytes)
    }
}

/// Keeps what a run tells.
struct Ear(Arc<Mutex<Vec<Event>>>);

impl Reporter for Ear {
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(case.events);
        Ok(())
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        Ok(())
    }
}

/// What the targets wrote to stderr, as the logs of a run have it.
fn stderr_in(folder: &Path) -> String {
    let mut text = Vec::new();
    let mut folders = vec![folder.join(LOGS)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "stderr")
                && let Ok(bytes) = fs::read(&path)
            {
                text.extend_from_slice(&bytes[..bytes.len().min(STDERR_LEN_MAX)]);
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}
