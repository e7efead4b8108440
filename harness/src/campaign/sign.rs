//! From a case that was played to a finding on disk: what is wrong after it, looked into and written down.

#![expect(clippy::disallowed_methods, reason = "a campaign's clock is here")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::case::{Case, Message, Step};
use super::feedback;
use super::finding::{self, Finding, Kept, Material, Teardown, page};
use super::growth::{Family, Said};
use super::leak::{self, SAMPLE_EVERY};
use super::limits::Worked;
use super::oracle::{Resource, Symptom, place};
use super::player::{Reply, Trace};
use super::reduction::{Reduction, answers, whole};
use super::run::lock;
use super::schedule::Job;
use super::state::Ending;
use super::triage::{Judge, LOOK_BACK, REPLAYS, Verdict};
use super::watch::Told;
use super::worker::Worker;
use crate::mutator::MUTATORS;
use crate::protocol::Direction;
use crate::runner::process::Frame;
use crate::testcase::{self, Class, TestCase};

/// After how many cases a valid conversation is played in between.
const PROBE_EVERY: u64 = 256;

/// How many times as long as it took to start a target is to be of use, before it is started anew only to be faster.
const START_SHARE: u32 = 10;

/// For which part of its time a campaign looks for leaks.
const LEAKS_UNTIL: f64 = 0.85;

/// How many of the lines that a target has written last are looked at.
const WRITTEN_MAX: usize = 200;

/// After how many cases without any answer one is.
pub(super) const SILENT_MAX: u32 = 4;

impl Worker<'_> {
    /// What is wrong after a case, if anything is.
    pub(super) fn symptom(&mut self, job: &Job, trace: &Trace, worked: &Worked) -> Option<Symptom> {
        let judge = &self.common.judge;
        if let Some(symptom) = Symptom::of(trace, &judge.normal) {
            return Some(symptom);
        }
        if trace.ended.is_some() || self.common.plan.is_about_clients() {
            return None;
        }
        if let Some((limit, told)) = judge.limits.broken(&mut self.player, worked, trace.busy) {
            return Some(Symptom::Limit(limit, told));
        }
        if trace.busy && !self.common.is_restless && judge.is_busy(&mut self.player) {
            return Some(Symptom::Busy);
        }
        let is_due =
            self.since_probe >= PROBE_EVERY || self.silent >= SILENT_MAX || trace.refused.is_some() || trace.busy;
        if is_due && judge.probe.is_some() {
            self.since_probe = 0;
            self.silent = 0;
            let answers = match lock(self.state).wants_hangs() {
                true => judge.answers(&mut self.player),
                // Where nobody looks into it, a target that is only slow is started anew for nothing.
                false => Judge::briefly(&mut self.player, |player| judge.answers(player)),
            };
            if let Some((target, exit)) = self.player.ended(true)
                && !judge.normal.contains(&exit)
            {
                // Its last words may say where.
                let place = place(&self.player.written(WRITTEN_MAX));
                return Some(Symptom::Ended { target, exit, place });
            }
            if !answers {
                return Some(Symptom::Hang);
            }
        }
        let is_crowded = self.samples.is_crowd(self.player.threads());
        if self.player.is_watched() && (is_crowded || self.played.is_multiple_of(SAMPLE_EVERY)) {
            return self.leak();
        }
        // The same bytes in other pieces are the same conversation to a stream.
        let is_same = !job.mutators.is_empty() && job.mutators.iter().all(|at| MUTATORS[*at].name == "cut");
        let from_seed = job.parent.is_some_and(|parent| parent < lock(self.state).seeds.len());
        if trace.unmet.is_some() && is_same && from_seed && !trace.busy {
            return Some(Symptom::Wrong);
        }
        None
    }

    /// Whether the other server has answered the same messages otherwise.
    pub(super) fn differs(&mut self, case: &Case, own: &Trace) -> Option<Symptom> {
        let judge = &self.common.judge;
        if own.ended.is_some() || own.refused.is_some() || own.busy {
            return None;
        }
        let other = self.player.elsewhere(|player| player.play(case, &mut |_, _| {}))?;
        if other.ended.is_some() || other.refused.is_some() {
            // It is not the one that is looked into; what comes next needs both.
            self.player.end(false);
            return None;
        }
        let mut state = lock(self.state);
        let at = judge.differing.first(case, own, &other, &state.differed)?;
        state.differed.note(&judge.differing, case, &own.replies[at]);
        Some(Symptom::Differs)
    }

    /// Takes a sample of what the target uses, and looks closer where that grows.
    fn leak(&mut self) -> Option<Symptom> {
        let sample = leak::at_rest(&mut self.player);
        let resource = self.samples.push(sample)?;
        if self.played < self.leak_after {
            // What is left over makes each look at the target longer than the one before, and another target may be cheap.
            if resource != Resource::Memory && self.started.elapsed() > self.player.start_time * START_SHARE {
                self.start(true);
            }
            return None;
        }
        let time = self.common.options.time.unwrap_or(Duration::MAX);
        // To look for a leak takes seconds, which are not there any more at the end.
        let is_late = self.common.elapsed() > time.as_secs_f64() * LEAKS_UNTIL;
        if is_late || self.history.cases().len() < LOOK_BACK {
            return None;
        }
        let history: Vec<Case> = self.history.cases().iter().cloned().collect();
        let probe = self.common.judge.probe.as_ref();
        let began = Instant::now();
        let found = leak::find(&mut self.player, &history, probe, resource);
        lock(self.state).counts.growth += began.elapsed();
        // A target that grows and has no leak is looked into ever more rarely, so that this takes a small part of the time.
        self.leak_gap *= 2;
        self.leak_after = self.played + self.leak_gap;
        self.start(false);
        self.history.push(found?);
        Some(Symptom::Leak(resource))
    }

    /// Looks into a sign: plays it again, makes it small, and writes it down.
    pub(super) fn look_into(&mut self, job: &Job, trace: &Trace, symptom: &Symptom) {
        self.player.tracing = symptom.is_untraced();
        self.look_closely(job, trace, symptom);
        self.player.tracing = false;
    }

    fn look_closely(&mut self, job: &Job, trace: &Trace, symptom: &Symptom) {
        let last = last_said(&job.case, Some(trace));
        // What many cases have added up to is nobody's in particular.
        let is_anybodys = matches!(symptom, Symptom::Limit(..)) || !self.is_known(last);
        let unknown = is_anybodys.then(|| symptom.bucket("unknown"));
        let name = symptom.bucket(&self.name_of(last));
        // Where it happens is known, and how it comes about.
        if symptom.placeless().is_none() && lock(self.state).count_sure(&name) {
            self.end_unless_well(symptom);
            return;
        }
        let wanted = lock(self.state).wants(&name, unknown.as_deref(), symptom.kind());
        let is_placed = self.player.tracing && (wanted || lock(self.state).wants_place(&name));
        if !wanted && !is_placed {
            self.end_unless_well(symptom);
            return;
        }
        let (seconds, cases) = (self.common.elapsed(), lock(self.state).counts.cases);
        lock(self.state).looking = Some((name, seconds));
        let stderr: Vec<String> = self.player.written(WRITTEN_MAX).into_iter().map(|line| line.text).collect();
        let history = self.history.take();
        // On disk before anything else is done with it.
        let number = cases;
        let raw = self.common.options.folder.join("signs");
        let sign = raw.join(format!("{number}.json"));
        let stored = serde_json::to_vec(&history[history.len().saturating_sub(LOOK_BACK)..]).unwrap_or_default();
        if let Err(error) = std::fs::create_dir_all(&raw).and_then(|()| std::fs::write(&sign, stored)) {
            let _ = self.tell.send(Told::Note(format!("a sign could not be stored: {error}")));
        }
        // Where it happens is one play away: what is known by that is counted, and what is not is wanted.
        let placed = match is_placed {
            true => self.common.judge.try_fresh(&mut self.player, &job.case, symptom),
            false => None,
        };
        let placed = placed.filter(|symptom| !symptom.is_untraced());
        let (symptom, is_known, wanted) = match &placed {
            None => (symptom, false, wanted),
            Some(symptom) => {
                let (name, mut state) = (symptom.bucket(""), lock(self.state));
                let is_known = state.count_sure(&name);
                (symptom, is_known, !is_known && state.wants(&name, None, symptom.kind()))
            }
        };
        if !wanted {
            if is_known {
                let _ = std::fs::remove_file(&sign);
            }
            self.player.end(false);
            return;
        }
        let judge = &self.common.judge;
        if *symptom == Symptom::Wrong {
            let seed = job.parent.map(|parent| lock(self.state).seeds[parent].clone()).unwrap_or_default();
            // Where it does not hold in one piece either, the pieces are not what is wrong.
            if judge.rate(&mut self.player, &seed, symptom, 3) > 0 {
                return;
            }
        }
        let reduction = self.reduce(&history, symptom, &mut |subject| {
            let _ = subject.write(&raw.join(format!("{number}.toml")), None);
        });
        for (at, (other, failed)) in reduction.others.iter().enumerate() {
            let path = raw.join(format!("{number}-{}.toml", at + 2));
            let _ = other.write(&path, None);
            let text = format!("another failure was met on the way: {failed}: {}", path.display());
            let _ = self.tell.send(Told::Note(text));
        }
        if !reduction.shown {
            let text = format!("something was wrong once and did not come again: {symptom} (`signs/{number}.json`)");
            let _ = self.tell.send(Told::Note(text));
            // A process that has ended has, whether it does so again or not.
            let may_be_chance = [Class::Hang, Class::WrongAnswer].contains(&symptom.kind());
            if may_be_chance || matches!(symptom, Symptom::Limit(..)) {
                return;
            }
        }
        let judge = &self.common.judge;
        let mut again = judge.try_fresh(&mut self.player, &reduction.case, symptom).unwrap_or_else(|| symptom.clone());
        if again == Symptom::Hang
            && let Some(time) = judge.is_slow(&mut self.player, &reduction.case)
        {
            again = Symptom::Late(time);
        }
        // Once it is small, a message may say nothing any more: where the campaign knows by which name it began, that stays.
        let began = reduction.earlier.as_ref().map_or(last, |case| last_said(case, None));
        let name = Some(began).filter(|began| self.is_known(*began)).map(|began| self.name_of(began));
        self.store(reduction, &again, name.as_deref(), seconds, cases, &stderr);
        self.player.end(false);
    }

    /// Ends a target that has shown something, unless it is well otherwise: what answers wrong is, and so is who has lost a process
    /// that served one connection.
    fn end_unless_well(&mut self, symptom: &Symptom) {
        if !matches!(symptom, Symptom::Wrong | Symptom::Child { .. }) {
            self.player.end(false);
        }
    }

    /// Whether a message is one that seeds say, spoilt or not.
    fn is_known(&self, message: Option<&Message>) -> bool {
        let protocol = self.common.protocol.as_deref();
        let name = |message: &Message| feedback::name(&message.bytes(), protocol, Direction::Request);
        message.is_some_and(|message| self.common.names.contains(&name(message)))
    }

    /// A name for what was said last, for what says nothing of where it happened.
    fn name_of(&self, message: Option<&Message>) -> String {
        let Some(message) = message.map(Message::bytes) else { return "connection".into() };
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

    /// Makes a scenario of what is left of a case, and plays it as everybody will.
    fn shown(&mut self, reduction: &Reduction, symptom: &Symptom, name: Option<&str>) -> Shown {
        let Reduction { case, .. } = reduction;
        let common = self.common;
        let _ = self.player.restart(false);
        let trace = self.player.play(case, &mut |_, _| {});
        let right: Vec<Reply> = match symptom {
            Symptom::Wrong => answers(&mut self.player, &whole(case)),
            Symptom::Differs => common.judge.difference(&mut self.player, case, &trace).into_iter().collect(),
            _ => Vec::new(),
        };
        // What plays the scenario starts a target of its own, which may want the same port.
        self.player.end(false);
        let last = last_said(case, Some(&trace));
        let known = Some(last).filter(|last| self.is_known(*last)).map(|last| self.name_of(last));
        let name = known.or_else(|| name.map(str::to_owned));
        let own = symptom.bucket(&name.unwrap_or_else(|| self.name_of(last)));
        let (bucket, shape, folder) = self.bucket(own, symptom, case);
        let probe = common.judge.probe.as_ref().map(|probe| (probe, common.probe_replies.as_slice()));
        let (named, words) = (&reduction.named, reduction.words.as_slice());
        let material = Material { case, replies: &trace.replies, symptom, probe, right: &right, named, words };
        let is_clean = |played: &testcase::Played| played.verdict.is_good();
        let mut chosen: Option<Shown> = None;
        for teardown in Teardown::of(symptom) {
            let scenario = common.writer.scenario(&common.plan, &bucket, &material, *teardown);
            let first = common.writer.play(&scenario);
            let again = (1..REPLAYS).filter_map(|_| common.writer.play_briefly(&scenario));
            let plays: Vec<_> = first.into_iter().chain(again).collect();
            let failed = plays.iter().filter(|played| !is_clean(played)).count();
            if chosen.as_ref().is_none_or(|best| failed > best.failed) {
                let played = plays.into_iter().find(|played| !is_clean(played));
                let (stack, bucket, shape, folder) =
                    (trace.stack.clone(), bucket.clone(), shape.clone(), folder.clone());
                chosen = Some(Shown { failed, scenario, played, stack, bucket, shape, folder });
            }
            if failed == REPLAYS as usize {
                break;
            }
        }
        chosen.expect("one of them is played")
    }

    /// The bucket of a finding, what it is taken for the same by, and its folder. `own` is the bucket's name unless there is one.
    fn bucket(&self, own: String, symptom: &Symptom, case: &Case) -> (String, String, PathBuf) {
        let shape = symptom.placeless().map_or_else(|| own.clone(), |sign| format!("{sign} {}", finding::shape(case)));
        let bucket = finding::bucket(&lock(self.state).findings, own, &shape);
        let folder = self.common.options.folder.join("findings").join(&bucket);
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        (bucket, shape, folder)
    }

    /// Makes a scenario of more and more of one thing, and plays it as everybody will. `case` is a little of it.
    pub(super) fn shown_growth(
        &mut self,
        family: &Family,
        said: &Said,
        symptom: &Symptom,
        limit: &str,
        case: &Case,
    ) -> Shown {
        let common = self.common;
        let message = Message::new(family.link, family.message.clone());
        let own = symptom.bucket(&self.name_of(Some(&message)));
        let (bucket, shape, folder) = self.bucket(own, symptom, case);
        let Symptom::Grows(grows, _) = symptom else { unreachable!("it is made for that") };
        let scenario = common.writer.grown(&common.plan, &bucket, family, said, *grows, limit);
        let plays: Vec<_> = (0..REPLAYS).filter_map(|_| common.writer.play(&scenario)).collect();
        let is_limit =
            |played: &&testcase::Played| played.failed.as_ref().is_some_and(|failed| failed.class == Class::Leak);
        let failed = plays.iter().filter(is_limit).count();
        let played = plays.into_iter().find(|played| is_limit(&played));
        Shown { failed, scenario, played, stack: Vec::new(), bucket, shape, folder }
    }

    fn store(
        &mut self,
        mut reduction: Reduction,
        symptom: &Symptom,
        name: Option<&str>,
        seconds: f64,
        cases: u64,
        stderr: &[String],
    ) {
        let mut shown = self.shown(&reduction, symptom, name);
        // The smallest may fail only just: what is a little larger may fail each time.
        let mut larger = std::mem::take(&mut reduction.larger);
        while reduction.verdict != Verdict::Flaky
            && shown.failed < REPLAYS as usize
            && let Some((case, named)) = larger.pop()
        {
            let words = Vec::new();
            let bigger = Reduction { case, named, words, ..Reduction::of(Case::default()) };
            let again = self.shown(&bigger, symptom, name);
            if again.failed == REPLAYS as usize {
                let told = "what is smaller than this fails now and then only".to_owned();
                reduction = Reduction { verdict: reduction.verdict, told: vec![told], ..bigger };
                shown = again;
            }
        }
        let Reduction { case, verdict, .. } = &reduction;
        let verdict = if shown.failed < REPLAYS as usize { Verdict::Flaky } else { *verdict };
        let sizes = (case.connections(), case.sends().len(), case.bytes());
        self.keep(shown, case, sizes, verdict, symptom, (seconds, cases), &reduction.told, stderr);
    }

    /// Keeps a finding that was shown, on disk and in what the campaign knows. `sizes` are its connections, messages and bytes.
    #[expect(clippy::too_many_arguments, reason = "all that is known of a finding")]
    pub(super) fn keep(
        &mut self,
        shown: Shown,
        case: &Case,
        sizes: (usize, usize, usize),
        verdict: Verdict,
        symptom: &Symptom,
        (seconds, cases): (f64, u64),
        told: &[String],
        stderr: &[String],
    ) {
        let common = self.common;
        let Shown { failed, mut scenario, played, stack, bucket, shape, folder } = shown;
        scenario.about.kind = Some(symptom.kind().word().into());
        scenario.about.verdict = Some(match verdict {
            Verdict::Deterministic => "deterministic".into(),
            Verdict::Flaky => "flaky".into(),
            Verdict::NeedsHistory => "needs-history".into(),
        });
        if verdict == Verdict::Flaky {
            scenario.about.probability = Some(failed as f64 / f64::from(REPLAYS));
        }
        scenario.about.message = Some(symptom.to_string());
        scenario.about.harness = Some(env!("CARGO_PKG_VERSION").into());
        scenario.about.found_by = Some(common.options.command.clone());
        let mut finding = Finding {
            bucket,
            kind: symptom.kind(),
            seconds,
            cases,
            verdict,
            connections: sizes.0,
            messages: sizes.1,
            bytes: sizes.2,
            samples: 1,
            shape,
            path: folder.clone(),
        };
        let text = match played.as_ref().map(|played| played.stderr.as_str()) {
            Some(text) if !text.trim().is_empty() => text.to_owned(),
            _ => stderr.join("\n"),
        };
        let mut state = lock(self.state);
        let kept = finding::keep(&mut state.findings, &mut finding);
        if finding.kind == Class::Hang && !matches!(symptom, Symptom::Grows(..)) {
            state.tire_of_hangs();
        }
        if kept != Kept::Counted {
            let page = page(&finding, symptom, (case, failed), told, &stack);
            let written = common.writer.write(&finding.path, &scenario, played.as_ref(), &text, &page);
            if let Err(error) = written {
                let why = format!("the finding `{}` could not be written: {error}", finding.bucket);
                let _ = self.tell.send(Told::Note(why));
            }
        }
        let _ = self.tell.send(match kept {
            Kept::First => Told::Found(Box::new(finding), symptom.to_string()),
            Kept::Counted | Kept::Sample(_) => Told::Note(format!("another sample of {}: {symptom}", finding.bucket)),
        });
        if !common.options.keep_going {
            state.ending.get_or_insert(Ending::Found);
        }
    }
}

/// A finding as a scenario that was played.
pub(super) struct Shown {
    /// How often of [`REPLAYS`] it failed.
    pub(super) failed: usize,
    scenario: TestCase,
    /// A play that has failed.
    played: Option<testcase::Played>,
    /// Where the target was when a signal has ended it.
    stack: Vec<Frame>,
    bucket: String,
    shape: String,
    folder: PathBuf,
}

/// The message after which a case ended, or else the last one.
fn last_said<'c>(case: &'c Case, trace: Option<&Trace>) -> Option<&'c Message> {
    let replies = trace.map_or(&[] as &[Reply], |trace| &trace.replies);
    let ended = replies.iter().find(|reply| reply.end.is_some()).or(replies.last());
    match ended.map(|reply| case.steps.get(reply.step)) {
        Some(Some(Step::Send(message))) => Some(message),
        _ => case.messages().last().map(|(_, message)| message),
    }
}
