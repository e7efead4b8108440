//! `harness report`: tells a stored run again, in any format.

#![expect(clippy::disallowed_methods, reason = "a stored run is read here")]

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use clap::Args;

use super::folder::{EVENTS, LATEST, REPORTS};
use super::{Talk, complain, reporters};
use crate::exit::Exit;
use crate::report::stream::{ReplayError, replay};
use crate::report::{Entry, Look, Output};

/// What `harness report` is given.
#[derive(Clone, Debug, Args)]
pub(super) struct ReportArgs {
    /// The run's folder, or its `events.ndjson`; without it, `reports/latest`
    run: Option<PathBuf>,
    /// How to tell it
    #[arg(long, value_name = "NAME", default_value = "human", value_parser = reporters::name)]
    report: &'static Entry,
    /// End with the N slowest cases; 0 for none
    #[arg(long, value_name = "N", env = "HARNESS_SLOWEST")]
    slowest: Option<usize>,
}

pub(super) fn report(args: &ReportArgs, talk: Talk) -> u8 {
    let named = args.run.clone().unwrap_or_else(|| Path::new(REPORTS).join(LATEST));
    let (folder, events) = match named.is_dir() {
        true => (named.clone(), named.join(EVENTS)),
        false => (named.parent().map(Path::to_owned).unwrap_or_default(), named),
    };
    let file = match File::open(&events) {
        Ok(file) => file,
        Err(error) => return complain(&format!("cannot read `{}`: {error}", events.display()), None, Exit::Invalid),
    };
    // What was asked for is data here, whatever it is in a run.
    let look = Look::of(&std::io::stdout(), talk.color());
    let settings = reporters::settings(look, talk, &folder, args.slowest);
    let opened = (args.report.open)(Output::Writer(Box::new(std::io::stdout())), &settings);
    let told = opened.map_err(ReplayError::Io).and_then(|mut reporter| replay(BufReader::new(file), &mut *reporter));
    match told {
        Ok(()) => Exit::Held.code(),
        Err(ReplayError::Io(error)) if error.kind() == ErrorKind::BrokenPipe => Exit::Held.code(),
        Err(error @ ReplayError::Io(_)) => complain(&format!("cannot tell the run: {error}"), None, Exit::Bug),
        Err(error) => complain(&format!("cannot read `{}`: {error}", events.display()), None, Exit::Invalid),
    }
}
