//! Paths on the command line: files, folders of files, and what they hold.

#![expect(clippy::disallowed_methods, reason = "files that the user names are read here")]

use std::fs;
use std::path::{Path, PathBuf};

use crate::document::{Source, parse, read_text};
use crate::event::{Mistake, Place};
use crate::scenario::lint::{Finding, lint};
use crate::scenario::{Known, Scenario, load};

/// A folder with a file of this name is passed over, unless it is named itself. What the file says is for people.
const SKIP_FILE: &str = ".harness-skip";

/// The most files of one run.
const FILES_MAX: usize = 10_000;

/// A file that was read.
pub(super) struct Loaded {
    pub(super) file: String,
    pub(super) result: Result<Box<Scenario>, Vec<Mistake>>,
    /// What the lints say of it, although it can be played.
    pub(super) findings: Vec<Finding>,
}

/// A path that leads to no file.
pub(super) struct Missing(pub(super) String);

/// Finds all scenario files below `paths`, folders in the order of their names.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<(PathBuf, bool)>, Missing> {
    let mut found = Vec::new();
    for path in paths {
        let metadata =
            fs::metadata(path).map_err(|error| Missing(format!("cannot read `{}`: {error}", path.display())))?;
        if metadata.is_dir() {
            walk(path, &mut found, 0)?;
        } else {
            found.push((path.clone(), true));
        }
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|(path, _)| seen.insert(path.clone()));
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<(PathBuf, bool)>, depth: usize) -> Result<(), Missing> {
    let read = fs::read_dir(folder).map_err(|error| Missing(format!("cannot read `{}`: {error}", folder.display())))?;
    let mut entries: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        // A link that leads back up would never end.
        let is_folder = path.is_dir() && !path.is_symlink();
        if is_folder && !hidden && depth < 32 && !path.join(SKIP_FILE).exists() {
            walk(&path, found, depth + 1)?;
        } else if path.is_file() && !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            if found.len() == FILES_MAX {
                return Err(Missing(format!(
                    "`{}` and what is before it hold more than {FILES_MAX} files",
                    path.display()
                )));
            }
            found.push((path, false));
        }
    }
    Ok(())
}

/// Reads the files. One that was found in a folder, and is TOML for something else, is left out.
pub(super) fn load_all(found: &[(PathBuf, bool)], known: &Known) -> Vec<Loaded> {
    let mut loaded = Vec::new();
    for (path, named) in found {
        let file = path.to_string_lossy().into_owned();
        let result = match read_text(path) {
            Err(message) => {
                let place = Place { file: file.as_str().into(), line: 1, column: 1, width: 1, text: "".into() };
                Err(vec![Mistake { place, message, hint: None }])
            }
            Ok(text) => match kind(&file, &text) {
                Kind::Fragments | Kind::Protocol if !named => continue,
                Kind::Protocol => {
                    let message = "this describes a protocol, and there is no case in it".to_owned();
                    let hint = Some("`protocol = \"..\"` on an actor uses it, `harness check` reads it".to_owned());
                    Err(vec![Mistake { place: Source::new(&file, text).place(0..0), message, hint }])
                }
                Kind::Fragments | Kind::Scenario => load(&file, &text, known).map(Box::new),
            },
        };
        let findings = result.as_ref().map_or_else(|_| Vec::new(), |scenario| lint(scenario));
        loaded.push(Loaded { file, result, findings });
    }
    loaded
}

/// Takes the descriptions of protocols out of what was found, and reads them: each with its number of messages, or its
/// mistakes.
pub(super) fn take_protocols(found: &mut Vec<(PathBuf, bool)>) -> Vec<(String, Result<usize, Vec<Mistake>>)> {
    let mut protocols = Vec::new();
    found.retain(|(path, _)| {
        let file = path.to_string_lossy().into_owned();
        // What cannot be read is told of where scenarios are read.
        let Ok(text) = read_text(path) else { return true };
        let is_protocol = kind(&file, &text) == Kind::Protocol;
        if is_protocol {
            let read = crate::protocol::load(&file, &text).map(|protocol| protocol.messages.len());
            protocols.push((file, read));
        }
        !is_protocol
    });
    protocols
}

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Only fragments, for other files.
    Fragments,
    /// A protocol's description.
    Protocol,
    /// A scenario, or what was meant to be one.
    Scenario,
}

/// Whether a file is, or was meant to be, a scenario.
pub(super) fn is_scenario(file: &str, text: &str) -> bool {
    kind(file, text) == Kind::Scenario
}

fn kind(file: &str, text: &str) -> Kind {
    let (table, mistakes) = parse(&Source::new(file, text));
    let has = |key: &str| table.get(key).is_some();
    let scenario = ["case", "steps", "play", "target", "actor"].into_iter().any(has);
    match (scenario || !mistakes.is_empty(), has("message"), has("fragment")) {
        (true, ..) | (_, false, false) => Kind::Scenario,
        (_, true, _) => Kind::Protocol,
        _ => Kind::Fragments,
    }
}

/// The environment, as far as it is text.
pub(super) fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
