//! The loop: take a case, play it, see what is new and what is wrong.

#![expect(clippy::disallowed_methods, reason = "a campaign's clock is here")]

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::sync::Mutex;
use std::sync::mpsc::Sender;
use std::time::Instant;

use super::case::{Case, Step};
use super::corpus::Entry;
use super::coverage::Coverage;
use super::feedback::{self, Signature, Virgin, each};
use super::frontier;
use super::history::History;
use super::leak::{self, Samples};
use super::oracle::Symptom;
use super::plan::Place;
use super::player::{Player, Reply, Trace};
use super::reduction::whole;
use super::run::{Common, lock};
use super::schedule::Job;
use super::state::{Ending, State};
use super::watch::Told;
use crate::mutator::{Around, MUTATORS};
use crate::protocol::Direction;
use crate::random::Random;

/// The longest case that is kept for how it was answered, in bytes.
const ANSWERED_LEN_MAX: usize = 16 << 10;

/// How often a case that has shown something new is played again, to see what comes and goes by itself.
const CALIBRATIONS: usize = 2;

/// How many tries a target has to come up.
const STARTS_MAX: u32 = 5;

/// How many cases are played after growth was looked into for the first time, until it is again.
const LEAK_GAP: u64 = 4_000;

/// By how much a pause may be longer than was asked for, in ns.
const TIMER_SLACK_NS: Option<NonZeroU64> = NonZeroU64::new(1_000);

/// Of how many messages of a seed it is found out what of them matters.
const SEED_FRONTIERS_MAX: usize = 16;

/// After how many cases the shared folder is looked at.
const IMPORT_EVERY: u64 = 5_000;

pub(super) struct Worker<'w> {
    pub(super) common: &'w Common,
    pub(super) state: &'w Mutex<State>,
    pub(super) player: Player,
    /// What was played since the target was started.
    pub(super) history: History,
    /// What this worker knows of edges, counted over whole cases: whatever is not new here is not new at all.
    pub(super) virgin: Virgin,
    pub(super) silent: u32,
    pub(super) since_probe: u64,
    starts: u64,
    /// When the target was started.
    pub(super) started: Instant,
    pub(super) tell: Sender<Told>,
    pub(super) samples: Samples,
    pub(super) played: u64,
    /// From how many cases on growth is looked into again, and how many are left out after the next time.
    pub(super) leak_after: u64,
    pub(super) leak_gap: u64,
    /// Whether what was said last was more than the target can take in within the time that it has.
    pub(super) ran_out: bool,
}

impl<'w> Worker<'w> {
    pub(super) fn new(common: &'w Common, state: &'w Mutex<State>, player: Player, tell: Sender<Told>) -> Worker<'w> {
        Worker {
            common,
            state,
            starts: player.starts,
            started: Instant::now(),
            player,
            history: History::default(),
            virgin: Virgin::default(),
            silent: 0,
            since_probe: 0,
            tell,
            samples: Samples::default(),
            played: 0,
            leak_after: 0,
            leak_gap: LEAK_GAP,
            ran_out: false,
        }
    }

    /// Plays a seed, and keeps it whatever it shows.
    pub(super) fn seed(&mut self, case: &Case, feedback: &str) {
        let mut virgin = Virgin::default();
        let trace = self.player.play(case, &mut |coverage, _| {
            virgin.note(coverage.take());
        });
        let edges = self.stable(case);
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
            answered: answered(&trace),
            chosen: 0,
            children: 0,
        };
        let added = state.admit(entry).filter(|_| feedback.starts_with("seed"));
        drop(state);
        if trace.ended.is_some() {
            let _ = self.player.restart(false);
        } else if let Some(number) = added.filter(|_| !edges.is_empty()) {
            for step in case.sends().into_iter().take(SEED_FRONTIERS_MAX) {
                if let Some(at) = frontier::find(case, step, &mut |other| self.takes(other, &edges)) {
                    lock(self.state).schedule.frontiers.add(number, case, step, at);
                }
            }
        }
    }

    /// Plays what others have found.
    pub(super) fn import(&mut self) {
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
            Some(Step::Send(message)) => {
                let name = feedback::name(&message.bytes(), protocol, Direction::Request);
                (message.link, if self.common.names.contains(&name) { name } else { 1 })
            }
            _ => (0, 0),
        };
        let names: Vec<(u16, u64)> = trace.replies.iter().map(name).collect();
        // Where edges are known, log lines are not what a case is kept for.
        let lines = if self.player.coverage.is_on() { &[] } else { trace.lines.as_slice() };
        Signature::of(&trace.replies, &names, lines, protocol)
    }

    /// The edges that a case takes each time it is played, with the classes of their counts; what comes and goes is masked. Where
    /// the first time shows nothing new, there is no second one.
    fn stable(&mut self, case: &Case) -> Vec<(u32, u8)> {
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
            let state = lock(self.state);
            let is_known = |(edge, class): (&u32, &u8)| !state.virgin.is_new(*edge as usize, *class);
            if runs.len() == 1 && runs[0].iter().all(is_known) {
                break;
            }
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

    pub(super) fn work(&mut self) {
        // The pauses between two looks at a target are short; where the system refuses, they are as long as it wants.
        let _ = rustix::thread::set_current_timer_slack(TIMER_SLACK_NS);
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
            if self.grows_now() {
                self.grow();
                if !self.player.is_up() && !self.start(false) {
                    return;
                }
            }
        }
        self.player.end(true);
    }

    /// Starts the target, a few times if need be.
    pub(super) fn start(&mut self, in_order: bool) -> bool {
        self.history.take();
        self.silent = 0;
        self.since_probe = 0;
        let began = Instant::now();
        let mut failed = None;
        for _ in 0..STARTS_MAX {
            match self.player.restart(in_order) {
                Ok(()) => {
                    lock(self.state).counts.started += began.elapsed();
                    self.started = Instant::now();
                    self.samples.begin(leak::at_rest(&mut self.player));
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
            state.standing = self.standing();
            return None;
        }
        let elapsed = self.common.elapsed();
        // Here all that the cases before have shown is known.
        if elapsed - state.stored_at >= options.checkpoint_every.as_secs_f64() {
            state.standing = self.standing();
            if let Err(error) = state.journal.checkpoint(&state.checkpoint(options.seed, elapsed)) {
                let _ = self.tell.send(Told::Note(format!("the campaign could not be stored: {error}")));
            }
            // Where the disk is slow, most of the time is still the cases'.
            state.stored_at = self.common.elapsed();
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
        let waited = self.player.waited;
        let worked = self.common.judge.limits.worked(&self.player);
        let trace = self.player.play_whole(&job.case, &mut |coverage| news = virgin.note(coverage.take()));
        self.history.push(job.case.clone());
        {
            let mut state = lock(self.state);
            let counts = &mut state.counts;
            counts.cases += 1;
            counts.sessions += trace.opened;
            counts.messages += trace.messages;
            counts.played += trace.time;
            counts.waited += self.player.waited.saturating_sub(waited);
            counts.starts += self.player.starts.saturating_sub(self.starts);
            self.starts = self.player.starts;
        }
        self.since_probe += 1;
        let answered = trace.replies.iter().any(|reply| reply.len > 0);
        self.silent = if answered { 0 } else { self.silent + 1 };
        if let Some(symptom) = self.symptom(job, &trace, &worked).or_else(|| self.differs(&job.case, &trace)) {
            let began = Instant::now();
            self.look_into(job, &trace, &symptom);
            let mut state = lock(self.state);
            state.counts.triage += began.elapsed();
            state.looking = None;
            return;
        }
        if trace.ended.is_some() && !self.common.plan.is_about_clients() {
            // It ends so after what is valid, too; the next case needs another.
            self.start(false);
            return;
        }
        self.feed_back(job, &trace, news);
    }

    /// What is kept of a case whose message with this number is the last that was answered in a new way: without what comes after
    /// it, and without other connections, cuts and pauses where it is answered the same so. What is made of a case has what it
    /// has; each connection and each cut takes as long as a message.
    ///
    /// Where edges are known all of it is kept: it is by what comes after that more of a session is reached.
    fn lean(&mut self, job: &Job, trace: &Trace, message: usize, signature: Signature) -> Case {
        let Some(step) = trace.replies.get(message).map(|reply| reply.step) else { return job.case.clone() };
        if self.player.coverage.is_on() {
            return job.case.clone();
        }
        let (case, signature) = (job.case.until(step), signature.until(message));
        let link = job.case.steps[step].link().filter(|_| case.connections() > 1);
        let alone = link.map(|link| (case.only(link), signature.only(link)));
        for (lean, signature) in alone.into_iter().chain([(case.clone(), signature)]) {
            let mut lean = whole(&lean);
            lean.steps.retain(|step| !matches!(step, Step::Pause(_)));
            if lean == case {
                break;
            }
            let Some(trace) = self.try_out(&lean, &mut |_| {}) else { break };
            let holds = trace.refused.is_none();
            if holds && self.signature(&lean, &trace).is_answered_as(&signature) {
                return lean;
            }
        }
        case
    }

    /// Keeps a case that has shown something new.
    fn feed_back(&mut self, job: &Job, trace: &Trace, news: feedback::News) {
        let signature = self.signature(&job.case, trace);
        let novel = lock(self.state).novelty.note(&signature);
        let mut feedback = None;
        let mut edges = Vec::new();
        if news.any() {
            let began = Instant::now();
            edges = self.stable(&job.case);
            let mut state = lock(self.state);
            state.counts.again += began.elapsed();
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
        let told = novel.map(|(what, _)| what);
        let feedback = feedback.or(told.filter(|what| !self.player.coverage.is_on() || *what == "answer"));
        let mut state = lock(self.state);
        state.schedule.note(&job.mutators, feedback.is_some());
        // What is answered otherwise only because it is long would be made longer and longer.
        let is_short = job.case.bytes() <= ANSWERED_LEN_MAX;
        let feedback = feedback.filter(|what| is_short || matches!(*what, "edge" | "count"));
        let Some(feedback) = feedback.filter(|_| self.common.options.feedback) else { return };
        let at = state.counts.cases;
        drop(state);
        let case = match novel {
            Some((_, message)) => self.lean(job, trace, message, signature),
            None => job.case.clone(),
        };
        let frontier = if feedback == "edge" { self.frontier(&case, job.parent, &edges) } else { None };
        let mut state = lock(self.state);
        let entry = Entry {
            case: case.clone(),
            feedback: feedback.into(),
            parent: job.parent,
            mutators: job.mutators.iter().map(|at| MUTATORS[*at].name.to_owned()).collect(),
            at,
            edges: edges.into_iter().map(|(edge, _)| edge).collect(),
            answered: answered(trace),
            chosen: 0,
            children: 0,
        };
        if let (Some(number), Some((step, at))) = (state.admit(entry), frontier) {
            state.schedule.frontiers.add(number, &case, step, at);
        }
    }

    /// The byte of a case that took these edges which its target may compare next: in what it says that its parent does not say.
    fn frontier(&mut self, case: &Case, parent: Option<usize>, edges: &[(u32, u8)]) -> Option<(usize, usize)> {
        let said: HashSet<Vec<u8>> = {
            let state = lock(self.state);
            let parent = &state.corpus.entries().get(parent?)?.case;
            parent.messages().map(|(_, message)| message.bytes()).collect()
        };
        let (step, _) = case.messages().filter(|(_, message)| !said.contains(&message.bytes())).last()?;
        let began = Instant::now();
        let at = frontier::find(case, step, &mut |other| self.takes(other, edges));
        lock(self.state).counts.again += began.elapsed();
        Some((step, at?))
    }

    /// Whether a case takes these edges and no others.
    fn takes(&mut self, case: &Case, edges: &[(u32, u8)]) -> bool {
        let mut taken = Vec::new();
        let read = &mut |coverage: &mut Coverage| each(coverage.take(), |edge, _| taken.push(edge as u32));
        if self.try_out(case, read).is_none() {
            return false;
        }
        let state = lock(self.state);
        taken.retain(|edge| !state.virgin.is_masked(*edge as usize));
        taken.iter().eq(edges.iter().map(|(edge, _)| edge))
    }

    /// Plays a case that is none of the schedule's. `None` where the target has shown a sign, which is looked into, or has ended: then
    /// there is another one.
    fn try_out(&mut self, case: &Case, read: &mut dyn FnMut(&mut Coverage)) -> Option<Trace> {
        let trace = self.player.play_whole(case, read);
        self.history.push(case.clone());
        let symptom = Symptom::of(&trace, &self.common.judge.normal);
        if let Some(symptom) = &symptom {
            self.look_into(&Job::of(case.clone()), &trace, symptom);
        }
        let has_ended = trace.ended.is_some() && !self.common.plan.is_about_clients();
        if has_ended || !self.player.is_up() {
            self.start(false);
        }
        (symptom.is_none() && trace.ended.is_none()).then_some(trace)
    }
}

/// How many bytes were answered, as a power of two: what was cut off a little sooner or later is the same.
fn answered(trace: &Trace) -> u64 {
    let len: u64 = trace.replies.iter().map(|reply| reply.len).sum();
    len.checked_ilog2().map_or(0, |power| 1 << power)
}

/// Notes an edge with the classes of its counts.
fn note_class(virgin: &mut Virgin, edge: u32, class: u8) -> feedback::News {
    virgin.note_class(edge as usize, class)
}
