//! Puts a capture where others find it, whole or not at all.

#![expect(clippy::disallowed_methods, reason = "captures are written here")]

use std::fs;
use std::io;
use std::path::Path;

/// Writes `bytes` to `path` so that whoever opens it sees the old file or the new one, never half of one.
///
/// The new file is written beside the old one, under its name with `.part` behind it, and then takes
/// its place. One writer for one path at a time. Missing folders are made.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    fs::write(part, bytes).and_then(|()| fs::rename(part, path)).inspect_err(|_| {
        // What cannot be written may well not be there; the first error is the one that tells.
        let _ = fs::remove_file(part);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().expect("the folder is writable");
        let path = folder.path().join("echo/case.pcapng");
        write_file(&path, b"first").expect("the folder is writable");
        write_file(&path, b"second").expect("the folder is writable");
        assert_eq!(fs::read(&path).expect("it was just written"), b"second");
        assert_eq!(fs::read_dir(folder.path().join("echo")).expect("the folder is there").count(), 1);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("the folder is writable");
        let path = folder.path().join("case.pcapng");
        fs::create_dir(&path).expect("the folder is writable");
        fs::write(path.join("in the way"), b"").expect("the folder is writable");
        write_file(&path, b"bytes").expect_err("a folder is in the way");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder is there").count(), 1);
    }
}
