//! `harness replay`: plays stored cases again, and says what has become of each.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::Args;

use super::stored::{PlayArgs, Telling, interrupts, verdict_of};
use super::{Talk, complain, files, folder};
use crate::event::{EventKind, Replayed, Verdict};
use crate::exit::{Exit, Flaky};
use crate::report::text::shell_word;
use crate::runner::Clock;
use crate::scenario::About;
use crate::testcase::{Failed, PlayError, Played, Player, TakeError, TestCase, differences};

/// Where stored cases lie unless somebody says otherwise.
const CASES: &str = "cases";

/// The most plays of one case.
const PLAYS_MAX: u32 = 60;

/// How sure one has to be that a flaky case is fixed: one wrong answer in so many.
const ODDS: f64 = 20.0;

/// What `harness replay` is given.
#[derive(Clone, Debug, Args)]
pub(super) struct ReplayArgs {
    /// Stored cases, or folders of them; without any, `cases`
    #[arg(value_name = "CASE")]
    paths: Vec<PathBuf>,
    /// How often each is played; one that is stored as flaky as often as it takes to be sure
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=i64::from(PLAYS_MAX)), env = "HARNESS_TRIES")]
    tries: u32,
    /// What a case counts as that fails only sometimes: with fail they end it with exit code 7
    #[arg(long, value_enum, default_value_t = Flaky::Fail, value_name = "HOW", env = "HARNESS_FLAKY")]
    flaky: Flaky,
    #[command(flatten)]
    play: PlayArgs,
}

pub(super) fn replay(args: &ReplayArgs, talk: Talk, words: &[OsString]) -> u8 {
    let clock = Clock::start();
    let paths = if args.paths.is_empty() { vec![PathBuf::from(CASES)] } else { args.paths.clone() };
    let found = match files::find(&paths) {
        Ok(found) => found,
        Err(files::Missing(message)) => return complain(&message, None, Exit::Invalid),
    };
    if found.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        return complain(&format!("there are no stored cases in {}", names.join(", ")), None, Exit::Nothing);
    }
    // A case says what its chance comes from; one that does not is no worse than a scenario.
    let known = args.play.known(1, false);
    let player = match args.play.player(known, clock) {
        Ok(player) => player,
        Err(message) => return complain(&message, None, Exit::Bug),
    };
    let folder = match folder::make(args.play.out.as_deref(), &paths, &found, clock) {
        Ok(folder) => folder,
        Err(error) => {
            return complain(
                &format!("cannot make the run's folder: {error}"),
                Some("`--out` names another"),
                Exit::Bug,
            );
        }
    };
    let pressed = interrupts();
    let mut telling = match Telling::begin(&args.play, talk, &folder, clock, player.known.seed, words) {
        Ok(telling) => telling,
        Err(error) => {
            return complain(&format!("cannot open all reports of `{}`: {error}", folder.display()), None, Exit::Bug);
        }
    };
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    for (at, (path, named)) in found.iter().enumerate() {
        if pressed.load(Ordering::Relaxed) {
            telling.interrupted((found.len() - at) as u64);
            break;
        }
        let text = match crate::document::read_text(path) {
            Ok(text) => text,
            Err(_) if !named => continue,
            Err(message) => {
                telling.event(EventKind::Warning { message: format!("{}: {message}", path.display()) });
                telling
                    .event(EventKind::FileInvalid { file: path.to_string_lossy().into_owned(), mistakes: Vec::new() });
                continue;
            }
        };
        if !named && !files::is_scenario(&path.to_string_lossy(), &text) {
            continue;
        }
        let cases = match TestCase::all(path, &text, &player.known) {
            Ok(cases) => cases,
            Err(error) => {
                let mistakes = if let TakeError::Invalid(mistakes) = error { mistakes } else { Vec::new() };
                let message = format!("{} is stale: it is no longer a valid scenario", path.display());
                telling.event(EventKind::Warning { message });
                telling.event(EventKind::FileInvalid { file: path.to_string_lossy().into_owned(), mistakes });
                continue;
            }
        };
        // A stored case has one; a scenario with several may be played as well.
        for case in cases {
            match play(args, &player, &case, path, &today) {
                Ok(fate) => fate.tell(&mut telling, path, &folder),
                Err(PlayError::Invalid(mistakes)) => {
                    telling.event(EventKind::FileInvalid { file: path.to_string_lossy().into_owned(), mistakes });
                }
                Err(PlayError::System(error)) => {
                    return complain(&format!("a case cannot be played: {error}"), None, Exit::Bug);
                }
            }
        }
    }
    match telling.end(args.flaky, None) {
        Ok(exit) => exit.code(),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Incomplete.code(),
        Err(error) => complain(&format!("not all results could be written: {error}"), None, Exit::Bug),
    }
}

/// What has become of a stored case.
struct Fate {
    replayed: Replayed,
    verdict: Verdict,
    reason: Option<String>,
    shown: Box<Played>,
}

/// Plays a case as often as it takes.
fn play(args: &ReplayArgs, player: &Player, case: &TestCase, path: &Path, today: &str) -> Result<Fate, PlayError> {
    let about = &case.about;
    let tries = tries(about, args.tries);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (mut plays, mut failures, mut shown): (u32, u32, Option<Played>) = (0, 0, None);
    while plays < tries {
        let played = player.play_as(case, &name)?;
        let failed = played.failed.is_some();
        let goes_on = failed || played.verdict.is_good();
        let first = shown.is_none() || (failed && failures == 0);
        if first {
            shown = Some(played);
        }
        if !goes_on {
            break;
        }
        plays += 1;
        failures += u32::from(failed);
        // It fails and it holds: that is all there is to know of one that is stored as flaky.
        if failures > 0 && failures < plays && about.verdict.as_deref() == Some("flaky") && plays >= args.tries {
            break;
        }
    }
    let Some(shown) = shown else { unreachable!("it is played at least once") };
    let failed = shown.failed.as_ref();
    let fate = match (failures, shown.verdict) {
        (0, Verdict::Passed | Verdict::ExpectedFailure) => "fixed",
        (0, _) => "error",
        (failures, _) if failures < plays => "flaky",
        _ => "failed",
    };
    let now = failed.map(|failed| format!("{}: {}", failed.class.word(), failed.fingerprint(true)));
    let stored = failed.filter(|failed| !is_stored(about, failed)).and_then(|_| stored(about));
    let is_known = about.is_known(today);
    let known = (about.status.as_deref() == Some("known")).then(|| known_words(about, is_known, failures > 0));
    let (verdict, reason) = match fate {
        "fixed" => (Verdict::Passed, None),
        "flaky" | "failed" if is_known => (Verdict::ExpectedFailure, known.clone()),
        "flaky" => (Verdict::Flaky, Some(format!("it failed in {failures} of {plays} plays"))),
        _ => (verdict_of(&shown), failed.map(|failed| failed.message.clone())),
    };
    let then = read_capture(&path.with_extension("pcapng"));
    let changed = then.and_then(|then| differences(&then, &shown.capture()?)).unwrap_or_default();
    let replayed = Replayed { fate: fate.into(), plays, failures, now, stored, known, differences: changed };
    Ok(Fate { replayed, verdict, reason, shown: Box::new(shown) })
}

impl Fate {
    fn tell(self, telling: &mut Telling, path: &Path, folder: &Path) {
        let Fate { replayed, verdict, reason, shown } = self;
        let name = path.file_stem().map_or_else(|| "case".into(), |stem| stem.to_string_lossy().into_owned());
        let relative = format!("captures/{name}.pcapng");
        let capture = shown.capture().filter(|_| !verdict.is_good());
        let written = capture.and_then(|bytes| crate::capture::write_file(&folder.join(&relative), &bytes).ok());
        telling.case(&shown, EventKind::Replayed(Box::new(replayed)), |finished| {
            finished.verdict = verdict;
            if reason.is_some() {
                finished.reason = reason;
            }
            finished.capture = written.map(|()| relative);
            finished.reproduce =
                (!verdict.is_good()).then(|| format!("harness run {}", shell_word(&path.to_string_lossy())));
        });
    }
}

/// How often a case has to hold before it is called fixed.
fn tries(about: &About, tries: u32) -> u32 {
    match about.probability.filter(|p| about.verdict.as_deref() == Some("flaky") && (0.0..1.0).contains(p)) {
        Some(p) => {
            let needed = (ODDS.ln() / -(1.0 - p.max(0.01)).ln()).ceil();
            (needed as u32).clamp(tries, PLAYS_MAX)
        }
        None => tries,
    }
}

/// Whether a failure is the one that was stored. One of which nothing was stored is.
fn is_stored(about: &About, failed: &Failed) -> bool {
    let kind = about.kind.as_deref().is_none_or(|kind| kind == failed.class.word() || kind == "property");
    let same = |known: &str| [true, false].iter().any(|steady| failed.fingerprint(*steady) == known);
    kind && (about.kind.as_deref() == Some("property") || about.fingerprint.as_deref().is_none_or(same))
}

/// What was stored of a failure.
fn stored(about: &About) -> Option<String> {
    Some(format!("{}: {}", about.kind.as_deref()?, about.fingerprint.as_deref().unwrap_or("?")))
}

fn known_words(about: &About, is_known: bool, fails: bool) -> String {
    let issue = about.issue.as_deref().map_or_else(|| "a known failure".to_owned(), str::to_owned);
    match (&about.until, is_known, fails) {
        (Some(until), false, _) => format!("{issue}, and only until {until}, which is over"),
        (_, _, false) => format!("{issue}; it is fixed, so `status = \"known\"` can go"),
        (Some(until), true, _) => format!("{issue}, until {until}"),
        (None, ..) => issue,
    }
}

#[expect(clippy::disallowed_methods, reason = "a stored case's capture is read here")]
fn read_capture(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testcase::Class;

    #[test]
    fn a_flaky_case_is_played_until_one_can_be_sure() {
        let flaky = |p| About { verdict: Some("flaky".into()), probability: Some(p), ..About::default() };
        assert_eq!((tries(&flaky(0.5), 3), tries(&flaky(0.1), 3), tries(&flaky(0.001), 3)), (5, 29, 60));
        assert_eq!(tries(&About::default(), 3), 3);
    }

    #[test]
    fn a_stored_failure_is_known_again_with_its_answer_and_without() {
        let failed = Failed { received: Some("ERR".into()), ..Failed::new(Class::WrongAnswer, "expect mismatch", "") };
        let about = |print: &str| About {
            kind: Some("wrong-answer".into()),
            fingerprint: Some(print.into()),
            ..About::default()
        };
        assert!(is_stored(&about("expect mismatch"), &failed));
        assert!(is_stored(&about("expect mismatch, received `ERR`"), &failed));
        assert!(!is_stored(&about("expect mismatch, received `BUG`"), &failed));
        assert!(!is_stored(&About { kind: Some("crash".into()), ..About::default() }, &failed));
    }
}
