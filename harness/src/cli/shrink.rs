//! `harness shrink`: makes a failing case small.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;

use super::run::seed;
use super::stored::{PlayArgs, Telling, interrupts, verdict_of};
use super::{Talk, complain, folder};
use crate::capture::write_file;
use crate::event::{CaseSize, EventKind, Reduced as Told, Verdict};
use crate::exit::{Exit, Flaky};
use crate::reduce::{Budget, Effort, Reduced, Repeats, Replay, Size, Subject, Told as Progress, hasten, reduce};
use crate::report::Look;
use crate::report::text::{count, shell_word};
use crate::runner::Clock;
use crate::scenario::About;
use crate::testcase::{Failed, PlayError, Played, Player, TakeError, TestCase};

/// The shortest deadline of a step while a case is made smaller, where the case's own is longer.
const TIMEOUT_MIN: Duration = Duration::from_millis(300);

/// How many times longer than the slowest step that held a step may take meanwhile.
const TIMEOUT_FACTOR: u32 = 10;

/// How long a candidate waits for the target's end, at least and at most.
const QUIET_MIN: Duration = Duration::from_millis(150);
const QUIET_MAX: Duration = Duration::from_secs(1);

/// What `harness shrink` is given.
#[derive(Clone, Debug, Args)]
pub(super) struct ShrinkArgs {
    /// A scenario with a case that fails
    #[arg(value_name = "CASE")]
    path: PathBuf,
    /// Which of its cases; without it, the first that fails
    #[arg(long = "case", value_name = "NAME", env = "HARNESS_CASE")]
    case: Option<String>,
    /// How long it may take, or how many replays (`200`); what is smallest by then is the result (exit code 9)
    #[arg(long, value_name = "EFFORT", default_value = "60s", env = "HARNESS_SHRINK_BUDGET")]
    shrink_budget: Effort,
    /// What all chance comes from, if the file does not say
    #[arg(long, value_name = "N", value_parser = seed, env = "HARNESS_SEED")]
    seed: Option<u64>,
    #[command(flatten)]
    play: PlayArgs,
}

/// Where the smallest case so far lies, and what goes with it.
struct Desk<'d> {
    path: &'d Path,
    talk: Talk,
    /// The first error of writing.
    error: Option<std::io::Error>,
    others: Vec<String>,
}

pub(super) fn shrink(args: &ShrinkArgs, talk: Talk, words: &[OsString]) -> u8 {
    let clock = Clock::start();
    let seed = args.seed.unwrap_or_else(|| clock.unix_ns() % 1_000_000_007);
    let known = args.play.known(seed, args.seed.is_some());
    let cases = crate::document::read_text(&args.path)
        .map_err(|message| complain(&format!("`{}`: {message}", args.path.display()), None, Exit::Invalid));
    let text = match cases {
        Ok(text) => text,
        Err(code) => return code,
    };
    let mut cases = match TestCase::all(&args.path, &text, &known) {
        Ok(cases) => cases,
        Err(TakeError::Invalid(mistakes)) => {
            let mut said = String::new();
            let look = Look::of_stderr(talk.color());
            mistakes.iter().for_each(|mistake| crate::report::place::push_mistake(&mut said, mistake, &look));
            say(talk, &said);
            return complain(&format!("`{}` is no valid scenario", args.path.display()), None, Exit::Invalid);
        }
        Err(error) => return complain(&error.to_string(), None, Exit::Invalid),
    };
    let named = match &args.case {
        None => None,
        Some(name) => match cases.iter().position(|case| case.name().replace("$${", "${") == *name) {
            Some(at) => Some(at),
            None => {
                let names = cases.iter().map(TestCase::name);
                let hint = crate::document::did_you_mean(name, names);
                return complain(&format!("there is no case `{name}` in it"), hint.as_deref(), Exit::Usage);
            }
        },
    };
    let player = match args.play.player(known, clock) {
        Ok(player) => player,
        Err(message) => return complain(&message, None, Exit::Bug),
    };
    let pressed = interrupts();
    let found = find(&player, &cases, named);
    let (at, first, after) = match found {
        Found::Failing { at, played, after } => (at, played, after),
        Found::Nothing => {
            let message = format!("nothing fails in `{}`, so there is nothing to make smaller", args.path.display());
            return complain(&message, Some("`harness run` on it has to fail"), Exit::Nothing);
        }
        Found::Unreachable(message) => return complain(&message, None, Exit::Unreachable),
        Found::Interrupted => return Exit::Incomplete.code(),
        Found::Error(error) => return complain(&error.to_string(), None, Exit::Bug),
    };
    let case = cases.swap_remove(at);
    // What was before it in the file may be needed, even where it has just failed without: it will be seen.
    let history: Vec<TestCase> = if after { cases_before(&args.path, &text, &player, at) } else { Vec::new() };

    let (folder, path) = match place(args, clock) {
        Ok(place) => place,
        Err(error) => return complain(&format!("cannot make a folder for the result: {error}"), None, Exit::Bug),
    };
    let mut desk = Desk { path: &path, talk, error: None, others: Vec::new() };
    // Nothing that was found is lost, whatever happens from here on.
    let subject = if after { case.after(&history) } else { case.clone() };
    desk.keep(&subject, first.failed.as_ref(), first.capture().as_deref(), "not made smaller yet");
    if let Some(error) = desk.error.take() {
        return complain(
            &format!("cannot write `{}`: {error}", path.display()),
            Some("`--out` names another folder"),
            Exit::Bug,
        );
    }
    let size = Size::of(&subject);
    let failed = first.failed.clone();
    desk.say(&format!("{}: {size}", failed.as_ref().map_or_else(String::new, ToString::to_string)));

    let mut quick = quick_timeout(&first, &case);
    let quiet = quick_quiet(&first);
    let mut result;
    loop {
        let last: RefCell<Option<Played>> = RefCell::new(None);
        let mut oracle = |case: &TestCase| {
            if pressed.load(Ordering::Relaxed) {
                return Replay::Stopped;
            }
            let case = hasten(case, quick, quiet);
            let played = player.play(&case);
            let replay = Replay::of(&case, &played);
            *last.borrow_mut() = played.ok();
            replay
        };
        let budget = Budget::of(match args.shrink_budget {
            Effort::Time(time) => Effort::Time(time.saturating_sub(clock.now().since(crate::time::Time::ZERO))),
            replays @ Effort::Replays(_) => replays,
        });
        let wanted = failed.as_ref();
        let mut kept_at = 0;
        result =
            reduce(Subject { case: &case, history: &history, wanted }, &mut oracle, budget, &mut |told| match told {
                Progress::Repeats { repeats, history } => desk.say(&in_words(repeats, history)),
                Progress::Better { case, replays } => {
                    let capture = last.borrow().as_ref().and_then(Played::capture);
                    let note = format!("being made smaller: {} so far", count(replays, "replay"));
                    desk.keep(case, failed.as_ref(), capture.as_deref(), &note);
                    // One line for what comes in one go.
                    if replays >= kept_at + 10 {
                        kept_at = replays;
                        desk.say(&format!("{}, {}", count(replays, "replay"), Size::of(case)));
                    }
                }
                Progress::Other { case, failed } => {
                    let capture = last.borrow().as_ref().and_then(Played::capture);
                    desk.keep_other(case, failed, capture.as_deref());
                }
            });
        // What is slow is not silent: with the case's own deadlines it has to fail as well.
        let honest = quick.is_none() || result.repeats != Repeats::Always || confirmed(&player, &result);
        if honest || pressed.load(Ordering::Relaxed) {
            break;
        }
        quick = None;
    }
    let Some(verdict) = result.verdict() else {
        let message = match result.complete {
            true => format!("the failure did not come back in {}", count(result.replays, "replay")),
            false => "the time was used up before the failure came back".to_owned(),
        };
        let hint = format!("the case is kept as it was found: {}", path.display());
        return complain(&message, Some(&hint), if result.complete { Exit::Nothing } else { Exit::Incomplete });
    };
    finish(args, talk, words, &player, desk, &result, verdict, (&folder, clock, seed))
}

/// The cases of the file before one, as they are joined to it.
fn cases_before(path: &Path, text: &str, player: &Player, at: usize) -> Vec<TestCase> {
    TestCase::all(path, text, &player.known).map(|cases| cases.into_iter().take(at).collect()).unwrap_or_default()
}

/// Tells the result, and leaves it.
#[expect(clippy::too_many_arguments, reason = "it is the end of one function")]
fn finish(
    args: &ShrinkArgs,
    talk: Talk,
    words: &[OsString],
    player: &Player,
    mut desk: Desk<'_>,
    result: &Reduced,
    verdict: &str,
    (folder, clock, seed): (&Path, Clock, u64),
) -> u8 {
    let path = desk.path.to_path_buf();
    let mut case = result.case.clone();
    let size = |size: Size| CaseSize {
        connections: size.connections as u64,
        messages: size.messages as u64,
        bytes: size.bytes as u64,
    };
    let matters: Vec<String> = result
        .matters
        .iter()
        .map(|matter| match matter.lane.as_str() {
            "steps" => format!("step {}: {}", matter.step + 1, matter.words),
            lane => format!("step {} of {lane}: {}", matter.step + 1, matter.words),
        })
        .collect();
    case.step_notes =
        result.matters.iter().map(|matter| (matter.lane.clone(), matter.step, matter.words.clone())).collect();
    let made = format!(
        "made from {} in {}: {}{}",
        result.from,
        count(result.replays, "replay"),
        result.to,
        if result.complete { "" } else { ", and there was more to try" }
    );
    let often = match result.repeats {
        Repeats::Sometimes(p) => format!("{verdict}: it fails about {:.0} times of 100", p * 100.0),
        _ => verdict.to_owned(),
    };
    let failed = &result.failed;
    let fingerprint = failed.fingerprint(result.steady);
    case.notes = vec![
        format!("{}: {fingerprint}", failed.class.word()),
        failed.message.clone(),
        often,
        made,
        "`harness run` on this file fails while the bug lives; `harness replay` says what became of it".into(),
    ];
    let mut about = about(&result.case.about, failed, result.steady);
    about.verdict = Some(verdict.into());
    about.probability = matches!(result.repeats, Repeats::Sometimes(_)).then(|| result.probability());
    case.about = about;
    // Once more as it stands in the file, for a capture whose lines are the file's.
    let tries = if matches!(result.repeats, Repeats::Sometimes(_)) { 20 } else { 1 };
    let moved = case.in_folder(path.parent().unwrap_or(Path::new("")));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut shown = None;
    for _ in 0..tries {
        if let Ok(played) = player.play_as(&moved, &name) {
            let failed = played.failed.is_some();
            shown = Some(played);
            if failed {
                break;
            }
        }
    }
    let capture = shown.as_ref().and_then(Played::capture);
    desk.note(case.write(&path, capture.as_deref()).map(|_| ()));
    if let Some(error) = desk.error {
        return complain(&format!("cannot write `{}`: {error}", path.display()), None, Exit::Bug);
    }
    let exit = if result.complete { Exit::Held } else { Exit::Incomplete };
    let told = Told {
        kind: failed.class.word().into(),
        fingerprint,
        verdict: verdict.into(),
        percent: (result.probability() * 100.0).round() as u32,
        replays: result.replays,
        accepted: result.accepted,
        from: size(result.from),
        to: size(result.to),
        matters,
        complete: result.complete,
        others: desk.others,
    };
    let telling = Telling::begin(&args.play, talk, folder, clock, seed, words);
    let ended = telling.and_then(|mut telling| {
        if let Some(played) = &shown {
            let capture = path.with_extension("pcapng");
            telling.case(played, EventKind::Reduced(Box::new(told)), |finished| {
                finished.verdict = verdict_of(played);
                finished.reason.get_or_insert_with(|| failed.message.clone());
                let relative = capture.strip_prefix(folder).unwrap_or(&capture);
                finished.capture = Some(relative.to_string_lossy().into_owned());
                finished.reproduce = Some(format!("harness run {}", shell_word(&path.to_string_lossy())));
            });
        }
        telling.end(Flaky::Pass, Some(exit))
    });
    // Where a report goes to stdout, that is the data.
    if args.play.report.iter().all(|entry| entry.talk) {
        let _ = writeln!(std::io::stdout(), "{}", path.display());
    }
    match ended {
        Ok(exit) => exit.code(),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => exit.code(),
        Err(error) => complain(&format!("not all results could be written: {error}"), None, Exit::Bug),
    }
}

/// What was found in a file.
enum Found {
    /// This case fails, `after` those before it or alone.
    Failing {
        at: usize,
        played: Box<Played>,
        after: bool,
    },
    Nothing,
    Unreachable(String),
    Interrupted,
    Error(PlayError),
}

/// Plays the cases of a file until one fails: alone, then after those before it.
fn find(player: &Player, cases: &[TestCase], named: Option<usize>) -> Found {
    let asked: Vec<usize> = named.map_or_else(|| (0..cases.len()).collect(), |at| vec![at]);
    for after in [false, true] {
        for at in asked.iter().copied().filter(|at| !after || *at > 0) {
            let case = if after { cases[at].after(&cases[..at]) } else { cases[at].clone() };
            match player.play(&case) {
                Err(error) if !after => return Found::Error(error),
                // Cases that do not go together say nothing.
                Err(_) => {}
                Ok(played) if played.verdict == Verdict::Interrupted => return Found::Interrupted,
                Ok(played) if played.failed.is_some() => {
                    return Found::Failing { at, played: Box::new(played), after };
                }
                Ok(played) if played.verdict == Verdict::Unreachable => {
                    let message = played.events.iter().find_map(|event| match &event.kind {
                        EventKind::StepFailed { failure, .. } => Some(failure.message.clone()),
                        _ => None,
                    });
                    return Found::Unreachable(message.unwrap_or_else(|| "a target could not be reached".into()));
                }
                Ok(_) => {}
            }
        }
    }
    Found::Nothing
}

/// Where the result goes: the folder, and the file in it.
fn place(args: &ShrinkArgs, clock: Clock) -> std::io::Result<(PathBuf, PathBuf)> {
    let stem = args.path.file_stem().map_or_else(|| "case".into(), |stem| stem.to_string_lossy().into_owned());
    let found = [(args.path.clone(), true)];
    if let Some(file) =
        args.play.out.as_ref().filter(|out| out.extension().is_some_and(|extension| extension == "toml"))
    {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder::make(Some(folder), &[], &found, clock)?;
        return Ok((folder, file.clone()));
    }
    let folder = folder::make(args.play.out.as_deref(), std::slice::from_ref(&args.path), &found, clock)?;
    let path = folder.join(format!("{stem}.toml"));
    Ok((folder, path))
}

/// What is known of a failure that was just found; what a stored case knows already stays.
fn about(known: &About, failed: &Failed, steady: bool) -> About {
    let mut about = known.clone();
    about.kind = Some(failed.class.word().into());
    about.fingerprint = Some(failed.fingerprint(steady));
    about.message = Some(failed.message.clone());
    let now = || jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    about.first_seen.get_or_insert_with(now);
    about.harness.get_or_insert_with(|| env!("CARGO_PKG_VERSION").into());
    about
}

/// A deadline for steps that is as short as the target allows: what candidates wait for will mostly never come.
fn quick_timeout(first: &Played, case: &TestCase) -> Option<Duration> {
    // A case that sets its own is taken at its word.
    if case.case().get("timeout").is_some() {
        return None;
    }
    let slowest = first.events.iter().filter_map(|event| match event.kind {
        EventKind::StepPassed { started, .. } => Some(event.at.since(started)),
        _ => None,
    });
    let quick = (slowest.max()? * TIMEOUT_FACTOR).max(TIMEOUT_MIN);
    let own = case.document().get("timeout").and_then(|node| crate::document::parse_duration(node.as_str()?));
    (quick < own.unwrap_or(crate::scenario::TIMEOUT_DEFAULT)).then_some(quick)
}

/// How long a candidate waits for the target's end: some times longer than that took at first.
fn quick_quiet(first: &Played) -> Duration {
    let last = first.events.iter().rev().find(|event| matches!(event.kind, EventKind::Sent { .. }));
    let end = first.events.iter().find(|event| matches!(event.kind, EventKind::TargetExited { .. }));
    let took = last.zip(end).map_or(Duration::ZERO, |(last, end)| end.at.since(last.at));
    (took * TIMEOUT_FACTOR).clamp(QUIET_MIN, QUIET_MAX)
}

/// Whether the result fails in the same way with its own deadlines.
fn confirmed(player: &Player, result: &Reduced) -> bool {
    let played = player.play(&result.case);
    played.is_ok_and(|played| played.failed.is_some_and(|failed| failed.is_same(&result.failed, result.steady)))
}

fn in_words(repeats: Repeats, history: Option<usize>) -> String {
    let often = match repeats {
        Repeats::Always => "it fails each time".to_owned(),
        Repeats::Sometimes(p) => format!("flaky: it fails about {:.0} times of 100", p * 100.0),
        Repeats::Never => "it does not fail again".to_owned(),
    };
    match history {
        Some(cases) => format!("{often}, but only after the {} before it", count(cases as u64, "case")),
        None => often,
    }
}

fn say(talk: Talk, text: &str) {
    // Where stderr is closed the work goes on.
    let _ = anstream::AutoStream::new(std::io::stderr(), super::check::look_choice(talk)).write_all(text.as_bytes());
}

impl Desk<'_> {
    fn say(&self, line: &str) {
        if !self.talk.quiet {
            say(self.talk, &format!("{:>11} {}\n", "SHRINK", crate::report::text::escape(line)));
        }
    }

    fn note(&mut self, written: std::io::Result<()>) {
        if let Err(error) = written {
            self.error.get_or_insert(error);
        }
    }

    /// Puts the smallest case so far where it will be found.
    fn keep(&mut self, case: &TestCase, failed: Option<&Failed>, capture: Option<&[u8]>, note: &str) {
        let mut case = case.clone();
        if let Some(failed) = failed {
            case.about = about(&case.about, failed, false);
        }
        case.notes = vec![note.to_owned()];
        let written = case.write(self.path, capture).map(|_| ());
        self.note(written);
    }

    /// Puts a case that fails in another way beside it.
    fn keep_other(&mut self, case: &TestCase, failed: &Failed, capture: Option<&[u8]>) {
        let stem = self.path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let path = self.path.with_file_name(format!("{stem}-{}.toml", self.others.len() + 2));
        let mut case = case.clone();
        case.about = about(&About::default(), failed, false);
        case.notes = vec![failed.to_string(), format!("met while `{stem}.toml` was made smaller")];
        let written = case.write(&path, None).map(|_| ());
        self.note(written);
        if let Some(capture) = capture {
            let written = write_file(&path.with_extension("pcapng"), capture);
            self.note(written);
        }
        self.say(&format!("another failure: {failed}: {}", path.display()));
        self.others.push(format!("{}: {failed}", path.display()));
    }
}
