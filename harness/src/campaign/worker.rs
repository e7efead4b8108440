//! The loop: take a case, play it, see what is new and what is wrong.

#![expect(clippy::disallowed_methods, reason = "a campaign's clock is here")]

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::case::{Case, Step};
use super::corpus::{Corpus, Entry};
use super::coverage::{self, Coverage};
use super::feedback::{self, Novelty, Signature, Virgin, each};
use super::finding::{Finding, Material, Writer, page};
use super::journal::{self, Journal};
use super::leak::{self, SAMPLE_EVERY, Samples};
use super::oracle::Symptom;
use super::plan::{Place, Plan};
use super::player::{Player, Reply, Trace};
use super::schedule::{Job, Schedule};
use super::seeds::{self, Seed};
use super::state::{Counts, Ending, State, Summary};
use super::status::{Status, Watcher};
use super::triage::{Judge, LOOK_BACK, Verdict};
use super::{CampaignError, CoverageKind, Options};
use crate::mutator::{Around, Dictionary, MUTATORS, learn};
use crate::protocol::{Direction, Protocol};
use crate::random::Random;
use crate::runner::Ground;
use crate::runner::process::Guard;
use crate::scenario::Scenario;
use crate::testcase::{self, TestCase};

/// After how many cases a valid conversation is played in between.
const PROBE_EVERY: u64 = 256;

/// After how many cases without any answer one is.
const SILENT_MAX: u32 = 4;

/// How often a case that has shown something new is played again, to see what comes and goes by itself.
const CALIBRATIONS: usize = 2;

/// How many scripts are recorded.
const SCRIPTS_MAX: usize = 256;

/// How many tries a target has to come up.
const STARTS_MAX: u32 = 5;

/// After how many status lines it is stored where the campaign stands.
const CHECKPOINT_EVERY: u64 = 5;

/// After how many cases the shared folder is looked at.
const IMPORT_EVERY: u64 = 5_000;

/// Between two status lines.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// The same under the lock of all workers. A worker that has panicked leaves plain data.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What workers have in common and do not change.
struct Common {
    plan: Arc<Plan>,
    options: Options,
    judge: Judge,
    datagrams: Vec<bool>,
    /// The names of the messages that seeds say.
    names: HashSet<u64>,
    protocol: Option<Arc<Protocol>>,
    writer: Writer,
    began: Instant,
    /// How long it had been going on before it was interrupted.
    was: f64,
    /// What was answered to the valid conversation.
    probe_replies: Vec<Reply>,
    /// Whether an idle target already uses up a processor.
    is_restless: bool,
}

impl Common {
    /// How long the campaign has been going on, in seconds.
    fn elapsed(&self) -> f64 {
        self.was + self.began.elapsed().as_secs_f64()
    }
}

/// Something to be told.
enum Told {
    Found(Box<Finding>, String),
    Note(String),
}

pub(super) fn run(
    scenario: Scenario,
    text: &str,
    options: &Options,
    guard: &Guard,
    handle: &Handle,
    watcher: &mut dyn Watcher,
) -> Result<Summary, CampaignError> {
    let began = Instant::now();
    std::fs::create_dir_all(&options.folder)?;
    let file = std::path::PathBuf::from(&scenario.file);
    let base = TestCase::all(&file, text, &options.known).ok().and_then(|cases| cases.into_iter().next());
    let Some(base) = base else { return Err(CampaignError::Nothing) };
    let scratch = options.folder.join("scratch");
    let mut player = testcase::Player::new(guard.clone(), &scratch);
    player.targets.clone_from(&options.targets);
    player.allow_remote = options.allow_remote;
    player.timeout = Some(Duration::from_secs(60));
    let writer = Writer::new(base, player);

    let mut plan = Plan::new(scenario, options.protocol.as_ref());
    let scripts = plan.scripts();
    let mut plan_shared = Arc::new(plan);
    let ground = |env: Vec<(String, String)>| {
        let (targets, work) = (options.targets.clone(), options.folder.join("scratch"));
        Ground::new(handle.clone(), guard.clone(), options.allow_remote, targets, work, env)
    };
    let mut first = Player::new(Arc::clone(&plan_shared), ground(Vec::new()), Coverage::default(), 0);
    first.restart(false).map_err(|failure| CampaignError::Target(failure.message))?;

    // What the target is built with shows in its program.
    let found = match options.coverage {
        CoverageKind::Off => None,
        wanted => coverage::find(&first.program_pids(), wanted),
    };
    let open = |worker: usize| -> Result<(Coverage, Vec<(String, String)>), CampaignError> {
        match &found {
            None => Ok(Default::default()),
            Some(found) => found.open(&options.folder, worker).map_err(CampaignError::Target),
        }
    };
    match &found {
        None if matches!(options.coverage, CoverageKind::Off | CoverageKind::Auto) => {}
        None => {
            let message = format!("the target shows no counters of the kind `{:?}`", options.coverage).to_lowercase();
            return Err(CampaignError::Target(message));
        }
        Some(_) => {
            first.end(true);
            let (coverage, env) = open(0)?;
            first = Player::new(Arc::clone(&plan_shared), ground(env), coverage, 0);
            first.restart(false).map_err(|failure| CampaignError::Target(failure.message))?;
        }
    }
    first.quiescence = options.quiescence;
    let is_restless = first.is_watched() && options.quiescence && first.busy_share(Duration::from_millis(100)) > 0.5;

    // Seeds: what the scenario says, each on a fresh target.
    let mut recorded = Vec::new();
    let mut patterns = Vec::new();
    let mut normal = Vec::new();
    for script in scripts.iter().take(SCRIPTS_MAX) {
        if !recorded.is_empty() && !plan_shared.is_about_clients() {
            first.restart(true).map_err(|failure| CampaignError::Target(failure.message))?;
        }
        let mut random = Random::new(options.seed, &script.name);
        let seed = seeds::record(&mut first, script, &mut patterns, &mut random);
        normal.extend(first.ended(true).map(|(_, exit)| exit));
        recorded.push(seed);
    }
    let protocol = plan_shared.actors.iter().find_map(|actor| actor.protocol.clone());
    let datagrams = first.datagrams();
    // The players of the recording hold the plan as it was.
    first.end(true);
    let ground_of_first = first.into_parts();
    plan = Arc::try_unwrap(plan_shared).unwrap_or_else(|shared| Plan::like(&shared));
    plan.patterns = patterns;
    plan_shared = Arc::new(plan);

    let mut dictionary = Dictionary::default();
    if let Some(path) = &options.dictionary {
        let read = std::fs::read_to_string(path).map_err(|error| error.to_string());
        let read = read.and_then(|text| Dictionary::parse(&text).map_err(|error| error.to_string()));
        dictionary = read.map_err(|why| CampaignError::Input { path: path.clone(), why })?;
    }
    let mut answers: Vec<Vec<u8>> = Vec::new();
    for seed in &recorded {
        for answer in seed.answers.iter().filter(|answer| !answer.is_empty() && answer.len() <= 4_096) {
            if answers.len() < 64 && !answers.contains(answer) {
                answers.push(answer.clone());
            }
        }
        seed.case.messages().for_each(|(_, message)| learn(&mut dictionary, &message.bytes()));
    }
    answers.iter().for_each(|answer| learn(&mut dictionary, answer));
    if let Some(protocol) = &protocol {
        learn_protocol(&mut dictionary, protocol);
    }
    let mut cases: Vec<(Case, &Seed)> = Vec::new();
    for seed in recorded.iter().filter(|seed| !seed.case.sends().is_empty()) {
        if !cases.iter().any(|(case, _)| *case == seed.case) {
            cases.push((seed.case.clone(), seed));
        }
    }
    if cases.is_empty() {
        return Err(CampaignError::Nothing);
    }
    let slowest = recorded.iter().map(|seed| seed.slowest).max().unwrap_or_default();
    let (ground, coverage) = ground_of_first;
    let mut player = Player::new(Arc::clone(&plan_shared), ground, coverage, 0);
    player.quiescence = options.quiescence;
    player.restart(false).map_err(|failure| CampaignError::Target(failure.message))?;
    let is_watched = player.is_watched() && options.quiescence;
    let reply_within = match is_watched {
        // Who rests without an answer gives none, unless answers are known to take their time.
        true if slowest < Duration::from_millis(3) => Duration::ZERO,
        true => (slowest * 2).min(Duration::from_millis(400)),
        false => (slowest * 4).clamp(Duration::from_millis(3), Duration::from_millis(400)),
    };
    player.reply_within = reply_within;

    // The valid conversation that a living target answers: the shortest that was answered.
    let mut judge = Judge { probe: None, normal };
    let mut probe_replies = Vec::new();
    let mut by_len: Vec<&Case> = cases.iter().map(|(case, _)| case).collect();
    by_len.sort_by_key(|case| (case.connections(), case.bytes()));
    for case in by_len.into_iter().take(8) {
        let mut case = case.clone();
        // Up to its first answer.
        let trace = player.play(&case, &mut |_, _| {});
        let Some(reply) = trace.replies.iter().find(|reply| reply.len > 0) else { continue };
        case.steps.truncate(reply.step + 1);
        judge.probe = Some(case);
        if judge.answers(&mut player) {
            probe_replies = trace.replies.clone();
            break;
        }
        judge.probe = None;
    }

    let resumed = match options.resume {
        true => journal::resume(&options.folder)?,
        false => None,
    };
    let known = resumed.as_ref().map(|(_, entries)| entries.as_slice());
    let journal = Journal::open(&options.folder, known, options.corpus.as_deref())?;
    let said = cases.iter().flat_map(|(case, _)| case.messages());
    let names =
        said.map(|(_, message)| feedback::name(&message.bytes(), protocol.as_deref(), Direction::Request)).collect();
    let common = Arc::new(Common {
        datagrams,
        names,
        protocol,
        writer,
        began,
        was: resumed.as_ref().map_or(0.0, |(checkpoint, _)| checkpoint.seconds),
        probe_replies,
        judge,
        is_restless,
        options: options.clone(),
        plan: Arc::clone(&plan_shared),
    });
    let state = Arc::new(Mutex::new(State {
        schedule: Schedule::default(),
        corpus: Corpus::default(),
        seeds: cases.iter().map(|(case, _)| case.clone()).collect(),
        virgin: Virgin::default(),
        novelty: Novelty::default(),
        dictionary,
        answers,
        counts: Counts::default(),
        findings: Vec::new(),
        looked_into: Default::default(),
        ending: None,
        trouble: None,
        journal,
        points: Vec::new(),
        digest: 0,
    }));

    let (tell, told) = std::sync::mpsc::channel();
    if player.coverage.is_on() && !player.coverage.is_attached() {
        watcher.note("the target has counters, and they cannot be read: it may start another process that has them");
    }
    let mut worker = Worker::new(&common, &state, player, tell.clone());
    match resumed {
        Some((checkpoint, entries)) => lock(&state).resume(checkpoint, entries, &common.plan, &common.datagrams),
        None => {
            for (case, seed) in &cases {
                worker.seed(case, if seed.holds { "seed" } else { "seed, some of it unexpected" });
            }
        }
    }
    worker.import();
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    handle.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            flag.store(true, Ordering::Relaxed);
        }
    });
    let mut opened = Vec::new();
    for number in 1..options.jobs {
        opened.push((number, open(number)?));
    }
    std::thread::scope(|scope| {
        let watching = scope.spawn({
            let (state, common, interrupted) = (&*state, &*common, &*interrupted);
            move || watch(&told, state, common, interrupted, watcher)
        });
        for (number, (coverage, env)) in opened {
            let (common, state, tell, plan) = (&*common, &*state, tell.clone(), Arc::clone(&plan_shared));
            let (handle, guard, targets) = (handle.clone(), guard.clone(), options.targets.clone());
            let (allow_remote, work) = (options.allow_remote, scratch.clone());
            let (quiescence, reply_within) = (options.quiescence, reply_within);
            scope.spawn(move || {
                let ground = Ground::new(handle, guard, allow_remote, targets, work, env);
                let mut player = Player::new(plan, ground, coverage, number);
                player.quiescence = quiescence;
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
    let _ = std::fs::remove_dir_all(&scratch);
    let mut state = lock(&state);
    if state.ending == Some(Ending::Lost) && state.findings.is_empty() {
        return Err(CampaignError::Target(state.trouble.take().unwrap_or_default()));
    }
    let summary = Summary {
        cases: state.counts.cases,
        sessions: state.counts.sessions,
        messages: state.counts.messages,
        seconds: common.elapsed(),
        edges: state.virgin.edges(),
        seed: options.seed,
        findings: state.findings.clone(),
        ending: state.ending.unwrap_or_default(),
        folder: options.folder.clone(),
    };
    state.journal.checkpoint(&state.checkpoint(options.seed, common.elapsed()))?;
    let text = serde_json::to_string_pretty(&summary).map_err(std::io::Error::other)?;
    std::fs::write(options.folder.join("campaign.json"), text + "\n")?;
    state.note_point(summary.seconds);
    let page = super::page::page(&summary, &state.points, state.schedule.yields());
    std::fs::write(options.folder.join("report.html"), page)?;
    Ok(summary)
}

/// Tells how it goes, until nobody is left who works.
fn watch(
    told: &Receiver<Told>,
    state: &Mutex<State>,
    common: &Common,
    interrupted: &AtomicBool,
    watcher: &mut dyn Watcher,
) {
    let mut last = (Counts::default(), Instant::now());
    let mut ticks = 0_u64;
    loop {
        match told.recv_timeout(STATUS_EVERY.saturating_sub(last.1.elapsed())) {
            Ok(Told::Found(finding, symptom)) => watcher.found(&finding, &symptom),
            Ok(Told::Note(text)) => watcher.note(&text),
            Err(RecvTimeoutError::Timeout) => {
                let mut state = lock(state);
                if interrupted.load(Ordering::Relaxed) {
                    state.ending.get_or_insert(Ending::Interrupted);
                }
                let status = status(&state, common, last);
                last = (state.counts, Instant::now());
                state.note_point(common.elapsed());
                ticks += 1;
                if ticks.is_multiple_of(CHECKPOINT_EVERY) {
                    let stored = state.journal.checkpoint(&state.checkpoint(common.options.seed, common.elapsed()));
                    if let Err(error) = stored {
                        watcher.note(&format!("the campaign could not be stored: {error}"));
                    }
                }
                drop(state);
                watcher.status(&status);
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    watcher.status(&status(&lock(state), common, last));
}

fn status(state: &State, common: &Common, (before, since): (Counts, Instant)) -> Status {
    let has_edges = state.virgin.edges() > 0;
    Status {
        elapsed: Duration::from_secs_f64(common.elapsed()),
        counts: state.counts,
        before: (before, since.elapsed()),
        edges: has_edges.then(|| (state.virgin.edges(), state.virgin.masked())),
        states: (state.novelty.states(), state.novelty.answers()),
        corpus: state.corpus.entries().len(),
        findings: state.findings.len(),
        swept: state.schedule.is_swept(),
    }
}

/// Words of a description: its enums' names say nothing on the wire, but its literals do.
fn learn_protocol(dictionary: &mut Dictionary, protocol: &Protocol) {
    use crate::protocol::Kind;
    for field in protocol.messages.iter().flat_map(|message| message.fields.iter()) {
        if let Kind::Bytes { constant: Some(constant), .. } = &field.kind {
            dictionary.add(constant);
        }
    }
}

struct Worker<'w> {
    common: &'w Common,
    state: &'w Mutex<State>,
    player: Player,
    /// What was played since the target was started, the newest last.
    history: VecDeque<Case>,
    /// What this worker knows of edges: whatever is not new here is not new at all.
    virgin: Virgin,
    silent: u32,
    since_probe: u64,
    starts: u64,
    waited: Duration,
    tell: Sender<Told>,
    samples: Samples,
    played: u64,
}

impl<'w> Worker<'w> {
    fn new(common: &'w Common, state: &'w Mutex<State>, player: Player, tell: Sender<Told>) -> Worker<'w> {
        Worker {
            common,
            state,
            starts: player.starts,
            waited: player.waited,
            player,
            history: VecDeque::new(),
            virgin: Virgin::default(),
            silent: 0,
            since_probe: 0,
            tell,
            samples: Samples::default(),
            played: 0,
        }
    }

    /// Plays a seed, and keeps it whatever it shows.
    fn seed(&mut self, case: &Case, feedback: &str) {
        let mut virgin = Virgin::default();
        let trace = self.player.play(case, &mut |coverage, _| {
            virgin.note(coverage.take());
        });
        let edges = self.stable(case, &trace);
        let signature = self.signature(case, &trace);
        let mut state = lock(self.state);
        state.novelty.note(&signature);
        let counts = edges.iter().map(|(edge, _)| *edge).collect();
        for (edge, class) in &edges {
            note_class(&mut state.virgin, *edge, *class);
        }
        let entry = Entry {
            case: case.clone(),
            feedback: feedback.into(),
            parent: None,
            mutators: Vec::new(),
            at: 0,
            edges: counts,
            chosen: 0,
            children: 0,
        };
        state.admit(entry);
        drop(state);
        if trace.ended.is_some() {
            let _ = self.player.restart(false);
        }
    }

    /// Plays what others have found.
    fn import(&mut self) {
        let actor = self.common.plan.actors.iter().position(|actor| !matches!(actor.place, Place::Listen(_)));
        let cases = lock(self.state).journal.news(actor.unwrap_or(0) as u16);
        for case in cases {
            self.seed(&case, "import");
        }
    }

    fn signature(&self, case: &Case, trace: &Trace) -> Signature {
        let protocol = self.common.protocol.as_deref();
        let name = |reply: &Reply| match case.steps.get(reply.step) {
            // What chance has made up has no name: else each would be a state of its own.
            Some(Step::Send(message)) => Some(feedback::name(&message.bytes(), protocol, Direction::Request))
                .filter(|name| self.common.names.contains(name))
                .unwrap_or(1),
            _ => 0,
        };
        let names: Vec<u64> = trace.replies.iter().map(name).collect();
        Signature::of(&trace.replies, &names, &trace.lines, protocol)
    }

    /// The edges that a case takes each time it is played, with the classes of their counts; what comes and goes is masked.
    fn stable(&mut self, case: &Case, _: &Trace) -> Vec<(u32, u8)> {
        if !self.player.coverage.is_on() {
            return Vec::new();
        }
        let mut runs: Vec<std::collections::HashMap<u32, u8>> = Vec::new();
        for _ in 0..=CALIBRATIONS {
            let mut taken = std::collections::HashMap::new();
            let trace = self.player.play(case, &mut |coverage, _| {
                each(coverage.take(), |edge, count| *taken.entry(edge as u32).or_insert(0) |= feedback::class(count));
            });
            if trace.ended.is_some() || trace.refused.is_some() {
                return Vec::new();
            }
            runs.push(taken);
        }
        let (first, others) = runs.split_first().expect("it was played");
        let mut stable = Vec::new();
        let mut unstable = Vec::new();
        for (edge, class) in first {
            // Where only the count differs from time to time, all that were seen are known from here on.
            match others.iter().all(|run| run.contains_key(edge)) {
                true => stable.push((*edge, others.iter().fold(*class, |all, run| all | run[edge]))),
                false => unstable.push(*edge),
            }
        }
        let late = others.iter().flat_map(|run| run.keys()).filter(|edge| !first.contains_key(edge));
        unstable.extend(late.copied());
        stable.sort_unstable();
        if !unstable.is_empty() {
            let mut state = lock(self.state);
            for edge in unstable {
                // An edge that was there before with certainty has only a count that varies.
                state.virgin.mask(edge as usize);
                self.virgin.mask(edge as usize);
            }
        }
        stable
    }

    fn work(&mut self) {
        if !self.player.is_up() && !self.start(false) {
            return;
        }
        while let Some(job) = self.next() {
            if self.common.options.isolate && !self.start(true) {
                return;
            }
            self.case(&job);
            self.played += 1;
            if self.played.is_multiple_of(IMPORT_EVERY) {
                self.import();
            }
            if !self.player.is_up() && !self.start(false) {
                return;
            }
        }
        self.player.end(true);
    }

    /// Starts the target, a few times if need be.
    fn start(&mut self, in_order: bool) -> bool {
        self.history.clear();
        self.silent = 0;
        self.since_probe = 0;
        self.samples.clear();
        let began = Instant::now();
        let mut failed = None;
        for _ in 0..STARTS_MAX {
            match self.player.restart(in_order) {
                Ok(()) => {
                    lock(self.state).counts.started += began.elapsed();
                    return true;
                }
                Err(failure) => failed = Some(failure.message),
            }
        }
        let mut state = lock(self.state);
        state.ending.get_or_insert(Ending::Lost);
        state.trouble = failed;
        false
    }

    /// The next case, unless it is over.
    fn next(&mut self) -> Option<Job> {
        let options = &self.common.options;
        let mut state = lock(self.state);
        if options.time.is_some_and(|time| self.common.elapsed() >= time.as_secs_f64()) {
            state.ending.get_or_insert(Ending::Done);
        }
        if options.cases.is_some_and(|cases| state.counts.given >= cases) {
            state.ending.get_or_insert(Ending::Done);
        }
        if state.ending.is_some() {
            return None;
        }
        state.counts.given += 1;
        // Chance of its own for each case: whoever plays it, and after whatever interruption, it is the same.
        let mut random = Random::new(options.seed, &format!("case {}", state.counts.given));
        let State { schedule, corpus, seeds, dictionary, answers, digest, .. } = &mut *state;
        let (plan, datagrams) = (&*self.common.plan, &*self.common.datagrams);
        let around = Around { plan, dictionary, others: &[], answers, datagrams };
        let job = schedule.next(seeds, corpus, &around, &mut random)?;
        *digest = digest.rotate_left(5) ^ job.case.hash();
        Some(job)
    }

    fn case(&mut self, job: &Job) {
        let mut news = feedback::News::default();
        let virgin = &mut self.virgin;
        let trace = self.player.play(&job.case, &mut |coverage, _| {
            if coverage.is_on() {
                let more = virgin.note(coverage.take());
                news.edges += more.edges;
                news.counts += more.counts;
            }
        });
        if self.history.len() == LOOK_BACK {
            self.history.pop_front();
        }
        self.history.push_back(job.case.clone());
        {
            let mut state = lock(self.state);
            let counts = &mut state.counts;
            counts.cases += 1;
            counts.sessions += trace.opened;
            counts.messages += trace.messages;
            counts.played += trace.time;
            counts.waited += self.player.waited.saturating_sub(self.waited);
            counts.starts += self.player.starts.saturating_sub(self.starts);
            (self.waited, self.starts) = (self.player.waited, self.player.starts);
        }
        self.since_probe += 1;
        let answered = trace.replies.iter().any(|reply| reply.len > 0);
        self.silent = if answered { 0 } else { self.silent + 1 };
        if let Some(symptom) = self.symptom(job, &trace) {
            let began = Instant::now();
            self.look_into(job, &trace, &symptom);
            lock(self.state).counts.triage += began.elapsed();
            return;
        }
        if trace.ended.is_some() && !self.common.plan.is_about_clients() {
            // It ends so after what is valid, too; the next case needs another.
            self.start(false);
            return;
        }
        self.feed_back(job, &trace, news);
    }

    /// What is wrong after a case, if anything is.
    fn symptom(&mut self, job: &Job, trace: &Trace) -> Option<Symptom> {
        let cases = lock(self.state).counts.cases;
        let judge = &self.common.judge;
        if let Some(symptom) = Symptom::of(trace, &judge.normal) {
            return Some(symptom);
        }
        if trace.ended.is_some() || self.common.plan.is_about_clients() {
            return None;
        }
        if trace.busy && !self.common.is_restless && judge.is_busy(&mut self.player) {
            return Some(Symptom::Busy);
        }
        let is_due =
            self.since_probe >= PROBE_EVERY || self.silent >= SILENT_MAX || trace.refused.is_some() || trace.busy;
        if is_due && judge.probe.is_some() {
            self.since_probe = 0;
            self.silent = 0;
            let answers = judge.answers(&mut self.player);
            if let Some((target, exit)) = self.player.ended(true)
                && !judge.normal.contains(&exit)
            {
                return Some(Symptom::Ended { target, exit, place: None });
            }
            if !answers {
                return Some(Symptom::Hang);
            }
        }
        if self.history.len() >= LOOK_BACK && cases.is_multiple_of(SAMPLE_EVERY) && self.player.is_watched() {
            let sample = leak::used(&self.player.pids());
            if let Some(resource) = self.samples.push(sample) {
                let history: Vec<Case> = self.history.iter().cloned().collect();
                let looked = lock(self.state).wants(&format!("{resource:?}"));
                let found = looked.then(|| leak::find(&mut self.player, &history, judge.probe.as_ref(), resource));
                if let Some(case) = found.flatten() {
                    self.history.clear();
                    self.history.push_back(case);
                    return Some(Symptom::Leak(resource));
                }
                self.start(false);
                return None;
            }
        }
        // The same bytes in other pieces are the same conversation to a stream.
        let is_same = !job.mutators.is_empty() && job.mutators.iter().all(|at| MUTATORS[*at].name == "cut");
        let from_seed = job.parent.is_some_and(|parent| parent < lock(self.state).seeds.len());
        if trace.unmet.is_some() && is_same && from_seed && !trace.busy {
            return Some(Symptom::Wrong);
        }
        None
    }

    /// Keeps a case that has shown something new.
    fn feed_back(&mut self, job: &Job, trace: &Trace, news: feedback::News) {
        let signature = self.signature(&job.case, trace);
        let novel = lock(self.state).novelty.note(&signature);
        let mut feedback = None;
        let mut edges = Vec::new();
        if news.any() {
            edges = self.stable(&job.case, trace);
            let mut state = lock(self.state);
            let mut new = feedback::News::default();
            for (edge, class) in &edges {
                let more = note_class(&mut state.virgin, *edge, *class);
                new.edges += more.edges;
                new.counts += more.counts;
            }
            feedback = match new {
                feedback::News { edges: 1.., .. } => Some("edge"),
                feedback::News { counts: 1.., .. } => Some("count"),
                _ => None,
            };
        }
        // Where edges are known, answers alone are not worth keeping a case for, unless they are a new kind.
        let feedback = feedback.or(novel.filter(|what| !self.player.coverage.is_on() || *what == "answer"));
        let mut state = lock(self.state);
        state.schedule.note(&job.mutators, feedback.is_some());
        let Some(feedback) = feedback.filter(|_| self.common.options.feedback) else { return };
        let at = state.counts.cases;
        let entry = Entry {
            case: job.case.clone(),
            feedback: feedback.into(),
            parent: job.parent,
            mutators: job.mutators.iter().map(|at| MUTATORS[*at].name.to_owned()).collect(),
            at,
            edges: edges.into_iter().map(|(edge, _)| edge).collect(),
            chosen: 0,
            children: 0,
        };
        state.admit(entry);
    }

    /// Looks into a sign: plays it again, makes it small, and writes it down.
    fn look_into(&mut self, job: &Job, trace: &Trace, symptom: &Symptom) {
        let fallback = self.name_of_last(&job.case, trace);
        if !lock(self.state).wants(&symptom.bucket(&fallback)) {
            self.player.end(false);
            return;
        }
        let (seconds, cases) = (self.common.elapsed(), lock(self.state).counts.cases);
        let stderr: Vec<String> = self.player.written(200).into_iter().map(|line| line.text).collect();
        let history: Vec<Case> = self.history.drain(..).collect();
        // On disk before anything else is done with it.
        let number = cases;
        let raw = self.common.options.folder.join("signs");
        let stored = serde_json::to_vec(&history[history.len().saturating_sub(LOOK_BACK)..]).unwrap_or_default();
        let kept =
            std::fs::create_dir_all(&raw).and_then(|()| std::fs::write(raw.join(format!("{number}.json")), stored));
        if let Err(error) = kept {
            let _ = self.tell.send(Told::Note(format!("a sign could not be stored: {error}")));
        }
        let judge = &self.common.judge;
        if *symptom == Symptom::Wrong {
            let seed = job.parent.map(|parent| lock(self.state).seeds[parent].clone()).unwrap_or_default();
            // Where it does not hold in one piece either, the pieces are not what is wrong.
            if judge.rate(&mut self.player, &seed, symptom, 3) > 0 {
                return;
            }
        }
        let (case, verdict, shown) = judge.verify(&mut self.player, &history, symptom);
        if shown == 0 {
            let text = format!("something was wrong once and did not come again: {symptom} (`signs/{number}.json`)");
            let _ = self.tell.send(Told::Note(text));
            if matches!(symptom, Symptom::Wrong | Symptom::Busy) {
                return;
            }
        }
        let mut case = case;
        if verdict != Verdict::Flaky {
            let wanted = judge.try_fresh(&mut self.player, &case, symptom).unwrap_or_else(|| symptom.clone());
            case = judge.reduce(&mut self.player, case, &wanted, self.common.options.shrink_budget).0;
        }
        let last = judge.try_fresh(&mut self.player, &case, symptom).unwrap_or_else(|| symptom.clone());
        self.store(&case, &last, verdict, seconds, cases, &stderr);
        self.player.end(false);
    }

    /// A name for what was said last, for what says nothing of where it happened.
    fn name_of_last(&self, case: &Case, trace: &Trace) -> String {
        let last = trace.replies.last().map(|reply| reply.step);
        let message = match last.and_then(|step| case.steps.get(step)) {
            Some(Step::Send(message)) => message.bytes(),
            _ => return "connection".into(),
        };
        let protocol = self.common.protocol.as_deref();
        if let Some((name, _)) = protocol.and_then(|protocol| protocol.tell(&message, Some(Direction::Request))) {
            return name.to_string();
        }
        let word: String = message
            .iter()
            .take(12)
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .map(|byte| char::from(*byte))
            .collect();
        match (word.len(), message.first()) {
            (2.., _) => word.to_lowercase(),
            (_, Some(first)) => format!("{first:02x}"),
            _ => "nothing".into(),
        }
    }

    fn store(&mut self, case: &Case, symptom: &Symptom, verdict: Verdict, seconds: f64, cases: u64, stderr: &[String]) {
        let common = self.common;
        let _ = self.player.restart(false);
        let trace = self.player.play(case, &mut |_, _| {});
        let right: Vec<Reply> = match symptom {
            Symptom::Wrong => {
                let mut whole = case.clone();
                for step in whole.sends() {
                    whole.message_mut(step).expect("it sends").cuts.clear();
                }
                let _ = self.player.restart(false);
                self.player.play(&whole, &mut |_, _| {}).replies
            }
            _ => Vec::new(),
        };
        let bucket = symptom.bucket(&self.name_of_last(case, &trace));
        let folder = common.options.folder.join("findings").join(&bucket);
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let probe = common.judge.probe.as_ref().map(|probe| (probe, common.probe_replies.as_slice()));
        let material = Material { case, replies: &trace.replies, symptom, probe, right: &right };
        let is_clean = |played: &testcase::Played| played.verdict.is_good();
        let mut chosen: Option<(usize, TestCase, Option<testcase::Played>)> = None;
        for probed in [matches!(symptom, Symptom::Hang), true] {
            let scenario = common.writer.scenario(&common.plan, &bucket, &material, probed);
            let plays: Vec<_> = (0..super::triage::REPLAYS).filter_map(|_| common.writer.play(&scenario)).collect();
            let failed = plays.iter().filter(|played| !is_clean(played)).count();
            let better = chosen.as_ref().is_none_or(|(best, ..)| failed > *best);
            if better {
                let played = plays.into_iter().find(|played| !is_clean(played));
                chosen = Some((failed, scenario, played));
            }
            if failed == super::triage::REPLAYS as usize {
                break;
            }
        }
        let Some((failed, mut scenario, played)) = chosen else { return };
        let verdict = if failed < super::triage::REPLAYS as usize { Verdict::Flaky } else { verdict };
        scenario.about.kind = Some(symptom.kind().to_string());
        scenario.about.verdict = Some(match verdict {
            Verdict::Deterministic => "deterministic".into(),
            Verdict::Flaky => "flaky".into(),
            Verdict::NeedsHistory => "needs-history".into(),
        });
        if verdict == Verdict::Flaky {
            scenario.about.probability = Some(failed as f64 / f64::from(super::triage::REPLAYS));
        }
        scenario.about.message = Some(symptom.to_string());
        scenario.about.harness = Some(env!("CARGO_PKG_VERSION").into());
        scenario.about.found_by = Some(common.options.command.clone());
        let finding = Finding {
            bucket,
            kind: symptom.kind(),
            seconds,
            cases,
            verdict,
            connections: case.connections(),
            messages: case.sends().len(),
            bytes: case.bytes(),
            path: folder.clone(),
        };
        let text = match played.as_ref().map(|played| played.stderr.as_str()) {
            Some(text) if !text.trim().is_empty() => text.to_owned(),
            _ => stderr.join("\n"),
        };
        let page = page(&finding, symptom, case, &[]);
        let mut state = lock(self.state);
        if state.keep(finding.clone()) {
            let written = common.writer.write(&folder, &scenario, played.as_ref(), &text, &page);
            if let Err(error) = written {
                let _ = self
                    .tell
                    .send(Told::Note(format!("the finding `{}` could not be written: {error}", finding.bucket)));
            }
            let _ = self.tell.send(Told::Found(Box::new(finding), symptom.to_string()));
            if !common.options.keep_going {
                state.ending.get_or_insert(Ending::Found);
            }
        }
    }
}

/// Notes an edge with the classes of its counts.
fn note_class(virgin: &mut Virgin, edge: u32, class: u8) -> feedback::News {
    virgin.note_class(edge as usize, class)
}
