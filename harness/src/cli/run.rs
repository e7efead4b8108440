//! `harness run`: plays scenarios.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};

use super::last::Last;
use super::{Talk, complain, files, folder, reporters};
use crate::capture::Format;
use crate::document::parse_duration;
use crate::exit::{Exit, Flaky};
use crate::report::{Entry, Look};
use crate::runner::process::Guard;
use crate::runner::{Clock, Filter, Input, Keys, LastFailed, Options, Partition, Record};
use crate::scenario::Known;
use crate::url::Url;

/// How many cases are played side by side unless somebody says otherwise: they mostly wait.
const JOBS_DEFAULT: usize = 8;

/// The most attempts that `--retries` adds.
const RETRIES_MAX: i64 = 100;

/// The most cases of a run, each repetition counted: `JUnit` has all of them in memory, some 1 KiB each.
const PLANNED_MAX: u64 = 1_000_000;

/// What `harness run` is given.
#[derive(Clone, Debug, Args)]
pub(super) struct RunArgs {
    /// Scenario files, or folders of them; with --last-failed those in which something did not hold
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Put the results exactly there; without it, into a new folder below `reports`
    #[arg(long, value_name = "DIR", env = "HARNESS_OUT")]
    out: Option<PathBuf>,
    /// What to print: human on stderr, and one of github, json, junit and tap on stdout; the folder gets json and junit in any
    /// case
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "human", value_parser = reporters::name, env = "HARNESS_REPORT")]
    report: Vec<&'static Entry>,
    /// What all chance comes from; without it, another each time
    #[arg(long, value_name = "N", value_parser = seed, env = "HARNESS_SEED")]
    seed: Option<u64>,
    /// How many cases are played side by side
    #[arg(short, long, value_name = "N", default_value_t = JOBS_DEFAULT, value_parser = jobs, env = "HARNESS_JOBS")]
    jobs: usize,
    /// Play only these cases: `tag:fast and not line`, `case:"echoes a line"`, `name:echo*`, `file:*smtp*`
    #[arg(short, long, value_name = "EXPR", value_parser = Filter::parse, env = "HARNESS_FILTER")]
    filter: Option<Filter>,
    /// Play only what did not hold, or held only at a later attempt, in the last run: the one in --out, or in `reports/latest`;
    /// with its seed, unless --seed says otherwise
    #[arg(long, env = "HARNESS_LAST_FAILED", value_parser = FalseyValueParser::new())]
    last_failed: bool,
    /// Play only the K-th of N parts, so that N machines together play each selected case once
    #[arg(long, value_name = "K/N", env = "HARNESS_PARTITION")]
    partition: Option<Partition>,
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
    /// With --repeat: begin no more cases after the first that does not hold, and say in which repetition that was
    #[arg(long, env = "HARNESS_UNTIL_FAIL", value_parser = FalseyValueParser::new())]
    until_fail: bool,
    /// Play a case that does not hold again, up to N times; if it then holds it is flaky. Each attempt has the same bytes
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=RETRIES_MAX), env = "HARNESS_RETRIES")]
    retries: u32,
    /// What flaky cases count as: with fail they end the run with exit code 7
    #[arg(long, value_enum, default_value_t, value_name = "HOW", env = "HARNESS_FLAKY")]
    flaky: Flaky,
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
    /// Whose TLS secrets captures hold, so that Wireshark opens what they protect
    #[arg(long, value_enum, default_value_t, value_name = "WHOSE", env = "HARNESS_RECORD_TLS_KEYS")]
    record_tls_keys: TlsKeys,
    /// Say so when a case takes longer than this, and each time it has taken as long again; 0s never does
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, env = "HARNESS_SLOW_AFTER")]
    slow_after: Duration,
    /// End with the N slowest cases, 0 for none; without it, a few of a longer run that took more than 1s
    #[arg(long, value_name = "N", env = "HARNESS_SLOWEST")]
    slowest: Option<usize>,
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
enum TlsKeys {
    /// Everybody's
    Always,
    /// Nobody's
    Never,
    /// Those of certificates made for the run, unless the file has secrets
    #[default]
    Own,
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

pub(super) fn target(text: &str) -> Result<(Option<String>, Url), String> {
    let (name, url) = match text.split_once('=') {
        Some((name, url)) if !name.contains("://") => (Some(name.to_owned()), url),
        _ => (None, text),
    };
    Url::parse(url).map(|url| (name, url)).map_err(|error| error.to_string())
}

pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("expected a duration with its unit: `500ms`, `30s`, `5m`")
}

pub(super) fn jobs(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|jobs| (1..=10_000).contains(jobs)).ok_or("expected a number from 1 to 10000")
}

pub(super) fn seed(text: &str) -> Result<u64, &'static str> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| "expected a number from 0 to 18446744073709551615")
}

pub(super) fn run(args: &RunArgs, talk: Talk, words: &[OsString]) -> u8 {
    let clock = Clock::start();
    // A variable of the environment that says no is there all the same, and so this is not told to clap.
    if args.paths.is_empty() && !args.last_failed {
        return complain("expected a file or a folder of scenarios", Some("`harness run --help`"), Exit::Usage);
    }
    if args.until_fail && args.repeat == 1 {
        return complain("`--until-fail` needs `--repeat N`", None, Exit::Usage);
    }
    if let Err(message) = reporters::check(&args.report) {
        return complain(&message, Some("`harness report` tells a run again, in any other format"), Exit::Usage);
    }
    let last = match args.last_failed.then(|| Last::read(args.out.as_deref())).transpose() {
        Ok(last) => last,
        Err(message) => return complain(&message, Some("`--last-failed` needs an earlier run"), Exit::Invalid),
    };
    // A run of nothing would be the last one, and what failed before it would be forgotten: there is none.
    if let Some(last) = last.as_ref().filter(|last| last.failed.files.is_empty()) {
        return complain(&format!("everything held in `{}`", last.failed.source), None, Exit::Nothing);
    }
    let paths = match (&last, args.paths.as_slice()) {
        (Some(last), []) => last.files(),
        (_, paths) => paths.to_vec(),
    };
    let found = match files::find(&paths) {
        Ok(found) => found,
        Err(files::Missing(message)) => return complain(&message, None, Exit::Invalid),
    };
    let seed = args.seed.or(last.as_ref().map(|last| last.seed)).unwrap_or_else(|| clock.unix_ns() % 1_000_000_007);
    let known = Known {
        vars: args.var.clone(),
        env: files::environment(),
        seed,
        seed_given: args.seed.is_some() || last.is_some(),
        read: Some(crate::document::read_text),
    };
    let loaded = files::load_all(&found, &known);
    if talk.verbose {
        warn(&loaded, talk);
    }
    let inputs: Vec<Input> = loaded
        .into_iter()
        .map(|file| match file.result {
            Ok(mut scenario) => {
                for (target, _) in args.target.iter().filter(|(_, url)| url.tls) {
                    scenario.begin_with_tls(target.as_deref());
                }
                Input::Scenario(scenario)
            }
            Err(mistakes) => Input::Invalid { file: file.file, mistakes },
        })
        .collect();
    if let Err(message) = check_targets(args, &inputs).and_then(|()| check_number(args, &inputs)) {
        return complain(&message, None, Exit::Usage);
    }
    let last_failed = last.map(|last| last.among(&inputs));
    let folder = match folder::make(args.out.as_deref(), &paths, &found, clock) {
        Ok(folder) => folder,
        Err(error) => {
            let folder = args.out.as_deref().unwrap_or(Path::new(folder::REPORTS));
            let message = format!("cannot make the run's folder `{}`: {error}", folder.display());
            return complain(&message, Some("`--out` names another"), Exit::Bug);
        }
    };
    let settings = reporters::settings(Look::of_stderr(talk.color()), talk, &folder, args.slowest);
    let progress = reporters::is_watched(talk);
    let reporters = match reporters::open(&args.report, &settings, Some(&folder), progress) {
        Ok(reporters) => reporters,
        Err(error) => {
            return complain(&format!("cannot open all reports of `{}`: {error}", folder.display()), None, Exit::Bug);
        }
    };
    let guard = match Guard::of_this_program(format!("{}-{}", std::process::id(), clock.unix_ns())) {
        Ok(guard) => guard,
        Err(error) => return complain(&format!("cannot find this program: {error}"), None, Exit::Bug),
    };
    let command = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let options = Options { progress, command, ..options(args, seed, last_failed, folder) };
    match crate::runner::run(inputs, options, reporters, guard, clock) {
        Ok(exit) => exit.code(),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Incomplete.code(),
        Err(error) => complain(&format!("not all results could be written: {error}"), None, Exit::Bug),
    }
}

/// Tells what the lints say, before anything is played.
fn warn(loaded: &[files::Loaded], talk: Talk) {
    let (mut output, look) = (String::new(), Look::of_stderr(talk.color()));
    let findings = loaded.iter().flat_map(|file| &file.findings);
    findings.for_each(|finding| super::check::push_finding(&mut output, finding, &look));
    // Where stderr is closed the run goes on.
    let _ = anstream::AutoStream::new(std::io::stderr(), super::check::look_choice(talk)).write_all(output.as_bytes());
}

/// The command line, as the runner takes it.
fn options(args: &RunArgs, seed: u64, last_failed: Option<LastFailed>, folder: PathBuf) -> Options {
    Options {
        seed,
        jobs: args.jobs,
        repeat: args.repeat,
        shuffle: args.shuffle,
        fail_fast: args.fail_fast,
        until_fail: args.until_fail,
        retries: args.retries,
        flaky: args.flaky,
        slow_after: Some(args.slow_after).filter(|after| !after.is_zero()),
        progress: false,
        timeout: args.timeout,
        rest: None,
        time_budget: args.time_budget,
        filter: args.filter.clone(),
        last_failed,
        partition: args.partition,
        targets: args.target.clone(),
        allow_remote: args.allow_remote,
        tls_keys: match args.record_tls_keys {
            TlsKeys::Always => Keys::Always,
            TlsKeys::Never => Keys::Never,
            TlsKeys::Own => Keys::Own,
        },
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
        command: Vec::new(),
    }
}

/// `--repeat` has to leave a number of cases that can be counted through.
fn check_number(args: &RunArgs, inputs: &[Input]) -> Result<(), String> {
    let cases = inputs.iter().map(|input| match input {
        Input::Scenario(scenario) => scenario.cases.len() as u64,
        Input::Invalid { .. } => 0,
    });
    let (cases, repeat) = (cases.sum::<u64>(), args.repeat);
    match cases.saturating_mul(u64::from(repeat)) {
        ..=PLANNED_MAX => Ok(()),
        planned => Err(format!(
            "`--repeat {repeat}` makes {planned} of {}, and at most {PLANNED_MAX} are played",
            crate::text::count(cases as usize, "case")
        )),
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
