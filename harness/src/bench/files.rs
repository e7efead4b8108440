//! The files that a benchmark leaves: for programs, for spreadsheets, for other tools of histograms, and one to look at.
//!
//! Each is written whole beside its place and then moved there, so that nobody ever reads half of one.

use std::io;
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;

use super::hlog::{self, Line, Log};
use super::html;
use super::measure::Measured;
use super::outcome::{Bench, Outcome};
use super::packed::Packed;
use super::quantiles::Quantiles;
use crate::report::Output;

/// What was found, for programs.
pub const JSON: &str = "bench.json";

/// The histograms, for other tools and for `harness merge`.
pub const HLOG: &str = "bench.hlog";

/// Points of a percentile curve between two halvings of what is above it.
const TICKS_PER_HALF: u32 = 5;

/// Writes everything into a folder, and gives the files. The measurements are those of the results, in their order.
pub fn write(folder: &Path, bench: &Bench, measured: &[&Measured]) -> io::Result<Vec<PathBuf>> {
    let mut log = Vec::new();
    hlog::write(&histograms(bench, measured), &mut log)?;
    let mut files = vec![
        (JSON.to_owned(), json(bench)?),
        (HLOG.to_owned(), log),
        ("bench.csv".to_owned(), results_csv(&bench.results).into_bytes()),
        ("intervals.csv".to_owned(), intervals_csv(&bench.results).into_bytes()),
        ("bench.html".to_owned(), html::page(bench, measured).into_bytes()),
    ];
    for (number, (outcome, measured)) in bench.results.iter().zip(measured).enumerate() {
        let name =
            if bench.results.len() == 1 { "bench.hgrm".to_owned() } else { format!("bench-{}.hgrm", number + 1) };
        files.push((
            name,
            hgrm(&format!("{}: {}", outcome.case, outcome.label()), &measured.total.latency).into_bytes(),
        ));
    }
    let mut paths = Vec::new();
    for (name, content) in files {
        let path = folder.join(name);
        Output::File(path.clone()).write_whole(&content)?;
        paths.push(path);
    }
    Ok(paths)
}

fn json(bench: &Bench) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(bench)?;
    text.push(b'\n');
    Ok(text)
}

/// What each result is called in the log: its case, how load was made, and a number where that is not enough.
pub fn tags(results: &[Outcome]) -> Vec<String> {
    let plain = |text: &str| -> String {
        let kept = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        text.chars().map(kept).collect()
    };
    let mut tags: Vec<String> = Vec::new();
    for outcome in results {
        let tag = format!("{}/{}", plain(&outcome.case), plain(&outcome.label()));
        let same = |number: usize| if number == 1 { tag.clone() } else { format!("{tag}~{number}") };
        let free = (1..).map(same).find(|tag| !tags.contains(tag)).expect("there are more numbers than tags");
        tags.push(free);
    }
    tags
}

/// The histograms of all results. Latencies come piece by piece, everything else whole.
pub(crate) fn histograms(bench: &Bench, measured: &[&Measured]) -> Log {
    let mut lines = Vec::new();
    for ((tag, outcome), measured) in tags(&bench.results).into_iter().zip(&bench.results).zip(measured) {
        let ms = |nanos: u64| (nanos + 500_000) / 1_000_000;
        lines.extend(measured.intervals.iter().map(|interval| Line {
            tag: format!("{tag}/latency"),
            begins_ms: ms(interval.begins),
            length_ms: ms(interval.length),
            histogram: interval.latency.clone(),
        }));
        let total = &measured.total;
        let whole = [
            ("service", &total.service),
            ("lateness", &total.lateness),
            ("connect", &total.connect),
            ("handshake", &total.handshake),
            ("sending", &total.sending),
            ("away", &total.away),
            ("waking", &total.waking),
        ];
        let whole = whole.into_iter().map(|(name, histogram)| (name.to_owned(), histogram));
        let steps = total.steps.iter().enumerate().map(|(at, histogram)| (format!("step-{}", at + 1), histogram));
        let length_ms = (outcome.duration_s * 1000.0).round() as u64;
        lines.extend(whole.chain(steps).filter(|(_, histogram)| !histogram.is_empty()).map(|(name, histogram)| Line {
            tag: format!("{tag}/{name}"),
            begins_ms: 0,
            length_ms,
            histogram: Packed::of(histogram),
        }));
    }
    Log { start_ms: bench.unix_ns / 1_000_000, lines }
}

/// A percentile distribution as `HdrHistogram` prints it, in microseconds: what its plotters read.
fn hgrm(title: &str, histogram: &Histogram<u64>) -> String {
    let mut text = format!("#[{}, microseconds]\n", title.replace(['\n', '\r', '[', ']'], " "));
    text.push_str(&format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)"));
    let micros = |nanos: u64| nanos as f64 / 1000.0;
    let mut below = 0;
    for point in histogram.iter_quantiles(TICKS_PER_HALF).filter(|_| !histogram.is_empty()) {
        below += point.count_since_last_iteration();
        let (value, quantile) = (micros(point.value_iterated_to()), point.quantile_iterated_to());
        text.push_str(&format!("{value:>12.3} {quantile:>14.12} {below:>10}"));
        if quantile < 1.0 {
            text.push_str(&format!(" {:>14.2}", 1.0 / (1.0 - quantile)));
        }
        text.push('\n');
    }
    let (mean, deviation) = (histogram.mean() / 1000.0, histogram.stdev() / 1000.0);
    text.push_str(&format!("#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]\n"));
    text.push_str(&format!(
        "#[Max     = {:>12.3}, Total count    = {:>12}]\n",
        micros(histogram.max()),
        histogram.len()
    ));
    let sub_buckets = (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    let buckets = histogram.buckets();
    text.push_str(&format!("#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]\n"));
    text
}

/// The heads and figures of a distribution in a table.
fn columns(name: &str, quantiles: &Quantiles) -> Vec<(String, String)> {
    let told = quantiles.count > 0;
    let number = |value: String| if told { value } else { String::new() };
    let mut columns = vec![
        ("count".to_owned(), quantiles.count.to_string()),
        ("min_ns".to_owned(), number(quantiles.min.to_string())),
        ("mean_ns".to_owned(), number(quantiles.mean.to_string())),
    ];
    columns.extend(quantiles.percentiles().map(|(percentile, value)| {
        (format!("{}_ns", percentile.replace('.', "_")), value.map(|value| value.to_string()).unwrap_or_default())
    }));
    columns.push(("max_ns".to_owned(), number(quantiles.max.to_string())));
    columns.into_iter().map(|(column, value)| (format!("{name}_{column}"), value)).collect()
}

/// A row a result.
fn results_csv(results: &[Outcome]) -> String {
    let row = |(outcome, tag): (&Outcome, String)| -> Vec<(String, String)> {
        let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        let mut row: Vec<(String, String)> = [
            ("result", tag),
            ("case", outcome.case.clone()),
            ("mode", outcome.mode.name().to_owned()),
            ("connections", outcome.connections.to_string()),
            ("depth", outcome.depth.to_string()),
            ("threads", outcome.threads.to_string()),
            ("asked_per_s", optional(outcome.asked_per_s)),
            ("rate_per_s", outcome.rate_per_s.to_string()),
            ("duration_s", outcome.duration_s.to_string()),
            ("iterations", outcome.counts.iterations.to_string()),
            ("failed", outcome.failed.to_string()),
            ("loss", outcome.loss.to_string()),
            ("valid", outcome.valid.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        row.extend(columns("latency", &outcome.latency_ns));
        row.extend(columns("service", &outcome.service_ns));
        row.extend(columns("lateness", &outcome.lateness_ns));
        if let Some(stamps) = &outcome.stamps {
            row.push(("stamped".to_owned(), stamps.share.to_string()));
            row.extend(columns("sending", &stamps.sending_ns));
            row.extend(columns("away", &stamps.away_ns));
            row.extend(columns("waking", &stamps.waking_ns));
        }
        row
    };
    csv(results.iter().zip(tags(results)).map(row))
}

/// A row an interval.
fn intervals_csv(results: &[Outcome]) -> String {
    let rows = results.iter().zip(tags(results)).flat_map(|(outcome, tag)| {
        outcome.intervals.iter().map(move |slice| {
            [
                ("result", tag.clone()),
                ("t_s", slice.t_s.to_string()),
                ("length_s", slice.length_s.to_string()),
                ("iterations", slice.iterations.to_string()),
                ("failed", slice.failed.to_string()),
                ("p50_ns", slice.p50.to_string()),
                ("p99_ns", slice.p99.to_string()),
                ("max_ns", slice.max.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
        })
    });
    csv(rows)
}

/// Rows as RFC 4180 has them, with a line of heads.
fn csv(rows: impl Iterator<Item = Vec<(String, String)>>) -> String {
    let field = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let line = |fields: Vec<String>| fields.join(",") + "\r\n";
    let mut text = String::new();
    for row in rows {
        if text.is_empty() {
            text.push_str(&line(row.iter().map(|(name, _)| name.clone()).collect()));
        }
        text.push_str(&line(row.iter().map(|(_, value)| field(value)).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, bench, measured, outcome, with};
    use super::super::tally::histogram;
    use super::*;
    use snapbox::{IntoData as _, assert_data_eq, str};

    #[test]
    fn results_that_are_alike_have_tags_of_their_own() {
        let closed = || outcome(|_, _| (), |_| ());
        let mut other = closed();
        other.case = "a, b c".into();
        let open = outcome(|plan, _| with::rate(plan, 1500.0), |_| ());
        let tags = tags(&[closed(), closed(), other, open]);
        assert_eq!(
            tags,
            ["echoes-a-line/closed-1x1", "echoes-a-line/closed-1x1~2", "a--b-c/closed-1x1", "echoes-a-line/open-1500"]
        );
    }

    #[test]
    fn everything_is_there_and_the_log_adds_up() {
        let folder = tempfile::tempdir().expect("there is room");
        let measured = measured(&fixture::plan());
        let bench = bench(vec![outcome(|_, _| (), |_| ())]);
        let files = write(folder.path(), &bench, &[&measured]).expect("there is room");
        let mut names: Vec<String> = std::fs::read_dir(folder.path())
            .expect("it is there")
            .map(|entry| entry.expect("it is there").file_name().into_string().expect("it is text"))
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["bench.csv", "bench.hgrm", "bench.hlog", "bench.html", "bench.json", "intervals.csv"]);
        assert_eq!(files.len(), names.len());
        let log = std::fs::read(folder.path().join(HLOG)).expect("it is there");
        let log = hlog::read(&log[..]).expect("just written");
        let shown: Vec<&str> = log.lines.iter().map(|line| line.tag.as_str()).collect();
        let tag = |name: &str| format!("echoes-a-line/closed-1x1/{name}");
        assert_eq!(shown, [tag("latency"), tag("service"), tag("step-1")]);
        assert_eq!(log.lines[0].histogram.histogram(), measured.total.latency);
    }

    #[test]
    fn a_distribution_is_what_plotters_read() {
        let mut all = histogram();
        [1000, 2000, 3000, 4000, 100_000].into_iter().for_each(|nanos| all.record(nanos).expect("it is in bounds"));
        assert_data_eq!(
            hgrm("echoes a line: closed 1x1", &all),
            str![[r#"
#[echoes a line: closed 1x1, microseconds]
       Value     Percentile TotalCount 1/(1-Percentile)

       1.000 0.000000000000          1           1.00
       1.000 0.100000000000          1           1.11
       1.000 0.200000000000          1           1.25
       2.000 0.300000000000          2           1.43
       2.000 0.400000000000          2           1.67
       3.001 0.500000000000          3           2.00
       3.001 0.550000000000          3           2.22
       4.001 0.600000000000          4           2.50
       4.001 0.650000000000          4           2.86
       4.001 0.700000000000          4           3.33
       4.001 0.750000000000          4           4.00
       4.001 0.775000000000          4           4.44
     100.031 0.800000000000          5           5.00
     100.031 1.000000000000          5
#[Mean    =       22.000, StdDeviation   =       39.013]
#[Max     =      100.031, Total count    =            5]
#[Buckets =           26, SubBuckets     =         2048]

"#]]
            .raw()
        );
        assert!(hgrm("nothing", &histogram()).contains("Total count    =            0"));
    }

    #[test]
    fn tables_have_a_head_and_quote_what_has_commas() {
        let mut shown = outcome(|_, _| (), |_| ());
        shown.case = "says \"a, b\"".into();
        let table = results_csv(&[shown]);
        assert!(table.starts_with("result,case,mode,connections,depth,threads,asked_per_s,rate_per_s,"), "{table}");
        assert!(table.contains(",\"says \"\"a, b\"\"\",closed,1,1,1,,1000,1,1000,0,0,true,1000,10000,"), "{table}");
        let (head, row) = table.split_once("\r\n").expect("two lines");
        assert_eq!(head.split(',').count(), row.replace("\"a, b\"", "").trim_end().split(',').count());
    }
}
