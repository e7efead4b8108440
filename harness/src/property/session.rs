//! Plays variants, and believes none that fails before it has failed alone on fresh targets where its controls hold.

use std::path::PathBuf;
use std::time::Duration;

use super::base::{Base, closes};
use super::edit::{beside, calm, hasten};
use super::prefix_close::GONE;
use super::{Property, Selected, Variant, isolation};
use crate::event::Verdict;
use crate::protocol::Message;
use crate::random::Random;
use crate::reduce::{self, Budget, Reduced, Repeats, Replay, Size, Subject};
use crate::runner::Clock;
use crate::scenario::TargetKind;
use crate::testcase::{Failed, PlayError, Played, Player, TestCase, step};
use crate::time::Time;

/// How many variants are played at once where a server serves several.
const JOBS: usize = 32;

/// How many variants are played before anything is judged: a broken server is found with few.
const FIRST: usize = 32;

/// How many are played on the same targets after that.
const BATCH: usize = 512;

/// How many variants that failed among others are played alone before the rest is believed.
const SUSPECTS_MAX: usize = 8;

/// How often the controls of what fails sometimes have to hold.
const CONTROLS: usize = 20;

/// From how often on something that fails sometimes is called a violation.
const SOMETIMES_MIN: f64 = 0.2;

/// The least time that an answer has.
const PATIENCE_MIN: Duration = Duration::from_secs(1);

/// The least that it has while words are tried out.
const WORD_PATIENCE_MIN: Duration = Duration::from_millis(300);

/// How long a server has to close a connection by itself.
const EOF_WITHIN: Duration = Duration::from_millis(300);

/// The most that it has while variants are tried; the last word has the case's own deadline.
const PATIENCE_MAX: Duration = Duration::from_secs(10);

/// How long a peer has to be quiet at the end of a variant.
const QUIET: Duration = Duration::from_millis(20);

/// Why nothing can be tested with a case.
#[derive(Debug)]
pub enum Unfit {
    /// It does not hold as it stands.
    Fails(Box<Played>),
    /// It is not played here, and why.
    Skipped(String),
    /// Its targets cannot be reached.
    Unreachable(Box<Played>),
    /// It cannot be played.
    Unplayable(PlayError),
}

/// What came of one property and one case.
#[derive(Debug)]
pub enum Outcome {
    /// All variants that were played held.
    Held {
        /// How many were played.
        played: usize,
        /// How many there are.
        planned: usize,
    },
    /// Somebody has pressed Ctrl-C.
    Interrupted,
    /// It makes no sense for the case, and why.
    LeftOut(String),
    /// It cannot be told, and why.
    Unknown(String),
    /// It does not hold.
    Violated(Box<Violation>),
}

/// A counterexample.
#[derive(Debug)]
pub struct Violation {
    /// The variant that failed first.
    pub what: String,
    /// The case, as small as it got.
    pub case: TestCase,
    /// How it fails.
    pub failed: Failed,
    /// What the smallest case said when it was played last.
    pub played: Option<Box<Played>>,
    /// `deterministic` or `flaky`.
    pub verdict: &'static str,
    /// How often it fails.
    pub probability: f64,
    /// Its size, and what it was before.
    pub sizes: (Size, Size),
    /// How many variants were played until it was found.
    pub after: usize,
    /// How many replays it took to make it small.
    pub replays: u64,
    /// Where it lies.
    pub path: Option<PathBuf>,
}

/// What is told on the way.
#[derive(Debug)]
pub enum Told<'t> {
    /// So many variants of so many have been played.
    Progress(usize, usize),
    /// This fails and is not what it was made of: it is kept before it is made smaller.
    Found(&'t TestCase, &'t Failed),
    /// The same failure, smaller.
    Smaller(&'t TestCase, &'t Failed),
}

/// Tests properties of cases.
#[derive(Debug)]
pub struct Session<'p> {
    /// Plays.
    pub player: &'p Player,
    /// What variants are drawn from.
    pub seed: u64,
    /// The most variants of a property and a case.
    pub cases: Option<usize>,
    /// When it has to be done.
    pub ends: Option<Time>,
    /// How long a counterexample may take to be made small.
    pub shrink: Duration,
    /// What time is told by.
    pub clock: Clock,
}

impl Session<'_> {
    fn is_late(&self) -> bool {
        self.ends.is_some_and(|ends| self.clock.now() >= ends)
    }

    /// Plays a case as it stands, and finds out what its server can do.
    pub fn study(&self, case: &TestCase) -> Result<Base, Unfit> {
        let first = self.player.play(case).map_err(Unfit::Unplayable)?;
        match first.verdict {
            Verdict::Passed if first.failed.is_none() => {}
            Verdict::Skipped => return Err(Unfit::Skipped("the case is skipped here".into())),
            Verdict::Unreachable => return Err(Unfit::Unreachable(Box::new(first))),
            _ => return Err(Unfit::Fails(Box::new(first))),
        }
        let Some(mut base) = Base::of(case, &first) else {
            return Err(Unfit::Skipped("nothing is connected to in it".into()));
        };
        base.ours = self.can_restart(case);
        base.correlations = self.correlations(case);
        let patience = self.patience(&base);
        if let Some(closing) = with_eof(case) {
            // Whoever has closed by now closes; others get a moment.
            let wait = if closes(&first) { patience } else { EOF_WITHIN };
            if self.all_hold(&[closing.clone(), closing.clone()], 2, wait) {
                base.case = closing;
            }
        }
        let copies = vec![base.case.clone(); 3];
        base.repeatable = self.all_hold(&copies, 1, patience);
        if !base.repeatable && !base.ours {
            let why = "it does not hold several times on the same server, and that is not ours to restart";
            return Err(Unfit::Skipped(why.into()));
        }
        if base.repeatable {
            base.side_by_side = base.transport.is_datagram() || self.is_side_by_side(&base, patience);
            base.undisturbed = base.side_by_side && self.all_hold(&vec![base.case.clone(); 8], 8, patience);
        }
        Ok(base)
    }

    /// By which fields the messages of a case's protocols are known.
    fn correlations(&self, case: &TestCase) -> Vec<(String, String)> {
        let Ok(scenario) = case.load("case.toml", &self.player.known) else { return Vec::new() };
        let actors = scenario.cases.iter().flat_map(|case| &case.script.actors);
        let protocols = actors.filter_map(|actor| Some(&actor.speaks.as_ref()?.protocol));
        let messages = protocols.flat_map(|protocol| protocol.messages.iter());
        let field = |message: &Message| {
            let [at] = message.correlate.as_ref()?.path[..] else { return None };
            Some((message.name.to_string(), message.fields.get(at)?.name.to_string()))
        };
        messages.filter_map(field).collect()
    }

    /// Which words of its messages can be others.
    fn words(&self, base: &Base, patience: Duration) -> Vec<String> {
        let words = isolation::words(base);
        if words.is_empty() || !base.side_by_side {
            return Vec::new();
        }
        // A server that does not know a word may well say nothing.
        let patience = (base.duration * 5).clamp(WORD_PATIENCE_MIN, patience);
        let one = |word: &String| hasten(&isolation::renamed(&base.case, std::slice::from_ref(word)), patience, QUIET);
        let cases: Vec<TestCase> = words.iter().map(one).collect();
        let Ok(batch) = self.player.play_all(&cases, 1) else { return Vec::new() };
        let holds = |played: &Option<Played>| played.as_ref().is_some_and(|played| played.verdict == Verdict::Passed);
        let free = words.into_iter().zip(&batch.played).filter(|(_, played)| holds(played));
        let free: Vec<String> = free.map(|(word, _)| word).collect();
        // Together they may still be too many.
        let all = isolation::renamed(&base.case, &free);
        if !free.is_empty() && self.all_hold(&[all], 1, patience) { free } else { Vec::new() }
    }

    /// Whether each play can have a server of its own.
    fn can_restart(&self, case: &TestCase) -> bool {
        let ours = |scenario: crate::scenario::Scenario| {
            scenario.targets.iter().all(|target| !matches!(target.kind, TargetKind::Address(_)))
        };
        self.player.targets.is_empty() && case.load("case.toml", &self.player.known).is_ok_and(ours)
    }

    /// Whether a conversation is served while another connection is open and says nothing.
    fn is_side_by_side(&self, base: &Base, patience: Duration) -> bool {
        let Some((mut case, names)) = beside(&base.case, 2) else {
            return self.all_hold(&vec![base.case.clone(); 8], 8, patience);
        };
        case.lane_mut("steps").into_iter().for_each(|steps| steps.insert(0, step::connect(Some(&names[0]))));
        // What a server says first to the one that only waits is nobody's business.
        case.case_mut().set("strict_end", false);
        self.all_hold(&[case], 1, patience)
    }

    fn all_hold(&self, cases: &[TestCase], jobs: usize, patience: Duration) -> bool {
        let hastened: Vec<TestCase> = cases.iter().map(|case| hasten(case, patience, QUIET)).collect();
        let Ok(batch) = self.player.play_all(&hastened, jobs) else { return false };
        let holds = |played: &Option<Played>| {
            played.as_ref().is_some_and(|played| played.verdict == Verdict::Passed && played.failed.is_none())
        };
        batch.noticed.is_none() && batch.played.iter().all(holds)
    }

    fn patience(&self, base: &Base) -> Duration {
        (base.duration * 10).clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    /// Tests one property of one case.
    pub fn test(&self, selected: &Selected, base: &Base, told: &mut dyn FnMut(Told<'_>)) -> Outcome {
        let property = selected.property;
        let mut base = base.clone();
        base.asked = selected.asked;
        let patience = self.patience(&base);
        if property.name == isolation::PROPERTY.name {
            base.words = self.words(&base, patience);
        }
        let stream = format!("{}/{}", property.name, base.case.name());
        let mut variants = match (property.plan)(&base, &selected.parameters, &mut Random::new(self.seed, &stream)) {
            Ok(variants) => variants,
            Err(why) => return Outcome::LeftOut(why),
        };
        variants.truncate(self.cases.unwrap_or(usize::MAX));
        let planned = variants.len();
        let jobs = if base.undisturbed { JOBS } else { 1 };
        // A conversation that holds once on a server has a fresh one each time.
        let size = if base.repeatable { FIRST } else { 1 };
        let (mut played, mut unclear) = (0, Vec::new());
        while played < planned {
            if self.is_late() && played > 0 {
                break;
            }
            told(Told::Progress(played, planned));
            let size = if played == 0 || !base.repeatable {
                size
            } else if jobs > 1 {
                BATCH
            } else {
                FIRST
            };
            let some = &variants[played..(played + size).min(planned)];
            match self.suspects(some, jobs, patience) {
                Err(Replayed::Interrupted) => return Outcome::Interrupted,
                Err(Replayed::Unplayable(error)) => return Outcome::Unknown(error.to_string()),
                Ok(suspects) => {
                    for at in suspects.iter().take(SUSPECTS_MAX) {
                        match self.confirm(property, &some[*at], patience, played + at + 1, told) {
                            Confirmed::Yes(violation) => return Outcome::Violated(violation),
                            Confirmed::Interrupted => return Outcome::Interrupted,
                            Confirmed::Unclear(why) => unclear.push(format!("{}: {why}", some[*at].what)),
                            Confirmed::No => {}
                        }
                        if self.is_late() {
                            break;
                        }
                    }
                }
            }
            played += some.len();
        }
        match unclear.into_iter().next() {
            Some(why) => Outcome::Unknown(why),
            None => Outcome::Held { played, planned },
        }
    }

    /// Plays variants on the same targets: those that do not hold, the first to fail first.
    fn suspects(&self, variants: &[Variant], jobs: usize, patience: Duration) -> Result<Vec<usize>, Replayed> {
        let cases: Vec<TestCase> = variants.iter().map(|variant| hasten(&variant.case, patience, QUIET)).collect();
        let mut suspects: Vec<usize> = Vec::new();
        let mut noticed = false;
        // They may differ in more than their steps: as many batches as there are ways.
        let mut left: Vec<usize> = (0..cases.len()).collect();
        while let Some(first) = left.first().copied() {
            let shared = |case: &TestCase| {
                let mut document = case.document().clone();
                document.remove("case");
                document
            };
            let same = shared(&cases[first]);
            let (some, others): (Vec<usize>, Vec<usize>) = left.iter().partition(|at| shared(&cases[**at]) == same);
            left = others;
            let batch: Vec<TestCase> = some.iter().map(|at| cases[*at].clone()).collect();
            let batch = self.player.play_all(&batch, jobs).map_err(Replayed::Unplayable)?;
            let is_over =
                |played: &Option<Played>| played.as_ref().is_some_and(|played| played.verdict == Verdict::Interrupted);
            if batch.played.iter().any(is_over) {
                return Err(Replayed::Interrupted);
            }
            suspects.extend(batch.failed.iter().map(|at| some[*at]));
            noticed |= batch.noticed.is_some();
        }
        if noticed && suspects.is_empty() {
            // A thread has panicked, and nobody's answer shows whose.
            if let [_] = variants {
                return Ok(vec![0]);
            }
            let (first, second) = variants.split_at(variants.len() / 2);
            suspects = self.suspects(first, jobs, patience)?;
            if suspects.is_empty() {
                suspects = self.suspects(second, jobs, patience)?;
                suspects.iter_mut().for_each(|at| *at += first.len());
            }
        }
        Ok(suspects)
    }

    /// Plays a case alone on fresh targets. It fails only if its controls hold.
    fn judge(&self, property: &Property, case: &TestCase, patience: Duration) -> Replay {
        let hastened = hasten(case, patience, QUIET);
        let replay = Replay::of(&hastened, &self.player.play(&hastened));
        if let Replay::Failed { failed, position } = &replay {
            // One that is there to disturb others may fail as it likes.
            let disturbs = position.as_ref().and_then(|(lane, at)| {
                let lanes = case.lanes();
                let (_, steps) = lanes.iter().find(|(name, _)| name == lane)?;
                Some(step::parts(steps.get(*at)?)?.0?.ends_with(GONE))
            });
            if property.disturbs && disturbs == Some(true) && !failed.class.is_targets() {
                return Replay::Passed;
            }
            let Some(controls) = (property.controls)(case) else { return Replay::Passed };
            for control in controls {
                match Replay::of(&control, &self.player.play(&hasten(&control, patience, QUIET))) {
                    Replay::Passed => {}
                    Replay::Stopped => return Replay::Stopped,
                    Replay::Failed { .. } | Replay::Invalid => return Replay::Passed,
                }
            }
        }
        replay
    }

    fn confirm(
        &self,
        property: &Property,
        variant: &Variant,
        patience: Duration,
        after: usize,
        told: &mut dyn FnMut(Told<'_>),
    ) -> Confirmed {
        let mut ways = vec![calm(&variant.case)];
        if ways[0] != variant.case {
            ways.push(variant.case.clone());
        }
        let mut found = None;
        for case in ways {
            match self.judge(property, &case, patience) {
                Replay::Failed { failed, .. }
                    if variant.certain.is_none_or(|certain| failed.place.contains(certain)) =>
                {
                    found = Some((case, failed));
                }
                Replay::Stopped => return Confirmed::Interrupted,
                Replay::Failed { .. } | Replay::Passed | Replay::Invalid => continue,
            }
            break;
        }
        let Some((case, failed)) = found else { return Confirmed::No };
        told(Told::Found(&case, &failed));
        let reduced = self.reduce(property, &case, &failed, patience, told);
        match self.believe(property, &reduced) {
            Believed::No(why) => Confirmed::Unclear(why),
            Believed::Interrupted => Confirmed::Interrupted,
            Believed::Yes(played) => {
                let verdict = if reduced.repeats == Repeats::Always { "deterministic" } else { "flaky" };
                Confirmed::Yes(Box::new(Violation {
                    what: variant.what.clone(),
                    verdict,
                    probability: reduced.probability(),
                    sizes: (reduced.from, reduced.to),
                    after,
                    replays: reduced.replays,
                    path: None,
                    played,
                    failed: reduced.failed,
                    case: reduced.case,
                }))
            }
        }
    }

    fn reduce(
        &self,
        property: &Property,
        case: &TestCase,
        failed: &Failed,
        patience: Duration,
        told: &mut dyn FnMut(Told<'_>),
    ) -> Reduced {
        let subject = Subject { case, history: &[], wanted: Some(failed) };
        let content = case.content();
        let mut oracle = |candidate: &TestCase| {
            if property.reduces || candidate.content() == content {
                self.judge(property, candidate, patience)
            } else {
                Replay::Invalid
            }
        };
        let mut hear = |heard: reduce::Told<'_>| {
            if let reduce::Told::Better { case, .. } = heard {
                told(Told::Smaller(case, failed));
            }
        };
        let budget = Budget { time: Some(self.shrink), replays: None, clock: Clock::start() };
        reduce::reduce(subject, &mut oracle, budget, &mut hear)
    }

    /// The last word: the counterexample with its own deadlines, and its controls as often as it takes.
    fn believe(&self, property: &Property, reduced: &Reduced) -> Believed {
        let Some(controls) = (property.controls)(&reduced.case) else {
            return Believed::No("it is no variant any more".into());
        };
        let times = match reduced.repeats {
            Repeats::Never => return Believed::No("it failed once alone and not again".into()),
            Repeats::Sometimes(p) if p < SOMETIMES_MIN => {
                return Believed::No(format!("it fails {:.0} % of the time, which says little", p * 100.0));
            }
            Repeats::Sometimes(_) => CONTROLS,
            Repeats::Always => 2,
        };
        for control in controls {
            for _ in 0..times {
                match Replay::of(&control, &self.player.play(&control)) {
                    Replay::Passed => {}
                    Replay::Stopped => return Believed::Interrupted,
                    Replay::Failed { .. } | Replay::Invalid => {
                        let why = "it fails sometimes even without what the property does to it";
                        return Believed::No(why.into());
                    }
                }
            }
        }
        let tries = if reduced.repeats == Repeats::Always { 1 } else { CONTROLS };
        for _ in 0..tries {
            let played = self.player.play(&reduced.case);
            match Replay::of(&reduced.case, &played) {
                Replay::Failed { failed, .. } if failed.is_same(&reduced.failed, reduced.steady) => {
                    return Believed::Yes(played.ok().map(Box::new));
                }
                Replay::Stopped => return Believed::Interrupted,
                _ => {}
            }
        }
        Believed::No("with the deadlines of the case it holds: its answer is late".into())
    }
}

/// Why variants were not played.
enum Replayed {
    Interrupted,
    Unplayable(PlayError),
}

enum Confirmed {
    Interrupted,
    No,
    Unclear(String),
    Yes(Box<Violation>),
}

enum Believed {
    Interrupted,
    No(String),
    Yes(Option<Box<Played>>),
}

/// The case, and that the connection is closed after it.
fn with_eof(case: &TestCase) -> Option<TestCase> {
    let mut closing = case.clone();
    let lanes = case.lanes();
    let [("steps", steps)] = lanes.as_slice() else { return None };
    let (actor, last) = (step::parts(steps.last()?)?.0.map(str::to_owned), step::verb(steps.last()?)?);
    if matches!(last, "close" | "reset" | "expect_eof" | "expect_reset" | "repeat" | "drain" | "alt" | "defer") {
        return None;
    }
    closing.lane_mut("steps")?.push(step::expect_eof(actor.as_deref()));
    Some(closing)
}
