//! `harness run`: plays scenarios.

#![expect(clippy::disallowed_methods, reason = "the run's folder is made here")]

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};

use super::{Talk, complain, files};
use crate::capture::Format;
use crate::document::parse_duration;
use crate::exit::Exit;
use crate::report::{Look, Output, REPORTERS, Reporter, Settings, human};
use crate::runner::process::Guard;
use crate::runner::{Clock, Filter, Input, Options, Record, Url};
use crate::scenario::Known;

/// How many cases are played side by side unless somebody says otherwise: they mostly wait.
const JOBS_DEFAULT: usize = 8;

/// What `harness run` is given.
#[derive(Clone, Debug, Args)]
pub(super) struct RunArgs {
    /// Scenario files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Put the results exactly there; without it, into a new folder below `reports`
    #[arg(long, value_name = "DIR", env = "HARNESS_OUT")]
    out: Option<PathBuf>,
    /// What to print: human on stderr, json and junit on stdout; the folder gets all of them in any case
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "human", value_parser = report, env = "HARNESS_REPORT")]
    report: Vec<&'static str>,
    /// What all chance comes from; without it, another each time
    #[arg(long, value_name = "N", value_parser = seed, env = "HARNESS_SEED")]
    seed: Option<u64>,
    /// How many cases are played side by side
    #[arg(short, long, value_name = "N", default_value_t = JOBS_DEFAULT, value_parser = jobs, env = "HARNESS_JOBS")]
    jobs: usize,
    /// Play only these cases: `tag:fast and not line`, `case:"echoes a line"`, `name:echo*`, `file:*smtp*`
    #[arg(short, long, value_name = "EXPR", value_parser = Filter::parse, env = "HARNESS_FILTER")]
    filter: Option<Filter>,
    /// Use this in place of a target: `NAME=URL`, or `URL` where there is one target; may be repeated
    #[arg(long, value_name = "NAME=URL", value_parser = target, env = "HARNESS_TARGET", value_delimiter = '\n')]
    target: Vec<(Option<String>, Url)>,
    /// Give a variable a value; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, env = "HARNESS_VAR", value_delimiter = '\n')]
    var: Vec<(String, String)>,
    /// Bound each case, whatever its own deadlines say
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "HARNESS_TIMEOUT")]
    timeout: Option<Duration>,
    /// Bound the whole run; what is not done by then makes it incomplete (exit code 9)
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "HARNESS_TIME_BUDGET")]
    time_budget: Option<Duration>,
    /// Play every case so often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), env = "HARNESS_REPEAT")]
    repeat: u32,
    /// Play the cases in an order drawn from the seed
    #[arg(long, env = "HARNESS_SHUFFLE", value_parser = FalseyValueParser::new())]
    shuffle: bool,
    /// Begin no more cases after the first that does not hold
    #[arg(long, env = "HARNESS_FAIL_FAST", value_parser = FalseyValueParser::new())]
    fail_fast: bool,
    /// Which cases leave a capture
    #[arg(long, value_enum, default_value_t, value_name = "WHICH", env = "HARNESS_RECORD")]
    record: Which,
    /// The format of captures
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", env = "HARNESS_CAPTURE_FORMAT")]
    capture_format: CaptureFormat,
    /// Allow targets that are not on this machine
    #[arg(long, env = "HARNESS_ALLOW_REMOTE", value_parser = FalseyValueParser::new())]
    allow_remote: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Every case
    #[default]
    All,
    /// Those that do not hold
    Fail,
    /// None
    Off,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum CaptureFormat {
    /// With comments, names, direction and seed
    #[default]
    Pcapng,
    /// For tools that read nothing newer: packets only
    Pcap,
}

/// Reads `NAME=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected `NAME=VALUE`")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn target(text: &str) -> Result<(Option<String>, Url), String> {
    let (name, url) = match text.split_once('=') {
        Some((name, url)) if !name.contains("://") => (Some(name.to_owned()), url),
        _ => (None, text),
    };
    Url::parse(url).map(|url| (name, url)).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("expected a duration with its unit: `500ms`, `30s`, `5m`")
}

fn jobs(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|jobs| (1..=10_000).contains(jobs)).ok_or("expected a number from 1 to 10000")
}

fn seed(text: &str) -> Result<u64, &'static str> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| "expected a number from 0 to 18446744073709551615")
}

fn report(text: &str) -> Result<&'static str, String> {
    let names = REPORTERS.iter().map(|entry| entry.name);
    names.clone().find(|name| *name == text).ok_or_else(|| {
        let known: Vec<&str> = names.clone().collect();
        let near = crate::document::did_you_mean(text, names).map(|hint| format!(", {hint}"));
        format!("there are {}{}", known.join(", "), near.unwrap_or_default())
    })
}

pub(super) fn run(args: &RunArgs, talk: Talk, words: &[OsString]) -> u8 {
    let clock = Clock::start();
    let found = match files::find(&args.paths) {
        Ok(found) => found,
        Err(files::Missing(message)) => return complain(&message, None, Exit::Invalid),
    };
    let seed = args.seed.unwrap_or_else(|| clock.unix_ns() % 1_000_000_007);
    let known = Known { vars: args.var.clone(), env: files::environment(), seed, read: Some(files::read) };
    let loaded = files::load_all(&found, &known);
    let inputs: Vec<Input> = loaded
        .into_iter()
        .map(|file| match file.result {
            Ok(scenario) => Input::Scenario(scenario),
            Err(mistakes) => Input::Invalid { file: file.file, mistakes },
        })
        .collect();
    if let Err(message) = check_targets(args, &inputs) {
        return complain(&message, None, Exit::Usage);
    }
    let folder = match make_folder(args, &found, clock) {
        Ok(folder) => folder,
        Err(error) => {
            let folder = args.out.as_deref().unwrap_or(Path::new("reports"));
            let message = format!("cannot make the run's folder `{}`: {error}", folder.display());
            return complain(&message, Some("`--out` names another"), Exit::Bug);
        }
    };
    let reporters = match open_reporters(args, talk, &folder) {
        Ok(reporters) => reporters,
        Err(error) => return complain(&format!("cannot write to `{}`: {error}", folder.display()), None, Exit::Bug),
    };
    let guard = match Guard::of_this_program(format!("{}-{}", std::process::id(), clock.unix_ns())) {
        Ok(guard) => guard,
        Err(error) => return complain(&format!("cannot find this program: {error}"), None, Exit::Bug),
    };
    let options = Options {
        seed,
        jobs: args.jobs,
        repeat: args.repeat,
        shuffle: args.shuffle,
        fail_fast: args.fail_fast,
        timeout: args.timeout,
        time_budget: args.time_budget,
        filter: args.filter.clone(),
        targets: args.target.clone(),
        allow_remote: args.allow_remote,
        record: match args.record {
            Which::All => Record::All,
            Which::Fail => Record::Fail,
            Which::Off => Record::Off,
        },
        format: match args.capture_format {
            CaptureFormat::Pcap => Format::Pcap,
            CaptureFormat::Pcapng => Format::Pcapng,
        },
        folder,
        reproduce: reproduce(args),
        command: words.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
    };
    match crate::runner::run(inputs, options, reporters, guard, clock) {
        Ok(exit) => exit.code(),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Incomplete.code(),
        Err(error) => complain(&format!("not all results could be written: {error}"), None, Exit::Bug),
    }
}

/// `--target` has to name a target of one of the files at least.
fn check_targets(args: &RunArgs, inputs: &[Input]) -> Result<(), String> {
    let scenarios = inputs.iter().filter_map(|input| match input {
        Input::Scenario(scenario) => Some(scenario),
        Input::Invalid { .. } => None,
    });
    let names: Vec<&str> =
        scenarios.flat_map(|scenario| scenario.targets.iter().map(|target| target.name.as_str())).collect();
    for (name, url) in &args.target {
        match name {
            Some(name) if !names.is_empty() && !names.contains(&name.as_str()) => {
                let near = crate::document::did_you_mean(name, names.iter().copied());
                let near = near.unwrap_or_else(|| format!("there is `{}`", names[0]));
                return Err(format!("`--target {name}={url}` names no target of these scenarios: {near}"));
            }
            None if names.iter().any(|name| *name != names[0]) => {
                return Err(format!("`--target {url}` does not say which: with several targets it is `NAME={url}`"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What has to stand on a command line besides the file, the filter and the seed for a case to be the same.
fn reproduce(args: &RunArgs) -> Vec<String> {
    let mut words = Vec::new();
    for (name, url) in &args.target {
        let name = name.as_ref().map_or(String::new(), |name| format!("{name}="));
        words.extend(["--target".to_owned(), format!("{name}{url}")]);
    }
    for (name, value) in &args.var {
        words.extend(["--var".to_owned(), format!("{name}={value}")]);
    }
    if let Some(timeout) = args.timeout {
        words.extend(["--timeout".to_owned(), crate::time::show_duration(timeout)]);
    }
    if args.allow_remote {
        words.push("--allow-remote".to_owned());
    }
    words
}

/// Makes the folder of the run; without `--out` it is a new one, and `reports/latest` points at it.
fn make_folder(args: &RunArgs, found: &[(PathBuf, bool)], clock: Clock) -> std::io::Result<PathBuf> {
    if let Some(out) = &args.out {
        fs::create_dir_all(out)?;
        return Ok(out.clone());
    }
    let name = match (args.paths.as_slice(), found) {
        ([path], _) | (_, [(path, _)]) => path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
        _ => None,
    };
    let name: String =
        name.unwrap_or_else(|| "run".into()).chars().filter(|c| c.is_alphanumeric() || *c == '-').collect();
    let moment = jiff::Timestamp::from_nanosecond(i128::from(clock.unix_ns())).map_err(std::io::Error::other)?;
    let moment = moment.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y%m%d-%H%M%S").to_string();
    let reports = Path::new("reports");
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
        .and_then(|()| fs::rename(&fresh, reports.join("latest")));
    if linked.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    Ok(folder)
}

fn open_reporters(args: &RunArgs, talk: Talk, folder: &Path) -> std::io::Result<Vec<Box<dyn Reporter>>> {
    use crate::report::Verbosity;
    // With both, one of them is usually a variable of the environment that somebody wants to overrule.
    let verbosity = match (talk.quiet, talk.verbose) {
        (_, true) => Verbosity::Verbose,
        (true, false) => Verbosity::Quiet,
        _ => Verbosity::Normal,
    };
    let look = Look::of_stderr(talk.color());
    let settings = Settings { look, verbosity, folder: Some(folder.to_string_lossy().into_owned()) };
    let mut reporters = Vec::new();
    for entry in REPORTERS {
        if let Some(file) = entry.file {
            reporters.push((entry.open)(Output::File(folder.join(file)), &settings)?);
        }
        if args.report.contains(&entry.name) {
            let writer: Box<dyn Write + Send> =
                if entry.talk { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
            reporters.push((entry.open)(Output::Writer(writer), &settings)?);
        }
    }
    debug_assert!(REPORTERS.iter().any(|entry| entry.name == human::ENTRY.name), "the default is one of them");
    Ok(reporters)
}
