//! Benchmarks of several machines, or one after another, as one.
//!
//! Histograms are added, so that percentiles of the sum are those of all samples; nothing is an average of percentiles.
//! Intervals are added that began as long after the beginning of their own run.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use hdrhistogram::Histogram;

use super::files::{HLOG, JSON, tags};
use super::hlog::{self, Line, Log, LogError, decode, encode};
use super::measure::{Interval, Measured, serialized};
use super::outcome::{Bench, Outcome, VERSION};
use super::quantiles::Quantiles;
use super::tally::{Counts, Tally, histogram};

/// The longest `bench.json` that is read.
pub const JSON_LEN_MAX: u64 = 256 << 20;

/// A benchmark with the histograms that its figures were made of, in the order of its results.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was found.
    pub bench: Bench,
    /// What was measured.
    pub measured: Vec<Measured>,
}

/// Why benchmarks cannot be read or added.
#[derive(Debug)]
#[non_exhaustive]
pub enum MergeError {
    /// A file cannot be read.
    Io(io::Error),
    /// `bench.hlog` is none.
    Log(LogError),
    /// `bench.json` is none.
    Json(serde_json::Error),
    /// `bench.json` is longer than any that is read.
    TooLong,
    /// It is of another version.
    Version {
        /// Which.
        v: u32,
    },
    /// Its two files are not of one benchmark.
    Apart {
        /// The result.
        tag: String,
    },
    /// Two series of one name are of different things.
    Different {
        /// Their name.
        tag: String,
        /// What differs.
        what: &'static str,
    },
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MergeError::Io(error) => error.fmt(f),
            MergeError::Log(error) => write!(f, "{HLOG}: {error}"),
            MergeError::Json(error) => write!(f, "{JSON}: {error}"),
            MergeError::TooLong => write!(f, "{JSON}: it has more than {JSON_LEN_MAX} bytes"),
            MergeError::Version { v } => write!(f, "{JSON}: expected version {VERSION} of the format, not {v}"),
            MergeError::Apart { tag } => write!(f, "{JSON} and {HLOG} are not of one benchmark: `{tag}` differs"),
            MergeError::Different { tag, what } => write!(f, "`{tag}` cannot be added: {what} differ"),
        }
    }
}

impl std::error::Error for MergeError {}

impl From<io::Error> for MergeError {
    fn from(error: io::Error) -> MergeError {
        MergeError::Io(error)
    }
}

/// Adds logs, line by line: those of one tag, beginning and length.
pub fn logs(logs: &[Log]) -> Result<Log, MergeError> {
    let mut order: Vec<&str> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut groups: BTreeMap<(usize, u64, u64), Vec<&Line>> = BTreeMap::new();
    for line in logs.iter().flat_map(|log| &log.lines) {
        let place = *places.entry(&line.tag).or_insert_with(|| {
            order.push(&line.tag);
            order.len() - 1
        });
        groups.entry((place, line.begins_ms, line.length_ms)).or_default().push(line);
    }
    let add = |((place, begins_ms, length_ms), lines): ((usize, u64, u64), Vec<&Line>)| {
        let tag = order[place].to_owned();
        let histogram = match lines.as_slice() {
            [line] => line.histogram.clone(),
            lines => encode(&sum(lines.iter().map(|line| line.histogram.as_slice()), &tag)?),
        };
        Ok(Line { tag, begins_ms, length_ms, histogram })
    };
    let start_ms = logs.iter().map(|log| log.start_ms).filter(|start| *start > 0).min().unwrap_or_default();
    let lines = groups.into_iter().map(add).collect::<Result<_, MergeError>>()?;
    Ok(Log { start_ms, lines })
}

/// The sum of histograms, exactly: their buckets have to be the same.
fn sum<'a>(encoded: impl Iterator<Item = &'a [u8]>, tag: &str) -> Result<Histogram<u64>, MergeError> {
    let mut whole: Option<Histogram<u64>> = None;
    for bytes in encoded {
        let mut part = decode(bytes).expect("it was read before");
        let Some(whole) = &mut whole else {
            whole = Some(part);
            continue;
        };
        if (whole.low(), whole.sigfig()) != (part.low(), part.sigfig()) {
            return Err(MergeError::Different { tag: tag.to_owned(), what: "their smallest values or digits" });
        }
        // A recorder that grows as it needs to gives histograms of different heights, with the same buckets as far as they go.
        if part.high() > whole.high() {
            std::mem::swap(whole, &mut part);
        }
        whole.add(&part).expect("what is lower fits");
    }
    Ok(whole.unwrap_or_else(histogram))
}

/// What the lines of each tag add up to, in the order of the tags. Tags whose lines cannot be added are left out.
pub fn totals(log: &Log) -> Vec<(String, Quantiles)> {
    let mut groups: Vec<(&str, Vec<&[u8]>)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &log.lines {
        let place = *places.entry(&line.tag).or_insert(groups.len());
        if place == groups.len() {
            groups.push((&line.tag, Vec::new()));
        }
        groups[place].1.push(&line.histogram);
    }
    let total = |(tag, lines): (&str, Vec<&[u8]>)| {
        let whole = sum(lines.into_iter(), tag).ok()?;
        Some((tag.to_owned(), Quantiles::of(&whole)))
    };
    groups.into_iter().filter_map(total).collect()
}

/// Reads a log.
pub fn read_log(path: &Path) -> Result<Log, MergeError> {
    hlog::read(BufReader::new(File::open(path)?)).map_err(MergeError::Log)
}

/// Reads what a benchmark has left in its folder.
pub fn read(folder: &Path) -> Result<Run, MergeError> {
    let mut text = Vec::new();
    File::open(folder.join(JSON))?.take(JSON_LEN_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > JSON_LEN_MAX {
        return Err(MergeError::TooLong);
    }
    #[derive(serde::Deserialize)]
    struct Versioned {
        v: u32,
    }
    let Versioned { v } = serde_json::from_slice(&text).map_err(MergeError::Json)?;
    if v != VERSION {
        return Err(MergeError::Version { v });
    }
    let bench: Bench = serde_json::from_slice(&text).map_err(MergeError::Json)?;
    let log = read_log(&folder.join(HLOG))?;
    let mut series: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for line in &log.lines {
        series.entry(&line.tag).or_default().push(line);
    }
    let tagged = tags(&bench.results).into_iter().zip(&bench.results);
    let measured = tagged.map(|(tag, outcome)| measured(&tag, outcome, &series)).collect::<Result<_, MergeError>>()?;
    Ok(Run { bench, measured })
}

/// The measurement behind a result.
fn measured(tag: &str, outcome: &Outcome, series: &BTreeMap<&str, Vec<&Line>>) -> Result<Measured, MergeError> {
    let lines = |name: &str| series.get(format!("{tag}/{name}").as_str()).map(Vec::as_slice).unwrap_or_default();
    let whole = |name: &str, each: &mut dyn FnMut(&Line, &Histogram<u64>)| -> Result<Histogram<u64>, MergeError> {
        let mut whole = histogram();
        for line in lines(name) {
            let part = decode(&line.histogram).expect("it was read before");
            if (part.low(), part.high(), part.sigfig()) != (whole.low(), whole.high(), whole.sigfig()) {
                return Err(MergeError::Different { tag: format!("{tag}/{name}"), what: "the bounds of histograms" });
            }
            whole.add(&part).expect("the bounds are the same");
            each(line, &part);
        }
        Ok(whole)
    };
    let mut intervals = Vec::new();
    let latency = whole("latency", &mut |line, latency| {
        let begins = |slice: &&super::outcome::Slice| (slice.t_s * 1000.0).round() as u64 == line.begins_ms;
        // Which kind they were is known of the whole only.
        let broken = outcome.intervals.iter().find(begins).map_or(0, |slice| slice.failed);
        let counts = Counts { iterations: latency.len(), broken, ..Counts::default() };
        let (begins, length) = (line.begins_ms.saturating_mul(1_000_000), line.length_ms.saturating_mul(1_000_000));
        intervals.push(Interval { begins, length, latency: serialized(latency), shown: shown(latency), counts });
    })?;
    let whole = |name: &str| whole(name, &mut |_, _| ());
    let total = Tally {
        latency,
        service: whole("service")?,
        lateness: whole("lateness")?,
        connect: whole("connect")?,
        handshake: whole("handshake")?,
        sending: whole("sending")?,
        away: whole("away")?,
        waking: whole("waking")?,
        steps: (1..=outcome.steps.len()).map(|step| whole(&format!("step-{step}"))).collect::<Result<_, _>>()?,
        counts: outcome.counts,
    };
    if total.latency.len() != outcome.counts.iterations {
        return Err(MergeError::Apart { tag: tag.to_owned() });
    }
    let seconds = outcome.duration_s.max(0.0);
    Ok(Measured {
        total,
        intervals,
        window: (seconds * 1e9) as u64,
        failures: outcome.failures.clone(),
        processor: (outcome.processor_share * (seconds + outcome.warmup_s) * 1e9) as u64,
        interrupted: outcome.interrupted,
        tls: outcome.tls.clone(),
        congestion: outcome.bulk.as_ref().and_then(|bulk| bulk.congestion_control.clone()),
    })
}

fn shown(latency: &Histogram<u64>) -> [u64; 3] {
    [latency.value_at_quantile(0.5), latency.value_at_quantile(0.99), latency.max()]
}

/// Adds benchmarks: what the results of one name have in common is one result, under the command that adds them.
pub fn runs(runs: Vec<Run>, command: &[String]) -> Result<Option<Run>, MergeError> {
    let count = runs.len();
    let mut names: Vec<String> = Vec::new();
    let mut merged: Option<Run> = None;
    for run in runs {
        let run_tags = tags(&run.bench.results);
        let Some(whole) = &mut merged else {
            names = run_tags;
            merged = Some(run);
            continue;
        };
        let environment = &mut whole.bench.environment;
        environment.others = environment.others.max(run.bench.environment.others);
        environment.steal = environment.steal.max(run.bench.environment.steal);
        whole.bench.unix_ns = whole.bench.unix_ns.min(run.bench.unix_ns);
        for ((tag, outcome), measured) in run_tags.into_iter().zip(run.bench.results).zip(run.measured) {
            match names.iter().position(|known| *known == tag) {
                Some(at) => add(&mut whole.bench.results[at], &mut whole.measured[at], &outcome, &measured, &tag)?,
                None => {
                    names.push(tag);
                    whole.bench.results.push(outcome);
                    whole.measured.push(measured);
                }
            }
        }
    }
    if let Some(whole) = &mut merged
        && count > 1
    {
        whole.bench.command = command.to_vec();
        // What was found is of one load generator.
        whole.bench.found = None;
        whole.bench.comparisons.clear();
        whole.bench.baseline.clear();
        for (outcome, measured) in whole.bench.results.iter_mut().zip(&whole.measured) {
            outcome.floor = None;
            outcome.thresholds.clear();
            outcome.measure(measured);
        }
    }
    Ok(merged)
}

fn add(
    outcome: &mut Outcome,
    measured: &mut Measured,
    other: &Outcome,
    part: &Measured,
    tag: &str,
) -> Result<(), MergeError> {
    if outcome.steps.iter().map(|step| &step.name).ne(other.steps.iter().map(|step| &step.name)) {
        return Err(MergeError::Different { tag: tag.to_owned(), what: "the steps" });
    }
    outcome.connections += other.connections;
    outcome.threads += other.threads;
    outcome.depth = outcome.depth.max(other.depth);
    outcome.verify &= other.verify;
    outcome.asked_per_s = outcome.asked_per_s.zip(other.asked_per_s).map(|(one, two)| one + two);
    measured.total.add(&part.total);
    measured.window = measured.window.max(part.window);
    measured.processor += part.processor;
    measured.interrupted |= part.interrupted;
    measured.failures.extend(part.failures.iter().filter(|text| !outcome.failures.contains(text)).cloned());
    for interval in &part.intervals {
        let same = |known: &&mut Interval| (known.begins, known.length) == (interval.begins, interval.length);
        match measured.intervals.iter_mut().find(same) {
            None => measured.intervals.push(interval.clone()),
            Some(known) => {
                let both = [known.latency.as_slice(), interval.latency.as_slice()];
                let latency = sum(both.into_iter(), tag)?;
                known.counts.add(&interval.counts);
                known.shown = shown(&latency);
                known.latency = serialized(&latency);
            }
        }
    }
    measured.intervals.sort_by_key(|interval| interval.begins);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::files;
    use super::super::fixture::{self, outcome, with};
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Histogram<u64> {
        let mut all = histogram();
        values.iter().for_each(|value| all.record(*value).expect("it is in bounds"));
        all
    }

    fn line(tag: &str, begins_ms: u64, values: &[u64]) -> Line {
        Line { tag: tag.into(), begins_ms, length_ms: 1000, histogram: encode(&of(values)) }
    }

    fn log(lines: Vec<Line>) -> Log {
        Log { start_ms: 0, lines }
    }

    #[test]
    fn lines_of_one_tag_and_time_are_added() {
        let one = log(vec![line("a", 0, &[1, 2]), line("a", 1000, &[3]), line("b", 0, &[9])]);
        let two = log(vec![line("a", 0, &[5]), line("c", 0, &[7])]);
        let merged = logs(&[one, two]).expect("they go together");
        let expected = [line("a", 0, &[1, 2, 5]), line("a", 1000, &[3]), line("b", 0, &[9]), line("c", 0, &[7])];
        assert_eq!(merged.lines, expected);
        let totals = totals(&merged);
        let shown: Vec<(&str, u64)> = totals.iter().map(|(tag, total)| (tag.as_str(), total.count)).collect();
        assert_eq!(shown, [("a", 4), ("b", 1), ("c", 1)]);
    }

    #[test]
    fn histograms_of_different_heights_have_the_same_buckets() {
        let mut low = Histogram::<u64>::new_with_bounds(1, 1_000_000, 3).expect("the bounds are sound");
        low.record(900_000).expect("it is in bounds");
        let mut lines = vec![line("a", 0, &[59_000_000_000])];
        lines.push(Line { histogram: encode(&low), ..lines[0].clone() });
        for lines in [lines.clone(), lines.into_iter().rev().collect()] {
            let merged = logs(&[log(lines)]).expect("they go together");
            assert_eq!(decode(&merged.lines[0].histogram), Ok(of(&[900_000, 59_000_000_000])));
        }
    }

    #[test]
    fn histograms_of_different_digits_cannot_be_added_exactly() {
        let coarse = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 2).expect("the bounds are sound");
        let mut lines = vec![line("a", 0, &[1])];
        lines.push(Line { histogram: encode(&coarse), ..lines[0].clone() });
        let error = logs(&[log(lines)]).expect_err("they do not go together");
        assert_eq!(error.to_string(), "`a` cannot be added: their smallest values or digits differ");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_sample_is_lost_or_moved(parts in prop::collection::vec(prop::collection::vec(1_u64..60_000_000_000, 0..50), 1..6)) {
            let split: Vec<Log> = parts.iter().map(|values| log(vec![line("a", 0, values)])).collect();
            let merged = logs(&split).expect("they go together");
            prop_assert_eq!(decode(&merged.lines[0].histogram).expect("just made"), of(&parts.concat()));
        }
    }

    /// A folder with a run in it.
    fn stored(outcome: Outcome, measured: &Measured) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("there is room");
        files::write(folder.path(), &fixture::bench(vec![outcome]), &[measured]).expect("there is room");
        folder
    }

    #[test]
    fn a_folder_reads_as_it_was_written() {
        let measured = fixture::measured(&fixture::plan());
        let folder = stored(outcome(|_, _| (), |_| ()), &measured);
        let run = read(folder.path()).expect("just written");
        assert_eq!(run.bench, fixture::bench(vec![outcome(|_, _| (), |_| ())]));
        let back = &run.measured[0];
        assert_eq!((&back.total.latency, back.total.counts), (&measured.total.latency, measured.total.counts));
        assert_eq!((&back.total.service, &back.total.steps), (&measured.total.service, &measured.total.steps));
        assert_eq!((back.window, &back.intervals[0].latency), (measured.window, &measured.intervals[0].latency));
        let alone = runs(vec![run], &[]).expect("one goes together").expect("there is one");
        assert_eq!(alone.bench.results, [outcome(|_, _| (), |_| ())]);
    }

    #[test]
    fn two_load_generators_are_one_with_twice_the_load() {
        let open = || outcome(|plan, _| with::rate(plan, 1000.0), |_| ());
        let run = || Run { bench: fixture::bench(vec![open()]), measured: vec![fixture::measured(&fixture::plan())] };
        let mut slow = run();
        with::latencies(&mut slow.measured[0].total, std::iter::repeat_n(1_000_000, 1000));
        let merged = runs(vec![run(), slow], &["merge".into()]).expect("they go together").expect("there is one");
        let [result] = merged.bench.results.as_slice() else { panic!("{:?}", merged.bench.results) };
        assert_eq!((result.connections, result.asked_per_s, result.rate_per_s), (2, Some(2000.0), 2000.0));
        assert_eq!((result.latency_ns.count, result.latency_ns.max), (2000, 1_000_447));
        // The mean of the two medians would be 505 us.
        assert_eq!(result.latency_ns.p50, Some(10_007));
        assert_eq!((result.intervals.len(), result.intervals[0].iterations), (1, 2000));
        assert_eq!(merged.bench.command, ["merge"]);
    }

    #[test]
    fn results_of_other_names_stand_beside_each_other() {
        let run =
            |outcome| Run { bench: fixture::bench(vec![outcome]), measured: vec![fixture::measured(&fixture::plan())] };
        let closed = outcome(|_, _| (), |_| ());
        let open = outcome(|plan, _| with::rate(plan, 1000.0), |_| ());
        let merged = runs(vec![run(closed), run(open)], &[]).expect("they go together").expect("there is one");
        assert_eq!(merged.bench.results.iter().map(Outcome::label).collect::<Vec<_>>(), ["closed 1x1", "open 1000"]);
        assert!(runs(Vec::new(), &[]).expect("nothing goes with nothing").is_none());
    }

    #[test]
    fn files_that_do_not_go_together_are_refused() {
        let measured = fixture::measured(&fixture::plan());
        let folder = stored(outcome(|_, _| (), |tally| tally.counts.iterations = 999), &measured);
        let error = read(folder.path()).expect_err("a sample too many");
        let apart = "bench.json and bench.hlog are not of one benchmark: `echoes-a-line/closed-1x1` differs";
        assert_eq!(error.to_string(), apart);
        let folder = stored(outcome(|_, _| (), |_| ()), &measured);
        std::fs::write(folder.path().join(JSON), r#"{"v":2}"#).expect("there is room");
        let error = read(folder.path()).expect_err("of the future");
        assert_eq!(error.to_string(), "bench.json: expected version 1 of the format, not 2");
        std::fs::write(folder.path().join(JSON), "{}").expect("there is room");
        assert!(matches!(read(folder.path()), Err(MergeError::Json(_))));
        let error = read(Path::new("nowhere")).expect_err("there is none");
        assert!(matches!(error, MergeError::Io(_)));
    }
}
