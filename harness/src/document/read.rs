//! Files that a person wrote.

#![expect(clippy::disallowed_methods, reason = "files that the user names are read here")]

use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::FILE_LEN_MAX;

/// Reads a file of text that a person wrote.
pub fn read_text(path: &Path) -> Result<String, String> {
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
