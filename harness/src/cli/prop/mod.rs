//! `harness prop`: tests properties of a scenario's cases.

#![expect(clippy::disallowed_methods, reason = "counterexamples are kept here, and what a play leaves is removed")]

mod telling;

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;
use telling::{MODEL, Telling};

use super::{Talk, complain, files, reporters, stored};
use crate::document::{did_you_mean, read_text};
use crate::exit::Exit;
use crate::property::{PROPERTIES, Session, select};
use crate::reduce::Effort;
use crate::report::place::push_mistake;
use crate::report::{Entry, Look};
use crate::runner::process::Guard;
use crate::runner::{Clock, Filter};
use crate::scenario::Known;
use crate::testcase::{Player, TakeError, TestCase};
use crate::url::Url;

/// Where counterexamples are kept.
const CASES: &str = "cases";

/// The reporter for people.
const HUMAN: &str = "human";

/// What `harness prop` is given.
#[derive(Clone, Debug, Args)]
pub(super) struct PropArgs {
    /// The scenario whose cases are varied
    #[arg(value_name = "SCENARIO")]
    path: PathBuf,
    /// Test only these properties; without it those of the file's `[properties]`, or all that need nothing. `harness list
    /// properties` shows them
    #[arg(short, long, value_name = "NAME", value_delimiter = ',', value_parser = property, env = "HARNESS_PROPERTY")]
    property: Vec<String>,
    /// Play at most so many variants for a property and a case
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), env = "HARNESS_CASES")]
    cases: Option<u32>,
    /// How long to look, all properties together
    #[arg(short, long, value_name = "DURATION", default_value = "60s", value_parser = super::run::duration, env = "HARNESS_TIME")]
    time: Duration,
    /// How long a counterexample may take to be made small, or how many replays: `10s`, `100`
    #[arg(long, value_name = "EFFORT", default_value = "10s", env = "HARNESS_SHRINK_BUDGET")]
    shrink_budget: Effort,
    /// Keep counterexamples in `cases` below this folder, and leave `events.ndjson` and `junit.xml` there; without it, `cases` is
    /// made here
    #[arg(long, value_name = "DIR", env = "HARNESS_OUT")]
    out: Option<PathBuf>,
    /// What to print: human on stderr, and one of github, json, junit and tap on stdout, where each property of a case is a case
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "human", value_parser = reporters::name, env = "HARNESS_REPORT")]
    report: Vec<&'static Entry>,
    /// What all chance comes from; without it, another each time
    #[arg(long, value_name = "N", value_parser = super::run::seed, env = "HARNESS_SEED")]
    seed: Option<u64>,
    /// Vary only these cases: `tag:fast and not line`, `case:"echoes a line"`
    #[arg(short, long, value_name = "EXPR", value_parser = Filter::parse, env = "HARNESS_FILTER")]
    filter: Option<Filter>,
    /// Use this in place of a target: `NAME=URL`, or `URL` where there is one target; may be repeated
    #[arg(long, value_name = "NAME=URL", value_parser = super::run::target, env = "HARNESS_TARGET", value_delimiter = '\n')]
    target: Vec<(Option<String>, Url)>,
    /// Give a variable a value; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::run::pair, env = "HARNESS_VAR", value_delimiter = '\n')]
    var: Vec<(String, String)>,
    /// Bound each play, whatever its own deadlines say
    #[arg(long, value_name = "DURATION", value_parser = super::run::duration, env = "HARNESS_TIMEOUT")]
    timeout: Option<Duration>,
    /// Allow targets that are not on this machine
    #[arg(long, env = "HARNESS_ALLOW_REMOTE", value_parser = FalseyValueParser::new())]
    allow_remote: bool,
}

fn property(name: &str) -> Result<String, String> {
    let known = || PROPERTIES.iter().map(|property| property.name);
    match known().find(|known| *known == name) {
        Some(known) => Ok(known.to_owned()),
        None => Err(did_you_mean(name, known()).unwrap_or_else(|| "`harness list properties` shows them all".into())),
    }
}

pub(super) fn prop(args: &PropArgs, talk: Talk, words: &[OsString]) -> u8 {
    let clock = Clock::start();
    if let Err(message) = reporters::check(&args.report) {
        return complain(&message, None, Exit::Usage);
    }
    let seed = args.seed.unwrap_or_else(|| clock.unix_ns() % 1_000_000_007);
    let known = Known {
        vars: args.var.clone(),
        env: files::environment(),
        seed,
        seed_given: args.seed.is_some(),
        read: Some(read_text),
    };
    let loaded = files::load_all(&[(args.path.clone(), true)], &known).pop();
    let text = read_text(&args.path);
    let (Some(loaded), Ok(text)) = (loaded, text) else {
        return complain(&format!("cannot read `{}`", args.path.display()), None, Exit::Invalid);
    };
    let selected = loaded.result.and_then(|scenario| {
        let selected = select(&scenario.presets, &args.property)?;
        // What is not selected is not played.
        let is_played: Vec<bool> = scenario
            .cases
            .iter()
            .map(|case| args.filter.as_ref().is_none_or(|filter| filter.takes(&scenario, case)))
            .collect();
        Ok((selected, is_played, scenario.model.clone()))
    });
    let (mut selected, is_played, model) = match selected {
        Ok(selected) => selected,
        Err(mistakes) => return invalid(&mistakes, talk),
    };
    let cases = match TestCase::all(&args.path, &text, &known) {
        Ok(cases) => cases,
        Err(TakeError::Invalid(mistakes)) => return invalid(&mistakes, talk),
        Err(error) => return complain(&error.to_string(), None, Exit::Invalid),
    };
    let cases: Vec<TestCase> = cases.into_iter().zip(is_played).filter_map(|(case, is)| is.then_some(case)).collect();
    if cases.is_empty() || selected.is_empty() {
        return complain("nothing is selected", Some("`--filter` and `--property` say what is"), Exit::Nothing);
    }
    if model.is_some() && args.property.is_empty() && !selected.iter().any(|one| one.property.name == MODEL) {
        selected.extend(select(&[], &[MODEL.to_owned()]).unwrap_or_default());
    }
    let guard = match Guard::of_this_program(format!("{}-{}", std::process::id(), clock.unix_ns())) {
        Ok(guard) => guard,
        Err(error) => return complain(&format!("cannot find this program: {error}"), None, Exit::Bug),
    };
    let scratch = std::env::temp_dir().join(format!("harness-prop-{}-{}", std::process::id(), clock.unix_ns()));
    let mut player = Player::new(guard, &scratch);
    player.known = known;
    player.targets.clone_from(&args.target);
    player.allow_remote = args.allow_remote;
    player.timeout = args.timeout;
    let session = Session {
        player: &player,
        seed,
        cases: args.cases.map(|cases| cases as usize),
        ends: None,
        shrink: args.shrink_budget,
        clock,
    };
    let record = match record(args, talk, clock, seed, words) {
        Ok(record) => record,
        Err(error) => return complain(&format!("cannot open all reports: {error}"), None, Exit::Bug),
    };
    let mut told = Telling {
        look: Look::of_stderr(talk.color()),
        // Who asks for data alone hears only what fails.
        talk: Talk { quiet: talk.quiet || !args.report.iter().any(|entry| entry.name == HUMAN), ..talk },
        folder: args.out.clone().unwrap_or_default().join(CASES),
        file: args.path.display().to_string(),
        exits: Vec::new(),
        counts: [0; 4],
        error: None,
        seed,
        model,
        record,
        clock,
        now: (String::new(), clock.now()),
    };
    told.test_all(session, &cases, &selected, args.time);
    let _ = fs::remove_dir_all(&scratch);
    told.finish()
}

/// The reporters of data: people are told by [`Telling`] itself.
fn record(
    args: &PropArgs,
    talk: Talk,
    clock: Clock,
    seed: u64,
    words: &[OsString],
) -> std::io::Result<stored::Telling> {
    let asked: Vec<&'static Entry> = args.report.iter().copied().filter(|entry| entry.name != HUMAN).collect();
    if let Some(folder) = &args.out {
        fs::create_dir_all(folder)?;
    }
    let folder = args.out.as_deref();
    let settings = reporters::settings(Look::of_stderr(talk.color()), talk, folder.unwrap_or(Path::new("")), Some(0));
    Ok(stored::Telling::to(reporters::open(&asked, &settings, folder, false)?, clock, seed, words))
}

fn invalid(mistakes: &[crate::event::Mistake], talk: Talk) -> u8 {
    let look = Look::of_stderr(talk.color());
    let mut output = String::new();
    mistakes.iter().for_each(|mistake| push_mistake(&mut output, mistake, &look));
    say(&output);
    Exit::Invalid.code()
}

/// Says something on stderr; where that is closed nobody wants to know.
fn say(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}
