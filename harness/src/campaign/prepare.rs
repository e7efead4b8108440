//! Before the first case: what counters the target has, what the scenario says, and what a living target answers.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::affinity::Processors;
use super::case::Case;
use super::coverage::{self, Coverage, Found, PROGRAM_LEN_MAX};
use super::differing::Differing;
use super::limits::Limited;
use super::plan::Plan;
use super::player::{LATE_MAX, Patience, Player, Reply, Trace};
use super::seeds::{self, Seed};
use super::triage::Judge;
use super::{CampaignError, CoverageKind, Options};
use crate::mutator::{Dictionary, learn};
use crate::protocol::{Kind, Protocol};
use crate::random::Random;
use crate::runner::Ground;
use crate::runner::process::{Exit, Guard, elf};
use crate::scenario::Scenario;
use crate::text::count;

/// How many scripts are recorded.
const SCRIPTS_MAX: usize = 256;

/// How many answers are kept for mutators.
const ANSWERS_MAX: usize = 64;

/// The longest of them.
const ANSWER_LEN_MAX: usize = 4_096;

/// How many conversations are tried as the valid one that a living target answers.
const PROBES_MAX: usize = 8;

/// How much of a processor a target uses with nothing to do before it is known for one that never rests.
const RESTLESS_FOR: Duration = Duration::from_millis(50);

/// The least that an answer is waited for where nobody can be watched.
const QUICK: Duration = Duration::from_millis(3);

/// How targets of this campaign are started.
pub(super) struct Stage<'s> {
    pub(super) options: &'s Options,
    pub(super) guard: &'s Guard,
    pub(super) handle: &'s tokio::runtime::Handle,
    /// Where workers and their targets run, if that is not left to the system.
    pub(super) processors: Option<Processors>,
}

/// How a program's file begins.
const MAGIC: &[u8] = b"\x7fELF";

/// What counters are read from, and what the target finds in its environment.
pub(super) type Opened = (Coverage, Vec<(String, String)>);

/// What is known before the first case.
pub(super) struct Prepared {
    pub(super) plan: Arc<Plan>,
    /// The first worker's, with its target up.
    pub(super) player: Player,
    /// The target's counters, if it has any.
    pub(super) counters: Option<Found>,
    /// What the scenario says, and whether all of it is answered as it expects.
    pub(super) seeds: Vec<(Case, bool)>,
    pub(super) dictionary: Dictionary,
    pub(super) answers: Vec<Vec<u8>>,
    pub(super) protocol: Option<Arc<Protocol>>,
    pub(super) datagrams: Vec<bool>,
    pub(super) judge: Judge,
    /// What was answered to the valid conversation.
    pub(super) probe_replies: Vec<Reply>,
    /// Whether an idle target already uses up a processor.
    pub(super) is_restless: bool,
    /// What the user should know of the scenario.
    pub(super) notes: Vec<String>,
}

impl Stage<'_> {
    /// Makes what a worker's counters are read from.
    pub(super) fn open(&self, counters: Option<&Found>, worker: usize) -> Result<Opened, CampaignError> {
        match counters {
            None => Ok(Opened::default()),
            Some(found) => found.open(&self.options.folder, worker).map_err(CampaignError::Target),
        }
    }

    /// A player for a worker, without a target yet.
    pub(super) fn player(&self, plan: &Arc<Plan>, (coverage, env): Opened, worker: usize) -> Player {
        let options = self.options;
        let (targets, work) = (options.targets.clone(), options.folder.join(SCRATCH));
        let ground = Ground::new(self.handle.clone(), self.guard.clone(), options.allow_remote, targets, work, env);
        let player = Player::new(Arc::clone(plan), ground, coverage);
        self.adjusted(player, worker)
    }

    /// A player of a worker with what the options say of it.
    fn adjusted(&self, mut player: Player, worker: usize) -> Player {
        player.quiescence = self.options.quiescence;
        player.other.clone_from(&self.options.against);
        player.processor = self.processors.and_then(|all| all.processor(worker, std::process::id() as usize));
        player
    }

    /// Finds out what counters the target has: they show in its program. The player's target is up.
    fn find_counters(&self, plan: &Arc<Plan>) -> Result<(Player, Option<Found>), CampaignError> {
        let mut player = self.player(plan, Opened::default(), 0);
        start(&mut player)?;
        let wanted = self.options.coverage;
        let found = match wanted {
            CoverageKind::Off => None,
            wanted => coverage::find(&player.program_pids(), wanted),
        };
        if found.is_some() {
            player.end(true);
            player = self.player(plan, self.open(found.as_ref(), 0)?, 0);
            start(&mut player)?;
        } else if !matches!(wanted, CoverageKind::Off | CoverageKind::Auto) {
            let message = format!("the target shows no counters of the kind `{wanted:?}`").to_lowercase();
            return Err(CampaignError::Target(message));
        }
        Ok((player, found))
    }

    /// Finds out all of it.
    pub(super) fn prepare(&self, scenario: Scenario) -> Result<Prepared, CampaignError> {
        let options = self.options;
        let plan = Plan::new(scenario, options.protocol.as_ref());
        let scripts = plan.scripts();
        let plan = Arc::new(plan);
        let (mut first, counters) = self.find_counters(&plan)?;
        let is_watched = first.is_watched() && options.quiescence;
        let is_restless = is_watched && first.works_on(RESTLESS_FOR);

        // Each on a fresh target.
        let (mut recorded, mut expected, mut normal) = (Vec::new(), Vec::new(), Vec::new());
        for script in scripts.iter().take(SCRIPTS_MAX) {
            if !recorded.is_empty() && !plan.is_about_clients() {
                first.end(true);
                start(&mut first)?;
            }
            let mut random = Random::new(options.seed, &script.name);
            recorded.push(seeds::record(&mut first, script, &mut expected, &mut random));
            first.settle(&mut Trace::default());
            normal.extend(first.ended(true).map(|(_, exit)| exit));
        }
        if !recorded.iter().any(|seed| seed.holds)
            && let Some(why) = recorded.iter_mut().find_map(|seed| seed.trouble.take())
        {
            return Err(CampaignError::Target(why));
        }
        let protocol = plan.actors.iter().find_map(|actor| actor.protocol.clone());
        let datagrams = first.datagrams();
        let names = coverage::names(&first.program_pids());
        // Only now it is known what seeds expect.
        first.end(true);
        let (ground, coverage) = first.into_parts();
        let (patterns, late) = expected.into_iter().unzip();
        let plan =
            Arc::new(Plan { patterns, late, ..Arc::try_unwrap(plan).unwrap_or_else(|shared| Plan::like(&shared)) });
        let mut player = self.adjusted(Player::new(Arc::clone(&plan), ground, coverage), 0);
        start(&mut player)?;
        player.reply_within = reply_within(&recorded, is_watched);

        let mut seeds: Vec<(Case, bool)> = Vec::new();
        for seed in recorded.iter().filter(|seed| !seed.case.sends().is_empty()) {
            if !seeds.iter().any(|(case, _)| *case == seed.case) {
                seeds.push((seed.case.clone(), seed.holds));
            }
        }
        if seeds.is_empty() {
            return Err(CampaignError::Nothing);
        }
        let (dictionary, answers) = words(options, &recorded, protocol.as_deref(), names)?;
        let (mut judge, probe_replies) = find_probe(&mut player, &seeds, normal, Limited::of(&plan.scenario));
        let mut notes = notes(&recorded);
        if options.against.is_some() {
            notes.extend(compare(&mut player, &seeds, &mut judge, protocol.clone())?);
        }
        Ok(Prepared {
            plan,
            player,
            counters,
            seeds,
            dictionary,
            answers,
            protocol,
            datagrams,
            judge,
            probe_replies,
            is_restless,
            notes,
        })
    }
}

/// The folder of what targets leave, in the campaign's.
pub(super) const SCRATCH: &str = "scratch";

fn start(player: &mut Player) -> Result<(), CampaignError> {
    player.restart(false).map_err(|failure| CampaignError::Target(failure.message))
}

/// What should have held and did not: whoever fuzzes that fuzzes what the target does with mistakes.
fn notes(recorded: &[Seed]) -> Vec<String> {
    let failed: Vec<&Seed> = recorded.iter().filter(|seed| !seed.holds).collect();
    let Some(first) = failed.first() else { return Vec::new() };
    let place = first.unmet.as_ref().map_or(String::new(), |place| format!(" ({place})"));
    let failed = failed.len();
    vec![format!(
        "{failed} of {} in the scenario {} not hold, the first `{}`{place}: what is answered otherwise is not expected \
         any more; `harness run` shows why",
        count(recorded.len(), "case"),
        if failed == 1 { "does" } else { "do" },
        first.name,
    )]
}

/// Finds out what of the seeds another server answers otherwise.
fn compare(
    player: &mut Player,
    seeds: &[(Case, bool)],
    judge: &mut Judge,
    protocol: Option<Arc<Protocol>>,
) -> Result<Option<String>, CampaignError> {
    let found = Differing::of(player, seeds.iter().map(|(case, _)| case), protocol);
    let (differing, count) = found.ok_or_else(|| {
        let other = player.other.as_deref().unwrap_or_default();
        CampaignError::Target(format!("nobody answers at `{other}`, to which the target is to be compared"))
    })?;
    judge.differing = differing;
    start(player)?;
    Ok((count > 0).then(|| {
        format!(
            "{} of what the scenario says {} answered otherwise by the other server: of answers to messages of these \
             names only the status is compared",
            crate::text::count(count, "message"),
            if count == 1 { "is" } else { "are" },
        )
    }))
}

/// How long an answer is waited for.
fn reply_within(recorded: &[Seed], is_watched: bool) -> Duration {
    let longest = |of: fn(&Seed) -> Duration| recorded.iter().map(of).max().unwrap_or_default();
    let (slowest, late) = (longest(|seed| seed.slowest), longest(|seed| seed.late));
    match is_watched {
        // Who rests without an answer gives none, unless answers are known to come from somebody who waits.
        true => Patience::of(late).within(),
        false => (slowest * 4).clamp(QUICK, LATE_MAX),
    }
}

/// Words that may mean something to the target, and its answers. `names` are those of its program, in place of which a dictionary
/// can be given.
fn words(
    options: &Options,
    recorded: &[Seed],
    protocol: Option<&Protocol>,
    names: Vec<Vec<u8>>,
) -> Result<(Dictionary, Vec<Vec<u8>>), CampaignError> {
    let mut dictionary = Dictionary::default();
    let mut program = names;
    if let Some(path) = &options.dictionary {
        program.clear();
        if let Some(file) = read_program(path) {
            program = elf::words(&file);
        } else {
            let read = crate::document::read_text(path);
            let read = read.and_then(|text| Dictionary::parse(&text).map_err(|error| error.to_string()));
            dictionary = read.map_err(|why| CampaignError::Input { path: path.clone(), why })?;
        }
    }
    let mut answers: Vec<Vec<u8>> = Vec::new();
    for seed in recorded {
        for answer in seed.answers.iter().filter(|answer| (1..=ANSWER_LEN_MAX).contains(&answer.len())) {
            if answers.len() < ANSWERS_MAX && !answers.contains(answer) {
                answers.push(answer.clone());
            }
        }
        seed.case.messages().for_each(|(_, message)| learn(&mut dictionary, &message.bytes()));
    }
    answers.iter().for_each(|answer| learn(&mut dictionary, answer));
    // Of a description, the names of enums say nothing on the wire, but its literals do.
    let messages = protocol.into_iter().flat_map(|protocol| protocol.messages.iter());
    for field in messages.flat_map(|message| message.fields.iter()) {
        if let Kind::Bytes { constant: Some(constant), .. } = &field.kind {
            dictionary.add(constant);
        }
    }
    // There are many, and most mean nothing: those that were said go first.
    dictionary.guess(&program);
    Ok((dictionary, answers))
}

/// A file, if it is a program; of one that is too large as much as is looked at.
#[expect(clippy::disallowed_methods, reason = "a campaign's inputs are read here")]
fn read_program(path: &Path) -> Option<Vec<u8>> {
    // What is no file, like a pipe, can be read only once.
    let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).and_then(|_| File::open(path).ok())?;
    let mut program = Vec::new();
    (&file).take(MAGIC.len() as u64).read_to_end(&mut program).ok()?;
    if program != MAGIC {
        return None;
    }
    file.take(PROGRAM_LEN_MAX).read_to_end(&mut program).ok()?;
    Some(program)
}

/// The valid conversation that a living target answers: the shortest that was answered, up to its first answer.
fn find_probe(player: &mut Player, seeds: &[(Case, bool)], normal: Vec<Exit>, limits: Limited) -> (Judge, Vec<Reply>) {
    let mut judge = Judge { probe: None, normal, limits, ..Judge::default() };
    let mut by_len: Vec<&Case> = seeds.iter().map(|(case, _)| case).collect();
    by_len.sort_by_key(|case| (case.connections(), case.bytes()));
    for case in by_len.into_iter().take(PROBES_MAX) {
        let mut case = case.clone();
        let trace = player.play(&case, &mut |_, _| {});
        let Some(reply) = trace.replies.iter().find(|reply| reply.len > 0) else { continue };
        case.steps.truncate(reply.step + 1);
        judge.probe = Some(case);
        if judge.answers(player) {
            return (judge, trace.replies);
        }
        judge.probe = None;
    }
    (judge, Vec::new())
}
