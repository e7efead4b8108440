//! Where a report goes.

#![expect(clippy::disallowed_methods, reason = "reports are written here")]

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where a report goes.
pub enum Output {
    /// A file, replaced if it is there.
    File(PathBuf),
    /// Something that takes bytes: stdout, stderr, a buffer.
    Writer(Box<dyn Write + Send>),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::File(path) => f.debug_tuple("File").field(path).finish(),
            Output::Writer(_) => f.write_str("Writer"),
        }
    }
}

impl Output {
    /// Begins a report that is written piece by piece, so that a run that dies leaves what it had.
    pub fn stream(self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Output::File(path) => Box::new(File::create(path)?),
            Output::Writer(writer) => writer,
        })
    }

    /// Opens a file that others write to as well: what is written stands behind what is there.
    pub fn append(path: &Path) -> io::Result<Box<dyn Write + Send>> {
        let opened = File::options().create(true).append(true).open(path);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        Ok(Box::new(opened.map_err(named)?))
    }

    /// Writes a report that is only whole when it is done: a reader sees the old file or the new one, never half of one.
    pub fn write_whole(&mut self, content: &[u8]) -> io::Result<()> {
        match self {
            Output::File(path) => {
                let mut name = path.file_name().unwrap_or_default().to_owned();
                name.push(".tmp");
                let unfinished = path.with_file_name(name);
                let written = fs::write(&unfinished, content).and_then(|()| fs::rename(&unfinished, &path));
                if written.is_err() {
                    // The error that is told is the one above; a file that could not be written may not be there.
                    let _ = fs::remove_file(&unfinished);
                }
                written
            }
            Output::Writer(writer) => writer.write_all(content).and_then(|()| writer.flush()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_report_replaces_the_old_one_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("junit.xml");
        fs::write(&path, "old").expect("the folder is ours");
        Output::File(path.clone()).write_whole(b"new").expect("the folder is ours");
        assert_eq!(fs::read(&path).expect("it was written"), b"new");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder is ours").count(), 1);
    }

    #[test]
    fn a_report_that_cannot_be_put_in_place_leaves_no_unfinished_file() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("junit.xml");
        fs::create_dir(&path).expect("the folder is ours");
        assert!(Output::File(path).write_whole(b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("the folder is ours").count(), 1);
    }
}
