//! `harness fuzz`: a fuzzing campaign over the network.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Subcommand, ValueEnum};

use super::run::{duration, jobs, pair, seed, target};
use super::{Command, Talk, complain, files, folder, presets, print};
use crate::campaign::{self, CampaignError, CoverageKind, Ending, Finding, Options, Summary, Watcher};
use crate::document::{Source, Value, did_you_mean, parse};
use crate::exit::Exit;
use crate::protocol::{self, Protocol};
use crate::reduce::Effort;
use crate::runner::Clock;
use crate::runner::process::Guard;
use crate::scenario::{self, Known, Scenario, load};
use crate::testcase::Class;
use crate::url::Url;

/// How long a finding may be made smaller unless somebody says otherwise.
const SHRINK_BUDGET: Duration = Duration::from_secs(20);

/// Which part of a campaign that may be where it is to find more than one thing, and how long it may be at least.
const SHRINK_SHARE: u32 = 8;
const SHRINK_MIN: Duration = Duration::from_secs(5);

/// What `harness fuzz` is given. A table `[fuzz]` in the scenario holds defaults, by the names of these options.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct FuzzArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// What is said to what: a scenario whose cases hold, or a capture (pcap, pcapng) with a --target
    #[arg(value_name = "SCENARIO", required_unless_present = "runtime")]
    scenario: Option<PathBuf>,
    /// How long it goes on; without this and --cases, until something is found or somebody presses Ctrl-C
    #[arg(long, alias = "duration", value_name = "DURATION", value_parser = duration, env = "HARNESS_TIME")]
    time: Option<Duration>,
    /// How many cases are played; with --seed and one worker they are the same each time
    #[arg(long, value_name = "N", env = "HARNESS_CASES")]
    cases: Option<u64>,
    /// Go on after the first finding
    #[arg(long, env = "HARNESS_KEEP_GOING", value_parser = FalseyValueParser::new())]
    keep_going: bool,
    /// Where feedback on the target's inside comes from
    #[arg(long, value_enum, value_name = "KIND", default_value = "auto", env = "HARNESS_COVERAGE")]
    coverage: CoverageKind,
    /// What is said, described: a name or a file; for actors that do not say so themselves
    #[arg(long, value_name = "NAME", env = "HARNESS_PROTOCOL")]
    protocol: Option<String>,
    /// Words that may mean something to the target: a file in AFL's format, or a program, whose texts and numbers are words
    #[arg(long, value_name = "FILE", env = "HARNESS_DICTIONARY")]
    dictionary: Option<PathBuf>,
    /// Cases of others to begin with: a folder of this program's, an AFL queue, or `.replay` files of `AFLNet`; what is found is
    /// shared there
    #[arg(long, value_name = "DIR", env = "HARNESS_CORPUS")]
    corpus: Option<PathBuf>,
    /// A capture (pcap, pcapng) whose conversations are said as well, by the scenario's first client
    #[arg(long, value_name = "FILE", env = "HARNESS_SEEDS")]
    seeds: Option<PathBuf>,
    /// Go on with the campaign in --out, where it was interrupted
    #[arg(long, env = "HARNESS_RESUME", value_parser = FalseyValueParser::new())]
    resume: bool,
    /// How often it is stored where the campaign stands; what came after that is played again by --resume
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration, env = "HARNESS_CHECKPOINT_EVERY")]
    checkpoint_every: Duration,
    /// How many workers there are, each with a target of its own
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = jobs, env = "HARNESS_JOBS")]
    jobs: usize,
    /// What all chance comes from; without it, another each time
    #[arg(long, value_name = "N", value_parser = seed, env = "HARNESS_SEED")]
    seed: Option<u64>,
    /// What decides which cases are spoilt further
    #[arg(long, value_enum, value_name = "HOW", default_value = "on", env = "HARNESS_FEEDBACK")]
    feedback: Switch,
    /// Whether one thing is said more and more, to see whether work or memory grow faster
    #[arg(long, value_enum, value_name = "HOW", default_value = "on", env = "HARNESS_GROWTH")]
    growth: Switch,
    /// Whether a worker shares one processor with its target, or the system places both
    #[arg(long, value_enum, value_name = "HOW", default_value = "on", env = "HARNESS_AFFINITY")]
    affinity: Switch,
    /// How to know that the target is done with a message: by its threads at rest, or by time alone
    #[arg(long, value_enum, value_name = "HOW", default_value = "on", env = "HARNESS_QUIESCENCE")]
    quiescence: Switch,
    /// Start a fresh target for each case, or for as many as it survives
    #[arg(long, value_enum, value_name = "WHAT", default_value = "off", env = "HARNESS_ISOLATE")]
    isolate: Isolate,
    /// How long a finding may be made smaller, or with how many replays: `20s`, `200`. Without it 20 s; where the
    /// campaign goes on after findings (`--keep-going`) an eighth of --time, and 5 s at least
    #[arg(long, value_name = "EFFORT", env = "HARNESS_SHRINK_BUDGET")]
    shrink_budget: Option<Effort>,
    /// The server that is to answer the same: another target of the scenario, by its name, or a URL
    #[arg(long, value_name = "TARGET", env = "HARNESS_AGAINST")]
    against: Option<String>,
    /// Use this in place of a target: `NAME=URL`, or `URL` where there is one target; may be repeated
    #[arg(long, value_name = "NAME=URL", value_parser = target, env = "HARNESS_TARGET", value_delimiter = '\n')]
    target: Vec<(Option<String>, Url)>,
    /// Give a variable a value; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, env = "HARNESS_VAR", value_delimiter = '\n')]
    var: Vec<(String, String)>,
    /// Allow targets that are not on this machine
    #[arg(long, env = "HARNESS_ALLOW_REMOTE", value_parser = FalseyValueParser::new())]
    allow_remote: bool,
    /// Put the results exactly there; without it, into a new folder below `reports`
    #[arg(long, value_name = "DIR", env = "HARNESS_OUT")]
    out: Option<PathBuf>,
    /// Write the runtime in C that servers built with `-fsanitize-coverage` are linked with, and do nothing else
    #[arg(long, action = ArgAction::SetTrue, env = "HARNESS_RUNTIME", value_parser = FalseyValueParser::new())]
    runtime: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Join corpora, or make one small
    #[command(subcommand)]
    Corpus(Gather),
    /// Put a finding among the regression tests
    Promote {
        /// The finding's folder
        finding: PathBuf,
        /// Where the regression tests are
        #[arg(long, value_name = "DIR", default_value = "scenarios/regress")]
        to: PathBuf,
    },
}

#[derive(Clone, Debug, Subcommand)]
enum Gather {
    /// All cases of several campaigns or folders, each once
    Merge(GatherArgs),
    /// Only as many as together take every edge that is known
    Min(GatherArgs),
}

#[derive(Clone, Debug, Args)]
struct GatherArgs {
    /// Folders of campaigns, AFL queues, or folders with `.replay` files
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Where the cases are put
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    Off,
    On,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Isolate {
    /// Each case has a fresh target
    Case,
    /// A target is kept for as long as it is well
    Off,
}

pub(super) fn fuzz(mut args: FuzzArgs, talk: Talk, words: &[OsString]) -> u8 {
    if let Some(action) = &args.action {
        return act(action);
    }
    if args.runtime {
        return print(campaign::RUNTIME.as_bytes());
    }
    let Some(path) = args.scenario.clone() else {
        return complain("expected a scenario", Some("`harness fuzz --help`"), Exit::Usage);
    };
    let clock = Clock::start();
    let text = if campaign::captured::is_capture(&path) {
        // Findings are scenarios, too: they say where the target is by themselves.
        let [(_, url)] = args.target.as_slice() else {
            let hint = "`--target tcp://127.0.0.1:PORT` names it";
            return complain("a capture says what is said, and not to which target", Some(hint), Exit::Usage);
        };
        let text = campaign::captured::scenario(&path, url);
        args.target.clear();
        match text {
            Ok(text) => text,
            Err(error) => return refuse(&error),
        }
    } else {
        let text = match crate::document::read_text(&path) {
            Ok(text) => text,
            Err(message) => return complain(&message, None, Exit::Invalid),
        };
        args = match with_defaults(&path, &text, words, talk) {
            Ok(args) => *args,
            Err(code) => return code,
        };
        let source = Source::new(&path.to_string_lossy(), text.as_str());
        match args.seeds.as_deref().map(|seeds| campaign::captured::add(&text, &parse(&source).0, seeds)).transpose() {
            Ok(added) => added.unwrap_or(text),
            Err(error) => return refuse(&error),
        }
    };
    let resumed = args.out.as_deref().filter(|_| args.resume).and_then(campaign::seed_of);
    let seed = args.seed.or(resumed).unwrap_or_else(|| clock.unix_ns() % 1_000_000_007);
    let known = Known {
        vars: args.var.clone(),
        env: files::environment(),
        seed,
        seed_given: args.seed.is_some(),
        read: Some(crate::document::read_text),
    };
    let file = path.to_string_lossy().into_owned();
    let mut scenario = match load(&file, &text, &known) {
        Ok(scenario) => scenario,
        Err(mistakes) => {
            for mistake in &mistakes {
                complain(&format!("{}: {}", mistake.place, mistake.message), mistake.hint.as_deref(), Exit::Invalid);
            }
            return Exit::Invalid.code();
        }
    };
    for (target, _) in args.target.iter().filter(|(_, url)| url.tls) {
        scenario.begin_with_tls(target.as_deref());
    }
    if let Some(Err(mistake)) = args.against.as_deref().map(|other| find_other(&scenario, other)) {
        let hint = "another target of the scenario, by its name, or a URL such as `tcp://127.0.0.1:7002`";
        return complain(&mistake, Some(hint), Exit::Usage);
    }
    let protocol = match args.protocol.as_deref().map(find_protocol).transpose() {
        Ok(protocol) => protocol,
        Err(message) => {
            return complain(&message, Some("`harness list protocols` shows those that come with it"), Exit::Invalid);
        }
    };
    let folder = match folder::make(args.out.as_deref(), std::slice::from_ref(&path), &[], clock) {
        Ok(folder) => folder,
        Err(error) => {
            let message = format!("cannot make the campaign's folder: {error}");
            return complain(&message, Some("`--out` names another"), Exit::Bug);
        }
    };
    let guard = match Guard::of_this_program(format!("{}-{}", std::process::id(), clock.unix_ns())) {
        Ok(guard) => guard,
        Err(error) => return complain(&format!("cannot find this program: {error}"), None, Exit::Bug),
    };
    let command: Vec<String> =
        words.iter().map(|word| crate::report::text::shell_word(&word.to_string_lossy())).collect();
    let options = Options {
        seed,
        time: args.time,
        cases: args.cases,
        jobs: args.jobs,
        keep_going: args.keep_going,
        coverage: args.coverage,
        feedback: args.feedback == Switch::On,
        growth: args.growth == Switch::On,
        affinity: args.affinity == Switch::On,
        quiescence: args.quiescence == Switch::On,
        isolate: args.isolate == Isolate::Case,
        protocol,
        dictionary: args.dictionary.clone(),
        corpus: args.corpus.clone(),
        resume: args.resume,
        checkpoint_every: args.checkpoint_every,
        shrink_budget: args.shrink_budget.unwrap_or_else(|| {
            // Whoever ends with the first finding has time for it.
            let share = args.time.filter(|_| args.keep_going).map(|time| (time / SHRINK_SHARE).max(SHRINK_MIN));
            Effort::Time(share.map_or(SHRINK_BUDGET, |share| share.min(SHRINK_BUDGET)))
        }),
        against: args.against.clone(),
        targets: args.target.clone(),
        allow_remote: args.allow_remote,
        folder,
        known,
        command: command.join(" "),
    };
    let mut teller =
        Teller { quiet: talk.quiet, live: std::io::stderr().is_terminal() && !talk.quiet, open: false, lines: 0 };
    teller.say(&format!("fuzzing `{file}` with seed {seed}, results in `{}`", options.folder.display()));
    match campaign::run(scenario, &text, &options, &guard, &mut teller) {
        Ok(summary) => {
            teller.end(&summary);
            exit_of(&summary).code()
        }
        Err(error) => refuse(&error),
    }
}

/// Says why there is no campaign.
fn refuse(error: &CampaignError) -> u8 {
    let exit = match error {
        CampaignError::Input { .. } => Exit::Invalid,
        CampaignError::Nothing => Exit::Nothing,
        CampaignError::System(_) => Exit::Bug,
        CampaignError::Target(_) => Exit::Unreachable,
    };
    complain(&error.to_string(), None, exit)
}

fn act(action: &Action) -> u8 {
    match action {
        Action::Corpus(gather) => {
            let (args, least) = match gather {
                Gather::Merge(args) => (args, false),
                Gather::Min(args) => (args, true),
            };
            match campaign::tools::gather(&args.folders, &args.into, least) {
                Ok((all, kept)) => print(format!("{kept} of {}\n", crate::text::count(all, "case")).as_bytes()),
                Err(error) => complain(&format!("the cases cannot be read or written: {error}"), None, Exit::Invalid),
            }
        }
        Action::Promote { finding, to } => {
            let known = Known { env: files::environment(), read: Some(crate::document::read_text), ..Known::default() };
            match campaign::tools::promote(finding, to, &known) {
                Ok(path) => print(format!("{}\n", path.display()).as_bytes()),
                Err(message) => complain(&message, None, Exit::Invalid),
            }
        }
    }
}

/// How a campaign ends for scripts.
fn exit_of(summary: &Summary) -> Exit {
    let is_crash = |finding: &Finding| matches!(finding.kind, Class::Crash | Class::Hang);
    match summary.ending {
        _ if summary.findings.iter().any(is_crash) => Exit::Crashed,
        _ if !summary.findings.is_empty() => Exit::Failed,
        Ending::Interrupted => Exit::Incomplete,
        Ending::Lost => Exit::Unreachable,
        Ending::Done | Ending::Found => Exit::Held,
    }
}

/// Whether it can be told what is to answer the same.
fn find_other(scenario: &Scenario, other: &str) -> Result<(), String> {
    if scenario.targets.iter().any(|target| target.is_told) {
        return Err("`--against` compares servers, and this scenario starts the clients".into());
    }
    if scenario.targets.iter().any(|target| target.name == other) {
        let is_only = |actor: &scenario::Actor| matches!(&actor.role, scenario::Role::Client(scenario::Connect::Target(at)) if scenario.targets[*at].name == other);
        return match scenario.actors.iter().all(is_only) {
            true => Err(format!("`{other}` is what is fuzzed, and cannot be compared to itself")),
            false => Ok(()),
        };
    }
    if other.contains("://") {
        return Url::parse(other).map(|_| ()).map_err(|error| format!("`--against {other}`: {error}"));
    }
    let near = did_you_mean(other, scenario.targets.iter().map(|target| target.name.as_str()));
    Err(format!("there is no target `{other}`{}", near.map(|near| format!("; {near}")).unwrap_or_default()))
}

fn find_protocol(name: &str) -> Result<Arc<Protocol>, String> {
    if let Some(entry) = protocol::find(name) {
        return Ok(entry.protocol());
    }
    if !name.contains(['/', '.']) {
        let near = did_you_mean(name, protocol::PROTOCOLS.iter().map(|entry| entry.name));
        return Err(format!(
            "there is no protocol `{name}`{}",
            near.map_or_else(String::new, |near| format!(", {near}"))
        ));
    }
    let text = crate::document::read_text(Path::new(name))?;
    protocol::load(name, &text).map_err(|mistakes| match mistakes.first() {
        Some(mistake) => format!("{}: {}", mistake.place, mistake.message),
        None => format!("`{name}` describes no protocol"),
    })
}

/// The options with the scenario's `[fuzz]` before them. Files that it names lie beside the scenario.
fn with_defaults(path: &Path, text: &str, words: &[OsString], talk: Talk) -> Result<Box<FuzzArgs>, u8> {
    let source = Source::new(&path.to_string_lossy(), text);
    let mut presets = scenario::presets(&source, &parse(&source).0);
    for preset in presets.iter_mut().filter(|preset| preset.table == "fuzz") {
        let Value::String(value) = &mut preset.value else { continue };
        let is_path = match preset.key.as_str() {
            "corpus" | "dictionary" | "seeds" => true,
            key => key == "protocol" && value.contains('/'),
        };
        if let Some(folder) = path.parent().filter(|_| is_path) {
            *value = folder.join(&*value).to_string_lossy().into_owned();
        }
    }
    match presets::parse("fuzz", &presets, words, talk)? {
        Command::Fuzz(args) => Ok(args),
        _ => unreachable!("it was this command before"),
    }
}

/// Tells on stderr how it goes: on a terminal in one line that is written anew, elsewhere now and then.
struct Teller {
    quiet: bool,
    live: bool,
    /// Whether a line stands there that will be written anew.
    open: bool,
    lines: u64,
}

/// Where nobody watches, every so-manieth line is told.
const QUIETLY: u64 = 10;

impl Teller {
    fn say(&mut self, text: &str) {
        let mut stderr = anstream::stderr().lock();
        let clear = if std::mem::take(&mut self.open) { "\r\x1b[K" } else { "" };
        // Where stderr is closed nobody wants to know.
        let _ = writeln!(stderr, "{clear}{text}");
    }

    fn end(&mut self, summary: &Summary) {
        let rate = (summary.cases as f64 / summary.seconds.max(0.001)).round() as usize;
        let count = crate::text::count;
        let mut text = format!(
            "{} in {:.1} s ({rate}/s), {}, {}",
            count(summary.cases as usize, "case"),
            summary.seconds,
            count(summary.messages as usize, "message"),
            count(summary.findings.len(), "finding"),
        );
        for finding in &summary.findings {
            text.push_str(&format!(
                "\n  {}: harness run {}",
                finding.bucket,
                finding.path.join("repro.toml").display()
            ));
        }
        self.say(&text);
    }
}

impl Watcher for Teller {
    fn status(&mut self, status: &campaign::Status) {
        self.lines += 1;
        let line = status.line();
        if self.live {
            let mut stderr = anstream::stderr().lock();
            let width = terminal_size::terminal_size().map_or(120, |(width, _)| usize::from(width.0));
            let line: String = line.chars().take(width.saturating_sub(1)).collect();
            let _ = write!(stderr, "\r\x1b[K{line}");
            let _ = stderr.flush();
            self.open = true;
        } else if !self.quiet && self.lines % QUIETLY == 1 {
            self.say(&line);
        }
    }

    fn found(&mut self, finding: &Finding, symptom: &str) {
        let count = crate::text::count;
        self.say(&format!(
            "found {} after {:.1} s: {symptom} ({}, {})",
            finding.bucket,
            finding.seconds,
            count(finding.messages, "message"),
            count(finding.bytes, "byte"),
        ));
    }

    fn note(&mut self, text: &str) {
        self.say(&format!("note: {text}"));
    }
}
