//! `harness prop`: tests properties of a scenario's cases.

#![expect(clippy::disallowed_methods, reason = "counterexamples are kept here, and what a play leaves is removed")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::{Talk, complain, files};
use crate::document::{did_you_mean, read_text};
use crate::event::{EventKind, Verdict};
use crate::exit::Exit;
use crate::property::{Outcome, PROPERTIES, Selected, Session, Told, Unfit, Violation, select};
use crate::reduce::Size;
use crate::report::Look;
use crate::report::place::push_mistake;
use crate::runner::process::Guard;
use crate::runner::{Clock, Filter, Url};
use crate::scenario::{About, Known};
use crate::testcase::{Class, Failed, Played, Player, TakeError, TestCase};
use crate::text::count;
use crate::time::Time;

/// Where counterexamples are kept.
const CASES: &str = "cases";

/// The least time that a property has for a case, where there is some left.
const SLICE_MIN: Duration = Duration::from_secs(2);

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
    /// How long a counterexample may take to be made small
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = super::run::duration, env = "HARNESS_SHRINK_BUDGET")]
    shrink_budget: Duration,
    /// Keep counterexamples in `cases` below this folder; without it, in `cases` here
    #[arg(long, value_name = "DIR", env = "HARNESS_OUT")]
    out: Option<PathBuf>,
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

pub(super) fn prop(args: &PropArgs, talk: Talk) -> u8 {
    let clock = Clock::start();
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
        Ok((selected, is_played))
    });
    let (selected, is_played) = match selected {
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
    let mut told = Telling {
        look: Look::of_stderr(talk.color()),
        talk,
        folder: args.out.clone().unwrap_or_default().join(CASES),
        file: args.path.display().to_string(),
        exits: Vec::new(),
        counts: [0; 4],
        error: None,
    };
    told.test_all(session, &cases, &selected, args.time);
    let _ = fs::remove_dir_all(&scratch);
    told.finish(seed)
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

/// Tells what comes of it, and keeps what is found.
struct Telling {
    look: Look,
    talk: Talk,
    folder: PathBuf,
    file: String,
    exits: Vec<Exit>,
    /// Held, violated, unknown, left out.
    counts: [usize; 4],
    error: Option<String>,
}

impl Telling {
    fn test_all(&mut self, mut session: Session<'_>, cases: &[TestCase], selected: &[Selected], time: Duration) {
        let clock = session.clock;
        let ends = clock.now() + time;
        let mut left = cases.len() * selected.len();
        for case in cases {
            self.line(&format!("{}: {}", self.file, case.name().replace("$${", "${")));
            let base = match session.study(case) {
                Ok(base) => base,
                Err(unfit) => {
                    left -= selected.len();
                    if self.unfit(&unfit) == Exit::Incomplete {
                        return;
                    }
                    continue;
                }
            };
            for one in selected {
                let now = clock.now();
                let name = one.property.name;
                if now >= ends {
                    self.exits.push(Exit::Incomplete);
                    self.tell("unknown", name, "the time was up before it was tested; `--time` gives more", 2);
                    continue;
                }
                let slice = (ends.since(now) / left.max(1) as u32).max(SLICE_MIN);
                session.ends = Some(Time::min(now + slice, ends));
                left = left.saturating_sub(1);
                if !self.test(&session, one, &base) {
                    return;
                }
            }
        }
    }

    /// Tests one property of one case; `false` if somebody wants no more.
    fn test(&mut self, session: &Session<'_>, selected: &Selected, base: &crate::property::Base) -> bool {
        let name = selected.property.name;
        let mut kept: Option<PathBuf> = None;
        let outcome = session.test(selected, base, &mut |told| match told {
            Told::Progress(..) => {}
            // Nothing found is lost: it is on disk before it is made smaller.
            Told::Found(case, failed) | Told::Smaller(case, failed) => {
                let mut case = case.clone();
                case.about = about(name, failed);
                self.keep(name, &case, None, &mut kept);
            }
        });
        match outcome {
            Outcome::Held { played, planned } if played == planned => {
                self.exits.push(Exit::Held);
                self.tell("held", name, &count(played, "variant"), 0);
            }
            Outcome::Held { played, planned } => {
                self.exits.push(Exit::Held);
                self.tell(
                    "held",
                    name,
                    &format!("{played} of {planned} variants, which is what the time was enough for"),
                    0,
                );
            }
            Outcome::Interrupted => {
                self.exits.push(Exit::Incomplete);
                self.tell("unknown", name, "interrupted", 2);
                return false;
            }
            Outcome::LeftOut(why) => self.tell("left out", name, &why, 3),
            Outcome::Unknown(why) => {
                if let Some(path) = kept {
                    forget(&path);
                }
                self.tell("unknown", name, &why, 2);
            }
            Outcome::Violated(violation) => self.violated(selected, &violation, kept),
        }
        true
    }

    fn violated(&mut self, selected: &Selected, violation: &Violation, mut kept: Option<PathBuf>) {
        let property = selected.property;
        let crashed = matches!(violation.failed.class, Class::Crash | Class::Hang);
        self.exits.push(if crashed { Exit::Crashed } else { Exit::Failed });
        let mut case = violation.case.clone();
        case.about = about(property.name, &violation.failed);
        case.about.verdict = Some(violation.verdict.into());
        case.about.probability = (violation.verdict == "flaky").then_some(violation.probability);
        case.notes = vec![
            format!("`{}` does not hold: {}.", property.name, property.about),
            format!("First seen with this: {}.", violation.what),
        ];
        let capture = violation.played.as_deref().and_then(Played::capture);
        self.keep(property.name, &case, capture.as_deref(), &mut kept);
        self.tell("violated", property.name, &violation.what, 1);
        let mut more = String::new();
        let mut line = |label: &str, text: &str| {
            let _ = writeln!(more, "    {label:<12} {text}");
        };
        line("should hold", property.about);
        line("but", &violation.failed.message);
        let (from, to) = &violation.sizes;
        line(
            "smallest",
            &format!("{}, made of {}, in {}", size(to), size(from), count(violation.replays as usize, "replay")),
        );
        line(
            "happens",
            &match violation.verdict {
                "flaky" => format!("sometimes, about {:.0} % of the time", violation.probability * 100.0),
                _ => "each time; without what the property does to it, it holds".into(),
            },
        );
        if let Some(path) = &kept {
            line("kept as", &path.display().to_string());
            line("again", &format!("harness run {}", path.display()));
        }
        say(&more);
    }

    /// Writes a counterexample, in place of what was kept of it before.
    fn keep(&mut self, property: &str, case: &TestCase, capture: Option<&[u8]>, kept: &mut Option<PathBuf>) {
        let folder = self.folder.join(property);
        let path = folder.join(format!("{}.toml", case.id()));
        let written = fs::create_dir_all(&folder).and_then(|()| case.write(&path, capture));
        if let Err(error) = written {
            self.error.get_or_insert(format!("cannot write `{}`: {error}", path.display()));
            return;
        }
        if let Some(before) = kept.replace(path.clone()).filter(|before| *before != path) {
            forget(&before);
        }
    }

    /// Says why nothing was tested with a case.
    fn unfit(&mut self, unfit: &Unfit) -> Exit {
        let reason = |played: &Played| {
            let told = played.events.iter().find_map(|event| match &event.kind {
                EventKind::CaseFinished(finished) => finished.reason.clone(),
                _ => None,
            });
            let failed = played.failed.as_ref().map(|failed| failed.message.clone());
            failed.or(told).unwrap_or_else(|| played.verdict.word().to_owned())
        };
        let (word, why, exit) = match unfit {
            Unfit::Fails(played) => {
                let exit = match (played.verdict, &played.failed) {
                    (Verdict::Interrupted, _) => Exit::Incomplete,
                    (Verdict::Crashed, _) => Exit::Crashed,
                    (_, Some(failed)) if failed.class == Class::Crash => Exit::Crashed,
                    _ => Exit::Failed,
                };
                ("fails", format!("the case does not hold as it stands: {}", reason(played)), exit)
            }
            Unfit::Skipped(why) => ("left out", why.clone(), Exit::Nothing),
            Unfit::Unreachable(played) => ("fails", reason(played), Exit::Unreachable),
            Unfit::Unplayable(error) => ("fails", error.to_string(), Exit::Invalid),
        };
        self.tell(word, "", &why, if exit == Exit::Nothing { 3 } else { 1 });
        if exit != Exit::Nothing {
            let hint = format!("    hint: `harness run {}` tells more\n", self.file);
            say(&hint);
            self.exits.push(exit);
        }
        exit
    }

    fn line(&self, text: &str) {
        if !self.talk.quiet {
            say(&format!("{text}\n"));
        }
    }

    fn tell(&mut self, word: &str, name: &str, text: &str, kind: usize) {
        if name.is_empty() {
            say(&format!("  {word}  {text}\n"));
            return;
        }
        self.counts[kind] += 1;
        if self.talk.quiet && kind != 1 {
            return;
        }
        let theme = &self.look.theme;
        let style = [theme.good, theme.bad, theme.note, theme.dim][kind];
        say(&format!("  {style}{word:<9}{style:#} {name:<14} {text}\n"));
    }

    fn finish(&self, seed: u64) -> u8 {
        if let Some(error) = &self.error {
            return complain(error, Some("`--out` names another folder"), Exit::Bug);
        }
        let words = ["held", "violated", "unknown", "left out"];
        let counts = self.counts.iter().zip(words).filter(|(count, _)| **count > 0);
        let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
        say(&format!(
            "{} (seed {seed})\n",
            if counts.is_empty() { "nothing was tested".into() } else { counts.join(", ") }
        ));
        let order = [Exit::Invalid, Exit::Unreachable, Exit::Crashed, Exit::Failed, Exit::Incomplete, Exit::Held];
        order.into_iter().find(|exit| self.exits.contains(exit)).unwrap_or(Exit::Nothing).code()
    }
}

fn forget(path: &Path) {
    // Who cannot remove it leaves it.
    let _ = fs::remove_file(path);
    let _ = fs::remove_file(path.with_extension("pcapng"));
}

fn about(property: &str, failed: &Failed) -> About {
    About {
        kind: Some(failed.class.word().into()),
        fingerprint: Some(failed.fingerprint(false)),
        property: Some(property.into()),
        message: Some(failed.message.clone()),
        first_seen: Some(jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        harness: Some(env!("CARGO_PKG_VERSION").into()),
        found_by: Some(format!("harness prop --property {property}")),
        ..About::default()
    }
}

fn size(size: &Size) -> String {
    format!(
        "{}, {}, {}",
        count(size.connections, "connection"),
        count(size.messages, "message"),
        count(size.bytes, "byte")
    )
}
