//! The run's folder: where the results of a run lie.

#![expect(clippy::disallowed_methods, reason = "the run's folder is made here")]

use std::fs;
use std::path::{Path, PathBuf};

use crate::runner::Clock;

/// Where runs without `--out` have their folders.
pub(super) const REPORTS: &str = "reports";

/// The link to the newest of them.
pub(super) const LATEST: &str = "latest";

/// What every run leaves in its folder.
pub(super) const EVENTS: &str = "events.ndjson";

/// Makes the folder of the run; without `--out` it is a new one, and `reports/latest` points at it.
pub(super) fn make(
    out: Option<&Path>,
    paths: &[PathBuf],
    found: &[(PathBuf, bool)],
    clock: Clock,
) -> std::io::Result<PathBuf> {
    if let Some(out) = out {
        fs::create_dir_all(out)?;
        return Ok(out.to_owned());
    }
    let name = match (paths, found) {
        ([path], _) | (_, [(path, _)]) => path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
        _ => None,
    };
    let name: String =
        name.unwrap_or_else(|| "run".into()).chars().filter(|c| c.is_alphanumeric() || *c == '-').collect();
    let moment = jiff::Timestamp::from_nanosecond(i128::from(clock.unix_ns())).map_err(std::io::Error::other)?;
    let moment = moment.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y%m%d-%H%M%S").to_string();
    let reports = Path::new(REPORTS);
    fs::create_dir_all(reports)?;
    let mut number = 1;
    let folder = loop {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let folder = reports.join(format!("{moment}-{name}{suffix}"));
        match fs::create_dir(&folder) {
            Ok(()) => break folder,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
            Err(error) => return Err(error),
        }
    };
    // The link is a convenience: where there can be none, or somebody else is just making it, the folder is named all the same.
    let fresh = reports.join(format!(".latest-{}", std::process::id()));
    let linked = std::os::unix::fs::symlink(folder.file_name().expect("it was just joined"), &fresh)
        .and_then(|()| fs::rename(&fresh, reports.join(LATEST)));
    if linked.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    Ok(folder)
}
