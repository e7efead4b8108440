//! `--last-failed`: what an earlier run says that did not hold.

#![expect(clippy::disallowed_methods, reason = "an earlier run's events are read here")]

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::folder::{EVENTS, LATEST, REPORTS};
use crate::event::{Event, EventKind, Verdict};
use crate::report::stream::replay;
use crate::report::{CaseRecord, Reporter};
use crate::runner::{Input, LastFailed};

/// An earlier run.
#[derive(Debug, Default)]
pub(super) struct Last {
    pub(super) failed: LastFailed,
    /// What failed by chance fails again.
    pub(super) seed: u64,
}

impl Last {
    /// The run in `out`, if there was one, or else the newest below `reports`.
    pub(super) fn read(out: Option<&Path>) -> Result<Last, String> {
        let latest = Path::new(REPORTS).join(LATEST).join(EVENTS);
        let own = out.map(|out| out.join(EVENTS)).filter(|path| path.exists());
        let path = own.unwrap_or(latest);
        let file = File::open(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let mut last = Last::default();
        last.failed.source = path.display().to_string();
        replay(BufReader::new(file), &mut last)
            .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        Ok(last)
    }

    /// The files in which something did not hold.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self.failed.files.keys().map(PathBuf::from).collect();
        files.sort();
        files
    }

    /// What of it is played now: files as they are called in this run, which may be in other words.
    pub(super) fn among(self, inputs: &[Input]) -> LastFailed {
        let real = |path: &str| fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let mut known: HashMap<PathBuf, HashSet<String>> =
            self.failed.files.into_iter().map(|(file, names)| (real(&file), names)).collect();
        let mut files = HashMap::new();
        for input in inputs {
            let Input::Scenario(scenario) = input else { continue };
            let Some(mut names) = known.remove(&real(&scenario.file)) else { continue };
            let is_case = |name: &String| {
                let without = name.rsplit_once(" #").map_or(name.as_str(), |(without, _)| without);
                scenario.cases.iter().any(|case| case.name == *name || case.name == without)
            };
            // A case that is called otherwise by now, or a target that ended wrongly: it can be any of them.
            if !names.iter().all(is_case) {
                names.clear();
            }
            files.insert(scenario.file.clone(), names);
        }
        LastFailed { files, source: self.failed.source }
    }
}

impl Reporter for Last {
    fn case(&mut self, case: &CaseRecord<'_>) -> io::Result<()> {
        let verdict = case.finished.verdict;
        if (!verdict.is_good() && verdict != Verdict::Retried) || verdict == Verdict::Flaky {
            let names = self.failed.files.entry(case.started.file.clone()).or_default();
            names.insert(case.started.name.clone());
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::RunStarted(started) => self.seed = started.seed,
            EventKind::FileInvalid { file, .. } => {
                self.failed.files.insert(file.clone(), HashSet::new());
            }
            _ => {}
        }
        Ok(())
    }
}
