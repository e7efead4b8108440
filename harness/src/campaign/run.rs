//! A campaign from its beginning to its end: prepared, played by its workers, and summed up.

#![expect(clippy::disallowed_methods, reason = "a campaign's clock is here")]

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::corpus::Corpus;
use super::feedback::{self, Novelty, Virgin};
use super::finding::Writer;
use super::journal::{self, Journal};
use super::plan::Plan;
use super::player::Reply;
use super::prepare::{Opened, Prepared, SCRATCH, Stage};
use super::schedule::Schedule;
use super::state::{Counts, Ending, State, Summary};
use super::status::Watcher;
use super::triage::Judge;
use super::watch::watch;
use super::worker::Worker;
use super::{CampaignError, Options};
use crate::protocol::{Direction, Protocol};
use crate::scenario::Scenario;
use crate::testcase::{self, TestCase};

/// How long one play of a finding as a scenario may take.
const PLAY_WITHIN: Duration = Duration::from_secs(60);

/// The same under the lock of all workers. A worker that has panicked leaves plain data.
pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What workers have in common and do not change.
pub(super) struct Common {
    pub(super) plan: Arc<Plan>,
    pub(super) options: Options,
    pub(super) judge: Judge,
    pub(super) datagrams: Vec<bool>,
    /// The names of the messages that seeds say.
    pub(super) names: HashSet<u64>,
    pub(super) protocol: Option<Arc<Protocol>>,
    pub(super) writer: Writer,
    pub(super) began: Instant,
    /// How long it had been going on before it was interrupted.
    pub(super) was: f64,
    /// What was answered to the valid conversation.
    pub(super) probe_replies: Vec<Reply>,
    /// Whether an idle target already uses up a processor.
    pub(super) is_restless: bool,
    /// How many edges there are in the target's program, where that is known.
    pub(super) edges_total: Option<usize>,
}

impl Common {
    /// How long the campaign has been going on, in seconds.
    pub(super) fn elapsed(&self) -> f64 {
        self.was + self.began.elapsed().as_secs_f64()
    }
}

/// Who writes findings as scenarios, with the targets and actors of the campaign's.
fn writer(scenario: &Scenario, text: &str, stage: &Stage<'_>) -> Result<Writer, CampaignError> {
    let options = stage.options;
    let cases = TestCase::all(Path::new(&scenario.file), text, &options.known);
    let base = cases.ok().and_then(|cases| cases.into_iter().next()).ok_or(CampaignError::Nothing)?;
    let mut player = testcase::Player::new(stage.guard.clone(), options.folder.join(SCRATCH));
    player.targets.clone_from(&options.targets);
    player.allow_remote = options.allow_remote;
    player.timeout = Some(PLAY_WITHIN);
    Ok(Writer::new(base, player))
}

/// Runs a campaign. `text` is what stands in the scenario's file.
pub(super) fn run(
    scenario: Scenario,
    text: &str,
    stage: &Stage<'_>,
    watcher: &mut dyn Watcher,
) -> Result<Summary, CampaignError> {
    let began = Instant::now();
    let options = stage.options;
    std::fs::create_dir_all(&options.folder)?;
    let mut writer = writer(&scenario, text, stage)?;
    let prepared = stage.prepare(scenario)?;
    let Prepared { plan, player, counters, seeds, dictionary, answers, protocol, datagrams, .. } = prepared;
    writer.datagrams.clone_from(&datagrams);
    let resumed = if options.resume { journal::resume(&options.folder)? } else { None };
    if let Some((checkpoint, _)) = resumed.as_ref().filter(|(checkpoint, _)| checkpoint.seed != options.seed) {
        let why =
            format!("expected the seed `{}`, which the campaign began with, got `{}`", checkpoint.seed, options.seed);
        return Err(CampaignError::Input { path: options.folder.join(journal::CHECKPOINT), why });
    }
    // What was recorded in the beginning is what is spoilt: another start of the target might have answered otherwise.
    let seeds = match &resumed {
        Some((_, entries)) => {
            entries.iter().filter(|entry| entry.is_seed()).map(|entry| (entry.case.clone(), true)).collect()
        }
        None => seeds,
    };
    let known = resumed.as_ref().map(|(_, entries)| entries.as_slice());
    let journal = Journal::open(&options.folder, known, options.corpus.as_deref())?;
    let said = seeds.iter().flat_map(|(case, _)| case.messages());
    let names =
        said.map(|(_, message)| feedback::name(&message.bytes(), protocol.as_deref(), Direction::Request)).collect();
    let common = Common {
        datagrams,
        names,
        protocol,
        writer,
        began,
        was: resumed.as_ref().map_or(0.0, |(checkpoint, _)| checkpoint.seconds),
        probe_replies: prepared.probe_replies,
        judge: prepared.judge,
        is_restless: prepared.is_restless,
        edges_total: counters.as_ref().and_then(|counters| counters.total),
        options: options.clone(),
        plan,
    };
    let state = Mutex::new(State {
        schedule: Schedule::default(),
        growth: Default::default(),
        corpus: Corpus::default(),
        seeds: seeds.iter().map(|(case, _)| case.clone()).collect(),
        virgin: Virgin::default(),
        novelty: Novelty::default(),
        dictionary,
        answers,
        counts: Counts::default(),
        findings: Vec::new(),
        looking: None,
        looked_into: Default::default(),
        differed: Default::default(),
        hangs: Default::default(),
        ending: None,
        trouble: None,
        journal,
        points: Vec::new(),
        stored_at: 0.0,
        standing: Default::default(),
        digest: 0,
    });

    let (tell, told) = std::sync::mpsc::channel();
    prepared.notes.iter().for_each(|note| watcher.note(note));
    if player.coverage.is_on() && !player.coverage.is_attached() {
        watcher.note("the target has counters, and they cannot be read: it may start another process that has them");
    }
    // Opened before anybody works: what cannot be opened is no campaign.
    let reply_within = player.reply_within;
    let more: Vec<Opened> =
        (1..options.jobs).map(|number| stage.open(counters.as_ref(), number)).collect::<Result<_, _>>()?;
    let mut worker = Worker::new(&common, &state, player, tell.clone());
    match resumed {
        Some((mut checkpoint, entries)) => {
            let standing = std::mem::take(&mut checkpoint.standing);
            lock(&state).resume(checkpoint, entries, &common.plan, &common.datagrams);
            worker.stand(standing);
        }
        None => {
            for (case, holds) in &seeds {
                worker.seed(case, if *holds { "seed" } else { "seed, some of it unexpected" });
            }
        }
    }
    worker.import();
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    stage.handle.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            flag.store(true, Ordering::Relaxed);
        }
    });
    std::thread::scope(|scope| {
        let (state, common) = (&state, &common);
        let watching = scope.spawn({
            let interrupted = &*interrupted;
            move || watch(&told, state, common, interrupted, watcher)
        });
        for (number, opened) in (1..).zip(more) {
            let tell = tell.clone();
            scope.spawn(move || {
                let mut player = stage.player(&common.plan, opened, number);
                player.reply_within = reply_within;
                Worker::new(common, state, player, tell).work();
            });
        }
        drop(tell);
        worker.work();
        // The last one who could tell something is gone with it.
        drop(worker);
        if let Err(panic) = watching.join() {
            std::panic::resume_unwind(panic);
        }
    });
    let _ = std::fs::remove_dir_all(options.folder.join(SCRATCH));
    let mut state = lock(&state);
    sum_up(&mut state, &common)
}

/// Writes down what came of it.
fn sum_up(state: &mut State, common: &Common) -> Result<Summary, CampaignError> {
    if state.ending == Some(Ending::Lost) && state.findings.is_empty() {
        return Err(CampaignError::Target(state.trouble.take().unwrap_or_default()));
    }
    let options = &common.options;
    let summary = Summary {
        cases: state.counts.cases,
        sessions: state.counts.sessions,
        messages: state.counts.messages,
        seconds: common.elapsed(),
        edges: state.virgin.edges(),
        edges_total: common.edges_total,
        seed: options.seed,
        findings: state.findings.clone(),
        digest: format!("{:016x}", state.digest()),
        ending: state.ending.unwrap_or_default(),
        folder: options.folder.clone(),
    };
    state.journal.checkpoint(&state.checkpoint(options.seed, common.elapsed()))?;
    let text = serde_json::to_string_pretty(&summary).map_err(std::io::Error::other)?;
    std::fs::write(options.folder.join("campaign.json"), text + "\n")?;
    state.note_point(summary.seconds);
    let why = super::watch::status(state, common, (Counts::default(), common.began)).why();
    let page = super::page::page(&summary, state, &why);
    std::fs::write(options.folder.join("report.html"), page)?;
    Ok(summary)
}
