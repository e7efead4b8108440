//! `harness merge`, where it is given what `harness run` leaves: the runs of several machines as one, with their captures.

#![expect(clippy::disallowed_methods, reason = "stored runs are read and copied here")]

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::folder::EVENTS;
use super::{Talk, complain, reporters};
use crate::exit::Exit;
use crate::report::join::{JoinError, join};
use crate::report::stream::ReplayError;
use crate::report::{Look, Output, REPORTERS, human};
use crate::runner::LOGS;

/// How deep the folders of logs are that are copied: the scenario's and the case's are two.
const DEPTH_MAX: usize = 8;

/// The folder of the run that `path` names, by itself or by its stream.
pub(super) fn run_of(path: &Path) -> Option<&Path> {
    let folder = if path.file_name().is_some_and(|name| name == EVENTS) { path.parent()? } else { path };
    folder.join(EVENTS).is_file().then_some(folder)
}

/// Joins the runs in `folders` into one in `out`, and tells it.
pub(super) fn runs(folders: &[&Path], out: &Path, talk: Talk, command: Vec<String>) -> u8 {
    let mut inputs = Vec::new();
    for folder in folders {
        match File::open(folder.join(EVENTS)) {
            Ok(file) => inputs.push(BufReader::new(file)),
            Err(error) => {
                let message = format!("cannot read `{}`: {error}", folder.join(EVENTS).display());
                return complain(&message, None, Exit::Invalid);
            }
        }
    }
    let unwritten =
        |error: io::Error| complain(&format!("cannot write to `{}`: {error}", out.display()), None, Exit::Bug);
    let settings = reporters::settings(Look::of(&io::stdout(), talk.color()), talk, out, None);
    let opened = fs::create_dir_all(out).and_then(|()| {
        let files = REPORTERS.iter().filter_map(|entry| Some((entry, Output::File(out.join(entry.file?)))));
        let mut opened =
            files.map(|(entry, output)| (entry.open)(output, &settings)).collect::<io::Result<Vec<_>>>()?;
        opened.push((human::ENTRY.open)(Output::Writer(Box::new(io::stdout())), &settings)?);
        Ok(opened)
    });
    let mut reporters = match opened {
        Ok(reporters) => reporters,
        Err(error) => return unwritten(error),
    };
    let mut copies = Copies { out, taken: HashSet::new() };
    let joined =
        join(inputs, command, &mut |run, capture| copies.copy(folders[run], Path::new(capture)), &mut reporters);
    let mut logs = || folders.iter().try_for_each(|folder| copies.tree(folder, Path::new(LOGS), DEPTH_MAX));
    match joined {
        // What came of the runs is told, and joining them worked.
        Ok(_) => logs().map_or_else(unwritten, |()| Exit::Held.code()),
        Err(JoinError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Exit::Held.code(),
        Err(JoinError::Write(error) | JoinError::Run { error: ReplayError::Io(error), .. }) => unwritten(error),
        Err(JoinError::Run { run, error }) => {
            complain(&format!("cannot read `{}`: {error}", folders[run].join(EVENTS).display()), None, Exit::Invalid)
        }
    }
}

/// Files of runs that have a place in the sum.
struct Copies<'a> {
    out: &'a Path,
    taken: HashSet<PathBuf>,
}

impl Copies<'_> {
    /// Copies a file that a run's stream names, and says where it lies now; `None` where there is none.
    fn copy(&mut self, run: &Path, file: &Path) -> io::Result<Option<String>> {
        // The stream may be anybody's: nothing outside of its folder is read.
        if !file.components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(None);
        }
        let from = run.join(file);
        if !from.symlink_metadata().is_ok_and(|known| known.is_file()) {
            return Ok(None);
        }
        let name = |number: usize| match (number, file.file_stem(), file.extension()) {
            (1, ..) => file.to_owned(),
            (_, Some(stem), Some(end)) => {
                file.with_file_name(format!("{}-{number}.{}", stem.to_string_lossy(), end.to_string_lossy()))
            }
            _ => file.with_file_name(format!("{}-{number}", file.display())),
        };
        let free = (1..).map(name).find(|name| !self.taken.contains(name)).expect("numbers do not end");
        let to = self.out.join(&free);
        fs::create_dir_all(to.parent().expect("it was joined"))?;
        fs::copy(&from, &to)?;
        let told = free.to_string_lossy().into_owned();
        self.taken.insert(free);
        Ok(Some(told))
    }

    /// Copies all files of a folder, links aside.
    fn tree(&mut self, run: &Path, folder: &Path, depth: usize) -> io::Result<()> {
        let Ok(entries) = fs::read_dir(run.join(folder)) else { return Ok(()) };
        let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        for name in names {
            let path = folder.join(name);
            match run.join(&path).symlink_metadata()? {
                known if known.is_dir() && depth > 0 => self.tree(run, &path, depth - 1)?,
                known if known.is_file() => drop(self.copy(run, &path)?),
                _ => {}
            }
        }
        Ok(())
    }
}
