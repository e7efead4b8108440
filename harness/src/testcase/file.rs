//! Stored cases as files: taken out of scenarios, written whole or not at all.

use std::fmt;
use std::io;
use std::path::Path;

use super::TestCase;
use crate::capture::write_file;
use crate::document::{did_you_mean, read_text};
use crate::event::{Mistake, Place};
use crate::scenario::{Known, alone, load};

/// Why a case cannot be taken out of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum TakeError {
    /// The file is no valid scenario.
    Invalid(Vec<Mistake>),
    /// It has no case of this name.
    NoSuchCase {
        /// What was asked for.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// It has several cases, and none was named.
    Several(usize),
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TakeError::Invalid(mistakes) => match mistakes.first() {
                Some(mistake) => write!(f, "{}: {}", mistake.place, mistake.message),
                None => f.write_str("the file is no valid scenario"),
            },
            TakeError::NoSuchCase { name, hint } => write!(f, "there is no case `{name}`: {hint}"),
            TakeError::Several(count) => write!(f, "the file has {count} cases, and none was named"),
        }
    }
}

impl std::error::Error for TakeError {}

impl TestCase {
    /// Takes one case out of a scenario, with everything that it needs: `text` is what stands in `path`.
    ///
    /// `case` is its name, with the combination in brackets where it varies; without one the file has to have a single case.
    pub fn from_scenario(path: &Path, text: &str, known: &Known, case: Option<&str>) -> Result<TestCase, TakeError> {
        let mut cases = TestCase::all(path, text, known)?;
        match case {
            None if cases.len() == 1 => Ok(cases.remove(0)),
            None => Err(TakeError::Several(cases.len())),
            Some(name) => match cases.iter().position(|case| case.name().replace("$${", "${") == name) {
                Some(at) => Ok(cases.remove(at)),
                None => {
                    let names = cases.iter().map(TestCase::name);
                    let hint =
                        did_you_mean(name, names).unwrap_or_else(|| format!("the first is `{}`", cases[0].name()));
                    Err(TakeError::NoSuchCase { name: name.into(), hint })
                }
            },
        }
    }

    /// Every case of a scenario, each alone, in the order of the file.
    pub fn all(path: &Path, text: &str, known: &Known) -> Result<Vec<TestCase>, TakeError> {
        let file = path.to_string_lossy();
        let apart = alone(&file, text, known).map_err(TakeError::Invalid)?;
        let about = load(&file, text, known).ok().and_then(|scenario| scenario.about);
        let about = about.map_or_else(Default::default, |about| *about);
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let documents = (0..).map_while(|at| apart.document(at));
        let case = |document| TestCase {
            folder: folder.clone(),
            document,
            about: about.clone(),
            notes: Vec::new(),
            step_notes: Vec::new(),
        };
        Ok(documents.map(case).collect())
    }

    /// [`TestCase::from_scenario`] of a file.
    pub fn read(path: &Path, known: &Known, case: Option<&str>) -> Result<TestCase, TakeError> {
        let text = read_text(path).map_err(|message| {
            let file = path.to_string_lossy();
            let place = Place { file: file.as_ref().into(), line: 1, column: 1, width: 1, text: "".into() };
            TakeError::Invalid(vec![Mistake { place, message, hint: None }])
        })?;
        TestCase::from_scenario(path, &text, known, case)
    }

    /// Writes it to `path`, whole or not at all, with paths that start from there, and gives back the case that stands there.
    ///
    /// With a `capture`, that is put beside it, with `.pcapng` for `.toml`.
    pub fn write(&self, path: &Path, capture: Option<&[u8]>) -> io::Result<TestCase> {
        let moved = self.in_folder(path.parent().unwrap_or(Path::new("")));
        write_file(path, moved.text().as_bytes())?;
        if let Some(capture) = capture {
            write_file(&path.with_extension("pcapng"), capture)?;
        }
        Ok(moved)
    }
}
