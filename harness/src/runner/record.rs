//! Captures and logs on disk: which cases have one, and under which name.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Where what targets wrote lies in the run's folder.
pub const LOGS: &str = "logs";

/// Which cases leave a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Record {
    /// Every case.
    #[default]
    All,
    /// Those that do not hold.
    Fail,
    /// None.
    Off,
}

/// The longest file name made of a case's name, in characters.
const NAME_LEN_MAX: usize = 80;

/// The names of files that were given out.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<PathBuf>);

impl Names {
    /// A path below the run's folder that no other case has.
    pub(super) fn pick(&mut self, scenario: &str, case: &str, extension: &str) -> PathBuf {
        let folder = Path::new("captures").join(file_name(scenario));
        self.pick_in(&folder, &file_name(case), &format!(".{extension}"))
    }

    /// A path for an attempt that is not the last one of a case, whose path is given: `case.attempt-1.pcapng`.
    pub(super) fn pick_attempt(&mut self, case: &Path, attempt: u32) -> PathBuf {
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let stem = format!("{}.attempt-{attempt}", text(case.file_stem()));
        let folder = case.parent().expect("it lies below a folder");
        self.pick_in(folder, &stem, &format!(".{}", text(case.extension())))
    }

    /// A path below the run's folder for the logs of a target, which no other start of a target has.
    pub(super) fn pick_log(&mut self, scenario: &str, case: Option<&str>, target: &str) -> PathBuf {
        let folder = Path::new(LOGS).join(file_name(scenario)).join(case.map(file_name).unwrap_or_default());
        self.pick_in(&folder, &file_name(target), "")
    }

    /// A path below the run's folder for what a target keeps in files.
    pub(super) fn pick_work(&mut self, scenario: &str, case: Option<&str>, target: &str) -> PathBuf {
        let folder = Path::new("work").join(file_name(scenario)).join(case.map(file_name).unwrap_or_default());
        self.pick_in(&folder, &file_name(target), "")
    }

    fn pick_in(&mut self, folder: &Path, stem: &str, suffix: &str) -> PathBuf {
        let mut path = folder.join(format!("{stem}{suffix}"));
        let mut number = 2;
        while !self.0.insert(path.clone()) {
            path = folder.join(format!("{stem}-{number}{suffix}"));
            number += 1;
        }
        path
    }
}

/// A name that every file system takes: letters and digits stay, everything else becomes one dash.
pub(super) fn file_name(name: &str) -> String {
    let mut safe = String::new();
    for c in name.chars() {
        match c {
            c if c.is_alphanumeric() || c == '_' => safe.push(c),
            '.' if !safe.is_empty() => safe.push('.'),
            _ if safe.ends_with('-') || safe.is_empty() => {}
            _ => safe.push('-'),
        }
    }
    let mut short: String = safe.trim_end_matches(['-', '.']).chars().take(NAME_LEN_MAX).collect();
    while short.len() > 2 * NAME_LEN_MAX {
        short.pop();
    }
    if short.is_empty() { "case".into() } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_safe_everywhere() {
        for (name, expected) in [
            ("echoes a line", "echoes-a-line"),
            ("../../etc/passwd", "etc-passwd"),
            ("서버 답", "서버-답"),
            ("a/b\\c:d", "a-b-c-d"),
            ("...", "case"),
            ("", "case"),
            ("v1.2", "v1.2"),
        ] {
            assert_eq!(file_name(name), expected);
        }
        assert!(file_name(&"서".repeat(1000)).len() < 200);
    }

    #[test]
    fn no_two_cases_share_a_file() {
        let mut names = Names::default();
        assert_eq!(names.pick("s", "a b", "pcapng"), Path::new("captures/s/a-b.pcapng"));
        assert_eq!(names.pick("s", "a-b", "pcapng"), Path::new("captures/s/a-b-2.pcapng"));
        assert_eq!(names.pick("s", "a b.attempt-1", "pcapng"), Path::new("captures/s/a-b.attempt-1.pcapng"));
        let case = Path::new("captures/s/a-b.pcapng");
        assert_eq!(names.pick_attempt(case, 1), Path::new("captures/s/a-b.attempt-1-2.pcapng"));
        assert_eq!(names.pick_attempt(case, 2), Path::new("captures/s/a-b.attempt-2.pcapng"));
        assert_eq!(names.pick_log("s", None, "kv"), Path::new("logs/s/kv"));
        assert_eq!(names.pick_log("s", None, "kv"), Path::new("logs/s/kv-2"));
        assert_eq!(names.pick_log("s", Some("a b"), "kv"), Path::new("logs/s/a-b/kv"));
    }
}
