//! Paths on the command line: files, folders of files, and what they hold.

#![expect(clippy::disallowed_methods, reason = "files that the user names are read here")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::document::{FILE_LEN_MAX, Source, parse};
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
        let result = match read(path) {
            Err(message) => {
                let place = Place { file: file.as_str().into(), line: 1, column: 1, width: 1, text: "".into() };
                Err(vec![Mistake { place, message, hint: None }])
            }
            Ok(text) if !named && is_something_else(&file, &text) => continue,
            Ok(text) => load(&file, &text, known).map(Box::new),
        };
        let findings = result.as_ref().map_or_else(|_| Vec::new(), |scenario| lint(scenario));
        loaded.push(Loaded { file, result, findings });
    }
    loaded
}

/// Reads a file of text that a person wrote.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| format!("cannot read the file: {error}"))?;
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot read the file: {error}"))?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(format!("the file has more than {FILE_LEN_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("the file is no UTF-8: the first wrong byte is in line {line}")
    })
}

/// Whether a file is a protocol's description, or only fragments for other files.
fn is_something_else(file: &str, text: &str) -> bool {
    let (table, mistakes) = parse(&Source::new(file, text));
    let has = |key: &str| table.get(key).is_some();
    let scenario = ["case", "steps", "play", "target", "actor"].into_iter().any(has);
    mistakes.is_empty() && !scenario && ["message", "fragment"].into_iter().any(has)
}

/// The environment, as far as it is text.
pub(super) fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
