//! What comes of properties, told to people as it comes and to reporters as cases; counterexamples are on disk before that.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::say;
use crate::cli::{Talk, complain, stored};
use crate::event::{CaseFinished, CaseStarted, EventKind, Failure, FailureKind, Place, Verdict};
use crate::exit::{Exit, Flaky};
use crate::property::{Base, Outcome, Selected, Session, Told, Unfit, Violation};
use crate::reduce::Size;
use crate::report::Look;
use crate::runner::Clock;
use crate::scenario::{About, Model};
use crate::testcase::{Class, Failed, Played, TestCase};
use crate::text::count;
use crate::time::Time;

/// The property that walks through the model of a file.
pub(super) const MODEL: &str = "model";

/// The least time that a property has for a case, where there is some left.
const SLICE_MIN: Duration = Duration::from_secs(2);

/// Tells what comes of it, and keeps what is found.
pub(super) struct Telling {
    pub(super) look: Look,
    pub(super) talk: Talk,
    pub(super) folder: PathBuf,
    pub(super) file: String,
    pub(super) exits: Vec<Exit>,
    /// Held, violated, unknown, left out.
    pub(super) counts: [usize; 4],
    pub(super) error: Option<String>,
    pub(super) seed: u64,
    pub(super) model: Option<Arc<Model>>,
    /// What reporters of data are told.
    pub(super) record: stored::Telling,
    /// What time is told by.
    pub(super) clock: Clock,
    /// The case that is varied, and since when what is tested now is.
    pub(super) now: (String, Time),
}

impl Telling {
    pub(super) fn test_all(
        &mut self,
        mut session: Session<'_>,
        cases: &[TestCase],
        selected: &[Selected],
        time: Duration,
    ) {
        let clock = session.clock;
        let ends = clock.now() + time;
        let mut left = cases.len() * selected.len();
        let mut walked = false;
        for case in cases {
            self.now = (case.name().replace("$${", "${"), clock.now());
            self.line(&format!("{}: {}", self.file, self.now.0));
            let base = match session.study(case) {
                Ok(base) => Base { model: self.model.clone(), ..base },
                Err(unfit) => {
                    left -= selected.len();
                    if self.unfit(&unfit) == Exit::Incomplete {
                        return;
                    }
                    continue;
                }
            };
            for one in selected {
                // It is the file's, and so it is walked through once.
                if one.property.name == MODEL && std::mem::replace(&mut walked, true) {
                    left = left.saturating_sub(1);
                    continue;
                }
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
    fn test(&mut self, session: &Session<'_>, selected: &Selected, base: &Base) -> bool {
        let name = selected.property.name;
        self.now.1 = self.clock.now();
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
        // What does not fail by itself would be called fixed.
        if violation.fails_alone {
            self.keep(property.name, &case, capture.as_deref(), &mut kept);
        } else if let Some(path) = kept.take() {
            forget(&path);
        }
        self.tell("violated", property.name, &violation.what, 1);
        let again = match &kept {
            Some(path) => format!("harness run {}", path.display()),
            None => format!("harness prop --property {} --seed {} {}", property.name, self.seed, self.file),
        };
        self.record_violation(property.about, property.name, violation, &again);
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
        violation.timeline.iter().enumerate().for_each(|(at, told)| line(if at == 0 { "seen" } else { "" }, told));
        if let Some(path) = &kept {
            line("kept as", &path.display().to_string());
        }
        line("again", &again);
        say(&more);
    }

    /// Tells the reporters of a violation: it fails with what the smallest case received, and says what the terminal says.
    fn record_violation(&mut self, about: &str, property: &str, violation: &Violation, again: &str) {
        let seen = violation.played.iter().flat_map(|played| &played.events).find_map(|event| match &event.kind {
            EventKind::StepFailed { failure, .. } => Some((**failure).clone()),
            _ => None,
        });
        let file: Arc<str> = self.file.as_str().into();
        // The smallest case has other lines than the scenario.
        let place = Place { file, line: 1, column: 1, width: 1, text: "".into() };
        let mut notes = vec![format!("should hold: {about}"), format!("first seen with: {}", violation.what)];
        notes.push(format!("smallest: {}", size(&violation.sizes.1)));
        if violation.verdict == "flaky" {
            notes.push(format!("happens about {:.0} % of the time", violation.probability * 100.0));
        }
        notes.extend(violation.timeline.iter().cloned());
        let failure = Failure {
            kind: seen.as_ref().map_or(FailureKind::Mismatch, |seen| seen.kind),
            message: violation.failed.message.clone(),
            place,
            connection: None,
            expected: seen.as_ref().and_then(|seen| seen.expected.clone()),
            expected_bytes: seen.as_ref().and_then(|seen| seen.expected_bytes.clone()),
            received: seen.as_ref().and_then(|seen| seen.received.clone()),
            difference_at: seen.as_ref().and_then(|seen| seen.difference_at),
            notes,
            hint: Some(format!("`{again}`")),
        };
        let crashed = matches!(violation.failed.class, Class::Crash | Class::Hang);
        let verdict = if crashed { Verdict::Crashed } else { Verdict::Failed };
        self.recorded(property, verdict, Some(violation.failed.message.clone()), Some(failure), Some(again.to_owned()));
    }

    /// Tells the reporters what came of a property, or of the case itself.
    fn recorded(
        &mut self,
        property: &str,
        verdict: Verdict,
        reason: Option<String>,
        failure: Option<Failure>,
        reproduce: Option<String>,
    ) {
        let (case, began) = self.now.clone();
        let name = if property.is_empty() { case } else { format!("{case}: {property}") };
        let stem = Path::new(&self.file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let started = CaseStarted {
            scenario: stem.unwrap_or_else(|| self.file.clone()),
            name,
            file: self.file.clone(),
            line: 1,
            attempt: 1,
            tags: Vec::new(),
            spec: Vec::new(),
            steps: Vec::new(),
        };
        let duration_ns = u64::try_from(self.clock.now().since(began).as_nanos()).unwrap_or(u64::MAX);
        let finished = CaseFinished { verdict, reason, duration_ns, capture: None, frame: None, reproduce };
        self.record.judged(began, started, failure, finished);
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
        let verdict = match exit {
            Exit::Nothing => Verdict::Skipped,
            Exit::Crashed => Verdict::Crashed,
            Exit::Incomplete => Verdict::Interrupted,
            Exit::Unreachable => Verdict::Unreachable,
            _ => Verdict::Failed,
        };
        self.recorded("", verdict, Some(why), None, None);
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
        match (kind, self.exits.last()) {
            (0, _) => self.recorded(name, Verdict::Passed, None, None, None),
            (2, Some(Exit::Incomplete)) => self.recorded(name, Verdict::Interrupted, Some(text.into()), None, None),
            (2, _) => self.recorded(name, Verdict::Skipped, Some(format!("unknown: {text}")), None, None),
            (3, _) => self.recorded(name, Verdict::Skipped, Some(text.into()), None, None),
            // What is violated is told with all that is known of it.
            _ => {}
        }
        if self.talk.quiet && kind != 1 {
            return;
        }
        let theme = &self.look.theme;
        let style = [theme.good, theme.bad, theme.note, theme.dim][kind];
        say(&format!("  {style}{word:<9}{style:#} {name:<14} {text}\n"));
    }

    pub(super) fn finish(self) -> u8 {
        if let Some(error) = &self.error {
            return complain(error, Some("`--out` names another folder"), Exit::Bug);
        }
        let words = ["held", "violated", "unknown", "left out"];
        let counts = self.counts.iter().zip(words).filter(|(count, _)| **count > 0);
        let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
        say(&format!(
            "{} (seed {})\n",
            if counts.is_empty() { "nothing was tested".into() } else { counts.join(", ") },
            self.seed
        ));
        let order = [Exit::Invalid, Exit::Unreachable, Exit::Crashed, Exit::Failed, Exit::Incomplete, Exit::Held];
        let exit = order.into_iter().find(|exit| self.exits.contains(exit)).unwrap_or(Exit::Nothing);
        match self.record.end(Flaky::Pass, Some(exit)) {
            Ok(exit) => exit.code(),
            Err(error) => complain(&format!("cannot write all reports: {error}"), None, Exit::Bug),
        }
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
