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
use super::hlog::{self, Line, Log, LogError};
use super::measure::{Interval, Measured, shown};
use super::outcome::{Bench, Outcome, VERSION};
use super::packed::Packed;
use super::quantiles::Quantiles;
use super::tally::{Counts, Tally, histogram};

/// The longest `bench.json` that is read.
pub const JSON_LEN_MAX: u64 = 256 << 20;

/// How many histograms of one interval are kept before they are added.
const PARTS_MAX: usize = 32;

/// A benchmark with what its figures were made of, in the order of its results.
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
            lines => Packed::of(&sum(lines.iter().map(|line| &line.histogram), &tag)?),
        };
        Ok(Line { tag, begins_ms, length_ms, histogram })
    };
    let start_ms = logs.iter().map(|log| log.start_ms).filter(|start| *start > 0).min().unwrap_or_default();
    let lines = groups.into_iter().map(add).collect::<Result<_, MergeError>>()?;
    Ok(Log { start_ms, lines })
}

/// The sum of histograms, exactly: their buckets have to be the same.
fn sum<'a>(parts: impl IntoIterator<Item = &'a Packed>, tag: &str) -> Result<Histogram<u64>, MergeError> {
    let mut parts = parts.into_iter();
    let mut whole = parts.next().map_or_else(histogram, Packed::histogram);
    for part in parts {
        if !part.is_like(&whole) {
            return Err(MergeError::Different { tag: tag.to_owned(), what: "their smallest values or digits" });
        }
        part.add_to(&mut whole);
    }
    Ok(whole)
}

/// What the lines of each tag add up to, in the order of the tags. Tags whose lines cannot be added are left out.
pub fn totals(log: &Log) -> Vec<(String, Quantiles)> {
    let mut groups: Vec<(&str, Vec<&Packed>)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &log.lines {
        let place = *places.entry(&line.tag).or_insert(groups.len());
        if place == groups.len() {
            groups.push((&line.tag, Vec::new()));
        }
        groups[place].1.push(&line.histogram);
    }
    let total = |(tag, lines): (&str, Vec<&Packed>)| {
        let whole = sum(lines, tag).ok()?;
        Some((tag.to_owned(), Quantiles::of(&whole)))
    };
    groups.into_iter().filter_map(total).collect()
}

/// Reads a log.
pub fn read_log(path: &Path) -> Result<Log, MergeError> {
    hlog::read(BufReader::new(File::open(path)?)).map_err(MergeError::Log)
}

/// Reads what a benchmark has left in its folder.
pub fn read(folder: &Path) -> Result<(Bench, Log), MergeError> {
    let mut text = Vec::new();
    File::open(folder.join(JSON))?.take(JSON_LEN_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > JSON_LEN_MAX {
        return Err(MergeError::TooLong);
    }
    #[derive(serde::Deserialize)]
    struct Versioned {
        v: u32,
    }
    let bench = match serde_json::from_slice::<Bench>(&text) {
        Ok(bench) if bench.v == VERSION => bench,
        Ok(bench) => return Err(MergeError::Version { v: bench.v }),
        // What is of another version may look otherwise.
        Err(error) => match serde_json::from_slice(&text) {
            Ok(Versioned { v }) if v != VERSION => return Err(MergeError::Version { v }),
            _ => return Err(MergeError::Json(error)),
        },
    };
    Ok((bench, read_log(&folder.join(HLOG))?))
}

/// Benchmarks that are being added: what the results of one name have in common is one result.
#[derive(Debug, Default)]
pub struct Sum {
    whole: Option<Bench>,
    names: Vec<String>,
    series: Vec<Series>,
    added: usize,
}

/// The measurements behind the results of one name.
#[derive(Debug)]
struct Series {
    total: Tally,
    /// By when they began and how long they were, in milliseconds.
    intervals: BTreeMap<(u64, u64), (Counts, Vec<Packed>)>,
    window: u64,
    processor: u64,
}

impl Sum {
    /// Adds a benchmark and its histograms. After an error it is half of one.
    pub fn add(&mut self, bench: Bench, log: Log) -> Result<(), MergeError> {
        self.added += 1;
        let mut lines: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        for line in log.lines {
            lines.entry(line.tag.clone()).or_default().push(line);
        }
        let tagged: Vec<(String, Outcome)> =
            tags(&bench.results).into_iter().zip(bench.results.iter().cloned()).collect();
        let whole = match &mut self.whole {
            None => self.whole.insert(Bench { results: Vec::new(), ..bench }),
            Some(whole) => {
                let environment = &mut whole.environment;
                environment.others = environment.others.max(bench.environment.others);
                environment.steal = environment.steal.max(bench.environment.steal);
                whole.unix_ns = whole.unix_ns.min(bench.unix_ns);
                whole
            }
        };
        for (tag, outcome) in tagged {
            let at = match self.names.iter().position(|known| *known == tag) {
                Some(at) => {
                    add(&mut whole.results[at], &outcome, &tag)?;
                    at
                }
                None => {
                    self.names.push(tag.clone());
                    self.series.push(Series::new(outcome.steps.len()));
                    whole.results.push(outcome.clone());
                    self.names.len() - 1
                }
            };
            self.series[at].add(&tag, &outcome, &mut lines)?;
        }
        Ok(())
    }

    /// What they add up to, under the command that adds them.
    pub fn finish(self, command: &[String]) -> Result<Option<Run>, MergeError> {
        let Some(mut bench) = self.whole else { return Ok(None) };
        let finish = |(series, (tag, outcome)): (Series, (&String, &Outcome))| series.finish(tag, outcome);
        let measured: Vec<Measured> = (self.series.into_iter().zip(self.names.iter().zip(&bench.results)))
            .map(finish)
            .collect::<Result<_, MergeError>>()?;
        if self.added > 1 {
            bench.command = command.to_vec();
            // What was found is of one load generator.
            bench.found = None;
            bench.comparisons.clear();
            bench.baseline.clear();
            for (outcome, measured) in bench.results.iter_mut().zip(&measured) {
                outcome.floor = None;
                outcome.thresholds.clear();
                outcome.measure(measured);
            }
        }
        Ok(Some(Run { bench, measured }))
    }
}

impl Series {
    fn new(steps: usize) -> Series {
        Series { total: Tally::new(steps), intervals: BTreeMap::new(), window: 0, processor: 0 }
    }

    /// Adds the lines of a result.
    fn add(&mut self, tag: &str, outcome: &Outcome, lines: &mut BTreeMap<String, Vec<Line>>) -> Result<(), MergeError> {
        let mut named = |name: &str| lines.remove(&format!("{tag}/{name}")).unwrap_or_default();
        let fits = |line: &Line, whole: &Histogram<u64>| match line.histogram.has_bounds_of(whole) {
            true => Ok(()),
            false => Err(MergeError::Different { tag: line.tag.clone(), what: "the bounds of histograms" }),
        };
        let Tally { latency, service, lateness, connect, handshake, sending, away, waking, steps, counts } =
            &mut self.total;
        let latencies = named("latency");
        let whole = [
            ("service", service),
            ("lateness", lateness),
            ("connect", connect),
            ("handshake", handshake),
            ("sending", sending),
            ("away", away),
            ("waking", waking),
        ];
        let whole = whole.into_iter().map(|(name, whole)| (name.to_owned(), whole));
        let steps = steps.iter_mut().enumerate().map(|(at, step)| (format!("step-{}", at + 1), step));
        for (name, whole) in whole.chain(steps) {
            for line in named(&name) {
                fits(&line, whole)?;
                line.histogram.add_to(whole);
            }
        }
        let before = latency.len();
        // Which kind they were is known of the whole only.
        let broken: BTreeMap<u64, u64> =
            outcome.intervals.iter().map(|slice| ((slice.t_s * 1000.0).round() as u64, slice.failed)).collect();
        for line in latencies {
            fits(&line, latency)?;
            let counted = latency.len();
            line.histogram.add_to(latency);
            let (counts, parts) = self.intervals.entry((line.begins_ms, line.length_ms)).or_default();
            counts.iterations += latency.len() - counted;
            counts.broken += broken.get(&line.begins_ms).copied().unwrap_or_default();
            parts.push(line.histogram);
            if parts.len() == PARTS_MAX {
                *parts = vec![Packed::of(&sum(&*parts, tag)?)];
            }
        }
        if latency.len() - before != outcome.counts.iterations {
            return Err(MergeError::Apart { tag: tag.to_owned() });
        }
        counts.add(&outcome.counts);
        let seconds = outcome.duration_s.max(0.0);
        self.window = self.window.max((seconds * 1e9) as u64);
        self.processor += (outcome.processor_share * (seconds + outcome.warmup_s) * 1e9) as u64;
        Ok(())
    }

    fn finish(self, tag: &str, outcome: &Outcome) -> Result<Measured, MergeError> {
        let nanos = |ms: u64| ms.saturating_mul(1_000_000);
        let interval = |((begins, length), (counts, parts)): ((u64, u64), (Counts, Vec<Packed>))| {
            let latency = sum(&parts, tag)?;
            let (begins, length) = (nanos(begins), nanos(length));
            Ok(Interval { begins, length, shown: shown(&latency), latency: Packed::of(&latency), counts })
        };
        Ok(Measured {
            total: self.total,
            intervals: self.intervals.into_iter().map(interval).collect::<Result<_, MergeError>>()?,
            window: self.window,
            failures: outcome.failures.clone(),
            processor: self.processor,
            interrupted: outcome.interrupted,
            tls: outcome.tls.clone(),
            congestion: outcome.bulk.as_ref().and_then(|bulk| bulk.congestion_control.clone()),
        })
    }
}

/// Adds to a result what another says of how it was made.
fn add(outcome: &mut Outcome, other: &Outcome, tag: &str) -> Result<(), MergeError> {
    if outcome.steps.iter().map(|step| &step.name).ne(other.steps.iter().map(|step| &step.name)) {
        return Err(MergeError::Different { tag: tag.to_owned(), what: "the steps" });
    }
    outcome.connections += other.connections;
    outcome.threads += other.threads;
    outcome.depth = outcome.depth.max(other.depth);
    outcome.verify &= other.verify;
    outcome.asked_per_s = outcome.asked_per_s.zip(other.asked_per_s).map(|(one, two)| one + two);
    outcome.interrupted |= other.interrupted;
    let new: Vec<String> = other.failures.iter().filter(|text| !outcome.failures.contains(text)).cloned().collect();
    outcome.failures.extend(new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::files;
    use super::super::fixture::counted;
    use super::super::fixture::{self, outcome, with};
    use super::*;
    use proptest::prelude::*;

    fn line(tag: &str, begins_ms: u64, values: &[u64]) -> Line {
        Line { tag: tag.into(), begins_ms, length_ms: 1000, histogram: Packed::of(&counted(values)) }
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
        lines.push(Line { histogram: Packed::of(&low), ..lines[0].clone() });
        for lines in [lines.clone(), lines.into_iter().rev().collect()] {
            let merged = logs(&[log(lines)]).expect("they go together");
            assert_eq!(merged.lines[0].histogram.histogram(), counted(&[900_000, 59_000_000_000]));
        }
    }

    #[test]
    fn histograms_of_different_digits_cannot_be_added_exactly() {
        let coarse = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 2).expect("the bounds are sound");
        let mut lines = vec![line("a", 0, &[1])];
        lines.push(Line { histogram: Packed::of(&coarse), ..lines[0].clone() });
        let error = logs(&[log(lines)]).expect_err("they do not go together");
        assert_eq!(error.to_string(), "`a` cannot be added: their smallest values or digits differ");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_sample_is_lost_or_moved(parts in prop::collection::vec(prop::collection::vec(1_u64..60_000_000_000, 0..50), 1..6)) {
            let split: Vec<Log> = parts.iter().map(|values| log(vec![line("a", 0, values)])).collect();
            let merged = logs(&split).expect("they go together");
            prop_assert_eq!(merged.lines[0].histogram.histogram(), counted(&parts.concat()));
        }
    }

    /// A folder with a run in it.
    fn stored(outcome: Outcome, measured: &Measured) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("there is room");
        files::write(folder.path(), &fixture::bench(vec![outcome]), &[measured]).expect("there is room");
        folder
    }

    /// What benchmarks add up to.
    fn added(parts: impl IntoIterator<Item = (Bench, Log)>, command: &[String]) -> Result<Option<Run>, MergeError> {
        let mut sum = Sum::default();
        parts.into_iter().try_for_each(|(bench, log)| sum.add(bench, log))?;
        sum.finish(command)
    }

    /// A benchmark of one result as it is read.
    fn run(outcome: Outcome, change: impl FnOnce(&mut Measured)) -> (Bench, Log) {
        let mut measured = fixture::measured(&fixture::plan());
        change(&mut measured);
        let mut bench = fixture::bench(vec![outcome]);
        bench.results[0].counts.iterations = measured.total.latency.len();
        let log = files::histograms(&bench, &[&measured]);
        (bench, log)
    }

    #[test]
    fn a_folder_reads_as_it_was_written() {
        let measured = fixture::measured(&fixture::plan());
        let folder = stored(outcome(|_, _| (), |_| ()), &measured);
        let run = added([read(folder.path()).expect("just written")], &[]).expect("it fits").expect("there is one");
        assert_eq!(run.bench, fixture::bench(vec![outcome(|_, _| (), |_| ())]));
        let back = &run.measured[0];
        assert_eq!((&back.total.latency, back.total.counts), (&measured.total.latency, measured.total.counts));
        assert_eq!((&back.total.service, &back.total.steps), (&measured.total.service, &measured.total.steps));
        assert_eq!((back.window, &back.intervals[0].latency), (measured.window, &measured.intervals[0].latency));
    }

    #[test]
    fn two_load_generators_are_one_with_twice_the_load() {
        let open = || outcome(|plan, _| with::rate(plan, 1000.0), |_| ());
        let slow = run(open(), |measured| {
            with::latencies(&mut measured.total, std::iter::repeat_n(1_000_000, 1000));
            measured.intervals[0].latency = Packed::of(&measured.total.latency);
        });
        let merged =
            added([run(open(), |_| ()), slow], &["merge".into()]).expect("they go together").expect("there is one");
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
        let closed = outcome(|_, _| (), |_| ());
        let open = outcome(|plan, _| with::rate(plan, 1000.0), |_| ());
        let merged =
            added([run(closed, |_| ()), run(open, |_| ())], &[]).expect("they go together").expect("there is one");
        assert_eq!(merged.bench.results.iter().map(Outcome::label).collect::<Vec<_>>(), ["closed 1x1", "open 1000"]);
        assert!(added([], &[]).expect("nothing goes with nothing").is_none());
    }

    #[test]
    fn files_that_do_not_go_together_are_refused() {
        let measured = fixture::measured(&fixture::plan());
        let folder = stored(outcome(|_, _| (), |tally| tally.counts.iterations = 999), &measured);
        let error = added([read(folder.path()).expect("just written")], &[]).expect_err("a sample too many");
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
